//! The index as a file: header, table of contents, order of sections, symbols.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Subject;
use super::sound_entries::SoundEntries;
use crate::index::{
    Index, IndexFormat, PostingsTable, Section, Series, SymbolRef, Symbols, TOC_LEN, Toc,
};
use crate::model::{ChunkRef, Labels};
use crate::raw::{Malformed, MalformedProblem, Reader};
use crate::verify::{Findings, Kind};

/// Section named in findings.
const SYMBOLS: &str = "symbol table";

/// Most bytes of labels that a finding repeats: more is damage, or of no use to a person.
const SHOWN_LABEL_BYTES: usize = 8192;

/// An index that is open, perhaps against its own table of contents.
#[derive(Debug)]
pub(in crate::verify) struct Opened<'a> {
    pub(in crate::verify) index: Index<'a>,
    /// Whether the table of contents is the file's own.
    pub(in crate::verify) toc_is_sound: bool,
    /// Whether the postings offset table can be found.
    pub(in crate::verify) has_postings: bool,
    /// The symbols, if they can be read at all.
    pub(in crate::verify) symbols: Option<Symbols<'a>>,
    /// Whether the symbol table's checksum is right.
    pub(in crate::verify) symbols_are_sound: bool,
    /// Whether references of symbols are in the order of their strings.
    sorted: bool,
    /// The empty string.
    empty: Option<SymbolRef>,
}

impl<'a> Opened<'a> {
    /// Opens the index whose content is `bytes`, as far as it goes. Prometheus 2.1 wrote version 1
    /// over the layout of version 2; `is_2_1` says that `meta.json` gives that away.
    pub(in crate::verify) fn open(
        subject: &Subject<'_>,
        bytes: &'a [u8],
        is_2_1: bool,
        findings: &mut Findings,
    ) -> Option<Self> {
        let format = check_header(subject, bytes, is_2_1, findings);
        let own = own_toc(subject, bytes, findings);
        let toc_is_sound = own.is_some();
        let (toc, has_postings) = match own {
            Some(toc) => (toc, true),
            None => recover(bytes, format)?,
        };
        let mut opened = Opened {
            index: Index::assume(bytes, format, toc),
            toc_is_sound,
            has_postings,
            symbols: None,
            symbols_are_sound: true,
            sorted: true,
            empty: None,
        };
        opened.read_symbols(subject, findings);
        Some(opened)
    }

    /// The last chunk reference of the last series: Prometheus writes them in ascending order.
    pub(in crate::verify) fn last_chunk(&self) -> Option<ChunkRef> {
        let last = SoundEntries::of(self.index).last()?;
        let mut series = Series::default();
        last.decode(&mut series).ok()?;
        series.chunks.last().map(|chunk| chunk.reference)
    }

    fn read_symbols(&mut self, subject: &Subject<'_>, findings: &mut Findings) {
        let toc = self.index.toc();
        let mut is_malformed = false;
        match self.index.symbol_section() {
            Ok(section) if section.end != toc.series && section.checksum.is_ok() => {
                // The table is sound, so its end is where series begin.
                self.index = Index::assume(
                    self.index.bytes(),
                    self.index.format(),
                    Toc {
                        series: section.end,
                        ..toc
                    },
                );
                findings.add(Kind::IndexOffsets, || {
                    subject
                        .in_index(Kind::IndexOffsets, SYMBOLS, section.start)
                        .saying(format!(
                            "expected the end at offset {}, found {}",
                            toc.series, section.end
                        ))
                });
            }
            Ok(section) if section.end == toc.series => {
                if let Err(malformed) = section.checksum {
                    self.symbols_are_sound = false;
                    findings.add(Kind::SymbolsChecksum, || {
                        subject
                            .malformed_index(Kind::SymbolsChecksum, &malformed)
                            .beginning_at(section.start)
                    });
                }
            }
            Ok(_) | Err(_) => {
                is_malformed = true;
                findings.add(Kind::SymbolsMalformed, || {
                    subject
                        .in_index(Kind::SymbolsMalformed, SYMBOLS, toc.symbols)
                        .saying(format!(
                            "expected a length up to offset {}, found another",
                            toc.series
                        ))
                });
            }
        }
        let Some(content) = symbol_content(self.index) else {
            self.symbols_are_sound = false;
            return;
        };
        match Symbols::read(content, self.index.format()) {
            Ok(symbols) => {
                if self.symbols_are_sound {
                    self.sorted = check_symbols(subject, content, findings);
                }
                if !self.sorted {
                    check_names(subject, self.index, &symbols, findings);
                }
                self.empty = symbols.find(b"");
                self.symbols = Some(symbols);
            }
            Err(malformed) => {
                if self.symbols_are_sound && !is_malformed {
                    findings.add(Kind::SymbolsMalformed, || {
                        subject.malformed_index(Kind::SymbolsMalformed, &malformed)
                    });
                }
                self.symbols_are_sound = false;
            }
        }
        self.symbols_are_sound &= !is_malformed;
    }

    /// Whether label names and values can be compared with the strings in other sections.
    pub(in crate::verify) fn sound_symbols(&self) -> Option<&Symbols<'a>> {
        let usable = self.symbols_are_sound && self.sorted;
        self.symbols.as_ref().filter(|_| usable)
    }

    /// Compares two symbols by their strings.
    #[inline]
    pub(in crate::verify) fn compare(&self, a: SymbolRef, b: SymbolRef) -> Ordering {
        match &self.symbols {
            Some(symbols) if !self.sorted => symbols.get(a, 0).ok().cmp(&symbols.get(b, 0).ok()),
            _ => a.cmp(&b),
        }
    }

    /// Whether there is such a symbol.
    #[inline]
    pub(in crate::verify) fn has_symbol(&self, symbol: SymbolRef) -> bool {
        match (&self.symbols, self.index.format()) {
            (None, _) => true,
            (Some(symbols), IndexFormat::V2) => (symbol.0 as usize) < symbols.len(),
            (Some(symbols), IndexFormat::V1) => symbols.get(symbol, 0).is_ok(),
        }
    }

    /// Whether the symbol is the empty string.
    #[inline]
    pub(in crate::verify) fn is_empty_string(&self, symbol: SymbolRef) -> bool {
        self.empty == Some(symbol)
    }

    /// The labels of `series`, unless they are not to be read or too long to show.
    pub(in crate::verify) fn labels(&self, series: &Series) -> Option<Labels> {
        let symbols = self.symbols.as_ref()?;
        let mut bytes = 0usize;
        for &(name, value) in &series.labels {
            bytes += symbols.get(name, 0).ok()?.len() + symbols.get(value, 0).ok()?.len() + 4;
            if bytes > SHOWN_LABEL_BYTES {
                return None;
            }
        }
        self.index.labels(symbols, series, 0).ok()
    }
}

/// Checks magic number and version; says how to read the file if they can be believed, or anyway.
fn check_header(
    subject: &Subject<'_>,
    bytes: &[u8],
    is_2_1: bool,
    findings: &mut Findings,
) -> IndexFormat {
    match Index::check_header(bytes) {
        Ok(1) if !is_2_1 => IndexFormat::V1,
        Ok(_) => IndexFormat::V2,
        Err(malformed) => {
            let kind = match malformed.problem {
                MalformedProblem::Unknown { .. } | MalformedProblem::Unsupported { .. } => {
                    Kind::IndexVersion
                }
                _ => Kind::IndexHeader,
            };
            findings.add(kind, || subject.malformed_index(kind, &malformed));
            IndexFormat::V2
        }
    }
}

/// The file's own table of contents, if it is sound and its offsets can be those of an index.
fn own_toc(subject: &Subject<'_>, bytes: &[u8], findings: &mut Findings) -> Option<Toc> {
    let toc = match Toc::read(bytes) {
        Ok(toc) => toc,
        Err(malformed) => {
            findings.add(Kind::IndexToc, || {
                let begin = bytes.len().saturating_sub(TOC_LEN) as u64;
                subject
                    .malformed_index(Kind::IndexToc, &malformed)
                    .beginning_at(begin)
            });
            return None;
        }
    };
    let end = bytes.len().saturating_sub(TOC_LEN) as u64;
    let mut offsets = vec![("symbols", toc.symbols), ("series", toc.series)];
    if toc.label_indices != 0 {
        offsets.push(("label indices", toc.label_indices));
    }
    offsets.push(("postings", toc.postings));
    if toc.label_indices_table != 0 {
        offsets.push(("label index offset table", toc.label_indices_table));
    }
    offsets.push(("postings offset table", toc.postings_table));
    offsets.push(("table of contents", end));
    let is_odd = offsets
        .iter()
        .zip(offsets.iter().skip(1))
        .find(|(a, b)| a.1 > b.1);
    let detail = match is_odd {
        Some(((first, at), (second, next))) => {
            format!("expected {first} before {second}, found offsets {at} and {next}")
        }
        None if toc.symbols != crate::index::HEADER_LEN => {
            format!("expected symbols at offset 5, found {}", toc.symbols)
        }
        None => return Some(toc),
    };
    // Prometheus goes by the offsets of the symbols and of the postings offset table, and by no
    // others.
    let index = Index::assume(bytes, IndexFormat::V2, toc);
    let is_sound = |section: Result<Section<'_>, Malformed>| {
        section.is_ok_and(|section| section.checksum.is_ok())
    };
    let kind = if is_sound(index.symbol_section()) && is_sound(index.postings_table_section()) {
        Kind::IndexOffsets
    } else {
        Kind::IndexLayout
    };
    findings.add(kind, || {
        subject
            .in_index(kind, "table of contents", end)
            .saying(detail)
    });
    None
}

/// Finds the sections of an index whose table of contents is gone, as far as one leads to the next;
/// and says whether that reached the postings.
fn recover(bytes: &[u8], format: IndexFormat) -> Option<(Toc, bool)> {
    let end = bytes.len() as u64;
    let unknown = Toc {
        symbols: crate::index::HEADER_LEN,
        series: end,
        label_indices: end,
        label_indices_table: end,
        postings: end,
        postings_table: end,
    };
    let symbols = Index::assume(bytes, format, unknown)
        .symbol_section()
        .ok()
        .filter(|symbols| !symbols.content.is_empty())?;
    let series = symbols.end;
    let index = Index::assume(bytes, format, Toc { series, ..unknown });
    let last = SoundEntries::of(index).last();
    let series_end = last.map_or(series, |entry| entry.end);

    let mut table = None;
    let mut at = series_end.next_multiple_of(4);
    while let Ok(section) = index.postings_section(at)
        && section.checksum.is_ok()
        && section.end > at
    {
        table = Some(section.clone());
        at = section.end;
    }
    let table = table.filter(|table| {
        let entries = PostingsTable::read(table.content);
        entries.is_ok_and(|entries| matches!(entries.iter().next(), Some(Ok(_))))
    });
    let table_start = table.as_ref().map_or(end, |table| table.start);
    let toc = Toc {
        series,
        label_indices: series_end,
        postings: series_end,
        label_indices_table: table_start,
        postings_table: table_start,
        ..unknown
    };
    Some((toc, table.is_some()))
}

/// The content of the symbol table: what lies between its length and its checksum, by the table of
/// contents.
fn symbol_content(index: Index<'_>) -> Option<Reader<'_>> {
    let toc = index.toc();
    let start = usize::try_from(toc.symbols).ok()?.checked_add(4)?;
    let end = usize::try_from(toc.series).ok()?.checked_sub(4)?;
    let content = index.bytes().get(start..end)?;
    Some(Reader::new(content, start as u64, SYMBOLS))
}

/// Checks the order of the symbols and that they are text; returns whether they are in order.
fn check_symbols(subject: &Subject<'_>, mut content: Reader<'_>, findings: &mut Findings) -> bool {
    let Ok(count) = content.count_u32(1) else {
        return false;
    };
    let mut sorted = true;
    let mut before: Option<&[u8]> = None;
    for _ in 0..count {
        let offset = content.offset();
        let Ok(symbol) = content.string() else { break };
        let shown = || String::from_utf8_lossy(symbol.get(..80).unwrap_or(symbol)).into_owned();
        let odd = match before.map(|before| before.cmp(symbol)) {
            None | Some(Ordering::Less) => None,
            Some(Ordering::Equal) => Some(Kind::SymbolDuplicate),
            Some(Ordering::Greater) => Some(Kind::SymbolUnsorted),
        };
        if let Some(kind) = odd {
            sorted = false;
            findings.add(kind, || {
                subject
                    .in_index(kind, SYMBOLS, offset)
                    .saying(format!("expected symbols to ascend, found {:?}", shown()))
            });
        }
        if !symbol.is_ascii() && std::str::from_utf8(symbol).is_err() {
            findings.add(Kind::SymbolNotUtf8, || {
                subject
                    .in_index(Kind::SymbolNotUtf8, SYMBOLS, offset)
                    .saying(format!("expected text, found {:?}", shown()))
            });
        }
        before = Some(symbol);
    }
    sorted
}

/// Most label names that are looked for in a table out of order, and most steps for each.
const MOST_LOOKUPS: (usize, usize) = (1000, 1 << 16);

/// Reports a label name that Prometheus does not find in a table that is not in order: it looks for
/// all when it starts.
fn check_names(
    subject: &Subject<'_>,
    index: Index<'_>,
    symbols: &Symbols<'_>,
    findings: &mut Findings,
) {
    let Ok(table) = index.postings_table() else {
        return;
    };
    let (most, steps) = MOST_LOOKUPS;
    let mut names: Vec<&[u8]> = Vec::new();
    for entry in table.iter().map_while(Result::ok) {
        if !entry.name.is_empty() && names.last() != Some(&entry.name) && names.len() < most {
            names.push(entry.name);
        }
    }
    let lost = names
        .into_iter()
        .find(|name| !symbols.is_found_at_start(name, steps));
    if let Some(name) = lost {
        let name = String::from_utf8_lossy(name.get(..80).unwrap_or(name)).into_owned();
        findings.add(Kind::SymbolUnsortedName, || {
            subject
                .in_index(Kind::SymbolUnsortedName, SYMBOLS, index.toc().symbols)
                .saying(format!(
                    "expected to find the label name {name:?} by search, found it out of its place"
                ))
        });
    }
}

/// Which symbols are used: one bit for each, set from many threads. Only for symbols that are
/// ordinals.
#[derive(Debug)]
pub(in crate::verify) struct UsedSymbols(Vec<AtomicU64>);

impl UsedSymbols {
    pub(in crate::verify) fn of(opened: &Opened<'_>) -> Self {
        let count = match (&opened.symbols, opened.index.format()) {
            (Some(symbols), IndexFormat::V2) => symbols.len(),
            _ => 0,
        };
        UsedSymbols((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Notes that `symbol` is used.
    #[inline]
    pub(in crate::verify) fn set(&self, symbol: SymbolRef) {
        let bit = 1u64 << (symbol.0 % 64);
        // Nearly all have been seen before, and reading does not take the cache line from the
        // others.
        if let Some(word) = self.0.get(symbol.0 as usize / 64)
            && word.load(Relaxed) & bit == 0
        {
            word.fetch_or(bit, Relaxed);
        }
    }

    /// Reports symbols, the empty one apart, that no series uses.
    pub(in crate::verify) fn report(
        &self,
        subject: &Subject<'_>,
        opened: &Opened<'_>,
        findings: &mut Findings,
    ) {
        let Some(symbols) = opened.symbols.as_ref().filter(|_| !self.0.is_empty()) else {
            return;
        };
        let is_used = |symbol: SymbolRef| {
            let word = self.0.get(symbol.0 as usize / 64);
            word.is_some_and(|word| word.load(Relaxed) >> (symbol.0 % 64) & 1 == 1)
        };
        let mut unused = symbols
            .iter()
            .filter(|(symbol, string)| !string.is_empty() && !is_used(*symbol));
        if let Some((_, first)) = unused.next() {
            let count = 1 + unused.count();
            let first = String::from_utf8_lossy(first.get(..80).unwrap_or(first)).into_owned();
            findings.add(Kind::SymbolUnused, || {
                subject
                    .in_index(Kind::SymbolUnused, SYMBOLS, opened.index.toc().symbols)
                    .saying(format!(
                        "{count} of {} symbols, the first is {first:?}",
                        symbols.len()
                    ))
            });
        }
    }
}
