//! The internet itself: hosts, wires and the plan they are built from.

mod directory;
mod host;
mod internet;
pub mod permission;
mod topology;
mod wire;

pub use host::{Daemon, Host};
pub(crate) use host::{child_of, tail, wait_until};
pub use internet::Internet;
pub use topology::{HostPlan, Network, Role, Topology};
pub use wire::Wire;
