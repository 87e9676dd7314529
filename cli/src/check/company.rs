//! Whether others are asked, and what is said where they cannot be.

use onlyhere_proto::Target;

use crate::{
    args::QuestionArgs,
    error::CliError,
    remote::{CoordinatorUrl, RemoteError},
    settings::{Settings, Token},
};

/// Whether others are asked.
#[derive(Debug)]
pub(super) enum Company {
    /// They are.
    Coordinator(Coordinator),
    /// They are not, and why.
    Alone(String),
}

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) url: CoordinatorUrl,
    pub(super) token: Option<Token>,
    /// Without it there is no verdict.
    pub(super) required: bool,
}

pub(super) fn company(
    args: &QuestionArgs,
    no_local: bool,
    settings: &Settings,
    target: &Target,
) -> Result<Company, CliError> {
    let nobody = |why: String| {
        CliError::Usage(format!(
            "{why}, and with --no-local nobody is left to try; leave it out"
        ))
    };
    if let Some(kind) = settings.private_range(target) {
        let why = format!("nobody else can try {} ({kind})", target.host);
        return if no_local {
            Err(nobody(why))
        } else {
            Ok(Company::Alone(why))
        };
    }
    match &settings.coordinator {
        Some(url) => Ok(Company::Coordinator(Coordinator {
            url: url.clone(),
            token: settings.token.clone(),
            // Without this machine's own eyes there is no falling back on them.
            required: args.require_coordinator || no_local,
        })),
        None if args.require_coordinator => Err(RemoteError::NotSet.into()),
        None if no_local => Err(nobody("no coordinator is set".to_owned())),
        None if !args.from.is_empty() => Ok(Company::Alone(
            "--from picks vantages of a coordinator, and none is set".to_owned(),
        )),
        None => Ok(Company::Alone("no coordinator is set".to_owned())),
    }
}

/// Why one vantage judged, in a few words.
pub(super) const fn why_alone(error: &RemoteError) -> &'static str {
    match error {
        RemoteError::NotResolved { .. } => "the coordinator's name does not resolve here",
        RemoteError::Unreachable { .. } | RemoteError::TooSlow { .. } => {
            "the coordinator cannot be reached"
        }
        RemoteError::Lost { .. } => "the coordinator was lost",
        _ => "the coordinator did not help",
    }
}

/// What would let others be asked, where this machine's resolver stands in the way.
pub(super) fn how_to_reach(error: &RemoteError) -> Option<String> {
    let RemoteError::NotResolved { url, .. } = error else {
        return None;
    };
    Some(format!(
        "nobody else could be asked, because the coordinator's name, {}, does not resolve here: add a resolver that \
         answers to `dns.resolvers` in the config file, or ask again when names resolve",
        url.host()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_without_address_is_told_with_what_would_help() {
        let url: CoordinatorUrl = "https://coordinator.example".parse().unwrap();
        let error = RemoteError::NotResolved {
            url: url.clone(),
            why: "no resolver answers".into(),
        };
        assert!(error.to_string().ends_with("(no resolver answers)"));
        let next = how_to_reach(&error).unwrap();
        assert!(next.contains("coordinator.example") && next.contains("`dns.resolvers`"));
        let other = RemoteError::NoToken { url };
        assert_eq!(how_to_reach(&other), None);
        assert_ne!(why_alone(&error), why_alone(&other));
    }
}
