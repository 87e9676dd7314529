//! `probe list|revoke`

use clap::Subcommand;
use onlyhere_proto::{VantageClass, VantageName};

use super::{CommandError, Settings, with_store};
use crate::{
    audit::By,
    clock,
    fleet::{
        roll::{Enrolled, Names, Roll},
        sighting::remarks_of_all,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum ProbeCommand {
    /// List the probes that have enrolled, attached or not, and what is odd about them. What stands in brackets is not the
    /// operator's word but an address database's.
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
    let remarks = remarks_of_all(&names, clock::now());
    println!(
        "{:<20} {:<9} {:<8} {:<12} {:<13} {:<25} {:<24} {:<24} {:<20} REMARKS",
        "NAME",
        "REGION",
        "COUNTRY",
        "AS",
        "CLASS",
        "ADDRESS",
        "ENROLLED",
        "CERTIFICATE UNTIL",
        "LABELS"
    );
    for (name, enrolled) in &names {
        let remarks = remarks.get(name).filter(|remarks| !remarks.is_empty());
        let remarks = remarks.map_or("-".into(), |remarks| remarks.join("; "));
        println!("{name:<20} {} {remarks}", row(enrolled));
    }
    Ok(())
}

/// All between the name and the remarks; what an address database says is in brackets.
fn row(enrolled: &Enrolled) -> String {
    let place = &enrolled.place;
    let seen = enrolled.seen.as_ref();
    let located = seen.map(|seen| seen.located.clone()).unwrap_or_default();
    let labels: Vec<String> = place
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let asn = |asn: u32| format!("AS{asn}");
    let class = |class: VantageClass| class.label().to_owned();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let until = enrolled
        .certificate
        .as_ref()
        .map(|c| c.expires_at.to_string());
    format!(
        "{:<9} {:<8} {:<12} {:<13} {:<25} {:<24} {:<24} {:<20}",
        said(place.region.clone(), located.region.clone()),
        said(place.country.clone(), located.country.clone()),
        said(place.asn.map(asn), located.asn.map(asn)),
        said(place.class.map(class), located.class.map(class)),
        or_none(seen.map(|seen| seen.address.to_string())),
        enrolled.enrolled_at.to_string(),
        or_none(until),
        or_none((!labels.is_empty()).then(|| labels.join(","))),
    )
}

fn said(label: Option<String>, located: Option<String>) -> String {
    label
        .or_else(|| located.map(|located| format!("({located})")))
        .unwrap_or_else(|| "-".into())
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
