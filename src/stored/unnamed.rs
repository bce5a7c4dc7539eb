//! What a manifest would say of objects that none names.

use std::collections::BTreeMap;

use super::META;
use super::fetch::{digest_joined, parts_by_name};
use crate::block::Meta;
use crate::dense::{RECIPE_FILE, SPLICE_FILE, digests};
use crate::error::{Error, Result};
use crate::model::{MAX_META_BYTES, Ulid};
use crate::progress::Silent as NoProgress;
use crate::repository::portable::{NoVisitor, Object, Root};
use crate::repository::{
    FindingCounts, Fingerprint, LogObjects, LogPart, LogPiece, RECIPE_SUFFIX, STATISTICS_FILE,
    StoredBlock, StoredFile, StoredWal, log_file_of, original,
};
use crate::store::{ObjectName, Store};

/// A block whose object no manifest names.
#[derive(Debug)]
pub struct UnnamedBlock {
    /// The block, without its packs. What only manifests know is empty: findings, external labels,
    /// empty directories.
    pub block: StoredBlock,
    /// The names of its packs.
    pub packs: Vec<ObjectName>,
}

/// Reads the object `name` of the block `ulid`, rebuilds what it takes from packs, and says what a
/// manifest would.
///
/// # Errors
///
/// When it does not come back whole.
pub fn describe_block(
    store: &dyn Store,
    name: &ObjectName,
    ulid: Ulid,
    fingerprint: &Fingerprint,
) -> Result<UnnamedBlock> {
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    let (stored, mut files) = object.contents(&mut NoVisitor, &NoProgress)?;
    let mut stored = stored.lying_in(store)?;
    let entries = object.entries()?;
    let meta = entries.iter().find(|entry| entry.name.as_str() == META);
    let meta = meta.ok_or_else(|| Error::corrupt(format!("expected a {META}, found none")))?;
    let meta = Meta::parse(&object.read_file(meta, MAX_META_BYTES)?)?;
    let mut names = files.iter().map(|file| file.name.as_str());
    let statistics = names.any(|name| name == STATISTICS_FILE);
    let mut packs = Vec::new();
    // What stands in for an object may hold a recipe where that holds files.
    let is_recipe = match original(name) {
        None => name.as_str().ends_with(RECIPE_SUFFIX),
        Some(_) => files.iter().any(|file| file.name.as_str() == RECIPE_FILE),
    };
    if is_recipe {
        stored = stored.in_dense_codec();
        let own = [RECIPE_FILE, SPLICE_FILE, STATISTICS_FILE];
        files.retain(|file| !own.contains(&file.name.as_str()));
        let (names, packed) = digests(store, name, ulid, &NoProgress)?;
        packs = names;
        files.extend(packed);
    } else {
        files.retain(|file| file.name.as_str() != STATISTICS_FILE);
    }
    let parents = meta.compaction.parents.iter().map(|parent| parent.ulid);
    let mut block = StoredBlock {
        ulid,
        fingerprint: fingerprint.clone(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        level: u64::try_from(meta.compaction.level).unwrap_or(0),
        sources: meta.compaction.sources.clone(),
        parents: parents.filter(|parent| *parent != Ulid::ZERO).collect(),
        series: meta.stats.num_series,
        chunks: meta.stats.num_chunks,
        samples: meta.stats.num_samples,
        resolution: None,
        external_labels: BTreeMap::new(),
        hints: Vec::new(),
        object: stored,
        statistics,
        packs: Vec::new(),
        sidecar: None,
        files,
        empty_dirs: Vec::new(),
        findings: FindingCounts::default(),
    };
    block.tell(meta.stream(), &meta.compaction.hints);
    Ok(UnnamedBlock { block, packs })
}

/// Reads the object `name` of logs and says which parts of which files it holds.
///
/// # Errors
///
/// When they do not come back whole.
pub fn describe_log(store: &dyn Store, name: &ObjectName) -> Result<LogPiece> {
    let object = Object::open(store, name, Root::Data)?;
    let (object, members) = object.contents(&mut NoVisitor, &NoProgress)?;
    let parts = members.into_iter().map(|member| {
        let (name, from) = log_file_of(&member.name);
        LogPart {
            name,
            from,
            bytes: member.bytes,
            sha256: member.sha256,
            samples: None,
        }
    });
    Ok(LogPiece {
        parts: parts.collect(),
        object: object.lying_in(store)?,
    })
}

/// The logs that `pieces` make, as a manifest would say it. What only manifests know is not there:
/// times and counts of samples.
///
/// # Errors
///
/// When a part that has to be read does not come back.
pub fn join_log(store: &dyn Store, pieces: Vec<LogPiece>) -> Result<StoredWal> {
    let mut files = Vec::new();
    for (name, parts) in parts_by_name(&pieces) {
        let (bytes, sha256) = digest_joined(store, &parts)?;
        files.push(StoredFile {
            name: name.clone(),
            bytes,
            sha256,
            sidecar: false,
            packed: false,
        });
    }
    let Some(last) = pieces.last() else {
        return Err(Error::not_found("expected an object of logs, found none"));
    };
    let mut wal = StoredWal::of(last.object.clone(), files);
    if pieces.len() > 1 {
        wal.held = LogObjects::Pieces(pieces);
        wal.refuse_holes()?;
    }
    Ok(wal)
}
