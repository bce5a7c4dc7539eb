//! Archives that survive compaction, as a user meets them: what was archived before is not stored
//! again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::backup_command::narthex;
use crate::fixtures::{fixture, tree};

/// Three level-1 blocks become one of level 2, of which two were seen.
const NIGHTS: [&str; 2] = ["night-1", "night-2"];
const SPLICED: &str = "01M80FP6SVCTE08DH9VF94DFK4";
const PARENT: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";

fn copy(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A directory with a repository `repo`, in which data directories are archived under one name.
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

    /// Makes the data directory hold these fixtures, and archives it. Gives the manifest.
    fn archive(&self, fixtures: &[&str], more: &[&str]) -> Value {
        let data = self.path().join("data");
        let _ = fs::remove_dir_all(&data);
        for name in fixtures {
            let from = fixture(name);
            if from.join("meta.json").exists() {
                let meta: Value =
                    serde_json::from_slice(&fs::read(from.join("meta.json")).unwrap()).unwrap();
                copy(&from, &data.join(meta["ulid"].as_str().unwrap()));
            } else {
                copy(&from, &data);
            }
        }
        let source = ["--source", "s"];
        let named: &[&str] = if more.contains(&"--source") {
            &[]
        } else {
            &source
        };
        let backup = ["backup", "data", "--repo", "repo", "--host", "h"];
        let ran = narthex(self.path(), &[&backup[..], named, more].concat());
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
        self.manifests().pop().unwrap()
    }

    fn manifests(&self) -> Vec<Value> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path().join("repo/archives"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        // By the time within the manifest: names are cut to the second.
        paths.sort();
        let mut manifests: Vec<Value> = paths
            .iter()
            .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
            .collect();
        manifests.sort_by_key(|manifest| manifest["time"].as_str().unwrap().to_owned());
        manifests
    }

    fn files(&self, of: &str) -> BTreeMap<String, Vec<u8>> {
        tree(&self.path().join(of))
    }

    fn bytes(&self) -> usize {
        ["repo/packs", "repo/blocks"]
            .iter()
            .flat_map(|of| self.files(of))
            .map(|(_, content)| content.len())
            .sum()
    }

    /// Restores an archive, and compares its blocks with `fixtures`.
    fn assert_restores(&self, id: &str, fixtures: &[&str]) {
        let target = format!("back-{id}");
        let _ = fs::remove_dir_all(self.path().join(&target));
        let ran = narthex(
            self.path(),
            &["restore", id, "--repo", "repo", "--target", &target],
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        let back = self.files(&target);
        let wanted: BTreeMap<_, _> = fixtures
            .iter()
            .flat_map(|name| tree(&fixture(name)))
            .collect();
        let mut blocks = 0;
        for (name, content) in &back {
            if name.ends_with("/index") {
                blocks += 1;
            }
            if let Some((_, within)) = name.split_once('/').filter(|(ulid, _)| ulid.len() == 26) {
                let found = wanted.get(name).or_else(|| wanted.get(within));
                assert!(found == Some(content), "{name}");
            }
        }
        assert!(blocks > 0);
    }
}

fn id(manifest: &Value) -> &str {
    manifest["id"].as_str().unwrap()
}

fn stored<'m>(manifest: &'m Value, ulid: &str) -> &'m Value {
    let blocks = manifest["blocks"].as_array().unwrap();
    blocks.iter().find(|block| block["ulid"] == ulid).unwrap()
}

fn packs(block: &Value) -> Vec<String> {
    let packs = block["packs"].as_array().unwrap().iter();
    packs
        .map(|pack| pack["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_compacted_block_refers_to_what_was_archived_and_stores_the_rest() {
    let bench = Bench::new();
    let first = bench.archive(&NIGHTS[..1], &[]);
    let second = bench.archive(&NIGHTS[1..], &[]);
    let block = stored(&second, SPLICED);
    let packs = packs(block);
    assert_eq!(
        packs.len(),
        3,
        "two that were archived the night before, and its own"
    );
    let own = packs.iter().find(|name| name.contains(SPLICED)).unwrap();
    let own = fs::metadata(bench.path().join("repo").join(own))
        .unwrap()
        .len();
    let others = block["packs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pack| pack["bytes"].as_u64().unwrap());
    assert!(
        own * 2 < others.sum::<u64>(),
        "{own} bytes for a third of the samples"
    );
    bench.assert_restores(id(&first), &NIGHTS[..1]);
    bench.assert_restores(id(&second), &NIGHTS[1..]);
    let check = narthex(bench.path(), &["check", "--repo", "repo", "--read-data"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let stats = narthex(bench.path(), &["stats", "--repo", "repo", "--json"]);
    assert_eq!(stats.code, 0, "{}", stats.err);
}

#[test]
fn compactions_and_deletions_of_known_blocks_add_less_than_a_percent() {
    for child in ["blocks/child-of-three", "blocks/child-of-tombstoned"] {
        let bench = Bench::new();
        bench.archive(&["blocks/parents-three"], &["--no-wal"]);
        let before = bench.bytes();
        let manifest = bench.archive(&[child], &["--no-wal"]);
        let added = bench.bytes() - before;
        let raw: usize = bench.files("data").values().map(Vec::len).sum();
        assert!(added * 100 < raw, "{child}: {added} of {raw}");
        bench.assert_restores(id(&manifest), &[child]);
    }
}

#[test]
fn a_cache_that_is_gone_stale_or_damaged_changes_nothing_in_the_repository() {
    let archive = |spoil: &dyn Fn(&Path), more: &[&str]| {
        let bench = Bench::new();
        bench.archive(&NIGHTS[..1], &["--no-wal"]);
        spoil(&bench.path().join("cache"));
        let second = bench.archive(&NIGHTS[1..], &[&["--no-wal"], more].concat());
        bench.assert_restores(id(&second), &NIGHTS[1..]);
        let mut files = bench.files("repo/packs");
        files.extend(bench.files("repo/blocks"));
        files
    };
    let entries = |cache: &Path| {
        let repository = fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
        let mut entries: Vec<_> = fs::read_dir(repository)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        assert!(entries.len() > 1);
        entries
    };
    let sound = archive(&|cache| drop(entries(cache)), &[]);
    assert_eq!(
        sound,
        archive(&|cache| fs::remove_dir_all(cache).unwrap(), &[])
    );
    assert_eq!(sound, archive(&|_| (), &["--no-cache"]));
    let swapped = |cache: &Path| {
        let entries = entries(cache);
        let (first, second) = (
            fs::read(&entries[0]).unwrap(),
            fs::read(&entries[1]).unwrap(),
        );
        fs::write(&entries[0], second).unwrap();
        fs::write(&entries[1], first).unwrap();
    };
    assert_eq!(sound, archive(&swapped, &[]));
    let flipped = |cache: &Path| {
        for path in entries(cache) {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    };
    assert_eq!(sound, archive(&flipped, &[]));
    let cut = |cache: &Path| {
        for path in entries(cache) {
            fs::write(path, b"short").unwrap();
        }
    };
    assert_eq!(sound, archive(&cut, &[]));
}

#[test]
fn a_cache_that_cannot_be_written_is_no_obstacle() {
    let bench = Bench::new();
    fs::write(bench.path().join("file"), "in the way").unwrap();
    let cache = ["--no-wal", "--cache-dir", "file/cache"];
    bench.archive(&NIGHTS[..1], &cache);
    let second = bench.archive(&NIGHTS[1..], &cache);
    assert_eq!(packs(stored(&second, SPLICED)).len(), 3);
    bench.assert_restores(id(&second), &NIGHTS[1..]);
}

/// Flips a bit in the middle of each pack whose name contains `part`.
fn damage_packs(bench: &Bench, part: &str) {
    let names = bench.files("repo/packs").into_keys();
    for name in names.filter(|name| name.contains(part)) {
        let path = bench.path().join("repo/packs").join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        #[expect(
            clippy::permissions_set_readonly_false,
            reason = "objects are read-only"
        )]
        permissions.set_readonly(false);
        fs::set_permissions(&path, permissions).unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn damaged_packs_are_not_relied_on_whether_the_cache_knows_them_or_not() {
    // What is sound is used all the same. With a cache the damage shows when the block is rebuilt,
    // and it is planned again without the pack that is damaged.
    let cases = [
        ("", &["--no-cache"][..], 1),
        (PARENT, &["--no-cache"], 2),
        ("", &[], 1),
        (PARENT, &[], 2),
    ];
    for (part, more, packs_left) in cases {
        let bench = Bench::new();
        bench.archive(&NIGHTS[..1], &["--no-wal"]);
        damage_packs(&bench, part);
        let second = bench.archive(&NIGHTS[1..], &[&["--no-wal"], more].concat());
        let packs = packs(stored(&second, SPLICED));
        assert_eq!(packs.len(), packs_left, "{part} {more:?}");
        for pack in packs {
            assert!(!part.is_empty() || pack.contains(SPLICED));
        }
        let blocks = ["--block", SPLICED];
        let restore = ["restore", id(&second), "--repo", "repo", "--target", "back"];
        let ran = narthex(bench.path(), &[&restore[..], &blocks].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let back = bench.files("back");
        assert!(back.len() >= 4);
        for (name, content) in tree(&fixture(NIGHTS[1])) {
            assert!(
                !name.starts_with(SPLICED) || back[&name] == content,
                "{name}"
            );
        }
    }
}

#[test]
fn a_copy_that_went_on_living_shares_the_samples_of_both_lives() {
    let bench = Bench::new();
    bench.archive(&NIGHTS[..1], &["--no-wal"]);
    let before = bench.bytes();
    // The same directory a night later, under another name.
    let second = bench.archive(&NIGHTS[1..], &["--no-wal", "--source", "copy"]);
    assert_eq!(packs(stored(&second, SPLICED)).len(), 3);
    let apart = Bench::new();
    apart.archive(&NIGHTS[1..], &["--no-wal"]);
    assert!(bench.bytes() - before < apart.bytes() * 3 / 4);
    bench.assert_restores(id(&second), &NIGHTS[1..]);
}

#[test]
fn a_disk_that_has_no_room_for_what_is_to_be_remembered_costs_bytes_but_no_backup() {
    let bench = Bench::new();
    let nowhere = ["--no-wal", "--cache-dir", "file/cache"];
    fs::write(bench.path().join("file"), "in the way").unwrap();
    bench.archive(&NIGHTS[..1], &nowhere);
    fs::remove_dir_all(bench.path().join("data")).unwrap();
    copy(&fixture(NIGHTS[1]), &bench.path().join("data"));
    let backup = [
        "backup", "data", "--repo", "repo", "--host", "h", "--source", "s",
    ];
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args([&backup[..], &nowhere].concat())
        .env("TMPDIR", "file/none")
        .env("NARTHEX_STATE_DIR", "state")
        .current_dir(bench.path())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{err}");
    let second = bench.manifests().pop().unwrap();
    assert_eq!(packs(stored(&second, SPLICED)).len(), 1, "packed as new");
    bench.assert_restores(id(&second), &NIGHTS[1..]);
}
