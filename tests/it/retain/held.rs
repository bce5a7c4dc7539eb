//! What only an archive that would go still holds sound keeps it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{blocks_below, fixture};

const CHILD: &str = "01M7ZSW0E54S2QBYR3D192CSMG";

/// Parents in the first archive, their child alone in the second.
fn place() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(narthex(home.path(), &["init", "--repo", "r"]).code, 0);
    for data in ["blocks/parents-three", "blocks/child-of-three"] {
        let data = fixture(data);
        let data = data.to_str().unwrap();
        let backup = [
            "backup", data, "--repo", "r", "--source", "s", "--host", "h", "--codec", "portable",
        ];
        let ran = narthex(home.path(), &backup);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    home
}

/// The one object of the child.
fn child(home: &Path) -> PathBuf {
    let blocks = fs::read_dir(home.join("r/blocks")).unwrap();
    let mut dirs = blocks.map(|entry| entry.unwrap().path());
    let dir = dirs
        .find(|dir| dir.to_str().unwrap().contains(CHILD))
        .unwrap();
    if dir.is_file() {
        dir
    } else {
        fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
    }
}

fn forget(home: &Path, more: &[&str]) -> Ran {
    let forget = [
        "forget",
        "--keep-last",
        "1",
        "--prune",
        "--grace",
        "0s",
        "--repo",
        "r",
    ];
    narthex(home, &[&forget[..], more].concat())
}

#[test]
fn archives_with_the_only_sound_copies_of_what_is_damaged_stay_and_are_named() {
    let home = place();
    let home = home.path();
    let object = child(home);
    let mut content = fs::read(&object).unwrap();
    let whole = content.clone();
    let middle = content.len() / 2;
    content[middle..middle + 100].fill(0);
    fs::write(&object, content).unwrap();
    assert_eq!(
        narthex(home, &["check", "--read-data", "--repo", "r"]).code,
        3
    );

    for more in [&["--dry-run"][..], &[]] {
        let ran = forget(home, more);
        assert_eq!(ran.code, 3, "{}", ran.err);
        let named = format!("block {CHILD} is damaged in the archives that stay");
        assert!(ran.err.contains(&named), "{}", ran.err);
        assert!(
            ran.out.contains("holds what is damaged in others"),
            "{}",
            ran.out
        );
        assert!(ran.out.contains("0 archives"), "{}", ran.out);
    }
    let restored = narthex(home, &["restore", "latest", "--repo", "r", "--target", "t"]);
    assert_eq!(restored.code, 3, "{}", restored.err);
    assert_eq!(blocks_below(&home.join("t")).len(), 3);

    // By its id it stays as well; whoever gives the server up may let it go.
    let archives = narthex(home, &["archives", "--repo", "r", "--json"]).json();
    let id = archives["archives"][0]["id"].as_str().unwrap().to_owned();
    let named = narthex(home, &["forget", &id, "--repo", "r"]);
    assert_eq!(named.code, 3, "{}", named.err);
    assert!(named.out.contains("0 archives"), "{}", named.out);
    let said = format!("archive {} was named and stays: ", &id[..8]);
    assert!(named.err.contains(&said), "{}", named.err);
    let named = narthex(home, &["forget", &id, "--repo", "r", "--dry-run", "--json"]);
    assert_eq!(named.json()["held"][0].as_str(), Some(&*id));

    // What is healed holds nothing back.
    let data = fixture("blocks/child-of-three");
    let backup = [
        "backup",
        data.to_str().unwrap(),
        "--repo",
        "r",
        "--source",
        "s",
        "--host",
        "h",
    ];
    let healed = narthex(home, &backup);
    assert_eq!(healed.code, 0, "{}", healed.err);
    let ran = forget(home, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("2 archives removed"), "{}", ran.out);
    assert_ne!(fs::read(&object).ok(), Some(whole));
}

#[test]
fn what_is_gone_or_of_another_length_is_as_damaged_as_what_a_check_has_marked() {
    for way in ["gone", "short", "long"] {
        let home = place();
        let home = home.path();
        let object = child(home);
        let content = fs::read(&object).unwrap();
        match way {
            "gone" => fs::remove_file(&object).unwrap(),
            "short" => fs::write(&object, &content[..content.len() / 2]).unwrap(),
            _ => fs::write(&object, [&content[..], b"more"].concat()).unwrap(),
        }
        let ran = forget(home, &[]);
        assert_eq!(ran.code, 3, "{way}: {}", ran.err);
        let named = format!("block {CHILD} is damaged in the archives that stay");
        assert!(ran.err.contains(&named), "{way}: {}", ran.err);
        assert!(ran.out.contains("0 archives"), "{way}: {}", ran.out);
        narthex(home, &["restore", "latest", "--repo", "r", "--target", "t"]);
        assert!(!blocks_below(&home.join("t")).is_empty(), "{way}");
    }
}

#[test]
fn sound_repositories_let_go_of_what_their_policy_does_not_keep() {
    let home = place();
    let ran = forget(home.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("1 archives removed"), "{}", ran.out);
}
