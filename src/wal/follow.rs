//! Which entries of a log refer to series that nothing before them defines: a replay passes them
//! over.

use std::fmt;

use super::Log;
use super::record::{HeadSeriesRef, LoggedSeries};
use super::refs::RefSet;
use super::watch::Watch;
use crate::model::Millis;

/// Pages of references of series that are defined: some 300 MiB when all of them are used.
const MAX_PAGES: usize = 1 << 22;

/// The same of references that nothing defines.
const MAX_UNDEFINED_PAGES: usize = 1 << 18;

/// Entries that refer to series which no record before them defines. A start of Prometheus passes
/// them over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undefined {
    /// Float samples and histograms.
    pub samples: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata entries.
    pub metadata: u64,
    /// Deletions.
    pub tombstones: u64,
    /// Markers of the WBL.
    pub markers: u64,
    /// Times of the oldest and the newest of the samples.
    pub times: Option<(Millis, Millis)>,
    /// The references, each counted once. At least that many, should there be too many of them to
    /// count.
    pub series: u64,
    /// Path of the segment in which the first one stands, relative to the log directory, and the
    /// offset of its record there.
    pub first: Option<(String, u64)>,
    /// Whether references lie too far apart to be followed further. What stands behind that was
    /// not looked at.
    pub lost_track: bool,
}

impl Undefined {
    /// Whether there is no such entry.
    pub fn is_empty(&self) -> bool {
        let Undefined {
            samples,
            exemplars,
            metadata,
            tombstones,
            markers,
            ..
        } = self;
        [samples, exemplars, metadata, tombstones, markers]
            .iter()
            .all(|count| **count == 0)
    }

    fn see(&mut self, time: Millis) {
        let (min, max) = self.times.unwrap_or((time, time));
        self.times = Some((min.min(time), max.max(time)));
    }

    fn add(&mut self, other: &Undefined) {
        self.samples += other.samples;
        self.exemplars += other.exemplars;
        self.metadata += other.metadata;
        self.tombstones += other.tombstones;
        self.markers += other.markers;
        if let Some((min, max)) = other.times {
            self.see(min);
            self.see(max);
        }
    }
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.samples, "samples"),
            (self.exemplars, "exemplars"),
            (self.metadata, "metadata entries"),
            (self.tombstones, "deletions"),
            (self.markers, "markers"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(count, noun)| format!("{count} {noun}"))
            .collect();
        if !counts.is_empty() {
            let of = counts.join(", ");
            let series = self.series;
            write!(
                f,
                "{of} refer to {series} series that nothing before them defines"
            )?;
        }
        if self.lost_track {
            let and = if counts.is_empty() { "" } else { "; " };
            write!(
                f,
                "{and}references of series lie too far apart to see whether more are defined"
            )?;
        }
        Ok(())
    }
}

/// What a replay knows of series while it reads the WAL and after it the WBL, which defines none of
/// its own.
///
/// A head keeps one series per set of labels; a second reference to the same labels leads to the
/// same series. So a reference is good from the record on that defines it, whatever its labels.
#[derive(Debug)]
pub struct Follow {
    defined: RefSet,
    undefined: RefSet,
    min_valid_time: Millis,
    log: Log,
    /// Of the record that is being read.
    record: Undefined,
    record_series: Vec<u64>,
    found: Undefined,
    ended: bool,
    watch: Watch,
}

impl Default for Follow {
    fn default() -> Self {
        Follow::new(Millis::MIN)
    }
}

impl Follow {
    /// Before the first record. Samples of the WAL before `min_valid_time`, the end of the newest
    /// block that was not made of out-of-order samples, do not count: a start drops them
    /// unseen, since blocks hold them.
    pub fn new(min_valid_time: Millis) -> Self {
        Follow {
            defined: RefSet::new(MAX_PAGES),
            undefined: RefSet::new(MAX_UNDEFINED_PAGES),
            min_valid_time,
            log: Log::Wal,
            record: Undefined::default(),
            record_series: Vec::new(),
            found: Undefined::default(),
            ended: false,
            watch: Watch::default(),
        }
    }

    /// With an eye on the chunks of the head.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Follow { watch, ..self }
    }

    /// What became of these chunks.
    pub fn into_watch(self) -> Watch {
        self.watch
    }

    /// The time before which a start drops samples of the WAL.
    pub fn min_valid_time(&self) -> Millis {
        self.min_valid_time
    }

    /// Reads `log` from its first record on.
    pub(super) fn begin(&mut self, log: Log) {
        self.log = log;
        self.ended = false;
        self.undefined = RefSet::new(MAX_UNDEFINED_PAGES);
        self.found = Undefined::default();
    }

    /// Reads a segment of this number, or of a checkpoint of this number.
    pub(super) fn segment(&mut self, number: i64) {
        self.watch.begin(number);
    }

    /// Replay ends here; what follows is lost as a whole and for another reason.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// What was found in the log that was begun last.
    pub(super) fn take_found(&mut self) -> Undefined {
        let mut found = std::mem::take(&mut self.found);
        found.series = self.undefined.len();
        found.lost_track = self.defined.is_full();
        found
    }

    /// A record was read to its end, at `offset` of the segment at `path`.
    pub(super) fn commit(&mut self, path: &str, offset: u64) {
        if self.record_series.is_empty() {
            return;
        }
        for reference in self.record_series.drain(..) {
            self.undefined.insert(reference);
        }
        if self.found.first.is_none() {
            self.found.first = Some((path.to_owned(), offset));
        }
        self.found.add(&self.record);
        self.record = Undefined::default();
    }

    /// A record turned out to be damaged: nothing of it is replayed.
    pub(super) fn discard(&mut self) {
        self.record_series.clear();
        self.record = Undefined::default();
    }

    pub(super) fn define(&mut self, entry: &LoggedSeries<'_>) {
        if !self.ended && self.log == Log::Wal {
            self.defined.insert(entry.series.0);
            self.watch.define(entry);
        }
    }

    /// A checkpoint says that samples before `time` are in blocks, or were deleted.
    pub(super) fn raise_min_valid_time(&mut self, time: Millis) {
        self.min_valid_time = self.min_valid_time.max(time);
    }

    pub(super) fn sample(&mut self, series: HeadSeriesRef, time: Millis) {
        if self.ended {
            return;
        }
        let is_known =
            self.log == Log::Wal && self.watch.sample(series.0, time, self.min_valid_time);
        if !is_known && self.is_lost(series, Some(time)) {
            self.record.samples += 1;
            self.record.see(time);
        }
    }

    pub(super) fn exemplar(&mut self, series: HeadSeriesRef, time: Millis) {
        self.record.exemplars += u64::from(self.is_lost(series, Some(time)));
    }

    pub(super) fn metadata(&mut self, series: HeadSeriesRef) {
        self.record.metadata += u64::from(self.is_lost(series, None));
    }

    pub(super) fn marker(&mut self, series: HeadSeriesRef) {
        self.record.markers += u64::from(self.is_lost(series, None));
    }

    pub(super) fn tombstone(&mut self, series: HeadSeriesRef, min: Millis, max: Millis) {
        if (min, max) == (Millis::MIN, Millis::MAX) {
            // So a series that was stale is logged as gone (since 3.10): its reference is not good
            // any more.
            if !self.ended {
                self.defined.remove(series.0);
                self.watch.delete(series.0);
            }
        } else {
            self.record.tombstones += u64::from(self.is_lost(series, Some(max)));
        }
    }

    /// Whether a start takes a sample of `series` at `time` into its head.
    pub(super) fn is_replayed(&mut self, series: HeadSeriesRef, time: Millis) -> bool {
        let is_stored = self.log == Log::Wal && time < self.min_valid_time;
        !self.ended && !is_stored && self.defined.contains(series.0)
    }

    /// Whether an entry of `time` is passed over because nothing defines `series`.
    fn is_lost(&mut self, series: HeadSeriesRef, time: Option<Millis>) -> bool {
        let dropped_anyway =
            self.log == Log::Wal && time.is_some_and(|time| time < self.min_valid_time);
        if self.ended || dropped_anyway || self.defined.contains(series.0) || self.defined.is_full()
        {
            return false;
        }
        if self.record_series.last() != Some(&series.0) {
            self.record_series.push(series.0);
        }
        true
    }
}
