//! Scenarios: what is broken, and what Onlyhere must say about it.

mod file;
mod judge;
mod run;
mod services;
mod table;

pub use file::{Action, Expect, ExpectAdvisory, Family, Fault, Scenario, When};
pub use judge::{Judge, Judged};
pub use run::{Options, run_all};
pub use services::{
    BalancerPlan, BannedBy, CrowdsecBan, NameServerPlan, NameServersPlan, ProxyPlan, ResolverPlan,
};
