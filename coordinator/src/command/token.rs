//! `token create|list|revoke`

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use clap::{Args, Subcommand};
use onlyhere_proto::{Timestamp, VantageClass, VantageName};

use super::{CommandError, Settings, with_store};
use crate::{
    audit::{Act, By, Event, Filter},
    clock,
    config::Config,
    identity::Authority,
    place::{self, Place},
    tokens::{
        ADMIN, CLIENT, HostSuffix, JoinToken, Limit, Limits, Scope, Token, TokenKind, Tokens,
    },
};

/// Refused joins that are looked at for a list of tokens, the latest.
const REFUSALS: u32 = 10_000;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it, once; only its hash is kept.
    Create(Box<Create>),
    /// List tokens.
    List(Settings),
    /// Withdraw tokens by id or name.
    Revoke {
        /// The token's id, or a name (then all tokens of that name).
        id_or_name: String,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Who may use it for what: a probe to join, a client to check, an admin to read all reports as well.
    #[arg(long, value_enum)]
    kind: TokenKind,
    /// Whose it is; of a probe token the name the probe gets.
    #[arg(long)]
    name: VantageName,
    /// Region of the probe, such as eu.
    #[arg(long, value_parser = place::parse_region)]
    region: Option<String>,
    /// Country of the probe, such as DE.
    #[arg(long, value_parser = place::parse_country)]
    country: Option<String>,
    /// AS number of the probe's network.
    #[arg(long, value_parser = place::parse_asn)]
    asn: Option<u32>,
    /// What kind of network the probe sits in: datacenter, residential or mobile.
    #[arg(long)]
    class: Option<VantageClass>,
    /// Further labels of the probe.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = place::parse_label)]
    labels: Vec<(String, String)>,
    /// What a client or admin may do: check, read, vantages, and read-all for an admin [default: all of its kind].
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// How much a client or admin may do: at-once, per-minute, per-hour (checks) and vantages (of one check).
    #[arg(long = "limit", value_name = "KEY=N", value_delimiter = ',')]
    limits: Vec<Limit>,
    /// The only host, with all below it, that a client or admin may check, such as shop.example; may be repeated.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<HostSuffix>,
    /// How often it can be used [default: 1 for probes, without limit for others].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// How long it can be used, such as 30m, 24h or 7d [default: 24h for probes, without end for others].
    #[arg(long, value_name = "TIME", value_parser = clock::parse_duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    settings: Settings,
}

impl TokenCommand {
    pub(super) fn run(self) -> Result<(), CommandError> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(settings) => list(&settings),
            Self::Revoke {
                id_or_name,
                settings,
            } => revoke(&id_or_name, &settings),
        }
    }
}

/// Hosts that one token may be limited to.
const HOSTS: usize = 32;

impl Create {
    fn run(self) -> Result<(), CommandError> {
        let is_probe = self.kind == TokenKind::Probe;
        self.check(is_probe)?;
        let config = self.settings.load()?;
        let dir = self.settings.data_dir()?;
        let now = clock::now();
        let (token, secret) = Token::generate(self.kind, self.name, now);
        let uses = self.uses.or(is_probe.then_some(1));
        let expires = self.expires.or(is_probe.then_some(clock::DAY));
        let token = Token {
            place: Place {
                region: self.region,
                country: self.country,
                asn: self.asn,
                class: self.class,
                labels: self.labels.into_iter().collect(),
            },
            scopes: (!self.scopes.is_empty()).then(|| self.scopes.into_iter().collect()),
            hosts: self.hosts,
            limits: self
                .limits
                .into_iter()
                .fold(Limits::default(), Limits::with),
            uses,
            uses_left: uses,
            expires_at: expires.map(|time| after(now, time)),
            ..token
        };
        let text = match self.kind {
            TokenKind::Probe => JoinToken {
                address: advertised(&config),
                ca_sha256: Authority::load_or_create(&dir)?.fingerprint(),
                secret: secret.as_str().to_owned(),
            }
            .to_text(),
            TokenKind::Client => format!("{CLIENT}{}", secret.as_str()),
            TokenKind::Admin => format!("{ADMIN}{}", secret.as_str()),
        };
        with_store(&self.settings, async |store| {
            Ok(Tokens::new(store).add(token, &By::operator()).await?)
        })?;
        println!("{text}");
        Ok(())
    }

    fn check(&self, is_probe: bool) -> Result<(), CommandError> {
        let usage = |why: String| Err(CommandError::Usage(why));
        if self.name.is_you() && is_probe {
            return usage("`you` is the caller's name: give the probe another --name".into());
        }
        if self.labels.len() > place::LABELS {
            return usage(format!("a probe has at most {} labels", place::LABELS));
        }
        let has_place = self.region.is_some()
            || self.country.is_some()
            || self.asn.is_some()
            || self.class.is_some()
            || !self.labels.is_empty();
        if has_place && !is_probe {
            return usage(
                "--region, --country, --asn, --class and --label say where a probe sits: they go with --kind probe".into(),
            );
        }
        self.check_scopes(is_probe)
    }

    fn check_scopes(&self, is_probe: bool) -> Result<(), CommandError> {
        let usage = |why: String| Err(CommandError::Usage(why));
        let has_use = !self.scopes.is_empty() || !self.limits.is_empty() || !self.hosts.is_empty();
        if has_use && is_probe {
            return usage(
                "--scope, --limit and --host say what may be asked: they go with --kind client or admin"
                    .into(),
            );
        }
        if self.hosts.len() > HOSTS {
            return usage(format!("a token is limited to at most {HOSTS} hosts"));
        }
        let all = self.kind.scopes();
        if let Some(scope) = self.scopes.iter().find(|scope| !all.contains(scope)) {
            return usage(format!(
                "a {} token cannot have the scope {scope}: it goes with --kind admin",
                self.kind.label()
            ));
        }
        if !self.hosts.is_empty() && !self.scopes.is_empty() && !self.scopes.contains(&Scope::Check)
        {
            return usage("--host limits checks: it goes with --scope check".into());
        }
        Ok(())
    }
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(
        now.0
            .saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)),
    )
}

/// Where probes shall dial: as set; else the address listened on; else, with a warning, this machine's own towards the
/// world, which is wrong behind address translation.
fn advertised(config: &Config) -> String {
    if let Some(advertise) = &config.probes.advertise {
        return advertise.clone();
    }
    let listen = config.probes.listen;
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let outward = outward_address(listen)
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], listen.port())));
    eprintln!(
        "onlyhere-coordinator: probes.advertise is not set; the token carries {outward}, this machine's own address \
         (set probes.advertise = \"HOST:PORT\" if probes reach it under another)"
    );
    outward.to_string()
}

/// The source address of packets to the world; connecting a UDP socket sends none. 192.88.99.1 stands for the world.
fn outward_address(listen: SocketAddr) -> Option<SocketAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.88.99.1", 9)).ok()?;
    Some(SocketAddr::new(
        socket.local_addr().ok()?.ip(),
        listen.port(),
    ))
}

fn list(settings: &Settings) -> Result<(), CommandError> {
    let refusals = Filter {
        since: None,
        act: Some(Act::JoinRefused),
        limit: REFUSALS,
    };
    let (tokens, refused) = with_store(settings, async |store| {
        let refused = store.audit(&refusals).await?;
        Ok((Tokens::new(store).list().await?, refused))
    })?;
    let now = clock::now();
    println!(
        "{:<11} {:<7} {:<20} {:<10} {:<25} {:<20} {:<30} STATE",
        "ID", "KIND", "NAME", "USES LEFT", "EXPIRES", "SCOPES", "LIMITS"
    );
    for token in tokens {
        let uses = token
            .uses_left
            .map_or("unlimited".into(), |uses| uses.to_string());
        let expires = token
            .expires_at
            .map_or("never".into(), |end| end.to_string());
        let mut state = match token.usable(now) {
            Ok(()) => "good".to_owned(),
            Err(refused) => refused.label().to_owned(),
        };
        state.push_str(&misused(&token, &refused));
        println!(
            "{:<11} {:<7} {:<20} {uses:<10} {expires:<25} {:<20} {:<30} {state}",
            token.id,
            token.kind.label(),
            token.name,
            joined(token.scopes().iter().map(Scope::to_string)),
            joined(
                (!token.limits.is_none())
                    .then(|| token.limits.to_string())
                    .into_iter()
                    .chain(token.hosts.iter().map(|host| format!("host={host}")))
            ),
        );
    }
    Ok(())
}

/// With commas; `-` for nothing, so that every column has a word.
fn joined(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        "-".into()
    } else {
        words.join(",")
    }
}

/// Who was turned away with this token: it may be in the wrong hands. `refused` has the latest first.
fn misused(token: &Token, refused: &[Event]) -> String {
    let title = format!("token {}", token.title());
    let mine: Vec<&Event> = refused
        .iter()
        .filter(|event| event.subject == title)
        .collect();
    let Some(latest) = mine.first() else {
        return String::new();
    };
    let from = latest
        .by
        .from
        .map_or("an unknown address".into(), |from| from.to_string());
    let (count, at) = (mine.len(), latest.at);
    format!("; {count} refused with it, the last from {from} at {at}")
}

fn revoke(id_or_name: &str, settings: &Settings) -> Result<(), CommandError> {
    let revoke = async |store| {
        Ok(Tokens::new(store)
            .revoke(id_or_name, &By::operator())
            .await?)
    };
    match with_store(settings, revoke)? {
        0 => Err(CommandError::Usage(format!(
            "no token `{id_or_name}` that is not revoked yet; `onlyhere-coordinator token list` lists them"
        ))),
        count => {
            println!("revoked {count}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_carries_the_address_that_is_set() {
        let mut config = Config::default();
        config.probes.listen = "198.51.100.1:7443".parse().unwrap();
        assert_eq!(advertised(&config), "198.51.100.1:7443");
        config.probes.advertise = Some("coordinator.example:7443".into());
        assert_eq!(advertised(&config), "coordinator.example:7443");
    }
}
