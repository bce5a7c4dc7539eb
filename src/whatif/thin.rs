//! Fewer samples: what the chunks of a series would take at a longer interval, by encoding them.
//!
//! Source: Prometheus `tsdb/head_append.go`: a chunk ends with its two hours, and those that end earlier share them evenly.

use crate::chunk::encode::ChunkEncoder;
use crate::chunk::{self, Encoding, Record};
use crate::model::{Millis, STALE_NAN, Sample};
use crate::raw::Malformed;

/// No chunk of Prometheus spans a multiple of this.
const WINDOW: Millis = 7_200_000;
const SAMPLES_PER_CHUNK: i64 = 120;
/// Fewest samples of a histogram chunk that is cut by its size.
const HISTOGRAM_SAMPLES: u64 = 10;

/// Encodes the samples of one series anew, as if they were scraped less often.
pub(super) struct Thinner {
    interval: Millis,
    /// The interval that the series has.
    present: Millis,
    /// Samples of a chunk.
    target: i64,
    last: Option<Millis>,
    open: Option<ChunkEncoder>,
    window: Millis,
    /// The chunks so far: first time, last time, bytes of data, samples.
    pub(super) chunks: Vec<Thinned>,
}

/// A chunk with fewer samples in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thinned {
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// Bytes of data.
    pub(super) len: usize,
    pub(super) samples: u64,
}

impl Thinner {
    /// For a series whose samples are `present` milliseconds apart, `per_chunk` of them in a chunk.
    pub(super) fn new(interval: Millis, present: Millis, encoding: Encoding, per_chunk: u64) -> Self {
        let in_window = (WINDOW / interval.max(1)).max(1);
        let target = if encoding.is_float() {
            in_window / (in_window / SAMPLES_PER_CHUNK).max(1)
        } else {
            // These are cut by their bytes, which a sample has as many of as before.
            i64::try_from(per_chunk.max(HISTOGRAM_SAMPLES)).unwrap_or(i64::MAX)
        };
        Thinner {
            interval,
            present,
            target,
            last: None,
            open: None,
            window: Millis::MIN,
            chunks: Vec::new(),
        }
    }

    /// Takes the next chunk of the series.
    pub(super) fn take(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        chunk::decode(record.encoding, record.data, record.data_offset, |sample| {
            self.sample(record.encoding, &sample);
        })?;
        Ok(())
    }

    /// All chunks.
    pub(super) fn finish(mut self) -> Vec<Thinned> {
        self.close();
        self.chunks
    }

    fn sample(&mut self, encoding: Encoding, sample: &Sample<'_>) {
        let time = sample.time();
        // Scrapes come a little early or late: what is nearer to the next one counts as it.
        let due = self.last.is_none_or(|last| {
            time.saturating_sub(last) >= self.interval.saturating_sub(self.present / 2)
        });
        // The marker that ends a series is written whenever it ends.
        if !due && !is_stale(sample) {
            return;
        }
        self.last = Some(time);
        let window = time.div_euclid(WINDOW);
        let full = self
            .open
            .as_ref()
            .is_some_and(|open| i64::from(open.samples()) >= self.target);
        if full || window != self.window {
            self.close();
        }
        self.window = window;
        if let Some(open) = &mut self.open {
            if open.push(sample).is_ok() {
                return;
            }
            // Another layout of buckets, or an encoding that cannot hold it.
            self.close();
        }
        if let Ok(mut open) = ChunkEncoder::new(encoding)
            && open.push(sample).is_ok()
        {
            self.open = Some(open);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let samples = u64::from(open.samples());
        let chunk = open.finish();
        self.chunks.push(Thinned {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            len: chunk.data.len(),
            samples,
        });
    }
}

fn is_stale(sample: &Sample<'_>) -> bool {
    match sample {
        Sample::Float(sample) => sample.bits == STALE_NAN,
        Sample::Histogram(sample) => sample.is_stale(),
        Sample::FloatHistogram(sample) => sample.is_stale(),
    }
}
