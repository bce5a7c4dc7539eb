//! Single flipped bits in `meta.json` that leave it valid and say something else: nearly all are
//! found, since something contradicts them.

use std::fs;

use narthex::block::Meta;
use narthex::progress::Silent;
use narthex::verify::{Depth, VerifyOptions, verify_block};

use crate::backup_command::narthex;
use crate::fixtures::{blocks_below, fixture};
use crate::sick::copy;

/// Every so-many-th bit is flipped: all places and all bits of a byte have their turn.
const STEP: usize = 7;

/// Of a hundred flips with meaning, so many must be found.
const WANTED: usize = 90;

/// The flips in the metadata of one block: how many mean something else, and those of them that
/// nothing contradicts.
fn flips(block: &std::path::Path, step: usize) -> (usize, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(block.file_name().unwrap());
    copy(block, &dir);
    let path = dir.join("meta.json");
    let healthy = fs::read(&path).unwrap();
    let meaning = Meta::parse(&healthy).unwrap();
    let (mut meant, mut missed) = (0, Vec::new());
    let options = VerifyOptions {
        depth: Depth::Quick,
        ..VerifyOptions::default()
    };
    for bit in (0..healthy.len() * 8).step_by(step) {
        let mut bytes = healthy.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if !Meta::parse(&bytes).is_ok_and(|meta| meta != meaning) {
            continue;
        }
        meant += 1;
        fs::write(&path, &bytes).unwrap();
        let verdict = verify_block(&dir, options, &Silent).unwrap();
        if !verdict.findings.has_problems() {
            let from = (bit / 8).saturating_sub(24);
            let to = (bit / 8 + 12).min(bytes.len());
            missed.push(String::from_utf8_lossy(&bytes[from..to]).replace(['\n', '\t'], " "));
        }
    }
    (meant, missed)
}

#[test]
fn nearly_every_flipped_bit_with_a_meaning_is_found() {
    let (mut meant, mut missed) = (0, Vec::new());
    let (blocks, step) = match std::env::var_os("NARTHEX_META_BLOCKS") {
        Some(more) => (blocks_below(more.as_ref()), 1),
        None => (blocks_below(&fixture("night-2")), STEP),
    };
    for block in blocks {
        let (all, unfound) = flips(&block, step);
        meant += all;
        missed.extend(unfound);
    }
    assert!(meant > 500, "{meant} flips");
    eprintln!("{} of {meant} missed", missed.len());
    assert!(
        missed.len() * 100 <= meant * (100 - WANTED),
        "{} of {meant} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

/// Two nights, the second with another number in the metadata of one block, in a way that nothing
/// in the block contradicts.
#[test]
fn what_older_archives_say_of_a_block_otherwise_is_found() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for block in blocks_below(&fixture("blocks/parents-three")) {
        copy(&block, &data.join(block.file_name().unwrap()));
    }
    let run = |arguments: &[&str]| narthex(root.path(), arguments);
    let backup = [
        "backup",
        "data",
        "--repo",
        "repo",
        "--source",
        "s",
        "--state-dir",
        "state",
    ];
    assert_eq!(
        run(&["init", "--repo", "repo", "--state-dir", "state"]).code,
        0
    );
    assert_eq!(run(&backup).code, 0);
    let again = run(&backup);
    assert_eq!(again.code, 0, "{}", again.err);
    let block = blocks_below(&data).remove(0);
    let path = block.join("meta.json");
    let mut meta: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // Deletions are counted anew.
    meta["stats"]["numTombstones"] = 1.into();
    fs::write(&path, meta.to_string()).unwrap();
    let ran = run(&backup);
    assert!(!ran.err.contains("contradicts"), "{}", ran.err);
    meta["maxTime"] = (meta["maxTime"].as_i64().unwrap() + 64).into();
    fs::write(&path, meta.to_string()).unwrap();
    let ran = run(&backup);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let ulid = block.file_name().unwrap().to_str().unwrap();
    assert!(
        ran.err.contains(&format!(
            "{ulid} is archived, but its meta.json contradicts"
        )),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("maxTime "), "{}", ran.err);
    let ran = run(&["check", "--repo", "repo"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(
        ran.out.contains("block-disputed") && ran.out.contains(ulid),
        "{}",
        ran.out
    );
    let ran = run(&["archives", "--repo", "repo", "--json"]);
    let archives: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let id = |at: usize| archives["archives"][at]["id"].as_str().unwrap().to_owned();
    let ran = run(&["diff", &id(0), &id(3), "--repo", "repo"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err.contains("another meta.json: maxTime"),
        "{}",
        ran.err
    );
    assert_eq!(run(&["diff", &id(0), &id(1), "--repo", "repo"]).code, 0);
}
