//! The `narthex` program, as a shell would start it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A command line of `narthex`, not started yet.
pub(crate) fn narthex<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    command
        .env_remove("NARTHEX_REPO")
        .env("NARTHEX_CACHE_DIR", own.join("cache"))
        .env("NARTHEX_STATE_DIR", own.join("state"))
        .args(arguments);
    command
}

/// Runs `command`, which must end with one of `codes`.
pub(crate) fn run(command: &mut Command, codes: &[i32]) -> Output {
    let output = command.output().unwrap();
    let code = output.status.code();
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{command:?} ended with {code:?} instead of one of {codes:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// `narthex backup DATA --repo REPO`.
pub(crate) fn backup(data: &Path, repository: &Path) -> Command {
    let mut command = narthex(["backup"]);
    command.arg(data).arg("--repo").arg(repository);
    command
}

/// Restores `archive` into `target` with `narthex restore ARCHIVE --repo REPO --target TARGET`.
pub(crate) fn restore(archive: &str, repository: &Path, target: &Path) {
    let mut command = narthex(["restore", archive]);
    command.arg("--repo").arg(repository);
    command.arg("--target").arg(target);
    run(&mut command, &[0]);
}

/// `narthex check --repo REPO`.
pub(crate) fn check(repository: &Path) -> Command {
    let mut command = narthex(["check"]);
    command.arg("--repo").arg(repository);
    command
}

/// The ids of all archives, oldest first, from `narthex archives --json`.
pub(crate) fn archives(repository: &Path) -> Vec<String> {
    let output = run(
        narthex(["archives", "--json", "--repo"]).arg(repository),
        &[0],
    );
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    let archives = listing["archives"].as_array().unwrap();
    let id = |archive: &Value| archive["id"].as_str().unwrap().to_owned();
    archives.iter().map(id).collect()
}
