//! Names: what they resolve to, and who says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Stage;
use crate::LabError;
use crate::error::write;
use crate::lab::{HostPlan, Internet, Role, Topology};
use crate::scenario::{NameServersPlan, ResolverPlan};
use crate::service::{NameServer, Names, Records, Resolver, Service, Zone};

impl Stage {
    pub(super) fn change_records(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<(), LabError> {
        let records = &mut self.names.records;
        records.insert(name.to_owned(), addresses.to_vec());
        self.restart_resolvers()
    }

    /// Starts the authoritative servers of a name, and lets every resolver ask them.
    pub(super) fn delegate(&mut self, plan: &NameServersPlan) -> Result<(), LabError> {
        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        for server in &plan.servers {
            let own = self.addresses_of(&server.host)?;
            let name = format!("ns-{}.example", server.host);
            self.names.records.insert(name.clone(), own.clone());
            servers.push(name);
            addresses.extend(own);
        }
        let newest = u32::try_from(plan.servers.len()).unwrap_or(u32::MAX);
        for (age, server) in (0..).zip(&plan.servers) {
            self.name_servers.remove(&server.host);
            let zone = Zone {
                name: &plan.name,
                servers: &servers,
                serial: newest - age,
                addresses: &server.addresses,
                ttl: plan.ttl,
                views: &server.views,
            };
            let zone = match server.service {
                Service::Serves => Some(&zone),
                Service::Lame => None,
                Service::Down => continue,
            };
            let started = NameServer::start(self.internet.host(&server.host)?, zone)?;
            self.name_servers.insert(server.host.clone(), started);
        }
        let delegations = &mut self.names.delegations;
        delegations.insert(plan.name.clone(), addresses);
        self.restart_resolvers()
    }

    /// Starts a further resolver, or the same one with other lies.
    pub(super) fn start_resolver(&mut self, plan: &ResolverPlan) -> Result<(), LabError> {
        // The old one must be gone before the new one can have its port.
        self.resolvers.remove(&plan.host);
        let started = self.resolver(plan)?;
        self.resolvers
            .insert(plan.host.clone(), (plan.clone(), Some(started)));
        for client in &plan.clients {
            let address = self.address_seen_by(client, &plan.host)?;
            self.internet
                .host(client)?
                .use_resolvers(&[address.to_string()])?;
        }
        Ok(())
    }

    pub(super) fn restart_resolvers(&mut self) -> Result<(), LabError> {
        let plans: Vec<ResolverPlan> = self
            .resolvers
            .values_mut()
            .map(|(plan, resolver)| {
                *resolver = None;
                plan.clone()
            })
            .collect();
        for plan in plans {
            let started = self.resolver(&plan)?;
            let entry = self.resolvers.get_mut(&plan.host);
            if let Some((_, resolver)) = entry {
                *resolver = Some(started);
            }
        }
        Ok(())
    }

    fn resolver(&self, plan: &ResolverPlan) -> Result<Resolver, LabError> {
        let mut names = self.names.clone();
        if !plan.asks.is_empty() {
            let mut asked = Vec::new();
            for host in &plan.asks {
                asked.extend(self.addresses_of(host)?);
            }
            for servers in names.delegations.values_mut() {
                servers.retain(|server| asked.contains(server));
            }
        }
        Resolver::start(self.internet.host(&plan.host)?, &names, &plan.lies)
    }

    pub(super) fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, LabError> {
        let plan = self.plan(host)?;
        Ok(vec![plan.ipv4.into(), plan.ipv6.into()])
    }

    /// The IPv4 address under which `client` reaches `host`.
    fn address_seen_by(&self, client: &str, host: &str) -> Result<IpAddr, LabError> {
        if client == host {
            return Ok(Ipv4Addr::LOCALHOST.into());
        }
        let (from, to) = (self.plan(client)?, self.plan(host)?);
        let inner = to.lan_ipv4.filter(|_| from.uplink.as_deref() == Some(host));
        Ok(inner.map_or(to.ipv4, |lan| lan.addr()).into())
    }

    fn plan(&self, host: &str) -> Result<&HostPlan, LabError> {
        let plan = self.internet.topology().hosts.get(host);
        plan.ok_or_else(|| LabError::Unknown {
            kind: "host",
            name: host.into(),
        })
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

/// The resolver of the plan, honest and asked by everybody.
pub(super) fn first_resolver(
    internet: &Internet,
    names: &Names,
) -> Result<BTreeMap<String, (ResolverPlan, Option<Resolver>)>, LabError> {
    let host = internet.the(Role::Resolver)?;
    let plan = ResolverPlan {
        host: host.name().to_owned(),
        clients: Vec::new(),
        lies: Vec::new(),
        asks: Vec::new(),
    };
    let started = Resolver::start(host, names, &[])?;
    Ok(BTreeMap::from([(plan.host.clone(), (plan, Some(started)))]))
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
