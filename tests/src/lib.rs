//! A small real internet on one Linux machine, and the scenarios that Onlyhere must judge rightly in it.
//!
//! - [`lab`] builds hosts (network namespaces) and the wires between them (delay, loss, cut) from a topology file.
//! - [`service`] starts the real peers in those hosts: nginx, unbound, fail2ban, nftables, and Onlyhere's own programs.
//! - [`stage`] is all of that running, with the ways to break it.
//! - [`scenario`] reads scenario files, breaks what they say, runs `onlyhere check` as the caller and judges the report.
//! - [`guard`] asks a probe for everything that it must not try, and counts the packets.
//! - [`hostile`] sets hostile targets, names and probes against the real programs.
//! - [`formats`] runs every scope and exit code through every format of the command line.
//! - [`demo`] is the same lab as a narrated show.
//!
//! Nothing here simulates a network stack: every packet is made, filtered and answered by the kernel and by the
//! programs people run in production. Only distance is made up, because it has to be.

pub mod demo;
mod error;
pub mod formats;
pub mod guard;
pub mod hostile;
pub mod lab;
pub mod scenario;
pub mod service;
pub mod stage;

pub use error::LabError;
