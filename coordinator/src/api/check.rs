//! One check, whoever asks over whatever: the token's turn, the vantages that are picked, the line in the audit log, and the
//! report that is kept.

mod error;
mod live;
mod question;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderMap;
use onlyhere_diagnosis::Case;
use onlyhere_proto::{
    Advisory, CheckId, Conditions, History, Report, Subject, Vantage, VantageName, limits, wire,
};

pub(super) use self::{
    error::CheckError,
    live::{End, Fresh, Reader, Running},
    question::{Asked, Question, SHORTEST, TIMEOUT},
};
pub use live::Live;

use super::{
    Admitted, Api,
    auth::{Refusal, Use, authorize, public_address},
    fit,
};
use crate::{
    audit::{By, Event as Entry},
    clock,
    engine::{Audience, Check, News},
    fleet::{CheckEar, Line},
    listen::Connection,
    plan,
    store::{Change, StoreError},
    tokens::Token,
};

/// A store that takes longer does not keep the report; the caller, who waits a second past its time, gets it all the same.
const KEEPING: Duration = Duration::from_millis(800);
/// A store that takes longer to say what is known of earlier checks is not waited for.
const REMEMBERING: Duration = Duration::from_millis(300);

/// Who asks, and what has become of it.
pub(super) struct Inquiry {
    pub(super) api: Api,
    pub(super) token: Token,
    /// Of the call, for the use that it spends.
    headers: HeaderMap,
    pub(super) address: Option<IpAddr>,
    begun: OnceLock<Begun>,
}

/// What others see of a check that has begun.
struct Begun {
    /// Its line in the audit log.
    entry: Entry,
    running: Arc<Running>,
}

/// A check that has begun: what the engine needs, and the caller's own line unless it is no vantage.
pub(super) struct Ready {
    pub(super) check: Check,
    pub(super) ear: CheckEar,
    pub(super) you: Option<Arc<Line>>,
    pub(super) running: Arc<Running>,
}

impl Inquiry {
    /// Lets the token ask, if there is room and it has not asked too often; what is given with it is the room to read its
    /// question and to wait for its turn.
    pub(super) async fn open(
        api: &Api,
        token: Token,
        headers: &HeaderMap,
        connection: Option<&Connection>,
    ) -> Result<(Self, Admitted), CheckError> {
        if api.draining.is_cancelled() {
            return Err(CheckError::Stopping);
        }
        api.rates.begin(&token).map_err(|too_often| {
            tracing::warn!(token = token.id, name = %token.name, %too_often, "check refused");
            Refusal::from(too_often)
        })?;
        let opening = api.openings.enter(&token.id, None).await;
        let opening = opening.map_err(|busy| {
            tracing::warn!(token = token.id, name = %token.name, %busy, "check refused");
            Refusal::from(busy)
        })?;
        let address =
            connection.and_then(|c| public_address(c.remote, headers, api.config.api.behind_proxy));
        let inquiry = Self {
            api: api.clone(),
            token,
            headers: headers.clone(),
            address,
            begun: OnceLock::new(),
        };
        Ok((inquiry, opening))
    }

    /// Reads the question as this token may ask it.
    pub(super) fn read(&self, asked: Asked) -> Result<Question, CheckError> {
        Question::read(asked, &self.token, &self.api.config.allow_private)
    }

    /// Waits for the check's turn; then a use of the token is spent.
    pub(super) async fn turn(&self, opening: Admitted) -> Result<Admitted, CheckError> {
        let at_once = self.token.limits.at_once.map(|most| most.get() as usize);
        let turn = tokio::select! {
            turn = self.api.turns.enter(&self.token.id, at_once) => turn.map_err(Refusal::from)?,
            () = self.api.draining.cancelled() => return Err(CheckError::Stopping),
        };
        drop(opening);
        authorize(&self.api, &self.headers, Use::Spend).await?;
        Ok(turn)
    }

    /// Picks the vantages and writes down who asks for what; `line` leads to the caller, if it is a vantage.
    pub(super) async fn begin(
        &self,
        question: Question,
        line: impl FnOnce(Vantage) -> Option<Line>,
    ) -> Result<Ready, CheckError> {
        let id = new_check_id()?;
        // The ear is opened before anybody is picked, so that no loss of a line goes unheard.
        let ear = self.api.fleet.listen(&id);
        let history = self.history(&question).await;
        let (check, you) = self.prepare(id.clone(), question, history, line)?;
        let running = self.write_down(&check);
        tracing::info!(check = %id, token = self.token.id, target = check.case.target.input,
            vantages = check.case.vantages.len(), "begun");
        Ok(Ready {
            check,
            ear,
            you,
            running,
        })
    }

    /// The report, cut to what a caller reads, once it is kept; one that could not be kept says so.
    pub(super) async fn keep(&self, mut report: Report) -> Arc<Report> {
        let id = report.id.clone();
        tracing::info!(check = %id, scope = %report.verdict.scope, ms = report.duration_ms.as_millis(), "concluded");
        let mut message = wire::Report::from(&report);
        let trimmed = fit::trim(&mut message, limits::MESSAGE);
        if trimmed > 0 {
            tracing::warn!(check = %id, vantages = trimmed, "the report is too large: observations left out");
            report = Report::try_from(message).unwrap_or(report);
        }
        // Kept first: a report that a caller has got can be asked for again, whatever happens to this process.
        let kept = self.commit(report.clone()).await;
        if let Err(error) = &kept {
            tracing::error!(%error, check = %id, "the report was not kept");
            report.verdict.advisories.push(not_kept());
        }
        let report = Arc::new(report);
        if let Some(begun) = self.begun.get() {
            let live = &self.api.live;
            live.conclude(&begun.running, Arc::clone(&report), kept.is_ok());
        }
        report
    }

    /// The report and the end of its line in the audit log, together.
    async fn commit(&self, report: Report) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        if let Some(begun) = self.begun.get() {
            let scope = report.verdict.scope.to_string();
            changes.push(Change::Audit(begun.entry.with_outcome(&scope)));
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

    /// The caller has gone, and with it the reason to go on.
    pub(super) async fn leave(&self) {
        tracing::info!(token = self.token.id, "the caller is gone");
        self.note("the caller left").await;
    }

    /// It comes to no report.
    pub(super) async fn fail(&self, why: &CheckError) {
        tracing::info!(token = self.token.id, %why, "check refused");
        self.note(&format!("failed: {why}")).await;
    }

    /// What came of a check that has no report.
    async fn note(&self, outcome: &str) {
        if let Some(begun) = self.begun.get() {
            self.api.live.fail(&begun.running, outcome);
            let entry = begun.entry.with_outcome(outcome);
            self.api.audit.record(entry).await;
        }
    }

    /// The check's line in the audit log: who asked for what, from where. It is on its way before anybody is asked, and
    /// the check does not wait for it: a store that is full or locked is no reason not to help.
    fn write_down(&self, check: &Check) -> Arc<Running> {
        let case = &check.case;
        let by = By::token(&self.token, self.address);
        let entry = Entry::check(&case.check, &case.target, by);
        let begun = self.begun.get_or_init(|| Begun {
            entry: entry.clone(),
            running: self.api.live.begin(
                case.check.clone(),
                self.token.id.clone(),
                case.target.clone(),
                check.started_at,
            ),
        });
        let audit = Arc::clone(&self.api.audit);
        self.api
            .checks
            .spawn(async move { audit.record(entry).await });
        Arc::clone(&begun.running)
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

    /// The case, the lines to its vantages, and the caller's own line unless it is no vantage.
    fn prepare(
        &self,
        id: CheckId,
        question: Question,
        history: History,
        line: impl FnOnce(Vantage) -> Option<Line>,
    ) -> Result<(Check, Option<Arc<Line>>), CheckError> {
        let fleet = self.api.fleet.vantages();
        let located = self.address.map(|address| self.api.geo.locate(address));
        let caller = plan::locate(self.address, &fleet, &located.unwrap_or_default());
        let is_vantage = question.local.is_some();
        let most = self.token.limits.vantages;
        let most = most.map_or(limits::VANTAGES, |most| most.get() as usize);
        let picked = plan::pick(&fleet, is_vantage.then_some(&caller), &question.from, most)
            .map_err(|e| CheckError::NoVantage(e.to_string()))?;
        let mut lines = self.lines(picked);
        let mut vantages: Vec<Vantage> = lines.values().map(|line| line.vantage()).collect();
        if lines.is_empty() && !is_vantage {
            return Err(CheckError::NoVantage(
                "no probe is attached, and the caller is no vantage: nobody can try".into(),
            ));
        }
        let you = is_vantage.then(|| line(caller.clone())).flatten();
        let you = you.map(Arc::new);
        if let Some(you) = &you {
            lines.insert(VantageName::you(), Arc::clone(you));
            vantages.insert(0, caller.clone());
        }
        let check = Check {
            budget: question.budget(),
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
        let attempt_timeout = question.attempt_timeout();
        let conditions = Conditions {
            // One that is not permitted was refused when the question was read.
            private_permitted: question.target.special_range().is_some(),
            seen: question.seen,
            controls: config.controls(),
            resolvers: config.dns.resolvers.clone(),
            expected_addresses: question.expected_addresses,
            block_lists: config.block_lists(),
            attempt_timeout_ms: attempt_timeout.into(),
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
}

/// Everybody who follows a check while it goes on.
pub(super) struct Following<'a> {
    pub(super) running: &'a Running,
    /// The caller, if it hears what goes on.
    pub(super) caller: Option<&'a dyn Audience>,
}

impl Audience for Following<'_> {
    fn tell(&self, news: News) {
        self.running.note(&news);
        if let Some(caller) = self.caller {
            caller.tell(news);
        }
    }
}

/// Told with a report that nobody can ask for again.
fn not_kept() -> Advisory {
    Advisory {
        says: "The coordinator could not keep this report: it cannot be asked for again, and later checks do not know \
               of it"
            .into(),
        cause: None,
        vantages: Vec::new(),
    }
}

fn new_check_id() -> Result<CheckId, CheckError> {
    let id = ulid::Ulid::generate().to_string();
    id.parse().map_err(|_| CheckError::Fault)
}
