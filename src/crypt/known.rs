//! What was learned of objects that were read, for the next time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::envelope::Envelope;
use super::read::RangeReader;
use crate::error::Result;
use crate::store::ObjectName;

/// Most objects that are remembered, each of which takes up to 96 KiB.
const MAX_KNOWN: usize = 64;

/// What is known of one object.
#[derive(Debug)]
pub(super) struct Known {
    envelope: Envelope,
    state: Mutex<Progress>,
}

/// How far an object has been opened.
#[derive(Debug)]
enum Progress {
    /// The first bytes of it were read.
    Begun(Vec<u8>),
    Open(Arc<RangeReader>),
}

impl Known {
    pub(super) fn new(envelope: Envelope, first: Vec<u8>) -> Self {
        Known {
            envelope,
            state: Mutex::new(Progress::Begun(first)),
        }
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The reader of it, which is opened if it is not. Whoever asks meanwhile waits for that.
    pub(super) fn reader(
        &self,
        open: impl FnOnce(&Envelope, &[u8]) -> Result<RangeReader>,
    ) -> Result<Arc<RangeReader>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match &*state {
            Progress::Open(reader) => return Ok(Arc::clone(reader)),
            Progress::Begun(first) => Arc::new(open(&self.envelope, first)?),
        };
        *state = Progress::Open(Arc::clone(&reader));
        Ok(reader)
    }
}

/// The objects that were asked for last, the latest first.
#[derive(Debug, Default)]
pub(super) struct KnownObjects(Mutex<VecDeque<(ObjectName, Arc<Known>)>>);

impl KnownObjects {
    /// Every change leaves a list that is right: a thread that panicked did no harm.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(ObjectName, Arc<Known>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, name: &ObjectName) -> Option<Arc<Known>> {
        let mut objects = self.lock();
        let at = objects.iter().position(|(known, _)| known == name)?;
        let found = objects.remove(at)?;
        let known = Arc::clone(&found.1);
        objects.push_front(found);
        Some(known)
    }

    /// Takes down what is known of `name`, unless another thread was faster.
    pub(super) fn insert(&self, name: &ObjectName, known: Known) -> Arc<Known> {
        if let Some(known) = self.get(name) {
            return known;
        }
        let known = Arc::new(known);
        let mut objects = self.lock();
        objects.push_front((name.clone(), Arc::clone(&known)));
        objects.truncate(MAX_KNOWN);
        known
    }

    pub(super) fn forget(&self, name: &ObjectName) {
        self.lock().retain(|(known, _)| known != name);
    }
}
