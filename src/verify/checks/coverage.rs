//! Which bytes of the segments belong to chunks that a series refers to, and what the others are.

use std::collections::BTreeSet;

use super::Subject;
use super::segments::Segments;
use crate::chunk::{self, ChunkRecord, SEGMENT_HEADER, Segment};
use crate::model::{Millis, Sample};
use crate::verify::{FaultLoss, Finding, Findings, Kind};

/// Consecutive records that are referred to, from `start` to `end` in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    segment: usize,
    start: u64,
    end: u64,
    /// The last record is damaged: it may end anywhere before the next run.
    open: bool,
}

/// The records that series refer to. In a block as Prometheus writes it they follow one another, so
/// that one run for each segment says everything; each irregularity costs one run more.
#[derive(Debug, Default)]
pub(in crate::verify) struct Coverage {
    runs: Vec<Run>,
}

impl Coverage {
    /// The record from `start` to `end` is referred to.
    #[inline]
    pub(in crate::verify) fn add(&mut self, segment: usize, start: u64, end: u64) {
        if let Some(run) = self.runs.last_mut()
            && (run.segment, run.end) == (segment, start)
            && !run.open
        {
            run.end = end;
            return;
        }
        self.runs.push(Run {
            segment,
            start,
            end,
            open: false,
        });
    }

    /// A record at `start` is referred to; where it ends is not known.
    pub(in crate::verify) fn add_open(&mut self, segment: usize, start: u64) {
        self.add(segment, start, start);
        if let Some(run) = self.runs.last_mut() {
            run.open = true;
        }
    }

    /// Adds what is referred to by later series.
    pub(in crate::verify) fn append(&mut self, other: Coverage) {
        let mut later = other.runs.into_iter();
        if let Some(first) = later.next() {
            self.add(first.segment, first.start, first.end);
            if let Some(run) = self.runs.last_mut() {
                run.open = first.open;
            }
        }
        self.runs.extend(later);
    }

    /// Finds the bytes that no reference covers and those that several do. `series_lost` says that
    /// series entries could not be read, which explains chunks without one; in `foreign`
    /// segments no reference fits anyway.
    pub(in crate::verify) fn check(
        mut self,
        subject: &Subject<'_>,
        segments: &Segments,
        (series_lost, foreign): (bool, &BTreeSet<usize>),
        findings: &mut Findings,
    ) {
        self.runs.sort_unstable();
        let mut runs = self.runs.into_iter().peekable();
        let mut gaps = Gaps {
            subject,
            segments,
            series_lost,
            orphans: None,
        };
        for position in 0..segments.len() {
            let Some(segment) = segments.get(position) else {
                continue;
            };
            if foreign.contains(&position) {
                continue;
            }
            let mut covered = SEGMENT_HEADER;
            let mut open = false;
            while let Some(run) = runs.next_if(|run| run.segment <= position) {
                if run.segment < position {
                    continue;
                }
                if run.start < covered {
                    gaps.overlap(position, run.start, covered, findings);
                } else if run.start > covered && !open {
                    gaps.look(position, segment, covered..run.start, findings);
                }
                covered = covered.max(run.end);
                open = run.open;
            }
            if covered < segment.len() && !open {
                gaps.look(position, segment, covered..segment.len(), findings);
            }
        }
        gaps.report_orphans(findings);
    }
}

/// Looks at what no series refers to.
struct Gaps<'a> {
    subject: &'a Subject<'a>,
    segments: &'a Segments,
    series_lost: bool,
    /// Chunks of series that could not be read: where the first one is, and what they hold.
    orphans: Option<(usize, u64, FaultLoss)>,
}

impl Gaps<'_> {
    fn overlap(&self, position: usize, start: u64, covered: u64, findings: &mut Findings) {
        findings.add(Kind::ChunkShared, || Finding {
            offset: Some(start),
            section: Some("chunk"),
            detail: format!("expected a place from offset {covered} on, found {start}"),
            ..self.finding(Kind::ChunkShared, position)
        });
    }

    fn finding(&self, kind: Kind, position: usize) -> Finding {
        let path = self.segments.path(self.subject, position);
        self.subject.finding(kind, path)
    }

    /// Takes what stands in a gap for chunks as far as they are sound, the rest for garbage.
    fn look(
        &mut self,
        position: usize,
        segment: Segment<'_>,
        gap: std::ops::Range<u64>,
        findings: &mut Findings,
    ) {
        let mut offset = gap.start;
        while let Some(record) = sound_record(segment, offset, gap.end) {
            self.unreferenced(position, &record, findings);
            offset = record.end;
        }
        if offset < gap.end {
            findings.add(Kind::SegmentGarbage, || Finding {
                offset: Some(offset),
                section: Some("chunk"),
                detail: format!(
                    "expected a chunk, found {} bytes of something else",
                    gap.end - offset
                ),
                ..self.finding(Kind::SegmentGarbage, position)
            });
        }
    }

    fn unreferenced(&mut self, position: usize, record: &ChunkRecord<'_>, findings: &mut Findings) {
        let loss = loss_of(self.subject, record);
        if self.series_lost {
            self.orphans = Some(match self.orphans {
                None => (position, record.offset, loss),
                Some((position, offset, all)) => (position, offset, all.and(loss)),
            });
            return;
        }
        findings.add(Kind::ChunkUnreferenced, || Finding {
            offset: Some(record.offset),
            section: Some("chunk"),
            loss: Some(loss),
            detail: format!(
                "expected a series that refers to this chunk ({})",
                record.encoding
            ),
            ..self.finding(Kind::ChunkUnreferenced, position)
        });
    }

    fn report_orphans(&self, findings: &mut Findings) {
        let Some((position, offset, loss)) = self.orphans else {
            return;
        };
        findings.add(Kind::ChunkOrphaned, || Finding {
            offset: Some(offset),
            section: Some("chunk"),
            loss: Some(loss),
            detail: format!("{} sound chunks, of which this is the first", loss.chunks),
            ..self.finding(Kind::ChunkOrphaned, position)
        });
    }
}

/// The record at `offset`, if it is sound and ends by `end`.
fn sound_record(segment: Segment<'_>, offset: u64, end: u64) -> Option<ChunkRecord<'_>> {
    let record = segment.record(offset).ok().filter(|r| r.end <= end)?;
    record.check().ok().map(|()| record)
}

/// What a chunk holds that the index says nothing of; times only where chunks are decoded.
fn loss_of(subject: &Subject<'_>, record: &ChunkRecord<'_>) -> FaultLoss {
    let mut times: Option<(Millis, Millis)> = None;
    let mut samples = 0;
    let decoded = if subject.is_full() {
        // Whatever can be decoded counts.
        let see = |sample: Sample<'_>| {
            let time = sample.time();
            times = Some(times.map_or((time, time), |(min, max)| (min.min(time), max.max(time))));
            samples += 1;
        };
        chunk::decode(record.encoding, record.data, record.data_offset, see).is_ok()
    } else {
        false
    };
    let promised = || chunk::promised_samples(record.encoding, record.data, record.data_offset);
    FaultLoss {
        times,
        chunks: 1,
        samples: if decoded {
            Some(samples)
        } else {
            promised().ok().map(u64::from)
        },
    }
}

/// Whether the segment at `position` is made of sound chunks from end to end.
pub(in crate::verify) fn is_sound_by_itself(segments: &Segments, position: usize) -> bool {
    segments.get(position).is_some_and(|segment| {
        let mut offset = SEGMENT_HEADER;
        while let Some(record) = sound_record(segment, offset, segment.len()) {
            offset = record.end;
        }
        offset == segment.len()
    })
}

/// Walks all segments without an index, for a block whose index is gone: says what is damaged, and
/// counts the rest.
pub(in crate::verify) fn walk_all(
    subject: &Subject<'_>,
    segments: &Segments,
    findings: &mut Findings,
) -> Option<FaultLoss> {
    let mut total: Option<FaultLoss> = None;
    for position in 0..segments.len() {
        let Some(segment) = segments.get(position) else {
            continue;
        };
        let mut offset = SEGMENT_HEADER;
        while offset < segment.len() {
            let finding = |kind| subject.finding(kind, segments.path(subject, position));
            let record = match segment.record(offset) {
                Ok(record) => record,
                Err(malformed) => {
                    findings.add(Kind::ChunkMalformed, || {
                        finding(Kind::ChunkMalformed).at(&malformed)
                    });
                    break;
                }
            };
            offset = record.end;
            match record.check() {
                Ok(()) => {
                    let loss = loss_of(subject, &record);
                    total = Some(total.map_or(loss, |total| total.and(loss)));
                }
                Err(malformed) => findings.add(Kind::ChunkChecksum, || {
                    finding(Kind::ChunkChecksum).at(&malformed)
                }),
            }
            subject.progress.advance(record.end - record.offset);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_in_a_row_are_one_run_however_they_are_split() {
        let mut first = Coverage::default();
        first.add(0, 8, 40);
        first.add(0, 40, 50);
        let mut second = Coverage::default();
        second.add(0, 50, 60);
        second.add(1, 8, 20);
        first.append(second);
        let run = |segment, start, end| Run {
            segment,
            start,
            end,
            open: false,
        };
        assert_eq!(first.runs, [run(0, 8, 60), run(1, 8, 20)]);
    }

    #[test]
    fn a_damaged_chunk_ends_its_run() {
        let mut coverage = Coverage::default();
        coverage.add(0, 8, 40);
        coverage.add_open(0, 40);
        coverage.add(0, 77, 90);
        assert_eq!(coverage.runs.len(), 2);
        assert!(coverage.runs[0].open);
    }
}
