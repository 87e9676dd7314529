//! The internet itself: hosts, wires and the plan they are built from.

mod host;
mod internet;
pub mod permission;
mod topology;
mod wire;

pub use host::{Daemon, Host};
pub use internet::Internet;
pub use topology::{HostPlan, Network, Role, Topology};
pub use wire::Wire;
