//! Samples that come in the order of time, series by series all mixed, made into chunks.

use super::series::SeriesId;
use super::spool::{Place, Spool};
use crate::chunk::encode::{ChunkEncoder, EncodedChunk, SAMPLES_PER_CHUNK};
use crate::chunk::{OwnedSample, oldest_encoding};
use crate::error::Result;
use crate::model::{CounterReset, Millis, Sample};

/// What is known of a series.
#[derive(Debug, Default)]
struct Row {
    /// Its last chunk that is full.
    last: Place,
    /// The chunk that its next sample goes into.
    open: Option<Box<ChunkEncoder>>,
    /// Time of its last sample.
    time: Millis,
    has_samples: bool,
    /// That sample, if it is a histogram of a counter: a chunk ends where the counter is reset.
    counter: Option<Box<OwnedSample>>,
}

/// The chunks of all series, in order.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    rows: Vec<Row>,
}

impl InOrder {
    /// Makes room for so many series.
    pub(super) fn grow(&mut self, series: usize) {
        if self.rows.len() < series {
            self.rows.resize_with(series, Row::default);
        }
    }

    /// Takes a sample in; whether it counts: one that is not later than the last of its series does
    /// not.
    ///
    /// # Errors
    ///
    /// When a full chunk cannot be written.
    pub(super) fn push(
        &mut self,
        series: SeriesId,
        sample: &Sample<'_>,
        spool: &mut Spool,
    ) -> Result<bool> {
        let Some(row) = self.rows.get_mut(series.at()) else {
            return Ok(false);
        };
        let time = sample.time();
        if row.has_samples && time <= row.time {
            return Ok(false);
        }
        let encoding = oldest_encoding(sample);
        let counter = counter_of(sample);
        let is_reset = match (&row.counter, &counter) {
            (Some(before), Some(next)) => before.is_reset_by(next),
            _ => false,
        };
        let goes_on = !is_reset
            && row.open.as_mut().is_some_and(|open| {
                open.encoding() == encoding
                    && open.samples() < SAMPLES_PER_CHUNK
                    && open.push(sample).is_ok()
            });
        if !goes_on {
            let mut encoder = ChunkEncoder::new(encoding)?;
            // What no encoding holds is no sample.
            if encoder.push(sample).is_err() {
                return Ok(false);
            }
            if let Some(full) = row.open.replace(Box::new(encoder)) {
                row.last = spool.put(row.last, &full.finish())?;
            }
        }
        row.time = time;
        row.has_samples = true;
        row.counter = counter;
        Ok(true)
    }

    /// The chunks of a series, in order; it has none afterwards.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn take(&mut self, series: SeriesId, spool: &Spool) -> Result<Vec<EncodedChunk>> {
        let row = self.rows.get_mut(series.at()).map(std::mem::take);
        let row = row.unwrap_or_default();
        let mut chunks = spool.chain(row.last)?;
        chunks.extend(row.open.map(|open| open.finish()));
        Ok(chunks)
    }

    /// Whether the series has any sample.
    pub(super) fn has(&self, series: SeriesId) -> bool {
        self.rows
            .get(series.at())
            .is_some_and(|row| row.has_samples)
    }
}

/// The sample to hold the next one against, if it is a histogram of a counter.
fn counter_of(sample: &Sample<'_>) -> Option<Box<OwnedSample>> {
    let (header, is_stale) = match sample {
        Sample::Float(_) => return None,
        Sample::Histogram(sample) => (sample.counter_reset, sample.is_stale()),
        Sample::FloatHistogram(sample) => (sample.counter_reset, sample.is_stale()),
    };
    let is_counter = header != CounterReset::Gauge && !is_stale;
    is_counter.then(|| Box::new(OwnedSample::from(sample)))
}
