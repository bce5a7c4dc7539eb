//! The dense codec as a user meets it: backups, restores, checks, exports, and reading commands on
//! archives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backup_command::narthex;
use crate::fixtures::{blocks, fixture, tree};

fn copy(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A directory with a repository `repo` in which the data directory `data` is archived: all blocks
/// of the fixtures.
fn archived(codec: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for block in blocks() {
        copy(&block, &data.join(block.file_name().unwrap()));
    }
    let ran = narthex(
        dir.path(),
        &["backup", "data", "--repo", "repo", "--codec", codec],
    );
    assert!([0, 3].contains(&ran.code), "{}", ran.err);
    (dir, data)
}

/// The blocks of the newest archive, as its manifest says.
fn manifest(dir: &Path) -> Vec<serde_json::Value> {
    let archives = dir.join("repo/archives");
    let newest = fs::read_dir(archives)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max()
        .unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
    manifest["blocks"].as_array().unwrap().clone()
}

#[test]
fn every_block_of_the_fixtures_comes_back_as_it_was_from_either_codec() {
    let mut stored = BTreeMap::new();
    for codec in ["dense", "portable"] {
        let (dir, data) = archived(codec);
        let restore = ["restore", "latest", "--repo", "repo", "--target", "back"];
        let ran = narthex(dir.path(), &restore);
        assert_eq!(ran.code, 0, "{}", ran.err);
        // A data directory holds no block that another one names as its parent.
        let back = tree(&dir.path().join("back"));
        let all = tree(&data);
        assert!(back.len() > 60);
        for (name, content) in &back {
            assert_eq!(&all[name], content, "{name}");
        }
        for block in manifest(dir.path()) {
            let ulid = block["ulid"].as_str().unwrap();
            let count = |tree: &BTreeMap<String, Vec<u8>>| {
                tree.keys().filter(|name| name.starts_with(ulid)).count()
            };
            assert_eq!(count(&back), count(&all), "{ulid}");
            assert_eq!(block["object"]["codec"], codec);
        }
        let check = narthex(dir.path(), &["check", "--repo", "repo", "--read-data"]);
        assert_eq!(check.code, 0, "{}", check.out);
        let stats = narthex(dir.path(), &["stats", "--repo", "repo", "--json"]).json();
        assert_eq!(stats["codecs"][0]["codec"], codec);
        stored.insert(codec, stats["totals"]["stored_bytes"].as_u64().unwrap());
    }
    assert!(stored["dense"] * 3 < stored["portable"] * 2, "{stored:?}");
}

#[test]
fn an_unchanged_block_is_not_packed_again() {
    let (dir, _) = archived("dense");
    let again = narthex(dir.path(), &["backup", "data", "--repo", "repo", "--json"]).json();
    assert_eq!(
        (&again["new_blocks"], &again["read_bytes"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn statistics_say_where_the_bytes_of_packs_are() {
    let (dir, _) = archived("dense");
    let stats = narthex(dir.path(), &["stats", "--repo", "repo", "--json"]).json();
    let parts = stats["parts"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|part| part["bytes"].as_u64().unwrap())
        .sum();
    let packs: u64 = manifest(dir.path())
        .iter()
        .flat_map(|block| block["packs"].as_array().unwrap())
        .map(|pack| pack["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, packs, "every byte belongs to some part");
    let quick = narthex(
        dir.path(),
        &["stats", "--repo", "repo", "--json", "--quick"],
    )
    .json();
    assert_eq!(quick["totals"], stats["totals"]);
    assert!(quick["parts"].as_array().unwrap().is_empty());
}

#[test]
fn a_block_is_exported_as_a_tar_that_tar_extracts() {
    for codec in ["dense", "portable"] {
        let (dir, data) = archived(codec);
        for block in manifest(dir.path()) {
            let ulid = block["ulid"].as_str().unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
                .args(["export", ulid, "--repo", "repo"])
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let out = dir.path().join("out");
            tar::Archive::new(&output.stdout[..]).unpack(&out).unwrap();
            assert_eq!(tree(&out.join(ulid)), tree(&data.join(ulid)));
        }
    }
}

#[test]
fn reading_commands_say_the_same_of_an_archive_as_of_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("night-2"), &dir.path().join("data"));
    let ran = narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let block = "01M80FP6SVCTE08DH9VF94DFK4";
    // Without what the archive leaves out the directory is the archive.
    for name in ["chunks_head", "lock", "queries.active"] {
        let path = dir.path().join("data").join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
    let stored = ["--archive", "latest", "--repo", "repo"];
    let of_block = format!("data/{block}");
    let cases: [(&[&str], &[&str]); 6] = [
        (&["list"], &["data"]),
        (&["inspect"], &[&of_block]),
        (&["dump", "--match", "up"], &["data"]),
        (&["dump", "--format", "json"], &[&of_block]),
        (&["verify"], &["data"]),
        (&["verify", "--quick"], &[&of_block]),
    ];
    for (command, path) in cases {
        let direct = narthex(dir.path(), &[command, path].concat());
        let named: &[&str] = if path[0] == "data" { &[] } else { &[block] };
        let of_archive = narthex(dir.path(), &[command, named, &stored].concat());
        assert_eq!(
            of_archive.code, direct.code,
            "{command:?}: {}",
            of_archive.err
        );
        // Paths differ, and of the log of an archive less is known.
        let facts = |text: &str| {
            let lines = text.lines().filter(|line| {
                !["wal", "wbl", "LOG ", "head:"]
                    .iter()
                    .any(|log| line.contains(log))
            });
            lines
                .map(|line| line.split("01M").last().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (found, wanted) = (facts(&of_archive.out), facts(&direct.out));
        assert_eq!(found.len(), wanted.len(), "{command:?}: {}", of_archive.out);
        assert!(command[0] == "verify" || found == wanted, "{command:?}");
    }
    let missing = narthex(
        dir.path(),
        &[&["list", "01M7ZTB71NJ67GWWE5SXTVHFTH"], &stored[..]].concat(),
    );
    assert_eq!(missing.code, 1, "{}", missing.out);
    let no_ulid = narthex(dir.path(), &[&["list", "data"], &stored[..]].concat());
    assert!(no_ulid.err.contains("expected the ULID"), "{}", no_ulid.err);
}

#[test]
fn a_block_that_cannot_be_packed_is_stored_whole_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let name = "01M80FJGSDDJPV4DWFG2XR4VJ2";
    let block = dir.path().join("data").join(name);
    copy(&fixture("night-1").join(name), &block);
    let segment = block.join("chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3000] ^= 0x10;
    fs::write(&segment, &bytes).unwrap();
    let ran = narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains(name), "{}", ran.err);
    assert_eq!(manifest(dir.path())[0]["object"]["codec"], "portable");
    let restore = ["restore", "latest", "--repo", "repo", "--target", "back"];
    assert_eq!(narthex(dir.path(), &restore).code, 3);
    assert_eq!(tree(&dir.path().join("back").join(name)), tree(&block));
}

#[test]
fn an_index_that_does_not_follow_from_the_chunks_is_kept_whole_beside_the_pack() {
    let dir = tempfile::tempdir().unwrap();
    let name = "01M80FJGSDDJPV4DWFG2XR4VJ2";
    let block = dir.path().join("data").join(name);
    copy(&fixture("night-1").join(name), &block);
    // Version 3 is read like 2, and nobody writes it.
    let mut index = fs::read(block.join("index")).unwrap();
    index[4] = 3;
    fs::write(block.join("index"), &index).unwrap();
    narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    let stored = &manifest(dir.path())[0];
    assert_eq!(stored["object"]["codec"], "dense");
    let files = stored["files"].as_array().unwrap();
    let packed: Vec<_> = files
        .iter()
        .filter(|file| file["packed"] == true)
        .map(|file| &file["name"])
        .collect();
    assert_eq!(packed, ["chunks/000001"]);
    let restore = ["restore", "latest", "--repo", "repo", "--target", "back"];
    assert_eq!(narthex(dir.path(), &restore).code, 0);
    assert_eq!(tree(&dir.path().join("back").join(name)), tree(&block));
}

#[test]
fn a_damaged_pack_is_found_and_costs_only_its_block() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("night-1"), &dir.path().join("data"));
    narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    let hit = &manifest(dir.path())[0];
    let (ulid, pack) = (
        hit["ulid"].as_str().unwrap(),
        hit["packs"][0]["name"].as_str().unwrap(),
    );
    let path = dir.path().join("repo").join(pack);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let check = narthex(
        dir.path(),
        &["check", "--repo", "repo", "--read-data", "--json"],
    );
    assert_eq!(check.code, 3);
    let finding = &check.json()["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["object"]),
        (&"object-damaged".into(), &pack.into())
    );
    assert_eq!(finding["blocks"][0], ulid);
    let restore = ["restore", "latest", "--repo", "repo", "--target", "back"];
    let ran = narthex(dir.path(), &restore);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err.contains(ulid) && ran.err.contains(pack),
        "{}",
        ran.err
    );
    assert!(!dir.path().join("back").join(ulid).exists());
    assert_eq!(
        fs::read_dir(dir.path().join("back")).unwrap().count(),
        3,
        "two blocks and the WAL"
    );
    fs::remove_file(&path).unwrap();
    let check = narthex(dir.path(), &["check", "--repo", "repo", "--json"]);
    assert_eq!(check.json()["findings"][0]["kind"], "object-missing");
}
