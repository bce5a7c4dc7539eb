//! A Prometheus server without samples: which blocks lie in its directory at which time.

use narthex::block::{BlockStats, Compaction, META_VERSION, Meta, Parent};
use narthex::model::{Millis, Ulid};

use super::planner::{HEAD_RANGE, plan, ranges};

/// The head is cut when it spans one and a half times the range of a block.
const HEAD_SPAN: Millis = HEAD_RANGE / 2 * 3;

/// A server that scrapes a constant set of series without a pause.
#[derive(Debug)]
pub(crate) struct Server {
    retention: Millis,
    ranges: Vec<Millis>,
    /// From a multiple of [`HEAD_RANGE`] to the first scrape after it: blocks begin with their
    /// first sample.
    first_scrape: Millis,
    /// Where the next block begins, but for `first_scrape`.
    head: Millis,
    /// How many blocks have been made, which makes their names differ.
    made: u128,
    blocks: Vec<Meta>,
}

impl Server {
    /// A server that is first started at `start`, a multiple of [`HEAD_RANGE`].
    pub(crate) fn new(start: Millis, retention: Millis, first_scrape: Millis) -> Self {
        Server {
            retention,
            ranges: ranges(retention),
            first_scrape,
            head: start,
            made: 0,
            blocks: Vec::new(),
        }
    }

    /// Lets time pass until `now`: heads are cut, blocks merged and deleted.
    pub(crate) fn run_until(&mut self, now: Millis) {
        while self.head + self.first_scrape + HEAD_SPAN < now {
            self.cut(self.head + self.first_scrape + HEAD_SPAN);
        }
    }

    /// What lies in the directory, by time.
    pub(crate) fn blocks(&self) -> &[Meta] {
        &self.blocks
    }

    /// From here on samples are in the WAL only.
    pub(crate) fn head(&self) -> Millis {
        self.head
    }

    /// Makes a block of the oldest two hours of the head, and merges until there is nothing to
    /// merge.
    fn cut(&mut self, now: Millis) {
        let ulid = self.name(now);
        let (min_time, max_time) = (self.head + self.first_scrape, self.head + HEAD_RANGE);
        self.head = max_time;
        self.blocks.push(meta(
            ulid,
            (min_time, max_time),
            Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
        ));
        self.delete_old();
        loop {
            let parents = plan(&self.blocks, &self.ranges);
            if parents.is_empty() {
                break;
            }
            let ulid = self.name(now);
            let child = merge(ulid, &self.blocks[parents.clone()]);
            self.blocks.splice(parents, [child]);
            self.delete_old();
        }
    }

    fn name(&mut self, now: Millis) -> Ulid {
        self.made += 1;
        Ulid::from_parts(now, self.made)
    }

    /// Deletes what ends a retention or more before the newest block.
    fn delete_old(&mut self) {
        let newest = self.blocks.iter().map(|block| block.max_time).max();
        let retention = self.retention;
        self.blocks
            .retain(|block| newest.is_some_and(|newest| newest - block.max_time < retention));
    }
}

/// The block that `parents` become, which are sorted by time.
fn merge(ulid: Ulid, parents: &[Meta]) -> Meta {
    let mut sources: Vec<Ulid> = parents
        .iter()
        .flat_map(|parent| parent.compaction.sources.iter().copied())
        .collect();
    sources.sort();
    let levels = parents.iter().map(|parent| parent.compaction.level);
    let compaction = Compaction {
        level: levels.max().unwrap_or(0) + 1,
        sources,
        parents: parents
            .iter()
            .map(|parent| Parent {
                ulid: parent.ulid,
                min_time: parent.min_time,
                max_time: parent.max_time,
            })
            .collect(),
        ..Compaction::default()
    };
    let begins = parents.iter().map(|parent| parent.min_time);
    let ends = parents.iter().map(|parent| parent.max_time);
    let range = (begins.min().unwrap_or(0), ends.max().unwrap_or(0));
    meta(ulid, range, compaction)
}

/// Metadata of a block. What is in it is counted in sources, not in samples.
pub(crate) fn meta(ulid: Ulid, range: (Millis, Millis), compaction: Compaction) -> Meta {
    Meta {
        ulid,
        min_time: range.0,
        max_time: range.1,
        stats: BlockStats::default(),
        compaction,
        version: META_VERSION,
        extra: serde_json::Map::new(),
    }
}
