//! One `Check` call: reads the question, makes the caller a vantage itself, and follows the engine until there is a report
//! or the caller is gone.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use onlyhere_proto::{Invalid, LocalFacts, Report, Vantage, VantageName, wire};
use wire::{
    public_service_check_request::Message as FromCaller,
    public_service_check_response::Message as ToCaller,
};

use super::{inbound::Inbound, outbox::Outbox};
use crate::{
    api::{
        Admitted,
        check::{Asked, CheckError, Following, Inquiry, Question, Ready},
    },
    engine,
    fleet::{Answers, Event, Line, Offence, Order},
};

/// From the opening of the stream to the question.
const START: Duration = Duration::from_secs(10);

/// One call.
pub(super) struct Session {
    pub(super) inquiry: Inquiry,
    pub(super) outbox: Outbox,
}

impl Session {
    pub(super) async fn run(self, mut inbound: Inbound, opening: Admitted) {
        let refusal = tokio::select! {
            // A fault of ours in one check ends that check, and tells its caller so.
            done = AssertUnwindSafe(self.answer(&mut inbound, opening)).catch_unwind() => match done {
                Ok(done) => done.err(),
                Err(_) => Some(CheckError::Fault),
            },
            () = self.outbox.closed() => return self.inquiry.leave().await,
        };
        if let Some(error) = refusal {
            self.inquiry.fail(&error).await;
            self.outbox.send(Err(error.into())).await;
        }
    }

    async fn answer(&self, inbound: &mut Inbound, opening: Admitted) -> Result<(), CheckError> {
        let first = tokio::time::timeout(START, inbound.next()).await;
        let Ok(Ok(Some(FromCaller::Start(start)))) = first else {
            return Err(CheckError::Question(
                "the first message of a check is its start".into(),
            ));
        };
        let question = self.inquiry.read(asked(start)?)?;
        let turn = self.inquiry.turn(opening).await?;
        let report = self.conclude(question, inbound).await?;
        // What follows takes nobody's room.
        drop(turn);
        let report = self.inquiry.keep(report).await;
        self.outbox
            .send(Ok(ToCaller::Report((&*report).into())))
            .await;
        Ok(())
    }

    async fn conclude(
        &self,
        question: Question,
        inbound: &mut Inbound,
    ) -> Result<Report, CheckError> {
        let line = |caller| Some(self.caller_line(caller));
        let ready = self.inquiry.begin(question, line).await?;
        let case = &ready.check.case;
        let address = self.inquiry.address.map(|address| address.to_string());
        self.outbox.try_send(ToCaller::Accepted(wire::Accepted {
            check_id: case.check.to_string(),
            public_address: address.unwrap_or_default(),
            vantages: case.vantages.iter().map(Into::into).collect(),
        }));
        self.follow(ready, inbound).await
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
    async fn follow(&self, ready: Ready, inbound: &mut Inbound) -> Result<Report, CheckError> {
        let Ready {
            check,
            ear,
            you,
            running,
        } = ready;
        let id = check.case.check.clone();
        let audience = Following {
            running: &running,
            caller: Some(&self.outbox),
        };
        let concluded = engine::conclude(check, ear, &audience);
        tokio::pin!(concluded);
        tokio::select! {
            report = concluded.as_mut() => return Ok(report),
            read = self.read_answers(you.as_deref(), inbound) => {
                read?;
            }
        }
        // It will send nothing more, and may still be waiting for the report.
        let fleet = &self.inquiry.api.fleet;
        fleet.tell(&id, Event::Lost(VantageName::you()));
        Ok(concluded.await)
    }

    /// Until the caller closes its side.
    async fn read_answers(
        &self,
        you: Option<&Line>,
        inbound: &mut Inbound,
    ) -> Result<(), CheckError> {
        while let Some(message) = inbound.next().await? {
            let read = self.read_answer(you, message);
            read.map_err(|offence| CheckError::Question(offence.to_string()))?;
        }
        Ok(())
    }

    fn read_answer(&self, you: Option<&Line>, message: FromCaller) -> Result<(), Offence> {
        let fleet = &self.inquiry.api.fleet;
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

fn asked(start: wire::Start) -> Result<Asked, CheckError> {
    let local = LocalFacts::try_from(start.local.unwrap_or_default())
        .map_err(|e: Invalid| CheckError::Question(e.to_string()))?;
    Ok(Asked {
        target: start.target,
        from: start.from,
        seen: start.seen,
        expected_addresses: start.expected_addresses,
        timeout: (start.timeout_ms > 0).then(|| Duration::from_millis(start.timeout_ms.into())),
        local: (!start.no_local).then_some(local),
    })
}
