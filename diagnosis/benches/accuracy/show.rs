//! One case in full, for whoever wants to know why it was missed.

use onlyhere_proto::{Facts, Observation, SaidBy};

use crate::drive::Run;
use crate::scene::Scene;

pub(crate) fn world(scene: &Scene) {
    let case = &scene.world.case;
    println!("target {} {:?}", case.target.input, case.subject);
    println!("conditions {:?}", case.conditions);
    for station in &scene.world.stations {
        let v = &station.vantage;
        println!(
            "{:<8} {} {} AS{} (told {:?}) {:?} v6={} {:?} deaf={} {}",
            v.id,
            station.city.region,
            station.city.country,
            station.asn,
            v.asn,
            station.class,
            station.has_v6,
            station.health,
            station.deaf_to_icmp,
            station.address
        );
    }
    for (city, addresses) in &scene.world.site.edges {
        println!("edge {} {addresses:?}", city.country);
    }
    if let Some(machine) = scene
        .world
        .site
        .addresses()
        .first()
        .and_then(|a| scene.world.machine(*a))
    {
        println!("first machine {machine:?}");
    }
    for rule in &scene.world.rules {
        println!("rule {rule:?}");
    }
    for rule in &scene.world.names {
        println!("name {rule:?}");
    }
}

pub(crate) fn run(run: &Run) {
    for (number, (at, ask)) in run.asks.iter().enumerate() {
        if number == run.opening {
            println!("--- after the opening");
        }
        let r = &ask.request;
        println!(
            "ask {at:8.1} {:<8} #{} {} {} {:?} depth={} ping={} slot={} delay={:?} {:?}",
            ask.vantage.as_str(),
            r.request,
            r.purpose,
            r.target.input,
            r.addresses,
            r.depth,
            r.ping,
            r.slot,
            ask.delay,
            r.way
        );
    }
    for (at, observation) in &run.observations {
        println!("{at:8.1} {}", line(observation));
    }
    for (at, verdict) in &run.shown {
        let causes: Vec<_> = verdict
            .causes
            .iter()
            .take(3)
            .map(|c| format!("{} {:.3}", c.id, c.probability))
            .collect();
        println!(
            "shown {at:8.1} {} {:.3} {causes:?}",
            verdict.scope, verdict.confidence
        );
    }
    println!(
        "concluded {:.1} out_of_time={} {}",
        run.concluded_ms,
        run.out_of_time,
        serde_json::to_string_pretty(&run.verdict).expect("a verdict")
    );
    if let Some(heard) = &run.heard_out {
        println!("heard out: {} {:.3}", heard.scope, heard.confidence);
    }
}

fn line(o: &Observation) -> String {
    let by = match &o.said_by {
        Some(SaidBy::Icmp { icmp }) => {
            format!("icmp {}/{} {}", icmp.icmp_type, icmp.code, icmp.from)
        }
        Some(by) => format!("{by:?}"),
        None => String::new(),
    };
    let facts = match &o.facts {
        Some(Facts::Dns(dns)) => format!(
            "{:?} {:?}",
            dns.kind,
            dns.answers.iter().map(|a| a.address).collect::<Vec<_>>()
        ),
        Some(Facts::Tls(tls)) => format!(
            "{:?} {:?}",
            tls.error,
            tls.certificates.first().map(|c| &c.issuer)
        ),
        Some(Facts::Http(http)) => format!("{} {:?}", http.status, http.headers),
        Some(Facts::Tcp(tcp)) => format!("hop={:?}", tcp.hop),
        None => String::new(),
    };
    format!(
        "{:<8} #{} {} {} {} {:?}:{:?} {} {:.2} {by} {facts}",
        o.vantage.as_str(),
        o.request,
        o.purpose,
        o.host,
        o.stage,
        o.address,
        o.port,
        o.outcome,
        o.elapsed_ms.as_millis()
    )
}
