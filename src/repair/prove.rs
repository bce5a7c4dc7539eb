//! Whether what archives need comes back although an object that holds it is damaged.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use crate::dense::{Recipe, is_sound, read_packed};
use crate::error::{Error, Result};
use crate::progress::Silent as NoProgress;
use crate::repository::portable::{Object, Root, Silent};
use crate::repository::{
    DENSE, Digest, FilePath, PACK, Repository, StoredBlock, StoredFile, StoredObject, StoredWal,
    original, recipe_packs,
};
use crate::store::{ObjectName, Store};

/// Most ways in which a block is stored that are tried.
const MAX_WAYS: usize = 16;

/// Proves blocks and logs of a repository, one by one, by rebuilding them. Every object is read for its digest at most once.
#[derive(Debug)]
pub struct Prover<'c> {
    store: &'c dyn Store,
    catalog: &'c Catalog,
    sound: BTreeMap<ObjectName, bool>,
    /// Replacements that do not give what they should, and why.
    failed: BTreeMap<ObjectName, String>,
}

/// Digests of the files that an object gives.
type Given = BTreeMap<FilePath, (u64, Digest)>;

impl<'c> Prover<'c> {
    /// Proves what the archives of `catalog` in `repository` need.
    pub fn new(repository: &'c Repository, catalog: &'c Catalog) -> Self {
        Prover {
            store: repository.store(),
            catalog,
            sound: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Replacements that were tried and do not give what they should, and what is wrong with each.
    pub fn into_failed(self) -> BTreeMap<ObjectName, String> {
        self.failed
    }

    /// Names of the files of `block` that do not come back; none if it comes back whole, in whichever way.
    pub fn lost_of_block(&mut self, block: &StoredBlock) -> Vec<FilePath> {
        let mut missing: Vec<StoredFile> = block.files.clone();
        let words = self.catalog.words(block.ulid);
        let mut ways = vec![block.clone()];
        for word in words {
            let is_known = |way: &StoredBlock| way.objects().eq(word.objects());
            if !ways.iter().any(is_known) && ways.len() < MAX_WAYS {
                ways.push(word.clone());
            }
        }
        for way in ways {
            for object in way.file_objects() {
                let files: Vec<_> = way.files_from(object).cloned().collect();
                self.take_files(&mut missing, block, object, &files);
            }
            if missing.is_empty() {
                break;
            }
            self.take_packed(&mut missing, &way);
        }
        missing.into_iter().map(|file| file.name).collect()
    }

    /// Names of the files of `wal` that do not come back.
    pub fn lost_of_logs(&mut self, wal: &StoredWal) -> Vec<FilePath> {
        let mut missing = wal.files.clone();
        for name in self.names_of(&wal.object.name) {
            if let Some(given) = self.given(&name, Root::Data) {
                missing.retain(|file| given.get(&file.name) != Some(&(file.bytes, file.sha256)));
            }
        }
        missing.into_iter().map(|file| file.name).collect()
    }

    /// The object and what stands in for it.
    fn names_of(&self, object: &ObjectName) -> Vec<ObjectName> {
        let mended = self.catalog.stock.mended.of_object(object).iter();
        let mended = mended.map(|(name, _)| name.clone());
        std::iter::once(object.clone()).chain(mended).collect()
    }

    fn given(&mut self, name: &ObjectName, root: Root) -> Option<Given> {
        let opened = Object::open(self.store, name, root);
        match opened.and_then(|object| object.contents(&mut Silent, &NoProgress)) {
            Ok((_, files)) => {
                let files = files.into_iter();
                Some(
                    files
                        .map(|file| (file.name, (file.bytes, file.sha256)))
                        .collect(),
                )
            }
            Err(error) => {
                self.fail(name, error.chain());
                None
            }
        }
    }

    /// Takes note of what is wrong with a replacement. Other objects are proved by what manifests say of them.
    fn fail(&mut self, name: &ObjectName, found: String) {
        if original(name).is_some() {
            self.failed.entry(name.clone()).or_insert(found);
        }
    }

    fn take_files(
        &mut self,
        missing: &mut Vec<StoredFile>,
        block: &StoredBlock,
        object: &StoredObject,
        files: &[StoredFile],
    ) {
        let names: BTreeSet<_> = files.iter().map(|file| &file.name).collect();
        let is_wanted = |file: &StoredFile| names.contains(&file.name);
        for name in self.names_of(&object.name) {
            // What stands in for an object may hold files that the object takes from packs.
            let any = name != object.name || missing.iter().any(is_wanted);
            if !any || missing.is_empty() {
                continue;
            }
            if let Some(given) = self.given(&name, Root::Block(block.ulid)) {
                missing.retain(|file| given.get(&file.name) != Some(&(file.bytes, file.sha256)));
            }
        }
    }

    /// Takes what comes back from packs: by the block's own recipe, or by one that stands in for it.
    fn take_packed(&mut self, missing: &mut Vec<StoredFile>, way: &StoredBlock) {
        for name in self.names_of(&way.object.name) {
            if missing.is_empty() {
                return;
            }
            match self.rebuild(way, &name) {
                Ok(rebuilt) => {
                    let rebuilt = rebuilt.into_iter();
                    let rebuilt: Given = rebuilt
                        .map(|file| (file.name, (file.bytes, file.sha256)))
                        .collect();
                    missing
                        .retain(|file| rebuilt.get(&file.name) != Some(&(file.bytes, file.sha256)));
                }
                Err(error) => self.fail_with_packs(way, &name, &error),
            }
        }
    }

    /// Takes note of a replacement by which nothing can be rebuilt, and of the packs on which that may lie: those that no manifest knows, and that are not
    /// the same as what they stand in for.
    fn fail_with_packs(&mut self, way: &StoredBlock, name: &ObjectName, error: &Error) {
        if original(name).is_none() {
            return;
        }
        self.fail(name, error.chain());
        for pack in recipe_packs(self.store, name).unwrap_or_default() {
            let Some(replaced) = original(&pack) else {
                continue;
            };
            let is_known = self.catalog.descriptions(&pack).next().is_some();
            let known = way.packs.iter().find(|other| other.name == replaced);
            let known = known.or_else(|| self.catalog.descriptions(&replaced).next());
            let is_same = known.is_some_and(|known| {
                let copy = StoredObject {
                    name: pack.clone(),
                    ..known.clone()
                };
                self.is_sound(&copy)
            });
            if !is_known && !is_same {
                let found = format!("block {} does not come back from it", way.ulid);
                self.fail(&pack, found);
            }
        }
    }

    /// The files that the recipe in the object `name` rebuilds of `way`.
    fn rebuild(&mut self, way: &StoredBlock, name: &ObjectName) -> Result<Vec<StoredFile>> {
        let mut object = Object::open(self.store, name, Root::Block(way.ulid))?;
        let recipe = Recipe::read(&mut object)?;
        let mut block = way.clone();
        block.object.name = name.clone();
        DENSE.clone_into(&mut block.object.codec);
        block.packs = Vec::new();
        for pack in &recipe.packs {
            block.packs.push(self.pack(way, pack)?);
        }
        let is_rebuilt = |file: &FilePath| {
            let mut segments = recipe.segments.iter();
            segments.any(|segment| segment.name == *file)
                || (recipe.index.is_some() && file.as_str() == "index")
        };
        for file in &mut block.files {
            file.packed = is_rebuilt(&file.name);
        }
        let (mut segments, mut index) = (Silent, Silent);
        read_packed(self.store, &block, &mut segments, &mut index, &NoProgress)?;
        Ok(block.packed_files().cloned().collect())
    }

    /// The pack that a recipe names, or one with the same bytes that stands in for it. It keeps the name that the recipe says.
    fn pack(&mut self, way: &StoredBlock, name: &ObjectName) -> Result<StoredObject> {
        let known = way.packs.iter().find(|pack| pack.name == *name).cloned();
        let known = known.or_else(|| self.catalog.descriptions(name).next().cloned());
        let missing = || Error::not_found(format!("object {name} does not exist"));
        let bytes = self.catalog.stock.listed.get(name).copied();
        let Some(known) = known else {
            // Only a replacement needs it; what comes out of it is proved.
            return Ok(StoredObject {
                name: name.clone(),
                codec: PACK.to_owned(),
                bytes: bytes.ok_or_else(missing)?,
                sha256: Digest::of(b""),
                raw_bytes: 0,
            });
        };
        if self.is_sound(&known) {
            return Ok(known);
        }
        Err(missing())
    }

    fn is_sound(&mut self, object: &StoredObject) -> bool {
        let known = self.sound.get(&object.name).copied();
        known.unwrap_or_else(|| {
            let found = is_sound(self.store, object).unwrap_or(false);
            self.sound.insert(object.name.clone(), found);
            found
        })
    }
}
