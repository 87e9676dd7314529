//! What resolvers say in the first generator's world.

use std::net::IpAddr;

use onlyhere_proto::{DnsFacts, Facts, Family, Outcome, RecordType, ResolverKind, Stage};

use crate::answer::answers_of;
use crate::network::{Question, Step};
use crate::rule::Says;
use crate::world::World;

impl World {
    pub(crate) fn says(&self, question: &Question<'_>) -> Says {
        let is_site = question.host == self.site.host;
        let rule = self.names.iter().find(|rule| {
            rule.who.holds(question.station)
                && (is_site || rule.every_name)
                && match question.kind {
                    ResolverKind::System | ResolverKind::HostsFile => rule.system,
                    ResolverKind::Configured => rule.configured,
                    ResolverKind::Authoritative => rule.authoritative,
                }
        });
        if let Some(rule) = rule {
            return rule.says.clone();
        }
        let city = self.stations[question.station].city;
        let controls = self.controls.iter();
        let mut sites = controls.chain([&self.site]);
        match sites.find(|site| site.host == question.host) {
            Some(site) => Says::Addresses(site.answers_near(city)),
            None => Says::Nxdomain,
        }
    }

    pub(crate) fn name_step(
        &mut self,
        question: &Question<'_>,
        server: IpAddr,
        says: &Says,
    ) -> Step {
        let near = match question.kind {
            ResolverKind::System | ResolverKind::HostsFile => {
                self.stations[question.station].resolver_ms
            }
            _ => 12.0 + self.stations[question.station].access_ms,
        };
        let asked_before = self.random.chance(0.6);
        let recursion = if asked_before {
            0.0
        } else {
            self.random.between(20.0, 150.0)
        };
        let answered = near + recursion + self.random.exponential(0.5);
        let (outcome, rcode, elapsed, addresses) = match says {
            Says::Nxdomain => (Outcome::Nxdomain, Some(3), answered, Vec::new()),
            Says::Empty => (Outcome::NoAnswer, Some(0), answered, Vec::new()),
            Says::Servfail => (Outcome::Servfail, Some(2), answered, Vec::new()),
            Says::Refused => (Outcome::Refused, Some(5), answered, Vec::new()),
            Says::Silence => (Outcome::Timeout, None, question.timeout_ms, Vec::new()),
            Says::Addresses(all) => {
                let family = question.record_type.family();
                let mut of_type: Vec<IpAddr> = all.clone();
                of_type.retain(|a| Family::of(*a) == family);
                self.random.shuffle(&mut of_type);
                let outcome = if of_type.is_empty() {
                    Outcome::NoAnswer
                } else {
                    Outcome::Ok
                };
                (outcome, Some(0), answered, of_type)
            }
        };
        dns_step(
            question.record_type,
            question.kind,
            server,
            outcome,
            rcode,
            elapsed,
            &addresses,
        )
    }
}

/// What a resolver said.
pub(crate) fn dns_step(
    record_type: RecordType,
    kind: ResolverKind,
    server: IpAddr,
    outcome: Outcome,
    rcode: Option<u16>,
    elapsed: f64,
    addresses: &[IpAddr],
) -> Step {
    let mut step = Step::new(Stage::Dns, elapsed, outcome);
    step.facts = Some(Facts::Dns(DnsFacts {
        resolver: Some(server),
        kind,
        record_type,
        rcode,
        answers: answers_of(addresses, 300),
        cname_chain: Vec::new(),
    }));
    step
}
