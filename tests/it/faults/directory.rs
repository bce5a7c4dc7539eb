//! What blocks say of one another, and what else lies in a data directory.

use std::fs;
use std::path::Path;

use narthex::progress::Silent;
use narthex::verify::{Finding, VerifyOptions, verify};

use super::is_problem;
use crate::fixtures;
use crate::sick::{Sick, ULID, copy};

fn kinds_in(dir: &Path) -> Vec<(&'static str, String)> {
    let verdict = verify(dir, VerifyOptions::default(), &Silent).unwrap();
    let name = |f: &Finding| f.path.file_name().unwrap().display().to_string();
    verdict
        .findings
        .iter()
        .map(|f| (f.kind.id(), name(f)))
        .collect()
}

#[test]
fn blocks_that_are_there_twice() {
    let sick = Sick::copy_of("blocks/tiny");
    let second = "01M7ZTB71NJ67GWWE5SXTVHFTJ";
    copy(&sick.dir, &sick.parent().join(second));
    let found = kinds_in(sick.parent());
    assert_eq!(found, [("ulid-duplicate", second.to_owned())]);

    // Another ULID, but the same sources.
    let meta = sick.parent().join(second).join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.replacen("HFTH", "HFTJ", 1)).unwrap();
    let found = kinds_in(sick.parent());
    assert!(
        found.contains(&("sources-duplicate", second.to_owned())),
        "{found:?}"
    );
    assert!(
        found.contains(&("blocks-overlap", second.to_owned())),
        "{found:?}"
    );
}

#[test]
fn parents_beside_their_child() {
    let root = tempfile::tempdir().unwrap();
    let mut parents = Vec::new();
    for fixture in ["blocks/parents-three", "blocks/child-of-three"] {
        for dir in fixtures::blocks_below(&fixtures::fixture(fixture)) {
            let name = dir.file_name().unwrap().to_owned();
            copy(&dir, &root.path().join(&name));
            if fixture.contains("parents") {
                parents.push(("parent-present", name.into_string().unwrap()));
            }
        }
    }
    parents.sort();
    let found = kinds_in(root.path());
    let present: Vec<_> = found
        .iter()
        .filter(|(kind, _)| kind.starts_with("parent"))
        .cloned()
        .collect();
    assert_eq!(present, parents);

    // A child that lacks one of their sources.
    let child = fixtures::blocks_below(&fixtures::fixture("blocks/child-of-three")).remove(0);
    let meta = root
        .path()
        .join(child.file_name().unwrap())
        .join("meta.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    json["compaction"]["sources"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    fs::write(&meta, json.to_string()).unwrap();
    let found = kinds_in(root.path());
    assert!(
        found.contains(&("parent-uncovered", parents[0].1.clone())),
        "{found:?}"
    );
}

#[test]
fn a_data_directory_as_it_really_looks() {
    for night in ["night-1", "night-2", "wal/out-of-order"] {
        let dir = fixtures::fixture(night);
        let verdict = verify(&dir, VerifyOptions::default(), &Silent).unwrap();
        let all: Vec<_> = verdict.all_findings().filter(|f| is_problem(f)).collect();
        assert!(all.is_empty(), "{night}: {all:#?}");
    }
    let root = tempfile::tempdir().unwrap();
    copy(&fixtures::fixture("night-1"), root.path());
    fs::create_dir(root.path().join("lost+found")).unwrap();
    fs::create_dir(
        root.path()
            .join("01M80FKE4V4C8GPJHYD9T1D87F.tmp-for-deletion"),
    )
    .unwrap();
    fs::create_dir(root.path().join("tmp_dbro_sandbox7")).unwrap();
    let found = kinds_in(root.path());
    for kind in ["foreign-entry", "leftover-directory", "sandbox"] {
        assert!(found.iter().any(|(id, _)| *id == kind), "{kind}: {found:?}");
    }
    let wal = root.path().join("wal");
    let mut segments: Vec<_> = fs::read_dir(&wal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    segments.sort();
    let first = segments.iter().find(|path| path.is_file()).unwrap();
    let mut bytes = fs::read(first).unwrap();
    bytes[100] ^= 1;
    fs::write(first, bytes).unwrap();
    let found = kinds_in(root.path());
    assert!(
        found.iter().any(|(id, _)| id.starts_with("wal-")),
        "{found:?}"
    );
}

#[cfg(unix)]
#[test]
fn odd_names_and_links_of_blocks() {
    let sick = Sick::copy_of("blocks/tiny");
    let lower = sick.parent().join(ULID.to_lowercase());
    fs::rename(&sick.dir, &lower).unwrap();
    let found = kinds_in(sick.parent());
    assert_eq!(found, [("block-misspelled", ULID.to_lowercase())]);

    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&lower, elsewhere.path().join("block")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("block"), sick.dir.clone()).unwrap();
    let found = kinds_in(sick.parent());
    assert!(
        found.contains(&("block-symlink", ULID.to_owned())),
        "{found:?}"
    );
}
