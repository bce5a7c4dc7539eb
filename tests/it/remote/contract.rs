//! Object stores keep the contract of the port.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use narthex::ErrorKind;
use narthex::store::contract::{CLAUSES, READ_CLAUSES};
use narthex::store::{Leftover, ObjectName, Origin, ReadStore as _, Store};

use super::servers::{Kind, ObjectServer};

/// How long what was dropped may take to be gone.
const PATIENCE: Duration = Duration::from_mins(1);

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn keeps_the_contract(kind: Kind) {
    let Some(server) = ObjectServer::start_or_skip(kind) else {
        return;
    };
    for (number, clause) in CLAUSES.iter().enumerate() {
        eprintln!("{kind:?}: {}", clause.name);
        (clause.holds)(&server.store(&format!("contract/{number}")));
    }
    for (number, clause) in READ_CLAUSES.iter().enumerate() {
        let store = server.store(&format!("read/{number}"));
        for (object, content) in clause.objects {
            (&store as &dyn Store).put(&name(object), content).unwrap();
        }
        eprintln!("{kind:?}: {}", clause.name);
        (clause.holds)(&store);
    }
    assert!(server.store("probe").is_create_only().unwrap());
}

#[test]
fn versitygw_keeps_the_contract() {
    keeps_the_contract(Kind::Versity);
}

#[test]
fn moto_keeps_the_contract() {
    keeps_the_contract(Kind::Moto);
}

#[test]
fn fake_gcs_keeps_the_contract() {
    keeps_the_contract(Kind::Gcs);
}

#[test]
fn azurite_keeps_the_contract() {
    keeps_the_contract(Kind::Azurite);
}

/// Bytes that repeat nowhere soon.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut content: Vec<u8> = (0..bytes / 8).flat_map(|_| step()).collect();
    content.resize(bytes, 7);
    content
}

#[test]
fn large_objects_go_in_parts_and_are_published_once() {
    for kind in Kind::ALL {
        let Some(server) = ObjectServer::start_or_skip(kind) else {
            continue;
        };
        let store = server.store("large");
        let store: &dyn Store = &store;
        let content = noise((20 << 20) + 5);
        let object = name("packs/a.pack");
        store.put(&object, &content).unwrap();
        assert_eq!(
            store.size(&object).unwrap(),
            content.len() as u64,
            "{kind:?}"
        );
        let read = store.get(&object, u64::MAX).unwrap();
        assert!(read == content, "{kind:?}: other bytes");
        let other = noise(17 << 20);
        let refused = store.put(&object, &other).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::AlreadyExists,
            "{kind:?}: {}",
            refused.chain()
        );
        assert!(store.get(&object, u64::MAX).unwrap() == content, "{kind:?}");
        assert_eq!(store.leftovers("").unwrap(), [], "{kind:?}");
        // Dropped on its way it leaves nothing, or what is listed and can be removed.
        let mut pending = store.create(&name("packs/b.pack")).unwrap();
        pending.write_all(&other).unwrap();
        drop(pending);
        assert_eq!(store.list("packs/b").unwrap(), []);
        // Requests that were under way then may end later, and take along what was listed.
        let begin = Instant::now();
        loop {
            let left = store.leftovers("").unwrap();
            if left.is_empty() {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "{kind:?}: {left:?}");
            for leftover in left {
                assert_eq!(leftover.origin, Origin::Unpublished);
                let removed = store.remove_leftover(&leftover);
                let gone = removed.err().filter(|e| e.kind() != ErrorKind::NotFound);
                assert!(gone.is_none(), "{kind:?}: {gone:?}");
            }
        }
    }
}

#[test]
fn what_a_dead_run_has_begun_is_listed_and_removed() {
    for kind in [Kind::Versity, Kind::Moto] {
        let Some(server) = ObjectServer::start_or_skip(kind) else {
            continue;
        };
        let store = server.store("dead");
        let store: &dyn Store = &store;
        let mut pending = store.create(&name("packs/b.pack")).unwrap();
        pending.write_all(&noise(9 << 20)).unwrap();
        // As if the process had been killed.
        std::mem::forget(pending);
        let begun = store.leftovers("packs/").unwrap();
        assert_eq!(begun.len(), 1, "{kind:?}: {begun:?}");
        assert!(
            begun[0].name.starts_with("packs/b.pack?uploadId="),
            "{begun:?}"
        );
        assert_eq!(store.leftovers("blocks/").unwrap(), []);
        store.remove_leftover(&begun[0]).unwrap();
        assert_eq!(store.leftovers("").unwrap(), [], "{kind:?}");
        let gone = store.remove_leftover(&begun[0]).unwrap_err();
        assert_eq!(
            gone.kind(),
            ErrorKind::NotFound,
            "{kind:?}: {}",
            gone.chain()
        );
    }
}

/// Has all of `stores`, which are the same place, write each of a hundred names at once: one wins,
/// and its content stays.
pub(super) fn race_for_names<S: Store>(stores: &[S], place: &str) {
    for round in 0..100 {
        let object = name(&format!("a/{round}"));
        let barrier = Barrier::new(stores.len());
        let results: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = stores
                .iter()
                .enumerate()
                .map(|(number, store)| {
                    let (object, barrier) = (&object, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let content = [u8::try_from(number).unwrap()];
                        (store as &dyn Store).put(object, &content)
                    })
                })
                .collect();
            writers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let winners: Vec<_> = (0..stores.len())
            .filter(|at| results[*at].is_ok())
            .collect();
        assert_eq!(winners.len(), 1, "{place}, round {round}: {results:?}");
        for lost in results.iter().filter_map(|it| it.as_ref().err()) {
            let said = lost.chain();
            assert_eq!(lost.kind(), ErrorKind::AlreadyExists, "{place}: {said}");
        }
        let content = stores[0].get(&object, 10).unwrap();
        assert_eq!(usize::from(content[0]), winners[0], "{place}");
    }
}

#[test]
fn of_eight_writers_one_wins_each_of_a_hundred_times() {
    for kind in Kind::ALL {
        let Some(server) = ObjectServer::start_or_skip(kind) else {
            continue;
        };
        let stores: Vec<_> = (0..8).map(|_| server.store("race")).collect();
        for store in &stores {
            assert!(store.is_create_only().unwrap(), "{kind:?}");
        }
        race_for_names(&stores, &format!("{kind:?}"));
    }
}

/// Of a store with more objects than one page lists, each prefix is listed by itself.
#[test]
fn several_prefixes_are_listed_whether_one_page_holds_them_or_not() {
    for kind in [Kind::Versity, Kind::Gcs, Kind::Azurite] {
        let Some(server) = ObjectServer::start_or_skip(kind) else {
            continue;
        };
        let store = server.store("many");
        let listed = |prefixes: &[&str]| -> Vec<String> {
            let listed = store.list_many(prefixes).unwrap();
            listed.iter().map(|(name, _)| name.to_string()).collect()
        };
        let put = |text: &str| (&store as &dyn Store).put(&name(text), b"x").unwrap();
        for text in ["wal/a", "other/b", "archives/c", "packs/d/e"] {
            put(text);
        }
        let few = ["archives/c", "packs/d/e", "wal/a"];
        assert_eq!(listed(&["archives/", "wal/", "packs/"]), few, "{kind:?}");
        let before = store.traffic().unwrap().lists;
        listed(&["archives/", "wal/", "packs/"]);
        assert_eq!(store.traffic().unwrap().lists - before, 1, "{kind:?}");
        let many: Vec<_> = (0..1_001).map(|it| format!("blocks/{it:04}")).collect();
        std::thread::scope(|scope| {
            for part in many.chunks(many.len().div_ceil(8)) {
                scope.spawn(|| part.iter().for_each(|text| put(text)));
            }
        });
        let mut all: Vec<_> = few.map(str::to_owned).to_vec();
        all.splice(1..1, many);
        let prefixes = ["archives/", "wal/", "packs/", "blocks/"];
        assert_eq!(listed(&prefixes), all, "{kind:?}");
    }
}

#[test]
fn a_bucket_that_is_not_there_is_no_empty_one() {
    // fake-gcs-server says that it is broken itself then, which Google does not.
    for kind in [Kind::Versity, Kind::Moto, Kind::Azurite] {
        let Some(server) = ObjectServer::start_or_skip(kind) else {
            continue;
        };
        let mut address = server.address("x");
        "no-such-bucket".clone_into(&mut address.bucket);
        let options = server.options_through(server.port);
        let store = narthex::store::remote::RemoteStore::new(address, &options).unwrap();
        for error in [
            store.list("").unwrap_err(),
            store.get(&name("narthex.json"), 10).unwrap_err(),
            (&store as &dyn Store).put(&name("a"), b"x").unwrap_err(),
        ] {
            assert_ne!(
                error.kind(),
                ErrorKind::NotFound,
                "{kind:?}: {}",
                error.chain()
            );
            let said = error.chain();
            assert!(
                said.contains("no-such-bucket does not exist"),
                "{kind:?}: {said}"
            );
        }
    }
}

#[test]
fn somebody_elses_objects_are_left_alone() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let store = server.store("x");
    let foreign = Leftover {
        name: "a b".to_owned(),
        bytes: 1,
        modified: None,
        origin: Origin::Foreign,
    };
    let refused = store.remove_leftover(&foreign).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
}
