//! Where addresses are: AS number, country, region and class from address databases (`geo.mmdb`).
//!
//! The files are in the MaxMind DB format (<https://maxmind.github.io/MaxMind-DB/>), as MaxMind, DB-IP, IPinfo and others
//! publish them. They are read at start, in the order of the setting: the first that knows a thing says it. What they say
//! only fills what an operator's labels leave open ([`crate::place`]).

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use maxminddb::{Reader, WithinOptions};
use onlyhere_proto::VantageClass;
use serde::Deserialize;

use crate::place::{self, Place};

/// Largest file, bytes; they are kept in memory. City databases have some 100 MiB.
const LARGEST: u64 = 1 << 30;
/// A file in which none of so many records holds anything of use is a wrong one.
const SAMPLE: usize = 1_000;

/// Why an address database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file.
    #[error("geo.mmdb: cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file, again.
    #[error("geo.mmdb: {0} is larger than {limit} MiB", limit = LARGEST >> 20)]
    TooLarge(PathBuf),
    /// Something else.
    #[error("geo.mmdb: {path} is no MaxMind DB file: {source}")]
    Format {
        /// Which.
        path: PathBuf,
        /// Where it goes wrong.
        source: maxminddb::MaxMindDbError,
    },
    /// A database of other things.
    #[error(
        "geo.mmdb: {path} ({kind}) holds neither AS numbers nor countries: give a database of one of these, such as GeoLite2-ASN.mmdb or GeoLite2-Country.mmdb"
    )]
    OfNoUse {
        /// Which.
        path: PathBuf,
        /// What it says that it is.
        kind: String,
    },
}

/// The databases.
#[derive(Default)]
pub struct Geo {
    databases: Vec<Reader<Vec<u8>>>,
}

impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.databases.iter().map(|db| &db.metadata().database_type);
        f.debug_list().entries(kinds).finish()
    }
}

impl Geo {
    /// Reads the files.
    pub fn open(paths: &[PathBuf]) -> Result<Self, GeoError> {
        let databases = paths.iter().map(|path| open(path));
        Ok(Self {
            databases: databases.collect::<Result<_, _>>()?,
        })
    }

    /// What is known of an address; empty for most addresses of special ranges.
    pub fn locate(&self, address: IpAddr) -> Place {
        let address = address.to_canonical();
        let known = self.databases.iter().filter_map(|database| {
            let record = database.lookup(address).and_then(|found| found.decode());
            record.unwrap_or_else(|error| {
                tracing::debug!(%address, %error, "a record that cannot be read");
                None
            })
        });
        known.fold(Place::default(), |place, record: Record| {
            place.or(&record.place())
        })
    }
}

fn open(path: &Path) -> Result<Reader<Vec<u8>>, GeoError> {
    let file = |source| GeoError::File {
        path: path.to_owned(),
        source,
    };
    let format = |source| GeoError::Format {
        path: path.to_owned(),
        source,
    };
    let mut content = Vec::new();
    let opened = File::open(path).map_err(file)?;
    opened
        .take(LARGEST + 1)
        .read_to_end(&mut content)
        .map_err(file)?;
    if content.len() as u64 > LARGEST {
        return Err(GeoError::TooLarge(path.to_owned()));
    }
    let reader = Reader::from_source(content).map_err(format)?;
    let mut records = reader
        .networks(WithinOptions::default())
        .map_err(format)?
        .take(SAMPLE);
    let of_use = records.any(|found| {
        let record = found.and_then(|found| found.decode::<Record>());
        record.is_ok_and(|record| record.is_some_and(|record| record.place() != Place::default()))
    });
    if !of_use {
        return Err(GeoError::OfNoUse {
            path: path.to_owned(),
            kind: reader.metadata().database_type.clone(),
        });
    }
    let made_s = i64::try_from(reader.metadata().build_epoch).unwrap_or(i64::MAX);
    let made = onlyhere_proto::Timestamp(made_s.saturating_mul(1_000_000));
    tracing::info!(path = %path.display(), kind = reader.metadata().database_type, %made, "address database");
    Ok(reader)
}

/// The fields of use, in the words of the various publishers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    /// MaxMind, DB-IP.
    autonomous_system_number: Option<u32>,
    /// IPinfo.
    asn: Option<AsnText>,
    country: Option<Named>,
    country_code: Option<String>,
    continent: Option<Named>,
    continent_code: Option<String>,
    /// GeoIP2 Enterprise.
    traits: Option<Traits>,
    /// GeoIP2 Connection Type.
    connection_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AsnText {
    Text(String),
    Number(u32),
}

/// A country or continent: its code, or a record that holds the code.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Record {
        iso_code: Option<String>,
        code: Option<String>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Traits {
    autonomous_system_number: Option<u32>,
    connection_type: Option<String>,
    user_type: Option<String>,
}

impl Record {
    fn place(&self) -> Place {
        let traits = self.traits.as_ref();
        let asn_text = self.asn.as_ref().and_then(|asn| match asn {
            AsnText::Text(text) => place::parse_asn(text).ok(),
            AsnText::Number(number) => Some(*number),
        });
        let asn = self.autonomous_system_number.or(asn_text);
        let country = [self.country_code.as_deref(), code(self.country.as_ref())];
        let country = country
            .into_iter()
            .flatten()
            .find_map(|c| place::parse_country(c).ok());
        let continent = [
            self.continent_code.as_deref(),
            code(self.continent.as_ref()),
        ];
        Place {
            region: continent.into_iter().flatten().find_map(region),
            country,
            asn: asn
                .or(traits.and_then(|t| t.autonomous_system_number))
                .filter(|asn| *asn != 0),
            class: self.class(),
            labels: BTreeMap::new(),
        }
    }

    fn class(&self) -> Option<VantageClass> {
        let traits = self.traits.as_ref();
        match traits.and_then(|t| t.user_type.as_deref()) {
            Some("hosting") => return Some(VantageClass::Datacenter),
            Some("residential") => return Some(VantageClass::Residential),
            Some("cellular") => return Some(VantageClass::Mobile),
            _ => {}
        }
        let connection = traits.and_then(|t| t.connection_type.as_deref());
        let connection = connection.or(self.connection_type.as_deref());
        (connection == Some("Cellular")).then_some(VantageClass::Mobile)
    }
}

fn code(named: Option<&Named>) -> Option<&str> {
    match named? {
        Named::Text(text) => Some(text),
        Named::Record { iso_code, code } => iso_code.as_deref().or(code.as_deref()),
    }
}

/// The region of a continent's two letters.
fn region(continent: &str) -> Option<String> {
    let region = match continent {
        "AF" => "africa",
        "AN" => "antarctica",
        "AS" => "asia",
        "EU" => "eu",
        "NA" => "na",
        "OC" => "oceania",
        "SA" => "sa",
        _ => return None,
    };
    Some(region.to_owned())
}
