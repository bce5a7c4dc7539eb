//! Deletions of blocks that are stored, and what they have left of blocks that are here.

use std::collections::BTreeSet;
use std::path::Path;

use crate::block::{Block, Tombstones};
use crate::index::Series;
use crate::model::{Millis, SeriesRef};
use crate::raw::ReadMode;
use crate::repository::{Digest, StoredBlock, StoredFile};
use crate::store::Store;
use crate::stored::StoredReader;

/// Longest such file that is read. It holds millions of deletions.
const MAX_BYTES: u64 = 64 << 20;

fn file(files: &[StoredFile]) -> Option<&StoredFile> {
    let none = Tombstones::EMPTY_FILE.len() as u64;
    let mut files = files.iter();
    files.find(|file| file.name.as_str() == "tombstones" && file.bytes > none)
}

/// Size and digest of the file of deletions, if there are any.
pub(super) fn deletions(files: &[StoredFile]) -> Option<(u64, Digest)> {
    file(files).map(|file| (file.bytes, file.sha256))
}

/// Whether samples of every series of `block` were deleted before it was stored. Of such a block
/// nothing may be left when Prometheus rewrites it; it takes one with as many deletions as series
/// for empty as well. What cannot be read has none.
pub(super) fn has_deletions_everywhere(store: &dyn Store, block: &StoredBlock) -> bool {
    let read = || {
        let file = file(&block.files)?;
        let reader = StoredReader::new(store, block);
        let content = reader.content(file, MAX_BYTES).ok()?;
        Some(Tombstones::read(&content))
    };
    let Some(tombstones) = read() else {
        return false;
    };
    let series: BTreeSet<_> = tombstones.records.iter().map(|one| one.series).collect();
    block.series > 0 && series.len() as u64 >= block.series
}

/// How many series of the block in `dir` have samples in this time, both ends included, that are
/// not deleted: as its index says, chunk by chunk. `None` where it cannot be read.
pub(super) fn series_in(
    dir: &Path,
    (since, until): (Millis, Millis),
    mode: ReadMode,
) -> Option<u64> {
    let block = Block::open(dir, mode).ok()?;
    let reaches = |min: Millis, max: Millis| min <= until && since <= max;
    let deleted = block.tombstones().records.iter();
    let deleted = deleted.filter(|one| reaches(one.min_time, one.max_time));
    let deleted: BTreeSet<SeriesRef> = deleted.map(|one| one.series).collect();
    let index = block.index().ok()?;
    let (mut series, mut count) = (Series::default(), 0);
    for entry in index.series() {
        let entry = entry.ok()?;
        entry.decode(&mut series).ok()?;
        let mut chunks = series.chunks.iter();
        let is_there = chunks.any(|chunk| reaches(chunk.min_time, chunk.max_time));
        count += u64::from(is_there && !deleted.contains(&entry.reference));
    }
    Some(count)
}
