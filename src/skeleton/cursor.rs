//! The samples of a block, asked for series by series in the order of time.

use crate::block::Block;
use crate::chunk::{OwnedSample, decode};
use crate::error::{InFile as _, Result};
use crate::index::Series;
use crate::model::{ChunkMeta, Millis, SeriesRef};

/// Most samples that are held decoded, of all series together. Of the next chunk of a series as
/// many are held as this leaves for it, and it is decoded again for the ones behind them.
const MAX_HELD: usize = 1 << 21;

/// How many floats take as much memory as a histogram.
const HISTOGRAM_SIZE: usize = 16;

/// Where each series of a block was read to.
pub(super) struct Cursors<'b> {
    block: &'b Block,
    rows: Vec<Row>,
    /// How many samples are decoded ahead of each series.
    ahead: usize,
    /// What an entry of the index is decoded into.
    series: Series,
}

struct Row {
    reference: SeriesRef,
    /// Position of the chunk that is read.
    chunk: u32,
    /// Samples of it that were decoded.
    decoded: u32,
    /// Those of them that were not asked for, from the last on.
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
                chunk: 0,
                decoded: 0,
                samples: Vec::new(),
            });
        }
        Ok(Cursors {
            ahead: (MAX_HELD / rows.len().max(1)).max(1),
            block,
            rows,
            series: Series::default(),
        })
    }

    /// At most so many samples are decoded ahead.
    #[cfg(test)]
    pub(super) fn ahead(&mut self, samples: usize) {
        self.ahead = samples;
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
                None if self.decode_more(at)? => {}
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// Decodes the next samples of a series; `false` where there is none.
    fn decode_more(&mut self, at: usize) -> Result<bool> {
        let Some(row) = self.rows.get_mut(at) else {
            return Ok(false);
        };
        let index = self.block.index()?;
        let path = self.block.files().index();
        let entry = index.series_at(row.reference).in_file(&path)?;
        entry.decode(&mut self.series).in_file(&path)?;
        let Some(ChunkMeta { reference, .. }) = self.series.chunks.get(row.chunk as usize) else {
            // What the last chunk took is not needed any more.
            row.samples = Vec::new();
            return Ok(false);
        };
        let path = self.block.segment_path(reference.segment());
        let chunk = self.block.chunk(*reference).in_file(&path)?;
        let (mut seen, from) = (0, row.decoded);
        let ahead = if chunk.encoding.is_float() {
            self.ahead
        } else {
            (self.ahead / HISTOGRAM_SIZE).max(1)
        };
        let samples = &mut row.samples;
        decode(chunk.encoding, chunk.data, chunk.data_offset, |sample| {
            if seen >= from && samples.len() < ahead {
                samples.push(OwnedSample::from(&sample));
            }
            seen += 1;
        })
        .in_file(&path)?;
        row.decoded = from.saturating_add(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        if row.decoded >= seen {
            row.chunk += 1;
            row.decoded = 0;
        }
        row.samples.reverse();
        Ok(true)
    }
}
