//! Hostile probes: enrolled, with a certificate of their own, and speaking the real protocol under mutual TLS, until they
//! do not.
//!
//! What is sent is made of bytes and passed on as it is ([`line`]), so that it need be no message at all.

mod forged;
mod line;
mod tricks;

use std::path::Path;
use std::time::Duration;

use onlyhere_probe_node::identity::Identity;

use crate::LabError;
use line::Wire;
pub(super) use tricks::BEHAVIOURS;

/// In every text that a hostile probe writes: where else than under its own name it stands, it has got through.
pub(super) const MARK: &str = "by-mallory";

/// A hostile probe.
#[derive(Debug, Clone, Copy)]
pub struct Mallory {
    /// What the check is about.
    pub(super) target: &'static str,
    /// How it behaves.
    pub(super) trick: Trick,
    /// What the coordinator's log must say of it; empty where it does nothing that forbids itself.
    pub(super) cut_off: &'static str,
}

/// The ways of a hostile probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trick {
    /// Says that nothing ever connects.
    LiesRefused,
    /// Says that the name has another address, at which nobody is.
    ForgesAddress,
    /// Says that the name has as many other addresses as a response can hold.
    ForgesAddresses,
    /// Says that everything is well.
    LiesWell,
    /// Answers what it is asked in another vantage's name.
    OthersName,
    /// Answers requests of the same check that others were asked.
    OthersRequests,
    /// Sends every observation again and again, and those of earlier checks with them.
    Replays,
    /// A hundred thousand observations for one request.
    Floods,
    /// As much as a request may be answered with, for every request.
    Fills,
    /// Observations for checks that are not.
    FloodsUnasked,
    /// Bytes that are no message.
    Garbage,
    /// Outcomes, stages and purposes that nobody knows.
    UnknownWords,
    /// One message of 5 MB.
    HugeMessage,
    /// Hundreds of thousands of empty observations in one message.
    ManyObservations,
    /// One observation with hundreds of thousands of empty certificates.
    ManyCertificates,
    /// Hundreds of thousands of empty words in its greeting.
    ManyCapabilities,
    /// True answers, and never a word that they are all.
    NeverDone,
    /// No answers.
    Silent,
    /// Times of another age, and of no age.
    AbsurdTimes,
    /// Texts of a megabyte.
    HugeTexts,
    /// Texts that steer terminals.
    Escapes,
    /// Ten thousand addresses of its own.
    ManySources,
    /// Many streams over many connections at once.
    ManyStreams,
    /// Messages of the largest size, of which the last byte never comes, on as many streams as it gets.
    HalfMessages,
    /// Streams opened and reset as fast as it goes.
    ResetsStreams,
    /// Orders that are never read.
    ReadsNothing,
    /// A stream without a greeting.
    NoGreeting,
    /// A second greeting.
    GreetsTwice,
    /// Attaches and leaves as fast as it goes.
    Reattaches,
}

/// Plays the hostile probe of a behaviour until it is killed; `data_dir` holds its identity. Says `attached` when it was
/// greeted for the first time.
pub async fn attack(behaviour: &str, data_dir: &Path) -> Result<(), LabError> {
    let found = BEHAVIOURS.iter().find(|b| b.name == behaviour);
    let mallory = found.and_then(|b| match b.does {
        super::Act::Probe(mallory) => Some(mallory),
        _ => None,
    });
    let mallory = mallory.ok_or_else(|| LabError::Unknown {
        kind: "hostile probe",
        name: behaviour.into(),
    })?;
    let identity = Identity::load(data_dir).map_err(|error| LabError::bad_file(data_dir, error))?;
    let wire = Wire::new(&identity).map_err(|error| LabError::bad_file(data_dir, error))?;
    let mut memory = tricks::Memory::default();
    loop {
        let ended = match mallory.trick {
            Trick::ManyStreams => tricks::many_streams(&wire).await,
            Trick::HalfMessages => tricks::half_messages(&wire).await,
            Trick::ResetsStreams => tricks::resets_streams(&wire).await,
            Trick::ReadsNothing => tricks::reads_nothing(&wire).await,
            trick => tricks::play(&wire, trick, &mut memory).await,
        };
        if let Err(error) = ended {
            println!("ended: {error}");
        }
        let wait = match mallory.trick {
            Trick::Reattaches | Trick::ManyStreams | Trick::HalfMessages | Trick::ResetsStreams => {
                1
            }
            _ => 200,
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}
