//! Letting go: forget, prune, and both beside backups, at every interleaving and with a crash at
//! every operation.

mod beside;
mod commands;
mod crashes;
mod early;
mod forgetting;
mod held;
mod lies;
mod pruning;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use narthex::archive::{self, BackupOptions, BackupReport, Codec, Source};
use narthex::model::Millis;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, check};
use narthex::repository::copies::Copies;
use narthex::repository::{Archive, ManifestName, Repository};
use narthex::restore::{Target, TargetContent, Wanted, apply, plan};
use narthex::retain::{self, Pruned};
use narthex::store::ReadStore as _;
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use narthex::store::{MemoryStore, ObjectName, Store};
use narthex::{Error, Result};

use crate::fixtures::{fixture, tree};

const DAY: Millis = 86_400_000;
/// The first night.
const START: Millis = 1_795_288_065_000;

const OLD: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";
const SHARED: &str = "01M80FKE2Z8SDE7SM63DE19N15";
const NEW: &str = "01M80FKE4V4C8GPJHYD9T1D87F";

type Files = BTreeMap<String, Vec<u8>>;

/// A data directory with these blocks of `fixtures/night-1`, and a small WAL.
fn source(blocks: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for block in blocks {
        for (name, content) in tree(&fixture("night-1").join(block)) {
            let path = dir.path().join(block).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    fs::create_dir(dir.path().join("wal")).unwrap();
    // Other servers have other logs.
    let log = [0; 64].repeat(blocks.len());
    fs::write(dir.path().join("wal/00000000"), log).unwrap();
    dir
}

fn back_up(store: Arc<dyn Store>, dir: &Path, codec: Codec, time: Millis) -> Result<BackupReport> {
    let source = Source::new(dir, "host".into(), Some("test".into()))?;
    let repository = Repository::open_or_init(store)?;
    let options = BackupOptions {
        codec,
        ..BackupOptions::default()
    };
    archive::backup(&source, &repository, &options, time, &Silent)
}

fn prune(store: &(impl Store + Clone + 'static), grace: Millis, now: Millis) -> Result<Pruned> {
    let options = retain::PruneOptions {
        grace,
        ..retain::PruneOptions::default()
    };
    retain::prune(&Repository::open(Arc::new(store.clone()))?, options, now)
}

fn remove(store: &dyn Store, archive: &Archive) {
    let name = archive.manifest_name().unwrap().object().unwrap();
    store.delete(&name).unwrap();
}

/// A copy that does not share objects with `store`.
fn copy(store: &MemoryStore) -> MemoryStore {
    let fresh = MemoryStore::new();
    for (name, bytes) in store.list("").unwrap() {
        fresh.overwrite(&name, &store.get(&name, bytes).unwrap());
    }
    fresh
}

/// A repository in which something is about to be let go: one archive is left, of `SHARED`. The
/// objects of `OLD`, which the source holds again beside `NEW`, are marked since `START`.
struct Bench {
    store: MemoryStore,
    codec: Codec,
    source: tempfile::TempDir,
    kept: Archive,
    /// What it restores to.
    kept_files: Files,
}

impl Bench {
    fn new(codec: Codec) -> Self {
        let store = MemoryStore::new();
        let arc = || Arc::new(store.clone());
        let (first, second) = (source(&[OLD, SHARED]), source(&[SHARED]));
        let gone = back_up(arc(), first.path(), codec, START - 2 * DAY).unwrap();
        let kept = back_up(arc(), second.path(), codec, START - DAY).unwrap();
        remove(&store, &gone.archive);
        let pruned = prune(&store, 3 * DAY, START).unwrap();
        // Block and WAL; in the dense codec a pack, too.
        assert_eq!(
            pruned.items.len(),
            if codec == Codec::Dense { 3 } else { 2 }
        );
        Bench {
            codec,
            source: source(&[OLD, SHARED, NEW]),
            kept: kept.archive,
            kept_files: tree(second.path()),
            store,
        }
    }

    fn again(&self) -> MemoryStore {
        copy(&self.store)
    }

    fn back_up(
        &self,
        store: &(impl Store + Clone + 'static),
        time: Millis,
    ) -> Result<BackupReport> {
        back_up(
            Arc::new(store.clone()),
            self.source.path(),
            self.codec,
            time,
        )
    }

    /// Counts the operations of `run` on a fresh copy.
    fn operations<T>(&self, run: impl FnOnce(&FaultyStore) -> Result<T>) -> u64 {
        let store = FaultyStore::new(Arc::new(self.again()), StoreFaults::default());
        run(&store).map_err(|e| e.chain()).unwrap();
        store.operations()
    }

    /// Every archive there is restores to what was archived, and one was never removed.
    fn assert_whole(&self, store: &MemoryStore, what: &str) {
        let report = check(store, CheckDepth::ReadAll, &Silent).unwrap();
        assert!(!report.has_problems(), "{what}: {:?}", report.findings);
        let repository = Repository::open(Arc::new(store.clone())).unwrap();
        let archives = repository.archives().unwrap().archives;
        assert!(archives.contains(&self.kept), "{what}");
        let now = tree(self.source.path());
        for archive in archives {
            let wanted = if archive.id == self.kept.id {
                &self.kept_files
            } else {
                &now
            };
            assert!(restore(&repository, &archive) == *wanted, "{what}");
        }
    }

    /// Everything comes to rest: a backup works, and after the grace nothing is left that is not
    /// needed.
    fn assert_settles(&self, store: &MemoryStore, now: Millis, what: &str) {
        let report = self.back_up(store, now).map_err(|e| e.chain());
        let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(report.problems.is_empty(), "{what}: {:?}", report.problems);
        for later in 1..=3 {
            prune(store, 3 * DAY, now + 40 * later * DAY).unwrap();
        }
        self.assert_whole(store, what);
        let report = check(store, CheckDepth::Structure, &Silent).unwrap();
        assert_eq!(report.findings, [], "{what}");
        for rest in ["trash/", "claims/"] {
            assert_eq!(store.list(rest).unwrap(), [], "{what}");
        }
    }
}

fn restore(repository: &Repository, archive: &Archive) -> Files {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("back");
    let wanted = plan(
        &Wanted::Archive,
        archive,
        &[],
        true,
        &TargetContent::default(),
    )
    .unwrap();
    let target_dir = Target::new(&target, false).unwrap();
    let report = apply(
        &wanted,
        &Copies::new(repository).unwrap(),
        &target_dir,
        &Silent,
    )
    .unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    tree(&target)
}

/// Runs `run` on `store`, stops it before operation `at`, does `meanwhile`, and lets it go on, to
/// crash where `crash_at` says.
fn interrupted<T: Send>(
    store: &MemoryStore,
    at: u64,
    crash_at: Option<(u64, StoreFault)>,
    run: impl FnOnce(&FaultyStore) -> Result<T> + Send,
    meanwhile: impl FnOnce(),
) -> Result<T> {
    let faults = StoreFaults {
        crash_at,
        ..StoreFaults::default()
    };
    interrupted_with(store, at, faults, run, meanwhile)
}

/// The same, with these `faults` besides.
fn interrupted_with<T: Send>(
    store: &MemoryStore,
    at: u64,
    faults: StoreFaults,
    run: impl FnOnce(&FaultyStore) -> Result<T> + Send,
    meanwhile: impl FnOnce(),
) -> Result<T> {
    let barrier = Arc::new(Barrier::new(2));
    let faults = StoreFaults {
        pause_at: Some((at, Arc::clone(&barrier))),
        ..faults
    };
    let faulty = FaultyStore::new(Arc::new(store.clone()), faults);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let outcome = run(&faulty);
            // A run that was disturbed may have fewer operations than an undisturbed one.
            while faulty.operations() <= at {
                let _ = faulty.size(&name("nothing"));
            }
            outcome
        });
        barrier.wait();
        meanwhile();
        barrier.wait();
        running.join().unwrap()
    })
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn archives(store: &MemoryStore) -> usize {
    let listed = store.list("archives/").unwrap();
    let manifests = listed
        .iter()
        .filter(|(name, _)| ManifestName::parse(name).is_some());
    manifests.count()
}

fn chain<T>(outcome: &Result<T>) -> String {
    outcome.as_ref().err().map_or(String::new(), Error::chain)
}
