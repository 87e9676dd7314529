//! The resolvers that this system asks (resolv.conf(5)), in its order.

use std::{fs, net::IpAddr, path::Path};

use resolv_conf::{Config, ScopedIp};

/// Resolvers that libc reads at most (`MAXNS` of resolv.h).
const MOST: usize = 3;

/// The system's resolvers; none where the file is missing or names none.
///
/// Link-local resolvers with an interface suffix are left out.
pub fn system(path: &Path) -> Vec<IpAddr> {
    let text = fs::read(path).unwrap_or_default();
    let (config, errors) = Config::parse_with_errors(&text);
    for error in errors {
        tracing::debug!(%error, path = %path.display(), "a line of the resolver configuration is skipped");
    }
    config
        .nameservers
        .into_iter()
        .filter_map(|resolver| match resolver {
            ScopedIp::V4(address) => Some(IpAddr::V4(address)),
            ScopedIp::V6(address, None) => Some(IpAddr::V6(address)),
            ScopedIp::V6(_, Some(_)) => None,
        })
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_in_order_and_a_missing_file_names_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        assert!(system(&path).is_empty());
        fs::write(
            &path,
            "# written by nobody\nnameserver 192.0.2.53\nnonsense\nnameserver 2001:db8::53\n\
             nameserver fe80::1%eth0\nnameserver 127.0.0.53\nnameserver 192.0.2.54\noptions edns0\n",
        )
        .unwrap();
        let read: Vec<_> = system(&path).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["192.0.2.53", "2001:db8::53", "127.0.0.53"]);
    }
}
