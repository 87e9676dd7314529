//! A caller for tests: asks, is a vantage itself, and notes everything it is told.

use std::time::{Duration, Instant};

use onlyhere_proto::{CheckRequest, Observation, Outcome, Report, Vantage, Verdict, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, metadata::MetadataValue, transport::Channel};
use wire::{
    public_service_check_request::Message as ToCoordinator,
    public_service_check_response::Message as FromCoordinator,
    public_service_client::PublicServiceClient,
};

use super::{Coordinator, probe::see, within};

/// Adds the bearer token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Names of those who are attached.
pub async fn vantages(coordinator: &Coordinator, token: &str) -> Vec<String> {
    let mut client = PublicServiceClient::new(coordinator.api_channel().await);
    let list = wire::ListVantagesRequest::default();
    let response = client
        .list_vantages(with_token(list, token))
        .await
        .unwrap()
        .into_inner();
    response
        .vantages
        .into_iter()
        .map(|vantage| vantage.name)
        .collect()
}

pub fn start(target: &str) -> wire::Start {
    wire::Start {
        target: target.into(),
        timeout_ms: 10_000,
        client_version: "test".into(),
        ..Default::default()
    }
}

/// A check under way.
pub struct Check {
    pub send: mpsc::Sender<wire::PublicServiceCheckRequest>,
    pub receive: Streaming<wire::PublicServiceCheckResponse>,
}

/// Opens a check.
pub async fn open(
    coordinator: &Coordinator,
    token: &str,
    start: wire::Start,
) -> Result<Check, Status> {
    open_over(coordinator.api_channel().await, token, start).await
}

/// Opens a check over a connection that there is already.
pub async fn open_over(channel: Channel, token: &str, start: wire::Start) -> Result<Check, Status> {
    let (send, waiting) = mpsc::channel(64);
    let mut client = PublicServiceClient::new(channel)
        .max_decoding_message_size(onlyhere_proto::limits::MESSAGE);
    let first = wire::PublicServiceCheckRequest {
        message: Some(ToCoordinator::Start(start)),
    };
    send.send(first).await.unwrap();
    let request = with_token(ReceiverStream::new(waiting), token);
    let receive = client.check(request).await?.into_inner();
    Ok(Check { send, receive })
}

/// Everything a caller was told.
#[derive(Debug, Default)]
pub struct Told {
    pub vantages: Vec<Vantage>,
    pub public_address: String,
    pub requests: Vec<CheckRequest>,
    /// When each of them came, since the first.
    pub requested_at: Vec<Duration>,
    pub observations: Vec<Observation>,
    pub provisional: Vec<Verdict>,
    pub report: Option<Report>,
}

impl Told {
    pub fn report(&self) -> &Report {
        self.report.as_ref().expect("there is a report")
    }
}

impl Check {
    pub async fn say(&self, message: ToCoordinator) {
        let _ = self
            .send
            .send(wire::PublicServiceCheckRequest {
                message: Some(message),
            })
            .await;
    }

    pub async fn hear(&mut self) -> Result<Option<FromCoordinator>, Status> {
        Ok(self
            .receive
            .message()
            .await?
            .and_then(|response| response.message))
    }

    /// Answers every request with what a vantage sees when every stage ends like this, until the stream ends.
    pub async fn follow(self, outcome: Outcome) -> Result<Told, Status> {
        let mut told = Told::default();
        self.follow_into(outcome, &mut told).await?;
        Ok(told)
    }

    /// The same; what was told before a failure is not lost.
    pub async fn follow_into(mut self, outcome: Outcome, told: &mut Told) -> Result<(), Status> {
        within(async move {
            let mut first = None;
            while let Some(message) = self.hear().await? {
                match message {
                    FromCoordinator::Accepted(accepted) => {
                        told.public_address = accepted.public_address;
                        told.vantages = accepted
                            .vantages
                            .into_iter()
                            .map(|v| v.try_into().unwrap())
                            .collect();
                    }
                    FromCoordinator::Check(request) => {
                        let request = CheckRequest::try_from(request).unwrap();
                        let observations = see(&request, outcome).iter().map(Into::into).collect();
                        self.say(ToCoordinator::Observations(wire::ObservationBatch {
                            observations,
                        }))
                        .await;
                        self.say(ToCoordinator::Done(wire::RequestDone {
                            check_id: request.check.to_string(),
                            request: request.request,
                        }))
                        .await;
                        let first = *first.get_or_insert_with(Instant::now);
                        told.requested_at.push(first.elapsed());
                        told.requests.push(request);
                    }
                    FromCoordinator::Cancel(_) => {}
                    FromCoordinator::Observations(batch) => told.observations.extend(
                        batch
                            .observations
                            .into_iter()
                            .map(|o| Observation::try_from(o).unwrap()),
                    ),
                    FromCoordinator::Provisional(verdict) => {
                        told.provisional.push(verdict.try_into().unwrap())
                    }
                    FromCoordinator::Report(report) => {
                        told.report = Some(report.try_into().unwrap())
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

/// Opens a check and follows it to its end.
pub async fn check(
    coordinator: &Coordinator,
    token: &str,
    target: &str,
    outcome: Outcome,
) -> Result<Told, Status> {
    open(coordinator, token, start(target))
        .await?
        .follow(outcome)
        .await
}
