//! Encoding 1, XOR (Prometheus `chunkenc/xor.go`).

use super::xor_chunks::change_of_delta;
use super::xor_column::XorColumn;
use super::{next_count, with_header};
use crate::error::Result;
use crate::model::Millis;
use crate::raw::BitWriter;

/// Encodes float samples as XOR chunk data.
#[derive(Clone, Debug)]
pub struct XorEncoder {
    out: BitWriter,
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
        XorEncoder {
            out: BitWriter::after(vec![0; 2]),
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

    /// Samples so far.
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// Size of the data so far, in bytes.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// The chunk's data.
    pub fn finish(self) -> Vec<u8> {
        with_header(self.out, &self.samples.to_be_bytes())
    }
}

fn write_change_of_delta(out: &mut BitWriter, change: i64) {
    change_of_delta(change).write(out);
}
