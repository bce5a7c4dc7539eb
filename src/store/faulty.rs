//! A store that fails on purpose: the crashes, full disks and lost replies that tests put an
//! archive through.
//!
//! Every call of a [`Store`] or [`PendingObject`] method counts as one operation, numbered from 0,
//! except `describe`. A test first counts the operations of an undisturbed run, then repeats it
//! with a fault at each of them in turn.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use super::{
    Leftover, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, StoredForm,
    TrafficCounts,
};
use crate::error::{Error, ErrorKind, Result};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// It is not done.
    Before,
    /// It is done, but the caller is told that it failed, as when a reply is lost.
    After,
    /// A write is half done; any other operation is not done.
    Torn,
    /// Publishing an object is said to be done, and nothing of it is there; any other operation is
    /// done.
    Lie,
}

/// When and how a [`FaultyStore`] fails; without any of these it is its inner store.
#[derive(Clone, Debug, Default)]
pub struct StoreFaults {
    /// This operation fails.
    pub fail_at: Option<(u64, StoreFault)>,
    /// This operation fails, and so do all that follow: the process is dead.
    pub crash_at: Option<(u64, StoreFault)>,
    /// Writes fail with "disk full" once this many bytes have been written in all.
    pub disk_bytes: Option<u64>,
    /// The bytes of this object cannot be read, ever: its disk has gone bad there.
    pub unreadable: Option<ObjectName>,
    /// What begins like this cannot be listed, ever.
    pub unlistable: Option<String>,
    /// Of the bytes that this operation reads, the first has another bit.
    pub flip_at: Option<u64>,
    /// From this operation on, listings are those of what there was at it: what has been published
    /// since is not in them, and what has been deleted since is.
    pub stale_from: Option<u64>,
    /// It says of itself that each request takes a while.
    pub is_far: bool,
    /// This operation waits at the barrier before it begins, and again, so that a test can act in
    /// between.
    pub pause_at: Option<(u64, Arc<Barrier>)>,
}

/// Passes everything to another store, except where its [`StoreFaults`] say otherwise. Clones count
/// together.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<StoreFaults>,
    counts: Arc<Counts>,
    /// Objects that are visible, and that a power cut would take.
    unsettled: Arc<Mutex<BTreeSet<ObjectName>>>,
}

#[derive(Debug, Default)]
struct Counts {
    operations: AtomicU64,
    bytes_written: AtomicU64,
    /// What listings show from some time on.
    stale: OnceLock<Vec<(ObjectName, u64)>>,
}

impl FaultyStore {
    /// Puts `faults` before `inner`.
    pub fn new(inner: Arc<dyn Store>, faults: StoreFaults) -> Self {
        FaultyStore {
            inner,
            faults: Arc::new(faults),
            counts: Arc::default(),
            unsettled: Arc::default(),
        }
    }

    /// The same place after the process has died and another one, with these faults, uses it.
    #[must_use]
    pub fn reopened(&self, faults: StoreFaults) -> Self {
        FaultyStore {
            faults: Arc::new(faults),
            counts: Arc::default(),
            ..self.clone()
        }
    }

    /// Takes every object whose publishing was reported as failed and that nobody has settled
    /// since.
    ///
    /// # Errors
    ///
    /// When the inner store cannot delete one.
    pub fn cut_power(&self) -> Result<()> {
        let lost = std::mem::take(&mut *self.unsettled());
        lost.iter().try_for_each(|name| self.inner.delete(name))
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeSet<ObjectName>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations begun so far.
    pub fn operations(&self) -> u64 {
        self.counts.operations.load(Ordering::SeqCst)
    }

    /// Bytes written into pending objects so far.
    pub fn bytes_written(&self) -> u64 {
        self.counts.bytes_written.load(Ordering::SeqCst)
    }

    /// Counts an operation, waits if it is to wait, and says how it fails.
    fn begin(&self) -> Option<StoreFault> {
        let number = self.counts.operations.fetch_add(1, Ordering::SeqCst);
        if self.faults.stale_from.is_some_and(|from| from <= number) {
            let stale = &self.counts.stale;
            stale.get_or_init(|| self.inner.list("").unwrap_or_default());
        }
        if let Some((at, barrier)) = &self.faults.pause_at
            && *at == number
        {
            barrier.wait();
            barrier.wait();
        }
        let failed = self.faults.fail_at.filter(|(at, _)| *at == number);
        let crashed = self.faults.crash_at.filter(|(at, _)| *at <= number);
        match (failed, crashed) {
            (_, Some((at, _))) if at < number => Some(StoreFault::Before),
            (Some((_, fault)), _) | (None, Some((_, fault))) => Some(fault),
            (None, None) => None,
        }
    }

    fn attempt<T>(&self, operation: impl FnOnce(&(dyn Store + 'static)) -> Result<T>) -> Result<T> {
        match self.begin() {
            None | Some(StoreFault::Lie) => operation(&*self.inner),
            Some(StoreFault::After) => operation(&*self.inner).and_then(|_| Err(injected())),
            Some(StoreFault::Before | StoreFault::Torn) => Err(injected()),
        }
    }

    fn refuse_unreadable(&self, name: &ObjectName) -> Result<()> {
        if self.faults.unreadable.as_ref() == Some(name) {
            return Err(injected());
        }
        Ok(())
    }

    /// Whether the process whose store this is has "died".
    fn has_crashed(&self) -> bool {
        let crash = self.faults.crash_at;
        crash.is_some_and(|(at, _)| at < self.operations())
    }

    /// How many of `wanted` bytes still fit on the disk.
    fn fitting(&self, wanted: usize) -> usize {
        let written = self.counts.bytes_written.load(Ordering::SeqCst);
        match self.faults.disk_bytes {
            Some(disk) => usize::try_from(disk.saturating_sub(written))
                .map_or(wanted, |room| room.min(wanted)),
            None => wanted,
        }
    }
}

fn injected() -> Error {
    Error::new(ErrorKind::Io, "injected fault")
}

impl ReadStore for FaultyStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.attempt(|store| {
            self.refuse_unreadable(name)?;
            store.get(name, max_bytes)
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let number = self.operations();
        let mut bytes = self.attempt(|store| {
            self.refuse_unreadable(name)?;
            store.get_range(name, range)
        })?;
        if self.faults.flip_at == Some(number) {
            bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        }
        Ok(bytes)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.attempt(|store| store.size(name))
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.attempt(|store| store.arrivals(prefix))
    }

    fn size_of_listed(&self, name: &ObjectName, listed: u64) -> Result<u64> {
        self.attempt(|store| store.size_of_listed(name, listed))
    }

    fn stored_form(&self, name: &ObjectName) -> Result<Option<StoredForm>> {
        self.attempt(|store| store.stored_form(name))
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.attempt(|store| store.stored_size(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        let unlistable = self.faults.unlistable.as_ref();
        self.attempt(|store| {
            if unlistable.is_some_and(|unlistable| unlistable.starts_with(prefix)) {
                return Err(injected());
            }
            let Some(stale) = self.counts.stale.get() else {
                return store.list(prefix);
            };
            let shown = stale.iter();
            let shown = shown.filter(|(name, _)| name.as_str().starts_with(prefix));
            Ok(shown.cloned().collect())
        })
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        self.inner.expect(objects);
    }

    fn is_far(&self) -> bool {
        self.faults.is_far || self.inner.is_far()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.inner.traffic()
    }

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.inner.history()
    }
}

impl Store for FaultyStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        let inner = self.attempt(|store| store.create(name))?;
        Ok(Box::new(Pending {
            inner: Some(inner),
            name: name.clone(),
            store: self.clone(),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.attempt(|store| store.delete(name))
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.attempt(|store| store.settle(name))?;
        self.unsettled().remove(name);
        Ok(())
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.attempt(|store| store.leftovers(prefix))
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.attempt(|store| store.remove_leftover(leftover))
    }

    fn is_create_only(&self) -> Result<bool> {
        self.inner.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.inner.try_create_only()
    }

    fn locks(&self) -> Option<&dyn Locks> {
        self.inner.locks()
    }

    fn is_vacant(&self) -> Result<bool> {
        self.attempt(Store::is_vacant)
    }
}

struct Pending {
    /// Gone once published.
    inner: Option<Box<dyn PendingObject>>,
    name: ObjectName,
    store: FaultyStore,
}

impl Pending {
    fn write_some(&mut self, bytes: &[u8], count: usize) -> io::Result<usize> {
        let count = self.store.fitting(count);
        let some = bytes.get(..count).unwrap_or(bytes);
        if some.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inner = self.inner.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = inner.write(some)?;
        let counts = &self.store.counts.bytes_written;
        counts.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The dead do not clean up: what the inner store began stays behind as after a kill.
        if self.store.has_crashed() {
            std::mem::forget(self.inner.take());
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = match self.store.begin() {
            None | Some(StoreFault::Lie) => return self.write_some(bytes, bytes.len()),
            Some(StoreFault::Before) => 0,
            Some(StoreFault::Torn) => bytes.len() / 2,
            Some(StoreFault::After) => bytes.len(),
        };
        if done > 0 {
            self.write_some(bytes, done)?;
        }
        Err(io::Error::other(injected()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingObject for Pending {
    fn finish(&mut self) -> Result<Option<StoredForm>> {
        let fault = self.store.begin();
        if matches!(fault, Some(StoreFault::Before | StoreFault::Torn)) {
            return Err(injected());
        }
        let form = match &mut self.inner {
            Some(inner) => inner.finish()?,
            None => None,
        };
        match fault {
            Some(StoreFault::Lie) | None => Ok(form),
            Some(_) => Err(injected()),
        }
    }

    fn publish(mut self: Box<Self>) -> Result<()> {
        let fault = self.store.begin();
        let published = match fault {
            Some(StoreFault::Before | StoreFault::Torn | StoreFault::Lie) => Ok(()),
            Some(StoreFault::After) | None => match self.inner.take() {
                Some(inner) => inner.publish(),
                None => Ok(()),
            },
        };
        if fault == Some(StoreFault::After) && published.is_ok() {
            self.store.unsettled().insert(self.name.clone());
        }
        match fault {
            Some(StoreFault::Lie) | None => published,
            Some(_) => published.and_then(|()| Err(injected())),
        }
    }
}
