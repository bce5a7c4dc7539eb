//! Locks on what archives need: until a time nobody can delete it.
//!
//! Archives share objects, so an object is locked for as long as any of them asks for. Each is
//! locked for a quarter longer than that: so a nightly run has to extend a lock only now and then.
//! How long objects are locked is remembered on this machine. What is not remembered is asked of
//! the store: to lose it costs requests, and shortens nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::layout::{DESCRIPTOR, is_plain_id};
use super::{Archive, Mended, Repository, original, recipe_packs, seal, versions};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, millis_of};
use crate::raw::read_bounded;
use crate::store::{Lock, LockMode, Locks, ObjectName, Store};

/// Version of what is remembered.
const MEMORY_VERSION: u32 = 1;

/// Largest file of it that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Requests that are under way at a time.
const WORKERS: usize = 12;

/// What part of the time is added to it.
const SLACK: Millis = 4;

/// For how long what archives need is to be locked, and how firmly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTerms {
    /// For how long at least, in milliseconds.
    pub time: Millis,
    /// How firmly.
    pub mode: LockMode,
}

/// What [`lock_archives`] did, or would do.
#[derive(Debug, Default)]
pub struct LockReport {
    /// Archives whose objects are to be locked.
    pub archives: u64,
    /// Objects that they need.
    pub objects: u64,
    /// Those whose lock is extended, or that get one; with a dry run those whose lock is not known
    /// to be long enough.
    pub extended: u64,
    /// Until when all of it is locked at least.
    pub until: Millis,
    /// What could not be locked.
    pub failed: u64,
    /// Why the first of these could not.
    pub failure: Option<Error>,
}

impl LockReport {
    /// Adds what was done in another part of the same repository.
    pub fn absorb(&mut self, other: LockReport) {
        self.archives += other.archives;
        self.objects += other.objects;
        self.extended += other.extended;
        self.until = match self.until {
            0 => other.until,
            own => own.min(other.until),
        };
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }
}

/// What this machine remembers of the locks in a repository.
#[derive(Debug, Default)]
pub struct LockMemory {
    path: Option<PathBuf>,
    known: BTreeMap<ObjectName, Known>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    until: Millis,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    governance: bool,
}

#[derive(Serialize, Deserialize)]
struct File {
    format_version: u32,
    locks: BTreeMap<ObjectName, Known>,
}

impl LockMemory {
    /// What the file in `dir` remembers of the repository with this id; nothing where there is
    /// none, or it is not what it should be.
    pub fn open(dir: &Path, repository: &str) -> Self {
        let path = dir.join(format!("{repository}.json"));
        let path = Some(path).filter(|_| is_plain_id(repository));
        let read = || {
            let bytes = read_bounded(path.as_ref()?, MAX_BYTES).ok()?;
            let file = seal::from_bytes::<File>(&bytes, MEMORY_VERSION).ok()?;
            Some(file.locks)
        };
        LockMemory {
            known: read().unwrap_or_default(),
            path,
        }
    }

    fn is_enough(&self, name: &ObjectName, least: Known) -> bool {
        self.known
            .get(name)
            .is_some_and(|known| known.covers(least))
    }

    /// Writes it, without what has run out.
    fn save(&mut self, now: Millis) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        self.known.retain(|_, known| known.until > now);
        let dir = path.parent().unwrap_or(path);
        let failed = |e| Error::io("write", path, e);
        let mut making = fs::DirBuilder::new();
        let made = making.recursive(true).mode(0o700).create(dir);
        made.map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        let content = seal::to_bytes(&File {
            format_version: MEMORY_VERSION,
            locks: self.known.clone(),
        })?;
        file.write_all(&content).map_err(failed)?;
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

impl Known {
    /// Whether whoever asks for `other` needs nothing more.
    fn covers(self, other: Known) -> bool {
        self.until >= other.until && (!self.governance || other.governance)
    }

    fn of(lock: Lock) -> Option<Self> {
        Some(Known {
            until: millis_of(lock.until)?,
            governance: lock.mode == LockMode::Governance,
        })
    }

    fn lock(self) -> Lock {
        let since = Duration::from_millis(self.until.unsigned_abs());
        Lock {
            until: UNIX_EPOCH
                .checked_add(since)
                .unwrap_or_else(SystemTime::now),
            mode: if self.governance {
                LockMode::Governance
            } else {
                LockMode::Compliance
            },
        }
    }
}

/// The locks of `store`.
///
/// # Errors
///
/// `Unsupported`, when it has none, or its place is not set up for them; when it does not answer.
pub fn locks_of(store: &dyn Store) -> Result<&dyn Locks> {
    let place = store.describe();
    let Some(locks) = store.locks() else {
        return Err(Error::unsupported(format!(
            "{place} cannot lock objects: only buckets of S3 can, that were set up for it"
        )));
    };
    if locks.can_lock()? {
        return Ok(locks);
    }
    Err(Error::unsupported(format!(
        "the bucket of {place} is not set up for locks on objects (S3 Object Lock): nothing is locked"
    ))
    .advise("make a bucket with Object Lock, which is versioned as well: docs/locks.md"))
}

/// Locks at `now` all that `archives` need, as `terms` say, where it is not locked for so long.
/// Nothing is shortened. With `dry_run` nothing is asked of the store but names.
///
/// # Errors
///
/// `Unsupported`, when the store cannot lock objects; when it cannot be listed. What could not be
/// locked is in the report.
pub fn lock_archives(
    repository: &Repository,
    archives: &[Archive],
    terms: LockTerms,
    memory: &mut LockMemory,
    dry_run: bool,
    now: Millis,
) -> Result<LockReport> {
    let stored = repository.stored();
    let locks = locks_of(stored)?;
    let governance = terms.mode == LockMode::Governance;
    let least = Known {
        until: now.saturating_add(terms.time),
        governance,
    };
    // To the second, as stores keep it.
    let until = least.until.saturating_add(terms.time / SLACK) / 1_000 * 1_000;
    let wanted = Known { until, governance };
    let needed = needed(repository, archives)?;
    let due = needed.iter().filter(|name| !memory.is_enough(name, least));
    let due: Vec<_> = due.cloned().collect();
    let mut report = LockReport {
        archives: archives.len() as u64,
        objects: needed.len() as u64,
        extended: due.len() as u64,
        until: least.until,
        ..LockReport::default()
    };
    if dry_run || due.is_empty() {
        return Ok(report);
    }
    // What somebody has put on top is not what is to be locked.
    let objects = archives.iter().flat_map(Archive::objects);
    versions::settle_data(stored, objects.map(|(_, object)| object))?;
    let run = Run {
        locks,
        least,
        wanted,
        left: Mutex::new(due),
        done: Mutex::default(),
        now,
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| run.work());
        }
    });
    let left = run
        .left
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let done = run
        .done
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    report.extended = done.extended;
    report.failed = done.failed.saturating_add(left.len() as u64);
    report.failure = done.failure;
    memory.known.extend(done.known);
    memory.save(now)?;
    Ok(report)
}

/// Everything that is needed to restore `archives`, themselves included.
fn needed(repository: &Repository, archives: &[Archive]) -> Result<BTreeSet<ObjectName>> {
    let store = repository.store();
    let mut needed = BTreeSet::from([ObjectName::new(DESCRIPTOR)?]);
    for archive in archives {
        needed.insert(archive.manifest_name()?.object()?);
        needed.extend(archive.objects().map(|(_, object)| object.name.clone()));
    }
    let mended = Mended::list(store)?;
    for name in mended.names() {
        if original(name).is_some_and(|original| needed.contains(&original)) {
            if repository.can_read() {
                // One that cannot be read stands in for nothing.
                needed.extend(recipe_packs(store, name).unwrap_or_default());
            }
            needed.insert(name.clone());
        }
    }
    // What counts for nothing must not be there for long.
    #[cfg(feature = "encryption")]
    needed.extend(repository.signed_documents()?);
    Ok(needed)
}

/// What the workers share.
struct Run<'a> {
    locks: &'a dyn Locks,
    least: Known,
    wanted: Known,
    left: Mutex<Vec<ObjectName>>,
    done: Mutex<Done>,
    now: Millis,
}

#[derive(Default)]
struct Done {
    known: Vec<(ObjectName, Known)>,
    extended: u64,
    failed: u64,
    failure: Option<Error>,
}

impl Run<'_> {
    fn work(&self) {
        loop {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(name) = left.pop() else {
                return;
            };
            drop(left);
            let locked = self.lock(&name);
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            match locked {
                Ok((known, is_extended)) => {
                    done.extended += u64::from(is_extended);
                    done.known.push((name, known));
                }
                Err(error) => {
                    let is_denied = error.kind() == ErrorKind::Refused;
                    done.failed += 1;
                    done.failure.get_or_insert(error);
                    if is_denied {
                        // So are all others.
                        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                        done.failed = done.failed.saturating_add(left.len() as u64);
                        left.clear();
                    }
                }
            }
        }
    }

    /// Sees to it that `name` is locked for long enough; the lock it has, and whether that is new.
    fn lock(&self, name: &ObjectName) -> Result<(Known, bool)> {
        let found = self.locks.lock_of(name)?.and_then(Known::of);
        let found = found.filter(|found| found.until > self.now);
        let mut wanted = self.wanted;
        if let Some(found) = found {
            if found.covers(self.least) {
                return Ok((found, false));
            }
            // Neither shorter nor less firm than it is.
            wanted.until = wanted.until.max(found.until);
            wanted.governance &= found.governance;
        }
        self.locks.lock(name, wanted.lock())?;
        Ok((wanted, true))
    }
}
