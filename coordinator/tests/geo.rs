//! Address databases: read from files as several publishers write them.

mod common;

use std::path::{Path, PathBuf};

use common::{Coordinator, caller, mmdb, probe};
use onlyhere_coordinator::{
    config::{self, Config},
    geo::Geo,
    place::Place,
    tokens::{ADMIN, TokenKind},
};
use onlyhere_proto::{Outcome, VantageClass};
use serde_json::json;

fn files(dir: &Path) -> Vec<PathBuf> {
    let asn =
        json!({"autonomous_system_number": 64500, "autonomous_system_organization": "Example"});
    let v6 = json!({"autonomous_system_number": 64501});
    let path = |name: &str| dir.join(name);
    let networks = [("203.0.113.0/24", asn), ("2001:db8:5::/48", v6)];
    mmdb::write(&path("asn.mmdb"), "GeoLite2-ASN", &networks);
    let germany = json!({
        "continent": {"code": "EU"}, "country": {"iso_code": "DE"}, "traits": {"user_type": "residential"}
    });
    let networks = [("203.0.113.0/25", germany)];
    mmdb::write(&path("country.mmdb"), "GeoIP2-Enterprise", &networks);
    let other = json!({"asn": "AS64999", "country": "us", "continent": "NA"});
    let networks = [
        ("203.0.113.0/24", other.clone()),
        ("198.51.100.7/32", other),
    ];
    mmdb::write(&path("other.mmdb"), "ipinfo country_asn.mmdb", &networks);
    ["asn.mmdb", "country.mmdb", "other.mmdb"].map(path).into()
}

fn place(asn: Option<u32>, country: &str, region: &str, class: Option<VantageClass>) -> Place {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Place {
        asn,
        country: text(country),
        region: text(region),
        class,
        ..Place::default()
    }
}

#[test]
fn the_first_database_that_knows_a_thing_says_it() {
    let dir = tempfile::tempdir().unwrap();
    let geo = Geo::open(&files(dir.path())).unwrap();
    let home = Some(VantageClass::Residential);
    for (address, expected) in [
        ("203.0.113.7", place(Some(64500), "DE", "eu", home)),
        ("::ffff:203.0.113.7", place(Some(64500), "DE", "eu", home)),
        ("203.0.113.200", place(Some(64500), "US", "na", None)),
        ("198.51.100.7", place(Some(64999), "US", "na", None)),
        ("198.51.100.8", Place::default()),
        ("2001:db8:5::1", place(Some(64501), "", "", None)),
        ("2001:db8:6::1", Place::default()),
        ("127.0.0.1", Place::default()),
    ] {
        assert_eq!(geo.locate(address.parse().unwrap()), expected, "{address}");
    }
    let nobody = Geo::default();
    assert_eq!(
        nobody.locate("203.0.113.7".parse().unwrap()),
        Place::default()
    );
}

#[test]
fn a_file_that_is_of_no_use_is_named_with_what_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let says = |name: &str| Geo::open(&[path(name)]).unwrap_err().to_string();
    let none = says("none.mmdb");
    assert!(
        none.contains("cannot read") && none.contains("none.mmdb"),
        "{none}"
    );
    std::fs::write(path("text.mmdb"), "no database").unwrap();
    assert!(says("text.mmdb").contains("text.mmdb is no MaxMind DB file"));
    let record = json!({"is_anonymous": "yes"});
    mmdb::write(
        &path("anonymous.mmdb"),
        "GeoIP2-Anonymous-IP",
        &[("203.0.113.0/24", record)],
    );
    let useless = says("anonymous.mmdb");
    assert!(
        useless.contains("(GeoIP2-Anonymous-IP) holds neither AS numbers nor countries"),
        "{useless}"
    );
    // Cut in the middle of a download.
    let [asn, ..] = &files(dir.path())[..] else {
        unreachable!()
    };
    let whole = std::fs::read(asn).unwrap();
    for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
        std::fs::write(path("cut.mmdb"), &whole[..cut]).unwrap();
        assert!(Geo::open(&[path("cut.mmdb")]).is_err(), "{cut} bytes");
    }
}

#[tokio::test]
async fn callers_and_probes_are_placed_by_their_address_and_what_does_not_fit_is_shown_to_admins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("loopback.mmdb");
    let here = json!({"autonomous_system_number": 64500, "country": {"iso_code": "DE"}});
    mmdb::write(&path, "Loopback", &[("127.0.0.0/8", here)]);
    let config = Config {
        geo: config::Geo { mmdb: vec![path] },
        ..Config::default()
    };
    let coordinator = Coordinator::start(config).await;
    let token = coordinator.client_token().await;
    let told = caller::check(&coordinator, &token, "https://shop.example", Outcome::Ok).await;
    let told = told.unwrap();
    assert_eq!(told.report().subject.asn, Some(64500));
    let you = &told.report().vantages[0].vantage;
    assert_eq!((you.asn, you.country.as_deref()), (Some(64500), Some("DE")));

    let labelled = place(Some(24940), "US", "", None);
    let mut streams = Vec::new();
    for (name, place) in [("fra1", labelled), ("open1", Place::default())] {
        let secret = coordinator.probe_token(name, place).await;
        let identity = probe::enrol(&coordinator, secret.as_str(), "").await;
        let stream = probe::attach(&coordinator, &identity.unwrap()).await;
        streams.push(stream.unwrap());
    }
    coordinator.wait_for(&["fra1", "open1"]).await;
    let admin = coordinator
        .token(TokenKind::Admin, "root", |token| token)
        .await;
    let admin = format!("{ADMIN}{}", admin.as_str());
    let ask = async |token: &str| {
        let stream = tokio::net::TcpStream::connect(coordinator.api)
            .await
            .unwrap();
        let (status, answer) = common::get(stream, "/v1/vantages", token).await;
        assert_eq!(status, 200);
        answer
    };
    // Where a probe was seen is written down a moment after it is attached.
    let shown = common::within(async {
        loop {
            let shown = ask(&admin).await;
            if shown.contains("the same address as open1") {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    println!("{shown}");
    for says in [
        "labelled AS24940, but its address is in AS64500",
        "labelled US, but its address is in DE",
        r#""asn":24940"#,
        r#""asn":64500"#,
    ] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    assert!(!ask(&token).await.contains("remarks"), "for admins alone");
}
