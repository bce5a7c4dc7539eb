//! Commands that read a data directory leave no trace in it, and need no permission to write there.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::program::{narthex, run};
use super::tree::{self, fixture};

#[test]
fn reading_commands_and_backup_change_nothing_in_a_directory_they_cannot_write_to() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tree::copy(&fixture("night-1"), &data);
    let (files, times) = (tree::files(&data), tree::change_times(&data));
    let repository = home.path().join("repository");
    for arguments in [
        vec!["list"],
        vec!["verify"],
        vec!["dump"],
        vec!["backup", "--repo", repository.to_str().unwrap()],
    ] {
        let mut command = read_only(&data, &arguments);
        run(&mut command, &[0]);
        assert!(
            tree::files(&data) == files && tree::change_times(&data) == times,
            "{arguments:?} changed something"
        );
    }
}

/// `narthex ARGUMENTS DATA` with `data` mounted read-only, where this process may mount.
fn read_only(data: &Path, arguments: &[&str]) -> Command {
    let mut plain = narthex(arguments);
    plain.arg(data);
    let may_mount = mounted(data, "true".as_ref(), &[])
        .output()
        .is_ok_and(|output| output.status.success());
    if may_mount {
        mounted(data, plain.get_program(), arguments)
    } else {
        plain
    }
}

/// `PROGRAM ARGUMENTS DATA` in a mount namespace of its own, in which `data` is read-only.
fn mounted(data: &Path, program: &OsStr, arguments: &[&str]) -> Command {
    const SCRIPT: &str = r#"
        mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit
        ! touch "$0"/new 2>/dev/null || exit
        exec "$@" "$0""#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT]);
    command.arg(data).arg(program).args(arguments);
    command
}
