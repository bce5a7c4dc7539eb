//! States of live servers that were recorded once, with what the server answered right then:
//! restored, they answer the same.
//!
//! A small one is a fixture (`fixtures/live-3.16`). `NARTHEX_LIVE_CORPUS=DIR` adds all that lie in
//! `DIR/SERVER/STATE`, with `STATE.truth.json.gz` beside each and the configuration in
//! `DIR/SERVER/prometheus.yml`: too large for a repository of source code.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::program::{archives, backup, narthex, restore, run};
use super::server::Server;
use super::tools::{Release, Tools};
use super::tree::{copy, files, fixture};

/// A data directory, and what its server said when it was copied.
struct State {
    data: PathBuf,
    truth: Value,
    /// The `storage` section that the server had.
    storage: String,
    flags: Vec<String>,
}

impl State {
    /// Starts `tools` on a copy of the state that lies in `data`, and gives what it answers
    /// otherwise.
    fn differences(&self, tools: &Tools, data: &Path) -> Vec<String> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let server = Server::configured(tools, data, &flags, &self.storage);
        let mut differences = Vec::new();
        let whole = |number: &Value| number.as_i64().unwrap();
        let (start, end) = (whole(&self.truth["start"]), whole(&self.truth["end"]));
        for (expression, wanted) in self.truth["range"].as_object().unwrap() {
            let found = server.range(expression, start, end, whole(&self.truth["step"]));
            compare(wanted, &found, expression, &mut differences);
        }
        for query in self.truth["instant"].as_array().unwrap() {
            let (expression, time) = (query["expr"].as_str().unwrap(), whole(&query["time"]));
            let found = server.instant(expression, time);
            let place = format!("{expression} @ {time}");
            compare(&query["result"], &found, &place, &mut differences);
        }
        differences
    }

    /// Verifies the state, backs it up in either codec, restores both and asks a server that runs
    /// on what came back.
    fn comes_back(&self, tools: &Tools) {
        run(narthex(["verify"]).arg(&self.data), &[0]);
        let scratch = tempfile::tempdir().unwrap();
        let mut restored = Vec::new();
        for codec in ["dense", "portable"] {
            let repository = scratch.path().join(format!("repository-{codec}"));
            run(
                backup(&self.data, &repository).args(["--codec", codec]),
                &[0],
            );
            let target = scratch.path().join(codec);
            restore(&archives(&repository)[0], &repository, &target);
            restored.push(target);
        }
        assert!(
            files(&restored[0]) == files(&restored[1]),
            "{}",
            self.data.display()
        );
        let mut differences = self.differences(tools, &restored[1]);
        // Of the head as a block no other is answered.
        let blocks = scratch.path().join("blocks");
        let repository = scratch.path().join("repository-dense");
        let mut restore = narthex(["restore", "latest", "--head", "block", "--repo"]);
        run(restore.arg(repository).arg("--target").arg(&blocks), &[0]);
        differences.extend(self.differences(tools, &blocks));
        if !differences.is_empty() {
            // What no copy can answer is no fault of this one.
            let original = scratch.path().join("copy");
            copy(&self.data, &original);
            let own = self.differences(tools, &original);
            differences.retain(|difference| !own.contains(difference));
        }
        let name = self.data.display();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
    }
}

/// Notes at which series `found` differs from `wanted`, which is not what a different order of
/// addition makes of a sum.
fn compare(wanted: &Value, found: &Value, place: &str, differences: &mut Vec<String>) {
    let sorted = |result: &Value| {
        let mut series = result.as_array().unwrap().clone();
        series.sort_by_key(|series| series["metric"].to_string());
        series
    };
    let (wanted, found) = (sorted(wanted), sorted(found));
    if wanted.len() != found.len() {
        let (wanted, found) = (wanted.len(), found.len());
        differences.push(format!("{place}: {wanted} series, found {found}"));
        return;
    }
    for (wanted, found) in wanted.iter().zip(&found) {
        if !is_same(wanted, found) {
            differences.push(format!("{place}: {wanted}, found {found}"));
        }
    }
}

fn is_same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) => {
            let mut pairs = wanted.iter().zip(found);
            wanted.len() == found.len() && pairs.all(|(wanted, found)| is_same(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let same = |(key, wanted)| found.get(key).is_some_and(|found| is_same(wanted, found));
            wanted.len() == found.len() && wanted.iter().all(same)
        }
        (Value::String(wanted), Value::String(found)) if wanted != found => {
            let numbers = wanted.parse::<f64>().ok().zip(found.parse::<f64>().ok());
            numbers.is_some_and(|(wanted, found)| {
                (wanted - found).abs() <= 1e-9 * wanted.abs().max(found.abs())
            })
        }
        _ => wanted == found,
    }
}

/// What `program` makes of `file`, on its standard output.
fn unpacked(program: &str, file: &Path) -> Vec<u8> {
    run(Command::new(program).arg("-dc").arg(file), &[0]).stdout
}

#[test]
fn a_recorded_state_of_a_server_with_xor2_and_start_timestamps_answers_as_the_server_did() {
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    let recorded = fixture("live-3.16");
    let scratch = tempfile::tempdir().unwrap();
    let archive = recorded.join("state.tar.zst");
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-xf"]).arg(archive);
    run(tar.arg("-C").arg(scratch.path()), &[0]);
    let truth = unpacked("zstd", &recorded.join("truth.json.zst"));
    let flags = [
        "--storage.tsdb.min-block-duration=8s",
        "--storage.tsdb.max-block-duration=72s",
        "--storage.tsdb.retention.time=10y",
        "--enable-feature=exemplar-storage,metadata-wal-records,st-storage",
    ];
    let state = State {
        data: scratch.path().to_owned(),
        truth: serde_json::from_slice(&truth).unwrap(),
        storage: fs::read_to_string(recorded.join("prometheus.yml")).unwrap(),
        flags: flags.map(str::to_owned).to_vec(),
    };
    state.comes_back(&tools);
}

#[test]
fn recorded_states_of_a_corpus_answer_as_their_servers_did() {
    let Some(corpus) = env::var_os("NARTHEX_LIVE_CORPUS") else {
        // The test harness swallows what the print macros of a passing test say, but not this.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: no NARTHEX_LIVE_CORPUS with recorded states"
        );
        return;
    };
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    let paths = |dir: &Path| {
        let entries = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.collect();
        paths.sort();
        paths
    };
    let mut states = 0;
    let servers = paths(Path::new(&corpus)).into_iter();
    for server in servers.filter(|server| server.join("prometheus.yml").is_file()) {
        let configuration = fs::read_to_string(server.join("prometheus.yml")).unwrap();
        let lines = configuration.lines();
        let lines = lines.skip_while(|line| *line != "storage:").enumerate();
        let section = lines.take_while(|(number, line)| *number == 0 || line.starts_with(' '));
        let storage: String = section.flat_map(|(_, line)| [line, "\n"]).collect();
        let starts = if storage.contains("xor2") {
            "st-storage"
        } else {
            "created-timestamp-zero-ingestion"
        };
        for truth in paths(&server) {
            let name = truth.file_name().unwrap().to_str().unwrap();
            let Some(name) = name.strip_suffix(".truth.json.gz") else {
                continue;
            };
            let state = State {
                data: server.join(name),
                truth: serde_json::from_slice(&unpacked("gzip", &truth)).unwrap(),
                storage: storage.clone(),
                flags: vec![
                    "--storage.tsdb.min-block-duration=4m".to_owned(),
                    "--storage.tsdb.max-block-duration=36m".to_owned(),
                    "--storage.tsdb.retention.time=10y".to_owned(),
                    "--storage.tsdb.wal-segment-size=10MB".to_owned(),
                    format!("--enable-feature=exemplar-storage,metadata-wal-records,{starts}"),
                ],
            };
            state.comes_back(&tools);
            states += 1;
        }
    }
    assert!(states > 0, "no state in {}", corpus.display());
}
