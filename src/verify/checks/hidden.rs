//! Samples of the WAL that a start takes for stored, because a block's range covers their time, and that no block holds.

use crate::block::DataDir;
use crate::model::Millis;
use crate::raw::{FileBytes, ReadMode};
use crate::wal::{Log, Logs, Record, Records, SegmentSummary};

/// Shorter holes between the samples of two blocks are none: the next scrape lies behind the border.
const HOLE: Millis = 1000;

/// Counts the samples of the WAL before `floor` that lie neither in `stored`, the times of the first and the last sample of each
/// block, nor among those of the WBL; with the times of the first and the last of them.
pub(in crate::verify) fn count(
    scanned: &DataDir,
    logs: Option<&Logs>,
    mut stored: Vec<(Millis, Millis)>,
    floor: Millis,
    mode: ReadMode,
) -> Option<(u64, Millis, Millis)> {
    let logs = logs?;
    let wal = logs.wal.as_ref()?;
    // Late samples are in both logs, and come back from the WBL.
    stored.extend(logs.wbl.as_ref().and_then(|wbl| wbl.replayed.times));
    let stored = Stored::of(stored);
    let mut found: Option<(u64, Millis, Millis)> = None;
    let segments = wal.checkpoint.iter().chain(&wal.segments);
    for segment in segments.filter(|segment| may_hide(segment, &stored, floor)) {
        let path = scanned.path().join(Log::Wal.name()).join(&segment.path);
        let Ok(bytes) = FileBytes::open(&path, mode) else {
            continue;
        };
        each_time(&bytes, &mut |time| {
            if time < floor && !stored.holds(time) {
                let (count, first, last) = found.unwrap_or((0, time, time));
                found = Some((count + 1, first.min(time), last.max(time)));
            }
        });
    }
    found
}

/// Whether any time of the segment before `floor` lies in a hole; its samples are read only then.
fn may_hide(segment: &SegmentSummary, stored: &Stored, floor: Millis) -> bool {
    let Some((first, last)) = segment.contents.times else {
        return false;
    };
    first < floor && !stored.covers(first, last.min(floor.saturating_sub(1)))
}

/// Calls `see` with the time of every sample, up to the first damage.
fn each_time(bytes: &[u8], see: &mut dyn FnMut(Millis)) {
    let mut records = Records::new(bytes);
    while let Ok(Some(record)) = records.next_record() {
        match record.decode() {
            Ok(Some(Record::Samples(list))) => {
                list.flatten().for_each(|entry| see(entry.sample.time));
            }
            Ok(Some(Record::Histograms(list))) => list.flatten().for_each(|entry| see(entry.time)),
            Ok(Some(Record::FloatHistograms(list))) => {
                list.flatten().for_each(|entry| see(entry.time));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Closed ranges of time, sorted and apart.
struct Stored(Vec<(Millis, Millis)>);

impl Stored {
    fn of(mut ranges: Vec<(Millis, Millis)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(Millis, Millis)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(HOLE) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Stored(joined)
    }

    fn holds(&self, time: Millis) -> bool {
        self.covers(time, time)
    }

    /// Whether one of the ranges reaches from `first` to `last`.
    fn covers(&self, first: Millis, last: Millis) -> bool {
        let after = self.0.partition_point(|(begin, _)| *begin <= first);
        let range = after.checked_sub(1).and_then(|at| self.0.get(at));
        range.is_some_and(|(_, end)| last <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_what_lies_between_their_ends_and_short_holes() {
        let stored = Stored::of(vec![(5000, 9000), (0, 1000), (2000, 2500)]);
        assert_eq!(stored.0, [(0, 2500), (5000, 9000)]);
        for (first, last, covered) in [
            (0, 2500, true),
            (-1, 0, false),
            (0, 2501, false),
            (1000, 6000, false),
            (3000, 3000, false),
            (9000, 9000, true),
            (i64::MIN, i64::MAX, false),
        ] {
            assert_eq!(stored.covers(first, last), covered, "{first} to {last}");
        }
        assert!(!Stored::of(Vec::new()).holds(5));
    }
}
