//! The statistics of all blocks of an archive together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Amounts, Row, read};
use crate::error::Error;
use crate::model::Ulid;
use crate::progress::Progress;
use crate::repository::Archive;
use crate::store::Store;

/// What rows are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumBy {
    /// Metric, whatever the job.
    Metric,
    /// Job, whatever the metric.
    Job,
    /// Job and metric.
    Both,
}

/// One metric, one job, or one of both, over all blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumRow {
    /// Job; `None` where there is none, or jobs are put together.
    pub job: Option<Box<[u8]>>,
    /// Metric; `None` where there is none, or metrics are put together.
    pub metric: Option<Box<[u8]>>,
    /// Blocks that have a row of it.
    pub blocks: u64,
    /// The most series in one block: those of several blocks are mostly the same.
    pub most_series: u64,
    /// Sums over blocks. `series` counts a series once for each block.
    pub amounts: Amounts,
}

/// Job and metric of a row.
type Key = (Option<Box<[u8]>>, Option<Box<[u8]>>);

/// The statistics of an archive.
#[derive(Debug, Default)]
pub struct Sum {
    /// The largest first, by bytes of chunks and entries.
    pub rows: Vec<SumRow>,
    /// What blocks have beside their rows: it is in no row, so that rows may be too small.
    pub rest: Amounts,
    /// Rows and rest.
    pub totals: Amounts,
    /// Blocks with statistics.
    pub blocks: u64,
    /// Blocks without, because an older narthex stored them, or they could not be read then.
    pub without: u64,
    /// Blocks whose statistics cannot be read.
    pub damaged: Vec<(Ulid, Error)>,
}

/// Adds up the statistics of the blocks of `archive`. Blocks are independent: samples that two of
/// them hold count twice.
pub fn sum(store: &dyn Store, archive: &Archive, by: SumBy, progress: &dyn Progress) -> Sum {
    let mut sum = Sum::default();
    let mut rows: BTreeMap<Key, SumRow> = BTreeMap::new();
    progress.begin("statistics", None);
    for block in &archive.blocks {
        match read(store, block) {
            Ok(None) => sum.without += 1,
            Err(error) => sum.damaged.push((block.ulid, error)),
            Ok(Some(statistics)) => {
                sum.blocks += 1;
                sum.rest.add(statistics.rest);
                sum.totals.add(statistics.totals());
                let mut of_block: BTreeMap<_, Amounts> = BTreeMap::new();
                for Row {
                    job,
                    metric,
                    amounts,
                } in statistics.rows
                {
                    let key = match by {
                        SumBy::Metric => (None, metric),
                        SumBy::Job => (job, None),
                        SumBy::Both => (job, metric),
                    };
                    of_block.entry(key).or_default().add(amounts);
                }
                for (key, amounts) in of_block {
                    let row = rows.entry(key).or_default();
                    row.blocks += 1;
                    row.most_series = row.most_series.max(amounts.series);
                    row.amounts.add(amounts);
                }
            }
        }
    }
    progress.end();
    let named = rows
        .into_iter()
        .map(|((job, metric), row)| SumRow { job, metric, ..row });
    sum.rows = named.collect();
    sum.rows.sort_by_key(|row| Reverse(row.amounts.bytes()));
    sum
}
