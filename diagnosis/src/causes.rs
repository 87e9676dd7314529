//! What is known of every cause: its title, how to confirm it, how to mend it, how long that takes. The texts are data
//! (`causes.toml`); placeholders in them are filled in from the case.
//!
//! Whatever is filled in may be pasted into a shell: addresses and ports are numbers, host names hold letters, digits,
//! dots, hyphens and underscores, and what else a caller's machine says of itself is left out unless it is as plain.

mod service;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use onlyhere_proto::{Actor, CauseId, CauseReport, Host, Layer, Scope};
use serde::Deserialize;

use crate::case::Case;
use service::service;

/// What is known of one cause. Which placeholders the texts may hold stands at the top of `causes.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// For people.
    pub title: String,
    /// How to confirm it.
    pub confirm: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
    /// Such as `1-2 minutes`.
    pub time_to_fix: String,
    /// On a caller's machine that runs Linux.
    #[serde(default)]
    pub linux: Option<Steps>,
    /// On a caller's machine that runs macOS.
    #[serde(default)]
    pub macos: Option<Steps>,
    /// On a caller's machine that runs Windows.
    #[serde(default)]
    pub windows: Option<Steps>,
    /// Where the same cause lies with somebody else.
    #[serde(default)]
    pub variants: BTreeMap<Variant, VariantTexts>,
}

/// What to do on one operating system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// How to confirm it.
    pub confirm: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
}

/// With whom a cause lies, where it can lie with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// With the caller, else with the target.
    Yours,
    /// With the caller's own network, else with its machine.
    Network,
    /// With the target, else with the caller's provider.
    Site,
}

/// The texts of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantTexts {
    /// For people.
    pub title: String,
    /// How to confirm it.
    pub confirm: Vec<String>,
    /// How to mend it.
    pub fix: Vec<String>,
    /// Such as `1-2 minutes`; none: as ever.
    #[serde(default)]
    pub time_to_fix: Option<String>,
    /// On a caller's machine that runs Linux.
    #[serde(default)]
    pub linux: Option<Steps>,
    /// On a caller's machine that runs macOS.
    #[serde(default)]
    pub macos: Option<Steps>,
    /// On a caller's machine that runs Windows.
    #[serde(default)]
    pub windows: Option<Steps>,
}

static CAUSES: LazyLock<BTreeMap<CauseId, Cause>> =
    LazyLock::new(|| toml::from_str(include_str!("causes.toml")).expect("causes.toml is tested"));

impl Cause {
    /// What is known of a cause.
    pub fn of(id: CauseId) -> &'static Self {
        &CAUSES[&id]
    }

    /// Title, general steps, those of an operating system, and the time, of a variant or of the cause itself.
    fn texts(&self, variant: Option<Variant>, platform: Option<&str>) -> Texts<'_> {
        let of = |linux, macos, windows| match platform {
            Some("linux") => linux,
            Some("macos") => macos,
            Some("windows") => windows,
            _ => &None::<Steps>,
        };
        let (title, confirm, fix, time, steps) =
            match variant.and_then(|variant| self.variants.get(&variant)) {
                Some(v) => {
                    let time = v.time_to_fix.as_ref().unwrap_or(&self.time_to_fix);
                    let steps = of(&v.linux, &v.macos, &v.windows);
                    (&v.title, &v.confirm, &v.fix, time, steps)
                }
                None => {
                    let steps = of(&self.linux, &self.macos, &self.windows);
                    (
                        &self.title,
                        &self.confirm,
                        &self.fix,
                        &self.time_to_fix,
                        steps,
                    )
                }
            };
        Texts {
            title,
            confirm: steps.as_ref().map_or(confirm, |s| &s.confirm),
            fix: steps.as_ref().map_or(fix, |s| &s.fix),
            time_to_fix: time,
        }
    }
}

struct Texts<'a> {
    title: &'a str,
    confirm: &'a [String],
    fix: &'a [String],
    time_to_fix: &'a str,
}

/// What the texts of a case's causes are filled in from, and chosen by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// Where the fault lies.
    pub(crate) scope: Scope,
    /// Who must act.
    pub(crate) actor: Actor,
    /// The target's address in question, when one is known.
    pub(crate) address: Option<IpAddr>,
    /// The caller's own resolver, when one is known.
    pub(crate) resolver: Option<IpAddr>,
}

/// A cause with its texts filled in.
pub(crate) fn report(case: &Case, id: CauseId, probability: f64, c: Circumstances) -> CauseReport {
    let platform = case.subject.local.platform.as_deref();
    let texts = Cause::of(id).texts(variant(id, c), platform);
    let values = Values::of(case, c);
    CauseReport {
        id,
        probability,
        title: values.title(texts.title),
        confirm: values.lines(texts.confirm),
        fix: values.lines(texts.fix),
        time_to_fix: texts.time_to_fix.to_owned(),
    }
}

fn variant(id: CauseId, c: Circumstances) -> Option<Variant> {
    let site = matches!(c.actor, Actor::Site | Actor::Unknown);
    match (id, c.scope, c.actor) {
        (CauseId::FamilyBroken, Scope::Local, _) => Some(Variant::Yours),
        (CauseId::LocalFirewall, _, Actor::YourNetwork) => Some(Variant::Network),
        (CauseId::NetworkBlock, ..) if site => Some(Variant::Site),
        _ => None,
    }
}

/// Placeholders and what stands for them; nothing where nothing is known.
struct Values {
    all: Vec<(&'static str, Option<String>, &'static str)>,
    /// Whether the target is a page, and whether it has a port: what else is said of these is left out.
    page: bool,
    port: bool,
}

impl Values {
    fn of(case: &Case, c: Circumstances) -> Self {
        let target = &case.target;
        let service = service(target);
        let port = target.port.map(|p| p.to_string());
        let host = pasteable(&target.host.to_string());
        let page = matches!(target.layer, Layer::Https | Layer::Http);
        let local = &case.subject.local;
        let windows = local.platform.as_deref() == Some("windows");
        let attempt = |family| try_command(case, family, windows);
        let proxy = local.proxies.first().and_then(|text| {
            let url = text.split_once('=').map_or(text.as_str(), |(_, url)| url);
            pasteable(url)
        });
        let text = |address: Option<IpAddr>| address.map(|a| a.to_string());
        // A service's own words hold the port as well: they go first.
        let all = vec![
            ("listen", Some(service.listen.to_owned()), ""),
            ("unit", Some(service.unit.to_owned()), ""),
            ("config_check", Some(service.config_check.to_owned()), ""),
            ("jail", Some(service.jail.to_owned()), ""),
            ("try4", attempt("-4"), "HOST"),
            ("try6", attempt("-6"), "HOST"),
            ("try", attempt(""), "HOST"),
            ("url", url(case), "URL"),
            ("authority", authority(case), "HOST:PORT"),
            ("sni", server_name(case), "-servername HOST"),
            ("address", text(c.address).or(host.clone()), "HOST"),
            ("host", host, "HOST"),
            ("port", port.clone(), "PORT"),
            (
                "public_address",
                text(case.subject.public_address),
                "YOUR-PUBLIC-ADDRESS",
            ),
            ("proxy", proxy, "the proxy"),
            (
                "tunnel",
                local.tunnel.as_deref().and_then(pasteable),
                "TUNNEL",
            ),
            ("resolver", text(c.resolver), "the one that is set"),
        ];
        Self {
            all,
            page,
            port: port.is_some(),
        }
    }

    /// Lines that say something of this target; all, where none would be left.
    fn lines(&self, lines: &[String]) -> Vec<String> {
        let fits = |line: &&String| {
            (self.page || !line.contains("{url}"))
                && (self.port || !(line.contains("{port}") || line.contains("{authority}")))
        };
        let some = lines.iter().any(|line| fits(&line));
        lines
            .iter()
            .filter(|line| !some || fits(line))
            .map(|line| self.fill(line))
            .collect()
    }

    /// A title, without remarks in brackets of which nothing is known.
    fn title(&self, title: &str) -> String {
        let mut title = title.to_owned();
        for (name, value, _) in &self.all {
            if value.is_none() {
                title = title.replace(&format!(" ({{{name}}})"), "");
            }
        }
        self.fill(&title)
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value, unknown) in &self.all {
            if text.contains('{') {
                let value = value.as_deref().unwrap_or(unknown);
                text = text.replace(&format!("{{{name}}}"), value);
            }
        }
        text
    }
}

/// A text that no shell reads anything into; nothing where it would.
fn pasteable(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/[]".contains(c);
    let fits = (1..=300).contains(&text.len())
        && text.chars().all(plain)
        // What begins with a hyphen would be an option.
        && !text.starts_with('-');
    fits.then(|| quoted(text))
}

/// In quotes where a shell would take brackets for a pattern.
fn quoted(text: &str) -> String {
    if text.contains(['[', ']']) {
        format!("\"{text}\"")
    } else {
        text.to_owned()
    }
}

/// Host and port as a URL has them.
fn bare_authority(case: &Case) -> Option<String> {
    let host = match &case.target.host {
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    };
    Some(format!("{host}:{}", case.target.port?)).filter(|_| !host.starts_with('-'))
}

fn authority(case: &Case) -> Option<String> {
    bare_authority(case).map(|text| quoted(&text))
}

/// The page's address without its path, which may hold anything.
fn url(case: &Case) -> Option<String> {
    let (scheme, usual) = match case.target.layer {
        Layer::Https => ("https", ":443"),
        Layer::Http => ("http", ":80"),
        _ => return None,
    };
    let authority = bare_authority(case)?;
    let authority = authority.strip_suffix(usual).unwrap_or(&authority);
    Some(quoted(&format!("{scheme}://{authority}/")))
}

fn server_name(case: &Case) -> Option<String> {
    match &case.target.host {
        Host::Name(name) => pasteable(name).map(|name| format!("-servername {name}")),
        Host::Address(_) => Some("-noservername".to_owned()),
    }
}

/// What tries the target once, in one family or any.
fn try_command(case: &Case, family: &str, windows: bool) -> Option<String> {
    let host = pasteable(&case.target.host.to_string())?;
    let family = if family.is_empty() {
        String::new()
    } else {
        format!("{family} ")
    };
    match (url(case), case.target.port, windows) {
        (Some(url), _, true) => Some(format!("curl.exe {family}-sI {url}")),
        (Some(url), _, false) => Some(format!("curl {family}-sI {url}")),
        (None, Some(port), true) => Some(format!("Test-NetConnection {host} -Port {port}")),
        (None, Some(port), false) => Some(format!("nc {family}-vz {host} {port}")),
        (None, None, _) => Some(format!("ping {family}{host}")),
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::{CheckId, Conditions, LocalFacts, Subject, Target};

    use super::*;

    /// Causes whose remedy is on the caller's machine.
    const ON_THE_CALLERS_MACHINE: [CauseId; 13] = [
        CauseId::HostsFile,
        CauseId::LocalFirewall,
        CauseId::LocalProxy,
        CauseId::LocalVpn,
        CauseId::LocalResolver,
        CauseId::LocalServiceDown,
        CauseId::LocalOffline,
        CauseId::CaptivePortal,
        CauseId::TlsInterception,
        CauseId::FamilyBroken,
        CauseId::BrowserOnly,
        CauseId::MtuBlackhole,
        CauseId::DnsStale,
    ];
    const PLATFORMS: [Option<&str>; 4] = [None, Some("linux"), Some("macos"), Some("windows")];

    fn case(target: &str, platform: Option<&str>) -> Case {
        Case {
            check: "01JD0000000000000000000000".parse::<CheckId>().unwrap(),
            target: Target::parse(target).unwrap(),
            subject: Subject {
                vantage: None,
                public_address: Some("203.0.113.7".parse().unwrap()),
                asn: None,
                local: LocalFacts {
                    platform: platform.map(str::to_owned),
                    proxies: vec!["https_proxy=http://127.0.0.1:3128".into()],
                    tunnel: Some("wg0".into()),
                    ..LocalFacts::default()
                },
            },
            vantages: Vec::new(),
            conditions: Conditions::default(),
        }
    }

    fn circumstances(scope: Scope, actor: Actor) -> Circumstances {
        Circumstances {
            scope,
            actor,
            address: Some("198.51.100.9".parse().unwrap()),
            resolver: Some("192.168.1.1".parse().unwrap()),
        }
    }

    /// Every wording of a cause.
    fn wordings(id: CauseId) -> Vec<Circumstances> {
        let base = circumstances(Scope::Global, Actor::Site);
        let mut all = vec![base];
        all.push(circumstances(Scope::Local, Actor::You));
        all.push(circumstances(Scope::Local, Actor::YourNetwork));
        all.push(circumstances(Scope::SourceNetwork, Actor::YourNetwork));
        let used: Vec<Variant> = all.iter().filter_map(|c| variant(id, *c)).collect();
        for variant in Cause::of(id).variants.keys() {
            assert!(used.contains(variant), "{id}: {variant:?} is never chosen");
        }
        all
    }

    #[test]
    fn every_cause_has_every_part_on_every_platform_for_every_layer() {
        assert_eq!(CAUSES.len(), CauseId::ALL.len());
        for target in [
            "https://shop.example",
            "http://[2001:db8::1]:8080/a?b=$(c)",
            "tcp://shop.example:5432",
            "tls://shop.example:993",
            "ssh://shop.example",
            "smtp://shop.example",
            "dns://shop.example",
            "ping://192.0.2.1",
        ] {
            for platform in PLATFORMS {
                let case = case(target, platform);
                for id in CauseId::ALL {
                    for circumstances in wordings(*id) {
                        complete(&report(&case, *id, 0.5, circumstances));
                    }
                }
            }
        }
    }

    fn complete(report: &CauseReport) {
        let told = format!("{report:#?}");
        assert!(
            !report.title.is_empty() && !report.time_to_fix.is_empty(),
            "{told}"
        );
        assert!(
            !report.confirm.is_empty() && !report.fix.is_empty(),
            "{told}"
        );
        for text in report
            .confirm
            .iter()
            .chain(&report.fix)
            .chain([&report.title])
        {
            // nginx's and named's own braces are no placeholders.
            let plain = text.replace("{ any; }", "");
            assert!(!plain.contains(['{', '}']), "{text}");
            assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
            assert!(
                !text.is_empty() && text.chars().count() <= 400 && text.trim() == text,
                "{text}"
            );
            assert!(
                text.matches('`').count() % 2 == 0,
                "a command does not end: {text}"
            );
        }
    }

    #[test]
    fn what_is_done_on_the_callers_machine_is_said_for_its_operating_system() {
        for id in ON_THE_CALLERS_MACHINE {
            let circumstances = circumstances(Scope::Local, Actor::You);
            let of = |platform| report(&case("shop.example", platform), id, 0.5, circumstances);
            let texts: Vec<_> = PLATFORMS
                .into_iter()
                .map(of)
                .map(|r| (r.confirm, r.fix))
                .collect();
            for (i, (confirm, fix)) in texts.iter().enumerate() {
                for (other_confirm, other_fix) in &texts[i + 1..] {
                    assert!(
                        (confirm, fix) != (other_confirm, other_fix),
                        "{id}: two platforms are told the same"
                    );
                }
            }
            for (platform, (confirm, fix)) in PLATFORMS.into_iter().zip(&texts) {
                let all = confirm.iter().chain(fix).cloned().collect::<String>();
                let linux_only = ["nft list", "systemctl", "resolvectl", "ss -tlnp", "nmcli"];
                if matches!(platform, Some("windows" | "macos")) && id != CauseId::MtuBlackhole {
                    for word in linux_only {
                        assert!(!all.contains(word), "{id} on {platform:?}: {word}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_service_follows_from_the_target() {
        for (target, unit, jail) in [
            ("https://shop.example", "nginx", "nginx-http-auth"),
            ("http://shop.example:3000", "nginx", "nginx-http-auth"),
            ("ssh://shop.example:2222", "ssh", "sshd"),
            ("tcp://shop.example:22", "ssh", "sshd"),
            ("smtp://shop.example", "postfix", "postfix"),
            ("tcp://shop.example:5432", "postgresql", "JAIL"),
            ("tcp://shop.example:12345", "SERVICE", "JAIL"),
        ] {
            let case = case(target, None);
            let c = circumstances(Scope::Global, Actor::Site);
            let down = report(&case, CauseId::ServiceDown, 0.5, c);
            assert!(
                down.confirm[0].ends_with(&format!("`systemctl status {unit}`")),
                "{down:#?}"
            );
            let banned = report(&case, CauseId::IpBan, 0.5, c);
            assert!(
                banned.fix[0]
                    .contains(&format!("`fail2ban-client set {jail} unbanip 203.0.113.7`")),
                "{banned:#?}"
            );
        }
    }

    #[test]
    fn what_is_filled_in_is_safe_to_paste() {
        let c = circumstances(Scope::Local, Actor::You);
        let mut case = case("https://shop.example", Some("linux"));
        case.subject.local.proxies = vec!["https_proxy=http://x;rm -rf $HOME".into()];
        case.subject.local.tunnel = Some("tun0`id`".into());
        case.target.host = Host::Name("-oProxyCommand=x".into());
        for id in CauseId::ALL {
            let told = format!("{:?}", report(&case, *id, 0.5, c));
            for bad in ["$HOME", "`id`", "-oProxyCommand"] {
                assert!(!told.contains(bad), "{told}");
            }
        }
        let v6 = Case {
            target: Target::parse("https://[2001:db8::1]:8443/").unwrap(),
            ..case
        };
        assert_eq!(url(&v6).unwrap(), "\"https://[2001:db8::1]:8443/\"");
        assert_eq!(authority(&v6).unwrap(), "\"[2001:db8::1]:8443\"");
        assert_eq!(server_name(&v6).unwrap(), "-noservername");
    }

    #[test]
    fn a_title_says_nothing_of_what_is_not_known() {
        let mut case = case("https://shop.example", None);
        case.subject.public_address = None;
        let c = circumstances(Scope::Source, Actor::Site);
        let banned = report(&case, CauseId::IpBan, 0.5, c);
        assert_eq!(banned.title, "The server has banned your address");
    }
}
