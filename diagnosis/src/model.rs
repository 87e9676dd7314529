//! The causes that the model knows, as data: who is affected, what they then see, and how often it is so.
//!
//! A new cause is a new entry. One entry becomes as many concrete hypotheses as there are sets that it can affect
//! (every address, every family, every region), among which its prior is shared: see [`crate::hypothesis`].

use onlyhere_proto::{Actor, CauseId, Family, Scope};

use crate::likelihood::*;
use crate::rows::*;

/// Whom an entry affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody.
    Nobody,
    /// The subject alone.
    Subject,
    /// The subject and everyone behind the same public address.
    SubjectLine,
    /// The subject and every vantage of its prefix.
    SubjectPrefix,
    /// The subject and every vantage of its network.
    SubjectNetwork,
    /// Everyone.
    Everyone,
    /// Everyone, at one address; one hypothesis for each.
    EachAddress,
    /// Everyone, in one family; one hypothesis for each.
    EachFamily,
    /// The vantages of one region, country or network; one hypothesis for each.
    EachGroup,
    /// Datacenter vantages.
    Datacenters,
    /// Everyone, each by chance and then always.
    Scattered,
}

/// What the fault does to the host as the affected see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostSeen {
    /// Echo and other ports as ever.
    AsDrawn,
    /// Other ports and echo may be cut off as well.
    Perhaps,
    /// Nothing of it answers.
    Dead,
    /// Nothing but the port answers otherwise: something else of the host answers for sure.
    Alive,
}

/// What the fault does to controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlsSeen {
    /// Nothing.
    Healthy,
    /// They fail alike.
    Fail,
    /// They fail in this family.
    FailIn(Family),
}

/// What must be known for an entry to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// The target is this machine.
    Loopback,
    /// The hosts file gives the target other addresses than everybody's resolvers.
    HostsEntry,
    /// A proxy is set, and it or the person says that something fails.
    Proxy,
    /// What is tried through the proxy works.
    ProxyWorks,
    /// The zone's own servers, or those who know, say other addresses than the resolvers.
    OtherAddress,
    /// The zone's own servers do not agree.
    ZoneDisagrees,
    /// The name is in the hosts file only.
    HostsOnly,
    /// A tunnel carries the default route.
    Tunnel,
    /// The person's browser showed an error.
    Symptom,
    /// The target has a TLS layer.
    Tls,
    /// The target has an HTTP layer.
    Http,
    /// The host has a name.
    Name,
    /// The name leads everybody to an address that means something inside one network only.
    PrivateAnswer,
}

impl Needs {
    /// Whether it is something that was found, and not only a kind of target.
    pub(crate) const fn is_a_finding(self) -> bool {
        !matches!(self, Self::Nothing | Self::Tls | Self::Http | Self::Name)
    }
}

/// One cause in one mode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Which; none for "nothing is wrong" and for "something that this table does not know".
    pub(crate) cause: Option<CauseId>,
    /// Where that is.
    pub(crate) scope: Scope,
    /// Who must act.
    pub(crate) actor: Actor,
    /// How often, relative to the other entries.
    pub(crate) prior: f64,
    /// Whom it affects.
    pub(crate) who: Who,
    /// How likely an affected vantage is indeed affected.
    pub(crate) strength: f64,
    /// Share of the attempts that it strikes.
    pub(crate) share: f64,
    /// Whether it may strike one family only.
    pub(crate) by_family: bool,
    /// What the affected see.
    pub(crate) row: Row,
    /// What their resolver says; none: as ever.
    pub(crate) dns: Option<DnsRow>,
    /// What else of the host they see.
    pub(crate) host: HostSeen,
    /// What their controls do.
    pub(crate) controls: ControlsSeen,
    /// Where packets get lost, when the affected meet silence.
    pub(crate) lost: LastHop,
    /// Whether the affected's resolver gives addresses of its own making.
    pub(crate) lies: bool,
    /// How often what works is slow for the affected.
    pub(crate) slow: f64,
    /// Of connections that are opened and killed, how many have finished their handshake before.
    pub(crate) late: f64,
    /// When it applies.
    pub(crate) needs: Needs,
}

const fn entry(
    cause: CauseId,
    scope: Scope,
    actor: Actor,
    prior: f64,
    who: Who,
    row: Row,
) -> Entry {
    Entry {
        cause: Some(cause),
        scope,
        actor,
        prior,
        who,
        strength: 1.0,
        share: 1.0,
        by_family: false,
        row,
        dns: None,
        host: HostSeen::AsDrawn,
        controls: ControlsSeen::Healthy,
        lost: lost(scope, actor),
        lies: false,
        slow: SLOW,
        late: 0.5,
        needs: Needs::Nothing,
    }
}

/// Where packets get lost for who must act, unless an entry says otherwise.
const fn lost(scope: Scope, actor: Actor) -> LastHop {
    match (scope, actor) {
        (_, Actor::You) => LOST_HERE,
        (Scope::Local, Actor::YourNetwork) => LOST_NEARBY,
        (_, Actor::YourNetwork) => LOST_AT_PROVIDER,
        (_, Actor::Transit) => LOST_IN_TRANSIT,
        (_, Actor::Site | Actor::DnsOperator) => LOST_AT_SITE,
        (_, Actor::Nobody | Actor::Unknown) => LOST_ANYWHERE,
    }
}

impl Entry {
    const fn dns(mut self, row: DnsRow) -> Self {
        self.dns = Some(row);
        self
    }
    const fn host(mut self, host: HostSeen) -> Self {
        self.host = host;
        self
    }
    const fn controls(mut self, controls: ControlsSeen) -> Self {
        self.controls = controls;
        self
    }
    const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }
    const fn strength(mut self, strength: f64) -> Self {
        self.strength = strength;
        self
    }
    const fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }
    const fn lies(mut self) -> Self {
        self.lies = true;
        self
    }
    const fn late(mut self, share: f64) -> Self {
        self.late = share;
        self
    }
    const fn slow(mut self, share: f64) -> Self {
        self.slow = share;
        self
    }
    const fn by_family(mut self) -> Self {
        self.by_family = true;
        self
    }
}

const fn nothing(cause: Option<CauseId>, scope: Scope, prior: f64) -> Entry {
    Entry {
        cause,
        ..entry(
            CauseId::BrowserOnly,
            scope,
            Actor::Nobody,
            prior,
            Who::Nobody,
            HEALTHY,
        )
    }
}

/// Everything that the model can conclude.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[Entry] = {
    use CauseId::*;
    use Scope::{Global, Local, Regional, SourceAddress, SourceNetwork, TargetAddress};
    use Who::*;
    &[
    // Nothing is wrong, or nothing that this machine's tools meet.
    nothing(None, Scope::Ok, 0.25),
    Entry { actor: Actor::You, ..nothing(Some(BrowserOnly), Local, 0.35) }.needs(Needs::Symptom),
    Entry { cause: None, ..entry(OTHER, Scope::Ok, Actor::Nobody, 0.10, Subject, OFFLINE) }.host(HostSeen::Dead).controls(ControlsSeen::Fail).needs(Needs::ProxyWorks),
    entry(WafBlock, Scope::Ok, Actor::Nobody, 0.014, Datacenters, DENIED_BY_WAF).strength(0.75),
    entry(WafBlock, Scope::Ok, Actor::Nobody, 0.010, Datacenters, DATACENTERS_DENIED).strength(0.75),
    entry(WafBlock, Scope::Ok, Actor::Nobody, 0.003, Datacenters, KILLED).strength(0.75),
    entry(WafBlock, Scope::Ok, Actor::Nobody, 0.003, Datacenters, RESET_BY_SERVER).strength(0.75),
    entry(WafBlock, Scope::Ok, Actor::Nobody, 0.005, Datacenters, SILENCE).strength(0.75),

    // This machine and its network.
    entry(LocalProxy, Local, Actor::You, 0.300, Subject, HEALTHY).needs(Needs::Proxy),
    entry(LocalFirewall, Local, Actor::You, 0.035, Subject, REJECTED_BY_OWN_MACHINE).by_family().host(HostSeen::Perhaps),
    entry(LocalFirewall, Local, Actor::You, 0.020, Subject, REJECTED_BY_OWN_MACHINE).by_family().controls(ControlsSeen::Fail).host(HostSeen::Perhaps),
    entry(LocalFirewall, Local, Actor::You, 0.0007, Subject, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(LocalFirewall, Local, Actor::You, 0.004, Subject, SILENCE).by_family().host(HostSeen::Alive).controls(ControlsSeen::Fail),
    entry(LocalFirewall, Local, Actor::YourNetwork, 0.0120, SubjectLine, REJECTED_BY_OWN_NETWORK).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, Local, Actor::YourNetwork, 0.0080, SubjectLine, REJECTED_BY_OWN_NETWORK).by_family().host(HostSeen::Perhaps),
    entry(LocalFirewall, Local, Actor::YourNetwork, 0.0072, SubjectLine, REJECTED_BY_OWN_NETWORK).by_family().controls(ControlsSeen::Fail).host(HostSeen::Perhaps),
    entry(NetworkBlock, Local, Actor::YourNetwork, 0.0048, SubjectLine, REJECTED_BY_OWN_NETWORK).by_family().controls(ControlsSeen::Fail).host(HostSeen::Perhaps),
    entry(NetworkBlock, Local, Actor::YourNetwork, 0.0030, SubjectLine, INTERCEPTED).needs(Needs::Tls),
    entry(NetworkBlock, Local, Actor::YourNetwork, 0.0030, SubjectLine, CLIENT_ERROR).needs(Needs::Http),
    entry(LocalOffline, Local, Actor::You, 0.040, Subject, OFFLINE).dns(NO_NETWORK).host(HostSeen::Dead).controls(ControlsSeen::Fail),
    entry(LocalFirewall, Local, Actor::You, 0.008, Subject, SHIELDED).late(0.05).controls(ControlsSeen::Fail).needs(Needs::Tls),
    entry(LocalFirewall, Local, Actor::You, 0.003, Subject, SHIELDED).late(0.05).needs(Needs::Tls),
    entry(LocalFirewall, Local, Actor::YourNetwork, 0.0012, SubjectLine, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, Local, Actor::YourNetwork, 0.0008, SubjectLine, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(LocalOffline, Local, Actor::YourNetwork, 0.020, Subject, OFFLINE).host(HostSeen::Dead).controls(ControlsSeen::Fail),
    entry(LocalVpn, Local, Actor::You, 0.080, Subject, OFFLINE).dns(NO_NETWORK).host(HostSeen::Dead).controls(ControlsSeen::Fail).needs(Needs::Tunnel),
    entry(LocalVpn, Local, Actor::You, 0.080, Subject, OFFLINE).host(HostSeen::Dead).controls(ControlsSeen::Fail).needs(Needs::Tunnel),
    entry(LocalVpn, Local, Actor::You, 0.040, Subject, EXIT_UNWANTED).host(HostSeen::Perhaps).needs(Needs::Tunnel),
    entry(FamilyBroken, Local, Actor::YourNetwork, 0.020, SubjectLine, FAMILY_LEADS_NOWHERE).host(HostSeen::Dead).controls(ControlsSeen::FailIn(Family::V6)),
    entry(FamilyBroken, Local, Actor::YourNetwork, 0.003, SubjectLine, FAMILY_LEADS_NOWHERE).host(HostSeen::Dead).controls(ControlsSeen::FailIn(Family::V4)),
    entry(HostsFile, Local, Actor::You, 0.200, Subject, HEALTHY).needs(Needs::HostsEntry),
    entry(HostsFile, Local, Actor::You, 0.200, Everyone, HEALTHY).dns(NAME_MISSING).needs(Needs::HostsOnly),
    entry(LocalResolver, Local, Actor::YourNetwork, 0.020, SubjectLine, HEALTHY).dns(RESOLVER_DEAD).controls(ControlsSeen::Fail).needs(Needs::Name),
    entry(LocalResolver, Local, Actor::YourNetwork, 0.020, SubjectLine, HEALTHY).dns(RESOLVER_FILTERS).needs(Needs::Name),
    entry(LocalResolver, Local, Actor::YourNetwork, 0.006, SubjectLine, HEALTHY).dns(RESOLVER_DEAD).needs(Needs::Name),
    entry(LocalResolver, Local, Actor::YourNetwork, 0.014, SubjectLine, HEALTHY).lies().needs(Needs::Name),
    entry(LocalServiceDown, Local, Actor::You, 0.800, Subject, Row::new(&[(crate::sign::Kind::Rst, 0.93), (crate::sign::Kind::Timeout, 0.04), (crate::sign::Kind::PortUnreachable, 0.03)], &[(crate::sign::Place::Own, 1.0)])).needs(Needs::Loopback),
    entry(CaptivePortal, Local, Actor::You, 0.004, SubjectLine, HEALTHY).lies().controls(ControlsSeen::Fail).needs(Needs::Name),
    entry(CaptivePortal, Local, Actor::You, 0.008, SubjectLine, PORTAL).controls(ControlsSeen::Fail),
    entry(TlsInterception, Local, Actor::YourNetwork, 0.010, Subject, INTERCEPTED).controls(ControlsSeen::Fail).needs(Needs::Tls),
    entry(TlsInterception, Local, Actor::YourNetwork, 0.008, Subject, INTERCEPTED).needs(Needs::Tls),

    // Between this machine's network and the target, for the subject's address or network.
    entry(IpBan, SourceAddress, Actor::Site, 0.055, SubjectLine, PORT_UNREACHABLE_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(IpBan, SourceAddress, Actor::Site, 0.010, SubjectLine, PROHIBITED_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(IpBan, SourceAddress, Actor::Site, 0.060, SubjectLine, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(IpBan, SourceAddress, Actor::Site, 0.022, SubjectLine, RESET_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(WafBlock, SourceAddress, Actor::Site, 0.015, SubjectLine, DENIED_BY_WAF).needs(Needs::Http),
    entry(WafBlock, SourceAddress, Actor::Site, 0.003, SubjectLine, KILLED),
    entry(RateLimited, SourceAddress, Actor::Site, 0.012, SubjectLine, LIMITED).needs(Needs::Http),
    entry(NetworkBlock, SourceNetwork, Actor::YourNetwork, 0.012, SubjectNetwork, RESET_ON_THE_WAY).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::YourNetwork, 0.016, SubjectNetwork, PROHIBITED_ON_THE_WAY).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::YourNetwork, 0.012, SubjectNetwork, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::YourNetwork, 0.006, SubjectNetwork, KILLED_ON_THE_WAY).late(0.05),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0048, SubjectNetwork, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0032, SubjectPrefix, SILENCE).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0060, SubjectNetwork, PORT_UNREACHABLE_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0040, SubjectPrefix, PORT_UNREACHABLE_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0024, SubjectNetwork, PROHIBITED_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0016, SubjectPrefix, PROHIBITED_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0018, SubjectNetwork, RESET_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.0012, SubjectPrefix, RESET_BY_SERVER).by_family().host(HostSeen::Perhaps),
    entry(WafBlock, SourceNetwork, Actor::Site, 0.003, SubjectNetwork, DENIED_BY_WAF).needs(Needs::Http),
    entry(NetworkBlock, SourceNetwork, Actor::Site, 0.004, SubjectNetwork, DENIED_BY_WAF).needs(Needs::Http),
    entry(RoutingFault, SourceNetwork, Actor::Transit, 0.008, SubjectNetwork, NO_ROUTE_ON_THE_WAY).by_family().host(HostSeen::Dead),
    entry(RoutingFault, SourceNetwork, Actor::Transit, 0.012, SubjectNetwork, SILENCE).by_family().host(HostSeen::Dead),
    entry(MtuBlackhole, SourceAddress, Actor::YourNetwork, 0.005, SubjectLine, SWALLOWED).controls(ControlsSeen::Fail).needs(Needs::Tls),
    entry(MtuBlackhole, SourceAddress, Actor::Transit, 0.003, SubjectLine, SWALLOWED).needs(Needs::Tls),
    entry(MtuBlackhole, SourceNetwork, Actor::Transit, 0.006, SubjectNetwork, SWALLOWED).needs(Needs::Tls),
    entry(LocalResolver, SourceNetwork, Actor::YourNetwork, 0.006, SubjectNetwork, HEALTHY).dns(RESOLVER_DEAD).controls(ControlsSeen::Fail).needs(Needs::Name),
    entry(LocalResolver, SourceNetwork, Actor::YourNetwork, 0.012, SubjectNetwork, HEALTHY).dns(RESOLVER_FILTERS).needs(Needs::Name),
    entry(LocalResolver, SourceNetwork, Actor::YourNetwork, 0.012, SubjectNetwork, HEALTHY).lies().needs(Needs::Name),

    // Several networks with something in common.
    entry(RoutingFault, Regional, Actor::Transit, 0.012, EachGroup, SILENCE).strength(0.9).host(HostSeen::Dead),
    entry(RoutingFault, Regional, Actor::Transit, 0.006, EachGroup, NO_ROUTE_ON_THE_WAY).strength(0.9).host(HostSeen::Dead),
    entry(GeoBlock, Regional, Actor::Site, 0.010, EachGroup, GEO_DENIED).strength(0.96),
    entry(GeoBlock, Regional, Actor::Site, 0.012, EachGroup, GEO_PAGE).strength(0.96).needs(Needs::Http),
    entry(GeoBlock, Regional, Actor::Site, 0.006, EachGroup, SILENCE).strength(0.96).host(HostSeen::Perhaps),
    entry(GeoBlock, Regional, Actor::Site, 0.005, EachGroup, RESET_BY_SERVER).strength(0.96),
    entry(GeoBlock, Regional, Actor::Site, 0.004, EachGroup, KILLED).strength(0.96),
    entry(NetworkBlock, Regional, Actor::Site, 0.006, EachGroup, PORT_UNREACHABLE_BY_SERVER).strength(0.96).host(HostSeen::Perhaps),
    entry(NetworkBlock, Regional, Actor::Site, 0.006, EachGroup, PROHIBITED_BY_SERVER).strength(0.96).host(HostSeen::Perhaps),
    entry(NetworkBlock, Regional, Actor::Transit, 0.006, EachGroup, PROHIBITED_ON_THE_WAY).strength(0.96).host(HostSeen::Perhaps),
    entry(NetworkBlock, Regional, Actor::Transit, 0.006, EachGroup, RESET_ON_THE_WAY).strength(0.96).host(HostSeen::Perhaps),
    entry(NetworkBlock, Regional, Actor::Site, 0.004, EachGroup, RESET_BY_SERVER).strength(0.96).host(HostSeen::Perhaps),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.003, EachGroup, EDGE_FAILS).strength(0.9),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.003, EachGroup, SILENCE).strength(0.9).host(HostSeen::Perhaps),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.003, EachGroup, RESET_BY_SERVER).strength(0.9),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.003, EachGroup, SERVER_ERROR).strength(0.9).needs(Needs::Http),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.004, Scattered, SILENCE).strength(0.5),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.003, Scattered, RESET_BY_SERVER).strength(0.5),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.004, Scattered, SERVER_ERROR).strength(0.5),

    entry(CdnEdgeFault, Regional, Actor::Site, 0.016, EachAddress, RESET_BY_SERVER),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.016, EachAddress, SILENCE).host(HostSeen::Perhaps),
    entry(CdnEdgeFault, Regional, Actor::Site, 0.008, EachAddress, SERVER_ERROR).needs(Needs::Http),

    // One of the target's addresses, or one family.
    entry(AddressDown, TargetAddress, Actor::Site, 0.024, EachAddress, RESET_BY_SERVER),
    entry(AddressDown, TargetAddress, Actor::Site, 0.020, EachAddress, SILENCE).host(HostSeen::Perhaps),
    entry(AddressDown, TargetAddress, Actor::Site, 0.005, EachAddress, UNREACHABLE_AT_EDGE).host(HostSeen::Dead),
    entry(AddressDown, TargetAddress, Actor::Site, 0.005, EachAddress, PORT_UNREACHABLE_BY_SERVER),
    entry(AddressDown, TargetAddress, Actor::Site, 0.004, EachAddress, PROHIBITED_BY_SERVER),
    entry(AddressDown, TargetAddress, Actor::Site, 0.004, EachAddress, SERVER_ERROR),
    entry(DnsStale, TargetAddress, Actor::DnsOperator, 0.008, EachAddress, WRONG_NAME).needs(Needs::Name),
    entry(DnsStale, TargetAddress, Actor::DnsOperator, 0.014, EachAddress, RESET_BY_SERVER).needs(Needs::Name),
    entry(DnsStale, TargetAddress, Actor::DnsOperator, 0.010, EachAddress, SILENCE).host(HostSeen::Perhaps).needs(Needs::Name),
    entry(DnsStale, TargetAddress, Actor::DnsOperator, 0.004, Scattered, HEALTHY).dns(NAME_MISSING).strength(0.5).needs(Needs::ZoneDisagrees),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.030, EachFamily, SILENCE).host(HostSeen::Perhaps),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.020, EachFamily, RESET_BY_SERVER),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.008, EachFamily, UNREACHABLE_AT_EDGE).host(HostSeen::Dead),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.008, EachFamily, NO_ROUTE_ON_THE_WAY).host(HostSeen::Dead),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.005, EachFamily, PORT_UNREACHABLE_BY_SERVER),
    entry(FamilyBroken, TargetAddress, Actor::Site, 0.004, EachFamily, PROHIBITED_BY_SERVER),

    // Everywhere.
    entry(ServiceDown, Global, Actor::Site, 0.100, Everyone, RESET_BY_SERVER),
    entry(BoundToLoopback, Global, Actor::Site, 0.010, Everyone, RESET_BY_SERVER),
    entry(WrongPort, Global, Actor::Site, 0.007, Everyone, RESET_BY_SERVER).host(HostSeen::Alive),
    entry(FirewallReject, Global, Actor::Site, 0.010, Everyone, RESET_BY_SERVER),
    entry(FirewallReject, Global, Actor::Site, 0.028, Everyone, PORT_UNREACHABLE_BY_SERVER),
    entry(FirewallReject, Global, Actor::Site, 0.028, Everyone, PROHIBITED_BY_SERVER),
    entry(FirewallReject, Global, Actor::Site, 0.008, Everyone, REJECTED_NOW_AND_THEN),
    entry(FirewallDrop, Global, Actor::Site, 0.050, Everyone, SILENCE),
    entry(HostDown, Global, Actor::Site, 0.045, Everyone, SILENCE).host(HostSeen::Dead),
    entry(HostDown, Global, Actor::Site, 0.020, Everyone, UNREACHABLE_AT_EDGE).host(HostSeen::Dead),
    entry(WrongAddress, Global, Actor::DnsOperator, 0.001, Everyone, SILENCE).host(HostSeen::Dead).needs(Needs::Name),
    entry(WrongAddress, Global, Actor::DnsOperator, 0.001, Everyone, RESET_BY_SERVER).needs(Needs::Name),
    entry(WrongAddress, Global, Actor::DnsOperator, 0.001, Everyone, WRONG_NAME).needs(Needs::Name),
    entry(WrongAddress, Global, Actor::DnsOperator, 2.000, Everyone, SILENCE).host(HostSeen::Perhaps).needs(Needs::OtherAddress),
    entry(WrongAddress, Global, Actor::DnsOperator, 2.000, Everyone, RESET_BY_SERVER).needs(Needs::OtherAddress),
    entry(WrongAddress, Global, Actor::DnsOperator, 2.000, Everyone, WRONG_NAME).needs(Needs::OtherAddress),
    entry(WrongAddress, Global, Actor::DnsOperator, 10.00, Everyone, LEADS_INSIDE).host(HostSeen::Perhaps).needs(Needs::PrivateAnswer),
    entry(RoutingFault, Global, Actor::Transit, 0.004, Everyone, NO_ROUTE_ON_THE_WAY).host(HostSeen::Dead),
    entry(DnsMissing, Global, Actor::DnsOperator, 0.030, Everyone, HEALTHY).dns(NAME_MISSING).needs(Needs::Name),
    entry(DnsBroken, Global, Actor::DnsOperator, 0.030, Everyone, HEALTHY).dns(ZONE_BROKEN).needs(Needs::Name),
    entry(CertificateExpired, Global, Actor::Site, 0.030, Everyone, EXPIRED).needs(Needs::Tls),
    entry(CertificateMismatch, Global, Actor::Site, 0.025, Everyone, WRONG_NAME).needs(Needs::Tls),
    entry(CertificateUntrusted, Global, Actor::Site, 0.025, Everyone, UNTRUSTED).needs(Needs::Tls),
    entry(CertificateUntrusted, Global, Actor::Site, 0.006, Everyone, HANDSHAKE_FAILS).needs(Needs::Tls),
    entry(HttpError, Global, Actor::Site, 0.035, Everyone, SERVER_ERROR).needs(Needs::Http),
    entry(HttpError, Global, Actor::Site, 0.020, Everyone, CLIENT_ERROR).needs(Needs::Http),
    entry(ServiceDown, Global, Actor::Site, 0.006, Everyone, KILLED),
    entry(CrashLoop, Global, Actor::Site, 0.050, Everyone, RESET_BY_SERVER),
    entry(Overloaded, Global, Actor::Site, 0.006, Everyone, SERVER_ERROR).share(0.5).slow(0.35).needs(Needs::Http),
    entry(Overloaded, Global, Actor::Site, 0.016, Everyone, OVERLOAD).share(0.55).slow(0.45),
    entry(BackendPartial, Global, Actor::Site, 0.0025, Everyone, RESET_BY_SERVER).share(0.5),
    entry(BackendPartial, Global, Actor::Site, 0.004, Everyone, SERVER_ERROR).share(0.5).needs(Needs::Http),
    entry(BackendPartial, Global, Actor::Site, 0.0025, Everyone, KILLED).share(0.5),
    entry(BackendPartial, Global, Actor::Site, 0.002, Everyone, KILLED).share(0.3),
    entry(BackendPartial, Global, Actor::Site, 0.002, Everyone, RESET_BY_SERVER).share(0.3),
    entry(BackendPartial, Global, Actor::Site, 0.004, Everyone, SERVER_ERROR).share(0.3).needs(Needs::Http),

    // Something that is not in this table.
    Entry { cause: None, ..entry(OTHER, Scope::Inconclusive, Actor::Unknown, 0.002, Everyone, ANYTHING) },
    Entry { cause: None, ..entry(OTHER, Scope::Inconclusive, Actor::Unknown, 0.002, Subject, ANYTHING) },
    ]
};

/// A person who saw an error seldom asks about a target that is well; this is what remains of that prior.
pub(crate) const WELL_THOUGH_SEEN: f64 = 0.04;

/// Stands where an entry has no cause; replaced by `None`.
const OTHER: CauseId = CauseId::BrowserOnly;

/// How the mass of an entry that may strike one family only is shared: both, IPv4 alone, IPv6 alone.
pub(crate) const FAMILY_SHARES: [f64; 3] = [0.70, 0.20, 0.10];

/// Latent states of a remote vantage.
pub(crate) mod latent {
    /// It is itself broken: its controls fail, too.
    pub(crate) const BROKEN: f64 = 0.03;
    /// Only its way to this target is.
    pub(crate) const PATH_BAD: f64 = 0.015;
    /// The target bans it, a datacenter's.
    pub(crate) const BANNED_DATACENTER: f64 = 0.009;
    /// The target bans it, anybody else's.
    pub(crate) const BANNED: f64 = 0.003;
    /// Days on which much goes wrong by chance, and how much likelier all of it then is.
    pub(crate) const ROUGH_DAYS: f64 = 0.15;
    pub(crate) const ROUGHER: f64 = 2.5;
}

/// The exponent that keeps the posterior from being too sure of itself, because observations are less independent
/// than the model takes them to be.
pub(crate) const TEMPER: f64 = 0.85;

/// What vantages of one AS share makes each of them count less: exponent 1 / (1 + this x (n - 1)).
pub(crate) const DESIGN_EFFECT: f64 = 0.2;

/// A service that starts and dies, at a slot: chance to be up, down, in between at first.
pub(crate) const CRASH_FIRST: [f64; 3] = [0.50, 0.40, 0.10];
/// And what follows in the next slot, some seconds later: from up, from down, from in between; up or down.
pub(crate) const CRASH_NEXT: [[f64; 2]; 3] = [[0.72, 0.28], [0.33, 0.67], [0.55, 0.45]];

/// How much likelier it is that probes' networks are unwanted when something else is wrong: as likely as ever.
pub(crate) const PAIRS_WITH_PROBES: f64 = 1.5;

/// How much likelier a second, independent fault is than chance would have it.
pub(crate) const PAIRS: f64 = 1.5;
