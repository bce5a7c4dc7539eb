//! Native histograms as Prometheus 3 prints them: `{count:14, sum:3, [-0.001,0.001]:2, (1,2]:4}`.
//!
//! Source: Prometheus `model/histogram`, `Histogram.String` and `FloatHistogram.String`.

use super::bounds::{CUSTOM_SCHEMA, bound, merged_into_known};
use super::number::{push_float, push_uint};
use crate::model::{HistogramSample, Span};

/// Bucket counts as chunks hold them: deltas of integers or bits of floats.
pub(super) trait Buckets: Copy {
    /// The counts themselves, as integers or as bits of floats.
    fn absolute(buckets: &[Self]) -> impl Iterator<Item = u64>;
    /// Whether a count is zero.
    fn is_zero(count: u64) -> bool;
    /// The sum of two counts.
    fn sum(a: u64, b: u64) -> u64;
    /// Appends a count; floats by `push_bits`.
    fn push_count(out: &mut Vec<u8>, count: u64, push_bits: fn(&mut Vec<u8>, u64));
}

impl Buckets for i64 {
    fn absolute(buckets: &[Self]) -> impl Iterator<Item = u64> {
        buckets.iter().scan(0i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count as u64)
        })
    }

    fn is_zero(count: u64) -> bool {
        count == 0
    }

    fn sum(a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn push_count(out: &mut Vec<u8>, count: u64, _push_bits: fn(&mut Vec<u8>, u64)) {
        push_uint(out, count);
    }
}

impl Buckets for u64 {
    fn absolute(buckets: &[Self]) -> impl Iterator<Item = u64> {
        buckets.iter().copied()
    }

    fn is_zero(count: u64) -> bool {
        f64::from_bits(count) == 0.0
    }

    fn sum(a: u64, b: u64) -> u64 {
        (f64::from_bits(a) + f64::from_bits(b)).to_bits()
    }

    fn push_count(out: &mut Vec<u8>, count: u64, push_bits: fn(&mut Vec<u8>, u64)) {
        push_bits(out, count);
    }
}

pub(super) fn push_histogram<B: Buckets>(out: &mut Vec<u8>, sample: &HistogramSample<'_, B>) {
    let layout = sample.layout;
    out.extend_from_slice(b"{count:");
    B::push_count(out, sample.count, push_float);
    out.extend_from_slice(b", sum:");
    push_float(out, sample.sum);
    let side = Side {
        schema: layout.schema,
        custom: &layout.custom_bounds,
    };
    for (index, count) in side
        .counts::<B>(&layout.negative, sample.negative)
        .into_iter()
        .rev()
    {
        // The bounds of negative buckets mirror those of positive ones.
        let (lower, upper) = (-side.bound(index), -side.bound(index.saturating_sub(1)));
        side.push_bucket::<B>(out, index, lower, upper, count);
    }
    if !B::is_zero(sample.zero_count) {
        let threshold = f64::from_bits(layout.zero_threshold);
        push_range(out, true, -threshold, threshold, true);
        B::push_count(out, sample.zero_count, push_float);
    }
    for (index, count) in side.counts::<B>(&layout.positive, sample.positive) {
        let (lower, upper) = (side.bound(index.saturating_sub(1)), side.bound(index));
        side.push_bucket::<B>(out, index, lower, upper, count);
    }
    out.push(b'}');
}

/// How the buckets of one side are bounded.
struct Side<'a> {
    schema: i64,
    custom: &'a [u64],
}

impl Side<'_> {
    /// Indexes and counts of the buckets that are not empty. Resolutions that Prometheus only
    /// reserves are merged into its finest one, as its readers do.
    fn counts<B: Buckets>(&self, spans: &[Span], buckets: &[B]) -> Vec<(i64, u64)> {
        let mut counts: Vec<(i64, u64)> = Vec::with_capacity(buckets.len());
        for (index, count) in indexes(spans).zip(B::absolute(buckets)) {
            let index = merged_into_known(index, self.schema);
            match counts.last_mut() {
                Some((last, sum)) if *last == index => *sum = B::sum(*sum, count),
                _ => counts.push((index, count)),
            }
        }
        counts.retain(|(_, count)| !B::is_zero(*count));
        counts
    }

    fn bound(&self, index: i64) -> f64 {
        bound(index, self.schema, self.custom)
    }

    fn push_bucket<B: Buckets>(
        &self,
        out: &mut Vec<u8>,
        index: i64,
        lower: f64,
        upper: f64,
        count: u64,
    ) {
        if self.schema == CUSTOM_SCHEMA {
            push_range(out, index == 0, lower, upper, true);
        } else {
            push_range(out, lower < 0.0, lower, upper, upper > 0.0);
        }
        B::push_count(out, count, push_float);
    }
}

/// The indexes that the spans stand for.
fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let start = next.saturating_add(span.offset);
        next = start.saturating_add_unsigned(span.length);
        start..next
    })
}

fn push_range(out: &mut Vec<u8>, closed_below: bool, lower: f64, upper: f64, closed_above: bool) {
    out.extend_from_slice(if closed_below { b", [" } else { b", (" });
    push_float(out, lower.to_bits());
    out.push(b',');
    push_float(out, upper.to_bits());
    out.extend_from_slice(if closed_above { b"]:" } else { b"):" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CounterReset, HistogramLayout};

    fn span(offset: i64, length: u64) -> Span {
        Span { offset, length }
    }

    fn print<B: Buckets>(
        layout: &HistogramLayout,
        count: u64,
        zero_count: u64,
        positive: &[B],
        negative: &[B],
    ) -> String {
        let sample = HistogramSample {
            time: 0,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout,
            sum: 2.5f64.to_bits(),
            count,
            zero_count,
            positive,
            negative,
        };
        let mut out = Vec::new();
        push_histogram(&mut out, &sample);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn buckets_run_from_negative_to_positive_and_empty_ones_are_left_out() {
        let layout = HistogramLayout {
            schema: 0,
            zero_threshold: 0.001f64.to_bits(),
            positive: vec![span(0, 2), span(1, 1)],
            negative: vec![span(1, 2)],
            custom_bounds: Vec::new(),
        };
        assert_eq!(
            print::<i64>(&layout, 9, 1, &[2, -2, 3], &[1, 1]),
            "{count:9, sum:2.5, [-4,-2):2, [-2,-1):1, [-0.001,0.001]:1, (0.5,1]:2, (4,8]:3}"
        );
        let bits = |value: f64| value.to_bits();
        assert_eq!(
            print::<u64>(
                &layout,
                bits(1.5),
                0,
                &[bits(0.5), bits(0.0), bits(1.0)],
                &[bits(-0.0), 0]
            ),
            "{count:1.5, sum:2.5, (0.5,1]:0.5, (4,8]:1}"
        );
    }

    #[test]
    fn custom_bounds_are_closed_above_and_the_first_bucket_below() {
        let layout = HistogramLayout {
            schema: CUSTOM_SCHEMA,
            positive: vec![span(0, 4)],
            custom_bounds: vec![0.25f64.to_bits(), 1f64.to_bits()],
            ..HistogramLayout::default()
        };
        assert_eq!(
            print::<i64>(&layout, 7, 0, &[1, 1, 1, 1], &[]),
            "{count:7, sum:2.5, [-Inf,0.25]:1, (0.25,1]:2, (1,+Inf]:3, (+Inf,+Inf]:4}"
        );
    }

    #[test]
    fn reserved_resolutions_are_merged_into_the_finest_known() {
        let layout = HistogramLayout {
            schema: 9,
            positive: vec![span(511, 4)],
            ..HistogramLayout::default()
        };
        // Buckets 511 and 512 of schema 9 are bucket 256 of schema 8, which ends at 2.
        let text = print::<i64>(&layout, 10, 0, &[1, 1, 1, 1], &[]);
        assert!(text.contains(",2]:3, (2,"), "{text}");
        assert!(text.ends_with("]:7}"), "{text}");
    }
}
