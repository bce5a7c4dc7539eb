//! What archives know of a server's past, for forecasts: every manifest lists all blocks with their
//! sizes, also those Prometheus has deleted since.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::forecast::{KnownBlock, Past, PresentUse};
use crate::model::Millis;
use crate::repository::lineage::stream;
use crate::repository::{Archive, Server, StoredBlock, StoredWal};

/// The past of the one server that `archives` (oldest first) are of. The present is that of the
/// last. `now` is the time after which no block begins.
///
/// # Errors
///
/// `NotFound` when there is no archive, `Invalid` when they are of several servers.
pub fn past(archives: &[Archive], now: Option<Millis>) -> Result<Past> {
    let servers: BTreeSet<Server> = archives.iter().map(Server::of).collect();
    Server::refuse_several(&servers)?;
    let latest = archives
        .last()
        .ok_or_else(|| Error::not_found("there is no such archive"))?;
    let mut past = Past::default();
    for archive in archives {
        for block in &archive.blocks {
            // Every archive lists it again: it is named once.
            past.add(known(block), format!("block {}", block.ulid), now);
        }
    }
    let blocks = || latest.blocks.iter().map(known);
    past.present = PresentUse {
        block_bytes: blocks().fold(0, |sum, block| sum.saturating_add(block.bytes())),
        min_time: blocks()
            .filter(|block| past.has(block.ulid))
            .map(|block| block.min_time)
            .min(),
        head_bytes: latest.wal.as_ref().map(StoredWal::bytes),
    };
    Ok(past)
}

fn known(block: &StoredBlock) -> KnownBlock {
    let sum = |wanted: fn(&str) -> bool| {
        let files = block.files.iter().filter(|f| wanted(f.name.as_str()));
        files.fold(0u64, |sum, file| sum.saturating_add(file.bytes))
    };
    KnownBlock {
        ulid: block.ulid,
        min_time: block.min_time,
        max_time: block.max_time,
        level: block.level.max(1),
        sources: block.sources.clone(),
        stream: stream(block),
        samples: block.samples,
        series: block.series,
        chunk_bytes: sum(|name| name.starts_with("chunks/")),
        index_bytes: sum(|name| name == "index"),
        is_head: false,
    }
}
