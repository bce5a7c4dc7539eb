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
    let analysis = analyse(&[block], AnalyzeOptions::default());
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
    let summary = SHEETS.iter().find(|sheet| sheet.name() == "summary");
    let bytes = summary.unwrap().fill(&analysis, Extent::All);
    let place = bytes.fields().iter().position(|field| field.key == "bytes");
    let total = Value::Bytes(analysis.totals().bytes);
    assert_eq!(bytes.rows()[0][place.unwrap()], total);
}

#[test]
fn the_headline_says_what_the_tables_say() {
    let paths = ["night-1", "night-2"];
    let run = |more: &[&str]| narthex(&[&["analyze", "--no-head"], &paths[..], more].concat());
    let whole: Json = serde_json::from_str(&run(&["--json"]).out).unwrap();
    let headline = whole["headline"].as_array().unwrap();
    let of = |kind: &str| headline.iter().find(|line| line["kind"] == kind).unwrap();
    let metric = &whole["metrics"][0];
    assert_eq!(of("metric")["name"], metric["value"]);
    assert_eq!(of("metric")["bytes"], metric["bytes"]);
    assert_eq!(of("metric")["share"], metric["share"]);
    let labels = whole["labels"].as_array().unwrap();
    let named = labels.iter().filter(|label| label["name"] != "__name__");
    let own = named.map(|label| label["own_bytes"].as_u64());
    assert_eq!(of("label")["bytes"].as_u64(), own.max().unwrap());
    let first = &whole["churn"][0];
    assert_eq!(of("growth")["of"], first["before"]);
    assert_eq!(of("counted-twice")["of"], whole["summary"]["blocks"]);
    // A block that lies beside its child overlaps with it too: it is one block.
    assert_eq!(of("counted-twice")["count"], 5);

    let text = run(&[]).out;
    let first: Vec<_> = text.lines().take(headline.len()).collect();
    for (line, told) in first.iter().zip(headline) {
        assert_eq!(line.strip_prefix("- "), told["sentence"].as_str());
    }
    // Each term is explained where it first stands, and once.
    for term in ["BORN", "UNCOVERED", "OWN BYTES", "fullness, %"] {
        let begin = format!("({term}: ");
        assert!(text.lines().any(|line| line.starts_with(&begin)), "{term}");
    }
    assert!(
        text.matches("(BORN: ").count() > 1,
        "of groups and of steps"
    );
}

#[test]
fn distances_over_seams_of_blocks_count_and_a_block_that_is_missing_is_a_gap() {
    let blocks = [
        "night-1/01M80FKE4V4C8GPJHYD9T1D87F",
        "night-1/01M80FJGSDDJPV4DWFG2XR4VJ2",
        "night-1/01M80FKE2Z8SDE7SM63DE19N15",
    ];
    let run = |blocks: &[&str]| {
        let ran = narthex(&[&["analyze", "--extended", "--json"], blocks].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str::<Json>(&ran.out).unwrap()
    };
    let sum = |found: &Json, key: &str| -> u64 {
        let jobs = found["scrapes"].as_array().unwrap().iter();
        jobs.map(|job| job[key].as_u64().unwrap()).sum()
    };
    let whole = run(&blocks);
    let count = |key: &str| whole["summary"][key].as_u64().unwrap();
    // Between the samples of a series there is one distance fewer than there are samples.
    assert_eq!(sum(&whole, "distances"), count("samples") - count("series"));
    let holed = run(&[blocks[0], blocks[2]]);
    assert_eq!(sum(&holed, "gaps"), sum(&whole, "gaps") + count("series"));
}

#[test]
fn a_label_with_a_value_for_each_series_and_chunks_that_are_nearly_empty_are_odd() {
    let whole = narthex(&["analyze", "blocks/child-of-three", "--json"]).out;
    let whole: Json = serde_json::from_str(&whole).unwrap();
    let headline = whole["headline"].as_array().unwrap();
    let of = |kind: &str| headline.iter().find(|line| line["kind"] == kind).unwrap();
    for (key, told) in [("born", "count"), ("died", "more")] {
        let jobs = whole["churn_by_job"].as_array().unwrap().iter();
        let all: u64 = jobs.map(|job| job[key].as_u64().unwrap()).sum();
        assert_eq!(of("churn")[told], all, "{key}");
    }
    let fullness = whole["summary"]["fullness"].as_f64().unwrap();
    let kinds = whole["headline"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds.contains(&"empty-chunks"),
        fullness < 50.0,
        "{kinds:?}"
    );
    for label in whole["labels"].as_array().unwrap() {
        let (values, series) = (&label["values"], &label["series"]);
        let (values, series) = (values.as_u64().unwrap(), series.as_u64().unwrap());
        let is_unique = label["name"] != "__name__" && values >= 50 && values * 10 >= series * 9;
        let told = whole["headline"].as_array().unwrap().iter();
        let mut told = told.filter(|line| line["kind"] == "unique-values");
        assert_eq!(told.any(|line| line["name"] == label["name"]), is_unique);
    }
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
