//! Blocks that were cut, in real servers: they answer what is wanted and nothing else, and keep
//! what they were given.

use std::collections::BTreeSet;
use std::path::Path;

use narthex::block::Block;
use narthex::cut::cut_block;
use narthex::model::Ulid;
use narthex::raw::ReadMode;
use narthex::select::Selection;

use super::program::{backup, narthex, run};
use super::server::Server;
use super::tools::{Release, Tools};
use super::tree::{self, fixture};

const SELECTOR: &str = r#"{__name__=~"go_.*|up|prometheus_.*"}"#;

#[test]
fn a_packaged_server_answers_from_cut_blocks_what_was_wanted() {
    cut_blocks_answer(Release::Packaged);
}

#[test]
fn a_current_server_answers_from_cut_blocks_what_was_wanted() {
    cut_blocks_answer(Release::Current);
}

#[test]
fn a_block_with_deletions_is_cut_to_the_chunks_that_prometheus_makes_of_it() {
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    let mut compared = 0;
    for name in ["night-1", "blocks/encodings-456"] {
        let home = tempfile::tempdir().unwrap();
        let (data, ours) = (home.path().join("data"), home.path().join("ours"));
        for made in [&data, &ours] {
            std::fs::create_dir(made).unwrap();
        }
        for meta in tree::metas(&fixture(name)) {
            let ulid = meta["ulid"].as_str().unwrap();
            tree::copy(&fixture(name).join(ulid), &data.join(ulid));
        }
        Server::clean_tombstones(&tools, &data);
        for meta in tree::metas(&data) {
            let Some(parent) = meta["compaction"]["parents"][0]["ulid"].as_str() else {
                continue;
            };
            let original = fixture(name).join(parent);
            if meta["compaction"]["level"] != 1 || !original.is_dir() {
                continue;
            }
            let block = Block::open(&original, ReadMode::Map).unwrap();
            assert!(!block.tombstones().records.is_empty());
            let everything = Selection::new(i64::MIN, i64::MAX, Vec::new());
            let made = cut_block(&block, &everything, &ours, Ulid::generate());
            let made = made.unwrap().unwrap();
            let theirs = data.join(meta["ulid"].as_str().unwrap());
            let chunks = |block: &Path| tree::files(&block.join("chunks"));
            assert!(chunks(&made) == chunks(&theirs), "{name} {parent}");
            let stats = tree::metas(&ours).remove(0)["stats"].clone();
            assert_eq!(stats, meta["stats"]);
            std::fs::remove_dir_all(made).unwrap();
            compared += 1;
        }
    }
    assert!(compared >= 2, "compared {compared} blocks");
}

fn cut_blocks_answer(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (repository, whole, part) = (
        home.path().join("repository"),
        home.path().join("whole"),
        home.path().join("part"),
    );
    run(&mut backup(&fixture("night-2"), &repository), &[0]);
    restore(&repository, &whole, &["--since", "0", "--no-wal"]);
    let metas = tree::metas(&whole);
    let times = |key: &str| {
        metas
            .iter()
            .map(|meta| meta[key].as_i64().unwrap())
            .collect()
    };
    let (begins, ends): (BTreeSet<i64>, BTreeSet<i64>) = (times("minTime"), times("maxTime"));
    let (begin, end) = (*begins.first().unwrap(), *ends.last().unwrap());
    let (since, until) = (begin + (end - begin) / 5, end - (end - begin) / 5);
    let (from, to) = (seconds(since), seconds(until));
    let range = [
        "--since", &from, "--until", &to, "--exact", "--no-wal", "--match", SELECTOR,
    ];
    restore(&repository, &part, &range);
    let blocks = names(&part);
    tools.promtool(&["tsdb", "analyze"], &part);

    let everything = r#"{__name__=~".+"}"#;
    let original = Server::answering_from(&tools, &whole).range_until(SELECTOR, end);
    let server = Server::answering_from(&tools, &part);
    let found = server.range_until(everything, end);
    assert_eq!(found, original.within(since, until));
    assert!(found.samples() > 1000);
    drop(server);
    let again = Server::answering_from(&tools, &part).range_until(everything, end);
    assert_eq!(again, found);
    assert_eq!(names(&part), blocks, "no block is deleted or compacted");
}

fn restore(repository: &Path, target: &Path, more: &[&str]) {
    let mut command = narthex(["restore", "latest"]);
    command.arg("--repo").arg(repository);
    command.arg("--target").arg(target);
    run(command.args(more), &[0]);
}

/// The ULIDs of the blocks in `data`.
fn names(data: &Path) -> BTreeSet<String> {
    let metas = tree::metas(data);
    metas.iter().map(|meta| meta["ulid"].to_string()).collect()
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
