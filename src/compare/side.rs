//! One side of a comparison: its series one after the other, and their samples as they are read.

use super::canonical::{self, Hasher};
use super::metrics::MetricTotals;
use super::{NamedSeries, SideName, SideTotals};
use crate::block::Block;
use crate::error::Result;
use crate::model::{Label, Labels, Millis, Sample};
use crate::select::{LabelSlices, ReadProblem, Selection, Sink, View, Walk};

/// Samples that were read and not compared yet: those of one chunk, or of chunks that overlap.
#[derive(Default)]
struct Waiting {
    bodies: Vec<u8>,
    /// Time and end in `bodies`.
    samples: Vec<(Millis, usize)>,
    /// Samples that were taken away.
    taken: usize,
    /// Where in `bodies` the next one begins.
    begin: usize,
    content: Hasher,
    labels: Hasher,
    series: Vec<u8>,
}

impl Waiting {
    fn push(&mut self, time: Millis) {
        self.samples.push((time, self.bodies.len()));
    }
}

impl Sink for Waiting {
    fn begin(&mut self, labels: &LabelSlices<'_>) {
        self.series.clear();
        canonical::series(labels, &mut self.series);
    }

    fn body(&mut self, sample: &Sample<'_>, body: &mut Vec<u8>) -> bool {
        canonical::sample(sample, body);
        true
    }

    fn take(&mut self, time: Millis, body: &[u8]) {
        self.bodies.extend_from_slice(body);
        self.push(time);
    }

    #[inline]
    fn sample(&mut self, sample: &Sample<'_>) -> bool {
        canonical::sample(sample, &mut self.bodies);
        self.push(sample.time());
        true
    }

    fn end(&mut self, _labels: &LabelSlices<'_>) {}
}

/// One side.
pub(super) struct Side<'a> {
    name: SideName,
    walk: Walk<'a, Waiting>,
    /// View of the series before, and its labels.
    view_before: View,
    before: Vec<(&'a [u8], &'a [u8])>,
    current: Current,
    totals: SideTotals,
}

/// What is known of the series at which a side stands.
#[derive(Clone, Copy, Default)]
struct Current {
    totals: MetricTotals,
    range: Option<(Millis, Millis)>,
}

impl<'a> Side<'a> {
    /// Stands before the first series.
    pub(super) fn open(
        name: SideName,
        blocks: &'a [Block],
        selection: &'a Selection,
        report: &mut dyn FnMut(SideName, ReadProblem),
    ) -> Result<Self> {
        let mut report = |problem| report(name, problem);
        Ok(Side {
            name,
            walk: Walk::open(blocks, selection, Waiting::default(), &mut report)?,
            view_before: View::default(),
            before: Vec::new(),
            current: Current::default(),
            totals: SideTotals {
                blocks: blocks.len() as u64,
                ..SideTotals::default()
            },
        })
    }

    /// Moves to the next series that has samples, whatever was left of the one before; `false` when
    /// there is none.
    pub(super) fn next_series(&mut self, report: &mut dyn FnMut(SideName, ReadProblem)) -> bool {
        let (view, labels) = self.walk.key();
        self.view_before = view;
        self.before.clear();
        self.before.extend_from_slice(labels);
        let name = self.name;
        while self.walk.next_series(&mut |problem| report(name, problem)) {
            self.current = Current::default();
            if self.fill(report) {
                let waiting = &mut self.walk.sink;
                waiting.content.update(&waiting.series);
                waiting.labels.update(&waiting.series);
                let before = (self.view_before, self.before.as_slice());
                self.totals.unsorted += u64::from(before >= self.walk.key());
                return true;
            }
        }
        false
    }

    /// What decides which series come first.
    pub(super) fn key(&self) -> (View, &LabelSlices<'a>) {
        self.walk.key()
    }

    /// Labels of the series.
    pub(super) fn labels(&self) -> &[(&'a [u8], &'a [u8])] {
        self.walk.labels()
    }

    /// Makes sure that a sample is there; `false` when the series has no more.
    pub(super) fn fill(&mut self, report: &mut dyn FnMut(SideName, ReadProblem)) -> bool {
        let name = self.name;
        loop {
            let waiting = &mut self.walk.sink;
            if waiting.taken < waiting.samples.len() {
                return true;
            }
            waiting.content.update(&waiting.bodies);
            waiting.bodies.clear();
            waiting.samples.clear();
            (waiting.taken, waiting.begin) = (0, 0);
            let Some(bytes) = self.walk.step(&mut |problem| report(name, problem)) else {
                return false;
            };
            let totals = &mut self.current.totals;
            totals.chunk_bytes = totals.chunk_bytes.saturating_add(bytes);
            let samples = &self.walk.sink.samples;
            if let (Some((first, _)), Some((last, _))) = (samples.first(), samples.last()) {
                let begin = self.current.range.map_or(*first, |(begin, _)| begin);
                self.current.range = Some((begin, *last));
            }
            totals.samples += samples.len() as u64;
        }
    }

    /// Time and bytes of the next sample, if one is there.
    #[inline]
    pub(super) fn peek(&self) -> Option<(Millis, &[u8])> {
        let waiting = &self.walk.sink;
        let &(time, end) = waiting.samples.get(waiting.taken)?;
        Some((time, waiting.bodies.get(waiting.begin..end)?))
    }

    /// Goes on behind the next sample.
    #[inline]
    pub(super) fn take(&mut self) {
        let waiting = &mut self.walk.sink;
        if let Some(&(_, end)) = waiting.samples.get(waiting.taken) {
            waiting.begin = end;
            waiting.taken += 1;
        }
    }

    /// Bytes of all samples that are there, and their number, when none of them was taken.
    #[inline]
    pub(super) fn all(&self) -> Option<(&[u8], usize)> {
        let waiting = &self.walk.sink;
        (waiting.taken == 0).then_some((&waiting.bodies, waiting.samples.len()))
    }

    /// Goes on behind all samples that are there.
    pub(super) fn take_all(&mut self) {
        let waiting = &mut self.walk.sink;
        waiting.taken = waiting.samples.len();
    }

    /// Reads the series to its end.
    pub(super) fn skip(&mut self, report: &mut dyn FnMut(SideName, ReadProblem)) {
        while self.fill(report) {
            self.take_all();
        }
    }

    /// What the series has, once it was read to its end.
    pub(super) fn end_series(&mut self) -> (MetricTotals, Option<(Millis, Millis)>) {
        self.current.totals.series = 1;
        let totals = self.current.totals;
        self.totals.series += 1;
        self.totals.samples += totals.samples;
        self.totals.chunk_bytes = self.totals.chunk_bytes.saturating_add(totals.chunk_bytes);
        (totals, self.current.range)
    }

    /// The series as it is named in a report, once it was read to its end.
    pub(super) fn named(&self) -> NamedSeries {
        let (min_time, max_time) = self.current.range.unwrap_or_default();
        NamedSeries {
            labels: owned(self.labels()),
            samples: self.current.totals.samples,
            min_time,
            max_time,
        }
    }

    /// What the side holds, all series having been read.
    pub(super) fn finish(mut self, report: &mut dyn FnMut(SideName, ReadProblem)) -> SideTotals {
        let name = self.name;
        self.walk
            .check_promises(&mut |problem| report(name, problem));
        let Walk { tally, sink, .. } = self.walk;
        SideTotals {
            content: sink.content.finish(),
            labels: sink.labels.finish(),
            deleted: tally.deleted,
            duplicates: tally.duplicates,
            problems: tally.problems,
            ..self.totals
        }
    }
}

/// Labels that outlive their index.
pub(super) fn owned(labels: &LabelSlices<'_>) -> Labels {
    let label = |(name, value): &(&[u8], &[u8])| Label {
        name: (*name).into(),
        value: (*value).into(),
    };
    Labels(labels.iter().map(label).collect())
}
