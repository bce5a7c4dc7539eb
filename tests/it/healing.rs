//! Damage to every stored object in every way, and what a backup, a check, a repair and a prune
//! make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex::dense::Cache;
use narthex::progress::Silent;
use narthex::repair::repair;
use narthex::repository::check::{CheckDepth, check};
use narthex::repository::copies::Copies;
use narthex::repository::{Digest, ObjectCodec, Repository, trash};
use narthex::restore::{Target, TargetContent, Wanted, apply, plan};
use narthex::store::faulty::{FaultyStore, StoreFaults};
use narthex::store::{LocalStore, ObjectName, Store as _};
use serde_json::Value;

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};

const PARENTS: &str = "blocks/parents-three";
const CHILD: &str = "blocks/child-of-three";

/// Ways in which an object goes bad: a bit of its head, middle or tail is flipped, …, or it is
/// swapped with another of its kind.
const WAYS: [&str; 8] = [
    "flip head",
    "flip",
    "flip tail",
    "truncate",
    "extend",
    "delete",
    "empty",
    "swap",
];

/// A directory with a repository `repo`, and data that is archived into it.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// The blocks of three parents in the first archive, their child in the second and in the data
    /// directory.
    fn spliced(codec: &str) -> Self {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        for fixture in [PARENTS, CHILD] {
            bench.lay(fixture);
            let ran = bench.backup(codec);
            assert_eq!(ran.code, 0, "{}", ran.err);
        }
        bench
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn lay(&self, name: &str) {
        let data = self.path().join("data");
        let _ = fs::remove_dir_all(&data);
        copy(&fixture(name), &data);
    }

    fn run(&self, args: &[&str]) -> Ran {
        narthex(self.path(), args)
    }

    fn backup(&self, codec: &str) -> Ran {
        let args = [
            "backup", "data", "--repo", "repo", "--source", "s", "--codec", codec,
        ];
        self.run(&args)
    }

    fn check(&self) -> (i32, Vec<Value>) {
        let ran = self.run(&["check", "--repo", "repo", "--read-data", "--json"]);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        (ran.code, json["findings"].as_array().unwrap().clone())
    }

    /// A copy of this, whose repository may be spoiled.
    fn twin(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.path(), dir.path());
        Bench { dir }
    }

    /// Names of blocks' and packs' objects.
    fn objects(&self) -> Vec<String> {
        let files = tree(&self.path().join("repo"));
        let names = files.into_keys();
        names
            .filter(|name| name.starts_with("blocks/") || name.starts_with("packs/"))
            .collect()
    }

    fn file(&self, object: &str) -> PathBuf {
        self.path().join("repo").join(object)
    }

    /// Spoils an object; whether there is such a way.
    fn spoil(&self, object: &str, way: &str) -> bool {
        let path = self.file(object);
        let mut content = fs::read(&path).unwrap();
        match way {
            "flip" | "flip head" | "flip group" | "flip tail" => {
                let place = match way {
                    "flip group" => content.len() * 4 / 5,
                    "flip" => content.len() / 2,
                    "flip head" => content.len() / 50,
                    _ => content.len() - 1 - content.len() / 50,
                };
                content[place] ^= 4;
            }
            "truncate" => content.truncate(content.len() * 2 / 3),
            "extend" => content.extend(b"more"),
            "empty" => content.clear(),
            "delete" => {
                fs::remove_file(path).unwrap();
                return true;
            }
            _ => {
                let room = object.split('/').next().unwrap();
                let objects = self.objects();
                let mut others = objects.iter().filter(|other| *other != object);
                let Some(other) = others.find(|other| other.starts_with(room)) else {
                    return false;
                };
                let other = self.file(other);
                fs::write(&path, fs::read(&other).unwrap()).unwrap();
                fs::write(other, content).unwrap();
                return true;
            }
        }
        fs::write(path, content).unwrap();
        true
    }

    /// Ids of archives, oldest first.
    fn archives(&self) -> Vec<String> {
        let ran = self.run(&["archives", "--repo", "repo", "--json"]);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        let archives = json["archives"].as_array().or(json.as_array()).unwrap();
        let ids = archives.iter();
        ids.map(|archive| archive["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Restores an archive, and gives the exit code and what came back.
    fn restore(&self, id: &str, more: &[&str]) -> (Ran, BTreeMap<String, Vec<u8>>) {
        let back = self.path().join("back");
        let _ = fs::remove_dir_all(&back);
        let restore = ["restore", id, "--repo", "repo", "--target", "back"];
        let ran = self.run(&[&restore[..], more].concat());
        let files = if back.exists() {
            tree(&back)
        } else {
            BTreeMap::new()
        };
        (ran, files)
    }

    /// The samples of the blocks in a directory.
    fn samples(&self, dir: &Path) -> BTreeSet<String> {
        if !dir.exists() {
            return BTreeSet::new();
        }
        let ran = self.run(&["dump", dir.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn kinds(findings: &[Value]) -> Vec<&str> {
    let findings = findings.iter();
    findings
        .map(|finding| {
            finding["finding"]
                .as_str()
                .or(finding["kind"].as_str())
                .unwrap()
        })
        .collect()
}

impl Bench {
    /// Restores all archives: what comes back are `files`, or samples of `all`, of which none is
    /// missing but those that nothing else holds.
    fn assert_what_is_left_comes_back(
        &self,
        archives: &[String],
        files: &[BTreeMap<String, Vec<u8>>],
        all: &BTreeSet<String>,
        own: Option<&BTreeSet<String>>,
        what: &str,
    ) {
        for (id, files) in archives.iter().zip(files) {
            let (ran, back) = self.restore(id, &["--salvage"]);
            if ran.code == 0 {
                assert!(back == *files, "{what}: {}", ran.err);
                continue;
            }
            // Recipes follow from packs.
            assert!(
                ran.code == 3 && !what.contains("blocks/"),
                "{what}: {}",
                ran.err
            );
            let found = self.samples(&self.path().join("back"));
            assert!(found.is_subset(all), "{what}");
            let lost: BTreeSet<_> = all.difference(&found).cloned().collect();
            let is_own = own.is_some_and(|own| lost.is_subset(own));
            assert!(
                lost.is_empty() || is_own,
                "{what}: {} lost: {}",
                lost.len(),
                ran.err
            );
        }
    }

    /// After a check and a backup all archives come back as `files`, and nothing is left to
    /// complain about.
    fn assert_heals(
        &self,
        codec: &str,
        archives: &[String],
        files: &[BTreeMap<String, Vec<u8>>],
        object: &str,
        way: &str,
    ) {
        let what = format!("{way} {object}");
        // A flip may be in bits that say nothing; it is named all the same.
        let (code, findings) = self.check();
        assert!(code == 3 || way.starts_with("flip"), "{what}");
        if code == 0 {
            for (id, files) in archives.iter().zip(files) {
                let (ran, back) = self.restore(id, &[]);
                assert_eq!(ran.code, 0, "{what}: {}", ran.err);
                assert!(back == *files, "{what}: {}", ran.err);
            }
        }
        assert!(
            findings.iter().any(|finding| finding["object"] == *object),
            "{what}"
        );
        let ran = self.backup(codec);
        assert_eq!(ran.code, 0, "{what}: {}", ran.err);
        let (code, findings) = self.check();
        assert_eq!(code, 0, "{what}: {findings:#?}");
        let kinds = kinds(&findings);
        let notes = ["object-replaced", "object-unreferenced"];
        assert!(
            kinds.iter().all(|kind| notes.contains(kind)),
            "{what}: {kinds:?}"
        );
        for (id, files) in archives.iter().zip(files) {
            let (ran, back) = self.restore(id, &[]);
            assert_eq!(ran.code, 0, "{what}: {}", ran.err);
            assert!(back == *files, "{what}: {}", ran.err);
        }
    }
}

/// What each archive has to come back as, the oldest first.
const ARCHIVED: [&str; 2] = [PARENTS, CHILD];

/// Whatever happens to an object, what any other holds comes back; and after the next backup every
/// archive comes back whole, also that of blocks which only live on in their child.
fn every_object_heals(codec: &str) {
    let bench = Bench::spliced(codec);
    let archives = bench.archives();
    let files = ARCHIVED.map(|name| tree(&fixture(name)));
    let all = bench.samples(&fixture(CHILD));
    let parents: BTreeMap<String, BTreeSet<String>> = files[0]
        .keys()
        .filter_map(|name| name.strip_suffix("/index"))
        .map(|ulid| (ulid.to_owned(), bench.samples(&fixture(PARENTS).join(ulid))))
        .collect();
    let mut spoiled = 0;
    std::thread::scope(|scope| {
        let threads: Vec<_> = bench
            .objects()
            .into_iter()
            .map(|object| {
                let (bench, archives, files, all, parents) =
                    (&bench, &archives, &files, &all, &parents);
                scope.spawn(move || {
                    // What no other object holds.
                    let own = object.strip_prefix("packs/").and_then(|pack| {
                        let (ulid, _) = pack.split_once('/')?;
                        parents.get(ulid)
                    });
                    let mut spoiled = 0;
                    for way in WAYS {
                        let twin = bench.twin();
                        if twin.spoil(&object, way) {
                            spoiled += 1;
                            let what = format!("{way} {object}");
                            twin.assert_what_is_left_comes_back(archives, files, all, own, &what);
                            twin.assert_heals(codec, archives, files, &object, way);
                        }
                    }
                    spoiled
                })
            })
            .collect();
        for thread in threads {
            spoiled += thread.join().unwrap();
        }
    });
    assert!(spoiled >= 12, "{spoiled}");
}

#[test]
fn whatever_happens_to_an_object_the_next_backup_of_the_live_directory_makes_every_archive_whole_again()
 {
    every_object_heals("dense");
}

/// The same over the nights of a real server: directories in `NARTHEX_SWEEP_NIGHTS`, which are
/// archived in the order of their names. It takes hours.
#[test]
#[ignore = "takes hours, and needs nights of a real server in NARTHEX_SWEEP_NIGHTS"]
fn whatever_happens_to_an_object_of_many_nights_the_next_backup_mends_it() {
    let nights = std::env::var_os("NARTHEX_SWEEP_NIGHTS");
    let nights = nights.expect("NARTHEX_SWEEP_NIGHTS is not set");
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    let entries = fs::read_dir(nights).unwrap();
    let mut nights: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    nights.retain(|night| night.is_dir());
    nights.sort();
    let backup = |bench: &Bench, night: &Path| {
        let night = night.to_str().unwrap();
        bench.run(&[
            "backup", night, "--repo", "repo", "--source", "s", "--no-wal",
        ])
    };
    for night in &nights {
        assert_eq!(backup(&bench, night).code, 0);
    }
    let archives = bench.archives();
    for object in bench.objects() {
        for way in WAYS {
            let twin = bench.twin();
            if !twin.spoil(&object, way) {
                continue;
            }
            let what = format!("{way} {object}");
            for id in &archives {
                let (ran, _) = twin.restore(id, &["--salvage"]);
                assert!([0, 3].contains(&ran.code), "{what}: {}", ran.err);
            }
            twin.check();
            let ran = backup(&twin, nights.last().unwrap());
            assert_eq!(ran.code, 0, "{what}: {}", ran.err);
            let (code, findings) = twin.check();
            assert_eq!(code, 0, "{what}: {findings:#?}");
            for id in &archives {
                let (ran, _) = twin.restore(id, &[]);
                assert_eq!(ran.code, 0, "{what}: {}", ran.err);
            }
        }
    }
}

#[test]
fn a_block_whose_packs_are_damaged_is_rebuilt_from_those_of_its_child() {
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    bench.lay(PARENTS);
    assert_eq!(bench.backup("dense").code, 0);
    // Labels and symbols stand in front.
    let packs = bench.objects().into_iter();
    for pack in packs.filter(|name| name.starts_with("packs/")) {
        assert!(bench.spoil(&pack, "flip group"));
    }
    // The child has a pack of its own then; what the backup mends is taken away again.
    bench.lay(CHILD);
    assert_eq!(bench.backup("dense").code, 0);
    let _ = fs::remove_dir_all(bench.path().join("repo/mended"));
    let (ran, back) = bench.restore(&bench.archives()[0], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(back == tree(&fixture(PARENTS)), "{}", ran.err);
    assert!(
        ran.err.contains("packs/01M7ZSW0E54S2QBYR3D192CSMG"),
        "{}",
        ran.err
    );
}

#[test]
fn whatever_happens_to_a_replacement_it_is_replaced_in_turn() {
    for (way, room) in [
        ("swap", "packs/"),
        ("flip", "packs/"),
        ("delete", "blocks/"),
    ] {
        let bench = Bench::spliced("dense");
        let archives = bench.archives();
        let files = ARCHIVED.map(|name| tree(&fixture(name)));
        let mut objects = bench.objects().into_iter();
        let object = objects.find(|name| name.starts_with(room)).unwrap();
        assert!(bench.spoil(&object, way));
        bench.assert_heals("dense", &archives, &files, &object, way);
        let mended = tree(&bench.path().join("repo/mended")).into_keys();
        let mended: Vec<_> = mended.map(|name| format!("mended/{name}")).collect();
        assert!(!mended.is_empty());
        for replacement in mended {
            let twin = bench.twin();
            assert!(twin.spoil(&replacement, "flip"));
            let what = format!("{way} {object}, then {replacement}");
            twin.check();
            let ran = twin.backup("dense");
            assert_eq!(ran.code, 0, "{what}: {}", ran.err);
            let (code, findings) = twin.check();
            assert_eq!(code, 0, "{what}: {findings:#?}");
            for (id, files) in archives.iter().zip(&files) {
                let (ran, back) = twin.restore(id, &[]);
                assert_eq!(ran.code, 0, "{what}: {}", ran.err);
                assert!(back == *files, "{what}: {}", ran.err);
            }
        }
    }
}

#[test]
fn what_is_marked_as_damaged_stays_a_problem_for_a_check_that_does_not_read_it() {
    let bench = Bench::spliced("dense");
    let mut objects = bench.objects().into_iter();
    let pack = objects.find(|name| name.starts_with("packs/")).unwrap();
    assert!(bench.spoil(&pack, "flip"));
    let plain = || {
        let ran = bench.run(&["check", "--repo", "repo", "--json"]);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        (ran.code, json["findings"].as_array().unwrap().clone())
    };
    assert_eq!(plain(), (0, Vec::new()), "nobody knows yet");
    bench.check();
    let (code, findings) = plain();
    assert_eq!((code, findings[0]["object"].as_str()), (3, Some(&*pack)));
    assert_eq!(kinds(&findings), ["object-damaged"]);
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (code, findings) = plain();
    assert_eq!((code, kinds(&findings)), (0, vec!["object-replaced"]));
}

#[test]
fn what_was_mended_outlives_the_archives_of_the_blocks_that_mend_it() {
    let bench = Bench::spliced("dense");
    let parent = bench.archives().remove(0);
    let packs = bench.objects().into_iter();
    let packs: Vec<_> = packs.filter(|name| name.starts_with("packs/")).collect();
    for pack in &packs {
        assert!(bench.spoil(pack, "flip"));
    }
    bench.check();
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = bench.run(&["stats", "--repo", "repo", "--json"]);
    let stats: Value = serde_json::from_str(&ran.out).unwrap();
    let codecs = stats["codecs"].as_array().unwrap();
    let mended = codecs.iter().find(|codec| codec["codec"] == "mended");
    assert!(mended.unwrap()["stored_bytes"].as_u64().unwrap() > 0);
    assert_eq!(ran.code, 3, "three packs cannot be read: {}", ran.err);
    // Only the first archive stays, whose packs are all damaged.
    for id in bench.archives().into_iter().filter(|id| *id != parent) {
        let ran = bench.run(&["forget", &id, "--repo", "repo"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    for _ in 0..2 {
        let ran = bench.run(&["prune", "--repo", "repo", "--grace", "0s"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let (code, findings) = bench.check();
    assert_eq!(code, 0, "{findings:#?}");
    assert!(kinds(&findings).contains(&"object-replaced"));
}

#[test]
fn a_recipe_that_stands_in_for_a_portable_object_keeps_its_packs() {
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    bench.lay(PARENTS);
    assert_eq!(bench.backup("portable").code, 0);
    let parent = bench.archives().remove(0);
    let objects = bench.objects();
    let (ran, whole) = bench.restore(&parent, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    bench.lay(CHILD);
    assert_eq!(bench.backup("dense").code, 0);
    // Of this one the metadata can be guessed, too.
    let first = objects.iter().min().unwrap();
    assert!(bench.spoil(first, "flip"));
    bench.check();
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("is mended"), "{}", ran.err);
    for id in bench.archives().into_iter().filter(|id| *id != parent) {
        let ran = bench.run(&["forget", &id, "--repo", "repo"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    for _ in 0..2 {
        let ran = bench.run(&["prune", "--repo", "repo", "--grace", "0s"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let left = bench.objects();
    assert!(
        left.iter().any(|name| name.starts_with("packs/")),
        "{left:?}"
    );
    let (code, findings) = bench.check();
    assert_eq!(code, 0, "{findings:#?}");
    let (ran, files) = bench.restore(&parent, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(files == whole, "other files come back");
}

#[test]
fn what_nothing_holds_any_more_stays_a_named_problem() {
    let bench = Bench::spliced("dense");
    let packs = bench.objects().into_iter();
    let pack = packs.rev().find(|name| name.starts_with("packs/")).unwrap();
    assert!(bench.spoil(&pack, "flip"));
    // The server has lost its data.
    bench.lay("night-1");
    let (code, findings) = bench.check();
    assert_eq!(code, 3);
    let ran = narthex(
        bench.path(),
        &[
            "backup", "data", "--repo", "repo", "--source", "other", "--no-wal",
        ],
    );
    assert!([0, 3].contains(&ran.code), "{}", ran.err);
    let (code, after) = bench.check();
    assert_eq!(code, 3);
    let lost = after
        .iter()
        .find(|finding| finding["object"] == *pack)
        .unwrap();
    assert_eq!(lost["archives"], findings[0]["archives"]);
    assert!(!lost["blocks"].as_array().unwrap().is_empty());
    assert!(!lost["lost_from"].is_null() && !lost["files"].as_array().unwrap().is_empty());
}

#[test]
fn marks_of_damage_are_left_on_request_only_and_go_when_the_object_is_sound_again() {
    let bench = Bench::spliced("dense");
    let object = bench.objects().remove(0);
    let before = fs::read(bench.file(&object)).unwrap();
    assert!(bench.spoil(&object, "flip"));
    let marks = || tree(&bench.path().join("repo/damage")).len();
    let ran = bench.run(&["check", "--repo", "repo", "--read-data", "--no-mark"]);
    assert_eq!(
        (ran.code, bench.path().join("repo/damage").exists()),
        (3, false)
    );
    bench.check();
    assert_eq!(marks(), 1);
    bench.check();
    assert_eq!(marks(), 1, "one is enough");
    fs::write(bench.file(&object), before).unwrap();
    let (code, _) = bench.check();
    assert_eq!((code, marks()), (0, 0));
}

#[test]
fn a_repository_goes_on_without_its_descriptor_and_repair_writes_it_anew() {
    for way in ["flip", "delete"] {
        let bench = Bench::spliced("dense");
        let before = fs::read(bench.file("narthex.json")).unwrap();
        assert!(bench.spoil("narthex.json", way));
        let ran = bench.run(&["archives", "--repo", "repo"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("narthex repair"), "{}", ran.err);
        let (code, _) = bench.check();
        assert_eq!(code, 3);
        let ran = bench.run(&["repair", "--repo", "repo", "--dry-run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(
            bench
                .run(&["archives", "--repo", "repo"])
                .err
                .contains("narthex repair")
        );
        let ran = bench.run(&["repair", "--repo", "repo"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let (code, findings) = bench.check();
        assert_eq!(code, 0, "{findings:#?}");
        let id = |content: &[u8]| {
            let json: Value = serde_json::from_slice(content).unwrap();
            json["id"].as_str().unwrap().to_owned()
        };
        let again = if way == "delete" {
            fs::read(bench.file("narthex.json")).unwrap()
        } else {
            let mended = tree(&bench.path().join("repo/mended"));
            mended.into_values().next().unwrap()
        };
        assert_eq!(
            id(&again),
            id(&before),
            "the manifests say which repository it is"
        );
    }
}

#[test]
fn an_archive_is_rebuilt_from_recipes_and_packs_when_its_manifest_is_lost() {
    for orphans in [false, true] {
        let bench = Bench::spliced("dense");
        for path in tree(&bench.path().join("repo/archives")).into_keys() {
            let path = bench.path().join("repo/archives").join(path);
            if orphans {
                fs::remove_file(path).unwrap();
            } else {
                fs::write(path, b"{}").unwrap();
            }
        }
        let more: &[&str] = if orphans { &["--orphans"] } else { &[] };
        let ran = bench.run(&[&["repair", "--repo", "repo"], more].concat());
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
        let id = bench.archives().pop().unwrap();
        let target = ["restore", &id, "--repo", "repo", "--target", "back"];
        let ran = bench.run(&target);
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
        let back = tree(&bench.path().join("back"));
        for (name, content) in tree(&fixture(CHILD)) {
            assert!(back.get(&name) == Some(&content), "{name}");
        }
    }
}

impl Bench {
    /// Flips a bit of the newest manifest, or of every one.
    fn spoil_manifests(&self, all: bool) -> Vec<String> {
        let mut names: Vec<_> = tree(&self.path().join("repo/archives"))
            .into_keys()
            .filter(|name| !name.starts_with("prune-needs"))
            .collect();
        if !all {
            names.drain(..names.len() - 1);
        }
        for name in &names {
            assert!(self.spoil(&format!("archives/{name}"), "flip"));
        }
        names
    }

    fn repair(&self) -> (Ran, Vec<Value>) {
        let ran = self.run(&["repair", "--repo", "repo", "--json"]);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        (ran, json["steps"].as_array().unwrap().clone())
    }
}

#[test]
fn blocks_that_were_stored_anew_are_found_when_manifests_are_lost() {
    let bench = Bench::spliced("dense");
    let mut objects = bench.objects().into_iter();
    let pack = objects.rfind(|name| name.starts_with("packs/")).unwrap();
    assert!(bench.spoil(&pack, "flip"));
    bench.check();
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    bench.spoil_manifests(true);
    let (ran, steps) = bench.repair();
    assert_eq!(ran.code, 0, "{steps:#?}");
    let id = bench.archives().pop().unwrap();
    let (ran, back) = bench.restore(&id, &[]);
    // It is never taken for a whole archive.
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("reconstructed"), "{}", ran.err);
    for name in ARCHIVED {
        for (name, content) in tree(&fixture(name)) {
            assert!(back.get(&name) == Some(&content), "{name}");
        }
    }
}

#[test]
fn a_reconstructed_archive_has_the_blocks_of_the_one_before_and_repair_knows_it_the_next_time() {
    let bench = Bench::spliced("dense");
    let lost = bench.spoil_manifests(false).remove(0);
    let (ran, steps) = bench.repair();
    assert_eq!((ran.code, steps.len()), (0, 1), "{steps:#?}");
    let (again, steps) = bench.repair();
    assert_eq!((again.code, steps.len()), (0, 1), "{steps:#?}");
    let detail = steps[0]["detail"].as_str().unwrap();
    assert!(detail.contains("narthex forget"), "{detail}");
    assert_eq!(bench.archives().len(), 2);
    let id = lost.trim_end_matches(".json").rsplit(['-', '_']).next();
    let ran = bench.run(&["forget", id.unwrap(), "--repo", "repo"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (code, findings) = bench.check();
    assert_eq!(code, 0, "{findings:#?}");
    let (ran, back) = bench.restore("latest", &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    // Parents are there beside their child: nothing proves that it holds them.
    for name in ARCHIVED {
        for (name, content) in tree(&fixture(name)) {
            assert!(back.get(&name) == Some(&content), "{name}");
        }
    }
    let (ran, steps) = bench.repair();
    assert_eq!((ran.code, steps.len()), (0, 0), "{steps:#?}");
}

/// With several servers nobody knows whose a reconstructed archive is: it is not the latest of any,
/// and whoever asks for that is told.
#[test]
fn the_latest_of_a_server_is_not_quietly_an_older_one_than_a_reconstructed_archive() {
    let bench = Bench::spliced("dense");
    let other = fixture("blocks/overlap-a");
    let other = other.to_str().unwrap();
    let ran = bench.run(&["backup", other, "--repo", "repo", "--source", "other"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    // Manifests are in the order of their seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let block = "01M7ZV9PK2DJ2P1T5SMS3D3KZK";
    let made = fixture("blocks/encodings-456").join(block);
    copy(&made, &bench.path().join("data").join(block));
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json = bench.run(&["archives", "--repo", "repo", "--json"]).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    let archives = json["archives"].as_array().unwrap();
    let newest = archives.last().unwrap();
    let source = newest["source_name"].as_str().unwrap().to_owned();
    assert_ne!(source, "other");
    bench.spoil_manifests(false);
    let (_, steps) = bench.repair();
    let said = format!("{steps:?}");
    let id = newest["id"].as_str().unwrap();
    assert_eq!(bench.run(&["forget", id, "--repo", "repo"]).code, 0);
    let latest = [
        "restore", "latest", "--repo", "repo", "--target", "latest", "--source",
    ];
    let ran = bench.run(&[&latest[..], &[&source]].concat());
    assert_eq!(ran.code, 3, "{} {said}", ran.err);
    assert!(ran.err.contains("which narthex repair made"), "{}", ran.err);
    let made = steps[0]["detail"].as_str().unwrap();
    let made = made.split(' ').nth(1).unwrap();
    let ran = bench.run(&["restore", made, "--repo", "repo", "--target", "made"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("several servers"), "{}", ran.err);
}

#[test]
fn a_manifest_of_a_newer_program_is_not_taken_for_lost() {
    let bench = Bench::spliced("dense");
    let mut names = tree(&bench.path().join("repo/archives")).into_keys();
    let name = format!("archives/{}", names.next_back().unwrap());
    let newer = "{\n\"format_version\": 99";
    let digest = Digest::of(newer.as_bytes());
    let newer = format!("{newer},\n  \"sha256\": \"{digest}\"\n}}\n");
    fs::write(bench.file(&name), newer).unwrap();
    let (code, findings) = bench.check();
    assert_eq!(
        (code, kinds(&findings)[0]),
        (3, "manifest-unsupported"),
        "{findings:#?}"
    );
    let (ran, steps) = bench.repair();
    assert_eq!((ran.code, steps.len()), (3, 1), "{steps:#?}");
    assert_eq!(
        (&steps[0]["outcome"], &steps[0]["object"]),
        (&Value::from("left"), &Value::from(name))
    );
    assert_eq!(bench.archives().len(), 1);
}

#[test]
fn a_repository_of_an_old_program_that_lost_its_descriptor_is_the_same_one_the_next_night() {
    for with_state in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &fixture("repositories/v1/repository"),
            &dir.path().join("repo"),
        );
        copy(&fixture(CHILD), &dir.path().join("data"));
        let bench = Bench { dir };
        let id = || {
            let content = fs::read(bench.file("narthex.json")).unwrap();
            let json: Value = serde_json::from_slice(&content).unwrap();
            json["id"].as_str().unwrap().to_owned()
        };
        let before = id();
        if with_state {
            let again = [
                "backup", "data", "--repo", "repo", "--source", "x", "--no-wal",
            ];
            let ran = bench.run(&again);
            assert_eq!(ran.code, 0, "{}", ran.err);
            // No manifest tells the id, as if the run had died.
            let last = bench.archives().pop().unwrap();
            let ran = bench.run(&[
                "forget",
                &last,
                "--repo",
                "repo",
                "--unsafe-allow-remove-all",
            ]);
            assert_eq!(ran.code, 0, "{}", ran.err);
        }
        fs::remove_file(bench.file("narthex.json")).unwrap();
        for _ in 0..2 {
            let ran = bench.backup("dense");
            assert_eq!(ran.code, 0, "{}", ran.err);
            let written = id();
            assert!(!written.is_empty());
            assert!(!with_state || written == before);
        }
        let (code, findings) = bench.check();
        assert!(
            !kinds(&findings).contains(&"manifest-foreign"),
            "{code} {findings:#?}"
        );
    }
}

#[test]
fn packs_of_parents_are_described_by_what_they_were_made_of_when_all_manifests_are_lost() {
    let bench = Bench::spliced("dense");
    let lost = bench.spoil_manifests(true);
    let (ran, steps) = bench.repair();
    assert_eq!((ran.code, steps.len()), (0, 1), "{steps:#?}");
    let detail = steps[0]["detail"].as_str().unwrap();
    let id = |name: &String| {
        let id = name.trim_end_matches(".json").rsplit(['-', '_']).next();
        id.unwrap().get(..8).unwrap().to_owned()
    };
    let ids: Vec<_> = lost.iter().map(id).collect();
    assert!(ids.iter().all(|id| detail.contains(id)), "{detail}");
    let ran = bench.run(&["forget", &ids[0], &ids[1], "--repo", "repo"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(detail.contains("narthex forget"), "{detail}");
    let (code, findings) = bench.check();
    assert_eq!(code, 0, "{findings:#?}");
    let ran = bench.backup("dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (code, findings) = bench.check();
    assert_eq!(code, 0, "{findings:#?}");
}

#[test]
fn archives_that_tell_only_the_unpacked_size_of_a_pack_otherwise_are_in_no_dispute_about_it() {
    use narthex::repository::{ArchiveId, Repository};
    use std::sync::Arc;
    let bench = Bench::spliced("dense");
    let store = narthex::store::LocalStore::new(bench.path().join("repo"));
    let repository = Repository::open(Arc::new(store)).unwrap();
    let sound = repository.archives().unwrap().archives.pop().unwrap();
    for (codec, wanted) in [("pack", 0), ("dense", 3)] {
        let mut other = sound.clone();
        other.id = ArchiveId::random();
        let blocks = other.blocks.iter_mut();
        let objects = blocks.flat_map(|block| block.packs.iter_mut().chain([&mut block.object]));
        for object in
            objects.filter(|object| (codec == "pack") == (object.codec == ObjectCodec::Pack))
        {
            object.raw_bytes += 1;
        }
        repository.commit(&other).unwrap();
        let (code, findings) = bench.check();
        let disputed = kinds(&findings).contains(&"object-disputed");
        assert_eq!((code, disputed), (wanted, wanted != 0), "{findings:#?}");
    }
}

#[test]
fn a_repair_that_finds_nothing_says_who_looks_for_damage() {
    let bench = Bench::spliced("dense");
    let mut objects = bench.objects().into_iter();
    let pack = objects.rfind(|name| name.starts_with("packs/")).unwrap();
    assert!(bench.spoil(&pack, "flip"));
    let ran = bench.run(&["repair", "--repo", "repo"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("check --read-data"), "{}", ran.out);
}

#[test]
fn of_a_lost_log_it_is_said_that_no_backup_brings_it_back_once_the_server_has_deleted_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench { dir };
    bench.lay("night-1");
    bench.backup("dense");
    let log = tree(&bench.path().join("repo/wal")).into_keys().next();
    assert!(bench.spoil(&format!("wal/{}", log.unwrap()), "flip"));
    let (code, findings) = bench.check();
    assert_eq!(code, 3, "{findings:#?}");
    let mut details = findings.iter().map(Value::to_string);
    let detail = details.find(|detail| detail.contains("this log"));
    let detail = detail.unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(detail.contains("narthex forget"), "{detail}");
    assert!(!detail.contains("and mends this"), "{detail}");
}

#[test]
fn where_one_place_cannot_be_listed_what_lies_elsewhere_comes_back_all_the_same() {
    let bench = Bench::spliced("dense");
    let mut objects = bench.objects().into_iter();
    let pack = objects.find(|name| name.starts_with("packs/")).unwrap();
    assert!(bench.spoil(&pack, "flip"));
    bench.check();
    assert_eq!(bench.backup("dense").code, 0);
    let restore = |unlistable: &str| {
        let store = LocalStore::new(bench.path().join("repo"));
        let faults = StoreFaults {
            unlistable: Some(unlistable.to_owned()),
            ..StoreFaults::default()
        };
        let store = FaultyStore::new(Arc::new(store), faults);
        let repository = Repository::open(Arc::new(store)).unwrap();
        let archive = repository.archives().unwrap().archives.remove(0);
        let back = tempfile::tempdir().unwrap();
        let target = back.path().join("back");
        let wanted = plan(
            &Wanted::Archive,
            &archive,
            &[],
            true,
            &TargetContent::default(),
        )
        .unwrap();
        let copies = Copies::new(&repository).unwrap();
        let target_dir = Target::new(&target, false).unwrap();
        let report = apply(&wanted, &copies, &target_dir, &Silent).map_err(|e| e.chain())?;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        Ok::<_, String>(tree(&target))
    };
    for elsewhere in ["blocks/", "packs/", "wal/"] {
        let back = restore(elsewhere);
        assert!(back == Ok(tree(&fixture(PARENTS))), "{elsewhere}");
    }
    let objects = bench.objects().into_iter();
    for lost in objects.filter(|name| name.starts_with("packs/")) {
        fs::remove_file(bench.file(&lost)).unwrap();
    }
    let _ = fs::remove_dir_all(bench.path().join("repo/mended"));
    let failed = restore("wal/").unwrap_err();
    let unsearched = "not all of the repository could be searched: injected fault";
    assert!(failed.contains(unsearched), "{failed}");
}

#[test]
fn what_is_wrong_with_a_block_is_found_anew_when_its_manifest_is_lost() {
    for codec in ["portable", "dense"] {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        bench.lay(CHILD);
        let block = tree(&bench.path().join("data")).into_keys();
        let segment = block
            .into_iter()
            .find(|name| name.ends_with("chunks/000001"))
            .unwrap();
        let path = bench.path().join("data").join(segment);
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 4;
        fs::write(path, content).unwrap();
        let before = bench.backup(codec);
        assert_eq!(before.code, 3, "{}", before.err);
        assert!(before.err.contains("chunk-checksum"), "{}", before.err);
        bench.spoil_manifests(true);
        let (ran, steps) = bench.repair();
        assert_eq!(ran.code, 3, "{codec}: {steps:#?}");
        let text = serde_json::to_string(&steps).unwrap();
        assert!(text.contains("chunk-checksum"), "{codec}: {text}");
        let id = bench.archives().remove(0);
        let (ran, _) = bench.restore(&id, &[]);
        assert!(ran.err.contains("was damaged"), "{codec}: {}", ran.err);
        let after = bench.backup(codec);
        assert_eq!(after.code, 3, "{codec}: {}", after.err);
        assert!(after.err.contains("has faults"), "{codec}: {}", after.err);
    }
}

#[test]
fn a_replacement_whose_packs_a_prune_is_deleting_is_not_said_to_be_one() {
    let bench = Bench::spliced("dense");
    let objects = bench.objects();
    let recipe = objects
        .iter()
        .find(|name| name.contains(".recipe."))
        .unwrap();
    let ulid = recipe.split('/').nth(1).unwrap();
    let own = format!("packs/{ulid}/");
    let pack = objects.iter().find(|name| name.starts_with(&own)).unwrap();
    assert!(bench.spoil(recipe, "flip"));
    bench.check();
    let store = LocalStore::new(bench.path().join("repo"));
    let run = narthex::repository::ArchiveId::random();
    let pack = ObjectName::new(&**pack).unwrap();
    let warrant = trash::issue_warrant(&store, &pack, &run, narthex::model::now()).unwrap();
    let ran = bench.run(&["repair", "--repo", "repo"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("a prune is deleting"), "{}", ran.err);
    store.delete(&warrant).unwrap();
    let (ran, steps) = bench.repair();
    assert_eq!(ran.code, 0, "{steps:#?}");
}

#[test]
fn a_sidecar_is_mended_where_the_rest_of_its_block_cannot_be() {
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    bench.lay(CHILD);
    let files = tree(&bench.path().join("data"));
    let tombstones = files
        .keys()
        .find(|name| name.ends_with("/tombstones"))
        .unwrap();
    let path = bench.path().join("data").join(tombstones);
    fs::remove_file(&path).unwrap();
    bench.backup("dense");
    fs::write(&path, &files[tombstones]).unwrap();
    assert_eq!(bench.backup("dense").code, 0);
    let objects = bench.objects();
    let sidecar = objects.iter().find(|name| name.contains(".side.")).unwrap();
    for lost in objects
        .iter()
        .filter(|name| *name == sidecar || name.starts_with("packs/"))
    {
        assert!(bench.spoil(lost, "delete"));
    }
    let (ran, steps) = bench.repair();
    assert_eq!(ran.code, 3, "{steps:#?}");
    let outcomes: Vec<_> = steps
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect();
    assert!(outcomes.contains(&"repaired"), "{steps:#?}");
    let mended = tree(&bench.path().join("repo/mended")).into_keys();
    assert!(mended.into_iter().any(|name| name.contains(".side.")));
    let (again, steps) = bench.repair();
    assert_eq!(again.code, 3);
    assert!(
        steps.iter().all(|step| step["outcome"] == "left"),
        "{steps:#?}"
    );
}

#[test]
fn what_cannot_be_read_is_not_said_to_be_in_nothing() {
    let bench = Bench::spliced("dense");
    let objects = bench.objects();
    let recipe = objects
        .iter()
        .find(|name| name.contains(".recipe."))
        .unwrap();
    let ulid = recipe.split('/').nth(1).unwrap();
    let own = format!("packs/{ulid}/");
    let pack = objects.iter().find(|name| name.starts_with(&own)).unwrap();
    assert!(bench.spoil(recipe, "delete"));
    let store = LocalStore::new(bench.path().join("repo"));
    let faults = StoreFaults {
        unreadable: Some(ObjectName::new(&**pack).unwrap()),
        ..StoreFaults::default()
    };
    let store = FaultyStore::new(Arc::new(store), faults);
    let mut repository = Repository::open(Arc::new(store)).unwrap();
    let now = narthex::model::now();
    let steps = repair(
        &mut repository,
        &Cache::default(),
        false,
        false,
        None,
        now,
        &Silent,
    )
    .unwrap();
    let left: Vec<_> = steps
        .iter()
        .filter(|step| step.detail.contains(&**recipe))
        .collect();
    let [left] = &left[..] else {
        panic!("one step, found {steps:#?}")
    };
    assert!(left.detail.contains("injected fault"), "{}", left.detail);
    assert!(left.detail.contains("try again"), "{}", left.detail);
}

#[test]
fn a_descriptor_that_the_disk_cannot_read_is_done_without_and_written_anew() {
    let bench = Bench::spliced("dense");
    let faults = StoreFaults {
        unreadable: Some(ObjectName::new("narthex.json").unwrap()),
        ..StoreFaults::default()
    };
    let store = LocalStore::new(bench.path().join("repo"));
    let store = Arc::new(FaultyStore::new(Arc::new(store), faults));
    let mut repository = Repository::open(store.clone()).unwrap();
    assert!(repository.trouble().unwrap().contains("injected fault"));
    let written = repository.mend_descriptor(None).unwrap().unwrap();
    assert!(written.as_str().starts_with("mended/"));
    let id = repository.descriptor().id.clone();
    let again = Repository::open(store.clone()).unwrap();
    assert_eq!(again.descriptor().id, id);
    let report = check(&*store, CheckDepth::Structure, &Silent).unwrap();
    assert!(!report.has_problems(), "{:#?}", report.findings);
    let plain = fs::read_to_string(bench.file("narthex.json")).unwrap();
    assert!(plain.contains(&id), "the manifests know it");
}

#[test]
fn what_no_backup_will_know_of_is_not_said_to_be_mended_by_one() {
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    bench.lay(PARENTS);
    assert_eq!(bench.backup("dense").code, 0);
    let objects = bench.objects();
    let pack = objects
        .iter()
        .find(|name| name.starts_with("packs/"))
        .unwrap();
    assert!(bench.spoil(pack, "flip"));
    let detail = |more: &[&str]| {
        let check = ["check", "--repo", "repo", "--read-data", "--json"];
        let found = bench.run(&[&check[..], more].concat()).json();
        found["findings"][0]["detail"].as_str().unwrap().to_owned()
    };
    let unmarked = detail(&["--no-mark"]);
    assert!(unmarked.contains("before it is marked"), "{unmarked}");
    let marked = detail(&[]);
    assert!(!marked.contains("before it is marked"), "{marked}");
    assert!(
        marked.contains("the next narthex backup stores them anew"),
        "{marked}"
    );
}

#[test]
fn a_repair_writes_the_descriptor_of_the_repository_that_was_there() {
    for with_state in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &fixture("repositories/v1/repository"),
            &dir.path().join("repo"),
        );
        copy(&fixture(CHILD), &dir.path().join("data"));
        let bench = Bench { dir };
        let id = || {
            let content = fs::read(bench.file("narthex.json")).unwrap();
            let json: Value = serde_json::from_slice(&content).unwrap();
            json["id"].as_str().unwrap().to_owned()
        };
        let before = id();
        if with_state {
            assert_eq!(bench.backup("dense").code, 0);
            // No manifest tells the id, as if the run had died.
            let last = bench.archives().pop().unwrap();
            let forget = [
                "forget",
                &last,
                "--repo",
                "repo",
                "--unsafe-allow-remove-all",
            ];
            assert_eq!(bench.run(&forget).code, 0);
        }
        fs::remove_file(bench.file("narthex.json")).unwrap();
        let ran = bench.run(&["repair", "--repo", "repo"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(!with_state || id() == before);
        let ran = bench.backup("dense");
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

#[test]
fn check_calls_nothing_lost_that_a_restore_brings_back() {
    for way in ["swap", "extend"] {
        let bench = Bench::spliced("portable");
        let mut objects = bench.objects().into_iter();
        let object = objects.find(|name| name.starts_with("blocks/")).unwrap();
        assert!(bench.spoil(&object, way));
        let (code, findings) = bench.check();
        assert_eq!(code, 3, "{way}: {findings:#?}");
        for finding in &findings {
            assert_eq!(finding["kind"], "object-damaged", "{way}");
            for lost in ["archives", "blocks", "files"] {
                assert_eq!(finding[lost], serde_json::json!([]), "{way}: {finding}");
            }
            assert_eq!(finding["lost"], Value::Null, "{way}: {finding}");
            let detail = finding["detail"].as_str().unwrap();
            assert!(detail.contains("comes back all the same"), "{detail}");
            assert!(detail.contains("narthex repair"), "{detail}");
        }
        for (id, files) in bench.archives().iter().zip(ARCHIVED) {
            let (ran, back) = bench.restore(id, &[]);
            assert_eq!(ran.code, 0, "{way}: {}", ran.err);
            assert!(back == tree(&fixture(files)), "{way}");
        }
        let (ran, steps) = bench.repair();
        assert_eq!(ran.code, 0, "{way}: {steps:#?}");
        let (code, findings) = bench.check();
        assert_eq!(code, 0, "{way}: {findings:#?}");
    }
}

#[test]
fn of_an_object_of_many_frames_only_the_files_in_the_damaged_one_are_lost() {
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
    };
    bench.lay(CHILD);
    let block = fs::read_dir(bench.path().join("data")).unwrap().next();
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    let noise: Vec<u8> = noise.take(12 << 20).collect();
    fs::write(block.unwrap().unwrap().path().join("noise"), noise).unwrap();
    bench.backup("portable");
    let object = bench.objects().remove(0);
    assert!(bench.spoil(&object, "flip"));
    let (code, findings) = bench.check();
    assert_eq!(code, 3, "{findings:#?}");
    assert_eq!(findings[0]["files"], serde_json::json!(["noise"]));
}
