//! `narthex copy`, `backup --copy-to`, `check --compare` and `repair --from` as a user runs them.

use std::fs;

use crate::backup_command::{Ran, narthex};

use super::*;

pub(super) struct Desk(tempfile::TempDir);

impl Desk {
    /// A directory with a repository `one` of two nights.
    pub(super) fn new() -> Self {
        let desk = Desk(tempfile::tempdir().unwrap());
        for dir in [PARENTS, CHILD] {
            desk.backup(dir, &[], 0);
        }
        desk
    }

    pub(super) fn run(&self, arguments: &[&str], code: i32) -> Ran {
        let ran = narthex(self.0.path(), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        ran
    }

    fn backup(&self, dir: &str, more: &[&str], code: i32) -> Ran {
        let dir = fixture(dir);
        let arguments = [
            "backup",
            dir.to_str().unwrap(),
            "--repo",
            "one",
            "--source",
            "s",
        ];
        self.run(&[&arguments[..], more].concat(), code)
    }
}

#[test]
fn a_copy_is_made_said_and_not_made_again() {
    let desk = Desk::new();
    let copy = ["copy", "--from", "one", "--to", "two"];
    let ran = desk.run(&[&copy[..], &["--dry-run"]].concat(), 0);
    assert!(
        ran.out.contains("2 archives would be copied"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("would make a new repository in two"),
        "{}",
        ran.err
    );
    assert!(!desk.0.path().join("two").exists());
    let ran = desk.run(&copy, 0);
    assert!(ran.err.contains("made a new repository"), "{}", ran.err);
    assert!(ran.out.contains("2 archives copied"), "{}", ran.out);
    desk.run(&["check", "--repo", "two", "--read-data"], 0);
    let ran = desk.run(&["copy", "--repo", "one", "--to", "two", "--json"], 0);
    let json = ran.json();
    assert_eq!(
        (json["copied"].as_u64(), json["present"].as_u64()),
        (Some(0), Some(2))
    );
    assert_eq!(json["objects"], 0);
    let target = desk.0.path().join("back");
    let restore = ["restore", "latest", "--repo", "two", "--target", "back"];
    desk.run(&restore, 0);
    assert!(tree(&target) == tree(&fixture(CHILD)));
    // With --quiet what went well is not said.
    let ran = desk.run(&[&copy[..], &["--quiet"]].concat(), 0);
    assert_eq!((&*ran.out, &*ran.err), ("", ""));
}

#[test]
fn a_copy_to_itself_is_refused_before_anything_is_read() {
    let desk = Desk::new();
    std::os::unix::fs::symlink("one", desk.0.path().join("link")).unwrap();
    for to in ["one", "./one", "link"] {
        let ran = desk.run(&["copy", "--from", "one", "--to", to], 1);
        assert!(ran.err.contains("one place"), "{}", ran.err);
    }
    let ran = desk.run(&["copy", "--from", "none", "--to", "two"], 1);
    assert!(ran.err.contains("no repository"), "{}", ran.err);
    assert!(
        !desk.0.path().join("two").exists(),
        "nothing is made for nothing"
    );
    desk.run(&["copy", "--from", "one"], 2);
    desk.run(
        &[
            "copy",
            "latest",
            "--keep-last",
            "1",
            "--from",
            "one",
            "--to",
            "two",
        ],
        1,
    );
}

#[test]
fn damage_is_named_with_exit_code_3() {
    let desk = Desk::new();
    let packs = tree(&desk.0.path().join("one/packs"));
    for name in packs.keys() {
        let path = desk.0.path().join("one/packs").join(name);
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(path, content).unwrap();
    }
    let ran = desk.run(&["copy", "--from", "one", "--to", "two", "--json"], 3);
    let json = ran.json();
    assert_eq!(json["left_out"], 2, "{json}");
    assert_eq!(json["problems"][0]["kind"], "object-unsound", "{json}");
    assert!(
        ran.err.contains("cannot be read as it should be"),
        "{}",
        ran.err
    );
}

#[test]
fn a_backup_is_copied_and_what_is_behind_is_caught_up() {
    let desk = Desk::new();
    let ran = desk.backup(
        CHILD,
        &["--copy-to", "two", "--copy-to", "three", "--json"],
        0,
    );
    let json = ran.json();
    for (number, place) in ["two", "three"].into_iter().enumerate() {
        let copied = &json["copies"][number];
        assert_eq!(copied["repository"], place, "{json}");
        assert_eq!(
            (copied["copied"].as_u64(), copied["behind"].as_u64()),
            (Some(3), Some(0))
        );
        desk.run(
            &["check", "--repo", place, "--read-data", "--compare", "one"],
            0,
        );
    }
    // The next one is another server's: its archives alone are copied.
    let other = fixture(PARENTS);
    let other = other.to_str().unwrap();
    let ran = desk.run(
        &[
            "backup",
            other,
            "--repo",
            "one",
            "--source",
            "t",
            "--copy-to",
            "two",
        ],
        0,
    );
    assert!(ran.out.contains("copied to two: 1 archives"), "{}", ran.out);
}

#[test]
fn a_copy_that_fails_leaves_the_backup_and_says_what_is_behind() {
    let desk = Desk::new();
    fs::write(desk.0.path().join("file"), "no repository").unwrap();
    let ran = desk.backup(
        CHILD,
        &["--copy-to", "file", "--copy-to", "two", "--json"],
        3,
    );
    let json = ran.json();
    assert!(json["id"].is_string(), "{json}");
    assert_eq!(json["problems"][0]["kind"], "copy-behind", "{json}");
    assert_eq!(json["problems"][0]["place"], "file", "{json}");
    assert!(json["copies"][0]["behind"].is_null(), "{json}");
    assert_eq!(json["copies"][0]["done"], false, "{json}");
    assert_eq!(
        json["copies"][1]["copied"], 3,
        "the other one is made: {json}"
    );
    assert!(ran.err.contains("file is behind"), "{}", ran.err);
    desk.run(&["check", "--repo", "one", "--read-data"], 0);

    // One that was there and is gone is not made anew: its disk may not be mounted.
    fs::rename(desk.0.path().join("two"), desk.0.path().join("away")).unwrap();
    let ran = desk.backup(CHILD, &["--copy-to", "two"], 3);
    assert!(ran.err.contains("its disk mounted?"), "{}", ran.err);
    assert!(!desk.0.path().join("two").exists());
    // Then it catches up.
    fs::rename(desk.0.path().join("away"), desk.0.path().join("two")).unwrap();
    let ran = desk.backup(CHILD, &["--copy-to", "two"], 0);
    assert!(ran.out.contains("copied to two: 2 archives"), "{}", ran.out);
    // Places that make no sense are refused before anything is done.
    desk.backup(CHILD, &["--copy-to", "one"], 1);
    let inside = fixture(CHILD).join("copy");
    desk.backup(CHILD, &["--copy-to", inside.to_str().unwrap()], 1);
}

#[test]
fn two_repositories_are_compared_and_one_is_mended_from_the_other() {
    let desk = Desk::new();
    desk.run(&["copy", "--from", "one", "--to", "two"], 0);
    let compare = ["check", "--repo", "one", "--compare", "two"];
    let json = desk.run(&[&compare[..], &["--json"]].concat(), 0).json();
    assert_eq!(
        (json["compared"]["archives"].as_u64(), &json["differences"]),
        (Some(2), &serde_json::json!([]))
    );

    let blocks = desk.0.path().join("one/blocks");
    let first = tree(&blocks).into_keys().next().unwrap();
    fs::remove_file(blocks.join(&first)).unwrap();
    let manifests = desk.0.path().join("one/archives");
    let manifest = tree(&manifests).into_keys().next_back().unwrap();
    fs::write(manifests.join(&manifest), "{}").unwrap();
    let json = desk.run(&[&compare[..], &["--json"]].concat(), 3).json();
    let kinds = json["differences"].as_array().unwrap();
    let kinds: BTreeSet<_> = kinds
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains("manifest-damaged"), "{json}");
    desk.run(&compare, 3);

    let repair = ["repair", "--repo", "one", "--from", "two"];
    let ran = desk.run(&[&repair[..], &["--dry-run"]].concat(), 0);
    assert!(ran.out.contains("would be put in its place"), "{}", ran.out);
    let ran = desk.run(&repair, 0);
    assert!(ran.out.contains("fetched from"), "{}", ran.out);
    let json = desk
        .run(&[&compare[..], &["--read-data", "--json"]].concat(), 0)
        .json();
    assert_eq!(json["findings"], serde_json::json!([]));
    desk.run(&["repair", "--repo", "one", "--from", "one"], 1);
}
