//! `probe list|revoke`

use clap::Subcommand;
use onlyhere_proto::VantageName;

use super::{CommandError, Settings, with_store};
use crate::{
    audit::By,
    fleet::roll::{Names, Roll},
};

#[derive(Debug, Subcommand)]
pub(super) enum ProbeCommand {
    /// List the probes that have enrolled, attached or not.
    List(Settings),
    /// Strike a probe off; it loses its stream within a second and can come back with a new token only.
    Revoke {
        /// The probe's name.
        name: VantageName,
        #[command(flatten)]
        settings: Settings,
    },
}

impl ProbeCommand {
    pub(super) fn run(self) -> Result<(), CommandError> {
        match self {
            Self::List(settings) => list(&settings),
            Self::Revoke { name, settings } => revoke(&name, &settings),
        }
    }
}

fn list(settings: &Settings) -> Result<(), CommandError> {
    let names: Names = with_store(settings, async |store| Ok(Roll::new(store).all().await?))?;
    println!(
        "{:<20} {:<8} {:<8} {:<12} {:<12} {:<25} LABELS",
        "NAME", "REGION", "COUNTRY", "AS", "CLASS", "ENROLLED"
    );
    for (name, enrolled) in &names {
        let place = &enrolled.place;
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let asn = place.asn.map_or("-".into(), |asn| format!("AS{asn}"));
        let class = place.class.map_or("-", |class| class.label());
        let labels: Vec<String> = place
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        println!(
            "{name:<20} {:<8} {:<8} {asn:<12} {class:<12} {:<25} {}",
            text(&place.region),
            text(&place.country),
            enrolled.enrolled_at.to_string(),
            labels.join(" ")
        );
    }
    Ok(())
}

fn revoke(name: &VantageName, settings: &Settings) -> Result<(), CommandError> {
    let strike = async |store| Ok(Roll::new(store).strike(name, &By::operator()).await?);
    if with_store(settings, strike)? {
        println!("revoked {name}");
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "no probe `{name}` is enrolled; `onlyhere-coordinator probe list` lists those that are"
    )))
}
