//! Names: what they resolve to, and who says so.

use std::net::IpAddr;

use super::Stage;
use crate::LabError;
use crate::error::write;
use crate::lab::{Role, Topology};
use crate::service::{Records, Resolver};

impl Stage {
    pub(super) fn change_records(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<(), LabError> {
        self.records.insert(name.to_owned(), addresses.to_vec());
        // The old one must be gone before the new one can have its port.
        self.resolver = None;
        self.resolver = Some(Resolver::start(
            self.internet.the(Role::Resolver)?,
            &self.records,
        )?);
        Ok(())
    }

    pub(super) fn add_hosts_entry(
        &self,
        host: &str,
        name: &str,
        address: IpAddr,
    ) -> Result<(), LabError> {
        let file = self.internet.host(host)?.dir().join("hosts");
        let mut text = std::fs::read_to_string(&file).map_err(LabError::io("read hosts"))?;
        text.push_str(&format!("{address} {name}\n"));
        write(&file, text)
    }
}

/// The coordinator's name has an IPv4 address only, as the coordinator listens on IPv4 only: so every vantage, at home
/// or not, is known to it by its public IPv4 address.
pub(super) fn names_of(topology: &Topology) -> Records {
    let mut records = Records::new();
    for plan in topology.hosts.values() {
        let mut addresses = vec![IpAddr::from(plan.ipv4)];
        if plan.role != Role::Coordinator {
            addresses.push(plan.ipv6.into());
        }
        for name in &plan.names {
            records.insert(name.clone(), addresses.clone());
        }
    }
    records
}
