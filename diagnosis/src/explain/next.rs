//! What would decide or confirm the verdict.

use onlyhere_proto::{CauseId, Scope};

use super::Finding;
use crate::causes;

/// Sentences, the most useful first.
pub(super) fn next(f: Finding<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let others = f
        .others()
        .filter(|v| f.digest.vantages[*v].says_something())
        .count();
    let one_vantage = f.subject().is_some() && others == 0 && f.case.private_target().is_none();
    if one_vantage && f.decision.scope != Scope::Local {
        all.push(match f.decision.scope {
            Scope::Ok => "This is the word of one vantage; ask another network (mobile data, a coordinator) whether it is reachable from there, too".to_owned(),
            _ => "This is the word of one vantage; ask another network (mobile data, a coordinator): if it works there, the fault is on your side of the way".to_owned(),
        });
    }
    match f.decision.scope {
        Scope::Source => all.push(
            "A vantage in your own network, or a second address of yours, would tell whether your address or the whole network is meant".to_owned(),
        ),
        Scope::Inconclusive if !one_vantage => {
            all.push("Check again in a minute; more vantages (--from) would decide it".to_owned());
        }
        _ => {}
    }
    let listed = |cause: CauseId| f.decision.causes.iter().any(|(c, _)| *c == cause);
    if listed(CauseId::ServiceDown) && f.decision.scope == Scope::Global {
        all.push("From outside, a stopped service, one bound to loopback, another port and a firewall that resets look alike: `ss -tlnp` on the server decides".to_owned());
    }
    if listed(CauseId::HostDown) && listed(CauseId::FirewallDrop) {
        all.push("From outside, a host that is off and a firewall that drops everything look alike: the provider's console decides".to_owned());
    }
    if f.decision.cause() == Some(CauseId::IpBan) {
        all.push("The server's own list of bans confirms it".to_owned());
    }
    if let Some(cause) = f.decision.cause() {
        let first = causes::report(f.case, cause, 0.0, f.circumstances())
            .confirm
            .into_iter()
            .next();
        all.extend(first.map(|c| format!("Confirm: {c}")));
    }
    all
}
