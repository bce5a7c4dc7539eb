//! Encoding 4, XOR2 (Prometheus `chunkenc/xor2.go`): floats with optional start timestamps. One
//! control code says both how the time went on and, in the common cases, what became of the value.

use super::start::StartColumn;
use super::xor_column::{Code, XorColumn};
use super::{next_count, with_header};
use crate::chunk::window::Xor2Writer;
use crate::error::Result;
use crate::model::{FloatSample, Millis, STALE_NAN};
use crate::raw::BitWriter;

/// Encodes float samples with start timestamps as XOR2 chunk data.
#[derive(Clone, Debug)]
pub struct Xor2Encoder {
    out: BitWriter,
    samples: u16,
    time: Millis,
    delta: i64,
    /// Chooses the windows of values.
    writer: Xor2Writer,
    /// Values other than stale markers, which are written beside this column.
    values: XorColumn,
    starts: StartColumn,
}

impl Xor2Encoder {
    /// An encoder for one chunk that takes the decisions of `writer`.
    pub fn new(writer: Xor2Writer) -> Self {
        Xor2Encoder {
            out: BitWriter::after(vec![0; 3]),
            samples: 0,
            time: 0,
            delta: 0,
            writer,
            values: XorColumn::new(0),
            starts: StartColumn::default(),
        }
    }

    /// Appends a sample.
    ///
    /// # Errors
    ///
    /// When the chunk holds 65,535 samples already.
    #[inline]
    pub fn push(&mut self, sample: FloatSample) -> Result<()> {
        let FloatSample { time, start, bits } = sample;
        let samples = next_count(self.samples, u16::MAX)?;
        let delta = time.wrapping_sub(self.time);
        match self.samples {
            0 => self.write_first(time, bits),
            1 => {
                self.out.uvarint(delta as u64);
                self.write_value(bits);
            }
            _ => self.write_joint(delta.wrapping_sub(self.delta), bits),
        }
        if self.samples == 0 {
            self.starts.write_first(&mut self.out, time, start);
        } else {
            self.starts
                .write(&mut self.out, self.samples, self.time, start);
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
        let [high, low] = self.samples.to_be_bytes();
        with_header(self.out, &[high, low, self.starts.header()])
    }

    fn write_first(&mut self, time: Millis, bits: u64) {
        self.out.varint(time);
        self.out.bits(bits, 64);
        // A stale first value leaves the baseline that later values are coded against at zero.
        if bits != STALE_NAN {
            self.values = XorColumn::new(bits);
        }
    }

    /// Writes the joint control code of a sample from the third on, and its value.
    #[inline]
    fn write_joint(&mut self, change: i64, bits: u64) {
        let out = &mut self.out;
        match change {
            0 if bits == STALE_NAN => return out.bits(0b11111, 5),
            0 if bits == self.values.value => return out.bit(false),
            0 => {
                let codes = [Code(0b100, 3), Code(0b101, 3)];
                return self.values.write_change(out, bits, codes, self.writer);
            }
            // Plain two's complement here, unlike encoding 1.
            -0x1000..=0xfff => {
                out.bits(0b110, 3);
                out.bits(change as u64, 13);
            }
            -0x8_0000..=0x7_ffff => {
                out.bits(0b1110, 4);
                out.bits(change as u64, 20);
            }
            _ => {
                out.bits(0b11110, 5);
                out.bits(change as u64, 64);
            }
        }
        self.write_value(bits);
    }

    /// Writes a value: `111` stale, `0` as the baseline, `10` in the window before, `110` in a new
    /// one.
    fn write_value(&mut self, bits: u64) {
        if bits == STALE_NAN {
            self.out.bits(0b111, 3);
        } else if bits == self.values.value {
            self.out.bit(false);
        } else {
            let codes = [Code(0b10, 2), Code(0b110, 3)];
            self.values
                .write_change(&mut self.out, bits, codes, self.writer);
        }
    }
}
