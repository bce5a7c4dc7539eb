//! Series and samples as bytes that depend on nothing but what a query would return: not on blocks,
//! chunks or encodings.
//!
//! `docs/compare.md` has the layout, so that the digest can be computed by others.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::{CounterReset, HistogramLayout, HistogramSample, Millis, Sample, Span};
use crate::select::LabelSlices;

/// First byte of a series.
const SERIES: u8 = 0;
/// First byte of a float sample.
const FLOAT: u8 = 1;
/// First byte of a histogram with integer counts.
const HISTOGRAM: u8 = 2;
/// First byte of a histogram with float counts.
const FLOAT_HISTOGRAM: u8 = 3;

/// Bytes of kind, time and start timestamp.
const HEAD: usize = 17;

/// A SHA-256 digest over series and samples; as text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentDigest(pub [u8; 32]);

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a [`ContentDigest`].
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    #[inline]
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> ContentDigest {
        ContentDigest(self.0.finalize().into())
    }
}

/// In what two samples differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contrast {
    /// Only A has one.
    OnlyInA,
    /// Only B has one.
    OnlyInB,
    /// One is a float and the other a histogram, or a histogram with other counts.
    Kind,
    /// In the value; in a histogram's number or sum of observations.
    Value,
    /// In the start timestamp only.
    Start,
    /// In the buckets of a histogram, or what they mean.
    Buckets,
}

/// What a sample says, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleText {
    /// A float: its IEEE-754 bits.
    Float(u64),
    /// A histogram with integer counts.
    Histogram {
        /// Number of observations.
        count: u64,
        /// IEEE-754 bits of their sum.
        sum: u64,
    },
    /// A histogram with float counts.
    FloatHistogram {
        /// IEEE-754 bits of the number of observations.
        count: u64,
        /// IEEE-754 bits of their sum.
        sum: u64,
    },
}

/// In what two samples of the same time differ, given their bytes.
pub(super) fn contrast(a: &[u8], b: &[u8]) -> Contrast {
    let differ = |from: usize, to: usize| a.get(from..to) != b.get(from..to);
    if differ(0, 1) {
        Contrast::Kind
    } else if differ(HEAD, HEAD + 8) || (differ(HEAD + 8, HEAD + 16) && a.len() > HEAD + 8) {
        Contrast::Value
    } else if a.get(HEAD..) == b.get(HEAD..) {
        Contrast::Start
    } else {
        Contrast::Buckets
    }
}

/// Appends the labels of a series.
pub(super) fn series(labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
    out.push(SERIES);
    length(labels.len(), out);
    for (name, value) in labels {
        for string in [name, value] {
            length(string.len(), out);
            out.extend_from_slice(string);
        }
    }
}

/// Appends a sample.
#[inline]
pub(super) fn sample(sample: &Sample<'_>, out: &mut Vec<u8>) {
    match sample {
        Sample::Float(float) => {
            head(FLOAT, float.time, float.start, out);
            out.extend_from_slice(&float.bits.to_le_bytes());
        }
        Sample::Histogram(found) => histogram(HISTOGRAM, found, absolute(found), out),
        Sample::FloatHistogram(found) => {
            let buckets = [found.positive.to_vec(), found.negative.to_vec()];
            histogram(FLOAT_HISTOGRAM, found, buckets, out);
        }
    }
}

/// What the bytes of a sample say.
pub(super) fn value(body: &[u8]) -> Option<SampleText> {
    let word = |at: usize| {
        let bytes = body.get(HEAD + at..HEAD + at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let sum = word(0)?;
    // A stale marker ends behind its sum.
    let count = word(8).unwrap_or(0);
    match *body.first()? {
        FLOAT => Some(SampleText::Float(sum)),
        HISTOGRAM => Some(SampleText::Histogram { count, sum }),
        FLOAT_HISTOGRAM => Some(SampleText::FloatHistogram { count, sum }),
        _ => None,
    }
}

#[inline]
fn head(kind: u8, time: Millis, start: Millis, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
}

fn length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

fn word(word: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_le_bytes());
}

/// Integer buckets without their deltas.
fn absolute(histogram: &HistogramSample<'_, i64>) -> [Vec<u64>; 2] {
    [histogram.positive, histogram.negative].map(|deltas| {
        let mut count = 0i64;
        let counts = deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            count.cast_unsigned()
        });
        counts.collect()
    })
}

/// A histogram. Of its chunk's counter-reset header only counts whether it is a gauge: the rest
/// depends on where chunks begin.
fn histogram<B>(
    kind: u8,
    histogram: &HistogramSample<'_, B>,
    [positive, negative]: [Vec<u64>; 2],
    out: &mut Vec<u8>,
) {
    head(kind, histogram.time, histogram.start, out);
    word(histogram.sum, out);
    // A stale marker has the layout of the chunk it happens to stand in.
    if histogram.is_stale() {
        return;
    }
    let HistogramLayout {
        schema,
        zero_threshold,
        positive: positive_spans,
        negative: negative_spans,
        custom_bounds,
    } = histogram.layout;
    word(histogram.count, out);
    word(histogram.zero_count, out);
    out.push(u8::from(histogram.counter_reset == CounterReset::Gauge));
    word(schema.cast_unsigned(), out);
    word(*zero_threshold, out);
    length(custom_bounds.len(), out);
    for bound in custom_bounds {
        word(*bound, out);
    }
    buckets(positive_spans, &positive, out);
    buckets(negative_spans, &negative, out);
}

/// Buckets with observations, each with its index: the same ones may be laid out in spans in
/// several ways.
fn buckets(spans: &[Span], counts: &[u64], out: &mut Vec<u8>) {
    length(counts.iter().filter(|count| **count != 0).count(), out);
    let mut counts = counts.iter();
    let mut index = 0i64;
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else {
                return;
            };
            if *count != 0 {
                word(index.cast_unsigned(), out);
                word(*count, out);
            }
            index = index.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram_bytes(spans: &[(i64, u64)], deltas: &[i64], reset: CounterReset) -> Vec<u8> {
        let layout = HistogramLayout {
            schema: 3,
            positive: spans
                .iter()
                .map(|&(offset, length)| Span { offset, length })
                .collect(),
            ..HistogramLayout::default()
        };
        let mut out = Vec::new();
        let histogram = HistogramSample {
            time: 5,
            start: 0,
            counter_reset: reset,
            layout: &layout,
            sum: 2.0f64.to_bits(),
            count: 7,
            zero_count: 0,
            positive: deltas,
            negative: &[],
        };
        sample(&Sample::Histogram(histogram), &mut out);
        out
    }

    #[test]
    fn histograms_are_the_same_however_their_buckets_are_laid_out() {
        use CounterReset::{Gauge, NotReset, Unknown};
        let plain = histogram_bytes(&[(2, 1), (2, 1)], &[3, 1], Unknown);
        let padded = histogram_bytes(&[(1, 5)], &[0, 3, -3, 0, 4], NotReset);
        assert_eq!(plain, padded);
        assert_ne!(plain, histogram_bytes(&[(2, 1), (2, 1)], &[3, 1], Gauge));
        assert_ne!(plain, histogram_bytes(&[(2, 1), (3, 1)], &[3, 1], Unknown));
        assert_eq!(
            value(&plain),
            Some(SampleText::Histogram {
                count: 7,
                sum: 2.0f64.to_bits()
            })
        );
    }

    #[test]
    fn a_length_goes_before_every_string() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        series(&[(b"ab", b"c")], &mut a);
        series(&[(b"a", b"bc")], &mut b);
        assert_ne!(a, b);
    }
}
