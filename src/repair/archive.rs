//! An archive rebuilt from objects that no manifest names, when manifests are lost.
//!
//! The object of a block holds its `meta.json`, and its recipe names the packs; so everything of a
//! block can be told, and is read and digested anew. What only manifests know is lost: which server
//! the blocks are of, and which blocks one archive had.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::repository::lineage::coverage;
use crate::repository::{
    Archive, ArchiveId, EncryptedForm, FindingCounts, Fingerprint, LeftOut, LogPart, LogPiece,
    ObjectCodec, RECIPE_SUFFIX, RECONSTRUCTED, Repository, StoredBlock, StoredObject, StoredWal,
    UNKNOWN_SOURCE, block_of_pack, digest_of_object, is_data, original,
};
use crate::store::{ObjectName, Store};
use crate::stored::{UnnamedBlock, describe_block, describe_log, join_log};

/// How the names of sidecars and block objects end.
const SIDECAR: &str = ".side.tar.zst";
const OBJECT: &str = ".tar.zst";

/// The label that archives of this kind have: ids of lost archives, if it is known which are.
const LABEL: &str = "reconstructed";

/// An archive that can be made of what no manifest names.
#[derive(Debug)]
pub(super) struct Rebuilt {
    /// The archive; `None` when nothing whole is left.
    pub(super) archive: Option<Archive>,
    /// Those of its blocks that no archive names. What is wrong with them is not known yet.
    pub(super) new: BTreeSet<Ulid>,
    /// Objects that could not be used, and why.
    pub(super) unused: BTreeMap<ObjectName, String>,
}

/// Objects that hold the same, or should: one, and what stands in for it.
type Ways = BTreeMap<ObjectName, Vec<ObjectName>>;

/// Makes an archive, dated as the newest of the `lost` ones or by its newest block, of the blocks
/// and the logs in `repository` that no archive of `catalog` names and that come back whole.
/// Nothing is written.
///
/// Blocks that were compacted into another one of them stay: nothing proves that the other holds
/// all of their samples.
pub(super) fn rebuild(
    repository: &Repository,
    catalog: &Catalog,
    lost: &BTreeMap<ArchiveId, Millis>,
) -> Rebuilt {
    let mut unused = BTreeMap::new();
    let free = free_objects(catalog);
    let blocks = rebuild_blocks(repository.store(), catalog, &free, &mut unused);
    let wal = rebuild_logs(repository.store(), catalog, &free, lost, &mut unused);
    let new = blocks.iter().map(|block| block.ulid).collect();
    let is_empty = blocks.is_empty() && wal.is_none();
    let archive = (!is_empty).then(|| archive(repository, catalog, lost, blocks, wal));
    Rebuilt {
        archive,
        new,
        unused,
    }
}

/// Objects that no archive needs, by what they stand in for.
fn free_objects(catalog: &Catalog) -> Ways {
    let mut all = Ways::new();
    for name in catalog.stock.listed.keys().filter(|name| is_data(name)) {
        let replaced = original(name).unwrap_or_else(|| name.clone());
        all.entry(replaced).or_default().push(name.clone());
    }
    all.retain(|replaced, ways| {
        let mut names = std::iter::once(replaced).chain(&*ways);
        !names.any(|name| catalog.is_named(name))
    });
    all
}

fn rebuild_blocks(
    store: &dyn Store,
    catalog: &Catalog,
    free: &Ways,
    unused: &mut BTreeMap<ObjectName, String>,
) -> Vec<StoredBlock> {
    let mut found: BTreeMap<Ulid, Vec<StoredBlock>> = BTreeMap::new();
    let mut failed = Vec::new();
    for (object, ways) in free {
        let Some((ulid, fingerprint)) = block_of(object) else {
            continue;
        };
        let read = |name: &ObjectName| read_block(store, catalog, name, ulid, &fingerprint);
        match first_whole(store, catalog, ways, read) {
            Ok(block) => found.entry(ulid).or_default().push(block),
            Err(why) => failed.push((object, ulid, fingerprint, why)),
        }
    }
    let mut blocks: BTreeMap<Ulid, StoredBlock> = BTreeMap::new();
    for (ulid, ways) in found {
        let mut ways = ways.into_iter();
        let Some(mut best) = ways.next() else {
            continue;
        };
        for way in ways {
            let is_same = way.fingerprint == best.fingerprint;
            let is_better = !is_same && way.samples > best.samples;
            let other = if is_better {
                std::mem::replace(&mut best, way)
            } else {
                way
            };
            if !is_same {
                let why = format!("block {ulid} is there in another form, too, which was taken");
                unused.insert(other.object.name, why);
            }
        }
        blocks.insert(ulid, best);
    }
    for (object, ulid, fingerprint, why) in failed {
        let taken = blocks.get(&ulid);
        if taken.is_none_or(|block| block.fingerprint != fingerprint) {
            unused.insert(object.clone(), why);
        }
    }
    for object in free.keys() {
        if let Some(ulid) = sidecar_of(object).filter(|ulid| blocks.contains_key(ulid)) {
            let why = format!(
                "what had changed in block {ulid} since it was stored, such as deletions, is not in the archive: which of it was the last is not known"
            );
            unused.insert(object.clone(), why);
        }
    }
    tell_raw_bytes(catalog, &mut blocks);
    blocks.into_values().collect()
}

/// Says of packs that no archive describes, and that were made of another block than the one that
/// needs them, how long that one's files are.
fn tell_raw_bytes(catalog: &Catalog, blocks: &mut BTreeMap<Ulid, StoredBlock>) {
    let known: BTreeMap<Ulid, u64> = blocks
        .values()
        .map(|block| (block.ulid, block.packable_bytes()))
        .collect();
    for pack in blocks.values_mut().flat_map(|block| &mut block.packs) {
        let Some(ulid) = block_of_pack(&pack.name) else {
            continue;
        };
        if catalog.is_named(&pack.name) {
            continue;
        }
        let word = catalog.words(ulid).next().map(StoredBlock::packable_bytes);
        if let Some(raw_bytes) = known.get(&ulid).copied().or(word) {
            pack.raw_bytes = raw_bytes;
        }
    }
}

/// What the first of `ways` gives that can be read whole; what has a mark of damage is tried last.
/// Or why the first one cannot.
fn first_whole<T>(
    store: &dyn Store,
    catalog: &Catalog,
    ways: &[ObjectName],
    read: impl Fn(&ObjectName) -> Result<T>,
) -> Result<T, String> {
    let mut ways: Vec<_> = ways.iter().collect();
    ways.sort_by_cached_key(|name| catalog.is_marked(store, name));
    let mut first = None;
    for name in ways {
        match read(name) {
            Ok(found) => return Ok(found),
            Err(error) => {
                first.get_or_insert_with(|| error.chain());
            }
        }
    }
    Err(first.unwrap_or_default())
}

fn rebuild_logs(
    store: &dyn Store,
    catalog: &Catalog,
    free: &Ways,
    lost: &BTreeMap<ArchiveId, Millis>,
    unused: &mut BTreeMap<ObjectName, String>,
) -> Option<StoredWal> {
    let mut logs = Vec::new();
    for (object, ways) in free {
        let id = object.as_str().strip_prefix("wal/");
        let id = id.and_then(|id| id.strip_suffix(OBJECT)?.parse::<ArchiveId>().ok());
        let Some(id) = id else {
            continue;
        };
        match first_whole(store, catalog, ways, |name| describe_log(store, name)) {
            Ok(piece) => logs.push((lost.get(&id).copied(), piece)),
            Err(why) => {
                unused.insert(object.clone(), why);
            }
        }
    }
    // Of several logs none can be told to be the last, but by the name of a manifest that is
    // damaged.
    logs.sort_by_key(|(time, _)| *time);
    let is_known = logs.len() == 1 || logs.last().is_some_and(|(time, _)| time.is_some());
    let mut joined: Option<Vec<LogPiece>> = None;
    for (_, piece) in logs {
        let name = piece.object.name.clone();
        if !is_known {
            let why = "it cannot be told which of several logs is the last";
            unused.insert(name, why.to_owned());
            continue;
        }
        let Some(longer) = go_on(joined.clone(), &piece, catalog) else {
            let why = "it holds what was appended to a log, and it cannot be told to which";
            unused.insert(name, why.to_owned());
            continue;
        };
        let is_in = |old: &LogPiece| longer.iter().any(|it| it.object.name == old.object.name);
        let left = joined.iter().flatten().filter(|old| !is_in(old));
        for old in left.filter(|old| free.contains_key(&old.object.name)) {
            let why = "it cannot be told which of several logs is the last";
            unused.insert(old.object.name.clone(), why.to_owned());
        }
        joined = Some(longer);
    }
    let joined = joined?;
    let names: Vec<_> = joined
        .iter()
        .map(|piece| piece.object.name.clone())
        .collect();
    match join_log(store, joined) {
        Ok(wal) => Some(wal),
        Err(error) => {
            let why = error.chain();
            let unread = names.into_iter().filter(|name| free.contains_key(name));
            unused.extend(unread.map(|name| (name, why.clone())));
            None
        }
    }
}

/// The objects of logs with `piece` as the last: alone where it holds all of a log, else behind
/// what `before` or an archive says of the files that it goes on with. Nothing where there is no
/// such log. Names and lengths are alike for many servers, so what an archive says counts only
/// where all archives are of one.
fn go_on(
    before: Option<Vec<LogPiece>>,
    piece: &LogPiece,
    catalog: &Catalog,
) -> Option<Vec<LogPiece>> {
    let begins = |part: &LogPart| {
        part.from == 0 && (segment(part) == Some(0) || part.name.as_str().contains("/checkpoint."))
    };
    let is_from_beginnings = piece.parts.iter().all(|part| part.from == 0);
    let alone = || Some(vec![piece.clone()]);
    if is_from_beginnings && piece.parts.iter().any(begins) {
        return alone();
    }
    let archives = catalog.archives.iter();
    let sources: BTreeSet<_> = archives.map(|archive| &archive.source_name).collect();
    let known = catalog.archives.iter().rev().filter(|_| sources.len() == 1);
    let known = known.filter_map(|archive| archive.wal.as_ref());
    let known = known.map(|wal| wal.pieces().into_owned());
    let longer = before
        .into_iter()
        .chain(known)
        .find_map(|it| behind(it, piece));
    longer.or_else(|| if is_from_beginnings { alone() } else { None })
}

/// `pieces` with `piece` behind them, if it goes on with a file of theirs, or its first segment of
/// the WAL follows their last one.
fn behind(mut pieces: Vec<LogPiece>, piece: &LogPiece) -> Option<Vec<LogPiece>> {
    let parts = || pieces.iter().flat_map(|piece| &piece.parts);
    let goes_on = |part: &LogPart| {
        let own = parts().filter(|own| own.name == part.name);
        own.map(LogPart::end).max() == Some(part.from)
    };
    let mut appended = piece.parts.iter().filter(|part| part.from > 0).peekable();
    let is_next = || {
        let first = piece.parts.iter().filter_map(segment).min();
        let last = parts().filter_map(segment).max();
        first.is_some_and(|first| last.is_some_and(|last| last.checked_add(1) == Some(first)))
    };
    let is_behind = match appended.peek() {
        Some(_) => appended.all(goes_on),
        None => is_next(),
    };
    if !is_behind {
        return None;
    }
    // What begins anew has nothing to do with what had its name.
    let anew = piece.parts.iter().filter(|part| part.from == 0);
    let anew: BTreeSet<_> = anew.map(|part| &part.name).collect();
    for earlier in &mut pieces {
        earlier.parts.retain(|part| !anew.contains(&part.name));
    }
    pieces.retain(|piece| !piece.parts.is_empty());
    pieces.push(piece.clone());
    Some(pieces)
}

/// The number of the segment of the WAL that `part` is of; none of a checkpoint.
fn segment(part: &LogPart) -> Option<u64> {
    part.name.as_str().strip_prefix("wal/")?.parse().ok()
}

fn archive(
    repository: &Repository,
    catalog: &Catalog,
    lost: &BTreeMap<ArchiveId, Millis>,
    mut blocks: Vec<StoredBlock>,
    wal: Option<StoredWal>,
) -> Archive {
    let newest = blocks.iter().map(|block| block.max_time).max();
    // Names tell times to the second: no archive that was made before the lost one is newer.
    let last = lost.values().copied().max();
    let last = last.map(|time| time.saturating_add(999));
    let time = last.or(newest).unwrap_or(0);
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
    // With archives of one server these are of the same where they have to do with its blocks. A
    // manifest that cannot be read may be that of another.
    let known = catalog.archives.iter().flat_map(|archive| &archive.blocks);
    let known: BTreeSet<&Ulid> = known
        .flat_map(relatives)
        .filter(|ulid| **ulid != Ulid::ZERO)
        .collect();
    let is_known = |block: &StoredBlock| relatives(block).any(|ulid| known.contains(ulid));
    let is_related = match lost.len() {
        1 => blocks.iter().any(is_known),
        _ => blocks.iter().all(is_known),
    };
    // Archives of different parts are of different servers wherever they are copied to.
    let unknown = match repository.part() {
        Some(part) => part.unknown_source(),
        None => UNKNOWN_SOURCE.to_owned(),
    };
    let (host, source, source_name) = match sources.first() {
        Some(only) if sources.len() == 1 && is_related => *only,
        _ => ("unknown", "unknown", &*unknown),
    };
    let mut reason = "reconstructed by narthex repair from objects that no manifest named: the time of the backup, its server, and whether \
                      it had other blocks or logs are not known"
        .to_owned();
    if sources.len() > 1 {
        let names: BTreeSet<_> = sources.iter().map(|(_, _, name)| *name).collect();
        let names: Vec<_> = names.into_iter().collect();
        reason = format!(
            "{reason}; the repository has several servers ({}), and it may hold blocks of more than one of them: restore those of one with --block",
            names.join(", ")
        );
    }
    // What one archive of a server holds the next holds as well, mostly.
    let before = catalog
        .archives
        .iter()
        .rfind(|archive| archive.time <= time);
    if let Some(before) = before.filter(|_| sources.len() == 1 && is_related) {
        let own: BTreeSet<Ulid> = blocks.iter().map(|block| block.ulid).collect();
        let others = before.blocks.iter();
        let others = others.filter(|block| !own.contains(&block.ulid));
        blocks.extend(others.cloned());
        if blocks.len() > own.len() {
            let (id, count) = (before.id.short(), blocks.len() - own.len());
            reason = format!(
                "{reason}; {count} of its blocks are taken over from archive {id} before it"
            );
        }
    }
    blocks.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
    let ids: Vec<String> = lost.keys().map(ToString::to_string).collect();
    let ids = if ids.is_empty() {
        "true".to_owned()
    } else {
        ids.join(",")
    };
    Archive {
        format_version: repository.manifest_version(true, wal.as_ref()),
        id: ArchiveId::random(),
        time,
        host: host.to_owned(),
        source: source.to_owned(),
        source_name: source_name.to_owned(),
        labels: BTreeMap::from([(LABEL.to_owned(), ids)]),
        narthex_version: env!("CARGO_PKG_VERSION").to_owned(),
        repository: Some(repository.descriptor().id.clone()).filter(|id| !id.is_empty()),
        previous: None,
        coverage: coverage(&blocks),
        blocks: blocks.into(),
        wal,
        left_out: vec![LeftOut {
            name: RECONSTRUCTED.to_owned(),
            reason,
        }],
        findings: FindingCounts::default(),
    }
}

/// The archive in which what was left of the lost archive `id` is.
pub(super) fn reconstructed<'c>(catalog: &'c Catalog, id: &ArchiveId) -> Option<&'c Archive> {
    catalog.archives.iter().rfind(|archive| {
        let ids = archive.labels.get(LABEL);
        ids.is_some_and(|ids| ids.split(',').any(|other| other == id.to_string()))
    })
}

/// The block, and all that it was made of.
fn relatives(block: &StoredBlock) -> impl Iterator<Item = &Ulid> {
    let made_of = block.sources.iter().chain(&block.parents);
    made_of.chain([&block.ulid])
}

/// The block whose sidecar has this name.
fn sidecar_of(name: &ObjectName) -> Option<Ulid> {
    let (ulid, file) = name.as_str().strip_prefix("blocks/")?.split_once('/')?;
    file.ends_with(SIDECAR).then(|| ulid.parse().ok()).flatten()
}

/// The block whose object has this name, and its fingerprint.
fn block_of(name: &ObjectName) -> Option<(Ulid, Fingerprint)> {
    let (ulid, file) = name.as_str().strip_prefix("blocks/")?.split_once('/')?;
    if file.ends_with(SIDECAR) {
        return None;
    }
    let fingerprint = file
        .strip_suffix(RECIPE_SUFFIX)
        .or_else(|| file.strip_suffix(OBJECT))?;
    Some((ulid.parse().ok()?, fingerprint.parse().ok()?))
}

/// What a manifest says of a block whose object is `name`.
fn read_block(
    store: &dyn Store,
    catalog: &Catalog,
    name: &ObjectName,
    ulid: Ulid,
    fingerprint: &Fingerprint,
) -> Result<StoredBlock> {
    let UnnamedBlock { mut block, packs } = describe_block(store, name, ulid, fingerprint)?;
    let raw_bytes = block.packed_files().map(|file| file.bytes).sum();
    for pack in packs {
        block
            .packs
            .push(describe_pack(store, catalog, pack, raw_bytes)?);
    }
    Ok(block)
}

fn describe_pack(
    store: &dyn Store,
    catalog: &Catalog,
    name: ObjectName,
    raw_bytes: u64,
) -> Result<StoredObject> {
    let bytes = store.size(&name)?;
    let sha256 = digest_of_object(store, &name, bytes, |_| ())?;
    // Archives must agree about it.
    if let Some(known) = catalog.descriptions(&name).next() {
        if (known.bytes, known.sha256) == (bytes, sha256) {
            return Ok(known.clone());
        }
        let wanted = known.sha256;
        return Err(Error::corrupt(format!(
            "object {name}: expected SHA-256 {wanted}, found {sha256}"
        )));
    }
    let form = store.stored_form(&name)?;
    Ok(StoredObject {
        name,
        codec: ObjectCodec::Pack,
        bytes,
        sha256,
        raw_bytes,
        encrypted: form.map(EncryptedForm::from),
    })
}
