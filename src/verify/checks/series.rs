//! The series of a block, in parallel: their labels, their order, and what they say of chunks.

use rayon::prelude::*;

use super::Subject;
use super::again::{Again, Place};
use super::chunks::{Absent, Chunks, Fits, loss};
use super::counts::ChunkCounts;
use super::coverage::Coverage;
use super::entries::{Batch, Lost, Walk};
use super::groups::{GroupLabels, Groups};
use super::index::{Opened, UsedSymbols};
use super::pairs::{ALL_SERIES, Keys, PairSum};
use super::segments::Segments;
use crate::index::{Series, SeriesEntry, SymbolRef};
use crate::model::{ChunkMeta, Millis};
use crate::verify::{FaultLoss, Finding, Findings, Kind};

/// What is known before the series are read.
pub(in crate::verify) struct SeriesCheck<'a> {
    pub(in crate::verify) subject: Subject<'a>,
    pub(in crate::verify) opened: &'a Opened<'a>,
    pub(in crate::verify) segments: &'a Segments,
    /// The block's half-open range of time, unless it makes no sense.
    pub(in crate::verify) range: Option<(Millis, Millis)>,
    pub(in crate::verify) keys: &'a Keys,
}

/// What is known afterwards.
#[derive(Default)]
pub(in crate::verify) struct SeriesTotals {
    /// Series whose entries could be read.
    pub(in crate::verify) series: u64,
    /// Entries that could not.
    pub(in crate::verify) lost: Lost,
    /// Their chunks.
    pub(in crate::verify) counts: ChunkCounts,
    /// Time of the first and the last sample, by the index.
    pub(in crate::verify) times: Option<(Millis, Millis)>,
    /// Bytes of segments that are referred to.
    pub(in crate::verify) coverage: Coverage,
    /// Chunks that are not there.
    pub(in crate::verify) absent: Absent,
    /// How references fit the segments.
    pub(in crate::verify) fits: Fits,
    /// All chunks that were read lie before this place.
    frontier: Place,
    /// Sum over all labels of all series.
    pub(in crate::verify) pairs: PairSum,
    /// Counts by job and metric.
    pub(in crate::verify) groups: Groups,
}

/// Batches that are in hand at a time for each thread.
const BATCHES_PER_THREAD: usize = 4;

impl SeriesCheck<'_> {
    /// Checks all series and their chunks.
    pub(in crate::verify) fn run(&self, findings: &mut Findings) -> SeriesTotals {
        let mut totals = SeriesTotals::default();
        let used = UsedSymbols::of(self.opened);
        let mut walk = Walk::new(self.subject, self.opened);
        let again = Again::of(self.segments.bytes());
        let mut frontier = Place::default();
        let by_group = self.subject.options.by_group;
        let labels = by_group.then(|| GroupLabels::of(self.opened));
        let in_hand = rayon::current_num_threads() * BATCHES_PER_THREAD;
        loop {
            let batches: Vec<_> = (0..in_hand)
                .map_while(|_| walk.next_batch(findings))
                .collect();
            if batches.is_empty() {
                break;
            }
            let reports: Vec<_> = batches
                .par_iter()
                .map(|batch| Worker::new(self, &used, (&again, frontier), batch).run(batch, labels))
                .collect();
            for (report, found) in reports {
                self.subject.progress.advance(report.counts.bytes);
                frontier = frontier.max(report.frontier);
                totals.add(report);
                findings.append(found);
            }
        }
        for part in std::mem::take(&mut walk.lost).parts() {
            totals.lost.add(part);
        }
        totals.lost.sort();
        if totals.lost.is_empty() && self.opened.toc_is_sound {
            used.report(&self.subject, self.opened, findings);
        }
        totals
    }
}

impl SeriesTotals {
    fn add(&mut self, later: SeriesTotals) {
        self.series += later.series;
        for part in later.lost.parts() {
            self.lost.add(part);
        }
        self.counts.add(later.counts);
        if let Some((min, max)) = later.times {
            self.see(min, max);
        }
        self.coverage.append(later.coverage);
        for (position, (offset, loss)) in later.absent {
            let add = |(first, lost): &mut (u64, FaultLoss)| {
                *first = offset.min(*first);
                *lost = lost.and(loss);
            };
            let entry = self.absent.entry(position);
            entry.and_modify(add).or_insert((offset, loss));
        }
        for (position, fit) in later.fits {
            self.fits.entry(position).or_default().add(fit);
        }
        self.pairs.append(later.pairs);
        self.groups.append(later.groups);
    }

    #[inline]
    fn see(&mut self, min: Millis, max: Millis) {
        let (first, last) = self.times.unwrap_or((min, max));
        self.times = Some((first.min(min), last.max(max)));
    }
}

/// Works on one batch.
struct Worker<'a> {
    check: &'a SeriesCheck<'a>,
    used: &'a UsedSymbols,
    chunks: Chunks<'a>,
    totals: SeriesTotals,
    findings: Findings,
    series: Series,
    /// The series before, for comparing; it has no labels where there is none.
    before: Series,
}

impl<'a> Worker<'a> {
    fn new(
        check: &'a SeriesCheck<'a>,
        used: &'a UsedSymbols,
        (again, frontier): (&'a Again, Place),
        batch: &Batch<'a>,
    ) -> Self {
        let mut before = Series::default();
        let decoded = batch.before.as_ref().map(|entry| entry.decode(&mut before));
        if !matches!(decoded, Some(Ok(()))) {
            before = Series::default();
        }
        let last = before.chunks.last().copied();
        Worker {
            check,
            used,
            chunks: Chunks::new(check.subject, check.segments, again, frontier, last),
            totals: SeriesTotals::default(),
            findings: Findings::default(),
            series: Series::default(),
            before,
        }
    }

    fn run(mut self, batch: &Batch<'a>, labels: Option<GroupLabels>) -> (SeriesTotals, Findings) {
        for entry in &batch.entries {
            let mut series = std::mem::take(&mut self.series);
            match entry.decode(&mut series) {
                Ok(()) => {
                    self.totals.series += 1;
                    self.check_labels(entry, &series);
                    let before = self.chunks.counts;
                    self.check_chunks(entry, &series);
                    if let Some(labels) = labels {
                        let counts = (before, self.chunks.counts);
                        self.totals.groups.add(labels, entry, &series, counts);
                    }
                    self.series = std::mem::replace(&mut self.before, series);
                }
                Err(malformed) => {
                    self.totals.lost.add(entry.offset..entry.end);
                    self.findings.add(Kind::SeriesMalformed, || {
                        self.check
                            .subject
                            .malformed_index(Kind::SeriesMalformed, &malformed)
                    });
                    self.series = series;
                }
            }
        }
        self.chunks.end_run(0);
        self.totals.counts = self.chunks.counts;
        self.totals.fits = self.chunks.fits;
        self.totals.frontier = self.chunks.frontier;
        self.totals.coverage = self.chunks.coverage;
        self.totals.absent = self.chunks.absent;
        (self.totals, self.findings)
    }

    fn find(
        &mut self,
        kind: Kind,
        entry: &SeriesEntry<'_>,
        series: &Series,
        detail: impl FnOnce() -> String,
    ) {
        let check = self.check;
        self.findings.add(kind, || Finding {
            series: check.opened.labels(series),
            ..check
                .subject
                .in_index(kind, "series", entry.offset)
                .saying(detail())
        });
    }

    fn check_labels(&mut self, entry: &SeriesEntry<'_>, series: &Series) {
        let opened = self.check.opened;
        let keys = self.check.keys;
        let mut sorted = true;
        let mut before: Option<SymbolRef> = None;
        self.totals.pairs.add(keys.mix(ALL_SERIES, entry.reference));
        for &(name, value) in &series.labels {
            self.totals
                .pairs
                .add(keys.mix((name, value), entry.reference));
            self.used.set(name);
            self.used.set(value);
            let missing = [name, value]
                .into_iter()
                .find(|symbol| !opened.has_symbol(*symbol));
            if let Some(SymbolRef(symbol)) = missing {
                self.find(Kind::SymbolMissing, entry, series, || {
                    format!("expected a symbol of the table, found reference {symbol}")
                });
            }
            if opened.is_empty_string(name) || opened.is_empty_string(value) {
                self.find(Kind::LabelEmpty, entry, series, || {
                    "expected a name and a value, found an empty string".to_owned()
                });
            }
            let order = before.map(|before| opened.compare(before, name));
            if order.is_some_and(std::cmp::Ordering::is_ge) {
                sorted = false;
                let kind = if order.is_some_and(std::cmp::Ordering::is_eq) {
                    Kind::LabelDuplicate
                } else {
                    Kind::LabelUnsorted
                };
                self.find(kind, entry, series, || {
                    "expected label names to ascend".to_owned()
                });
            }
            before = Some(name);
        }
        if series.labels.is_empty() {
            self.find(Kind::SeriesNoLabels, entry, series, || {
                "expected at least one label".to_owned()
            });
        } else {
            self.check_order(entry, series, sorted);
        }
    }

    /// Compares with the series before, as Prometheus orders series: pair by pair.
    fn check_order(&mut self, entry: &SeriesEntry<'_>, series: &Series, sorted: bool) {
        if self.before.labels.is_empty() {
            return;
        }
        let opened = self.check.opened;
        let by_string = |a: &(SymbolRef, SymbolRef), b: &(SymbolRef, SymbolRef)| {
            opened
                .compare(a.0, b.0)
                .then_with(|| opened.compare(a.1, b.1))
        };
        let compare = |a: &[(SymbolRef, SymbolRef)], b: &[(SymbolRef, SymbolRef)]| {
            let differ = a
                .iter()
                .zip(b)
                .map(|(a, b)| by_string(a, b))
                .find(|order| order.is_ne());
            differ.unwrap_or(a.len().cmp(&b.len()))
        };
        let mut order = compare(&self.before.labels, &series.labels);
        let names_sorted =
            |labels: &[(SymbolRef, SymbolRef)]| labels.is_sorted_by(|a, b| by_string(a, b).is_le());
        if order.is_ge() && !(sorted && names_sorted(&self.before.labels)) {
            // Labels out of order are a fault of their own; they do not put the series out of order
            // as well.
            let mut both = [self.before.labels.clone(), series.labels.clone()];
            for labels in &mut both {
                labels.sort_by(by_string);
            }
            let [before, after] = &both;
            order = compare(before, after);
        }
        let kind = match order {
            std::cmp::Ordering::Less => return,
            std::cmp::Ordering::Equal => Kind::SeriesDuplicate,
            std::cmp::Ordering::Greater => Kind::SeriesUnsorted,
        };
        let before = opened.labels(&self.before);
        self.find(kind, entry, series, || match before {
            Some(before) => format!("expected labels after those of the series before, {before}"),
            None => "expected labels after those of the series before".to_owned(),
        });
    }

    fn check_chunks(&mut self, entry: &SeriesEntry<'_>, series: &Series) {
        if series.chunks.is_empty() {
            self.find(Kind::SeriesNoChunks, entry, series, || {
                "expected at least one chunk".to_owned()
            });
        }
        let opened = self.check.opened;
        let labels = || opened.labels(series);
        let mut before: Option<ChunkMeta> = None;
        for &chunk in &series.chunks {
            self.totals.see(chunk.min_time, chunk.max_time);
            if let Some((kind, detail)) = self.odd_times(before, chunk) {
                let check = self.check;
                self.findings.add(kind, || Finding {
                    series: labels(),
                    loss: Some(loss(chunk, None)),
                    ..check
                        .subject
                        .in_index(kind, "series", entry.offset)
                        .saying(detail)
                });
            }
            self.chunks.check(chunk, &labels, &mut self.findings);
            before = Some(chunk);
        }
    }

    /// What is wrong with the times that the index gives a chunk.
    #[inline]
    fn odd_times(&self, before: Option<ChunkMeta>, chunk: ChunkMeta) -> Option<(Kind, String)> {
        let (min, max) = (chunk.min_time, chunk.max_time);
        if min > max {
            return Some((
                Kind::ChunkRange,
                format!("expected an end after {min}, found {max}"),
            ));
        }
        if let Some(before) = before
            && min <= before.max_time
        {
            let (from, to) = (before.min_time, before.max_time);
            let kind = if (from, to) == (min, max) {
                Kind::ChunkDuplicate
            } else {
                Kind::ChunkOverlap
            };
            let detail = format!(
                "expected a chunk after the one before ({from} to {to}), found {min} to {max}"
            );
            return Some((kind, detail));
        }
        let (from, to) = self.check.range?;
        (min < from || max >= to).then(|| {
            let detail =
                format!("expected times from {from} up to and without {to}, found {min} to {max}");
            (Kind::ChunkOutsideBlock, detail)
        })
    }
}
