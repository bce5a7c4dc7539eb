//! One series of a stored block.

#![deny(clippy::wildcard_enum_match_arm)]

use crate::chunk::encode::EncodedChunk;
use crate::chunk::{Encoding, OwnedSample, decode_owned};
use crate::error::{Error, Result};
use crate::model::{Millis, TimeRange};
use crate::select::{Interval, LabelSlices, is_deleted};

/// A series of a stored block, lent to whoever reads it.
#[derive(Debug)]
pub struct StoredSeries<'a> {
    labels: &'a LabelSlices<'a>,
    chunks: &'a [EncodedChunk],
    deleted: &'a [Interval],
    range: TimeRange,
}

impl<'a> StoredSeries<'a> {
    /// A series of which the samples of `range` are meant that are not `deleted`.
    pub(super) fn new(
        labels: &'a LabelSlices<'a>,
        chunks: &'a [EncodedChunk],
        deleted: &'a [Interval],
        range: TimeRange,
    ) -> Self {
        StoredSeries {
            labels,
            chunks,
            deleted,
            range,
        }
    }

    /// Its labels as name and value, in the order of the block.
    pub fn labels(&self) -> &'a [(&'a [u8], &'a [u8])] {
        self.labels
    }

    /// Its chunks that may hold samples of the time that is asked for, as the block has them and in
    /// its order. They may hold other samples as well: see [`StoredSeries::has`].
    pub fn chunks(&self) -> &'a [EncodedChunk] {
        self.chunks
    }

    /// Whether a sample of this time, in milliseconds, in one of its chunks is asked for, in the
    /// block's range and not deleted.
    pub fn has(&self, time: Millis) -> bool {
        self.range.contains(time) && !is_deleted(self.deleted, time)
    }

    /// Its samples in order of time, each time once: where chunks overlap and have a time twice,
    /// that of the first chunk counts.
    ///
    /// # Errors
    ///
    /// When a chunk is damaged. `Unsupported` for aggregates, which are no samples:
    /// [`aggregates`](crate::chunk::aggregates) takes such chunks apart; and for chunks that
    /// this version cannot decode.
    pub fn samples(&self) -> Result<Vec<OwnedSample>> {
        let mut chunks: Vec<&EncodedChunk> = self.chunks.iter().collect();
        chunks.sort_by_key(|chunk| chunk.min_time);
        let mut samples = Vec::new();
        for chunk in chunks {
            if chunk.encoding == Encoding::Aggregates {
                return Err(Error::unsupported(
                    "expected chunks of samples, found aggregates",
                ));
            }
            let first = samples.len();
            decode_owned(chunk.encoding, &chunk.data, &mut samples)
                .map_err(|e| Error::new(e.kind(), "damaged chunk").with_source(e))?;
            let mut own = samples.split_off(first);
            own.retain(|sample| self.has(sample.time()));
            samples.append(&mut own);
        }
        if !samples.is_sorted_by(|a, b| a.time() < b.time()) {
            samples.sort_by_key(OwnedSample::time);
            samples.dedup_by_key(|sample| sample.time());
        }
        Ok(samples)
    }
}
