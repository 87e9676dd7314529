//! The answer to a check: a report, and what it counts for; printed in the form that was asked for.

use std::{env, io, path::PathBuf, process::ExitCode};

use onlyhere_proto::Report;

use crate::{
    args::{Format, ShowArgs},
    error::CliError,
    render::{self, explain, github, junit, markdown, text},
    standing::Standing,
};

/// What is printed at the end of a check.
#[derive(Debug)]
pub struct Answer<'a> {
    /// What is concluded.
    pub report: &'a Report,
    /// Why it is one vantage's word, where it is.
    pub alone: Option<&'a str>,
    /// What it counts for.
    pub standing: Standing,
}

impl Answer<'_> {
    /// Prints it on stdout and gives the exit code.
    pub fn tell(&self, show: &ShowArgs) -> Result<ExitCode, CliError> {
        self.print(show)
            .map_err(|error| CliError::own("the verdict cannot be printed", error))?;
        Ok(ExitCode::from(self.standing.exit_code()))
    }

    fn print(&self, show: &ShowArgs) -> io::Result<()> {
        match show.format {
            Format::Text if show.explain => render::print(|width| explain::answer(self, width)),
            Format::Text => render::print(|width| text::answer(self, width)),
            Format::Json => {
                if let Some(why) = self.standing.why() {
                    let code = self.standing.exit_code();
                    render::complain(&format!("exit code {code}: {why}"));
                }
                render::print_json(self.report)
            }
            Format::Markdown => render::print_plain(&markdown::answer(self)),
            Format::Junit => render::print_plain(&junit::answer(self)?),
            Format::Github => {
                render::print_plain(&github::commands(self))?;
                let [summary, output] = ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"]
                    .map(|name| env::var_os(name).map(PathBuf::from));
                let files = github::Files {
                    summary: summary.as_deref(),
                    output: output.as_deref(),
                };
                files.append(self)
            }
        }
    }
}
