//! Encoding 1, XOR: `u16 count`, then a bit stream of timestamps as delta of delta and values as
//! XOR.
//!
//! This is where narthex spends its time, so the loop is built for the processor: the bulk of a
//! chunk is read with loads that need no bounds decision, its last bytes from a copy with zeros
//! behind them, so that one check per sample finds a stream that ends early; runs of unchanged
//! samples are counted, not read one by one; and what a processor would guess wrong (a time code of
//! 1 or 16 bits) is computed instead of branched on.

use super::xor_column::{ValueFault, XorColumn};
use super::{DATA, Shape, VisitFloats, exhausted_at, tail};
use crate::model::{FloatSample, Millis};
use crate::raw::{BitReader, Malformed, Reader, Work, run, varint};

/// Payload bits after 2 and 3 leading ones of a timestamp code; four ones mean 64 bits.
const LONGER_TIME_BITS: [(u32, u32); 2] = [(17, 14), (20, 17)];

/// One sample never takes more bytes than this: 68 bits of time, 77 of value.
const SAMPLE_BYTES: usize = 19;
/// The last bytes of a chunk are decoded from a copy of this size, with at least 8 bytes of zeros
/// behind them.
const END_BYTES: usize = 64;

/// Lends every sample to `visit`, which stays in registers if it is small, and hands it back.
#[inline]
pub(super) fn decode<V: VisitFloats>(
    data: &[u8],
    at: u64,
    visit: V,
) -> Result<(Shape, V), Malformed> {
    run(Decode { data, at, visit })
}

/// A chunk that is being decoded.
struct Decode<'a, V> {
    data: &'a [u8],
    at: u64,
    visit: V,
}

impl<V: VisitFloats> Work for Decode<'_, V> {
    type Done = Result<(Shape, V), Malformed>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) -> Self::Done {
        decode_with(self.data, self.at, self.visit)
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
fn decode_with<V: VisitFloats>(
    data: &[u8],
    at: u64,
    mut visit: V,
) -> Result<(Shape, V), Malformed> {
    let mut header = Reader::new(data, at, DATA);
    let samples = u32::from(header.u16()?);
    let base = header.offset();
    let stream = header.rest();
    if samples == 0 {
        return Ok((shape(samples, true, &BitReader::new(stream)), visit));
    }
    let (mut state, used) = State::read_first(stream, base, samples)?;
    visit.first(state.sample());
    if samples == 1 {
        let mut bits = BitReader::new(stream);
        bits.skip(used as u64 * 8);
        return Ok((shape(samples, state.canonical, &bits), visit));
    }
    let mut bits;
    (state, bits) = state.read_second(stream, used, base)?;
    visit.sample(state.sample());

    // The bulk, as long as no sample can reach the end …
    let margin = SAMPLE_BYTES + 8;
    (state, bits, visit) = state.run(bits, (stream.len(), margin), base, visit)?;
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
    let base = base + done / 8;
    (state, short, visit) = state.run(short, (rest.len(), 0), base, visit)?;

    let mut rest = BitReader::new(rest);
    rest.skip(short.position());
    let canonical = state.canonical && state.column.canonical;
    Ok((shape(samples, canonical, &rest), visit))
}

fn shape(samples: u32, canonical: bool, rest: &BitReader<'_>) -> Shape {
    Shape {
        samples,
        canonical,
        xor2_writer: None,
        tail: tail(rest),
    }
}

/// What one sample hands to the next. It goes from hand to hand by value, so that it can stay in
/// registers.
#[derive(Clone, Copy)]
struct State {
    time: Millis,
    delta: u64,
    column: XorColumn,
    canonical: bool,
    /// Samples still to come.
    left: u32,
}

impl State {
    /// The first sample, both numbers in full; and how many bytes they take.
    #[inline]
    fn read_first(stream: &[u8], base: u64, samples: u32) -> Result<(Self, usize), Malformed> {
        let cut = |at: usize| exhausted_at(base + at as u64);
        let (time, time_len) = varint::read_uvarint(stream).ok_or_else(|| cut(0))?;
        let value = stream
            .get(time_len..)
            .and_then(<[u8]>::first_chunk)
            .ok_or_else(|| cut(time_len))?;
        let canonical = time_len as u64 == varint::uvarint_len(time);
        let state = State {
            time: varint::unzigzag(time),
            delta: 0,
            column: XorColumn::new(u64::from_be_bytes(*value)),
            canonical,
            left: samples - 1,
        };
        Ok((state, time_len + 8))
    }

    /// The second sample, `used` bytes from the beginning: its distance in time in full, and its
    /// value.
    #[inline(never)]
    fn read_second(
        mut self,
        stream: &[u8],
        used: usize,
        base: u64,
    ) -> Result<(Self, BitReader<'_>), Malformed> {
        let rest = stream.get(used..).unwrap_or_default();
        let (delta, len) =
            varint::read_uvarint(rest).ok_or_else(|| exhausted_at(base + used as u64))?;
        self.canonical &= len as u64 == varint::uvarint_len(delta);
        self.delta = delta;
        self.time = self.time.wrapping_add(self.delta as Millis);
        let mut bits = BitReader::new(stream);
        bits.skip((used + len) as u64 * 8);
        self.column
            .read(&mut bits)
            .map_err(|fault| value_fault(fault, &bits, base))?;
        self.left -= 1;
        Ok((self, bits))
    }

    fn sample(&self) -> FloatSample {
        sample(self.time, self.column.value)
    }

    /// Reads samples as long as there are any, and `margin` bytes of the stream's `len` are left.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only inlined code has state in registers"
    )]
    fn run<V: VisitFloats>(
        mut self,
        mut bits: BitReader<'_>,
        (len, margin): (usize, usize),
        base: u64,
        mut visit: V,
    ) -> Result<(Self, BitReader<'_>, V), Malformed> {
        let end = len as u64 * 8;
        while self.left > 0 && bits.loaded() + margin <= len + 8 {
            bits.refill();
            let (buffer, held) = bits.peek();
            if buffer >> 48 == 0 && held >= 16 {
                // Two zero bits are a sample with the same interval and the same value.
                let mut zeros = buffer.leading_zeros().min(held);
                if margin == 0 {
                    let rest = end.saturating_sub(bits.position());
                    zeros = zeros.min(u32::try_from(rest).unwrap_or(64));
                }
                let run = (zeros / 2).min(self.left);
                if run == 0 {
                    return Err(exhausted_at(base + bits.position() / 8));
                }
                bits.consume(run * 2);
                self.left -= run;
                visit.repeat(self.sample(), self.delta, run);
                self.time = self
                    .time
                    .wrapping_add(self.delta.wrapping_mul(u64::from(run)) as Millis);
                continue;
            }
            let change = if buffer >> 62 == 0b11 {
                let (after, read) = read_longer_time(bits);
                bits = after;
                let (change, shortest) =
                    read.ok_or_else(|| exhausted_at(base + bits.position() / 8))?;
                self.canonical &= shortest;
                change
            } else {
                // `0`, or `10` and 14 bits: masked, not branched, as processors guess it wrong too
                // often.
                let long = buffer >> 63;
                let raw = ((buffer << 2 >> 50) & long.wrapping_neg()) as i64;
                bits.consume(if long == 0 { 1 } else { 16 });
                self.canonical &= long == 0 || raw != 0;
                raw - (i64::from(raw > 1 << 13) << 14)
            };
            self.delta = self.delta.wrapping_add(change as u64);
            let value = self.column.read_prepared(&mut bits);
            self.time = self.time.wrapping_add(self.delta as Millis);
            if margin == 0 && bits.position() > end {
                return Err(exhausted_at(base + bits.position() / 8));
            }
            if let Err(fault) = value {
                return Err(value_fault_at(fault, base + bits.position() / 8));
            }
            self.left -= 1;
            visit.sample(self.sample());
        }
        Ok((self, bits, visit))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "once for every sample")]
fn sample(time: Millis, bits: u64) -> FloatSample {
    FloatSample {
        time,
        start: 0,
        bits,
    }
}

/// Reads a delta of delta of 17, 20 or 64 bits, after `110`, `1110` or `1111`, and whether that
/// code was the shortest.
#[cold]
#[inline(never)]
fn read_longer_time(mut bits: BitReader<'_>) -> (BitReader<'_>, Option<(i64, bool)>) {
    let read = longer_time(&mut bits);
    (bits, read)
}

fn longer_time(bits: &mut BitReader<'_>) -> Option<(i64, bool)> {
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

/// Whether `change` has a place in the signed code of `width` bits, which is not quite two's
/// complement.
fn fits(change: i64, width: u32) -> bool {
    let half = 1i64 << (width - 1);
    (-(half - 1)..=half).contains(&change)
}

/// Puts a place to a value that could not be read.
#[cold]
pub(super) fn value_fault(fault: ValueFault, bits: &BitReader<'_>, base: u64) -> Malformed {
    value_fault_at(fault, base + bits.position() / 8)
}

#[cold]
fn value_fault_at(fault: ValueFault, offset: u64) -> Malformed {
    let (wanted, found) = fault.words();
    Malformed::unexpected(DATA, offset, "a value with", wanted, found)
}
