//! The command: what it prints, in each format, of directories and archives.

use narthex::report::analyze::SHEETS;
use narthex::report::{Extent, Value};

use super::*;

#[test]
fn a_real_block_is_shown_at_a_glance() {
    let ran = narthex(&[
        "analyze",
        "night-1/01M80FKE4V4C8GPJHYD9T1D87F",
        "--extended",
        "--top",
        "3",
    ]);
    insta::assert_snapshot!(ran.out);
    assert_eq!((ran.code, &*ran.err), (0, ""));
}

#[test]
fn json_csv_and_markdown_hold_the_same_rows() {
    let block = "blocks/child-of-three";
    let help = narthex(&["analyze", "--help"])
        .out
        .replace(char::is_whitespace, "");
    let tables = SHEETS.iter().map(|sheet| sheet.name());
    for table in tables.chain(["label=instance"]) {
        assert!(help.contains(table.trim_end_matches("instance")), "{table}");
        let run = |form: &str| narthex(&["analyze", block, "--by", table, form]);
        let json: Json = serde_json::from_str(&run("--json").out).unwrap();
        let rows = json.as_array().unwrap();
        let csv = run("--csv").out;
        assert_eq!(csv.lines().count(), rows.len() + 1, "{table}");
        if let Some(row) = rows.first() {
            let keys: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
            assert_eq!(csv.lines().next().unwrap(), keys.join(","));
        }
        let markdown = run("--markdown").out;
        assert_eq!(markdown.lines().count(), rows.len() + 2, "{table}");
        assert!(!narthex(&["analyze", block, "--by", table]).out.is_empty());
    }
    let whole: Json =
        serde_json::from_str(&narthex(&["analyze", block, "--json", "--top", "1"]).out).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole).unwrap());
    for wrong in [
        &["--by", "nothing"][..],
        &["--csv", "--json"],
        &["--csv", "--markdown"],
        &["--by", "label="],
    ] {
        assert_eq!(
            narthex(&[&["analyze", block], wrong].concat()).code,
            2,
            "{wrong:?}"
        );
    }
}

#[test]
fn every_sheet_can_be_walked_as_typed_values() {
    let block = fixture("night-1/01M80FKE4V4C8GPJHYD9T1D87F");
    let analysis = analyse(&[block], Options::default());
    let mut cells = 0;
    for sheet in SHEETS {
        let table = sheet.fill(&analysis, Extent::Top(5));
        assert_eq!(table.fields(), sheet.fields(), "{}", sheet.name());
        for row in table.rows() {
            assert_eq!(row.len(), table.fields().len(), "{}", sheet.name());
            for (field, value) in table.fields().iter().zip(row) {
                let (sheet, key, unit) = (sheet.name(), field.key, field.unit);
                let kind = value.kind().unwrap_or(unit.kind());
                assert_eq!(kind, unit.kind(), "{sheet}: {key} is {value:?}");
                cells += 1;
            }
        }
    }
    assert!(cells > 500, "{cells}");
    let bytes = SHEETS[0].fill(&analysis, Extent::All);
    let place = bytes.fields().iter().position(|field| field.key == "bytes");
    let total = Value::Bytes(analysis.totals().bytes);
    assert_eq!(bytes.rows()[0][place.unwrap()], total);
}

#[test]
fn a_block_that_is_named_twice_counts_once() {
    let blocks = |paths: &[&str]| {
        let ran = narthex(&[&["analyze", "--by", "summary", "--json"], paths].concat());
        let summary: Json = serde_json::from_str(&ran.out).unwrap();
        summary[0]["blocks"].as_u64().unwrap()
    };
    assert_eq!(
        blocks(&["night-1", "night-1/01M80FKE4V4C8GPJHYD9T1D87F"]),
        blocks(&["night-1"])
    );
}

#[test]
fn an_archive_is_analysed_as_the_directory_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let repo = repo.to_str().unwrap();
    assert_eq!(narthex(&["init", "--repo", repo]).code, 0);
    let backup = narthex(&["backup", "night-1", "--no-cache", "--repo", repo]);
    assert_eq!(backup.code, 0, "{}", backup.err);
    let archived = narthex(&[
        "analyze",
        "--archive",
        "latest",
        "--repo",
        repo,
        "--by",
        "job",
        "--csv",
    ]);
    let plain = narthex(&["analyze", "night-1", "--by", "job", "--csv"]);
    assert_eq!(archived.code, 0, "{}", archived.err);
    assert!(
        archived
            .err
            .contains(": the log holds 60,873 samples from ")
    );
    assert_eq!(archived.out, plain.out);
    assert!(plain.out.lines().count() > 2, "{}", plain.out);
    let unknown = [
        "analyze",
        "--archive",
        "latest",
        "--repo",
        repo,
        "01M7ZTB71NJ67GWWE5SXTVHFTH",
    ];
    assert_eq!(narthex(&unknown).code, 1);
}
