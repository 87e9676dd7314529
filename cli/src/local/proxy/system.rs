//! Proxies of the system's settings: GNOME's by `gsettings`, KDE's from its file, macOS's by `scutil`.
//!
//! Whatever cannot be read at once is left out: this is a hint to the diagnosis, not a measurement.

use std::{
    env, fs,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use onlyhere_proto::Host;

use super::{Proxy, Scheme, is_exempt};

/// For all programs that are asked.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(2);
/// Read of a file or of a program's answer at most, bytes.
const MOST: u64 = 64 * 1024;

/// Proxies as one desktop has them set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    whose: &'static str,
    /// As `host:port` or URL.
    http: Option<String>,
    https: Option<String>,
    /// As in `no_proxy`.
    exempt: String,
}

impl Settings {
    /// The proxy for pages of this scheme at this host.
    pub(super) fn of(&self, scheme: Scheme, host: &Host) -> Option<Proxy> {
        let written = match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        };
        written
            .filter(|_| !is_exempt(host, &self.exempt))
            .map(|written| Proxy::new(self.whose, written))
    }
}

/// What the desktops of this system have set, within a third of a second.
pub(super) fn settings() -> Vec<Settings> {
    let until = Instant::now() + PATIENCE;
    if cfg!(target_os = "macos") {
        return of_macos(&ask("scutil", &["--proxy"], until).unwrap_or_default())
            .into_iter()
            .collect();
    }
    let kde = config_dir().and_then(|dir| of_kde(&read(dir.join("kioslaverc"))));
    of_gnome(|schema, key| {
        let schema = format!("org.gnome.system.proxy{schema}");
        ask("gsettings", &["get", &schema, key], until)
    })
    .into_iter()
    .chain(kde)
    .collect()
}

fn config_dir() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

/// GNOME's settings, as `get` tells a key of `org.gnome.system.proxy` or of what stands below it.
fn of_gnome(get: impl Fn(&str, &str) -> Option<String>) -> Option<Settings> {
    let text = |schema, key| {
        let value = get(schema, key)?;
        let bare = value.trim().trim_matches('\'').to_owned();
        (!bare.is_empty()).then_some(bare)
    };
    // Without the programs and settings of a desktop this is the end, after one question.
    if text("", "mode")? != "manual" {
        return None;
    }
    let proxy = |schema| Some(join(&text(schema, "host")?, &text(schema, "port")?));
    // `['localhost', '*.example']`
    let exempt = get("", "ignore-hosts").unwrap_or_default();
    Some(Settings {
        whose: "GNOME",
        http: proxy(".http"),
        https: proxy(".https"),
        exempt: exempt
            .replace(['\'', '@', '\n'], " ")
            .trim_matches([' ', '[', ']'])
            .to_owned(),
    })
}

/// KDE's `kioslaverc`: type 1 is "set by hand", an address is written `http://host port`.
fn of_kde(file: &str) -> Option<Settings> {
    let section = file
        .split("\n[")
        .find_map(|part| part.trim_start_matches('[').strip_prefix("Proxy Settings]"))?;
    let value = |key: &str| {
        let mut pairs = section.lines().filter_map(|line| line.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim() == key)?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    if value("ProxyType")? != "1" {
        return None;
    }
    let proxy = |key| {
        let written = value(key)?;
        Some(match written.rsplit_once(' ') {
            Some((host, port)) => join(host.trim(), port),
            None => written,
        })
    };
    Some(Settings {
        whose: "KDE",
        http: proxy("httpProxy"),
        https: proxy("httpsProxy"),
        exempt: value("NoProxyFor").unwrap_or_default(),
    })
}

/// macOS's `scutil --proxy`: a dictionary, a key a line, exemptions in a list of their own.
fn of_macos(dictionary: &str) -> Option<Settings> {
    let pairs: Vec<(&str, &str)> = dictionary
        .lines()
        .filter_map(|line| line.split_once(" : "))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let value = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, v)| *v);
    let proxy = |kind: &str| {
        if value(&format!("{kind}Enable"))? != "1" {
            return None;
        }
        let port = value(&format!("{kind}Port")).unwrap_or("80");
        Some(join(value(&format!("{kind}Proxy"))?, port))
    };
    let is_item = |key: &str| key.bytes().all(|b| b.is_ascii_digit());
    let exempt: Vec<&str> = pairs
        .iter()
        .filter(|(key, _)| is_item(key))
        .map(|(_, value)| *value)
        .collect();
    let settings = Settings {
        whose: "macOS",
        http: proxy("HTTP"),
        https: proxy("HTTPS"),
        exempt: exempt.join(","),
    };
    (settings.http.is_some() || settings.https.is_some()).then_some(settings)
}

fn join(host: &str, port: &str) -> String {
    // Brackets, unless they or a scheme stand there already.
    if host.contains(':') && !host.contains('[') && !host.contains("://") {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn read(path: PathBuf) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).map(|file| file.take(MOST));
    // What cannot be read says nothing.
    let _ = file.and_then(|mut file| file.read_to_string(&mut text));
    text
}

/// What a program prints, if it ends well before `until`.
fn ask(program: &str, args: &[&str], until: Instant) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let ended_well = ends_well(&mut child, until);
    if !ended_well {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    // Its end is closed: nothing is waited for here.
    let mut text = String::new();
    let mut output = child.stdout.take()?.take(MOST);
    output.read_to_string(&mut text).ok()?;
    Some(text)
}

fn ends_well(child: &mut Child, until: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            Ok(None) | Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use onlyhere_proto::Target;

    use super::*;

    fn told(settings: &Settings, scheme: Scheme, host: &str) -> Option<String> {
        let host = Target::parse(host).unwrap().host;
        settings.of(scheme, &host).map(|proxy| proxy.to_string())
    }

    #[test]
    fn gnomes_settings_are_read_as_gsettings_prints_them() {
        let manual = |schema: &str, key: &str| {
            let value = match (schema, key) {
                ("", "mode") => "'manual'\n",
                ("", "ignore-hosts") => "['localhost', '127.0.0.0/8', '::1', '*.intra.example']\n",
                (".http", "host") => "'proxy.example'\n",
                (".http", "port") => "8080\n",
                (".https", "host") => "'2001:db8::1'\n",
                (".https", "port") => "3128\n",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let settings = of_gnome(manual).unwrap();
        for (scheme, host, expected) in [
            (
                Scheme::Http,
                "shop.example",
                Some("GNOME=http://proxy.example:8080"),
            ),
            (
                Scheme::Https,
                "shop.example",
                Some("GNOME=http://[2001:db8::1]:3128"),
            ),
            (Scheme::Https, "a.intra.example", None),
            (Scheme::Https, "localhost", None),
            (Scheme::Https, "https://127.0.0.1", None),
        ] {
            assert_eq!(told(&settings, scheme, host).as_deref(), expected, "{host}");
        }
        let without = |schema: &str, key: &str| match (schema, key) {
            (".https", "host") => Some("''\n".to_owned()),
            _ => manual(schema, key),
        };
        assert_eq!(of_gnome(without).unwrap().https, None);
        for mode in ["'none'\n", "'auto'\n", ""] {
            assert_eq!(of_gnome(|_, _| Some(mode.to_owned())), None, "{mode}");
        }
        assert_eq!(of_gnome(|_, _| None), None);
    }

    #[test]
    fn kdes_settings_are_read_from_its_file() {
        let file = "[$Version]\nupdate_info=x\n\n[Proxy Settings]\nNoProxyFor=localhost,.intra.example\nProxyType=1\n\
            httpProxy=http://proxy.example 8080\nhttpsProxy=http://me:s3cret@proxy.example 3128\n\n[Other]\nhttpProxy=no\n";
        let settings = of_kde(file).unwrap();
        assert_eq!(
            told(&settings, Scheme::Http, "shop.example").as_deref(),
            Some("KDE=http://proxy.example:8080")
        );
        assert_eq!(
            told(&settings, Scheme::Https, "shop.example").as_deref(),
            Some("KDE=http://proxy.example:3128")
        );
        assert_eq!(told(&settings, Scheme::Http, "a.intra.example"), None);
        for off in [
            "",
            "[Proxy Settings]\nProxyType=0\nhttpProxy=a 1\n",
            "[Other]\nProxyType=1\n",
        ] {
            assert_eq!(of_kde(off), None, "{off}");
        }
    }

    #[test]
    fn macos_settings_are_read_as_scutil_prints_them() {
        let printed = "<dictionary> {\n  ExceptionsList : <array> {\n    0 : *.local\n    1 : 169.254.0.0/16\n  }\n  \
            FTPPassive : 1\n  HTTPEnable : 0\n  HTTPPort : 8080\n  HTTPProxy : old.example\n  HTTPSEnable : 1\n  \
            HTTPSPort : 3128\n  HTTPSProxy : proxy.example\n  SOCKSEnable : 0\n}\n";
        let settings = of_macos(printed).unwrap();
        assert_eq!(told(&settings, Scheme::Http, "shop.example"), None);
        assert_eq!(
            told(&settings, Scheme::Https, "shop.example").as_deref(),
            Some("macOS=http://proxy.example:3128")
        );
        assert_eq!(told(&settings, Scheme::Https, "printer.local"), None);
        assert_eq!(of_macos("<dictionary> {\n}\n"), None);
        assert_eq!(of_macos(""), None);
    }

    #[test]
    fn programs_that_hang_or_fail_are_not_waited_for() {
        let began = Instant::now();
        let soon = || Instant::now() + Duration::from_millis(50);
        assert_eq!(ask("sleep", &["5"], soon()), None);
        assert!(began.elapsed() < Duration::from_secs(2));
        assert_eq!(ask("no-such-program-here", &[], soon()), None);
        let later = Instant::now() + Duration::from_secs(5);
        assert_eq!(ask("false", &[], later), None);
        assert_eq!(ask("echo", &["x"], later).as_deref(), Some("x\n"));
    }
}
