//! Runs that die at any of their operations, alone and beside others.

use super::*;
use narthex::repository::SourceFilter;
use narthex::retain::{ForgetSelection, Keep, Policy, forget};
use narthex::store::ReadStore as _;

const FAULTS: [StoreFault; 3] = [StoreFault::Before, StoreFault::After, StoreFault::Torn];

fn dying(store: &MemoryStore, at: u64, fault: StoreFault) -> FaultyStore {
    let faults = StoreFaults {
        crash_at: Some((at, fault)),
        ..StoreFaults::default()
    };
    FaultyStore::new(Arc::new(store.clone()), faults)
}

#[test]
fn a_prune_that_dies_at_any_operation_leaves_every_archive_whole_and_the_next_goes_on() {
    let bench = Bench::new(Codec::Portable);
    let month = START + 30 * DAY;
    for grace in [0, 3 * DAY] {
        let operations = bench.operations(|store| prune(store, grace, month));
        for at in 0..operations {
            for fault in FAULTS {
                let what = format!("grace {grace}, {fault:?} at {at} of {operations}");
                let store = bench.again();
                let outcome = prune(&dying(&store, at, fault), grace, month);
                assert!(outcome.is_err(), "{what}");
                bench.assert_whole(&store, &what);
                bench.assert_settles(&store, month + 1000, &what);
            }
        }
    }
}

#[test]
fn a_backup_that_dies_at_any_operation_after_a_prune_came_between_leaves_no_broken_archive() {
    let bench = Bench::new(Codec::Portable);
    let now = START + DAY;
    let operations = bench.operations(|store| bench.back_up(store, now));
    // Before that nothing is committed, whatever happens.
    let claimed = operations - 14;
    for stop in claimed..operations {
        for at in stop..operations {
            for fault in [StoreFault::Before, StoreFault::After] {
                let what = format!("stops before {stop}, {fault:?} at {at} of {operations}");
                let store = bench.again();
                let _ = interrupted(
                    &store,
                    stop,
                    Some((at, fault)),
                    |faulty| bench.back_up(faulty, now),
                    || {
                        prune(&store, 0, now).unwrap();
                    },
                );
                bench.assert_whole(&store, &what);
            }
        }
    }
}

#[test]
fn a_claim_of_a_dead_run_keeps_its_objects_for_a_day_and_no_longer() {
    let bench = Bench::new(Codec::Portable);
    let now = START + 10 * DAY;
    let operations = bench.operations(|store| bench.back_up(store, now));
    let store = bench.again();
    // The last three operations publish the manifest, look for it, and take the claim back.
    let dead = dying(&store, operations - 3, StoreFault::Before);
    assert!(bench.back_up(&dead, now).is_err());
    assert_eq!(store.list("claims/").unwrap().len(), 1);
    let before = store.list("blocks/").unwrap();
    prune(&store, 0, now + 1000).unwrap();
    assert_eq!(store.list("blocks/").unwrap(), before);
    prune(&store, 0, now + 2 * DAY).unwrap();
    assert_eq!(store.list("claims/").unwrap(), []);
    assert!(store.list("blocks/").unwrap().len() < before.len());
    bench.assert_whole(&store, "a dead run");
}

#[test]
fn a_forget_that_dies_at_any_operation_leaves_the_other_archives_whole() {
    let bench = Bench::new(Codec::Portable);
    for night in 1..=3 {
        bench.back_up(&bench.store, START + night * DAY).unwrap();
    }
    let selection = ForgetSelection::Policy(Policy {
        daily: Keep::Count(1),
        yearly: Keep::Count(2),
        ..Policy::default()
    });
    let run = |store: &FaultyStore| {
        let repository = Repository::open(Arc::new(store.clone()))?;
        forget(
            &repository,
            &selection,
            &SourceFilter::default(),
            retain::Leave::default(),
            START + 100 * DAY,
        )
    };
    let operations = bench.operations(run);
    for at in 0..operations {
        for fault in FAULTS {
            let what = format!("{fault:?} at {at} of {operations}");
            let store = bench.again();
            assert!(run(&dying(&store, at, fault)).is_err(), "{what}");
            assert!((2..=4).contains(&archives(&store)), "{what}");
            bench.assert_whole(&store, &what);
            let calm = FaultyStore::new(Arc::new(store.clone()), StoreFaults::default());
            run(&calm).unwrap();
            assert_eq!(archives(&store), 2, "{what}");
            bench.assert_whole(&store, &what);
        }
    }
}
