//! Commands that read a data directory leave no trace in it, and need no permission to write there.

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

/// `narthex ARGUMENTS DATA` where `data` is mounted read-only, if this process may do that.
fn read_only(data: &Path, arguments: &[&str]) -> Command {
    const MOUNTED: &str = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0"/x 2>/dev/null && "$@" "$0""#;
    let mut plain = narthex(arguments);
    plain.arg(data);
    let may_mount = Command::new("unshare")
        .args(["--map-root-user", "--mount", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !may_mount {
        return plain;
    }
    let mut mounted = Command::new("unshare");
    mounted.args(["--map-root-user", "--mount", "sh", "-c", MOUNTED]);
    mounted.arg(data).arg(plain.get_program()).args(arguments);
    mounted
}
