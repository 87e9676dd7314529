//! The local investigation: the same diagnosis as the coordinator's, pushed by what this machine alone can see.
//!
//! It begins at once, beside the coordinator, and is held while the coordinator has the check in hand, so that nothing
//! is tried twice over. When the coordinator is lost it goes on from what it knows.

use std::sync::Arc;

use onlyhere_diagnosis::{Ask, Case, Investigation};
use onlyhere_proto::{Observation, VantageName, Verdict, limits};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    caller::{Answer, Asker, Caller},
    render::progress::{Event, Watch},
};

/// What one vantage concluded, and from what.
#[derive(Debug)]
pub struct Judged {
    /// The conclusion.
    pub verdict: Verdict,
    /// By request and sequence.
    pub observations: Vec<Observation>,
}

/// Pushes the case until it is concluded or time is up. While `held` is true, answers are taken and nothing is asked.
pub async fn investigate(
    case: Case,
    caller: &Arc<Caller>,
    until: Instant,
    mut held: watch::Receiver<bool>,
    progress: &Watch,
) -> Judged {
    let you = VantageName::you();
    let began = Instant::now();
    let mut investigation = Investigation::new(case);
    let mut observations = Vec::new();
    let (sender, mut answers) = mpsc::channel(limits::BATCH);
    let mut under_way = 0_usize;
    while !investigation.is_concluded() {
        let is_held = *held.borrow_and_update();
        if !is_held {
            for ask in investigation.poll_asks(began.elapsed()) {
                under_way += 1;
                send(ask, caller, &sender);
            }
            if under_way == 0 && investigation.wakes_at().is_none() {
                // Nothing is asked and nothing awaited: what is known must do.
                investigation.handle_out_of_time();
                break;
            }
        }
        tokio::select! {
            Some(answer) = answers.recv() => match answer {
                Answer::Observed(observation) => {
                    progress.tell(Event::Observed((*observation).clone()));
                    observations.push((*observation).clone());
                    investigation.handle_observation(*observation);
                }
                Answer::Done(request) => {
                    under_way -= 1;
                    investigation.handle_done(&you, request);
                }
            },
            () = sleep_until(until) => {
                investigation.handle_out_of_time();
                break;
            }
            () = sleep_until(began + investigation.wakes_at().unwrap_or_default()), if investigation.wakes_at().is_some() => {}
            Ok(()) = held.changed() => {}
        }
    }
    observations.sort_by_key(|observation| (observation.request, observation.sequence));
    Judged {
        verdict: investigation.verdict(),
        observations,
    }
}

fn send(ask: Ask, caller: &Arc<Caller>, answers: &mpsc::Sender<Answer>) {
    let (caller, answers) = (Arc::clone(caller), answers.clone());
    tokio::spawn(async move {
        sleep(ask.delay).await;
        // Dropping the caller is what ends everything; there is no single withdrawal here.
        caller.answer(
            Asker::Person,
            ask.request,
            answers,
            CancellationToken::new(),
        );
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onlyhere_probe_node::{Guard, ProberSettings};
    use onlyhere_proto::{Outcome, Scope, Subject, Target, Vantage};

    use super::*;

    /// A port of this machine where nobody listens.
    fn closed() -> Target {
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        Target::parse(&address.to_string()).unwrap()
    }

    async fn judge(target: &Target, time: Duration, held: watch::Receiver<bool>) -> Judged {
        let settings = ProberSettings::of_this_system(Guard::open());
        let caller = Arc::new(Caller::new(settings, target, Default::default()).unwrap());
        let case = Case {
            check: "01JD0000000000000000000000".parse().unwrap(),
            target: target.clone(),
            subject: Subject {
                vantage: Some(VantageName::you()),
                public_address: None,
                asn: None,
                local: Default::default(),
            },
            vantages: vec![Vantage::named(VantageName::you())],
            conditions: onlyhere_proto::Conditions {
                attempt_timeout_ms: onlyhere_proto::Micros(500_000),
                ..Default::default()
            },
        };
        investigate(case, &caller, Instant::now() + time, held, &Watch::silent()).await
    }

    #[tokio::test]
    async fn a_refusal_of_this_machine_is_judged() {
        let (_hold, held) = watch::channel(false);
        let judged = judge(&closed(), Duration::from_secs(5), held).await;
        assert_eq!(judged.verdict.scope, Scope::Local);
        assert!(
            judged
                .observations
                .iter()
                .any(|o| o.outcome == Outcome::Refused)
        );
        assert!(
            judged
                .observations
                .is_sorted_by_key(|o| (o.request, o.sequence))
        );
    }

    #[tokio::test]
    async fn while_held_nothing_is_asked_and_released_it_goes_on() {
        let (hold, held) = watch::channel(true);
        let judged = judge(&closed(), Duration::from_millis(200), held.clone()).await;
        assert!(judged.observations.is_empty());
        assert!(judged.verdict.complete, "out of time is an end, too");

        let target = closed();
        let release = async {
            sleep(Duration::from_millis(100)).await;
            hold.send(false).unwrap();
        };
        let (judged, ()) = tokio::join!(judge(&target, Duration::from_secs(5), held), release);
        assert_eq!(judged.verdict.scope, Scope::Local);
    }
}
