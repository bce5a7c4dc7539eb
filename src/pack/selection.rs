//! The part of a block that no other pack has.

use std::collections::BTreeMap;

use super::group::{SourceChunk, SourceSeries};
use super::source::{Source, Unpackable, Walk, WalkedSeries};
use crate::chunk::encode::EncodedChunk;
use crate::index::SymbolRef;

/// Which chunks of a block, and which of its symbols, go into a pack of their own; with chunks of
/// samples that the block holds otherwise.
#[derive(Clone, Debug, Default)]
pub struct PackSelection {
    /// One bit for each chunk of the block.
    chunks: Bits,
    /// How many of them are set.
    count: u64,
    /// By the series' number in the block: chunks that were made for the pack, in order of time.
    made: BTreeMap<u64, Vec<EncodedChunk>>,
    /// One bit for each symbol of the block.
    symbols: Bits,
}

#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: usize) {
        let word = at / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (at % 64);
        }
    }

    fn get(&self, at: usize) -> bool {
        self.0
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

impl PackSelection {
    /// Selects the chunk of this number, counted over the whole block.
    pub(super) fn take(&mut self, chunk: usize) {
        self.chunks.set(chunk);
        self.count += 1;
    }

    /// Adds chunks that are not the block's to a series.
    pub(super) fn add_made(&mut self, series: u64, chunks: Vec<EncodedChunk>) {
        self.count += chunks.len() as u64;
        self.made.entry(series).or_default().extend(chunks);
    }

    /// Selects a symbol.
    pub(super) fn take_symbol(&mut self, symbol: SymbolRef) {
        self.symbols.set(symbol.0 as usize);
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.symbols.0.iter().all(|word| *word == 0)
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u64 {
        self.count
    }

    /// What identifies it, for the same block.
    pub fn identity(&self) -> Vec<u8> {
        let mut identity = Vec::new();
        for bits in [&self.chunks, &self.symbols] {
            identity.extend((bits.0.len() as u64).to_le_bytes());
            identity.extend(bits.0.iter().flat_map(|word| word.to_le_bytes()));
        }
        for (series, chunks) in &self.made {
            identity.extend(series.to_le_bytes());
            for chunk in chunks {
                identity.push(chunk.encoding.byte());
                identity.extend((chunk.data.len() as u64).to_le_bytes());
                identity.extend(&chunk.data);
            }
        }
        identity
    }

    pub(super) fn has_symbol(&self, symbol: SymbolRef) -> bool {
        self.symbols.get(symbol.0 as usize)
    }

    /// For each of the block's `count` symbols its position among the selected.
    pub(super) fn symbol_places(&self, count: usize) -> Vec<u32> {
        let mut next = 0;
        let places = (0..count).map(|symbol| {
            let place = next;
            next += u32::from(self.symbols.get(symbol));
            place
        });
        places.collect()
    }
}

/// Follows a selection through the series of its block.
#[derive(Debug)]
pub(super) struct SelectionCursor<'s> {
    /// `None` selects everything.
    selection: Option<&'s PackSelection>,
    series: u64,
    chunk: usize,
}

impl<'s> SelectionCursor<'s> {
    pub(super) fn new(selection: Option<&'s PackSelection>) -> Self {
        SelectionCursor {
            selection,
            series: 0,
            chunk: 0,
        }
    }

    /// Passes a series of so many chunks, and says whether anything of it is selected.
    pub(super) fn pass(&mut self, chunks: usize) -> bool {
        let first = self.chunk;
        let series = self.series;
        self.chunk += chunks;
        self.series += 1;
        self.selection.is_none_or(|selection| {
            selection.made.contains_key(&series)
                || (first..self.chunk).any(|chunk| selection.chunks.get(chunk))
        })
    }
}

/// Walks the selected chunks of a block.
#[derive(Debug)]
pub(super) struct SelectedWalk<'s, 'a> {
    walk: Walk<'s, 'a>,
    cursor: SelectionCursor<'s>,
}

impl<'s: 'a, 'a> SelectedWalk<'s, 'a> {
    pub(super) fn new(source: &'s Source<'a>, selection: Option<&'s PackSelection>) -> Self {
        SelectedWalk {
            walk: source.walk(),
            cursor: SelectionCursor::new(selection),
        }
    }

    /// The next series of which something is selected, with that; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<WalkedSeries<'a>>, Unpackable> {
        while let Some(walked) = self.walk.next()? {
            let (first, number) = (self.cursor.chunk, self.cursor.series);
            if !self.cursor.pass(walked.series.chunks.len()) {
                continue;
            }
            let Some(selection) = self.cursor.selection else {
                return Ok(Some(walked));
            };
            let own = walked.series.chunks.into_iter().enumerate();
            let own = own.filter(|(at, _)| selection.chunks.get(first + at));
            let mut chunks: Vec<_> = own.map(|(_, chunk)| chunk).collect();
            let made = selection.made.get(&number).into_iter().flatten();
            chunks.extend(made.map(SourceChunk::from));
            chunks.sort_by_key(|chunk| chunk.min_time);
            let metric = walked.series.metric;
            let series = SourceSeries { metric, chunks };
            return WalkedSeries::new(walked.labels, series, Vec::new()).map(Some);
        }
        Ok(None)
    }

    /// Number of chunks in each segment, once all series have been read.
    pub(super) fn finish(self) -> Result<Vec<u64>, Unpackable> {
        self.walk.finish()
    }
}
