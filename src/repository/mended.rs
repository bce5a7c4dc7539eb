//! Replacements: objects that stand in for damaged ones.
//!
//! What was published never changes, so a damaged object stays as it is, and what it held is stored
//! anew as `mended/<object>.<digits>`. A replacement holds the same content: the same bytes; or for
//! the object of a block every file of the block, in itself or by a recipe over packs that may be
//! others; or for a sidecar or a log the same files. Nothing rests on its name: who reads it
//! holds what comes out to the digests of the manifest. It is needed for as long as the object that
//! it stands in for, and so are the packs of its recipe.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::ArchiveId;
use super::layout::{ARCHIVES, BLOCKS, MENDED, can_be_mended, flat, original};
use super::portable::{Object, Root};
use super::seal;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::store::{ObjectName, Store};

/// Name of the recipe among the files of a recipe object.
pub const RECIPE_FILE: &str = "narthex.recipe.json";

/// How the names of recipe objects end.
pub const RECIPE_SUFFIX: &str = ".recipe.tar.zst";

/// Largest recipe that is read, in bytes.
const MAX_RECIPE_BYTES: u64 = 16 << 20;

/// Name, behind the prefix of manifests, of the object that makes the `prune` of programs refuse
/// that do not know what replacements need: they delete nothing where something lies among the
/// manifests that is none, and name it.
const GUARD: &str = "prune-needs-narthex-0.2.0";

/// A new name for a replacement of `object` in `store`; if that is a replacement itself, for one of
/// what it stands in for. From now on only a `prune` that knows replacements works on the
/// repository.
///
/// # Errors
///
/// `Invalid` when `object` is neither data nor the descriptor; or when the store fails.
pub fn mended_object(store: &dyn Store, object: &ObjectName) -> Result<ObjectName> {
    let name = new_name(object)?;
    let guard = ObjectName::new(format!("{ARCHIVES}{GUARD}"))?;
    // Whoever may only write may list.
    if store.list(guard.as_str())?.is_empty() {
        let why = "objects in mended/ need packs that no manifest names";
        match store.put(
            &guard,
            &seal::to_bytes(&json!({"format_version": 1, "why": why}))?,
        ) {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
            put => put?,
        }
    }
    Ok(name)
}

/// Whether this lies among the manifests to make an older `prune` refuse.
pub(super) fn is_guard(object: &ObjectName) -> bool {
    object.as_str().strip_prefix(ARCHIVES) == Some(GUARD)
}

fn new_name(object: &ObjectName) -> Result<ObjectName> {
    let original = original(object).unwrap_or_else(|| object.clone());
    if !can_be_mended(&original) {
        return Err(Error::invalid(format!(
            "expected an object with data, found {object}"
        )));
    }
    let name = format!("{MENDED}{}.{}", flat(&original), ArchiveId::random());
    ObjectName::new(name)
}

/// All replacements of a repository, by one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// The replacements of each object, with their sizes in bytes.
    by_original: BTreeMap<ObjectName, Vec<(ObjectName, u64)>>,
}

impl Mended {
    /// Lists what there is. Nothing is read.
    pub fn list(store: &dyn Store) -> Result<Self> {
        Ok(Mended::of(store.list(MENDED)?))
    }

    /// What these objects are of replacements.
    pub fn of(listed: impl IntoIterator<Item = (ObjectName, u64)>) -> Self {
        let mut mended = Mended::default();
        for (name, bytes) in listed {
            if let Some(original) = original(&name) {
                let all = mended.by_original.entry(original).or_default();
                all.push((name, bytes));
            }
        }
        mended
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_original.is_empty()
    }

    /// The replacements of `object`, with their sizes in bytes: to be tried where the object fails.
    /// Those of what it stands in for, if it is one itself.
    pub fn of_object(&self, object: &ObjectName) -> &[(ObjectName, u64)] {
        let original = original(object);
        let all = self.by_original.get(original.as_ref().unwrap_or(object));
        all.map_or(&[], Vec::as_slice)
    }

    /// Every replacement.
    pub fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.by_original.values().flatten().map(|(name, _)| name)
    }
}

/// The packs of the recipe in the object `name` or in the replacement of that name; none if it
/// holds no recipe.
///
/// # Errors
///
/// When it cannot be read.
pub fn recipe_packs(store: &dyn Store, name: &ObjectName) -> Result<Vec<ObjectName>> {
    #[derive(Deserialize)]
    struct Packs {
        packs: Vec<ObjectName>,
    }
    let original = original(name);
    let named = original.as_ref().unwrap_or(name);
    // What replaces an object with files may be a recipe, too.
    let is_recipe = named.as_str().ends_with(RECIPE_SUFFIX);
    let Some(ulid) = block_of(named).filter(|_| is_recipe || original.is_some()) else {
        return Ok(Vec::new());
    };
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    let entries = object.entries()?;
    let entry = entries
        .iter()
        .find(|entry| entry.name.as_str() == RECIPE_FILE);
    let Some(entry) = entry else {
        return Ok(Vec::new());
    };
    let content = object.read_file(entry, MAX_RECIPE_BYTES)?;
    match serde_json::from_slice::<Packs>(&content) {
        Ok(recipe) => Ok(recipe.packs),
        // A file of the block that happens to be called so.
        Err(_) if !is_recipe => Ok(Vec::new()),
        Err(cause) => Err(Error::corrupt(format!("damaged {RECIPE_FILE}")).with_source(cause)),
    }
}

/// The block that an object of this name is of.
fn block_of(name: &ObjectName) -> Option<Ulid> {
    let (ulid, _) = name.as_str().strip_prefix(BLOCKS)?.split_once('/')?;
    ulid.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::progress::Silent;
    use crate::repository::check::{CheckDepth, check};
    use crate::repository::claim::References;
    use crate::repository::layout::{DESCRIPTOR, is_data, unflat};
    use crate::repository::{ManifestName, Repository};
    use crate::store::MemoryStore;

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    #[test]
    fn a_replacement_says_what_it_stands_in_for() {
        let pack = name("packs/01M7ZTB71NJ67GWWE5SXTVHFTH/0123456789abcdef0123456789abcdef.pack");
        let first = new_name(&pack).unwrap();
        assert_eq!(original(&first), Some(pack.clone()));
        let second = new_name(&first).unwrap();
        assert_eq!(
            original(&second),
            Some(pack.clone()),
            "not one of the first"
        );
        let all = Mended::of([(first.clone(), 1), (second.clone(), 2), (pack.clone(), 3)]);
        assert_eq!(all.of_object(&pack).len(), 2);
        assert_eq!(all.of_object(&first), all.of_object(&pack));
        assert!(is_data(&first) && !is_data(&new_name(&name(DESCRIPTOR)).unwrap()));
        assert_eq!(unflat(&flat(&first)), Some(first));
    }

    #[test]
    fn the_first_replacement_makes_an_older_prune_refuse() {
        let memory = Arc::new(MemoryStore::new());
        let repository = Repository::init(memory.clone()).unwrap();
        let store: &dyn Store = &*memory;
        let guards = || {
            let listed = store.list(ARCHIVES).unwrap();
            let names = listed.into_iter().map(|(name, _)| name);
            // What release 0.1.0 calls "no name of a manifest".
            let odd = names.filter(|name| ManifestName::parse(name).is_none());
            odd.collect::<Vec<_>>()
        };
        assert!(guards().is_empty());
        let wal = name("wal/0123456789abcdef.tar.zst");
        assert_ne!(
            mended_object(store, &wal).unwrap(),
            mended_object(store, &wal).unwrap()
        );
        assert_eq!(guards(), [name("archives/prune-needs-narthex-0.2.0")]);
        let report = check(store, CheckDepth::Structure, &Silent).unwrap();
        assert_eq!(report.findings, [], "it is narthex' own");
        References::default().refresh(&repository, &[]).unwrap();
        store
            .put(&name("archives/prune-needs-narthex-9.9.9"), b"")
            .unwrap();
        let newer = References::default().refresh(&repository, &[]);
        assert!(newer.is_err(), "that of a newer program is respected");
    }

    #[test]
    fn what_only_looks_like_a_replacement_is_none() {
        for odd in [
            "mended/notes.0123456789abcdef",
            "mended/narthex.json",
            "mended/archives_x.json.0123456789abcdef",
            "mended/wal_0123456789abcdef.tar.zst.0123456789ABCDEF",
            "mended/mended_narthex.json.0123456789abcdef.0123456789abcdef",
        ] {
            assert_eq!(original(&name(odd)), None, "{odd}");
        }
        assert!(new_name(&name("archives/x.json")).is_err());
    }
}
