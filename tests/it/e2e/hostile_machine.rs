//! What belongs here: data directories whose owner, or whose disk, cannot be trusted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{backup, narthex, restore, run};
use super::tools::{Release, Tools};
use super::tree::{copy, fixture};

fn block_of(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut blocks: Vec<_> = entries
        .filter(|path| path.join("chunks/000001").is_file())
        .collect();
    blocks.sort();
    blocks.swap_remove(0)
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A data directory, and a file beside it that its owner cannot read.
fn home() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    copy(&fixture("night-1"), &data);
    let secret = home.path().join("secret");
    fs::write(&secret, b"root:$6$not-for-everybody").unwrap();
    (home, data, secret)
}

/// Whether any file below `dir` holds `bytes`, packed or not.
fn restored_holds(repository: &Path, bytes: &[u8]) -> bool {
    let target = tempfile::tempdir().unwrap();
    let target = target.path().join("restored");
    let mut command = narthex(["restore", "latest"]);
    command
        .arg("--repo")
        .arg(repository)
        .arg("--target")
        .arg(&target);
    run(&mut command, &[0, 3]);
    let mut dirs = vec![target];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if fs::read(&path)
                .unwrap()
                .windows(bytes.len())
                .any(|part| part == bytes)
            {
                return true;
            }
        }
    }
    false
}

#[test]
fn links_below_a_data_directory_are_named_and_nothing_they_lead_to_is_archived() {
    for place in [
        "foreign",
        "tombstones",
        "chunks/000002",
        "index",
        "meta.json",
        "wal",
        "wal/00000005",
    ] {
        let (home, data, secret) = home();
        let path = if place.starts_with("wal") {
            data.join(place)
        } else {
            block_of(&data).join(place)
        };
        if path.is_dir() {
            let moved = home.path().join("moved");
            fs::rename(&path, &moved).unwrap();
            fs::copy(&secret, moved.join("00000099")).unwrap();
            symlink(&moved, &path).unwrap();
        } else {
            let _ = fs::remove_file(&path);
            symlink(&secret, &path).unwrap();
        }
        let repository = home.path().join("repository");
        let output = run(&mut backup(&data, &repository), &[3]);
        let said = stderr(&output);
        let name = place.rsplit('/').next().unwrap();
        assert!(
            said.contains(name) && said.contains("symbolic link"),
            "{place}: {said}"
        );
        assert!(
            !restored_holds(&repository, b"not-for-everybody"),
            "{place}"
        );
    }
}

#[test]
fn a_block_that_lacks_a_linked_part_counts_as_damaged_and_one_with_followed_links_is_whole() {
    let (home, data, _) = home();
    let block = block_of(&data);
    let index = home.path().join("index");
    fs::rename(block.join("index"), &index).unwrap();
    symlink(&index, block.join("index")).unwrap();
    let repository = home.path().join("repository");
    run(&mut backup(&data, &repository), &[3]);
    let archives = run(
        narthex(["archives", "--json", "--repo"]).arg(&repository),
        &[0, 3],
    );
    let archives: serde_json::Value = serde_json::from_slice(&archives.stdout).unwrap();
    assert_ne!(archives["archives"][0]["findings"], 0, "{archives}");
    let whole = home.path().join("whole");
    run(backup(&data, &whole).arg("--follow-links"), &[0]);
    let target = home.path().join("restored");
    restore("latest", &whole, &target);
    let restored = target.join(block.file_name().unwrap()).join("index");
    assert_eq!(fs::read(restored).unwrap(), fs::read(index).unwrap());
}

#[test]
fn a_data_directory_and_a_repository_reached_through_links_work() {
    let (home, data, _) = home();
    let (linked, repository) = (
        home.path().join("linked"),
        home.path().join("linked-repository"),
    );
    symlink(&data, &linked).unwrap();
    fs::create_dir(home.path().join("repository")).unwrap();
    symlink(home.path().join("repository"), &repository).unwrap();
    run(&mut backup(&linked, &repository), &[0]);
    restore("latest", &repository, &home.path().join("restored"));
}

/// `SCRIPT` with a file system of its own of some pages at `$1`, filled to the brim but for what
/// `SCRIPT` makes of it; nothing where this process may not mount.
fn with_full_disk(mount: &Path, script: &str, arguments: &[&Path]) -> Option<std::process::Output> {
    let may_mount = Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none"])
        .arg(mount)
        .output()
        .is_ok_and(|output| output.status.success());
    if !may_mount {
        assert!(
            std::env::var_os("NARTHEX_REQUIRE_E2E").is_none(),
            "expected to be allowed to mount"
        );
        eprintln!("SKIPPED: pages that cannot be read: this process may not mount");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", script, "sh"]);
    command
        .arg(mount)
        .args(arguments)
        .env_remove("NARTHEX_REPO");
    Some(command.output().unwrap())
}

/// A page of a file that has no place on its disk: a map of it fails as one of a bad sector does.
const HOLE: &str = r#"
    mount -t tmpfs -o size=8m none "$1"
    cp -r "$2"/. "$1"
    segment=$(ls -S "$1"/*/chunks/000001 | head -n 1)
    size=$(stat -c %s "$segment")
    cp "$segment" "$1"/whole
    rm "$segment"
    truncate -s "$size" "$segment"
    dd if="$1"/whole of="$segment" bs=4096 count=1 conv=notrunc status=none
    dd if="$1"/whole of="$segment" bs=4096 skip=2 seek=2 conv=notrunc status=none
    rm "$1"/whole
    dd if=/dev/zero of="$1"/fill bs=4096 status=none 2>/dev/null || true
    shift 2
    exec "$@"
"#;

#[test]
fn a_page_that_the_disk_cannot_read_is_one_finding_and_ends_no_command() {
    let program = Path::new(env!("CARGO_BIN_EXE_narthex"));
    let home = tempfile::tempdir().unwrap();
    let (mount, repository) = (home.path().join("mount"), home.path().join("repository"));
    fs::create_dir(&mount).unwrap();
    let fixture = fixture("night-1");
    let run = |arguments: &[&str]| {
        let mut all = vec![&*fixture, program];
        all.extend(arguments.iter().map(Path::new));
        with_full_disk(&mount, HOLE, &all)
    };
    let data = mount.to_str().unwrap();
    let Some(verified) = run(&["verify", "--json", data]) else {
        return;
    };
    assert_eq!(verified.status.code(), Some(3), "{}", stderr(&verified));
    let json: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let text = json.to_string();
    assert_eq!(
        text.matches("\"page-unreadable\"").count(),
        2,
        "one finding, one count: {text}"
    );
    assert!(!text.contains("\"chunk-checksum\""), "{text}");
    for arguments in [
        &["verify", "--quick", data][..],
        &["inspect", data],
        &["analyze", data],
        &["dump", data],
        &[
            "backup",
            data,
            "--no-cache",
            "--repo",
            repository.to_str().unwrap(),
        ],
    ] {
        let output = run(arguments).unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(
            said.contains("cannot read") && said.contains("000001"),
            "{arguments:?}: {said}"
        );
    }
    let archives = super::program::run(
        narthex(["archives", "--json", "--repo"]).arg(&repository),
        &[0, 3],
    );
    let archives: serde_json::Value = serde_json::from_slice(&archives.stdout).unwrap();
    let blocks = fs::read_dir(&fixture)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().join("index").exists());
    assert_eq!(
        archives["archives"][0]["blocks"],
        blocks.count(),
        "all blocks are archived: {archives}"
    );
}

/// As [`HOLE`], of the disk that holds the directory of `$4`, a file below the data directory: its
/// page `$3` cannot be read, which counts from the end where it is negative. What a server writes
/// elsewhere has room.
const HOLE_AT: &str = r#"
    rm -rf "$1"
    cp -r "$2" "$1"
    whole="$2/$4"
    file="$1/$4"
    page="$3"
    disk=$(dirname "$file")
    mount -t tmpfs -o size=8m none "$disk"
    cp -r "$(dirname "$whole")"/. "$disk"
    size=$(stat -c %s "$whole")
    pages=$(( (size + 4095) / 4096 ))
    rm "$file"
    truncate -s "$size" "$file"
    for at in $(seq 0 $((pages - 1))); do
        [ "$at" = "$page" ] || [ $((at - pages)) = "$page" ] ||
            dd if="$whole" of="$file" bs=4096 count=1 skip="$at" seek="$at" conv=notrunc status=none
    done
    truncate -s "$size" "$file"
    dd if=/dev/zero of="$disk"/fill bs=4096 status=none 2>/dev/null || true
    shift 4
    exec timeout 60 "$@"
"#;

#[test]
fn a_page_that_a_start_reads_ends_it() {
    let program = Path::new(env!("CARGO_BIN_EXE_narthex"));
    let home = tempfile::tempdir().unwrap();
    let mount = home.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let fixture = fixture("wal/wal-1");
    let night = super::tree::fixture("night-1");
    let index = block_of(&night).join("index");
    let index = index.strip_prefix(&night).unwrap();
    let config = home.path().join("prometheus.yml");
    fs::write(&config, b"").unwrap();
    for (fixture, file, page) in [
        (&fixture, Path::new("chunks_head/000001"), "1"),
        (&night, index, "0"),
        (&night, index, "-1"),
    ] {
        let run = |arguments: &[&Path]| {
            let mut all = vec![&**fixture, Path::new(page), file];
            all.extend(arguments);
            with_full_disk(&mount, HOLE_AT, &all)
        };
        let arguments = ["verify", "--json", "--quick"].map(Path::new);
        let Some(verified) = run(&[&[program][..], &arguments, &[&mount]].concat()) else {
            return;
        };
        let said: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        let verdict = &said["verified"][0];
        assert!(
            said.to_string().contains("\"page-unreadable\""),
            "{file:?}: {verdict}"
        );
        assert_eq!(verdict["start"]["starts"], false, "{file:?}: {verdict}");
        for release in [Release::Packaged, Release::Current] {
            let Some(tools) = Tools::find_or_skip(release) else {
                continue;
            };
            // What the older release reads of the index by itself was not looked at.
            if release == Release::Packaged && file == index {
                continue;
            }
            let config = format!("--config.file={}", config.display());
            let data = format!("--storage.tsdb.path={}", mount.display());
            let flags = [
                config.as_str(),
                &data,
                "--web.listen-address=127.0.0.1:0",
                "--storage.tsdb.retention.time=100y",
            ];
            let flags = flags.map(Path::new);
            let server = run(&[&[&*tools.prometheus][..], &flags].concat()).unwrap();
            let log = stderr(&server);
            assert!(log.contains("SIGBUS"), "{file:?}: {release:?}: {log}");
        }
    }
}

/// Preloaded into narthex, it makes one page of one file unreadable for `pread`, as a bad sector
/// is.
const BAD_SECTOR: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pread64(int fd, void *to, size_t length, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0) {
        path[n] = 0;
        if (strcmp(path, getenv("BAD_FILE")) == 0 && at < 8192 && at + (off64_t)length > 4096) {
            errno = EIO;
            return -1;
        }
    }
    return real(fd, to, length, at);
}
"#;

#[test]
fn a_block_with_a_bad_sector_is_archived_but_for_its_page_and_named() {
    let (home, data, _) = home();
    let source = home.path().join("bad_sector.c");
    let library = home.path().join("bad_sector.so");
    fs::write(&source, BAD_SECTOR).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl");
    assert!(compiler.status().unwrap().success());
    let block = block_of(&data);
    let segment = block.join("chunks/000001").canonicalize().unwrap();
    let sound = fs::read(&segment).unwrap();
    assert!(sound.len() > 8192);
    let repository = home.path().join("repository");
    let mut command = backup(&data, &repository);
    command
        .env("LD_PRELOAD", &library)
        .env("BAD_FILE", &segment);
    let said = stderr(&run(&mut command, &[3]));
    assert!(said.contains("page-unreadable"), "{said}");
    let target = home.path().join("restored");
    let mut command = narthex(["restore", "latest"]);
    command
        .arg("--repo")
        .arg(&repository)
        .arg("--target")
        .arg(&target);
    run(&mut command, &[0, 3]);
    let mut expected = sound.clone();
    expected[4096..8192].fill(0);
    let name = block.file_name().unwrap();
    let restored = fs::read(target.join(name).join("chunks/000001")).unwrap();
    assert!(restored == expected, "all but the page came back");
    // The next night, on a disk that was mended, the block is read again.
    run(&mut backup(&data, &repository), &[0]);
    let target = home.path().join("mended");
    restore("latest", &repository, &target);
    assert!(fs::read(target.join(name).join("chunks/000001")).unwrap() == sound);
}

/// Renames every directory that appears in `target` away and puts a link to `elsewhere` in its
/// place, until `stop` appears.
const RACER: &str = r#"
    while [ ! -e "$3" ]; do
        for dir in "$1"/.narthex-restore-* "$1"/.narthex-restore-*/*; do
            [ -d "$dir" ] && [ ! -L "$dir" ] || continue
            mv "$dir" "$1/moved.$$.$(date +%N)" 2>/dev/null && ln -s "$2" "$dir"
        done
    done
"#;

#[test]
fn who_owns_the_target_cannot_lead_a_restore_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("repository");
    run(&mut backup(&fixture("night-1"), &repository), &[0]);
    for round in 0..6 {
        let dir = |name: &str| home.path().join(format!("{name}-{round}"));
        let (target, elsewhere, stop) = (dir("target"), dir("elsewhere"), dir("stop"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let mut racer = Command::new("sh")
            .args(["-c", RACER, "sh"])
            .args([&target, &elsewhere, &stop])
            .spawn()
            .unwrap();
        let mut command = narthex(["restore", "latest", "--repo"]);
        command.arg(&repository).arg("--target").arg(&target);
        let output = command.output().unwrap();
        fs::write(&stop, b"").unwrap();
        racer.wait().unwrap();
        let found: Vec<_> = fs::read_dir(&elsewhere).unwrap().collect();
        assert!(
            found.is_empty(),
            "round {round}: {found:?} {}",
            stderr(&output)
        );
    }
}

#[test]
fn restored_files_are_for_their_owner_alone_or_as_asked_for() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("repository");
    run(&mut backup(&fixture("night-1"), &repository), &[0]);
    let restored = |name: &str, arguments: &[&str]| {
        let target = home.path().join(name);
        let mut command = narthex(["restore", "latest"]);
        command.args(arguments).arg("--repo").arg(&repository);
        run(command.arg("--target").arg(&target), &[0]);
        let seen = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.mode() & 0o777, metadata.uid(), metadata.gid())
        };
        let block = block_of(&target);
        (
            seen(&target),
            seen(&block.join("chunks")),
            seen(&block.join("index")),
            seen(&target.join("wal")),
        )
    };
    let (user, group) = (
        fs::metadata(home.path()).unwrap().uid(),
        fs::metadata(home.path()).unwrap().gid(),
    );
    let own = |mode| (mode, user, group);
    assert_eq!(
        restored("own", &[]),
        (own(0o700), own(0o700), own(0o600), own(0o700))
    );
    assert_eq!(
        restored("group", &["--mode", "0640"]),
        (own(0o750), own(0o750), own(0o640), own(0o750))
    );
    if user == 0 {
        let given = |mode| (mode, 12345, 23456);
        assert_eq!(
            restored("new/given", &["--chown", "12345:23456"]),
            (given(0o700), given(0o700), given(0o600), given(0o700))
        );
        let above = fs::metadata(home.path().join("new")).unwrap();
        assert_eq!((above.uid(), above.gid()), (12345, 23456));
    }
    // What is cut is written by other code, and into a directory that others may list.
    let target = home.path().join("cut");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = narthex(["restore", "latest", "--exact", "--match", "up"]);
    command.args([
        "--since",
        "2026-11-22T01:55:00Z",
        "--until",
        "2026-11-22T01:57:00Z",
    ]);
    command
        .arg("--repo")
        .arg(&repository)
        .arg("--target")
        .arg(&target);
    run(&mut command, &[0]);
    let block = block_of(&target);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&block), 0o700);
    for file in ["index", "meta.json", "tombstones", "chunks/000001"] {
        assert_eq!(mode(&block.join(file)), 0o600, "{file}");
    }
    let metadata = fs::metadata(repository.join("narthex.json")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
}

#[test]
fn names_reach_nobodys_terminal_with_characters_that_it_obeys() {
    let (home, data, _) = home();
    let block = block_of(&data);
    for name in [
        "evil\u{1b}[31mred",
        "title\u{1b}]0;x\u{7}",
        "gpj\u{202e}exe",
        "del\u{7f}\u{9b}2J",
        "line\nnarthex: all is well",
    ] {
        fs::write(data.join(name), b"x").unwrap();
        fs::write(block.join(name), b"x").unwrap();
        symlink("nowhere", data.join("wal").join(name)).unwrap();
    }
    let repository = home.path().join("repository");
    let (repository, target) = (repository.to_str().unwrap(), home.path().join("restored"));
    let (data, target) = (data.to_str().unwrap(), target.to_str().unwrap());
    let source = "a\u{1b}[1mb\u{202e}\nnarthex: all is well";
    let dir_of_blocks = home.path().join("dir\nnarthex: all is well");
    fs::create_dir(&dir_of_blocks).unwrap();
    let damaged = dir_of_blocks.join(block.file_name().unwrap());
    copy(&block, &damaged);
    fs::write(damaged.join("index"), b"").unwrap();
    let odd = dir_of_blocks.to_str().unwrap();
    for arguments in [
        &["list", data][..],
        &["verify", "--notes", data],
        &["inspect", data],
        &["list", data, odd],
        &["verify", odd],
        &["verify", "--notes", &format!("{odd}/nothing")],
        &["diff", data, odd],
        &["init", "--repo", &format!("{odd}-repository")],
        &["backup", data, "--repo", repository, "--dry-run"],
        &["backup", data, "--repo", repository, "--source", source],
        &["archives", "--repo", repository],
        &["check", "--repo", repository],
        &["stats", "--repo", repository],
        &[
            "forget",
            "--keep-last",
            "1",
            "--dry-run",
            "--repo",
            repository,
        ],
        &[
            "restore", "latest", "--repo", repository, "--target", target,
        ],
        &["list", "no\u{1b}[1msuch\u{202e}"],
        &["diff", data, data],
    ] {
        let output = narthex(arguments).output().unwrap();
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            let odd = text.chars().find(|c| {
                c.is_control() && *c != '\n' && *c != '\t' || ('\u{202a}'..='\u{202e}').contains(c)
            });
            assert_eq!(odd, None, "{arguments:?}: {text:?}");
            let said_by_name = text
                .lines()
                .find(|line| line.starts_with("narthex: all is"));
            assert_eq!(said_by_name, None, "{arguments:?}: {text:?}");
        }
    }
}
