//! meta.json and tombstones.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use narthex::chunk::Encoding;
use narthex::verify::Depth;
use serde_json::json;

use super::{NEW, SEGMENT, assert_found, assert_noted, findings, is_problem};
use crate::sick::{Loose, LooseChunk, Sick, ULID, floats, seal};

#[test]
fn metadata_that_cannot_be_read() {
    for (content, kind) in [
        (&b""[..], "meta-malformed"),
        (b"{\"ulid\": \"01M7", "meta-malformed"),
        (&[0; 300], "meta-malformed"),
        (
            br#"{"ulid":"01M7ZTB71NJ67GWWE5SXTVHFTH","version":7}"#,
            "meta-version",
        ),
    ] {
        let sick = Sick::copy_of("blocks/tiny");
        sick.write("meta.json", content);
        let found = findings(&sick.dir, Depth::Full);
        assert!(
            found
                .iter()
                .any(|f| f.kind.id() == kind && f.path == sick.path("meta.json"))
        );
    }
    let sick = Sick::copy_of("blocks/tiny");
    sick.remove("meta.json");
    assert_found(&sick, &[("meta-missing", "meta.json", None)]);
}

#[test]
fn metadata_that_is_not_true() {
    let meta = "meta.json";
    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["stats"]["numSamples"] = json!(7));
    assert_found(&sick, &[("meta-stats", meta, None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["maxTime"] = json!(meta["maxTime"].as_i64().unwrap() - 120_000));
    assert_found(&sick, &[("chunk-outside-block", "index", None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["minTime"] = json!(meta["maxTime"].as_i64().unwrap() + 1));
    assert_found(&sick, &[("meta-range", meta, None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| {
        meta["ulid"] = json!(ULID);
        meta["compaction"]["sources"] = json!([ULID]);
    });
    assert_found(&sick, &[("meta-ulid", meta, None)]);

    let (sick, other) = (Sick::copy_of("blocks/tiny"), Sick::copy_of(NEW));
    sick.write(meta, &other.read(meta));
    let found = findings(&sick.dir, Depth::Full);
    let kinds: BTreeSet<_> = found
        .iter()
        .filter(|f| is_problem(f))
        .map(|f| f.kind.id())
        .collect();
    assert!(
        kinds.contains("meta-ulid") && kinds.contains("meta-stats"),
        "{kinds:?}"
    );

    for change in [
        |compaction: &mut serde_json::Value| compaction["level"] = json!(0),
        |compaction: &mut serde_json::Value| compaction["sources"] = json!([]),
        |compaction: &mut serde_json::Value| compaction["sources"] = json!([ULID]),
    ] {
        let sick = Sick::copy_of(NEW);
        sick.edit_meta(|meta| change(&mut meta["compaction"]));
        assert_found(&sick, &[("meta-lineage", meta, None)]);
    }
}

#[test]
fn states_that_are_legal_are_noted_only() {
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["deletable"] = json!(true));
    assert_noted(&sick, "block-deletable");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["hints"] = json!(["from-the-future"]));
    assert_noted(&sick, "meta-hint");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["version"] = json!(2));
    assert_noted(&sick, "meta-version-2");
    let sick = Sick::copy_of("blocks/tiny");
    sick.remove("tombstones");
    assert_noted(&sick, "tombstones-missing");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["failed"] = json!(true));
    assert_noted(&sick, "block-failed");
}

/// A chunk of aggregates with a count and nothing else.
fn count_only(encoding: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap();
    assert!(length < 128, "one byte of length");
    [&[length, encoding], data, &[0; 4]].concat()
}

#[test]
fn aggregates_that_cannot_be_are_found() {
    let with = |change: &dyn Fn(&mut LooseChunk)| {
        let mut loose = Loose::healthy();
        let chunk = &mut loose.series[0].chunks[0];
        chunk.encoding = 255;
        chunk.data = count_only(1, &chunk.data);
        change(chunk);
        let sick = loose.write();
        sick.edit_meta(|meta| meta["thanos"] = json!({"downsample": {"resolution": 300_000}}));
        findings(&sick.dir, Depth::Full)
            .into_iter()
            .filter(is_problem)
            .map(|finding| finding.kind.id())
            .collect::<Vec<_>>()
    };
    assert!(with(&|_| ()).is_empty());
    assert_eq!(with(&|chunk| chunk.max -= 1), ["chunk-time"]);
    assert_eq!(with(&|chunk| chunk.data[1] = 255), ["chunk-encoding"]);
    assert_eq!(with(&|chunk| chunk.data[0] += 9), ["chunk-malformed"]);
    assert_eq!(with(&|chunk| chunk.data = vec![0; 5]), ["chunk-malformed"]);
    // Two times the same: a counter may end so, a count may not.
    let repeated = |at: usize| {
        move |chunk: &mut LooseChunk| {
            let twice = floats(Encoding::Xor, [chunk.min, chunk.max, chunk.max]);
            let mut data = vec![0; at];
            data.extend([u8::try_from(twice.data.len()).unwrap(), 1]);
            data.extend(&twice.data);
            data.resize(data.len() + 4 - at, 0);
            chunk.data = data;
        }
    };
    assert_eq!(with(&repeated(0)), ["chunk-order"]);
    assert!(with(&repeated(4)).is_empty());
}

#[test]
fn blocks_of_thanos() {
    let mut loose = Loose::healthy();
    for chunk in loose
        .series
        .iter_mut()
        .flat_map(|series| &mut series.chunks)
    {
        chunk.encoding = 255;
        chunk.data = count_only(1, &chunk.data);
    }
    let sick = loose.write();
    sick.edit_meta(|meta| meta["thanos"] = json!({"downsample": {"resolution": 300_000}}));
    assert_noted(&sick, "block-downsampled");

    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| {
        meta["thanos"] = json!({"files": [
            {"rel_path": "index", "size_bytes": 276},
            {"rel_path": "chunks/000001", "size_bytes": 68},
            {"rel_path": "../../etc/passwd", "size_bytes": 1},
            {"rel_path": "meta.json"},
        ]});
    });
    assert_found(&sick, &[("declared-size", SEGMENT, None)]);
}

/// Declared files are read when they are files of the block, and no further than they are declared.
#[test]
fn declared_hashes_of_what_never_ends_are_not_waited_for() {
    let sick = Sick::copy_of("blocks/tiny");
    let made = Command::new("mkfifo").arg(sick.path("pipe")).status();
    assert!(made.unwrap().success());
    symlink("/dev/zero", sick.path("zeros")).unwrap();
    symlink("index", sick.path("link")).unwrap();
    let size = fs::metadata(sick.path("index")).unwrap().len();
    sick.edit_meta(|meta| {
        let file = |name: &str, size: u64| {
            json!({"rel_path": name, "size_bytes": size, "hash": {"func": "SHA256", "value": "00"}})
        };
        let mut files = vec![file("pipe", 0), file("zeros", 0), file("link", size)];
        files.extend((0..10_000).map(|_| file("index", size)));
        meta["thanos"] = json!({"files": files});
    });
    let found = findings(&sick.dir, Depth::Full);
    let of = |kind: &str| {
        let named = found.iter().filter(|f| f.kind.id() == kind);
        let names = named.map(|f| f.path.file_name().unwrap().to_str().unwrap());
        names.collect::<Vec<_>>()
    };
    assert_eq!(of("declared-size"), ["pipe", "zeros"]);
    assert_eq!(of("declared-hash"), ["index"]);
}

/// Nothing is kept for parents that are not there.
#[test]
fn any_number_of_parents_and_sources() {
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| {
        let name = |number: usize| format!("01M7ZSW06MPETEKCNDX{number:07}");
        let parent = |number| json!({"ulid": name(number), "minTime": 0, "maxTime": 1});
        let compaction = &mut meta["compaction"];
        compaction["parents"] = (0..30_000).map(parent).collect();
        compaction["sources"] = (0..30_000).map(|number| json!(name(number))).collect();
    });
    let found = findings(&sick.dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind.id().starts_with("meta-")),
        "{found:?}"
    );
}

#[test]
fn tombstones_that_are_damaged_or_senseless() {
    for content in [
        &b""[..],
        &[0x01, 0x30, 0xba, 0x30],
        &[0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0],
    ] {
        let sick = Sick::copy_of("blocks/tiny");
        sick.write("tombstones", content);
        assert_found(&sick, &[("tombstones-malformed", "tombstones", None)]);
    }
    let with = |records: &[u8]| {
        let sick = Sick::copy_of("blocks/tiny");
        sick.edit_meta(|meta| meta["stats"]["numTombstones"] = json!(1));
        let mut content = [&[0x01, 0x30, 0xba, 0x30, 1][..], records, &[0; 4]].concat();
        let end = content.len() - 4;
        seal(&mut content, 5, end);
        sick.write("tombstones", &content);
        sick
    };
    assert_found(&with(&[3, 2, 4]), &[]);
    assert_found(
        &with(&[4, 2, 4]),
        &[("tombstone-series", "tombstones", None)],
    );
    assert_found(
        &with(&[3, 4, 2]),
        &[("tombstone-range", "tombstones", None)],
    );
    let sick = with(&[3, 2, 4]);
    sick.flip("tombstones", 6);
    assert_found(&sick, &[("tombstones-checksum", "tombstones", None)]);
}
