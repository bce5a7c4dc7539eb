//! Symbols and label sets of several packs as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::tables::Table;
use crate::pack::labels::{LabelIter, LabelRefs, NOWHERE, move_to};
use crate::pack::symbols::SymbolTable;
use crate::raw::Malformed;

/// The symbols of several tables, sorted, each once; and where those of each table are in it.
#[derive(Debug, Default)]
pub(in crate::pack) struct Union {
    pub(in crate::pack) symbols: SymbolTable,
    /// For each table and each of its symbols, the symbol's position in the union.
    pub(in crate::pack) places: Vec<Vec<u32>>,
    /// Whether the symbols are sorted, as they are if those of all tables are.
    pub(in crate::pack) is_sorted: bool,
}

impl Union {
    /// The union of `tables`, each of which is sorted; `None` when it is too large.
    pub(in crate::pack) fn of<'s>(
        tables: Vec<Box<dyn Iterator<Item = &'s [u8]> + 's>>,
    ) -> Option<Self> {
        let mut tables = tables;
        let mut union = Union {
            places: vec![Vec::new(); tables.len()],
            is_sorted: true,
            ..Union::default()
        };
        let mut heap: BinaryHeap<Reverse<(&[u8], usize)>> = BinaryHeap::new();
        for (table, symbols) in tables.iter_mut().enumerate() {
            heap.extend(symbols.next().map(|symbol| Reverse((symbol, table))));
        }
        let mut last: Option<&[u8]> = None;
        while let Some(Reverse((symbol, table))) = heap.pop() {
            if last != Some(symbol) {
                union.is_sorted &= last.is_none_or(|last| last < symbol);
                union.symbols.push(symbol)?;
                last = Some(symbol);
            }
            let place = u32::try_from(union.symbols.len() - 1).unwrap_or(NOWHERE);
            if let Some(places) = union.places.get_mut(table) {
                places.push(place);
            }
            let next = tables.get_mut(table).and_then(Iterator::next);
            heap.extend(next.map(|symbol| Reverse((symbol, table))));
        }
        Some(union)
    }

    /// The symbols without those at the positions `dropped`, and for each symbol of the union its
    /// position among them.
    pub(in crate::pack) fn without(&self, dropped: &[u32]) -> (Vec<&[u8]>, Vec<u32>) {
        let mut dropped = dropped.iter().copied().peekable();
        let mut kept = Vec::with_capacity(self.symbols.len());
        let mut places = Vec::with_capacity(self.symbols.len());
        for (at, symbol) in self.symbols.iter().enumerate() {
            if dropped.next_if(|next| *next as usize == at).is_some() {
                places.push(NOWHERE);
            } else {
                places.push(u32::try_from(kept.len()).unwrap_or(NOWHERE));
                kept.push(symbol);
            }
        }
        (kept, places)
    }
}

/// Walks the label sets of several packs in their order, each set once.
#[derive(Debug)]
pub(in crate::pack) struct Merge<'l> {
    inputs: Vec<Input<'l>>,
    labels: LabelRefs,
    /// Whether label sets must ascend, as they do in all blocks of Prometheus.
    is_sorted: bool,
}

#[derive(Debug)]
struct Input<'l> {
    labels: LabelIter<'l>,
    /// The packs that have these label sets.
    packs: &'l [usize],
    /// Where its symbols are in the union.
    places: Vec<u32>,
    /// Its next label set, in symbols of the union; `None` behind the last.
    next: Option<LabelRefs>,
}

impl<'l> Merge<'l> {
    /// The label sets of `tables`, whose symbols are at `places` of a union. They are held to their
    /// order if `is_sorted`.
    pub(super) fn new(
        tables: &'l [Table],
        places: Vec<Vec<u32>>,
        is_sorted: bool,
    ) -> Result<Self, Malformed> {
        let inputs = tables.iter().zip(places).map(|(table, places)| {
            let mut input = Input {
                labels: table.labels.walk(),
                packs: &table.packs,
                places,
                next: Some(LabelRefs::new()),
            };
            input.advance()?;
            Ok(input)
        });
        Ok(Merge {
            inputs: inputs.collect::<Result<_, Malformed>>()?,
            labels: LabelRefs::new(),
            is_sorted,
        })
    }

    /// Goes to the next label set, and puts the numbers of the packs that have it into `members`;
    /// `None` behind the last.
    pub(in crate::pack) fn next(
        &mut self,
        members: &mut Vec<usize>,
    ) -> Result<Option<&LabelRefs>, Malformed> {
        members.clear();
        let next = self
            .inputs
            .iter()
            .filter_map(|input| input.next.as_ref())
            .min();
        let Some(next) = next else {
            return Ok(None);
        };
        if self.is_sorted && !self.labels.is_empty() && *next <= self.labels {
            let wanted = "in the order of their labels";
            return Err(Malformed::unexpected(
                "labels", 0, "series", wanted, "others",
            ));
        }
        self.labels.clone_from(next);
        for input in &mut self.inputs {
            if input.next.as_ref() == Some(&self.labels) {
                members.extend_from_slice(input.packs);
                input.advance()?;
            }
        }
        // Tables are in the order of their first packs, and packs of several may alternate.
        members.sort_unstable();
        Ok(Some(&self.labels))
    }
}

impl Input<'_> {
    fn advance(&mut self) -> Result<(), Malformed> {
        let Some(next) = &mut self.next else {
            return Ok(());
        };
        if !self.labels.next(next)? {
            self.next = None;
            return Ok(());
        }
        move_to(next, &self.places);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_has_every_symbol_once_and_knows_where_they_come_from() {
        let tables: [&[&[u8]]; 3] = [&[b"a", b"c"], &[], &[b"a", b"b", b"d"]];
        let of = |tables: &[&'static [&'static [u8]]]| {
            let tables = tables
                .iter()
                .map(|table| Box::new(table.iter().copied()) as Box<_>);
            Union::of(tables.collect()).unwrap()
        };
        let union = of(&tables);
        assert!(union.symbols.iter().eq([b"a", b"b", b"c", b"d"]));
        assert!(union.is_sorted);
        assert_eq!(union.places, [vec![0, 2], vec![], vec![0, 1, 3]]);
        let (kept, places) = union.without(&[0, 2]);
        assert_eq!(kept, [b"b", b"d"]);
        assert_eq!(places, [NOWHERE, 0, NOWHERE, 1]);
        assert!(!of(&[&[b"b", b"a"]]).is_sorted);
    }
}
