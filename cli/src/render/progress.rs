//! What is shown on stderr while the vantages answer: on a terminal a live table, elsewhere nothing.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anstream::{AutoStream, ColorChoice};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use onlyhere_proto::{Family, Observation, Target, Vantage, VantageName, Verdict};

use super::{
    complain,
    page::{clean, fit, width_of},
    summary::cell,
};

/// Vantages shown at once, so that the table stays on the screen.
const ROWS: usize = 20;

/// Something that happened in a check.
#[derive(Debug, Clone)]
pub enum Event {
    /// The coordinator accepted the check and picked these vantages.
    Accepted(Vec<Vantage>),
    /// A vantage saw something.
    Observed(Observation),
    /// What is thought so far.
    Provisional(Verdict),
}

/// Whoever watches a check: a board on a terminal, or nobody.
#[derive(Debug)]
pub struct Watch {
    board: Option<Mutex<Board>>,
    /// Not even warnings are said.
    mute: bool,
}

impl Watch {
    /// Shows the check of `target` on stderr if that is a terminal; `you` is whether this machine is a vantage.
    pub fn on_stderr(target: &Target, you: bool) -> Self {
        let terminal = Term::stderr();
        let board = terminal.is_term().then(|| {
            Mutex::new(Board::new(
                target,
                you,
                ProgressDrawTarget::term(terminal, 10),
            ))
        });
        Self { board, mute: false }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self {
            board: None,
            mute: false,
        }
    }

    /// Shows nothing and says nothing, for who draws the outcome over what was drawn before.
    pub fn mute() -> Self {
        Self {
            board: None,
            mute: true,
        }
    }

    /// Takes note of what happened.
    pub fn tell(&self, event: Event) {
        if let Some(board) = &self.board {
            board
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .handle(event);
        }
    }

    /// Says one sentence on stderr, above the table where there is one.
    pub fn warn(&self, sentence: &str) {
        match &self.board {
            None if self.mute => {}
            None => complain(sentence),
            Some(board) => {
                let board = board.lock().unwrap_or_else(PoisonError::into_inner);
                board.lines.suspend(|| complain(sentence));
            }
        }
    }

    /// Leaves the table as it stands. For Ctrl-C: the terminal has echoed it, and the table can no longer be found.
    pub fn abandon(&self) {
        if let Some(board) = &self.board {
            let board = board.lock().unwrap_or_else(PoisonError::into_inner);
            board.lines.set_draw_target(ProgressDrawTarget::hidden());
            // A terminal that is gone needs no new line.
            let _ = writeln!(io::stderr());
        }
    }

    /// Takes the table away and leaves the terminal as it was.
    pub fn finish(&self) {
        if let Some(board) = &self.board {
            board.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

/// The live table.
#[derive(Debug)]
struct Board {
    target: Target,
    lines: MultiProgress,
    head: ProgressBar,
    rows: BTreeMap<VantageName, Row>,
    /// Columns the longest name takes.
    names: usize,
    colour: bool,
}

#[derive(Debug)]
struct Row {
    bar: ProgressBar,
    observations: Vec<Observation>,
}

impl Board {
    fn new(target: &Target, you: bool, terminal: ProgressDrawTarget) -> Self {
        let lines = MultiProgress::with_draw_target(terminal);
        let head = lines.add(ProgressBar::new_spinner());
        head.set_style(style("{spinner:.cyan} {msg}  {seconds:.dim}"));
        head.set_message(format!("trying {}", fit(&clean(&target.input), 50)));
        head.enable_steady_tick(Duration::from_millis(120));
        let mut board = Self {
            target: target.clone(),
            lines,
            head,
            rows: BTreeMap::new(),
            names: VantageName::YOU.len(),
            colour: AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        };
        if you {
            board.add(VantageName::you());
        }
        board
    }

    fn add(&mut self, name: VantageName) {
        if self.rows.len() >= ROWS || self.rows.contains_key(&name) {
            return;
        }
        let bar = self.lines.add(ProgressBar::new_spinner());
        bar.set_style(style("  {msg}"));
        self.names = self.names.max(width_of(name.as_str()));
        self.rows.insert(
            name.clone(),
            Row {
                bar,
                observations: Vec::new(),
            },
        );
        self.draw(&name);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Accepted(vantages) => {
                for vantage in vantages {
                    self.add(vantage.id);
                }
                let names: Vec<VantageName> = self.rows.keys().cloned().collect();
                names.iter().for_each(|name| self.draw(name));
            }
            Event::Observed(observation) => {
                let name = observation.vantage.clone();
                if let Some(row) = self.rows.get_mut(&name) {
                    row.observations.push(observation);
                    self.draw(&name);
                }
            }
            Event::Provisional(verdict) => {
                let so_far = format!("so far: {}", fit(&clean(&verdict.headline), 70));
                self.head.set_message(so_far);
            }
        }
    }

    fn draw(&self, name: &VantageName) {
        let Some(row) = self.rows.get(name) else {
            return;
        };
        let seen = |family, label: &str| {
            let cell = cell(&self.target, &row.observations, family);
            let style = cell.mood.style();
            cell.is_measured()
                .then(|| format!("{label} {style}{}{style:#}", clean(&cell.words)))
        };
        let cells: Vec<String> = [seen(Family::V4, "IPv4"), seen(Family::V6, "IPv6")]
            .into_iter()
            .flatten()
            .collect();
        let words = if cells.is_empty() {
            "…".to_owned()
        } else {
            cells.join("   ")
        };
        let words = if self.colour {
            words
        } else {
            anstream::adapter::strip_str(&words).to_string()
        };
        row.bar
            .set_message(format!("{name:width$}  {words}", width = self.names));
    }

    fn clear(&self) {
        for row in self.rows.values() {
            row.bar.finish_and_clear();
        }
        self.head.finish_and_clear();
        // A terminal that is gone needs no clearing.
        let _ = self.lines.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let seconds = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // Writing to a line that is being built cannot fail.
        let _ = write!(out, "{:.1} s", state.elapsed().as_secs_f64());
    };
    ProgressStyle::with_template(template)
        .expect("a constant template")
        .with_key("seconds", seconds)
}
