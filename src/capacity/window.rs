//! The range of time of a block that counts.

use super::walk::Walked;
use crate::index::Series;
use crate::inspect::{SeriesCounts, average_distance};
use crate::model::Millis;

/// A series begins or ends with the block if it does so within this time of it: after it, queries
/// no longer see its last sample.
const LOOKBACK: Millis = 5 * 60_000;
/// Series entries that are looked at to guess the scrape interval.
const GUESSED_FROM: usize = 2000;

/// The range of time of a block that counts, and what beside its borders still belongs to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) min: Millis,
    /// Exclusive.
    pub(super) max: Millis,
    pub(super) slack: Millis,
    /// The scrape interval, as far as it can be guessed.
    pub(super) interval: Millis,
}

impl Window {
    /// Milliseconds of the window that a series from `first` to `last` does not cover. Unlike
    /// promtool's this does not wrap where chunks lie outside the block's range.
    pub(super) fn uncovered(self, span: Option<(Millis, Millis)>) -> u64 {
        let length = self.max.saturating_sub(self.min).max(0);
        let covered = span.map_or(0, |(first, last)| {
            last.min(self.max)
                .saturating_sub(first.max(self.min))
                .max(0)
        });
        length.saturating_sub(covered).max(0).unsigned_abs()
    }
}

/// The window of a block: what of its range is wanted, and the slack at its borders, three scrapes
/// long.
pub(super) fn window(walked: Walked<'_>) -> Window {
    let meta = walked.block.meta();
    let selection = walked.selection;
    let mut counts = SeriesCounts::default();
    let mut series = Series::default();
    let entries = walked.index.series().map_while(Result::ok);
    for entry in entries.take(GUESSED_FROM) {
        if entry.decode(&mut series).is_err() {
            continue;
        }
        for chunk in series.chunks.iter().take(1) {
            let Ok(record) = walked.block.chunk(chunk.reference) else {
                continue;
            };
            let promised =
                crate::chunk::promised_samples(record.encoding, record.data, record.data_offset);
            if let Some(interval) = promised
                .ok()
                .and_then(|samples| average_distance(chunk, samples.into()))
            {
                *counts.intervals.entry(interval).or_default() += 1;
            }
        }
    }
    let interval = counts
        .scrape_interval()
        .map_or(LOOKBACK, |(found, _)| found);
    Window {
        min: meta.min_time.max(selection.range.since),
        max: meta.max_time.min(selection.range.until),
        slack: interval.saturating_mul(3).clamp(1, LOOKBACK),
        interval,
    }
}
