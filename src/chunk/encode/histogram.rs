//! Encodings 2 and 5, native histograms with integer counts (Prometheus `chunkenc/histogram.go`,
//! `histogram_st.go`).

use super::delta_column::DeltaColumn;
use super::histogram_frame::{Frame, as_written};
use super::varbit::{write_signed, write_unsigned};
use super::xor_column::XorColumn;
use crate::error::Result;
use crate::model::HistogramSample;
use crate::raw::BitWriter;

/// Encodes integer histograms as chunk data. All samples of a chunk share layout and counter-reset
/// header.
#[derive(Clone, Debug)]
pub struct HistogramEncoder {
    frame: Frame,
    columns: Columns,
}

/// The counts of a chunk.
#[derive(Clone, Debug)]
struct Columns {
    count: DeltaColumn,
    zero_count: DeltaColumn,
    sum: XorColumn,
    /// The positive buckets, then the negative ones.
    buckets: Vec<DeltaColumn>,
}

impl HistogramEncoder {
    /// An encoder for one chunk of encoding 5 if `with_starts`, else of encoding 2, which has no
    /// start timestamps.
    pub fn new(with_starts: bool) -> Self {
        HistogramEncoder {
            frame: Frame::new(with_starts),
            columns: Columns {
                count: DeltaColumn::default(),
                zero_count: DeltaColumn::default(),
                sum: XorColumn::new(0),
                buckets: Vec::new(),
            },
        }
    }

    /// Appends a sample.
    ///
    /// # Errors
    ///
    /// When the sample belongs into a new chunk: another layout or counter-reset header, a start
    /// timestamp that encoding 2 cannot hold, values after a stale marker, or a chunk that is
    /// full. Nothing has been written then.
    pub fn push(&mut self, sample: &HistogramSample<'_, i64>) -> Result<()> {
        let first = self.frame.samples() == 0;
        self.frame.begin(sample)?;
        let sample = &as_written(sample);
        let out = &mut self.frame.out;
        match (first, sample.is_stale()) {
            (true, _) => self.columns.write_first(out, sample),
            (false, true) => self.columns.write_stale(out, sample.sum),
            (false, false) => self.columns.write_next(out, sample),
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

impl Columns {
    fn write_first(&mut self, out: &mut BitWriter, sample: &HistogramSample<'_, i64>) {
        write_unsigned(out, sample.count);
        write_unsigned(out, sample.zero_count);
        out.bits(sample.sum, 64);
        self.count = DeltaColumn::new(sample.count as i64);
        self.zero_count = DeltaColumn::new(sample.zero_count as i64);
        self.sum = XorColumn::new(sample.sum);
        self.buckets = buckets(sample).map(DeltaColumn::new).collect();
        for bucket in buckets(sample) {
            write_signed(out, bucket);
        }
    }

    fn write_next(&mut self, out: &mut BitWriter, sample: &HistogramSample<'_, i64>) {
        write_signed(out, self.count.change_to(sample.count as i64));
        write_signed(out, self.zero_count.change_to(sample.zero_count as i64));
        self.sum.write(out, sample.sum);
        for (column, bucket) in self.buckets.iter_mut().zip(buckets(sample)) {
            write_signed(out, column.change_to(bucket));
        }
    }

    /// Counts of a stale marker are written as going on unchanged, whatever they are.
    fn write_stale(&mut self, out: &mut BitWriter, sum: u64) {
        write_signed(out, 0);
        write_signed(out, 0);
        self.sum.write(out, sum);
    }
}

/// All buckets of a sample in the order of the columns.
fn buckets<'a>(sample: &HistogramSample<'a, i64>) -> impl Iterator<Item = i64> + use<'a> {
    sample.positive.iter().chain(sample.negative).copied()
}
