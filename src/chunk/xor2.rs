//! Encoding 4, XOR2: floats with optional start timestamps. One control code says both how the time went on
//! and, in the common cases, what became of the value.

use super::start::StartColumn;
use super::xor::value_fault;
use super::xor_column::{ValueFault, XorColumn};
use super::{DATA, Shape, exhausted, tail};
use crate::model::{FloatSample, Millis, STALE_NAN};
use crate::raw::varint::{uvarint_len, zigzag};
use crate::raw::{BitReader, Malformed, Reader};

pub(super) fn decode(
    data: &[u8],
    at: u64,
    mut visit: impl FnMut(FloatSample),
) -> Result<Shape, Malformed> {
    let mut header = Reader::new(data, at, DATA);
    let samples = u32::from(header.u16()?);
    let start_header = header.u8()?;
    let base = header.offset();
    let mut bits = BitReader::new(header.rest());
    if samples == 0 {
        return Ok(Shape {
            samples,
            canonical: start_header == 0,
            tail: tail(&bits),
        });
    }
    let cut = |bits: &BitReader<'_>| exhausted(bits, base);

    let mut starts = StartColumn::new(start_header);
    let mut time = bits.varint().ok_or_else(|| cut(&bits))?;
    let mut canonical = bits.position() / 8 == uvarint_len(zigzag(time));
    let first = bits.bits(64).ok_or_else(|| cut(&bits))?;
    // A stale first value leaves the baseline that later values are coded against at zero.
    let mut values = Values::new(if first == STALE_NAN { 0 } else { first });
    let start = starts
        .read_first(&mut bits, time)
        .ok_or_else(|| cut(&bits))?;
    visit(FloatSample {
        time,
        start,
        bits: first,
    });

    let mut delta = 0u64;
    for index in 1..samples {
        let previous = time;
        let value = if index == 1 {
            let before = bits.position();
            delta = bits.uvarint().ok_or_else(|| cut(&bits))?;
            canonical &= (bits.position() - before) / 8 == uvarint_len(delta);
            values.read_full(&mut bits)
        } else {
            read_joint(&mut bits, &mut delta, &mut values, &mut canonical)
        };
        let value = value.map_err(|fault| value_fault(fault, &bits, base))?;
        time = previous.wrapping_add(delta as Millis);
        let start = starts
            .read(&mut bits, index, previous)
            .ok_or_else(|| cut(&bits))?;
        visit(FloatSample {
            time,
            start,
            bits: value,
        });
    }
    canonical &= values.column.canonical && values.canonical && starts.is_canonical(samples);
    Ok(Shape {
        samples,
        canonical,
        tail: tail(&bits),
    })
}

/// Reads the joint control code of a sample from the third on, updates `delta`, and reads the value.
#[inline]
fn read_joint(
    bits: &mut BitReader<'_>,
    delta: &mut u64,
    values: &mut Values,
    canonical: &mut bool,
) -> Result<u64, ValueFault> {
    let out = ValueFault::Exhausted;
    let (width, below) = match bits.ones(5).ok_or(out)? {
        0 => return Ok(values.column.value),
        1 => return values.read_changed(bits),
        2 => (13, 0),
        3 => (20, 13),
        4 => (64, 20),
        _ => return Ok(STALE_NAN),
    };
    let raw = bits.bits(width).ok_or(out)?;
    // Plain two's complement here, unlike encoding 1.
    let change = (raw << (64 - width)) as i64 >> (64 - width);
    let shorter = match below {
        0 => change == 0,
        below => (-(1i64 << (below - 1))..1 << (below - 1)).contains(&change),
    };
    *canonical &= !shorter;
    *delta = delta.wrapping_add(change as u64);
    values.read_full(bits)
}

/// The value column: as in encoding 1, but stale markers stand beside it.
struct Values {
    column: XorColumn,
    canonical: bool,
}

impl Values {
    fn new(baseline: u64) -> Self {
        Values {
            column: XorColumn::new(baseline),
            canonical: true,
        }
    }

    /// `111` stale, `0` the baseline, `10` in the window before, `110` in a new window.
    #[inline]
    fn read_full(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let codes = bits.ones(3).ok_or(ValueFault::Exhausted)?;
        match codes {
            0 => Ok(self.column.value),
            1 => self.in_window(bits),
            2 => self.new_window(bits),
            _ => Ok(STALE_NAN),
        }
    }

    /// A value that differs from the baseline at an unchanged interval: `0` in the window before, `1` in a new one.
    #[inline]
    fn read_changed(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        if bits.bit().ok_or(ValueFault::Exhausted)? {
            self.new_window(bits)
        } else {
            self.in_window(bits)
        }
    }

    #[inline]
    fn in_window(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let value = self.column.read_in_window(bits)?;
        // A stale marker has codes of its own; as a plain value it would also spoil the baseline.
        self.canonical &= value != STALE_NAN;
        Ok(value)
    }

    #[inline]
    fn new_window(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let value = self.column.read_new_window(bits)?;
        self.canonical &= value != STALE_NAN;
        Ok(value)
    }
}
