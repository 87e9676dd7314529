//! What is printed: a line for each target, with the packets that were counted, and the sums.

use super::counters::Count;
use super::row::{Asker, Forbidden};

/// The table so far.
#[derive(Default)]
pub(super) struct Table {
    targets: usize,
    packets: u64,
    questions: u64,
    wrong: usize,
}

impl Table {
    pub(super) fn head(&self) {
        println!(
            "  {:<46} {:<48} {:<21} {:<12} {:>3} {:>3} {:>6}",
            "disguise", "target", "ends", "asked by", "out", "lo", "router"
        );
    }

    /// A permitted target, whose packets must be counted.
    pub(super) fn proof(&mut self, target: &str, is_right: bool, count: Count) {
        self.wrong += usize::from(!is_right);
        println!(
            "{} {:<46} {:<48} {:<21} {:<12} {}",
            mark(is_right),
            "permitted, to prove the counters",
            target,
            "tried",
            "both",
            shown(count)
        );
    }

    pub(super) fn row(&mut self, row: &Forbidden, count: Count, wrong: &[String]) {
        let is_right = wrong.is_empty() && count.forbidden() == 0;
        self.targets += 1;
        self.packets += count.forbidden();
        self.questions += count.questions;
        self.wrong += usize::from(!is_right);
        let asked = match row.asker {
            Asker::Both => "both",
            Asker::OwnerOnly => "probe check",
            Asker::CoordinatorOnly => "coordinator",
        };
        println!(
            "{} {:<46.46} {:<48} {:<21} {asked:<12} {}",
            mark(is_right),
            row.about,
            row.target,
            row.end.shown(),
            shown(count)
        );
        for why in wrong {
            println!("    {why}");
        }
    }

    /// Something else that must hold.
    pub(super) fn fact(&mut self, is_right: bool, text: &str) {
        self.wrong += usize::from(!is_right);
        println!("{} {text}", mark(is_right));
    }

    /// Prints the sums; gives how much came out wrong.
    pub(super) fn summary(&self) -> usize {
        println!(
            "questions to the probe's own resolver, which are permitted: {}; wrong: {}",
            self.questions, self.wrong
        );
        println!(
            "forbidden targets: {}, packets: {}",
            self.targets, self.packets
        );
        self.wrong
    }
}

fn mark(is_right: bool) -> &'static str {
    if is_right { "✓" } else { "✗" }
}

fn shown(count: Count) -> String {
    format!("{:>3} {:>3} {:>6}", count.out, count.looped, count.routed)
}
