//! What stands between a visitor and a site: proxies, portals, and boxes that look into TLS.

use super::Stage;
use crate::LabError;
use crate::scenario::ProxyPlan;
use crate::service::{Authority, Interceptor, Notice, Portal, Proxy, nftables};

/// The login page of a captive portal.
const PORTAL: &str = "portal.example";
/// A provider's notice.
const BLOCKED: &str = "blocked.example";

/// Something in the middle that keeps running.
#[derive(Debug)]
#[expect(dead_code, reason = "held so that it runs")]
pub(super) enum Middle {
    /// A proxy.
    Proxy(Proxy),
    /// A box that opens TLS.
    Interceptor(Interceptor),
    /// A page in place of another.
    Portal(Portal),
}

impl Stage {
    pub(super) fn start_proxy(&mut self, plan: &ProxyPlan) -> Result<(), LabError> {
        let host = self.internet.host(&plan.host)?;
        let proxy = Proxy::start(host, plan.program, plan.rule)?;
        self.middle.push(Middle::Proxy(proxy));
        Ok(())
    }

    pub(super) fn intercept_tls(
        &mut self,
        host: &str,
        trusted_by: &[String],
    ) -> Result<(), LabError> {
        let names: Vec<String> = self
            .sites
            .values()
            .flat_map(|(settings, _)| settings.names.iter().cloned())
            .collect();
        let authority = Authority::new("Inspecting Gateway")?;
        let interceptor = Interceptor::start(self.internet.host(host)?, &authority, &names)?;
        let both = self.internet.dir().join("authority-and-box.crt");
        self.authority.write_with(&[&authority], &both)?;
        for client in trusted_by {
            self.internet.host_mut(client)?.trust_only(&both);
        }
        self.middle.push(Middle::Interceptor(interceptor));
        Ok(())
    }

    /// Ports 80 and 443 of everything lead to the portal. A closed one lets nothing else through but DNS.
    pub(super) fn open_portal(&mut self, host: &str, closed: bool) -> Result<(), LabError> {
        let gateway = self.internet.host(host)?;
        let notice = Notice::GoTo(format!("http://{PORTAL}/"));
        let portal = Portal::start(gateway, &self.authority, PORTAL, &notice)?;
        nftables::load(gateway, TO_THE_PORTAL)?;
        if closed {
            nftables::load(gateway, NOTHING_ELSE)?;
        }
        let address = self.addresses_of(host)?;
        self.middle.push(Middle::Portal(portal));
        self.change_records(PORTAL, &address)
    }

    pub(super) fn show_block_page(&mut self, host: &str) -> Result<(), LabError> {
        let notice = Notice::Page("This site is blocked.".into());
        let host = self.internet.host(host)?;
        let portal = Portal::start(host, &self.authority, BLOCKED, &notice)?;
        self.middle.push(Middle::Portal(portal));
        Ok(())
    }
}

const TO_THE_PORTAL: &str = "table inet portal {
    chain catch {
        type nat hook prerouting priority dstnat;
        iifname lan tcp dport { 80, 443 } redirect
    }
}";

const NOTHING_ELSE: &str = "table inet portal {
    chain forward {
        type filter hook forward priority filter;
        iifname lan udp dport 53 accept
        iifname lan tcp dport 53 accept
        iifname lan drop
    }
}";
