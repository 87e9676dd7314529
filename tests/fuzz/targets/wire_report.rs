//! A report as a coordinator sends it to a caller.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlyhere_fuzz::{observation, plain, sentence, survives_json, survives_the_wire, vantage};
use onlyhere_proto::{Report, Verdict, limits, wire};
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = wire::Report::decode(bytes) else {
        return;
    };
    let report = match Report::try_from(message) {
        Ok(report) => report,
        Err(why) => return sentence(&why),
    };
    survives_the_wire::<_, wire::Report>(&report);
    survives_json(&report);
    verdict(&report.verdict);
    assert!(report.vantages.len() <= limits::VANTAGES + 1);
    for seen in &report.vantages {
        vantage(&seen.vantage);
        seen.observations.iter().for_each(observation);
    }
    let local = &report.subject.local;
    assert!(local.listeners.len() <= limits::LISTENERS);
    for text in local
        .proxies
        .iter()
        .chain(&local.tunnel)
        .chain(&local.platform)
    {
        plain(text, limits::TEXT);
    }
});

fn verdict(verdict: &Verdict) {
    let sentences = 4 * limits::TEXT;
    plain(&verdict.headline, limits::TEXT);
    verdict.next.iter().for_each(|text| plain(text, sentences));
    for cause in &verdict.causes {
        plain(&cause.title, limits::TEXT);
        plain(&cause.time_to_fix, limits::TEXT);
        cause
            .fix
            .iter()
            .chain(&cause.confirm)
            .for_each(|text| plain(text, sentences));
    }
    for evidence in &verdict.evidence {
        plain(&evidence.says, sentences);
        assert!(evidence.log10_bayes_factor.is_finite());
    }
    verdict
        .advisories
        .iter()
        .for_each(|advisory| plain(&advisory.says, sentences));
    for probability in verdict.scopes.values().chain([&verdict.confidence]) {
        assert!((0.0..=1.001).contains(probability));
    }
}
