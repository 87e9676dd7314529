//! One `Check` call: reads the question, picks the vantages, makes the caller a vantage itself, and follows the engine until
//! there is a report or the caller is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::FutureExt;
use http::HeaderMap;
use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    CheckId, Conditions, History, Host, Invalid, LocalFacts, Report, Selector, Subject, Symptom,
    Target, Vantage, VantageName, limits, wire,
};
use tonic::Status;
use wire::{
    public_service_check_request::Message as FromCaller,
    public_service_check_response::Message as ToCaller,
};

use super::{
    Admitted, Api,
    auth::{Refusal, Use, authorize},
    fit,
    grpc::stopping,
    inbound::Inbound,
    outbox::Outbox,
};
use crate::{
    audit::{By, Event as Entry},
    clock,
    config::private,
    engine::{self, Check},
    fleet::{Answers, CheckEar, Event, Line, Offence, Order},
    plan,
    store::{Change, StoreError},
    tokens::Token,
};

/// From the opening of the stream to the question.
const START: Duration = Duration::from_secs(10);
/// For a check whose caller does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(500);
/// A store that takes longer does not keep the report; the caller, who waits a second past its time, gets it all the same.
const KEEPING: Duration = Duration::from_millis(800);
/// A store that takes longer to say what is known of earlier checks is not waited for.
const REMEMBERING: Duration = Duration::from_millis(300);

/// One call.
pub(super) struct Session {
    pub(super) api: Api,
    pub(super) token: Token,
    /// Of the call, for the use that it spends.
    pub(super) headers: HeaderMap,
    pub(super) address: Option<IpAddr>,
    pub(super) outbox: Outbox,
    /// The check's line in the audit log, once it has begun.
    pub(super) entry: OnceLock<Entry>,
}

/// What the caller wants to know, read strictly.
struct Question {
    target: Target,
    from: Vec<Selector>,
    local: Option<LocalFacts>,
    seen: Option<Symptom>,
    expected_addresses: Vec<IpAddr>,
    timeout: Duration,
}

impl Session {
    pub(super) async fn run(self, mut inbound: Inbound, opening: Admitted) {
        let refusal = tokio::select! {
            // A fault of ours in one check ends that check, and tells its caller so.
            done = AssertUnwindSafe(self.answer(&mut inbound, opening)).catch_unwind() => match done {
                Ok(done) => done.err(),
                Err(_) => Some(Status::internal("the check failed by a fault of the coordinator; its log says more")),
            },
            () = self.outbox.closed() => {
                tracing::info!(token = self.token.id, "the caller is gone");
                return self.note("the caller left").await;
            }
        };
        if let Some(status) = refusal {
            tracing::info!(
                token = self.token.id,
                why = status.message(),
                "check refused"
            );
            self.note(&format!("failed: {}", status.message())).await;
            self.outbox.send(Err(status)).await;
        }
    }

    async fn answer(&self, inbound: &mut Inbound, opening: Admitted) -> Result<(), Status> {
        let first = tokio::time::timeout(START, inbound.next()).await;
        let Ok(Ok(Some(FromCaller::Start(start)))) = first else {
            return Err(Status::invalid_argument(
                "the first message of a check is its start",
            ));
        };
        let question = self.read(start)?;
        let turn = self.turn(opening).await?;
        let report = self.conclude(question, inbound).await?;
        // What follows takes nobody's room.
        drop(turn);
        self.deliver(report).await;
        Ok(())
    }

    /// Waits for the check's turn; then a use of the token is spent.
    async fn turn(&self, opening: Admitted) -> Result<Admitted, Status> {
        let at_once = self.token.limits.at_once.map(|most| most.get() as usize);
        let turn = tokio::select! {
            turn = self.api.turns.enter(&self.token.id, at_once) => turn.map_err(Refusal::from)?,
            () = self.api.draining.cancelled() => return Err(stopping()),
        };
        drop(opening);
        authorize(&self.api, &self.headers, Use::Spend).await?;
        Ok(turn)
    }

    async fn conclude(&self, question: Question, inbound: &mut Inbound) -> Result<Report, Status> {
        let id = new_check_id()?;
        // The ear is opened before anybody is picked, so that no loss of a line goes unheard.
        let ear = self.api.fleet.listen(&id);
        let history = self.history(&question).await;
        let (check, you) = self.prepare(id.clone(), question, history)?;
        self.begin(&check.case);
        self.outbox.try_send(ToCaller::Accepted(wire::Accepted {
            check_id: id.to_string(),
            public_address: self.address.map(|a| a.to_string()).unwrap_or_default(),
            vantages: check.case.vantages.iter().map(Into::into).collect(),
        }));
        tracing::info!(check = %id, token = self.token.id, target = check.case.target.input,
            vantages = check.case.vantages.len(), "begun");
        let report = self.follow(check, ear, you, inbound).await?;
        tracing::info!(check = %id, scope = %report.verdict.scope, ms = report.duration_ms.as_millis(), "concluded");
        Ok(report)
    }

    async fn deliver(&self, mut report: Report) {
        let mut message = wire::Report::from(&report);
        let trimmed = fit::trim(&mut message, limits::MESSAGE);
        if trimmed > 0 {
            tracing::warn!(check = %report.id, vantages = trimmed, "the report is too large: observations left out");
            report = Report::try_from(message.clone()).unwrap_or(report);
        }
        // Kept first: a report that a caller has got can be asked for again, whatever happens to this process.
        if let Err(error) = self.keep(report).await {
            tracing::error!(%error, check = message.id, "the report was not kept");
            let verdict = message.verdict.get_or_insert_default();
            verdict.advisories.push(not_kept());
        }
        self.outbox.send(Ok(ToCaller::Report(message))).await;
    }

    /// The report and the end of its line in the audit log, together.
    async fn keep(&self, report: Report) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        if let Some(entry) = self.entry.get() {
            let scope = report.verdict.scope.to_string();
            changes.push(Change::Audit(entry.with_outcome(&scope)));
        }
        changes.push(Change::Report {
            owner: self.token.id.clone(),
            report: Box::new(report),
        });
        match tokio::time::timeout(KEEPING, self.api.store.commit(changes)).await {
            Ok(committed) => committed.map(|_| ()),
            Err(_) => Err(StoreError::Contended),
        }
    }

    /// The check's line in the audit log: who asked for what, from where. It is on its way before anybody is asked, and
    /// the check does not wait for it: a store that is full or locked is no reason not to help.
    fn begin(&self, case: &Case) {
        let by = By::token(&self.token, self.address);
        let entry = Entry::check(&case.check, &case.target, by);
        if self.entry.set(entry.clone()).is_ok() {
            let audit = Arc::clone(&self.api.audit);
            self.api
                .checks
                .spawn(async move { audit.record(entry).await });
        }
    }

    /// What came of a check that has no report.
    async fn note(&self, outcome: &str) {
        if let Some(entry) = self.entry.get() {
            self.api.audit.record(entry.with_outcome(outcome)).await;
        }
    }

    /// What is known of earlier checks; a store that does not say so at once is no reason to wait.
    async fn history(&self, question: &Question) -> History {
        let subject = self.subject(question, None);
        let store = &self.api.store;
        let history = store.history(&self.token.id, &question.target, &subject);
        match tokio::time::timeout(REMEMBERING, history).await {
            Ok(Ok(history)) => history,
            Ok(Err(error)) => {
                tracing::error!(%error, "earlier reports cannot be read");
                History::default()
            }
            Err(_) => History::default(),
        }
    }

    fn subject(&self, question: &Question, asn: Option<u32>) -> Subject {
        Subject {
            vantage: question.local.is_some().then(VantageName::you),
            public_address: self.address,
            asn,
            local: question.local.clone().unwrap_or_default(),
        }
    }

    fn read(&self, start: wire::Start) -> Result<Question, Status> {
        let refuse = |why: String| Status::invalid_argument(why);
        let target = Target::parse(&start.target).map_err(|e| refuse(e.to_string()))?;
        let hosts = &self.token.hosts;
        if !hosts.is_empty() && !hosts.iter().any(|suffix| suffix.covers(&target.host)) {
            let refusal = Refusal::Host {
                allowed: hosts.clone(),
                host: target.host.to_string(),
            };
            return Err(refusal.into());
        }
        if let Some(kind) = private(&target, &self.api.config.allow_private) {
            return Err(refuse(format!(
                "{} is {kind}: private targets are judged locally, no remote vantage is asked (unless the coordinator's allow_private covers it)",
                target.host
            )));
        }
        if start.from.len() > limits::SELECTORS {
            return Err(refuse(format!(
                "at most {} selectors can be given",
                limits::SELECTORS
            )));
        }
        let from = start.from.iter().map(|text| text.parse::<Selector>());
        let from = from
            .collect::<Result<_, _>>()
            .map_err(|e| refuse(e.to_string()))?;
        let seen = match start.seen.as_str() {
            "" => None,
            seen => Some(seen.parse::<Symptom>().map_err(|e| refuse(e.to_string()))?),
        };
        let expected_addresses =
            expected_addresses(&start.expected_addresses, &target).map_err(refuse)?;
        let local = LocalFacts::try_from(start.local.unwrap_or_default())
            .map_err(|e: Invalid| refuse(e.to_string()))?;
        let timeout = match start.timeout_ms {
            0 => TIMEOUT,
            ms => Duration::from_millis(ms.into()).clamp(SHORTEST, limits::DEADLINE),
        };
        let local = (!start.no_local).then_some(local);
        Ok(Question {
            target,
            from,
            local,
            seen,
            expected_addresses,
            timeout,
        })
    }

    /// The case, the lines to its vantages, and the caller's own line unless it is no vantage.
    fn prepare(
        &self,
        id: CheckId,
        question: Question,
        history: History,
    ) -> Result<(Check, Option<Arc<Line>>), Status> {
        let fleet = self.api.fleet.vantages();
        let located = self.address.map(|address| self.api.geo.locate(address));
        let caller = plan::locate(self.address, &fleet, &located.unwrap_or_default());
        let is_vantage = question.local.is_some();
        let most = self.token.limits.vantages;
        let most = most.map_or(limits::VANTAGES, |most| most.get() as usize);
        let picked = plan::pick(&fleet, is_vantage.then_some(&caller), &question.from, most)
            .map_err(|e| Status::failed_precondition(e.to_string()))?;
        let mut lines = self.lines(picked);
        let mut vantages: Vec<Vantage> = lines.values().map(|line| line.vantage()).collect();
        if lines.is_empty() && !is_vantage {
            return Err(Status::failed_precondition(
                "no probe is attached, and the caller is no vantage: nobody can try",
            ));
        }
        let you = is_vantage.then(|| Arc::new(self.caller_line(caller.clone())));
        if let Some(you) = &you {
            lines.insert(VantageName::you(), Arc::clone(you));
            vantages.insert(0, caller.clone());
        }
        let check = Check {
            budget: budget(question.timeout),
            case: self.case(id, question, &caller, vantages, history),
            lines,
            started_at: clock::now(),
            allow_private: self.api.config.allow_private.clone(),
        };
        Ok((check, you))
    }

    fn case(
        &self,
        check: CheckId,
        question: Question,
        caller: &Vantage,
        vantages: Vec<Vantage>,
        history: History,
    ) -> Case {
        let config = &self.api.config;
        let subject = self.subject(&question, caller.asn);
        let conditions = Conditions {
            // One that is not permitted was refused when the question was read.
            private_permitted: question.target.special_range().is_some(),
            seen: question.seen,
            controls: config.controls(),
            resolvers: config.dns.resolvers.clone(),
            expected_addresses: question.expected_addresses,
            block_lists: config.block_lists(),
            attempt_timeout_ms: attempt_timeout(question.timeout).into(),
            history,
        };
        Case {
            check,
            target: question.target,
            subject,
            vantages,
            conditions,
        }
    }

    /// Who has left since being picked is left out.
    fn lines(&self, picked: Vec<Vantage>) -> BTreeMap<VantageName, Arc<Line>> {
        let lines = picked
            .into_iter()
            .filter_map(|vantage| self.api.fleet.line(&vantage.id));
        lines.map(|line| (line.name().clone(), line)).collect()
    }

    fn caller_line(&self, caller: Vantage) -> Line {
        let outbox = self.outbox.clone();
        Line::new(caller, move |order| {
            outbox.try_send(match order {
                Order::Check(request) => ToCaller::Check((&*request).into()),
                Order::Cancel(check, request) => ToCaller::Cancel(wire::CancelRequest {
                    check_id: check.to_string(),
                    request,
                }),
                // A caller has no certificate.
                Order::Renew => return true,
            })
        })
    }

    /// Reads the caller's answers while the engine works.
    async fn follow(
        &self,
        check: Check,
        ear: CheckEar,
        you: Option<Arc<Line>>,
        inbound: &mut Inbound,
    ) -> Result<Report, Status> {
        let id = check.case.check.clone();
        let concluded = engine::conclude(check, ear, &self.outbox);
        tokio::pin!(concluded);
        tokio::select! {
            report = concluded.as_mut() => return Ok(report),
            read = self.read_answers(you.as_deref(), inbound) => {
                read?;
            }
        }
        // It will send nothing more, and may still be waiting for the report.
        self.api.fleet.tell(&id, Event::Lost(VantageName::you()));
        Ok(concluded.await)
    }

    /// Until the caller closes its side.
    async fn read_answers(&self, you: Option<&Line>, inbound: &mut Inbound) -> Result<(), Status> {
        while let Some(message) = inbound.next().await? {
            let read = self.read_answer(you, message);
            read.map_err(|offence| Status::invalid_argument(offence.to_string()))?;
        }
        Ok(())
    }

    fn read_answer(&self, you: Option<&Line>, message: FromCaller) -> Result<(), Offence> {
        let fleet = &self.api.fleet;
        match (message, you) {
            (FromCaller::Observations(batch), Some(you)) => {
                fleet.deliver(you, Answers(you).observations(batch)?);
            }
            (FromCaller::Done(done), Some(you)) => {
                if let Some((check, request)) = Answers(you).done(done)? {
                    fleet.tell(&check, Event::Done(VantageName::you(), request));
                }
            }
            (FromCaller::Start(_), _) => return Err(Offence::OutOfTurn("second start")),
            (_, None) => return Err(Offence::OutOfTurn("caller that is no vantage sent a")),
        }
        Ok(())
    }
}

/// Told with a report that nobody can ask for again.
fn not_kept() -> wire::Advisory {
    wire::Advisory {
        says: "The coordinator could not keep this report: it cannot be asked for again, and later checks do not know \
               of it"
            .into(),
        ..Default::default()
    }
}

/// The addresses that the owner expects, each once; only a name can lead anywhere.
fn expected_addresses(told: &[String], target: &Target) -> Result<Vec<IpAddr>, String> {
    if told.is_empty() {
        return Ok(Vec::new());
    }
    if let Host::Address(address) = &target.host {
        return Err(format!(
            "addresses are expected of a name, and {address} is an address itself"
        ));
    }
    if told.len() > limits::ADDRESSES {
        return Err(format!(
            "at most {} expected addresses can be given",
            limits::ADDRESSES
        ));
    }
    let read = |text: &String| {
        text.parse::<IpAddr>().map_err(|_| {
            let shown = limits::plain_text(text, 64);
            format!("`{shown}`, an expected address, is no IP address")
        })
    };
    let mut expected: Vec<IpAddr> = told.iter().map(read).collect::<Result<_, _>>()?;
    let mut unique = BTreeSet::new();
    expected.retain(|address| unique.insert(*address));
    Ok(expected)
}

fn new_check_id() -> Result<CheckId, Status> {
    let id = ulid::Ulid::generate().to_string();
    id.parse()
        .map_err(|_| Status::internal("no check id could be made"))
}

/// One attempt of one stage: 3/10 of the whole, so that two silent stages and a round of retries fit.
fn attempt_timeout(timeout: Duration) -> Duration {
    (timeout * 3 / 10)
        .max(Duration::from_millis(500))
        .min(limits::ATTEMPT_TIMEOUT)
}

/// What is left of the caller's time when the report must be on its way.
fn budget(timeout: Duration) -> Duration {
    timeout - (timeout / 20).min(Duration::from_millis(300))
}
