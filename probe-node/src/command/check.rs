//! `onlyhere-probe check TARGET`: the observations from here, as they come or as one JSON object. It judges nothing.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use onlyhere_proto::{
    CheckRequest, Facts, Observation, Purpose, SaidBy, Stage, Target, VantageName, limits,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{CommandError, environment};
use crate::{Guard, Prober, ProberSettings, config::Config};

const DEADLINE: Duration = Duration::from_secs(12);
const ATTEMPT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Such as shop.example, https://shop.example/cart, shop.example:25, dns://shop.example, ping://shop.example.
    target: String,
    /// How the observations are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Try it as if a coordinator had asked, under the guard and the limits of the settings; without it you may try
    /// anything.
    #[arg(long)]
    guarded: bool,
    /// With --guarded: settings, as TOML.
    #[arg(long, value_name = "FILE", requires = "guarded")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each, as they come.
    Text,
    /// One object at the end.
    Json,
}

impl Check {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let target = Target::parse(&self.target).map_err(|e| CommandError::Usage(e.to_string()))?;
        let prober = Prober::new(if self.guarded {
            Config::load(self.config.as_deref(), environment())?.prober_settings()?
        } else {
            // Its own owner asks: anything may be tried.
            ProberSettings::of_this_system(Guard::open())
        })?;
        let (sink, mut seen) = mpsc::channel(limits::BATCH);
        let request = request(target.clone());
        let run = prober.run(VantageName::you(), request, sink, CancellationToken::new());
        let show = async {
            let mut all = Vec::new();
            while let Some(observation) = seen.recv().await {
                if self.format == Format::Text {
                    writeln!(io::stdout(), "{}", line(&observation))?;
                }
                all.push(observation);
            }
            Ok(all)
        };
        let ((), all) = tokio::join!(run, show);
        let all = all.map_err(CommandError::Output)?;
        if self.format == Format::Json {
            let whole = json!({ "target": target, "observations": all });
            writeln!(io::stdout(), "{whole:#}").map_err(CommandError::Output)?;
        }
        Ok(())
    }
}

fn request(target: Target) -> CheckRequest {
    CheckRequest {
        check: (Ulid::generate().to_string().parse()).expect("a ULID is a check id"),
        request: 1,
        purpose: Purpose::Target,
        addresses: Vec::new(),
        depth: target.depth(),
        ping: true,
        resolvers: Vec::new(),
        deadline: DEADLINE,
        attempt_timeout: ATTEMPT,
        max_connections: limits::CONNECTIONS,
        slot: 0,
        way: Default::default(),
        authoritative: false,
        target,
    }
}

/// Stage, who was tried, outcome, time, what else.
fn line(observation: &Observation) -> String {
    let tried = match (&observation.facts, observation.address, observation.port) {
        (Some(Facts::Dns(dns)), ..) => {
            let at = dns
                .resolver
                .map_or("hosts file".to_owned(), |a| format!("@{a}"));
            format!("{} {} {at}", observation.host, dns.record_type)
        }
        (_, Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (_, Some(address), None) => address.to_string(),
        _ => observation.host.clone(),
    };
    let time = format!("{:.1} ms", observation.elapsed_ms.as_millis());
    let line = format!(
        "{:<5} {:<44} {:<15} {:>10}  {}",
        observation.stage.label(),
        tried,
        observation.outcome.label(),
        time,
        remark(observation)
    );
    line.trim_end().to_owned()
}

fn remark(observation: &Observation) -> String {
    let mut parts = Vec::new();
    match (&observation.said_by, &observation.detail) {
        (Some(SaidBy::Rst), None) => parts.push("by a TCP reset".to_owned()),
        (_, Some(detail)) => parts.push(detail.clone()),
        _ => {}
    }
    match &observation.facts {
        Some(Facts::Dns(dns)) => {
            parts.extend(dns.cname_chain.iter().map(|name| format!("-> {name}")));
            parts.extend(dns.answers.iter().map(|answer| answer.address.to_string()));
        }
        Some(Facts::Tcp(tcp)) => {
            if let Some(again @ 1..) = tcp.syn_retransmits {
                parts.push(format!("SYN sent {again} more times"));
            }
        }
        Some(Facts::Tls(tls)) => {
            parts.extend(tls.version.clone());
            parts.extend(tls.alpn.clone());
        }
        Some(Facts::Http(http)) => {
            parts.push(format!("{} {}", http.version, http.status));
            parts.extend(
                http.location
                    .iter()
                    .map(|location| format!("-> {location}")),
            );
        }
        None => {}
    }
    if observation.stage == Stage::Http {
        parts.dedup();
    }
    parts.join("  ")
}
