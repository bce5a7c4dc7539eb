//! Timelines: the scrape times of targets, which all series of a target share.
//!
//! A series that begins late, ends early or misses some scrapes is a slice of its target's
//! timeline. Timelines are numbered over a whole pack; each stands in the section of the group that
//! had it first.

use std::sync::Arc;

use super::column::{ColumnReader, ColumnWriter, Stream, Streams};
use super::hash::NumberMap;
use crate::model::Millis;
use crate::raw::varint::write_uvarint;
use crate::raw::{Malformed, Reader};

/// Most times that the timelines of a pack have together: writer and reader keep them all in
/// memory. Series beyond that keep their times to themselves.
pub(super) const MAX_TIMES: usize = 1 << 20;

/// A series may skip stretches of a timeline, one for so many of its samples; a worse fit is better
/// off alone.
const SAMPLES_PER_RUN: usize = 8;

/// Consecutive times of a timeline: how many are skipped first, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) skip: usize,
    pub(super) length: usize,
}

/// Times as part of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) timeline: usize,
    pub(super) runs: Vec<Run>,
}

/// The timelines of a pack that is being written.
#[derive(Debug, Default)]
pub(super) struct Timelines {
    lines: Vec<Arc<[Millis]>>,
    /// Times in all of them.
    times: usize,
    by_time: NumberMap<Millis, usize>,
}

impl Timelines {
    /// All timelines so far.
    pub(super) fn lines(&self) -> &[Arc<[Millis]>] {
        &self.lines
    }

    /// Expresses `times`, which are not empty, as part of a timeline; of a new one if none holds
    /// them. `None` when there is no room for a new one.
    pub(super) fn place(&mut self, times: &[Millis]) -> Option<Slice> {
        let probes = [times.last(), times.get(times.len() / 2), times.first()];
        let mut tried = None;
        for timeline in probes
            .into_iter()
            .flatten()
            .filter_map(|time| self.by_time.get(time))
        {
            if tried != Some(*timeline)
                && let Some(runs) = self
                    .lines
                    .get(*timeline)
                    .and_then(|line| slice(line, times))
            {
                return Some(Slice {
                    timeline: *timeline,
                    runs,
                });
            }
            tried = Some(*timeline);
        }
        self.times = Some(self.times + times.len()).filter(|times| *times <= MAX_TIMES)?;
        let timeline = self.lines.len();
        self.lines.push(times.into());
        // The newest wins: it is longer than the one that did not hold these times.
        self.by_time
            .extend(times.iter().map(|time| (*time, timeline)));
        let runs = vec![Run {
            skip: 0,
            length: times.len(),
        }];
        Some(Slice { timeline, runs })
    }
}

/// `times` as runs of `line`; `None` if they are not all in it, in order, or too scattered.
fn slice(line: &[Millis], times: &[Millis]) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    let (mut line, mut times) = (line, times);
    let max_runs = times.len() / SAMPLES_PER_RUN + 1;
    while let Some(first) = times.first() {
        if runs.len() == max_runs {
            return None;
        }
        let skip = line.partition_point(|time| time < first);
        line = line.get(skip..)?;
        let length = line.iter().zip(times).take_while(|(a, b)| a == b).count();
        if length == 0 {
            return None;
        }
        line = line.get(length..)?;
        times = times.get(length..)?;
        runs.push(Run { skip, length });
    }
    Some(runs)
}

/// Collects the times of `runs` of `line`; `None` when they lie outside.
pub(super) fn times_of(line: &[Millis], runs: &[Run]) -> Option<Vec<Millis>> {
    let mut times = Vec::new();
    let mut rest = line;
    for run in runs {
        let (taken, behind) = rest.get(run.skip..)?.split_at_checked(run.length)?;
        times.extend_from_slice(taken);
        rest = behind;
    }
    Some(times)
}

/// Writes a section of timelines.
pub(super) fn write(lines: &[Arc<[Millis]>], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut writer = ColumnWriter::default();
    write_uvarint(writer.stream(Stream::Shapes), lines.len() as u64);
    for line in lines {
        write_uvarint(writer.stream(Stream::Shapes), line.len() as u64);
        writer.integers(line);
    }
    writer.finish(out)
}

/// Reads a section of timelines, of at most `max_times` times.
pub(super) fn read(
    bytes: &[u8],
    offset: u64,
    max_times: usize,
) -> Result<Vec<Arc<[Millis]>>, Malformed> {
    let mut reader = Reader::new(bytes, offset, "timelines");
    let streams = Streams::read(&mut reader)?;
    let mut columns = ColumnReader::new(&streams, reader.rest(), reader.offset())?;
    let lengths = columns.stream(Stream::Shapes);
    let at = *lengths;
    let count = lengths.count(1)?;
    if count > max_times {
        return Err(at.unexpected("timelines", format!("of up to {max_times} times"), count));
    }
    let mut lines = Vec::with_capacity(count);
    let mut left = max_times;
    for _ in 0..count {
        let lengths = columns.stream(Stream::Shapes);
        let at = *lengths;
        let length = lengths.uvarint()?;
        let fits = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0 && *length <= left);
        let length =
            fits.ok_or_else(|| at.unexpected("timeline", format!("of 1 to {left} times"), length))?;
        left -= length;
        let mut line = Vec::new();
        columns.integers(length, &mut line)?;
        lines.push(line.into());
    }
    columns.finish()?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(skip: usize, length: usize) -> Run {
        Run { skip, length }
    }

    #[test]
    fn series_of_one_target_share_a_timeline_and_others_do_not() {
        let mut timelines = Timelines::default();
        let all: Vec<Millis> = (0..100).map(|i| i * 1000 + i % 3).collect();
        let mut place = |times: &[Millis]| {
            let slice = timelines.place(times).unwrap();
            assert_eq!(
                times_of(&timelines.lines[slice.timeline], &slice.runs).unwrap(),
                times
            );
            slice
        };
        assert_eq!(place(&all[40..60]).timeline, 0);
        assert_eq!(place(&all).timeline, 1, "longer than what is known");
        assert_eq!(
            place(&all[50..]),
            Slice {
                timeline: 1,
                runs: vec![run(50, 50)]
            }
        );
        let gap: Vec<_> = all[..20].iter().chain(&all[30..]).copied().collect();
        assert_eq!(
            place(&gap),
            Slice {
                timeline: 1,
                runs: vec![run(0, 20), run(10, 70)]
            }
        );
        let other: Vec<_> = all.iter().map(|time| time + 500).collect();
        assert_eq!(place(&other).timeline, 2);
        let scattered: Vec<_> = all.iter().step_by(2).copied().collect();
        assert_eq!(place(&scattered).timeline, 3);
    }

    proptest! {
        #[test]
        fn any_times_come_back(lines in prop::collection::vec(prop::collection::vec(any::<i64>(), 1..40), 0..6)) {
            let mut timelines = Timelines::default();
            for line in &lines {
                let slice = timelines.place(line).unwrap();
                prop_assert_eq!(&times_of(&timelines.lines[slice.timeline], &slice.runs).unwrap(), line);
            }
            let mut bytes = Vec::new();
            write(timelines.lines(), &mut bytes).unwrap();
            prop_assert_eq!(read(&bytes, 0, 1000).unwrap(), timelines.lines);
        }
    }
}
