//! The selected series of one block, one after the other, for readers that go on behind a fault and
//! for those that do not.

use std::collections::HashMap;

use super::LabelSlices;
use super::candidates::Candidates;
use super::deleted::{Interval, deleted_intervals};
use super::filter::Filter;
use super::problem::Lost;
use super::selector::Selector;
use crate::block::Block;
use crate::index::{Index, Series, SeriesEntry, Symbols};
use crate::model::SeriesRef;
use crate::raw::Malformed;

/// Stands at one selected series of a block.
pub(crate) struct SeriesCursor<'a> {
    index: Index<'a>,
    symbols: Symbols<'a>,
    candidates: Candidates<'a>,
    filter: Filter<'a>,
    deleted: HashMap<SeriesRef, Vec<Interval>>,
    reference: SeriesRef,
    series: Series,
    /// Series entries read so far, selected or not.
    pub(super) seen: u64,
}

/// Why the cursor stands at no series.
pub(crate) enum Unread<'a> {
    /// No entry is found, and what that means for those behind it.
    Lost(Malformed, Lost),
    /// This entry is damaged. What could be read of it is in [`SeriesCursor::series`].
    Entry(SeriesEntry<'a>, Malformed),
}

impl Unread<'_> {
    /// The fault alone.
    pub(crate) fn into_fault(self) -> Malformed {
        match self {
            Unread::Lost(fault, _) | Unread::Entry(_, fault) => fault,
        }
    }
}

impl<'a> SeriesCursor<'a> {
    /// Stands before the first series of `block`, whose index is `index`, that one of `selectors`
    /// selects; every series has the labels `added` beside its own.
    ///
    /// # Errors
    ///
    /// When there is no symbol table to read labels with.
    pub(crate) fn open(
        block: &Block,
        index: Index<'a>,
        selectors: &'a [Selector],
        added: &LabelSlices<'_>,
    ) -> Result<Self, Malformed> {
        let symbols = index.symbols()?;
        Ok(SeriesCursor {
            candidates: Candidates::beside(&index, selectors, added),
            filter: Filter::beside(selectors, &symbols, added),
            deleted: deleted_intervals(block),
            index,
            symbols,
            reference: SeriesRef::default(),
            series: Series::default(),
            seen: 0,
        })
    }

    /// Moves to the next selected series; `None` when there is none. Behind a fault it can be asked
    /// again.
    pub(crate) fn advance(&mut self) -> Option<Result<SeriesEntry<'a>, Unread<'a>>> {
        while let Some(entry) = self.candidates.next(&self.index) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(fault) => return Some(Err(Unread::Lost(fault, self.candidates.loss()))),
            };
            self.seen += 1;
            match self.take(&entry) {
                Ok(true) => return Some(Ok(entry)),
                Ok(false) => {}
                Err(fault) => return Some(Err(Unread::Entry(entry, fault))),
            }
        }
        None
    }

    /// Reads an entry; `false` when it is not selected.
    fn take(&mut self, entry: &SeriesEntry<'a>) -> Result<bool, Malformed> {
        // Decoded before the checksum is looked at: a problem report says as much as can be read.
        let decoded = entry.decode(&mut self.series);
        entry.check()?;
        decoded?;
        self.reference = entry.reference;
        self.filter
            .selects(&self.series, &self.symbols, entry.offset)
    }

    /// The series it stands at.
    pub(crate) fn series(&self) -> &Series {
        &self.series
    }

    /// The index it goes through.
    pub(crate) fn index(&self) -> &Index<'a> {
        &self.index
    }

    /// The symbols that labels of the series refer to.
    pub(crate) fn symbols(&self) -> &Symbols<'a> {
        &self.symbols
    }

    /// Deleted ranges of the series, sorted; none of them touch.
    pub(crate) fn deleted(&self) -> &[Interval] {
        self.deleted.get(&self.reference).map_or(&[], Vec::as_slice)
    }
}
