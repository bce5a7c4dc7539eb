//! Reading ahead: what will be wanted of a store over a network is fetched before it is, many
//! requests at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use super::{
    Leftover, Locks, ObjectHistory, ObjectName, PendingObject, ReadStore, Store, TrafficCounts,
    Version, Versions,
};
use crate::error::Result;

/// Bytes of an object that one request fetches.
const PIECE: u64 = 4 << 20;

/// Bytes that are held at most: fetched and not yet forgotten, or under way.
const MOST_BYTES: u64 = 48 << 20;

/// Requests that are under way at a time.
const MOST_FETCHERS: usize = 12;

/// After so many reads of other pieces one that was fetched is given up, though not all of it was
/// read.
const PATIENCE: u64 = 4_096;

/// Largest object that is fetched ahead, in bytes: no service keeps larger ones.
const MOST_OBJECT: u64 = 50 << 40;

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
    /// What is to be fetched, in the order in which it will be wanted: the pieces of objects that
    /// are left.
    queue: VecDeque<(ObjectName, Range<u64>)>,
    /// Pieces in the queue that somebody has read himself meanwhile.
    passed: BTreeSet<Piece>,
    held: BTreeMap<Piece, Held>,
    /// Pieces of which all was read, in that order: they make room.
    spent: VecDeque<Piece>,
    /// Bytes of all that is held.
    bytes: u64,
    fetchers: usize,
    /// Counts reads and requests.
    clock: u64,
}

#[derive(Debug)]
enum Held {
    /// It is under way, by the request of this number.
    Coming(u64),
    Here {
        bytes: Arc<Vec<u8>>,
        /// How many bytes of it are still to be read.
        left: u64,
        /// When it came or was read last.
        last: u64,
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
        let content = self.take(name, range);
        // Whether it was there or not: there may be room now.
        self.shared.fetch();
        content
    }

    fn take(&self, name: &ObjectName, range: &Range<u64>) -> Option<Vec<u8>> {
        let shared = &self.shared;
        let mut state = shared.lock();
        state.clock += 1;
        let size = *state.sizes.get(name)?;
        if range.start >= range.end || range.end > size {
            return None;
        }
        let mut content = Vec::new();
        for number in range.start / PIECE..=(range.end - 1) / PIECE {
            let piece = (name.clone(), number);
            state = shared.hold(state, &piece);
            let begin = number * PIECE;
            let part = range.start.max(begin) - begin..range.end.min(begin + PIECE) - begin;
            let Some(bytes) = state.read(&piece, part.end - part.start) else {
                // Whoever asks first reads it himself.
                state.pass(piece);
                return None;
            };
            let part = usize::try_from(part.start).ok()?..usize::try_from(part.end).ok()?;
            content.extend_from_slice(bytes.get(part)?);
        }
        Some(content)
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
        let more = state.room().min(state.queue.len() as u64);
        let more = usize::try_from(more).unwrap_or(MOST_FETCHERS);
        let wanted = more.min(MOST_FETCHERS - state.fetchers);
        for _ in 0..wanted {
            let shared = Arc::clone(self);
            let fetcher = thread::Builder::new().name("narthex-ahead".to_owned());
            if fetcher.spawn(move || shared.work()).is_err() {
                return;
            }
            state.fetchers += 1;
        }
    }

    /// Fetches until nothing is left to do, or no room.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            let Some((piece, range, number)) = state.next() else {
                state.fetchers -= 1;
                return;
            };
            drop(state);
            self.bring(piece, range, number);
        }
    }

    /// Waits for a piece that is coming, or fetches one that is in the queue: all of it will be
    /// wanted, and it is not read in bits because nobody has come to it yet. It may not be there
    /// afterwards.
    fn hold<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        piece: &Piece,
    ) -> MutexGuard<'s, State> {
        loop {
            state = match state.held.get(piece) {
                Some(Held::Coming(_)) => self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Held::Here { .. }) => return state,
                None => {
                    let Some((range, number)) = state.begin_queued(piece) else {
                        return state;
                    };
                    drop(state);
                    self.bring(piece.clone(), range, number);
                    self.lock()
                }
            };
        }
    }

    /// Fetches a piece that is noted as coming, by the request of this number.
    fn bring(&self, piece: Piece, range: Range<u64>, number: u64) {
        // What panics here is asked for again by whoever wants it, who must not wait for ever.
        let read = || self.inner.get_range(&piece.0, range.clone());
        let found = panic::catch_unwind(AssertUnwindSafe(read));
        let mut state = self.lock();
        // Otherwise the object was deleted meanwhile.
        if matches!(state.held.get(&piece), Some(Held::Coming(it)) if *it == number) {
            match found {
                Ok(Ok(bytes)) => {
                    let here = Held::Here {
                        left: bytes.len() as u64,
                        bytes: Arc::new(bytes),
                        last: state.clock,
                    };
                    state.held.insert(piece, here);
                }
                Ok(Err(_)) | Err(_) => state.forget(&piece),
            }
        }
        drop(state);
        self.arrived.notify_all();
    }
}

impl State {
    /// The bytes of a piece that is there, of which so many are wanted.
    fn read(&mut self, piece: &Piece, wanted: u64) -> Option<Arc<Vec<u8>>> {
        let now = self.clock;
        let Some(Held::Here { bytes, left, last }) = self.held.get_mut(piece) else {
            return None;
        };
        let was_left = *left;
        (*left, *last) = (left.saturating_sub(wanted), now);
        if was_left > 0 && *left == 0 {
            self.spent.push_back(piece.clone());
        }
        Some(Arc::clone(bytes))
    }

    /// Notes that nobody needs to fetch the piece any more.
    fn pass(&mut self, (name, number): Piece) {
        let is_queued = |(queued, pieces): &(ObjectName, Range<u64>)| {
            *queued == name && pieces.contains(&number)
        };
        // Far back in the queue it is fetched once more than it had to be.
        if self.queue.iter().take(MOST_FETCHERS).any(is_queued) {
            self.passed.insert((name, number));
        }
    }

    /// For how many pieces there is room, or would be.
    fn room(&self) -> u64 {
        let free = MOST_BYTES.saturating_sub(self.bytes) / PIECE;
        let spent = self.spent.len() as u64;
        match free + spent {
            0 => u64::from(self.given_up().is_some()),
            room => room,
        }
    }

    /// A piece that nobody has read from for a long time.
    fn given_up(&self) -> Option<Piece> {
        let mut held = self.held.iter();
        let old = held.find(|(_, held)| match held {
            Held::Here { last, .. } => self.clock.saturating_sub(*last) > PATIENCE,
            Held::Coming(_) => false,
        });
        old.map(|(piece, _)| piece.clone())
    }

    /// The bytes of a piece.
    fn range(&self, (name, number): &Piece) -> Option<Range<u64>> {
        let size = self.sizes.get(name)?;
        let begin = number.checked_mul(PIECE)?;
        Some(begin..begin.saturating_add(PIECE).min(*size))
    }

    /// What is to be fetched next, if there is room for it, and the number of the request.
    fn next(&mut self) -> Option<(Piece, Range<u64>, u64)> {
        loop {
            let (name, pieces) = self.queue.front()?;
            if pieces.is_empty() {
                self.queue.pop_front();
                continue;
            }
            let piece = (name.clone(), pieces.start);
            let wanted = self.range(&piece).filter(|range| !range.is_empty());
            let is_wanted = !self.held.contains_key(&piece) && !self.passed.contains(&piece);
            if let Some(range) = wanted.filter(|_| is_wanted) {
                let number = self.begin(&piece, &range)?;
                self.advance();
                return Some((piece, range, number));
            }
            self.passed.remove(&piece);
            self.advance();
        }
    }

    /// Notes that a piece is coming, and gives the number of the request; `None` where there is no
    /// room for it.
    fn begin(&mut self, piece: &Piece, range: &Range<u64>) -> Option<u64> {
        let bytes = range.end - range.start;
        while self.bytes + bytes > MOST_BYTES {
            let old = self.spent.pop_front().or_else(|| self.given_up())?;
            self.forget(&old);
        }
        self.bytes += bytes;
        self.clock += 1;
        self.held.insert(piece.clone(), Held::Coming(self.clock));
        Some(self.clock)
    }

    /// The same of a piece that is in the queue: nobody else fetches it then.
    fn begin_queued(&mut self, piece: &Piece) -> Option<(Range<u64>, u64)> {
        let is_it = |(name, pieces): &(ObjectName, Range<u64>)| {
            *name == piece.0 && pieces.contains(&piece.1)
        };
        let range = self.range(piece).filter(|range| !range.is_empty())?;
        let is_queued = self.queue.iter().any(is_it) && !self.passed.contains(piece);
        let number = is_queued.then(|| self.begin(piece, &range))??;
        // Once: what fails is asked for by whoever wants it, who is told why.
        self.passed.insert(piece.clone());
        Some((range, number))
    }

    /// The size of an object whose last piece is there.
    fn known_size(&self, name: &ObjectName) -> Option<u64> {
        let held = self.held.get(&self.last_piece(name)?);
        let size = self.sizes.get(name).copied();
        size.filter(|_| matches!(held, Some(Held::Here { .. })))
    }

    /// The last piece of an object that was expected.
    fn last_piece(&self, name: &ObjectName) -> Option<Piece> {
        let size = *self.sizes.get(name)?;
        Some((name.clone(), size.checked_sub(1)? / PIECE))
    }

    fn advance(&mut self) {
        if let Some((_, pieces)) = self.queue.front_mut() {
            pieces.start += 1;
        }
    }

    fn forget(&mut self, piece: &Piece) {
        if let Some(range) = self.range(piece)
            && self.held.remove(piece).is_some()
        {
            self.bytes = self.bytes.saturating_sub(range.end - range.start);
        }
    }

    /// Forgets all of an object.
    fn forget_object(&mut self, name: &ObjectName) {
        let pieces = self.held.keys().filter(|(held, _)| held == name);
        for piece in pieces.cloned().collect::<Vec<_>>() {
            self.forget(&piece);
        }
        self.spent.retain(|(spent, _)| spent != name);
        self.passed.retain(|(passed, _)| passed != name);
        self.queue.retain(|(queued, _)| queued != name);
        self.sizes.remove(name);
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
        // Of what is fetched to its end the size is known.
        let shared = &self.shared;
        let mut state = shared.lock();
        if let Some(last) = state.last_piece(name) {
            state = shared.hold(state, &last);
        }
        let known = state.known_size(name);
        drop(state);
        known.map_or_else(|| shared.inner.size(name), Ok)
    }

    fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        self.shared.inner.stored_size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.shared.inner.list(prefix)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        self.shared.inner.arrivals(prefix)
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        self.shared.inner.list_many(prefixes)
    }

    fn expect_listing(&self) {
        self.shared.inner.expect_listing();
    }

    fn dirs(&self, prefix: &str) -> Result<Vec<String>> {
        self.shared.inner.dirs(prefix)
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

    fn history(&self) -> Option<&dyn ObjectHistory> {
        self.shared
            .inner
            .history()
            .map(|_| self as &dyn ObjectHistory)
    }

    fn expect(&self, objects: &[(ObjectName, u64)]) {
        let mut state = self.shared.lock();
        let queued: BTreeSet<_> = state.queue.iter().map(|(name, _)| name.clone()).collect();
        for (name, bytes) in objects {
            // Sizes are what others say.
            if *bytes > MOST_OBJECT || queued.contains(name) {
                continue;
            }
            if state.sizes.get(name).is_some_and(|known| known != bytes) {
                state.forget_object(name);
            }
            state.sizes.insert(name.clone(), *bytes);
            let pieces = 0..bytes.div_ceil(PIECE);
            state.queue.push_back((name.clone(), pieces));
        }
        drop(state);
        self.shared.fetch();
    }
}

impl<S: Store + 'static> ObjectHistory for ReadAhead<S> {
    fn keeps_versions(&self) -> bool {
        let inner = self.shared.inner.history();
        inner.is_some_and(ObjectHistory::keeps_versions)
    }

    fn versions(&self, prefix: &str) -> Result<Versions> {
        let inner = self.shared.inner.history();
        inner.map_or_else(|| Ok(Versions::new()), |inner| inner.versions(prefix))
    }

    fn read_version(&self, name: &ObjectName, version: Option<&Version>) {
        // What was fetched is of another one.
        self.shared.lock().forget_object(name);
        if let Some(inner) = self.shared.inner.history() {
            inner.read_version(name, version);
        }
    }

    fn version_read(&self, name: &ObjectName) -> Option<Version> {
        self.shared.inner.history()?.version_read(name)
    }
}

impl<S: Store + 'static> Store for ReadAhead<S> {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.shared.inner.create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let mut state = self.shared.lock();
        state.forget_object(name);
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

    fn locks(&self) -> Option<&dyn Locks> {
        self.shared.inner.locks()
    }
}

#[cfg(test)]
mod tests;
