//! Adding up what blocks of different streams cost at the same time.

use std::collections::BTreeMap;

use super::span::HistorySpan;
use crate::model::Millis;

/// The past of one stream.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its spans by time.
    pub(super) spans: Vec<HistorySpan>,
    /// Blocks some of whose time another one stands for.
    pub(super) overlapping: u64,
    /// Begin, end and series of the block that ends last.
    pub(super) latest: Option<(Millis, Millis, u64)>,
}

impl Lane {
    /// Series of the block that ends last, if it reaches into the range from `begin` to `end`.
    pub(super) fn series_at(&self, (begin, end): (Millis, Millis)) -> u64 {
        let reaches = |(first, last, _): &(Millis, Millis, u64)| *first < end && *last > begin;
        self.latest.filter(reaches).map_or(0, |latest| latest.2)
    }
}

/// The spans of all lanes together, and how many blocks lost time to another.
pub(super) fn add_up(mut lanes: Vec<Lane>) -> (Vec<HistorySpan>, u64) {
    let overlapping = lanes.iter().map(|lane| lane.overlapping);
    let overlapping = overlapping.fold(0, u64::saturating_add);
    if lanes.len() < 2 {
        let only = lanes.pop().map(|lane| lane.spans);
        return (only.unwrap_or_default(), overlapping);
    }
    let mut events = Vec::new();
    for span in lanes.iter().flat_map(|lane| &lane.spans) {
        let length = span.max_time.saturating_sub(span.min_time).max(1) as f64;
        let rate = [span.samples, span.chunk_bytes, span.index_bytes].map(|sum| sum / length);
        events.push((span.min_time, 1.0, span.level, rate));
        events.push((span.max_time, -1.0, span.level, rate));
    }
    events.sort_by_key(|(time, ..)| *time);
    let mut spans: Vec<HistorySpan> = Vec::new();
    let mut rates = [0.0f64; 3];
    // How many spans of each level are open.
    let mut open: BTreeMap<u64, u64> = BTreeMap::new();
    let mut since = 0;
    for (time, sign, level, rate) in events {
        if let Some((level, _)) = open.last_key_value()
            && time > since
        {
            let length = time.saturating_sub(since) as f64;
            let [samples, chunk_bytes, index_bytes] = rates.map(|rate| rate.max(0.0) * length);
            spans.push(HistorySpan {
                min_time: since,
                max_time: time,
                samples,
                chunk_bytes,
                index_bytes,
                level: *level,
            });
        }
        since = time;
        let count = open.entry(level).or_insert(0);
        if sign > 0.0 {
            *count += 1;
        } else {
            *count -= 1;
            if *count == 0 {
                open.remove(&level);
            }
        }
        for (sum, rate) in rates.iter_mut().zip(rate) {
            *sum += sign * rate;
        }
        // No rounding error outlives the spans it came from.
        if open.is_empty() {
            rates = [0.0; 3];
        }
    }
    (spans, overlapping)
}
