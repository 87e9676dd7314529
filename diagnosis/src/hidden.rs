//! What is hidden: the host's habits, which all vantages share, and the state of each vantage, which is its own.

use onlyhere_proto::VantageClass;

use crate::case::Case;
use crate::likelihood::HOST_HABITS;
use crate::model::latent;

/// What all vantages share though nobody has seen it: does the host let itself be pinged, does another port answer?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostHabits {
    /// Whether it answers echo requests when it is up.
    pub(crate) answers_ping: bool,
    /// Whether some other well-known port answers when it is up.
    pub(crate) answers_ports: bool,
}

impl HostHabits {
    /// All four, with their prior; where a port must answer, those without one have none.
    pub(crate) fn all(must_answer: bool) -> [(Self, f64); HABITS] {
        let possible = |ports: bool| ports || !must_answer;
        let sum: f64 = HOST_HABITS
            .iter()
            .filter(|(_, ports, _)| possible(*ports))
            .map(|(_, _, p)| p)
            .sum();
        HOST_HABITS.map(|(answers_ping, answers_ports, p)| {
            let habits = Self {
                answers_ping,
                answers_ports,
            };
            (
                habits,
                if possible(answers_ports) {
                    p / sum
                } else {
                    0.0
                },
            )
        })
    }
}

/// How many habits there are.
pub(crate) const HABITS: usize = HOST_HABITS.len();

/// One probability for each of the host's habits, in the order of [`HostHabits::all`].
pub(crate) type ByHabits = [f64; HABITS];

/// Hidden states of a vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// In order.
    Good,
    /// Itself broken.
    Broken,
    /// Only its way to this target is.
    PathBad,
    /// Banned by the target.
    Banned,
}

/// The states of a vantage with their prior. The subject's are hypotheses of their own, so it is always good.
pub(crate) fn states(case: &Case, vantage: usize) -> [(State, f64); 4] {
    if case.subject_index() == Some(vantage) {
        return [
            (State::Good, 1.0),
            (State::Broken, 0.0),
            (State::PathBad, 0.0),
            (State::Banned, 0.0),
        ];
    }
    let banned = match case.vantages[vantage].class {
        Some(VantageClass::Datacenter) => latent::BANNED_DATACENTER,
        _ => latent::BANNED,
    };
    let rest = latent::BROKEN + latent::PATH_BAD + banned;
    [
        (State::Good, 1.0 - rest),
        (State::Broken, latent::BROKEN),
        (State::PathBad, latent::PATH_BAD),
        (State::Banned, banned),
    ]
}
