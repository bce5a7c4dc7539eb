//! Tables on terminals of any width, with the columns and in the order that somebody asks for.

use crate::reading::{Ran, narthex};

fn lines(ran: &Ran) -> Vec<&str> {
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.lines().collect()
}

/// The words of the column called `heading`.
fn column<'a>(lines: &[&'a str], heading: &str) -> Vec<&'a str> {
    let rows = lines.iter().skip(1).map_while(|line| {
        let cells: Vec<_> = line.split_whitespace().collect();
        let headings: Vec<_> = lines[0].split_whitespace().collect();
        let place = headings.iter().position(|name| *name == heading).unwrap();
        (cells.len() == headings.len()).then(|| cells[place])
    });
    rows.collect()
}

#[test]
fn no_line_of_a_table_is_longer_than_the_terminal_is_wide_and_what_finds_no_room_is_named() {
    for width in [40, 60, 80, 100, 120, 160, 220] {
        let ran = narthex(&["list", "night-1", "--width", &width.to_string()]);
        let all = lines(&ran);
        let table = all.iter().take_while(|line| !line.starts_with('('));
        for line in table.clone() {
            // What nobody can do without, an id and a range of time, has its width.
            assert!(line.chars().count() <= width.max(60), "{width}: {line}");
        }
        let shown: Vec<_> = all[0].split("  ").map(str::trim).collect();
        let dropped = all.iter().find(|line| line.starts_with('('));
        let dropped = dropped.unwrap_or(&"");
        for heading in ["SERIES", "SAMPLES", "INDEX", "SOURCES", "B/SAMPLE"] {
            assert!(
                shown.contains(&heading) != dropped.contains(heading),
                "{width}: {heading}: {}",
                ran.out
            );
        }
        assert!(dropped.is_empty() || dropped.ends_with(": --wide shows all)"));
    }
    let whole = narthex(&["list", "night-1"]);
    assert_eq!(whole.out, narthex(&["list", "night-1", "--wide"]).out);
    assert_eq!(
        whole.out,
        narthex(&["list", "night-1", "--width", "400"]).out
    );
}

#[test]
fn words_without_room_are_cut_and_that_is_said() {
    let arguments = ["analyze", "night-1", "--by", "pair", "--width", "50"];
    let ran = narthex(&arguments);
    assert!(ran.out.contains('…'), "{}", ran.out);
    assert!(
        ran.out.contains("what ends with … is longer"),
        "{}",
        ran.out
    );
    let wide = narthex(&["analyze", "night-1", "--by", "pair", "--wide"]);
    assert!(!wide.out.contains('…'), "{}", wide.out);
}

#[test]
fn columns_are_chosen_by_their_keys_in_text_csv_and_markdown() {
    let chosen = ["--columns", "samples,ulid"];
    let ran = narthex(&[&["list", "night-1"][..], &chosen].concat());
    assert!(
        ran.out.starts_with("SAMPLES  ULID\n"),
        "the order is the one that was asked for: {}",
        ran.out
    );
    // The table of logs has no such columns, and stays.
    assert!(ran.out.contains("\nLOG  FROM"), "{}", ran.out);
    let by = ["analyze", "night-1", "--by", "metric", "--top", "1"];
    let csv = narthex(&[&by[..], &["--csv", "--columns", "value,sample_share"]].concat());
    assert_eq!(csv.out.lines().next(), Some("value,sample_share"));
    let markdown = narthex(&[&by[..], &["--markdown", "--columns", "value,series"]].concat());
    assert!(
        markdown.out.starts_with("| VALUE | SERIES |\n"),
        "{}",
        markdown.out
    );
    // In narrow terminals, too.
    let narrow = ["--columns", "ulid,min_time,max_time,path", "--width", "40"];
    let narrow = narthex(&[&["list", "night-1"][..], &narrow].concat());
    assert!(lines(&narrow)[0].ends_with("path"), "{}", narrow.out);
}

#[test]
fn an_unknown_column_is_an_error_that_lists_those_there_are() {
    for option in [["--columns", "ulid,seriess"], ["--sort", "seriess"]] {
        let ran = narthex(&[&["list", "night-1"][..], &option].concat());
        assert_eq!(ran.code, 2);
        assert_eq!(ran.out, "");
        assert!(ran.err.contains("seriess") && ran.err.contains("bytes_per_sample"));
    }
    // Columns of different tables of one command.
    let ran = narthex(&["list", "night-1", "--columns", "ulid,torn_bytes"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    let ran = narthex(&["dump", "night-1", "--columns", "ulid"]);
    assert_eq!((ran.code, &*ran.out), (2, ""));
    assert!(ran.err.contains("prints no table"), "{}", ran.err);
    // A column of a table that was not asked for is not passed over.
    let ran = narthex(&[
        "analyze",
        "night-1",
        "--by",
        "metric",
        "--sort",
        "median_life",
    ]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--sort median_life"), "{}", ran.err);
}

#[test]
fn columns_of_tables_of_one_row_are_chosen_too() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let repo = repo.to_str().unwrap();
    let chosen = ["--columns", "blocks,source_name,time", "--source", "s"];
    let ran = narthex(&[&["backup", "night-1", "--repo", repo][..], &chosen].concat());
    let said = lines(&ran);
    assert_eq!(said[..2], ["blocks  3", "source  s"], "{}", ran.out);
    assert!(said[2].starts_with("time    20"), "{}", ran.out);
    assert!(!ran.out.contains("ratio"), "{}", ran.out);
}

#[test]
fn what_was_done_is_no_failure_where_no_table_has_what_was_asked_for_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let repo = repo.to_str().unwrap();
    // Another table of the command has it, which is only printed as sentences.
    let asked = ["--columns", "reason", "--quiet"];
    let ran = narthex(&[&["backup", "night-1", "--repo", repo][..], &asked].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("--columns reason"), "{}", ran.err);
    assert_eq!(narthex(&["check", "--repo", repo]).code, 0);
}

#[test]
fn rows_are_sorted_by_value_before_the_first_of_them_are_taken() {
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap();
    let sorted = narthex(&[
        "list",
        "night-1",
        "--no-head",
        "--columns",
        "ulid,samples",
        "--sort",
        "samples",
    ]);
    let samples: Vec<_> = column(&lines(&sorted), "SAMPLES")
        .into_iter()
        .map(number)
        .collect();
    assert_eq!(samples.len(), 3);
    assert!(samples.is_sorted(), "{samples:?}");
    let falling = narthex(&[
        "list",
        "night-1",
        "--no-head",
        "--columns",
        "ulid,samples",
        "--sort=-samples",
    ]);
    let falling: Vec<_> = column(&lines(&falling), "SAMPLES")
        .into_iter()
        .map(number)
        .collect();
    assert_eq!(falling, samples.into_iter().rev().collect::<Vec<_>>());

    let by = [
        "analyze",
        "night-1",
        "--no-head",
        "--by",
        "metric",
        "--columns",
        "value,series",
    ];
    let all = narthex(&[&by[..], &["--sort", "-series"]].concat());
    let first = narthex(&[&by[..], &["--sort", "-series", "--top", "3"]].concat());
    let series = |ran: &Ran| -> Vec<u64> {
        column(&lines(ran), "SERIES")
            .into_iter()
            .map(number)
            .collect()
    };
    assert_eq!(series(&first), series(&all)[..3]);
    let largest = narthex(&[&by[..], &["--top", "3"]].concat());
    assert_ne!(
        series(&largest),
        series(&first),
        "the three largest are others"
    );
}

#[test]
fn people_read_units_zones_and_groups_of_digits_and_programs_plain_numbers() {
    let ran = narthex(&["list", "night-1"]);
    assert!(ran.out.contains("2026-11-22 01:58:00Z"), "{}", ran.out);
    assert!(
        ran.out.contains("77,368 samples in 1,390 chunks"),
        "{}",
        ran.out
    );
    let csv = narthex(&["analyze", "night-1", "--by", "block", "--csv"]);
    assert!(
        csv.out
            .lines()
            .skip(1)
            .all(|line| line.split(',').count() == 13),
        "{}",
        csv.out
    );
    let inspected = narthex(&["inspect", "night-1/01M80FJGSDDJPV4DWFG2XR4VJ2"]);
    let shares = inspected.out.lines().filter(|line| line.ends_with(" %"));
    assert!(
        shares.count() > 3,
        "shares say what they are of: {}",
        inspected.out
    );
}

#[test]
fn columns_are_explained_where_they_are_shown() {
    let ran = narthex(&["analyze", "night-1", "--by", "churn", "--explain"]);
    assert!(ran.out.contains("\n  BORN: "), "{}", ran.out);
    assert!(
        !narthex(&["analyze", "night-1", "--by", "churn"])
            .out
            .contains("BORN: ")
    );
    let few = narthex(&["list", "night-1", "--columns", "ulid,hints", "--explain"]);
    assert!(few.out.contains("\n  HINTS: "), "{}", few.out);
    assert!(!few.out.contains("\n  LEVEL: "), "{}", few.out);
}
