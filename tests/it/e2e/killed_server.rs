//! Backups of what a server left behind when it was killed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::answer::assert_none;
use super::late_target::LATE_FOR;
use super::program::{backup, restore, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree;

#[test]
fn what_a_killed_packaged_server_left_behind_restores_to_the_same_answers() {
    killed_at_every_moment(Release::Packaged);
}

#[test]
fn what_a_killed_current_server_left_behind_restores_to_the_same_answers() {
    killed_at_every_moment(Release::Current);
}

/// Runs one server per moment, all at once: most of the time they wait.
fn killed_at_every_moment(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let moments: [fn(&Path); 5] = [
        before_the_first_block,
        any_time,
        writing_a_block,
        deleting_a_block,
        truncating_the_wal,
    ];
    thread::scope(|scope| {
        for moment in moments {
            let tools = &tools;
            scope.spawn(move || killed_at(tools, moment));
        }
    });
}

fn before_the_first_block(data: &Path) {
    let wbl = data.join("wbl/00000000");
    wait_until("a late sample", || {
        wbl.metadata().is_ok_and(|wbl| wbl.len() > 0)
    });
    thread::sleep(LATE_FOR);
}

fn any_time(data: &Path) {
    wait_until("a first block", || !tree::metas(data).is_empty());
    let nanoseconds = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    thread::sleep(Duration::from_millis(
        u64::from(nanoseconds) / 1_000 % 4_000,
    ));
}

fn writing_a_block(data: &Path) {
    wait_until("a first block", || !tree::metas(data).is_empty());
    wait_until("a block being written", || {
        tree::holds_name_ending(data, ".tmp-for-creation")
    });
}

fn deleting_a_block(data: &Path) {
    wait_until("a block being deleted", || {
        tree::holds_name_ending(data, ".tmp-for-deletion")
    });
}

fn truncating_the_wal(data: &Path) {
    let wal = data.join("wal");
    wait_until("a checkpoint being written", || {
        tree::holds_name_ending(&wal, ".tmp")
    });
}

fn killed_at(tools: &Tools, moment: fn(&Path)) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let repository = home.path().join("repository");
    let server = Server::scraping(tools, &data);
    moment(&data);
    server.kill();

    // A start changes the directory: what Prometheus makes of it is asked of a copy.
    let copy = home.path().join("copy");
    tree::copy(&data, &copy);
    // 3: the moment may have left half a block, which is named and left out.
    run(&mut backup(&data, &repository), &[0, 3]);
    let target = home.path().join("target");
    restore("latest", &repository, &target);

    let expected = Server::answering_from(tools, &copy).everything();
    let restored = Server::answering_from(tools, &target).everything();
    assert!(expected.samples() > 0);
    assert_none(&expected.missing_from(&restored), "samples are lost");
    assert_none(&restored.missing_from(&expected), "samples are new");
}
