//! The end of a run: from objects that nobody names to an archive, beside whoever may be deleting
//! such objects.
//!
//! Claim, look, publish, take the claim back: why this order is safe beside a prune at every
//! interleaving is said in `docs/design.md`. Marks (how long an object has been unneeded) are taken
//! off on the way; a run that meets a warrant, or misses an object, gives up and leaves no archive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::repository::claim::Claim;
use crate::repository::lease::TRUST;
use crate::repository::portable::Staged;
use crate::repository::trash::Trash;
use crate::repository::{Archive, Repository, StoredBlock, StoredObject};
use crate::store::ObjectName;

/// Commits `archive`, whose blocks are stored and whose `logs` are not published yet. In the same
/// run `also` was written for older archives, or is needed by what was.
///
/// # Errors
///
/// When the repository fails; `Refused` or `NotFound` when a prune has taken something the archive
/// needs. There is no archive then, unless the error says so.
pub(super) fn commit(
    repository: &Repository,
    archive: &Archive,
    logs: Option<Staged>,
    also: &BTreeSet<ObjectName>,
    now: Millis,
) -> Result<()> {
    let store = repository.store();
    let begun = Instant::now();
    let manifest = repository.stage(archive)?;
    let named = archive.objects().map(|(_, object)| object.name.clone());
    let claimed = named.chain(also.iter().cloned()).collect();
    let claim = Claim::publish(store, &archive.id, claimed, now)?;
    let ready = prove(repository, blocks(archive), also).and_then(|()| {
        // The logs appear last, when little is left that can fail: without the manifest they are of
        // no use to anybody, whereas the next run takes the blocks over.
        logs.map(Staged::publish).transpose()?;
        refuse_late(begun)
    });
    if let Err(error) = ready {
        // One that cannot be removed expires.
        let _ = store.delete(&claim);
        return Err(error);
    }
    // When this fails, the manifest may be there all the same: the claim stays and expires.
    manifest.publish()?;
    match store.delete(&claim) {
        Ok(()) => Ok(()),
        // Whoever takes this run for dead may not have waited for its manifest.
        Err(_) => prove(
            repository,
            archive.objects().map(|(_, object)| object),
            also,
        )
        .map_err(|error| withdraw(repository, archive, error)),
    }
}

fn blocks(archive: &Archive) -> impl Iterator<Item = &StoredObject> {
    archive.blocks.iter().flat_map(StoredBlock::objects)
}

/// Proves that `objects`, and those that are `also` named, are there and that nobody is about to
/// delete one of them, and takes their marks off.
fn prove<'a>(
    repository: &Repository,
    objects: impl Iterator<Item = &'a StoredObject>,
    also: &'a BTreeSet<ObjectName>,
) -> Result<()> {
    let store = repository.store();
    // In this order, and by two looks: what a prune deletes after the first has a warrant there.
    let trash = Trash::list(store)?;
    let listed: BTreeMap<_, _> = repository.data_objects()?.into_iter().collect();
    let objects = objects.map(|object| (&object.name, Some(object.listed_bytes())));
    for (name, wanted) in objects.chain(also.iter().map(|name| (name, None))) {
        if trash.is_condemned(name) {
            return Err(Error::refused(format!(
                "no archive was made: a prune is deleting {name}, which it needs; run the backup again"
            )));
        }
        match listed.get(name) {
            Some(bytes) if wanted.is_none_or(|wanted| wanted == *bytes) => {
                // Nothing rests on it: a mark that stays on is taken off by the next prune.
                let _ = trash.unmark(store, name);
            }
            Some(bytes) => {
                return Err(Error::corrupt(format!(
                    "no archive was made: expected {name} to have {} bytes, found {bytes}; run the backup again",
                    wanted.unwrap_or(0)
                )));
            }
            None => {
                return Err(Error::not_found(format!(
                    "no archive was made: {name}, which it needs, has been deleted meanwhile; run the backup again"
                )));
            }
        }
    }
    Ok(())
}

/// A run that stood still for so long may be taken for dead.
fn refuse_late(begun: Instant) -> Result<()> {
    let trust = Duration::from_millis(TRUST.unsigned_abs());
    if begun.elapsed() < trust {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Io,
        "no archive was made: the repository took hours for the last few operations; run the backup again",
    ))
}

/// Removes the manifest of an archive that may not be whole.
fn withdraw(repository: &Repository, archive: &Archive, error: Error) -> Error {
    let name = archive.manifest_name().and_then(|name| name.object());
    let deleted = name.and_then(|name| repository.store().delete(&name));
    match deleted {
        Err(e) if e.kind() != ErrorKind::NotFound => e.context(format!(
            "archive {} may not be whole and cannot be removed: narthex check says what it lacks ({})",
            archive.id.short(),
            error.chain()
        )),
        _ => error,
    }
}
