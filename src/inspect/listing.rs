//! A directory of blocks at a glance: from `meta.json` and file sizes, without opening index or
//! segments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::marks::{Mark, marks};
use crate::block::{BlockFiles, DataDir, DirEntry, EntryKind, Meta, read_meta};
use crate::chunk::{Encodings, SEGMENT_HEADER, Segment};
use crate::error::{Error, Result};
use crate::model::{Millis, Stream, Succession, Ulid};
use crate::start::{Reach, Release};

/// Overlapping blocks that a block names; in a directory where everything overlaps the list would
/// grow with the square of the blocks.
const OVERLAPS_NAMED: usize = 16;

/// A hole between blocks is a [`BlockGap`] from this length on. Regular blocks leave holes of up to
/// one scrape interval, because a block starts with its first sample.
const MIN_GAP: Millis = 60_000;

/// A directory's blocks by time, and what else lies there.
#[derive(Clone, Debug, Default)]
pub struct BlockListing {
    /// Blocks whose metadata can be read, by the beginning of their range.
    pub blocks: Vec<ListedBlock>,
    /// Blocks whose metadata cannot be read. Prometheus leaves them out without much ado.
    pub unreadable: Vec<UnlistedBlock>,
    /// Everything that is not a block.
    pub others: Vec<OtherEntry>,
}

/// One block, as its metadata and file sizes describe it.
#[derive(Clone, Debug)]
pub struct ListedBlock {
    /// Its directory.
    pub dir: PathBuf,
    /// What `meta.json` says.
    pub meta: Meta,
    /// Bytes of the index file.
    pub index_bytes: u64,
    /// Bytes of all segment files.
    pub chunk_bytes: u64,
    /// Files missing without which the block cannot be opened: `index`, `chunks`.
    pub missing: Vec<&'static str>,
    /// How the directory differs from what Prometheus expects: [`EntryKind::MisspelledBlock`] or
    /// [`EntryKind::SymlinkedBlock`].
    pub oddity: Option<EntryKind>,
    /// The name of the directory, where it is a ULID other than the one in the metadata.
    pub directory_ulid: Option<Ulid>,
    /// Marks in its directory.
    pub marks: Vec<Mark>,
    /// The hole before this block.
    pub gap: Option<BlockGap>,
    /// Blocks whose range overlaps this one's, at most 16 of them. A block and the one it was
    /// compacted into do not count, nor do blocks of another resolution, shard or tenant: they
    /// are meant to lie beside it.
    pub overlaps: Vec<Ulid>,
    /// The block that was compacted from this one, and holds its samples: Prometheus deletes this
    /// one at its next start.
    pub superseded_by: Option<Ulid>,
    /// A block that names this one as its parent and does not hold its samples, like aggregates or
    /// one shard of it: Prometheus deletes this one all the same.
    pub parent_of: Option<Ulid>,
    /// In which ways its range of time cannot be true, once [`BlockListing::judge`] has looked.
    pub reach: Vec<Reach>,
    /// The release of Prometheus that its first chunks need, where that is newer than the oldest
    /// one known.
    pub needs: Option<Release>,
}

/// A range of time that no block covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockGap {
    /// Its first millisecond.
    pub min_time: Millis,
    /// The millisecond after it.
    pub max_time: Millis,
}

impl BlockGap {
    /// Length in milliseconds.
    pub fn duration(self) -> Millis {
        self.max_time.saturating_sub(self.min_time)
    }
}

/// A block whose metadata cannot be read.
#[derive(Debug, Clone)]
pub struct UnlistedBlock {
    /// Its directory.
    pub dir: PathBuf,
    /// Why, on one line.
    pub reason: String,
}

/// An entry of the directory that is not a block.
#[derive(Clone, Debug)]
pub struct OtherEntry {
    /// What it is.
    pub entry: DirEntry,
    /// Bytes of all regular files in it, where they can be seen.
    pub bytes: u64,
}

/// Sums over the blocks of a [`BlockListing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockTotals {
    /// Blocks whose metadata can be read.
    pub blocks: u64,
    /// Start of the earliest block.
    pub min_time: Millis,
    /// End of the latest block.
    pub max_time: Millis,
    /// Chunks of all blocks.
    pub chunks: u64,
    /// Samples of all blocks; those in overlapping blocks count more than once.
    pub samples: u64,
    /// Bytes of all index files.
    pub index_bytes: u64,
    /// Bytes of all segment files.
    pub chunk_bytes: u64,
}

impl BlockListing {
    /// Lists what `dir` holds. A block that vanishes meanwhile is left out: Prometheus has deleted
    /// it.
    pub fn of(dir: &DataDir) -> Self {
        let blocks: Vec<&DirEntry> = dir.blocks().collect();
        let others: Vec<&DirEntry> = dir
            .entries()
            .iter()
            .filter(|entry| !entry.kind.is_block())
            .collect();
        let read = blocks
            .par_iter()
            .filter_map(|entry| read_block(entry))
            .collect::<Vec<_>>();
        let mut listing = BlockListing::default();
        for block in read {
            match block {
                Ok(block) => listing.blocks.push(block),
                Err(unreadable) => listing.unreadable.push(unreadable),
            }
        }
        listing.others = others
            .par_iter()
            .map(|entry| OtherEntry {
                entry: (*entry).clone(),
                bytes: bytes_below(&entry.path),
            })
            .collect();
        listing.relate();
        listing
    }

    /// Puts several listings together, for blocks that were named one by one.
    #[must_use]
    pub fn joined(listings: impl IntoIterator<Item = BlockListing>) -> Self {
        let mut all = BlockListing::default();
        for listing in listings {
            all.blocks.extend(listing.blocks);
            all.unreadable.extend(listing.unreadable);
            all.others.extend(listing.others);
        }
        all.relate();
        all
    }

    /// Judges the ranges of the blocks at the time `now`, and looks at their first chunks for what
    /// reads them.
    pub fn judge(&mut self, now: Millis) {
        self.blocks.par_iter_mut().for_each(|block| {
            block.reach = Reach::of(&block.meta, None, Some(now));
            block.needs = first_chunks(&block.dir)
                .known()
                .filter_map(Release::reading_chunks)
                .max()
                .filter(|needed| *needed > Release::OLDEST);
        });
    }

    /// Whether a block cannot be read, lacks files, or has a range that cannot be true.
    pub fn has_problems(&self) -> bool {
        let is_bad = |block: &ListedBlock| !block.missing.is_empty() || !block.reach.is_empty();
        !self.unreadable.is_empty() || self.blocks.iter().any(is_bad)
    }

    /// Sums over all blocks.
    pub fn totals(&self) -> BlockTotals {
        let sum = |count: fn(&ListedBlock) -> u64| {
            self.blocks
                .iter()
                .fold(0u64, |sum, block| sum.saturating_add(count(block)))
        };
        let times = || self.blocks.iter().map(|block| &block.meta);
        BlockTotals {
            blocks: self.blocks.len() as u64,
            min_time: times().map(|meta| meta.min_time).min().unwrap_or(0),
            max_time: times().map(|meta| meta.max_time).max().unwrap_or(0),
            chunks: sum(|block| block.meta.stats.num_chunks),
            samples: sum(|block| block.meta.stats.num_samples),
            index_bytes: sum(|block| block.index_bytes),
            chunk_bytes: sum(|block| block.chunk_bytes),
        }
    }

    /// Sorts the blocks by time and fills in what each is to the others.
    fn relate(&mut self) {
        self.blocks.sort_by(|a, b| {
            let key = |block: &ListedBlock| {
                let meta = &block.meta;
                (meta.min_time, Reverse(meta.max_time), meta.ulid)
            };
            key(a).cmp(&key(b)).then_with(|| a.dir.cmp(&b.dir))
        });
        self.find_children();
        self.find_gaps();
        self.find_overlaps();
    }

    fn find_children(&mut self) {
        let kins = self
            .blocks
            .iter()
            .map(|block| block.meta.kin(block.meta.ulid));
        let succession = Succession::of(kins);
        for block in &mut self.blocks {
            let ulid = block.meta.ulid;
            let first = succession.children(ulid).next();
            block.superseded_by = succession.heirs(ulid, None).into_iter().next();
            block.parent_of = first.filter(|_| block.superseded_by.is_none());
        }
    }

    fn find_gaps(&mut self) {
        let mut before: Option<(Millis, Millis)> = None;
        for block in &mut self.blocks {
            let meta = &block.meta;
            block.gap = before.and_then(|(end, duration)| {
                let gap = BlockGap {
                    min_time: end,
                    max_time: meta.min_time,
                };
                let shortest = MIN_GAP.max(duration.min(meta.duration()) / 20);
                (gap.duration() > shortest).then_some(gap)
            });
            if before.is_none_or(|(end, _)| meta.max_time > end) {
                before = Some((meta.max_time, meta.duration()));
            }
        }
    }

    fn find_overlaps(&mut self) {
        let mut by_stream: BTreeMap<Stream, Vec<usize>> = BTreeMap::new();
        for (at, block) in self.blocks.iter_mut().enumerate() {
            block.overlaps.clear();
            let is_empty = block.meta.max_time <= block.meta.min_time;
            if !is_empty && block.superseded_by.is_none() {
                by_stream.entry(block.meta.stream()).or_default().push(at);
            }
        }
        for alike in by_stream.into_values() {
            let times = |at: usize| self.blocks.get(at).map(|block| &block.meta);
            let ranges: Vec<_> = alike
                .iter()
                .filter_map(|at| times(*at))
                .map(|meta| (meta.min_time, meta.max_time, meta.ulid))
                .collect();
            for (at, overlaps) in alike.into_iter().zip(overlaps(&ranges)) {
                if let Some(block) = self.blocks.get_mut(at) {
                    block.overlaps = overlaps;
                }
            }
        }
    }
}

/// Of each of these ranges, which are sorted by their begin, the first so many that overlap it.
fn overlaps(ranges: &[(Millis, Millis, Ulid)]) -> Vec<Vec<Ulid>> {
    let mut all = Vec::with_capacity(ranges.len());
    // By their place, the earlier ranges that have not ended, and when they do.
    let mut open: BTreeMap<usize, Ulid> = BTreeMap::new();
    let mut ends: BTreeSet<(Millis, usize)> = BTreeSet::new();
    for (at, &(begin, end, ulid)) in ranges.iter().enumerate() {
        while let Some(&(first, ended)) = ends.first().filter(|(first, _)| *first <= begin) {
            open.remove(&ended);
            ends.remove(&(first, ended));
        }
        let later = ranges.get(at + 1..).unwrap_or_default().iter();
        let later = later.take_while(|(begin, _, _)| *begin < end);
        let overlapping = open.values().copied().chain(later.map(|range| range.2));
        all.push(overlapping.take(OVERLAPS_NAMED).collect());
        open.insert(at, ulid);
        ends.insert((end, at));
    }
    all
}

/// Looks at one block; nothing when it is gone.
fn read_block(entry: &DirEntry) -> Option<Result<ListedBlock, UnlistedBlock>> {
    let read = BlockFiles::scan(&entry.path).and_then(|files| {
        let meta = read_meta(&files)?;
        if !(1..=2).contains(&meta.version) {
            return Err(Error::unsupported(format!(
                "{}: expected block metadata of version 1, found {}",
                files.meta().display(),
                meta.version
            )));
        }
        Ok((files, meta))
    });
    match read {
        Ok((files, meta)) => Some(Ok(describe(entry, &files, meta))),
        Err(_) if is_gone(&entry.path) => None,
        Err(error) => Some(Err(UnlistedBlock {
            dir: entry.path.clone(),
            reason: error.chain(),
        })),
    }
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn describe(entry: &DirEntry, files: &BlockFiles, meta: Meta) -> ListedBlock {
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let chunk_bytes = files
        .segments
        .iter()
        .map(|name| size(files.segment(name)))
        .fold(0, u64::saturating_add);
    let missing = [("index", files.has_index), ("chunks", files.has_chunks_dir)];
    ListedBlock {
        dir: entry.path.clone(),
        index_bytes: size(files.index()),
        chunk_bytes,
        missing: missing
            .into_iter()
            .filter(|(_, there)| !there)
            .map(|(name, _)| name)
            .collect(),
        oddity: (entry.kind != EntryKind::Block).then_some(entry.kind),
        directory_ulid: entry.ulid.filter(|ulid| *ulid != meta.ulid),
        marks: marks(&entry.path),
        gap: None,
        overlaps: Vec::new(),
        superseded_by: None,
        parent_of: None,
        reach: Vec::new(),
        needs: None,
        meta,
    }
}

/// Bytes of the regular files at and below `path`; links are not followed, what cannot be seen
/// counts nothing.
pub(super) fn bytes_below(path: &Path) -> u64 {
    let mut bytes = 0u64;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_file() {
            bytes = bytes.saturating_add(metadata.len());
        } else if metadata.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

/// Bytes of the first segment that are looked at.
const FIRST_BYTES: u64 = 64 << 10;

/// The encodings of the block's first chunks.
fn first_chunks(dir: &Path) -> Encodings {
    let mut found = Encodings::default();
    let mut bytes = Vec::new();
    let path = dir.join("chunks").join("000001");
    let is_file = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let read = |bytes: &mut Vec<u8>| fs::File::open(&path)?.take(FIRST_BYTES).read_to_end(bytes);
    if !is_file || read(&mut bytes).is_err() {
        return found;
    }
    let segment = Segment::new(&bytes);
    let mut offset = SEGMENT_HEADER;
    while segment.check_header().is_ok()
        && let Ok(record) = segment.record(offset)
    {
        found.insert(record.encoding);
        offset = record.end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    /// A block that covers these hours; `number` makes its ULID.
    fn block(number: u128, hours: std::ops::Range<i64>, parents: &[u128]) -> ListedBlock {
        let ulid = Ulid::from_parts(0, number);
        let sources: Vec<_> = match parents {
            [] => vec![ulid.to_string()],
            parents => parents
                .iter()
                .map(|parent| Ulid::from_parts(0, *parent).to_string())
                .collect(),
        };
        let parents: Vec<_> = parents
            .iter()
            .map(|parent| format!(r#"{{"ulid":"{}"}}"#, Ulid::from_parts(0, *parent)))
            .collect();
        let meta = format!(
            r#"{{"ulid":"{ulid}","minTime":{},"maxTime":{},"version":1,
                "compaction":{{"sources":["{}"],"parents":[{}]}}}}"#,
            hours.start * HOUR,
            hours.end * HOUR,
            sources.join("\",\""),
            parents.join(",")
        );
        ListedBlock {
            dir: PathBuf::from(ulid.to_string()),
            meta: Meta::parse(meta.as_bytes()).unwrap(),
            index_bytes: 10,
            chunk_bytes: 100,
            missing: Vec::new(),
            oddity: None,
            directory_ulid: None,
            marks: Vec::new(),
            gap: None,
            overlaps: Vec::new(),
            superseded_by: None,
            parent_of: None,
            reach: Vec::new(),
            needs: None,
        }
    }

    fn related(blocks: Vec<ListedBlock>) -> Vec<ListedBlock> {
        let mut listing = BlockListing {
            blocks,
            ..BlockListing::default()
        };
        listing.relate();
        listing.blocks
    }

    fn ulid(number: u128) -> Ulid {
        Ulid::from_parts(0, number)
    }

    #[test]
    fn blocks_are_sorted_by_time_and_a_hole_is_marked_after_the_longest_reaching_block() {
        let blocks = related(vec![
            block(1, 12..14, &[]),
            block(2, 0..9, &[]),
            block(3, 2..4, &[]),
        ]);
        let order: Vec<_> = blocks.iter().map(|block| block.meta.ulid).collect();
        assert_eq!(order, [ulid(2), ulid(3), ulid(1)]);
        let gaps: Vec<_> = blocks.iter().map(|block| block.gap).collect();
        let gap = BlockGap {
            min_time: 9 * HOUR,
            max_time: 12 * HOUR,
        };
        assert_eq!(gaps, [None, None, Some(gap)]);
    }

    #[test]
    fn the_first_scrape_of_a_block_may_be_late_without_a_gap() {
        let mut late = block(2, 2..4, &[]);
        late.meta.min_time += 5 * 60_000;
        let blocks = related(vec![block(1, 0..2, &[]), late.clone()]);
        assert_eq!(blocks[1].gap, None);
        late.meta.min_time += 2 * 60_000;
        let blocks = related(vec![block(1, 0..2, &[]), late]);
        assert_eq!(blocks[1].gap.map(BlockGap::duration), Some(7 * 60_000));
    }

    #[test]
    fn overlaps_are_mutual_and_do_not_count_parents_of_a_block_that_is_there() {
        let blocks = related(vec![
            block(1, 0..2, &[]),
            block(2, 2..4, &[]),
            block(3, 0..4, &[1, 2]),
            block(4, 3..6, &[]),
            block(5, 6..8, &[]),
        ]);
        let of = |number| {
            let found = blocks.iter().find(|block| block.meta.ulid == ulid(number));
            let found = found.unwrap();
            (found.overlaps.clone(), found.superseded_by)
        };
        assert_eq!(of(1), (vec![], Some(ulid(3))));
        assert_eq!(of(2), (vec![], Some(ulid(3))));
        assert_eq!(of(3), (vec![ulid(4)], None));
        assert_eq!(
            of(4),
            (vec![ulid(3)], None),
            "blocks that touch do not overlap"
        );
        assert_eq!(of(5), (vec![], None));
    }

    #[test]
    fn the_list_of_overlaps_is_bounded() {
        let blocks = related((1..100).map(|number| block(number, 0..2, &[])).collect());
        assert!(
            blocks
                .iter()
                .all(|block| block.overlaps.len() == OVERLAPS_NAMED)
        );
    }

    #[test]
    fn totals_are_sums_and_the_outermost_times() {
        let listing = BlockListing {
            blocks: vec![block(1, -3..0, &[]), block(2, 5..7, &[])],
            ..BlockListing::default()
        };
        let totals = listing.totals();
        assert_eq!((totals.min_time, totals.max_time), (-3 * HOUR, 7 * HOUR));
        assert_eq!((totals.blocks, totals.index_bytes), (2, 20));
    }
}
