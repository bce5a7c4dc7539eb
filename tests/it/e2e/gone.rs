//! What is gone from the directory of a real server: what it took itself is not missed, what it did
//! not is, once.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{backup, narthex, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree::{copy, holds_compacted_block, metas};

/// No block is cut or compacted.
const STILL: [&str; 3] = [
    "--web.enable-admin-api",
    "--storage.tsdb.min-block-duration=1000h",
    "--storage.tsdb.max-block-duration=1000h",
];

/// A data directory with several blocks and a log, and a repository with an archive of it.
struct Night<'t> {
    tools: &'t Tools,
    home: tempfile::TempDir,
}

/// ULID and time of a block.
#[derive(Clone, Debug)]
struct Block {
    ulid: String,
    begin: i64,
    end: i64,
}

impl<'t> Night<'t> {
    fn of(tools: &'t Tools, template: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let night = Night { tools, home };
        copy(template, &night.data());
        night.backup(0);
        night
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn server(&self, flags: &[&str]) -> Server {
        Server::configured(self.tools, &self.data(), flags, "")
    }

    /// Its blocks, by their time.
    fn blocks(&self) -> Vec<Block> {
        let block = |meta: &Value| Block {
            ulid: meta["ulid"].as_str().unwrap().to_owned(),
            begin: meta["minTime"].as_i64().unwrap(),
            end: meta["maxTime"].as_i64().unwrap(),
        };
        let mut blocks: Vec<_> = metas(&self.data()).iter().map(block).collect();
        blocks.sort_by_key(|block| block.begin);
        blocks
    }

    fn holds(&self, block: &Block) -> bool {
        self.data().join(&block.ulid).exists()
    }

    /// Archives it, which must end with `code`; gives names and reasons of blocks and logs that are
    /// gone.
    fn backup(&self, code: i32) -> Vec<(String, String)> {
        let repository = self.home.path().join("repository");
        let output = run(backup(&self.data(), &repository).arg("--json"), &[code]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let left_out = json["left_out"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let named = left_out.map(|left| (text(&left["name"]), text(&left["reason"])));
        named
            .filter(|(_, reason)| reason.contains("since archive"))
            .collect()
    }

    fn is_restored_with(&self, code: i32) {
        let mut restore = narthex(["restore", "latest"]);
        restore
            .arg("--repo")
            .arg(self.home.path().join("repository"));
        restore
            .arg("--target")
            .arg(self.home.path().join("restored"));
        run(&mut restore, &[code]);
        fs::remove_dir_all(self.home.path().join("restored")).unwrap();
    }
}

fn each(release: Release, check: impl Fn(&Tools, &Path)) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let template = home.path().join("data");
    let server = Server::scraping_in_order(&tools, &template);
    wait_until("several blocks", || {
        holds_compacted_block(&template) && metas(&template).len() > 3
    });
    server.end();
    check(&tools, &template);
}

#[test]
fn what_the_packaged_server_takes_is_not_missed() {
    each(Release::Packaged, what_a_server_takes_is_not_missed);
}

#[test]
fn what_the_current_server_takes_is_not_missed() {
    each(Release::Current, what_a_server_takes_is_not_missed);
}

fn what_a_server_takes_is_not_missed(tools: &Tools, template: &Path) {
    let night = || Night::of(tools, template);

    // All blocks are rewritten, and rewritten again.
    let twice = night();
    let server = twice.server(&STILL);
    for series in ["scrape_duration_seconds", "scrape_samples_scraped"] {
        server.delete_series(series);
        server.clean();
    }
    server.end();
    assert_eq!(twice.backup(0), []);
    twice.is_restored_with(0);

    // Two blocks lose all samples, and their neighbours some.
    let emptied = night();
    let blocks = emptied.blocks();
    let server = emptied.server(&STILL);
    server.delete_between(blocks[1].begin - 600, blocks[2].end + 600);
    server.clean();
    server.end();
    let gone = emptied.backup(0);
    assert!(!emptied.holds(&blocks[1]) && !emptied.holds(&blocks[2]));
    assert_eq!(gone.len(), 2, "{gone:?}");
    for (name, reason) in gone {
        assert!(
            [&blocks[1].ulid, &blocks[2].ulid].contains(&&name),
            "{name}"
        );
        assert!(
            reason.starts_with("everything in it was deleted"),
            "{reason}"
        );
    }
    emptied.is_restored_with(0);
    assert_eq!(emptied.backup(0), []);

    // One block loses all samples, and is archived before it is rewritten.
    let seen = night();
    let block = seen.blocks().swap_remove(1);
    let server = seen.server(&STILL);
    server.delete_between(block.begin, block.end - 1);
    assert_eq!(seen.backup(0), []);
    server.clean();
    server.end();
    assert!(!seen.holds(&block));
    let gone = seen.backup(0);
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(
        gone[0].1.starts_with("everything in it was deleted"),
        "{gone:?}"
    );

    // Everything is deleted.
    let all = night();
    let server = all.server(&STILL);
    server.delete_series("{__name__=~\".+\"}");
    server.clean();
    assert_eq!(all.blocks().len(), 0);
    let gone = all.backup(0);
    assert!(
        gone.iter()
            .all(|(_, reason)| reason.starts_with("everything")),
        "{gone:?}"
    );
    server.end();

    // Retention takes all but the newest.
    let retention = night();
    let flags = [&STILL[..], &["--storage.tsdb.retention.time=1s"]].concat();
    retention.server(&flags).end();
    assert_eq!(retention.blocks().len(), 1);
    assert_eq!(retention.backup(0), []);
}

#[test]
fn what_is_lost_from_the_packaged_server_is_missed_once() {
    each(Release::Packaged, what_is_lost_from_a_server_is_missed_once);
}

#[test]
fn what_is_lost_from_the_current_server_is_missed_once() {
    each(Release::Current, what_is_lost_from_a_server_is_missed_once);
}

fn what_is_lost_from_a_server_is_missed_once(tools: &Tools, template: &Path) {
    // A block is removed under a server that goes on.
    let lost = Night::of(tools, template);
    let blocks = lost.blocks();
    let block = &blocks[1];
    let server = lost.server(&STILL);
    fs::remove_dir_all(lost.data().join(&block.ulid)).unwrap();
    server.end();
    let is_gone = |named: &[(String, String)], name: &str| {
        let is_named = named.iter().any(|(one, _)| one == name);
        is_named
            && named
                .iter()
                .all(|(_, reason)| reason.starts_with("gone since archive"))
    };
    let gone = lost.backup(3);
    assert!(is_gone(&gone, &block.ulid), "{gone:?}");
    lost.is_restored_with(3);
    assert_eq!(lost.backup(0), []);
    lost.is_restored_with(0);

    // So is one that is lost in a night in which other series were deleted.
    for is_cleaned in [false, true] {
        let lost = Night::of(tools, template);
        let server = lost.server(&STILL);
        server.delete_series("scrape_duration_seconds");
        if is_cleaned {
            server.clean();
        }
        server.end();
        let block = lost.blocks().swap_remove(1);
        fs::remove_dir_all(lost.data().join(&block.ulid)).unwrap();
        let gone = lost.backup(3);
        assert_eq!(gone.len(), 1, "{gone:?}");
        assert!(gone[0].1.starts_with("gone since archive"), "{gone:?}");
    }

    // Nothing tells a block that was emptied, and no other with it, from one that is lost.
    let emptied = Night::of(tools, template);
    let server = emptied.server(&STILL);
    server.delete_between(block.begin, block.end - 1);
    server.clean();
    server.end();
    assert!(!emptied.holds(block));
    let gone = emptied.backup(3);
    assert!(is_gone(&gone, &block.ulid), "{gone:?}");
    assert_eq!(emptied.backup(0), []);

    // A server goes on without its log.
    let logless = Night::of(tools, template);
    fs::remove_dir_all(logless.data().join("wal")).unwrap();
    fs::remove_dir_all(logless.data().join("chunks_head")).unwrap();
    let server = Server::scraping_itself(tools, &logless.data(), "");
    wait_until("a first scrape", || server.everything().samples() > 0);
    let gone = logless.backup(3);
    assert!(is_gone(&gone, "wal"), "{gone:?}");
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(logless.backup(0), []);
    server.end();
}
