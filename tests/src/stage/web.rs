//! Sites and what guards them.

use super::{Stage, public_address};
use crate::LabError;
use crate::scenario::Action;
use crate::service::{Fail2ban, Site, SiteSettings};

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
        let web = self.internet.host(host)?;
        if !self.bans.contains_key(host) {
            let unknown = || LabError::Unknown {
                kind: "running site",
                name: host.clone(),
            };
            let site = self
                .sites
                .get(host)
                .and_then(|(_, site)| site.as_ref())
                .ok_or_else(unknown)?;
            self.bans.insert(
                host.clone(),
                Fail2ban::start(web, site.error_log(), *blocktype)?,
            );
        }
        let client = self.internet.host(from)?;
        let url = format!("https://{name}/login");
        let mut banned = Vec::new();
        for family in families {
            for _ in 0..*count {
                client.run(
                    "curl",
                    &[
                        "-s",
                        "-o",
                        "/dev/null",
                        family.curl_flag(),
                        "-u",
                        "owner:guess",
                        &url,
                    ],
                )?;
            }
            banned.push(public_address(self.internet.topology(), from, *family)?.to_string());
        }
        let ban = self.bans.get_mut(host);
        ban.map_or(Ok(()), |ban| {
            ban.wait_for_bans(self.internet.host(host)?, &banned)
        })
    }
}
