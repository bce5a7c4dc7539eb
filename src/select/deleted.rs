//! What tombstones say is deleted.

use std::collections::HashMap;

use crate::block::{Block, Tombstone};
use crate::model::{Millis, SeriesRef};

/// A deleted range of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) min_time: Millis,
    pub(crate) max_time: Millis,
}

/// The block's tombstones by series, intervals that overlap or touch made one.
pub(crate) fn deleted_intervals(block: &Block) -> HashMap<SeriesRef, Vec<Interval>> {
    intervals_of(&block.tombstones().records)
}

/// As [`deleted_intervals`], of the records of a file of tombstones.
pub(crate) fn intervals_of(records: &[Tombstone]) -> HashMap<SeriesRef, Vec<Interval>> {
    let mut records = records.to_vec();
    records.sort_by_key(|record| (record.series, record.min_time));
    let mut deleted: HashMap<SeriesRef, Vec<Interval>> = HashMap::new();
    for record in records
        .iter()
        .filter(|record| record.min_time <= record.max_time)
    {
        let intervals = deleted.entry(record.series).or_default();
        match intervals.last_mut() {
            Some(last) if record.min_time <= last.max_time.saturating_add(1) => {
                last.max_time = last.max_time.max(record.max_time);
            }
            _ => intervals.push(Interval {
                min_time: record.min_time,
                max_time: record.max_time,
            }),
        }
    }
    deleted
}

/// Whether `time` lies in one of the intervals, which are sorted and do not touch.
pub(crate) fn is_deleted(intervals: &[Interval], time: Millis) -> bool {
    let after = intervals.partition_point(|interval| interval.max_time < time);
    intervals
        .get(after)
        .is_some_and(|interval| interval.min_time <= time)
}
