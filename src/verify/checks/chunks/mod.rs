//! One chunk after the other, as the series refer to them: where it is, its checksum, its samples.

#![deny(clippy::wildcard_enum_match_arm)]

mod samples;

use std::collections::BTreeMap;

use super::Subject;
use super::again::{Again, Known, Place};
use super::counts::ChunkCounts;
use super::coverage::Coverage;
use super::histogram::Histograms;
use super::segments::Segments;
use super::times::times_of;
use crate::chunk::{self, ChunkRecord, Encoding, SEGMENT_HEADER};
use crate::model::{ChunkMeta, Labels};
use crate::raw::{Malformed, MalformedProblem};
use crate::verify::{FaultLoss, Finding, Findings, Kind};

/// Most missing segments that are told apart.
const MOST_ABSENT: usize = 1000;

/// Chunks that are not there, by the position of the segment they should be in: the first offset
/// asked for, and what is lost.
pub(in crate::verify) type Absent = BTreeMap<usize, (u64, FaultLoss)>;

/// How well references fit one segment.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::verify) struct Fit {
    /// References to chunks in it.
    pub(in crate::verify) all: u64,
    /// Of those, references to places where no such chunk is.
    pub(in crate::verify) astray: u64,
    /// Of those, references to places where no chunk is at all.
    pub(in crate::verify) unframed: u64,
    /// References that were not followed because too many led to the same bytes: the first place,
    /// and how many.
    pub(in crate::verify) unread: Option<(u64, u64)>,
}

impl Fit {
    /// Both together.
    pub(in crate::verify) fn add(&mut self, other: Fit) {
        self.all += other.all;
        self.astray += other.astray;
        self.unframed += other.unframed;
        self.unread = match (self.unread, other.unread) {
            (Some((a, m)), Some((b, n))) => Some((a.min(b), m + n)),
            (known, other) => known.or(other),
        };
    }
}

/// How references fit the segments, by position. Only segments with some that do not are counted
/// one by one.
pub(in crate::verify) type Fits = BTreeMap<usize, Fit>;

/// Checks chunks in the order in which the index names them.
pub(in crate::verify) struct Chunks<'a> {
    subject: Subject<'a>,
    segments: &'a Segments,
    again: &'a Again,
    /// Everything that was read so far lies before this place.
    pub(in crate::verify) frontier: Place,
    /// Whether the chunk in hand lies there as well.
    is_repeated: bool,
    /// Where the next chunk should stand, if the references are without gaps.
    expected: Option<(usize, u64)>,
    histograms: Histograms,
    pub(in crate::verify) counts: ChunkCounts,
    pub(in crate::verify) coverage: Coverage,
    pub(in crate::verify) absent: Absent,
    pub(in crate::verify) fits: Fits,
    /// The segment of the chunk in hand, and how many references to it have been counted and not
    /// been entered yet.
    run: (usize, u64),
}

/// A chunk, whose it is, and how to say so.
#[derive(Clone, Copy)]
struct Named<'a> {
    meta: ChunkMeta,
    series: &'a dyn Fn() -> Option<Labels>,
}

impl<'a> Chunks<'a> {
    /// Begins behind the chunk `before`, or with the first chunk of all. What lies before
    /// `frontier` may have been read.
    pub(in crate::verify) fn new(
        subject: Subject<'a>,
        segments: &'a Segments,
        again: &'a Again,
        frontier: Place,
        before: Option<ChunkMeta>,
    ) -> Self {
        let mut chunks = Chunks {
            subject,
            segments,
            again,
            frontier,
            is_repeated: false,
            expected: Some((0, SEGMENT_HEADER)),
            histograms: Histograms::default(),
            counts: ChunkCounts::default(),
            coverage: Coverage::default(),
            absent: Absent::new(),
            fits: Fits::new(),
            run: (0, 0),
        };
        if let Some(before) = before {
            let position = before.reference.segment();
            let record = chunks.sound(position, before.reference.offset());
            chunks.expected = record.map(|record| (position, record.end));
        }
        chunks
    }

    /// Checks the chunk that `meta` describes.
    #[inline]
    pub(in crate::verify) fn check(
        &mut self,
        meta: ChunkMeta,
        series: &dyn Fn() -> Option<Labels>,
        findings: &mut Findings,
    ) {
        self.counts.chunks += 1;
        let position = meta.reference.segment();
        if position != self.run.0 {
            self.end_run(position);
        }
        self.run.1 += 1;
        let named = Named { meta, series };
        self.is_repeated = (position, meta.reference.offset()) < self.frontier;
        if self.is_repeated && self.is_settled(named) {
            return;
        }
        let segments = self.segments;
        let Some(segment) = segments.get(position) else {
            return self.lose(named, None, findings);
        };
        let record = match segment.record(meta.reference.offset()) {
            Ok(record) => record,
            Err(malformed) => return self.lose(named, Some(malformed), findings),
        };
        self.frontier = self.frontier.max((position, record.end));
        if let Err(malformed) = record.check() {
            return self.damaged(named, &record, &malformed, findings);
        }
        self.coverage.add(position, record.offset, record.end);
        self.expected = Some((position, record.end));
        self.counts.bytes += record.end - record.offset;
        if record.encoding == Encoding::Aggregates {
            self.aggregates(named, &record, findings);
        } else if self.subject.is_full() {
            self.decode(named, &record, findings);
        } else {
            self.promise(named, &record, findings);
        }
    }

    /// Enters the references that were counted, and goes on to count those to the segment at
    /// `position`.
    #[cold]
    pub(in crate::verify) fn end_run(&mut self, position: usize) {
        let (before, count) = std::mem::replace(&mut self.run, (position, 0));
        if let Some(fit) = self.fit(before) {
            fit.all += count;
        }
    }

    /// What is counted of a segment that is there.
    fn fit(&mut self, position: usize) -> Option<&mut Fit> {
        let is_there = position < self.segments.len();
        is_there.then(|| self.fits.entry(position).or_default())
    }

    /// Counts a reference that leads astray; `unframed` says that no chunk is where it leads.
    fn count_astray(&mut self, position: usize, unframed: bool) {
        if let Some(fit) = self.fit(position) {
            fit.astray += 1;
            fit.unframed += u64::from(unframed);
        }
    }

    /// Settles a reference to a chunk that may have been read before: what is remembered need not
    /// be read again, and what cannot be remembered is read a limited number of times.
    #[cold]
    fn is_settled(&mut self, named: Named<'_>) -> bool {
        let meta = named.meta;
        let (position, offset) = (meta.reference.segment(), meta.reference.offset());
        if let Some(known) = self.again.find(meta.reference)
            && known
                .times
                .is_none_or(|times| times == (meta.min_time, meta.max_time))
        {
            self.coverage.add(position, offset, known.end);
            self.expected = Some((position, known.end));
            self.counts.bytes += known.end - offset;
            self.counts.count(known.encoding, known.samples);
            return true;
        }
        let segments = self.segments;
        let record = segments.get(position).map(|segment| segment.record(offset));
        let Some(Ok(record)) = record else {
            return false;
        };
        if self.again.budget.take(record.end - offset) {
            return false;
        }
        self.counts.uncounted += 1;
        self.coverage.add_open(position, offset);
        self.expected = None;
        if let Some(fit) = self.fit(position) {
            fit.add(Fit {
                astray: 1,
                unread: Some((offset, 1)),
                ..Fit::default()
            });
        }
        true
    }

    #[cold]
    fn remember(&self, meta: ChunkMeta, record: &ChunkRecord<'_>, samples: u32) {
        let is_full = self.subject.is_full();
        let known = Known {
            end: record.end,
            encoding: record.encoding,
            samples,
            times: is_full.then_some((meta.min_time, meta.max_time)),
        };
        self.again.remember(meta.reference, known);
    }

    /// The record at a place, if it is sound, and if so much may be read out of order.
    fn sound(&self, position: usize, offset: u64) -> Option<ChunkRecord<'a>> {
        let segments = self.segments;
        let record = segments.get(position)?.record(offset).ok()?;
        if !self.again.budget.take(record.end - offset) {
            return None;
        }
        record.check().ok().map(|()| record)
    }

    /// Where the next chunk should stand, with the step into the next segment taken.
    fn next_place(&self) -> Option<(usize, u64)> {
        let (position, offset) = self.expected?;
        let at_end = self
            .segments
            .get(position)
            .is_some_and(|segment| segment.len() == offset);
        Some(if at_end {
            (position + 1, SEGMENT_HEADER)
        } else {
            (position, offset)
        })
    }

    /// A reference that leads to nothing, while the next chunk is sound and has the times that the
    /// index gives, is itself what is wrong.
    #[cold]
    fn is_reference_wrong(&mut self, named: Named<'_>, findings: &mut Findings) -> bool {
        let meta = named.meta;
        let Some((position, offset)) = self.next_place() else {
            return false;
        };
        if (position, offset) == (meta.reference.segment(), meta.reference.offset()) {
            return false;
        }
        let is_meant = |record: &ChunkRecord<'_>| {
            times_of(record).is_some_and(|times| times == (meta.min_time, meta.max_time))
        };
        let Some(record) = self.sound(position, offset).filter(is_meant) else {
            return false;
        };
        self.coverage.add(position, record.offset, record.end);
        self.expected = Some((position, record.end));
        self.counts.bytes += record.end - record.offset;
        let samples = chunk::promised_samples(record.encoding, record.data, 0).ok();
        if let Some(samples) = samples {
            self.counts.count(record.encoding, samples);
        }
        let detail = format!(
            "expected a reference to the next chunk, {:06}:{offset}, found {}",
            position + 1,
            meta.reference
        );
        self.find(Kind::ChunkReference, named, samples, findings, |finding| {
            finding.saying(detail)
        });
        true
    }

    /// No record fits the place the index names.
    #[cold]
    fn lose(&mut self, named: Named<'_>, malformed: Option<Malformed>, findings: &mut Findings) {
        if self.is_reference_wrong(named, findings) {
            return;
        }
        self.counts.uncounted += 1;
        self.expected = None;
        let meta = named.meta;
        let (position, offset) = (meta.reference.segment(), meta.reference.offset());
        let len = self.segments.get(position).map(|segment| segment.len());
        match malformed {
            Some(malformed) if len.is_some_and(|len| offset < len) => {
                self.coverage.add_open(position, offset);
                self.count_astray(position, true);
                let reaches_end = matches!(malformed.problem, MalformedProblem::Truncated { .. });
                let kind = if offset < SEGMENT_HEADER {
                    Kind::ChunkReference
                } else {
                    Kind::ChunkMalformed
                };
                self.find(kind, named, None, findings, |finding| {
                    let finding = inside(finding, &malformed);
                    if reaches_end {
                        let detail = format!("{} in the segment", finding.detail);
                        return finding.saying(detail);
                    }
                    finding
                });
            }
            _ => {
                let loss = loss(meta, None);
                // A damaged index may name four billion segments.
                let position = position.min(self.segments.len() + MOST_ABSENT);
                let add = |(first, lost): &mut (u64, FaultLoss)| {
                    *first = offset.min(*first);
                    *lost = lost.and(loss);
                };
                self.absent
                    .entry(position)
                    .and_modify(add)
                    .or_insert((offset, loss));
            }
        }
    }

    /// The checksum is wrong: of the chunk, or of what a wrong reference leads to.
    #[cold]
    fn damaged(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        malformed: &Malformed,
        findings: &mut Findings,
    ) {
        if self.is_reference_wrong(named, findings) {
            return;
        }
        let position = named.meta.reference.segment();
        self.counts.uncounted += 1;
        self.count_astray(position, true);
        self.coverage.add_open(position, record.offset);
        self.expected = Some((position, record.end));
        let samples = chunk::promised_samples(record.encoding, record.data, 0).ok();
        self.find(Kind::ChunkChecksum, named, samples, findings, |finding| {
            inside(finding, malformed)
        });
    }

    fn find(
        &self,
        kind: Kind,
        named: Named<'_>,
        samples: Option<u32>,
        findings: &mut Findings,
        complete: impl FnOnce(Finding) -> Finding,
    ) {
        findings.add(kind, || {
            let reference = named.meta.reference;
            let path = self.segments.path(&self.subject, reference.segment());
            complete(Finding {
                offset: Some(reference.offset()),
                section: Some("chunk"),
                series: (named.series)(),
                loss: Some(loss(named.meta, samples)),
                ..self.subject.finding(kind, path)
            })
        });
    }
}

/// With words from `malformed`, and where inside the chunk it is: the finding's own place is where
/// the chunk begins.
fn inside(finding: Finding, malformed: &Malformed) -> Finding {
    let detail = if finding.offset == Some(malformed.offset) {
        malformed.problem.to_string()
    } else {
        format!("{} at offset {}", malformed.problem, malformed.offset)
    };
    finding.saying(detail)
}

/// What is lost with the chunk that `meta` describes.
pub(in crate::verify) fn loss(meta: ChunkMeta, samples: Option<u32>) -> FaultLoss {
    FaultLoss {
        times: Some((meta.min_time, meta.max_time)),
        chunks: 1,
        samples: samples.map(u64::from),
    }
}
