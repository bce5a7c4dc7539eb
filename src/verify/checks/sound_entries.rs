//! The entries of an index that are sound, one after the other.

use crate::index::{Index, IndexFormat, SeriesEntries, SeriesEntry};

/// The sound entries of an index, passing over everything else.
pub(in crate::verify) struct SoundEntries<'a> {
    index: Index<'a>,
    entries: SeriesEntries<'a>,
}

impl<'a> SoundEntries<'a> {
    pub(in crate::verify) fn of(index: Index<'a>) -> Self {
        SoundEntries {
            index,
            entries: index.series(),
        }
    }
}

impl<'a> Iterator for SoundEntries<'a> {
    type Item = SeriesEntry<'a>;

    fn next(&mut self) -> Option<SeriesEntry<'a>> {
        loop {
            let offset = aligned(self.index, self.entries.position());
            match self.entries.next()? {
                Ok(entry) if entry.check().is_ok() && !entry.is_empty() => return Some(entry),
                Ok(_) if self.index.format() == IndexFormat::V1 => {}
                Ok(_) | Err(_) => {
                    if !self.entries.resync(offset) {
                        return None;
                    }
                }
            }
        }
    }
}

/// Where an entry would begin that is looked for at `position`.
pub(super) fn aligned(index: Index<'_>, position: u64) -> u64 {
    match index.format() {
        IndexFormat::V1 => position,
        IndexFormat::V2 => position.next_multiple_of(crate::index::SERIES_ALIGNMENT),
    }
}
