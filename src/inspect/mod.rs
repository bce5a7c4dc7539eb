//! What blocks and data directories hold, as numbers. Nothing here is formatted.
//!
//! [`BlockListing`] looks at `meta.json` and file sizes only, so that a thousand blocks take well
//! under a second. [`inspect`] reads one block's whole index and the header and checksum of every
//! chunk, in parallel; float chunks are not decoded. Its memory does not grow with the block, apart
//! from one bit per symbol.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::inspect::inspect;
//! use narthex::raw::ReadMode;
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let found = inspect(&Block::open(dir.as_ref(), ReadMode::Map)?)?;
//! assert_eq!(found.index_version, 2);
//! # Ok::<(), narthex::Error>(())
//! ```

mod distribution;
mod index_part;
mod listing;
mod marks;
mod series_part;

use std::path::PathBuf;

pub use distribution::{Bucket, Distribution};
pub(crate) use index_part::sections;
pub use index_part::{IndexSection, LabelName, PostingsCounts, SymbolCounts};
pub use listing::{BlockGap, BlockListing, BlockTotals, ListedBlock, OtherEntry, UnlistedBlock};
pub use marks::{MARK_FILES, Mark, MarkKind, marks};
pub use series_part::{EncodingCounts, SeriesCounts};
pub(crate) use series_part::{average_distance, sound_parts, three_digits};

use crate::block::{Block, Meta};
use crate::error::{InFile as _, Result};
use crate::index::{Index, Series, Symbols};
use crate::model::{Labels, Millis, SeriesRef};
use crate::raw::Malformed;

/// Samples after which Prometheus begins a new chunk, unless something forces it to earlier.
pub const FULL_CHUNK: u64 = 120;

/// Faults that are kept; further ones are counted only.
const FAULTS_KEPT: usize = 100;

/// Everything about one block.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its directory.
    pub dir: PathBuf,
    /// What `meta.json` says.
    pub meta: Meta,
    /// Version byte of the index.
    pub index_version: u8,
    /// Whether it has label indices, which Prometheus wrote until 3.6.
    pub has_label_indices: bool,
    /// Bytes of the index file.
    pub index_bytes: u64,
    /// Sections of the index file.
    pub sections: Vec<IndexSection>,
    /// Segment files with their size in bytes.
    pub segments: Vec<(String, u64)>,
    /// Symbols.
    pub symbols: SymbolCounts,
    /// Label names, those with most values first.
    pub labels: Vec<LabelName>,
    /// Postings.
    pub postings: PostingsCounts,
    /// Series and chunks.
    pub series: SeriesCounts,
    /// Deleted ranges of time, as the `tombstones` file lists them.
    pub tombstones: Vec<Deletion>,
    /// Files that do not belong to a block, relative to its directory, with their size in bytes.
    pub others: Vec<(PathBuf, u64)>,
    /// Marks in its directory.
    pub marks: Vec<Mark>,
    /// What could not be read. This is no verification: see [`verify`](crate::verify).
    pub faults: Faults,
}

/// A deleted range of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The series.
    pub reference: SeriesRef,
    /// Its labels, if there is such a series.
    pub labels: Option<Labels>,
    /// First deleted millisecond.
    pub min_time: Millis,
    /// Last deleted millisecond.
    pub max_time: Millis,
}

/// What could not be read of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first of them, at most a hundred: segment file (none: the index) and fault.
    pub first: Vec<(Option<PathBuf>, Malformed)>,
    /// How many there are.
    pub count: u64,
}

impl Faults {
    pub(crate) fn index(&mut self, fault: Malformed) {
        self.push(None, fault);
    }

    pub(crate) fn segment(&mut self, block: &Block, segment: usize, fault: Malformed) {
        self.push(Some(block.segment_path(segment)), fault);
    }

    pub(crate) fn push(&mut self, file: Option<PathBuf>, fault: Malformed) {
        self.count += 1;
        if self.first.len() < FAULTS_KEPT {
            self.first.push((file, fault));
        }
    }

    pub(crate) fn merge(&mut self, other: Faults) {
        self.count += other.count;
        let room = FAULTS_KEPT.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }
}

/// Reads everything about `block` but the samples themselves.
///
/// # Errors
///
/// When its symbol table cannot be read: then nothing can be said of its labels. Other damage, such
/// as of tombstones, goes to [`Inspection::faults`].
pub fn inspect(block: &Block) -> Result<Inspection> {
    let index = block.index()?;
    let symbols = index.symbols().in_file(&block.files().index())?;
    let used = index_part::SymbolUse::new(&index, &symbols);
    let (mut faults, mut chunk_faults) = (Faults::default(), Faults::default());
    for (path, fault) in block.faults() {
        faults.push(Some(path.clone()), fault.clone());
    }
    let ((labels, postings), series) = rayon::join(
        || index_part::postings(&index, &mut faults),
        || series_part::series(block, &index, &used, &mut chunk_faults),
    );
    faults.merge(chunk_faults);
    let files = block.files();
    let names = files.segments.iter().cloned();
    Ok(Inspection {
        dir: block.dir().to_owned(),
        meta: block.meta().clone(),
        index_version: index.version(),
        has_label_indices: index.toc().has_label_indices(),
        index_bytes: block.index_bytes(),
        sections: index_part::sections(&index),
        segments: names
            .zip(block.segments().map(|segment| segment.len()))
            .collect(),
        symbols: used.count(&symbols),
        labels,
        postings,
        series,
        tombstones: deletions(block, &index, &symbols),
        marks: marks(block.dir()),
        others: files
            .others
            .iter()
            .map(|name| (name.clone(), listing::bytes_below(&files.dir.join(name))))
            .collect(),
        faults,
    })
}

fn deletions(block: &Block, index: &Index<'_>, symbols: &Symbols<'_>) -> Vec<Deletion> {
    let labels = |reference| {
        let mut series = Series::default();
        let entry = index.series_at(reference).ok()?;
        entry.decode(&mut series).ok()?;
        index.labels(symbols, &series, entry.offset).ok()
    };
    let records = block.tombstones().records.iter();
    let mut deletions: Vec<_> = records
        .map(|record| Deletion {
            reference: record.series,
            labels: labels(record.series),
            min_time: record.min_time,
            max_time: record.max_time,
        })
        .collect();
    deletions.sort_by_key(|deletion| (deletion.reference, deletion.min_time));
    deletions
}
