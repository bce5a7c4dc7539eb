//! What must hold for native histograms (Prometheus `model/histogram`, `Validate`, and the rules by
//! which its appenders begin a new chunk).

use super::times::Times;
use crate::chunk::{self, ChunkRecord, Shape};
use crate::model::{CounterReset, HistogramLayout, HistogramSample, Sample, Span};
use crate::raw::Malformed;
use crate::verify::Kind;

/// Schema of histograms with custom bucket bounds.
const CUSTOM_SCHEMA: i64 = -53;

/// The first thing that is wrong with the histograms of a chunk.
#[derive(Debug)]
pub(in crate::verify) struct HistogramFault {
    pub(in crate::verify) kind: Kind,
    pub(in crate::verify) detail: String,
}

/// Checks the samples of histogram chunks; one is used for many chunks and keeps its memory.
#[derive(Debug, Default)]
pub(in crate::verify) struct Histograms {
    /// What was found in the chunk decoded last.
    pub(in crate::verify) fault: Option<HistogramFault>,
    before: Option<Before>,
    /// Absolute counts of the sample before, positive then negative.
    counts: Vec<i64>,
    float_counts: Vec<f64>,
}

/// What later samples of a counter must not fall below.
#[derive(Clone, Copy, Debug)]
struct Before {
    count: f64,
    zero: f64,
}

impl Histograms {
    /// Decodes the chunk in `record`, noting the times of its samples.
    pub(in crate::verify) fn decode(
        &mut self,
        record: &ChunkRecord<'_>,
        times: &mut Times,
    ) -> Result<Shape, Malformed> {
        self.fault = None;
        self.before = None;
        chunk::decode(record.encoding, record.data, record.data_offset, |sample| {
            times.see(sample.time());
            match sample {
                Sample::Histogram(sample) => self.see_integers(&sample),
                Sample::FloatHistogram(sample) => self.see_floats(&sample),
                Sample::Float(_) => {}
            }
        })
    }

    fn see_integers(&mut self, sample: &HistogramSample<'_, i64>) {
        self.see_layout(sample.layout);
        if sample.is_stale() {
            return;
        }
        let mut counts = std::mem::take(&mut self.counts);
        let first = self.before.is_none();
        counts.resize(sample.positive.len() + sample.negative.len(), 0);
        let mut total = i128::from(sample.zero_count);
        let mut absolute = counts.iter_mut();
        for deltas in [sample.positive, sample.negative] {
            let mut count = 0i64;
            for (delta, before) in deltas.iter().zip(&mut absolute) {
                count = count.wrapping_add(*delta);
                total += i128::from(count);
                self.see_bucket(sample.counter_reset, count, (!first).then_some(*before));
                *before = count;
            }
        }
        self.counts = counts;
        let announced = i128::from(sample.count);
        if total > announced {
            self.fail(Kind::HistogramCounts, || {
                format!("expected at most {announced} observations in the buckets, found {total}")
            });
        } else if total < announced && !f64::from_bits(sample.sum).is_nan() {
            self.fail(Kind::HistogramShortfall, || {
                format!("expected {announced} observations in the buckets, found {total}")
            });
        }
        let (count, zero) = (sample.count as f64, sample.zero_count as f64);
        self.see_totals(sample.counter_reset, Before { count, zero });
    }

    fn see_bucket(&mut self, reset: CounterReset, count: i64, before: Option<i64>) {
        if count < 0 {
            self.fail(Kind::HistogramCounts, || {
                format!("expected a bucket of at least 0 observations, found {count}")
            });
        }
        if let Some(before) = before
            && reset != CounterReset::Gauge
            && count < before
        {
            self.fail(Kind::HistogramCounts, || {
                format!(
                    "expected at least the {before} observations that a bucket had, found {count}"
                )
            });
        }
    }

    fn see_floats(&mut self, sample: &HistogramSample<'_, u64>) {
        self.see_layout(sample.layout);
        if sample.is_stale() {
            return;
        }
        let is_counter = sample.counter_reset != CounterReset::Gauge;
        let mut counts = std::mem::take(&mut self.float_counts);
        let first = self.before.is_none();
        counts.resize(sample.positive.len() + sample.negative.len(), 0.0);
        let buckets = sample.positive.iter().chain(sample.negative);
        for (bits, before) in buckets.zip(&mut counts) {
            let count = f64::from_bits(*bits);
            if is_counter && (count < 0.0 || (!first && count < *before)) {
                let least = if first { 0.0 } else { *before };
                self.fail(Kind::HistogramCounts, || {
                    format!("expected at least {least} observations in a bucket, found {count}")
                });
            }
            *before = count;
        }
        self.float_counts = counts;
        let count = f64::from_bits(sample.count);
        let zero = f64::from_bits(sample.zero_count);
        self.see_totals(sample.counter_reset, Before { count, zero });
    }

    fn see_totals(&mut self, reset: CounterReset, now: Before) {
        if let Some(before) = self.before.replace(now)
            && reset != CounterReset::Gauge
            && (now.count < before.count || now.zero < before.zero)
        {
            self.fail(Kind::HistogramCounts, || {
                format!(
                    "expected at least {} observations, {} of them zero, found {} and {}",
                    before.count, before.zero, now.count, now.zero
                )
            });
        }
    }

    /// All samples of a chunk share the layout: it is looked at with the first.
    fn see_layout(&mut self, layout: &HistogramLayout) {
        if self.before.is_some() || self.fault.is_some() {
            return;
        }
        if let Some(detail) = layout_fault(layout) {
            self.fail(Kind::HistogramLayout, || detail);
        }
    }

    /// Notes a fault. A worse one takes the place of a mere shortfall.
    fn fail(&mut self, kind: Kind, detail: impl FnOnce() -> String) {
        let is_worse = self
            .fault
            .as_ref()
            .is_none_or(|fault| kind.severity() > fault.kind.severity());
        if is_worse {
            let detail = detail();
            self.fault = Some(HistogramFault { kind, detail });
        }
    }
}

fn layout_fault(layout: &HistogramLayout) -> Option<String> {
    for spans in [&layout.positive, &layout.negative] {
        if let Some(fault) = span_fault(spans) {
            return Some(fault);
        }
    }
    if layout.schema != CUSTOM_SCHEMA {
        let threshold = f64::from_bits(layout.zero_threshold);
        return (threshold < 0.0 || threshold.is_nan())
            .then(|| format!("expected a zero threshold of at least 0, found {threshold}"));
    }
    if !layout.negative.is_empty() {
        return Some("expected no negative buckets beside custom bounds".to_owned());
    }
    let bounds: Vec<f64> = layout
        .custom_bounds
        .iter()
        .map(|b| f64::from_bits(*b))
        .collect();
    if !bounds.iter().all(|bound| bound.is_finite()) || !bounds.is_sorted_by(|a, b| a < b) {
        return Some(format!(
            "expected finite ascending bucket bounds, found {bounds:?}"
        ));
    }
    // The bucket above the last bound is that of infinity.
    let end = last_index(&layout.positive);
    (end > bounds.len() as i64 + 1).then(|| {
        format!(
            "expected at most {} buckets, found index {end}",
            bounds.len() + 1
        )
    })
}

fn span_fault(spans: &[Span]) -> Option<String> {
    let mut index = 0i64;
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            let offset = span.offset;
            return Some(format!(
                "expected a distance of at least 0 between spans, found {offset}"
            ));
        }
        index = index
            .saturating_add(span.offset)
            .saturating_add_unsigned(span.length);
        if i32::try_from(index).is_err() || i32::try_from(span.offset).is_err() {
            return Some(format!("expected bucket indexes of 32 bits, found {index}"));
        }
    }
    None
}

/// One more than the highest bucket index.
fn last_index(spans: &[Span]) -> i64 {
    spans.iter().fold(0i64, |index, span| {
        index
            .saturating_add(span.offset)
            .saturating_add_unsigned(span.length)
    })
}
