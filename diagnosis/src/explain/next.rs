//! What would decide or confirm the verdict: what one vantage cannot tell, what nobody can tell from outside, who comes
//! second and what would turn the verdict to it, and how to confirm the first.

use onlyhere_proto::{CauseId, Scope};

use super::{Finding, phrase};
use crate::causes;
use crate::digest::Attempt;
use crate::sign::{Kind, Origin};

/// A runner-up less probable than this is not worth a check.
const RUNNER_UP: f64 = 0.01;
/// The same of another cause in the same scope.
const OTHER_CAUSE: f64 = 0.03;

/// Causes that look alike from outside, and the check that decides between them.
const ALIKE: &[(&[CauseId], &str)] = &[
    (
        &[
            CauseId::ServiceDown,
            CauseId::BoundToLoopback,
            CauseId::WrongPort,
            CauseId::FirewallReject,
        ],
        "From outside, a stopped service, one bound to loopback, another port and a firewall that resets look alike: `ss -tlnp` on the server decides",
    ),
    (
        &[CauseId::HostDown, CauseId::FirewallDrop],
        "From outside, a host that is off and a firewall that drops everything look alike: the provider's console decides",
    ),
    (
        &[CauseId::WafBlock, CauseId::RateLimited],
        "From outside, a firewall's block and a limit of requests can look alike: the same check in ten minutes decides",
    ),
    (
        &[CauseId::WafBlock, CauseId::IpBan],
        "From outside, a web application firewall and a ban of the address look alike: the server's lists of both decide",
    ),
    (
        &[CauseId::GeoBlock, CauseId::NetworkBlock],
        "From outside, a block of a country and one of some networks look alike: vantages of another network in that country decide (--from)",
    ),
    (
        &[CauseId::NetworkBlock, CauseId::RoutingFault],
        "From outside, a filter that drops and a route that leads nowhere look alike: whether other sites behind the same last hop answer decides (`mtr`)",
    ),
    (
        &[CauseId::CrashLoop, CauseId::Overloaded],
        "From outside, a service that crashes and one that is overloaded can look alike: `systemctl status` on the server decides, it counts restarts",
    ),
    (
        &[CauseId::CrashLoop, CauseId::BackendPartial],
        "From outside, a service that crashes and one broken backend of several can look alike: whether all vantages fail in the same moments decides",
    ),
    (
        &[CauseId::AddressDown, CauseId::DnsStale],
        "From outside, an address that is down and an old address that resolvers still give look alike: the zone's own servers decide (`dig +trace`)",
    ),
    (
        &[CauseId::LocalOffline, CauseId::LocalVpn],
        "A dead line and a dead tunnel look alike from inside: turn the VPN off and try again",
    ),
    (
        &[CauseId::LocalFirewall, CauseId::TlsInterception],
        "A filter that breaks TLS and one that opens it look alike where the handshake fails: the program's own log decides",
    ),
];

/// Sentences, the most useful first.
pub(super) fn next(f: Finding<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let alone = is_alone(f);
    all.extend(alone.then(|| one_vantage(f)));
    match f.decision.scope {
        Scope::Source => all.push(
            "A vantage in your own network, or a second address of yours, would tell whether your address or the whole network is meant".to_owned(),
        ),
        Scope::Inconclusive if !alone => {
            all.push("Check again in a minute; more vantages (--from) would decide it".to_owned());
        }
        _ => {}
    }
    all.extend(listening(f));
    all.extend(look_alike(f));
    all.extend(machine_or_router(f));
    all.extend(runner_up(f));
    if f.decision.cause() == Some(CauseId::IpBan) {
        all.push("The server's own list of bans confirms it".to_owned());
    }
    if let Some(cause) = f.decision.cause() {
        let report = causes::report(f.case, cause, 0.0, f.circumstances());
        let first = report.confirm.into_iter().next();
        all.extend(first.map(|c| format!("Confirm: {c}")));
    }
    all
}

/// Whether nobody but the subject has said anything.
fn is_alone(f: Finding<'_>) -> bool {
    let heard = |v: usize| f.digest.vantages[v].says_something();
    f.subject().is_some() && !f.others().any(heard) && f.case.private_target().is_none()
}

fn one_vantage(f: Finding<'_>) -> String {
    let ask = match f.decision.scope {
        Scope::Local => "whether it works there, as it should",
        Scope::Ok => "whether it is reachable from there, too",
        _ => {
            return "This is the word of one vantage; ask another network (mobile data, a coordinator): if it works there, the fault is on your side of the way".to_owned();
        }
    };
    format!(
        "This is the word of one vantage; ask another network (mobile data, a coordinator) {ask}"
    )
}

/// What does listen on this machine, where the target is this machine and nothing listens at its port.
fn listening(f: Finding<'_>) -> Option<String> {
    if f.decision.cause() != Some(CauseId::LocalServiceDown) {
        return None;
    }
    let port = f.case.target.port?;
    let mut listeners: Vec<_> = f.case.subject.local.listeners.iter().collect();
    // The nearest port first: it is likeliest the one that was meant.
    listeners.sort_by_key(|l| (l.port.abs_diff(port), l.port, l.address));
    let mut shown: Vec<String> = listeners
        .into_iter()
        .map(|l| {
            let at = std::net::SocketAddr::new(l.address, l.port);
            let program = l.program.as_deref().map(phrase::quoted);
            program.map_or(at.to_string(), |program| format!("{program} at {at}"))
        })
        .collect();
    shown.dedup();
    shown.truncate(5);
    (!shown.is_empty()).then(|| format!("This is what listens here: {}", phrase::list(&shown)))
}

/// What cannot be told apart from outside, where two of such causes are shown and one of them is the first.
fn look_alike(f: Finding<'_>) -> impl Iterator<Item = String> {
    let listed = |cause: &CauseId| f.decision.causes.iter().any(|(c, _)| c == cause);
    let first = f.decision.cause();
    ALIKE
        .iter()
        .filter(move |(causes, _)| {
            let known = causes.iter().filter(|c| listed(c)).count();
            // A service that is down is shown with whichever of its likes are likely enough.
            let enough = known >= 2 || first == Some(CauseId::ServiceDown);
            enough && first.is_some_and(|c| causes.contains(&c))
        })
        .filter(move |(causes, _)| {
            !causes.contains(&CauseId::ServiceDown) || f.decision.scope == Scope::Global
        })
        .map(|(_, sentence)| (*sentence).to_owned())
}

/// A reset does not say who sent it; an ICMP error does.
fn machine_or_router(f: Finding<'_>) -> Option<String> {
    let subject = f.subject()?;
    let reset_nearby = |a: &Attempt| {
        a.sign.kind == Kind::Rst
            && matches!(
                a.sign.origin,
                Origin::AtOnce | Origin::Close | Origin::PerhapsClose
            )
    };
    let vague = f.decision.cause() == Some(CauseId::LocalFirewall)
        && f.digest.vantages[subject].attempts.iter().any(reset_nearby);
    vague.then(|| {
        "A reset does not say whether your machine or your router sent it: another machine behind the same router decides".to_owned()
    })
}

/// Who comes second, and what would turn the verdict to it.
fn runner_up(f: Finding<'_>) -> Option<String> {
    if f.decision.scope == Scope::Inconclusive {
        return None;
    }
    let mut second = (Scope::Inconclusive, 0.0);
    for (scope, p) in &f.decision.scopes {
        let other = *scope != f.decision.scope && *scope != Scope::Inconclusive;
        if other && *p > second.1 {
            second = (*scope, *p);
        }
    }
    let (scope, p) = second;
    if p >= RUNNER_UP {
        let (what, tells) = turn_to(scope);
        return Some(format!("Runner-up: {what} (P {p:.2}): {tells} would tell"));
    }
    other_cause(f)
}

/// A scope in words, and the check that would speak for it.
fn turn_to(scope: Scope) -> (&'static str, &'static str) {
    match scope {
        Scope::Ok => (
            "nothing is wrong any more",
            "the same check in a minute (`onlyhere watch`)",
        ),
        Scope::Local => (
            "your own machine or network",
            "another machine behind the same router, or this one in another network,",
        ),
        Scope::Source => (
            "your address or network alone",
            "any other network (mobile data, more vantages)",
        ),
        Scope::SourceAddress => (
            "your address alone",
            "a second machine behind the same provider, or a second address of yours,",
        ),
        Scope::SourceNetwork => (
            "your whole network",
            "a second machine behind the same provider",
        ),
        Scope::Regional => (
            "several networks that have something in common",
            "more vantages, there and elsewhere (--from),",
        ),
        Scope::TargetAddress => (
            "one of the target's addresses or one IP family",
            "each address on its own, from several networks,",
        ),
        Scope::Global => ("everywhere", "more networks (--from)"),
        Scope::Inconclusive => ("something else", "the same check in a minute"),
    }
}

/// Another cause in the same scope, with how to confirm it.
fn other_cause(f: Finding<'_>) -> Option<String> {
    let (cause, p) = f.decision.causes.get(1)?;
    let together = |causes: &[CauseId]| {
        causes.contains(cause)
            && f.decision
                .cause()
                .is_some_and(|first| causes.contains(&first))
    };
    // Named as look-alikes already.
    if *p < OTHER_CAUSE || ALIKE.iter().any(|(causes, _)| together(causes)) {
        return None;
    }
    let report = causes::report(f.case, *cause, 0.0, f.circumstances());
    let check = report.confirm.first()?;
    Some(format!(
        "Runner-up: {} (P {p:.2}); it would show so: {check}",
        phrase::lower(&report.title)
    ))
}
