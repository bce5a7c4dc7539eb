//! How long an index would be, without any file.
//!
//! Follows [`IndexWriter`](super::IndexWriter) section by section; the tests hold the two together.

use super::{Generation, HEADER_LEN, SERIES_ALIGNMENT, SymbolRef, TOC_LEN};
use crate::model::ChunkMeta;
use crate::raw::varint::{uvarint_len, zigzag};

const LIST_ALIGNMENT: u64 = 4;
/// Length and checksum around the content of a section.
const FRAME: u64 = 8;

/// Measures an index that is not written. Unlike the writer's its series may come in any order;
/// then references to chunks can be a byte shorter or longer than they would be.
#[derive(Clone, Debug)]
pub struct IndexLayout {
    generation: Generation,
    position: u64,
    series: u64,
}

impl IndexLayout {
    /// An index with the symbols of these lengths in bytes.
    pub fn new(generation: Generation, symbols: impl IntoIterator<Item = usize>) -> Self {
        let content: u64 = symbols.into_iter().map(|len| string_len(len as u64)).sum();
        IndexLayout {
            generation,
            position: HEADER_LEN + FRAME + 4 + content,
            series: 0,
        }
    }

    /// Adds the entry of a series, and returns its length with padding, in bytes.
    pub fn add_series(
        &mut self,
        labels: impl IntoIterator<Item = (SymbolRef, SymbolRef)>,
        chunks: &[ChunkMeta],
    ) -> u64 {
        let (mut count, mut body) = (0u64, 0u64);
        for (name, value) in labels {
            count += 1;
            body += uvarint_len(name.0.into()) + uvarint_len(value.0.into());
        }
        body += uvarint_len(count) + chunks_len(chunks);
        let begin = self.position;
        self.pad(SERIES_ALIGNMENT);
        self.position += uvarint_len(body) + body + 4;
        self.series += 1;
        self.position - begin
    }

    /// The length in bytes of the whole index, given the length of each label name, and for each of
    /// its values the length and how many series have it; in the order of the strings.
    pub fn finish<V>(mut self, labels: impl Iterator<Item = (usize, V)> + Clone) -> u64
    where
        V: Iterator<Item = (usize, u64)> + Clone,
    {
        let mut indices = Vec::new();
        if self.generation == Generation::LabelIndices {
            for (name, values) in labels.clone().filter(|(name, _)| *name > 0) {
                self.pad(LIST_ALIGNMENT);
                indices.push((name as u64, self.position));
                self.position += FRAME + 8 + 4 * values.count() as u64;
            }
        }
        self.pad(LIST_ALIGNMENT);
        let mut entry = |keys: &[u64], series: u64| {
            let len = entry_len(keys, self.position);
            self.position += FRAME + 4 + 4 * series;
            len
        };
        let mut table = entry(&[0, 0], self.series);
        for (name, values) in labels {
            for (value, series) in values {
                table += entry(&[name as u64, value as u64], series);
            }
        }
        if self.generation == Generation::LabelIndices {
            let entries = indices
                .iter()
                .map(|(name, offset)| entry_len(&[*name], *offset));
            self.position += FRAME + 4 + entries.sum::<u64>();
        }
        self.position + FRAME + 4 + table + TOC_LEN as u64
    }

    /// Bytes that these chunks take in the entry of their series.
    pub fn chunks_len(chunks: &[ChunkMeta]) -> u64 {
        chunks_len(chunks)
    }

    fn pad(&mut self, alignment: u64) {
        self.position = self.position.next_multiple_of(alignment);
    }
}

fn chunks_len(chunks: &[ChunkMeta]) -> u64 {
    let mut len = uvarint_len(chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for chunk in chunks {
        len += uvarint_len(chunk.max_time.wrapping_sub(chunk.min_time) as u64);
        len += match before {
            None => uvarint_len(zigzag(chunk.min_time)) + uvarint_len(chunk.reference.0),
            Some(before) => {
                let gap = chunk.min_time.wrapping_sub(before.max_time) as u64;
                let step = chunk.reference.0.wrapping_sub(before.reference.0) as i64;
                uvarint_len(gap) + uvarint_len(zigzag(step))
            }
        };
        before = Some(chunk);
    }
    len
}

fn entry_len(keys: &[u64], offset: u64) -> u64 {
    let strings = keys.iter().map(|len| string_len(*len));
    uvarint_len(keys.len() as u64) + strings.sum::<u64>() + uvarint_len(offset)
}

fn string_len(len: u64) -> u64 {
    uvarint_len(len) + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexWriter;
    use crate::model::ChunkRef;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn a_layout_is_as_long_as_what_the_writer_writes(
            series in prop::collection::btree_set(prop::collection::btree_map("[a-c]{1,3}", "[a-z]{1,200}", 1..5), 1..40),
            steps in prop::collection::vec((0i64..1 << 40, 0i64..1 << 30, 1u32..1 << 20), 1..6),
            plain: bool,
        ) {
            let generation = if plain { Generation::Plain } else { Generation::LabelIndices };
            let symbols: BTreeSet<&str> = series.iter().flatten().flat_map(|(n, v)| [n.as_str(), v.as_str()]).collect();
            let symbols: Vec<&str> = symbols.into_iter().collect();
            let position = |text: &str| SymbolRef(symbols.binary_search(&text).unwrap() as u32);
            let mut labels: Vec<Vec<_>> = series.iter()
                .map(|labels| labels.iter().map(|(n, v)| (position(n), position(v))).collect())
                .collect();
            labels.sort();
            let mut writer = IndexWriter::new(Vec::new(), generation, &symbols).unwrap();
            let mut layout = IndexLayout::new(generation, symbols.iter().map(|symbol| symbol.len()));
            let mut offset = 8;
            let mut pairs: BTreeMap<SymbolRef, BTreeMap<SymbolRef, u64>> = BTreeMap::new();
            for labels in &labels {
                let mut time = -5;
                let chunks: Vec<_> = steps.iter().map(|(gap, length, bytes)| {
                    let min_time = time + 1 + gap;
                    time = min_time + length;
                    offset += bytes;
                    ChunkMeta { min_time, max_time: time, reference: ChunkRef::new(0, offset) }
                }).collect();
                writer.add_series(labels, &chunks).unwrap();
                layout.add_series(labels.iter().copied(), &chunks);
                for (name, value) in labels {
                    *pairs.entry(*name).or_default().entry(*value).or_default() += 1;
                }
            }
            let len = |symbol: &SymbolRef| symbols[symbol.0 as usize].len();
            let names = pairs.iter().map(|(name, values)| {
                (len(name), values.iter().map(|(value, series)| (len(value), *series)))
            });
            prop_assert_eq!(layout.finish(names), writer.finish().unwrap().len() as u64);
        }
    }
}
