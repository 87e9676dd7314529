//! The hosts file (hosts(5)): addresses that this machine gives a name before it asks anybody.

use std::{fs, net::IpAddr, path::Path};

/// Addresses that the hosts file at `path` gives `name`, in its order; none where it cannot be read.
///
/// Names are compared without regard to case or a final dot. Interface suffixes (`fe80::1%eth0`) are skipped.
pub fn entries(path: &Path, name: &str) -> Vec<IpAddr> {
    let text = fs::read(path).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text), name)
}

fn parse(text: &str, name: &str) -> Vec<IpAddr> {
    let wanted = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        let named = words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(wanted));
        if named && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_aliases_are_found_and_comments_are_not() {
        let text = "127.0.0.1 localhost\n\
                    203.0.113.9\tshop.example www.shop.example # moved\n\
                    # 203.0.113.10 shop.example\n\
                    fe80::1%eth0 shop.example\n\
                    2001:db8::9 SHOP.example.\n\
                    203.0.113.9 shop.example\n\
                    nonsense shop.example\n";
        let found = parse(text, "shop.example");
        assert_eq!(
            found,
            ["203.0.113.9", "2001:db8::9"].map(|a| a.parse::<std::net::IpAddr>().unwrap())
        );
        assert_eq!(parse(text, "WWW.shop.example.").len(), 1);
        assert!(parse(text, "example").is_empty());
        assert!(parse(text, "moved").is_empty());
    }
}
