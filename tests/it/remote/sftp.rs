//! SFTP servers keep the contract of the port, with OpenSSH's `sshd`, and say what is wrong.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use narthex::ErrorKind;
use narthex::store::contract::{CLAUSES, READ_CLAUSES};
use narthex::store::sftp::{SftpOptions, SftpStore};
use narthex::store::{LocalStore, ObjectName, Origin, ReadStore as _, Store};

use super::contract::{noise, race_for_names};
use super::sshd::{Sshd, script, sftp_server_or_skip, store};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn keeps_the_contract(of: impl Fn(&str) -> SftpStore) {
    for (number, clause) in CLAUSES.iter().enumerate() {
        eprintln!("{}", clause.name);
        (clause.holds)(&of(&format!("contract/{number}")));
    }
    for (number, clause) in READ_CLAUSES.iter().enumerate() {
        let store = of(&format!("read/{number}"));
        for (object, content) in clause.objects {
            (&store as &dyn Store).put(&name(object), content).unwrap();
        }
        eprintln!("{}", clause.name);
        (clause.holds)(&store);
    }
}

#[test]
fn sshd_keeps_the_contract() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    keeps_the_contract(|dir| server.store(dir));
    let abilities = server.store("x").abilities().unwrap();
    assert!(abilities.hard_links && abilities.fsync);
    let store = server.store("x");
    assert!(store.is_create_only().unwrap() && store.try_create_only().unwrap());
    assert_eq!(store.leftovers("").unwrap(), []);
}

/// What a server without the extensions of OpenSSH can do is enough, too.
#[test]
fn a_server_without_extensions_keeps_the_contract() {
    let Some(program) = sftp_server_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let text = format!("#!/bin/sh\nexec {} -P hardlink,fsync\n", program.display());
    let command = script(&home.path().join("ssh"), &text);
    let of = |dir: &str| {
        let dir = home.path().join(dir);
        store(&format!("sftp://h{}", dir.display()), &command)
    };
    let abilities = of("x").abilities().unwrap();
    assert!(!abilities.hard_links && !abilities.fsync);
    assert!(!of("x").is_create_only().unwrap() && !of("x").try_create_only().unwrap());
    keeps_the_contract(of);
}

#[test]
fn a_directory_may_be_named_from_the_login_on() {
    let Some(program) = sftp_server_or_skip() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let text = format!(
        "#!/bin/sh\ncd {} && exec {}\n",
        home.path().display(),
        program.display()
    );
    let command = script(&home.path().join("ssh"), &text);
    for (number, address) in ["sftp://h/~/a/b", "sftp://h/~"].into_iter().enumerate() {
        let store = store(address, &command);
        let object = name(&format!("x/{number}"));
        (&store as &dyn Store).put(&object, b"home").unwrap();
        assert_eq!(store.get(&object, 4).unwrap(), b"home");
        assert_eq!(store.size(&object).unwrap(), 4);
    }
    assert!(home.path().join("a/b/x/0").is_file());
    assert!(home.path().join("x/1").is_file());
}

#[test]
fn of_eight_writers_one_wins_each_of_a_hundred_times() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let stores: Vec<_> = (0..8).map(|_| server.store("race")).collect();
    race_for_names(&stores, "sshd");
    assert_eq!(stores[0].leftovers("").unwrap(), []);
}

#[test]
fn large_objects_go_and_come_in_many_requests() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let store = server.store("large");
    let content = noise((40 << 20) + 5);
    let object = name("packs/a.pack");
    let begin = Instant::now();
    (&store as &dyn Store).put(&object, &content).unwrap();
    let written = begin.elapsed();
    let begin = Instant::now();
    assert_eq!(store.size(&object).unwrap(), content.len() as u64);
    assert!(store.get(&object, u64::MAX).unwrap() == content);
    eprintln!("40 MiB: {written:?} there, {:?} back", begin.elapsed());
    let range = 1_000_003..9_000_001;
    let read = store.get_range(&object, range.clone()).unwrap();
    assert!(read == content[range.start as usize..range.end as usize]);
    let listed = store.list("packs/").unwrap();
    assert_eq!(listed, [(object.clone(), content.len() as u64)]);
    let refused = (&store as &dyn Store).put(&object, b"x").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
}

/// What lies there is seen as on the disk itself, but links are not followed.
#[test]
fn leftovers_and_what_is_somebody_elses_are_told_apart() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let store = server.store("x");
    let dir = server.home.path().join("data/x");
    let write = |path: &str, text: &str| std::fs::write(dir.join(path), text).unwrap();
    (&store as &dyn Store).put(&name("a/b"), b"kept").unwrap();
    assert_eq!(
        std::fs::metadata(dir.join("a/b")).unwrap().mode() & 0o777,
        0o600
    );
    write("tmp/01DEAD", "half");
    write("a/my notes.txt", "hi");
    write("a/one", "hi");
    std::fs::create_dir_all(dir.join("a/two.json/deep")).unwrap();
    std::fs::create_dir_all(dir.join("lost+found")).unwrap();
    let other = server.home.path().join("data/other");
    std::fs::create_dir_all(other.join("deep")).unwrap();
    std::fs::write(other.join("secret"), "not ours").unwrap();
    symlink("/", dir.join("a/loop")).unwrap();
    symlink(&other, dir.join("linked")).unwrap();
    symlink(other.join("secret"), dir.join("one.json")).unwrap();
    Command::new("mkfifo")
        .arg(dir.join("narthex.json"))
        .status()
        .unwrap();
    let leftovers = store.leftovers("").unwrap();
    let seen: Vec<_> = leftovers.iter().map(|it| (&*it.name, it.origin)).collect();
    assert_eq!(
        seen,
        [
            ("a/loop", Origin::Foreign),
            ("a/my notes.txt", Origin::Foreign),
            ("a/two.json", Origin::Foreign),
            ("linked", Origin::Foreign),
            ("narthex.json", Origin::Foreign),
            ("one.json", Origin::Foreign),
            ("tmp/01DEAD", Origin::Unpublished),
        ]
    );
    assert_eq!(
        store.list("").unwrap(),
        [(name("a/b"), 4), (name("a/one"), 2)]
    );
    assert_eq!(store.list("linked/").unwrap(), []);
    for absent in ["one.json", "linked/secret", "narthex.json", "a/loop/etc"] {
        let error = store.get(&name(absent), 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{absent}");
    }
    let refused = (&store as &dyn Store).put(&name("linked/new"), b"x");
    assert!(refused.is_err());
    assert!(!other.join("new").exists());
    let mut dead = leftovers[6].clone();
    dead.modified = Some(std::time::SystemTime::UNIX_EPOCH);
    let refused = store.remove_leftover(&dead).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    for escape in ["tmp/../a/b", "tmp", "a/b"] {
        escape.clone_into(&mut dead.name);
        let refused = store.remove_leftover(&dead).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{escape}");
    }
    store.remove_leftover(&leftovers[6]).unwrap();
    assert!(!dir.join("tmp/01DEAD").exists());
    // Both stores see the same objects.
    let local = LocalStore::new(&dir);
    assert_eq!(local.get(&name("a/b"), 4).unwrap(), b"kept");
    (&local as &dyn Store).put(&name("c"), b"local").unwrap();
    assert_eq!(store.get(&name("c"), 5).unwrap(), b"local");
    let taken = (&store as &dyn Store)
        .put(&name("c"), b"other")
        .unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn the_last_object_of_a_directory_takes_it_along_and_writers_do_not_mind() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let stores: Vec<_> = (0..4).map(|_| server.store("y")).collect();
    std::thread::scope(|scope| {
        for (writer, store) in stores.iter().enumerate() {
            scope.spawn(move || {
                let object = name(&format!("blocks/Y/{writer}"));
                for _ in 0..50 {
                    (store as &dyn Store).put(&object, b"x").unwrap();
                    store.delete(&object).unwrap();
                }
            });
        }
    });
    assert_eq!(stores[0].leftovers("").unwrap(), []);
    assert!(server.home.path().join("data/y/blocks").is_dir());
    assert!(!server.home.path().join("data/y/blocks/Y").exists());
}

/// A connection that several processes share stays when they end, and keeps nobody waiting.
#[test]
fn connections_may_be_shared_by_ssh() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let command = format!(
        "{} -o ControlMaster=auto -o ControlPersist=60 -o ControlPath={}",
        server.command("ssh_config"),
        server.home.path().join("shared").display()
    );
    let begin = Instant::now();
    for number in 0..5 {
        let store = store(&server.address("shared"), &command);
        let object = name(&format!("a/{number}"));
        (&store as &dyn Store).put(&object, b"shared").unwrap();
        assert_eq!(store.list("").unwrap().len(), number + 1);
    }
    assert!(server.home.path().join("shared").exists());
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_keeps_ssh_from_connecting_is_said_with_what_to_do() {
    let Some(mut server) = Sshd::start_or_skip() else {
        return;
    };
    let said = |address: &str, command: &str| {
        let mut options = SftpOptions::default();
        options.command = Some(command.to_owned());
        options.repeats = 1;
        let begin = Instant::now();
        let store = SftpStore::new(address.parse().unwrap(), options);
        let error = store.list("").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{}", error.chain());
        assert!(begin.elapsed() < Duration::from_secs(30));
        error.chain()
    };
    let address = server.address("x");
    let unknown = said(&address, &server.command("unknown_host"));
    assert!(unknown.contains("once by hand"), "{unknown}");
    let denied = said(&address, &server.command("as_stranger"));
    assert!(denied.contains("/stranger"), "{denied}");
    let missing = said(&address, "no-such-ssh");
    assert!(missing.contains("install ssh"), "{missing}");
    let talk = said(&address, "sh -c 'echo Welcome to this machine'");
    assert!(talk.contains("must print nothing"), "{talk}");
    let command = server.command("ssh_config");
    server.stop();
    let stopped = said(&address, &command);
    assert!(stopped.contains("Connection refused"), "{stopped}");
}

#[test]
fn a_server_that_is_silent_or_talks_nonsense_is_an_error_within_a_bounded_time() {
    let hello = r"printf '\000\000\000\005\002\000\000\000\003'";
    for (then, expected) in [
        ("exec sleep 1000", "no answer for 1 s"),
        (
            r"printf '\377\377\377\377'; sleep 1",
            "a packet of 4294967295 bytes",
        ),
        (
            r"printf '\000\000\000\011\145\000\000\000\011\000\000\000\004'; sleep 1",
            "nobody asked for",
        ),
        // An answer to the first request: a handle whose length goes beyond the packet.
        (
            r"sleep 0.2; printf '\000\000\000\011\146\000\000\000\000\377\377\377\377'; sleep 1",
            "a packet that goes on",
        ),
    ] {
        let mut options = SftpOptions::default();
        options.command = Some(format!(
            "sh -c '{}; {}' x",
            hello.replace('\'', "\""),
            then.replace('\'', "\"")
        ));
        options.repeats = 0;
        options.answer_within = Duration::from_secs(1);
        let store = SftpStore::new("sftp://h/x".parse().unwrap(), options);
        let begin = Instant::now();
        let error = store.list("").unwrap_err().chain();
        assert!(error.contains(expected), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
    }
}

/// Init, backup, check and restore as a user runs them.
#[test]
fn a_night_is_backed_up_checked_and_restored_over_sftp() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let night = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/night-1");
    let repo = server.address("repo");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(arguments)
            .env("NARTHEX_REPO", &repo)
            .env("NARTHEX_SSH", server.command("ssh_config"))
            .env("NARTHEX_CACHE_DIR", dir.path().join("cache"))
            .env("NARTHEX_STATE_DIR", dir.path().join("state"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let night = night.to_str().unwrap();
    for arguments in [
        &["backup", night, "--source", "p"][..],
        &["backup", night, "--source", "p"],
        &["check"],
        &["archives"],
        &["restore", "latest", "--target", "back"],
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(
            said.contains(" requests (") && !said.contains("(0 requests"),
            "{said}"
        );
        assert!(
            !said.contains(" 0 B sent") && !said.contains(" 0 B received"),
            "{said}"
        );
    }
    let blocks = std::fs::read_dir(dir.path().join("back")).unwrap().count();
    assert!(blocks > 0);
}
