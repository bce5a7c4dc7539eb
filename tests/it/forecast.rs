//! `narthex forecast`: how well it foretells generated and real histories, and what the command
//! does with directories, archives and damage.

#[path = "../../benches/forecast/growth.rs"]
mod growth;

use std::fs;

use narthex::forecast::{ForecastOptions, KnownBlock, Past, forecast, held_back};
use serde_json::Value as Json;

use crate::fixtures::fixture;
use crate::reading::{Copy, narthex, narthex_in};
use growth::{GROWTHS, View, past};

/// Where the last third begins.
const CUT: f64 = 2.0 / 3.0;

#[test]
fn the_last_third_of_generated_histories_is_foretold_within_ten_percent() {
    let mut sum = 0.0;
    let mut count = 0.0;
    for growth in GROWTHS {
        for view in [View::Archives, View::Directory] {
            for seed in 1..=3 {
                let tried = held_back(&past(growth, view, seed), CUT).unwrap();
                let error = tried.error.abs();
                assert!(error < 0.10, "{} {view:?} {seed}: {tried:?}", growth.name);
                if view == View::Archives {
                    assert!(error < 0.05, "{} {view:?} {seed}: {tried:?}", growth.name);
                }
                sum += error;
                count += 1.0;
            }
        }
    }
    assert!(sum / count < 0.02, "{}", sum / count);
}

#[test]
fn bounds_hold_about_as_often_as_they_say() {
    let mut held = 0;
    let mut tried = 0;
    for growth in GROWTHS {
        for seed in 11..=14 {
            let result = held_back(&past(growth, View::Archives, seed), CUT).unwrap();
            if let Some(bound) = result.error80 {
                tried += 1;
                held += usize::from(result.error.abs() <= bound);
            }
        }
    }
    assert!(held * 100 >= tried * 80, "{held} of {tried}");
}

#[test]
fn seen_from_the_directory_a_server_grows_as_seen_from_all_archives() {
    for growth in GROWTHS {
        let of = |view| forecast(&past(growth, view, 1), &ForecastOptions::default());
        let (all, last) = (of(View::Archives), of(View::Directory));
        let (all, last) = (all.horizon_bytes.value, last.horizon_bytes.value);
        // Index of large blocks only: what small ones needed for the same is not known, and does
        // not matter.
        assert!(
            (last / all - 1.0).abs() < 0.25,
            "{}: {all} {last}",
            growth.name
        );
    }
}

/// A real chain, as its metadata and file sizes tell of it.
fn chain(name: &str) -> Past {
    let text = fs::read_to_string(fixture(&format!("forecast/{name}.json"))).unwrap();
    let blocks: Vec<Json> = serde_json::from_str(&text).unwrap();
    let mut past = Past::default();
    for block in blocks {
        let number = |key: &str| block[key].as_u64().unwrap();
        let time = |key: &str| block[key].as_i64().unwrap();
        let ulid = |json: &Json| json.as_str().unwrap().parse().unwrap();
        let known = KnownBlock {
            ulid: ulid(&block["ulid"]),
            min_time: time("minTime"),
            max_time: time("maxTime"),
            level: number("level"),
            sources: block["sources"]
                .as_array()
                .unwrap()
                .iter()
                .map(ulid)
                .collect(),
            stream: narthex::model::Stream::default(),
            samples: number("samples"),
            series: number("series"),
            chunk_bytes: number("chunkBytes"),
            index_bytes: number("indexBytes"),
            is_head: false,
        };
        past.add(known, name, None);
    }
    past
}

#[test]
fn the_last_third_of_real_chains_is_foretold_better_than_by_the_mean() {
    let unique = held_back(&chain("chain-unique"), CUT).unwrap();
    assert!(unique.error.abs() < 0.05, "{unique:?}");
    // 76 minutes in which bytes a sample rose from 1.9 to 3.0 and fell to 1.8 again: no simple rule
    // comes within 10 % (the last span is 12 % off, the mean 19 %). What can be asked is that
    // the bounds say so.
    let pods = held_back(&chain("chain-pods"), CUT).unwrap();
    assert!(
        pods.error.abs() < 0.18 && pods.error80.unwrap() > pods.error.abs(),
        "{pods:?}"
    );
    for tried in [unique, pods] {
        assert!(tried.error.abs() < tried.mean_error.abs(), "{tried:?}");
    }
}

#[test]
fn a_real_directory_is_forecast() {
    let arguments = [
        "forecast",
        "night-2",
        "--disk",
        "500GiB",
        "--retention",
        "15d",
        "--retention-size",
        "400GB",
    ];
    let ran = narthex(&arguments);
    insta::assert_snapshot!(ran.out);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.err, "");
    let markdown = narthex(&[&arguments[..], &["--markdown"]].concat());
    insta::assert_snapshot!(markdown.out);
}

#[test]
fn json_and_csv_have_the_keys_of_the_columns() {
    let json: Json =
        serde_json::from_str(&narthex(&["forecast", "night-2", "--json"]).out).unwrap();
    let csv = narthex(&["forecast", "night-2", "--csv"]).out;
    let mut lines = csv.lines();
    let keys: Vec<_> = lines.next().unwrap().split(',').collect();
    let values: Vec<_> = lines.next().unwrap().split(',').collect();
    assert_eq!((keys.len(), lines.next()), (values.len(), None));
    for (key, value) in keys.iter().zip(values) {
        let json = match &json[*key] {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(json, value, "{key}");
    }
    let all: Vec<_> = json.as_object().unwrap().keys().skip(keys.len()).collect();
    assert_eq!(all, ["levels", "models", "cautions"]);
}

#[test]
fn damaged_and_impossible_blocks_are_named_and_left_out() {
    let copy = Copy::of("blocks/parents-three").with("blocks/tiny");
    let count = |copy: &Copy| {
        let ran = copy.narthex("forecast", &["--json"]);
        let json: Json = serde_json::from_str(&ran.out).unwrap();
        (ran.code, json["blocks"].as_u64().unwrap(), ran.err)
    };
    assert_eq!(count(&copy), (0, 4, String::new()));
    let name = copy.block.file_name().unwrap().to_str().unwrap().to_owned();
    for (damage, reason) in [
        (r#""maxTime": 9223372036854775807"#, "at most 366 days"),
        (
            r#""maxTime": -9223372036854775808"#,
            "expected a range of time",
        ),
        (
            r#""minTime": 7258118400000, "maxTime": 7258118400001"#,
            "block of the past",
        ),
        (r#""maxTime": "soon""#, "expected block metadata"),
    ] {
        copy.edit("meta.json", |meta| {
            let text = String::from_utf8(meta.clone()).unwrap();
            // Of two equal keys the last counts, or neither is a number.
            let end = text.find("\"stats\"").unwrap();
            *meta = format!("{}{damage}, {}", &text[..end], &text[end..]).into_bytes();
        });
        let (code, blocks, err) = count(&copy);
        assert_eq!((code, blocks), (3, 3), "{damage}: {err}");
        assert!(
            err.contains(&name) && err.contains(reason),
            "{damage}: {err}"
        );
    }
}

#[test]
fn a_directory_without_blocks_has_no_forecast_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    let ran = narthex_in(
        dir.path(),
        &["forecast", ".", "--disk", "1GiB", "--retention", "15d"],
    );
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("no block to go by"), "{}", ran.out);
}

#[test]
fn archives_are_the_history_of_what_prometheus_has_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo").display().to_string();
    for night in ["night-1", "night-2"] {
        let backup = [
            "backup",
            night,
            "--repo",
            &repo,
            "--host",
            "h",
            "--source",
            "p",
            "--no-cache",
        ];
        let ran = narthex(&backup);
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
    }
    let ask = |arguments: &[&str]| {
        let ran = narthex(&[&["forecast", "--json"], arguments].concat());
        assert_eq!(ran.code, 0);
        assert_eq!(ran.err, "");
        serde_json::from_str::<Json>(&ran.out).unwrap()
    };
    let archives = ask(&["--repo", &repo, "--source", "p"]);
    // Of archives no head is known.
    let directory = ask(&["night-2", "--no-head"]);
    let both = ask(&["night-2", "--no-head", "--repo", &repo]);
    assert_eq!(
        (directory["blocks"].as_u64(), archives["blocks"].as_u64()),
        (Some(6), Some(8))
    );
    for key in ["blocks", "spans", "bytes_per_day", "levels"] {
        assert_eq!(both[key], archives[key], "{key}");
    }
    assert_eq!(both["present_bytes"], directory["present_bytes"]);
    assert_eq!(directory["present_bytes"], archives["present_bytes"]);
    assert_eq!(
        directory["history"], archives["history"],
        "no night's block counts twice"
    );

    let other = [
        "backup",
        "night-1",
        "--repo",
        &repo,
        "--host",
        "h",
        "--source",
        "other",
        "--no-cache",
    ];
    assert!([0, 3].contains(&narthex(&other).code));
    let ran = narthex(&["forecast", "--repo", &repo]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--source"), "{}", ran.err);
    assert_eq!(narthex(&["forecast"]).code, 1);
}
