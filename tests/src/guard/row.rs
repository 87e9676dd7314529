//! One forbidden target, and how it must end.

use serde_json::Value;

/// A target that must not be tried.
#[derive(Debug, Clone)]
pub(super) struct Forbidden {
    /// The disguise, for people.
    pub(super) about: String,
    /// As it is typed.
    pub(super) target: String,
    pub(super) asker: Asker,
    pub(super) end: End,
    /// What nobody but the probe's owner may read.
    pub(super) secret: Option<&'static str>,
}

/// Who asks the probe for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A real coordinator that lets everything through, and then `onlyhere-probe check --guarded`.
    Both,
    /// The latter alone: no coordinator passes it on.
    OwnerOnly,
    /// The former alone.
    CoordinatorOnly,
}

/// How it must end, besides without a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The probe says that it does not try it.
    Guard,
    /// It is read as no target at all.
    NoTarget,
    /// The page comes, and what it leads to is no target.
    NotFollowed,
    /// The owner's log says that a name server was not asked.
    NameServer,
}

impl End {
    /// For the table.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Guard => "refused by the guard",
            Self::NoTarget => "no target",
            Self::NotFollowed => "not followed",
            Self::NameServer => "server not asked",
        }
    }

    /// Whether a probe's observations show this end.
    pub(super) fn is_shown_by(self, observations: &[Value]) -> bool {
        let says = |words: &[&str]| {
            observations.iter().any(|seen| {
                let detail = seen["detail"].as_str().unwrap_or_default();
                words.iter().any(|word| detail.contains(word))
            })
        };
        match self {
            Self::Guard => says(&["is not tried from here", "neither told nor tried"]),
            Self::NotFollowed => says(&["which is no page", "redirects to no target"]),
            // The log is asked for it.
            Self::NameServer => !observations.is_empty(),
            Self::NoTarget => false,
        }
    }
}
