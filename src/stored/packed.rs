//! Series of a block whose samples lie in packs.

use super::deleted::Deleted;
use super::{StoredReader, StoredSeries};
use crate::chunk::encode::EncodedChunk;
use crate::dense::with_packs;
use crate::error::Result;
use crate::index::SymbolRef;
use crate::select::Selection;

/// Lends the series that are `asked` for to `visit`, reading only the groups that hold them.
pub(super) fn read_series(
    reader: &StoredReader<'_>,
    asked: &Selection,
    deleted: &Deleted,
    visit: &mut dyn FnMut(&StoredSeries<'_>) -> Result<()>,
) -> Result<()> {
    reader.expect_packs()?;
    with_packs(reader.store, reader.block, |packs| {
        let symbols = packs.symbols();
        let symbol = |at: SymbolRef| symbols.get(at.0 as usize).copied().unwrap_or_default();
        let resolve = |labels: &[(SymbolRef, SymbolRef)], out: &mut Vec<_>| {
            out.clear();
            let labels = labels.iter();
            out.extend(labels.map(|(name, value)| (symbol(*name), symbol(*value))));
        };
        let mut resolved: Vec<(&[u8], &[u8])> = Vec::new();
        let choose = |labels: &[(SymbolRef, SymbolRef)]| {
            if asked.selectors.is_empty() {
                return true;
            }
            resolve(labels, &mut resolved);
            asked.selectors.iter().any(|one| one.selects(&resolved))
        };
        let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
        let mut chunks: Vec<EncodedChunk> = Vec::new();
        packs.walk_chosen(choose, &mut |series| {
            let concerned = series.chunks.iter();
            let concerned =
                concerned.filter(|chunk| asked.range.overlaps(chunk.min_time, chunk.max_time));
            chunks.clear();
            chunks.extend(concerned.cloned());
            if chunks.is_empty() {
                return Ok(());
            }
            resolve(series.labels, &mut labels);
            let deleted = deleted.of(&labels);
            visit(&StoredSeries::new(&labels, &chunks, deleted, asked.range))
        })
    })
}
