//! Symbols and label sets of a pack.
//!
//! The labels of a series mostly follow from one another (a pod has one namespace) and from the
//! series before (metrics come with the same instances in the same order). So a value is written
//! only where two simple guesses fail; which guess holds for which label makes a *pattern*, and
//! patterns repeat.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::hash::NumberMap;
use super::part;
use super::symbols::SymbolTable;
use crate::index::SymbolRef;
use crate::raw::varint::{write_uvarint, write_varint};
use crate::raw::{Malformed, Reader};

/// The labels of a series as positions in the pack's symbols.
pub(super) type LabelRefs = Vec<(SymbolRef, SymbolRef)>;

/// Says where symbols are in another table.
pub(super) fn move_to(labels: &mut LabelRefs, places: &[u32]) {
    for symbol in labels.iter_mut().flat_map(|(name, value)| [name, value]) {
        // Labels are checked against their own symbols when they are read.
        symbol.0 = places.get(symbol.0 as usize).copied().unwrap_or(NOWHERE);
    }
}

/// Stands for a symbol that is not in the other table.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Compression level: labels are few, and are written once.
const LEVEL: i32 = 12;
/// Compression level of labels above this size in bytes.
const LEVEL_OF_MANY: i32 = 9;
const MANY: usize = 4 << 20;

/// Most bytes a reader accepts in all parts together, and again in what they expand to: bounds what
/// a hostile pack can make it allocate.
const MAX_BYTES: usize = 1 << 29;
/// What each symbol or entry of a dictionary takes in memory beside its content, in bytes.
const OVERHEAD: usize = 24;
/// Most labels that all series have together: bounds the time that a hostile pack can take.
const MAX_LABELS: usize = 1 << 28;

/// What a symbol takes in memory while label sets are walked, in bytes: where it is, and what is
/// guessed from it.
const SYMBOL_MEMORY: usize = 64;

/// The section that errors name.
const SECTION: &str = "labels";

/// How a label's value is found.
mod guess {
    /// As it followed the value before it in this series, the last time.
    pub(super) const NEIGHBOUR: u8 = 0;
    /// As it followed, from series to series, the value that the series before has.
    pub(super) const SUCCESSOR: u8 = 1;
    /// Written down.
    pub(super) const EXPLICIT: u8 = 2;
}

/// The parts of the section, in their order.
const PARTS: usize = 6;

/// Writes the labels of a pack's series, one after the other.
#[derive(Debug, Default)]
pub(super) struct LabelWriter {
    guesser: Guesser,
    series: u64,
    names: Dictionary<Vec<u32>>,
    patterns: Dictionary<Vec<u8>>,
    names_of_series: Vec<u8>,
    patterns_of_series: Vec<u8>,
    values: Vec<u8>,
    /// Names and pattern of a series.
    scratch: (Vec<u32>, Vec<u8>),
}

/// The labels of a pack.
#[derive(Debug)]
pub(super) struct Labels {
    symbols: SymbolTable,
    /// Number of symbols, also when they have been taken.
    symbol_count: usize,
    series: u64,
    names: Vec<Vec<u32>>,
    patterns: Vec<Vec<u8>>,
    names_of_series: Vec<u8>,
    patterns_of_series: Vec<u8>,
    values: Vec<u8>,
    offset: u64,
}

impl LabelWriter {
    /// Appends a series.
    pub(super) fn push(&mut self, labels: &[(SymbolRef, SymbolRef)]) {
        self.series += 1;
        let (names, pattern) = &mut self.scratch;
        names.clear();
        names.extend(labels.iter().map(|(name, _)| name.0));
        pattern.clear();
        self.guesser.begin();
        for (name, value) in labels {
            self.guesser.step(name.0, |guesses| {
                let code = if guesses.neighbour == Some(value.0) {
                    guess::NEIGHBOUR
                } else if guesses.successor == Some(value.0) {
                    guess::SUCCESSOR
                } else {
                    let step = i64::from(value.0) - i64::from(guesses.last_explicit);
                    write_varint(&mut self.values, step);
                    guess::EXPLICIT
                };
                pattern.push(code);
                Some((value.0, code))
            });
        }
        write_uvarint(
            &mut self.names_of_series,
            self.names.number(names.as_slice()),
        );
        write_uvarint(
            &mut self.patterns_of_series,
            self.patterns.number(pattern.as_slice()),
        );
    }

    /// Appends the section to `out`: symbols, number of series, dictionaries, and what each series
    /// takes from them.
    pub(super) fn finish<'s>(
        self,
        symbols: impl Iterator<Item = &'s [u8]>,
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let mut dictionaries = Vec::new();
        write_uvarint(&mut dictionaries, self.series);
        write_uvarint(&mut dictionaries, self.names.entries.len() as u64);
        for names in self.names.in_order() {
            write_uvarint(&mut dictionaries, names.len() as u64);
            for name in names {
                write_uvarint(&mut dictionaries, u64::from(*name));
            }
        }
        write_uvarint(&mut dictionaries, self.patterns.entries.len() as u64);
        for pattern in self.patterns.in_order() {
            write_uvarint(&mut dictionaries, pattern.len() as u64);
            dictionaries.extend_from_slice(pattern);
        }
        let (lengths, text) = front_code(symbols);
        let parts: [&Vec<u8>; PARTS] = [
            &lengths,
            &text,
            &dictionaries,
            &self.names_of_series,
            &self.patterns_of_series,
            &self.values,
        ];
        for part in parts {
            let level = if part.len() > MANY {
                LEVEL_OF_MANY
            } else {
                LEVEL
            };
            part::write(part, &mut part::Compressor::new(level)?, out)?;
        }
        Ok(())
    }
}

impl Labels {
    /// Reads what [`LabelWriter::finish`] wrote.
    pub(super) fn read(bytes: &[u8], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, offset, SECTION);
        let mut decompressor = part::Decompressor::default();
        let mut left = MAX_BYTES;
        let mut part = || {
            let part = part::read(&mut reader, &mut decompressor, left)?;
            left -= part.len();
            Ok::<_, Malformed>(part)
        };
        let (lengths, text, dictionaries) = (part()?, part()?, part()?);
        let (names_of_series, patterns_of_series, values) = (part()?, part()?, part()?);
        if !reader.is_empty() {
            return Err(reader.unexpected("the end", "of the labels", "more bytes"));
        }
        let mut room = Room(MAX_BYTES);
        let symbols = front_decode(&lengths, &text, offset, &mut room)?;
        let mut reader = Reader::new(&dictionaries, offset, SECTION);
        let series = reader.uvarint()?;
        let symbol = |reader: &mut Reader<'_>| {
            let at = *reader;
            let symbol = reader.uvarint()?;
            u32::try_from(symbol)
                .ok()
                .filter(|symbol| (*symbol as usize) < symbols.len())
                .ok_or_else(|| at.unexpected("symbol", format!("of {}", symbols.len()), symbol))
        };
        let names = (0..reader.count(1)?)
            .map(|_| {
                let count = reader.count(1)?;
                room.take(&reader, count * size_of::<u32>())?;
                (0..count).map(|_| symbol(&mut reader)).collect()
            })
            .collect::<Result<Vec<Vec<u32>>, Malformed>>()?;
        let patterns = (0..reader.count(1)?)
            .map(|_| {
                let pattern = reader.string()?;
                room.take(&reader, pattern.len())?;
                Ok(pattern.to_vec())
            })
            .collect::<Result<_, _>>()?;
        if !reader.is_empty() {
            return Err(reader.unexpected("the end", "of the dictionaries", "more bytes"));
        }
        check_series(
            series,
            &names,
            Reader::new(&names_of_series, offset, SECTION),
        )?;
        Ok(Labels {
            symbol_count: symbols.len(),
            symbols,
            series,
            names,
            patterns,
            names_of_series,
            patterns_of_series,
            values,
            offset,
        })
    }

    /// The symbols, in the order of the strings, used or not.
    pub(super) fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Takes the symbols away; label sets can be walked without.
    pub(super) fn take_symbols(&mut self) -> SymbolTable {
        std::mem::take(&mut self.symbols)
    }

    /// How many bytes it takes to walk these, about.
    pub(super) fn memory(&self) -> u64 {
        let streams = [
            &self.names_of_series,
            &self.patterns_of_series,
            &self.values,
        ];
        let streams: usize = streams.iter().map(|stream| stream.len()).sum();
        (self.symbol_count * SYMBOL_MEMORY + self.symbols.bytes() + streams) as u64
    }

    /// Number of series.
    pub(super) fn series(&self) -> u64 {
        self.series
    }

    /// The labels of all series, in their order.
    pub(super) fn walk(&self) -> LabelIter<'_> {
        let reader = |bytes| Reader::new(bytes, self.offset, SECTION);
        LabelIter {
            labels: self,
            guesser: Guesser::default(),
            left: self.series,
            names: reader(&self.names_of_series),
            patterns: reader(&self.patterns_of_series),
            values: reader(&self.values),
        }
    }
}

/// Walks the labels of a pack's series.
#[derive(Debug)]
pub(super) struct LabelIter<'a> {
    labels: &'a Labels,
    guesser: Guesser,
    left: u64,
    names: Reader<'a>,
    patterns: Reader<'a>,
    values: Reader<'a>,
}

impl LabelIter<'_> {
    /// Puts the labels of the next series into `out`; `false` when there are no more.
    ///
    /// # Errors
    ///
    /// When they do not make sense; nothing more must be asked for then.
    pub(super) fn next(&mut self, out: &mut LabelRefs) -> Result<bool, Malformed> {
        out.clear();
        if self.left == 0 {
            let parts = [self.names, self.patterns, self.values];
            return match parts.iter().find(|part| !part.is_empty()) {
                None => Ok(false),
                Some(part) => {
                    Err(part.unexpected("the end", "after the last series", "more bytes"))
                }
            };
        }
        self.left -= 1;
        let names = entry(&self.labels.names, &mut self.names)?;
        let pattern = entry(&self.labels.patterns, &mut self.patterns)?;
        if names.len() != pattern.len() {
            return Err(self.patterns.unexpected(
                "pattern",
                format!("of {} labels", names.len()),
                pattern.len(),
            ));
        }
        self.guesser.begin();
        for (&name, code) in names.iter().zip(pattern) {
            let (values, symbols) = (&mut self.values, self.labels.symbol_count);
            let value = self.guesser.step(name, |guesses| {
                let value = match *code {
                    guess::NEIGHBOUR => guesses.neighbour,
                    guess::SUCCESSOR => guesses.successor,
                    guess::EXPLICIT => {
                        let step = values.varint().ok()?;
                        let value = step.checked_add(i64::from(guesses.last_explicit));
                        value.and_then(|value| u32::try_from(value).ok())
                    }
                    _ => None,
                };
                let value = value.filter(|value| (*value as usize) < symbols);
                value.map(|value| (value, *code))
            });
            let value = value.ok_or_else(|| {
                self.values
                    .unexpected("label value", "that is a symbol", "another")
            })?;
            out.push((SymbolRef(name), SymbolRef(value)));
        }
        Ok(true)
    }
}

fn entry<'a, T>(entries: &'a [T], numbers: &mut Reader<'_>) -> Result<&'a T, Malformed> {
    let at = *numbers;
    let number = numbers.uvarint()?;
    usize::try_from(number)
        .ok()
        .and_then(|number| entries.get(number))
        .ok_or_else(|| at.unexpected("entry", format!("of {}", entries.len()), number))
}

/// Entries, numbered in the order of their first use.
#[derive(Debug)]
struct Dictionary<K> {
    entries: NumberMap<K, u64>,
}

impl<K> Default for Dictionary<K> {
    fn default() -> Self {
        Dictionary {
            entries: NumberMap::default(),
        }
    }
}

impl<K: Eq + Hash> Dictionary<K> {
    fn number<Q>(&mut self, key: &Q) -> u64
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(number) = self.entries.get(key) {
            return *number;
        }
        let next = self.entries.len() as u64;
        self.entries.insert(key.to_owned(), next);
        next
    }

    fn in_order(&self) -> impl Iterator<Item = &K> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, number)| **number);
        entries.into_iter().map(|(key, _)| key)
    }
}

/// Guesses values of labels from what was seen.
#[derive(Debug, Default)]
struct Guesser {
    /// Which value a name had behind the value of the label before.
    neighbours: NumberMap<(u32, u32), u32>,
    /// Which value a name had in the series behind one that had some value.
    successors: NumberMap<(u32, u32), u32>,
    names: NumberMap<u32, Name>,
    /// The value of the label before, in this series.
    before: u32,
}

/// What is known of a label name.
#[derive(Debug, Default)]
struct Name {
    /// The value it had last.
    last: Option<u32>,
    /// The value that was written down for it last.
    explicit: u32,
}

/// What the value of a label may be.
#[derive(Clone, Copy, Debug)]
struct Guesses {
    neighbour: Option<u32>,
    successor: Option<u32>,
    last_explicit: u32,
}

impl Guesser {
    /// Begins a series.
    fn begin(&mut self) {
        self.before = u32::MAX;
    }

    /// Goes on behind the next label, of this name. `choose` says from the guesses what its value
    /// is, and how that was found.
    fn step(
        &mut self,
        name: u32,
        choose: impl FnOnce(Guesses) -> Option<(u32, u8)>,
    ) -> Option<u32> {
        let known = self.names.entry(name).or_default();
        // Each place is looked up once, for the guess and for what turns out to be right.
        let neighbour = self.neighbours.entry((name, self.before));
        let successor = known.last.map(|last| self.successors.entry((name, last)));
        let (value, code) = choose(Guesses {
            neighbour: found(&neighbour),
            successor: successor.as_ref().and_then(found),
            last_explicit: known.explicit,
        })?;
        neighbour.insert_entry(value);
        if let Some(successor) = successor {
            successor.insert_entry(value);
        }
        known.last = Some(value);
        if code == guess::EXPLICIT {
            known.explicit = value;
        }
        self.before = value;
        Some(value)
    }
}

fn found(entry: &Entry<'_, (u32, u32), u32>) -> Option<u32> {
    match entry {
        Entry::Occupied(entry) => Some(*entry.get()),
        Entry::Vacant(_) => None,
    }
}

/// Sorted strings as lengths (shared with the one before, own) and own text.
fn front_code<'s>(symbols: impl Iterator<Item = &'s [u8]>) -> (Vec<u8>, Vec<u8>) {
    let (mut lengths, mut text) = (Vec::new(), Vec::new());
    let mut last: &[u8] = &[];
    for symbol in symbols {
        let shared = symbol.iter().zip(last).take_while(|(a, b)| a == b).count();
        let own = symbol.get(shared..).unwrap_or_default();
        write_uvarint(&mut lengths, shared as u64);
        write_uvarint(&mut lengths, own.len() as u64);
        text.extend_from_slice(own);
        last = symbol;
    }
    (lengths, text)
}

/// Bytes that labels may still expand to.
struct Room(usize);

impl Room {
    /// Takes room for a symbol or an entry of so many bytes.
    fn take(&mut self, at: &Reader<'_>, bytes: usize) -> Result<(), Malformed> {
        let left = self.0.checked_sub(bytes.saturating_add(OVERHEAD));
        self.0 = left.ok_or_else(|| at.unexpected("labels", "of up to 512 MiB", "more"))?;
        Ok(())
    }
}

/// Checks that `series` series take their names from `numbers`, and do not have too many labels.
fn check_series(series: u64, names: &[Vec<u32>], mut numbers: Reader<'_>) -> Result<(), Malformed> {
    let mut left = MAX_LABELS;
    let mut found = 0;
    while !numbers.is_empty() {
        let at = numbers;
        let labels = entry(names, &mut numbers)?.len();
        found += 1;
        left = left.checked_sub(labels).ok_or_else(|| {
            at.unexpected("series", format!("of up to {MAX_LABELS} labels"), "more")
        })?;
    }
    if found == series {
        return Ok(());
    }
    Err(numbers.unexpected("series", format!("as counted, {series}"), found))
}

fn front_decode(
    lengths: &[u8],
    text: &[u8],
    offset: u64,
    room: &mut Room,
) -> Result<SymbolTable, Malformed> {
    let mut lengths = Reader::new(lengths, offset, SECTION);
    let mut text = Reader::new(text, offset, SECTION);
    let mut symbols = SymbolTable::default();
    let mut symbol = Vec::new();
    // Shared beginnings repeat text: without a bound, a few bytes could become any number.
    while !lengths.is_empty() {
        let at = lengths;
        let shared = lengths.uvarint()?;
        let own = lengths.uvarint()?;
        let shared = usize::try_from(shared)
            .ok()
            .filter(|shared| *shared <= symbol.len());
        let shared = shared
            .ok_or_else(|| at.unexpected("symbol", "that begins like the one before", "another"))?;
        symbol.truncate(shared);
        symbol.extend_from_slice(text.take(usize::try_from(own).unwrap_or(usize::MAX))?);
        room.take(&at, symbol.len())?;
        let pushed = symbols.push(&symbol);
        pushed.ok_or_else(|| at.unexpected("symbols", "of up to 4 GiB", "more"))?;
    }
    if !text.is_empty() {
        return Err(text.unexpected("the end", "after the last symbol", "more bytes"));
    }
    Ok(symbols)
}
