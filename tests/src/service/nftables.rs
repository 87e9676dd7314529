//! Firewall rules, loaded with `nft -f` inside a host.

use crate::LabError;
use crate::lab::Host;

/// Loads a ruleset in nft's own language on top of what is there.
pub fn load(host: &Host, rules: &str) -> Result<(), LabError> {
    host.run_with_input("nft", &["-f", "-"], &format!("{rules}\n"))
        .map(drop)
}
