//! One simulation, and what comes out of it.

use narthex::model::Millis;
use serde::Serialize;

use super::cost::Workload;
use super::keeper::{Design, Keeper, Restore, Size};
use super::planner::{DAY, HEAD_RANGE, HOUR};
use super::server::Server;

/// When it all begins: 2026-01-01 00:00 UTC.
const START: Millis = 1_767_225_600_000;

/// When what happens, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// How long the server keeps blocks.
    pub(crate) retention: Millis,
    /// From one backup to the next.
    pub(crate) every: Millis,
    /// From midnight to the first backup.
    pub(crate) at: Millis,
    /// From the first start of the server to the end.
    pub(crate) length: Millis,
}

/// A simulation, all designs beside each other.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// The server's retention, in days.
    pub(crate) retention_days: f64,
    /// From one backup to the next, in hours.
    pub(crate) every_hours: f64,
    /// Backup runs.
    pub(crate) nights: usize,
    /// Blocks in the directory at the end.
    pub(crate) blocks: usize,
    /// Bytes of these blocks in Prometheus' directory.
    pub(crate) directory_bytes: f64,
    /// Compacted blocks that were new under their ULID.
    pub(crate) compacted: u64,
    /// Those of them whose sources the archive before held all.
    pub(crate) fully_known: u64,
    /// What each design costs, in the order of [`Design::ALL`].
    pub(crate) designs: Vec<Figures>,
}

/// What a design costs.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Which one.
    pub(crate) design: Design,
    /// Samples stored for each that an archive holds.
    pub(crate) times_stored: f64,
    /// Days of data that the worst night stored.
    pub(crate) worst_night_days: f64,
    /// Most bytes put for blocks in a night.
    pub(crate) worst_night_bytes: f64,
    /// Objects put, all nights.
    pub(crate) objects: u64,
    /// Objects put in a night.
    pub(crate) objects_per_night: Spread,
    /// Requests of all kinds in a night.
    pub(crate) requests_per_night: Spread,
    /// Bytes put for blocks in a night.
    pub(crate) median_night_bytes: f64,
    /// Packs of each block in the newest archive.
    pub(crate) packs_per_block: Spread,
    /// What it takes to restore all of the newest archive.
    pub(crate) restore: Restore,
    /// The repository with all archives.
    pub(crate) kept_all: Size,
    /// The repository after forgetting and pruning.
    pub(crate) kept_some: Size,
}

/// Median and largest of some counts.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    /// The one in the middle; of two, the larger.
    pub(crate) median: u64,
    /// The largest.
    pub(crate) max: u64,
}

impl Spread {
    fn of(counts: impl Iterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.collect();
        counts.sort_unstable();
        Spread {
            median: counts.get(counts.len() / 2).copied().unwrap_or(0),
            max: counts.last().copied().unwrap_or(0),
        }
    }
}

impl Run {
    /// Plays it.
    pub(crate) fn new(clock: Clock, workload: &Workload) -> Self {
        let mut server = Server::new(START, clock.retention, workload.first_scrape);
        let mut keepers = Design::ALL.map(|design| Keeper::new(design, *workload));
        let mut now = START + clock.at;
        while now <= START + clock.length {
            server.run_until(now);
            for keeper in &mut keepers {
                keeper.backup(now, server.blocks(), server.head());
            }
            now += clock.every;
        }
        let sources = |block: &narthex::block::Meta| block.compaction.sources.len();
        let blocks = server.blocks().iter();
        let [first, ..] = &keepers;
        Run {
            retention_days: clock.retention as f64 / DAY as f64,
            every_hours: clock.every as f64 / HOUR as f64,
            nights: first.nights.len(),
            blocks: server.blocks().len(),
            directory_bytes: blocks.map(|block| workload.block(sources(block))).sum(),
            compacted: first.compacted,
            fully_known: first.fully_known,
            designs: keepers.iter().map(Figures::new).collect(),
        }
    }
}

impl Figures {
    fn new(keeper: &Keeper) -> Self {
        let nights = &keeper.nights;
        let mut bytes: Vec<f64> = nights.iter().map(|night| night.bytes).collect();
        bytes.sort_by(f64::total_cmp);
        let most = nights.iter().map(|night| night.sources).max();
        Figures {
            design: keeper.design,
            times_stored: keeper.times_stored(),
            worst_night_days: most.unwrap_or(0) as f64 * HEAD_RANGE as f64 / DAY as f64,
            worst_night_bytes: bytes.last().copied().unwrap_or(0.0),
            objects: nights.iter().map(|night| night.objects).sum(),
            objects_per_night: Spread::of(nights.iter().map(|night| night.objects)),
            requests_per_night: Spread::of(nights.iter().map(|night| night.requests)),
            median_night_bytes: bytes.get(bytes.len() / 2).copied().unwrap_or(0.0),
            packs_per_block: Spread::of(keeper.packs_per_block().into_iter()),
            restore: keeper.restore(),
            kept_all: keeper.size(),
            kept_some: keeper.size_after_forgetting(),
        }
    }
}
