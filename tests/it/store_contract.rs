//! The members of the port keep its contract, `narthex::store::contract`, and what fails leaves
//! them whole.

use std::sync::{Arc, Barrier};

use narthex::ErrorKind;
use narthex::store::contract::{CLAUSES, READ_CLAUSES};
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use narthex::store::{LocalStore, MemoryStore, ObjectName, ReadOnly, ReadStore as _, Store};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap();
    listed.iter().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn the_local_store_keeps_the_contract() {
    for clause in CLAUSES {
        let dir = tempfile::tempdir().unwrap();
        eprintln!("{}", clause.name);
        (clause.holds)(&LocalStore::new(dir.path().join("not/there/yet")));
    }
}

#[test]
fn the_memory_store_keeps_the_contract() {
    for clause in CLAUSES {
        eprintln!("{}", clause.name);
        (clause.holds)(&MemoryStore::new());
    }
}

#[test]
fn the_faulty_store_without_faults_keeps_the_contract() {
    for clause in CLAUSES {
        eprintln!("{}", clause.name);
        let inner = Arc::new(MemoryStore::new());
        (clause.holds)(&FaultyStore::new(inner, StoreFaults::default()));
    }
}

/// What can only be read keeps what is promised to readers, and refuses the rest.
#[test]
fn a_store_that_can_only_be_read_keeps_the_contract_for_readers() {
    for clause in READ_CLAUSES {
        let inner = MemoryStore::new();
        for (object, content) in clause.objects {
            (&inner as &dyn Store).put(&name(object), content).unwrap();
        }
        eprintln!("{}", clause.name);
        let store: &dyn Store = &ReadOnly(inner);
        (clause.holds)(store);
        assert_eq!(store.is_vacant().unwrap(), clause.objects.is_empty());
        for (object, _) in clause.objects {
            store.settle(&name(object)).unwrap();
            let refused = store.delete(&name(object)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused, "{object}");
        }
        let refused = store.put(&name("new"), b"x").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
    }
}

/// Puts one object, whole; whatever fails, another reader sees all of it or nothing.
fn put_under(faults: StoreFaults) -> (bool, Arc<LocalStore>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(LocalStore::new(dir.path().join("repo")));
    let inner_store: Arc<dyn Store> = inner.clone();
    let faulty: &dyn Store = &FaultyStore::new(inner_store, faults);
    let done = faulty.put(&name("a"), &[7; 100]).is_ok();
    (done, inner, dir)
}

#[test]
fn whatever_fails_an_object_is_complete_or_absent() {
    let mut outcomes = Vec::new();
    for (at, fault) in (0..4).flat_map(|at| {
        [StoreFault::Before, StoreFault::After, StoreFault::Torn].map(|fault| (at, fault))
    }) {
        let (done, store, _dir) = put_under(StoreFaults {
            crash_at: Some((at, fault)),
            ..StoreFaults::default()
        });
        let visible = store.get(&name("a"), 1000).ok();
        assert!(visible.as_ref().is_none_or(|content| *content == [7; 100]));
        assert!(!done || visible.is_some(), "what was acknowledged is there");
        outcomes.push((
            at,
            fault,
            done,
            visible.is_some(),
            store.leftovers("").unwrap().len(),
        ));
    }
    // Operations: create, write, publish. A crash in a write leaves a file behind that is listed.
    assert!(outcomes.contains(&(1, StoreFault::Torn, false, false, 1)));
    assert!(outcomes.contains(&(2, StoreFault::Before, false, false, 1)));
    assert!(
        outcomes.contains(&(2, StoreFault::After, false, true, 0)),
        "a lost reply"
    );
    assert!(
        outcomes.contains(&(3, StoreFault::Before, true, true, 0)),
        "past the end"
    );
}

#[test]
fn a_full_disk_fails_the_write_and_leaves_nothing() {
    for room in 0..100 {
        let (done, store, _dir) = put_under(StoreFaults {
            disk_bytes: Some(room),
            ..StoreFaults::default()
        });
        assert!(!done);
        assert_eq!(store.list("").unwrap(), []);
        assert_eq!(store.leftovers("").unwrap(), []);
    }
    let (done, ..) = put_under(StoreFaults {
        disk_bytes: Some(100),
        ..StoreFaults::default()
    });
    assert!(done);
}

#[test]
fn a_single_fault_passes_and_a_pause_lets_others_act() {
    let store = MemoryStore::new();
    let barrier = Arc::new(Barrier::new(2));
    let faulty = FaultyStore::new(
        Arc::new(store.clone()),
        StoreFaults {
            fail_at: Some((0, StoreFault::Before)),
            pause_at: Some((1, Arc::clone(&barrier))),
            ..StoreFaults::default()
        },
    );
    assert!(faulty.size(&name("a")).is_err());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| faulty.size(&name("a")));
        barrier.wait();
        (&store as &dyn Store)
            .put(&name("a"), b"meanwhile")
            .unwrap();
        barrier.wait();
        assert_eq!(reader.join().unwrap().unwrap(), 9);
    });
    assert_eq!(faulty.operations(), 2);
}

#[test]
fn a_power_cut_takes_what_was_not_acknowledged_unless_it_was_settled() {
    let inner = MemoryStore::new();
    let lost_reply = |at| StoreFaults {
        fail_at: Some((at, StoreFault::After)),
        ..StoreFaults::default()
    };
    // Operations: create, write, publish.
    let faulty = FaultyStore::new(Arc::new(inner.clone()), lost_reply(2));
    let put = |store: &dyn Store, object: &str| store.put(&name(object), b"x");
    assert!(put(&faulty, "a").is_err());
    put(&faulty, "acknowledged").unwrap();
    let next = faulty.reopened(lost_reply(2));
    assert!(put(&next, "b").is_err());
    next.settle(&name("b")).unwrap();
    assert_eq!(names(&inner, ""), ["a", "acknowledged", "b"]);
    next.cut_power().unwrap();
    assert_eq!(names(&inner, ""), ["acknowledged", "b"]);
}
