//! `ca show|rotate|retire`: the certificate authority under which probes attach, and how one follows another.

use clap::{Args, Subcommand};
use onlyhere_proto::Timestamp;

use super::{CommandError, Settings, with_store};
use crate::{
    audit::{Act, Audit, By, Event},
    clock,
    fleet::roll::{Names, Roll},
    identity::{self, Authority, fingerprint},
    tokens::{Token, TokenKind, Tokens},
};

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Say which CA signs, which is still trusted, and who needs that one.
    Show(Settings),
    /// Make a new CA, which signs from now on. The present one stays trusted until `ca retire`; attached probes renew
    /// their certificates at once, others when they attach.
    Rotate(Settings),
    /// End the trust in the CA before the present one.
    Retire(Retire),
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    /// Although probes or join tokens need it; those probes must join again.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    settings: Settings,
}

impl CaCommand {
    pub(super) fn run(self) -> Result<(), CommandError> {
        match self {
            Self::Show(settings) => show(&settings),
            Self::Rotate(settings) => rotate(&settings),
            Self::Retire(retire) => retire.run(),
        }
    }
}

fn show(settings: &Settings) -> Result<(), CommandError> {
    let authority = Authority::load_or_create(&settings.data_dir()?)?;
    let (names, tokens) = state(settings)?;
    println!("{:<9} {:<64} PROBES", "CA", "SHA-256");
    let own = authority.key_id();
    let under = names
        .values()
        .filter(|enrolled| enrolled.is_signed_by(own.as_deref()));
    println!(
        "{:<9} {:<64} {}",
        "present",
        authority.fingerprint(),
        under.count()
    );
    if let Some(older) = authority.previous() {
        let needed = needed_by(&names, &tokens, &authority, clock::now());
        let hash = fingerprint(&older.certificate);
        println!("{:<9} {hash:<64} {}", "older", needed.probes.len());
        println!("{}", needed.says());
    }
    Ok(())
}

fn rotate(settings: &Settings) -> Result<(), CommandError> {
    let dir = settings.data_dir()?;
    let rotated =
        identity::rotate(&dir)?.map_err(|refused| CommandError::Usage(refused.to_string()))?;
    record(settings, Act::CaRotated, &rotated.fingerprint(), "")?;
    println!(
        "the new CA {} signs from now on; probes renew as they attach, `onlyhere-coordinator ca show` says which have not yet; then `onlyhere-coordinator ca retire`",
        rotated.fingerprint()
    );
    Ok(())
}

impl Retire {
    fn run(self) -> Result<(), CommandError> {
        let dir = self.settings.data_dir()?;
        let authority = Authority::load_or_create(&dir)?;
        let (names, tokens) = state(&self.settings)?;
        let needed = needed_by(&names, &tokens, &authority, clock::now());
        if !needed.is_empty() && !self.force && authority.previous().is_some() {
            let says = needed.says();
            return Err(CommandError::Usage(format!(
                "{says}; wait until these probes have attached and the tokens are used, or give --force: then those probes must join again"
            )));
        }
        let older = authority
            .previous()
            .map(|older| fingerprint(&older.certificate));
        identity::retire(&dir)?.map_err(|refused| CommandError::Usage(refused.to_string()))?;
        let older = older.unwrap_or_default();
        let left = if needed.is_empty() {
            String::new()
        } else {
            needed.says()
        };
        record(&self.settings, Act::CaRetired, &older, &left)?;
        println!("the CA {older} is trusted no more");
        Ok(())
    }
}

fn state(settings: &Settings) -> Result<(Names, Vec<Token>), CommandError> {
    with_store(settings, async |store| {
        let names = Roll::new(store.clone()).all().await?;
        Ok((names, Tokens::new(store).list().await?))
    })
}

fn record(settings: &Settings, act: Act, subject: &str, outcome: &str) -> Result<(), CommandError> {
    let event = Event::new(act, By::operator(), subject, outcome);
    with_store(settings, async |store| {
        Audit::new(store).record(event).await;
        Ok(())
    })
}

/// Who could not attach, or join, without the older CA.
struct Needed {
    probes: Vec<String>,
    tokens: Vec<String>,
}

fn needed_by(names: &Names, tokens: &[Token], authority: &Authority, now: Timestamp) -> Needed {
    let present = authority.key_id();
    let probes = names
        .iter()
        .filter(|(_, enrolled)| enrolled.holds(now) && !enrolled.is_signed_by(present.as_deref()));
    let made = authority.made_at().unwrap_or_default();
    let tokens = tokens.iter().filter(|token| {
        token.kind == TokenKind::Probe && token.usable(now).is_ok() && token.created_at < made
    });
    Needed {
        probes: probes.map(|(name, _)| name.to_string()).collect(),
        tokens: tokens.map(Token::title).collect(),
    }
}

impl Needed {
    fn is_empty(&self) -> bool {
        self.probes.is_empty() && self.tokens.is_empty()
    }

    fn says(&self) -> String {
        let list = |what: &str, who: &[String]| format!("{what}: {}", who.join(", "));
        match (self.probes.is_empty(), self.tokens.is_empty()) {
            (true, true) => "nobody needs the older CA".into(),
            (false, true) => list("the older CA is needed by probes", &self.probes),
            (true, false) => list("the older CA is needed by join tokens", &self.tokens),
            (false, false) => {
                let probes = list("the older CA is needed by probes", &self.probes);
                format!("{probes}; and {}", list("by join tokens", &self.tokens))
            }
        }
    }
}
