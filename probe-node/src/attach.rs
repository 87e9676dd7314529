//! The stream to the coordinator: checks come in, observations go out in batches as they are made.
//!
//! Requests run side by side, at most so many; whatever is over is answered at once with "busy", so that the coordinator
//! never waits for nothing. A request that cannot be read is answered with "done" and a line in the log.

use std::{collections::HashMap, time::Duration};

use onlyhere_proto::{
    CheckId, CheckRequest, Observation, VantageName, limits,
    wire::{
        self, AttachRequest, Hello, ObservationBatch, RequestDone,
        attach_request::Message as ToCoordinator, attach_response::Message as FromCoordinator,
        probe_service_client::ProbeServiceClient,
    },
};
use prost::Message;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::Channel};

use crate::{Prober, capabilities};

/// Messages waiting to be sent; a slow coordinator slows the checks down, not the memory up.
const OUTBOUND: usize = 64;
/// From dialling to the coordinator's greeting.
const GREETING: Duration = Duration::from_secs(10);
/// What runs when the probe is told to stop may take so long to finish.
const DRAIN: Duration = Duration::from_secs(4);
/// A batch is sent before it grows beyond this, bytes; far below [`limits::MESSAGE`].
const BATCH_BYTES: usize = 1024 * 1024;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The coordinator refused, or the connection broke.
    #[error("{}", said(.0))]
    Status(Box<Status>),
    /// No greeting.
    #[error("the coordinator does not greet")]
    Silent,
    /// The coordinator closed the stream.
    #[error("the coordinator closed the stream")]
    Closed,
}

fn said(status: &Status) -> String {
    use std::error::Error;
    match status.source() {
        Some(source) => format!("{} ({})", status.message(), crate::channel::reason(source)),
        None => status.message().to_owned(),
    }
}

impl From<Status> for AttachError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// What the daemon and one of its streams tell each other.
#[derive(Debug, Default)]
pub struct Signals {
    /// To the stream: finish what runs, and leave.
    pub stop: CancellationToken,
    /// To the stream: leave as soon as nothing runs.
    pub leave: CancellationToken,
    /// From the stream: the coordinator wants the certificate renewed now.
    pub renew: Notify,
}

/// What a stream works with.
#[derive(Clone)]
pub struct Worker {
    /// Tries what is asked.
    pub prober: Prober,
    /// Who this is.
    pub name: VantageName,
    /// Requests under way at once.
    pub requests: usize,
    /// Random, of this process alone: by it the coordinator tells a restart from a copy of this probe.
    pub instance: String,
}

impl Worker {
    /// Attaches over `channel`, calls `attached` once the coordinator has greeted, and works until it is told to stop
    /// (then what runs is finished first) or to leave, or the stream ends.
    pub async fn attach(
        &self,
        channel: Channel,
        signals: &Signals,
        attached: impl FnOnce(),
    ) -> Result<(), AttachError> {
        let (outbound, waiting) = mpsc::channel(OUTBOUND);
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: capabilities::labels(),
            source_addresses: self
                .prober
                .source_addresses()
                .map(ToString::to_string)
                .collect(),
            instance: self.instance.clone(),
        };
        // An error would mean that the receiver is gone, which is three lines below.
        let _ = outbound.send(message(ToCoordinator::Hello(hello))).await;
        let mut client = ProbeServiceClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE);
        let greeted = async {
            let mut inbound = client
                .attach(ReceiverStream::new(waiting))
                .await?
                .into_inner();
            match inbound.message().await?.and_then(|first| first.message) {
                Some(FromCoordinator::Welcome(welcome)) => Ok((inbound, welcome)),
                _ => Err(AttachError::Silent),
            }
        };
        let (inbound, welcome) = tokio::select! {
            greeted = time::timeout(GREETING, greeted) => greeted.map_err(|_| AttachError::Silent)??,
            () = signals.stop.cancelled() => return Ok(()),
        };
        let behind = welcome.now_us - jiff::Timestamp::now().as_microsecond();
        tracing::info!(
            name = welcome.name,
            clock_behind_ms = behind / 1_000,
            "attached"
        );
        attached();
        Session {
            worker: self,
            outbound,
            running: JoinSet::new(),
            cancels: HashMap::new(),
        }
        .work(inbound, signals)
        .await
    }
}

type Key = (CheckId, u32);

struct Session<'a> {
    worker: &'a Worker,
    outbound: mpsc::Sender<AttachRequest>,
    running: JoinSet<Key>,
    cancels: HashMap<Key, CancellationToken>,
}

impl Session<'_> {
    async fn work(
        mut self,
        mut inbound: Streaming<wire::AttachResponse>,
        signals: &Signals,
    ) -> Result<(), AttachError> {
        loop {
            tokio::select! {
                () = signals.stop.cancelled() => break,
                () = signals.leave.cancelled(), if self.running.is_empty() => break,
                Some(finished) = self.running.join_next() => {
                    if let Ok(key) = finished {
                        self.cancels.remove(&key);
                    }
                }
                received = inbound.message() => match received?.map(|r| r.message) {
                    Some(Some(FromCoordinator::Check(request))) => self.check(request).await,
                    Some(Some(FromCoordinator::Cancel(request))) => self.cancel(&request),
                    Some(Some(FromCoordinator::Renew(_))) => signals.renew.notify_one(),
                    // A second greeting, or a message of a newer coordinator.
                    Some(_) => {}
                    None => return Err(AttachError::Closed),
                },
            }
        }
        let finish = async { while self.running.join_next().await.is_some() {} };
        if time::timeout(DRAIN, finish).await.is_err() {
            tracing::info!("some requests are given up");
        }
        Ok(())
    }

    async fn check(&mut self, request: wire::CheckRequest) {
        let (check, number) = (request.check_id.clone(), request.request);
        let request = match CheckRequest::try_from(request) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "a request that cannot be read");
                if let Ok(check) = check.parse() {
                    done(&self.outbound, (check, number)).await;
                }
                return;
            }
        };
        let key = (request.check.clone(), request.request);
        if self.cancels.contains_key(&key) {
            tracing::warn!(check = %key.0, request = key.1, "a request that is under way already");
            return;
        }
        if self.running.len() >= self.worker.requests {
            tracing::warn!(check = %key.0, "busy: a request is declined");
            let declined = self.worker.prober.decline(
                &self.worker.name,
                &request,
                "this vantage is busy with other checks",
            );
            send(&self.outbound, vec![(&declined).into()]).await;
            done(&self.outbound, key).await;
            return;
        }
        tracing::debug!(check = %key.0, request = key.1, target = request.target.input, "check");
        let cancel = CancellationToken::new();
        self.cancels.insert(key.clone(), cancel.clone());
        let worker = self.worker.clone();
        self.running
            .spawn(answer(worker, request, self.outbound.clone(), cancel));
    }

    fn cancel(&mut self, request: &wire::CancelRequest) {
        let Ok(check) = request.check_id.parse() else {
            return;
        };
        if let Some(cancel) = self.cancels.get(&(check, request.request)) {
            cancel.cancel();
        }
    }
}

/// Runs one request and sends what it gives.
async fn answer(
    worker: Worker,
    request: CheckRequest,
    outbound: mpsc::Sender<AttachRequest>,
    cancel: CancellationToken,
) -> Key {
    let key = (request.check.clone(), request.request);
    let (sink, mut seen) = mpsc::channel(limits::BATCH);
    let run = worker
        .prober
        .run(worker.name.clone(), request, sink, cancel);
    let forward = async {
        let mut fresh: Vec<Observation> = Vec::new();
        while seen.recv_many(&mut fresh, limits::BATCH).await > 0 {
            let batch = fresh.drain(..).map(|observation| (&observation).into());
            send(&outbound, batch.collect()).await;
        }
    };
    tokio::join!(run, forward);
    done(&outbound, key.clone()).await;
    key
}

/// Sends observations, in several messages where one would be too large. Nobody there to take them means that the
/// stream has ended, which its reader learns by itself.
async fn send(outbound: &mpsc::Sender<AttachRequest>, observations: Vec<wire::Observation>) {
    let mut batch = ObservationBatch::default();
    let mut size = 0;
    for observation in observations {
        let more = observation.encoded_len();
        if size + more > BATCH_BYTES && !batch.observations.is_empty() {
            let full = std::mem::take(&mut batch);
            let _ = outbound
                .send(message(ToCoordinator::Observations(full)))
                .await;
            size = 0;
        }
        size += more;
        batch.observations.push(observation);
    }
    let _ = outbound
        .send(message(ToCoordinator::Observations(batch)))
        .await;
}

async fn done(outbound: &mpsc::Sender<AttachRequest>, (check, request): Key) {
    let done = RequestDone {
        check_id: check.to_string(),
        request,
    };
    let _ = outbound.send(message(ToCoordinator::Done(done))).await;
}

fn message(message: ToCoordinator) -> AttachRequest {
    AttachRequest {
        message: Some(message),
    }
}
