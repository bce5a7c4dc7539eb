//! `narthex analyze` against `promtool tsdb analyze`: the same numbers where promtool is right,
//! ties aside.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::program::{narthex, run};
use super::tools::{Release, Tools};
use super::tree::{self, fixture};

/// Rows that promtool is asked for: more than any list has.
const ALL: &str = "--limit=100000";

#[test]
fn the_lists_of_both_promtools_are_ours() {
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        for night in ["night-1", "night-2"] {
            let home = tempfile::tempdir().unwrap();
            let data = home.path().join("data");
            tree::copy(&fixture(night), &data);
            let blocks = std::fs::read_dir(&data).unwrap();
            for block in blocks.map(|entry| entry.unwrap().path()) {
                if block.join("meta.json").is_file() {
                    compare(&tools, &data, &block);
                }
            }
        }
    }
}

fn compare(tools: &Tools, data: &Path, block: &Path) {
    let name = block.file_name().unwrap().to_str().unwrap();
    let output = std::process::Command::new(&tools.promtool)
        .args(["tsdb", "analyze", ALL])
        .arg(data)
        .arg(name)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let theirs = Theirs::read(&String::from_utf8(output.stdout).unwrap());
    let mut command = narthex(["analyze", "--json", "--top", "100000"]);
    let output = run(command.arg(block), &[0]);
    let ours: Json = serde_json::from_slice(&output.stdout).unwrap();
    let summary = |key: &str| ours["summary"][key].as_u64().unwrap();
    assert_eq!(theirs.series(), summary("series"));
    assert_eq!(theirs.head["Label names"], summary("label_names"));
    assert_eq!(
        theirs.head["Postings (unique label pairs)"],
        summary("label_pairs")
    );
    assert_eq!(
        theirs.head["Postings entries (total label pairs)"],
        summary("postings_entries")
    );
    let text = |row: &Json, key: &str| row[key].as_str().unwrap().to_owned();
    let pair = |row: &Json| format!("{}={}", text(row, "name"), text(row, "value"));
    let list = |list: &str, key: &str, name: &dyn Fn(&Json) -> String| -> BTreeMap<String, u64> {
        let rows = ours[list].as_array().unwrap().iter();
        rows.filter(|row| row["kind"].is_null() || row["kind"] == "value")
            .map(|row| (name(row), row[key].as_u64().unwrap()))
            .collect()
    };
    let of_name = |row: &Json| text(row, "name");
    for (title, ours) in [
        (
            "Label pairs most involved in churning:",
            list("churning_pairs", "uncovered", &pair),
        ),
        (
            "Label names most involved in churning:",
            list("labels", "uncovered", &of_name),
        ),
        (
            "Most common label pairs:",
            list("common_pairs", "series", &pair),
        ),
        (
            "Label names with highest cumulative label value length:",
            list("labels", "value_bytes", &of_name),
        ),
        (
            "Highest cardinality labels:",
            list("labels", "values", &of_name),
        ),
        (
            "Highest cardinality metric names:",
            list("metrics", "series", &|row| text(row, "value")),
        ),
    ] {
        assert_eq!(theirs.lists[title], ours, "{title} {}", block.display());
    }
}

/// What promtool prints.
#[derive(Default)]
struct Theirs {
    head: BTreeMap<String, u64>,
    lists: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Theirs {
    /// Series of the block, which releases before 3 call by another name.
    fn series(&self) -> u64 {
        let named = ["Total Series", "Series"].map(|name| self.head.get(name));
        *named.into_iter().flatten().next().unwrap()
    }

    fn read(text: &str) -> Self {
        let mut theirs = Theirs::default();
        let mut list: Option<String> = None;
        for line in text.lines() {
            if line.is_empty() {
                list = None;
            } else if line.ends_with(':') {
                theirs.lists.insert(line.to_owned(), BTreeMap::new());
                list = Some(line.to_owned());
            } else if let Some(list) = &list {
                let (number, name) = line.split_once(' ').unwrap();
                let rows = theirs.lists.get_mut(list).unwrap();
                rows.insert(name.to_owned(), number.parse().unwrap());
            } else if let Some((key, value)) = line.split_once(": ")
                && let Ok(number) = value.parse()
            {
                theirs.head.insert(key.to_owned(), number);
            }
        }
        theirs
    }
}
