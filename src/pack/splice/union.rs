//! Symbols and label sets of several packs as one.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::index::SymbolRef;
use crate::pack::labels::{LabelIter, LabelRefs, Labels};
use crate::raw::Malformed;

/// Stands for a symbol that is in one of the tables, but not in the union.
const DROPPED: u32 = u32::MAX;

/// The symbols of several tables, sorted, each once; and where those of each table are in it.
#[derive(Debug)]
pub(in crate::pack) struct Union<'s> {
    pub(in crate::pack) symbols: Vec<&'s [u8]>,
    /// For each table and each of its symbols, the symbol's position in the union.
    pub(in crate::pack) places: Vec<Vec<u32>>,
}

impl<'s> Union<'s> {
    /// The union of `tables`, each of which is sorted.
    pub(in crate::pack) fn of(tables: Vec<Vec<&'s [u8]>>) -> Self {
        let mut places: Vec<Vec<u32>> = tables
            .iter()
            .map(|table| Vec::with_capacity(table.len()))
            .collect();
        let mut rest: Vec<_> = tables.into_iter().map(Vec::into_iter).collect();
        let mut heap: BinaryHeap<Reverse<(&[u8], usize)>> = BinaryHeap::new();
        for (table, symbols) in rest.iter_mut().enumerate() {
            heap.extend(symbols.next().map(|symbol| Reverse((symbol, table))));
        }
        let mut symbols: Vec<&[u8]> = Vec::new();
        while let Some(Reverse((symbol, table))) = heap.pop() {
            if symbols.last() != Some(&symbol) {
                symbols.push(symbol);
            }
            let place = u32::try_from(symbols.len() - 1).unwrap_or(DROPPED);
            if let Some(places) = places.get_mut(table) {
                places.push(place);
            }
            let next = rest.get_mut(table).and_then(Iterator::next);
            heap.extend(next.map(|symbol| Reverse((symbol, table))));
        }
        Union { symbols, places }
    }

    /// The symbols without those at the positions `dropped`, and for each symbol of the union its position among them.
    pub(in crate::pack) fn without(&self, dropped: &[u32]) -> (Vec<&'s [u8]>, Vec<u32>) {
        let mut dropped = dropped.iter().copied().peekable();
        let mut kept = Vec::with_capacity(self.symbols.len());
        let mut places = Vec::with_capacity(self.symbols.len());
        for (at, symbol) in self.symbols.iter().enumerate() {
            if dropped.next_if(|next| *next as usize == at).is_some() {
                places.push(DROPPED);
            } else {
                places.push(u32::try_from(kept.len()).unwrap_or(DROPPED));
                kept.push(*symbol);
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
    /// Where its symbols are in the union.
    places: Vec<u32>,
    /// Its next label set, in symbols of the union; `None` behind the last.
    next: Option<LabelRefs>,
}

impl<'l> Merge<'l> {
    /// The label sets of `labels`, whose symbols are at `places` of a union. They are held to their order if `is_sorted`.
    pub(in crate::pack) fn new(
        labels: impl IntoIterator<Item = &'l Labels>,
        places: Vec<Vec<u32>>,
        is_sorted: bool,
    ) -> Result<Self, Malformed> {
        let inputs = labels.into_iter().zip(places).map(|(labels, places)| {
            let mut input = Input {
                labels: labels.walk(),
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

    /// Goes to the next label set, and puts the numbers of the packs that have it into `members`; `None` behind the last.
    pub(in crate::pack) fn next(
        &mut self,
        members: &mut Vec<usize>,
    ) -> Result<Option<&LabelRefs>, Malformed> {
        members.clear();
        for (number, input) in self.inputs.iter().enumerate() {
            let Some(next) = &input.next else {
                continue;
            };
            let first = members.first().and_then(|first| self.inputs.get(*first));
            let order = first
                .and_then(|first| first.next.as_ref())
                .map(|first| next.cmp(first));
            match order {
                Some(Ordering::Greater) => {}
                Some(Ordering::Equal) => members.push(number),
                Some(Ordering::Less) | None => {
                    members.clear();
                    members.push(number);
                }
            }
        }
        for (at, member) in members.iter().enumerate() {
            let Some(input) = self.inputs.get_mut(*member) else {
                continue;
            };
            if at == 0
                && let Some(next) = &mut input.next
            {
                std::mem::swap(&mut self.labels, next);
            }
            input.advance()?;
            if self.is_sorted && input.next.as_ref().is_some_and(|next| *next <= self.labels) {
                return Err(Malformed::unexpected(
                    "labels",
                    0,
                    "series",
                    "in the order of their labels",
                    "others",
                ));
            }
        }
        Ok((!members.is_empty()).then_some(&self.labels))
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
        for symbol in next.iter_mut().flat_map(|(name, value)| [name, value]) {
            // Labels are checked against their symbols when they are read.
            *symbol = SymbolRef(
                self.places
                    .get(symbol.0 as usize)
                    .copied()
                    .unwrap_or(DROPPED),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_has_every_symbol_once_and_knows_where_they_come_from() {
        let tables: Vec<Vec<&[u8]>> = vec![vec![b"a", b"c"], vec![], vec![b"a", b"b", b"d"]];
        let union = Union::of(tables);
        assert_eq!(union.symbols, [b"a", b"b", b"c", b"d"]);
        assert_eq!(union.places, [vec![0, 2], vec![], vec![0, 1, 3]]);
        let (kept, places) = union.without(&[0, 2]);
        assert_eq!(kept, [b"b", b"d"]);
        assert_eq!(places, [DROPPED, 0, DROPPED, 1]);
    }
}
