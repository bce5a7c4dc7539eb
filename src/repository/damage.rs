//! Marks of damage: objects that were seen not to hold what archives expect of them.
//!
//! A mark lowers trust and does nothing else. A backup does not build on an object that has one,
//! and stores anew what it should hold; who restores tries it last, and proves by digests what
//! comes out of it all the same. Anybody may take a mark off again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{DAMAGE, flat, is_data, stamp_of, time_of, unflat};
use super::seal;
use super::trash::delete_if_there;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::{ObjectName, Store};

/// Version of marks that this program writes.
const MARK_VERSION: u32 = 1;

const SUFFIX: &str = ".json";

/// What a mark says, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// [`MARK_VERSION`].
    format_version: u32,
    /// The object it is about.
    object: ObjectName,
    /// When it was written.
    #[serde(with = "super::stamp")]
    time: Millis,
    /// What was expected and what was found.
    found: String,
}

/// All marks of damage of a repository, by one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// By the object they are about: the marks, with the time of each, to the second.
    marks: BTreeMap<ObjectName, BTreeMap<ObjectName, Millis>>,
}

impl Damage {
    /// Lists what there is. Nothing is read: names say it all. Names that no mark has are passed
    /// over.
    pub fn list(store: &dyn Store) -> Result<Self> {
        let listed = store.list(DAMAGE)?;
        Ok(Damage::of(listed.iter().map(|(name, _)| name)))
    }

    /// What these objects are of marks.
    pub(super) fn of<'a>(listed: impl IntoIterator<Item = &'a ObjectName>) -> Self {
        let mut damage = Damage::default();
        for name in listed {
            if let Some((object, time)) = parse(name) {
                let marks = damage.marks.entry(object).or_default();
                marks.insert(name.clone(), time);
            }
        }
        damage
    }

    /// Whether `object` was seen damaged.
    pub fn contains(&self, object: &ObjectName) -> bool {
        self.marks.contains_key(object)
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The objects that are marked.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectName> {
        self.marks.keys()
    }

    /// Since when `object` has been known to be damaged, to the second.
    pub fn since(&self, object: &ObjectName) -> Option<Millis> {
        self.marks.get(object)?.values().min().copied()
    }

    /// Takes all marks off `object`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn clear(&self, store: &dyn Store, object: &ObjectName) -> Result<()> {
        let marks = self.marks.get(object).into_iter();
        let mut marks = marks.flat_map(BTreeMap::keys);
        marks.try_for_each(|mark| delete_if_there(store, mark))
    }
}

/// Marks `object` as seen damaged at `now`; `found` says what was expected and what was found.
///
/// # Errors
///
/// `Invalid` when `object` holds no data; when the store fails.
pub fn mark(store: &dyn Store, object: &ObjectName, found: &str, now: Millis) -> Result<()> {
    if !is_data(object) {
        return Err(Error::invalid(format!(
            "expected an object with data, found {object}"
        )));
    }
    let name = format!("{DAMAGE}{}.{}{SUFFIX}", flat(object), stamp_of(now)?);
    let mark = Mark {
        format_version: MARK_VERSION,
        object: object.clone(),
        time: now,
        found: found.to_owned(),
    };
    match store.put(&ObjectName::new(name)?, &seal::to_bytes(&mark)?) {
        Err(taken) if taken.kind() == ErrorKind::AlreadyExists => Ok(()),
        published => published,
    }
}

/// The object that the mark `name` is about, and when it was put on; `None` when it is no mark.
fn parse(name: &ObjectName) -> Option<(ObjectName, Millis)> {
    let rest = name.as_str().strip_prefix(DAMAGE)?.strip_suffix(SUFFIX)?;
    let (object, stamp) = rest.rsplit_once('.')?;
    let object = unflat(object).filter(is_data)?;
    Some((object, time_of(stamp)?))
}

/// Whether `name` is that of a mark.
pub(super) fn is_mark(name: &ObjectName) -> bool {
    parse(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::mended_object;
    use crate::store::MemoryStore;

    const NOW: Millis = 1_795_288_065_000;

    #[test]
    fn a_mark_lasts_until_it_is_taken_off() {
        let memory = MemoryStore::new();
        let store: &dyn Store = &memory;
        let wal = ObjectName::new("wal/0123456789abcdef.tar.zst").unwrap();
        let mended = mended_object(store, &wal).unwrap();
        for (object, time) in [(&wal, NOW), (&wal, NOW - 5000), (&mended, NOW)] {
            mark(store, object, "expected 3 bytes, found 2", time).unwrap();
            mark(store, object, "the same second", time).unwrap();
        }
        let damage = Damage::list(store).unwrap();
        assert!(damage.contains(&wal) && damage.contains(&mended));
        assert_eq!(damage.since(&wal), Some(NOW - 5000));
        damage.clear(store, &wal).unwrap();
        let damage = Damage::list(store).unwrap();
        assert!(!damage.contains(&wal) && damage.contains(&mended));
    }

    #[test]
    fn only_data_is_marked() {
        let memory = MemoryStore::new();
        let name = |text: &str| ObjectName::new(text).unwrap();
        assert!(mark(&memory, &name("narthex.json"), "", NOW).is_err());
        assert!(!is_mark(&name("damage/notes.20261121T190745Z.json")));
    }
}
