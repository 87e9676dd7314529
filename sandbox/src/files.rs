//! Files, and ports to listen on: Landlock.

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::{Holds, Rights};

/// Linux 6.12; of what an older kernel does not know, the rest still holds.
const KNOWN: ABI = ABI::V6;

pub(crate) fn confine(rights: &Rights) -> Result<Holds, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
    let status: RestrictionStatus = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(&rights.read, read))?
        .add_rules(path_beneath_rules(&rights.write, write))?
        // A local address to connect from is bound to without a port; no port to listen on is left.
        .add_rule(NetPort::new(0, AccessNet::BindTcp))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Holds::Wholly,
        RulesetStatus::PartiallyEnforced => Holds::Partly,
        RulesetStatus::NotEnforced => Holds::Not,
    })
}
