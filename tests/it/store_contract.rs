//! The contract of `narthex::store::Store`, as functions over a fresh store, run for every member.

use std::sync::{Arc, Barrier};

use narthex::ErrorKind;
use narthex::store::faulty::{Fault, Faults, FaultyStore};
use narthex::store::{Leftover, LocalStore, MemoryStore, ObjectName, Origin, Store};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap();
    listed.iter().map(|(name, _)| name.to_string()).collect()
}

fn what_is_put_can_be_got_whole_and_in_parts(store: &dyn Store) {
    let object = name("blocks/x/a.tar.zst");
    store.put(&object, b"0123456789").unwrap();
    assert_eq!(store.size(&object).unwrap(), 10);
    assert_eq!(store.get(&object, 10).unwrap(), b"0123456789");
    assert_eq!(store.get_range(&object, 0..10).unwrap(), b"0123456789");
    assert_eq!(store.get_range(&object, 3..5).unwrap(), b"34");
    assert_eq!(store.get_range(&object, 10..10).unwrap(), b"");
    store.put(&name("empty"), b"").unwrap();
    assert_eq!(store.get(&name("empty"), 0).unwrap(), b"");
}

fn more_than_allowed_or_held_is_refused(store: &dyn Store) {
    let object = name("a");
    store.put(&object, b"0123456789").unwrap();
    let too_large = store.get(&object, 9).unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Unsupported);
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may pass one")]
    let ranges = [0..11, 10..11, 11..12, 0..u64::MAX, 5..3];
    for range in ranges {
        let beyond = store.get_range(&object, range.clone()).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::Corrupt, "{range:?}");
    }
}

fn what_is_not_there_is_not_found(store: &dyn Store) {
    store.put(&name("a/b"), b"x").unwrap();
    for absent in ["b", "a", "a/b/c", "a/bb"] {
        let absent = name(absent);
        for error in [
            store.get(&absent, 10).unwrap_err(),
            store.get_range(&absent, 0..0).unwrap_err(),
            store.size(&absent).unwrap_err(),
            store.delete(&absent).unwrap_err(),
            store.settle(&absent).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{absent}");
            assert!(error.to_string().contains(absent.as_str()));
        }
    }
    assert_eq!(store.get(&name("a/b"), 1).unwrap(), b"x");
}

fn nothing_is_visible_before_it_is_published(store: &dyn Store) {
    let object = name("a");
    let mut pending = store.create(&object).unwrap();
    pending.write_all(b"half").unwrap();
    pending.flush().unwrap();
    assert_eq!(store.size(&object).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names(store, ""), [""; 0]);
    pending.write_all(b" and half").unwrap();
    pending.publish().unwrap();
    assert_eq!(store.get(&object, 100).unwrap(), b"half and half");
    assert_eq!(store.leftovers("").unwrap(), []);
}

fn what_is_dropped_unpublished_is_no_object(store: &dyn Store) {
    let mut pending = store.create(&name("a")).unwrap();
    pending.write_all(b"half").unwrap();
    drop(pending);
    assert_eq!(names(store, ""), [""; 0]);
    store.put(&name("a"), b"whole").unwrap();
    assert_eq!(store.get(&name("a"), 100).unwrap(), b"whole");
}

fn a_name_is_published_once(store: &dyn Store) {
    let object = name("archives/one.json");
    store.put(&object, b"first").unwrap();
    let error = store.put(&object, b"second").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.get(&object, 100).unwrap(), b"first");
    assert_eq!(store.leftovers("").unwrap(), []);
}

fn of_racing_writers_exactly_one_wins(store: &dyn Store) {
    for round in 0..20 {
        let object = name(&format!("race/{round}/object"));
        let barrier = Barrier::new(4);
        let wins: Vec<Option<Vec<u8>>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4_u8)
                .map(|writer| {
                    let (object, barrier) = (&object, &barrier);
                    scope.spawn(move || {
                        let content = vec![writer; 1000];
                        let mut pending = store.create(object).unwrap();
                        pending.write_all(&content).unwrap();
                        barrier.wait();
                        match pending.publish() {
                            Ok(()) => Some(content),
                            Err(e) if e.kind() == ErrorKind::AlreadyExists => None,
                            Err(e) => panic!("{}", e.chain()),
                        }
                    })
                })
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        let winners: Vec<_> = wins.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(store.get(&object, 1000).unwrap(), winners[0]);
    }
}

fn lists_are_sorted_and_hold_what_begins_with_the_prefix(store: &dyn Store) {
    for object in [
        "blocks/b/2",
        "blocks/a/1",
        "blocks-x",
        "blocks/b/10",
        "narthex.json",
    ] {
        store.put(&name(object), object.as_bytes()).unwrap();
    }
    let all = [
        "blocks-x",
        "blocks/a/1",
        "blocks/b/10",
        "blocks/b/2",
        "narthex.json",
    ];
    assert_eq!(names(store, ""), all);
    assert_eq!(names(store, "blocks/"), all[1..4]);
    assert_eq!(names(store, "blocks"), all[..4]);
    assert_eq!(names(store, "blocks/b/1"), ["blocks/b/10"]);
    assert_eq!(names(store, "nothing/here"), [""; 0]);
    assert_eq!(names(store, "../"), [""; 0]);
    assert_eq!(store.list("narthex").unwrap()[0].1, 12);
}

fn what_is_deleted_is_gone_and_its_name_is_free(store: &dyn Store) {
    store.put(&name("a/b"), b"old").unwrap();
    store.put(&name("a/c"), b"other").unwrap();
    store.delete(&name("a/b")).unwrap();
    assert_eq!(names(store, ""), ["a/c"]);
    store.put(&name("a/b"), b"new").unwrap();
    assert_eq!(store.get(&name("a/b"), 3).unwrap(), b"new");
}

fn what_others_have_published_can_be_settled(store: &dyn Store) {
    let object = name("blocks/x/a.tar.zst");
    let absent = store.settle(&object).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    store.put(&object, b"whole").unwrap();
    store.settle(&object).unwrap();
    store.settle(&object).unwrap();
    assert_eq!(store.get(&object, 5).unwrap(), b"whole");
    assert_eq!(store.leftovers("").unwrap(), []);
}

fn it_is_vacant_until_something_is_kept(store: &dyn Store) {
    assert!(store.is_vacant().unwrap());
    drop(store.create(&name("a")).unwrap());
    assert!(store.is_vacant().unwrap());
    store.put(&name("a"), b"").unwrap();
    assert!(!store.is_vacant().unwrap());
}

fn only_what_dead_runs_left_can_be_removed_beside_objects(store: &dyn Store) {
    store.put(&name("a"), b"kept").unwrap();
    let mut pending = store.create(&name("b")).unwrap();
    pending.write_all(b"half").unwrap();
    for leftover in store.leftovers("").unwrap() {
        assert_eq!(leftover.origin, Origin::Unpublished);
        store.remove_leftover(&leftover).unwrap();
    }
    assert_eq!(store.leftovers("").unwrap(), []);
    let invented = |name: &str, origin| Leftover {
        name: name.to_owned(),
        bytes: 4,
        modified: None,
        origin,
    };
    let gone = invented("tmp/gone", Origin::Unpublished);
    let gone = store.remove_leftover(&gone).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let theirs = invented("a", Origin::Foreign);
    let refused = store.remove_leftover(&theirs).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert_eq!(store.get(&name("a"), 4).unwrap(), b"kept");
}

/// A promise, and a function that tries it on a fresh store.
type Clause = (&'static str, fn(&dyn Store));

const CONTRACT: [Clause; 12] = [
    (
        "whole and in parts",
        what_is_put_can_be_got_whole_and_in_parts,
    ),
    ("bounds", more_than_allowed_or_held_is_refused),
    ("not found", what_is_not_there_is_not_found),
    (
        "invisible before",
        nothing_is_visible_before_it_is_published,
    ),
    ("dropped", what_is_dropped_unpublished_is_no_object),
    ("once", a_name_is_published_once),
    ("race", of_racing_writers_exactly_one_wins),
    (
        "lists",
        lists_are_sorted_and_hold_what_begins_with_the_prefix,
    ),
    ("delete", what_is_deleted_is_gone_and_its_name_is_free),
    ("settled", what_others_have_published_can_be_settled),
    (
        "leftovers",
        only_what_dead_runs_left_can_be_removed_beside_objects,
    ),
    ("vacant", it_is_vacant_until_something_is_kept),
];

#[test]
fn the_local_store_keeps_the_contract() {
    for (clause, holds) in CONTRACT {
        let dir = tempfile::tempdir().unwrap();
        eprintln!("{clause}");
        holds(&LocalStore::new(dir.path().join("not/there/yet")));
    }
}

#[test]
fn the_memory_store_keeps_the_contract() {
    for (clause, holds) in CONTRACT {
        eprintln!("{clause}");
        holds(&MemoryStore::new());
    }
}

#[test]
fn the_faulty_store_without_faults_keeps_the_contract() {
    for (clause, holds) in CONTRACT {
        eprintln!("{clause}");
        let inner = Arc::new(MemoryStore::new());
        holds(&FaultyStore::new(inner, Faults::default()));
    }
}

/// Puts one object, whole; whatever fails, another reader sees all of it or nothing.
fn put_under(faults: Faults) -> (bool, Arc<LocalStore>, tempfile::TempDir) {
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
    for (at, fault) in
        (0..4).flat_map(|at| [Fault::Before, Fault::After, Fault::Torn].map(|fault| (at, fault)))
    {
        let (done, store, _dir) = put_under(Faults {
            crash_at: Some((at, fault)),
            ..Faults::default()
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
    assert!(outcomes.contains(&(1, Fault::Torn, false, false, 1)));
    assert!(outcomes.contains(&(2, Fault::Before, false, false, 1)));
    assert!(
        outcomes.contains(&(2, Fault::After, false, true, 0)),
        "a lost reply"
    );
    assert!(
        outcomes.contains(&(3, Fault::Before, true, true, 0)),
        "past the end"
    );
}

#[test]
fn a_full_disk_fails_the_write_and_leaves_nothing() {
    for room in 0..100 {
        let (done, store, _dir) = put_under(Faults {
            disk_bytes: Some(room),
            ..Faults::default()
        });
        assert!(!done);
        assert_eq!(store.list("").unwrap(), []);
        assert_eq!(store.leftovers("").unwrap(), []);
    }
    let (done, ..) = put_under(Faults {
        disk_bytes: Some(100),
        ..Faults::default()
    });
    assert!(done);
}

#[test]
fn a_single_fault_passes_and_a_pause_lets_others_act() {
    let store = MemoryStore::new();
    let barrier = Arc::new(Barrier::new(2));
    let faulty = FaultyStore::new(
        Arc::new(store.clone()),
        Faults {
            fail_at: Some((0, Fault::Before)),
            pause_at: Some((1, Arc::clone(&barrier))),
            ..Faults::default()
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
    let lost_reply = |at| Faults {
        fail_at: Some((at, Fault::After)),
        ..Faults::default()
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
