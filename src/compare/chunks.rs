//! Whether the chunks of some blocks stand in another.

use crate::block::Block;
use crate::chunk::ChunkRecord;
use crate::index::{IndexFormat, Series, SeriesEntries, SymbolRef, Symbols};
use crate::model::ChunkMeta;

/// So many chunks of a series that begin at the same time are looked at. Those of a compacted
/// series do not overlap.
const MOST_ALIKE: usize = 4;

/// Which of `blocks` have every chunk stand byte for byte, under the same label set and with the
/// same times, in the block `child`, whose chunks were verified before. Compactions copy chunks
/// that overlap no other: for their parents this tells at the speed of reading
/// what [`compare`](super::compare) has to decode both sides for.
///
/// `false` says nothing: the same samples may stand in other chunks, something could not be read,
/// or an index has format version 1. Tombstones are not looked at, nor checksums of chunks.
pub fn chunks_stand_in(blocks: &[Block], child: &Block) -> Vec<bool> {
    find_all(blocks, child).unwrap_or_else(|| vec![false; blocks.len()])
}

/// `None` when `child` cannot be read.
fn find_all(blocks: &[Block], child: &Block) -> Option<Vec<bool>> {
    let index = child.index().ok()?;
    let symbols = index.symbols().ok()?;
    let open = |block| Side::open(block, &symbols);
    let mut sides: Vec<_> = blocks.iter().map(open).collect();
    let mut series = Series::default();
    for entry in index.series() {
        let entry = entry.ok()?;
        entry.check().ok()?;
        entry.decode(&mut series).ok()?;
        for place in &mut sides {
            let found = place
                .as_mut()
                .is_none_or(|side| side.meet(child, &series).is_some());
            if !found {
                *place = None;
            }
        }
    }
    let whole = |side: Option<Side<'_>>| side.is_some_and(|side| side.ended);
    Some(sides.into_iter().map(whole).collect())
}

/// A block whose chunks are looked for, and how far they were found.
struct Side<'a> {
    block: &'a Block,
    entries: SeriesEntries<'a>,
    /// Its symbols as the child refers to them, by their ordinals.
    translated: Vec<Option<SymbolRef>>,
    /// The first series that was not found yet, its labels as the child refers to them.
    series: Series,
    /// Whether all were found.
    ended: bool,
}

impl<'a> Side<'a> {
    /// Stands at the first series.
    fn open(block: &'a Block, child: &Symbols<'_>) -> Option<Self> {
        let index = block.index().ok()?;
        if index.format() != IndexFormat::V2 {
            return None;
        }
        let mut theirs = child.iter().peekable();
        let translate = |(_, own): (SymbolRef, &[u8])| {
            while theirs.next_if(|(_, name)| *name < own).is_some() {}
            let same = theirs.next_if(|(_, name)| *name == own);
            same.map(|(reference, _)| reference)
        };
        let translated = index.symbols().ok()?.iter().map(translate).collect();
        let mut side = Side {
            block,
            entries: index.series(),
            translated,
            series: Series::default(),
            ended: false,
        };
        side.go_on()?;
        Some(side)
    }

    /// Goes on to the next series. `None` when it cannot be read, or has labels that the child does
    /// not have.
    fn go_on(&mut self) -> Option<()> {
        let Some(entry) = self.entries.next() else {
            self.ended = true;
            return Some(());
        };
        let entry = entry.ok()?;
        entry.check().ok()?;
        entry.decode(&mut self.series).ok()?;
        let translated = &self.translated;
        let translate = |symbol: SymbolRef| *translated.get(symbol.0 as usize)?;
        for (name, value) in &mut self.series.labels {
            (*name, *value) = (translate(*name)?, translate(*value)?);
        }
        Some(())
    }

    /// Looks at the next series of the child. `None` when the one that is looked for should have
    /// come before, or lacks a chunk there: references ascend as symbols do, and series as
    /// their labels. In a block where they do not, series are not found.
    fn meet(&mut self, child: &Block, found: &Series) -> Option<()> {
        if self.ended || found.labels < self.series.labels {
            return Some(());
        }
        let stands = |chunk: &ChunkMeta| {
            let wanted = self.block.record(chunk.reference);
            wanted.is_ok_and(|wanted| has(child, found, chunk, &wanted))
        };
        if found.labels == self.series.labels && self.series.chunks.iter().all(stands) {
            self.go_on()
        } else {
            None
        }
    }
}

/// Whether `series` of `child` has the record `wanted`, which another index describes by `chunk`.
fn has(child: &Block, series: &Series, chunk: &ChunkMeta, wanted: &ChunkRecord<'_>) -> bool {
    let before = |other: &ChunkMeta| other.min_time < chunk.min_time;
    let first = series.chunks.partition_point(before);
    let mut alike = series.chunks.iter().skip(first).take(MOST_ALIKE);
    alike.any(|other| {
        (other.min_time, other.max_time) == (chunk.min_time, chunk.max_time)
            && child
                .record(other.reference)
                .is_ok_and(|found| (found.encoding, found.data) == (wanted.encoding, wanted.data))
    })
}
