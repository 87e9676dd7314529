//! The program against a coordinator that speaks the real protocol over a real socket and follows a script.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use onlyhere_proto::{CheckRequest, Purpose, Report, Target, wire};
use tokio::{net::TcpListener, process::Command, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use wire::{
    public_service_check_request::Message as FromCaller,
    public_service_check_response::Message as ToCaller,
    public_service_server::{PublicService, PublicServiceServer},
};

const CHECK: &str = "01JD0000000000000000000000";

/// How far the coordinator goes before its stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Asks the caller twice for the same, and reports what it was told.
    Reports,
    /// Asks the caller, then ends the stream.
    Dies,
    /// Accepts, and reports under another check's id.
    Lies,
}

/// What the caller sent.
#[derive(Debug, Default)]
struct Heard {
    start: Option<wire::Start>,
    observations: Vec<wire::Observation>,
    done: Vec<u32>,
}

#[derive(Clone)]
struct Coordinator {
    script: Script,
    /// What the caller is asked to try.
    ask: Target,
    heard: Arc<Mutex<Heard>>,
}

type Answers = ReceiverStream<Result<wire::PublicServiceCheckResponse, Status>>;

fn authorised(metadata: &tonic::metadata::MetadataMap) -> Result<(), Status> {
    match metadata.get("authorization") {
        Some(value) if value == "Bearer right" => Ok(()),
        _ => Err(Status::unauthenticated("no such token")),
    }
}

#[tonic::async_trait]
impl PublicService for Coordinator {
    type CheckStream = Answers;

    async fn check(
        &self,
        request: Request<Streaming<wire::PublicServiceCheckRequest>>,
    ) -> Result<Response<Answers>, Status> {
        authorised(request.metadata())?;
        let (sender, receiver) = mpsc::channel(16);
        let this = self.clone();
        tokio::spawn(async move { this.converse(request.into_inner(), sender).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_vantages(
        &self,
        request: Request<wire::ListVantagesRequest>,
    ) -> Result<Response<wire::ListVantagesResponse>, Status> {
        authorised(request.metadata())?;
        let all = [vantage("fra1", "DE"), vantage("nyc1", "US")];
        let selector = request.into_inner().selector.to_uppercase();
        let vantages = all
            .into_iter()
            .filter(|v| selector.is_empty() || v.country == selector)
            .collect();
        Ok(Response::new(wire::ListVantagesResponse { vantages }))
    }
}

impl Coordinator {
    async fn converse(
        &self,
        mut caller: Streaming<wire::PublicServiceCheckRequest>,
        sender: mpsc::Sender<Result<wire::PublicServiceCheckResponse, Status>>,
    ) {
        let say = async |message| {
            let _ = sender
                .send(Ok(wire::PublicServiceCheckResponse {
                    message: Some(message),
                }))
                .await;
        };
        if let Ok(Some(wire::PublicServiceCheckRequest {
            message: Some(FromCaller::Start(start)),
        })) = caller.message().await
        {
            self.heard.lock().unwrap().start = Some(start);
        }
        say(ToCaller::Accepted(wire::Accepted {
            check_id: CHECK.into(),
            public_address: "203.0.113.7".into(),
            vantages: vec![vantage("fra1", "DE")],
        }))
        .await;
        say(ToCaller::Check(self.request(1))).await;
        if self.script == Script::Dies {
            return;
        }
        if self.script == Script::Lies {
            say(ToCaller::Report(self.report("01JD0000000000000000000009"))).await;
            return;
        }
        say(ToCaller::Check(self.request(2))).await;
        while let Ok(Some(message)) = caller.message().await {
            let done = {
                let mut heard = self.heard.lock().unwrap();
                match message.message {
                    Some(FromCaller::Observations(batch)) => {
                        heard.observations.extend(batch.observations)
                    }
                    Some(FromCaller::Done(done)) => heard.done.push(done.request),
                    _ => {}
                }
                heard.done.len()
            };
            if done == 2 {
                break;
            }
        }
        say(ToCaller::Report(self.report(CHECK))).await;
    }

    fn request(&self, number: u32) -> wire::CheckRequest {
        (&CheckRequest {
            check: CHECK.parse().unwrap(),
            request: number,
            purpose: Purpose::Target,
            depth: self.ask.depth(),
            target: self.ask.clone(),
            addresses: Vec::new(),
            ping: false,
            resolvers: Vec::new(),
            deadline: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(3),
            max_connections: 4,
            slot: 7,
            way: Default::default(),
            authoritative: false,
        })
            .into()
    }

    fn report(&self, id: &str) -> wire::Report {
        let observations = self.heard.lock().unwrap().observations.clone();
        wire::Report {
            conditions: None,
            id: id.into(),
            started_at_us: 1_767_323_045_678_000,
            duration_us: 400_000,
            target: Some((&self.ask).into()),
            verdict: Some(wire::Verdict {
                scope: wire::Scope::Global.into(),
                mechanism: wire::Mechanism::Refused.into(),
                headline: "Refused everywhere \x1b[31m".into(),
                actor: wire::Actor::Site.into(),
                confidence: 0.97,
                complete: true,
                ..Default::default()
            }),
            subject: Some(wire::Subject {
                vantage: "you".into(),
                ..Default::default()
            }),
            vantages: vec![
                wire::VantageReport {
                    vantage: Some(vantage("you", "")),
                    observations,
                },
                wire::VantageReport {
                    vantage: Some(vantage("fra1", "DE")),
                    observations: Vec::new(),
                },
            ],
        }
    }
}

fn vantage(name: &str, country: &str) -> wire::Vantage {
    wire::Vantage {
        name: name.into(),
        country: country.into(),
        ..Default::default()
    }
}

/// A running coordinator, its address, and what it hears.
async fn coordinator(script: Script, ask: &str) -> (String, Arc<Mutex<Heard>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Heard::default()));
    let service = Coordinator {
        script,
        ask: Target::parse(ask).unwrap(),
        heard: Arc::clone(&heard),
    };
    let server = tonic::transport::Server::builder().add_service(PublicServiceServer::new(service));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, heard)
}

/// Runs the program with loopback treated like a public range, so that a coordinator is asked about it.
async fn onlyhere(args: &[&str], url: &str, token: &str) -> std::process::Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_onlyhere"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("ONLYHERE_COORDINATOR", url)
        .env("ONLYHERE_TOKEN", token)
        .env("ONLYHERE_ALLOW_PRIVATE", "[127.0.0.0/8]")
        .env("ONLYHERE_CONTROLS", "[]")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_caller_answers_as_a_vantage_and_shows_the_coordinators_report() {
    let (_server, address) = server().await;
    let target = address.to_string();
    let (url, heard) = coordinator(Script::Reports, &target).await;

    let args = [
        "check",
        &target,
        "--from",
        "eu@2",
        "--seen",
        "refused",
        "--timeout",
        "8s",
        "--format",
        "json",
    ];
    let output = onlyhere(&args, &url, "right").await;
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(16));
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.id.as_str(), CHECK);
    assert_eq!(report.vantages.len(), 2);

    let heard = heard.lock().unwrap();
    let start = heard.start.as_ref().unwrap();
    assert_eq!(
        (start.target.as_str(), &start.from[..], start.seen.as_str()),
        (&target[..], &["eu@2".to_owned()][..], "refused")
    );
    assert_eq!((start.timeout_ms, start.no_local), (8_000, false));
    let mut done = heard.done.clone();
    done.sort_unstable();
    assert_eq!(done, [1, 2]);
    // Asked twice for the same: tried once, answered twice.
    let times = |number| {
        let of_one = heard
            .observations
            .iter()
            .filter(move |o| o.request == number);
        of_one
            .map(|o| (o.stage, o.started_at_us, o.elapsed_us, o.outcome))
            .collect::<Vec<_>>()
    };
    assert_eq!(times(1), times(2));
    assert!(times(1).iter().any(|&(stage, .., outcome)| {
        stage == i32::from(wire::Stage::Tcp) && outcome == i32::from(wire::Outcome::Ok)
    }));
    assert!(
        heard
            .observations
            .iter()
            .all(|o| o.check_id == CHECK && o.slot == 7)
    );
}

#[tokio::test]
async fn what_the_owner_expects_is_told_to_the_coordinator() {
    let (url, heard) = coordinator(Script::Reports, "shop.example").await;
    let args = [
        "shop.example",
        "--no-local",
        "--expect-address",
        "192.0.2.80",
        "--expect-address",
        "2001:db8::80",
    ];
    let output = onlyhere(&args, &url, "right").await;
    assert_eq!(output.status.code(), Some(16), "{}", text(&output.stderr));
    let heard = heard.lock().unwrap();
    let start = heard.start.as_ref().unwrap();
    assert_eq!(start.expected_addresses, ["192.0.2.80", "2001:db8::80"]);
}

#[tokio::test]
async fn the_text_report_cannot_steer_the_terminal() {
    let (_server, address) = server().await;
    let (url, _) = coordinator(Script::Reports, &address.to_string()).await;
    let output = onlyhere(&[&address.to_string()], &url, "right").await;
    let shown = text(&output.stdout);
    assert!(shown.starts_with("✗ Refused everywhere"), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[tokio::test]
async fn a_coordinator_lost_in_mid_check_leaves_the_local_verdict() {
    for script in [Script::Dies, Script::Lies] {
        let (_server, address) = server().await;
        let target = address.to_string();
        let (url, _) = coordinator(script, &target).await;

        let output = onlyhere(&["check", &target, "--format", "json"], &url, "right").await;
        let complaint = text(&output.stderr);
        assert_eq!(complaint.lines().count(), 1, "{script:?}: {complaint}");
        assert!(
            complaint.contains("judging from this machine alone"),
            "{script:?}: {complaint}"
        );
        assert_eq!(output.status.code(), Some(0), "{script:?}: {complaint}");
        let report: Report = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report.verdict.complete);
        assert_eq!(report.vantages.len(), 1);

        let output = onlyhere(&["check", &target, "--require-coordinator"], &url, "right").await;
        assert_eq!(output.status.code(), Some(3), "{script:?}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_as_such() {
    let (_server, address) = server().await;
    let target = address.to_string();
    let (url, _) = coordinator(Script::Reports, &target).await;

    let output = onlyhere(&[&target], &url, "wrong").await;
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stderr).contains("refuses the token: no such token; judging"),
        "{}",
        text(&output.stderr)
    );
    let output = onlyhere(&[&target, "--require-coordinator"], &url, "wrong").await;
    assert_eq!(output.status.code(), Some(3));
    let output = onlyhere(&[&target], &url, "").await;
    assert!(
        text(&output.stderr).contains("needs a token; type `onlyhere login"),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test]
async fn private_targets_are_not_told_to_the_coordinator() {
    let (_server, address) = server().await;
    let (url, heard) = coordinator(Script::Reports, &address.to_string()).await;
    let target = format!("localhost:{}", address.port());
    let output = onlyhere(&[&target, "--format", "json"], &url, "right").await;
    assert_eq!(text(&output.stderr), "");
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code != 3 && code != 1)
    );
    assert!(heard.lock().unwrap().start.is_none());
}

#[tokio::test]
async fn vantages_are_listed_for_people_and_scripts() {
    let (url, _) = coordinator(Script::Reports, "127.0.0.1:1").await;
    let output = onlyhere(&["vantages"], &url, "right").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("fra1") && text(&output.stdout).contains("2 vantages"));

    let output = onlyhere(&["vantages", "us", "--format", "json"], &url, "right").await;
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed["vantages"].as_array().unwrap().len(), 1);
    assert_eq!(listed["vantages"][0]["id"], "nyc1");
}

#[tokio::test]
async fn a_token_that_the_coordinator_takes_is_stored_and_used() {
    let (url, _) = coordinator(Script::Reports, "127.0.0.1:1").await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/onlyhere/credentials.toml");
    let typed = home.path().join("typed");
    let run = |args: &[&str], token: &str| {
        std::fs::write(&typed, format!("{token}\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onlyhere"));
        command.args(args).env_clear().env("HOME", home.path());
        command.stdin(std::fs::File::open(&typed).unwrap());
        command.output()
    };
    let output = run(&["login", &url], "wrong").await.unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(!file.exists(), "a token that is refused is not stored");
    let output = run(&["login", &url], "").await.unwrap();
    assert_eq!(output.status.code(), Some(2));

    let output = run(&["login", &url], "right").await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("right"));
    let output = run(&["vantages"], "").await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // A flag wins.
    let output = run(&["vantages", "--token", "wrong"], "").await.unwrap();
    assert_eq!(output.status.code(), Some(3));

    let output = run(&["logout", &url], "").await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = run(&["vantages"], "").await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("onlyhere login URL"));
}
