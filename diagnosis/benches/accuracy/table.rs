//! The figures, printed.

use std::collections::BTreeMap;

use onlyhere_proto::{CauseId, Scope};

use crate::metrics::{self, Judged, Share, percentile};

/// Commonest misses that are listed.
const MISSES: usize = 25;

/// One line per class, and what it was taken for.
pub(crate) fn classes(judged: &[Judged]) {
    println!(
        "{:<26} {:>5}  {:<24} {:>8} {:>7} {:>7} {:>6}",
        "class", "n", "cause right [95 %]", "strict", "scope", "actor", "checks"
    );
    for class in in_order(judged.iter().map(|j| j.class)) {
        let of: Vec<&Judged> = judged.iter().filter(|j| j.class == class).collect();
        let share = |hit: fn(&Judged) -> bool| Share::count(of.iter().copied(), hit);
        println!(
            "{class:<26} {:>5}  {:<24} {:>6.1} % {:>5.1} % {:>5.1} % {:>6.1}",
            of.len(),
            share(|j| j.right.tolerant).to_string(),
            100.0 * share(|j| j.right.cause).value(),
            100.0 * share(|j| j.right.scope).value(),
            100.0 * share(|j| j.right.actor).value(),
            of.iter().map(|j| j.asked as f64).sum::<f64>() / of.len() as f64,
        );
    }
}

/// The causes of INTERFACE.md, with all their classes together.
pub(crate) fn causes(judged: &[Judged]) {
    println!("\n{:<24} {:>5}  cause right [95 %]", "cause", "n");
    let labels = std::iter::once("ok").chain(CauseId::ALL.iter().map(|c| c.label()));
    for label in labels {
        let of: Vec<&Judged> = judged.iter().filter(|j| j.truth.label() == label).collect();
        if !of.is_empty() {
            let share = Share::count(of.iter().copied(), |j| j.right.tolerant);
            println!("{label:<24} {:>5}  {share}", of.len());
        }
    }
}

/// The figures of all classes together.
pub(crate) fn summary(title: &str, judged: &[Judged]) {
    let share = |hit: fn(&Judged) -> bool| Share::count(judged, hit);
    let reported: Vec<&Judged> = judged.iter().filter(|j| j.right.reported).collect();
    let of_reported = |hit: fn(&Judged) -> bool| Share::count(reported.iter().copied(), hit);
    println!("\n== {title}: {} cases", judged.len());
    println!(
        "cause, tolerant            {}   macro-F1 {:.3}",
        share(|j| j.right.tolerant),
        metrics::macro_f1(judged, true)
    );
    println!(
        "cause, strict              {}   macro-F1 {:.3}",
        share(|j| j.right.cause),
        metrics::macro_f1(judged, false)
    );
    println!("scope                      {}", share(|j| j.right.scope));
    println!(
        "who must act               {}   of what is reported {}",
        share(|j| j.right.actor),
        of_reported(|j| j.right.actor)
    );
    println!(
        "reported, of that right    {}",
        of_reported(|j| j.right.precise)
    );
    println!(
        "inconclusive               {}",
        share(|j| !j.right.reported)
    );
    println!(
        "Brier                      tolerant {:.3}  strict {:.3}",
        metrics::brier(judged, true),
        metrics::brier(judged, false)
    );
    let scope = reported.iter().map(|j| (j.said.confidence, j.right.scope));
    let cause = reported.iter().map(|j| (named(j), j.right.tolerant));
    println!(
        "calibration error          scope {:.3}  cause {:.3}",
        metrics::calibration_error(scope),
        metrics::calibration_error(cause)
    );
    let mean = |of: fn(&Judged) -> usize| {
        judged.iter().map(|j| of(j) as f64).sum::<f64>() / judged.len().max(1) as f64
    };
    println!(
        "checks a case              {:.1}, after the opening {:.1}",
        mean(|j| j.asked),
        mean(|j| j.after_opening)
    );
    let first: Vec<f64> = judged.iter().filter_map(|j| j.right_ms).collect();
    let last: Vec<f64> = judged.iter().map(|j| j.concluded_ms).collect();
    println!(
        "right and stays so         p50 {:.2} s  p95 {:.2} s",
        percentile(first.clone(), 0.5) / 1e3,
        percentile(first, 0.95) / 1e3
    );
    println!(
        "confirmed                  p50 {:.2} s  p95 {:.2} s   out of time {}",
        percentile(last.clone(), 0.5) / 1e3,
        percentile(last, 0.95) / 1e3,
        share(|j| j.out_of_time).hits
    );
    let stops = share(|j| j.stopped_early).hits;
    let spins = share(|j| j.spins).hits;
    if spins > 0 {
        println!("wanted to be woken in the past: {spins}");
    }
    let changed: Vec<String> = judged
        .iter()
        .filter(|j| j.changed)
        .map(|j| format!("{}:{}", j.stream, j.class))
        .collect();
    println!(
        "ended with requests out    {stops}, of these the scope would have changed: {} {}",
        changed.len(),
        changed
            .iter()
            .take(4)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    );
}

/// The probability of what is said to be the cause.
fn named(case: &Judged) -> f64 {
    match case.said.cause {
        None => case.said.ok,
        Some(_) => case.said.causes.first().map_or(0.0, |c| c.1),
    }
}

/// Every verdict that is given and wrong.
pub(crate) fn alarms(judged: &[Judged]) {
    for case in judged.iter().filter(|j| j.right.reported && !j.right.scope) {
        println!(
            "       {} at {}   ONE={}:{}",
            case.said.label(),
            case.said.scope,
            case.stream,
            case.class
        );
    }
}

/// What is taken for what, the commonest first.
pub(crate) fn misses(judged: &[Judged]) {
    let mut counts: BTreeMap<(&str, String), (usize, u64)> = BTreeMap::new();
    for case in judged
        .iter()
        .filter(|j| !(j.right.tolerant && j.right.scope))
    {
        let said = match case.said.scope {
            Scope::Inconclusive => {
                let likely: Vec<&str> = case
                    .said
                    .causes
                    .iter()
                    .take(2)
                    .map(|c| c.0.label())
                    .collect();
                format!("inconclusive ({})", likely.join(", "))
            }
            scope => format!("{} at {scope}", case.said.label()),
        };
        let entry = counts.entry((case.class, said)).or_insert((0, case.stream));
        entry.0 += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    println!("\ncommonest misses (one in full: ONE=stream:class)");
    for ((class, said), (count, stream)) in counts.iter().take(MISSES) {
        println!("{count:>5}  {class} -> {said}   ONE={stream}:{class}");
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
