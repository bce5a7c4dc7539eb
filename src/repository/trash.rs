//! What is about to be let go: marks on objects that no archive names, and warrants to delete them.
//!
//! A *mark* says since when an object has been seen unneeded. It is a note about time and nothing
//! more: anybody may take it off, and safety rests on no mark. A *warrant* is what safety rests on.
//! Whoever wants to delete an object first issues one of its own, then reads all
//! [claims](super::claim) and manifests again, deletes the object if none names it, and only then
//! takes the warrant back. No backup relies on an object with a warrant. No two warrants have one
//! name, and none is published twice: to remove the warrant of a run that died never removes that
//! of another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{ArchiveId, MARKS, TRASH, WARRANTS, flat, is_data, stamp_of, time_of, unflat};
use super::{lease, seal};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::{ObjectName, Store};

/// Version of marks and warrants that this program writes.
const NOTICE_VERSION: u32 = 1;

const SUFFIX: &str = ".json";

/// What a mark or a warrant says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Notice {
    /// [`NOTICE_VERSION`].
    format_version: u32,
    /// The object it is about.
    object: ObjectName,
    /// When it was written.
    #[serde(with = "super::stamp")]
    time: Millis,
}

/// Marks and warrants of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// The marks, with the time each was put on, to the second.
    pub marks: BTreeMap<ObjectName, Millis>,
    /// The warrants, with the time each was issued, to the second.
    pub warrants: BTreeMap<ObjectName, Millis>,
}

impl Notices {
    /// Since when the object has been seen unneeded, to the second; `None` when it has no mark.
    pub fn marked_since(&self) -> Option<Millis> {
        self.marks.values().min().copied()
    }
}

/// All marks and warrants of a repository, by one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trash {
    /// By the object they are about.
    pub objects: BTreeMap<ObjectName, Notices>,
}

impl Trash {
    /// Lists what there is. Nothing is read: names say it all. Names that no mark or warrant has
    /// are passed over.
    pub fn list(store: &dyn Store) -> Result<Self> {
        let listed = store.list(TRASH)?;
        Ok(Trash::of(listed.iter().map(|(name, _)| name)))
    }

    /// What these objects are of marks and warrants.
    pub(super) fn of<'a>(listed: impl IntoIterator<Item = &'a ObjectName>) -> Self {
        let mut trash = Trash::default();
        for name in listed {
            match Name::parse(name) {
                Some(Name::Mark(object, time)) => {
                    let notices = trash.objects.entry(object).or_default();
                    notices.marks.insert(name.clone(), time);
                }
                Some(Name::Warrant(object, time, _)) => {
                    let notices = trash.objects.entry(object).or_default();
                    notices.warrants.insert(name.clone(), time);
                }
                None => {}
            }
        }
        trash
    }

    /// Since when `object` has been seen unneeded, to the second; `None` when it has no mark.
    pub fn marked_since(&self, object: &ObjectName) -> Option<Millis> {
        self.objects.get(object)?.marked_since()
    }

    /// Whether somebody is about to delete `object`: nobody may rely on it any more.
    pub fn is_condemned(&self, object: &ObjectName) -> bool {
        let notices = self.objects.get(object);
        notices.is_some_and(|notices| !notices.warrants.is_empty())
    }

    /// Removes at `now` the warrants of runs that must have died.
    pub fn sweep_warrants(&mut self, store: &dyn Store, now: Millis) -> Result<()> {
        for notices in self.objects.values_mut() {
            let warrants = notices.warrants.iter();
            let expired = warrants.filter(|(_, time)| lease::has_expired(**time, now));
            let expired: Vec<_> = expired.map(|(name, _)| name.clone()).collect();
            for name in expired {
                delete_if_there(store, &name)?;
                notices.warrants.remove(&name);
            }
        }
        Ok(())
    }

    /// Takes all marks off `object`.
    pub fn unmark(&self, store: &dyn Store, object: &ObjectName) -> Result<()> {
        let marks = self.objects.get(object).into_iter();
        let mut marks = marks.flat_map(|notices| notices.marks.keys());
        marks.try_for_each(|mark| delete_if_there(store, mark))
    }
}

/// What the name of an object in `trash/` says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// The object that is marked, and when that was.
    Mark(ObjectName, Millis),
    /// The object that is to be deleted, when the warrant was issued, and by which run.
    Warrant(ObjectName, Millis, ArchiveId),
}

impl Name {
    /// Reads a name; `None` when `name` is that of no mark or warrant.
    fn parse(name: &ObjectName) -> Option<Self> {
        let text = name.as_str();
        let (rest, is_mark) = match (text.strip_prefix(MARKS), text.strip_prefix(WARRANTS)) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return None,
        };
        let (object, last) = rest.strip_suffix(SUFFIX)?.rsplit_once('.')?;
        let object = unflat(object)?;
        let parsed = if is_mark {
            Name::Mark(object, time_of(last)?)
        } else {
            let (stamp, run) = last.split_once('-')?;
            Name::Warrant(object, time_of(stamp)?, run.parse().ok()?)
        };
        let own = parsed.object_name();
        own.is_ok_and(|own| own == *name).then_some(parsed)
    }

    /// The name. All of `trash/` is two directories.
    fn object_name(&self) -> Result<ObjectName> {
        let (prefix, object, last) = match self {
            Name::Mark(object, time) => (MARKS, object, stamp_of(*time)?),
            Name::Warrant(object, time, run) => {
                (WARRANTS, object, format!("{}-{run}", stamp_of(*time)?))
            }
        };
        if !is_data(object) {
            return Err(Error::invalid(format!(
                "expected an object with data, found {object}"
            )));
        }
        let flat = flat(object);
        ObjectName::new(format!("{prefix}{flat}.{last}{SUFFIX}"))
    }
}

/// Whether `name` is that of a mark or a warrant.
pub(super) fn is_notice(name: &ObjectName) -> bool {
    Name::parse(name).is_some()
}

/// Marks `object` as seen unneeded at `now`.
pub fn mark(store: &dyn Store, object: &ObjectName, now: Millis) -> Result<()> {
    let name = Name::Mark(object.clone(), now).object_name()?;
    match publish(store, &name, object, now) {
        Err(taken) if taken.kind() == ErrorKind::AlreadyExists => Ok(()),
        published => published,
    }
}

/// Issues a warrant of the run `run` to delete `object`, and returns its name. Ids of runs are
/// random, as those of archives.
pub fn issue_warrant(
    store: &dyn Store,
    object: &ObjectName,
    run: &ArchiveId,
    now: Millis,
) -> Result<ObjectName> {
    let name = Name::Warrant(object.clone(), now, run.clone()).object_name()?;
    publish(store, &name, object, now)?;
    Ok(name)
}

fn publish(store: &dyn Store, name: &ObjectName, object: &ObjectName, now: Millis) -> Result<()> {
    let notice = Notice {
        format_version: NOTICE_VERSION,
        object: object.clone(),
        time: now,
    };
    store.put(name, &seal::to_bytes(&notice)?)
}

/// Removes an object that another run may have removed meanwhile.
pub fn delete_if_there(store: &dyn Store, name: &ObjectName) -> Result<()> {
    match store.delete(name) {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(()),
        deleted => deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const NOW: Millis = 1_795_288_065_000;

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    fn pack() -> ObjectName {
        name("packs/01M7ZTB71NJ67GWWE5SXTVHFTH/0123456789abcdef0123456789abcdef.pack")
    }

    #[test]
    fn one_listing_tells_what_is_marked_since_when_and_what_is_condemned() {
        let memory = MemoryStore::new();
        let store: &dyn Store = &memory;
        let wal = name("wal/0123456789abcdef.tar.zst");
        mark(store, &pack(), NOW).unwrap();
        mark(store, &pack(), NOW).unwrap();
        mark(store, &pack(), NOW - 5000).unwrap();
        mark(store, &wal, NOW).unwrap();
        store.put(&name("trash/marks/notes.txt"), b"").unwrap();
        issue_warrant(store, &wal, &ArchiveId::random(), NOW).unwrap();
        issue_warrant(store, &wal, &ArchiveId::random(), NOW).unwrap();

        let trash = Trash::list(store).unwrap();
        assert_eq!(trash.objects.len(), 2);
        assert_eq!(trash.objects[&pack()].marked_since(), Some(NOW - 5000));
        assert!(trash.is_condemned(&wal) && !trash.is_condemned(&pack()));
        assert_eq!(trash.objects[&wal].warrants.len(), 2);
        trash.unmark(store, &pack()).unwrap();
        trash.unmark(store, &pack()).unwrap();
        assert!(!Trash::list(store).unwrap().objects.contains_key(&pack()));
    }

    #[test]
    fn a_warrant_condemns_for_a_day_unless_its_run_takes_it_back() {
        let memory = MemoryStore::new();
        let store: &dyn Store = &memory;
        for time in [NOW, NOW + 1000, NOW + 10 * lease::LEASE] {
            issue_warrant(store, &pack(), &ArchiveId::random(), time).unwrap();
        }
        let left = |now| {
            let mut trash = Trash::list(store).unwrap();
            trash.sweep_warrants(store, now).unwrap();
            let listed = Trash::list(store).unwrap();
            assert_eq!(trash.is_condemned(&pack()), listed.is_condemned(&pack()));
            store.list(WARRANTS).unwrap().len()
        };
        assert_eq!(left(NOW + 10 * lease::LEASE), 1);
        assert_eq!(left(NOW + 11 * lease::LEASE), 1);
        assert_eq!(left(NOW), 0, "a time that far in the future is wrong");
    }

    #[test]
    fn nothing_but_data_can_be_marked_or_condemned() {
        let memory = MemoryStore::new();
        for other in ["narthex.json", "archives/x.json", "blocks/mine.tar.zst"] {
            assert!(mark(&memory, &name(other), NOW).is_err(), "{other}");
            let issued = issue_warrant(&memory, &name(other), &ArchiveId::random(), NOW);
            assert!(issued.is_err());
        }
        let odd = name("trash/warrants/narthex.json.20261121T190745Z-0123456789abcdef.json");
        (&memory as &dyn Store).put(&odd, b"").unwrap();
        assert_eq!(Trash::list(&memory).unwrap(), Trash::default());
        assert!(!is_notice(&odd));
    }
}
