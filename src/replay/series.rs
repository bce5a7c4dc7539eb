//! The series that a log defines: their labels, each string once, and the numbers that stand for
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::wal::{HeadSeriesRef, LabelPairs};

/// A series of the head, by the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SeriesId(pub(super) u32);

impl SeriesId {
    pub(super) fn at(self) -> usize {
        self.0 as usize
    }
}

/// Labels as positions of name and value among the strings.
pub(super) type LabelIds = Arc<[(u32, u32)]>;

/// All series that were defined.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    strings: Vec<Arc<[u8]>>,
    by_string: HashMap<Arc<[u8]>, u32>,
    labels: Vec<LabelIds>,
    by_labels: HashMap<LabelIds, SeriesId>,
    by_number: HashMap<u64, SeriesId>,
}

impl SeriesTable {
    /// Lets `number` stand for the series with `labels`, which may have others already: a series
    /// that was gone and came back has a new number. Gives the series; `None` where its labels are
    /// none, or there are too many series.
    pub(super) fn define(
        &mut self,
        number: HeadSeriesRef,
        labels: &LabelPairs<'_>,
    ) -> Option<SeriesId> {
        let mut ids = Vec::new();
        let mut before: Option<&[u8]> = None;
        for (name, value) in labels.iter() {
            if before.replace(name).is_some_and(|before| before >= name) {
                return None;
            }
            ids.push((self.string(name)?, self.string(value)?));
        }
        if ids.is_empty() {
            return None;
        }
        let ids: LabelIds = ids.into();
        let id = if let Some(id) = self.by_labels.get(&ids) {
            *id
        } else {
            let id = SeriesId(u32::try_from(self.labels.len()).ok()?);
            self.labels.push(Arc::clone(&ids));
            self.by_labels.insert(ids, id);
            id
        };
        self.by_number.insert(number.0, id);
        Some(id)
    }

    /// The series that `number` stands for.
    pub(super) fn of(&self, number: HeadSeriesRef) -> Option<SeriesId> {
        self.by_number.get(&number.0).copied()
    }

    /// The number stands for nothing any more.
    pub(super) fn remove(&mut self, number: HeadSeriesRef) {
        self.by_number.remove(&number.0);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The labels of a series.
    pub(super) fn labels(&self, id: SeriesId) -> &[(u32, u32)] {
        self.labels.get(id.at()).map_or(&[], |labels| labels)
    }

    /// All strings, by their positions.
    pub(super) fn strings(&self) -> &[Arc<[u8]>] {
        &self.strings
    }

    fn string(&mut self, string: &[u8]) -> Option<u32> {
        if let Some(id) = self.by_string.get(string) {
            return Some(*id);
        }
        let id = u32::try_from(self.strings.len()).ok()?;
        let string: Arc<[u8]> = string.into();
        self.strings.push(Arc::clone(&string));
        self.by_string.insert(string, id);
        Some(id)
    }
}
