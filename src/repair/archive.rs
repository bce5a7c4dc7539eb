//! An archive rebuilt from objects that no manifest names, when manifests are lost.
//!
//! The object of a block holds its `meta.json`, and its recipe names the packs; so everything of a block can be told, and is read and digested
//! anew. What only manifests know is lost: which server the blocks are of, and which blocks one archive had.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use crate::block::Meta;
use crate::dense::{SPLICE_FILE, digests};
use crate::error::{Error, Result};
use crate::model::{Millis, Succession, Ulid};
use crate::progress::Silent as NoProgress;
use crate::repository::lineage::{coverage, kin};
use crate::repository::portable::{Object, Root, Silent};
use crate::repository::{
    Archive, ArchiveId, FindingCounts, Fingerprint, Hasher, LeftOut, MANIFEST_VERSION, PACK,
    RECIPE_FILE, Repository, STATISTICS_FILE, StoredBlock, StoredObject, StoredWal, is_data,
    original,
};
use crate::store::{ObjectName, Store};

/// Largest `meta.json` that is read, in bytes.
const MAX_META: u64 = 16 << 20;

/// How the names of recipe objects, sidecars and block objects end.
const RECIPE: &str = ".recipe.tar.zst";
const SIDECAR: &str = ".side.tar.zst";
const OBJECT: &str = ".tar.zst";

/// Bytes of a pack that are read at a time.
const STEP: u64 = 4 << 20;

/// An archive that can be made of what no manifest names.
#[derive(Debug)]
pub(super) struct Rebuilt {
    /// The archive; `None` when nothing whole is left.
    pub(super) archive: Option<Archive>,
    /// Objects that could not be used, and why.
    pub(super) unused: BTreeMap<ObjectName, String>,
}

/// Makes an archive, dated `time` or by its newest block, of the blocks and the logs in `repository` that no archive of `catalog` names and that come
/// back whole. Blocks that were compacted into another one of them are left out. Nothing is written.
pub(super) fn rebuild(
    repository: &Repository,
    catalog: &Catalog,
    lost: &BTreeMap<ArchiveId, Millis>,
) -> Rebuilt {
    let store = repository.store();
    let archives = catalog.archives.iter();
    let named: BTreeSet<&ObjectName> = archives
        .flat_map(Archive::objects)
        .map(|(_, object)| &object.name)
        .collect();
    let is_free =
        |name: &&ObjectName| !named.contains(*name) && is_data(name) && original(name).is_none();
    let mut unused = BTreeMap::new();
    let mut blocks: BTreeMap<Ulid, StoredBlock> = BTreeMap::new();
    for name in catalog.listed.keys().filter(is_free) {
        let Some((ulid, fingerprint)) = block_of(name) else {
            continue;
        };
        match read_block(store, name, ulid, &fingerprint) {
            Ok(block) => {
                blocks.insert(ulid, block);
            }
            Err(error) => {
                unused.insert(name.clone(), error.chain());
            }
        }
    }
    let succession = Succession::of(blocks.values().map(kin));
    blocks.retain(|ulid, _| succession.heirs(*ulid, None).is_empty());
    let mut logs = Vec::new();
    for name in catalog.listed.keys().filter(is_free) {
        let id = name.as_str().strip_prefix("wal/");
        let id = id.and_then(|id| id.strip_suffix(OBJECT)?.parse::<ArchiveId>().ok());
        let Some(id) = id else {
            continue;
        };
        match read_logs(store, name) {
            Ok(wal) => logs.push((lost.get(&id).copied(), name.clone(), wal)),
            Err(error) => {
                unused.insert(name.clone(), error.chain());
            }
        }
    }
    // Of several logs none can be told to be the last, but by the name of a manifest that is damaged.
    logs.sort_by_key(|(time, _, _)| *time);
    let is_known = logs.len() == 1 || logs.last().is_some_and(|(time, _, _)| time.is_some());
    let wal = if is_known { logs.pop() } else { None };
    for (_, name, _) in logs {
        let why = "it cannot be told which of several logs is the last";
        unused.insert(name, why.to_owned());
    }
    let blocks: Vec<StoredBlock> = blocks.into_values().collect();
    if blocks.is_empty() && wal.is_none() {
        return Rebuilt {
            archive: None,
            unused,
        };
    }
    Rebuilt {
        archive: Some(archive(repository, catalog, lost, blocks, wal)),
        unused,
    }
}

type Log = (Option<Millis>, ObjectName, StoredWal);

fn archive(
    repository: &Repository,
    catalog: &Catalog,
    lost: &BTreeMap<ArchiveId, Millis>,
    mut blocks: Vec<StoredBlock>,
    wal: Option<Log>,
) -> Archive {
    blocks.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
    let newest = blocks.iter().map(|block| block.max_time).max();
    let time = lost.values().copied().max().or(newest).unwrap_or(0);
    let sources: BTreeSet<(&str, &str, &str)> = catalog
        .archives
        .iter()
        .map(|archive| {
            let Archive {
                host,
                source,
                source_name,
                ..
            } = archive;
            (host.as_str(), source.as_str(), source_name.as_str())
        })
        .collect();
    // With archives of one server these are most likely of the same.
    let (host, source, source_name) = match sources.first() {
        Some(only) if sources.len() == 1 => *only,
        _ => ("unknown", "unknown", "reconstructed"),
    };
    Archive {
        format_version: MANIFEST_VERSION,
        id: ArchiveId::random(),
        time,
        host: host.to_owned(),
        source: source.to_owned(),
        source_name: source_name.to_owned(),
        labels: BTreeMap::from([("reconstructed".to_owned(), "true".to_owned())]),
        narthex_version: env!("CARGO_PKG_VERSION").to_owned(),
        repository: Some(repository.descriptor().id.clone()).filter(|id| !id.is_empty()),
        coverage: coverage(&blocks),
        blocks,
        wal: wal.map(|(_, _, wal)| wal),
        left_out: vec![LeftOut {
            name: "manifest".to_owned(),
            reason: "reconstructed by narthex repair from objects that no manifest named: the time of the backup, its server, and whether \
                     it had other blocks or logs are not known"
                .to_owned(),
        }],
        findings: FindingCounts::default(),
    }
}

/// The block whose object has this name, and its fingerprint.
fn block_of(name: &ObjectName) -> Option<(Ulid, Fingerprint)> {
    let (ulid, file) = name.as_str().strip_prefix("blocks/")?.split_once('/')?;
    if file.ends_with(SIDECAR) {
        return None;
    }
    let fingerprint = file
        .strip_suffix(RECIPE)
        .or_else(|| file.strip_suffix(OBJECT))?;
    Some((ulid.parse().ok()?, fingerprint.parse().ok()?))
}

/// What a manifest says of a block whose object is `name`.
fn read_block(
    store: &dyn Store,
    name: &ObjectName,
    ulid: Ulid,
    fingerprint: &Fingerprint,
) -> Result<StoredBlock> {
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    let (mut stored, mut files) = object.contents(&mut Silent, &NoProgress)?;
    let entries = object.entries()?;
    let meta = entries
        .iter()
        .find(|entry| entry.name.as_str() == "meta.json");
    let meta = meta.ok_or_else(|| Error::corrupt("expected a meta.json, found none"))?;
    let meta = Meta::parse(&object.read_file(meta, MAX_META)?)?;
    let statistics = files
        .iter()
        .any(|file| file.name.as_str() == STATISTICS_FILE);
    let mut packs = Vec::new();
    if name.as_str().ends_with(RECIPE) {
        stored = stored.in_dense_codec();
        let own = [RECIPE_FILE, SPLICE_FILE, STATISTICS_FILE];
        files.retain(|file| !own.contains(&file.name.as_str()));
        let (names, packed) = digests(store, name, ulid, &NoProgress)?;
        let raw_bytes = packed.iter().map(|file| file.bytes).sum();
        for pack in names {
            packs.push(describe_pack(store, pack, raw_bytes)?);
        }
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
        packs,
        sidecar: None,
        files,
        empty_dirs: Vec::new(),
        findings: FindingCounts::default(),
    };
    block.tell(meta.stream(), &meta.compaction.hints);
    Ok(block)
}

fn describe_pack(store: &dyn Store, name: ObjectName, raw_bytes: u64) -> Result<StoredObject> {
    let bytes = store.size(&name)?;
    let mut sha256 = Hasher::default();
    let mut offset = 0;
    while offset < bytes {
        let end = bytes.min(offset + STEP);
        sha256.update(&store.get_range(&name, offset..end)?);
        offset = end;
    }
    Ok(StoredObject {
        name,
        codec: PACK.to_owned(),
        bytes,
        sha256: sha256.finish(),
        raw_bytes,
    })
}

fn read_logs(store: &dyn Store, name: &ObjectName) -> Result<StoredWal> {
    let object = Object::open(store, name, Root::Data)?;
    let (object, files) = object.contents(&mut Silent, &NoProgress)?;
    Ok(StoredWal {
        object,
        files,
        min_time: None,
        max_time: None,
        samples: 0,
        empty_dirs: Vec::new(),
        start_problem: None,
    })
}
