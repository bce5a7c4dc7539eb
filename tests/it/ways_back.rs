//! What comes back, and what is said, where objects are lost or blocks were damaged when they were
//! archived: other copies, other blocks, other archives, other sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use narthex::repository::{Archive, FindingCounts, Repository};
use narthex::store::ReadStore as _;
use narthex::store::{LocalStore, Store};
use serde_json::{Value as Json, json};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};
use crate::healing::copy;
use crate::lost_parts::{STEP, constant, content, delete, lay, time, ulid};
use crate::salvage::START;

const PARENTS: &str = "blocks/parents-three";
const CHILD: &str = "blocks/child-of-three";
const CHILD_ULID: &str = "01M7ZSW0E54S2QBYR3D192CSMG";

/// A directory with data in `data`, archived in `repo`.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn empty(&self) {
        let _ = fs::remove_dir_all(self.data());
        fs::create_dir(self.data()).unwrap();
    }

    /// Puts the content of a fixture into the data directory, and nothing else.
    fn lay(&self, name: &str) {
        self.empty();
        copy(&fixture(name), &self.data());
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        narthex(self.path(), arguments)
    }

    fn backup(&self, more: &[&str]) -> Ran {
        let plain = ["backup", "data", "--repo", "repo", "--force"];
        let source: &[&str] = if more.contains(&"--source") {
            &[]
        } else {
            &["--source", "s"]
        };
        self.run(&[&plain, source, more].concat())
    }

    fn restore(&self, archive: &str, more: &[&str]) -> Ran {
        let _ = fs::remove_dir_all(self.path().join("back"));
        self.add(archive, more)
    }

    fn add(&self, archive: &str, more: &[&str]) -> Ran {
        let plain = ["restore", archive, "--repo", "repo", "--target", "back"];
        self.run(&[&plain, more].concat())
    }

    /// The names in the directory that was restored to.
    fn back(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path().join("back")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    fn repository(&self) -> Repository {
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(self.path().join("repo")));
        Repository::open(store).unwrap()
    }

    /// All archives, oldest first.
    fn archives(&self) -> Vec<Archive> {
        self.repository().archives().unwrap().archives
    }

    fn first(&self) -> String {
        self.archives()[0].id.to_string()
    }

    /// Writes the manifests anew as `change` has them, one after the other.
    fn rewrite(&self, mut change: impl FnMut(usize, &mut Archive)) {
        let repository = self.repository();
        let archives = repository.archives().unwrap().archives;
        for (number, mut archive) in archives.into_iter().enumerate() {
            let name = archive.manifest_name().unwrap().object().unwrap();
            change(number, &mut archive);
            repository.store().delete(&name).unwrap();
            repository.commit(&archive).unwrap();
        }
    }

    /// Removes all objects below `room`.
    fn lose(&self, room: &str) {
        fs::remove_dir_all(self.path().join("repo").join(room)).unwrap();
    }

    fn samples(&self, dir: &str) -> BTreeSet<String> {
        let ran = self.run(&["dump", dir, "--format", "json"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.lines().map(str::to_owned).collect()
    }
}

/// The files of the one block that is exported.
fn exported(bench: &Bench, arguments: &[&str]) -> (i32, String, Vec<u8>) {
    let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args([&["export"], arguments, &["--repo", "repo"]].concat())
        .current_dir(bench.path())
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), err, output.stdout)
}

fn ulids(of: &[u64]) -> BTreeSet<String> {
    of.iter().map(|number| ulid(*number).to_string()).collect()
}

#[test]
fn a_portable_object_of_which_nothing_is_left_costs_itself_alone() {
    let spoil: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| fs::write(path, [7; 100]).unwrap(),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        for blocks in [3, 1] {
            let bench = Bench::new();
            for block in 1..=blocks {
                let first = block as u32 * 100;
                lay(
                    &bench.data(),
                    block,
                    &[block],
                    &content(0..4, first, 100, constant),
                );
            }
            assert_eq!(bench.backup(&["--codec", "portable"]).code, 0);
            let room = bench.path().join("repo/blocks").join(ulid(1).to_string());
            for name in tree(&room).into_keys() {
                spoil(&room.join(name));
            }
            let ways: [&[&str]; 3] = [&[], &["--salvage"], &["--exact", "--since", &time(110)]];
            for way in ways {
                let ran = bench.restore("latest", way);
                let code = if blocks == 3 { 3 } else { 1 };
                assert_eq!(ran.code, code, "{number} {way:?}: {}", ran.err);
                assert!(ran.err.contains(&ulid(1).to_string()), "{}", ran.err);
                assert!(!ran.err.contains("cannot remove"), "{}", ran.err);
                assert_eq!(bench.back().len() as u64, blocks - 1, "{number} {way:?}");
                let is_said = ran.err.contains("cannot be salvaged");
                assert_eq!(is_said, !way.is_empty(), "{way:?}: {}", ran.err);
            }
            let ran = bench.run(&["dump", "--archive", "latest", "--repo", "repo"]);
            let code = if blocks == 3 { 3 } else { 1 };
            assert_eq!(ran.code, code, "{number}: {}", ran.err);
            assert_eq!(ran.out.lines().count() as u64, 400 * (blocks - 1));
        }
    }
}

/// Makes the block `number` a part of what its parents hold.
fn set_thanos(data: &Path, number: u64, thanos: Json) {
    let path = data.join(ulid(number).to_string()).join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["thanos"] = thanos;
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

fn shard(id: &str) -> Json {
    json!({"labels": {"__compactor_shard_id__": id}, "downsample": {"resolution": 0}})
}

/// Three parents in the first archive, their children of these metadata in the second; the first
/// parent is lost.
fn parents_and(children: &[Json]) -> Bench {
    let bench = Bench::new();
    for block in 1..=3 {
        let first = block as u32 * 100;
        lay(
            &bench.data(),
            block,
            &[block],
            &content(0..4, first, 100, constant),
        );
    }
    let ran = bench.backup(&["--codec", "portable"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    bench.empty();
    let half = 4 / children.len() as u32;
    for (number, thanos) in (0..).zip(children) {
        let series = number * half..(number + 1) * half;
        let child = 10 + u64::from(number);
        lay(
            &bench.data(),
            child,
            &[1, 2, 3],
            &content(series, 100, 300, constant),
        );
        set_thanos(&bench.data(), child, thanos.clone());
    }
    let ran = bench.backup(&["--codec", "portable"]);
    assert_ne!(ran.code, 1, "{}", ran.err);
    bench.rewrite(|_, archive| {
        for block in archive.blocks.iter_mut() {
            block.findings = FindingCounts::default();
        }
    });
    bench.lose(&format!("blocks/{}", ulid(1)));
    bench
}

#[test]
fn what_holds_only_a_part_of_a_sound_block_does_not_take_its_place() {
    let parts = [
        shard("1_of_2"),
        json!({"labels": {}, "downsample": {"resolution": 300_000}}),
    ];
    for part in parts {
        let bench = parents_and(std::slice::from_ref(&part));
        let ran = bench.restore(&bench.first(), &[]);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert_eq!(bench.back(), ulids(&[2, 3]), "{part}: {}", ran.err);
        let could_not = format!("{} could not be restored", ulid(1));
        assert!(ran.err.contains(&could_not), "{}", ran.err);
    }
}

#[test]
fn all_parts_together_take_the_place_of_a_block_and_each_block_that_goes_for_them_is_named() {
    let bench = parents_and(&[shard("1_of_2"), shard("2_of_2")]);
    let ran = bench.restore(&bench.first(), &["--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(bench.back(), ulids(&[10, 11]), "{}", ran.err);
    let replaced = ran.json()["replaced"].clone();
    let replaced = replaced.as_array().unwrap().iter();
    let replaced: BTreeSet<_> = replaced
        .map(|one| one["block"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(replaced, ulids(&[1, 2, 3]));
    let left_out = format!("{} is left out; its samples come back in", ulid(2));
    assert!(ran.err.contains(&left_out), "{}", ran.err);
    assert_eq!(bench.samples("back").len(), 4 * 300);
}

#[test]
fn aggregates_stand_in_for_nothing_though_old_manifests_do_not_say_that_they_are_some() {
    let bench = parents_and(&[json!({"labels": {}, "downsample": {"resolution": 300_000}})]);
    let (repository, first) = (bench.repository(), bench.first());
    // Only the first parent was archived alone.
    bench.rewrite(|_, archive| {
        archive
            .blocks
            .retain(|block| ![ulid(2), ulid(3)].contains(&block.ulid));
        for block in archive.blocks.iter_mut() {
            block.resolution = None;
            block.external_labels.clear();
        }
    });
    drop(repository);
    for way in [&["--since", "0"][..], &[]] {
        let ran = bench.restore(&first, way);
        assert_ne!(ran.code, 0, "{way:?}: {}", ran.err);
        assert!(!ran.err.contains("its samples come back"), "{}", ran.err);
        let could_not = format!("{}", ulid(1));
        assert!(ran.err.contains(&could_not), "{way:?}: {}", ran.err);
    }
}

/// A block without deletions in the first archive, with some in the second; their file has a
/// flipped bit.
fn damaged_deletions(codec: &str) -> Bench {
    let bench = Bench::new();
    lay(&bench.data(), 1, &[1], &content(0..4, 0, 100, constant));
    assert_eq!(bench.backup(&["--codec", codec]).code, 0);
    let dir = bench.data().join(ulid(1).to_string());
    delete(&dir, 1, START, START + STEP * 9);
    let path = dir.join("tombstones");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    let ran = bench.backup(&["--codec", codec]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    bench
}

#[test]
fn an_older_version_of_a_damaged_block_is_named_whatever_is_asked_for() {
    let bench = damaged_deletions("portable");
    for way in [&[][..], &["--since", "0"], &["--since", "0", "--exact"]] {
        let ran = bench.restore("latest", way);
        assert_eq!(ran.code, 3, "{way:?}: {}", ran.err);
        let said = format!("{} was damaged when it was archived: a sound copy", ulid(1));
        assert!(ran.err.contains(&said), "{way:?}: {}", ran.err);
        assert!(ran.err.contains("had been deleted"), "{way:?}: {}", ran.err);
        assert_eq!(bench.samples("back").len(), 400, "{way:?}");
    }
    let ran = bench.restore("latest", &["--since", "0", "--dry-run", "--json"]);
    assert_eq!(
        (ran.code, &ran.json()["replaced"][0]["undeleted"]),
        (3, &json!(true))
    );
}

#[test]
fn sound_parents_of_a_damaged_child_are_named_and_what_was_compacted_from_damaged_blocks_is_not() {
    let bench = Bench::new();
    bench.lay(PARENTS);
    assert_eq!(bench.backup(&[]).code, 0);
    bench.lay(CHILD);
    assert_eq!(bench.backup(&[]).code, 0);
    let damage = |which: usize| {
        bench.rewrite(|number, archive| {
            for block in archive.blocks.iter_mut() {
                block.findings = FindingCounts::default();
                if number == which {
                    block.findings.by_severity.insert("error".into(), 1);
                }
            }
        });
    };
    damage(1);
    let ran = bench.restore("latest", &["--since", "2023-11-14"]);
    assert_eq!((ran.code, bench.back().len()), (3, 3), "{}", ran.err);
    let said = format!("{CHILD_ULID} was damaged when it was archived: its samples come back in");
    assert!(ran.err.contains(&said), "{}", ran.err);
    damage(0);
    let ran = bench.restore("latest", &["--since", "2023-11-14"]);
    assert_eq!((ran.code, bench.back().len()), (0, 1), "{}", ran.err);
    assert!(!ran.err.contains("damaged"), "{}", ran.err);
}

#[test]
fn a_block_whose_samples_are_there_in_others_is_not_missed() {
    let bench = Bench::new();
    bench.lay(PARENTS);
    assert_eq!(bench.backup(&[]).code, 0);
    copy(&fixture(CHILD), &bench.path().join("back"));
    let ran = bench.add("latest", &["--add-missing"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err, "");
    assert_eq!(bench.back().len(), 1);
}

#[test]
fn blocks_of_a_server_that_was_archived_under_another_name_stand_in_and_the_name_is_said() {
    let bench = Bench::new();
    bench.lay(PARENTS);
    assert_eq!(bench.backup(&["--source", "before"]).code, 0);
    bench.lay(CHILD);
    let ran = bench.backup(&["--source", "after", "--codec", "portable"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    bench.lose(&format!("blocks/{CHILD_ULID}"));
    for way in [&[][..], &["--since", "2023-11-14"]] {
        let ran = bench.restore("latest", &[&["--source", "after"], way].concat());
        let code = if way.is_empty() { 3 } else { 0 };
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains("archived as before"), "{}", ran.err);
        assert_eq!(tree(&bench.path().join("back")), tree(&fixture(PARENTS)));
    }
}

#[test]
fn a_dump_of_blocks_whose_deleted_samples_have_come_back_ends_with_3() {
    let bench = Bench::new();
    lay(&bench.data(), 1, &[1], &content(0..4, 0, 100, constant));
    let dir = bench.data().join(ulid(1).to_string());
    delete(&dir, 1, START, START + STEP * 9);
    assert_eq!(bench.backup(&["--codec", "portable"]).code, 0);
    bench.empty();
    // As `clean_tombstones` writes it.
    lay(&bench.data(), 2, &[2], &content(0..4, 0, 100, constant));
    let path = bench.data().join(ulid(2).to_string()).join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let parent = json!({
        "ulid": ulid(1).to_string(),
        "minTime": meta["minTime"],
        "maxTime": meta["maxTime"],
    });
    meta["compaction"]["parents"] = json!([parent]);
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
    assert_ne!(bench.backup(&["--codec", "portable"]).code, 1);
    bench.lose(&format!("blocks/{}", ulid(2)));
    for command in ["dump", "analyze"] {
        let ran = bench.run(&[command, "--archive", "latest", "--repo", "repo"]);
        assert!(ran.err.contains("deleted"), "{command}: {}", ran.err);
        assert_eq!(ran.code, 3, "{command}: {}", ran.err);
    }
}

#[test]
fn a_lost_log_comes_back_from_the_log_of_a_later_archive_which_begins_as_it_did() {
    let bench = Bench::new();
    copy(&fixture("blocks/tiny"), &bench.data());
    copy(&fixture("wal/wal-1/wal"), &bench.data().join("wal"));
    let segment = bench.data().join("wal/00000000");
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..2 * 32_768]).unwrap();
    assert_ne!(bench.backup(&[]).code, 1);
    let first = tree(&bench.data());
    let store = LocalStore::new(bench.path().join("repo"));
    let code = bench.restore(&bench.first(), &[]).code;
    let log = |at: usize| {
        let archives = bench.archives();
        let mut objects = archives[at].wal.as_ref().unwrap().objects();
        objects.next().unwrap().name.clone()
    };
    let own = log(0);
    let lost = store.get(&own, u64::MAX).unwrap();
    store.delete(&own).unwrap();
    fs::write(&segment, &whole).unwrap();
    // It is stored whole, and what was lost beside it.
    assert_ne!(bench.backup(&[]).code, 1);
    let later = log(1);
    fs::remove_dir_all(bench.path().join("repo/mended")).unwrap();
    let ran = bench.restore(&bench.first(), &[]);
    assert_eq!(ran.code, code, "{}", ran.err);
    assert!(
        ran.err
            .contains(&format!("wal comes back whole, from {later}")),
        "{}",
        ran.err
    );
    assert!(tree(&bench.path().join("back")) == first);
    // An earlier one does not hold what came later.
    fs::write(bench.path().join("repo").join(own.as_str()), &lost).unwrap();
    store.delete(&later).unwrap();
    let ran = bench.restore("latest", &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("wal could not be restored"), "{}", ran.err);
}

#[test]
fn an_exported_block_that_was_damaged_when_it_was_archived_is_named_and_the_sound_copy_written() {
    let bench = damaged_deletions("dense");
    let block = ulid(1).to_string();
    let first = exported(&bench, &[&block, "--archive", &bench.first()]);
    assert_eq!(first.0, 0, "{}", first.1);
    let (code, err, content) = exported(&bench, &[&block]);
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("a sound copy") && err.contains("had been deleted"),
        "{err}"
    );
    assert!(content == first.2);
    let (code, err, content) = exported(&bench, &[&block, "--as-archived"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("is written as it was: tombstones"), "{err}");
    assert!(content != first.2 && content.len() == first.2.len());
}
