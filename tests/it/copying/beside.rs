//! Copies that die or stand still at any of their operations, alone and beside a prune.

use std::sync::Barrier;

use narthex::repository::ManifestName;
use narthex::repository::check::Kind;
use narthex::retain::{self, PruneOptions};
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};

use super::*;

/// What prunes do while a copy stands still.
type Meanwhile = (&'static str, fn(&MemoryStore));

const NOW: Millis = START + 30 * DAY;

fn faulty(store: &MemoryStore, faults: StoreFaults) -> FaultyStore {
    FaultyStore::new(Arc::new(store.clone()), faults)
}

fn prune(store: &MemoryStore, grace: Millis, now: Millis) {
    let options = PruneOptions {
        grace,
        ..PruneOptions::default()
    };
    retain::prune(&open(store), options, now).unwrap();
}

fn operations(from: &MemoryStore, to: &MemoryStore) -> [u64; 2] {
    let (from, to) = (
        faulty(&twin(from), StoreFaults::default()),
        faulty(&twin(to), StoreFaults::default()),
    );
    copy_all(&from, &to, NOW).unwrap();
    [from.operations(), to.operations()]
}

/// What is in `store` is whole; what else lies there belongs to nobody.
fn assert_sound(store: &MemoryStore, what: &str) {
    if store.list("archives/").unwrap().is_empty() {
        return;
    }
    let report = checked(store);
    let notes = [Kind::ObjectUnreferenced, Kind::ObjectUnpublished];
    for finding in &report.findings {
        assert!(notes.contains(&finding.kind), "{what}: {finding:?}");
    }
    assert_whole(store, what);
}

#[test]
fn a_copy_that_dies_at_any_operation_is_taken_up_by_the_next() {
    let from = two_nights(Codec::Dense);
    let objects = data(&from).len() as u64;
    let [_, of_to] = operations(&from, &MemoryStore::new());
    assert!(of_to > 20, "{of_to}");
    for at in 0..of_to {
        for fault in [StoreFault::Before, StoreFault::After, StoreFault::Torn] {
            let what = format!("{fault:?} at {at} of {of_to}");
            let to = MemoryStore::new();
            let dying = faulty(
                &to,
                StoreFaults {
                    crash_at: Some((at, fault)),
                    ..StoreFaults::default()
                },
            );
            let _ = copy_all(&from, &dying, NOW);
            assert_sound(&to, &what);
            dying.cut_power().unwrap();
            assert_sound(&to, &what);
            let there = data(&to).len() as u64;
            let report = copy_all(&from, &to, NOW + 1000).map_err(|e| e.chain());
            let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(report.problems, [], "{what}");
            assert_eq!(report.objects, objects - there, "{what}: nothing twice");
            assert_eq!(data(&from), data(&to), "{what}");
            assert_perfect(&to, &what);
        }
    }
}

#[test]
fn a_failure_of_the_repository_copied_from_publishes_nothing_wrong() {
    let from = two_nights(Codec::Dense);
    let [of_from, _] = operations(&from, &MemoryStore::new());
    for at in 0..of_from {
        for faults in [
            StoreFaults {
                fail_at: Some((at, StoreFault::Before)),
                ..StoreFaults::default()
            },
            StoreFaults {
                crash_at: Some((at, StoreFault::Before)),
                ..StoreFaults::default()
            },
            StoreFaults {
                flip_at: Some(at),
                ..StoreFaults::default()
            },
        ] {
            let what = format!("{faults:?}");
            let to = MemoryStore::new();
            let outcome = copy_all(&faulty(&from, faults), &to, NOW);
            assert_sound(&to, &what);
            if let Ok(report) = outcome {
                let there = to.list("archives/").unwrap().len() as u64;
                let is_short = there < 2;
                let told = report.problems.iter();
                let mut told = told.map(|problem| problem.kind.severity());
                let tells = told.any(|it| it == narthex::trouble::Severity::Problem);
                assert!(!is_short || tells, "{what}: {there}");
            }
            copy_all(&from, &to, NOW + 1000).unwrap();
            assert_perfect(&to, &what);
        }
    }
}

/// A repository to copy to that held all, forgot the first archive, and has marked what is not
/// needed a day ago.
fn about_to_delete(from: &MemoryStore) -> MemoryStore {
    let to = MemoryStore::new();
    copy_all(from, &to, START).unwrap();
    let first = archives(&to).remove(0);
    let manifest = first.manifest_name().unwrap().object().unwrap();
    to.delete(&manifest).unwrap();
    prune(&to, 3 * DAY, NOW - DAY);
    assert!(!to.list("trash/marks/").unwrap().is_empty());
    to
}

#[test]
fn a_copy_that_stands_still_at_any_operation_while_a_prune_works_loses_nothing() {
    let from = two_nights(Codec::Dense);
    let bench = about_to_delete(&from);
    let [_, of_to] = operations(&from, &bench);
    let meanwhile: [Meanwhile; 3] = [
        ("marks", |store| prune(store, 3 * DAY, NOW)),
        ("deletes", |store| prune(store, 0, NOW)),
        ("deletes a month later", |store| {
            prune(store, 3 * DAY, NOW);
            prune(store, 3 * DAY, NOW + 30 * DAY);
        }),
    ];
    for (what, act) in meanwhile {
        let mut failed = 0;
        for at in 0..of_to {
            let what = format!("{what} before {at} of {of_to}");
            let to = twin(&bench);
            let barrier = Arc::new(Barrier::new(2));
            let slow = faulty(
                &to,
                StoreFaults {
                    pause_at: Some((at, Arc::clone(&barrier))),
                    ..StoreFaults::default()
                },
            );
            let outcome = std::thread::scope(|scope| {
                let running = scope.spawn(|| {
                    let outcome = copy_all(&from, &slow, NOW);
                    while slow.operations() <= at {
                        let _ = slow.size(&name("nothing"));
                    }
                    outcome
                });
                barrier.wait();
                act(&to);
                barrier.wait();
                running.join().unwrap()
            });
            match outcome {
                Ok(report) => {
                    let left_out = report.count(Fate::LeftOut);
                    assert_eq!(left_out, 0, "{what}: {:?}", report.problems);
                    assert_eq!(archives(&to).len(), 2, "{what}");
                }
                Err(error) => {
                    let error = error.chain();
                    assert!(error.contains("run the copy again"), "{what}: {error}");
                    assert_eq!(archives(&to).len(), 1, "{what}");
                    failed += 1;
                }
            }
            assert_eq!(problems(&to), [""; 0], "{what}");
            assert_whole(&to, &what);
            copy_all(&from, &to, NOW + 40 * DAY).unwrap();
            for later in 1..=3 {
                prune(&to, 3 * DAY, NOW + (40 + 10 * later) * DAY);
            }
            assert_whole(&to, &what);
            assert_eq!(archives(&to).len(), 2, "{what}");
            assert!(to.list("trash/").unwrap().is_empty(), "{what}");
            assert!(to.list("claims/").unwrap().is_empty(), "{what}");
        }
        assert!(failed < of_to, "{what}");
    }
}

#[test]
fn a_prune_that_stands_still_at_any_operation_while_a_copy_works_takes_nothing() {
    let from = two_nights(Codec::Dense);
    let bench = about_to_delete(&from);
    let counting = faulty(&twin(&bench), StoreFaults::default());
    let options = PruneOptions {
        grace: 0,
        ..PruneOptions::default()
    };
    retain::prune(&open(&counting), options, NOW).unwrap();
    for at in 0..counting.operations() {
        let what = format!("before {at}");
        let to = twin(&bench);
        let barrier = Arc::new(Barrier::new(2));
        let faults = StoreFaults {
            pause_at: Some((at, Arc::clone(&barrier))),
            ..StoreFaults::default()
        };
        let slow = faulty(&to, faults);
        std::thread::scope(|scope| {
            let pruning = scope.spawn(|| {
                let pruned = retain::prune(&open(&slow), options, NOW);
                while slow.operations() <= at {
                    let _ = slow.size(&name("nothing"));
                }
                pruned.unwrap();
            });
            barrier.wait();
            let outcome = copy_all(&from, &to, NOW);
            barrier.wait();
            pruning.join().unwrap();
            let report = outcome.map_err(|e| e.chain());
            let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(report.count(Fate::LeftOut), 0, "{what}");
        });
        let manifests = to.list("archives/").unwrap();
        let manifests = manifests
            .iter()
            .filter_map(|(name, _)| ManifestName::parse(name));
        assert_eq!(manifests.count(), 2, "{what}");
        assert_eq!(problems(&to), [""; 0], "{what}");
        assert_whole(&to, &what);
    }
}

#[test]
fn two_copies_at_once_come_to_the_same() {
    let from = two_nights(Codec::Dense);
    let bench = MemoryStore::new();
    open(&bench);
    let [_, of_to] = operations(&from, &bench);
    for at in 0..of_to {
        let what = format!("before {at} of {of_to}");
        let to = twin(&bench);
        let barrier = Arc::new(Barrier::new(2));
        let faults = StoreFaults {
            pause_at: Some((at, Arc::clone(&barrier))),
            ..StoreFaults::default()
        };
        let slow = faulty(&to, faults);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let outcome = copy_all(&from, &slow, NOW);
                while slow.operations() <= at {
                    let _ = slow.size(&name("nothing"));
                }
                outcome
            });
            barrier.wait();
            let inner = copy_all(&from, &to, NOW);
            barrier.wait();
            for outcome in [inner, running.join().unwrap()] {
                let report = outcome.map_err(|e| e.chain());
                let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(report.count(Fate::LeftOut), 0, "{what}");
            }
        });
        assert_eq!(data(&to), data(&from), "{what}");
        assert_perfect(&to, &what);
        assert_eq!(to.list("claims/").unwrap(), [], "{what}");
    }
}
