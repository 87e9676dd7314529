//! One check: the coordinator and the local investigation work side by side; the coordinator's report counts, and where
//! there is none, this machine's own.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use onlyhere_diagnosis::Case;
use onlyhere_probe_node::{Guard, ProberSettings};
use onlyhere_proto::{
    CheckId, Conditions, Host, REPORT_SCHEMA, Report, Subject, Target, Timestamp, Vantage,
    VantageName, VantageReport, limits,
};
use rustls::RootCertStore;
use tokio::{sync::watch, time::Instant};
use ulid::Ulid;

use super::company::{Company, Coordinator, company, how_to_reach, why_alone};
use crate::{
    alone::{self, Judged},
    args::QuestionArgs,
    caller::{Caller, Granted},
    error::CliError,
    local::{self, proxy::Proxy},
    remote::{Question, RemoteError, Session},
    render::progress::{Event, Watch},
    settings::Settings,
};

/// Longest wait for the coordinator to accept a check, or three tenths of the check's time if that is less: enough for two
/// packets that are lost on the way, each of which costs up to a second.
const ACCEPT_WITHIN: Duration = Duration::from_secs(3);
/// The coordinator ends a check in time by its own clock; this long after, it counts as lost.
const REPORT_GRACE: Duration = Duration::from_secs(1);
/// Shortest time one attempt of one stage is worth.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

/// What a check came to.
#[derive(Debug)]
pub struct Concluded {
    /// What is concluded.
    pub report: Report,
    /// Why it is one vantage's word, where it is.
    pub alone: Option<String>,
}

/// Checks one target, as often as it is asked to.
#[derive(Debug)]
pub struct Checker {
    args: QuestionArgs,
    /// What is checked.
    pub target: Target,
    no_local: bool,
    settings: Settings,
    company: Company,
    expected_addresses: Vec<IpAddr>,
}

impl Checker {
    /// Reads what is asked and the settings.
    pub fn new(args: QuestionArgs, no_local: bool) -> Result<Self, CliError> {
        let target = Target::parse(&args.target)?;
        let settings = Settings::load(&args.coordinator)?;
        Ok(Self {
            company: company(&args, no_local, &settings, &target)?,
            expected_addresses: expected_addresses(&args.expect_address, &target)?,
            args,
            target,
            no_local,
            settings,
        })
    }

    /// What the person should know before anything is sent.
    pub fn warning(&self) -> Option<String> {
        match &self.company {
            Company::Coordinator(Coordinator { url, .. }) if url.exposes_token() => Some(format!(
                "the token goes to {url} unencrypted; https:// protects it"
            )),
            _ => None,
        }
    }

    /// Asks everybody. Ends with [`CliError::Interrupted`] at Ctrl-C.
    pub async fn check(&self) -> Result<Concluded, CliError> {
        self.conclude(
            &self.company,
            Watch::on_stderr(&self.target, !self.no_local),
        )
        .await
    }

    /// The same without the live table and without warnings; that one vantage judged alone, the outcome says.
    pub async fn check_quietly(&self) -> Result<Concluded, CliError> {
        self.conclude(&self.company, Watch::mute()).await
    }

    /// Looks from this machine alone, and shows nothing meanwhile.
    pub async fn look(&self) -> Result<Report, CliError> {
        let alone = Company::Alone("the others are not asked each time".to_owned());
        let concluded = self.conclude(&alone, Watch::mute()).await?;
        Ok(concluded.report)
    }

    async fn conclude(&self, company: &Company, progress: Watch) -> Result<Concluded, CliError> {
        let proxies = local::proxy::in_force(&self.target);
        let check = Check {
            question: Question {
                local: local::facts(&self.target, &proxies),
                target: self.target.clone(),
                from: self.args.from.clone(),
                no_local: self.no_local,
                seen: self.args.seen,
                expected_addresses: self.expected_addresses.clone(),
                timeout: self.args.timeout,
            },
            proxies,
            settings: self.settings.clone(),
            progress,
            began: Began::now(),
        };
        let outcome = tokio::select! {
            outcome = check.judge(company) => outcome,
            _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
        };
        match &outcome {
            Err(CliError::Interrupted) => check.progress.abandon(),
            _ => check.progress.finish(),
        }
        outcome.map(|(report, alone)| Concluded { report, alone })
    }
}

/// What the owner says the name leads to; only of a name can that be said.
fn expected_addresses(given: &[IpAddr], target: &Target) -> Result<Vec<IpAddr>, CliError> {
    let refuse = |why: String| Err(CliError::Usage(why));
    if !given.is_empty() && matches!(target.host, Host::Address(_)) {
        return refuse(format!(
            "--expect-address says where a name ought to lead, and {} is an address itself; leave it out, or give the name",
            target.host
        ));
    }
    let mut unique = BTreeSet::new();
    let mut expected = given.to_vec();
    expected.retain(|address| unique.insert(*address));
    if expected.len() > limits::ADDRESSES {
        return refuse(format!(
            "--expect-address is given {} times; at most {} are compared",
            expected.len(),
            limits::ADDRESSES
        ));
    }
    Ok(expected)
}

/// One check under way.
#[derive(Debug)]
struct Check {
    question: Question,
    /// In force for the target, with their credentials.
    proxies: Vec<Proxy>,
    settings: Settings,
    progress: Watch,
    began: Began,
}

impl Check {
    /// The report, and why it is from one vantage alone where it is.
    async fn judge(&self, company: &Company) -> Result<(Report, Option<String>), CliError> {
        let prober = ProberSettings::of_this_system(Guard::open());
        let roots = Arc::clone(&prober.roots);
        let caller = Arc::new(self.caller(prober)?);
        match company {
            Company::Coordinator(coordinator) => {
                self.judge_together(coordinator, roots, &caller).await
            }
            Company::Alone(why) => {
                let (_never, held) = watch::channel(false);
                Ok((self.judge_alone(&caller, held).await, Some(why.clone())))
            }
        }
    }

    /// Both at work side by side. However the local investigation ends, the coordinator's report counts as long as
    /// it may come.
    async fn judge_together(
        &self,
        coordinator: &Coordinator,
        roots: Arc<RootCertStore>,
        caller: &Arc<Caller>,
    ) -> Result<(Report, Option<String>), CliError> {
        let (hold, held) = watch::channel(false);
        let local = async {
            if self.question.no_local {
                std::future::pending().await
            } else {
                self.judge_alone(caller, held).await
            }
        };
        let remote = self.ask(coordinator, roots, caller, &hold);
        tokio::pin!(local, remote);

        let mut own = None;
        let error = loop {
            tokio::select! {
                outcome = &mut remote => match outcome {
                    Ok(report) => return Ok((report, None)),
                    Err(error) => break error,
                },
                report = &mut local, if own.is_none() => own = Some(report),
            }
        };
        if coordinator.required {
            return Err(error.into());
        }
        // The receiver is gone when the local investigation has ended, and then there is nobody to hold.
        let _ = hold.send(false);
        self.progress
            .warn(&format!("{error}; judging from this machine alone"));
        let mut report = match own {
            Some(report) => report,
            None => local.await,
        };
        report.verdict.next.extend(how_to_reach(&error));
        Ok((report, Some(why_alone(&error).to_owned())))
    }

    /// The coordinator's report. From its acceptance on, the local investigation is held.
    async fn ask(
        &self,
        coordinator: &Coordinator,
        roots: Arc<RootCertStore>,
        caller: &Caller,
        hold: &watch::Sender<bool>,
    ) -> Result<Report, RemoteError> {
        let url = &coordinator.url;
        let missing = || RemoteError::NoToken { url: url.clone() };
        let token = coordinator.token.as_ref().ok_or_else(missing)?;
        let within = ACCEPT_WITHIN.min(self.question.timeout * 3 / 10);
        // Where this machine's resolver is what is broken, the others are needed most.
        let name = url.host();
        let elsewhere = caller.look_up(&name, within);
        let session = Session::open(url, token, roots, &self.question, elsewhere, within).await?;
        let _ = hold.send(true);
        self.progress
            .tell(Event::Accepted(session.vantages.clone()));
        let until = self.began.instant + self.question.timeout + REPORT_GRACE;
        let caller = (!self.question.no_local).then_some(caller);
        tokio::time::timeout_at(until, session.conclude(caller, &self.progress))
            .await
            .unwrap_or_else(|_| {
                Err(RemoteError::Lost {
                    url: url.clone(),
                    why: "no report in time".to_owned(),
                })
            })
    }

    fn caller(&self, prober: ProberSettings) -> Result<Caller, CliError> {
        let (settings, local) = (&self.settings, &self.question.local);
        let granted = Granted {
            controls: settings.controls.clone(),
            resolvers: settings.resolvers.clone(),
            allow_private: settings.allow_private.clone(),
            proxies: self.proxies.clone(),
            devices: [&local.tunnel, &local.way_out]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
        };
        Caller::new(prober, &self.question.target, granted)
            .map_err(|error| CliError::own("this machine cannot be a vantage", error))
    }

    async fn judge_alone(&self, caller: &Arc<Caller>, held: watch::Receiver<bool>) -> Report {
        let began = &self.began;
        let case = self.case();
        let (check, subject, conditions) = (
            case.check.clone(),
            case.subject.clone(),
            case.conditions.clone(),
        );
        let until = began.instant + self.question.timeout;
        let Judged {
            verdict,
            observations,
        } = alone::investigate(case, caller, until, held, &self.progress).await;
        Report {
            schema: REPORT_SCHEMA.to_owned(),
            id: check,
            started_at: began.timestamp(),
            duration_ms: began.instant.elapsed().into(),
            target: self.question.target.clone(),
            verdict,
            subject,
            conditions,
            vantages: vec![VantageReport {
                vantage: Vantage::named(VantageName::you()),
                observations,
            }],
        }
    }

    /// What is known beside what will be observed.
    fn conditions(&self, private: bool) -> Conditions {
        let question = &self.question;
        let shared = Conditions {
            seen: question.seen,
            expected_addresses: question.expected_addresses.clone(),
            attempt_timeout_ms: (question.timeout * 3 / 10).max(SHORTEST_ATTEMPT).into(),
            ..Conditions::default()
        };
        if private {
            return shared;
        }
        Conditions {
            controls: self.settings.controls.clone(),
            resolvers: self.settings.resolvers.clone(),
            block_lists: self.settings.block_lists.clone(),
            ..shared
        }
    }

    fn case(&self) -> Case {
        let question = &self.question;
        // Other sites tell nothing about an address of this machine or network.
        let private = self.settings.private_range(&question.target).is_some();
        Case {
            check: new_check_id(),
            target: question.target.clone(),
            subject: Subject {
                vantage: Some(VantageName::you()),
                public_address: None,
                asn: None,
                local: question.local.clone(),
            },
            vantages: vec![Vantage::named(VantageName::you())],
            conditions: self.conditions(private),
        }
    }
}

/// When the check began, on both clocks.
#[derive(Debug)]
struct Began {
    at: SystemTime,
    instant: Instant,
}

impl Began {
    fn now() -> Self {
        Self {
            at: SystemTime::now(),
            instant: Instant::now(),
        }
    }

    fn timestamp(&self) -> Timestamp {
        let since = self
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

fn new_check_id() -> CheckId {
    Ulid::generate()
        .to_string()
        .parse()
        .expect("a ULID's text is a check id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_addresses_are_told_once_and_only_of_names() {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let name = Target::parse("shop.example").unwrap();
        let twice = [address(1), address(2), address(1)];
        assert_eq!(
            expected_addresses(&twice, &name).unwrap(),
            [address(1), address(2)]
        );
        let many: Vec<IpAddr> = (0..17).map(address).collect();
        let error = expected_addresses(&many, &name).unwrap_err();
        assert!(error.to_string().contains("at most 16"), "{error}");
        let literal = Target::parse("https://192.0.2.1").unwrap();
        let error = expected_addresses(&twice, &literal).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("192.0.2.1 is an address itself"));
        assert!(expected_addresses(&[], &literal).unwrap().is_empty());
    }

    #[test]
    fn check_ids_are_new_each_time() {
        assert_ne!(new_check_id(), new_check_id());
    }
}
