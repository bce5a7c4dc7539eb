//! Both sides, series by series and sample by sample.

use std::cmp::Ordering;

use super::canonical;
use super::metrics::{MetricTotals, Metrics};
use super::side::{Side, owned};
use super::{CompareOptions, Comparison, Contrast, Difference, SampleCounts, SideName};
use crate::block::Block;
use crate::error::Result;
use crate::progress::Progress;
use crate::select::ReadProblem;

/// Compares all samples of two sides.
pub(super) fn join(
    a: &[Block],
    b: &[Block],
    options: &CompareOptions,
    progress: &dyn Progress,
    report: &mut dyn FnMut(SideName, ReadProblem),
) -> Result<Comparison> {
    let selection = &options.selection;
    let mut join = Join {
        a: Side::open(SideName::A, a, selection, report)?,
        b: Side::open(SideName::B, b, selection, report)?,
        named: options.named,
        found: Comparison::default(),
        metrics: Metrics::default(),
        report,
    };
    let (mut has_a, mut has_b) = (
        join.a.next_series(join.report),
        join.b.next_series(join.report),
    );
    loop {
        let order = match (has_a, has_b) {
            (false, false) => break,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => join.a.key().cmp(&join.b.key()),
        };
        let bytes = match order {
            Ordering::Less => join.only_a(),
            Ordering::Greater => join.only_b(),
            Ordering::Equal => join.both(),
        };
        progress.advance(bytes);
        if order.is_le() {
            has_a = join.a.next_series(join.report);
        }
        if order.is_ge() {
            has_b = join.b.next_series(join.report);
        }
    }
    let mut found = join.found;
    found.a = join.a.finish(join.report);
    found.b = join.b.finish(join.report);
    found.metrics = join.metrics.finish();
    Ok(found)
}

struct Join<'a, 'r> {
    a: Side<'a>,
    b: Side<'a>,
    named: usize,
    found: Comparison,
    metrics: Metrics,
    report: &'r mut dyn FnMut(SideName, ReadProblem),
}

impl Join<'_, '_> {
    fn only_a(&mut self) -> u64 {
        self.a.skip(self.report);
        let (totals, _) = self.a.end_series();
        self.found.series.only_a += 1;
        if self.found.only_in_a.len() < self.named {
            self.found.only_in_a.push(self.a.named());
        }
        self.metrics
            .add(metric(self.a.labels()), Some(totals), None, false);
        totals.chunk_bytes
    }

    fn only_b(&mut self) -> u64 {
        self.b.skip(self.report);
        let (totals, _) = self.b.end_series();
        self.found.series.only_b += 1;
        if self.found.only_in_b.len() < self.named {
            self.found.only_in_b.push(self.b.named());
        }
        self.metrics
            .add(metric(self.b.labels()), None, Some(totals), false);
        totals.chunk_bytes
    }

    fn both(&mut self) -> u64 {
        let before = self.found.samples;
        self.samples();
        let (a, range_a) = self.a.end_series();
        let (b, range_b) = self.b.end_series();
        let now = self.found.samples;
        let is_different = SampleCounts {
            equal: before.equal,
            ..now
        } != before;
        let series = &mut self.found.series;
        if is_different {
            series.different += 1;
            series.grew += u64::from(b.samples > a.samples);
            series.shrank += u64::from(b.samples < a.samples);
            series.other_range += u64::from(range_a != range_b);
        } else {
            series.equal += 1;
        }
        let metric = metric(self.a.labels());
        self.metrics.add(metric, Some(a), Some(b), is_different);
        let MetricTotals { chunk_bytes, .. } = a;
        chunk_bytes.saturating_add(b.chunk_bytes)
    }

    /// Compares the samples of a series that both sides have.
    fn samples(&mut self) {
        loop {
            let has_a = self.a.fill(self.report);
            let has_b = self.b.fill(self.report);
            if !has_a && !has_b {
                return;
            }
            // Mostly both sides hold the same chunks.
            if let (Some((a, count)), Some((b, _))) = (self.a.all(), self.b.all())
                && a == b
            {
                self.found.samples.equal += count as u64;
                self.a.take_all();
                self.b.take_all();
            } else {
                self.while_both_wait(has_a, has_b);
            }
        }
    }

    /// Compares samples until one side has to be filled.
    fn while_both_wait(&mut self, has_a: bool, has_b: bool) {
        loop {
            let (a, b) = (self.a.peek(), self.b.peek());
            let order = match (a, b) {
                (Some((time_a, _)), Some((time_b, _))) => time_a.cmp(&time_b),
                (Some(_), None) if !has_b => Ordering::Less,
                (None, Some(_)) if !has_a => Ordering::Greater,
                _ => return,
            };
            let (a, b) = (a.filter(|_| order.is_le()), b.filter(|_| order.is_ge()));
            let counts = &mut self.found.samples;
            let contrast = match (a, b) {
                (Some((_, a)), Some((_, b))) if a == b => {
                    counts.equal += 1;
                    None
                }
                (Some((_, a)), Some((_, b))) => {
                    counts.different += 1;
                    Some(canonical::contrast(a, b))
                }
                (Some(_), None) => {
                    counts.only_a += 1;
                    Some(Contrast::OnlyInA)
                }
                (None, _) => {
                    counts.only_b += 1;
                    Some(Contrast::OnlyInB)
                }
            };
            if let Some(contrast) = contrast
                && self.found.differences.len() < self.named
            {
                self.found.differences.push(Difference {
                    labels: owned(self.a.labels()),
                    time: a.or(b).map_or(0, |(time, _)| time),
                    contrast,
                    a: a.and_then(|(_, body)| canonical::value(body)),
                    b: b.and_then(|(_, body)| canonical::value(body)),
                });
            }
            if order.is_le() {
                self.a.take();
            }
            if order.is_ge() {
                self.b.take();
            }
        }
    }
}

/// The name of the metric.
fn metric<'a>(labels: &[(&'a [u8], &'a [u8])]) -> Option<&'a [u8]> {
    let name = labels.iter().find(|(name, _)| *name == b"__name__");
    name.map(|(_, value)| *value)
}
