//! Sites and what guards them.

use super::{Stage, public_address};
use crate::LabError;
use crate::scenario::{Action, BalancerPlan, BannedBy, CrowdsecBan, Family};
use crate::service::{Balancer, Crowdsec, Fail2ban, Site, SiteSettings};

/// One more than its bucket holds.
const CROWDSEC_LOGINS: u8 = 6;

impl Stage {
    /// Lifts a ban by hand, as the site's administrator.
    pub fn unban(&self, host: &str, address: &str) -> Result<(), LabError> {
        let unknown = || LabError::Unknown {
            kind: "fail2ban on host",
            name: host.into(),
        };
        self.bans
            .get(host)
            .ok_or_else(unknown)?
            .unban(self.internet.host(host)?, address)
    }

    /// What fail2ban on a host says about its jail.
    pub fn ban_status(&self, host: &str) -> Result<String, LabError> {
        let unknown = || LabError::Unknown {
            kind: "fail2ban on host",
            name: host.into(),
        };
        self.bans
            .get(host)
            .ok_or_else(unknown)?
            .status(self.internet.host(host)?)
    }

    pub(super) fn site(
        &mut self,
        host: &str,
    ) -> Result<&mut (SiteSettings, Option<Site>), LabError> {
        self.sites.get_mut(host).ok_or_else(|| LabError::Unknown {
            kind: "site",
            name: host.into(),
        })
    }

    pub(super) fn stop_site(&mut self, host: &str) -> Result<SiteSettings, LabError> {
        let (settings, site) = self.site(host)?;
        if let Some(site) = site.take() {
            site.stop();
        }
        Ok(settings.clone())
    }

    pub(super) fn change_site(
        &mut self,
        host: &str,
        change: impl FnOnce(&mut SiteSettings),
    ) -> Result<(), LabError> {
        let mut settings = self.stop_site(host)?;
        change(&mut settings);
        let site = Site::start(self.internet.host(host)?, &settings, &self.authority)?;
        *self.site(host)? = (settings, Some(site));
        Ok(())
    }

    /// What CrowdSec on a host has decided.
    pub fn crowdsec_decisions(&self, host: &str) -> Result<String, LabError> {
        let unknown = || LabError::Unknown {
            kind: "CrowdSec on host",
            name: host.into(),
        };
        self.crowdsecs
            .get(host)
            .ok_or_else(unknown)?
            .decisions(self.internet.host(host)?)
    }

    /// haproxy before several backends, where nginx has been.
    pub(super) fn balance(&mut self, plan: &BalancerPlan) -> Result<(), LabError> {
        self.balancers.remove(&plan.host);
        let names = self.stop_site(&plan.host)?.names;
        let balancer = Balancer::start(
            self.internet.host(&plan.host)?,
            &self.authority,
            &names,
            &plan.backends,
            plan.layer,
            plan.health_checks,
        )?;
        self.balancers.insert(plan.host.clone(), balancer);
        Ok(())
    }

    /// CrowdSec bans, because it has read of wrong passwords or because it was told to.
    pub(super) fn ban_with_crowdsec(&mut self, plan: &CrowdsecBan) -> Result<(), LabError> {
        let host = &plan.host;
        if !self.crowdsecs.contains_key(host) {
            let log = self.running_site(host)?.error_log().to_owned();
            let started = Crowdsec::start(self.internet.host(host)?, &log)?;
            self.crowdsecs.insert(host.clone(), started);
        }
        let mut banned = Vec::new();
        for family in &plan.families {
            if plan.by == BannedBy::Logins {
                self.log_in_wrongly(&plan.from, &plan.name, *family, CROWDSEC_LOGINS)?;
            }
            let address = public_address(self.internet.topology(), &plan.from, *family)?;
            banned.push(address.to_string());
        }
        let web = self.internet.host(host)?;
        let Some(crowdsec) = self.crowdsecs.get_mut(host) else {
            return Ok(());
        };
        match plan.by {
            BannedBy::Logins => crowdsec.wait_for_detections(&banned)?,
            BannedBy::Administrator => {
                for address in &banned {
                    crowdsec.decide(web, address)?;
                }
            }
        }
        crowdsec.wait_for_bans(web, &banned)
    }

    fn running_site(&self, host: &str) -> Result<&Site, LabError> {
        let site = self.sites.get(host).and_then(|(_, site)| site.as_ref());
        site.ok_or_else(|| LabError::Unknown {
            kind: "running site",
            name: host.into(),
        })
    }

    fn log_in_wrongly(
        &self,
        from: &str,
        name: &str,
        family: Family,
        count: u8,
    ) -> Result<(), LabError> {
        let client = self.internet.host(from)?;
        let (flag, url) = (family.curl_flag(), format!("https://{name}/login"));
        let login = ["-s", "-o", "/dev/null", flag, "-u", "owner:guess", &url];
        for _ in 0..count {
            client.run("curl", &login)?;
        }
        Ok(())
    }

    /// Real failed logins with a real client, until fail2ban itself bans the address the site sees.
    pub(super) fn fail_logins(&mut self, action: &Action) -> Result<(), LabError> {
        let Action::FailedLogins {
            host,
            from,
            name,
            count,
            families,
            blocktype,
        } = action
        else {
            return Ok(());
        };
        if !self.bans.contains_key(host) {
            let log = self.running_site(host)?.error_log();
            let started = Fail2ban::start(self.internet.host(host)?, log, *blocktype)?;
            self.bans.insert(host.clone(), started);
        }
        let mut banned = Vec::new();
        for family in families {
            self.log_in_wrongly(from, name, *family, *count)?;
            banned.push(public_address(self.internet.topology(), from, *family)?.to_string());
        }
        let ban = self.bans.get_mut(host);
        ban.map_or(Ok(()), |ban| {
            ban.wait_for_bans(self.internet.host(host)?, &banned)
        })
    }
}
