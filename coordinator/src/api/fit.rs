//! Keeps what is sent to a caller within what a caller reads ([`limits::MESSAGE`]), however large the answers of some
//! vantage are: nobody may keep a report from arriving.

use onlyhere_proto::{limits, wire};
use prost::Message;

/// One message with news; several smaller ones are read sooner than a large one.
const NEWS: usize = 1024 * 1024;
/// Of a report, besides what the vantages saw.
const REST: usize = 512 * 1024;

/// Splits observations into messages of at most about [`NEWS`] bytes.
pub(super) fn batches(observations: Vec<wire::Observation>) -> Vec<wire::ObservationBatch> {
    let mut batches = vec![wire::ObservationBatch::default()];
    let mut bytes = 0;
    for observation in observations {
        let size = observation.encoded_len();
        let last = batches.last().map_or(0, |batch| batch.observations.len());
        if last > 0 && (bytes + size > NEWS || last >= limits::BATCH) {
            batches.push(wire::ObservationBatch::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.observations.push(observation);
        }
    }
    batches
}

/// Takes observations from the largest vantages until the report fits; says from how many.
///
/// Each vantage may have an equal share, and more as long as others need less than theirs.
pub(super) fn trim(report: &mut wire::Report, most: usize) -> usize {
    let mut trimmed = 0;
    let room = most.saturating_sub(REST);
    let mut vantages: Vec<(usize, &mut wire::VantageReport)> = report
        .vantages
        .iter_mut()
        .map(|vantage| (vantage.encoded_len(), vantage))
        .collect();
    vantages.sort_by_key(|(size, _)| *size);
    let (mut left, mut waiting) = (room, vantages.len());
    for (size, vantage) in vantages {
        let share = left / waiting;
        let mut size = size;
        if size > share {
            trimmed += 1;
            while size > share
                && let Some(observation) = vantage.observations.pop()
            {
                size -= observation.encoded_len();
            }
        }
        left = left.saturating_sub(size);
        waiting -= 1;
    }
    trimmed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(bytes: usize) -> wire::Observation {
        wire::Observation {
            detail: "x".repeat(bytes),
            ..Default::default()
        }
    }

    fn vantage(name: &str, count: usize, bytes: usize) -> wire::VantageReport {
        wire::VantageReport {
            vantage: Some(wire::Vantage {
                name: name.into(),
                ..Default::default()
            }),
            observations: vec![observation(bytes); count],
        }
    }

    #[test]
    fn one_huge_vantage_cannot_keep_the_report_from_arriving() {
        let mut report = wire::Report {
            vantages: vec![
                vantage("liar", 400, 50_000),
                vantage("a", 20, 2_000),
                vantage("b", 20, 2_000),
            ],
            ..Default::default()
        };
        assert!(report.encoded_len() > limits::MESSAGE);
        assert_eq!(trim(&mut report, limits::MESSAGE), 1);
        assert!(report.encoded_len() < limits::MESSAGE);
        assert!(
            report.encoded_len() > limits::MESSAGE / 2,
            "no more is taken than must be"
        );
        assert!(
            report.vantages[1..]
                .iter()
                .all(|v| v.observations.len() == 20)
        );
        assert_eq!(trim(&mut report, limits::MESSAGE), 0);
    }

    #[test]
    fn sixty_huge_vantages_share_alike() {
        let vantages = (0..64)
            .map(|i| vantage(&format!("p{i}"), 40, 10_000))
            .collect();
        let mut report = wire::Report {
            vantages,
            ..Default::default()
        };
        assert_eq!(trim(&mut report, limits::MESSAGE), 64);
        assert!(report.encoded_len() < limits::MESSAGE);
        assert!(report.vantages.iter().all(|v| v.observations.len() >= 4));
    }

    #[test]
    fn news_is_split_and_nothing_is_lost() {
        let batches = batches(vec![observation(300_000); 10]);
        assert!(
            batches
                .iter()
                .all(|batch| batch.encoded_len() <= NEWS + 1_000)
        );
        assert_eq!(
            batches.iter().map(|b| b.observations.len()).sum::<usize>(),
            10
        );
    }
}
