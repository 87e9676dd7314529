//! What must hold besides: how often a failing page is asked for, what a site hears, what the owner sees, and who must
//! permit a private target.

use serde_json::Value;

use super::ground::{CONTACT, Ground, INNER_NETWORK, INNER_SITE, PRIVATE, PROBE, Visit};
use super::row::{Asker, End, Forbidden};
use super::table::Table;
use super::{ask_coordinator, observations_of, owners_log, run};
use crate::LabError;

/// Checks of a page that always fails, and how many of them may reach it.
const FAILING_CHECKS: usize = 6;
const MAY_FAIL: usize = 4;

/// A page that always fails, asked for again and again: what its nginx has heard.
pub(super) fn failing_requests_are_few(ground: &Ground, table: &mut Table) -> Result<(), LabError> {
    for _ in 0..FAILING_CHECKS {
        ask_coordinator(ground, PROBE, "http://shop.example/fails")?;
    }
    let visits = ground.visits()?;
    let failed = visits
        .iter()
        .filter(|visit| visit.path == "/fails" && visit.status == 401);
    let heard = failed.count();
    table.fact(
        (1..=MAY_FAIL).contains(&heard),
        &format!(
            "{FAILING_CHECKS} checks of a page that always fails: its nginx heard {heard} requests"
        ),
    );
    Ok(())
}

/// What the site's nginx received of the probe.
pub(super) fn the_site_hears_who_asks(ground: &Ground, table: &mut Table) -> Result<(), LabError> {
    let agent = format!("onlyhere-probe/{} (+{CONTACT})", env!("CARGO_PKG_VERSION"));
    let plan = &ground.stage.internet().topology().hosts[PROBE];
    let own = [plan.ipv4.to_string(), plan.ipv6.to_string()];
    let visits = ground.visits()?;
    let of_probe: Vec<&Visit> = visits
        .iter()
        .filter(|visit| own.contains(&visit.from))
        .collect();
    let is_right =
        |visit: &&&Visit| visit.agent == agent && visit.body == "--" && visit.length < 1_000;
    let right = of_probe.iter().filter(is_right).count();
    table.fact(
        right == of_probe.len() && right > 0,
        &format!(
            "{right} of {} requests in the site's log: \"{agent}\", no body, fewer than 1000 bytes in all",
            of_probe.len()
        ),
    );
    Ok(())
}

/// Every request that the coordinator made is written down, and what of it was refused.
pub(super) fn the_owner_sees_it(
    ground: &Ground,
    rows: &[Forbidden],
    table: &mut Table,
) -> Result<(), LabError> {
    let log = owners_log(ground)?;
    let asked: Vec<&Forbidden> = rows
        .iter()
        .filter(|row| row.asker != Asker::OwnerOnly && row.end != End::NoTarget)
        .collect();
    let is_named = |row: &&&Forbidden| log.iter().any(|entry| entry["target"] == row.target);
    let named = asked.iter().filter(is_named).count();
    let has_refusals = |entry: &&Value| {
        entry["denied"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    };
    let refused = log.iter().filter(has_refusals).count();
    let by_whom = log.iter().all(|entry| {
        entry["coordinator"] == "coordinator.example:7443" && entry["check"].is_string()
    });
    table.fact(
        named == asked.len() && by_whom,
        &format!(
            "onlyhere-probe log: {} requests of coordinator.example:7443, {refused} with something refused; \
             {named} of {} targets are named",
            log.len(),
            asked.len()
        ),
    );
    Ok(())
}

/// A private target, by a coordinator that permits it: at a probe that does, too, and at one that does not.
pub(super) fn both_must_permit(ground: &Ground, table: &mut Table) -> Result<(), LabError> {
    let target = format!("http://{INNER_SITE}/");
    let seen = observations_of(&ask_coordinator(ground, PRIVATE, &target)?, PRIVATE);
    let comes = seen
        .iter()
        .any(|o| o["stage"] == "http" && o["outcome"] == "ok");
    table.fact(
        comes,
        &format!("{target}, permitted by coordinator and probe: its page comes"),
    );
    let seen = observations_of(&ask_coordinator(ground, PROBE, &target)?, PROBE);
    let why = format!(
        "{INNER_SITE} (private) is not tried from here: only public addresses are, and what guard.allow names by CIDR"
    );
    let says_why = !seen.is_empty() && seen.iter().all(|o| o["detail"] == why.as_str());
    table.fact(
        says_why,
        &format!("permitted by the coordinator alone: \"{why}\""),
    );
    Ok(())
}

/// The same by a coordinator that does not permit it, at the probe that does.
pub(super) fn the_coordinator_refuses(ground: &Ground, table: &mut Table) -> Result<(), LabError> {
    let target = format!("http://{INNER_SITE}/");
    let args = ["--no-local", "--require-coordinator", "--from", "probe:ams"];
    let args: Vec<String> = args.map(str::to_owned).into();
    let mut command = ground.stage.check(&target, &args)?;
    // The caller's own program would refuse before it asks.
    command.env("ONLYHERE_ALLOW_PRIVATE", format!("[\"{INNER_NETWORK}\"]"));
    let output = run(&mut command, "onlyhere check")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "unless the coordinator's allow_private covers it";
    let why = said.lines().find(|line| line.contains(words));
    table.fact(
        why.is_some() && !output.status.success(),
        &format!(
            "permitted by the probe alone: \"{}\"",
            why.unwrap_or(said.trim()).trim()
        ),
    );
    Ok(())
}
