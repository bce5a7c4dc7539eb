//! Reading ahead: what will be wanted of a store over a network is fetched before it is, many
//! requests at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Leftover, ObjectName, PendingObject, ReadStore, Store, TrafficCounts};
use crate::error::Result;

/// Bytes of an object that one request fetches.
const PIECE: u64 = 4 << 20;

/// Bytes that are held at most: fetched and not yet forgotten, or under way.
const MOST_BYTES: u64 = 64 << 20;

/// Requests that are under way at a time.
const MOST_FETCHERS: usize = 12;

/// Object and number of a piece of it.
type Piece = (ObjectName, u64);

/// A store that fetches ahead what it is told to [expect](ReadStore::expect). Nothing else changes:
/// what was not expected, or is not there yet, is asked of the store itself.
#[derive(Debug)]
pub struct ReadAhead<S> {
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    inner: S,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Sizes in bytes of the objects that were expected.
    sizes: BTreeMap<ObjectName, u64>,
    /// What is to be fetched, in the order in which it will be wanted.
    queue: VecDeque<Piece>,
    queued: BTreeSet<Piece>,
    held: BTreeMap<Piece, Held>,
    /// Bytes of all that is held.
    bytes: u64,
    fetchers: usize,
    /// Counts reads, so that what was read last is known.
    clock: u64,
}

#[derive(Debug)]
enum Held {
    /// It is under way.
    Coming,
    Here {
        bytes: Arc<Vec<u8>>,
        /// When it was read last; `None` before it was.
        read: Option<u64>,
    },
}

impl<S: Store + 'static> ReadAhead<S> {
    /// Reads `inner`, ahead where it can.
    pub fn new(inner: S) -> Self {
        ReadAhead {
            shared: Arc::new(Shared {
                inner,
                state: Mutex::default(),
                arrived: Condvar::new(),
            }),
        }
    }

    /// The bytes of `range`, if all of them have been fetched or are about to be.
    fn fetched(&self, name: &ObjectName, range: &Range<u64>) -> Option<Vec<u8>> {
        let shared = &self.shared;
        let mut state = shared.lock();
        let size = *state.sizes.get(name)?;
        if range.start >= range.end || range.end > size {
            return None;
        }
        let numbers = range.start / PIECE..=(range.end - 1) / PIECE;
        let mut content = Vec::new();
        for number in numbers {
            let piece = (name.clone(), number);
            let bytes = loop {
                match state.held.get(&piece) {
                    None => {
                        // Whoever asks first reads it himself.
                        state.queued.remove(&piece);
                        return None;
                    }
                    Some(Held::Coming) => {
                        state = shared
                            .arrived
                            .wait(state)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                    Some(Held::Here { bytes, .. }) => break Arc::clone(bytes),
                }
            };
            state.clock += 1;
            let now = state.clock;
            if let Some(Held::Here { read, .. }) = state.held.get_mut(&piece) {
                *read = Some(now);
            }
            let begin = number * PIECE;
            let within = |at: u64| usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX);
            let end = within(range.end).min(bytes.len());
            content.extend_from_slice(bytes.get(within(range.start)..end)?);
        }
        drop(state);
        // What was read makes room.
        self.shared.fetch();
        (content.len() as u64 == range.end - range.start).then_some(content)
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store + 'static> Shared<S> {
    /// Sees to it that enough is under way.
    fn fetch(self: &Arc<Self>) {
        let mut state = self.lock();
        while state.fetchers < MOST_FETCHERS
            && state.fetchers < state.queue.len()
            && state.has_room()
        {
            state.fetchers += 1;
            let shared = Arc::clone(self);
            let fetcher = thread::Builder::new().name("narthex-ahead".to_owned());
            if fetcher.spawn(move || shared.work()).is_err() {
                state.fetchers -= 1;
                return;
            }
        }
    }

    /// Fetches until nothing is left to do, or no room.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            let Some((piece, range)) = state.take() else {
                state.fetchers -= 1;
                return;
            };
            drop(state);
            let found = self.inner.get_range(&piece.0, range);
            let mut state = self.lock();
            match (state.held.get_mut(&piece), found) {
                (Some(held), Ok(bytes)) => {
                    let bytes = Arc::new(bytes);
                    *held = Held::Here { bytes, read: None };
                }
                // Whoever wants it asks again, and is told.
                (Some(_), Err(_)) => state.forget(&piece),
                // Forgotten meanwhile: the object was deleted.
                (None, _) => {}
            }
            drop(state);
            self.arrived.notify_all();
        }
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.bytes + PIECE <= MOST_BYTES || self.oldest_read().is_some()
    }

    /// The piece that has been read, and not for the longest time.
    fn oldest_read(&self) -> Option<&Piece> {
        let read = self.held.iter().filter_map(|(piece, held)| match held {
            Held::Here {
                read: Some(read), ..
            } => Some((read, piece)),
            _ => None,
        });
        read.min().map(|(_, piece)| piece)
    }

    /// The bytes of a piece.
    fn range(&self, (name, number): &Piece) -> Option<Range<u64>> {
        let size = self.sizes.get(name)?;
        let begin = number.checked_mul(PIECE)?;
        Some(begin..begin.saturating_add(PIECE).min(*size))
    }

    /// What is to be fetched next, if there is room for it.
    fn take(&mut self) -> Option<(Piece, Range<u64>)> {
        loop {
            let piece = self.queue.front()?;
            let is_wanted = self.queued.contains(piece) && !self.held.contains_key(piece);
            let Some(range) = self.range(piece).filter(|_| is_wanted) else {
                let piece = self.queue.pop_front()?;
                self.queued.remove(&piece);
                continue;
            };
            let bytes = range.end - range.start;
            while self.bytes + bytes > MOST_BYTES {
                let oldest = self.oldest_read()?.clone();
                self.forget(&oldest);
            }
            let piece = self.queue.pop_front()?;
            self.queued.remove(&piece);
            self.bytes += bytes;
            self.held.insert(piece.clone(), Held::Coming);
            return Some((piece, range));
        }
    }

    fn forget(&mut self, piece: &Piece) {
        if let Some(range) = self.range(piece)
            && self.held.remove(piece).is_some()
        {
            self.bytes = self.bytes.saturating_sub(range.end - range.start);
        }
    }
}

impl<S: Store + 'static> ReadStore for ReadAhead<S> {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let size = self.shared.lock().sizes.get(name).copied();
        let size = size.filter(|size| *size <= max_bytes);
        match size.and_then(|size| self.fetched(name, &(0..size))) {
            Some(content) => Ok(content),
            None => self.shared.inner.get(name, max_bytes),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        match self.fetched(name, &range) {
            Some(content) => Ok(content),
            None => self.shared.inner.get_range(name, range),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.shared.inner.size(name)
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.shared.inner.stored_size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.shared.inner.list(prefix)
    }

    fn describe(&self) -> String {
        self.shared.inner.describe()
    }

    fn is_far(&self) -> bool {
        true
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        self.shared.inner.traffic()
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        let mut state = self.shared.lock();
        for (name, bytes) in objects {
            state.sizes.insert(name.clone(), *bytes);
            for number in 0..bytes.div_ceil(PIECE) {
                let piece = (name.clone(), number);
                if !state.held.contains_key(&piece) && state.queued.insert(piece.clone()) {
                    state.queue.push_back(piece);
                }
            }
        }
        drop(state);
        self.shared.fetch();
    }
}

impl<S: Store + 'static> Store for ReadAhead<S> {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.shared.inner.create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let mut state = self.shared.lock();
        let pieces = state.held.keys().filter(|(held, _)| held == name);
        for piece in pieces.cloned().collect::<Vec<_>>() {
            state.forget(&piece);
        }
        state.sizes.remove(name);
        drop(state);
        self.shared.inner.delete(name)
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.shared.inner.settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.shared.inner.leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.shared.inner.remove_leftover(leftover)
    }

    fn is_vacant(&self) -> Result<bool> {
        self.shared.inner.is_vacant()
    }

    fn is_create_only(&self) -> Result<bool> {
        self.shared.inner.is_create_only()
    }

    fn try_create_only(&self) -> Result<bool> {
        self.shared.inner.try_create_only()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::store::MemoryStore;
    use crate::store::contract::CLAUSES;

    /// Counts the ranges that are asked of it, and fails where it is told to.
    #[derive(Debug, Default)]
    struct Far {
        memory: MemoryStore,
        ranges: Arc<AtomicU64>,
        bytes: Arc<AtomicU64>,
        fails: Arc<Mutex<BTreeSet<Piece>>>,
    }

    impl ReadStore for Far {
        fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
            self.memory.get(name, max_bytes)
        }

        fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
            self.ranges.fetch_add(1, Ordering::Relaxed);
            self.bytes
                .fetch_add(range.end.saturating_sub(range.start), Ordering::Relaxed);
            let piece = (name.clone(), range.start / PIECE);
            if self.fails.lock().unwrap().remove(&piece) {
                return Err(Error::new(ErrorKind::Io, "the network is away"));
            }
            self.memory.get_range(name, range)
        }

        fn size(&self, name: &ObjectName) -> Result<u64> {
            self.memory.size(name)
        }

        fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
            self.memory.list(prefix)
        }

        fn describe(&self) -> String {
            "far away".to_owned()
        }
    }

    impl Store for Far {
        fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
            self.memory.create(name)
        }

        fn delete(&self, name: &ObjectName) -> Result<()> {
            self.memory.delete(name)
        }

        fn settle(&self, name: &ObjectName) -> Result<()> {
            self.memory.settle(name)
        }

        fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
            self.memory.leftovers(prefix)
        }

        fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
            self.memory.remove_leftover(leftover)
        }

        fn is_vacant(&self) -> Result<bool> {
            self.memory.is_vacant()
        }
    }

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    /// Object `number`, of `bytes` bytes, each of which depends on its place.
    fn content(number: usize, bytes: u64) -> Vec<u8> {
        let step = number as u64 * 7 + 1;
        (0..bytes).map(|at| ((at * step) >> 8) as u8).collect()
    }

    #[test]
    fn it_keeps_the_contract() {
        for clause in CLAUSES {
            (clause.holds)(&ReadAhead::new(Far::default()));
        }
    }

    #[test]
    fn what_was_expected_is_asked_for_once_and_in_large_pieces() {
        let far = Far::default();
        let ranges = Arc::clone(&far.ranges);
        let sizes = [PIECE * 2 + 5, 1, PIECE, 0, 300];
        let mut soon = Vec::new();
        for (number, bytes) in sizes.into_iter().enumerate() {
            let object = name(&format!("a/{number}"));
            let store: &dyn Store = &far;
            store.put(&object, &content(number, bytes)).unwrap();
            soon.push((object, bytes));
        }
        let store = ReadAhead::new(far);
        store.expect(&soon);
        store.expect(&soon);
        for (number, (object, bytes)) in soon.iter().enumerate() {
            let whole = content(number, *bytes);
            let mut read = Vec::new();
            while (read.len() as u64) < *bytes {
                let from = read.len() as u64;
                let to = bytes.min(&(from + 100_000)).to_owned();
                read.extend(store.get_range(object, from..to).unwrap());
            }
            assert!(read == whole, "{object}");
            assert!(store.get(object, u64::MAX).unwrap() == whole, "{object}");
        }
        assert_eq!(ranges.load(Ordering::Relaxed), 3 + 1 + 1 + 1);
        // What is wrong stays wrong.
        let beyond = store.get_range(&soon[4].0, 100..301).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::Corrupt);
        let large = store.get(&soon[0].0, 10).unwrap_err();
        assert_eq!(large.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn no_more_is_held_than_allowed_and_nobody_waits_for_what_does_not_fit() {
        let far = Far::default();
        let bytes = Arc::clone(&far.bytes);
        let mut soon = Vec::new();
        for number in 0..24 {
            let object = name(&format!("a/{number}"));
            let store: &dyn Store = &far;
            store.put(&object, &content(number, PIECE)).unwrap();
            soon.push((object, PIECE));
        }
        let store = ReadAhead::new(far);
        store.expect(&soon);
        // Read from the end: what was fetched first is not wanted, and is in the way.
        for (number, (object, _)) in soon.iter().enumerate().rev() {
            let read = store.get_range(object, 5..1000).unwrap();
            assert!(read == content(number, PIECE)[5..1000], "{object}");
            assert!(store.shared.lock().bytes <= MOST_BYTES);
        }
        let asked = bytes.load(Ordering::Relaxed);
        assert!(asked <= 25 * PIECE, "{asked}");
    }

    #[test]
    fn what_failed_is_asked_for_again_by_whoever_wants_it() {
        let far = Far::default();
        let object = name("a/b");
        let whole = content(3, PIECE + 10);
        (&far as &dyn Store).put(&object, &whole).unwrap();
        far.fails.lock().unwrap().insert((object.clone(), 1));
        let store = ReadAhead::new(far);
        store.expect(&[(object.clone(), PIECE + 10)]);
        assert!(store.get(&object, u64::MAX).unwrap() == whole);
    }

    #[test]
    fn what_was_deleted_is_gone() {
        let store = ReadAhead::new(Far::default());
        let object = name("a/b");
        (&store as &dyn Store).put(&object, b"12345").unwrap();
        store.expect(&[(object.clone(), 5)]);
        assert_eq!(store.get_range(&object, 0..5).unwrap(), b"12345");
        store.delete(&object).unwrap();
        let gone = store.get_range(&object, 0..5).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
}
