//! The running coordinator. Listeners and the end come from outside; everything else is built here, once.

use std::{
    convert::Infallible, future::Future, num::NonZeroU32, path::Path, sync::Arc, time::Duration,
};

use onlyhere_proto::{
    limits,
    wire::{
        DESCRIPTORS, probe_service_server::ProbeServiceServer,
        public_service_server::PublicServiceServer,
    },
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use crate::{
    api::{self, Api, PublicPort},
    audit::Audit,
    clock,
    config::Config,
    fleet::{End, Fleet, ProbePort, roll::Roll, watch_certificates, watch_roll},
    geo::{Geo, GeoError},
    identity::{IdentityError, LiveAuthority, public::PublicCertificate},
    listen::{self, Bounds, Patience, Port, Stop, TlsSource},
    store::{self, Retention, Store, StoreError},
    tokens::Tokens,
};

/// Connections of enrolled probes.
const PROBES: usize = 12_288;
/// What callers may have. What they send is small: the answers of one vantage.
const PEOPLE: Bounds = Bounds {
    strangers: 1_024,
    per_address: 128,
    streams: 32,
    requests_per_second: NonZeroU32::new(100).expect("it is not zero"),
    windows: (64 * 1024, 256 * 1024),
    patience: Patience {
        first_request: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(15),
        call: Some(Duration::from_secs(180)),
    },
};
/// What probes may have, and those that may only enrol. A probe's stream lasts.
const FLEET: Bounds = Bounds {
    strangers: 512,
    per_address: 128,
    streams: 4,
    requests_per_second: NonZeroU32::new(20).expect("it is not zero"),
    windows: (1024 * 1024, 1024 * 1024),
    patience: Patience {
        first_request: Duration::from_secs(20),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(30),
        call: None,
    },
};
/// A signing request and a secret are far smaller.
const ENROL_MESSAGE: usize = 64 * 1024;
/// How soon a probe that was struck off loses its line, whoever struck it off.
const ROLL_WATCH: Duration = Duration::from_millis(200);
/// How soon a new CA is in use, and a stream ends whose certificate is over.
const PROBE_CERTIFICATE_WATCH: Duration = Duration::from_secs(1);
/// How often what is too old is forgotten.
const PRUNE: Duration = Duration::from_secs(60);
/// Checks that are under way at the end are waited for; connections are then given time to close.
const DRAIN_CHECKS: Duration = Duration::from_secs(20);
const DRAIN_CONNECTIONS: Duration = Duration::from_secs(5);

/// Bound already, so that whoever starts the coordinator knows its ports.
pub struct Listeners {
    /// Where probes attach.
    pub probes: TcpListener,
    /// Where people ask.
    pub api: TcpListener,
}

/// Why the coordinator cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its address databases.
    #[error(transparent)]
    Geo(#[from] GeoError),
    /// The reflection service.
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `shutdown`, then drains. `ready` is called once both ports serve.
pub async fn serve(
    listeners: Listeners,
    config: Config,
    data_dir: &Path,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    // State that cannot be read is a reason not to start.
    let store = store::open(&config.store.url, data_dir).await?;
    store.check().await?;
    let authority = Arc::new(LiveAuthority::load_or_create(data_dir)?);
    let geo = Arc::new(Geo::open(&config.geo.mmdb)?);
    let probe_port = ProbePort {
        fleet: Arc::new(Fleet::default()),
        authority: Arc::clone(&authority),
        certificate_life: config.probes.certificate_life.0,
        geo: Arc::clone(&geo),
        notices: Arc::default(),
        tokens: Arc::new(Tokens::new(Arc::clone(&store))),
        roll: Arc::new(Roll::new(Arc::clone(&store))),
        audit: Arc::new(Audit::new(Arc::clone(&store))),
    };
    let retention = config.store.keep;
    let api = Api {
        geo: Arc::clone(&geo),
        config: Arc::new(config),
        fleet: Arc::clone(&probe_port.fleet),
        tokens: Arc::clone(&probe_port.tokens),
        store: Arc::clone(&store),
        audit: Arc::clone(&probe_port.audit),
        openings: api::openings(),
        rates: Arc::default(),
        turns: api::turns(),
        reads: api::reads(),
        streams: api::streams(),
        live: Arc::default(),
        checks: TaskTracker::new(),
        draining: CancellationToken::new(),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_serving::<PublicServiceServer<PublicPort>>()
        .await;
    let people = people_router(api.clone(), health_service)?;
    let stop = Stop::default();
    let ports = TaskTracker::new();
    let certificate = PublicCertificate::load(&api.config.api, data_dir)?;
    let people = people_port(
        listeners.api,
        &certificate,
        people,
        api.config.api.behind_proxy,
    )?;
    ports.spawn(listen::serve(people, stop.clone()));
    ports.spawn(listen::serve(
        probes_port(listeners.probes, authority, &probe_port),
        stop.clone(),
    ));
    ready();
    tokio::select! {
        () = shutdown => {}
        never = watch_roll(probe_port.clone(), ROLL_WATCH) => match never {},
        never = watch_certificates(probe_port, PROBE_CERTIFICATE_WATCH) => match never {},
        never = certificate.renew() => match never {},
        never = forget(&*store, retention) => match never {},
    }
    health
        .set_not_serving::<PublicServiceServer<PublicPort>>()
        .await;
    drain(&api, &stop, &ports).await;
    store.close().await;
    Ok(())
}

fn people_router(
    api: Api,
    health: tonic_health::pb::health_server::HealthServer<
        impl tonic_health::pb::health_server::Health,
    >,
) -> Result<axum::Router, ServeError> {
    let service = PublicServiceServer::new(PublicPort(api.clone()))
        .max_decoding_message_size(limits::CALLER_MESSAGE)
        .max_encoding_message_size(usize::MAX);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let grpc = Routes::new(service)
        .add_service(reflection)
        .add_service(health);
    Ok(api::routes(grpc.into_axum_router(), api))
}

fn people_port(
    listener: TcpListener,
    certificate: &PublicCertificate,
    router: axum::Router,
    behind_proxy: bool,
) -> Result<Port, ServeError> {
    let tls = certificate.server_config()?;
    let tls = tls.map(|tls| Box::new(move || Arc::clone(&tls)) as TlsSource);
    Ok(Port {
        name: "api",
        listener,
        tls,
        router,
        probes: None,
        bounds: Bounds {
            // A proxy's connections are those of everybody.
            per_address: if behind_proxy {
                PEOPLE.strangers
            } else {
                PEOPLE.per_address
            },
            ..PEOPLE
        },
    })
}

/// Forgets what is too old or too much.
async fn forget(store: &dyn Store, retention: Retention) -> Infallible {
    loop {
        match store.prune(&retention, clock::now()).await {
            Ok(gone) if gone == Default::default() => {}
            Ok(gone) => {
                tracing::info!(
                    reports = gone.reports,
                    audit = gone.audit,
                    "forgotten by age or number"
                )
            }
            Err(error) => tracing::warn!(%error, "what is too old stays for now"),
        }
        tokio::time::sleep(PRUNE).await;
    }
}

fn probes_port(listener: TcpListener, authority: Arc<LiveAuthority>, service: &ProbePort) -> Port {
    let router = |most_bytes| {
        let service = ProbeServiceServer::new(service.clone());
        Routes::new(service.max_decoding_message_size(most_bytes)).into_axum_router()
    };
    Port {
        name: "probes",
        listener,
        tls: Some(Box::new(move || authority.tls())),
        router: router(ENROL_MESSAGE),
        probes: Some((router(limits::PROBE_MESSAGE), PROBES)),
        bounds: FLEET,
    }
}

async fn drain(api: &Api, stop: &Stop, ports: &TaskTracker) {
    api.draining.cancel();
    stop.accepting.cancel();
    api.checks.close();
    if tokio::time::timeout(DRAIN_CHECKS, api.checks.wait())
        .await
        .is_err()
    {
        tracing::warn!(checks = api.checks.len(), "still under way: given up");
    }
    api.fleet.retain(End::Stopping, |_| false);
    stop.serving.cancel();
    ports.close();
    stop.connections.close();
    let all = async { tokio::join!(ports.wait(), stop.connections.wait()) };
    if tokio::time::timeout(DRAIN_CONNECTIONS, all).await.is_err() {
        tracing::warn!(connections = stop.connections.len(), "still open: dropped");
    }
}
