//! What was looked at more closely: how far packets come, and whether they come by another way.

use onlyhere_proto::CauseId;

use super::{Effect, row};
use crate::digest::{Attempt, Digest, Proxied, Seen};
use crate::hidden::State;
use crate::likelihood::{LADDER_ERROR, LOST_ANYWHERE, LOST_AT_SITE, LOST_HERE, LOST_IN_TRANSIT};
use crate::rows::HEALTHY;
use crate::sign::{Kind, Origin, REACHES, Sign};

/// The ladder, other sources, small segments, past the tunnel, through the proxy.
pub(super) fn by_other_ways(
    digest: &Digest,
    seen: &Seen,
    effect: Option<Effect<'_>>,
    state: State,
    noise: f64,
) -> f64 {
    let ladders: f64 = seen
        .ladders
        .iter()
        .filter_map(|ladder| ladder.reach.map(|reach| (ladder, reach)))
        .map(|(ladder, reach)| {
            let profile = match state {
                State::Broken => LOST_HERE,
                State::PathBad => LOST_IN_TRANSIT,
                State::Banned => LOST_AT_SITE,
                State::Good => effect
                    .filter(|e| e.strikes(digest, ladder.address))
                    .and_then(Effect::met)
                    .map_or(LOST_ANYWHERE, |e| e.lost),
            };
            (1.0 - LADDER_ERROR) * profile[reach as usize] + LADDER_ERROR / REACHES as f64
        })
        .product();
    let escaping = |attempts: &mut dyn Iterator<Item = &Attempt>, escapes: bool| -> f64 {
        attempts
            .map(|attempt| {
                let row = if escapes {
                    HEALTHY
                } else {
                    row(digest, attempt, effect, state)
                };
                // The same as before in all likelihood: what is known already counts little.
                row.probability(
                    Sign {
                        origin: Origin::Unknown,
                        ..attempt.sign
                    },
                    attempt.depth,
                    noise,
                )
            })
            .product()
    };
    let banned = state == State::Banned || effect.is_some_and(|e| e.is(CauseId::IpBan));
    let sources = escaping(&mut seen.other_sources.iter().map(|(_, a)| a), banned);
    let swallowed = effect.is_some_and(|e| e.is(CauseId::MtuBlackhole));
    let small = escaping(&mut seen.small_segments.iter(), swallowed);
    let tunnel = effect.is_some_and(|e| e.is(CauseId::LocalVpn));
    let direct = escaping(&mut seen.direct.iter(), tunnel);
    let proxied: f64 = seen
        .proxied
        .iter()
        .map(|p| through_proxy(p, effect))
        .product();
    ladders * sources * small * direct * proxied
}

fn through_proxy(proxied: &Proxied, effect: Option<Effect<'_>>) -> f64 {
    let ok = proxied.kind == Kind::Ok;
    let dead_proxy = effect.is_some_and(|e| e.is(CauseId::LocalProxy));
    if dead_proxy {
        return if ok {
            0.04
        } else if proxied.at_proxy {
            0.8
        } else {
            0.16
        };
    }
    // A proxy is another machine: it shares what everybody meets, and some of what its network does.
    let shares = match effect {
        None => 0.03,
        Some(_) if proxied.control => 0.03,
        Some(e) if e.main && e.hypothesis.affected.iter().all(|a| *a) => 0.93,
        Some(_) => 0.5,
    };
    match (ok, proxied.at_proxy) {
        (true, _) => 1.0 - shares,
        (false, true) => shares * 0.5,
        (false, false) => shares * 0.5,
    }
}
