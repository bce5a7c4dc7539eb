//! Storing anew what older archives need and cannot read any more, from what newer ones hold.
//!
//! A block that Prometheus has compacted since cannot be read from its directory again. But its
//! samples live in the child, whose packs are sound: so the block is given a new recipe over those,
//! which costs some hundred bytes. Nothing is published that was not rebuilt to the digests that
//! the old manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use super::catalog::Catalog;
use crate::dense::{Cache, Extracted, SPLICE_FILE, derive, sound_recipe};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, Silent};
use crate::repository::lineage::atoms;
use crate::repository::portable::{self, DEFAULT_LEVEL, Root, SourceFile};
use crate::repository::{
    Digest, FilePath, Hasher, RECIPE_FILE, Repository, StoredBlock, StoredFile, StoredObject,
    digest_of_object, mended_object,
};
use crate::store::{ObjectName, Store, write_error};
use crate::stored::{content_in, guess, guess_empty};

/// Largest file that is carried over into a new object in memory, in bytes: `meta.json`,
/// tombstones.
const MAX_SMALL: u64 = 64 << 20;

/// What was mended.
#[derive(Debug, Default)]
pub struct Mending {
    /// Replacements that were written, and the packs they need: a backup in whose run that happens
    /// must claim them.
    pub objects: BTreeSet<ObjectName>,
    /// The objects that have a replacement now, and of what.
    pub mended: Vec<String>,
    /// What still lacks one, and why.
    pub left: Vec<String>,
}

/// Gives replacements to objects that the archives of `catalog` in `repository` need, and that are
/// marked as damaged, gone, or not as long as they should be; as far as the packs of `live` blocks,
/// which were just stored, or of other archives hold what was in them. Whether `catalog` does not
/// know of marks that this run has left, `is_outdated` says.
///
/// # Errors
///
/// When the repository fails.
pub fn mend(
    repository: &Repository,
    catalog: &mut Catalog,
    cache: &Cache,
    live: &[&StoredBlock],
    is_outdated: bool,
    progress: &dyn Progress,
) -> Result<Mending> {
    if !is_outdated && catalog.is_whole() {
        return Ok(Mending::default());
    }
    catalog.look_again(repository)?;
    let copied = copy_misplaced(repository.store(), catalog)?;
    let copied = copied.iter();
    let copied: Vec<_> = copied
        .map(|(object, from)| format!("the content of {object} is in {from}: it is stored anew"))
        .collect();
    for note in &copied {
        progress.remark(note);
    }
    catalog.look_again(repository)?;
    let catalog = &*catalog;
    let broken = catalog.broken_blocks();
    let mut mender = Mender {
        store: repository.store(),
        catalog,
        cache,
        live,
        mending: Mending {
            mended: copied,
            ..Mending::default()
        },
        trouble: None,
    };
    for (block, mut spoiled) in broken {
        if live.iter().any(|live| is_same_block(live, block)) && mender.stands_in(block)? {
            spoiled.retain(|object| block.sidecar.as_ref() == Some(*object));
        }
        mender.trouble = None;
        let mended = mender.mend_block(block, &spoiled)?;
        let (mended, left): (Vec<_>, Vec<_>) = spoiled
            .into_iter()
            .partition(|object| mended.contains(object));
        let ulid = block.ulid;
        if !mended.is_empty() {
            let names = list(&mended);
            let note = format!("block {ulid} of older archives is mended: {names}");
            progress.remark(&note);
            mender.mending.mended.push(note);
        }
        if !left.is_empty() {
            let names = list(&left);
            let why = mender.why_left();
            let note = format!("block {ulid}: {names}: {why}");
            mender.mending.left.push(note);
        }
    }
    if !mender.mending.left.is_empty() {
        progress.remark(&format_args!(
            "{} blocks of older archives are damaged, and nothing that can be read holds them: narthex check says which",
            mender.mending.left.len()
        ));
    }
    Ok(mender.mending)
}

/// Stores anew the bytes of spoiled objects that lie somewhere else: in front of what was appended
/// to them, or under another name, when objects were swapped. Gives the objects, and where their
/// bytes were.
fn copy_misplaced(store: &dyn Store, catalog: &Catalog) -> Result<Vec<(ObjectName, ObjectName)>> {
    let mut copied = Vec::new();
    let mut digests: BTreeMap<(&ObjectName, u64), Option<Digest>> = BTreeMap::new();
    for object in catalog.spoiled_objects() {
        let (name, wanted) = (&object.name, object.listed_bytes());
        let is_longer = catalog
            .stock
            .listed
            .get(name)
            .is_some_and(|found| *found > wanted);
        let own = catalog
            .stock
            .listed
            .get_key_value(name)
            .filter(|_| is_longer);
        let same_size = catalog.stock.listed.iter();
        let same_size = same_size.filter(|(other, bytes)| **bytes == wanted && *other != name);
        let found = own.into_iter().chain(same_size).find(|(other, _)| {
            let digest = digests
                .entry((*other, object.bytes))
                .or_insert_with(|| digest_of_object(store, other, object.bytes, |_| ()).ok());
            *digest == Some(object.sha256)
        });
        if let Some((from, _)) = found
            && copy(store, from, object, &mended_object(store, name)?)?
        {
            copied.push((name.clone(), from.clone()));
        }
    }
    Ok(copied)
}

/// Bytes of an object that are read at a time.
const STEP: u64 = 4 << 20;

/// Copies what `object` should be from the beginning of `from`; whether it came out right. Nothing
/// is published otherwise.
fn copy(
    store: &dyn Store,
    from: &ObjectName,
    object: &StoredObject,
    to: &ObjectName,
) -> Result<bool> {
    let mut pending = store.create(to)?;
    let mut sha256 = Hasher::default();
    let mut offset = 0;
    while offset < object.bytes {
        let end = object.bytes.min(offset + STEP);
        let Ok(content) = store.get_range(from, offset..end) else {
            return Ok(false);
        };
        sha256.update(&content);
        pending
            .write_all(&content)
            .map_err(|e| write_error(to, e))?;
        offset = end;
    }
    if sha256.finish() != object.sha256 {
        return Ok(false);
    }
    pending.publish()?;
    Ok(true)
}

struct Mender<'a> {
    store: &'a dyn Store,
    catalog: &'a Catalog,
    cache: &'a Cache,
    live: &'a [&'a StoredBlock],
    mending: Mending,
    /// What could not be read while a block was mended, although it may be sound.
    trouble: Option<Error>,
}

impl Mender<'_> {
    /// Whether the same block, stored anew in this run, already has objects that stand in for those
    /// of `block`; if its recipe can, it is made to.
    fn stands_in(&mut self, block: &StoredBlock) -> Result<bool> {
        let mended = self.catalog.stock.mended.of_object(&block.object.name);
        let live = self.live.iter().find(|live| is_same_block(live, block));
        let Some(live) = live else {
            return Ok(false);
        };
        if mended.iter().any(|(name, _)| *name == live.object.name) {
            return Ok(true);
        }
        self.copy(live, block)
    }

    /// Stores the object of `from` again, as one that stands in for that of `block`.
    fn copy(&mut self, from: &StoredBlock, block: &StoredBlock) -> Result<bool> {
        if from.sidecar != block.sidecar || from.object.bytes > MAX_SMALL || from.packs.is_empty() {
            return Ok(false);
        }
        let read = self.store.get(&from.object.name, MAX_SMALL).ok();
        let Some(bytes) = read.filter(|bytes| Digest::of(bytes) == from.object.sha256) else {
            return Ok(false);
        };
        let name = mended_object(self.store, &block.object.name)?;
        self.store.put(&name, &bytes)?;
        self.mending.objects.insert(name);
        let packs = from.packs.iter().map(|pack| pack.name.clone());
        self.mending.objects.extend(packs);
        Ok(true)
    }

    /// Keeps an error if what it is about may be sound all the same.
    fn note(&mut self, error: Error) {
        if matches!(
            error.kind(),
            ErrorKind::Io | ErrorKind::Unsupported | ErrorKind::Locked
        ) {
            self.trouble.get_or_insert(error);
        }
    }

    /// Why a block could not be mended.
    fn why_left(&mut self) -> String {
        match self.trouble.take() {
            None => "nothing in the repository holds it".to_owned(),
            Some(error) if error.kind() == ErrorKind::Unsupported => format!(
                "nothing that this narthex can read holds it ({}): a newer one may mend it",
                error.chain()
            ),
            Some(error) => format!(
                "nothing that could be read holds it ({}): where that was a passing failure, try again",
                error.chain()
            ),
        }
    }

    /// Makes replacements for what is `spoiled` of `block`. Gives the objects for which that was
    /// possible.
    fn mend_block<'o>(
        &mut self,
        block: &StoredBlock,
        spoiled: &[&'o StoredObject],
    ) -> Result<Vec<&'o StoredObject>> {
        let spoiled = spoiled.iter().copied();
        let (sidecar, rest): (Vec<_>, Vec<_>) =
            spoiled.partition(|object| block.sidecar.as_ref() == Some(*object));
        let mut mended = Vec::new();
        let mut samples = [block.samples, 0];
        if !rest.is_empty()
            && let Some(found) = self.mend_rest(block)?
        {
            samples = found;
            mended.extend(rest);
        }
        for sidecar in sidecar {
            if let Some(contents) = self.small_files(block, block.files_from(sidecar), samples) {
                self.publish(block, &sidecar.name, &contents)?;
                mended.push(sidecar);
            }
        }
        Ok(mended)
    }

    /// Makes a replacement for all of `block` but its sidecar, if that is possible. Gives its
    /// samples of floats and of histograms.
    fn mend_rest(&mut self, block: &StoredBlock) -> Result<Option<[u64; 2]>> {
        let Some(extracted) = self.extract(block) else {
            return Ok(None);
        };
        let samples = extracted.samples.unwrap_or([block.samples, 0]);
        let whole = block.files.iter().filter(|file| {
            let mut files = extracted.files.iter();
            !file.sidecar && !files.any(|other| other.name == file.name)
        });
        let Some(mut contents) = self.small_files(block, whole, samples) else {
            return Ok(None);
        };
        if !extracted.splice.is_plain() {
            let bytes = extracted.splice.to_bytes();
            contents.push((FilePath::new(SPLICE_FILE)?, bytes));
        }
        contents.push((FilePath::new(RECIPE_FILE)?, extracted.recipe.to_bytes()?));
        self.publish(block, &block.object.name, &contents)?;
        self.mending.objects.extend(extracted.recipe.packs);
        Ok(Some(samples))
    }

    /// The contents of files that are not rebuilt, if all of them are found.
    fn small_files<'f>(
        &mut self,
        block: &StoredBlock,
        files: impl Iterator<Item = &'f StoredFile>,
        samples: [u64; 2],
    ) -> Option<Vec<(FilePath, Vec<u8>)>> {
        let mut contents = Vec::new();
        for file in files {
            let content = self.small_file(block, file, samples)?;
            contents.push((file.name.clone(), content));
        }
        Some(contents)
    }

    fn publish(
        &mut self,
        block: &StoredBlock,
        object: &ObjectName,
        contents: &[(FilePath, Vec<u8>)],
    ) -> Result<()> {
        let name = mended_object(self.store, object)?;
        let files = contents.iter().map(|(name, content)| SourceFile {
            name: name.clone(),
            content,
        });
        let files: Vec<_> = files.collect();
        let root = Root::Block(block.ulid);
        let staged = portable::write(self.store, &name, root, &files, DEFAULT_LEVEL, &Silent)?;
        staged.publish()?;
        self.mending.objects.insert(name);
        Ok(())
    }

    /// How index and segments come back: from the block's own packs, if these are sound; or from
    /// those of a block that holds all its samples.
    fn extract(&mut self, block: &StoredBlock) -> Option<Extracted> {
        let recipe = sound_recipe(self.store, block);
        let recipe = recipe.map_err(|error| self.note(error)).ok();
        let is_usable = |pack: &StoredObject| !self.catalog.is_spoiled(pack);
        let own = block.packs.iter().map(|pack| {
            if is_usable(pack) {
                return Some((pack.name.clone(), pack.bytes));
            }
            // The same bytes, most likely; what comes out is proved.
            let mut mended = self.catalog.stock.mended.of_object(&pack.name).iter();
            let is_usable = |(name, listed): &&(ObjectName, u64)| {
                let bytes = self.store.size_of_listed(name, *listed);
                bytes.is_ok_and(|bytes| bytes == pack.bytes)
                    && !self.catalog.stock.damage.contains(name)
            };
            let (name, _) = mended.find(is_usable)?;
            Some((name.clone(), pack.bytes))
        });
        let own = own.collect::<Option<Vec<_>>>();
        let wanted = atoms(block);
        let stored = self.catalog.archives.iter().rev();
        let stored = stored.flat_map(|archive| &archive.blocks);
        let mut tried: BTreeSet<Vec<&ObjectName>> = BTreeSet::new();
        let others = self.live.iter().copied().chain(stored).filter(|other| {
            let is_child = other.ulid != block.ulid && wanted.is_subset(&atoms(other));
            let is_live = || self.live.iter().any(|live| live.ulid == other.ulid);
            is_child
                && (is_live() || other.packs.iter().all(is_usable))
                && tried.insert(other.packs.iter().map(|pack| &pack.name).collect())
        });
        let others = others.map(|other| names(&other.packs));
        let found = derive(self.store, self.cache, block, recipe.as_ref(), own, others);
        match found {
            Ok(found) => found.map(|(extracted, _)| extracted),
            Err(error) => {
                self.note(error);
                None
            }
        }
    }

    /// The content of a file that is not rebuilt from packs, from any object that still has it; or
    /// as Prometheus would write it.
    fn small_file(
        &mut self,
        block: &StoredBlock,
        wanted: &StoredFile,
        samples: [u64; 2],
    ) -> Option<Vec<u8>> {
        if wanted.bytes > MAX_SMALL {
            return None;
        }
        let catalog = self.catalog;
        let words = catalog.words(block.ulid);
        let live = self.live.iter().filter(|live| live.ulid == block.ulid);
        let words = std::iter::once(block).chain(live.copied()).chain(words);
        let mut seen = BTreeSet::new();
        for object in words.flat_map(StoredBlock::file_objects) {
            if !seen.insert(&object.name) {
                continue;
            }
            let mended = catalog.stock.mended.of_object(&object.name).iter();
            for name in std::iter::once(&object.name).chain(mended.map(|(name, _)| name)) {
                match content_in(self.store, name, block.ulid, wanted, MAX_SMALL) {
                    Ok(Some(content)) => return Some(content),
                    Ok(None) => {}
                    // What cannot be read here may be read elsewhere.
                    Err(error) => self.note(error),
                }
            }
        }
        if wanted.name.as_str() != "meta.json" {
            return guess_empty(wanted);
        }
        let range_of = |ulid| catalog.range_of(ulid);
        guess(block, wanted, samples, &range_of)
    }
}

fn list(objects: &[&StoredObject]) -> String {
    let names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
    names.join(", ")
}

fn names(packs: &[StoredObject]) -> Vec<(ObjectName, u64)> {
    let packs = packs.iter();
    packs.map(|pack| (pack.name.clone(), pack.bytes)).collect()
}

/// Whether both are the same block, file by file.
fn is_same_block(a: &StoredBlock, b: &StoredBlock) -> bool {
    let files = |block: &StoredBlock| -> BTreeSet<(FilePath, Digest)> {
        let files = block.files.iter();
        files.map(|file| (file.name.clone(), file.sha256)).collect()
    };
    a.ulid == b.ulid && files(a) == files(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::ArchiveId;
    use crate::repository::{ObjectCodec, wal_object};
    use crate::store::MemoryStore;
    use crate::store::ReadStore as _;
    use crate::store::faulty::{FaultyStore, StoreFaults};

    #[test]
    fn a_copy_that_comes_out_otherwise_is_not_published() {
        let memory = MemoryStore::new();
        let name = wal_object(&ArchiveId::random()).unwrap();
        let content = b"what was stored";
        let direct: &dyn Store = &memory;
        direct.put(&name, content).unwrap();
        let object = StoredObject {
            name: name.clone(),
            codec: ObjectCodec::Portable,
            bytes: content.len() as u64,
            sha256: Digest::of(content),
            raw_bytes: 0,
            encrypted: None,
        };
        let mut flips = 0;
        for flip_at in 0..4 {
            let faults = StoreFaults {
                flip_at: Some(flip_at),
                ..StoreFaults::default()
            };
            let store = FaultyStore::new(std::sync::Arc::new(memory.clone()), faults);
            let to = mended_object(&store, &name).unwrap();
            if copy(&store, &name, &object, &to).unwrap() {
                assert_eq!(memory.get(&to, 100).unwrap(), content);
            } else {
                assert!(memory.get(&to, 100).is_err());
                flips += 1;
            }
        }
        assert_eq!(flips, 1);
    }
}
