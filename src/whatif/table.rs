//! The symbols of a block by ordinal, and how many series have each label pair.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::index::{Format, Generation, Index, IndexLayout, Series, SymbolRef, Symbols};
use crate::raw::Malformed;

/// Label name and value, as ordinals of symbols.
pub(super) type Pair = (u32, u32);

/// The symbols of a block by ordinal.
pub(super) struct Table<'a> {
    strings: Vec<&'a [u8]>,
    /// Ordinals by offset, in blocks of Prometheus 2.0.
    offsets: HashMap<SymbolRef, u32>,
    /// What each symbol contributes to the identity of a series; empty when nobody asks.
    digests: Vec<[u8; 16]>,
}

impl<'a> Table<'a> {
    /// Memory: 16 bytes for each symbol, and 16 more `with_digests`.
    pub(super) fn new(symbols: &Symbols<'a>, format: Format, with_digests: bool) -> Self {
        let mut table = Table {
            strings: Vec::with_capacity(symbols.len()),
            offsets: HashMap::new(),
            digests: Vec::new(),
        };
        for (reference, string) in symbols.iter() {
            if format == Format::V1 {
                let ordinal = u32::try_from(table.strings.len()).unwrap_or(u32::MAX);
                table.offsets.insert(reference, ordinal);
            }
            table.strings.push(string);
            if with_digests {
                table.digests.push(short(Sha256::digest(string).as_slice()));
            }
        }
        table
    }

    pub(super) fn string(&self, ordinal: u32) -> &'a [u8] {
        self.strings
            .get(ordinal as usize)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.strings.len()
    }

    /// The labels of a series, whose entry stands at offset `at`.
    pub(super) fn labels(&self, series: &Series, at: u64, labels: &mut Vec<Pair>) -> Result<(), Malformed> {
        labels.clear();
        for (name, value) in &series.labels {
            labels.push((self.ordinal(*name, at)?, self.ordinal(*value, at)?));
        }
        Ok(())
    }

    fn ordinal(&self, symbol: SymbolRef, at: u64) -> Result<u32, Malformed> {
        let ordinal = match self.offsets.is_empty() {
            true => Some(symbol.0),
            false => self.offsets.get(&symbol).copied(),
        };
        ordinal
            .filter(|ordinal| (*ordinal as usize) < self.strings.len())
            .ok_or_else(|| {
                let wanted = format!("one of {} symbols", self.strings.len());
                Malformed::unexpected("series", at, "symbol reference", wanted, symbol.0)
            })
    }

    /// 128 bits that two different label sets do not share.
    pub(super) fn identity(&self, labels: impl Iterator<Item = Pair>) -> u128 {
        let mut hash = Sha256::new();
        for (name, value) in labels {
            for ordinal in [name, value] {
                let digest = self.digests.get(ordinal as usize);
                hash.update(digest.copied().unwrap_or_default());
            }
        }
        u128::from_be_bytes(short(hash.finalize().as_slice()))
    }
}

fn short(digest: &[u8]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// How many series have each pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(HashMap<Pair, u32>);

impl Pairs {
    pub(super) fn add(&mut self, pair: Pair) {
        let count = self.0.entry(pair).or_default();
        *count = count.saturating_add(1);
    }

    /// The pairs that remain when `gone` are gone, in order.
    pub(super) fn without(&self, gone: &Pairs) -> Vec<(Pair, u32)> {
        let left = |(pair, count): (&Pair, &u32)| {
            let gone = gone.0.get(pair).copied().unwrap_or(0);
            let left = count.saturating_sub(gone);
            (left > 0).then_some((*pair, left))
        };
        let mut pairs: Vec<_> = self.0.iter().filter_map(left).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// An index of series that are added one by one, with the symbols that its pairs need.
pub(super) struct Measure {
    layout: IndexLayout,
    /// New ordinals by old.
    ranks: Vec<u32>,
    pairs: Vec<(Pair, u32)>,
}

impl Measure {
    pub(super) fn new(index: &Index<'_>, table: &Table<'_>, pairs: Vec<(Pair, u32)>) -> Self {
        let mut used = vec![false; table.len()];
        for ((name, value), _) in &pairs {
            for ordinal in [*name, *value] {
                if let Some(used) = used.get_mut(ordinal as usize) {
                    *used = true;
                }
            }
        }
        let mut rank = 0;
        let ranks = used.iter().map(|used| {
            let this = rank;
            rank += u32::from(*used);
            this
        });
        let ranks = ranks.collect();
        let lengths = table.strings.iter().zip(&used);
        let lengths = lengths.filter(|(_, used)| **used).map(|(string, _)| string.len());
        Measure {
            layout: IndexLayout::new(Generation::of(&index.toc()), lengths),
            ranks,
            pairs,
        }
    }

    /// Adds a series and returns the bytes of its entry.
    pub(super) fn add(
        &mut self,
        labels: impl Iterator<Item = Pair>,
        chunks: &[crate::model::ChunkMeta],
    ) -> u64 {
        let rank = |ordinal: u32| {
            SymbolRef(self.ranks.get(ordinal as usize).copied().unwrap_or(ordinal))
        };
        let labels = labels.map(|(name, value)| (rank(name), rank(value)));
        self.layout.add_series(labels, chunks)
    }

    /// Bytes of the index.
    pub(super) fn finish(self, table: &Table<'_>) -> u64 {
        let len = |ordinal: u32| table.string(ordinal).len();
        let names = self.pairs.chunk_by(|((a, _), _), ((b, _), _)| a == b);
        let names = names.map(|pairs| {
            let name = pairs.first().map_or(0, |((name, _), _)| len(*name));
            let values = pairs.iter().map(|((_, value), series)| (len(*value), u64::from(*series)));
            (name, values)
        });
        self.layout.finish(names)
    }
}
