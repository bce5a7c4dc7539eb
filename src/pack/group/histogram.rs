//! Native histograms: their counts and buckets as columns of integers or floats, chunk by chunk.

use crate::model::{
    CounterReset, HistogramLayout, HistogramSample, Millis, STALE_NAN, Sample, Span,
};
use crate::pack::column::{ColumnReader, ColumnWriter, Stream};
use crate::raw::varint::{write_uvarint, write_varint};
use crate::raw::{Malformed, Reader};

/// Everything of a histogram chunk but times, start timestamps and sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HistogramChunk {
    counter_reset: CounterReset,
    layout: HistogramLayout,
    counts: Counts,
}

/// Count, zero count, then each bucket: a column each, without the stale samples, which have none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Counts {
    Integers(Vec<Vec<i64>>),
    Floats(Vec<Vec<u64>>),
}

impl HistogramChunk {
    /// A chunk that begins with `sample`.
    pub(super) fn new<B>(sample: &HistogramSample<'_, B>) -> Self {
        HistogramChunk {
            counter_reset: sample.counter_reset,
            layout: sample.layout.clone(),
            counts: Counts::Integers(Vec::new()),
        }
    }

    /// Appends a sample with integer counts.
    pub(super) fn push_integers(&mut self, sample: &HistogramSample<'_, i64>) {
        if let Counts::Integers(columns) = &mut self.counts
            && !sample.is_stale()
        {
            let counts = [sample.count as i64, sample.zero_count as i64].into_iter();
            let buckets = sample.positive.iter().chain(sample.negative).copied();
            push(columns, counts.chain(buckets));
        }
    }

    /// Appends a sample with float counts.
    pub(super) fn push_floats(&mut self, sample: &HistogramSample<'_, u64>) {
        if let Counts::Integers(columns) = &self.counts
            && columns.is_empty()
        {
            self.counts = Counts::Floats(Vec::new());
        }
        if let Counts::Floats(columns) = &mut self.counts
            && !sample.is_stale()
        {
            let counts = [sample.count, sample.zero_count].into_iter();
            let buckets = sample.positive.iter().chain(sample.negative).copied();
            push(columns, counts.chain(buckets));
        }
    }

    pub(super) fn write(&self, writer: &mut ColumnWriter) {
        let out = writer.stream(Stream::Histograms);
        out.push(self.counter_reset.bits());
        write_varint(out, self.layout.schema);
        out.extend_from_slice(&self.layout.zero_threshold.to_be_bytes());
        for spans in [&self.layout.positive, &self.layout.negative] {
            write_uvarint(out, spans.len() as u64);
            for span in spans {
                write_varint(out, span.offset);
                write_uvarint(out, span.length);
            }
        }
        write_uvarint(out, self.layout.custom_bounds.len() as u64);
        for bound in &self.layout.custom_bounds {
            out.extend_from_slice(&bound.to_be_bytes());
        }
        match &self.counts {
            Counts::Integers(columns) => {
                write_uvarint(out, columns.len() as u64);
                for column in columns {
                    writer.integers(column);
                }
            }
            Counts::Floats(columns) => {
                write_uvarint(out, columns.len() as u64);
                for column in columns {
                    writer.floats(column, None);
                }
            }
        }
    }

    /// Reads a chunk whose samples have these `sums`, with float counts if `floats`. `budget` is
    /// how many more counts a group may hold.
    pub(super) fn read(
        reader: &mut ColumnReader<'_>,
        sums: &[u64],
        floats: bool,
        budget: &mut usize,
    ) -> Result<Self, Malformed> {
        let stream = reader.stream(Stream::Histograms);
        let at = *stream;
        let counter_reset = match stream.u8()? {
            0 => CounterReset::Unknown,
            1 => CounterReset::NotReset,
            2 => CounterReset::Reset,
            3 => CounterReset::Gauge,
            other => return Err(at.unexpected("counter reset", "from 0 to 3", other)),
        };
        let layout = HistogramLayout {
            schema: stream.varint()?,
            zero_threshold: stream.u64()?,
            positive: spans(stream)?,
            negative: spans(stream)?,
            custom_bounds: (0..stream.count(8)?)
                .map(|_| stream.u64())
                .collect::<Result<_, _>>()?,
        };
        let columns = stream.uvarint()?;
        let length = sums.iter().filter(|sum| **sum != STALE_NAN).count();
        // Stale samples have no counts; each other one has two and its buckets.
        let buckets = buckets(&layout.positive).saturating_add(buckets(&layout.negative));
        let wanted = match length {
            0 => 0,
            _ => buckets.saturating_add(2) as u64,
        };
        if columns != wanted {
            return Err(at.unexpected("counts", format!("of {wanted} columns"), columns));
        }
        let spent = usize::try_from(columns)
            .ok()
            .and_then(|columns| columns.checked_mul(length.max(1)));
        let Some(left) = spent.and_then(|spent| budget.checked_sub(spent)) else {
            let wanted = format!("with up to {budget} counts");
            return Err(at.unexpected("histogram", wanted, format!("{columns} times {length}")));
        };
        *budget = left;
        let counts = if floats {
            let column = |_| {
                let mut column = Vec::new();
                reader.floats(length, None, &mut column).map(|()| column)
            };
            Counts::Floats((0..columns).map(column).collect::<Result<_, _>>()?)
        } else {
            let column = |_| {
                let mut column = Vec::new();
                reader.integers(length, &mut column).map(|()| column)
            };
            Counts::Integers((0..columns).map(column).collect::<Result<_, _>>()?)
        };
        Ok(HistogramChunk {
            counter_reset,
            layout,
            counts,
        })
    }

    /// Lends each sample to `visit`, given their times, start timestamps and sums.
    pub(super) fn samples<E>(
        &self,
        times: &[Millis],
        starts: &[Millis],
        sums: &[u64],
        mut visit: impl FnMut(&Sample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let positive = buckets(&self.layout.positive);
        let mut row = 0;
        let (mut integers, mut floats) = (Vec::new(), Vec::new());
        for (at, (time, sum)) in times.iter().zip(sums).enumerate() {
            let start = starts.get(at).copied().unwrap_or(0);
            let is_stale = *sum == STALE_NAN;
            match &self.counts {
                Counts::Integers(columns) => {
                    take_row(columns, row, is_stale, &mut integers);
                    let sample = self.sample(*time, start, *sum, &integers, positive);
                    visit(&Sample::Histogram(sample))?;
                }
                Counts::Floats(columns) => {
                    take_row(columns, row, is_stale, &mut floats);
                    let sample = self.sample(*time, start, *sum, &floats, positive);
                    visit(&Sample::FloatHistogram(sample))?;
                }
            }
            row += usize::from(!is_stale);
        }
        Ok(())
    }

    /// A sample from its row of counts: count, zero count, buckets.
    fn sample<'a, B>(
        &'a self,
        time: Millis,
        start: Millis,
        sum: u64,
        row: &'a [B],
        positive: usize,
    ) -> HistogramSample<'a, B>
    where
        B: IntoCount + Copy,
    {
        let (counts, buckets) = row.split_at_checked(2).unwrap_or_default();
        let (positive, negative) = buckets.split_at_checked(positive).unwrap_or((buckets, &[]));
        let count = |at: usize| counts.get(at).copied().map_or(0, IntoCount::into_count);
        HistogramSample {
            time,
            start,
            counter_reset: self.counter_reset,
            layout: &self.layout,
            sum,
            count: count(0),
            zero_count: count(1),
            positive,
            negative,
        }
    }
}

/// A number of a row as a sample holds counts.
trait IntoCount {
    fn into_count(self) -> u64;
}

impl IntoCount for i64 {
    fn into_count(self) -> u64 {
        self as u64
    }
}

impl IntoCount for u64 {
    fn into_count(self) -> u64 {
        self
    }
}

fn push<T>(columns: &mut Vec<Vec<T>>, row: impl Iterator<Item = T>) {
    let first = columns.is_empty();
    for (at, value) in row.enumerate() {
        if first {
            columns.push(vec![value]);
        } else if let Some(column) = columns.get_mut(at) {
            column.push(value);
        }
    }
}

fn take_row<T: Copy>(columns: &[Vec<T>], row: usize, is_stale: bool, out: &mut Vec<T>) {
    out.clear();
    if !is_stale {
        out.extend(columns.iter().filter_map(|column| column.get(row)));
    }
}

/// Number of buckets that `spans` describe.
fn buckets(spans: &[Span]) -> usize {
    let sum = spans
        .iter()
        .fold(0u64, |sum, span| sum.saturating_add(span.length));
    usize::try_from(sum).unwrap_or(usize::MAX)
}

fn spans(stream: &mut Reader<'_>) -> Result<Vec<Span>, Malformed> {
    let count = stream.count(2)?;
    (0..count)
        .map(|_| {
            Ok(Span {
                offset: stream.varint()?,
                length: stream.uvarint()?,
            })
        })
        .collect()
}
