//! `onlyhere check`: asks, and asks again while that was wanted; prints the verdict.

pub mod again;
mod checker;
mod company;

use std::{process::ExitCode, time::Duration};

use onlyhere_proto::Report;
use tokio::time::Instant;

use crate::{
    answer::Answer,
    args::CheckArgs,
    error::CliError,
    remote::RemoteError,
    render,
    standing::{Demands, Standing},
};

pub use checker::{Checker, Concluded};

/// Checks, prints the verdict on stdout, and gives the exit code.
pub async fn run(args: CheckArgs) -> Result<ExitCode, CliError> {
    let checker = Checker::new(args.question, args.no_local)?;
    let demands = Demands::read(&args.demands, &checker.target)?;
    if let Some(warning) = checker.warning() {
        render::complain(&warning);
    }
    let concluded = match args.retry_for {
        None => checker.check().await?,
        Some(time) => until_it_passes(&checker, &demands, time).await?,
    };
    let report = &concluded.report;
    let answer = Answer {
        report,
        alone: concluded.alone.as_deref(),
        standing: Standing::of(report, &demands),
    };
    answer.tell(&args.show)
}

/// Checks again, with growing pauses, until the verdict passes or `time` is up; a check that has begun in time is
/// finished. Each attempt that does not pass is told on stderr.
async fn until_it_passes(
    checker: &Checker,
    demands: &Demands,
    time: Duration,
) -> Result<Concluded, CliError> {
    let until = Instant::now() + time;
    let mut attempt = 0;
    let mut last: Option<Asked> = None;
    loop {
        attempt += 1;
        let outcome = match &last {
            Some(asked) if !asked.may_be_asked_again(checker).await? => Err(None),
            _ => checker.check().await.map_err(Some),
        };
        let left = until.saturating_duration_since(Instant::now());
        let is_last = left < again::SHORTEST;
        let failed = match outcome {
            Ok(concluded) => {
                if Standing::of(&concluded.report, demands).exit_code() == 0 {
                    return Ok(concluded);
                }
                let said = gist(&concluded.report);
                last = Some(Asked::now(concluded));
                said
            }
            Err(None) => "still the same from here; the others are not asked yet".to_owned(),
            Err(Some(error)) if may_pass(&error) && !is_last => error.to_string(),
            Err(Some(error)) => return Err(error),
        };
        if let Some(asked) = last.take_if(|_| is_last) {
            render::complain(&format!("attempt {attempt}: {failed}; time is up"));
            return Ok(asked.concluded);
        }
        let pause = again::pause(attempt, rand::random_range(0.0..1.0)).min(left);
        render::complain(&format!(
            "attempt {attempt}: {failed}; trying again in {:.0} s, for {:.0} s more",
            pause.as_secs_f64(),
            left.as_secs_f64()
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        }
    }
}

/// When everybody was asked, and what came of it.
#[derive(Debug)]
pub struct Asked {
    /// What came of it.
    pub concluded: Concluded,
    at: Instant,
}

impl Asked {
    /// Everybody was asked just now.
    pub fn now(concluded: Concluded) -> Self {
        Self {
            concluded,
            at: Instant::now(),
        }
    }

    /// Whether everybody may be asked again, as [`again::others`] has it.
    pub async fn may_be_asked_again(&self, checker: &Checker) -> Result<bool, CliError> {
        let (then, since) = (&self.concluded.report, self.at.elapsed());
        if again::others(then, None, since) {
            return Ok(true);
        }
        let own = checker.look().await?;
        Ok(again::others(then, Some(&own), since))
    }
}

/// Headline and scope.
fn gist(report: &Report) -> String {
    let verdict = &report.verdict;
    format!("{} ({})", verdict.headline, verdict.scope)
}

/// Whether waiting can help: a coordinator that is out of reach may come back, one that refuses the token does not.
pub(crate) const fn may_pass(error: &CliError) -> bool {
    matches!(
        error,
        CliError::Coordinator(
            RemoteError::NotResolved { .. }
                | RemoteError::Unreachable { .. }
                | RemoteError::TooSlow { .. }
                | RemoteError::Lost { .. }
        )
    )
}
