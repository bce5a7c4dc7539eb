//! What label names and pairs cost in an index, and which part of that each series that carries
//! them bears.
//!
//! Besides its own entry a series has one entry of four bytes in the postings list of each of its
//! pairs. All else is shared: a pair's list needs a frame and an entry in the postings offset
//! table, its strings stand in the symbol table, and old indexes list the values of each name.
//! Frame and table entry are borne equally by the series that carry the pair, a symbol's bytes by
//! all its uses as a name or value of a series' label, a label index by the series that carry the
//! name.

use std::collections::HashMap;

use super::fixed::FixedBytes;
use crate::index::{Index, LabelIndex, Postings, PostingsEntry, Series, SymbolRef, Symbols};
use crate::inspect::Faults;
use crate::raw::Malformed;
use crate::raw::varint::uvarint_len;

/// Number of a label pair in [`Costs`].
pub type PairId = u32;
/// Number of a label name in [`Costs`].
pub type NameId = u32;

/// Bytes of a reference in a postings list.
const POSTING: u64 = 4;
/// Bytes of a postings list beside its references: length, count, checksum.
const LIST_FRAME: u64 = 12;
/// No pair.
const NONE: u32 = u32::MAX;

/// One label name.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameCost {
    /// Ordinal of its symbol.
    pub symbol: u32,
    /// Pairs with this name: different values.
    pub values: u64,
    /// Series that carry it, as the postings say.
    pub series: u64,
    /// What it costs beside its pairs: its symbol's share and its label index.
    pub own: FixedBytes,
    /// What of [`NameCost::own`] each series bears.
    each: FixedBytes,
}

/// One label pair.
#[derive(Clone, Copy, Debug)]
pub struct PairCost {
    /// Its name.
    pub name: NameId,
    /// Ordinal of its value's symbol.
    pub value: u32,
    /// Series that carry it: the length of its postings list.
    pub series: u32,
    /// Bytes of its frame and its entry in the postings offset table.
    frame: u32,
    /// What each series that carries it bears of the pair, and of the name.
    each: FixedBytes,
}

/// Names and pairs of one index with what they cost. Memory: 24 bytes for a pair, 4 for a symbol.
#[derive(Debug)]
pub struct Costs<'a> {
    symbols: Symbols<'a>,
    names: Vec<NameCost>,
    pairs: Vec<PairCost>,
    /// The name that a symbol is; those of values are [`NONE`].
    name_of_symbol: HashMap<u32, NameId>,
    /// The first pair with a symbol as its value. Hardly any value has several names.
    pair_of_value: Vec<PairId>,
    /// The pairs that `pair_of_value` has no room for.
    others: HashMap<(NameId, u32), PairId>,
}

impl<'a> Costs<'a> {
    /// Reads the postings offset table and the length of each list. Where the table is damaged,
    /// pairs are counted in the series entries, and cost nothing but their symbols.
    ///
    /// # Errors
    ///
    /// When there is no symbol table: then nothing can be said of labels.
    pub fn measure(index: &Index<'a>, faults: &mut Faults) -> Result<Self, Malformed> {
        let symbols = index.symbols()?;
        let mut costs = Costs {
            pair_of_value: vec![NONE; symbols.len()],
            symbols,
            names: Vec::new(),
            pairs: Vec::new(),
            name_of_symbol: HashMap::new(),
            others: HashMap::new(),
        };
        if let Err(fault) = costs.read_postings(index, faults) {
            faults.index(fault);
            costs.names.clear();
            costs.pairs.clear();
            costs.name_of_symbol.clear();
            costs.others.clear();
            costs.pair_of_value.fill(NONE);
            costs.count_pairs(index);
        }
        costs.share(index, faults);
        Ok(costs)
    }

    fn read_postings(&mut self, index: &Index<'a>, faults: &mut Faults) -> Result<(), Malformed> {
        let table = index.postings_table()?;
        let mut group: Vec<PostingsEntry<'a>> = Vec::new();
        for entry in table.iter() {
            let entry = entry?;
            if group.first().is_some_and(|first| first.name != entry.name) {
                self.add_group(index, &group, faults)?;
                group.clear();
            }
            if !(entry.name.is_empty() && entry.value.is_empty()) {
                group.push(entry);
            }
        }
        self.add_group(index, &group, faults)
    }

    /// Adds pairs of one name. Values that are sorted, as Prometheus writes them, are found in one
    /// walk through the symbols.
    fn add_group(
        &mut self,
        index: &Index<'a>,
        group: &[PostingsEntry<'a>],
        faults: &mut Faults,
    ) -> Result<(), Malformed> {
        let Some(first) = group.first() else {
            return Ok(());
        };
        let no_symbol = |entry: &PostingsEntry<'_>| {
            let found = String::from_utf8_lossy(entry.value).into_owned();
            Malformed::unexpected(
                "postings offset table",
                entry.offset,
                "label pair",
                "whose strings are symbols",
                found,
            )
        };
        let name = self.symbols.position(first.name);
        let name = name.ok_or_else(|| no_symbol(first))?;
        let name = self.name(name);
        // A search reads some thirty strings, a walk all of them.
        let walk = self.symbols.len() / 30 < group.len();
        let symbols = self.symbols.clone();
        let start = symbols.position(first.value).unwrap_or(0);
        let mut walked = symbols.iter_from(start).peekable();
        for entry in group {
            while walk
                && walked
                    .next_if(|(_, string)| *string < entry.value)
                    .is_some()
            {}
            let value = match walked.peek() {
                Some((ordinal, string)) if *string == entry.value => Some(*ordinal),
                _ => symbols.position(entry.value),
            };
            let value = value.and_then(|ordinal| u32::try_from(ordinal).ok());
            let value = value.ok_or_else(|| no_symbol(entry))?;
            let series = match list_length(index, entry.list) {
                Ok(length) => length,
                Err((length, fault)) => {
                    faults.index(fault);
                    length
                }
            };
            if let Some(pair) = self.add_pair(name, value) {
                pair.series = series;
                let frame = LIST_FRAME.saturating_add(entry_bytes(entry));
                pair.frame = u32::try_from(frame).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    }

    /// Pairs as series entries have them.
    fn count_pairs(&mut self, index: &Index<'a>) {
        let mut series = Series::default();
        for entry in index.sound_series().filter_map(Result::ok) {
            if entry.decode(&mut series).is_err() {
                continue;
            }
            for (name, value) in &series.labels {
                let ordinal = |symbol| self.symbols.ordinal(symbol);
                let (Some(name), Some(value)) = (ordinal(*name), ordinal(*value)) else {
                    continue;
                };
                let Ok(value) = u32::try_from(value) else {
                    continue;
                };
                let name = self.name(name);
                self.add_pair(name, value);
                if let Some(pair) = self
                    .pair_at(name, value)
                    .and_then(|pair| self.pairs.get_mut(pair as usize))
                {
                    pair.series = pair.series.saturating_add(1);
                }
            }
        }
    }

    fn name(&mut self, symbol: usize) -> NameId {
        let symbol = u32::try_from(symbol).unwrap_or(NONE);
        let next = u32::try_from(self.names.len()).unwrap_or(NONE);
        *self.name_of_symbol.entry(symbol).or_insert_with(|| {
            self.names.push(NameCost {
                symbol,
                ..NameCost::default()
            });
            next
        })
    }

    /// The new pair; nothing if it is known.
    fn add_pair(&mut self, name: NameId, value: u32) -> Option<&mut PairCost> {
        if self.pair_at(name, value).is_some() {
            return None;
        }
        let id = u32::try_from(self.pairs.len()).ok()?;
        match self.pair_of_value.get_mut(value as usize) {
            Some(slot) if *slot == NONE => *slot = id,
            _ => {
                self.others.insert((name, value), id);
            }
        }
        self.pairs.push(PairCost {
            name,
            value,
            series: 0,
            frame: 0,
            each: FixedBytes::default(),
        });
        self.pairs.last_mut()
    }

    /// Shares all costs out.
    fn share(&mut self, index: &Index<'a>, faults: &mut Faults) {
        let indices = label_indices(index, faults);
        let mut uses = vec![0u32; self.symbols.len()];
        let mut used = |symbol: u32, more: u32| {
            if let Some(uses) = uses.get_mut(symbol as usize) {
                *uses = uses.saturating_add(more);
            }
        };
        for pair in &self.pairs {
            used(pair.value, pair.series);
            if let Some(name) = self.names.get_mut(pair.name as usize) {
                used(name.symbol, pair.series);
                name.values += 1;
                name.series += u64::from(pair.series);
            }
        }
        let symbols = &self.symbols;
        let symbol_share = |symbol: u32, string: &[u8]| {
            let uses = uses.get(symbol as usize).copied().unwrap_or(0);
            FixedBytes::of(string_bytes(string), u64::from(uses))
        };
        for name in &mut self.names {
            let string = symbols.at(name.symbol as usize).unwrap_or_default();
            let lists = indices.get(string).copied().unwrap_or(0);
            name.each = symbol_share(name.symbol, string).plus(FixedBytes::of(lists, name.series));
            name.own = name.each.times(name.series);
        }
        let mut values = Walk::new(symbols);
        for pair in &mut self.pairs {
            let string = values.string(pair.value as usize).unwrap_or_default();
            let name = self.names.get(pair.name as usize);
            let posting = if pair.frame > 0 { POSTING } else { 0 };
            pair.each = FixedBytes::of(u64::from(pair.frame), u64::from(pair.series))
                .plus(FixedBytes::bytes(posting))
                .plus(symbol_share(pair.value, string))
                .plus(name.map_or(FixedBytes::default(), |name| name.each));
        }
    }

    /// The symbol table.
    pub fn symbols(&self) -> &Symbols<'a> {
        &self.symbols
    }

    /// All names, by their number.
    pub fn names(&self) -> &[NameCost] {
        &self.names
    }

    /// All pairs, by their number.
    pub fn pairs(&self) -> &[PairCost] {
        &self.pairs
    }

    /// The string of a name.
    pub fn name_of(&self, name: NameId) -> &'a [u8] {
        let cost = self.names.get(name as usize);
        cost.and_then(|cost| self.symbols.at(cost.symbol as usize))
            .unwrap_or_default()
    }

    /// The number of the name `name`, if series carry it.
    pub fn find_name(&self, name: &[u8]) -> Option<NameId> {
        let symbol = u32::try_from(self.symbols.position(name)?).ok()?;
        self.name_of_symbol.get(&symbol).copied()
    }

    /// The number of a label's pair. Every label of a sound index has one.
    #[inline]
    pub fn pair(&self, name: SymbolRef, value: SymbolRef) -> Option<PairId> {
        let name = u32::try_from(self.symbols.ordinal(name)?).ok()?;
        let value = u32::try_from(self.symbols.ordinal(value)?).ok()?;
        let first = *self.pair_of_value.get(value as usize)?;
        let pair = self.pairs.get(first as usize)?;
        if self.names.get(pair.name as usize)?.symbol == name {
            return Some(first);
        }
        let name = self.name_of_symbol.get(&name)?;
        self.others.get(&(*name, value)).copied()
    }

    fn pair_at(&self, name: NameId, value: u32) -> Option<PairId> {
        let first = *self.pair_of_value.get(value as usize)?;
        if self.pairs.get(first as usize)?.name == name {
            return Some(first);
        }
        self.others.get(&(name, value)).copied()
    }

    /// What a series that carries the pair bears: of postings, symbols and label indices.
    #[inline]
    pub fn each(&self, pair: PairId) -> FixedBytes {
        self.pairs
            .get(pair as usize)
            .map_or(FixedBytes::default(), |pair| pair.each)
    }

    /// What the pair costs by itself: postings list, entry in the offset table, its value's symbol
    /// (a part of it, if other names have the same value). [`NameCost::own`] is not in it.
    pub fn own(&self, pair: PairId) -> FixedBytes {
        let Some(pair) = self.pairs.get(pair as usize) else {
            return FixedBytes::default();
        };
        let name = self.names.get(pair.name as usize);
        let of_name = name.map_or(FixedBytes::default(), |name| name.each);
        pair.each.minus(of_name).times(u64::from(pair.series))
    }
}

/// Strings by ordinals that mostly rise by little.
pub(super) struct Walk<'s, 'a> {
    symbols: &'s Symbols<'a>,
    ahead: Box<dyn Iterator<Item = (usize, &'a [u8])> + 'a>,
    last: Option<(usize, &'a [u8])>,
}

impl<'s, 'a> Walk<'s, 'a> {
    pub(super) fn new(symbols: &'s Symbols<'a>) -> Self {
        Walk {
            symbols,
            ahead: Box::new(std::iter::empty()),
            last: None,
        }
    }

    /// The string with this ordinal.
    pub(super) fn string(&mut self, ordinal: usize) -> Option<&'a [u8]> {
        let near = self
            .last
            .is_some_and(|(last, _)| (last..last + 16).contains(&ordinal));
        if !near {
            self.ahead = Box::new(self.symbols.iter_from(ordinal));
            self.last = self.ahead.next();
        }
        while self.last.is_some_and(|(last, _)| last < ordinal) {
            self.last = self.ahead.next();
        }
        self.last
            .filter(|(last, _)| *last == ordinal)
            .map(|(_, string)| string)
    }
}

/// Series in the list at `offset`; with a fault, what can be said all the same.
fn list_length(index: &Index<'_>, offset: u64) -> Result<u32, (u32, Malformed)> {
    let section = index.postings_section(offset).map_err(|fault| (0, fault))?;
    let list = Postings::read(&section).map_err(|fault| (0, fault))?;
    let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
    section.checksum.map_err(|fault| (length, fault))?;
    Ok(length)
}

/// Bytes of an entry of the postings offset table.
fn entry_bytes(entry: &PostingsEntry<'_>) -> u64 {
    1 + string_bytes(entry.name) + string_bytes(entry.value) + uvarint_len(entry.list)
}

/// Bytes of a string with its length before it.
fn string_bytes(string: &[u8]) -> u64 {
    let len = string.len() as u64;
    uvarint_len(len).saturating_add(len)
}

/// Bytes of the label index of each name, its entry in the offset table included.
fn label_indices<'a>(index: &Index<'a>, faults: &mut Faults) -> HashMap<&'a [u8], u64> {
    let mut bytes = HashMap::new();
    let Some(indices) = index.label_indices() else {
        return bytes;
    };
    let table = indices.table_section().and_then(|table| {
        table.checksum.clone()?;
        indices.entries(&table)
    });
    match table {
        Ok(entries) => {
            for entry in entries {
                let read = entry.and_then(|entry| {
                    let section = indices.section(entry.index)?;
                    LabelIndex::read(&section)?;
                    let of_entry = 1 + string_bytes(entry.name) + uvarint_len(entry.index);
                    bytes.insert(entry.name, section.end - section.start + of_entry);
                    section.checksum
                });
                if let Err(fault) = read {
                    faults.index(fault);
                }
            }
        }
        Err(fault) => faults.index(fault),
    }
    bytes
}
