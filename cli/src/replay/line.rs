//! One line from the driver.

use std::time::Duration;

use onlyhere_proto::VantageName;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use super::{case::CaseLine, observation::ObservationLine};

/// Clocks go to about thirty years, so that no sum of times overflows.
const LONGEST_MS: f64 = 1e12;

/// What the driver says: the time, and what has happened by then.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// On the driver's clock.
    #[serde(deserialize_with = "clock")]
    pub(super) now_ms: Duration,
    /// Begins a case.
    #[serde(default)]
    pub(super) case: Option<Box<CaseLine>>,
    /// What vantages saw.
    #[serde(default)]
    pub(super) observations: Vec<ObservationLine>,
    /// Requests of which no more will come.
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) done: Vec<DoneLine>,
    /// Vantages that are gone.
    #[serde(default, deserialize_with = "one_or_more")]
    pub(super) lost: Vec<VantageName>,
    /// The time of the whole check has passed.
    #[serde(default)]
    pub(super) out_of_time: bool,
    /// Wants the verdict as of now.
    #[serde(default)]
    pub(super) verdict: bool,
}

/// A request of which no more will come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DoneLine {
    /// Whose.
    pub(super) vantage: VantageName,
    /// Its number.
    pub(super) request: u32,
}

/// Whole microseconds: what goes out as a time to wake at comes back as the same.
fn clock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let millis = f64::deserialize(deserializer)?;
    if (0.0..=LONGEST_MS).contains(&millis) {
        Ok(Duration::from_micros((millis * 1_000.0).round() as u64))
    } else {
        Err(D::Error::custom(
            "now_ms is a number of milliseconds from 0 to 1e12",
        ))
    }
}

fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items = match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        one => vec![one],
    };
    items
        .into_iter()
        .map(|item| serde_json::from_value(item).map_err(D::Error::custom))
        .collect()
}
