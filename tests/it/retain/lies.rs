//! Stores that say what is not so: that something is stored, or what there is. No promise holds
//! against all of that; but no archive is lost that was there, and what is wrong is found.

use narthex::repository::check::Severity;

use super::*;

/// Stores beside narthex, and stores far away, of which it asks less.
fn places() -> [StoreFaults; 2] {
    [false, true].map(|is_far| StoreFaults {
        is_far,
        ..StoreFaults::default()
    })
}

/// What was archived before is whole, and so is each archive that no problem is found of.
fn assert_told(bench: &Bench, store: &MemoryStore, committed: Option<&Archive>, what: &str) {
    let report = check(store, CheckDepth::Structure, &Silent).unwrap();
    let repository = Repository::open(Arc::new(store.clone())).unwrap();
    let archives = repository.archives().unwrap().archives;
    assert!(archives.contains(&bench.kept), "{what}");
    assert!(
        restore(&repository, &bench.kept) == bench.kept_files,
        "{what}"
    );
    let now = tree(bench.source.path());
    let is_named = |archive: &Archive| {
        let problems = report.findings.iter();
        let mut problems = problems.filter(|finding| finding.kind.severity() == Severity::Problem);
        problems.any(|finding| finding.archives.contains(&archive.id))
    };
    for archive in archives
        .iter()
        .filter(|archive| archive.id != bench.kept.id)
    {
        assert!(
            is_named(archive) || restore(&repository, archive) == now,
            "{what}: {:?}",
            report.findings
        );
    }
    if let Some(committed) = committed {
        assert!(
            archives.contains(committed),
            "{what}: it is said to be there"
        );
    }
}

/// The next night makes good what it still has; an archive that misses something else is forgotten.
fn assert_goes_on(bench: &Bench, store: &MemoryStore, now: Millis, what: &str) {
    let report = bench.back_up(store, now).map_err(|e| e.chain());
    let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = check(store, CheckDepth::Structure, &Silent).unwrap();
    let repository = Repository::open(Arc::new(store.clone())).unwrap();
    let problems = found.findings.iter();
    let problems = problems.filter(|finding| finding.kind.severity() == Severity::Problem);
    let broken: Vec<_> = problems.flat_map(|finding| &finding.archives).collect();
    for archive in repository.archives().unwrap().archives {
        if broken.contains(&&archive.id) {
            assert_ne!(archive.id, bench.kept.id, "{what}");
            assert_ne!(archive.id, report.archive.id, "{what}");
            remove(store, &archive);
        }
    }
    bench.assert_settles(store, now + DAY, what);
}

#[test]
fn what_is_said_to_be_stored_and_is_not_is_found() {
    for codec in [Codec::Portable, Codec::Dense] {
        let bench = Bench::new(codec);
        let now = START + DAY;
        for faults in places() {
            let counting = FaultyStore::new(Arc::new(bench.again()), faults.clone());
            bench.back_up(&counting, now).unwrap();
            let mut wrong = 0;
            for at in 0..counting.operations() {
                let store = bench.again();
                let faults = StoreFaults {
                    fail_at: Some((at, StoreFault::Lie)),
                    ..faults.clone()
                };
                let what = format!("{codec:?}, {faults:?}");
                let outcome =
                    bench.back_up(&FaultyStore::new(Arc::new(store.clone()), faults), now);
                let report = outcome.as_ref().ok().filter(|report| report.committed);
                assert_told(&bench, &store, report.map(|it| &it.archive), &what);
                wrong += u64::from(outcome.is_err());
                assert_goes_on(&bench, &store, now + DAY, &what);
            }
            assert!(wrong > 0, "lies were told");
        }
    }
}

/// A listing that is out of date hides what another has written since, and shows what another has
/// deleted.
#[test]
fn a_prune_that_sees_old_listings_deletes_nothing_that_is_needed() {
    let bench = Bench::new(Codec::Portable);
    let now = START + 30 * DAY;
    for faults in places() {
        let counting = FaultyStore::new(Arc::new(bench.again()), faults.clone());
        prune(&counting, 0, now).unwrap();
        for at in 0..counting.operations() {
            let store = bench.again();
            let faults = StoreFaults {
                stale_from: Some(at),
                ..faults.clone()
            };
            let what = format!("{faults:?}");
            let mut committed = None;
            let _ = interrupted_with(
                &store,
                at,
                faults,
                |faulty| prune(faulty, 0, now),
                || committed = bench.back_up(&store, now).ok(),
            );
            let committed = committed.as_ref().map(|report| &report.archive);
            assert_told(&bench, &store, committed, &what);
            if committed.is_some() {
                // What was committed beside it misses nothing either.
                bench.assert_whole(&store, &what);
            }
            assert_goes_on(&bench, &store, now + DAY, &what);
        }
    }
}

#[test]
fn a_backup_that_sees_old_listings_is_whole_or_found() {
    for codec in [Codec::Portable, Codec::Dense] {
        let bench = Bench::new(codec);
        let now = START + 30 * DAY;
        for faults in places() {
            let counting = FaultyStore::new(Arc::new(bench.again()), faults.clone());
            bench.back_up(&counting, now).unwrap();
            for at in 0..counting.operations() {
                let store = bench.again();
                let faults = StoreFaults {
                    stale_from: Some(at),
                    ..faults.clone()
                };
                let what = format!("{codec:?}, {faults:?}");
                let outcome = interrupted_with(
                    &store,
                    at,
                    faults,
                    |faulty| bench.back_up(faulty, now),
                    || drop(prune(&store, 0, now)),
                );
                let report = outcome.as_ref().ok().filter(|report| report.committed);
                assert_told(&bench, &store, report.map(|it| &it.archive), &what);
                assert_goes_on(&bench, &store, now + DAY, &what);
            }
        }
    }
}
