//! What lies between the hosts.

use super::Stage;
use crate::LabError;
use crate::lab::Role;
use crate::service::nftables;

impl Stage {
    /// A probe that can reach nobody but its coordinator and its resolver: as if its own network had failed.
    pub(super) fn break_probe(&self, host: &str) -> Result<(), LabError> {
        let topology = self.internet.topology();
        let coordinator = &topology.hosts[topology.the(Role::Coordinator)?];
        let resolver = &topology.hosts[topology.the(Role::Resolver)?];
        let rules = format!(
            "table inet broken {{\n chain out {{\n type filter hook output priority 0; policy drop;\n \
             ip daddr {{ {}, {}, 127.0.0.0/8 }} accept\n ip6 daddr {{ {}, {}, ::1 }} accept\n }}\n}}",
            coordinator.ipv4, resolver.ipv4, coordinator.ipv6, resolver.ipv6
        );
        nftables::load(self.internet.host(host)?, &rules)
    }
}
