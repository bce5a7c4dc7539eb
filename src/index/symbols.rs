//! The symbol table: every string that series use, sorted.

use super::IndexFormat;
use crate::raw::{Malformed, Reader};

/// A symbol as the file refers to it: its ordinal, in format version 1 the offset of its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolRef(pub u32);

/// One offset is remembered for so many symbols; the rest is found by walking.
const STRIDE: usize = 16;

/// Of so many symbols Prometheus remembers one.
const PROMETHEUS_STRIDE: usize = 32;

/// The symbol table. Memory: four bytes for every 16 symbols, strings stay in the file.
#[derive(Clone, Debug)]
pub struct Symbols<'a> {
    /// The strings, each with its length before it.
    strings: Reader<'a>,
    /// Position in `strings` of every `STRIDE`th symbol.
    sampled: Vec<u32>,
    count: usize,
    format: IndexFormat,
}

impl<'a> Symbols<'a> {
    /// Reads the section's content and finds where each string begins.
    ///
    /// # Errors
    ///
    /// When the strings do not fill the section exactly.
    pub fn read(mut content: Reader<'a>, format: IndexFormat) -> Result<Self, Malformed> {
        let count = content.count_u32(1)?;
        let strings = content;
        let mut sampled = Vec::with_capacity(count.div_ceil(STRIDE));
        for i in 0..count {
            if i % STRIDE == 0 {
                // The section's length is 32 bits, so positions in it are, too.
                let position = content.offset() - strings.offset();
                sampled.push(u32::try_from(position).unwrap_or(u32::MAX));
            }
            content.string()?;
        }
        if !content.is_empty() {
            return Err(content.unexpected(
                "end of the symbol table",
                format!("after {count} strings"),
                format!("{} more bytes", content.remaining()),
            ));
        }
        Ok(Symbols {
            strings,
            sampled,
            count,
            format,
        })
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All symbols in file order, with the reference each is used by.
    pub fn iter(&self) -> impl Iterator<Item = (SymbolRef, &'a [u8])> + use<'a> {
        let format = self.format;
        let mut rest = self.strings;
        (0..self.count).map_while(move |ordinal| {
            let offset = rest.offset();
            let reference = match format {
                IndexFormat::V1 => u32::try_from(offset),
                IndexFormat::V2 => u32::try_from(ordinal),
            };
            Some((SymbolRef(reference.ok()?), rest.string().ok()?))
        })
    }

    /// The string of `reference`, used by an entry at offset `at`.
    ///
    /// # Errors
    ///
    /// When there is no such symbol.
    pub fn get(&self, reference: SymbolRef, at: u64) -> Result<&'a [u8], Malformed> {
        let found = match self.format {
            IndexFormat::V2 => self.by_ordinal(reference.0 as usize),
            IndexFormat::V1 => self.by_offset(u64::from(reference.0)),
        };
        found.ok_or_else(|| {
            let wanted = match self.format {
                IndexFormat::V2 => format!("below {}", self.count),
                IndexFormat::V1 => "that is the offset of a string".to_owned(),
            };
            Malformed::unexpected("series", at, "symbol reference", wanted, reference.0)
        })
    }

    fn by_ordinal(&self, ordinal: usize) -> Option<&'a [u8]> {
        if ordinal >= self.count {
            return None;
        }
        let mut reader = self.reader_at(ordinal / STRIDE)?;
        for _ in 0..ordinal % STRIDE {
            reader.string().ok()?;
        }
        reader.string().ok()
    }

    fn by_offset(&self, offset: u64) -> Option<&'a [u8]> {
        let position = usize::try_from(offset.checked_sub(self.strings.offset())?).ok()?;
        let mut reader = Reader::new(self.strings.rest().get(position..)?, offset, "symbol table");
        reader.string().ok()
    }

    /// A reader that stands at symbol `sample * STRIDE`.
    fn reader_at(&self, sample: usize) -> Option<Reader<'a>> {
        let position = *self.sampled.get(sample)? as usize;
        let rest = self.strings.rest().get(position..)?;
        Some(Reader::new(
            rest,
            self.strings.offset() + position as u64,
            "symbol table",
        ))
    }

    /// The reference of `string`, by binary search; meaningless in a table that is not sorted.
    pub fn find(&self, string: &[u8]) -> Option<SymbolRef> {
        let (ordinal, offset) = self.locate(string)?;
        match self.format {
            IndexFormat::V1 => u32::try_from(offset),
            IndexFormat::V2 => u32::try_from(ordinal),
        }
        .ok()
        .map(SymbolRef)
    }

    /// The ordinal of `string`, by binary search; meaningless in a table that is not sorted.
    pub fn position(&self, string: &[u8]) -> Option<usize> {
        self.locate(string).map(|(ordinal, _)| ordinal)
    }

    fn locate(&self, string: &[u8]) -> Option<(usize, u64)> {
        let first = |sample: usize| {
            self.reader_at(sample)
                .and_then(|mut reader| reader.string().ok())
        };
        let (mut low, mut high) = (0, self.sampled.len());
        while low < high {
            let middle = low.midpoint(high);
            if first(middle)? <= string {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let sample = low.checked_sub(1)?;
        let mut reader = self.reader_at(sample)?;
        for i in sample * STRIDE..self.count.min((sample + 1) * STRIDE) {
            let offset = reader.offset();
            if reader.string().ok()? == string {
                return Some((i, offset));
            }
        }
        None
    }

    /// Whether Prometheus finds `string` among the symbols when it opens the index, also in a table
    /// that is not sorted: it searches every 32nd symbol by halves and goes on from there while
    /// symbols are smaller, at most for `steps`.
    pub fn is_found_at_start(&self, string: &[u8], steps: usize) -> bool {
        let (mut low, mut high) = (0, self.count.div_ceil(PROMETHEUS_STRIDE));
        while low < high {
            let middle = low.midpoint(high);
            if self
                .at(middle * PROMETHEUS_STRIDE)
                .is_some_and(|symbol| symbol > string)
            {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let begin = low.saturating_sub(1) * PROMETHEUS_STRIDE;
        let mut symbols = self.iter_from(begin).map(|(_, symbol)| symbol).take(steps);
        symbols.find(|symbol| *symbol >= string) == Some(string)
    }

    /// The strings from the one with this ordinal on, with their ordinals.
    pub fn iter_from(&self, ordinal: usize) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let mut rest = self.reader_at(ordinal / STRIDE);
        let begin = ordinal / STRIDE * STRIDE;
        (begin..self.count)
            .map_while(move |i| Some((i, rest.as_mut()?.string().ok()?)))
            .skip(ordinal - begin)
    }

    /// The ordinal of `reference`, if there is such a symbol.
    pub fn ordinal(&self, reference: SymbolRef) -> Option<usize> {
        match self.format {
            IndexFormat::V2 => Some(reference.0 as usize).filter(|ordinal| *ordinal < self.count),
            IndexFormat::V1 => self.ordinal_at(u64::from(reference.0)),
        }
    }

    /// The ordinal of the string that begins at `offset`.
    fn ordinal_at(&self, offset: u64) -> Option<usize> {
        let position = u32::try_from(offset.checked_sub(self.strings.offset())?).ok()?;
        let sample = self
            .sampled
            .partition_point(|start| *start <= position)
            .checked_sub(1)?;
        let mut reader = self.reader_at(sample)?;
        for i in sample * STRIDE..self.count.min((sample + 1) * STRIDE) {
            if reader.offset() == offset {
                return Some(i);
            }
            reader.string().ok()?;
        }
        None
    }

    /// The string with this ordinal.
    pub fn at(&self, ordinal: usize) -> Option<&'a [u8]> {
        self.by_ordinal(ordinal)
    }
}
