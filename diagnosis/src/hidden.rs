//! What is hidden: the host's habits and the kind of day, which all vantages share, and the state of each vantage, which
//! is its own.

use onlyhere_proto::VantageClass;

use crate::case::Case;
use crate::likelihood::{HOST_HABITS, NOISE};
use crate::model::latent::{self, ROUGH_DAYS, ROUGHER};

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
    fn all(must_answer: bool) -> [(Self, f64); HABITS] {
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
const HABITS: usize = HOST_HABITS.len();

/// How much goes wrong by chance, for everybody: nobody tells, but what fails without a pattern does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    /// As much as ever.
    Calm,
    /// Far more: lines lose packets, and more vantages than usual are ill.
    Rough,
}

impl Day {
    /// Both, with their prior.
    pub(crate) const ALL: [(Self, f64); 2] =
        [(Self::Calm, 1.0 - ROUGH_DAYS), (Self::Rough, ROUGH_DAYS)];

    /// How often something else than any row happens to an attempt.
    pub(crate) const fn noise(self) -> f64 {
        match self {
            Self::Calm => NOISE,
            Self::Rough => NOISE * ROUGHER,
        }
    }

    /// How much likelier than ever a vantage is ill.
    const fn illness(self) -> f64 {
        match self {
            Self::Calm => 1.0,
            Self::Rough => ROUGHER,
        }
    }
}

/// What all vantages share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Of the host.
    pub(crate) habits: HostHabits,
    /// Of the day.
    pub(crate) day: Day,
}

/// How many combinations there are.
const SHARED: usize = HABITS * Day::ALL.len();

/// One value for each combination, in the order of [`Shared::all`].
pub(crate) type ByShared = [f64; SHARED];

impl Shared {
    /// All combinations with their prior, day by day; where a port must answer, hosts without one have none.
    pub(crate) fn all(must_answer: bool) -> [(Self, f64); SHARED] {
        let habits = HostHabits::all(must_answer);
        std::array::from_fn(|index| {
            let (day, of_day) = Day::ALL[index / HABITS];
            let (habits, of_habits) = habits[index % HABITS];
            (Self { habits, day }, of_day * of_habits)
        })
    }

    /// A value that depends on the day alone.
    pub(crate) fn by_day(value: impl FnMut(Day) -> f64) -> ByShared {
        let of_day = Day::ALL.map(|(day, _)| day).map(value);
        std::array::from_fn(|index| of_day[index / HABITS])
    }
}

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

/// The states of a vantage with their prior on such a day. The subject's are hypotheses of their own, so it is always
/// good.
pub(crate) fn states(case: &Case, vantage: usize, day: Day) -> [(State, f64); 4] {
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
    let ill = [
        (State::Broken, latent::BROKEN * day.illness()),
        (State::PathBad, latent::PATH_BAD * day.illness()),
        (State::Banned, banned * day.illness()),
    ];
    let good = 1.0 - ill.iter().map(|(_, p)| p).sum::<f64>();
    [(State::Good, good), ill[0], ill[1], ill[2]]
}
