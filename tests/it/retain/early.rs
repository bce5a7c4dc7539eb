//! A backup far away that claims what the last archive named before it looks, beside a prune that
//! is about to delete all of it: at every interleaving.

use super::*;
use narthex::store::ReadStore as _;

/// A repository with an archive of another source, and what an archive needed that was forgotten
/// and that this machine remembers.
struct Night {
    store: MemoryStore,
    source: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Night {
    fn new() -> Self {
        let night = Night {
            store: MemoryStore::new(),
            source: source(&[OLD, SHARED]),
            cache: tempfile::tempdir().unwrap(),
        };
        let other = source(&[NEW]);
        back_up(
            Arc::new(night.store.clone()),
            other.path(),
            Codec::Portable,
            START,
        )
        .unwrap();
        // The second one remembers what the first has stored.
        for time in [START + 1000, START + 2000] {
            let made = night.back_up(
                &far(&night.store, StoreFaults::default()),
                time,
                &night.cache,
            );
            made.unwrap();
        }
        night
    }

    fn back_up(
        &self,
        store: &FaultyStore,
        time: Millis,
        cache: &tempfile::TempDir,
    ) -> Result<BackupReport> {
        let source = Source::new(self.source.path(), "host".into(), Some("night".into()))?;
        let repository = Repository::open(Arc::new(store.clone()))?;
        let options = BackupOptions {
            codec: Codec::Portable,
            cache: Some(cache.path().to_owned()),
            ..BackupOptions::default()
        };
        archive::backup(&source, &repository, &options, time, &Silent)
    }

    /// The same again, and what is remembered of it. With `forgotten`, nothing names the objects.
    fn again(&self, forgotten: bool) -> (MemoryStore, tempfile::TempDir) {
        let (store, cache) = (copy(&self.store), tempfile::tempdir().unwrap());
        for (name, content) in tree(self.cache.path()) {
            let path = cache.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        if forgotten {
            let names = store.list("archives/").unwrap();
            for (name, _) in names.iter().skip(1) {
                store.delete(name).unwrap();
            }
        }
        (store, cache)
    }
}

fn far(store: &MemoryStore, faults: StoreFaults) -> FaultyStore {
    let faults = StoreFaults {
        is_far: true,
        ..faults
    };
    FaultyStore::new(Arc::new(store.clone()), faults)
}

fn pausing(store: &MemoryStore, at: u64, barrier: &Arc<Barrier>) -> FaultyStore {
    let faults = StoreFaults {
        pause_at: Some((at, Arc::clone(barrier))),
        ..StoreFaults::default()
    };
    far(store, faults)
}

/// A run that was disturbed may have fewer operations than an undisturbed one: comes to `at` at the
/// latest now.
fn fill(store: &FaultyStore, at: u64) {
    while store.operations() <= at {
        let _ = store.size(&name("nothing"));
    }
}

fn assert_whole(store: &MemoryStore, what: &str) {
    let report = check(store, CheckDepth::ReadAll, &Silent).unwrap();
    assert!(!report.has_problems(), "{what}: {:?}", report.findings);
}

const NOW: Millis = START + 30 * DAY;

#[test]
fn a_night_in_which_nothing_is_new_claims_once_and_looks_once() {
    let night = Night::new();
    let (store, cache) = night.again(false);
    let slow = far(&store, StoreFaults::default());
    let made = night.back_up(&slow, NOW, &cache).unwrap();
    assert_eq!((made.new_blocks, made.unchanged_blocks), (0, 2));
    let early = slow.operations();
    let near = FaultyStore::new(Arc::new(copy(&store)), StoreFaults::default());
    night.back_up(&near, NOW + 1000, &cache).unwrap();
    assert!(
        early < near.operations(),
        "{early} and {}",
        near.operations()
    );
    assert_eq!(store.list("claims/").unwrap(), []);
    assert_whole(&store, "quiet");
}

#[test]
fn a_night_that_stands_still_while_a_prune_works_names_nothing_that_is_gone() {
    let night = Night::new();
    let (store, cache) = night.again(true);
    let counting = far(&store, StoreFaults::default());
    night.back_up(&counting, NOW, &cache).unwrap();
    for at in 0..counting.operations() {
        let what = format!("before operation {at} of {}", counting.operations());
        let (store, cache) = night.again(true);
        let barrier = Arc::new(Barrier::new(2));
        let slow = pausing(&store, at, &barrier);
        let made = std::thread::scope(|scope| {
            let running = scope.spawn(|| night.back_up(&slow, NOW, &cache));
            barrier.wait();
            prune(&store, 0, NOW).unwrap();
            barrier.wait();
            running.join().unwrap()
        });
        let wanted = if made.is_ok() { 2 } else { 1 };
        assert_eq!(archives(&store), wanted, "{what}: {}", chain(&made));
        assert_whole(&store, &what);
    }
}

#[test]
fn neither_does_one_that_stands_still_while_a_prune_begins_and_ends_while_that_stands_still() {
    let night = Night::new();
    let (store, cache) = night.again(true);
    let counting = far(&store, StoreFaults::default());
    night.back_up(&counting, NOW, &cache).unwrap();
    let of_backup = counting.operations();
    let (store, _) = night.again(true);
    let counting = FaultyStore::new(Arc::new(store), StoreFaults::default());
    prune(&counting, 0, NOW).unwrap();
    let mut stored_anew = 0;
    for stop in 0..of_backup {
        for at in 0..counting.operations() {
            let what = format!("backup before {stop}, prune before {at}");
            let (store, cache) = night.again(true);
            let (first, second) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
            let (slow, deleting) = (pausing(&store, stop, &first), pausing(&store, at, &second));
            let made = std::thread::scope(|scope| {
                let running = scope.spawn(|| night.back_up(&slow, NOW, &cache));
                first.wait();
                let pruning = scope.spawn(|| {
                    let pruned = prune(&deleting, 0, NOW);
                    fill(&deleting, at);
                    pruned
                });
                second.wait();
                // The backup ends while the prune stands still.
                first.wait();
                let made = running.join().unwrap();
                second.wait();
                pruning.join().unwrap().unwrap();
                made
            });
            stored_anew += u64::from(made.as_ref().is_ok_and(|made| made.new_blocks > 0));
            assert_eq!(archives(&store), if made.is_ok() { 2 } else { 1 }, "{what}");
            assert_whole(&store, &what);
        }
    }
    assert!(stored_anew > 0, "no backup met a warrant");
}

#[test]
fn a_night_that_dies_leaves_a_claim_that_keeps_what_it_names_for_a_day() {
    let night = Night::new();
    let (store, cache) = night.again(true);
    let counting = far(&store, StoreFaults::default());
    night.back_up(&counting, NOW, &cache).unwrap();
    for at in 0..counting.operations() {
        let (store, cache) = night.again(true);
        let faults = StoreFaults {
            crash_at: Some((at, StoreFault::Before)),
            ..StoreFaults::default()
        };
        let _ = night.back_up(&far(&store, faults), NOW, &cache);
        let data = store.list("blocks/").unwrap();
        let has_claim = !store.list("claims/").unwrap().is_empty();
        prune(&store, 0, NOW + 1000).unwrap();
        if has_claim {
            assert_eq!(store.list("blocks/").unwrap(), data, "{at}");
        }
        assert_whole(&store, &format!("dead before {at}"));
        prune(&store, 0, NOW + 2 * DAY).unwrap();
        assert_eq!(store.list("claims/").unwrap(), [], "{at}");
        assert_whole(&store, &format!("dead before {at}, a day later"));
    }
}
