//! What things cost: bytes from measured averages, requests as object stores count them.

use clap::Args;
use narthex::model::Millis;
use serde::Serialize;

use super::planner::{HEAD_RANGE, HOUR};

const MIB: f64 = 1_048_576.0;

/// Objects up to this size are put with one request, larger ones in parts of it.
const PART: f64 = 64.0 * MIB;

/// How much of a pack one request of a restore fetches: a group of series.
const GROUP: f64 = 0.5 * MIB;

/// Names in one page of a listing.
const PAGE: u64 = 1_000;

/// Samples in a chunk, bytes in a segment file.
const CHUNK: f64 = 120.0;
const SEGMENT: f64 = 512.0 * MIB;

/// What the server does and what its data costs. The defaults for bytes are averages over blocks of
/// real servers.
#[derive(Args, Clone, Copy, Debug, Serialize)]
pub(crate) struct Workload {
    /// Series, the same all the time
    #[arg(long, default_value_t = 1e6)]
    pub(crate) series: f64,
    /// Seconds between two scrapes
    #[arg(long, default_value_t = 15.0)]
    pub(crate) interval: f64,
    /// Milliseconds from a multiple of two hours to the first scrape after it
    #[arg(long, default_value_t = 50)]
    pub(crate) first_scrape: Millis,
    /// Bytes of a sample in a pack
    #[arg(long, default_value_t = 0.2)]
    pub(crate) dense_sample: f64,
    /// Bytes of a series' labels in a pack
    #[arg(long, default_value_t = 3.0)]
    pub(crate) dense_series: f64,
    /// Bytes of a sample in chunks
    #[arg(long, default_value_t = 1.4)]
    pub(crate) raw_sample: f64,
    /// Bytes of a series in an index, its chunks aside
    #[arg(long, default_value_t = 106.0)]
    pub(crate) index_series: f64,
    /// Bytes of a chunk in an index
    #[arg(long, default_value_t = 6.7)]
    pub(crate) index_chunk: f64,
    /// What `zstd -3` leaves of a block
    #[arg(long, default_value_t = 0.5)]
    pub(crate) zstd: f64,
    /// Bytes of a sample in a stored WAL
    #[arg(long, default_value_t = 4.0)]
    pub(crate) wal_sample: f64,
}

impl Workload {
    /// Bytes of a pack that holds this many sources.
    pub(crate) fn pack(&self, sources: usize) -> f64 {
        self.samples(sources) * self.dense_sample + self.series * self.dense_series
    }

    /// Bytes of a block of this many sources in Prometheus' directory.
    pub(crate) fn block(&self, sources: usize) -> f64 {
        let samples = self.samples(sources);
        samples * self.raw_sample
            + samples / CHUNK * self.index_chunk
            + self.series * self.index_series
    }

    /// Bytes of such a block as a compressed tar.
    pub(crate) fn portable(&self, sources: usize) -> f64 {
        self.block(sources) * self.zstd
    }

    /// Bytes of a recipe object that names this many packs.
    pub(crate) fn recipe(packs: usize) -> f64 {
        500.0 + 40.0 * packs as f64
    }

    /// Bytes that a block takes in a manifest.
    pub(crate) fn listed(&self, sources: usize, parents: usize, packs: usize) -> f64 {
        1_270.0
            + 150.0 * pieces(self.block(sources), SEGMENT) as f64
            + 38.0 * sources as f64
            + 130.0 * parents as f64
            + 280.0 * packs as f64
    }

    /// Bytes of the object for a WAL that goes back by `span`.
    pub(crate) fn wal(&self, span: Millis) -> f64 {
        self.series * span as f64 / 1_000.0 / self.interval * self.wal_sample
    }

    fn samples(&self, sources: usize) -> f64 {
        self.series * (sources as f64 * (HEAD_RANGE / HOUR) as f64 * 3_600.0 / self.interval)
    }
}

/// Requests to put an object of so many bytes: one, or one for each part, one before and one after
/// them.
pub(crate) fn put(bytes: f64) -> u64 {
    match pieces(bytes, PART) {
        1 => 1,
        parts => parts + 2,
    }
}

/// Requests to list so many names.
pub(crate) fn list(names: u64) -> u64 {
    names.div_ceil(PAGE).max(1)
}

/// Requests to read a pack: trailer, directory, header with labels, and each group.
pub(crate) fn get_pack(bytes: f64) -> u64 {
    3 + pieces(bytes, GROUP)
}

/// Requests to read an object from its begin to its end.
pub(crate) fn get(bytes: f64) -> u64 {
    pieces(bytes, PART)
}

/// How many pieces of `size` so many bytes are; at least one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both are sizes of objects: positive, and their ratio far below 2^53"
)]
fn pieces(bytes: f64, size: f64) -> u64 {
    (bytes / size).ceil().max(1.0) as u64
}
