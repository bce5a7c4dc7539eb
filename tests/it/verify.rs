//! `narthex verify` as a command: exit codes, streams, text and JSON.

use assert_cmd::Command;
use serde_json::Value as Json;

use crate::fixtures::fixture;
use crate::sick::{Sick, copy};

fn narthex() -> Command {
    let mut command = Command::cargo_bin("narthex").unwrap();
    command.arg("verify");
    command
}

/// A block with one damaged chunk.
fn damaged() -> Sick {
    let sick = Sick::copy_of("blocks/tiny");
    sick.flip("chunks/000001", 20);
    sick
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[test]
fn a_healthy_block_is_healthy_for_scripts_and_people() {
    let output = narthex()
        .arg(fixture("blocks/tiny"))
        .assert()
        .code(0)
        .stderr("");
    let said = text(&output.get_output().stdout);
    assert!(
        said.ends_with(": healthy; 1 block, 6 samples, 343 B\n"),
        "{said}"
    );
}

#[test]
fn a_damaged_block_is_named_with_place_series_loss_and_consequence() {
    let sick = damaged();
    let output = narthex().arg(&sick.dir).assert().code(3).stderr("");
    let said = text(&output.get_output().stdout);
    let line = said.lines().next().unwrap();
    for part in [
        "damaged",
        "chunk-checksum",
        "chunks/000001 at 8 (chunk)",
        r#"up{job="a"}"#,
        "3 samples in 1 chunk from 2023-11-14 22:13:20Z to 2023-11-14 22:13:50Z",
        "Prometheus: fails queries that touch it",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn json_has_every_finding_with_the_documented_keys() {
    let sick = damaged();
    let output = narthex().arg("--json").arg(&sick.dir).assert().code(3);
    let said: Json = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let verdict = &said["verified"][0];
    assert_eq!(verdict["healthy"], false);
    let block = &verdict["blocks"][0];
    assert_eq!(
        (&block["verdict"], &block["problems"]),
        (&"damaged".into(), &1.into())
    );
    let finding = &block["findings"][0];
    assert_eq!(finding["kind"], "chunk-checksum");
    assert_eq!(finding["offset"], 8);
    assert_eq!(finding["min_time"], 1_700_000_000_000_i64);
    assert_eq!(finding["series"], r#"up{job="a"}"#);
}

#[test]
fn a_path_that_cannot_be_looked_at_fails_after_the_others_were_verified() {
    let output = narthex()
        .args([fixture("blocks/missing"), fixture("blocks/tiny")])
        .assert()
        .code(1);
    let output = output.get_output();
    assert!(text(&output.stdout).contains("healthy"));
    assert!(text(&output.stderr).contains("blocks/missing"));
}

#[test]
fn notes_are_shown_on_request_only_and_are_no_problem() {
    let sick = Sick::copy_of("blocks/tiny");
    sick.remove("tombstones");
    for (with_notes, shown) in [(false, false), (true, true)] {
        let mut command = narthex();
        if with_notes {
            command.arg("--notes");
        }
        let output = command.arg(&sick.dir).assert().code(0);
        let said = text(&output.get_output().stdout);
        assert_eq!(said.contains("tombstones-missing"), shown, "{said}");
    }
}

#[test]
fn reading_instead_of_mapping_and_looking_quickly_find_the_same_damage() {
    let sick = damaged();
    for option in ["--no-mmap", "--quick", "--threads=1"] {
        narthex().arg(option).arg(&sick.dir).assert().code(3);
    }
}

#[test]
fn samples_of_series_that_the_log_does_not_define_are_counted_and_a_log_is_always_named() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    copy(&fixture("wal/live-snappy"), &data);
    let said = |dir: &std::path::Path, code| {
        let output = narthex().arg("--json").arg(dir).assert().code(code);
        let said: Json = serde_json::from_slice(&output.get_output().stdout).unwrap();
        said["verified"][0].clone()
    };
    let sound = said(&data, 0);
    let wal = &sound["logs"][0];
    assert_eq!(
        (&wal["log"], &wal["samples"]),
        (&"wal".into(), &40_706.into())
    );
    assert_eq!(
        (&wal["unknown_samples"], &wal["torn_bytes"]),
        (&0.into(), &0.into())
    );
    assert_eq!(sound["logs"][1]["log"], "wbl");

    std::fs::write(data.join("wal/checkpoint.00000008/00000000"), b"").unwrap();
    let empty = said(&data, 3);
    let lost = empty["logs"][0]["unknown_samples"].as_u64().unwrap();
    assert!(lost > 30_000, "{lost}");
    let findings = empty["findings"].as_array().unwrap();
    let kinds: Vec<_> = findings
        .iter()
        .map(|f| f["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"wal-checkpoint-empty"), "{kinds:?}");
    let unknown = findings
        .iter()
        .find(|f| f["kind"] == "wal-unknown-series")
        .unwrap();
    assert_eq!(unknown["samples"], lost);
    assert!(unknown["min_time"].is_i64());
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .contains(" series that nothing before them defines")
    );
}

#[test]
fn a_wbl_without_its_wal_is_lost_and_a_torn_tail_is_a_note() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    copy(&fixture("wal/live-snappy"), &data);
    let last = data.join("wal/00000011");
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() - 40_000]).unwrap();
    let output = narthex().args(["--notes"]).arg(&data).assert().code(0);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("wal-torn") && said.contains("the record is torn after"),
        "{said}"
    );

    std::fs::remove_dir_all(data.join("wal")).unwrap();
    let output = narthex().arg(&data).assert().code(3);
    let said = text(&output.get_output().stdout);
    assert!(
        said.contains("wal-unknown-series") && said.contains("; 114 samples from"),
        "{said}"
    );
}
