//! The pieces of evidence: each a sentence that a person can check, and how to forget what it is about.

mod further;
mod others;
mod own;

use onlyhere_proto::Layer;

use super::evidence::PIECES;
use super::{Finding, phrase};
use crate::digest::{Digest, Seen};

/// One sentence, who it is about, and how to forget it.
pub(super) struct Piece {
    pub(super) says: String,
    pub(super) vantages: Vec<usize>,
    /// Whether it is told though the model draws nothing from it.
    pub(super) background: bool,
    forget: Box<dyn Fn(&mut Seen)>,
}

impl Piece {
    fn new(says: String, vantages: Vec<usize>, forget: impl Fn(&mut Seen) + 'static) -> Self {
        Self {
            says,
            vantages,
            background: false,
            forget: Box::new(forget),
        }
    }

    /// Told whether or not the model draws anything from it: somebody looked on purpose.
    fn told(says: String, vantages: Vec<usize>, forget: impl Fn(&mut Seen) + 'static) -> Self {
        Self {
            background: true,
            ..Self::new(says, vantages, forget)
        }
    }

    /// Something a person should know; nothing of the digest goes with it.
    fn background(says: String, vantages: Vec<usize>) -> Self {
        Self {
            background: true,
            ..Self::new(says, vantages, |_| {})
        }
    }

    /// Takes what the sentence is about out of a digest.
    pub(super) fn forget(&self, digest: &mut Digest) {
        for vantage in &self.vantages {
            (self.forget)(&mut digest.vantages[*vantage]);
        }
    }
}

/// The pieces in the order in which a person would tell them: the question first, then who else was asked, then what
/// was looked at more closely. Where there are too many, what commonly says least is left out.
pub(super) fn pieces(f: Finding<'_>) -> Vec<Piece> {
    let siblings: Vec<usize> = f.others().filter(|v| f.is_sibling(*v)).collect();
    let strangers: Vec<usize> = f.others().filter(|v| !f.is_sibling(*v)).collect();
    // With each its rank: the highest go first when there are too many.
    let told: [(u8, Option<Piece>); 23] = [
        (3, own::own_name(f)),
        (0, own::own_hosts_file(f)),
        (0, further::resolvers(f)),
        (0, own::own_attempts(f)),
        (5, others::names_of_others(f)),
        (0, others::attempts_of(f, &strangers)),
        (0, others::attempts_of(f, &siblings)),
        (1, others::per_address(f)),
        (0, own::own_origin(f)),
        (2, own::own_controls(f)),
        (4, others::echoes(f)),
        (4, others::other_ports(f)),
        (6, others::later_slots(f)),
        (4, others::slow(f)),
        (1, further::ladder(f)),
        (0, further::own_other_sources(f)),
        (1, further::others_other_sources(f)),
        (0, further::small_segments(f)),
        (0, further::proxied(f)),
        (0, further::direct(f)),
        (2, further::certificates(f)),
        (7, further::block_lists(f)),
        (8, further::history(f)),
    ];
    let mut ranked: Vec<(u8, usize, Piece)> = told
        .into_iter()
        .enumerate()
        .filter_map(|(place, (rank, piece))| Some((rank, place, piece?)))
        .collect();
    ranked.sort_by_key(|(rank, place, _)| (*rank, *place));
    ranked.truncate(PIECES);
    ranked.sort_by_key(|(_, place, _)| *place);
    let mut all: Vec<Piece> = ranked.into_iter().map(|(_, _, piece)| piece).collect();
    if f.case.target.layer == Layer::Ping {
        for piece in &mut all {
            piece.says = piece.says.replace("connect", "answer");
        }
    }
    all
}
