//! Whole XOR chunks at a time: the same bits as [`XorEncoder`](super::XorEncoder) writes, several
//! times as fast.

use super::too_many;
use super::varbit::fits;
use super::xor_column::Code;
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::raw::varint::{MAX_LEN, zigzag};
use crate::raw::{BitSink, Work, run};

/// More leading zeros than this are not counted: the field has five bits.
const MAX_LEADING: u32 = 31;
/// Sample count, first time, first value and second time never take more bytes than this.
const HEAD_BYTES: usize = 2 + MAX_LEN + 8 + MAX_LEN;
/// A sample never takes more: 68 bits of time, 77 of value.
const SAMPLE_BYTES: usize = 19;

/// Encodes XOR chunks, one after the other.
#[derive(Clone, Debug, Default)]
pub struct XorChunks {
    /// The chunk before; kept for its room.
    buffer: Vec<u8>,
}

impl XorChunks {
    /// The data of a chunk of `times` and as many values.
    ///
    /// # Errors
    ///
    /// When there are more than 65,535, or more of one than of the other.
    pub fn encode(&mut self, times: &TimeCodes, values: &[u64]) -> Result<&[u8]> {
        if times.codes.len() != values.len() {
            return Err(Error::invalid("expected as many values as times"));
        }
        let samples = u16::try_from(values.len()).map_err(|_| too_many(u16::MAX))?;
        let room = HEAD_BYTES + values.len() * SAMPLE_BYTES + BitSink::SLACK;
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let length = run(Chunk {
            samples,
            times,
            values,
            out: &mut self.buffer,
        });
        Ok(self.buffer.get(..length).unwrap_or_default())
    }
}

/// The times of a chunk as they are written: the same for all series that were scraped together.
#[derive(Clone, Debug, Default)]
pub struct TimeCodes {
    /// Time of the first sample, and from there to the second.
    first: Millis,
    delta: u64,
    /// For every sample the code of its time; those of the first two stand for nothing.
    codes: Vec<Code>,
}

impl TimeCodes {
    /// The codes of `times`.
    pub fn new(times: &[Millis]) -> Self {
        let mut codes = Vec::with_capacity(times.len());
        let (mut time, mut delta) = (0, 0);
        for (at, next) in times.iter().enumerate() {
            let step = next.wrapping_sub(time);
            codes.push(if at < 2 {
                Code(0, 0)
            } else {
                change_of_delta(step.wrapping_sub(delta))
            });
            (time, delta) = (*next, step);
        }
        let first = times.first().copied().unwrap_or(0);
        TimeCodes {
            first,
            delta: times.get(1).map_or(0, |second| second.wrapping_sub(first)) as u64,
            codes,
        }
    }
}

/// The code of a change of delta; one of 68 bits has its 64 low bits here, and its `1111` is
/// understood.
pub(super) fn change_of_delta(change: i64) -> Code {
    if change == 0 {
        return Code(0, 1);
    }
    for (prefix, prefix_width, width) in [(0b10u64, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
        if fits(change, width) {
            let low = change as u64 & ((1 << width) - 1);
            return Code(prefix << width | low, prefix_width + width);
        }
    }
    Code(change as u64, 68)
}

/// A chunk that is being encoded.
struct Chunk<'a> {
    samples: u16,
    times: &'a TimeCodes,
    values: &'a [u64],
    out: &'a mut [u8],
}

impl Work for Chunk<'_> {
    /// Length of the chunk in bytes.
    type Done = usize;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) -> usize {
        let mut sink = BitSink::new(self.out);
        sink.bits(u64::from(self.samples), 16);
        let mut pairs = self.times.codes.iter().zip(self.values);
        if let Some((_, first)) = pairs.next() {
            write_uvarint(&mut sink, zigzag(self.times.first));
            sink.long_bits(*first, 64);
        }
        let mut before = self.values.first().copied().unwrap_or(0);
        let mut window = Window::NONE;
        if let Some((_, second)) = pairs.next() {
            write_uvarint(&mut sink, self.times.delta);
            window = window.write(&mut sink, Code(0, 0), *second ^ before);
            before = *second;
        }
        for (time, value) in pairs {
            window = window.write(&mut sink, *time, *value ^ before);
            before = *value;
        }
        sink.len()
    }
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "only inlined code has the sink in registers"
)]
fn write_uvarint(sink: &mut BitSink<'_>, mut value: u64) {
    while value >= 0x80 {
        sink.bits(value & 0x7f | 0x80, 8);
        value >>= 7;
    }
    sink.bits(value, 8);
}

/// The bits of a change that are written: all but so many at either end.
#[derive(Clone, Copy)]
struct Window {
    leading: u32,
    trailing: u32,
}

impl Window {
    /// Before the first one: no change has so many leading zeros.
    const NONE: Window = Window {
        leading: 64,
        trailing: 0,
    };

    /// Writes the code of a time and a change of value, and returns the window that is open then.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only inlined code has it in registers"
    )]
    fn write(self, sink: &mut BitSink<'_>, time: Code, change: u64) -> Window {
        let Code(mut bits, mut width) = time;
        if width > 24 {
            sink.bits(0b1111, 4);
            sink.long_bits(bits, 64);
            (bits, width) = (0, 0);
        }
        if change == 0 {
            sink.bits(bits << 1, width + 1);
            return self;
        }
        let exact = Window {
            leading: change.leading_zeros().min(MAX_LEADING),
            trailing: change.trailing_zeros(),
        };
        let window = if exact.leading >= self.leading && exact.trailing >= self.trailing {
            (bits, width) = (bits << 2 | 0b10, width + 2);
            self
        } else {
            // 64 does not fit the six bits of the width and becomes 0.
            let header = u64::from(exact.leading) << 6 | u64::from(exact.width() & 63);
            (bits, width) = ((bits << 2 | 0b11) << 11 | header, width + 13);
            exact
        };
        let change = change >> window.trailing;
        if width + window.width() <= 56 {
            sink.bits(bits << window.width() | change, width + window.width());
        } else {
            sink.bits(bits, width);
            sink.long_bits(change, window.width());
        }
        window
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as above")]
    fn width(self) -> u32 {
        64 - self.leading - self.trailing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::encode::XorEncoder;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_at_once_are_those_of_the_encoder(samples in prop::collection::vec((
            prop_oneof![Just(1000i64), -9000..9000i64, -600_000..600_000i64, any::<i64>()],
            prop_oneof![Just(0u64), (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift), (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits << shift)],
        ), 0..130)) {
            let mut encoder = XorEncoder::new();
            let (mut times, mut values) = (Vec::new(), Vec::new());
            let (mut time, mut value) = (0i64, 0u64);
            for (step, change) in samples {
                time = time.wrapping_add(step);
                value ^= change;
                encoder.push(time, value).unwrap();
                times.push(time);
                values.push(value);
            }
            let mut chunks = XorChunks::default();
            let data = chunks.encode(&TimeCodes::new(&times), &values).unwrap();
            prop_assert_eq!(data, encoder.finish());
        }
    }
}
