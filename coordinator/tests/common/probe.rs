//! A probe for tests: enrols, attaches and answers as it is told, over the real protocol.

use std::net::{IpAddr, Ipv4Addr};

use onlyhere_coordinator::{place::Place, tokens::Secret};
use onlyhere_proto::{
    CheckRequest, DnsAnswer, DnsFacts, Facts, Family, Micros, Observation, Outcome, Purpose,
    RecordType, ResolverKind, SaidBy, Stage, TcpFacts, Timestamp, VantageName, wire,
};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use wire::{
    attach_request::Message as ToCoordinator, attach_response::Message as FromCoordinator,
    probe_service_client::ProbeServiceClient,
};

use super::{Coordinator, probe_tls, within};

/// What a probe attaches with.
pub struct Identity {
    pub name: String,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Identity {
    pub fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        (self.chain.clone(), key.into())
    }
}

/// Enrols with a secret, as `onlyhere-probe join` does.
pub async fn enrol(
    coordinator: &Coordinator,
    secret: &str,
    name: &str,
) -> Result<Identity, Status> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let channel = coordinator.probe_channel(None).await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    let request = wire::EnrolRequest {
        secret: secret.to_owned(),
        signing_request: request.der().to_vec(),
        name: name.to_owned(),
    };
    let response = ProbeServiceClient::new(channel)
        .enrol(request)
        .await?
        .into_inner();
    let chain = response
        .certificate_chain
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    Ok(Identity {
        name: response.name,
        chain,
        key,
    })
}

/// The open stream of an attached probe.
pub struct Stream {
    pub send: mpsc::Sender<wire::AttachRequest>,
    pub receive: Streaming<wire::AttachResponse>,
    _channel: Channel,
}

impl Stream {
    pub async fn say(&self, message: ToCoordinator) {
        let _ = self
            .send
            .send(wire::AttachRequest {
                message: Some(message),
            })
            .await;
    }

    pub async fn observe(&self, observations: &[Observation]) {
        let observations = observations.iter().map(Into::into).collect();
        self.say(ToCoordinator::Observations(wire::ObservationBatch {
            observations,
        }))
        .await;
    }

    pub async fn done(&self, request: &CheckRequest) {
        self.say(ToCoordinator::Done(wire::RequestDone {
            check_id: request.check.to_string(),
            request: request.request,
        }))
        .await;
    }

    /// The next message; none when the coordinator has closed the stream without a word.
    pub async fn hear(&mut self) -> Result<Option<FromCoordinator>, Status> {
        Ok(self
            .receive
            .message()
            .await?
            .and_then(|response| response.message))
    }

    /// Why the coordinator ends the stream.
    pub async fn hear_the_end(&mut self) -> Status {
        within(async {
            loop {
                match self.hear().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok("closed"),
                    Err(status) => return status,
                }
            }
        })
        .await
    }
}

/// Asks for a new certificate, as the daemon does; gives it with the authorities that come with it.
pub async fn renew(
    coordinator: &Coordinator,
    old: &Identity,
) -> Result<(Identity, Vec<CertificateDer<'static>>), Status> {
    let trusted = [coordinator.authority().certificate().clone()];
    renew_trusting(coordinator, old, &trusted).await
}

/// The same by a probe that trusts these authorities.
pub async fn renew_trusting(
    coordinator: &Coordinator,
    old: &Identity,
    trusted: &[CertificateDer<'static>],
) -> Result<(Identity, Vec<CertificateDer<'static>>), Status> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let request = wire::RenewRequest {
        signing_request: request.der().to_vec(),
    };
    let channel = channel_trusting(coordinator, Some(old), trusted).await?;
    let response = ProbeServiceClient::new(channel)
        .renew(request)
        .await?
        .into_inner();
    let certificates = |list: Vec<Vec<u8>>| list.into_iter().map(CertificateDer::from).collect();
    let identity = Identity {
        name: old.name.clone(),
        chain: certificates(response.certificate_chain),
        key,
    };
    Ok((identity, certificates(response.authorities)))
}

/// Attaches, greets, and waits for the welcome.
pub async fn attach(coordinator: &Coordinator, identity: &Identity) -> Result<Stream, Status> {
    let trusted = [coordinator.authority().certificate().clone()];
    attach_trusting(coordinator, identity, &trusted).await
}

/// The same by a probe that trusts these authorities.
pub async fn attach_trusting(
    coordinator: &Coordinator,
    identity: &Identity,
    trusted: &[CertificateDer<'static>],
) -> Result<Stream, Status> {
    let channel = channel_trusting(coordinator, Some(identity), trusted).await?;
    greet(open_over(channel).await?, identity, "").await
}

/// Attaches as this process of a probe.
pub async fn attach_as(
    coordinator: &Coordinator,
    identity: &Identity,
    instance: &str,
) -> Result<Stream, Status> {
    greet(open(coordinator, Some(identity)).await?, identity, instance).await
}

async fn greet(mut stream: Stream, identity: &Identity, instance: &str) -> Result<Stream, Status> {
    stream
        .say(ToCoordinator::Hello(wire::Hello {
            version: "test".into(),
            capabilities: vec!["ipv4".into()],
            source_addresses: vec!["192.0.2.77".into()],
            instance: instance.into(),
        }))
        .await;
    match stream.hear().await? {
        Some(FromCoordinator::Welcome(welcome)) if welcome.name == identity.name => Ok(stream),
        other => Err(Status::internal(format!("no welcome but {other:?}"))),
    }
}

/// Opens the stream and says nothing.
pub async fn open(
    coordinator: &Coordinator,
    identity: Option<&Identity>,
) -> Result<Stream, Status> {
    let trusted = [coordinator.authority().certificate().clone()];
    open_over(channel_trusting(coordinator, identity, &trusted).await?).await
}

async fn channel_trusting(
    coordinator: &Coordinator,
    identity: Option<&Identity>,
    trusted: &[CertificateDer<'static>],
) -> Result<Channel, Status> {
    let tls = probe_tls(trusted, identity.map(Identity::for_tls));
    let channel = coordinator.channel_with(tls).await;
    channel.map_err(|error| Status::unavailable(error.to_string()))
}

/// The same over a connection that is open.
pub async fn open_over(channel: Channel) -> Result<Stream, Status> {
    let (send, waiting) = mpsc::channel(1_024);
    let mut client = ProbeServiceClient::new(channel.clone());
    let receive = client
        .attach(ReceiverStream::new(waiting))
        .await?
        .into_inner();
    Ok(Stream {
        send,
        receive,
        _channel: channel,
    })
}

/// How a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Sees the target in order.
    Healthy,
    /// Sees the target refuse.
    Refused,
    /// Takes requests and never answers.
    Dead,
    /// Says in the caller's name, and in all others', that the target refuses; says nothing in its own.
    Lying,
    /// Breaks the connection at the first request.
    Leaving,
    /// Says that the name leads to an address of a private network, where nothing answers.
    Misleading,
}

/// Enrols and attaches a probe that answers in this manner until it is dropped or cut off.
pub async fn start(coordinator: &Coordinator, name: &str, asn: u32, manner: Manner) -> Running {
    let place = Place {
        region: Some("eu".into()),
        asn: Some(asn),
        ..Place::default()
    };
    let secret: Secret = coordinator.probe_token(name, place).await;
    let identity = enrol(coordinator, secret.as_str(), "").await.unwrap();
    let stream = attach(coordinator, &identity).await.unwrap();
    let (cancelled, cancellations) = mpsc::unbounded_channel();
    let task = tokio::spawn(answer(stream, manner, cancelled));
    Running {
        identity,
        task,
        cancellations,
    }
}

/// A probe that answers by itself.
pub struct Running {
    pub identity: Identity,
    pub task: JoinHandle<()>,
    /// Requests that the coordinator has withdrawn.
    pub cancellations: mpsc::UnboundedReceiver<u32>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers in a manner until the stream ends.
pub async fn answer(mut stream: Stream, manner: Manner, cancelled: mpsc::UnboundedSender<u32>) {
    while let Ok(Some(message)) = stream.hear().await {
        let request = match message {
            FromCoordinator::Check(request) => CheckRequest::try_from(request).unwrap(),
            FromCoordinator::Cancel(cancel) => {
                let _ = cancelled.send(cancel.request);
                continue;
            }
            FromCoordinator::Welcome(_) | FromCoordinator::Renew(_) => continue,
        };
        match manner {
            Manner::Healthy => {
                stream.observe(&see(&request, Outcome::Ok)).await;
                stream.done(&request).await;
            }
            Manner::Refused => {
                stream.observe(&see(&request, Outcome::Refused)).await;
                stream.done(&request).await;
            }
            Manner::Dead => {}
            Manner::Lying => {
                for number in (0..40).filter(|number| *number != request.request) {
                    let others = CheckRequest {
                        request: number,
                        ..request.clone()
                    };
                    stream.observe(&see(&others, Outcome::Refused)[..1]).await;
                }
            }
            Manner::Leaving => return,
            Manner::Misleading => {
                let mut seen = see(&request, Outcome::Timeout);
                for observation in &mut seen {
                    mislead(observation);
                }
                stream.observe(&seen).await;
                stream.done(&request).await;
            }
        }
    }
}

/// An address of a special range, of somebody's laboratory perhaps.
pub const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 9));

fn mislead(observation: &mut Observation) {
    if let Some(Facts::Dns(dns)) = &mut observation.facts {
        for answer in &mut dns.answers {
            answer.address = PRIVATE;
        }
    }
    observation.address = observation.address.map(|_| PRIVATE);
}

/// What a vantage sees that does what it is asked: the name resolves to 192.0.2.80, and every stage ends as `outcome` says.
pub fn see(request: &CheckRequest, outcome: Outcome) -> Vec<Observation> {
    let mut seen = if request.addresses.is_empty() {
        resolution(request)
    } else {
        Vec::new()
    };
    if request.ping || request.depth == Stage::Icmp {
        seen.push(stage(request, Stage::Icmp, Outcome::Ok));
    }
    // Controls are healthy for everybody.
    let is_control = request.purpose == Purpose::Control;
    let outcome = if is_control { Outcome::Ok } else { outcome };
    if request.depth != Stage::Icmp && request.depth >= Stage::Tcp {
        seen.push(stage(request, Stage::Tcp, outcome));
        if outcome == Outcome::Ok && request.depth >= Stage::Tls && request.target.is_tls() {
            seen.push(stage(request, Stage::Tls, Outcome::Ok));
        }
        if outcome == Outcome::Ok && request.depth == Stage::Http {
            seen.push(stage(request, Stage::Http, Outcome::Ok));
        }
    }
    for (sequence, observation) in (0..).zip(&mut seen) {
        observation.sequence = sequence;
    }
    seen
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));

fn blank(request: &CheckRequest, stage: Stage, outcome: Outcome) -> Observation {
    Observation {
        check: request.check.clone(),
        request: request.request,
        sequence: 0,
        // The coordinator must not care for this.
        vantage: VantageName::you(),
        purpose: request.purpose,
        stage,
        host: request.target.host.to_string(),
        source: None,
        address: None,
        port: None,
        family: Some(Family::V4),
        started_at: Timestamp(1_767_323_045_000_000),
        elapsed_ms: Micros(20_000),
        slot: request.slot,
        outcome,
        said_by: None,
        detail: None,
        facts: None,
    }
}

fn resolution(request: &CheckRequest) -> Vec<Observation> {
    let dns = |record_type, outcome, answers| Observation {
        facts: Some(Facts::Dns(DnsFacts {
            resolver: Some("192.0.2.53".parse().unwrap()),
            kind: ResolverKind::System,
            record_type,
            rcode: Some(0),
            answers,
            cname_chain: Vec::new(),
        })),
        ..blank(request, Stage::Dns, outcome)
    };
    let answer = DnsAnswer {
        address: ADDRESS,
        ttl_s: 60,
    };
    vec![
        dns(RecordType::A, Outcome::Ok, vec![answer]),
        dns(RecordType::Aaaa, Outcome::NoAnswer, Vec::new()),
    ]
}

fn stage(request: &CheckRequest, stage: Stage, outcome: Outcome) -> Observation {
    let round_trip = TcpFacts {
        syn_retransmits: Some(0),
        round_trip_ms: Some(Micros(20_000)),
        ..TcpFacts::default()
    };
    Observation {
        address: Some(ADDRESS),
        port: request.target.port.filter(|_| stage != Stage::Icmp),
        said_by: (outcome == Outcome::Refused).then_some(SaidBy::Rst),
        facts: (stage == Stage::Tcp).then_some(Facts::Tcp(round_trip)),
        ..blank(request, stage, outcome)
    }
}
