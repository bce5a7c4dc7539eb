//! `narthex list`: what is shown of healthy, odd and broken directories.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value as Json;

use crate::fixtures::fixture;
use crate::reading::{Copy, narthex};

#[test]
fn a_data_directory_is_listed_by_time_with_what_else_lies_there() {
    let ran = narthex(&["list", "night-2"]);
    insta::assert_snapshot!(ran.out);
    assert_eq!((ran.code, &*ran.err), (0, ""));
}

#[test]
fn parents_that_are_still_there_are_superseded_and_do_not_overlap() {
    let copy = Copy::of("blocks/parents-three").with("blocks/child-of-three");
    insta::assert_snapshot!(copy.narthex("list", &[]).out);
}

#[test]
fn overlaps_are_marked() {
    let copy = Copy::of("blocks/overlap-a").with("blocks/overlap-xor2");
    insta::assert_snapshot!(copy.narthex("list", &[]).out);
}

#[test]
fn blocks_named_one_by_one_are_listed_together_and_directories_apart() {
    let parents = fixture("blocks/parents-three");
    let mut paths: Vec<String> = fs::read_dir(&parents)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    paths.sort();
    let mut arguments = vec!["list", "--json", "blocks/tiny"];
    arguments.extend(paths.iter().map(String::as_str));
    let listed: Json = serde_json::from_str(&narthex(&arguments).out).unwrap();
    let directories = listed["directories"].as_array().unwrap();
    let blocks = |i: usize| directories[i]["blocks"].as_array().unwrap().len();
    assert_eq!((directories.len(), blocks(0), blocks(1)), (2, 1, 3));
    assert_eq!(directories[1]["path"], parents.display().to_string());
}

#[test]
fn json_has_a_fixed_set_of_keys() {
    let listed: Json = serde_json::from_str(&narthex(&["list", "--json", "night-1"]).out).unwrap();
    let directory = &listed["directories"][0];
    insta::assert_snapshot!(serde_json::to_string_pretty(&directory["blocks"][0]).unwrap());
    assert_eq!(directory["place"], "data directory");
    let keys =
        |value: &Json| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let expected = [
        "path",
        "place",
        "blocks",
        "heads",
        "logs",
        "unreadable",
        "others",
        "totals",
    ];
    assert_eq!(keys(directory), expected.map(str::to_owned).into());
    let expected = [
        "blocks",
        "min_time",
        "max_time",
        "chunks",
        "samples",
        "index_bytes",
        "chunk_bytes",
        "bytes_per_sample",
    ];
    assert_eq!(
        keys(&directory["totals"]),
        expected.map(str::to_owned).into()
    );
}

#[test]
fn a_block_that_cannot_be_read_is_listed_with_the_reason() {
    let copy = Copy::of("blocks/tiny").with("blocks/child-of-three");
    copy.edit("meta.json", |meta| meta.truncate(20));
    let ran = copy.narthex("list", &[]);
    assert_eq!(ran.code, 3);
    let name = copy.block.file_name().unwrap().to_str().unwrap();
    let line = ran
        .out
        .lines()
        .find(|line| line.starts_with("unreadable:"))
        .unwrap();
    assert!(
        line.contains(name) && line.contains("expected block metadata as JSON"),
        "{line}"
    );
    assert!(ran.out.contains("total: 1 block,"), "{}", ran.out);
    let listed: Json = serde_json::from_str(&copy.narthex("list", &["--json"]).out).unwrap();
    let reason = &listed["directories"][0]["unreadable"][0]["reason"];
    assert!(reason.as_str().unwrap().contains("meta.json"), "{reason}");
}

#[test]
fn a_block_without_an_index_or_under_another_name_is_noted() {
    let copy = Copy::of("blocks/tiny");
    fs::remove_file(copy.block.join("index")).unwrap();
    let other = copy.path().join("01M7ZTB71NJ67GWWE5SXTVHFTZ");
    fs::rename(&copy.block, &other).unwrap();
    let ran = copy.narthex("list", &[]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.out
            .contains("index missing; directory is called 01M7ZTB71NJ67GWWE5SXTVHFTZ"),
        "{}",
        ran.out
    );
}

#[test]
fn left_overs_and_strangers_are_named() {
    let copy = Copy::of("blocks/tiny");
    let name = copy.block.file_name().unwrap().to_str().unwrap().to_owned();
    fs::create_dir(copy.path().join(format!("{name}.tmp-for-deletion"))).unwrap();
    fs::write(copy.path().join("notes.txt"), "twelve bytes").unwrap();
    let ran = copy.narthex("list", &[]);
    let expected = format!(
        "also there: {name}.tmp-for-deletion (block being deleted), notes.txt 12 B (not Prometheus')\n"
    );
    assert!(ran.out.ends_with(&expected), "{}", ran.out);
    assert_eq!(ran.code, 0);
}

#[test]
fn a_directory_without_blocks_is_an_error_not_an_empty_table() {
    let dir = tempfile::tempdir().unwrap();
    let ran = narthex(&["list", dir.path().to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(
        ran.err.contains("expected a Prometheus data directory"),
        "{}",
        ran.err
    );
}

#[test]
fn nothing_is_written_into_the_directory() {
    let copy = Copy::of("blocks/tiny");
    let entries = || fs::read_dir(copy.path()).unwrap().count();
    let before = entries();
    copy.narthex("list", &[]);
    copy.narthex("dump", &[]);
    assert_eq!(entries(), before);
}
