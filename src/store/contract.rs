//! What every member of the port promises, as functions that try it: for the members here, and for
//! whoever writes one elsewhere.
//!
//! A member that writes passes [`CLAUSES`], each with an empty store of its own; one that can only
//! be read passes [`READ_CLAUSES`], each with a store that holds the objects it names, and no
//! others. A clause that is broken panics, as tests do.
//!
//! ```
//! use narthex::store::{MemoryStore, contract};
//!
//! for clause in contract::CLAUSES {
//!     (clause.holds)(&MemoryStore::new());
//! }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a clause says what it expects by unwrapping, as tests do"
)]

use std::sync::Barrier;

use super::{Leftover, ObjectName, Origin, ReadStore, Store};
use crate::error::ErrorKind;

/// A promise, and a function that tries it on an empty store.
#[derive(Clone, Copy, Debug)]
pub struct Clause {
    /// What is promised, in a few words.
    pub name: &'static str,
    /// Tries it.
    ///
    /// # Panics
    ///
    /// When it is broken.
    pub holds: fn(&dyn Store),
}

/// A promise to readers, and a function that tries it on a store that holds certain objects.
#[derive(Clone, Copy, Debug)]
pub struct ReadClause {
    /// What is promised, in a few words.
    pub name: &'static str,
    /// Names and contents of the objects that the store must hold, and no others.
    pub objects: &'static [(&'static str, &'static [u8])],
    /// Tries it.
    ///
    /// # Panics
    ///
    /// When it is broken.
    pub holds: fn(&dyn ReadStore),
}

/// What a store that is written to promises, beside [`READ_CLAUSES`], which [`read_clauses_hold`]
/// tries on it.
pub const CLAUSES: &[Clause] = &[
    Clause {
        name: "read",
        holds: read_clauses_hold,
    },
    Clause {
        name: "not found",
        holds: what_is_not_there_is_neither_deleted_nor_settled,
    },
    Clause {
        name: "invisible before",
        holds: nothing_is_visible_before_it_is_published,
    },
    Clause {
        name: "dropped",
        holds: what_is_dropped_unpublished_is_no_object,
    },
    Clause {
        name: "finished",
        holds: a_finished_object_says_how_it_is_stored,
    },
    Clause {
        name: "once",
        holds: a_name_is_published_once,
    },
    Clause {
        name: "race",
        holds: of_racing_writers_exactly_one_wins,
    },
    Clause {
        name: "delete",
        holds: what_is_deleted_is_gone_and_its_name_is_free,
    },
    Clause {
        name: "settled",
        holds: what_others_have_published_can_be_settled,
    },
    Clause {
        name: "leftovers",
        holds: only_what_dead_runs_left_can_be_removed_beside_objects,
    },
    Clause {
        name: "vacant",
        holds: it_is_vacant_until_something_is_kept,
    },
];

/// What every store promises to readers.
pub const READ_CLAUSES: &[ReadClause] = &[
    ReadClause {
        name: "whole and in parts",
        objects: &[("blocks/x/a.tar.zst", b"0123456789"), ("empty", b"")],
        holds: an_object_can_be_got_whole_and_in_parts,
    },
    ReadClause {
        name: "bounds",
        objects: &[("a", b"0123456789")],
        holds: more_than_allowed_or_held_is_refused,
    },
    ReadClause {
        name: "not found",
        objects: &[("a/b", b"x")],
        holds: what_is_not_there_is_not_found,
    },
    ReadClause {
        name: "lists",
        objects: &[
            ("blocks/b/2", b"blocks/b/2"),
            ("blocks/a/1", b"blocks/a/1"),
            ("blocks-x", b"blocks-x"),
            ("blocks/b/10", b"blocks/b/10"),
            ("narthex.json", b"narthex.json"),
        ],
        holds: lists_are_sorted_and_hold_what_begins_with_the_prefix,
    },
    ReadClause {
        name: "empty",
        objects: &[],
        holds: nothing_is_listed_where_nothing_is,
    },
];

/// Tries [`READ_CLAUSES`] on a store that can be written to: puts what each needs, and deletes it.
///
/// # Panics
///
/// When one is broken.
pub fn read_clauses_hold(store: &dyn Store) {
    for clause in READ_CLAUSES {
        for (object, content) in clause.objects {
            store.put(&name(object), content).unwrap();
        }
        (clause.holds)(store);
        for (object, _) in clause.objects {
            store.delete(&name(object)).unwrap();
        }
    }
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn names(store: &(impl ReadStore + ?Sized), prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap();
    listed.iter().map(|(name, _)| name.to_string()).collect()
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

fn a_finished_object_says_how_it_is_stored(store: &dyn Store) {
    let object = name("blocks/x/a.tar.zst");
    let mut pending = store.create(&object).unwrap();
    pending.write_all(b"whole").unwrap();
    let form = pending.finish().unwrap();
    assert_eq!(pending.finish().unwrap(), form);
    assert_eq!(names(store, ""), [""; 0]);
    pending.publish().unwrap();
    assert_eq!(store.get(&object, 5).unwrap(), b"whole");
    let bytes = form.map_or(5, |form| form.bytes);
    assert_eq!(store.stored_size(&object).unwrap(), bytes);
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

fn an_object_can_be_got_whole_and_in_parts(store: &dyn ReadStore) {
    let object = name("blocks/x/a.tar.zst");
    assert_eq!(store.size(&object).unwrap(), 10);
    assert_eq!(store.get(&object, 10).unwrap(), b"0123456789");
    assert_eq!(store.get_range(&object, 0..10).unwrap(), b"0123456789");
    assert_eq!(store.get_range(&object, 3..5).unwrap(), b"34");
    assert_eq!(store.get_range(&object, 10..10).unwrap(), b"");
    assert_eq!(store.get(&name("empty"), 0).unwrap(), b"");
}

fn more_than_allowed_or_held_is_refused(store: &dyn ReadStore) {
    let object = name("a");
    let too_large = store.get(&object, 9).unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Unsupported);
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may pass one")]
    let ranges = [0..11, 10..11, 11..12, 0..u64::MAX, 5..3];
    for range in ranges {
        let beyond = store.get_range(&object, range.clone()).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::Corrupt, "{range:?}");
    }
}

/// Names of what no store of these clauses holds, also where something lies above or below.
const ABSENT: [&str; 4] = ["b", "a", "a/b/c", "a/bb"];

fn what_is_not_there_is_not_found(store: &dyn ReadStore) {
    for absent in ABSENT.map(name) {
        for error in [
            store.get(&absent, 10).unwrap_err(),
            store.get_range(&absent, 0..0).unwrap_err(),
            store.size(&absent).unwrap_err(),
            store.stored_size(&absent).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{absent}");
            assert!(error.to_string().contains(absent.as_str()));
        }
    }
    assert_eq!(store.get(&name("a/b"), 1).unwrap(), b"x");
}

fn what_is_not_there_is_neither_deleted_nor_settled(store: &dyn Store) {
    store.put(&name("a/b"), b"x").unwrap();
    for absent in ABSENT.map(name) {
        for error in [
            store.delete(&absent).unwrap_err(),
            store.settle(&absent).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{absent}");
            assert!(error.to_string().contains(absent.as_str()));
        }
    }
    assert_eq!(store.get(&name("a/b"), 1).unwrap(), b"x");
}

fn lists_are_sorted_and_hold_what_begins_with_the_prefix(store: &dyn ReadStore) {
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
    // A name begins with itself.
    for one in all {
        assert!(names(store, one).contains(&one.to_owned()), "{one}");
    }
    assert_eq!(names(store, "nothing/here"), [""; 0]);
    assert_eq!(names(store, "../"), [""; 0]);
    for (object, bytes) in store.list("").unwrap() {
        assert_eq!(store.stored_size(&object).unwrap(), bytes, "{object}");
        assert_eq!(store.size(&object).unwrap(), object.as_str().len() as u64);
    }
    assert_eq!(store.dirs("").unwrap(), ["blocks"]);
    assert_eq!(store.dirs("blocks/").unwrap(), ["a", "b"]);
    assert_eq!(store.dirs("blocks/a/").unwrap(), [""; 0]);
    assert_eq!(store.dirs("packs/").unwrap(), [""; 0]);
}

fn nothing_is_listed_where_nothing_is(store: &dyn ReadStore) {
    assert_eq!(names(store, ""), [""; 0]);
    assert_eq!(names(store, "blocks/"), [""; 0]);
}
