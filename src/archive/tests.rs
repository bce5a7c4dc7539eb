//! Whole runs: a source that changes under them, stores that fail, odd and damaged sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::hooks::{Hooks, Moment, NoHooks};
use super::run::Run;
use super::*;
use crate::ErrorKind;
use crate::block::DataDir;
use crate::progress::Silent;
use crate::repair::{judge_damage, leave_marks};
use crate::repository::check::{CheckDepth, check};
use crate::repository::damage::Damage;
use crate::repository::portable::Visitor;
use crate::repository::{Archive, Digest, FilePath};
use crate::store::ReadStore as _;
use crate::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use crate::store::{MemoryStore, ObjectName, Store};
use crate::stored::StoredReader;

/// Blocks of `fixtures/night-1` by what became of them: two were compacted into one of `night-2`.
const FIRST: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";
const SECOND: &str = "01M80FKE2Z8SDE7SM63DE19N15";

/// What is done to the source at a moment of the run.
struct At<F: Fn(Moment<'_>) + Sync>(F);

impl<F: Fn(Moment<'_>) + Sync> Hooks for At<F> {
    fn reached(&self, moment: Moment<'_>) {
        (self.0)(moment);
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A data directory that may be changed, and a repository.
struct Bench {
    dir: tempfile::TempDir,
    store: MemoryStore,
    clock: AtomicUsize,
}

impl Bench {
    fn of(night: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(night), dir.path());
        Bench {
            dir,
            store: MemoryStore::new(),
            clock: AtomicUsize::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, store: Arc<dyn Store>, hooks: &dyn Hooks) -> Result<BackupReport> {
        self.run_with(store, hooks, None)
    }

    fn run_with(
        &self,
        store: Arc<dyn Store>,
        hooks: &dyn Hooks,
        cache: Option<PathBuf>,
    ) -> Result<BackupReport> {
        let source = Source::new(self.dir.path(), "host".into(), Some("test".into()))?;
        let seconds = self.clock.fetch_add(1, Ordering::Relaxed);
        let run = Run {
            source: &source,
            repository: &Repository::open_or_init(store)?,
            options: &BackupOptions {
                patience: Duration::from_millis(200),
                cache,
                ..BackupOptions::default()
            },
            progress: &Silent,
            hooks,
        };
        run.archive(1_795_312_000_000 + 1000 * seconds as i64)
    }

    fn back_up(&self) -> BackupReport {
        self.watched(&NoHooks)
    }

    fn watched(&self, hooks: &dyn Hooks) -> BackupReport {
        self.run(Arc::new(self.store.clone()), hooks).unwrap()
    }

    fn blocks(&self) -> Vec<String> {
        let scanned = DataDir::scan(self.dir.path()).unwrap();
        scanned.blocks().map(crate::block::DirEntry::name).collect()
    }

    fn objects(&self) -> Vec<String> {
        let listed = ["blocks/", "packs/"].map(|prefix| self.store.list(prefix).unwrap());
        let names = listed.into_iter().flatten();
        names.map(|(name, _)| name.to_string()).collect()
    }
}

fn ulids(archive: &Archive) -> Vec<String> {
    let mut ulids: Vec<_> = archive.blocks.iter().map(|b| b.ulid.to_string()).collect();
    ulids.sort();
    ulids
}

fn counts(report: &BackupReport) -> (usize, usize, usize) {
    let BackupReport {
        new_blocks,
        updated_blocks,
        unchanged_blocks,
        ..
    } = report;
    (*new_blocks, *updated_blocks, *unchanged_blocks)
}

/// Keeps files in memory.
#[derive(Default)]
struct Kept {
    files: BTreeMap<String, Vec<u8>>,
    open: String,
}

impl Visitor for Kept {
    fn begin(&mut self, name: &FilePath, _bytes: u64) -> Result<()> {
        self.open = name.to_string();
        let fresh = self.files.insert(self.open.clone(), Vec::new());
        assert_eq!(fresh, None, "{name} comes once");
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.files.get_mut(&self.open).unwrap().extend(bytes);
        Ok(())
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        Ok(())
    }
}

/// Every file of the archive as the repository gives it back.
fn contents(bench: &Bench, archive: &Archive) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for block in &archive.blocks {
        let (mut kept, mut index) = (Kept::default(), Kept::default());
        let reader = StoredReader::new(&bench.store, block);
        reader.read_all(&mut kept, &mut index, &Silent).unwrap();
        let found = kept.files.into_iter().chain(index.files);
        files.extend(found.map(|(name, content)| (format!("{}/{name}", block.ulid), content)));
    }
    files
}

/// Every file of the blocks on disk.
fn on_disk(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for block in bench.blocks() {
        let open =
            crate::stored::write::OpenBlock::open(&bench.path(&block), Links::Refused).unwrap();
        for file in open.files {
            let content = file.read_at(0, u64::MAX).unwrap();
            files.insert(format!("{block}/{}", file.name), content);
        }
    }
    files
}

#[test]
fn a_night_is_stored_whole_and_the_next_costs_only_what_is_new() {
    let bench = Bench::of("night-1");
    let first = bench.back_up();
    assert_eq!(counts(&first), (3, 0, 0));
    assert!(first.problems.is_empty(), "{:?}", first.problems);
    assert_eq!(contents(&bench, &first.archive), on_disk(&bench));
    assert!(first.archive.wal.is_some());

    let again = bench.back_up();
    assert_eq!(counts(&again), (0, 0, 3));
    assert_eq!(again.read_bytes, 0, "nothing has come");
    assert_eq!(again.archive.blocks, first.archive.blocks);

    for block in bench.blocks() {
        fs::remove_dir_all(bench.path(&block)).unwrap();
    }
    copy(&fixture("night-2"), bench.dir.path());
    let second = bench.back_up();
    assert_eq!(counts(&second), (5, 0, 1));
    assert_eq!(contents(&bench, &second.archive), on_disk(&bench));
}

#[test]
fn nothing_is_written_into_the_source() {
    let bench = Bench::of("night-1");
    let look = || {
        let mut seen = Vec::new();
        let mut todo = vec![bench.dir.path().to_owned()];
        while let Some(dir) = todo.pop() {
            seen.push((dir.clone(), fs::metadata(&dir).unwrap().modified().unwrap()));
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    todo.push(path);
                } else {
                    seen.push((
                        path.clone(),
                        fs::metadata(&path).unwrap().modified().unwrap(),
                    ));
                }
            }
        }
        seen.sort();
        seen
    };
    let before = look();
    bench.back_up();
    assert_eq!(look(), before);
}

/// Moves the blocks of night-1 away as Prometheus does, and puts their child in place.
fn compact(bench: &Bench, parents: &[&str]) -> String {
    let child = fs::read_dir(fixture("night-2"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let meta = fs::read(path.join("meta.json")).ok();
            let meta = meta.and_then(|meta| crate::block::Meta::parse(&meta).ok());
            meta.is_some_and(|meta| {
                meta.compaction.level > 1 && !meta.compaction.parents.is_empty()
            }) && !bench
                .path(path.file_name().unwrap().to_str().unwrap())
                .exists()
        })
        .unwrap();
    let name = child.file_name().unwrap().to_str().unwrap().to_owned();
    copy(&child, &bench.path(&format!("{name}.tmp-for-creation")));
    fs::rename(
        bench.path(&format!("{name}.tmp-for-creation")),
        bench.path(&name),
    )
    .unwrap();
    for parent in parents {
        let doomed = bench.path(&format!("{parent}.tmp-for-deletion"));
        fs::rename(bench.path(parent), &doomed).unwrap();
        fs::remove_dir_all(doomed).unwrap();
    }
    name
}

#[test]
fn blocks_that_are_compacted_after_the_listing_are_replaced_by_their_child() {
    let bench = Bench::of("night-1");
    let done = AtomicBool::new(false);
    let child = std::sync::Mutex::new(String::new());
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Listed) && !done.swap(true, Ordering::Relaxed) {
            *child.lock().unwrap() = compact(&bench, &[FIRST, SECOND]);
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(ulids(&report.archive), bench.blocks());
    assert!(ulids(&report.archive).contains(&child.into_inner().unwrap()));
    assert_eq!(contents(&bench, &report.archive), on_disk(&bench));
}

#[test]
fn blocks_that_are_compacted_while_they_are_read_lead_to_a_whole_archive() {
    for parent in [FIRST, SECOND] {
        let bench = Bench::of("night-1");
        let done = AtomicBool::new(false);
        let report = bench.watched(&At(|moment| {
            if let Moment::BlockOpened(ulid) = moment
                && ulid.to_string() == parent
                && !done.swap(true, Ordering::Relaxed)
            {
                compact(&bench, &[FIRST, SECOND]);
            }
        }));
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(ulids(&report.archive), bench.blocks(), "{parent}");
        assert_eq!(contents(&bench, &report.archive), on_disk(&bench));
    }
}

#[test]
fn a_block_deleted_by_retention_does_not_fail_the_run() {
    let bench = Bench::of("night-1");
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Listed) && bench.path(FIRST).exists() {
            fs::remove_dir_all(bench.path(FIRST)).unwrap();
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(ulids(&report.archive), bench.blocks());
}

#[test]
fn a_block_that_is_deleted_file_by_file_is_not_archived_by_half() {
    let bench = Bench::of("night-1");
    let report = bench.watched(&At(|moment| match moment {
        Moment::Listed if bench.path(FIRST).exists() => {
            fs::remove_file(bench.path(FIRST).join("index")).unwrap();
        }
        Moment::PassDone if bench.path(FIRST).exists() => {
            fs::remove_dir_all(bench.path(FIRST)).unwrap();
        }
        _ => {}
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(ulids(&report.archive), bench.blocks());
    assert!(!ulids(&report.archive).contains(&FIRST.to_owned()));
}

#[test]
fn a_source_whose_blocks_never_hold_still_comes_to_an_end() {
    let bench = Bench::of("night-1");
    let passes = AtomicUsize::new(0);
    let restless = |pass: usize| bench.path(&Ulid::from_parts(1, pass as u128).to_string());
    let spare = tempfile::tempdir().unwrap();
    copy(&bench.path(FIRST), spare.path());
    copy(spare.path(), &restless(0));
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Listed) {
            let pass = passes.fetch_add(1, Ordering::Relaxed);
            copy(spare.path(), &restless(pass + 1));
            fs::remove_dir_all(restless(pass)).unwrap();
        }
    }));
    let [problem] = report.problems.as_slice() else {
        panic!("one problem, found {:?}", report.problems)
    };
    assert!(problem.detail.contains("vanished in each"), "{problem}");
    assert!(ulids(&report.archive).contains(&FIRST.to_owned()));
}

#[test]
fn a_log_that_is_cut_short_while_it_is_read_is_read_anew() {
    let bench = Bench::of("night-1");
    let last = last_segment(&bench);
    let done = AtomicBool::new(false);
    let report = bench.watched(&At(|moment| {
        if let Moment::LogOpened(log) = moment
            && log.ends_with("wal")
            && !done.swap(true, Ordering::Relaxed)
        {
            let segment = fs::OpenOptions::new().write(true).open(&last).unwrap();
            segment.set_len(100).unwrap();
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let wal = report.archive.wal.unwrap();
    let stored = wal
        .files
        .iter()
        .find(|file| last.ends_with(file.name.as_str()))
        .unwrap();
    assert_eq!(stored.bytes, 100);
}

#[test]
fn a_log_that_is_cut_again_and_again_is_left_out_and_named() {
    let bench = Bench::of("night-1");
    let last = last_segment(&bench);
    let length = AtomicUsize::new(100);
    let report = bench.watched(&At(|moment| {
        if let Moment::LogOpened(_) = moment {
            let segment = fs::OpenOptions::new().write(true).open(&last).unwrap();
            let length = length.fetch_sub(10, Ordering::Relaxed);
            segment.set_len(length as u64).unwrap();
        }
    }));
    assert!(report.archive.wal.is_none());
    assert!(
        report.problems[0].detail.starts_with("wal is left out"),
        "{:?}",
        report.problems
    );
    assert_eq!(ulids(&report.archive), bench.blocks());
}

/// One page-aligned WBL record of `payload`: type of fragment, length, checksum (not compressed).
fn wbl_segment(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let checksum = crate::raw::crc32c(payload);
    [
        &[1][..],
        &length.to_be_bytes(),
        &checksum.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// The source in the middle of an out-of-order compaction: new segment, marker of series 1 with
/// reference 0.
fn begin_compaction(bench: &Bench) {
    fs::create_dir(bench.path("wbl")).unwrap();
    let sample = [
        &[2][..],
        &1u64.to_be_bytes(),
        &7u64.to_be_bytes(),
        &[0, 0],
        &[0; 8],
    ]
    .concat();
    fs::write(bench.path("wbl/00000005"), wbl_segment(&sample)).unwrap();
    let marker = [&[5][..], &1u64.to_be_bytes(), &0u64.to_be_bytes()].concat();
    fs::write(bench.path("wbl/00000006"), wbl_segment(&marker)).unwrap();
}

#[test]
fn an_out_of_order_compaction_is_waited_for_and_its_block_archived() {
    let bench = Bench::of("night-1");
    let spare = tempfile::tempdir().unwrap();
    fs::rename(bench.path(FIRST), spare.path().join(FIRST)).unwrap();
    begin_compaction(&bench);
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Waiting) && !bench.path(FIRST).exists() {
            copy(&spare.path().join(FIRST), &bench.path(FIRST));
            fs::remove_file(bench.path("wbl/00000005")).unwrap();
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(ulids(&report.archive).contains(&FIRST.to_owned()));
}

#[test]
fn an_out_of_order_compaction_that_died_is_named_and_one_that_has_ended_is_not_waited_for() {
    let bench = Bench::of("night-1");
    begin_compaction(&bench);
    let problems = bench.back_up().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.detail.contains("did not end")),
        "{problems:?}"
    );

    fs::remove_file(bench.path("wbl/00000005")).unwrap();
    let report = bench.watched(&At(|moment| assert!(!matches!(moment, Moment::Waiting))));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

fn last_segment(bench: &Bench) -> PathBuf {
    let segments = fs::read_dir(bench.path("wal")).unwrap();
    let segments = segments.map(|entry| entry.unwrap().path());
    segments.filter(|path| path.is_file()).max().unwrap()
}

#[test]
fn a_block_that_prometheus_is_about_to_remove_is_left_out() {
    let bench = Bench::of("night-1");
    let meta = bench.path(FIRST).join("meta.json");
    let deletable = fs::read_to_string(&meta)
        .unwrap()
        .replace("\"level\"", "\"deletable\": true, \"level\"");
    fs::write(&meta, deletable).unwrap();
    let report = bench.back_up();
    assert!(!ulids(&report.archive).contains(&FIRST.to_owned()));
    assert!(
        report
            .archive
            .left_out
            .iter()
            .any(|left| left.name == FIRST)
    );
    assert!(report.problems.is_empty());
}

#[test]
fn parents_are_left_out_beside_their_child_unless_it_is_damaged() {
    let bench = Bench::of("night-1");
    let child = compact(&bench, &[]);
    let report = bench.back_up();
    let named: Vec<_> = report
        .archive
        .left_out
        .iter()
        .map(|left| left.name.as_str())
        .collect();
    assert!(
        named.contains(&FIRST) && named.contains(&SECOND),
        "{named:?}"
    );
    let stored = ulids(&report.archive);
    assert!(stored.contains(&child) && !stored.contains(&FIRST.to_owned()));
    assert!(
        !bench.objects().iter().any(|name| name.contains(FIRST)),
        "not even stored"
    );
    assert!(report.problems.is_empty(), "no sample is missing");

    let bench = Bench::of("night-1");
    let child = compact(&bench, &[]);
    fs::write(bench.path(&child).join("index"), b"rubbish").unwrap();
    let report = bench.back_up();
    assert_eq!(ulids(&report.archive), bench.blocks());
    assert_eq!(report.problems.len(), 1);
}

#[test]
fn what_may_change_in_a_block_travels_with_every_archive() {
    let bench = Bench::of("night-1");
    let first = bench.back_up().archive;
    fs::write(bench.path(FIRST).join("no-compact-mark.json"), b"{}").unwrap();
    let meta = bench.path(FIRST).join("meta.json");
    let failed = fs::read_to_string(&meta)
        .unwrap()
        .replace("\"level\"", "\"failed\": true, \"level\"");
    fs::write(&meta, failed).unwrap();
    let second = bench.back_up();
    assert_eq!(counts(&second), (0, 1, 2));
    assert_eq!(contents(&bench, &second.archive), on_disk(&bench));
    assert_ne!(
        contents(&bench, &first),
        on_disk(&bench),
        "the first is as it was"
    );
    let objects = bench.objects();
    assert_eq!(counts(&bench.back_up()), (0, 0, 3));
    assert_eq!(bench.objects(), objects);

    fs::remove_file(bench.path(FIRST).join("no-compact-mark.json")).unwrap();
    let fourth = bench.back_up();
    assert_eq!(contents(&bench, &fourth.archive), on_disk(&bench));
}

#[test]
fn a_damaged_block_is_archived_as_it_is_and_again_once_it_is_mended() {
    let bench = Bench::of("night-1");
    let segment = bench.path(FIRST).join("chunks/000001");
    let sound = fs::read(&segment).unwrap();
    let mut damaged = sound.clone();
    damaged[0] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let first = bench.back_up();
    assert_eq!(contents(&bench, &first.archive), on_disk(&bench));
    assert!(
        first
            .problems
            .iter()
            .any(|problem| problem.detail.contains(FIRST))
    );
    let again = bench.back_up();
    assert_eq!(again.archive.blocks, first.archive.blocks);
    assert_eq!(again.problems, first.problems, "it is still damaged");

    fs::write(&segment, &sound).unwrap();
    let mended = bench.back_up();
    assert!(mended.problems.is_empty());
    assert_eq!(contents(&bench, &mended.archive), on_disk(&bench));
    assert_eq!(
        counts(&bench.back_up()),
        (0, 0, 3),
        "and is known from now on"
    );
}

#[test]
fn an_object_that_was_cut_short_is_stored_anew_under_another_name() {
    let bench = Bench::of("night-1");
    bench.back_up();
    for (name, bytes) in bench.store.list("blocks/").unwrap() {
        let content = bench.store.get(&name, bytes).unwrap();
        bench.store.overwrite(&name, &content[..content.len() / 2]);
    }
    let healed = bench.back_up();
    assert!(healed.problems.is_empty(), "{:?}", healed.problems);
    assert_eq!(contents(&bench, &healed.archive), on_disk(&bench));
}

#[test]
fn blocks_without_sense_are_archived_byte_for_byte() {
    let bench = Bench::of("night-1");
    let odd = bench.path("01M80FJGSDDJPV4DWFG2XR4VJX");
    fs::create_dir_all(odd.join("empty/dir")).unwrap();
    fs::write(odd.join("meta.json"), b"{").unwrap();
    fs::write(odd.join("notes.txt"), b"hello").unwrap();
    std::os::unix::fs::symlink("nowhere", odd.join("dangling")).unwrap();
    let report = bench.back_up();
    assert_eq!(contents(&bench, &report.archive), on_disk(&bench));
    let stored = report
        .archive
        .blocks
        .iter()
        .find(|block| block.level == 0)
        .unwrap();
    assert_eq!(stored.empty_dirs.len(), 1);
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(BackupProblem::to_string)
        .collect();
    let problems = problems.join("\n");
    assert!(
        problems.contains("dangling") && problems.contains("has faults"),
        "{problems}"
    );
}

#[test]
fn another_server_is_refused_under_the_same_name() {
    let bench = Bench::of("night-1");
    bench.back_up();
    // The same time, other blocks.
    for name in bench.blocks() {
        let stranger = format!("02{}", &name[2..]);
        let meta = fs::read_to_string(bench.path(&name).join("meta.json")).unwrap();
        fs::write(
            bench.path(&name).join("meta.json"),
            meta.replace("\"01", "\"02"),
        )
        .unwrap();
        fs::rename(bench.path(&name), bench.path(&stranger)).unwrap();
    }
    let refused = bench
        .run(Arc::new(bench.store.clone()), &NoHooks)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.to_string().contains("--source"), "{refused}");
    let source = Source::new(bench.dir.path(), "host".into(), Some("test".into())).unwrap();
    let repository = Repository::open(Arc::new(bench.store.clone())).unwrap();
    let preview = |force| {
        let options = BackupOptions {
            force,
            ..BackupOptions::default()
        };
        preview(&source, Some(&repository), &options, 1_795_312_100_000)
    };
    assert_eq!(preview(false).unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(preview(true).unwrap().new.len(), 3);
    assert_eq!(
        bench.store.list("wal/").unwrap().len(),
        1,
        "nothing was written"
    );
}

#[test]
fn a_server_as_it_was_before_all_its_blocks_were_rewritten_is_known_by_an_older_archive() {
    let bench = Bench::of("night-1");
    bench.back_up();
    let names = bench.blocks();
    // Twice all blocks get new names, and say which they were made of only the first time.
    let rename = |from: &str, to: &str, parent: Option<&str>| {
        let meta = bench.path(from).join("meta.json");
        let text = fs::read_to_string(&meta).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["ulid"] = to.into();
        json["compaction"] = serde_json::json!({"level": 1, "sources": [to]});
        if let Some(parent) = parent {
            let (min, max) = (json["minTime"].clone(), json["maxTime"].clone());
            json["compaction"]["parents"] =
                serde_json::json!([{"ulid": parent, "minTime": min, "maxTime": max}]);
        }
        fs::write(&meta, json.to_string()).unwrap();
        fs::rename(bench.path(from), bench.path(to)).unwrap();
    };
    let named = |name: &str, prefix: &str| format!("{prefix}{}", &name[2..]);
    for name in &names {
        rename(name, &named(name, "02"), Some(name));
    }
    bench.back_up();
    for name in &names {
        rename(
            &named(name, "02"),
            &named(name, "03"),
            Some(&named(name, "02")),
        );
    }
    bench.back_up();
    for name in &names {
        rename(&named(name, "03"), name, None);
    }
    bench.back_up();
}

#[test]
fn a_server_whose_blocks_were_rewritten_twice_since_is_known_by_their_times() {
    let bench = Bench::of("night-1");
    bench.back_up();
    for name in bench.blocks() {
        let (to, between) = (format!("03{}", &name[2..]), format!("02{}", &name[2..]));
        let meta = bench.path(&name).join("meta.json");
        let text = fs::read_to_string(&meta).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (min, max) = (json["minTime"].clone(), json["maxTime"].clone());
        json["ulid"] = (&*to).into();
        let parents = serde_json::json!([{"ulid": between, "minTime": min, "maxTime": max}]);
        json["compaction"] = serde_json::json!({"level": 1, "sources": [to], "parents": parents});
        fs::write(&meta, json.to_string()).unwrap();
        fs::rename(bench.path(&name), bench.path(&to)).unwrap();
    }
    let report = bench.back_up();
    assert_eq!(report.new_blocks, 3);
    let named = |problem: &BackupProblem| problem.detail.contains("gone");
    assert!(!report.problems.iter().any(named), "{:?}", report.problems);
}

#[test]
fn a_block_that_seems_gone_while_retention_deletes_others_is_not_missed() {
    let bench = Bench::of("night-1");
    bench.back_up();
    let blocks = bench.blocks();
    let by_time = |name: &String| {
        let meta = fs::read(bench.path(name).join("meta.json")).unwrap();
        crate::block::Meta::parse(&meta).unwrap().min_time
    };
    let mut blocks: Vec<_> = blocks
        .into_iter()
        .map(|name| (by_time(&name), name))
        .collect();
    blocks.sort();
    let (oldest, middle) = (&blocks[0].1, &blocks[1].1);
    // Prometheus deletes what is too old one after the other, in no order.
    fs::remove_dir_all(bench.path(middle)).unwrap();
    let deleting = format!("{oldest}.tmp-for-deletion");
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Waiting) {
            if bench.path(oldest).exists() {
                fs::rename(bench.path(oldest), bench.path(&deleting)).unwrap();
            } else if bench.path(&deleting).exists() {
                fs::remove_dir_all(bench.path(&deleting)).unwrap();
            }
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    // And a child may come after its parents were looked for.
    let bench = Bench::of("night-1");
    bench.back_up();
    let parents = [FIRST, SECOND];
    let elsewhere = tempfile::tempdir().unwrap();
    for parent in parents {
        copy(&bench.path(parent), &elsewhere.path().join(parent));
        fs::remove_dir_all(bench.path(parent)).unwrap();
    }
    let report = bench.watched(&At(|moment| {
        if matches!(moment, Moment::Waiting) && bench.blocks().len() == 1 {
            for parent in parents {
                copy(&elsewhere.path().join(parent), &bench.path(parent));
            }
            compact(&bench, &parents);
        }
    }));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(ulids(&report.archive).len(), 2);
}

#[test]
fn a_directory_without_blocks_and_logs_is_refused() {
    let bench = Bench::of("night-1");
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    let refused = bench
        .run(Arc::new(bench.store.clone()), &NoHooks)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn a_run_that_dies_at_any_operation_spoils_nothing_and_the_next_takes_its_blocks_over() {
    let counted = {
        let bench = Bench::of("night-1");
        let store = FaultyStore::new(Arc::new(bench.store.clone()), StoreFaults::default());
        bench.run(Arc::new(store.clone()), &NoHooks).unwrap();
        store.operations()
    };
    for at in 0..counted {
        for fault in [StoreFault::Before, StoreFault::After, StoreFault::Torn] {
            let bench = Bench::of("night-1");
            let faults = StoreFaults {
                crash_at: Some((at, fault)),
                ..StoreFaults::default()
            };
            let dying = FaultyStore::new(Arc::new(bench.store.clone()), faults);
            let outcome = bench.run(Arc::new(dying), &NoHooks);
            let left = bench.objects();
            let committed = bench.store.list("archives/").unwrap().len();
            // The last operation but one looks for the manifest, the last takes the claim back.
            let is_last = at == counted - 1;
            assert!(
                committed == 0 || fault == StoreFault::After || at >= counted - 2,
                "{at} {fault:?}"
            );
            // A claim that stays expires: the archive is whole.
            assert_eq!(outcome.is_ok(), is_last, "{at} {fault:?}");

            let next = bench.back_up();
            assert!(
                next.problems.is_empty(),
                "{at} {fault:?}: {:?}",
                next.problems
            );
            assert_eq!(contents(&bench, &next.archive), on_disk(&bench));
            assert_eq!(
                bench.objects().len(),
                6,
                "{at} {fault:?}: {left:?} was taken over"
            );
        }
    }
}

#[test]
fn what_a_dead_run_had_not_made_durable_survives_a_power_cut_once_an_archive_relies_on_it() {
    let counted = {
        let bench = Bench::of("night-1");
        let store = FaultyStore::new(Arc::new(bench.store.clone()), StoreFaults::default());
        bench.run(Arc::new(store.clone()), &NoHooks).unwrap();
        store.operations()
    };
    let mut adopted = 0;
    for at in 0..counted {
        let bench = Bench::of("night-1");
        let faults = StoreFaults {
            crash_at: Some((at, StoreFault::After)),
            ..StoreFaults::default()
        };
        let dying = FaultyStore::new(Arc::new(bench.store.clone()), faults);
        let outcome = bench.run(Arc::new(dying.clone()), &NoHooks);
        assert_eq!(outcome.is_ok(), at == counted - 1, "{at}");
        let left = bench.objects();
        let next = dying.reopened(StoreFaults::default());
        let report = bench.run(Arc::new(next.clone()), &NoHooks).unwrap();
        next.cut_power().unwrap();
        assert_eq!(contents(&bench, &report.archive), on_disk(&bench), "{at}");
        adopted += left.len();
    }
    assert!(adopted > 0);
}

#[test]
fn a_run_that_fails_leaves_no_logs_behind_that_no_archive_can_name() {
    let failing = |fail_at| {
        let bench = Bench::of("night-1");
        let faults = StoreFaults {
            fail_at,
            ..StoreFaults::default()
        };
        let store = FaultyStore::new(Arc::new(bench.store.clone()), faults);
        let outcome = bench.run(Arc::new(store.clone()), &NoHooks);
        let logs = bench.store.list("wal/").unwrap().len();
        (outcome.is_ok(), logs, store.operations())
    };
    let (_, _, counted) = failing(None);
    // Whether a manifest exists whose publishing failed, or that cannot be looked for, is not
    // known, so its logs stay. The last operation, which takes the claim back, may fail.
    for at in 0..counted - 3 {
        let (done, logs, _) = failing(Some((at, StoreFault::Before)));
        assert_eq!(logs, usize::from(done), "{at}");
    }
}

#[test]
fn an_object_that_the_disk_cannot_read_is_damaged_and_stored_anew() {
    let bench = Bench::of("blocks/parents-three");
    let cache = tempfile::tempdir().unwrap();
    let run = |store: &dyn Fn() -> Arc<dyn Store>| {
        let cache = Some(cache.path().to_owned());
        bench.run_with(store(), &NoHooks, cache).unwrap()
    };
    run(&|| Arc::new(bench.store.clone()));
    let objects = bench.objects();
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    copy(&fixture("blocks/child-of-three"), bench.dir.path());
    for bad in objects {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        for (name, bytes) in bench.store.list("").unwrap() {
            let content = bench.store.get(&name, bytes).unwrap();
            store.put(&name, &content).unwrap();
        }
        let unreadable = Some(ObjectName::new(&*bad).unwrap());
        let faults = StoreFaults {
            unreadable,
            ..StoreFaults::default()
        };
        let faulty = FaultyStore::new(store, faults);
        let repository = Repository::open(Arc::new(faulty.clone())).unwrap();
        let checked = |marks: bool| {
            let mut report = check(&faulty, CheckDepth::ReadAll, &Silent).unwrap();
            judge_damage(&repository, &mut report, |report| {
                if marks {
                    leave_marks(&repository, report, 1_795_312_000_000).unwrap();
                }
            })
            .unwrap();
            report
        };
        // It is found by the backup, or by a check before.
        for marks in [false, true] {
            let before = checked(marks);
            assert!(before.findings.iter().any(|it| it.object == bad), "{bad}");
            let report = run(&|| Arc::new(faulty.clone()));
            assert!(report.committed, "{bad}");
        }
        let marked = Damage::list(&faulty).unwrap();
        assert!(marked.contains(&ObjectName::new(&*bad).unwrap()), "{bad}");
        let after = checked(true);
        assert!(!after.has_problems(), "{bad}: {:#?}", after.findings);
    }
}

#[test]
fn what_rots_as_soon_as_it_is_written_is_marked_and_named() {
    const TWIN: &str = "01M7ZT0000000000000000TW1N";
    let bench = Bench::of("blocks/parents-three");
    let cache = tempfile::tempdir().unwrap();
    let run = |hooks: &dyn Hooks| {
        let cache = Some(cache.path().to_owned());
        bench
            .run_with(Arc::new(bench.store.clone()), hooks, cache)
            .unwrap()
    };
    let block = bench.blocks().remove(0);
    for other in bench.blocks().into_iter().skip(1) {
        fs::remove_dir_all(bench.path(&other)).unwrap();
    }
    run(&NoHooks);
    copy(&bench.path(&block), &bench.path(TWIN));
    let meta = bench.path(TWIN).join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(meta, text.replace(&block, TWIN)).unwrap();
    let store: &dyn Store = &bench.store;
    let rot = At(|moment| {
        if !matches!(moment, Moment::BlockOpened(_)) {
            return;
        }
        for (name, bytes) in store.list("").unwrap() {
            if name.as_str().contains(".pack") {
                let mut content = store.get(&name, bytes).unwrap();
                let middle = content.len() / 2;
                content[middle] = content[middle].wrapping_add(1);
                store.delete(&name).unwrap();
                store.put(&name, &content).unwrap();
            }
        }
    });
    let report = run(&rot);
    assert_eq!(ulids(&report.archive), [block, TWIN.to_owned()]);
    let named = report
        .problems
        .iter()
        .filter(|it| it.detail.contains("rests on"));
    assert_eq!(named.count(), 1, "{:?}", report.problems);
}

#[test]
fn a_full_disk_is_an_error_and_commits_nothing() {
    let bench = Bench::of("night-1");
    let faults = StoreFaults {
        disk_bytes: Some(100_000),
        ..StoreFaults::default()
    };
    let full = FaultyStore::new(Arc::new(bench.store.clone()), faults);
    let error = bench.run(Arc::new(full), &NoHooks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(bench.store.list("archives/").unwrap().is_empty());
}
