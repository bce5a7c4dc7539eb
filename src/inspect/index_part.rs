//! What an index is made of: sections, symbols, label names, postings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Faults;
use crate::index::{HEADER_LEN, Index, IndexFormat, Postings, SymbolRef, Symbols, TOC_LEN};
use crate::raw::Malformed;

/// One section of the index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSection {
    /// What it is, as the table of contents calls it.
    pub name: &'static str,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes, padding behind it included.
    pub bytes: u64,
}

/// The sections of the index in file order; they cover the whole file.
pub(crate) fn sections(index: &Index<'_>) -> Vec<IndexSection> {
    let file = index.bytes().len() as u64;
    let toc = index.toc();
    let mut starts = vec![("header", 0)];
    let absent = |name: &str| !toc.has_label_indices() && name.starts_with("label index");
    starts.extend(toc.entries().into_iter().filter(|(name, _)| !absent(name)));
    starts.retain(|(name, _)| toc.has_label_indices() || *name != "label indices");
    starts.push(("table of contents", file.saturating_sub(TOC_LEN as u64)));
    starts.sort_by_key(|(_, offset)| *offset);
    let ends = starts
        .iter()
        .skip(1)
        .map(|(_, offset)| *offset)
        .chain([file]);
    let mut sections: Vec<_> = starts
        .iter()
        .zip(ends)
        .map(|(&(name, offset), end)| IndexSection {
            name,
            offset,
            bytes: end.saturating_sub(offset),
        })
        .collect();
    sections.retain(|section| section.bytes > 0 || section.offset >= HEADER_LEN);
    sections
}

/// The symbol table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SymbolCounts {
    /// Symbols.
    pub count: u64,
    /// Bytes of their strings.
    pub bytes: u64,
    /// Symbols that no series uses. Some are normal: Prometheus writes what its head knew.
    pub unused: u64,
    /// Bytes of their strings.
    pub unused_bytes: u64,
}

/// Which symbols series use: one bit each, set from many threads.
pub(super) struct SymbolUse {
    bits: Vec<AtomicU64>,
}

impl SymbolUse {
    pub(super) fn new(index: &Index<'_>, symbols: &Symbols<'_>) -> Self {
        // Format version 1 refers to symbols by offset, which the file's length bounds.
        let references = match index.format() {
            IndexFormat::V1 => index.bytes().len(),
            IndexFormat::V2 => symbols.len(),
        };
        let mut bits = Vec::new();
        bits.resize_with(references.div_ceil(64), AtomicU64::default);
        SymbolUse { bits }
    }

    #[inline]
    pub(super) fn mark(&self, symbol: SymbolRef) {
        let bit = 1 << (symbol.0 % 64);
        if let Some(word) = self.bits.get(symbol.0 as usize / 64)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn is_marked(&self, symbol: SymbolRef) -> bool {
        let word = self.bits.get(symbol.0 as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (symbol.0 % 64) & 1 == 1)
    }

    pub(super) fn count(&self, symbols: &Symbols<'_>) -> SymbolCounts {
        let mut counts = SymbolCounts::default();
        for (reference, string) in symbols.iter() {
            let bytes = string.len() as u64;
            counts.count += 1;
            counts.bytes += bytes;
            if !self.is_marked(reference) {
                counts.unused += 1;
                counts.unused_bytes += bytes;
            }
        }
        counts
    }
}

/// One label name of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelName {
    /// The name.
    pub name: Box<[u8]>,
    /// Different values.
    pub values: u64,
    /// Bytes of these values.
    pub value_bytes: u64,
    /// Series that carry the label.
    pub series: u64,
}

/// The postings of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PostingsCounts {
    /// Lists, that of all series not included: one per label pair.
    pub lists: u64,
    /// Series references in them.
    pub entries: u64,
    /// The longest list.
    pub longest: u64,
}

/// Reads all postings lists: label names, most values first, and counts.
pub(super) fn postings(index: &Index<'_>, faults: &mut Faults) -> (Vec<LabelName>, PostingsCounts) {
    let mut names: BTreeMap<&[u8], LabelName> = BTreeMap::new();
    let mut counts = PostingsCounts::default();
    if let Err(fault) = read_postings(index, &mut names, &mut counts, faults) {
        faults.index(fault);
    }
    let mut names: Vec<_> = names.into_values().collect();
    names.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
    (names, counts)
}

fn read_postings<'a>(
    index: &Index<'a>,
    names: &mut BTreeMap<&'a [u8], LabelName>,
    counts: &mut PostingsCounts,
    faults: &mut Faults,
) -> Result<(), Malformed> {
    for entry in index.postings_table()?.iter() {
        let entry = entry?;
        let length = match list_length(index, entry.list) {
            Ok(length) => length,
            Err(fault) => {
                faults.index(fault);
                0
            }
        };
        if entry.name.is_empty() && entry.value.is_empty() {
            continue;
        }
        counts.lists += 1;
        counts.entries += length;
        counts.longest = counts.longest.max(length);
        let name = names.entry(entry.name).or_insert_with(|| LabelName {
            name: entry.name.into(),
            values: 0,
            value_bytes: 0,
            series: 0,
        });
        name.values += 1;
        name.value_bytes += entry.value.len() as u64;
        name.series += length;
    }
    Ok(())
}

fn list_length(index: &Index<'_>, offset: u64) -> Result<u64, Malformed> {
    let section = index.postings_section(offset)?;
    section.checksum.clone()?;
    Ok(Postings::read(&section)?.len() as u64)
}
