//! Samples of whatever records, gathered into a block: each series once, its samples in the order
//! of time.

use std::path::{Path, PathBuf};

use super::chunks::InOrder;
use super::series::{SeriesId, SeriesTable};
use super::spool::Spool;
use super::write::{BlockSource, write_block};
use crate::chunk::encode::EncodedChunk;
use crate::error::Result;
use crate::model::{Millis, Sample, Ulid};
use crate::wal::{HeadSeriesRef, LabelPairs};

/// Series and samples on their way into a block.
#[derive(Debug)]
pub(crate) struct Gathered {
    series: SeriesTable,
    in_order: InOrder,
    spool: Spool,
    samples: u64,
    times: Option<(Millis, Millis)>,
}

impl Gathered {
    /// None yet.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be made.
    pub(crate) fn new() -> Result<Self> {
        Ok(Gathered {
            series: SeriesTable::default(),
            in_order: InOrder::default(),
            spool: Spool::new()?,
            samples: 0,
            times: None,
        })
    }

    /// From now on `number` stands for the series with `labels`.
    pub(crate) fn define(&mut self, number: HeadSeriesRef, labels: &LabelPairs<'_>) {
        self.series.define(number, labels);
        self.in_order.grow(self.series.len());
    }

    /// The series that `number` stands for.
    pub(crate) fn series_of(&self, number: HeadSeriesRef) -> Option<SeriesId> {
        self.series.of(number)
    }

    /// Takes a sample in; `false` for one that is not later than the last of its series.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be written.
    pub(crate) fn push(&mut self, series: SeriesId, sample: &Sample<'_>) -> Result<bool> {
        if !self.in_order.push(series, sample, &mut self.spool)? {
            return Ok(false);
        }
        self.samples += 1;
        let time = sample.time();
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
        Ok(true)
    }

    /// How many samples were taken in.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Times of the first and the last of them.
    pub(crate) fn times(&self) -> Option<(Millis, Millis)> {
        self.times
    }

    /// Writes the block `ulid` into the directory `parent`. Gives its directory and the series in
    /// it, in its order; `None` where there is no sample.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be used, or the block not be written.
    pub(crate) fn write_block(
        mut self,
        parent: &Path,
        ulid: Ulid,
    ) -> Result<Option<(PathBuf, Vec<SeriesId>)>> {
        let Some(times) = self.times else {
            return Ok(None);
        };
        self.spool.end()?;
        write_block(self, times, parent, ulid)
    }
}

impl BlockSource for Gathered {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn has_samples(&self, id: SeriesId) -> bool {
        self.in_order.has(id)
    }

    fn take_chunks(&mut self, id: SeriesId) -> Result<Vec<EncodedChunk>> {
        self.in_order.take(id, &self.spool)
    }
}
