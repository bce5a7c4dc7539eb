//! Reading ahead asks once, in large pieces, and changes nothing else.

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

    fn is_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn try_create_only(&self) -> Result<bool> {
        Ok(true)
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
fn what_nobody_has_come_to_yet_is_fetched_whole_by_whoever_wants_it() {
    let far = Far::default();
    let ranges = Arc::clone(&far.ranges);
    let mut soon = Vec::new();
    for number in 0..1_000 {
        let object = name(&format!("a/{number}"));
        let store: &dyn Store = &far;
        store.put(&object, &content(number, 200)).unwrap();
        soon.push((object, 200));
    }
    let store = ReadAhead::new(far);
    store.expect(&soon);
    // From the end on, in bits; and nothing is asked for its size.
    for (number, (object, bytes)) in soon.iter().enumerate().rev() {
        assert_eq!(store.size(object).unwrap(), *bytes);
        let mut read = Vec::new();
        for from in (0..*bytes).step_by(10) {
            read.extend(store.get_range(object, from..from + 10).unwrap());
        }
        assert_eq!(read, content(number, *bytes));
    }
    assert_eq!(ranges.load(Ordering::Relaxed), soon.len() as u64);
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
fn what_does_not_fit_at_once_is_asked_for_once_all_the_same() {
    let far = Far::default();
    let bytes = Arc::clone(&far.bytes);
    let size = 24 * PIECE + 7;
    let (object, other) = (name("a/large"), name("b/other"));
    let whole = content(5, size);
    for (object, content) in [(&object, &whole[..]), (&other, b"other")] {
        (&far as &dyn Store).put(object, content).unwrap();
    }
    let store = ReadAhead::new(far);
    // The other one is never read.
    store.expect(&[(other, 5), (object.clone(), size)]);
    let step = 100_003;
    for from in (0..size).step_by(step) {
        let to = size.min(from + step as u64);
        let read = store.get_range(&object, from..to).unwrap();
        let part = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
        assert!(read == whole[part], "from {from}");
        assert!(store.shared.lock().bytes <= MOST_BYTES);
    }
    let asked = bytes.load(Ordering::Relaxed);
    assert!(asked <= size + size / 20, "{asked} for {size}");
}

#[test]
fn sizes_that_no_object_has_are_passed_over() {
    let store = ReadAhead::new(Far::default());
    store.expect(&[(name("a/b"), u64::MAX), (name("a/c"), 0)]);
    let gone = store.get_range(&name("a/b"), 0..5).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
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
