//! Which series entries of a block are worth a look.

use std::vec;

use super::problem::Lost;
use super::selector::Selector;
use crate::index::{Index, Postings, PostingsTable, SeriesEntry, SoundEntries};
use crate::model::SeriesRef;
use crate::raw::Malformed;

/// Series entries in index order: all of them, or those that postings name.
pub(crate) enum Candidates<'a> {
    All(SoundEntries<'a>),
    Listed(vec::IntoIter<SeriesRef>),
}

impl<'a> Candidates<'a> {
    /// The candidates for any of `selectors`, of series that have the labels `added` beside those
    /// in the index. Postings are used when each selector pins some label to one value and they
    /// are sound; otherwise every entry is read, so that damaged postings hide nothing.
    pub(crate) fn beside(
        index: &Index<'a>,
        selectors: &[Selector],
        added: &[(&[u8], &[u8])],
    ) -> Self {
        match from_postings(index, selectors, added) {
            Some(references) => Candidates::Listed(references.into_iter()),
            None => Candidates::All(index.sound_series()),
        }
    }

    /// The next entry. After one that is damaged it goes on where the next sound one stands.
    pub(crate) fn next(&mut self, index: &Index<'a>) -> Option<Result<SeriesEntry<'a>, Malformed>> {
        match self {
            Candidates::Listed(references) => references
                .next()
                .map(|reference| index.series_at(reference)),
            Candidates::All(entries) => entries.next(),
        }
    }

    /// What an entry that cannot be framed stands for.
    pub(super) fn loss(&self) -> Lost {
        match self {
            Candidates::All(_) => Lost::SeriesUnknown,
            Candidates::Listed(_) => Lost::Series,
        }
    }
}

/// The series in the shortest list of each selector; nothing when a selector has no list or one of
/// the lists is unsound.
fn from_postings(
    index: &Index<'_>,
    selectors: &[Selector],
    added: &[(&[u8], &[u8])],
) -> Option<Vec<SeriesRef>> {
    if selectors.is_empty() {
        return None;
    }
    let table = index.postings_table().ok()?;
    let mut references = Vec::new();
    for selector in selectors {
        references.extend(shortest_list(index, &table, selector, added)?);
    }
    references.sort_unstable();
    references.dedup();
    Some(references)
}

fn shortest_list(
    index: &Index<'_>,
    table: &PostingsTable<'_>,
    selector: &Selector,
    added: &[(&[u8], &[u8])],
) -> Option<Vec<SeriesRef>> {
    let pinned: Vec<(&[u8], &[u8])> = selector
        .matchers()
        .iter()
        .filter(|matcher| added.iter().all(|(name, _)| *name != matcher.name()))
        .filter_map(|matcher| matcher.only_value().map(|value| (matcher.name(), value)))
        .collect();
    let mut lists: Vec<Option<Postings<'_>>> = vec![None; pinned.len()];
    for entry in table.iter() {
        let entry = entry.ok()?;
        let pairs = pinned.iter().zip(&mut lists);
        for (_, list) in pairs.filter(|(pair, _)| **pair == (entry.name, entry.value)) {
            let section = index.postings_section(entry.list).ok()?;
            section.checksum.clone().ok()?;
            *list = Some(Postings::read(&section).ok()?);
        }
    }
    // A pair without a list is carried by no series.
    let shortest = lists
        .iter()
        .min_by_key(|list| list.as_ref().map_or(0, Postings::len))?;
    let references: Vec<_> = shortest.iter().flat_map(Postings::iter).collect();
    references.is_sorted().then_some(references)
}
