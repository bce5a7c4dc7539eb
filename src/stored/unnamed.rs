//! What a manifest would say of objects that none names.

use std::collections::BTreeMap;

use super::META;
use crate::block::Meta;
use crate::dense::{RECIPE_FILE, SPLICE_FILE, digests};
use crate::error::{Error, Result};
use crate::model::{MAX_META_BYTES, Ulid};
use crate::progress::Silent as NoProgress;
use crate::repository::portable::{NoVisitor, Object, Root};
use crate::repository::{
    FindingCounts, Fingerprint, RECIPE_SUFFIX, STATISTICS_FILE, StoredBlock, StoredWal, original,
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

/// Reads the logs in the object `name` and says what a manifest would. What only manifests know is
/// not there: times and counts of samples.
///
/// # Errors
///
/// When they do not come back whole.
pub fn describe_log(store: &dyn Store, name: &ObjectName) -> Result<StoredWal> {
    let object = Object::open(store, name, Root::Data)?;
    let (object, files) = object.contents(&mut NoVisitor, &NoProgress)?;
    Ok(StoredWal {
        object: object.lying_in(store)?,
        files,
        min_time: None,
        max_time: None,
        samples: 0,
        wbl_samples: None,
        wbl_min_time: None,
        wbl_max_time: None,
        empty_dirs: Vec::new(),
        start_problem: None,
    })
}
