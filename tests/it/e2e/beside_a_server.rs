//! Reading the directory of a running server: narthex leaves nothing in it. `promtool tsdb dump`
//! leaves a file that ends the server.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::program::{backup, narthex, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree;

/// How many rounds of reading there are: the head is truncated every few seconds meanwhile.
const ROUNDS: usize = 12;

#[test]
fn a_packaged_server_lives_on_while_narthex_reads_beside_it() {
    lives_on_while_narthex_reads(Release::Packaged);
}

#[test]
fn a_current_server_lives_on_while_narthex_reads_beside_it() {
    lives_on_while_narthex_reads(Release::Current);
}

fn lives_on_while_narthex_reads(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (data, repository) = (home.path().join("data"), home.path().join("repository"));
    let mut server = Server::scraping_in_order(&tools, &data);
    wait_until("a first block", || !tree::metas(&data).is_empty());
    for round in 0..ROUNDS {
        for mut command in commands(&data, &repository) {
            if round % 2 == 0 {
                run(&mut command, &[0]);
                continue;
            }
            server.while_stopped(|| {
                let before = (tree::files(&data), tree::change_times(&data));
                run(&mut command, &[0]);
                let after = (tree::files(&data), tree::change_times(&data));
                assert!(before == after, "{command:?} changed the directory");
            });
        }
        thread::sleep(Duration::from_secs(1));
        assert!(!server.has_ended(), "{}", server.log());
    }
    let blocks = tree::metas(&data).len();
    assert!(blocks > 1, "the server has cut {blocks} blocks");
    assert!(server.everything().samples() > 0);
}

/// What reads a data directory.
fn commands(data: &Path, repository: &Path) -> [Command; 4] {
    let with = |arguments: &[&str]| {
        let mut command = narthex(arguments);
        command.arg(data);
        command
    };
    [
        with(&["list"]),
        with(&["verify"]),
        with(&["dump", "--match", "up"]),
        backup(data, repository),
    ]
}

/// What the test above is about: the same with promtool. `cargo test --test it -- --ignored
/// promtool_that_dumps` runs it.
#[test]
#[ignore = "takes a minute and a half, and shows what another program does"]
fn promtool_that_dumps_beside_a_packaged_server_ends_it() {
    let Some(tools) = Tools::find_or_skip(Release::Packaged) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    // 120 samples fill a chunk: then promtool writes what it replays of the log into a file of its
    // own.
    let mut server = Server::scraping_in_blocks(&tools, &data, "30s");
    let heads = || tree::files(&data.join("chunks_head")).len();
    wait_until("a first scrape", || server.everything().samples() > 0);
    let begun = Instant::now();
    let mut added = 0;
    while added == 0 && begun.elapsed() < Duration::from_mins(1) {
        thread::sleep(Duration::from_secs(2));
        added = server.while_stopped(|| {
            let before = heads();
            tools.promtool(&["tsdb", "dump", "--match", "up"], &data);
            heads() - before
        });
    }
    assert_eq!(added, 1, "files that promtool has written");
    let begun = Instant::now();
    while !server.has_ended() && begun.elapsed() < Duration::from_secs(90) {
        thread::sleep(Duration::from_millis(200));
    }
    let log = server.log();
    assert!(log.contains("panic: expected newly cut file"), "{log}");
}
