//! The commands on repositories as a user runs them: streams, JSON, exit codes. Archives are made through the library.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use assert_cmd::Command;
use narthex::repository::Repository;
use narthex::store::LocalStore;
use serde_json::Value;

use crate::fixtures::fixture;
use crate::keeping::back_up;

const FIRST: i64 = 1_795_288_065_445;

fn narthex(arguments: &[&str], repo: &Path) -> Output {
    Command::cargo_bin("narthex")
        .unwrap()
        .args(arguments)
        .env("NARTHEX_REPO", repo)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn two_archives(repo: &Path) -> [narthex::repository::Archive; 2] {
    let store = Arc::new(LocalStore::new(repo));
    let repository = Repository::open_or_init(store).unwrap();
    let second = back_up(&repository, FIRST + 86_400_000, &[2, 3]).unwrap();
    [back_up(&repository, FIRST, &[1, 2]).unwrap(), second]
}

#[test]
fn init_makes_a_repository_once_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("a/repo");
    let made = narthex(&["init", "--json"], &repo);
    assert_eq!(made.status.code(), Some(0));
    assert_eq!(json(&made)["repository"], repo.to_str().unwrap());
    let again = narthex(&["init"], &repo);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("is a repository already"),
        "{}",
        stderr(&again)
    );
    assert_eq!(stdout(&again), "");
}

#[test]
fn an_archive_of_a_write_ahead_log_without_blocks_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, target) = (dir.path().join("repo"), dir.path().join("back"));
    let data = fixture("wal/wal-1");
    narthex(&["init"], &repo);
    let backup = narthex(&["backup", data.to_str().unwrap(), "--no-cache"], &repo);
    assert_eq!(backup.status.code(), Some(0), "{}", stderr(&backup));
    let restore = ["restore", "latest", "--target", target.to_str().unwrap()];
    let restored = narthex(&restore, &repo);
    assert_eq!(restored.status.code(), Some(0), "{}", stderr(&restored));
    let segment = |dir: &Path| std::fs::read(dir.join("wal/00000000")).unwrap();
    assert!(segment(&target) == segment(&data));
}

#[test]
fn a_place_that_is_no_repository_is_exit_1_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for command in [&["archives"][..], &["check"], &["diff", "a", "b"]] {
        let output = narthex(command, dir.path());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains("there is no repository in"));
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is written"
    );
    let remote = narthex(&["archives", "--repo", "s3://bucket/x"], dir.path());
    assert_eq!(remote.status.code(), Some(2));
    assert!(
        stderr(&remote).contains("not in this version"),
        "{}",
        stderr(&remote)
    );
}

#[test]
fn archives_are_listed_oldest_first_as_a_table_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two_archives(dir.path());
    let listed = json(&narthex(&["archives", "--json"], dir.path()));
    let archives = listed["archives"].as_array().unwrap();
    assert_eq!(archives.len(), 2);
    assert_eq!(archives[0]["id"], first.id.as_str());
    assert_eq!(archives[1]["id"], second.id.as_str());
    assert_eq!(archives[0]["time"], "2026-11-21T19:07:45.445Z");
    assert_eq!(archives[0]["host"], "mon1");
    assert_eq!(archives[0]["source"], "/var/lib/prometheus");
    assert_eq!(archives[0]["blocks"], 2);
    assert_eq!(archives[0]["bytes"], first.bytes());
    let table = stdout(&narthex(&["archives"], dir.path()));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("ID "), "{table}");
    assert!(lines[1].starts_with(first.id.as_str()), "{table}");
    let other = json(&narthex(
        &["archives", "--json", "--host", "mon2"],
        dir.path(),
    ));
    assert_eq!(other["archives"].as_array().unwrap().len(), 0);
}

#[test]
fn a_damaged_manifest_is_reported_with_exit_3_and_the_others_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two_archives(dir.path());
    let object = second.manifest_name().unwrap().object().unwrap();
    std::fs::write(dir.path().join(object.as_str()), "{}").unwrap();
    let output = narthex(&["archives", "--json"], dir.path());
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json(&output)["archives"][0]["id"], first.id.as_str());
    assert_eq!(json(&output)["damaged"][0]["object"], object.as_str());
    assert!(stderr(&output).contains(object.as_str()));
}

#[test]
fn check_is_exit_0_when_sound_and_3_with_the_damage_named() {
    let dir = tempfile::tempdir().unwrap();
    let [first, _] = two_archives(dir.path());
    for arguments in [
        &["check"][..],
        &["check", "--read-data"],
        &["check", "--read-data=40"],
    ] {
        let sound = narthex(arguments, dir.path());
        assert_eq!(sound.status.code(), Some(0), "{}", stdout(&sound));
        assert!(stdout(&sound).starts_with("no problems found: 2 archives, 5 objects"));
    }
    let wrong = narthex(&["check", "--read-data=0"], dir.path());
    assert_eq!(wrong.status.code(), Some(2));

    let object = first.blocks[0].object.name.as_str();
    let mut bytes = std::fs::read(dir.path().join(object)).unwrap();
    bytes[100] ^= 1;
    std::fs::write(dir.path().join(object), bytes).unwrap();
    assert_eq!(
        narthex(&["check"], dir.path()).status.code(),
        Some(0),
        "structure only"
    );
    let read = narthex(&["check", "--read-data", "--json"], dir.path());
    assert_eq!(read.status.code(), Some(3));
    let finding = &json(&read)["findings"][0];
    assert_eq!(finding["kind"], "object-damaged");
    assert_eq!(finding["severity"], "problem");
    assert_eq!(finding["object"], object);
    assert_eq!(finding["archives"][0], first.id.as_str());
    assert_eq!(finding["blocks"][0], first.blocks[0].ulid.to_string());
    let text = stdout(&narthex(&["check", "--read-data"], dir.path()));
    assert!(
        text.contains(object) && text.contains("problems found"),
        "{text}"
    );
}

#[test]
fn a_diff_names_the_blocks_that_are_not_shared() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = two_archives(dir.path());
    let output = narthex(&["diff", first.id.short(), "latest", "--json"], dir.path());
    let diff = json(&output);
    assert_eq!(diff["shared"], 1);
    assert_eq!(diff["changes"][0]["change"], "removed");
    assert_eq!(diff["changes"][0]["ulid"], first.blocks[0].ulid.to_string());
    assert_eq!(diff["changes"][1]["change"], "added");
    assert_eq!(
        diff["changes"][1]["ulid"],
        second.blocks[1].ulid.to_string()
    );
    let table = stdout(&narthex(&["diff", first.id.short(), "latest"], dir.path()));
    assert!(
        table.ends_with("2 blocks differ, 1 are shared\n"),
        "{table}"
    );
}

/// Every command, by the help of its parent.
fn commands(of: &[&str]) -> Vec<String> {
    let help = narthex_help(of);
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let named = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn narthex_help(command: &[&str]) -> String {
    stdout(&narthex(&[command, &["--help"]].concat(), Path::new("x")))
}

#[test]
fn every_help_has_an_example_and_the_exit_codes_and_explains_every_option() {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for command in commands(&[]) {
        all.extend(
            commands(&[&command])
                .into_iter()
                .map(|sub| vec![command.clone(), sub]),
        );
        all.push(vec![command]);
    }
    assert!(all.len() > 13, "{all:?}");
    for command in all {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = narthex_help(&command);
        assert!(help.contains("Exit codes: 0 done"), "{help}");
        assert!(help.contains("\nExamples:\n  narthex "), "{help}");
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines
            .windows(2)
            .filter(|pair| pair[0].starts_with(' ') && pair[0].trim().starts_with('-'))
        {
            let explained = pair[0].trim().contains("  ") || pair[1].starts_with("     ");
            assert!(explained, "{}", pair[0]);
        }
    }
}

#[test]
fn man_pages_are_written_for_every_command_into_a_new_directory() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("man/man1");
    let made = narthex(
        &["generate", "man", target.to_str().unwrap()],
        Path::new("x"),
    );
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    for page in ["narthex.1", "narthex-backup.1", "narthex-generate-man.1"] {
        let page = std::fs::read_to_string(target.join(page)).unwrap();
        assert!(page.contains("Exit codes"), "{page}");
    }
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let failed = narthex(&["generate", "man", file.to_str().unwrap()], Path::new("x"));
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains(file.to_str().unwrap()));
}

#[test]
fn the_variable_says_where_an_archive_is_and_is_no_matter_to_reading_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let data = fixture("night-2");
    let data = data.to_str().unwrap();
    let backup = narthex(&["backup", data], &repo);
    assert_eq!(backup.status.code(), Some(0), "{}", stderr(&backup));
    for arguments in [
        &["list", data][..],
        &["verify", "--quick", data],
        &["dump", "--match", "up", data],
        &["list", "--archive", "latest"],
        &["verify", "--quick", "--archive", "latest"],
    ] {
        let read = narthex(arguments, &repo);
        assert_eq!(read.status.code(), Some(0), "{}", stderr(&read));
        assert!(!read.stdout.is_empty(), "{arguments:?}");
    }
    let no_archive = narthex(&["list", data, "--repo", "repo"], &repo);
    assert_eq!(no_archive.status.code(), Some(2));
}
