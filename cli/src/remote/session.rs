//! One check on the coordinator's side: it asks the other vantages and this one, and concludes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use onlyhere_proto::{
    CheckId, CheckRequest, Invalid, LocalFacts, Observation, Report, Selector, Symptom, Target,
    Vantage, Verdict, limits, wire,
};
use prost::Message as _;
use rustls::RootCertStore;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use wire::{
    public_service_check_request::Message as Outgoing,
    public_service_check_response::Message as Incoming,
};

use super::{CoordinatorUrl, RemoteError, authorized, client, connect, resolve};
use crate::{
    caller::{Answer, Asker, Caller},
    render::progress::{Event, Watch},
    settings::Token,
};

/// Requests the coordinator may have sent in one check.
const REQUESTS: usize = 256;

/// What is asked of the coordinator.
#[derive(Debug, Clone)]
pub struct Question {
    /// What to check.
    pub target: Target,
    /// Which vantages; empty: the coordinator's choice.
    pub from: Vec<Selector>,
    /// The caller is no vantage.
    pub no_local: bool,
    /// What the person's browser showed.
    pub seen: Option<Symptom>,
    /// Addresses that the target's owner expects its name to have.
    pub expected_addresses: Vec<IpAddr>,
    /// For the whole check.
    pub timeout: Duration,
    /// What this machine says of itself.
    pub local: LocalFacts,
}

/// A check that the coordinator has accepted.
#[derive(Debug)]
pub struct Session {
    url: CoordinatorUrl,
    check: CheckId,
    /// This machine's address as the coordinator sees it.
    pub public_address: Option<IpAddr>,
    /// Who was picked, without the caller.
    pub vantages: Vec<Vantage>,
    outgoing: mpsc::Sender<wire::PublicServiceCheckRequest>,
    incoming: Streaming<wire::PublicServiceCheckResponse>,
}

impl Session {
    /// Connects, asks, and waits until the coordinator has accepted, all within `within`. `elsewhere` gives its
    /// addresses where the system's resolver does not.
    pub async fn open(
        url: &CoordinatorUrl,
        token: &Token,
        roots: Arc<RootCertStore>,
        question: &Question,
        elsewhere: impl Future<Output = Vec<IpAddr>>,
        within: Duration,
    ) -> Result<Self, RemoteError> {
        let until = Instant::now() + within;
        let addresses = resolve::addresses(url, elsewhere, within).await?;
        let opening = Self::open_unhurried(url, addresses, token, roots, question);
        tokio::time::timeout_at(until, opening)
            .await
            .unwrap_or_else(|_| {
                Err(RemoteError::TooSlow {
                    url: url.clone(),
                    within,
                })
            })
    }

    async fn open_unhurried(
        url: &CoordinatorUrl,
        addresses: Vec<SocketAddr>,
        token: &Token,
        roots: Arc<RootCertStore>,
        question: &Question,
    ) -> Result<Self, RemoteError> {
        let channel = connect::connect(url, addresses, roots).await?;
        let (outgoing, messages) = mpsc::channel(64);
        // The channel is new and empty: this cannot fail.
        let _ = outgoing.try_send(wire::PublicServiceCheckRequest {
            message: Some(Outgoing::Start(start(question))),
        });
        let refused = |status: &tonic::Status| RemoteError::from_status(url, status);
        let answer = client(channel)
            .check(authorized(ReceiverStream::new(messages), token))
            .await
            .map_err(|status| refused(&status))?;
        let mut incoming = answer.into_inner();
        let first = incoming
            .message()
            .await
            .map_err(|status| refused(&status))?;
        let Some(Incoming::Accepted(accepted)) = first.and_then(|message| message.message) else {
            return Err(Invalid::Missing("accepted").into());
        };
        at_most("vantages", accepted.vantages.len(), limits::VANTAGES + 1)?;
        let vantages = accepted.vantages.into_iter().map(Vantage::try_from);
        Ok(Self {
            url: url.clone(),
            check: accepted
                .check_id
                .parse()
                .map_err(|_| Invalid::Missing("check_id"))?,
            // Only shown, so one that cannot be read is as good as none.
            public_address: accepted.public_address.parse().ok(),
            vantages: vantages
                .filter(|vantage| !vantage.as_ref().is_ok_and(|vantage| vantage.id.is_you()))
                .collect::<Result<_, _>>()?,
            outgoing,
            incoming,
        })
    }

    /// Answers what the coordinator asks of this machine until it reports.
    pub async fn conclude(
        mut self,
        caller: Option<&Caller>,
        watch: &Watch,
    ) -> Result<Report, RemoteError> {
        let (sender, mut answers) = mpsc::channel(limits::BATCH);
        let mut asked = Asked {
            sender,
            cancels: HashMap::new(),
        };
        loop {
            tokio::select! {
                message = self.incoming.message() => {
                    let message = message.map_err(|status| RemoteError::from_status(&self.url, &status))?;
                    let Some(message) = message else {
                        let why = "it ended the stream without a report".to_owned();
                        return Err(RemoteError::Lost { url: self.url, why });
                    };
                    if let Some(report) = self.handle(message, caller, watch, &mut asked).await? {
                        return Ok(report);
                    }
                }
                Some(answer) = answers.recv() => self.send_answers(answer, &mut answers).await,
            }
        }
    }

    async fn handle(
        &self,
        message: wire::PublicServiceCheckResponse,
        caller: Option<&Caller>,
        watch: &Watch,
        asked: &mut Asked,
    ) -> Result<Option<Report>, RemoteError> {
        match message.message {
            Some(Incoming::Check(request)) => {
                at_most("requests", asked.cancels.len(), REQUESTS)?;
                self.take_request(request, caller, asked).await;
            }
            Some(Incoming::Cancel(cancel)) => {
                if let Some(token) = asked.cancels.remove(&cancel.request) {
                    token.cancel();
                }
            }
            Some(Incoming::Observations(batch)) => {
                for observation in batch.observations.into_iter().take(limits::BATCH) {
                    watch.tell(Event::Observed(Observation::try_from(observation)?));
                }
            }
            Some(Incoming::Provisional(verdict)) => {
                watch.tell(Event::Provisional(Verdict::try_from(verdict)?))
            }
            Some(Incoming::Report(report)) => return self.believable(report).map(Some),
            // A newer coordinator may say things that this program does not know.
            Some(Incoming::Accepted(_)) | None => {}
        }
        Ok(None)
    }

    async fn take_request(
        &self,
        request: wire::CheckRequest,
        caller: Option<&Caller>,
        asked: &mut Asked,
    ) {
        let number = request.request;
        let read = CheckRequest::try_from(request).map_err(|error| error.to_string());
        let request = read.and_then(|request| {
            if request.check == self.check {
                Ok(request)
            } else {
                Err("it belongs to another check".to_owned())
            }
        });
        match (request, caller) {
            (Ok(request), Some(caller)) => {
                let cancel = CancellationToken::new();
                asked.cancels.insert(number, cancel.clone());
                caller.answer(Asker::Coordinator, request, asked.sender.clone(), cancel);
            }
            (Ok(_), None) => self.send(Outgoing::Done(self.done(number))).await,
            (Err(error), _) => {
                tracing::warn!(
                    number,
                    error,
                    "the coordinator's request is not carried out"
                );
                self.send(Outgoing::Done(self.done(number))).await;
            }
        }
    }

    /// Sends one answer and whatever else is ready, observations in one message.
    async fn send_answers(&self, first: Answer, more: &mut mpsc::Receiver<Answer>) {
        let mut observations = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(answer) = next.take() {
            match answer {
                Answer::Observed(observation) => {
                    let observation = wire::Observation::from(&*observation);
                    bytes += observation.encoded_len();
                    observations.push(observation);
                }
                Answer::Done(number) => {
                    self.flush(&mut observations).await;
                    bytes = 0;
                    self.send(Outgoing::Done(self.done(number))).await;
                }
            }
            if observations.len() < limits::BATCH && bytes < limits::CALLER_MESSAGE / 2 {
                next = more.try_recv().ok();
            }
        }
        self.flush(&mut observations).await;
    }

    async fn flush(&self, observations: &mut Vec<wire::Observation>) {
        if !observations.is_empty() {
            let observations = std::mem::take(observations);
            self.send(Outgoing::Observations(wire::ObservationBatch {
                observations,
            }))
            .await;
        }
    }

    fn done(&self, request: u32) -> wire::RequestDone {
        wire::RequestDone {
            check_id: self.check.to_string(),
            request,
        }
    }

    async fn send(&self, message: Outgoing) {
        // A stream that is gone shows on the incoming side, with its reason.
        let _ = self
            .outgoing
            .send(wire::PublicServiceCheckRequest {
                message: Some(message),
            })
            .await;
    }

    fn believable(&self, report: wire::Report) -> Result<Report, RemoteError> {
        let report = Report::try_from(report)?;
        if report.id == self.check {
            Ok(report)
        } else {
            Err(Invalid::Value {
                field: "report.id",
                value: report.id.to_string(),
                expected: "id of this check",
            }
            .into())
        }
    }
}

/// What the coordinator has under way at this machine.
struct Asked {
    sender: mpsc::Sender<Answer>,
    cancels: HashMap<u32, CancellationToken>,
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), Invalid> {
    if got <= max {
        Ok(())
    } else {
        Err(Invalid::TooMany {
            field,
            got: got as u64,
            max: max as u64,
        })
    }
}

fn start(question: &Question) -> wire::Start {
    wire::Start {
        target: question.target.input.clone(),
        from: question.from.iter().map(ToString::to_string).collect(),
        no_local: question.no_local,
        seen: question
            .seen
            .map(|symptom| symptom.label().to_owned())
            .unwrap_or_default(),
        timeout_ms: u32::try_from(question.timeout.as_millis()).unwrap_or(u32::MAX),
        local: Some((&question.local).into()),
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        expected_addresses: question
            .expected_addresses
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}
