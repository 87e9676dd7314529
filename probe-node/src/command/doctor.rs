//! `onlyhere-probe doctor`: what this machine can measure, tried out. Nothing but the resolvers is spoken to.

use std::{path::Path, time::Duration};

use clap::Args;
use onlyhere_proto::{
    CheckRequest, Facts, Outcome, Purpose, Stage, Target, Timestamp, VantageName,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CommandError, DataDir};
use crate::{
    Guard, Prober, ProberSettings, capabilities::Capabilities, identity::Identity, resolvers,
};

/// A name that every resolver has an answer to, reserved for examples (RFC 2606).
const ANY_NAME: &str = "dns://example.com";

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    data_dir: DataDir,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let can = Capabilities::of_this_machine();
        say(
            "IPv4",
            can.ipv4,
            if can.ipv4 {
                "has an address"
            } else {
                "no address beyond this link"
            },
        );
        say(
            "IPv6",
            can.ipv6,
            if can.ipv6 {
                "has an address"
            } else {
                "no address beyond this link"
            },
        );
        say(
            "ICMP",
            can.icmp,
            match can.icmp {
                true => "echo requests may be sent",
                false => {
                    "echo requests are forbidden: set net.ipv4.ping_group_range to hold this user's group"
                }
            },
        );
        say(
            "error queue",
            can.error_queue,
            match can.error_queue {
                true => "the kernel tells who rejects a connection",
                false => "the kernel does not tell who rejects a connection",
            },
        );
        say(
            "ladder",
            can.ladder,
            match can.ladder {
                true => "hops on the way can be told apart (time to live, error queue)",
                false => "hops on the way cannot be told apart (time to live, error queue)",
            },
        );
        say(
            "segments",
            can.small_segments,
            match can.small_segments {
                true => "can be kept small, to find paths that swallow large packets",
                false => "cannot be kept small (TCP_MAXSEG)",
            },
        );
        say(
            "device",
            can.device,
            match can.device {
                true => "a connection can be sent past the routing table (SO_BINDTODEVICE)",
                false => "this user may not send past the routing table (SO_BINDTODEVICE)",
            },
        );
        clock();
        let settings = ProberSettings::of_this_system(Guard::open());
        say(
            "roots",
            !settings.roots.is_empty(),
            &format!("{} certificate authorities", settings.roots.len()),
        );
        resolvers_answer(settings).await?;
        match Identity::load(&self.data_dir.path()?) {
            Ok(identity) => {
                let now = Timestamp(jiff::Timestamp::now().as_microsecond());
                let until = identity
                    .validity()
                    .map(|validity| validity.until.to_string());
                let (name, coordinator) = (&identity.name, &identity.coordinator);
                let until = until.unwrap_or_else(|| "a time that cannot be read".to_owned());
                say(
                    "identity",
                    !identity.has_expired(now),
                    &format!("{name} at {coordinator}, certificate until {until}"),
                );
            }
            Err(error) => say("identity", false, &error.to_string()),
        }
        Ok(())
    }
}

fn say(what: &str, good: bool, detail: &str) {
    println!("{what:<12} {:<4} {detail}", if good { "ok" } else { "--" });
}

/// A clock that is off by years breaks every certificate; whether it is kept in step, the time service says.
fn clock() {
    let now = jiff::Timestamp::now();
    // Before this version was made, time has not been.
    let plausible = now > jiff::Timestamp::from_second(1_760_000_000).unwrap_or_default();
    let kept = Path::new("/run/systemd/timesync/synchronized").exists();
    let kept = if kept {
        "kept in step by systemd-timesyncd"
    } else {
        "who keeps it in step is not known"
    };
    let shown = Timestamp(now.as_microsecond());
    say("clock", plausible, &format!("{shown}, {kept}"));
}

/// Each resolver of the system by itself.
async fn resolvers_answer(settings: ProberSettings) -> Result<(), CommandError> {
    let system = resolvers::system(&settings.resolv_conf);
    if system.is_empty() {
        say(
            "resolvers",
            false,
            &format!("{} names none", settings.resolv_conf.display()),
        );
        return Ok(());
    }
    let nobody = "/nonexistent".into();
    let prober = Prober::new(ProberSettings {
        resolv_conf: nobody,
        ..settings
    })?;
    let target = Target::parse(ANY_NAME).expect("a constant target");
    let (sink, mut seen) = mpsc::channel(64);
    let request = CheckRequest {
        check: "00000000000000000000000000".parse().expect("a constant id"),
        request: 1,
        purpose: Purpose::Resolver,
        target,
        addresses: Vec::new(),
        depth: Stage::Dns,
        ping: false,
        resolvers: system,
        deadline: Duration::from_secs(4),
        attempt_timeout: Duration::from_secs(3),
        max_connections: 0,
        slot: 0,
        way: Default::default(),
        authoritative: false,
    };
    let run = prober.run(VantageName::you(), request, sink, CancellationToken::new());
    let show = async {
        while let Some(observation) = seen.recv().await {
            let Some(Facts::Dns(facts)) = &observation.facts else {
                continue;
            };
            let Some(resolver) = facts.resolver else {
                continue;
            };
            let answers = facts.rcode.is_some() && observation.outcome != Outcome::Servfail;
            let time = observation.elapsed_ms.as_millis();
            let detail = observation.detail.clone().unwrap_or_default();
            let told = format!(
                "{resolver} {} {} in {time:.1} ms {detail}",
                facts.record_type, observation.outcome
            );
            say("resolver", answers, told.trim_end());
        }
    };
    tokio::join!(run, show);
    Ok(())
}
