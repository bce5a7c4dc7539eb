//! Encoding 1, XOR: `u16 count`, then a bit stream of timestamps as delta of delta and values as XOR.
//!
//! This is where narthex spends its time, so the loop is built for the processor: the bulk of a chunk is read
//! with loads that need no bounds decision, its last bytes from a copy with zeros behind them, so that one check
//! per sample finds a stream that ends early; runs of unchanged samples are counted, not read one by one;
//! and what a processor would guess wrong (a time code of 1 or 16 bits) is computed instead of branched on.

use super::xor_column::{ValueFault, XorColumn};
use super::{DATA, Shape, exhausted, tail};
use crate::model::{FloatSample, Millis};
use crate::raw::{BitReader, Malformed, Reader, varint};

/// Payload bits after 2 and 3 leading ones of a timestamp code; four ones mean 64 bits.
const LONGER_TIME_BITS: [(u32, u32); 2] = [(17, 14), (20, 17)];

/// One sample never takes more bytes than this: 68 bits of time, 77 of value.
const SAMPLE_BYTES: usize = 19;
/// The last bytes of a chunk are decoded from a copy of this size, with at least 8 bytes of zeros behind them.
const END_BYTES: usize = 64;

pub(super) fn decode(
    data: &[u8],
    at: u64,
    mut visit: impl FnMut(FloatSample),
) -> Result<Shape, Malformed> {
    let mut header = Reader::new(data, at, DATA);
    let samples = u32::from(header.u16()?);
    let base = header.offset();
    let stream = header.rest();
    let mut bits = BitReader::new(stream);
    if samples == 0 {
        return Ok(Shape {
            samples,
            canonical: true,
            tail: tail(&bits),
        });
    }
    let mut state = State::read_first(&mut bits, base, samples)?;
    visit(state.sample());
    if samples == 1 {
        return Ok(Shape {
            samples,
            canonical: state.canonical,
            tail: tail(&bits),
        });
    }
    state.read_second(&mut bits, base)?;
    visit(state.sample());

    // The bulk, as long as no sample can reach the end …
    state.run(&mut bits, stream.len(), SAMPLE_BYTES + 8, base, &mut visit)?;
    // … and the end, from a copy. `done` bits of the stream lie before it.
    let done = bits.position();
    let rest = usize::try_from(done / 8)
        .ok()
        .and_then(|from| stream.get(from..))
        .unwrap_or_default();
    let mut end = [0u8; END_BYTES];
    let mut short = match end
        .get_mut(..rest.len())
        .filter(|_| rest.len() + 8 <= END_BYTES)
    {
        Some(copy) => {
            copy.copy_from_slice(rest);
            BitReader::new(&end)
        }
        // All samples are read and much is left: that is for `tail` to say.
        None => BitReader::new(rest),
    };
    short.skip(done % 8);
    state.run(&mut short, rest.len(), 0, base + done / 8, &mut visit)?;

    let mut rest = BitReader::new(rest);
    rest.skip(short.position());
    let canonical = state.canonical && state.column.canonical;
    Ok(Shape {
        samples,
        canonical,
        tail: tail(&rest),
    })
}

/// What one sample hands to the next.
struct State {
    time: Millis,
    delta: u64,
    column: XorColumn,
    canonical: bool,
    /// Samples still to come.
    left: u32,
}

impl State {
    /// The first sample: both numbers in full.
    fn read_first(bits: &mut BitReader<'_>, base: u64, samples: u32) -> Result<Self, Malformed> {
        let time = bits.varint().ok_or_else(|| exhausted(bits, base))?;
        let canonical = bits.position() / 8 == varint::uvarint_len(varint::zigzag(time));
        let first = bits.bits(64).ok_or_else(|| exhausted(bits, base))?;
        let column = XorColumn::new(first);
        Ok(State {
            time,
            delta: 0,
            column,
            canonical,
            left: samples - 1,
        })
    }

    /// The second sample: its distance in time in full.
    fn read_second(&mut self, bits: &mut BitReader<'_>, base: u64) -> Result<(), Malformed> {
        let before = bits.position();
        self.delta = bits.uvarint().ok_or_else(|| exhausted(bits, base))?;
        self.canonical &= (bits.position() - before) / 8 == varint::uvarint_len(self.delta);
        self.time = self.time.wrapping_add(self.delta as Millis);
        self.column
            .read(bits)
            .map_err(|fault| value_fault(fault, bits, base))?;
        self.left -= 1;
        Ok(())
    }

    fn sample(&self) -> FloatSample {
        FloatSample {
            time: self.time,
            start: 0,
            bits: self.column.value,
        }
    }

    /// Reads samples as long as there are any, and `margin` bytes of the stream's `len` are left.
    #[inline]
    fn run(
        &mut self,
        bits: &mut BitReader<'_>,
        len: usize,
        margin: usize,
        base: u64,
        visit: &mut impl FnMut(FloatSample),
    ) -> Result<(), Malformed> {
        let end = len as u64 * 8;
        while self.left > 0 && bits.loaded() + margin <= len + 8 {
            bits.refill();
            let (buffer, held) = bits.peek();
            if buffer >> 48 == 0 && held >= 16 {
                // Two zero bits are a sample with the same interval and the same value.
                let left = end.saturating_sub(bits.position());
                let zeros = buffer
                    .leading_zeros()
                    .min(held)
                    .min(u32::try_from(left).unwrap_or(64));
                let run = (zeros / 2).min(self.left);
                if run == 0 {
                    return Err(exhausted(bits, base));
                }
                bits.consume(run * 2);
                self.left -= run;
                for _ in 0..run {
                    self.time = self.time.wrapping_add(self.delta as Millis);
                    visit(self.sample());
                }
                continue;
            }
            let change = if buffer >> 62 == 0b11 {
                let (change, shortest) =
                    read_longer_time(bits).ok_or_else(|| exhausted(bits, base))?;
                self.canonical &= shortest;
                change
            } else {
                // `0`, or `10` and 14 bits: masked, not branched, as processors guess it wrong too often.
                let long = buffer >> 63;
                let raw = ((buffer << 2 >> 50) & long.wrapping_neg()) as i64;
                bits.consume(if long == 0 { 1 } else { 16 });
                self.canonical &= long == 0 || raw != 0;
                raw - (i64::from(raw > 1 << 13) << 14)
            };
            self.delta = self.delta.wrapping_add(change as u64);
            let value = self.column.read_prepared(bits);
            self.time = self.time.wrapping_add(self.delta as Millis);
            if bits.position() > end {
                return Err(exhausted(bits, base));
            }
            value.map_err(|fault| value_fault(fault, bits, base))?;
            self.left -= 1;
            visit(self.sample());
        }
        Ok(())
    }
}

/// Reads a delta of delta of 17, 20 or 64 bits, after `110`, `1110` or `1111`, and whether that code was the
/// shortest.
#[cold]
fn read_longer_time(bits: &mut BitReader<'_>) -> Option<(i64, bool)> {
    let ones = bits.ones(4)?;
    let Some(&(width, below)) = LONGER_TIME_BITS.get(ones.saturating_sub(2) as usize) else {
        let change = bits.bits(64)? as i64;
        bits.refill();
        return Some((change, !fits(change, 20)));
    };
    let raw = bits.bits(width)? as i64;
    bits.refill();
    // The pattern 100…0 is +2^(width−1), unlike two's complement.
    let change = if raw > 1 << (width - 1) {
        raw - (1 << width)
    } else {
        raw
    };
    Some((change, !fits(change, below)))
}

/// Whether `change` has a place in the signed code of `width` bits, which is not quite two's complement.
fn fits(change: i64, width: u32) -> bool {
    let half = 1i64 << (width - 1);
    (-(half - 1)..=half).contains(&change)
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
