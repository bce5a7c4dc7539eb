//! How many files of the source may be open at a time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// How many files are held open, of how many that may be.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) held: AtomicUsize,
    pub(super) max: OnceLock<usize>,
}

/// Half of what the process may open; the rest is for everything else.
pub(super) static SLOTS: Slots = Slots::new();

impl Slots {
    pub(super) const fn new() -> Self {
        Slots {
            held: AtomicUsize::new(0),
            max: OnceLock::new(),
        }
    }

    fn max(&self) -> usize {
        *self.max.get_or_init(|| {
            let limit = getrlimit(Resource::Nofile).current;
            let half = limit.map(|limit| usize::try_from(limit / 2));
            half.and_then(Result::ok).unwrap_or(usize::MAX)
        })
    }

    pub(super) fn take(&'static self) -> Option<Slot> {
        let more = |held: usize| (held < self.max()).then_some(held + 1);
        let taken = self
            .held
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Slot(self))
    }
}

/// Leave to hold one file open.
#[derive(Debug)]
pub(super) struct Slot(&'static Slots);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
