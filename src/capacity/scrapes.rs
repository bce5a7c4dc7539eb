//! How regularly jobs are scraped.

use std::collections::BTreeMap;

use super::costs::{Costs, PairId};
use super::tally::Tally;
use crate::model::Millis;

/// Missed scrapes in a row that make a gap.
const GAP: u64 = 5;

/// Distances of samples by job.
#[derive(Clone, Debug, Default)]
pub(super) struct ScrapeCounts {
    /// By job, the empty string where there is none: average distance of a chunk, and samples of
    /// such chunks.
    averages: BTreeMap<Vec<u8>, BTreeMap<u64, u64>>,
    /// By job: distance of two samples, and how often it occurs. Empty unless samples were read.
    distances: BTreeMap<Vec<u8>, BTreeMap<u64, u64>>,
}

/// How regularly a job is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrapes {
    /// The job; nothing for series without one.
    pub job: Option<String>,
    /// The most common distance of two samples, rounded to three digits; of averages in chunks
    /// unless samples were read.
    pub interval: Millis,
    /// The share of distances that are this one.
    pub share: f64,
    /// Distances between samples of a series, if they were read.
    pub distances: Option<u64>,
    /// Samples that are missing in them, at the interval.
    pub missed: Option<u64>,
    /// Distances in which five or more are missing.
    pub gaps: Option<u64>,
    /// The longest distance.
    pub longest: Option<Millis>,
    /// Distances of less than half the interval: scraped twice, or by two servers.
    pub doubled: Option<u64>,
}

impl ScrapeCounts {
    pub(super) fn add(&mut self, costs: &Costs<'_>, tally: &Tally) {
        let job = |pair: Option<PairId>| {
            let pair = pair.and_then(|pair| costs.pairs().get(pair as usize));
            let value = pair.and_then(|pair| costs.symbols().at(pair.value as usize));
            value.unwrap_or_default().to_vec()
        };
        for ((pair, interval), samples) in &tally.averages {
            let of_job = self.averages.entry(job(*pair)).or_default();
            *of_job.entry(interval.unsigned_abs()).or_default() += samples;
        }
        for ((pair, distance), count) in &tally.decoded.distances {
            let of_job = self.distances.entry(job(*pair)).or_default();
            *of_job.entry(*distance).or_default() += count;
        }
    }

    /// How regularly each job is scraped, by its name.
    pub(super) fn of_jobs(&self) -> Vec<Scrapes> {
        let jobs = self.averages.iter();
        jobs.filter_map(|(job, averages)| {
            let exact = self.distances.get(job);
            scrapes(job, exact.unwrap_or(averages), exact.is_some())
        })
        .collect()
    }
}

fn scrapes(job: &[u8], counts: &BTreeMap<u64, u64>, exact: bool) -> Option<Scrapes> {
    let all = counts
        .values()
        .fold(0u64, |all, more| all.saturating_add(*more));
    // Of equally common ones the shorter.
    let (interval, most) = counts
        .iter()
        .max_by_key(|(interval, count)| (**count, std::cmp::Reverse(**interval)))?;
    let interval = (*interval).max(1);
    let missing = |distance: u64| {
        // Rounded, so that a scrape that comes late is not a missed one.
        (distance.saturating_add(interval / 2) / interval).saturating_sub(1)
    };
    let sum = |of: &dyn Fn(u64) -> u64| {
        let counts = counts.iter();
        counts
            .map(|(distance, count)| of(*distance).saturating_mul(*count))
            .fold(0, u64::saturating_add)
    };
    let exactly = |number: u64| exact.then_some(number);
    let longest = counts.keys().next_back().copied().unwrap_or(0);
    Some(Scrapes {
        job: (!job.is_empty()).then(|| String::from_utf8_lossy(job).into_owned()),
        interval: Millis::try_from(interval).unwrap_or(Millis::MAX),
        share: *most as f64 / all as f64,
        distances: exactly(all),
        missed: exactly(sum(&missing)),
        gaps: exactly(sum(&|distance| u64::from(missing(distance) >= GAP))),
        longest: exactly(longest).map(|longest| Millis::try_from(longest).unwrap_or(Millis::MAX)),
        doubled: exactly(sum(&|distance| u64::from(distance < interval / 2))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_what_most_distances_are_and_not_the_largest_of_them() {
        // 30 s occurs more often than 15 s is long: whoever compares counts with values takes the
        // wrong one.
        let counts = BTreeMap::from([
            (2000, 1),
            (14_900, 2),
            (15_000, 50),
            (30_000, 3),
            (120_000, 1),
        ]);
        let found = scrapes(b"node", &counts, true).unwrap();
        assert_eq!(
            found,
            Scrapes {
                job: Some("node".into()),
                interval: 15_000,
                share: 50.0 / 57.0,
                distances: Some(57),
                missed: Some(3 + 7),
                gaps: Some(1),
                longest: Some(120_000),
                doubled: Some(1),
            }
        );
        let guessed = scrapes(b"", &counts, false).unwrap();
        assert_eq!((guessed.job, guessed.missed), (None, None));
    }
}
