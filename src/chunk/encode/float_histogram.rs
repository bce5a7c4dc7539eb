//! Encodings 3 and 6, native histograms with float counts (Prometheus
//! `chunkenc/float_histogram.go`, `float_histogram_st.go`).

use super::histogram_frame::{Frame, as_written};
use super::xor_column::XorColumn;
use crate::error::Result;
use crate::model::HistogramSample;

/// Encodes float histograms as chunk data. All samples of a chunk share layout and counter-reset
/// header.
#[derive(Clone, Debug)]
pub struct FloatHistogramEncoder {
    frame: Frame,
    /// Count, zero count and sum, then the positive buckets, then the negative ones.
    columns: Vec<XorColumn>,
}

impl FloatHistogramEncoder {
    /// An encoder for one chunk of encoding 6 if `with_starts`, else of encoding 3, which has no
    /// start timestamps.
    pub fn new(with_starts: bool) -> Self {
        FloatHistogramEncoder {
            frame: Frame::new(with_starts),
            columns: Vec::new(),
        }
    }

    /// Appends a sample.
    ///
    /// # Errors
    ///
    /// As [`super::HistogramEncoder::push`].
    pub fn push(&mut self, sample: &HistogramSample<'_, u64>) -> Result<()> {
        let first = self.frame.samples() == 0;
        self.frame.begin(sample)?;
        let sample = &as_written(sample);
        let out = &mut self.frame.out;
        if first {
            self.columns = columns(sample).map(XorColumn::new).collect();
            for value in columns(sample) {
                out.bits(value, 64);
            }
        } else {
            for (column, value) in self.columns.iter_mut().zip(columns(sample)) {
                column.write(out, value);
            }
        }
        self.frame.end(sample);
        Ok(())
    }

    /// Samples so far.
    pub fn samples(&self) -> u16 {
        self.frame.samples()
    }

    /// Size of the data so far, in bytes.
    pub fn size(&self) -> usize {
        self.frame.out.len()
    }

    /// The chunk's data.
    pub fn finish(self) -> Vec<u8> {
        self.frame.finish()
    }
}

/// All values of a sample in the order of the columns.
fn columns<'a>(sample: &HistogramSample<'a, u64>) -> impl Iterator<Item = u64> + use<'a> {
    [sample.count, sample.zero_count, sample.sum]
        .into_iter()
        .chain(sample.positive.iter().chain(sample.negative).copied())
}
