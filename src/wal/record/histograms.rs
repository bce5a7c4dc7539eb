//! Types 7 to 10, 12 and 13: native histograms.

use std::marker::PhantomData;

use super::samples::Stamps;
use super::{Decode, HeadSeriesRef};
use crate::model::{CounterReset, HistogramLayout, HistogramSample, Millis, STALE_NAN, Span};
use crate::raw::{Malformed, Reader, varint};

/// Schema of histograms with custom bounds.
const CUSTOM_BOUNDS: i64 = -53;

/// A histogram, with counts as [`HistogramSample`] has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramEntry<B> {
    /// The series it belongs to.
    pub series: HeadSeriesRef,
    /// Time of the sample.
    pub time: Millis,
    /// Start timestamp; 0 when there is none.
    pub start: Millis,
    /// Whether the counter was reset before this sample, or that this is a gauge.
    pub counter_reset: CounterReset,
    /// Schema, zero threshold, spans and custom bounds.
    pub layout: HistogramLayout,
    /// IEEE-754 bits of the sum of observations.
    pub sum: u64,
    /// Number of observations (float histograms: its bits).
    pub count: u64,
    /// Observations in the zero bucket (float histograms: its bits).
    pub zero_count: u64,
    /// Positive buckets.
    pub positive: Vec<B>,
    /// Negative buckets.
    pub negative: Vec<B>,
}

impl<B> HistogramEntry<B> {
    /// The same as a sample.
    pub fn sample(&self) -> HistogramSample<'_, B> {
        HistogramSample {
            time: self.time,
            start: self.start,
            counter_reset: self.counter_reset,
            layout: &self.layout,
            sum: self.sum,
            count: self.count,
            zero_count: self.zero_count,
            positive: &self.positive,
            negative: &self.negative,
        }
    }

    /// Whether each side has as many buckets as its spans say. A head that appends a histogram
    /// without panics; markers of staleness lose both before.
    pub fn fits_its_spans(&self) -> bool {
        let fits = |spans: &[Span], buckets: &[B]| {
            let mut lengths = spans.iter().map(|span| span.length);
            let wanted = lengths.try_fold(0_u64, u64::checked_add);
            wanted == Some(buckets.len() as u64)
        };
        let layout = &self.layout;
        self.sum == STALE_NAN
            || fits(&layout.positive, &self.positive) && fits(&layout.negative, &self.negative)
    }

    /// Whether Prometheus (since 3.7) reads histograms of this schema; others it passes over.
    pub fn has_known_schema(&self) -> bool {
        matches!(self.layout.schema, -9..=52 | CUSTOM_BOUNDS)
    }
}

/// Decodes histograms whose buckets are `B`: `i64` for integer counts, `u64` (bits) for float
/// counts.
#[derive(Clone, Debug)]
pub struct Histograms<B> {
    stamps: Stamps,
    bucket: PhantomData<B>,
}

impl<B> Histograms<B> {
    pub(super) fn new(stamps: Stamps) -> Self {
        Histograms {
            stamps,
            bucket: PhantomData,
        }
    }
}

/// The fields that integer and float histograms store differently.
pub(crate) trait HistogramCounts: Copy {
    /// Fewest bytes of a bucket.
    const MIN_BYTES: usize;

    fn count(reader: &mut Reader<'_>) -> Result<u64, Malformed>;
    fn bucket(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
    fn write_count(count: u64, out: &mut Vec<u8>);
    fn write_bucket(self, out: &mut Vec<u8>);
}

impl HistogramCounts for i64 {
    const MIN_BYTES: usize = 1;

    fn count(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
        reader.uvarint()
    }

    fn bucket(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.varint()
    }

    fn write_count(count: u64, out: &mut Vec<u8>) {
        varint::write_uvarint(out, count);
    }

    fn write_bucket(self, out: &mut Vec<u8>) {
        varint::write_varint(out, self);
    }
}

impl HistogramCounts for u64 {
    const MIN_BYTES: usize = 8;

    fn count(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
        reader.u64()
    }

    fn bucket(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.u64()
    }

    fn write_count(count: u64, out: &mut Vec<u8>) {
        out.extend(count.to_be_bytes());
    }

    fn write_bucket(self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Decode<'_> for Histograms<i64> {
    type Entry = HistogramEntry<i64>;

    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<HistogramEntry<i64>, Malformed> {
        entry(&mut self.stamps, reader)
    }
}

impl Decode<'_> for Histograms<u64> {
    type Entry = HistogramEntry<u64>;

    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<HistogramEntry<u64>, Malformed> {
        entry(&mut self.stamps, reader)
    }
}

fn entry<B: HistogramCounts>(
    stamps: &mut Stamps,
    reader: &mut Reader<'_>,
) -> Result<HistogramEntry<B>, Malformed> {
    let stamp = stamps.next(reader)?;
    let counter_reset = counter_reset(reader.u8()?);
    let schema = reader.varint()?;
    let zero_threshold = reader.u64()?;
    let zero_count = B::count(reader)?;
    let count = B::count(reader)?;
    let sum = reader.u64()?;
    let (positive_spans, negative_spans) = (spans(reader)?, spans(reader)?);
    let positive = list(reader, B::MIN_BYTES, B::bucket)?;
    let negative = list(reader, B::MIN_BYTES, B::bucket)?;
    let custom_bounds = if schema == CUSTOM_BOUNDS {
        list(reader, 8, Reader::u64)?
    } else {
        Vec::new()
    };
    Ok(HistogramEntry {
        series: stamp.series,
        time: stamp.time,
        start: stamp.start,
        counter_reset,
        layout: HistogramLayout {
            schema,
            zero_threshold,
            positive: positive_spans,
            negative: negative_spans,
            custom_bounds,
        },
        sum,
        count,
        zero_count,
        positive,
        negative,
    })
}

/// The hint's numbers are not those of the header of a chunk.
fn counter_reset(hint: u8) -> CounterReset {
    match hint {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}

fn spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Malformed> {
    list(reader, 2, |reader| {
        Ok(Span {
            offset: reader.varint()?,
            length: reader.uvarint()?,
        })
    })
}

/// A counted list of items of at least `min_bytes` bytes each.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    min_bytes: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(min_bytes)?;
    (0..count).map(|_| item(reader)).collect()
}

/// Appends what stands behind the times and the hint of the entry that holds `sample`: from its
/// schema on, every number as short as it can be.
pub(crate) fn write_histogram<B: HistogramCounts>(
    sample: &HistogramSample<'_, B>,
    out: &mut Vec<u8>,
) {
    let layout = sample.layout;
    varint::write_varint(out, layout.schema);
    out.extend(layout.zero_threshold.to_be_bytes());
    B::write_count(sample.zero_count, out);
    B::write_count(sample.count, out);
    out.extend(sample.sum.to_be_bytes());
    for spans in [&layout.positive, &layout.negative] {
        varint::write_uvarint(out, spans.len() as u64);
        for span in spans {
            varint::write_varint(out, span.offset);
            varint::write_uvarint(out, span.length);
        }
    }
    for buckets in [sample.positive, sample.negative] {
        varint::write_uvarint(out, buckets.len() as u64);
        for bucket in buckets {
            bucket.write_bucket(out);
        }
    }
    if layout.schema == CUSTOM_BOUNDS {
        varint::write_uvarint(out, layout.custom_bounds.len() as u64);
        for bound in &layout.custom_bounds {
            out.extend(bound.to_be_bytes());
        }
    }
}
