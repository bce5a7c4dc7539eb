//! Encoding 1, XOR (Prometheus `chunkenc/xor.go`).

use super::varbit::fits;
use super::xor_column::{Code, XorColumn};
use super::{next_count, too_many};
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::raw::{BitWriter, FastBits};

/// Encodes float samples as XOR chunk data.
#[derive(Clone, Debug)]
pub struct XorEncoder {
    out: BitWriter,
    /// Where the chunk begins in `out`.
    start: usize,
    samples: u16,
    time: Millis,
    delta: i64,
    values: XorColumn,
}

impl Default for XorEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl XorEncoder {
    /// An encoder for one chunk.
    pub fn new() -> Self {
        Self::after(Vec::new())
    }

    /// An encoder for one chunk, whose data is appended to `before`.
    pub fn after(before: Vec<u8>) -> Self {
        let start = before.len();
        let mut bytes = before;
        bytes.extend_from_slice(&[0; 2]);
        XorEncoder {
            out: BitWriter::after(bytes),
            start,
            samples: 0,
            time: 0,
            delta: 0,
            values: XorColumn::new(0),
        }
    }

    /// Appends a sample; `bits` is the value as IEEE-754 bits.
    ///
    /// # Errors
    ///
    /// When the chunk holds 65,535 samples already.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    pub fn push(&mut self, time: Millis, bits: u64) -> Result<()> {
        let samples = next_count(self.samples, u16::MAX)?;
        let delta = time.wrapping_sub(self.time);
        match self.samples {
            0 => {
                self.out.varint(time);
                self.out.bits(bits, 64);
                self.values = XorColumn::new(bits);
            }
            1 => {
                self.out.uvarint(delta as u64);
                self.values.write(&mut self.out, bits);
            }
            _ => {
                write_change_of_delta(&mut self.out, delta.wrapping_sub(self.delta));
                self.values.write(&mut self.out, bits);
            }
        }
        self.samples = samples;
        self.time = time;
        self.delta = delta;
        Ok(())
    }

    /// Appends the samples of a whole chunk: `times`, and as many values, to an encoder that has none yet.
    ///
    /// # Errors
    ///
    /// When there are more than 65,535, or more of one than of the other.
    pub fn push_all(&mut self, times: &TimeCodes, values: &[u64]) -> Result<()> {
        if times.codes.len() != values.len() || self.samples > 0 {
            return Err(Error::invalid("expected as many values as times"));
        }
        self.samples = u16::try_from(values.len()).map_err(|_| too_many(u16::MAX))?;
        let mut push = || {
            let mut pairs = times.codes.iter().zip(values);
            if let Some((_, first)) = pairs.next() {
                self.out.varint(times.first);
                self.out.bits(*first, 64);
                self.values = XorColumn::new(*first);
            }
            if let Some((_, second)) = pairs.next() {
                self.out.uvarint(times.delta);
                self.values.write(&mut self.out, *second);
            }
            for (code, value) in pairs {
                self.values.write_behind(&mut self.out, *code, *value);
            }
        };
        match FastBits::find() {
            Some(fast) => fast.run(push),
            None => push(),
        }
        Ok(())
    }

    /// Samples so far.
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// Size of the data so far, in bytes.
    pub fn size(&self) -> usize {
        self.out.len() - self.start
    }

    /// The chunk's data, behind what it was appended to.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.out.finish();
        if let Some(header) = bytes.get_mut(self.start..self.start + 2) {
            header.copy_from_slice(&self.samples.to_be_bytes());
        }
        bytes
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

/// The code of a change of delta; one of 68 bits has its 64 low bits here, and its `1111` is understood.
fn change_of_delta(change: i64) -> Code {
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

fn write_change_of_delta(out: &mut BitWriter, change: i64) {
    change_of_delta(change).write(out);
}
