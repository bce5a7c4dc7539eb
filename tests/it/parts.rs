//! Repositories in parts, one for each source, as a user runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex::ErrorKind;
use narthex::archive::{self, BackupOptions, Codec, Source};
use narthex::model::now;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, check, check_part};
use narthex::repository::{Parts, Repository};
use narthex::retain::{PruneOptions, prune};
use narthex::store::{MemoryStore, Store};
use serde_json::Value;

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};

/// A directory with a repository `fleet` in parts: two nights of source `a`, one of source `b`.
struct Desk(tempfile::TempDir);

const EAST: &[&str] = &["night-1", "night-2"];

impl Desk {
    fn empty() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn new() -> Self {
        let desk = Desk::empty();
        desk.run(&["init", "--repo", "fleet", "--by-source"], 0);
        for night in EAST {
            desk.backup(night, "a", "fleet");
        }
        desk.backup("stale-3.16", "b", "fleet");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str], code: i32) -> Ran {
        let ran = narthex(self.0.path(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        ran
    }

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        self.run(&[arguments, &["--json"]].concat(), code).json()
    }

    fn backup(&self, dir: &str, source: &str, repo: &str) -> Value {
        let dir = fixture(dir);
        let dir = dir.to_str().unwrap();
        self.json(&["backup", dir, "--repo", repo, "--source", source], 0)
    }

    /// The directories of the parts of `repo`.
    fn parts(&self, repo: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(repo).join("sources")).unwrap();
        let mut dirs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        dirs.sort();
        dirs
    }

    /// The part of `repo` that has `count` manifests.
    fn part(&self, repo: &str, count: usize) -> PathBuf {
        let mut parts = self.parts(repo).into_iter();
        let found = parts.find(|part| names(&part.join("archives")).len() == count);
        found.unwrap()
    }

    fn archives(&self, repo: &str, more: &[&str]) -> Vec<String> {
        let said = self.json(&[&["archives", "--repo", repo], more].concat(), 0);
        let archives = said["archives"].as_array().unwrap().iter();
        archives
            .map(|archive| archive["source_name"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// What an archive holds of a data directory.
fn archived(name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = tree(&fixture(name));
    let is_held = |name: &str| !["lock", "queries.active"].contains(&name);
    files.retain(|name, _| is_held(name) && !name.starts_with("chunks_head/"));
    files
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn each_source_lies_by_itself_and_all_are_found() {
    let desk = Desk::new();
    assert_eq!(
        names(&desk.path("fleet")),
        ["narthex.json", "sources", "tmp"]
    );
    assert_eq!(desk.parts("fleet").len(), 2);
    for part in desk.parts("fleet") {
        assert!(names(&part).contains(&"archives".to_owned()));
    }
    assert_eq!(desk.archives("fleet", &[]), ["a", "a", "b"]);
    assert_eq!(desk.archives("fleet", &["--source", "a"]), ["a", "a"]);
    let none = desk.run(&["archives", "--repo", "fleet", "--source", "c"], 1);
    assert!(none.err.contains("sources a, b"), "{}", none.err);
    // A night in which nothing is new is known as that.
    let again = desk.backup("night-2", "a", "fleet");
    assert_eq!(again["new_blocks"], 0);
    let stats = desk.json(&["stats", "--repo", "fleet"], 0);
    let of_a = desk.json(&["stats", "--repo", "fleet", "--source", "a"], 0);
    let of_b = desk.json(&["stats", "--repo", "fleet", "--source", "b"], 0);
    assert_eq!(stats["totals"]["archives"], 4);
    for key in ["archives", "logical_bytes", "stored_bytes"] {
        let of = |stats: &Value| stats["totals"][key].as_u64().unwrap();
        assert_eq!(of(&stats), of(&of_a) + of(&of_b), "{key}");
    }
    desk.run(&["check", "--repo", "fleet", "--read-data"], 0);
}

#[test]
fn the_archive_that_is_meant_is_found_among_all_parts_or_asked_for() {
    let desk = Desk::new();
    let restore = |more: &[&str], code| {
        let restore = ["restore", "--repo", "fleet", "--target", "back"];
        let ran = desk.run(&[&restore[..], more].concat(), code);
        let _ = fs::rename(
            desk.path("back"),
            desk.path(&format!("of-{}", more.concat())),
        );
        ran
    };
    let several = restore(&["latest"], 1);
    assert!(several.err.contains("--source"), "{}", several.err);
    restore(&["latest", "--source", "a"], 0);
    assert!(tree(&desk.path("of-latest--sourcea")) == archived("night-2"));
    let said = desk.json(&["archives", "--repo", "fleet", "--source", "b"], 0);
    let id = said["archives"][0]["id"].as_str().unwrap();
    restore(&[id], 0);
    assert!(tree(&desk.path(&format!("of-{id}"))) == archived("stale-3.16"));
    let wrong = restore(&["ffffffff", "--source", "a"], 1);
    assert!(wrong.err.contains("no archive"), "{}", wrong.err);
    let wrong = restore(&["zzzz"], 1);
    assert!(wrong.err.contains("no archive"), "{}", wrong.err);
    // Commands that read an archive find it, too.
    let list = ["list", "--archive", id, "--repo", "fleet"];
    let listed = &desk.json(&list, 0)["directories"][0]["blocks"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let first = desk.json(&["archives", "--repo", "fleet", "--source", "a"], 0);
    let first = first["archives"][0]["id"].as_str().unwrap();
    desk.run(&["diff", first, id, "--repo", "fleet"], 0);
    desk.run(&["diff", first, id, "--content", "--repo", "fleet"], 0);
}

#[test]
fn what_one_part_lets_go_touches_no_other() {
    let desk = Desk::new();
    let before = tree(&desk.part("fleet", 1));
    let forget = ["forget", "--keep-last", "1", "--prune", "--grace", "0s"];
    let said = desk.json(&[&forget[..], &["--repo", "fleet"]].concat(), 0);
    let archives = said["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 3);
    let items = said["prune"]["items"].as_array().unwrap();
    assert!(!items.is_empty());
    for item in items {
        let name = item["object"].as_str().unwrap();
        assert!(name.starts_with("sources/"), "{item}");
    }
    assert!(
        said["prune"]["deleted_objects"].as_u64() > Some(0),
        "{said}"
    );
    let after = desk.parts("fleet").into_iter();
    assert!(after.into_iter().any(|part| tree(&part) == before));
    desk.run(&["check", "--repo", "fleet", "--read-data"], 0);
    // What no part has is asked for in vain.
    for more in [&["--host", "nowhere"], &["--label", "a=b"]] {
        let forget = ["forget", "--keep-last", "1", "--repo", "fleet"];
        let none = desk.run(&[&forget[..], more].concat(), 1);
        assert!(none.err.contains("no archive"), "{}", none.err);
    }
    let ids = desk.json(&["archives", "--repo", "fleet"], 0);
    let ids = ids["archives"].as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect();
    // Of no source the last is let go by chance, and one by its id only.
    desk.run(&["forget", &ids[0], "--repo", "fleet"], 1);
    let all = ["forget", &ids[0], "--unsafe-allow-remove-all"];
    desk.run(&[&all[..], &["--repo", "fleet"]].concat(), 0);
    // What is left of it is nobody's.
    let left = desk.json(&["archives", "--repo", "fleet"], 3);
    assert_eq!(left["archives"].as_array().unwrap().len(), 1);
    let prune = ["prune", "--repo", "fleet", "--grace", "0s"];
    let refused = desk.run(&prune, 1);
    assert!(refused.err.contains("sources/"), "{}", refused.err);
    let all = [&prune[..], &["--unsafe-allow-remove-all"]].concat();
    // Not of whichever part else lacks its manifests today.
    let refused = desk.run(&all, 1);
    assert!(refused.err.contains("--source"), "{}", refused.err);
    desk.run(&[&all[..], &["--source", "nobody"]].concat(), 1);
    desk.run(&[&all[..], &["--source", "b"]].concat(), 0);
    desk.run(&prune, 1);
    desk.run(&[&all[..], &["--source", "a"]].concat(), 0);
    assert_eq!(desk.archives("fleet", &[]).len(), 1);
    desk.run(&["check", "--repo", "fleet"], 0);
    desk.backup("night-1", "flat", "flat");
    let flat = ["prune", "--repo", "flat", "--source", "flat"];
    let refused = desk.run(&flat, 1);
    assert!(refused.err.contains("not in parts"), "{}", refused.err);
}

#[test]
fn what_is_let_go_of_one_part_takes_nothing_of_another_whose_manifests_are_out_of_sight() {
    let desk = Desk::new();
    let part = desk.part("fleet", 1);
    fs::rename(part.join("archives"), desk.path("away")).unwrap();
    let before = tree(&part);
    let forget = [
        "forget",
        "--keep-last",
        "1",
        "--unsafe-allow-remove-all",
        "--prune",
    ];
    let said = desk.run(
        &[&forget[..], &["--grace", "0s", "--repo", "fleet"]].concat(),
        1,
    );
    assert!(said.err.contains("nothing is deleted"), "{}", said.err);
    assert!(tree(&part) == before);
    fs::rename(desk.path("away"), part.join("archives")).unwrap();
    desk.run(&["check", "--repo", "fleet", "--read-data"], 0);
}

#[test]
fn a_part_that_was_renamed_gets_its_name_back_and_is_not_made_anew() {
    let desk = Desk::new();
    let part = desk.part("fleet", 2);
    let renamed = part.with_file_name("0123456789abcdef");
    fs::rename(&part, &renamed).unwrap();
    let checked = desk.run(&["check", "--repo", "fleet"], 3);
    let name = part.file_name().unwrap().to_str().unwrap();
    let wanted = format!("it belongs into sources/{name}");
    assert!(checked.out.contains(&wanted), "{}", checked.out);
    assert!(!checked.out.contains("unreferenced"), "{}", checked.out);
    for more in [&[][..], &["--orphans"]] {
        let repaired = desk.run(&[&["repair", "--repo", "fleet"][..], more].concat(), 3);
        assert!(repaired.out.contains(&wanted), "{}", repaired.out);
        assert!(!repaired.out.contains("forget"), "{}", repaired.out);
    }
    assert_eq!(names(&renamed.join("archives")).len(), 2);
    // Where the name is taken, a directory that is moved goes into the one that has it.
    fs::create_dir(&part).unwrap();
    fs::rename(&renamed, part.join("moved")).unwrap();
    let checked = desk.run(&["check", "--repo", "fleet"], 3);
    assert!(
        checked.out.contains("manifest-misplaced, 2 times"),
        "{}",
        checked.out
    );
    assert!(checked.out.contains("one level up"), "{}", checked.out);
    fs::rename(part.join("moved"), &renamed).unwrap();
    fs::remove_dir(&part).unwrap();
    fs::rename(&renamed, &part).unwrap();
    desk.run(&["check", "--repo", "fleet", "--read-data"], 0);
}

#[test]
fn what_a_stranger_put_beside_them_keeps_no_lost_archive_from_being_reconstructed() {
    let desk = Desk::new();
    let part = desk.part("fleet", 2);
    let other = desk.part("fleet", 1);
    let stray = &names(&other.join("archives"))[0];
    fs::copy(
        other.join("archives").join(stray),
        part.join("archives").join(stray),
    )
    .unwrap();
    let newest = names(&part.join("archives"))
        .into_iter()
        .rfind(|name| name != stray);
    let newest = part.join("archives").join(newest.unwrap());
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let repaired = desk.run(&["repair", "--repo", "fleet"], 3);
    for said in ["it belongs into sources/", "reconstructed from what"] {
        assert!(repaired.out.contains(said), "{}", repaired.out);
    }
    assert_eq!(names(&part.join("archives")).len(), 4);
}

#[test]
fn a_repository_of_which_only_the_descriptor_is_left_is_missed_by_every_command() {
    let desk = Desk::empty();
    desk.backup("night-1", "a", "repo");
    for name in names(&desk.path("repo")) {
        if name != "narthex.json" {
            fs::remove_dir_all(desk.path("repo").join(name)).unwrap();
        }
    }
    let commands = [
        (&["archives"][..], 3),
        (&["stats"], 3),
        (&["forget", "--keep-last", "1"], 3),
        (&["forget", "--keep-last", "1", "--prune"], 3),
        (&["prune"], 3),
        (&["check"], 3),
        (&["restore", "latest", "--target", "back"], 1),
        (&["dump", "--archive", "latest"], 1),
    ];
    for (command, code) in commands {
        let ran = desk.run(&[command, &["--repo", "repo"]].concat(), code);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(
            said.contains("expected the 1 manifests"),
            "{command:?}: {said}"
        );
        assert!(
            !said.contains("narthex backup makes"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn a_part_that_is_gone_is_missed_by_the_machine_that_has_seen_it() {
    let desk = Desk::new();
    let part = desk.part("fleet", 2);
    let away = desk.path("away");
    fs::rename(&part, &away).unwrap();
    // So is one of which it has made the only archive; and every command that works on all says so.
    let other = desk.part("fleet", 1);
    fs::rename(&other, desk.path("away-2")).unwrap();
    for command in [
        &["archives"][..],
        &["check"],
        &["stats", "--quick"],
        &["prune"],
    ] {
        let ran = desk.run(&[command, &["--repo", "fleet"]].concat(), 3);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(said.matches("found none").count(), 2, "{command:?}: {said}");
    }
    fs::rename(desk.path("away-2"), &other).unwrap();
    let night = fixture("night-2");
    let backup = [
        "backup",
        night.to_str().unwrap(),
        "--repo",
        "fleet",
        "--source",
        "a",
    ];
    for more in [&[][..], &["--dry-run"]] {
        let refused = desk.run(&[&backup[..], more].concat(), 1);
        assert!(
            refused.err.contains("found none, and no data"),
            "{}",
            refused.err
        );
    }
    let checked = desk.run(&["check", "--repo", "fleet"], 3);
    assert!(checked.out.contains("manifests-missing"), "{}", checked.out);
    let listed = desk.run(&["archives", "--repo", "fleet"], 3);
    assert!(listed.err.contains("found none"), "{}", listed.err);
    // Who has never seen it cannot miss it.
    fs::rename(desk.path("cache"), desk.path("cache-of-another")).unwrap();
    desk.run(&["check", "--repo", "fleet"], 0);
    fs::rename(desk.path("cache-of-another"), desk.path("cache")).unwrap();
    desk.run(&[&backup[..], &["--no-cache"]].concat(), 0);
    desk.run(&["check", "--repo", "fleet"], 0);
    // What is forgotten on purpose is not missed.
    let forget = [
        "forget",
        "--unsafe-allow-remove-all",
        "--source",
        "a",
        "--prune",
    ];
    desk.run(
        &[&forget[..], &["--grace", "0s", "--repo", "fleet"]].concat(),
        0,
    );
    desk.run(&["check", "--repo", "fleet"], 0);
    desk.run(&backup, 0);
}

#[test]
fn archives_are_copied_into_parts_and_out_of_them() {
    let desk = Desk::new();
    let copy = |from: &str, to: &str, more: &[&str]| {
        let copy = ["copy", "--from", from, "--to", to];
        desk.json(&[&copy[..], more].concat(), 0)
    };
    desk.run(&["init", "--repo", "flat"], 0);
    let said = copy("fleet", "flat", &[]);
    assert_eq!(said["copied"], 3, "{said}");
    assert!(!desk.path("flat/sources").exists());
    // What is made for archives in parts is in parts.
    assert_eq!(
        copy("fleet", "alike", &["latest", "--source", "b"])["copied"],
        1
    );
    assert_eq!(desk.parts("alike").len(), 1);
    desk.run(&["init", "--repo", "other", "--by-source"], 0);
    let said = copy("flat", "other", &["--dry-run"]);
    assert_eq!(said["archives"].as_array().unwrap().len(), 3, "{said}");
    assert_eq!(
        copy("flat", "other", &["latest", "--source", "b"])["copied"],
        1
    );
    let said = copy("flat", "other", &[]);
    assert_eq!((&said["copied"], &said["present"]), (&2.into(), &1.into()));
    assert_eq!(desk.archives("other", &["--source", "a"]), ["a", "a"]);
    // Names of parts depend on the repository, and what lies there is the same.
    let said = desk.json(&["check", "--repo", "fleet", "--compare", "other"], 0);
    assert_eq!(
        said["same_archives"].as_u64().or(said["archives"].as_u64()),
        Some(3),
        "{said}"
    );
    desk.run(&["check", "--repo", "fleet", "--compare", "flat"], 1);

    // What is damaged in one is mended from the other.
    let part = desk.part("other", 2);
    let packs = tree(&part.join("packs"));
    let pack = part.join("packs").join(packs.keys().next().unwrap());
    fs::remove_file(&pack).unwrap();
    desk.run(&["check", "--repo", "other"], 3);
    desk.run(&["check", "--repo", "fleet", "--compare", "other"], 3);
    let said = desk.json(&["repair", "--repo", "other", "--from", "fleet"], 0);
    let step = said["steps"][0]["object"].as_str().unwrap();
    assert!(step.starts_with("sources/"), "{said}");
    desk.run(&["check", "--repo", "other", "--read-data"], 0);
    // A backup copies into the part of its source.
    let dir = fixture("night-2");
    let backup = ["backup", dir.to_str().unwrap(), "--source", "a"];
    let more = ["--repo", "flat", "--copy-to", "other"];
    desk.run(&[&backup[..], &more].concat(), 0);
    assert_eq!(desk.archives("other", &[]), ["a", "a", "b", "a"]);
}

#[test]
fn a_lost_descriptor_is_written_anew_and_what_lies_in_a_wrong_part_is_named() {
    let desk = Desk::new();
    let descriptor = fs::read(desk.path("fleet/narthex.json")).unwrap();
    fs::remove_file(desk.path("fleet/narthex.json")).unwrap();
    assert_eq!(desk.archives("fleet", &[]), ["a", "a", "b"]);
    desk.run(&["check", "--repo", "fleet"], 3);
    let said = desk.json(&["repair", "--repo", "fleet", "--dry-run"], 0);
    assert_eq!(said["steps"][0]["outcome"], "planned", "{said}");
    desk.run(&["repair", "--repo", "fleet"], 0);
    let written = fs::read(desk.path("fleet/narthex.json")).unwrap();
    let of = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    for key in ["id", "format_version", "by_source"] {
        assert_eq!(of(&descriptor)[key], of(&written)[key], "{key}");
    }
    desk.run(&["check", "--repo", "fleet"], 0);
    // One that is damaged has another one that stands in for it, and that is no stranger.
    fs::write(
        desk.path("fleet/narthex.json"),
        &descriptor[..descriptor.len() - 9],
    )
    .unwrap();
    desk.run(&["repair", "--repo", "fleet"], 0);
    let checked = desk.run(&["check", "--repo", "fleet"], 0);
    assert!(
        checked.out.contains("descriptor-replaced"),
        "{}",
        checked.out
    );
    assert!(!checked.out.contains("foreign"), "{}", checked.out);

    let (two, one) = (desk.part("fleet", 2), desk.part("fleet", 1));
    let name = names(&two.join("archives")).remove(1);
    fs::copy(
        two.join("archives").join(&name),
        one.join("archives").join(&name),
    )
    .unwrap();
    let checked = desk.run(&["check", "--repo", "fleet"], 3);
    assert!(checked.out.contains("another one"), "{}", checked.out);
    let listed = desk.run(&["archives", "--repo", "fleet"], 3);
    assert!(listed.err.contains("another one"), "{}", listed.err);
    desk.run(&["prune", "--repo", "fleet"], 0);
}

#[test]
fn an_older_program_opens_none_and_a_snapshot_needs_its_name() {
    let desk = Desk::new();
    let descriptor = fs::read_to_string(desk.path("fleet/narthex.json")).unwrap();
    assert!(descriptor.contains("\"format_version\": 3"), "{descriptor}");
    let data = desk.path("data/snapshots/20261101T000000Z-0123456789abcdef");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    copy_blocks(&fixture("night-1"), &data);
    let backup = ["backup", data.to_str().unwrap(), "--repo", "fleet"];
    let refused = desk.run(&backup, 1);
    assert!(refused.err.contains("--source"), "{}", refused.err);
    desk.run(&[&backup[..], &["--source", "c"]].concat(), 0);
}

/// Copies blocks, and nothing of a head.
fn copy_blocks(from: &Path, to: &Path) {
    let files = tree(from).into_iter();
    for (name, content) in files.filter(|(name, _)| name.starts_with("01")) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Twenty hosts archive three nights each while all is pruned again and again.
#[test]
fn many_hosts_write_at_once_beside_prunes() {
    const HOSTS: usize = 20;
    const NIGHTS: [&str; 3] = ["night-1", "night-2", "night-1"];
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    Parts::init_by_source(Arc::clone(&store)).unwrap();
    let open = || Parts::open(Arc::clone(&store)).unwrap();
    let is_over = AtomicBool::new(false);
    let back_up = |host: usize| {
        for (night, dir) in (0..).zip(NIGHTS) {
            let name = format!("host-{host}");
            let source = Source::new(&fixture(dir), name.clone(), Some(name.clone())).unwrap();
            let part = open().of_source(&name).unwrap();
            let options = BackupOptions {
                codec: Codec::Portable,
                // The third night is that of the first again.
                force: true,
                ..BackupOptions::default()
            };
            let time = now() + night;
            let made = archive::backup(&source, &part, &options, time, &Silent).unwrap();
            assert!(made.committed, "{:?}", made.problems);
        }
    };
    let options = PruneOptions::default();
    let at_once = PruneOptions {
        grace: 0,
        ..options
    };
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                for part in open().all().unwrap() {
                    // Where data lies and no archive yet, nothing is deleted, and that is said.
                    match prune(&part, options, now()) {
                        Err(refused) => assert_eq!(refused.kind(), ErrorKind::Refused),
                        Ok(_) => rounds += 1,
                    }
                }
            }
            rounds
        });
        let hosts: Vec<_> = (0..HOSTS)
            .map(|host| {
                let back_up = &back_up;
                scope.spawn(move || back_up(host))
            })
            .collect();
        for host in hosts {
            host.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        assert!(pruning.join().unwrap() > 0);
    });
    let parts = open();
    assert_eq!(parts.all().unwrap().len(), HOSTS);
    for part in parts.all().unwrap() {
        prune(&part, at_once, now()).unwrap();
        let report = check_part(part.store(), &part, CheckDepth::ReadAll, &Silent).unwrap();
        assert!(!report.has_problems(), "{:?}", report.findings);
        assert_eq!(report.archives, NIGHTS.len() as u64);
    }
}

/// Puts something else in the place of the only manifest in `part`.
fn spoil(part: &Path) {
    let name = names(&part.join("archives")).remove(0);
    fs::write(part.join("archives").join(name), b"junk").unwrap();
}

#[test]
fn an_only_archive_that_is_damaged_comes_back_from_a_copy() {
    let desk = Desk::new();
    desk.run(&["init", "--repo", "other", "--by-source"], 0);
    desk.run(&["copy", "--from", "fleet", "--to", "other"], 0);
    desk.backup("night-1", "a", "flat");
    desk.run(&["copy", "--from", "flat", "--to", "flat-too"], 0);
    let part = desk.part("other", 1);
    spoil(&part);
    spoil(&desk.path("flat-too"));
    for (own, from) in [("other", "fleet"), ("flat-too", "flat")] {
        desk.run(&["check", "--repo", own], 3);
        desk.run(&["repair", "--repo", own, "--from", from], 0);
        desk.run(&["check", "--repo", own], 0);
        assert_eq!(desk.archives(own, &[]), desk.archives(from, &[]));
    }
    // Nor is it passed over while it is damaged.
    spoil(&part);
    let copied = desk.run(&["copy", "--from", "other", "--to", "third"], 3);
    assert!(copied.err.contains("in parts"), "{}", copied.err);
    assert_eq!(desk.archives("third", &[]), ["a", "a"]);
    let forget = ["forget", "--keep-last", "1", "--host", "nowhere"];
    desk.run(&[&forget[..], &["--repo", "other"]].concat(), 1);
    let compared = desk.run(&["check", "--repo", "fleet", "--compare", "other"], 3);
    assert!(compared.out.contains("problems found"), "{}", compared.out);
}

#[test]
fn parts_of_which_nothing_is_meant_are_pruned_as_well_and_nothing_is_said_of_them() {
    let desk = Desk::new();
    let forget = ["forget", "--keep-last", "1", "--label", "team=x", "--prune"];
    let dir = fixture("night-1");
    let backup = ["backup", dir.to_str().unwrap(), "--repo", "fleet"];
    desk.run(
        &[&backup[..], &["--source", "c", "--label", "team=x"]].concat(),
        0,
    );
    let ran = desk.run(&[&forget[..], &["--repo", "fleet"]].concat(), 0);
    assert!(!ran.err.contains("not pruned"), "{}", ran.err);
    assert!(ran.out.contains("are needed"), "{}", ran.out);
}

#[test]
fn what_is_refused_in_one_part_removes_nothing_in_another() {
    let desk = Desk::new();
    let ids = |source: &str| {
        let said = desk.json(&["archives", "--repo", "fleet", "--source", source], 0);
        let archives = said["archives"].as_array().unwrap().iter();
        let ids = archives.map(|it| it["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let (of_a, of_b) = (ids("a"), ids("b"));
    let forget = ["forget", "--repo", "fleet", &of_a[0], &of_b[0]];
    desk.run(&forget, 1);
    assert_eq!((ids("a"), ids("b")), (of_a, of_b));
}

#[test]
fn what_stands_where_a_part_should_be_is_named() {
    let desk = Desk::new();
    let part = desk.part("fleet", 1);
    let moved = desk.path("elsewhere");
    fs::rename(&part, &moved).unwrap();
    std::os::unix::fs::symlink(desk.path("nothing"), &part).unwrap();
    for command in [
        &["archives"][..],
        &["check"],
        &["stats", "--quick"],
        &["prune"],
    ] {
        let ran = desk.run(&[command, &["--repo", "fleet"]].concat(), 3);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("sources/"), "{command:?}: {said}");
    }
    fs::remove_file(&part).unwrap();
    // A file, of which this machine remembers that it was a part.
    fs::write(&part, b"x").unwrap();
    for command in [&["archives"][..], &["check"], &["prune"]] {
        let ran = desk.run(&[command, &["--repo", "fleet"]].concat(), 3);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("sources/"), "{command:?}: {said}");
        assert!(!said.contains("cannot list"), "{command:?}: {said}");
    }
    fs::remove_file(&part).unwrap();
    fs::rename(&moved, &part).unwrap();
    fs::rename(&part, part.with_file_name("0123456789ABCDEF")).unwrap();
    let checked = desk.run(&["check", "--repo", "fleet"], 3);
    assert!(checked.out.contains("part-unseen"), "{}", checked.out);
    // Whoever works on all of them says that it did not.
    for command in [
        &["copy", "--from", "fleet", "--to", "copied"][..],
        &["copy", "--from", "fleet", "--to", "copied", "--dry-run"],
        &["forget", "--repo", "fleet", "--keep-last", "9"],
        &["forget", "--repo", "fleet", "--keep-last", "9", "--prune"],
        &["repair", "--repo", "fleet"],
    ] {
        let done = desk.run(command, 3);
        assert!(
            done.err.contains("no part that can be seen"),
            "{command:?}: {}",
            done.err
        );
    }
}

#[test]
fn a_lost_descriptor_is_not_made_up_of_what_others_have_put_there() {
    let desk = Desk::new();
    desk.backup("night-1", "a", "flat");
    // One that is not in parts stays so.
    fs::remove_file(desk.path("flat/narthex.json")).unwrap();
    fs::create_dir_all(desk.path("flat/sources/0123456789abcdef")).unwrap();
    fs::write(desk.path("flat/sources/0123456789abcdef/note"), b"x").unwrap();
    assert_eq!(desk.archives("flat", &[]), ["a"]);
    desk.run(&["repair", "--repo", "flat"], 0);
    let written = fs::read_to_string(desk.path("flat/narthex.json")).unwrap();
    assert!(!written.contains("by_source"), "{written}");
    // What is foreign does not say whose the others are.
    let descriptor = fs::read(desk.path("fleet/narthex.json")).unwrap();
    fs::remove_file(desk.path("fleet/narthex.json")).unwrap();
    let own = desk.path("flat/archives");
    let first = desk.path("fleet/sources/0000000000000000/archives");
    fs::create_dir_all(&first).unwrap();
    let name = names(&own).remove(0);
    fs::copy(own.join(&name), first.join(&name)).unwrap();
    for number in 0..60 {
        fs::write(
            first.join(format!("20261121T190745Z-{number:016x}.json")),
            b"x",
        )
        .unwrap();
    }
    desk.run(&["repair", "--repo", "fleet"], 3);
    let of = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["id"].clone();
    let written = fs::read(desk.path("fleet/narthex.json")).unwrap();
    assert_eq!(of(&written), of(&descriptor));
    assert_eq!(desk.archives("fleet", &["--source", "a"]), ["a", "a"]);
}

#[test]
fn what_its_parts_share_is_no_repository_to_the_library() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let parts = Parts::init_by_source(Arc::clone(&store)).unwrap();
    let opened = Repository::open(Arc::clone(&store)).unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::Unsupported);
    let checked = check(&*store, CheckDepth::Structure, &Silent).unwrap_err();
    assert_eq!(checked.kind(), ErrorKind::Unsupported);
    assert_eq!(
        parts.root().archives().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    let source = Source::new(&fixture("night-1"), "h".into(), Some("a".into())).unwrap();
    let options = BackupOptions::default();
    let made = archive::backup(&source, parts.root(), &options, now(), &Silent);
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn what_is_made_of_what_was_left_in_two_parts_stays_of_two_servers() {
    let desk = Desk::new();
    desk.run(&["init", "--repo", "lost", "--by-source"], 0);
    desk.backup("night-1", "a", "lost");
    desk.backup("night-2", "b", "lost");
    let parts = names(&desk.path("lost/sources"));
    for part in &parts {
        fs::remove_dir_all(desk.path("lost/sources").join(part).join("archives")).unwrap();
    }
    desk.run(&["repair", "--repo", "lost", "--orphans"], 0);
    let unknown: Vec<_> = parts
        .iter()
        .map(|part| format!("reconstructed-{part}"))
        .collect();
    let listed = |repo: &str| {
        let mut sources = desk.archives(repo, &[]);
        sources.sort();
        sources
    };
    assert_eq!(listed("lost"), unknown);
    desk.run(&["copy", "--from", "lost", "--to", "copied"], 0);
    assert_eq!(listed("copied"), unknown);
    for name in &unknown {
        for repo in ["lost", "copied"] {
            assert_eq!(
                desk.archives(repo, &["--source", name]),
                [&**name],
                "{repo}"
            );
        }
    }
    desk.run(&["check", "--repo", "lost", "--compare", "copied"], 0);
    desk.run(&["forget", "--repo", "copied", "--keep-last", "1"], 0);
    assert_eq!(listed("copied"), unknown);
    let refused = desk.run(
        &["restore", "latest", "--repo", "copied", "--target", "out"],
        1,
    );
    assert!(refused.err.contains("--source"), "{}", refused.err);
}

#[test]
fn where_there_is_no_archive_nothing_is_locked_or_restored_and_that_is_said() {
    let desk = Desk::new();
    desk.run(&["init", "--repo", "new", "--by-source"], 0);
    desk.run(&["init", "--repo", "whole"], 0);
    let lock = [
        "lock",
        "--keep-monthly",
        "3",
        "--for",
        "30d",
        "--repo",
        "new",
    ];
    let refused = desk.run(&lock, 1);
    assert!(
        refused.err.contains("there is no archive"),
        "{}",
        refused.err
    );
    for repo in ["new", "whole"] {
        let restore = ["restore", "latest", "--repo", repo, "--target", "out"];
        let refused = desk.run(&restore, 1);
        assert!(
            refused.err.contains("narthex backup makes one"),
            "{}",
            refused.err
        );
    }
}
