//! Backups of a server that scrapes, cuts blocks, compacts and truncates its WAL meanwhile.

use std::path::Path;
use std::time::Duration;
use std::{env, fs, thread};

use super::answer::{Answer, assert_none};
use super::late_target::LATE_FOR;
use super::program::{archives, backup, check, narthex, restore, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree;

#[test]
fn archives_of_a_running_packaged_server_answer_as_it_did() {
    archives_answer_as_the_server_did(Release::Packaged);
}

#[test]
fn archives_of_a_running_current_server_answer_as_it_did() {
    archives_answer_as_the_server_did(Release::Current);
}

fn archives_answer_as_the_server_did(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let repository = home.path().join("repository");

    let server = Server::scraping(&tools, &data);
    wait_until("a first scrape", || server.everything().samples() > 0);
    // Late samples are in the WBL now, and nowhere else.
    thread::sleep(LATE_FOR);
    let mut promised = vec![back_up(&server, &data, &repository)];
    wait_until("a first block", || !tree::metas(&data).is_empty());
    // Pauses that share no divisor with the four seconds of a block: each run meets another moment
    // of its making.
    for pause in [0, 1_300, 2_900, 3_700, 5_300].map(Duration::from_millis) {
        thread::sleep(pause);
        promised.push(back_up(&server, &data, &repository));
    }
    wait_until("a compacted block", || tree::holds_compacted_block(&data));
    promised.push(back_up(&server, &data, &repository));
    let known = server.everything();
    run(check(&repository).arg("--read-data"), &[0]);

    let ids = archives(&repository);
    assert_eq!(ids.len(), promised.len());
    for (id, promised) in ids.iter().zip(promised) {
        let target = home.path().join(id);
        restore(id, &repository, &target);
        promtool_accepts(&tools, &target);
        let restored = Server::answering_from(&tools, &target).everything();
        let lost = promised.missing_from(&restored);
        assert_none(
            &lost,
            "samples were answered before the backup but not restored",
        );
        let invented = restored.missing_from(&known);
        assert_none(&invented, "restored samples were never answered");
        let blocks = home.path().join(format!("{id}-blocks"));
        head_answers_as_the_log(&tools, id, &repository, &blocks, &restored);
    }
}

/// Brings the archive `id` back into `target` with its head as a block, from which a server answers
/// what it answers from the log.
fn head_answers_as_the_log(
    tools: &Tools,
    id: &str,
    repository: &Path,
    target: &Path,
    from_log: &Answer,
) {
    let mut restore = narthex(["restore", id, "--head", "block", "--repo"]);
    run(restore.arg(repository).arg("--target").arg(target), &[0]);
    assert!(!target.join("wal").exists() && !target.join("wbl").exists());
    let from_block = Server::answering_from(tools, target).everything();
    let lost = from_log.missing_from(&from_block);
    assert_none(&lost, "samples of the log are not in the block of the head");
    let invented = from_block.missing_from(from_log);
    assert_none(
        &invented,
        "samples of the block of the head are not in the log",
    );
}

/// Backs up the live directory; returns what the server could answer just before.
fn back_up(server: &Server, data: &Path, repository: &Path) -> Answer {
    let promised = server.everything();
    run(&mut backup(data, repository), &[0]);
    promised
}

fn promtool_accepts(tools: &Tools, data: &Path) {
    let listing = tools.promtool(&["tsdb", "list"], data);
    let metas = tree::metas(data);
    for meta in &metas {
        let ulid = meta["ulid"].as_str().unwrap();
        assert!(listing.contains(ulid), "{ulid} is not in\n{listing}");
    }
    if !metas.is_empty() {
        tools.promtool(&["tsdb", "analyze"], data);
    }
}

#[test]
fn a_running_packaged_server_that_deletes_cleans_and_snapshots_is_archived_whole() {
    deletions_cleaning_and_snapshots_cost_no_archive(Release::Packaged);
}

#[test]
fn a_running_current_server_that_deletes_cleans_and_snapshots_is_archived_whole() {
    deletions_cleaning_and_snapshots_cost_no_archive(Release::Current);
}

/// Blocks are rewritten under new names while backups run: every one ends with 0 and has all that
/// the server could answer, and snapshots are archives of the same server. `NARTHEX_SOAK` says how
/// many rounds of six archives there are.
fn deletions_cleaning_and_snapshots_cost_no_archive(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let rounds = env::var("NARTHEX_SOAK").map_or(2, |rounds| rounds.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let repository = home.path().join("repository");
    let server = Server::scraping(&tools, &data);
    wait_until("a first block", || !tree::metas(&data).is_empty());
    let mut promised = Vec::new();
    for round in 0..rounds {
        let selector = ["scrape_duration_seconds", "scrape_samples_scraped"][round % 2];
        server.delete_series(&format!("{{__name__=\"{selector}\"}}"));
        promised.push(back_up(&server, &data, &repository));
        thread::scope(|scope| {
            let cleaning = scope.spawn(|| server.clean());
            // Before, while and after blocks are rewritten.
            for _ in 0..3 {
                promised.push(back_up(&server, &data, &repository));
            }
            cleaning.join().unwrap();
        });
        promised.push(back_up(&server, &data, &repository));
        let answer = server.everything();
        let snapshot = data.join("snapshots").join(server.snapshot());
        run(&mut backup(&snapshot, &repository), &[0]);
        promised.push(answer);
    }
    run(check(&repository).arg("--read-data"), &[0]);
    let known = server.everything();
    drop(server);
    let ids = archives(&repository);
    assert_eq!(ids.len(), 6 * rounds);
    for (id, promised) in ids.iter().zip(promised) {
        let target = home.path().join("restored");
        restore(id, &repository, &target);
        let restored = Server::answering_from(&tools, &target).everything();
        let lost = promised.missing_from(&restored);
        // What was deleted later is in this archive, and in no answer since.
        assert_none(
            &lost,
            "samples were answered before the backup but not restored",
        );
        if id == ids.last().unwrap() {
            let invented = restored.missing_from(&known);
            assert_none(&invented, "restored samples were never answered");
        }
        let blocks = home.path().join("blocks");
        head_answers_as_the_log(&tools, id, &repository, &blocks, &restored);
        fs::remove_dir_all(blocks).unwrap();
        fs::remove_dir_all(target).unwrap();
    }
    // All are of one server, or nobody could say which is the latest.
    restore("latest", &repository, &home.path().join("latest"));
}
