//! What is deleted of the series of a stored block.

use std::collections::HashMap;
use std::path::Path;

use super::files::{Objects, open_index};
use super::{StoredReader, TOMBSTONES};
use crate::block::{Meta, Tombstones};
use crate::error::{InFile as _, Result};
use crate::index::Series;
use crate::model::{Label, Labels, MAX_TOMBSTONES_BYTES, SeriesRef};
use crate::select::{Interval, LabelSlices, intervals_of};

/// Deleted ranges of time of the series of a block.
#[derive(Debug)]
pub(super) struct Deleted {
    by_reference: HashMap<SeriesRef, Vec<Interval>>,
    /// The same, for whoever has no index.
    by_labels: HashMap<Labels, Vec<Interval>>,
}

impl Deleted {
    /// Reads the tombstones of the block.
    ///
    /// # Errors
    ///
    /// When they, or the index that says whose they are, are damaged.
    pub(super) fn read(
        reader: &StoredReader<'_>,
        objects: &mut Objects<'_>,
        meta: &Meta,
    ) -> Result<Self> {
        let tombstones = match reader.file(TOMBSTONES) {
            Some(file) => Tombstones::read(&objects.content(file, MAX_TOMBSTONES_BYTES)?),
            None => Tombstones::default(),
        };
        if let Some(fault) = tombstones.faults.into_iter().next() {
            return Err(fault).in_file(Path::new(TOMBSTONES));
        }
        let mut deleted = Deleted {
            by_reference: intervals_of(&tombstones.records),
            by_labels: HashMap::new(),
        };
        if reader.is_packed() && !deleted.by_reference.is_empty() {
            deleted.find_labels(objects, meta)?;
        }
        Ok(deleted)
    }

    /// Tombstones name series by their place in the index, which nothing but the index tells.
    fn find_labels(&mut self, objects: &mut Objects<'_>, meta: &Meta) -> Result<()> {
        let bytes = objects.index()?;
        let index = open_index(&bytes, meta)?;
        let path = Path::new(super::INDEX);
        let symbols = index.symbols().in_file(path)?;
        let mut series = Series::default();
        for entry in index.series() {
            let entry = entry.in_file(path)?;
            let Some(intervals) = self.by_reference.get(&entry.reference) else {
                continue;
            };
            entry.check().in_file(path)?;
            entry.decode(&mut series).in_file(path)?;
            let labels = index.labels(&symbols, &series, entry.offset);
            let labels = labels.in_file(path)?;
            self.by_labels.insert(labels, intervals.clone());
        }
        Ok(())
    }

    /// What is deleted of the series at `reference` in the index.
    pub(super) fn at(&self, reference: SeriesRef) -> &[Interval] {
        self.by_reference.get(&reference).map_or(&[], Vec::as_slice)
    }

    /// What is deleted of the series with these labels, of a block whose samples lie in packs.
    pub(super) fn of(&self, labels: &LabelSlices<'_>) -> &[Interval] {
        if self.by_labels.is_empty() {
            return &[];
        }
        let label = |(name, value): &(&[u8], &[u8])| Label {
            name: (*name).into(),
            value: (*value).into(),
        };
        let labels = Labels(labels.iter().map(label).collect());
        self.by_labels.get(&labels).map_or(&[], Vec::as_slice)
    }
}
