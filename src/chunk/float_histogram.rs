//! Encodings 3 and 6: native histograms with float counts, every number as XOR with its
//! predecessor.

use super::histogram_layout::{Header, read_layout};
use super::start::StartColumn;
use super::varbit::Varbit;
use super::xor::value_fault;
use super::xor_column::XorColumn;
use super::{DATA, Shape, exhausted, tail};
use crate::model::{HistogramSample, STALE_NAN};
use crate::raw::{BitReader, Malformed, Reader};

pub(super) fn decode(
    data: &[u8],
    at: u64,
    with_start: bool,
    mut visit: impl FnMut(HistogramSample<'_, u64>),
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
    let mut starts = header
        .start
        .map_or_else(StartColumn::absent, StartColumn::new);
    let mut canonical = header.canonical && read.canonical;

    let mut varbit = Varbit::new();
    let mut columns = Columns::new(read.positive + read.negative);
    let mut delta = 0i64;
    let mut time = 0i64;
    let mut was_stale = false;
    for index in 0..samples {
        let previous = time;
        let change = varbit
            .signed(&mut bits)
            .ok_or_else(|| exhausted(&bits, base))?;
        if index == 0 {
            time = change;
        } else {
            delta = delta.wrapping_add(change);
            time = previous.wrapping_add(delta);
        }
        columns.read(&mut bits, base, index == 0)?;
        let start = if index == 0 {
            starts.read_first(&mut bits, time)
        } else {
            starts.read(&mut bits, index, previous)
        };
        let start = start.ok_or_else(|| exhausted(&bits, base))?;
        let [count, zero_count, sum] = columns.scalars.map(|column| column.value);
        let stale = sum == STALE_NAN;
        // Prometheus starts a new chunk for whatever follows a stale marker.
        canonical &= stale || !was_stale;
        was_stale = stale;
        let (positive, negative) = if stale {
            Default::default()
        } else {
            columns
                .values
                .split_at_checked(read.positive)
                .unwrap_or_default()
        };
        visit(HistogramSample {
            time,
            start,
            counter_reset: header.counter_reset,
            layout: &read.layout,
            sum,
            count,
            zero_count,
            positive,
            negative,
        });
    }
    if header.start.is_some() {
        canonical &= starts.is_canonical(samples);
    }
    canonical &= varbit.canonical && columns.is_canonical();
    Ok(Shape {
        samples,
        canonical,
        xor2_writer: None,
        tail: tail(&bits),
    })
}

/// The columns of a chunk, each with a window of its own.
struct Columns {
    /// Count, zero count, sum.
    scalars: [XorColumn; 3],
    /// Positive buckets, then negative.
    buckets: Vec<XorColumn>,
    /// The values of `buckets`, as they are lent.
    values: Vec<u64>,
}

impl Columns {
    fn new(buckets: usize) -> Self {
        Columns {
            scalars: [XorColumn::new(0); 3],
            buckets: vec![XorColumn::new(0); buckets],
            values: vec![0; buckets],
        }
    }

    fn read(&mut self, bits: &mut BitReader<'_>, base: u64, first: bool) -> Result<(), Malformed> {
        for column in &mut self.scalars {
            read_value(column, bits, base, first)?;
        }
        if self.scalars[2].value == STALE_NAN {
            return Ok(());
        }
        for (column, value) in self.buckets.iter_mut().zip(&mut self.values) {
            *value = read_value(column, bits, base, first)?;
        }
        Ok(())
    }

    fn is_canonical(&self) -> bool {
        self.scalars
            .iter()
            .chain(&self.buckets)
            .all(|column| column.canonical)
    }
}

/// A value in full, in the first sample, or coded against the one before.
fn read_value(
    column: &mut XorColumn,
    bits: &mut BitReader<'_>,
    base: u64,
    first: bool,
) -> Result<u64, Malformed> {
    if first {
        *column = XorColumn::new(bits.bits(64).ok_or_else(|| exhausted(bits, base))?);
        return Ok(column.value);
    }
    column
        .read(bits)
        .map_err(|fault| value_fault(fault, bits, base))
}
