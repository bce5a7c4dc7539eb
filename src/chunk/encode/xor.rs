//! Encoding 1, XOR (Prometheus `chunkenc/xor.go`).

use super::next_count;
use super::varbit::fits;
use super::xor_column::XorColumn;
use crate::error::Result;
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

    /// Appends samples, as many as there are both times and values.
    ///
    /// # Errors
    ///
    /// As [`XorEncoder::push`].
    pub fn push_all(&mut self, times: &[Millis], values: &[u64]) -> Result<()> {
        let mut push = || {
            times
                .iter()
                .zip(values)
                .try_for_each(|(time, bits)| self.push(*time, *bits))
        };
        match FastBits::find() {
            Some(fast) => fast.run(push),
            None => push(),
        }
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

#[inline]
fn write_change_of_delta(out: &mut BitWriter, change: i64) {
    if change == 0 {
        return out.bit(false);
    }
    for (prefix, prefix_width, width) in [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
        if fits(change, width) {
            out.bits(prefix, prefix_width);
            return out.bits(change as u64, width);
        }
    }
    out.bits(0b1111, 4);
    out.bits(change as u64, 64);
}
