//! A store whose objects are encrypted is a store like any other, for those who have the keys.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use narthex::crypt::{EncryptedStore, Identities, Recipients, decrypt};
use narthex::store::contract::{CLAUSES, READ_CLAUSES};
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use narthex::store::{LocalStore, MemoryStore, ObjectName, ReadOnly, ReadStore, Store};
use narthex::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use super::tools::{bytes, pair};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn in_clear(name: &ObjectName) -> bool {
    name.as_str() == "narthex.json" || name.as_str().starts_with("claims/")
}

fn over(inner: impl Store + 'static, keys: &(Identities, Recipients)) -> EncryptedStore {
    EncryptedStore::new(Arc::new(inner), in_clear)
        .writing_to(keys.1.clone())
        .reading_with(keys.0.clone())
}

#[test]
fn an_encrypted_store_keeps_the_contract() {
    let keys = pair();
    for clause in CLAUSES {
        eprintln!("{}", clause.name);
        (clause.holds)(&over(MemoryStore::new(), &keys));
        let dir = tempfile::tempdir().unwrap();
        (clause.holds)(&over(LocalStore::new(dir.path().join("repo")), &keys));
        let faulty = FaultyStore::new(Arc::new(MemoryStore::new()), StoreFaults::default());
        (clause.holds)(&over(faulty, &keys));
    }
}

#[test]
fn an_encrypted_store_that_can_only_be_read_keeps_the_contract_for_readers() {
    let keys = pair();
    for clause in READ_CLAUSES {
        let inner = MemoryStore::new();
        for (object, content) in clause.objects {
            let store: &dyn Store = &over(inner.clone(), &keys);
            store.put(&name(object), content).unwrap();
        }
        eprintln!("{}", clause.name);
        let reader = EncryptedStore::new(Arc::new(inner), in_clear).reading_with(keys.0.clone());
        (clause.holds)(&ReadOnly(reader));
    }
}

#[test]
fn what_is_stored_is_known_before_it_is_published_and_is_what_lies_there() {
    let keys = pair();
    let inner = MemoryStore::new();
    let store = over(inner.clone(), &keys);
    for length in [0, 1, 70_000, 300_000] {
        let object = name(&format!("packs/{length}"));
        let mut pending = store.create(&object).unwrap();
        let plain = bytes(length);
        for part in plain.chunks(1000) {
            pending.write_all(part).unwrap();
        }
        pending.flush().unwrap();
        let form = pending.finish().unwrap().unwrap();
        assert!(pending.write_all(b"more").is_err());
        assert_eq!(inner.size(&object).unwrap_err().kind(), ErrorKind::NotFound);
        pending.publish().unwrap();
        let stored = inner.get(&object, u64::MAX).unwrap();
        assert_eq!(stored.len() as u64, form.bytes);
        assert_eq!(<[u8; 32]>::from(Sha256::digest(&stored)), form.sha256);
        assert_eq!(store.stored_size(&object).unwrap(), form.bytes);
        assert_eq!(store.size(&object).unwrap(), length as u64);
        assert!(decrypt(&stored, &keys.0).unwrap() == plain);
        assert!(store.get(&object, length as u64).unwrap() == plain);
    }
    let clear = name("narthex.json");
    let mut pending = store.create(&clear).unwrap();
    pending.write_all(b"{}").unwrap();
    assert_eq!(pending.finish().unwrap(), None);
    pending.publish().unwrap();
    assert_eq!(inner.get(&clear, 2).unwrap(), b"{}");
}

#[test]
fn the_same_content_is_stored_differently_each_time() {
    let keys = pair();
    let inner = MemoryStore::new();
    let store: &dyn Store = &over(inner.clone(), &keys);
    store.put(&name("a"), b"content").unwrap();
    store.put(&name("b"), b"content").unwrap();
    let stored = |object: &str| inner.get(&name(object), 10_000).unwrap();
    assert_ne!(stored("a"), stored("b"));
    for object in ["a", "b"] {
        let stored = stored(object);
        assert!(!stored.windows(7).any(|window| window == b"content"));
    }
}

/// Says what it was asked.
#[derive(Debug)]
struct Asked {
    inner: MemoryStore,
    calls: Mutex<Vec<String>>,
}

impl Asked {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn call(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl ReadStore for Asked {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.call("get".to_owned());
        self.inner.get(name, max_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.call(format!("{} bytes", range.end - range.start));
        self.inner.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.call("size".to_owned());
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.inner.list(prefix)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn a_range_of_what_was_read_before_costs_one_request() {
    let keys = pair();
    let inner = MemoryStore::new();
    let store: &dyn Store = &over(inner.clone(), &keys);
    let plain = bytes(200_000);
    store.put(&name("packs/large"), &plain).unwrap();
    store.put(&name("packs/small"), &plain[..50_000]).unwrap();
    let asked = Arc::new(Asked {
        inner,
        calls: Mutex::default(),
    });
    let store = EncryptedStore::new(Arc::new(ReadOnly(Shared(asked.clone()))), in_clear)
        .reading_with(keys.0.clone());
    let large = name("packs/large");
    assert_eq!(store.size(&large).unwrap(), 200_000);
    assert_eq!(asked.take(), ["size", "16384 bytes"]);
    let last = 200_000 - 3 * 65_536;
    assert_eq!(
        store.get_range(&large, 199_990..200_000).unwrap(),
        plain[199_990..]
    );
    assert_eq!(asked.take(), [format!("{} bytes", last + 16)]);
    assert_eq!(store.get_range(&large, 10..20).unwrap(), plain[10..20]);
    assert_eq!(asked.take(), ["65552 bytes"]);
    assert_eq!(
        store.get_range(&large, 10..70_000).unwrap(),
        plain[10..70_000]
    );
    assert_eq!(asked.take(), ["131104 bytes"]);
    assert_eq!(store.size(&large).unwrap(), 200_000);
    assert_eq!(
        store.get_range(&large, 199_000..199_001).unwrap(),
        plain[199_000..199_001]
    );
    assert_eq!(asked.take(), [""; 0]);
    let small = name("packs/small");
    assert_eq!(store.get_range(&small, 7..9).unwrap(), plain[7..9]);
    assert_eq!(asked.take().len(), 2);
    assert_eq!(store.get_range(&small, 0..50_000).unwrap(), plain[..50_000]);
    assert_eq!(asked.take(), [""; 0]);
    assert_eq!(store.get(&small, 50_000).unwrap(), plain[..50_000]);
    assert_eq!(asked.take(), ["get"]);
    // What many others were read after is asked for again.
    for number in 0..64 {
        let other = name(&format!("packs/{number}"));
        (&over(asked.inner.clone(), &keys) as &dyn Store)
            .put(&other, b"x")
            .unwrap();
        store.size(&other).unwrap();
    }
    asked.take();
    assert_eq!(store.get_range(&small, 7..9).unwrap(), plain[7..9]);
    assert_eq!(asked.take().len(), 2);
}

/// A store that several have.
#[derive(Debug)]
struct Shared(Arc<Asked>);

impl ReadStore for Shared {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.0.get(name, max_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.0.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.0.size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.0.list(prefix)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn whoever_has_no_identity_writes_and_tells_sizes_but_reads_nothing() {
    let (identities, recipients) = pair();
    let inner = MemoryStore::new();
    let host = EncryptedStore::new(Arc::new(inner.clone()), in_clear).writing_to(recipients);
    let store: &dyn Store = &host;
    store.put(&name("packs/a"), &bytes(100_000)).unwrap();
    store.put(&name("claims/a"), b"clear").unwrap();
    assert_eq!(store.size(&name("packs/a")).unwrap(), 100_000);
    assert_eq!(store.get(&name("claims/a"), 5).unwrap(), b"clear");
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Locked);
        let told = "cannot read object packs/a: it is encrypted, and no identity was given; give \
                    one that can read it with --identity FILE";
        assert_eq!(error.chain(), told);
    };
    refused(store.get(&name("packs/a"), u64::MAX).unwrap_err());
    refused(store.get_range(&name("packs/a"), 0..1).unwrap_err());
    let absent = store.get(&name("packs/b"), 10).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);

    // Another identity than that of the recipient.
    let (other, _) = pair();
    let reader = EncryptedStore::new(Arc::new(inner.clone()), in_clear).reading_with(other);
    let error = reader.get_range(&name("packs/a"), 0..1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(
        error
            .chain()
            .starts_with("object packs/a: none of the identities"),
        "{error:?}"
    );
    let error = (&reader as &dyn Store)
        .put(&name("packs/c"), b"x")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let reader = EncryptedStore::new(Arc::new(inner), in_clear).reading_with(identities);
    assert_eq!(reader.get_range(&name("packs/a"), 0..9).unwrap(), bytes(9));
}

#[test]
fn what_is_cut_off_replaced_or_not_encrypted_at_all_is_corrupt() {
    let keys = pair();
    let inner = MemoryStore::new();
    let store = over(inner.clone(), &keys);
    let object = name("packs/a");
    let plain = bytes(200_000);
    (&store as &dyn Store).put(&object, &plain).unwrap();
    let stored = inner.get(&object, u64::MAX).unwrap();
    let header = stored.len() - 200_000 - 4 * 16;
    let whole_chunks = stored[..header + 2 * 65_552].to_vec();
    for spoilt in [
        &whole_chunks[..],
        &stored[..1000],
        &stored[..10],
        b"",
        &plain,
    ] {
        inner.overwrite(&object, spoilt);
        let fresh = over(inner.clone(), &keys);
        for (reader, known) in [(&store, true), (&fresh, false)] {
            for error in [
                reader.get_range(&object, 0..1).err(),
                reader
                    .get_range(&object, 199_999..200_000)
                    .err()
                    .or_else(|| {
                        // The last chunk is known from before.
                        known.then(|| Error::corrupt(""))
                    }),
                reader.get(&object, u64::MAX).err(),
            ] {
                // What was read before may come from memory, and is right.
                if let Some(error) = error {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                } else {
                    assert!(known);
                }
            }
        }
    }
    // Another object of the same name is noticed.
    inner.overwrite(&object, &stored);
    assert_eq!(store.get_range(&object, 0..2).unwrap(), plain[..2]);
    let others = MemoryStore::new();
    let other: &dyn Store = &over(others.clone(), &keys);
    other.put(&object, &plain[1..]).unwrap();
    inner.overwrite(&object, &others.get(&object, u64::MAX).unwrap());
    assert_eq!(store.get_range(&object, 0..2).unwrap(), plain[1..3]);
}

#[test]
fn whatever_fails_an_encrypted_object_is_complete_or_absent() {
    let keys = pair();
    let plain = bytes(150_000);
    let put = |faults: StoreFaults| {
        let inner = MemoryStore::new();
        let faulty = FaultyStore::new(Arc::new(inner.clone()), faults);
        let store: &dyn Store = &over(faulty.clone(), &keys);
        let done = store.put(&name("a"), &plain).is_ok();
        (done, inner, faulty.operations())
    };
    let (done, _, operations) = put(StoreFaults::default());
    assert!(done);
    assert!(operations > 4, "{operations}");
    for at in 0..operations {
        for fault in [StoreFault::Before, StoreFault::After, StoreFault::Torn] {
            for faults in [
                StoreFaults {
                    fail_at: Some((at, fault)),
                    ..StoreFaults::default()
                },
                StoreFaults {
                    crash_at: Some((at, fault)),
                    ..StoreFaults::default()
                },
            ] {
                let (done, inner, _) = put(faults);
                assert!(!done, "{fault:?} at {at}");
                match over(inner, &keys).get(&name("a"), u64::MAX) {
                    Ok(read) => assert!(read == plain),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound),
                }
            }
        }
    }
    for disk_bytes in [0, 100, 500, 70_000, 150_100] {
        let (done, inner, _) = put(StoreFaults {
            disk_bytes: Some(disk_bytes),
            ..StoreFaults::default()
        });
        assert!(!done);
        assert_eq!(inner.list("").unwrap(), []);
    }
}
