//! Deleting what no archive needs, in two runs: the first marks it, a later one deletes it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, millis_of};
use crate::repository::claim::{References, expired_claims};
use crate::repository::damage::Damage;
use crate::repository::lease::{LEASE, TRUST};
use crate::repository::trash::{Notices, Trash, delete_if_there, issue_warrant, mark};
use crate::repository::{
    ArchiveId, Parts, Repository, TEMPORARY, is_data, is_own_name, no_manifest,
};
use crate::store::{Leftover, Locks, ObjectName, Origin, Store};

/// How long an object stays marked before it is deleted, unless somebody says otherwise, in
/// milliseconds: three days. That is longer than a backup run takes, whose objects no archive names
/// until it ends, and shorter than the week between two prunes.
pub const DEFAULT_GRACE: Millis = 3 * 86_400_000;

/// How to prune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// How long an object stays marked before it is deleted, in milliseconds.
    pub grace: Millis,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Whether data may be deleted although there is no archive at all.
    pub allow_remove_all: bool,
    /// Whether nothing else works with the repository meanwhile, so that it does not matter if its
    /// store replaces objects whose names are taken.
    pub only_writer: bool,
}

impl Default for PruneOptions {
    fn default() -> Self {
        PruneOptions {
            grace: DEFAULT_GRACE,
            dry_run: false,
            allow_remove_all: false,
            only_writer: false,
        }
    }
}

/// What becomes of something that no archive names, or that none named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectFate {
    /// It is marked now.
    Marked,
    /// It has been marked for less than the grace.
    Waiting,
    /// It is deleted.
    Deleted,
    /// It has been marked for long enough, and is locked: it stays until that is over.
    Locked,
    /// It was marked, and an archive or a running backup names it again: the mark is taken off.
    Unmarked,
}

impl ObjectFate {
    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            ObjectFate::Marked => "marked",
            ObjectFate::Waiting => "waiting",
            ObjectFate::Deleted => "deleted",
            ObjectFate::Locked => "locked",
            ObjectFate::Unmarked => "unmarked",
        }
    }
}

/// Something that no archive names, or that none named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The object, or the file in `tmp/`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What becomes of it.
    pub fate: ObjectFate,
    /// Since when it is marked.
    pub since: Option<Millis>,
    /// From when on a prune may delete it.
    pub due: Option<Millis>,
}

/// What [`prune`] did, or would do.
#[derive(Debug, Default)]
pub struct Pruned {
    /// All that no archive names, and what was marked although one does; by name.
    pub items: Vec<Item>,
    /// Claims of backups that began more than a day ago and never ended: they died, or a clock is
    /// wrong. They count no more.
    pub expired_claims: Vec<ObjectName>,
    /// Objects that archives or running backups name.
    pub needed_objects: u64,
    /// Their size in bytes.
    pub needed_bytes: u64,
    /// Why it could not be told whether objects are locked that were deleted.
    pub unasked: Option<Error>,
}

impl Pruned {
    /// Adds what was done in `part` of the same repository.
    pub fn absorb(&mut self, other: Pruned, part: &Repository) {
        self.items.extend(other.items.into_iter().map(|item| Item {
            name: part.full_name(&item.name),
            ..item
        }));
        self.items.sort_by(|a, b| a.name.cmp(&b.name));
        let expired = other.expired_claims.iter();
        self.expired_claims
            .extend(expired.map(|name| part.full_object(name)));
        self.needed_objects += other.needed_objects;
        self.needed_bytes = self.needed_bytes.saturating_add(other.needed_bytes);
        self.unasked = self.unasked.take().or(other.unasked);
    }

    /// The number of items with this fate, and their size in bytes.
    pub fn of(&self, fate: ObjectFate) -> (u64, u64) {
        let items = self.items.iter().filter(|item| item.fate == fate);
        items.fold((0, 0), |(count, bytes), item| {
            (count + 1, item.bytes.saturating_add(bytes))
        })
    }
}

/// Marks at `now` what no archive names, deletes what has been marked for long enough, and sweeps
/// up after dead runs. Other runs may work on the repository meanwhile.
///
/// # Errors
///
/// When a manifest or a claim cannot be read, as it cannot be told then what is needed; `Refused`
/// when there is data and no manifest, as that is what a disk looks like that is not mounted, or
/// when the store does not refuse names that are taken, unless `options` allow it; or when the
/// repository fails. Whatever was done until then was right,
/// and the next run goes on.
pub fn prune(repository: &Repository, options: PruneOptions, now: Millis) -> Result<Pruned> {
    let store = repository.store();
    if !options.dry_run && !options.only_writer && !store.try_create_only()? {
        return Err(replaces(store));
    }
    // Objects first: whatever is named later by a manifest that is not seen here is not looked at
    // here either.
    let mut objects: BTreeMap<_, _> = repository.data_objects()?.into_iter().collect();
    objects.retain(|name, _| is_data(name));
    let mut trash = Trash::list(store)?;
    let expired = expired_claims(store, now)?;
    if !options.dry_run {
        // Before anything is decided: a run that is not dead after all finds its claim gone and
        // looks again.
        expired
            .iter()
            .try_for_each(|claim| delete_if_there(store, claim))?;
        trash.sweep_warrants(store, now)?;
    }
    let mut run = Run {
        objects: objects.len() as u64,
        trash,
        ..Run::new(repository, options, now)
    };
    run.look(&expired)?;
    run.pruned.expired_claims = expired;
    let due = run.sort(&objects)?;
    run.delete(due)?;
    run.sweep_marks(&objects)?;
    run.sweep_leftovers("")?;
    run.pruned.items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(run.pruned)
}

/// Sweeps up at `now` what runs that died have left and of which it is not known for which part of
/// a repository it was; where that is not in parts, there is nothing of that.
///
/// # Errors
///
/// As [`prune`].
pub fn prune_shared(parts: &Parts, options: PruneOptions, now: Millis) -> Result<Pruned> {
    if !parts.is_by_source() {
        return Ok(Pruned::default());
    }
    let mut run = Run::new(parts.root(), options, now);
    run.sweep_leftovers(TEMPORARY)?;
    Ok(run.pruned)
}

/// What is said where runs beside this one cannot be relied on.
fn replaces(store: &dyn Store) -> Error {
    Error::refused(format!(
        "expected a store that refuses a name that is taken, found that {} replaces what has it: nothing is deleted",
        store.describe()
    ))
    .advise("if no other narthex works with this repository meanwhile, --only-writer says so")
}

/// Refuses where the warrants of this run are not listed: what others have written meanwhile would
/// not be seen either.
fn refuse_old_listings(store: &dyn Store, due: &[Due]) -> Result<()> {
    let trash = Trash::list(store)?;
    let is_listed = |due: &&Due| {
        let notices = trash.objects.get(&due.object);
        notices.is_some_and(|notices| notices.warrants.contains_key(&due.warrant))
    };
    match due.iter().find(|due| !is_listed(due)) {
        None => Ok(()),
        Some(due) => Err(Error::refused(format!(
            "expected {} to list what was just written, found that it does not list {}: what others have written is not seen either, and nothing is deleted",
            store.describe(),
            due.warrant
        ))
        .advise("a proxy that keeps answers, or a store of replicas, may show an older state: let narthex ask the store itself, and run prune again")),
    }
}

/// Whether a dead run of narthex has left it.
fn is_own_leftover(leftover: &Leftover) -> bool {
    leftover.origin == Origin::Unpublished && is_own_name(&leftover.name)
}

struct Run<'a> {
    repository: &'a Repository,
    id: ArchiveId,
    options: PruneOptions,
    now: Millis,
    begun: Instant,
    /// How many objects with data there are.
    objects: u64,
    trash: Trash,
    references: References,
    /// The locks of the store, once it was asked for them.
    locks: OnceCell<Option<&'a dyn Locks>>,
    pruned: Pruned,
}

/// An object to be deleted.
struct Due {
    object: ObjectName,
    item: Item,
    /// The warrant of this run.
    warrant: ObjectName,
}

impl<'a> Run<'a> {
    /// A run that has seen nothing yet.
    fn new(repository: &'a Repository, options: PruneOptions, now: Millis) -> Self {
        Run {
            repository,
            id: ArchiveId::random(),
            options,
            now,
            begun: Instant::now(),
            objects: 0,
            trash: Trash::default(),
            references: References::default(),
            locks: OnceCell::new(),
            pruned: Pruned::default(),
        }
    }
}

impl Run<'_> {
    fn store(&self) -> &dyn Store {
        self.repository.store()
    }

    fn notices(&self, object: &ObjectName) -> Notices {
        let notices = self.trash.objects.get(object);
        notices.cloned().unwrap_or_default()
    }

    /// Looks what is needed, and refuses where not one manifest is seen.
    fn look(&mut self, expired: &[ObjectName]) -> Result<()> {
        self.references.refresh(self.repository, expired)?;
        if self.references.manifests() > 0 || self.options.allow_remove_all {
            return Ok(());
        }
        match no_manifest(self.objects) {
            Some(bereft) => Err(Error::refused(format!(
                "{bereft}; nothing is deleted. Only if all archives were removed on purpose: narthex prune --unsafe-allow-remove-all, in a repository in parts with --source"
            ))),
            None => Ok(()),
        }
    }

    /// Marks, unmarks, and returns what may be deleted, with a warrant for each.
    fn sort(&mut self, objects: &BTreeMap<ObjectName, u64>) -> Result<Vec<Due>> {
        let mut due = Vec::new();
        for (object, bytes) in objects {
            let notices = self.notices(object);
            if self.references.contains(object) {
                self.spare(object, *bytes, &notices)?;
                continue;
            }
            let since = since(&notices, self.now);
            let mut item = Item {
                name: object.to_string(),
                bytes: *bytes,
                fate: ObjectFate::Deleted,
                since: Some(since.unwrap_or(self.now)),
                due: Some(since.unwrap_or(self.now).saturating_add(self.options.grace)),
            };
            if item.due.is_some_and(|due| due > self.now) {
                item.fate = match since {
                    Some(_) => ObjectFate::Waiting,
                    None => self.mark(object, &notices)?,
                };
            } else if let Some(until) = self.locked_until(object)? {
                item.fate = ObjectFate::Locked;
                item.due = Some(until);
            } else if !self.options.dry_run {
                let warrant = issue_warrant(self.store(), object, &self.id, self.now)?;
                due.push(Due {
                    object: object.clone(),
                    item,
                    warrant,
                });
                continue;
            }
            self.pruned.items.push(item);
        }
        Ok(due)
    }

    /// Until when `object` is locked, where it still is. A store that keeps versions would hide it
    /// all the same, and nothing would become free.
    fn locked_until(&mut self, object: &ObjectName) -> Result<Option<Millis>> {
        if self.locks.get().is_none() {
            let known = self.repository.store().locks();
            let asked = known.map_or(Ok(false), Locks::can_lock);
            let can_lock = self.or_unasked(asked)?.unwrap_or(false);
            let _ = self.locks.set(known.filter(|_| can_lock));
        }
        let Some(Some(locks)) = self.locks.get().copied() else {
            return Ok(None);
        };
        let lock = match locks.lock_of(object) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => None,
            asked => self.or_unasked(asked)?.flatten(),
        };
        let until = lock.and_then(|lock| millis_of(lock.until));
        Ok(until.filter(|until| *until > self.now))
    }

    /// What was asked; nothing where it may not be asked, which is told at the end.
    fn or_unasked<T>(&mut self, asked: Result<T>) -> Result<Option<T>> {
        match asked {
            Err(denied) if denied.kind() == ErrorKind::Refused => {
                self.pruned.unasked.get_or_insert(denied);
                Ok(None)
            }
            asked => asked.map(Some),
        }
    }

    fn mark(&self, object: &ObjectName, notices: &Notices) -> Result<ObjectFate> {
        if !self.options.dry_run {
            mark(self.store(), object, self.now)?;
            // Those from the future, which would never be old.
            let mut marks = notices.marks.keys();
            marks.try_for_each(|mark| delete_if_there(self.store(), mark))?;
        }
        Ok(ObjectFate::Marked)
    }

    /// Takes the marks off an object that is needed.
    fn spare(&mut self, object: &ObjectName, bytes: u64, notices: &Notices) -> Result<()> {
        self.pruned.needed_objects += 1;
        self.pruned.needed_bytes = self.pruned.needed_bytes.saturating_add(bytes);
        let Some(since) = notices.marked_since() else {
            return Ok(());
        };
        if !self.options.dry_run {
            self.trash.unmark(self.store(), object)?;
        }
        self.pruned.items.push(Item {
            name: object.to_string(),
            bytes,
            fate: ObjectFate::Unmarked,
            since: Some(since),
            due: None,
        });
        Ok(())
    }

    /// Deletes what is still not needed now that its warrant is out.
    fn delete(&mut self, due: Vec<Due>) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        let current = refuse_old_listings(self.store(), &due);
        let mut left = due.into_iter();
        let result = current
            .and_then(|()| self.look(&[]))
            .and_then(|()| left.by_ref().try_for_each(|due| self.execute(due)));
        if result.is_err() {
            // What was not come to is free again at once; a warrant that cannot be removed expires.
            for due in left {
                let _ = delete_if_there(self.store(), &due.warrant);
            }
        }
        result
    }

    fn execute(&mut self, due: Due) -> Result<()> {
        let mut item = due.item;
        if self.references.contains(&due.object) {
            item.fate = ObjectFate::Unmarked;
            item.due = None;
            self.pruned.needed_objects += 1;
            self.pruned.needed_bytes = self.pruned.needed_bytes.saturating_add(item.bytes);
        } else {
            self.refuse_late()?;
            delete_if_there(self.store(), &due.object)?;
        }
        self.trash.unmark(self.store(), &due.object)?;
        // Last: from now on the name may be used again.
        delete_if_there(self.store(), &due.warrant)?;
        self.pruned.items.push(item);
        Ok(())
    }

    /// A run that stood still for so long may be taken for dead, and its warrants be taken over.
    fn refuse_late(&self) -> Result<()> {
        if self.begun.elapsed() < Duration::from_millis(TRUST.unsigned_abs()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Io,
            "the repository is too slow: prune stops after half a day, and the next one goes on",
        ))
    }

    /// Takes marks off what is gone, also those of damage.
    fn sweep_marks(&self, objects: &BTreeMap<ObjectName, u64>) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let marked = self.trash.objects.keys();
        let mut gone = marked.filter(|object| !objects.contains_key(*object));
        gone.try_for_each(|object| self.trash.unmark(self.store(), object))?;
        // What was seen damaged and is gone: that it is missing can be seen without a mark.
        let damage = Damage::list(self.store())?;
        let is_deleted = |object: &ObjectName| {
            let mut items = self.pruned.items.iter();
            items.any(|item| item.fate == ObjectFate::Deleted && item.name == object.as_str())
        };
        let mut gone = damage
            .objects()
            .filter(|object| !objects.contains_key(*object) || is_deleted(object));
        gone.try_for_each(|object| damage.clear(self.store(), object))
    }

    /// Removes unpublished objects that nobody has written to for as long as the grace, and at
    /// least for a day, of which the name has this `prefix`.
    fn sweep_leftovers(&mut self, prefix: &str) -> Result<()> {
        let age = self.options.grace.max(LEASE);
        for leftover in self.store().leftovers(prefix)? {
            let Some(since) = modified(&leftover).filter(|_| is_own_leftover(&leftover)) else {
                continue;
            };
            let due = since.saturating_add(age);
            let mut fate = ObjectFate::Waiting;
            if due <= self.now {
                fate = ObjectFate::Deleted;
                if !self.options.dry_run {
                    match self.store().remove_leftover(&leftover) {
                        Err(e) if e.kind() == ErrorKind::NotFound => continue,
                        Err(e) if e.kind() == ErrorKind::Refused => fate = ObjectFate::Waiting,
                        removed => removed?,
                    }
                }
            }
            self.pruned.items.push(Item {
                name: leftover.name,
                bytes: leftover.bytes,
                fate,
                since: Some(since),
                due: Some(due),
            });
        }
        Ok(())
    }
}

/// Since when an object is marked. A mark from the future counts for nothing: it would never be
/// old.
fn since(notices: &Notices, now: Millis) -> Option<Millis> {
    let marks = notices.marks.values().copied();
    marks
        .filter(|time| *time <= now.saturating_add(LEASE))
        .min()
}

fn modified(leftover: &Leftover) -> Option<Millis> {
    millis_of(leftover.modified?)
}
