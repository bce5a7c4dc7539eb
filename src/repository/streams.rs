//! What blocks hold of their sources, where manifests of earlier versions do not say: read from the
//! stored `meta.json`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value as Json;

use super::entries::StoredBlock;
use super::lineage::atoms;
use super::manifest::Archive;
use super::portable::{Object, Root};
use super::{Digest, FilePath};
use crate::error::{Error, Result};
use crate::model::{MAX_META_BYTES, Stream, Ulid};
use crate::store::Store;

/// Reads the `meta.json` of a block.
pub type ReadMeta<'r> = dyn Fn(&StoredBlock) -> Result<Vec<u8>> + 'r;

/// Fills in what the blocks of `archives` hold, as far as it matters and is not known: of blocks
/// that have sources in common and of which none was compacted from the other, and of those that
/// `also` names. Asks `read` once for each, unless that fails. Returns what could not be read.
pub fn learn_streams(
    read: &ReadMeta<'_>,
    archives: &mut [Archive],
    also: &BTreeSet<Ulid>,
) -> Vec<(Ulid, Error)> {
    let mut asked = in_question(archives.iter().flat_map(|archive| &archive.blocks));
    asked.extend(also);
    let is_asked = |block: &StoredBlock| block.resolution.is_none() && asked.contains(&block.ulid);
    let meta = |block: &StoredBlock| {
        let mut files = block.files.iter();
        let file = files.find(|file| file.name.as_str() == META)?;
        Some((block.ulid, file.sha256))
    };
    let mut learned: BTreeMap<(Ulid, Digest), Told> = BTreeMap::new();
    let mut failed: BTreeMap<(Ulid, Digest), Error> = BTreeMap::new();
    // Of the same content in several objects one may be sound.
    let mut tried = BTreeSet::new();
    for block in archives.iter().flat_map(|archive| &archive.blocks) {
        let Some(key) = meta(block).filter(|_| is_asked(block)) else {
            continue;
        };
        let objects: Vec<_> = block.file_objects().map(|object| &object.name).collect();
        if learned.contains_key(&key) || !tried.insert((key, objects)) {
            continue;
        }
        match read(block) {
            Ok(content) => {
                learned.insert(key, told(&content));
                failed.remove(&key);
            }
            Err(error) => {
                failed.entry(key).or_insert(error);
            }
        }
    }
    let blocks = archives
        .iter_mut()
        .flat_map(|archive| archive.blocks.iter_mut_where(is_asked));
    for block in blocks {
        if let Some(told) = meta(block).and_then(|key| learned.get(&key)) {
            block.resolution = Some(told.stream.resolution);
            block.external_labels.clone_from(&told.stream.labels);
            block.hints.clone_from(&told.hints);
        }
    }
    let failed = failed.into_iter();
    failed.map(|((ulid, _), error)| (ulid, error)).collect()
}

const META: &str = "meta.json";

/// What metadata says of what a block holds.
struct Told {
    stream: Stream,
    hints: Vec<String>,
}

/// Reads metadata; a file that is no metadata says that the block holds all there is.
fn told(content: &[u8]) -> Told {
    let json: Json = serde_json::from_slice(content).unwrap_or_default();
    let hints = json
        .get("compaction")
        .and_then(|c| c.get("hints"))
        .and_then(Json::as_array);
    let hints = hints.into_iter().flatten().filter_map(Json::as_str);
    let hints: Vec<String> = hints.map(str::to_owned).collect();
    let stream = Stream::of_metadata(json.get("thanos"), hints.iter().map(String::as_str));
    Told { stream, hints }
}

/// The `meta.json` of a stored block, proved by its digest.
///
/// # Errors
///
/// When it has none, or it cannot be read, or is not what the manifest says.
pub fn read_meta(store: &dyn Store, block: &StoredBlock) -> Result<Vec<u8>> {
    let missing = || Error::not_found(format!("block {} has no {META}", block.ulid));
    let name = FilePath::new(META)?;
    let mut objects = block.file_objects();
    let is_in = |object: &&_| block.files_from(object).any(|file| file.name == name);
    let object = objects.find(is_in).ok_or_else(missing)?;
    let file = block.files.iter().find(|file| file.name == name);
    let file = file.ok_or_else(missing)?;
    let mut opened = Object::open(store, &object.name, Root::Block(block.ulid))?;
    let entry = opened.entry(&name)?.ok_or_else(missing)?;
    let content = opened.read_file(&entry, MAX_META_BYTES)?;
    let found = Digest::of(&content);
    if found != file.sha256 {
        return Err(Error::corrupt(format!(
            "object {}: expected file {META} to have SHA-256 {}, found {found}",
            object.name, file.sha256
        )));
    }
    Ok(content)
}

/// Blocks that say nothing of their stream and share sources with another of which they are neither
/// parent nor child.
fn in_question<'a>(blocks: impl Iterator<Item = &'a StoredBlock>) -> BTreeSet<Ulid> {
    let distinct: BTreeMap<Ulid, &StoredBlock> = blocks.map(|block| (block.ulid, block)).collect();
    let mut holders: HashMap<Ulid, Vec<&StoredBlock>> = HashMap::new();
    for block in distinct.values() {
        for atom in atoms(block) {
            holders.entry(atom).or_default().push(block);
        }
    }
    let mut asked = BTreeSet::new();
    for holders in holders.values_mut() {
        // In a server's own chain each is a parent of the next larger one.
        holders.sort_by_key(|block| (block.sources.len(), block.level, block.ulid));
        let pairs = holders.iter().zip(holders.iter().skip(1));
        if !pairs.clone().all(|(a, b)| b.parents.contains(&a.ulid)) {
            asked.extend(holders.iter().map(|block| block.ulid));
        }
    }
    asked.retain(|ulid| {
        let block = distinct.get(ulid);
        block.is_some_and(|block| block.resolution.is_none())
    });
    asked
}

#[cfg(test)]
mod tests {
    use super::super::lineage::tests::{block, ulid};
    use super::*;

    #[test]
    fn only_blocks_that_may_be_parts_or_copies_are_asked_about() {
        let mut blocks = vec![
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (2, 4), 1, &[2], &[]),
            block(3, (0, 4), 2, &[1, 2], &[1, 2]),
            block(5, (4, 6), 1, &[5], &[]),
            block(6, (4, 8), 2, &[5, 7], &[5, 7]),
            block(8, (4, 8), 2, &[5, 7], &[5, 7]),
        ];
        for block in &mut blocks {
            block.resolution = None;
        }
        let asked = in_question(blocks.iter());
        assert_eq!(asked, BTreeSet::from([ulid(5), ulid(6), ulid(8)]));
        for block in &mut blocks {
            block.resolution = Some(0);
        }
        assert!(in_question(blocks.iter()).is_empty());
    }
}
