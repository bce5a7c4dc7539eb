//! The samples of a block, asked for series by series in the order of time.

use crate::block::Block;
use crate::chunk::{OwnedSample, decode_owned};
use crate::error::{InFile as _, Result};
use crate::index::Series;
use crate::model::{ChunkMeta, Millis, SeriesRef};

/// Where each series of a block was read to.
pub(super) struct Cursors<'b> {
    block: &'b Block,
    rows: Vec<Row>,
    /// What [`Cursors::next_chunk`] decodes an entry into.
    series: Series,
}

struct Row {
    reference: SeriesRef,
    /// Chunks that were decoded.
    chunks: usize,
    /// Samples of the last of them, from the last on.
    samples: Vec<OwnedSample>,
}

impl<'b> Cursors<'b> {
    /// All series from their first samples on.
    ///
    /// # Errors
    ///
    /// When the index is damaged.
    pub(super) fn new(block: &'b Block) -> Result<Self> {
        let mut rows = Vec::new();
        for entry in block.index()?.series() {
            let entry = entry.in_file(&block.files().index())?;
            rows.push(Row {
                reference: entry.reference,
                chunks: 0,
                samples: Vec::new(),
            });
        }
        Ok(Cursors {
            block,
            rows,
            series: Series::default(),
        })
    }

    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The sample of that time of the series at `position`, none of which was asked for that is
    /// later; `None` where it has none.
    ///
    /// # Errors
    ///
    /// When the block is damaged.
    pub(super) fn sample(&mut self, position: u32, time: Millis) -> Result<Option<OwnedSample>> {
        let at = position as usize;
        loop {
            let Some(row) = self.rows.get_mut(at) else {
                return Ok(None);
            };
            match row.samples.pop() {
                Some(sample) if sample.time() < time => {}
                Some(sample) if sample.time() == time => return Ok(Some(sample)),
                Some(_) => return Ok(None),
                None => {
                    if !self.next_chunk(at)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Decodes the next chunk of a series; `false` where there is none.
    fn next_chunk(&mut self, at: usize) -> Result<bool> {
        let Some(row) = self.rows.get_mut(at) else {
            return Ok(false);
        };
        let index = self.block.index()?;
        let path = self.block.files().index();
        let entry = index.series_at(row.reference).in_file(&path)?;
        entry.decode(&mut self.series).in_file(&path)?;
        let Some(ChunkMeta { reference, .. }) = self.series.chunks.get(row.chunks) else {
            // Nothing is left: what the last chunk took is not needed any more.
            row.samples = Vec::new();
            return Ok(false);
        };
        row.chunks += 1;
        let path = self.block.segment_path(reference.segment());
        let chunk = self.block.chunk(*reference).in_file(&path)?;
        row.samples.clear();
        decode_owned(chunk.encoding, chunk.data, &mut row.samples).in_file(&path)?;
        row.samples.reverse();
        Ok(true)
    }
}
