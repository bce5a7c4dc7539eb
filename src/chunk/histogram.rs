//! Encodings 2 and 5: native histograms with integer counts, everything as delta of delta.

use super::histogram_layout::{Header, read_layout};
use super::start::StartColumn;
use super::varbit::Varbit;
use super::xor::value_fault;
use super::xor_column::XorColumn;
use super::{DATA, Shape, exhausted, tail};
use crate::model::{HistogramLayout, HistogramSample, Millis, STALE_NAN};
use crate::raw::{BitReader, Malformed, Reader};

/// A number and its last change, both starting at 0: a column of deltas of deltas.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    value: i64,
    delta: i64,
}

impl Column {
    /// The first value, in full. The deltas after it start at 0.
    fn first(value: i64) -> Self {
        Column { value, delta: 0 }
    }

    fn advance(&mut self, change: i64) -> i64 {
        self.delta = self.delta.wrapping_add(change);
        self.value = self.value.wrapping_add(self.delta);
        self.value
    }
}

pub(super) fn decode(
    data: &[u8],
    at: u64,
    with_start: bool,
    mut visit: impl FnMut(HistogramSample<'_, i64>),
) -> Result<Shape, Malformed> {
    let mut reader = Reader::new(data, at, DATA);
    let header = Header::read(&mut reader, with_start)?;
    let base = reader.offset();
    let mut bits = BitReader::new(reader.rest());
    let samples = header.samples;
    if samples == 0 {
        return Ok(Shape {
            samples,
            canonical: true,
            xor2_writer: None,
            tail: tail(&bits),
        });
    }
    let read = read_layout(&mut bits, base)?;
    let mut columns = Columns::new(read.positive, read.negative);
    let mut starts = header
        .start
        .map_or_else(StartColumn::absent, StartColumn::new);
    let mut canonical = header.canonical && read.canonical;
    let mut was_stale = false;
    for index in 0..samples {
        let sample = columns.read(&mut bits, base, &mut starts, index)?;
        let stale = sample.sum == STALE_NAN;
        // Prometheus starts a new chunk for whatever follows a stale marker.
        canonical &= stale || !was_stale;
        was_stale = stale;
        visit(columns.lend(sample, &read.layout, &header));
    }
    if header.start.is_some() {
        canonical &= starts.is_canonical(samples);
    }
    canonical &= columns.varbit.canonical && columns.sum.canonical;
    Ok(Shape {
        samples,
        canonical,
        xor2_writer: None,
        tail: tail(&bits),
    })
}

/// The part of a sample that is not in the columns.
#[derive(Clone, Copy)]
struct Scalars {
    time: Millis,
    start: Millis,
    sum: u64,
}

/// The columns of a chunk: their state is the sample before.
struct Columns {
    varbit: Varbit,
    time: Column,
    count: Column,
    zero: Column,
    sum: XorColumn,
    /// Values of the buckets, positive first, as they are lent; and their last changes.
    buckets: Vec<i64>,
    deltas: Vec<i64>,
    positive: usize,
}

impl Columns {
    fn new(positive: usize, negative: usize) -> Self {
        let buckets = positive + negative;
        Columns {
            varbit: Varbit::new(),
            time: Column::default(),
            count: Column::default(),
            zero: Column::default(),
            sum: XorColumn::new(0),
            buckets: vec![0; buckets],
            deltas: vec![0; buckets],
            positive,
        }
    }

    fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        base: u64,
        starts: &mut StartColumn,
        index: u32,
    ) -> Result<Scalars, Malformed> {
        let previous = self.time.value;
        if index == 0 {
            self.read_first(bits).ok_or_else(|| exhausted(bits, base))?;
        } else {
            self.read_scalars(bits)
                .ok_or_else(|| exhausted(bits, base))?;
            self.sum
                .read(bits)
                .map_err(|fault| value_fault(fault, bits, base))?;
        }
        let sum = self.sum.value;
        if sum != STALE_NAN {
            self.read_buckets(bits, index == 0)
                .ok_or_else(|| exhausted(bits, base))?;
        }
        let time = self.time.value;
        let start = if index == 0 {
            starts.read_first(bits, time)
        } else {
            starts.read(bits, index, previous)
        };
        Ok(Scalars {
            time,
            start: start.ok_or_else(|| exhausted(bits, base))?,
            sum,
        })
    }

    fn read_first(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        self.time = Column::first(self.varbit.signed(bits)?);
        self.count = Column::first(self.varbit.unsigned(bits)? as i64);
        self.zero = Column::first(self.varbit.unsigned(bits)? as i64);
        self.sum = XorColumn::new(bits.bits(64)?);
        Some(())
    }

    fn read_scalars(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        for column in [&mut self.time, &mut self.count, &mut self.zero] {
            column.advance(self.varbit.signed(bits)?);
        }
        Some(())
    }

    fn read_buckets(&mut self, bits: &mut BitReader<'_>, first: bool) -> Option<()> {
        for (value, delta) in self.buckets.iter_mut().zip(&mut self.deltas) {
            let read = self.varbit.signed(bits)?;
            if first {
                *value = read;
            } else {
                *delta = delta.wrapping_add(read);
                *value = value.wrapping_add(*delta);
            }
        }
        Some(())
    }

    fn lend<'a>(
        &'a self,
        scalars: Scalars,
        layout: &'a HistogramLayout,
        header: &Header,
    ) -> HistogramSample<'a, i64> {
        let stale = scalars.sum == STALE_NAN;
        let (positive, negative) = if stale {
            Default::default()
        } else {
            self.buckets
                .split_at_checked(self.positive)
                .unwrap_or_default()
        };
        HistogramSample {
            time: scalars.time,
            start: scalars.start,
            counter_reset: header.counter_reset,
            layout,
            sum: scalars.sum,
            count: if stale { 0 } else { self.count.value as u64 },
            zero_count: if stale { 0 } else { self.zero.value as u64 },
            positive,
            negative,
        }
    }
}
