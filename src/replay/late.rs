//! Samples that came late, in any order.

use std::collections::HashMap;

use super::series::SeriesId;
use super::spool::{Place, Spool};
use crate::chunk::encode::EncodedChunk;
use crate::chunk::{OwnedSample, make_chunks_between_resets};
use crate::error::Result;
use crate::model::CounterReset;

/// Samples of a series that are held before they are made into chunks.
const MOST_HELD: usize = 120;

/// What is known of a series.
#[derive(Debug, Default)]
struct Row {
    last: Place,
    held: Vec<OwnedSample>,
    is_gauge: bool,
}

/// The late samples of all series. Chunks of one series may overlap.
#[derive(Debug, Default)]
pub(super) struct Late {
    rows: HashMap<SeriesId, Row>,
}

impl Late {
    /// Takes a sample in.
    ///
    /// # Errors
    ///
    /// When chunks cannot be written.
    pub(super) fn push(
        &mut self,
        series: SeriesId,
        sample: OwnedSample,
        is_gauge: bool,
        spool: &mut Spool,
    ) -> Result<()> {
        let row = self.rows.entry(series).or_default();
        row.is_gauge |= is_gauge;
        row.held.push(sample);
        if row.held.len() >= MOST_HELD {
            for chunk in seal(row)? {
                row.last = spool.put(row.last, &chunk)?;
            }
        }
        Ok(())
    }

    /// The chunks of a series, in the order in which they came; it has none afterwards.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn take(&mut self, series: SeriesId, spool: &Spool) -> Result<Vec<EncodedChunk>> {
        let Some(mut row) = self.rows.remove(&series) else {
            return Ok(Vec::new());
        };
        let open = seal(&mut row)?;
        let mut chunks = spool.chain(row.last)?;
        chunks.extend(open);
        Ok(chunks)
    }

    /// Whether the series has any.
    pub(super) fn has(&self, series: SeriesId) -> bool {
        self.rows.contains_key(&series)
    }
}

/// Chunks of what is held: each time once, the first that came.
fn seal(row: &mut Row) -> Result<Vec<EncodedChunk>> {
    row.held.sort_by_key(OwnedSample::time);
    row.held.dedup_by_key(|sample| sample.time());
    let header = if row.is_gauge {
        CounterReset::Gauge
    } else {
        CounterReset::Unknown
    };
    let chunks = make_chunks_between_resets(&row.held, header)?;
    row.held.clear();
    Ok(chunks)
}
