//! The end of a run: from objects that nobody names to archives, beside whoever may be deleting
//! such objects.
//!
//! Claim, look, publish, take the claim back: why this order is safe beside a prune at every
//! interleaving is said in `docs/design.md`. Marks (how long an object has been unneeded) are taken
//! off on the way; a run that meets a warrant, or misses an object, gives up and leaves no archive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::claim::Claim;
use super::early::EarlyClaim;
use super::lease::TRUST;
use super::portable::Staged;
use super::select::read_manifest;
use super::trash::{Trash, delete_if_there};
use super::{Archive, ArchiveId, Repository, StoredBlock, StoredObject, StoredWal};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::store::ObjectName;

/// Archives whose objects are stored, about to be committed under one claim.
pub(crate) struct Commit<'a> {
    /// The archives.
    pub(crate) archives: &'a [&'a Archive],
    /// What the claim is called after: the archive, or, where other runs may commit the same one
    /// at the same time, an id that no other run has.
    pub(crate) claimed_by: &'a ArchiveId,
    /// The logs of the archive, if they are not published yet: there is one archive then.
    pub(crate) logs: Option<Staged>,
    /// What else was written in the same run, for older archives or to stand in for something, or
    /// is needed by what was.
    pub(crate) also: &'a BTreeSet<ObjectName>,
    /// What the archives name and need not be there: something of `also` stands in for it.
    pub(crate) replaced: &'a BTreeSet<ObjectName>,
    /// Whether a manifest that is damaged gives way to the one that belongs in its place.
    pub(crate) displaces_damaged: bool,
    /// What to do after a failure: "run the backup again".
    pub(crate) again: &'static str,
    /// The claim that the run has made at its beginning, if it has.
    pub(crate) early: Option<EarlyClaim<'a>>,
}

impl Commit<'_> {
    /// Commits the archives at `now`.
    ///
    /// # Errors
    ///
    /// When the repository fails; `Refused` or `NotFound` when a prune has taken something the
    /// archives need. There are no archives then, unless the error says so.
    pub(crate) fn run(mut self, repository: &Repository, now: Millis) -> Result<()> {
        let store = repository.store();
        let mut begun = Instant::now();
        let archives = self.archives;
        let stage = || {
            let archives = archives.iter();
            archives
                .map(|archive| repository.stage(archive))
                .collect::<Result<Vec<_>>>()
        };
        let mut manifests = Vec::new();
        if !self.displaces_damaged {
            manifests = stage()?;
        }
        let early = self.early.take().filter(|early| self.is_proved(early));
        let logs = self.logs.take();
        let unpublished = logs.as_ref().map(|logs| &logs.object().name);
        let (claim, proof) = if let Some(early) = early {
            let (claim, since) = early.take();
            begun = since;
            (claim, Ok(()))
        } else {
            let claim = self.claim(repository, now)?;
            (claim, self.prove(repository, unpublished))
        };
        let mut ready = proof.and_then(|()| {
            // The logs appear last, when little is left that can fail: without the manifest they
            // are of no use to anybody, whereas the next run takes the blocks over.
            logs.map(Staged::publish).transpose()?;
            refuse_late(begun, self.again)
        });
        if ready.is_ok() && self.displaces_damaged {
            ready = self.displace(repository);
            if ready.is_ok() {
                manifests = stage()?;
            }
        }
        if let Err(error) = ready {
            // One that cannot be removed expires.
            let _ = store.delete(&claim);
            return Err(error);
        }
        let mut published = 0;
        let mut taken = Ok(());
        for manifest in manifests {
            match manifest.publish() {
                // Another run has committed this archive: nothing of this one hangs on it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    taken = Err(error);
                    break;
                }
                // A manifest may be there all the same: the claim stays and expires.
                done => done?,
            }
            published += 1;
        }
        let committed = archives.get(..published).unwrap_or_default();
        let find = || {
            let mut committed = committed.iter();
            committed.try_for_each(|archive| prove_published(repository, archive, self.again))
        };
        // Far away both are asked for at once: where there is no manifest, nothing needs a claim.
        let (found, released) = if store.is_far() {
            std::thread::scope(|scope| {
                let found = scope.spawn(find);
                let released = store.delete(&claim);
                (found.join(), released)
            })
        } else {
            find()?;
            (Ok(Ok(())), store.delete(&claim))
        };
        found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // A claim that cannot be removed expires. Whoever has taken this run for dead, and its
        // claim away, may not have waited for its manifests.
        let is_claimed = match released {
            Ok(()) => true,
            Err(error) => error.kind() == ErrorKind::Io && refuse_late(begun, self.again).is_ok(),
        };
        if !is_claimed {
            self.prove(repository, None)
                .map_err(|error| withdraw(repository, committed, error))?;
        }
        taken
    }

    /// Claims all that the archives name, and what is `also` needed.
    fn claim(&self, repository: &Repository, now: Millis) -> Result<ObjectName> {
        let named = self.archives.iter().flat_map(|archive| archive.objects());
        let named = named.map(|(_, object)| object.name.clone());
        let claimed = named.chain(self.also.iter().cloned()).collect();
        Claim::publish(repository.store(), self.claimed_by, claimed, now)
    }

    /// Whether the claim that the run has made at its beginning proves what [`Commit::prove`]
    /// would.
    fn is_proved(&self, early: &EarlyClaim<'_>) -> bool {
        let archives = || self.archives.iter();
        let logs = self.logs.iter().map(|logs| &logs.object().name);
        let unpublished = logs.collect();
        let objects = archives().flat_map(|archive| archive.objects());
        let objects = objects.map(|(_, object)| object);
        self.replaced.is_empty() && early.proves(objects, self.also, &unpublished)
    }

    /// Proves that what the archives name, and what is `also` needed, is there and that nobody is
    /// about to delete any of it, and takes its marks off. What is `unpublished` need not be there.
    fn prove(&self, repository: &Repository, unpublished: Option<&ObjectName>) -> Result<()> {
        let archives = self.archives.iter();
        let objects = archives.flat_map(|archive| {
            let blocks = archive.blocks.iter().flat_map(StoredBlock::objects);
            blocks.chain(archive.wal.iter().flat_map(StoredWal::objects))
        });
        let objects = objects.filter(|object| Some(&object.name) != unpublished);
        let objects = objects.filter(|object| !self.replaced.contains(&object.name));
        prove(repository, objects, self.also, self.again)
    }

    /// Removes those manifests that are in the way and are damaged.
    fn displace(&self, repository: &Repository) -> Result<()> {
        for archive in self.archives {
            let name = archive.manifest_name()?.object()?;
            match read_manifest(repository.store(), &name) {
                Err(damaged) if repository.is_broken(&name, &damaged) => {
                    delete_if_there(repository.store(), &name)?;
                }
                // What is sound, or cannot be judged now, stays, and publishing says that the name
                // is taken.
                _ => {}
            }
        }
        Ok(())
    }
}

/// Looks for the manifest of `archive`, which the store says it has: without it nothing would say
/// that anything is missing. `again` is what to do if it is not there.
///
/// # Errors
///
/// When it is not there, or cannot be looked for.
pub(crate) fn prove_published(
    repository: &Repository,
    archive: &Archive,
    again: &str,
) -> Result<()> {
    let store = repository.stored();
    let name = archive.manifest_name()?.object()?;
    let Err(error) = store.settle(&name) else {
        return Ok(());
    };
    if error.kind() != ErrorKind::NotFound {
        return Err(error.context(format!("{name} was written, and cannot be looked for")));
    }
    let place = store.describe();
    let said = format!(
        "{place} says that it has stored {name}, and does not show it: the archive may not be there, or was forgotten meanwhile"
    );
    let advice = format!("{again}; if this is said again, do not rely on this store");
    Err(Error::new(ErrorKind::Io, said).advise(advice))
}

/// Removes the manifests of `archives`, which may not be whole.
fn withdraw(repository: &Repository, archives: &[&Archive], mut error: Error) -> Error {
    for archive in archives {
        let name = archive.manifest_name().and_then(|name| name.object());
        let deleted = name.and_then(|name| repository.store().delete(&name));
        if let Err(e) = deleted
            && e.kind() != ErrorKind::NotFound
        {
            let because = error.chain();
            error = e.context(format!(
                "archive {} may not be whole and cannot be removed: narthex check says what it lacks ({because})",
                archive.id.short()
            ));
        }
    }
    error
}

/// Proves that `objects`, and those that are `also` named, are there and that nobody is about to
/// delete one of them, and takes their marks off. An error says to do `again`.
pub(crate) fn prove<'a>(
    repository: &Repository,
    objects: impl Iterator<Item = &'a StoredObject>,
    also: &'a BTreeSet<ObjectName>,
    again: &str,
) -> Result<()> {
    let store = repository.store();
    // In this order, and by two looks: what a prune deletes after the first has a warrant there.
    let trash = Trash::list(store)?;
    let listed: BTreeMap<_, _> = repository.data_objects()?.into_iter().collect();
    let objects = objects.map(|object| (&object.name, Some(object.listed_bytes())));
    for (name, wanted) in objects.chain(also.iter().map(|name| (name, None))) {
        if trash.is_condemned(name) {
            return Err(Error::refused(format!(
                "no archive was made: a prune is deleting {name}, which it needs; {again}"
            )));
        }
        match listed.get(name) {
            Some(bytes) if wanted.is_none_or(|wanted| wanted == *bytes) => {
                // Nothing rests on it: a mark that stays on is taken off by the next prune.
                let _ = trash.unmark(store, name);
            }
            Some(bytes) => {
                return Err(Error::corrupt(format!(
                    "no archive was made: expected {name} to have {} bytes, found {bytes}; {again}",
                    wanted.unwrap_or(0)
                )));
            }
            None => {
                return Err(Error::not_found(format!(
                    "no archive was made: {name}, which it needs, has been deleted meanwhile; {again}"
                )));
            }
        }
    }
    Ok(())
}

/// A run that stood still for so long may be taken for dead.
fn refuse_late(begun: Instant, again: &str) -> Result<()> {
    let trust = Duration::from_millis(TRUST.unsigned_abs());
    if begun.elapsed() < trust {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Io,
        format!(
            "no archive was made: the repository took hours for the last few operations; {again}"
        ),
    ))
}
