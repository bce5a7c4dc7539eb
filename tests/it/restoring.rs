//! Restores: what comes back, what is refused, and what is left in the target when something fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, Source};
use narthex::model::TimeRange;
use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::repository::copies::Copies;
use narthex::repository::{Archive, FilePath, Repository};
use narthex::restore::{self, RestoreReport, Target, TargetContent, Wanted};
use narthex::store::ReadStore as _;
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use narthex::store::{MemoryStore, Store};
use narthex::{ErrorKind, Result};

const FIRST: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// Two nights of one server in a repository.
struct Bench {
    store: MemoryStore,
    repository: Repository,
    target: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let store = MemoryStore::new();
        let repository = Repository::init(Arc::new(store.clone())).unwrap();
        for (night, time) in [
            ("night-1", 1_795_312_000_000),
            ("night-2", 1_795_398_400_000),
        ] {
            back_up(&fixture(night), &repository, time);
        }
        Bench {
            store,
            repository,
            target: tempfile::tempdir().unwrap(),
        }
    }

    fn archives(&self) -> Vec<Archive> {
        self.repository.archives().unwrap().archives
    }

    fn dir(&self) -> PathBuf {
        self.target.path().join("a/b")
    }

    fn restore(&self, archive: &Archive, wanted: &Wanted) -> Result<RestoreReport> {
        self.restore_from(Arc::new(self.store.clone()), archive, wanted, false)
    }

    fn restore_from(
        &self,
        store: Arc<dyn Store>,
        archive: &Archive,
        wanted: &Wanted,
        add_missing: bool,
    ) -> Result<RestoreReport> {
        let chain = self.archives();
        let target = Target::new(&self.dir(), add_missing)?;
        let with_wal = *wanted == Wanted::Archive;
        let plan = restore::plan(wanted, archive, &chain, with_wal, &target.present()?)?;
        let copies = Copies::new(&Repository::open(store)?)?;
        restore::apply(&plan, &copies, &target, &Silent)
    }
}

fn back_up(dir: &Path, repository: &Repository, time: i64) -> Archive {
    let source = Source::new(dir, "host".into(), Some("test".into())).unwrap();
    let options = BackupOptions::default();
    let report = archive::backup(&source, repository, &options, time, &Silent);
    report.unwrap().archive
}

/// Every file below `dir`, except what a backup leaves out of a data directory.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_owned();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let left_out = ["chunks_head", "lock", "queries.active"];
    files.retain(|name, _| !left_out.iter().any(|left| name.starts_with(left)));
    files
}

fn entries(dir: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return BTreeSet::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn ulids(archive: &Archive) -> BTreeSet<Ulid> {
    archive.blocks.iter().map(|block| block.ulid).collect()
}

#[test]
fn every_archive_comes_back_byte_for_byte() {
    let bench = Bench::new();
    for (archive, night) in bench.archives().iter().zip(["night-1", "night-2"]) {
        let report = bench.restore(archive, &Wanted::Archive).unwrap();
        assert!(report.failed.is_empty() && report.wal);
        assert_eq!(tree(&bench.dir()), tree(&fixture(night)));
        fs::remove_dir_all(bench.dir()).unwrap();
    }
}

#[test]
fn foreign_files_and_empty_directories_come_back_and_changed_metadata_as_it_was_each_night() {
    let source = tempfile::tempdir().unwrap();
    for (name, content) in tree(&fixture("night-1")) {
        let path = source.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let block = source.path().join(FIRST);
    fs::create_dir_all(block.join("debug/empty")).unwrap();
    fs::write(block.join("debug/note"), b"kept").unwrap();
    let bench = Bench::new();
    let first = back_up(source.path(), &bench.repository, 1_795_500_000_000);
    let first_tree = tree(source.path());
    fs::write(block.join("debug/note"), b"changed").unwrap();
    fs::remove_file(block.join("tombstones")).unwrap();
    let second = back_up(source.path(), &bench.repository, 1_795_600_000_000);
    for (archive, wanted) in [(first, first_tree), (second, tree(source.path()))] {
        bench.restore(&archive, &Wanted::Archive).unwrap();
        assert_eq!(tree(&bench.dir()), wanted);
        assert!(bench.dir().join(FIRST).join("debug/empty").is_dir());
        fs::remove_dir_all(bench.dir()).unwrap();
    }
}

#[test]
fn a_range_of_time_brings_back_what_the_server_has_long_deleted_and_no_parent_beside_its_child() {
    let bench = Bench::new();
    let archives = bench.archives();
    let wanted = Wanted::Range(TimeRange::ALL);
    let report = bench.restore(&archives[0], &wanted).unwrap();
    let restored: BTreeSet<Ulid> = report.blocks.iter().copied().collect();
    assert!(!report.wal, "the logs are for whole archives");
    let parents = archives[1].blocks.iter().flat_map(|block| &block.parents);
    assert!(
        parents.clone().count() > 0,
        "the fixture has a compacted block"
    );
    for parent in parents {
        assert!(!restored.contains(parent));
    }
    let atoms = |archive: &Archive| -> BTreeSet<Ulid> {
        archive
            .blocks
            .iter()
            .flat_map(|block| block.sources.clone())
            .collect()
    };
    let all: BTreeSet<Ulid> = atoms(&archives[0])
        .union(&atoms(&archives[1]))
        .copied()
        .collect();
    let blocks = archives.iter().flat_map(|archive| &archive.blocks);
    let held: BTreeSet<Ulid> = blocks
        .filter(|block| restored.contains(&block.ulid))
        .flat_map(|block| block.sources.clone())
        .collect();
    assert_eq!(held, all);
}

#[test]
fn single_blocks_come_back_and_unknown_ones_are_an_error() {
    let bench = Bench::new();
    let archive = &bench.archives()[0];
    let one = Wanted::Blocks(BTreeSet::from([FIRST.parse().unwrap()]));
    bench.restore(archive, &one).unwrap();
    assert_eq!(entries(&bench.dir()), BTreeSet::from([FIRST.to_owned()]));
    let unknown = Wanted::Blocks(BTreeSet::from([Ulid::ZERO]));
    fs::remove_dir_all(bench.dir()).unwrap();
    let error = bench.restore(archive, &unknown).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_target_that_holds_something_is_refused_and_nothing_in_it_is_touched() {
    let bench = Bench::new();
    let archive = &bench.archives()[0];
    fs::create_dir_all(bench.dir().join(FIRST)).unwrap();
    fs::write(bench.dir().join(FIRST).join("meta.json"), b"mine").unwrap();
    let error = bench.restore(archive, &Wanted::Archive).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("--add-missing"), "{error}");

    let report = bench
        .restore_from(
            Arc::new(bench.store.clone()),
            archive,
            &Wanted::Archive,
            true,
        )
        .unwrap();
    assert_eq!(report.blocks.len(), archive.blocks.len() - 1);
    assert_eq!(
        fs::read(bench.dir().join(FIRST).join("meta.json")).unwrap(),
        b"mine"
    );
    let again = bench
        .restore_from(
            Arc::new(bench.store.clone()),
            archive,
            &Wanted::Archive,
            true,
        )
        .unwrap();
    assert!(
        again.blocks.is_empty() && again.failed.is_empty(),
        "everything is there"
    );
}

#[test]
fn a_fresh_file_system_is_empty_enough() {
    let bench = Bench::new();
    fs::create_dir_all(bench.dir().join("lost+found")).unwrap();
    bench
        .restore(&bench.archives()[0], &Wanted::Archive)
        .unwrap();
}

#[test]
fn one_of_two_logs_in_the_target_is_not_completed_with_another_servers() {
    let bench = Bench::new();
    let mut archive = bench.archives()[0].clone();
    let mut other = archive.wal.as_ref().unwrap().files[0].clone();
    other.name = FilePath::new("wbl/00000000").unwrap();
    archive.wal.as_mut().unwrap().files.push(other);
    let present = TargetContent {
        blocks: Vec::new(),
        logs: vec!["wbl".into()],
    };
    let refused = restore::plan(&Wanted::Archive, &archive, &[], true, &present).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
}

#[test]
fn what_is_damaged_is_named_and_the_rest_restored() {
    let bench = Bench::new();
    let archive = &bench.archives()[1];
    let (mut lost, mut rebuilt) = (0, 0);
    for (victim, name) in archive.objects().map(|(ulid, object)| (ulid, &object.name)) {
        let content = bench.store.get(name, u64::MAX).unwrap();
        let mut damaged = content.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        bench.store.overwrite(name, &damaged);
        let report = bench.restore(archive, &Wanted::Archive).unwrap();
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| failed.name.clone())
            .collect();
        let victim = victim.map_or("wal".to_owned(), |ulid| ulid.to_string());
        if failed.is_empty() {
            let detours: Vec<_> = report.detours.iter().map(|detour| &detour.name).collect();
            assert_eq!(
                detours,
                [&victim],
                "it came from elsewhere, and that is said"
            );
            assert_eq!(tree(&bench.dir()), tree(&fixture("night-2")), "{victim}");
            rebuilt += 1;
            fs::remove_dir_all(bench.dir()).unwrap();
            bench.store.overwrite(name, &content);
            continue;
        }
        lost += 1;
        assert_eq!(failed, std::slice::from_ref(&victim));
        assert!(!bench.dir().join(victim).exists());
        // Parents of a child that is lost come beside the rest.
        let own = report
            .blocks
            .iter()
            .filter(|ulid| ulids(archive).contains(ulid));
        assert_eq!(
            own.count() + usize::from(report.wal),
            archive.blocks.len(),
            "one of the blocks and the logs is missing"
        );
        let rest = report.blocks.len() + usize::from(report.wal);
        assert_eq!(entries(&bench.dir()).len(), rest, "no stage is left");
        fs::remove_dir_all(bench.dir()).unwrap();
        bench.store.overwrite(name, &content);
    }
    assert!(lost > 0 && rebuilt > 0, "{lost} lost, {rebuilt} rebuilt");
}

#[test]
fn a_repository_that_fails_at_any_operation_never_leaves_a_block_that_is_not_whole() {
    let bench = Bench::new();
    let archive = &bench.archives()[0];
    let counting = FaultyStore::new(Arc::new(bench.store.clone()), StoreFaults::default());
    bench
        .restore_from(Arc::new(counting.clone()), archive, &Wanted::Archive, false)
        .unwrap();
    let whole = tree(&bench.dir());
    fs::remove_dir_all(bench.dir()).unwrap();
    for at in 0..counting.operations() {
        let faults = StoreFaults {
            crash_at: Some((at, StoreFault::Before)),
            ..StoreFaults::default()
        };
        let failing = FaultyStore::new(Arc::new(bench.store.clone()), faults);
        let outcome = bench.restore_from(Arc::new(failing), archive, &Wanted::Archive, false);
        for (name, content) in outcome.iter().flat_map(|_| tree(&bench.dir())) {
            assert_eq!(whole.get(&name), Some(&content), "{at}: {}", name.display());
        }
        if outcome.is_err() {
            assert!(!bench.dir().exists(), "{at}: what was made is removed");
        } else {
            fs::remove_dir_all(bench.dir()).unwrap();
        }
    }
}

#[test]
fn hostile_manifests_write_nothing_outside_their_block() {
    let bench = Bench::new();
    let sound = bench.archives()[0].clone();

    let mut elsewhere = sound.clone();
    let wal = elsewhere.wal.as_mut().unwrap();
    wal.files[0].name = FilePath::new("01M80FJGSDDJPV4DWFG2XR4VJX/index").unwrap();
    let report = bench.restore(&elsewhere, &Wanted::Archive).unwrap();
    assert_eq!(report.failed[0].name, "wal");
    assert_eq!(report.blocks.len(), sound.blocks.len());
    fs::remove_dir_all(bench.dir()).unwrap();

    let mut twice = sound.clone();
    twice.blocks.push(twice.blocks[0].clone());
    let error = bench.restore(&twice, &Wanted::Archive).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);

    let mut huge = sound.clone();
    huge.blocks[0].files[0].bytes = u64::MAX;
    huge.blocks[0].object.raw_bytes = u64::MAX;
    let mut inside_a_file = sound.clone();
    let dir = FilePath::new("index/below").unwrap();
    inside_a_file.blocks[0].empty_dirs.push(dir);
    let mut exchanged = sound.clone();
    exchanged.blocks[0].object = exchanged.blocks[1].object.clone();
    // Another object is named, but the repository holds the block: what comes back has the digests
    // that it should have.
    let report = bench.restore(&exchanged, &Wanted::Archive).unwrap();
    assert!(report.failed.is_empty() && report.detours.len() == 1);
    assert_eq!(tree(&bench.dir()), tree(&fixture("night-1")));
    fs::remove_dir_all(bench.dir()).unwrap();
    for (what, hostile) in [("huge", huge), ("inside a file", inside_a_file)] {
        let report = bench.restore(&hostile, &Wanted::Archive).unwrap();
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| failed.name.clone())
            .collect();
        assert_eq!(failed, [hostile.blocks[0].ulid.to_string()], "{what}");
        assert_eq!(report.blocks.len(), sound.blocks.len() - 1, "{what}");
        fs::remove_dir_all(bench.dir()).unwrap();
    }
    assert_eq!(
        entries(bench.target.path()),
        BTreeSet::from(["a".to_owned()])
    );
    assert_eq!(ulids(&sound).len(), sound.blocks.len());
}

#[test]
fn a_target_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let bench = Bench::new();
    fs::write(
        bench.target.path().join("a"),
        b"a file where the target's parent should be",
    )
    .unwrap();
    let error = bench
        .restore(&bench.archives()[0], &Wanted::Archive)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{}", error.chain());
    assert_eq!(
        entries(bench.target.path()),
        BTreeSet::from(["a".to_owned()])
    );
}
