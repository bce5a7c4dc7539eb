//! What the WAL says of the chunks of the head: whether it defines their series, and holds their
//! samples.
//!
//! A start hands every chunk of `chunks_head` to the series of its number, and then passes over
//! samples of the WAL up to the end of the last of them: it takes for granted that both hold the
//! same. With a chunk snapshot it passes over what stands before that in the WAL.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use super::record::LoggedSeries;
use crate::model::Millis;

/// Most series whose labels are remembered, to see which of them are the same under two numbers.
const MAX_LABELS: usize = 1 << 24;

/// Most series beside a snapshot that are told apart.
const MAX_BESIDE: usize = 1 << 20;

/// So many series are passed by on the way to the next before it is searched for among all.
const NEAR: usize = 4;

/// A chunk of the head with samples in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSpan {
    /// The number of its series.
    pub series: u64,
    /// Times of its first and last sample.
    pub times: (Millis, Millis),
    /// How many samples it says that it has.
    pub samples: u64,
}

/// Chunks, their samples, and the times of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayTally {
    /// Chunks.
    pub chunks: u64,
    /// Samples.
    pub samples: u64,
    /// Times of the first and the last of them.
    pub times: Option<(Millis, Millis)>,
    /// The number of the first series concerned.
    pub series: Option<u64>,
}

impl ReplayTally {
    fn add(&mut self, series: u64, chunks: u64, samples: u64, (first, last): (Millis, Millis)) {
        self.chunks += chunks;
        self.samples += samples;
        let (a, b) = self.times.unwrap_or((first, last));
        self.times = Some((a.min(first), b.max(last)));
        self.series.get_or_insert(series);
    }
}

/// In what the chunks of the head and the WAL differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Chunks of series that the WAL does not define: a start drops them.
    pub orphaned: ReplayTally,
    /// Chunks of which the WAL has no sample, though it defines a series of their number.
    pub unlogged: ReplayTally,
    /// Samples of the WAL that a start passes over for chunks that do not hold them.
    pub hidden: ReplayTally,
    /// Times of the first and the last sample of chunks whose series the WAL defines.
    pub kept: Option<(Millis, Millis)>,
}

/// The series of a chunk snapshot, with which a start passes over what the WAL has before a
/// segment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The numbers of its series.
    pub series: HashSet<u64>,
    /// The segment from which on the WAL is replayed.
    pub segment: i64,
}

/// The chunks of the head, while the WAL is read.
#[derive(Debug, Default)]
pub struct Watch {
    snapshot: Option<Snapshot>,
    /// Whether a start passes over the segment that is read, for the snapshot.
    is_passed_over: bool,
    /// Samples there of series that the snapshot does not have.
    beside: HashMap<u64, ReplayTally>,
    /// The same of series beyond those that are told apart: deleted ones stay among them.
    beyond: ReplayTally,
    /// Numbers of series that are defined under an earlier number as well, with that.
    again: HashMap<u64, u64>,
    /// By series and time.
    spans: Vec<HeadSpan>,
    /// Samples of the WAL in each of them.
    seen: Vec<u64>,
    /// Samples of the WAL between the chunks of a series, by its place.
    between: HashMap<usize, ReplayTally>,
    /// The series that have chunks, by their numbers.
    series: Vec<Watched>,
    /// Where the series that was asked for last is, or would be: the samples of a record stand in
    /// the order of their series.
    at: usize,
    /// The first number of each set of labels, by its hash.
    labels: HashMap<u64, u64>,
    keys: RandomState,
}

/// A series that has chunks.
#[derive(Debug)]
struct Watched {
    number: u64,
    /// Where its chunks are.
    first: usize,
    len: usize,
    /// Whether the WAL has defined it, were it deleted later on or not.
    is_defined: bool,
    /// Whether samples find it: it is defined and not deleted since.
    is_alive: bool,
    /// Whether other numbers mean the same series.
    is_shared: bool,
    /// Time of the newest sample so far: what is not newer came out of order, or twice.
    newest: Millis,
    /// How many of its chunks begin no later than that.
    begun: usize,
    /// When the last of those ends.
    end: Millis,
    /// When the next one begins.
    next: Millis,
}

impl Watched {
    /// Passes by the chunks that begin no later than the newest sample; `spans` are those of all
    /// series.
    fn go_on(&mut self, spans: &[HeadSpan]) {
        let own = spans.get(self.first..self.first + self.len);
        let own = own.unwrap_or_default();
        self.begun = own.partition_point(|span| span.times.0 <= self.newest);
        let last = self.begun.checked_sub(1).and_then(|at| own.get(at));
        self.end = last.map_or(Millis::MIN, |span| span.times.1);
        self.next = own.get(self.begun).map_or(Millis::MAX, |span| span.times.0);
    }
}

impl Watch {
    /// Before the first record.
    pub fn new(mut spans: Vec<HeadSpan>) -> Self {
        spans.sort_by_key(|span| (span.series, span.times));
        let mut series: Vec<Watched> = Vec::new();
        for (first, span) in spans.iter().enumerate() {
            match series.last_mut() {
                Some(watched) if watched.number == span.series => watched.len += 1,
                _ => series.push(Watched {
                    number: span.series,
                    first,
                    len: 1,
                    is_defined: false,
                    is_alive: false,
                    is_shared: false,
                    newest: Millis::MIN,
                    begun: 0,
                    end: Millis::MIN,
                    next: Millis::MIN,
                }),
            }
        }
        Watch {
            seen: vec![0; spans.len()],
            spans,
            series,
            ..Watch::default()
        }
    }

    /// With a chunk snapshot.
    #[must_use]
    pub fn with_snapshot(self, snapshot: Option<Snapshot>) -> Self {
        Watch { snapshot, ..self }
    }

    /// Segment `number` of the WAL begins, or that of a checkpoint of this number.
    pub(super) fn begin(&mut self, number: i64) {
        let first = self.snapshot.as_ref().map(|snapshot| snapshot.segment);
        self.is_passed_over = first.is_some_and(|first| number < first);
    }

    /// A record deletes a series as a whole: a block holds it.
    pub(super) fn delete(&mut self, series: u64) {
        self.beside.remove(&series);
        if let Some(watched) = self.find(series) {
            watched.is_alive = false;
        }
    }

    /// Samples that a start with the snapshot passes over, and that are nowhere else.
    pub fn passed_over(&self) -> ReplayTally {
        let mut all = self.beyond;
        for (series, tally) in &self.beside {
            if let Some(times) = tally.times {
                all.add(*series, 0, tally.samples, times);
            }
        }
        all
    }

    /// A record defines a series.
    pub(super) fn define(&mut self, entry: &LoggedSeries<'_>) {
        if self.series.is_empty() && self.snapshot.is_none() {
            return;
        }
        let number = entry.series.0;
        if let Some(watched) = self.find(number) {
            watched.is_defined = true;
            watched.is_alive = true;
        }
        let mut hasher = self.keys.build_hasher();
        entry.labels.iter().for_each(|pair| pair.hash(&mut hasher));
        let is_full = self.labels.len() >= MAX_LABELS;
        let first = match self.labels.entry(hasher.finish()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if is_full => number.wrapping_add(1),
            Entry::Vacant(new) => *new.insert(number),
        };
        if first != number {
            if self.snapshot.is_some() && self.again.len() < MAX_LABELS {
                self.again.insert(number, first);
            }
            for number in [first, number] {
                if let Some(watched) = self.find(number) {
                    watched.is_shared = true;
                }
            }
        }
    }

    /// The WAL holds a sample of `series` at `time`; before `border`, samples are taken for stored.
    /// Returns whether `series` is known here as one that is defined; if not, it may be defined
    /// all the same.
    pub(super) fn sample(&mut self, series: u64, time: Millis, border: Millis) -> bool {
        if self.is_passed_over && time >= border {
            self.pass_over(series, time);
        }
        self.go_to(series);
        let watched = self.series.get_mut(self.at);
        let Some(watched) = watched.filter(|watched| watched.number == series) else {
            return false;
        };
        if time > watched.newest {
            watched.newest = time;
            if time >= watched.next {
                watched.go_on(&self.spans);
            }
            if time <= watched.end {
                let last = (watched.first + watched.begun).checked_sub(1);
                if let Some(seen) = last.and_then(|at| self.seen.get_mut(at)) {
                    *seen += 1;
                }
            } else if watched.begun < watched.len && time >= border {
                let between = self.between.entry(self.at).or_default();
                between.add(series, 0, 1, (time, time));
            }
        }
        watched.is_alive
    }

    /// The series of this number, if it has chunks.
    fn find(&mut self, number: u64) -> Option<&mut Watched> {
        self.go_to(number);
        let watched = self.series.get_mut(self.at);
        watched.filter(|watched| watched.number == number)
    }

    /// Goes to where the series of this number is, or would be.
    fn go_to(&mut self, number: u64) {
        let next = self.series.get(self.at + 1);
        if next.is_some_and(|next| next.number == number) {
            self.at += 1;
            return;
        }
        let is_before = |at: usize| self.series.get(at).is_some_and(|it| it.number < number);
        let near = (self.at..self.at + NEAR).find(|at| !is_before(*at));
        let is_behind_before = self.at.checked_sub(1).is_none_or(is_before);
        self.at = match near {
            Some(at) if is_behind_before => at,
            _ => self.series.partition_point(|it| it.number < number),
        };
    }

    fn pass_over(&mut self, series: u64, time: Millis) {
        let first = self.again.get(&series).copied().unwrap_or(series);
        let has = |number| {
            let snapshot = self.snapshot.as_ref();
            snapshot.is_some_and(|snapshot| snapshot.series.contains(&number))
        };
        if !has(series) && !has(first) {
            let has_room = self.beside.len() < MAX_BESIDE || self.beside.contains_key(&series);
            let tally = if has_room {
                self.beside.entry(series).or_default()
            } else {
                &mut self.beyond
            };
            tally.add(series, 0, 1, (time, time));
        }
    }

    /// What was found, when all of the WAL was read and samples before `border` are taken for
    /// stored.
    pub fn differences(&self, border: Millis) -> Differences {
        let mut found = Differences::default();
        let mut kept = ReplayTally::default();
        for (span, seen) in self.spans.iter().zip(&self.seen) {
            let found_at = self
                .series
                .binary_search_by_key(&span.series, |it| it.number);
            let Some(watched) = found_at.ok().and_then(|at| self.series.get(at)) else {
                continue;
            };
            if span.times.1 < border {
                continue;
            }
            if !watched.is_defined {
                let orphaned = &mut found.orphaned;
                orphaned.add(span.series, 1, span.samples, span.times);
                continue;
            }
            kept.add(span.series, 1, span.samples, span.times);
            // What lies before the border the log need not have any more.
            if watched.is_shared || span.times.0 < border {
                continue;
            }
            if *seen == 0 && span.samples > 0 {
                let unlogged = &mut found.unlogged;
                unlogged.add(span.series, 1, span.samples, span.times);
            }
            if *seen > span.samples {
                found
                    .hidden
                    .add(span.series, 1, *seen - span.samples, span.times);
            }
        }
        for (at, watched) in self.series.iter().enumerate() {
            let between = self.between.get(&at);
            let between = between.filter(|_| watched.is_defined && !watched.is_shared);
            if let Some(ReplayTally {
                samples,
                times: Some(times),
                ..
            }) = between
            {
                found.hidden.add(watched.number, 0, *samples, *times);
            }
        }
        found.kept = kept.times;
        found
    }
}
