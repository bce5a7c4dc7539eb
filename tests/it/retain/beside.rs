//! Two runs at once, of which one stands still before one of its operations while the other does
//! all of its work: for every operation there is.

use super::*;
use narthex::store::ReadStore as _;

/// What prunes do while a backup stands still. The marks are a day old when it begins, and nobody's
/// clock is wrong.
type Meanwhile = (&'static str, fn(&MemoryStore));

const MEANWHILE: [Meanwhile; 4] = [
    ("marks", |store| {
        prune(store, 3 * DAY, START + DAY).unwrap();
    }),
    ("deletes what was marked", |store| {
        prune(store, DAY, START + DAY).unwrap();
    }),
    ("deletes at once", |store| {
        prune(store, 0, START + DAY).unwrap();
    }),
    ("marks, and deletes a month later", |store| {
        prune(store, 3 * DAY, START + DAY).unwrap();
        prune(store, 3 * DAY, START + 31 * DAY).unwrap();
    }),
];

fn a_backup_stands_still(codec: Codec, meanwhile: &[Meanwhile]) {
    let bench = Bench::new(codec);
    let operations = bench.operations(|store| bench.back_up(store, START + DAY));
    assert!(operations > 20, "{operations}");
    for (what, prunes) in meanwhile {
        let mut failed = 0;
        for at in 0..operations {
            let what = format!("{what} before operation {at} of {operations}");
            let store = bench.again();
            let outcome = interrupted(
                &store,
                at,
                None,
                |faulty| bench.back_up(faulty, START + DAY),
                || prunes(&store),
            );
            failed += u64::from(outcome.is_err());
            let wanted = if outcome.is_ok() { 2 } else { 1 };
            assert_eq!(archives(&store), wanted, "{what}: {}", chain(&outcome));
            if outcome.is_err() {
                let error = chain(&outcome);
                assert!(error.contains("again"), "{what}: {error}");
            }
            bench.assert_whole(&store, &what);
            if at % 4 == 0 {
                bench.assert_settles(&store, START + 60 * DAY, &what);
            }
        }
        assert!(failed < operations, "{what}");
        assert!(failed == 0 || *what != "marks", "marks disturb nobody");
    }
}

#[test]
fn a_backup_that_stands_still_at_any_operation_while_a_prune_works_loses_nothing() {
    a_backup_stands_still(Codec::Portable, &MEANWHILE);
}

#[test]
fn neither_does_one_that_packs() {
    a_backup_stands_still(Codec::Dense, &MEANWHILE[2..3]);
}

#[test]
fn a_prune_that_stands_still_at_any_operation_while_a_backup_works_takes_nothing() {
    let bench = Bench::new(Codec::Portable);
    let month = START + 30 * DAY;
    let operations = bench.operations(|store| prune(store, 3 * DAY, month));
    assert!(operations > 15, "{operations}");
    for at in 0..operations {
        let what = format!("before operation {at} of {operations}");
        let store = bench.again();
        let mut made = None;
        let pruned = interrupted(
            &store,
            at,
            None,
            |faulty| prune(faulty, 3 * DAY, month),
            || made = Some(bench.back_up(&store, month)),
        );
        assert!(pruned.is_ok(), "{what}: {}", chain(&pruned));
        let made = made.unwrap().unwrap();
        assert!(made.problems.is_empty(), "{what}: {:?}", made.problems);
        assert_eq!(archives(&store), 2, "{what}");
        bench.assert_whole(&store, &what);
        bench.assert_settles(&store, month + DAY, &what);
    }
}

#[test]
fn two_prunes_and_a_backup_at_once_take_nothing() {
    let bench = Bench::new(Codec::Portable);
    let month = START + 30 * DAY;
    let operations = bench.operations(|store| prune(store, 0, month));
    for at in 0..operations {
        let what = format!("before operation {at} of {operations}");
        let store = bench.again();
        // The second one deletes what the first is about to delete; the backup stores it again.
        let outcome = interrupted(
            &store,
            at,
            None,
            |faulty| prune(faulty, 0, month),
            || {
                prune(&store, 0, month + 1000).unwrap();
                bench.back_up(&store, month + 2000).unwrap();
            },
        );
        assert!(outcome.is_ok(), "{what}: {}", chain(&outcome));
        assert_eq!(archives(&store), 2, "{what}");
        bench.assert_whole(&store, &what);
    }
}

#[test]
fn a_prune_that_stands_still_while_a_backup_begins_and_ends_while_that_stands_still_takes_nothing()
{
    let bench = Bench::new(Codec::Portable);
    let now = START + 30 * DAY;
    let operations = bench.operations(|store| prune(store, 0, now));
    let of_backup = bench.operations(|store| bench.back_up(store, now));
    for at in 0..operations {
        // The end of a backup, from its claim on, is where both must see each other.
        for stop in (of_backup - 12)..of_backup {
            let what = format!("prune before {at}, backup before {stop}");
            let store = bench.again();
            let barrier = Arc::new(Barrier::new(2));
            let faults = StoreFaults {
                pause_at: Some((at, Arc::clone(&barrier))),
                ..StoreFaults::default()
            };
            let slow = FaultyStore::new(Arc::new(store.clone()), faults);
            let made = std::thread::scope(|scope| {
                let pruning = scope.spawn(|| prune(&slow, 0, now));
                barrier.wait();
                // The backup comes to `stop`, the prune ends, the backup goes on.
                interrupted(
                    &store,
                    stop,
                    None,
                    |faulty| bench.back_up(faulty, now),
                    || {
                        barrier.wait();
                        pruning.join().unwrap().unwrap();
                    },
                )
            });
            assert_eq!(archives(&store), if made.is_ok() { 2 } else { 1 }, "{what}");
            bench.assert_whole(&store, &what);
        }
    }
}

#[test]
fn a_backup_that_stands_still_while_a_prune_begins_and_ends_while_that_stands_still_loses_nothing()
{
    let bench = Bench::new(Codec::Portable);
    let now = START + 30 * DAY;
    let operations = bench.operations(|store| prune(store, 0, now));
    let of_backup = bench.operations(|store| bench.back_up(store, now));
    let mut refused = 0;
    for stop in (of_backup - 14)..of_backup {
        for at in 0..operations {
            let what = format!("backup before {stop}, prune before {at}");
            let store = bench.again();
            let barrier = Arc::new(Barrier::new(2));
            let faults = StoreFaults {
                pause_at: Some((stop, Arc::clone(&barrier))),
                ..StoreFaults::default()
            };
            let slow = FaultyStore::new(Arc::new(store.clone()), faults);
            let mut made = None;
            let pruned = std::thread::scope(|scope| {
                let running = scope.spawn(|| bench.back_up(&slow, now));
                barrier.wait();
                // The prune comes to `at`, the backup ends, the prune goes on.
                interrupted(
                    &store,
                    at,
                    None,
                    |faulty| prune(faulty, 0, now),
                    || {
                        barrier.wait();
                        made = Some(running.join().unwrap());
                    },
                )
            });
            assert!(pruned.is_ok(), "{what}: {}", chain(&pruned));
            let made = made.unwrap();
            refused += u64::from(chain(&made).contains("a prune is deleting"));
            assert_eq!(archives(&store), if made.is_ok() { 2 } else { 1 }, "{what}");
            bench.assert_whole(&store, &what);
        }
    }
    assert!(refused > 0, "no backup met a warrant at its end");
}

#[test]
fn an_archive_that_is_forgotten_while_manifests_are_read_is_no_damaged_one() {
    type Look = fn(&FaultyStore) -> Result<Vec<String>>;
    let bench = Bench::new(Codec::Portable);
    let looks: [Look; 2] = [
        |store| {
            let report = check(store, CheckDepth::Structure, &Silent)?;
            let problems = report
                .findings
                .iter()
                .filter(|it| it.kind == narthex::repository::check::Kind::ManifestDamaged);
            Ok(problems.map(|it| it.detail.clone()).collect())
        },
        |store| {
            let archives = Repository::open(Arc::new(store.clone()))?.archives()?;
            let damaged = archives.damaged.iter();
            Ok(damaged.map(|damaged| damaged.error.chain()).collect())
        },
    ];
    for look in looks {
        for at in 0..bench.operations(look) {
            let store = bench.again();
            let first = store.list("archives/").unwrap().remove(0).0;
            let outcome = interrupted(&store, at, None, look, || store.delete(&first).unwrap());
            assert_eq!(
                outcome.unwrap(),
                Vec::<String>::new(),
                "before operation {at}"
            );
        }
    }
}
