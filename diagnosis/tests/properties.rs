//! What holds for every case: the order of arrival is nowhere in the verdict, no observation can make it panic, and
//! what cannot be measured counts for nothing.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use onlyhere_diagnosis::{Case, Investigation};
use onlyhere_proto::{
    CertificateError, DnsAnswer, DnsFacts, Facts, Family, HttpFacts, IcmpError, Micros,
    Observation, Outcome, Purpose, RecordType, ResolverKind, SaidBy, Scope, Stage, TcpFacts,
    Timestamp, TlsFacts, Verdict,
};
use proptest::prelude::*;
use world::{Name, Reply, WEB4, World, ip};

/// Everything that a world answers to the opening.
fn opening_answers(world: &World) -> (Investigation, Vec<Observation>, Vec<(String, u32)>) {
    let mut investigation = Investigation::new(world.case());
    let asks = investigation.poll_asks(std::time::Duration::ZERO);
    let observations = asks
        .iter()
        .flat_map(|ask| world.answer(ask, 0.0).0)
        .map(|(_, observation)| observation)
        .collect();
    let done = asks
        .iter()
        .map(|ask| (ask.vantage.to_string(), ask.request.request))
        .collect();
    (investigation, observations, done)
}

fn judge(world: &World, order: &[usize]) -> Verdict {
    let (mut investigation, observations, _) = opening_answers(world);
    for index in order {
        investigation.handle_observation(observations[*index].clone());
    }
    investigation.handle_out_of_time();
    investigation.verdict()
}

fn worlds() -> Vec<World> {
    let web = |reply: Reply| World::new().connect(move |t| if t.web() { reply } else { Reply::Ok });
    let only = |who: &'static str, reply: Reply| {
        World::new().connect(move |t| {
            if t.web() && t.by(who) {
                reply
            } else {
                Reply::Ok
            }
        })
    };
    vec![
        World::new(),
        web(Reply::Rst(None)),
        web(Reply::Drop),
        web(Reply::Tls(CertificateError::Expired)),
        only("you", Reply::Icmp(3, 3, WEB4, None)),
        only("you", Reply::Rst(Some(0.1))),
        only("nyc", Reply::Drop),
        only("nyc", Reply::Http(403)).no_subject(),
    ]
}

#[test]
fn the_order_of_arrival_changes_nothing_and_twice_is_once() {
    for world in worlds() {
        let count = opening_answers(&world).1.len();
        let straight: Vec<usize> = (0..count).collect();
        let expected = judge(&world, &straight);
        let backwards: Vec<usize> = (0..count).rev().collect();
        // 37 is prime to every count met here, so this walks through all of them.
        let scattered: Vec<usize> = (0..count).map(|i| i * 37 % count).collect();
        assert_eq!(scattered.iter().collect::<BTreeSet<_>>().len(), count);
        let doubled: Vec<usize> = straight.iter().chain(&backwards).copied().collect();
        for order in [backwards, scattered, doubled] {
            assert_eq!(judge(&world, &order), expected);
        }
    }
}

#[test]
fn a_vantage_that_contradicts_itself_is_read_the_same_in_any_order() {
    let world = World::new();
    let verdict = |backwards: bool| {
        let (mut investigation, mut all, _) = opening_answers(&world);
        let mut forged = all.iter().find(|o| o.stage == Stage::Tcp).unwrap().clone();
        forged.outcome = Outcome::Timeout;
        all.push(forged);
        if backwards {
            all.reverse();
        }
        for observation in all {
            investigation.handle_observation(observation);
        }
        investigation.handle_out_of_time();
        investigation.verdict()
    };
    assert_eq!(verdict(false), verdict(true));
}

#[test]
fn observations_that_answer_nothing_are_ignored() {
    let world = World::new();
    let (mut investigation, observations, done) = opening_answers(&world);
    let mut strange = observations[0].clone();
    strange.request = 77;
    investigation.handle_observation(strange);
    let mut other_purpose = observations[0].clone();
    other_purpose.purpose = Purpose::Sibling;
    investigation.handle_observation(other_purpose);
    let mut nobody = observations[0].clone();
    nobody.vantage = "nobody".parse().unwrap();
    investigation.handle_observation(nobody);
    let mut other_check = observations[0].clone();
    other_check.check = "01JD0000000000000000000001".parse().unwrap();
    investigation.handle_observation(other_check);
    for (vantage, request) in done {
        investigation.handle_done(&vantage.parse().unwrap(), request);
        investigation.handle_done(&vantage.parse().unwrap(), request);
    }
    investigation.handle_done(&"nobody".parse().unwrap(), 1);
    investigation.handle_lost(&"nobody".parse().unwrap());
    investigation.poll_asks(std::time::Duration::ZERO);
    assert!(investigation.is_concluded());
    assert_eq!(investigation.verdict().scope, Scope::Inconclusive);
    assert_eq!(
        investigation.verdict().headline,
        "Not decided: nothing could be measured"
    );
}

#[test]
fn a_silent_or_lost_vantage_never_turns_the_verdict() {
    for base in worlds() {
        let names: Vec<String> = base.vantages.iter().map(|v| v.name.clone()).collect();
        let expected = base.run().verdict.scope;
        for name in names
            .iter()
            .filter(|n| *n != "you" && *n != "sibling" && *n != "nyc")
        {
            let (mut investigation, observations, done) = opening_answers(&base);
            for observation in observations {
                if observation.vantage.as_str() != name {
                    investigation.handle_observation(observation);
                }
            }
            investigation.handle_lost(&name.parse().unwrap());
            for (vantage, request) in &done {
                investigation.handle_done(&vantage.parse().unwrap(), *request);
            }
            investigation.handle_out_of_time();
            let verdict = investigation.verdict();
            assert_eq!(
                verdict.scope, expected,
                "without {name}: {}",
                verdict.headline
            );
            let named = verdict
                .advisories
                .iter()
                .any(|a| a.vantages.iter().any(|v| v.as_str() == name));
            assert!(named, "{name} is not mentioned");
        }
    }
}

/// One more vantage elsewhere that meets what its world has for everybody: the verdict stays, whatever its class.
#[test]
fn one_more_vantage_that_agrees_never_turns_the_verdict() {
    use onlyhere_proto::VantageClass::{Datacenter, Mobile, Residential};
    let classes = [Datacenter, Residential, Mobile];
    let cases = (0..worlds().len()).flat_map(|base| classes.map(|class| (base, class)));
    for (base, class) in cases {
        let expected = worlds().remove(base).run().verdict;
        let mut world = worlds().remove(base);
        world.vantages.push(onlyhere_proto::Vantage {
            asn: Some(64_999),
            country: Some("BR".into()),
            region: Some("sa".into()),
            class: Some(class),
            public_address: Some(ip("198.18.99.10")),
            ..onlyhere_proto::Vantage::named("gru".parse().unwrap())
        });
        let verdict = world.run().verdict;
        assert_eq!(verdict.scope, expected.scope, "{}", expected.headline);
        let cause = |v: &Verdict| v.causes.first().map(|c| c.id);
        assert_eq!(cause(&verdict), cause(&expected), "{}", expected.headline);
    }
}

#[test]
fn whatever_was_not_measured_is_as_if_not_there() {
    for world in worlds() {
        let (mut investigation, observations, _) = opening_answers(&world);
        let straight: Vec<usize> = (0..observations.len()).collect();
        for observation in observations {
            let mut none = observation.clone();
            none.outcome = Outcome::NotMeasured;
            none.sequence += 100;
            none.said_by = None;
            none.facts = None;
            investigation.handle_observation(none);
            investigation.handle_observation(observation);
        }
        investigation.handle_out_of_time();
        assert_eq!(investigation.verdict(), judge(&world, &straight));
    }
}

#[test]
fn a_redirect_that_leads_nowhere_is_a_page_that_fails() {
    for (stage, outcome) in [
        (Stage::Dns, Outcome::Nxdomain),
        (Stage::Tcp, Outcome::Refused),
        (Stage::Http, Outcome::Ok),
    ] {
        let (mut investigation, observations, _) = opening_answers(&World::new());
        for observation in observations {
            if observation.stage == Stage::Http && observation.purpose == Purpose::Target {
                let mut next = observation.clone();
                next.sequence += 100;
                next.host = "www.shop.example".into();
                next.address = (stage != Stage::Dns).then(|| ip("198.18.1.99"));
                (next.stage, next.outcome) = (stage, outcome);
                next.said_by = (outcome == Outcome::Refused).then_some(SaidBy::Rst);
                next.facts = None;
                investigation.handle_observation(next);
            }
            investigation.handle_observation(observation);
        }
        investigation.handle_out_of_time();
        let verdict = investigation.verdict();
        let expected = match outcome {
            Outcome::Ok => Scope::Ok,
            _ => Scope::Global,
        };
        assert_eq!(verdict.scope, expected, "{outcome}: {}", verdict.headline);
    }
}

#[test]
fn a_shell_may_hand_it_from_thread_to_thread() {
    fn check<T: Send + Sync>() {}
    check::<Investigation>();
}

#[test]
fn as_many_vantages_as_a_check_may_have() {
    let mut world = World::new().connect(|t| {
        if t.web() && t.by("you") {
            Reply::Icmp(3, 3, WEB4, None)
        } else {
            Reply::Ok
        }
    });
    for n in 0..57 {
        let mut vantage = world.vantages[2 + n % 5].clone();
        vantage.id = format!("more-{n}").parse().unwrap();
        vantage.name = vantage.id.to_string();
        vantage.asn = Some(65_000 + n as u32);
        world.vantages.push(vantage);
    }
    let run = world.run();
    assert_eq!(run.verdict.scope, Scope::SourceAddress);
}

// -- anything at all

fn some_address() -> impl Strategy<Value = std::net::IpAddr> {
    prop_oneof![
        Just(ip(WEB4)),
        Just(ip("198.18.1.11")),
        Just(ip("2001:db8:1::10")),
        Just(ip("127.0.0.1")),
        Just(ip("192.168.1.1")),
        Just(ip("0.0.0.0")),
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
    ]
}

fn label<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(move |i| all[i])
}

fn some_facts() -> impl Strategy<Value = Option<Facts>> {
    prop_oneof![
        Just(None),
        (
            label(ResolverKind::ALL),
            label(RecordType::ALL),
            prop::collection::vec(some_address(), 0..4)
        )
            .prop_map(|(kind, record_type, answers)| Some(Facts::Dns(DnsFacts {
                resolver: None,
                kind,
                record_type,
                rcode: None,
                answers: answers
                    .into_iter()
                    .map(|address| DnsAnswer { address, ttl_s: 1 })
                    .collect(),
                cname_chain: Vec::new(),
            }))),
        any::<u8>().prop_map(|n| Some(Facts::Tcp(TcpFacts {
            syn_retransmits: Some(n),
            round_trip_ms: Some(Micros(u64::from(n))),
            ..TcpFacts::default()
        }))),
        label(CertificateError::ALL).prop_map(|error| Some(Facts::Tls(TlsFacts {
            error: Some(error),
            ..TlsFacts::default()
        }))),
        any::<u16>().prop_map(|status| Some(Facts::Http(HttpFacts {
            version: "HTTP/1.1".into(),
            status,
            headers: Vec::new(),
            location: None,
            body_length: 0,
            body_sha256: None,
        }))),
    ]
}

fn some_said_by() -> impl Strategy<Value = Option<SaidBy>> {
    prop_oneof![
        Just(None),
        Just(Some(SaidBy::Rst)),
        Just(Some(SaidBy::Kernel)),
        (any::<u8>(), any::<u8>(), some_address()).prop_map(|(icmp_type, code, from)| Some(
            SaidBy::Icmp {
                icmp: IcmpError {
                    icmp_type,
                    code,
                    from
                }
            }
        )),
    ]
}

prop_compose! {
    fn some_observation()(
        vantage in 0..7usize,
        request in 0..5u32,
        sequence in 0..300u32,
        purpose in label(Purpose::ALL),
        stage in label(Stage::ALL),
        source in prop::option::of(some_address()),
        address in prop::option::of(some_address()),
        port in prop::option::of(any::<u16>()),
        elapsed in prop_oneof![0..5_000_000u64, any::<u64>()],
        slot in prop_oneof![0..3u32, any::<u32>()],
        outcome in label(Outcome::ALL),
        said_by in some_said_by(),
        facts in some_facts(),
    ) -> (usize, Observation) {
        (vantage, Observation {
            check: "01JD0000000000000000000000".parse().unwrap(),
            request,
            sequence,
            vantage: "placeholder".parse().unwrap(),
            purpose,
            stage,
            host: "shop.example".into(),
            source,
            address,
            port,
            family: address.map(Family::of),
            started_at: Timestamp(0),
            elapsed_ms: Micros(elapsed),
            slot,
            outcome,
            said_by,
            detail: None,
            facts,
        })
    }
}

fn check_verdict(case: &Case, verdict: &Verdict) {
    let sum: f64 = verdict.scopes.values().sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    assert!(
        verdict
            .scopes
            .values()
            .all(|p| (0.0..=1.0 + 1e-9).contains(p))
    );
    assert!(
        (0.0..=1.0).contains(&verdict.confidence),
        "{}",
        verdict.confidence
    );
    assert!(!verdict.headline.is_empty() && !verdict.headline.ends_with('.'));
    assert!(
        verdict
            .evidence
            .iter()
            .all(|e| e.log10_bayes_factor.is_finite())
    );
    let known = |name: &onlyhere_proto::VantageName| case.vantages.iter().any(|v| v.id == *name);
    assert!(verdict.evidence.iter().flat_map(|e| &e.vantages).all(known));
    if case.subject.vantage.is_none() {
        assert!(!matches!(
            verdict.scope,
            Scope::Local | Scope::Source | Scope::SourceAddress | Scope::SourceNetwork
        ));
    }
}

/// How many; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever comes, in whatever order, nothing panics, the shell is never told to wait for nothing, and the verdict
    /// is well formed.
    #[test]
    fn nothing_that_comes_can_break_it(
        all in prop::collection::vec((some_observation(), any::<bool>(), any::<bool>()), 0..40),
        no_subject in any::<bool>(),
        literal in any::<bool>(),
    ) {
        let mut world = if no_subject { World::new().no_subject() } else { World::new() };
        if literal {
            world.target = onlyhere_proto::Target::parse("198.18.1.10:443").unwrap();
        }
        let case = world.case();
        let mut investigation = Investigation::new(case.clone());
        let mut open: Vec<onlyhere_diagnosis::Ask> = investigation.poll_asks(std::time::Duration::ZERO);
        for ((vantage, mut observation), fits, done) in all {
            let Some(ask) = open.get(vantage % open.len().max(1)).cloned() else { break };
            observation.vantage = ask.vantage.clone();
            if fits {
                observation.request = ask.request.request;
                observation.purpose = ask.request.purpose;
            }
            investigation.handle_observation(observation);
            if done {
                investigation.handle_done(&ask.vantage, ask.request.request);
                open.retain(|a| *a != ask);
            }
            open.extend(investigation.poll_asks(std::time::Duration::ZERO));
        }
        let mut guard = 0;
        while !investigation.is_concluded() {
            guard += 1;
            prop_assert!(guard < 200, "it never ends");
            prop_assert!(!open.is_empty(), "it waits for nothing");
            for ask in std::mem::take(&mut open) {
                prop_assert!(ask.request.deadline <= Duration::from_secs(60));
                investigation.handle_done(&ask.vantage, ask.request.request);
            }
            open.extend(investigation.poll_asks(std::time::Duration::ZERO));
        }
        check_verdict(&case, &investigation.verdict());
    }
}

#[test]
fn the_neighbours_word_is_waited_for_where_it_decides() {
    let liar = World::new().resolve(|vantage, control| match (vantage, control) {
        ("you" | "sibling", false) => Name::Is(vec![ip("0.0.0.0")]),
        _ => Name::Is(Vec::new()),
    });
    let mut investigation = Investigation::new(liar.case());
    let mut now = 0.0;
    loop {
        let asks = investigation.poll_asks(Duration::from_secs_f64(now / 1_000.0));
        if asks.is_empty() {
            break;
        }
        for ask in asks.iter().filter(|ask| ask.vantage.as_str() != "sibling") {
            let (observations, end) = liar.answer(ask, now);
            for (_, observation) in observations {
                investigation.handle_observation(observation);
            }
            investigation.handle_done(&ask.vantage, ask.request.request);
            now = f64::max(now, end);
        }
    }
    // Somebody who waits for nobody wants to be woken, or is done.
    assert!(!investigation.is_concluded());
    assert_eq!(investigation.wakes_at(), None);
}
