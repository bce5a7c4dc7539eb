//! Samples of the WAL that a start takes for stored, because a block's range covers their time, and
//! that no block holds.

use std::collections::{BTreeMap, HashSet};

use crate::block::DataDir;
use crate::model::Millis;
use crate::raw::{FileBytes, ReadMode};
use crate::wal::{Log, LogRecord, Logs, Records, SegmentSummary};

/// Shorter holes behind the last sample of a block are none: the next scrape lies behind the
/// border.
const HOLE: Millis = 1000;

/// Most samples of the WAL in holes that are told apart; more are not counted.
const MAX_COUNTED: usize = 1 << 22;

/// What a start has beside the samples of the WAL.
#[derive(Debug, Default)]
pub(in crate::verify) struct Held {
    /// Times of the first and the last sample of blocks that hold all series.
    pub(in crate::verify) dense: Vec<(Millis, Millis)>,
    /// The same of what holds some series only, with the number of its samples: blocks of late or
    /// selected ones, the WBL. That its time reaches over a hole does not mean that it fills
    /// it.
    pub(in crate::verify) sparse: Vec<((Millis, Millis), u64)>,
    /// What is older was deleted for its age: the WAL may keep it longer than the blocks.
    pub(in crate::verify) since: Millis,
}

/// Counts the samples of the WAL before `floor`, and not before [`Held::since`], that nothing
/// holds; with the times of the first and the last sample of the holes they lie in. Where something
/// holds some series of a hole, as many of its samples are taken for held.
pub(in crate::verify) fn count(
    scanned: &DataDir,
    logs: Option<&Logs>,
    mut held: Held,
    floor: Millis,
    mode: ReadMode,
) -> Option<(u64, Millis, Millis)> {
    let logs = logs?;
    let wal = logs.wal.as_ref()?;
    // Late samples are in both logs, and come back from the WBL.
    if let Some((times, wbl)) = logs
        .wbl
        .as_ref()
        .and_then(|wbl| Some((wbl.replayed.times?, wbl)))
    {
        held.sparse.push((times, wbl.replayed.samples()));
    }
    let stored = Stored::of(held.dense);
    let since = held.since;
    let mut holes: BTreeMap<usize, Hole> = BTreeMap::new();
    let mut seen = HashSet::new();
    let segments = wal.checkpoint.iter().chain(&wal.segments);
    for segment in segments.filter(|segment| may_hide(segment, &stored, (since, floor))) {
        let path = scanned.path().join(Log::Wal.name()).join(&segment.path);
        let Ok(bytes) = FileBytes::open(&path, mode) else {
            continue;
        };
        each_sample(&bytes, &mut |series, time| {
            if time < since || time >= floor || stored.holds(time) || seen.len() >= MAX_COUNTED {
                return;
            }
            // A late sample may have been logged twice.
            if seen.insert((series, time)) {
                let hole = holes.entry(stored.after(time)).or_insert(Hole {
                    samples: 0,
                    first: time,
                    last: time,
                });
                hole.samples += 1;
                hole.first = hole.first.min(time);
                hole.last = hole.last.max(time);
            }
        });
    }
    let mut found: Option<(u64, Millis, Millis)> = None;
    for hole in holes.into_values() {
        let reaching = held.sparse.iter();
        let reaching = reaching.filter(|((a, b), _)| *a <= hole.last && hole.first <= *b);
        let filled = reaching.fold(0u64, |all, (_, samples)| all.saturating_add(*samples));
        let hidden = hole.samples.saturating_sub(filled);
        if hidden > 0 {
            let (count, first, last) = found.unwrap_or((0, hole.first, hole.last));
            found = Some((count + hidden, first.min(hole.first), last.max(hole.last)));
        }
    }
    found
}

/// Samples of the WAL between the ranges of two blocks.
struct Hole {
    samples: u64,
    first: Millis,
    last: Millis,
}

/// Whether any time of the segment from `since` on and before `floor` lies in a hole; its samples
/// are read only then.
fn may_hide(segment: &SegmentSummary, stored: &Stored, (since, floor): (Millis, Millis)) -> bool {
    let Some((first, last)) = segment.contents.times else {
        return false;
    };
    let (first, last) = (first.max(since), last.min(floor.saturating_sub(1)));
    first <= last && !stored.covers(first, last)
}

/// Calls `see` with the series and the time of every sample, up to the first damage.
fn each_sample(bytes: &[u8], see: &mut dyn FnMut(u64, Millis)) {
    let mut records = Records::new(bytes);
    while let Ok(Some(record)) = records.next_record() {
        match record.decode() {
            Ok(Some(LogRecord::Samples(list))) => {
                let entries = list.flatten();
                entries.for_each(|entry| see(entry.series.0, entry.sample.time));
            }
            Ok(Some(LogRecord::Histograms(list))) => {
                let entries = list.flatten();
                entries.for_each(|entry| see(entry.series.0, entry.time));
            }
            Ok(Some(LogRecord::FloatHistograms(list))) => {
                let entries = list.flatten();
                entries.for_each(|entry| see(entry.series.0, entry.time));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Closed ranges of time, sorted and apart, each with the short hole behind it.
struct Stored(Vec<(Millis, Millis)>);

impl Stored {
    fn of(mut ranges: Vec<(Millis, Millis)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(Millis, Millis)> = Vec::new();
        for (first, last) in ranges {
            let end = last.saturating_add(HOLE - 1);
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(end),
                _ => joined.push((first, end)),
            }
        }
        Stored(joined)
    }

    fn holds(&self, time: Millis) -> bool {
        self.covers(time, time)
    }

    /// How many of the ranges begin no later than `time`.
    fn after(&self, time: Millis) -> usize {
        self.0.partition_point(|(begin, _)| *begin <= time)
    }

    /// Whether one of the ranges reaches from `first` to `last`.
    fn covers(&self, first: Millis, last: Millis) -> bool {
        let range = self.after(first).checked_sub(1);
        let range = range.and_then(|at| self.0.get(at));
        range.is_some_and(|(_, end)| last <= *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::writer::SegmentWriter;

    /// Floats of the series 1 to `series`, one each second of `from` to `to`, as the WAL has them.
    fn log(series: u64, from: i64, to: i64) -> Vec<u8> {
        let sample = |series: u64, second: i64| {
            let (series, time) = (series.to_be_bytes(), (second * 1000).to_be_bytes());
            [&[2][..], &series, &time, &[0, 0], &[0; 8]].concat()
        };
        let define = |series: u64| [&[1][..], &series.to_be_bytes(), b"\x01\x01a\x01b"].concat();
        let mut records: Vec<_> = (1..=series).map(define).collect();
        for second in from..=to {
            records.extend((1..=series).map(|series| sample(series, second)));
        }
        SegmentWriter::with(records.iter().map(|record| &record[..]))
    }

    fn counted(segment: Vec<u8>, floor: Millis, held: Held) -> Option<(u64, Millis, Millis)> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        std::fs::write(dir.path().join("wal/00000000"), segment).unwrap();
        let scanned = DataDir::scan(dir.path()).unwrap();
        let logs = Logs::read(dir.path(), Some(floor), ReadMode::default());
        count(&scanned, Some(&logs), held, floor, ReadMode::default())
    }

    #[test]
    fn a_block_of_some_series_fills_no_hole_of_all() {
        let held = |sparse: &[u64]| Held {
            dense: vec![(0, 10_000)],
            sparse: sparse
                .iter()
                .map(|samples| ((0, 60_000), *samples))
                .collect(),
            since: 0,
        };
        // Three series, a block to the tenth second, and its range to the thirtieth.
        let wal = || log(3, 0, 40);
        let (hidden, first, last) = (3 * 19, 11_000, 29_000);
        assert_eq!(
            counted(wal(), 30_000, held(&[])),
            Some((hidden, first, last))
        );
        let some = counted(wal(), 30_000, held(&[10, 20]));
        assert_eq!(some, Some((hidden - 30, first, last)));
        assert_eq!(counted(wal(), 30_000, held(&[hidden])), None);
    }

    #[test]
    fn a_late_sample_that_was_logged_twice_is_one() {
        let twice = [log(3, 0, 40), log(3, 12, 20)].concat();
        let held = Held {
            dense: vec![(0, 10_000)],
            sparse: vec![((11_000, 29_000), 3 * 19)],
            since: 0,
        };
        assert_eq!(counted(twice, 30_000, held), None);
    }

    #[test]
    fn what_is_older_than_all_blocks_was_deleted_for_its_age() {
        let held = |since| Held {
            dense: vec![(20_000, 30_000)],
            sparse: Vec::new(),
            since,
        };
        assert_eq!(counted(log(1, 0, 40), 30_001, held(20_000)), None);
        let missed = counted(log(1, 0, 40), 30_001, held(Millis::MIN));
        assert_eq!(missed, Some((20, 0, 19_000)));
    }

    #[test]
    fn ranges_cover_what_lies_between_their_ends_and_short_holes() {
        let stored = Stored::of(vec![(5000, 9000), (0, 1000), (2000, 2500)]);
        assert_eq!(stored.0, [(0, 3499), (5000, 9999)]);
        for (first, last, covered) in [
            (0, 3499, true),
            (-1, 0, false),
            (0, 3500, false),
            (1000, 6000, false),
            (3500, 3500, false),
            (9000, 9999, true),
            (9999, 10_000, false),
            (i64::MIN, i64::MAX, false),
        ] {
            assert_eq!(stored.covers(first, last), covered, "{first} to {last}");
        }
        assert!(!Stored::of(Vec::new()).holds(5));
    }
}
