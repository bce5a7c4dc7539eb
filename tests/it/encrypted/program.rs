//! The program, as its users start it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::world::night;

/// Two machines: a host, and one that restores.
pub(super) struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        Desk {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs narthex on the machine `machine`.
    pub(super) fn run(&self, machine: &str, arguments: &[&str]) -> Output {
        self.run_with(machine, arguments, &[])
    }

    /// The same, with more in its environment.
    fn run_with(&self, machine: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env("NARTHEX_REPO", self.path("repo"))
            .env("NARTHEX_STATE_DIR", self.path(&format!("{machine}-state")))
            .env("NARTHEX_CACHE_DIR", self.path(&format!("{machine}-cache")))
            .env_remove("NARTHEX_IDENTITY")
            .env_remove("NARTHEX_SIGNING_KEY")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// What a command says that must do what it is asked: standard output, and error.
    pub(super) fn done(&self, machine: &str, arguments: &[&str]) -> (String, String) {
        let output = self.run(machine, arguments);
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{err}");
        (out, err)
    }

    /// A new identity, and a repository that is encrypted to it, which `host.key` may write.
    pub(super) fn init(&self) {
        let (recipient, _) = self.done("reader", &["key", "generate", "backup.key"]);
        self.done("host", &["key", "generate", "--signing", "host.key"]);
        let recipient = recipient.trim();
        let arguments = [
            "init",
            "--recipient",
            recipient,
            "--signer",
            "host.key.pub",
            "--admin",
            "admin.key",
        ];
        self.done("reader", &arguments);
    }

    pub(super) fn back_up(&self, number: usize) -> Value {
        let dir = night(number);
        let arguments = [
            "backup",
            dir.to_str().unwrap(),
            "--source",
            "a",
            "--signing-key",
            "host.key",
            "--json",
        ];
        serde_json::from_str(&self.done("host", &arguments).0).unwrap()
    }
}

pub(super) fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_host_that_only_writes_and_a_machine_that_restores() {
    let desk = Desk::new();
    desk.init();
    for key in ["backup.key", "host.key", "admin.key"] {
        assert_eq!(mode(&desk.path(key)), 0o600, "{key}");
        // No key is overwritten.
        let again = desk.run("reader", &["key", "generate", key]);
        assert_eq!(again.status.code(), Some(1), "{key}");
    }
    let first = desk.back_up(1);
    let second = desk.back_up(2);
    assert!(second["unchanged_blocks"].as_u64() > Some(0), "{second}");
    assert_eq!(second["problems"], Value::Array(Vec::new()));
    for command in [
        &["archives"][..],
        &["stats"],
        &["restore", "latest", "--target", "t"],
    ] {
        let (out, err) = said(&desk.run("reader", command));
        assert!(
            out.is_empty() && err.contains("--identity"),
            "{command:?}: {out}{err}"
        );
    }
    let (out, err) = desk.done("reader", &["check", "--read-data"]);
    assert!(
        out.contains("2 archives") && err.contains("--identity"),
        "{out}{err}"
    );
    let identity = ["-i", "backup.key"];
    for (archive, number) in [(first, 1), (second, 2)] {
        let id = archive["id"].as_str().unwrap();
        let target = format!("back-{number}");
        let arguments = [&["restore", id, "--target", &target][..], &identity].concat();
        desk.done("reader", &arguments);
        let read = |dir: &Path| super::world::archived(dir);
        assert!(read(&desk.path(&target)) == read(&night(number)));
    }
    let (out, err) = desk.done(
        "reader",
        &[&["check", "--read-data"][..], &identity].concat(),
    );
    assert!(
        out.contains("no problems found") && err.is_empty(),
        "{out}{err}"
    );
    let (out, _) = desk.done("reader", &[&["archives", "--json"][..], &identity].concat());
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["archives"].as_array().unwrap().len(), 2);
}

#[test]
fn keys_are_added_and_taken_off_and_nobody_but_the_administrator_changes_them() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let (second, _) = desk.done("reader", &["key", "generate", "second.key"]);
    let second = second.trim();
    let refused = desk.run(
        "reader",
        &["key", "add", "--recipient", second, "--admin", "host.key"],
    );
    assert_eq!(refused.status.code(), Some(1));
    let changed = ["--recipient", second, "--admin", "admin.key"];
    let (out, _) = desk.done(
        "reader",
        &[&["key", "add"][..], &changed, &["--json"]].concat(),
    );
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["number"], 2);
    assert_eq!(list["keys"].as_array().unwrap().len(), 3);
    // What comes can be read with both, what was there with the first.
    desk.back_up(2);
    for (key, archives) in [("backup.key", 2), ("second.key", 1)] {
        let output = desk.run("reader", &["archives", "--json", "-i", key]);
        let (out, err) = said(&output);
        let list: Value = serde_json::from_str(&out).unwrap();
        let count = list["archives"].as_array().unwrap().len();
        assert_eq!(count, archives, "{key}: {out}{err}");
        assert_eq!(
            output.status.code(),
            Some(if archives == 2 { 0 } else { 3 }),
            "{err}"
        );
    }
    let (_, err) = desk.done("reader", &[&["key", "remove"][..], &changed].concat());
    assert!(err.contains("narthex copy"), "{err}");
    let unknown = desk.run("reader", &[&["key", "remove"][..], &changed].concat());
    assert_eq!(unknown.status.code(), Some(1));
    // Sources are not named where everybody reads.
    desk.done("host", &["key", "generate", "--signing", "other.key"]);
    let arguments = [
        "key",
        "add",
        "--signer",
        "other.key.pub",
        "--source",
        "tell-nobody",
        "--admin",
        "admin.key",
    ];
    desk.done("reader", &arguments);
    for entry in fs::read_dir(desk.path("repo/keys")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(
            !text.contains("tell-nobody") && !text.contains("other"),
            "{text}"
        );
    }
}

#[test]
fn a_machine_says_whom_it_begins_to_believe_and_refuses_another() {
    let desk = Desk::new();
    desk.init();
    let dir = night(1);
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--signing-key",
        "host.key",
        "--source",
        "a",
    ];
    let (_, err) = desk.done("host", &backup);
    assert!(
        err.contains("believes the administrator's key SHA256:"),
        "{err}"
    );
    let (_, err) = desk.done("host", &backup);
    assert!(!err.contains("believes"), "{err}");
    // Another repository is put in its place.
    fs::rename(desk.path("repo"), desk.path("away")).unwrap();
    fs::rename(desk.path("admin.key"), desk.path("away.key")).unwrap();
    fs::remove_file(desk.path("admin.key.pub")).unwrap();
    let recipient = fs::read_to_string(desk.path("backup.key")).unwrap();
    let recipient = recipient
        .lines()
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    let thief = [
        "init",
        "--recipient",
        recipient,
        "--admin",
        "admin.key",
        "--accept-repository",
    ];
    desk.done("thief", &thief);
    let refused = desk.run("host", &backup);
    let (_, err) = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{err}");
    // A typed key counts from the first time on.
    let fresh = [&backup[..], &["--admin-key", "away.key.pub"]].concat();
    fs::write(
        desk.path("away.key.pub"),
        fs::read_to_string(desk.path("host.key.pub")).unwrap(),
    )
    .unwrap();
    let refused = desk.run("fresh", &fresh);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_host_that_remembers_nothing_says_that_it_stores_all_again() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    fs::remove_dir_all(desk.path("host-state/written")).unwrap();
    let dir = night(1);
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--signing-key",
        "host.key",
        "--source",
        "a",
    ];
    let (_, err) = desk.done("host", &backup);
    assert!(err.contains("its state directory remembers none"), "{err}");
}

/// The commands that read, and write nothing.
fn reads(desk: &Desk) -> (Option<i32>, String) {
    let output = desk.run("only-reads", &["archives", "-i", "backup.key"]);
    let (out, err) = said(&output);
    (output.status.code(), out + &err)
}

#[test]
fn a_machine_that_only_reads_remembers_whom_it_believes_too() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    assert_eq!(reads(&desk).0, Some(0));
    // Somebody puts their own administrator into the descriptor, and signs the list of keys anew.
    let (repo, away) = (desk.path("repo"), desk.path("away"));
    let text = fs::read_to_string(repo.join("narthex.json")).unwrap();
    let recipient = fs::read_to_string(desk.path("backup.key")).unwrap();
    let recipient = recipient
        .lines()
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap();
    fs::rename(&repo, &away).unwrap();
    let thief = [
        "init",
        "--recipient",
        recipient,
        "--admin",
        "thief.key",
        "--accept-repository",
    ];
    desk.done("thief", &thief);
    let (code, said) = reads(&desk);
    assert_eq!(code, Some(1), "another repository in its place: {said}");
    fs::remove_dir_all(&repo).unwrap();
    desk.done("thief", &["init", "--accept-repository"]);
    let (code, said) = reads(&desk);
    assert_eq!(code, Some(1), "one in clear in its place: {said}");
    fs::remove_dir_all(&repo).unwrap();
    fs::rename(&away, &repo).unwrap();
    assert_eq!(reads(&desk).0, Some(0));
    // Fewer lists than were seen.
    let (second, _) = desk.done("reader", &["key", "generate", "second.key"]);
    let add = [
        "key",
        "add",
        "--recipient",
        second.trim(),
        "--admin",
        "admin.key",
    ];
    let (_, err) = desk.done("only-reads", &add);
    assert!(err.contains("narthex copy"), "{err}");
    fs::remove_file(repo.join("keys/00000002.json")).unwrap();
    let (code, said) = reads(&desk);
    assert_eq!(code, Some(3), "an older state: {said}");
    assert!(said.contains("shows an older state"), "{said}");
    assert_eq!(fs::read_to_string(repo.join("narthex.json")).unwrap(), text);
}

#[test]
fn what_was_encrypted_for_others_is_no_damage_and_is_not_removed() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let (second, _) = desk.done("reader", &["key", "generate", "second.key"]);
    let changed = ["--recipient", second.trim(), "--admin", "admin.key"];
    desk.done("reader", &[&["key", "add"][..], &changed].concat());
    desk.back_up(2);
    let output = desk.run("reader", &["check", "--read-data", "-i", "second.key"]);
    let (out, _) = said(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        out.contains("object-locked") && out.contains("manifest-locked"),
        "{out}"
    );
    assert!(!out.contains("damaged"), "{out}");
    assert!(!desk.path("repo/damage").exists(), "nothing is marked");
    let first = fs::read_dir(desk.path("repo/archives")).unwrap();
    let mut names: Vec<_> = first
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let id = names[0]
        .split_once('-')
        .unwrap()
        .1
        .trim_end_matches(".json");
    let refused = desk.run("reader", &["forget", id, "-i", "second.key"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused).1);
    desk.done(
        "reader",
        &[
            "check",
            "--read-data",
            "-i",
            "second.key",
            "-i",
            "backup.key",
        ],
    );
}

#[test]
fn what_is_typed_by_mistake_is_not_repeated() {
    let desk = Desk::new();
    desk.init();
    let secret = fs::read_to_string(desk.path("backup.key")).unwrap();
    let secret = secret.lines().last().unwrap();
    let typed = ["key", "add", "--recipient", secret, "--admin", "admin.key"];
    let (out, err) = said(&desk.run("reader", &typed));
    assert!(!(out + &err).contains(secret));
}

/// Makes a key of a machine that keeps the repository in order.
fn add_upkeep(desk: &Desk) {
    desk.done("reader", &["key", "generate", "--signing", "upkeep.key"]);
    let add = [
        "key",
        "add",
        "--signer",
        "upkeep.key.pub",
        "--admin",
        "admin.key",
    ];
    desk.done("reader", &add);
}

#[test]
fn a_machine_misses_the_newest_witness_that_it_has_seen() {
    let desk = Desk::new();
    desk.init();
    add_upkeep(&desk);
    desk.back_up(1);
    let witness = ["witness", "--signing-key", "upkeep.key"];
    desk.done("reader", &witness);
    // Another machine sees it in a check; what it remembered before it knew of witnesses is read.
    desk.done("looks", &["check"]);
    let keys = desk.path("looks-state/keys");
    let entries = fs::read_dir(keys)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pin = entries.filter(|path| path.is_file()).collect::<Vec<_>>();
    let pin = pin.first().unwrap().clone();
    let mut known: Value = serde_json::from_slice(&fs::read(&pin).unwrap()).unwrap();
    let seen = known.as_object_mut().unwrap().remove("witnesses").unwrap();
    let mut seen = seen.as_object().unwrap().values();
    assert_eq!(seen.next().unwrap()["number"], 1);
    fs::write(&pin, known.to_string()).unwrap();
    desk.done("looks", &["check"]);
    fs::remove_dir_all(desk.path("repo/witness")).unwrap();
    for machine in ["reader", "looks"] {
        let (out, err) = said(&desk.run(machine, &["check"]));
        assert!(out.contains("witness-gone"), "{machine}: {out}{err}");
        let output = desk.run(machine, &["prune", "--grace", "0s"]);
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(1), "{machine}: {out}{err}");
        assert!(err.contains("--accept-missing"), "{machine}: {err}");
    }
    let forget = [
        "forget",
        "--keep-last",
        "1",
        "-i",
        "backup.key",
        "--dry-run",
    ];
    let output = desk.run("reader", &forget);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(3), "{out}{err}");
    assert!(err.contains("expected witness 1"), "{err}");
    // Who has never seen it misses nothing.
    desk.done("new", &["check"]);
    let refused = desk.run("reader", &witness);
    assert_eq!(refused.status.code(), Some(1));
    let accept = [&witness[..], &["--accept-missing"]].concat();
    let (out, _) = desk.done("reader", &accept);
    assert!(out.contains("accepted: expected witness 1"), "{out}");
    assert!(out.contains("witness 2 lists 1 archives"), "{out}");
    for machine in ["reader", "looks"] {
        desk.done(machine, &["check"]);
        desk.done(machine, &["prune"]);
    }
}

#[test]
fn nothing_is_removed_that_the_prune_after_it_would_refuse_to_delete() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    desk.back_up(2);
    add_upkeep(&desk);
    let witness = ["witness", "--signing-key", "upkeep.key"];
    desk.done("reader", &witness);
    let forget = ["forget", "--keep-last", "1", "--prune", "-i", "backup.key"];
    let refused = desk.run("reader", &forget);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).1.contains("--signing-key"),
        "{}",
        said(&refused).1
    );
    // A key that nobody knows may not say what is there; and a dry run says what the other would.
    desk.done("reader", &["key", "generate", "--signing", "stray.key"]);
    let with_stray = [&forget[..], &["--signing-key", "stray.key"]].concat();
    let refused = desk.run("reader", &with_stray);
    assert_eq!(refused.status.code(), Some(1));
    let (_, err) = said(&refused);
    assert!(err.contains("nothing was removed"), "{err}");
    assert!(err.contains("may not say what is there"), "{err}");
    let dry = desk.run("reader", &[&forget[..], &["--dry-run"]].concat());
    let (_, err) = said(&dry);
    assert_eq!(dry.status.code(), Some(3), "{err}");
    assert!(err.contains("without --dry-run this is refused"), "{err}");
    let archives = fs::read_dir(desk.path("repo/archives")).unwrap().count();
    assert_eq!(archives, 2);
    desk.done(
        "reader",
        &[&forget[..], &["--signing-key", "upkeep.key"]].concat(),
    );
    desk.done("reader", &forget);
}

/// The repository as it is now, elsewhere.
fn replica(desk: &Desk) -> std::path::PathBuf {
    let replica = desk.path("replica");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&desk.path("repo"), &replica])
        .status();
    assert!(copied.unwrap().success());
    replica
}

#[test]
fn what_a_witness_has_seen_comes_back_from_a_replica_without_being_asked_for() {
    let desk = Desk::new();
    desk.init();
    add_upkeep(&desk);
    desk.back_up(1);
    // Archives of one second sort by chance: what was there before is told by what it is.
    let archives_now = || -> Vec<_> {
        fs::read_dir(desk.path("repo/archives"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let seen = archives_now();
    let witness = ["witness", "--signing-key", "upkeep.key"];
    desk.done("reader", &witness);
    desk.back_up(2);
    let replica = replica(&desk);
    let archives = archives_now();
    assert_eq!((seen.len(), archives.len()), (1, 2));
    for archive in &archives {
        fs::remove_file(archive).unwrap();
    }
    // Here is nothing it could be made of, and that is said.
    let repair = ["repair", "-i", "backup.key", "--signing-key", "upkeep.key"];
    let left = desk.run("reader", &repair);
    let (out, err) = said(&left);
    assert_eq!(left.status.code(), Some(3), "{out}{err}");
    let name = seen[0].file_name().unwrap().to_str().unwrap();
    assert!(
        out.contains(name) && out.contains("narthex repair --from"),
        "{out}"
    );
    // Of the second nobody knows that it was not forgotten.
    let from = [&repair[..], &["--from", replica.to_str().unwrap()]].concat();
    desk.run("reader", &from);
    assert_eq!(archives_now(), seen);
}

#[test]
fn lists_of_keys_that_are_gone_are_missed_read_around_and_put_back() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    add_upkeep(&desk);
    let reader = ["restore", "latest", "-i", "backup.key", "--target"];
    desk.done("reader", &[&reader[..], &["first"]].concat());
    let replica = replica(&desk);
    let second = desk.path("repo/keys/00000002.json");
    let whole = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();

    // Whoever has seen it reads on, and is told; whoever deletes or signs is refused.
    let output = desk.run("reader", &[&reader[..], &["again"]].concat());
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(
        err.contains("number 2") && err.contains("narthex repair"),
        "{err}"
    );
    for refused in [
        &["forget", "--keep-last", "1", "-i", "backup.key"][..],
        &["prune", "-i", "backup.key"],
        &["witness", "-i", "backup.key", "--signing-key", "upkeep.key"],
    ] {
        let output = desk.run("reader", refused);
        assert_eq!(output.status.code(), Some(1), "{refused:?}");
        assert!(said(&output).1.contains("list of keys 2"), "{refused:?}");
    }
    let output = desk.run("reader", &["check", "--json", "-i", "backup.key"]);
    let report: Value = serde_json::from_str(&said(&output).0).unwrap();
    assert_eq!(report["findings"][0]["kind"], "keys-gone");
    assert_eq!(report["findings"][0]["object"], "keys/00000002.json");

    let (out, _) = desk.done("reader", &["repair", "-i", "backup.key"]);
    assert!(out.contains("keys/00000002.json"), "{out}");
    assert_eq!(fs::read(&second).unwrap(), whole);
    desk.done("reader", &["check", "-i", "backup.key"]);

    // A machine that has seen nothing brings them from a replica, where nothing is left here.
    fs::remove_dir_all(desk.path("repo/keys")).unwrap();
    let from = [
        "repair",
        "-i",
        "backup.key",
        "--from",
        replica.to_str().unwrap(),
    ];
    let dry = desk.run("new", &["check", "-i", "backup.key"]);
    assert_eq!(dry.status.code(), Some(1), "{}", said(&dry).1);
    let (out, _) = desk.done("new", &from);
    assert!(
        out.contains("keys/00000001.json") && out.contains("fetched from"),
        "{out}"
    );
    desk.done("new", &["check", "-i", "backup.key"]);
    assert_eq!(fs::read(&second).unwrap(), whole);
}

#[test]
fn what_cannot_be_read_is_compared_with_nothing() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let replica = replica(&desk);
    let replica = replica.to_str().unwrap();
    let refused = desk.run("reader", &["check", "--compare", replica]);
    let (out, err) = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{out}{err}");
    assert!(
        err.contains("cannot compare") && err.contains("--identity"),
        "{err}"
    );
    assert_eq!(out, "");
    // Who opens nothing of it is told so, and gets no counts of what differs.
    desk.done("reader", &["key", "generate", "other.key"]);
    let output = desk.run(
        "reader",
        &["check", "--compare", replica, "-i", "other.key", "--json"],
    );
    let (out, err) = said(&output);
    assert_ne!(output.status.code(), Some(0), "{out}{err}");
    assert!(
        out.contains("manifest-locked") || err.contains("none of the identities"),
        "{out}{err}"
    );
    desk.done(
        "reader",
        &["check", "--compare", replica, "-i", "backup.key"],
    );
}

#[test]
fn junk_among_lists_of_keys_is_named_and_stops_nothing() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    for name in ["00000002.json", "00000009.json", "README"] {
        fs::write(desk.path("repo/keys").join(name), "junk").unwrap();
    }
    let dir = night(2);
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "a",
        "--signing-key",
        "host.key",
    ];
    let (_, err) = desk.done("host", &backup);
    for name in ["keys/00000002.json", "keys/00000009.json", "keys/README"] {
        assert_eq!(err.matches(name).count(), 1, "{err}");
    }
    let restore = ["restore", "latest", "--target", "back", "-i", "backup.key"];
    desk.done("reader", &restore);
    let output = desk.run("reader", &["check", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_str(&said(&output).0).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut kinds: Vec<_> = findings
        .map(|it| (it["kind"].as_str().unwrap(), it["object"].as_str().unwrap()))
        .collect();
    kinds.sort_unstable();
    let wanted = [
        ("foreign", "keys/README"),
        ("keys-false", "keys/00000002.json"),
        ("keys-false", "keys/00000009.json"),
    ];
    assert_eq!(kinds, wanted);
    // The next list has a number that is free, and machines go by it.
    let (second, _) = desk.done("reader", &["key", "generate", "second.key"]);
    let add = [
        "key",
        "add",
        "--recipient",
        second.trim(),
        "--admin",
        "admin.key",
        "--json",
    ];
    let (out, _) = desk.done("reader", &add);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["number"], 3);
    desk.done("host", &backup);
    desk.done("reader", &["archives", "-i", "backup.key"]);
    for name in ["00000002.json", "00000009.json", "README"] {
        fs::remove_file(desk.path("repo/keys").join(name)).unwrap();
    }
    desk.done("reader", &["check"]);
}

#[test]
fn a_signer_is_narrowed_to_the_sources_that_are_named() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    // `host.key` signs for all sources until then.
    let narrow = [
        "key",
        "add",
        "--signer",
        "host.key.pub",
        "--replace",
        "--admin",
        "admin.key",
    ];
    let unsaid = desk.run("reader", &narrow);
    assert_eq!(unsaid.status.code(), Some(2), "to which sources");
    let other = [&narrow[..], &["--source", "b", "--json"]].concat();
    let (out, _) = desk.done("reader", &other);
    let list: Value = serde_json::from_str(&out).unwrap();
    let keys = list["keys"].as_array().unwrap().iter();
    let signers: Vec<_> = keys.filter(|key| key["kind"] == "signer").collect();
    assert_eq!(signers.len(), 1, "{out}");
    let sources = &signers[0]["sources"];
    assert_eq!(sources.as_array().map(Vec::len), Some(1), "{out}");
    assert_ne!(sources[0], "*");
    // What it has signed by then counts on, by the witness that was written before.
    let restore = ["restore", "latest", "--target", "back", "-i", "backup.key"];
    desk.done("reader", &restore);
    let dir = night(2);
    let backup = |source| {
        let backup = ["backup", dir.to_str().unwrap(), "--signing-key", "host.key"];
        desk.run("host", &[&backup[..], &["--source", source]].concat())
    };
    let refused = backup("a");
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused).1);
    assert_eq!(backup("b").status.code(), Some(0));
    // A key that signs nothing yet is not narrowed.
    desk.done("host", &["key", "generate", "--signing", "new.key"]);
    let unknown = [
        "key",
        "add",
        "--signer",
        "new.key.pub",
        "--source",
        "a",
        "--replace",
        "--admin",
        "admin.key",
    ];
    let unknown = desk.run("reader", &unknown);
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn recipients_of_the_environment_are_those_of_who_is_typed() {
    let desk = Desk::new();
    let [one, other] = ["one.key", "other.key"].map(|file| {
        let (recipient, _) = desk.done("reader", &["key", "generate", file]);
        recipient.trim().to_owned()
    });
    let with_one = [("NARTHEX_RECIPIENT", &*one)];
    // Nothing is made in clear where somebody is named.
    let dir = night(1);
    let backup = ["backup", dir.to_str().unwrap(), "--source", "a"];
    for arguments in [&backup[..], &["init"]] {
        let output = desk.run_with("reader", arguments, &with_one);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?}: {:?}",
            said(&output)
        );
        assert!(
            !desk.path("repo").join("narthex.json").exists(),
            "{arguments:?}"
        );
    }
    let wrong = desk.run_with("reader", &["init"], &[("NARTHEX_RECIPIENT", "geheim")]);
    let (_, err) = said(&wrong);
    assert!(
        err.contains("NARTHEX_RECIPIENT") && !err.contains("geheim"),
        "{err}"
    );

    let init = ["init", "--admin", "admin.key"];
    let made = desk.run_with("reader", &init, &with_one);
    assert_eq!(made.status.code(), Some(0), "{:?}", said(&made));
    let (list, _) = desk.done("reader", &["key", "list"]);
    assert!(list.contains(&one) && !list.contains(&other), "{list}");

    // Whoever is in the list already is not added again, and nobody is taken off by a variable.
    let add = ["key", "add", "--admin", "admin.key"];
    let again = desk.run_with("reader", &add, &with_one);
    assert_eq!(again.status.code(), Some(1), "{:?}", said(&again));
    fs::write(desk.path("others"), &other).unwrap();
    let in_file = [("NARTHEX_RECIPIENTS_FILE", "others")];
    let added = desk.run_with("reader", &add, &in_file);
    let (list, err) = said(&added);
    assert_eq!(added.status.code(), Some(0), "{err}");
    assert!(list.contains(&one) && list.contains(&other), "{list}");
    let remove = ["key", "remove", "--admin", "admin.key"];
    let removed = desk.run_with("reader", &remove, &in_file);
    assert_eq!(removed.status.code(), Some(1), "{:?}", said(&removed));
    // What is typed counts in place of what a variable says.
    let signer = ["key", "add", "--admin", "admin.key", "--recipient", &one];
    let typed = desk.run_with("reader", &signer, &[("NARTHEX_RECIPIENT", "geheim")]);
    assert_eq!(typed.status.code(), Some(0), "{:?}", said(&typed));
}
