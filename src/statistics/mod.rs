//! What a stored block consists of, by job and metric: written beside the block once, when it is
//! stored first, and read from there ever after, so that nobody has to fetch the block to know.
//!
//! A block has [`MOST_ROWS`] rows at most, the largest ones, and one for the rest: sums are exact.
//! `docs/repository-format.md` has the layout of the file.
//!
//! ```
//! use narthex::statistics::{Amounts, Row, Statistics};
//!
//! let amounts = Amounts { series: 3, samples: 720, chunk_bytes: 900, entry_bytes: 120 };
//! let row = Row { job: Some((*b"node").into()), metric: Some((*b"up").into()), amounts };
//! let statistics = Statistics::of(vec![row]);
//! let read = Statistics::from_bytes(&statistics.to_bytes())?;
//! assert_eq!(read.totals().bytes(), 1020);
//! # Ok::<(), narthex::Error>(())
//! ```

mod format;
mod sum;

pub use sum::{Sum, SumBy, SumRow, sum};

use std::cmp::Reverse;

use crate::error::Result;
use crate::repository::{STATISTICS_FILE, StoredBlock};
use crate::store::Store;
use crate::stored::StoredReader;

/// The most rows of a block.
pub const MOST_ROWS: usize = 200;

/// The longest name that has a row, in bytes.
pub const LONGEST_NAME: usize = 4096;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Series.
    pub series: u64,
    /// Samples in their chunks, deleted ones included.
    pub samples: u64,
    /// Bytes of their chunk records: length, encoding, data, checksum.
    pub chunk_bytes: u64,
    /// Bytes of their entries in the index, without padding. Symbols and postings are no metric's
    /// own.
    pub entry_bytes: u64,
}

/// One job and metric of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Value of the label `job`; `None` where there is none.
    pub job: Option<Box<[u8]>>,
    /// Name of the metric; `None` where there is none.
    pub metric: Option<Box<[u8]>>,
    /// How much there is of it.
    pub amounts: Amounts,
}

/// The statistics of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The largest jobs and metrics, in the order of job and metric.
    pub rows: Vec<Row>,
    /// How many others there are.
    pub others: u64,
    /// How much there is of them together.
    pub rest: Amounts,
}

impl Amounts {
    /// Adds `other`.
    pub fn add(&mut self, other: Amounts) {
        self.series = self.series.saturating_add(other.series);
        self.samples = self.samples.saturating_add(other.samples);
        self.chunk_bytes = self.chunk_bytes.saturating_add(other.chunk_bytes);
        self.entry_bytes = self.entry_bytes.saturating_add(other.entry_bytes);
    }

    /// Bytes of chunks and entries.
    pub fn bytes(self) -> u64 {
        self.chunk_bytes.saturating_add(self.entry_bytes)
    }
}

impl Statistics {
    /// The statistics that `rows` amount to, of which several may have the same job and metric.
    pub fn of(rows: Vec<Row>) -> Self {
        let by_name = |row: &Row| (row.job.clone(), row.metric.clone());
        let mut sorted = rows;
        sorted.sort_by_cached_key(by_name);
        let mut distinct: Vec<Row> = Vec::with_capacity(sorted.len());
        for row in sorted {
            match distinct.last_mut() {
                Some(last) if last.job == row.job && last.metric == row.metric => {
                    last.amounts.add(row.amounts);
                }
                _ => distinct.push(row),
            }
        }
        let is_plain = |name: &Option<Box<[u8]>>| {
            name.as_ref()
                .is_none_or(|name| name.len() <= LONGEST_NAME && !name.contains(&format::END))
        };
        let is_plain = |row: &Row| is_plain(&row.job) && is_plain(&row.metric);
        // The order of names decides among rows of one size.
        distinct.sort_by_key(|row| (!is_plain(row), Reverse(row.amounts.bytes())));
        let kept = distinct.iter().take_while(|row| is_plain(row)).count();
        let others = distinct.split_off(kept.min(MOST_ROWS));
        distinct.sort_by_cached_key(by_name);
        let mut rest = Amounts::default();
        for row in &others {
            rest.add(row.amounts);
        }
        Statistics {
            rows: distinct,
            others: others.len() as u64,
            rest,
        }
    }

    /// All rows and the rest together: the block's totals.
    pub fn totals(&self) -> Amounts {
        let mut totals = self.rest;
        for row in &self.rows {
            totals.add(row.amounts);
        }
        totals
    }

    /// As the file [`STATISTICS_FILE`].
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(self)
    }

    /// Reads the file [`STATISTICS_FILE`].
    ///
    /// # Errors
    ///
    /// `Unsupported` for a newer version, `Corrupt` when it makes no sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        format::read(bytes)
    }
}

/// The statistics of `block`; `None` when it was stored without. Reads the part of its object that
/// holds them, and proves no more than the checksum of that part.
///
/// # Errors
///
/// When the object cannot be read, or the statistics make no sense.
pub fn read(store: &dyn Store, block: &StoredBlock) -> Result<Option<Statistics>> {
    if !block.statistics {
        return Ok(None);
    }
    let reader = StoredReader::new(store, block);
    let Some(bytes) = reader.content_beside(STATISTICS_FILE, MAX_BYTES)? else {
        let name = &block.object.name;
        return Err(crate::Error::corrupt(format!(
            "object {name}: expected a file {STATISTICS_FILE}, found none"
        )));
    };
    let read = Statistics::from_bytes(&bytes);
    read.map(Some)
        .map_err(|e| e.context(format!("object {}", block.object.name)))
}
