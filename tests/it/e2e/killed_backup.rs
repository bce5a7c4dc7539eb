//! `narthex backup` killed at random moments: what was committed stays whole, the next run
//! succeeds.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::program::{archives, backup, check, restore, run};
use super::tree::{self, archived_files, fixture};

/// Backups to kill, and in how many steps the moment moves from the start of a run to its end.
const ROUNDS: u32 = 60;
const SWEEP: u32 = 20;

#[test]
fn a_killed_backup_leaves_earlier_archives_whole_and_the_next_one_succeeds() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (fixture("night-1"), fixture("night-2"));
    let one_night = home.path().join("one-night");
    run(&mut backup(&first, &one_night), &[0]);
    let mut whole_run = time_of_a_whole_run(&one_night, &second, &home.path().join("timed"));

    let mut killed = 0;
    for round in 0..ROUNDS {
        let repository = home.path().join("repository");
        tree::copy(&one_night, &repository);
        let moment = whole_run * (round % SWEEP) / SWEEP;
        if was_killed_after(moment, &second, &repository) {
            killed += 1;
        } else {
            // The measured run was a slow one: come closer.
            whole_run = whole_run * 9 / 10;
        }

        run(&mut check(&repository), &[0]);
        let oldest = archives(&repository).remove(0);
        assert_restores(&oldest, &repository, &first, &home.path().join("first"));
        run(&mut backup(&second, &repository), &[0]);
        let newest = archives(&repository).pop().unwrap();
        assert_restores(&newest, &repository, &second, &home.path().join("second"));
        run(check(&repository).arg("--read-data"), &[0]);
        std::fs::remove_dir_all(&repository).unwrap();
    }
    assert!(
        killed > ROUNDS / 3,
        "only {killed} of {ROUNDS} backups were killed before they had ended"
    );
}

fn time_of_a_whole_run(one_night: &Path, data: &Path, repository: &Path) -> Duration {
    tree::copy(one_night, repository);
    let begun = Instant::now();
    run(&mut backup(data, repository), &[0]);
    begun.elapsed()
}

/// Starts a backup and kills it after `moment`; `false` when it had ended by then.
fn was_killed_after(moment: Duration, data: &Path, repository: &Path) -> bool {
    let mut running = backup(data, repository)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(moment);
    running.kill().unwrap();
    running.wait().unwrap().code().is_none()
}

fn assert_restores(archive: &str, repository: &Path, data: &Path, target: &Path) {
    restore(archive, repository, target);
    // No assert_eq: a difference would print every byte of both.
    assert!(
        tree::files(target) == archived_files(data),
        "{archive} restores to something else than {}",
        data.display()
    );
    std::fs::remove_dir_all(target).unwrap();
}
