//! Writing an index, byte for byte as Prometheus does.
//!
//! Sections go out as they come; what stays in memory is eight bytes for each label of each series.
//! Source: Prometheus `tsdb/index/index.go`, `Writer`; layout in `docs/tsdb-format.md`.

use std::collections::BTreeMap;
use std::io::Write;

use super::output::{Output, count};
use super::{MAGIC, SERIES_ALIGNMENT, SymbolRef, Toc};
use crate::error::{Error, Result};
use crate::model::{ChunkMeta, ChunkRef, SeriesRef};
use crate::raw::crc32c;
use crate::raw::varint::{uvarint_len, write_uvarint, write_varint};

const VERSION: u8 = 2;
/// Alignment of postings lists and label indices.
const LIST_ALIGNMENT: u64 = 4;

/// Which sections an index has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Label indices among them, as Prometheus 2.15 to 3.6 writes.
    LabelIndices,
    /// No label indices, as Prometheus writes since 3.7.
    #[default]
    Plain,
}

impl Generation {
    /// The generation of an index whose table of contents is `toc`.
    pub fn of(toc: &Toc) -> Self {
        if toc.has_label_indices() {
            Generation::LabelIndices
        } else {
            Generation::Plain
        }
    }
}

/// Writes an index: symbols at once, series one by one, and at last what follows from them.
#[derive(Debug)]
pub struct IndexWriter<'a, W, S> {
    out: Output<W>,
    generation: Generation,
    symbols: &'a [S],
    toc: Toc,
    last_labels: Vec<(SymbolRef, SymbolRef)>,
    last_chunk: ChunkRef,
    /// References of all series.
    series: Vec<u32>,
    /// Of each label name, the values and the series that have them.
    uses: BTreeMap<SymbolRef, Vec<Use>>,
    body: Vec<u8>,
}

/// A value of some label, and a series that has it.
type Use = (SymbolRef, u32);

impl<'a, W: Write, S: AsRef<[u8]>> IndexWriter<'a, W, S> {
    /// Begins an index in `out` with the complete symbol table, used or not. Series refer to the
    /// symbols by their position in `symbols`.
    ///
    /// # Errors
    ///
    /// When the symbols are not sorted bytewise without duplicates, are too many, or cannot be
    /// written.
    pub fn new(out: W, generation: Generation, symbols: &'a [S]) -> Result<Self> {
        let mut out = Output::new(out);
        out.put_u32(MAGIC)?;
        out.put(&[VERSION])?;
        let start = out.position();
        write_symbols(&mut out, symbols)?;
        let toc = Toc {
            symbols: start,
            series: out.position(),
            label_indices: 0,
            label_indices_table: 0,
            postings: 0,
            postings_table: 0,
        };
        Ok(IndexWriter {
            out,
            generation,
            symbols,
            toc,
            last_labels: Vec::new(),
            last_chunk: ChunkRef::default(),
            series: Vec::new(),
            uses: BTreeMap::new(),
            body: Vec::new(),
        })
    }

    /// Writes the entry of a series: its labels, in the order they shall have, and its chunks.
    ///
    /// # Errors
    ///
    /// What Prometheus' writer refuses: a label set that does not come after the one before, an
    /// unknown symbol, chunks that overlap, end before they begin, or stand before one of an
    /// earlier series.
    pub fn add_series(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<SeriesRef> {
        self.check_labels(labels)?;
        self.check_chunks(chunks)?;
        self.out.pad(SERIES_ALIGNMENT)?;
        let reference = count(self.out.position() / SERIES_ALIGNMENT)?;
        self.write_entry(labels, chunks)?;
        self.series.push(reference);
        for (name, value) in labels {
            self.uses
                .entry(*name)
                .or_default()
                .push((*value, reference));
        }
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        self.last_chunk = chunks
            .last()
            .map_or(self.last_chunk, |chunk| chunk.reference);
        Ok(SeriesRef(u64::from(reference)))
    }

    /// Writes what follows from the series and the table of contents, and hands `out` back, not
    /// flushed.
    ///
    /// # Errors
    ///
    /// When a label name stands more often than there are series (Prometheus' writer refuses that
    /// too), or something cannot be written.
    pub fn finish(mut self) -> Result<W> {
        for (name, uses) in &mut self.uses {
            if uses.len() > self.series.len() {
                let name = string(self.symbols, *name).escape_ascii();
                return Err(Error::invalid(format!(
                    "expected label {name} once in a series, found it twice"
                )));
            }
            uses.sort_unstable();
        }
        self.toc.label_indices = self.out.position();
        let label_indices = self.write_label_indices()?;
        self.toc.postings = self.out.position();
        let postings = self.write_postings()?;
        self.toc.label_indices_table = self.out.position();
        if self.generation == Generation::LabelIndices {
            let entry =
                |(name, offset): &(SymbolRef, u64)| ([string(self.symbols, *name)], *offset);
            write_table(&mut self.out, label_indices.iter().map(entry))?;
        }
        self.toc.postings_table = self.out.position();
        let entries = postings_entries(self.symbols, &self.series, &self.uses, postings);
        write_table(&mut self.out, entries)?;
        self.out.begin_checksum();
        for (_, offset) in self.toc.entries() {
            self.out.put(&offset.to_be_bytes())?;
        }
        self.out.put_checksum()?;
        Ok(self.out.into_inner())
    }

    fn check_labels(&self, labels: &[(SymbolRef, SymbolRef)]) -> Result<()> {
        // Symbols are sorted, so their positions compare as the strings do.
        if labels <= self.last_labels.as_slice() {
            return Err(Error::invalid(
                "expected a label set that sorts after the one before",
            ));
        }
        let known = |symbol: SymbolRef| (symbol.0 as usize) < self.symbols.len();
        if !labels
            .iter()
            .all(|(name, value)| known(*name) && known(*value))
        {
            let symbols = self.symbols.len();
            return Err(Error::invalid(format!(
                "expected label symbols below {symbols}"
            )));
        }
        Ok(())
    }

    fn check_chunks(&self, chunks: &[ChunkMeta]) -> Result<()> {
        let mut last = self.last_chunk;
        for chunk in chunks {
            if chunk.reference < last {
                let found = chunk.reference;
                return Err(Error::invalid(format!(
                    "expected a chunk reference from {last} on, found {found}"
                )));
            }
            last = chunk.reference;
            let (min, max) = (chunk.min_time, chunk.max_time);
            if max < min {
                return Err(Error::invalid(format!(
                    "expected a chunk that ends at {min} or later, found {max}"
                )));
            }
        }
        for pair in chunks.windows(2) {
            if let [before, after] = pair
                && after.min_time <= before.max_time
            {
                let (end, start) = (before.max_time, after.min_time);
                return Err(Error::invalid(format!(
                    "expected a chunk that begins after {end}, found {start}"
                )));
            }
        }
        Ok(())
    }

    fn write_entry(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<()> {
        let body = &mut self.body;
        body.clear();
        write_uvarint(body, labels.len() as u64);
        for (name, value) in labels {
            write_uvarint(body, u64::from(name.0));
            write_uvarint(body, u64::from(value.0));
        }
        write_chunks(body, chunks);
        let mut length = Vec::new();
        write_uvarint(&mut length, body.len() as u64);
        let crc = crc32c(body);
        self.out.put(&length)?;
        self.out.put(&self.body)?;
        self.out.put_u32(crc)
    }

    /// Writes the values of each label name, and says where; nothing in a plain index.
    fn write_label_indices(&mut self) -> Result<Vec<(SymbolRef, u64)>> {
        let mut offsets = Vec::new();
        if self.generation == Generation::Plain {
            return Ok(offsets);
        }
        for (name, uses) in &self.uses {
            // Prometheus takes the empty name for that of the list of all series.
            if string(self.symbols, *name).is_empty() {
                continue;
            }
            self.out.pad(LIST_ALIGNMENT)?;
            offsets.push((*name, self.out.position()));
            let values = lists(uses).count() as u64;
            self.out.begin_section(8 + 4 * values)?;
            self.out.put_u32(1)?;
            self.out.put_u32(count(values)?)?;
            for (value, _) in lists(uses) {
                self.out.put_u32(value.0)?;
            }
            self.out.put_checksum()?;
        }
        Ok(offsets)
    }

    /// Writes all postings lists and says where the first one is.
    fn write_postings(&mut self) -> Result<u64> {
        self.out.pad(LIST_ALIGNMENT)?;
        let start = self.out.position();
        write_list(&mut self.out, self.series.iter().copied())?;
        for (_, list) in self.uses.values().flat_map(|uses| lists(uses)) {
            write_list(&mut self.out, list.iter().map(|(_, series)| *series))?;
        }
        Ok(start)
    }
}

fn write_symbols<W: Write, S: AsRef<[u8]>>(out: &mut Output<W>, symbols: &[S]) -> Result<()> {
    if !symbols.is_sorted_by(|a, b| a.as_ref() < b.as_ref()) {
        return Err(Error::invalid(
            "expected symbols in ascending order without duplicates",
        ));
    }
    let len = symbols.iter().map(|symbol| string_len(symbol.as_ref()));
    out.begin_section(4 + len.sum::<u64>())?;
    out.put_u32(count(symbols.len() as u64)?)?;
    let mut entry = Vec::new();
    for symbol in symbols {
        entry.clear();
        write_string(&mut entry, symbol.as_ref());
        out.put(&entry)?;
    }
    out.put_checksum()
}

fn write_chunks(body: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    write_uvarint(body, chunks.len() as u64);
    let mut before: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match before {
            None => write_varint(body, chunk.min_time),
            Some(before) => {
                write_uvarint(body, chunk.min_time.wrapping_sub(before.max_time) as u64);
            }
        }
        write_uvarint(body, chunk.max_time.wrapping_sub(chunk.min_time) as u64);
        match before {
            None => write_uvarint(body, chunk.reference.0),
            Some(before) => {
                write_varint(
                    body,
                    chunk.reference.0.wrapping_sub(before.reference.0) as i64,
                );
            }
        }
        before = Some(chunk);
    }
}

/// The postings lists of one label name: each value and the uses of it.
fn lists(uses: &[Use]) -> impl Iterator<Item = (SymbolRef, &[Use])> + Clone {
    uses.chunk_by(|a, b| a.0 == b.0)
        .filter_map(|list| list.first().map(|first| (first.0, list)))
}

fn write_list<W: Write>(
    out: &mut Output<W>,
    series: impl ExactSizeIterator<Item = u32>,
) -> Result<()> {
    let len = series.len() as u64;
    out.begin_section(4 + 4 * len)?;
    out.put_u32(count(len)?)?;
    for reference in series {
        out.put_u32(reference)?;
    }
    out.put_checksum()
}

/// Bytes of a postings list of `len` series: length, count, references, checksum.
fn list_len(len: usize) -> u64 {
    12 + 4 * len as u64
}

/// The entries of the postings offset table, when the first list stands at `start`.
fn postings_entries<'a, S: AsRef<[u8]>>(
    symbols: &'a [S],
    series: &'a [u32],
    uses: &'a BTreeMap<SymbolRef, Vec<Use>>,
    start: u64,
) -> impl Iterator<Item = ([&'a [u8]; 2], u64)> + Clone {
    let all: ([&[u8]; 2], usize) = ([b"", b""], series.len());
    let labelled = uses.iter().flat_map(move |(name, uses)| {
        let name = string(symbols, *name);
        lists(uses).map(move |(value, list)| ([name, string(symbols, value)], list.len()))
    });
    std::iter::once(all)
        .chain(labelled)
        .scan(start, |next, (key, len)| {
            let offset = *next;
            *next += list_len(len);
            Some((key, offset))
        })
}

/// Writes an offset table: for each entry the strings of its key and an offset.
fn write_table<'a, W: Write, const KEY: usize>(
    out: &mut Output<W>,
    entries: impl Iterator<Item = ([&'a [u8]; KEY], u64)> + Clone,
) -> Result<()> {
    let mut entry = Vec::new();
    let (mut len, mut entry_count) = (4, 0);
    for (key, offset) in entries.clone() {
        encode_entry(&mut entry, key, offset);
        len += entry.len() as u64;
        entry_count += 1;
    }
    out.begin_section(len)?;
    out.put_u32(count(entry_count)?)?;
    for (key, offset) in entries {
        encode_entry(&mut entry, key, offset);
        out.put(&entry)?;
    }
    out.put_checksum()
}

fn encode_entry<const KEY: usize>(entry: &mut Vec<u8>, key: [&[u8]; KEY], offset: u64) {
    entry.clear();
    write_uvarint(entry, KEY as u64);
    for string in key {
        write_string(entry, string);
    }
    write_uvarint(entry, offset);
}

fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    write_uvarint(out, string.len() as u64);
    out.extend_from_slice(string);
}

fn string_len(string: &[u8]) -> u64 {
    uvarint_len(string.len() as u64) + string.len() as u64
}

/// The string of `symbol`, which [`IndexWriter::add_series`] has found to exist.
fn string<S: AsRef<[u8]>>(symbols: &[S], symbol: SymbolRef) -> &[u8] {
    symbols
        .get(symbol.0 as usize)
        .map(AsRef::as_ref)
        .unwrap_or_default()
}
