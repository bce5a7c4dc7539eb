//! The commands on repositories as a user runs them: streams, JSON, exit codes. Archives are made
//! through the library.

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
    let remote = narthex(&["archives", "--repo", "ftp://host/x"], dir.path());
    assert_eq!(remote.status.code(), Some(2));
    assert!(
        stderr(&remote).contains("what is known is s3://"),
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
    assert_eq!(archives[0]["time"], FIRST);
    assert_eq!(archives[0]["host"], "mon1");
    assert_eq!(archives[0]["source"], "/var/lib/prometheus");
    assert_eq!(archives[0]["blocks"], 2);
    assert_eq!(archives[0]["bytes"], first.bytes());
    let table = stdout(&narthex(&["archives"], dir.path()));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("ID "), "{table}");
    assert!(lines[1].starts_with(first.id.as_str()), "{table}");
}

/// Archives of two clusters whose servers are called alike, on two machines.
fn labelled(repo: &Path) {
    let night = fixture("night-1");
    let night = night.to_str().unwrap();
    for (host, source, cluster) in [
        ("mon1", "a", "eu1"),
        ("mon1", "b", "us1"),
        ("mon2", "a", "us1"),
    ] {
        let cluster = format!("cluster={cluster}");
        let by = [
            "--host", host, "--source", source, "--label", &cluster, "--label", "team=x",
        ];
        let made = narthex(
            &[&["backup", night, "--no-cache", "--force"], &by[..]].concat(),
            repo,
        );
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    }
}

#[test]
fn filters_mean_the_same_for_every_command_and_what_fits_nothing_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    labelled(&repo);
    let target = dir.path().join("target");
    let target = target.to_str().unwrap();
    let commands: [&[&str]; 6] = [
        &["archives"],
        &["forget", "--keep-last", "1", "--dry-run"],
        &["stats", "--quick"],
        &["stats", "--by", "metric"],
        &["forecast", "--repo", repo.to_str().unwrap()],
        &["restore", "latest", "--target", target, "--dry-run"],
    ];
    for command in commands {
        for nothing in [
            &["--host", "mon3"][..],
            &["--source", "c"],
            &["--label", "cluster=eu2"],
            &["--label", "cluster=eu1", "--label", "team=y"],
            &["--label", "cluster=eu1", "--host", "mon2"],
        ] {
            let ran = narthex(&[command, nothing].concat(), &repo);
            let said = stderr(&ran);
            assert_eq!(
                ran.status.code(),
                Some(1),
                "{command:?} {nothing:?}: {said}"
            );
            assert_eq!(stdout(&ran), "", "{command:?} {nothing:?}");
            assert!(said.contains(nothing[1]), "{said}");
            for there in [
                "\"a\" on \"mon2\"",
                "\"b\" on \"mon1\"",
                "cluster=us1",
                "team=x",
            ] {
                assert!(said.contains(there), "{command:?}: {said}");
            }
        }
        for one in [
            &["--label", "cluster=eu1"][..],
            &["--label", "cluster=us1", "--host", "mon2"],
            &["--source", "b"],
        ] {
            let ran = narthex(&[command, one].concat(), &repo);
            assert_eq!(
                ran.status.code(),
                Some(0),
                "{command:?} {one:?}: {}",
                stderr(&ran)
            );
        }
    }
    let several = [
        "restore",
        "latest",
        "--target",
        target,
        "--label",
        "cluster=us1",
    ];
    let several = narthex(&several, &repo);
    assert_eq!(several.status.code(), Some(1));
    assert!(
        stderr(&several).contains("--source or --host"),
        "{}",
        stderr(&several)
    );
    let listed = json(&narthex(
        &["archives", "--json", "--label", "cluster=us1"],
        &repo,
    ));
    assert_eq!(listed["archives"].as_array().unwrap().len(), 2);
    assert_eq!(
        listed["archives"][0]["labels"],
        serde_json::json!(["cluster=us1", "team=x"])
    );
    // An id that does not fit is no silent exception.
    let id = listed["archives"][0]["id"].as_str().unwrap();
    let other = [
        "restore",
        id,
        "--target",
        target,
        "--dry-run",
        "--label",
        "cluster=eu1",
    ];
    let other = narthex(&other, &repo);
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("cluster=us1"), "{}", stderr(&other));
}

#[test]
fn with_json_an_error_is_a_document_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let failed = narthex(&["archives", "--json"], dir.path());
    assert_eq!(failed.status.code(), Some(1));
    let said = json(&failed);
    assert_eq!(said["kind"], "not_found");
    assert_eq!(said["exit_code"], 1);
    assert!(
        said["error"].as_str().unwrap().contains("no repository"),
        "{said}"
    );
    assert!(said["causes"].is_array(), "{said}");
    assert!(
        stderr(&failed).starts_with("narthex: "),
        "{}",
        stderr(&failed)
    );
    let wrong = narthex(&["restore", "--json"], dir.path());
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(json(&wrong)["kind"], "usage");
    assert_eq!(json(&wrong)["exit_code"], 2);
    // What was found before the error stands beside it.
    let night = fixture("night-1");
    let verified = narthex(
        &["verify", "--json", night.to_str().unwrap(), "not/there"],
        dir.path(),
    );
    assert_eq!(verified.status.code(), Some(1));
    assert_eq!(json(&verified)["verified"].as_array().unwrap().len(), 1);
    assert_eq!(json(&verified)["kind"], "not_found");
    // Without --json it is text alone.
    assert_eq!(stdout(&narthex(&["archives"], dir.path())), "");
}

#[test]
fn quiet_says_nothing_of_what_went_well_and_all_of_what_did_not() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let night = fixture("night-1");
    let night = night.to_str().unwrap();
    let backup = ["backup", night, "--quiet", "--no-cache", "--source", "s"];
    let first = narthex(&backup, &repo);
    assert_eq!((first.status.code(), &*stdout(&first)), (Some(0), ""));
    assert!(
        stderr(&first).contains("made a new repository"),
        "{}",
        stderr(&first)
    );
    assert_eq!(stderr(&first).lines().count(), 1, "{}", stderr(&first));
    let target = dir.path().join("target");
    let target = target.to_str().unwrap();
    for well in [
        &backup[..],
        &["verify", night, "-q"],
        &["check", "--quiet", "--read-data"],
        &["forget", "--keep-last", "1", "-q"],
        &["prune", "-q"],
        &["repair", "-q"],
        &["restore", "latest", "--target", target, "-q"],
    ] {
        let ran = narthex(well, &repo);
        assert_eq!(ran.status.code(), Some(0), "{well:?}: {}", stderr(&ran));
        assert_eq!(
            (stdout(&ran), stderr(&ran)),
            (String::new(), String::new()),
            "{well:?}"
        );
    }
    // What is asked for is said.
    for asked in [
        &["archives", "-q"][..],
        &["prune", "-q", "--dry-run"],
        &["list", night, "-q"],
    ] {
        assert_ne!(stdout(&narthex(asked, &repo)), "", "{asked:?}");
    }
    let listed = json(&narthex(&["check", "-q", "--json"], &repo));
    assert_eq!(listed["archives"], 1);
    for object in walk(&repo.join("blocks")) {
        std::fs::write(object, "damaged").unwrap();
    }
    let damaged = narthex(&["check", "-q"], &repo);
    assert_eq!(damaged.status.code(), Some(3));
    assert!(
        stdout(&damaged).contains("problems found"),
        "{}",
        stdout(&damaged)
    );
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn who_stops_a_run_reads_what_stays() {
    use std::os::unix::process::ExitStatusExt as _;
    let dir = tempfile::tempdir().unwrap();
    // A pipe in place of metadata would be refused; standard output that nobody reads keeps a dump
    // at work.
    let night = fixture("night-1");
    let bin = assert_cmd::cargo::cargo_bin("narthex");
    let mut dump = std::process::Command::new(bin)
        .args(["dump", night.to_str().unwrap()])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It has begun once there is output.
    let mut out = dump.stdout.take().unwrap();
    std::io::Read::read_exact(&mut out, &mut [0]).unwrap();
    let pid = pid_of(&dump);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = dump.wait_with_output().unwrap();
    assert_eq!(
        ended.status.signal(),
        Some(15),
        "as every stopped program ends"
    );
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("stopped by SIGTERM: what was printed until then is not all"),
        "{said}"
    );
}

fn pid_of(child: &std::process::Child) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
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
