//! Encoding 1, XOR: `u16 count`, then a bit stream of timestamps as delta of delta and values as XOR.

use super::xor_column::{ValueFault, XorColumn};
use super::{DATA, Shape, exhausted, tail};
use crate::model::FloatSample;
use crate::raw::{BitReader, Malformed, Reader};

/// Payload bits after 0, 1, 2, 3 leading ones of a timestamp code; four ones mean 64 bits.
const TIME_BITS: [u32; 4] = [0, 14, 17, 20];

pub(super) fn decode(
    data: &[u8],
    at: u64,
    mut visit: impl FnMut(FloatSample),
) -> Result<Shape, Malformed> {
    let mut header = Reader::new(data, at, DATA);
    let samples = u32::from(header.u16()?);
    let base = header.offset();
    let mut bits = BitReader::new(header.rest());
    let mut canonical = true;
    if samples == 0 {
        return Ok(Shape {
            samples,
            canonical,
            tail: tail(&bits),
        });
    }

    let mut time = bits.varint().ok_or_else(|| exhausted(&bits, base))?;
    canonical &= is_minimal(&bits, 0, time);
    let first = bits.bits(64).ok_or_else(|| exhausted(&bits, base))?;
    let mut column = XorColumn::new(first);
    visit(FloatSample {
        time,
        start: 0,
        bits: first,
    });
    if samples == 1 {
        return Ok(Shape {
            samples,
            canonical,
            tail: tail(&bits),
        });
    }

    let before = bits.position();
    let mut delta = bits.uvarint().ok_or_else(|| exhausted(&bits, base))?;
    canonical &= (bits.position() - before) / 8 == uvarint_len(delta);
    time = time.wrapping_add(delta as i64);
    let value = column
        .read(&mut bits)
        .map_err(|fault| value_fault(fault, &bits, base))?;
    visit(FloatSample {
        time,
        start: 0,
        bits: value,
    });

    for _ in 2..samples {
        let (change, shortest) = read_time(&mut bits).ok_or_else(|| exhausted(&bits, base))?;
        canonical &= shortest;
        delta = delta.wrapping_add(change as u64);
        time = time.wrapping_add(delta as i64);
        let value = column
            .read(&mut bits)
            .map_err(|fault| value_fault(fault, &bits, base))?;
        visit(FloatSample {
            time,
            start: 0,
            bits: value,
        });
    }
    Ok(Shape {
        samples,
        canonical: canonical && column.canonical,
        tail: tail(&bits),
    })
}

/// Reads a delta of delta, and whether its code was the shortest.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "half of the innermost loop of decoding floats"
)]
fn read_time(bits: &mut BitReader<'_>) -> Option<(i64, bool)> {
    bits.refill();
    let (buffer, held) = bits.peek();
    let ones = buffer.leading_ones();
    let Some(&width) = TIME_BITS.get(ones as usize) else {
        return read_long_time(bits);
    };
    let used = ones + 1 + width;
    if used > held {
        return None;
    }
    let raw = (buffer << (ones + 1) >> 1 >> (63 - width)) as i64;
    bits.consume(used);
    // The pattern 100…0 is +2^(width−1), unlike two's complement.
    let half = (1i64 << width) >> 1;
    let change = if raw > half { raw - (1 << width) } else { raw };
    // A code is too long when a shorter one holds the value: below ±2^13 for 17 bits, ±2^16 for 20, and 0 for 14.
    let floor: i64 = match ones {
        0 => 0,
        1 => 1,
        2 => (1 << 13) + i64::from(change > 0),
        _ => (1 << 16) + i64::from(change > 0),
    };
    Some((change, change.abs() >= floor))
}

/// Reads the 64-bit form, after `1111`.
#[cold]
fn read_long_time(bits: &mut BitReader<'_>) -> Option<(i64, bool)> {
    bits.bits(4)?;
    let change = bits.bits(64)? as i64;
    Some((change, !(-((1 << 19) - 1)..=1 << 19).contains(&change)))
}

/// Whether the zig-zag varint just read from the start of the stream had the minimal length.
fn is_minimal(bits: &BitReader<'_>, start: u64, value: i64) -> bool {
    (bits.position() - start) / 8 == uvarint_len(crate::raw::varint::zigzag(value))
}

/// Bytes of the minimal LEB128 form.
pub(super) fn uvarint_len(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).max(1).div_ceil(7))
}

/// Puts a place to a value that could not be read.
#[cold]
pub(super) fn value_fault(fault: ValueFault, bits: &BitReader<'_>, base: u64) -> Malformed {
    let (wanted, found) = fault.words();
    Malformed::unexpected(
        DATA,
        base + bits.position() / 8,
        "a value with",
        wanted,
        found,
    )
}
