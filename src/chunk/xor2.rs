//! Encoding 4, XOR2: floats with optional start timestamps. One control code says both how the time
//! went on and, in the common cases, what became of the value.

use super::start::StartColumn;
use super::window::{Window, Xor2Writer};
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
            xor2_writer: None,
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
    canonical &= values.canonical && starts.is_canonical(samples);
    let mut writers = values.writers();
    let (writer, other) = (writers.next(), writers.next());
    Ok(Shape {
        samples,
        canonical: canonical && writer.is_some(),
        xor2_writer: writer.filter(|_| canonical && other.is_none()),
        tail: tail(&bits),
    })
}

/// Reads the joint control code of a sample from the third on, updates `delta`, and reads the
/// value.
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

/// Bits that a new window takes more than the one before, in a full value code and in one of a
/// changed value.
const FULL_COST: u32 = 12;
const CHANGED_COST: u32 = 11;

/// The value column: as in encoding 1, but stale markers stand beside it.
struct Values {
    column: XorColumn,
    /// Whether some writer would have chosen these codes, windows apart.
    canonical: bool,
    /// For each of [`Xor2Writer::ALL`] whether it would have chosen the windows.
    windows: [bool; 2],
}

impl Values {
    fn new(baseline: u64) -> Self {
        Values {
            column: XorColumn::new(baseline),
            canonical: true,
            windows: [true; 2],
        }
    }

    /// The writers that would have chosen these windows.
    fn writers(&self) -> impl Iterator<Item = Xor2Writer> + use<> {
        let all = Xor2Writer::ALL.into_iter().zip(self.windows);
        all.filter_map(|(writer, fits)| fits.then_some(writer))
    }

    /// `111` stale, `0` the baseline, `10` in the window before, `110` in a new window.
    #[inline]
    fn read_full(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let codes = bits.ones(3).ok_or(ValueFault::Exhausted)?;
        match codes {
            0 => Ok(self.column.value),
            1 => self.read_change(bits, false, FULL_COST),
            2 => self.read_change(bits, true, FULL_COST),
            _ => Ok(STALE_NAN),
        }
    }

    /// A value that differs from the baseline at an unchanged interval: `0` in the window before,
    /// `1` in a new one.
    #[inline]
    fn read_changed(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let is_new = bits.bit().ok_or(ValueFault::Exhausted)?;
        self.read_change(bits, is_new, CHANGED_COST)
    }

    /// A change in the window before or in a new one, and what its writer may have been.
    #[inline]
    fn read_change(
        &mut self,
        bits: &mut BitReader<'_>,
        is_new: bool,
        cost: u32,
    ) -> Result<u64, ValueFault> {
        let (open, before) = (self.column.window(), self.column.value);
        let value = if is_new {
            self.column.read_new_window(bits)?
        } else {
            self.column.read_in_window(bits)?
        };
        // A stale marker has codes of its own; as a plain value it would also spoil the baseline.
        self.canonical &= value != STALE_NAN && value != before;
        if value == before {
            return Ok(value);
        }
        let chosen = self.column.window().filter(|_| is_new);
        let exact = Window::around(value ^ before);
        for (writer, fits) in Xor2Writer::ALL.into_iter().zip(&mut self.windows) {
            *fits &= writer.opens(open, exact, cost) == chosen;
        }
        Ok(value)
    }
}
