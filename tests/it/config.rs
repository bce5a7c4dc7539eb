//! The configuration file as a user has it: what it says takes effect, what wins over it, what is
//! refused, and that no secret is ever printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backup_command::Ran;
use crate::fixtures::fixture;

/// A directory to work in, with `narthex.toml` in it.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn with(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk { dir };
        desk.write("narthex.toml", text, 0o644);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `DIR` in the text stands for the directory, `NIGHTS` for the fixtures.
    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        let text = text.replace("DIR", self.dir.path().to_str().unwrap());
        let text = text.replace(
            "NIGHTS",
            fixture("").to_str().unwrap().trim_end_matches('/'),
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
        command.args(arguments).current_dir(self.dir.path());
        for name in std::env::vars_os().map(|(name, _)| name) {
            let shown = name.to_string_lossy().into_owned();
            if ["NARTHEX_", "AWS_"].iter().any(|it| shown.starts_with(it)) {
                command.env_remove(name);
            }
        }
        command
            .env("NARTHEX_CONFIG", self.path("narthex.toml"))
            .env("NARTHEX_CACHE_DIR", self.path("cache"))
            .env("NARTHEX_STATE_DIR", self.path("state"))
            .env("HOME", self.dir.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// A command that ends with this code and says all of it, on whichever stream.
    fn says(&self, arguments: &[&str], code: i32, wanted: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.err);
        for wanted in wanted {
            let said = format!("{}{}", ran.out, ran.err);
            assert!(said.contains(wanted), "{arguments:?}: {wanted}: {said}");
        }
        ran
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

const PLAIN: &str = r#"
default-repository = "main"

[repository.main]
url = "DIR/repo"

[repository.second]
url = "DIR/second"

[source.prom-a]
path = "NIGHTS/night-1"
host = "mon1"
labels = { cluster = "eu1", tier = "one" }
codec = "portable"
level = 3
no-wal = true
keep-last = 1

[source.prom-b]
path = "NIGHTS/night-2"
repository = "second"
keep-daily = "unlimited"
keep-within = "1y"

[source.bare]
repository = "second"
"#;

#[test]
fn a_source_is_backed_up_as_the_file_says_and_what_is_typed_wins() {
    let desk = Desk::with(PLAIN);
    // Which source and which repository is said.
    let first = desk.says(
        &["backup", "prom-a", "--label", "tier=two", "--json"],
        0,
        &[
            "source prom-a of ",
            "narthex.toml:10: ",
            "repository main of ",
            "narthex.toml:4: ",
        ],
    );
    let archive = desk.run(&["archives", "--json"]).json();
    let archive = &archive["archives"][0];
    assert_eq!(archive["id"], first.json()["id"], "{archive}");
    assert_eq!(archive["host"], "mon1");
    assert_eq!(archive["source_name"], "prom-a", "{archive}");
    assert_eq!(
        archive["wal_max_time"],
        serde_json::Value::Null,
        "{archive}"
    );
    let labels = archive["labels"].to_string();
    for label in ["cluster=eu1", "tier=two"] {
        assert!(labels.contains(label), "{labels}");
    }
    let codecs = desk.run(&["stats", "--json"]).json()["codecs"].to_string();
    assert!(codecs.contains("portable"), "{codecs}");

    // Another source has its own repository; so has --source of commands on archives.
    desk.says(&["backup", "prom-b"], 0, &["repository second of "]);
    assert!(
        desk.path("second/narthex.json").exists()
            || desk.path("second").read_dir().unwrap().count() > 0
    );
    desk.says(
        &["archives", "--source", "prom-b"],
        0,
        &["repository second", "prom-b"],
    );
    desk.says(&["archives"], 0, &["repository main", "prom-a"]);
    desk.says(
        &["archives", "--repo", "second"],
        0,
        &["repository second", "prom-b"],
    );
    // The environment wins over the file, and an option over both.
    let set =
        |arguments: &[&str], repo: &str| ran(desk.command(arguments).env("NARTHEX_REPO", repo));
    let by_environment = set(&["archives", "--source", "prom-b"], "second");
    assert!(
        by_environment.out.contains("prom-b"),
        "{}",
        by_environment.err
    );
    let wrong_place = set(&["archives", "--source", "prom-b"], "main");
    assert_eq!(wrong_place.code, 1, "{}", wrong_place.out);
    let by_option = set(&["archives", "--repo", "main"], "second");
    assert!(by_option.out.contains("prom-a"), "{}", by_option.err);
    // Commands that read archives find it, too, and say so.
    desk.says(
        &["list", "--archive", "latest"],
        0,
        &["repository main of "],
    );
    let quiet = desk.says(&["list", "--archive", "latest", "--quiet"], 0, &[]);
    assert_eq!(quiet.err, "");
    desk.says(
        &["diff", "archive:latest", "archive:latest"],
        0,
        &["repository main of "],
    );
    desk.says(&["forecast"], 0, &["repository main of "]);
    // A place that is typed is nobody's choice.
    let place = desk.path("repo");
    let typed = desk.says(&["archives", "--repo", place.to_str().unwrap()], 0, &[]);
    assert_eq!(typed.err, "");
}

#[test]
fn nothing_is_guessed() {
    let desk = Desk::with(PLAIN);
    // A name that could be a path, too.
    fs::create_dir(desk.path("main")).unwrap();
    desk.says(
        &["archives", "--repo", "main"],
        2,
        &["and a path here", "--repo ./main"],
    );
    fs::create_dir(desk.path("prom-a")).unwrap();
    desk.says(
        &["backup", "prom-a"],
        2,
        &["is a source of", "and a path here", "./prom-a"],
    );
    // A path is no source, whatever its name.
    desk.says(&["backup", "./prom-a"], 1, &[]);
    assert!(!desk.path("repo").exists());
    // Names that are not there.
    desk.says(
        &["archives", "--repo", "mian"],
        2,
        &["did you mean main?", "it has main, second", "./mian"],
    );
    desk.says(
        &["backup", "prom-x"],
        2,
        &["did you mean prom-a?", "it has bare, prom-a, prom-b"],
    );
    desk.says(
        &["backup", "bare"],
        2,
        &["narthex.toml:25", "expected the key path"],
    );
    // Errors of usage are JSON where that is asked for.
    let refused = desk.says(&["archives", "--repo", "mian", "--json"], 2, &[]);
    assert_eq!(refused.json()["kind"], "usage");
    // Several repositories, and none is the one.
    let several = PLAIN.replace("default-repository = \"main\"", "");
    desk.write("narthex.toml", &several, 0o644);
    desk.says(
        &["archives"],
        2,
        &["main, second", "no default-repository", "--repo"],
    );
    // The only one is meant.
    desk.write(
        "narthex.toml",
        "[repository.main]\nurl = \"DIR/repo\"\n",
        0o644,
    );
    desk.says(&["init"], 0, &["repository main of "]);
    // A directory that is here is one, a file or not.
    desk.says(&["init", "--repo", "./new"], 0, &[]);
    desk.says(&["archives", "--repo", "new"], 0, &[]);
    // No file at all.
    desk.says(&["archives", "--config", "none"], 2, &["--repo"]);
    desk.says(&["archives", "--config", "none", "--repo", "new"], 0, &[]);
    desk.says(
        &["archives", "--config", "gone.toml", "--repo", "./new"],
        1,
        &["gone.toml", "--config none"],
    );
}

#[test]
fn the_policy_of_a_source_is_that_of_forget_unless_one_is_typed() {
    let desk = Desk::with(PLAIN);
    for _ in 0..3 {
        desk.says(&["backup", "prom-a"], 0, &[]);
    }
    let planned = desk.says(
        &["forget", "--source", "prom-a", "--dry-run", "--json"],
        0,
        &[
            "policy of source prom-a of ",
            "narthex.toml:17: keep-last 1",
        ],
    );
    assert_eq!(planned.json()["policy"]["words"], "keep-last 1");
    let typed = desk.says(
        &["forget", "--source", "prom-a", "--keep-last", "2", "--json"],
        0,
        &[],
    );
    assert!(typed.json().get("policy").is_none());
    assert_eq!(
        desk.run(&["archives", "--json"]).json()["archives"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    desk.says(
        &["forget", "--source", "prom-a"],
        0,
        &["1 archives removed, 1 kept"],
    );
    desk.says(&["forget"], 2, &["expected a policy"]);
    desk.says(
        &["forget", "--source", "bare"],
        2,
        &["expected a policy", "no policy of source bare"],
    );
    desk.says(
        &["forget", "--source", "other"],
        2,
        &["no policy of source other"],
    );
}

#[test]
fn faults_name_the_file_the_line_the_key_and_the_nearest_that_is_known() {
    let desk = Desk::with(
        r#"defualt-repository = "main"
[repository.main]
url = "relative"
lock = "30q"
copy-to = ["second"]
secret-access-key = "hunter2"
limit-upload = 5
region = "eu-central-1"
recipients = ["AGE-SECRET-KEY-1HUNTER3", "nobody"]
[repository.twin]
url = "https://user:hunter4@h/x"
endpoint = "s3.example.org"
[repository.half]
url = "s3://b/p"
access-key-id = "AKIA"
[repository.half.prices]
per-1000-put = -1
[source.a]
path = "/x"
repository = "mian"
codec = "dens"
level = 23
keep-dayly = 7
keep-within = "1x"
labels = { a = 1 }
"#,
    );
    let checked = desk.says(&["config", "check", "--json"], 3, &[]);
    let found = checked.json();
    let found = found["findings"].as_array().unwrap();
    let at = |line: usize, key: &str, wanted: &str| {
        let mut fits = found.iter().filter(|it| {
            it["place"]
                .as_str()
                .unwrap()
                .ends_with(&format!("narthex.toml:{line}"))
                && it["key"] == key
        });
        assert!(
            fits.any(|it| it["detail"].as_str().unwrap().contains(wanted)),
            "{line} {key} {wanted}: {found:#?}"
        );
    };
    at(1, "defualt-repository", "the nearest is default-repository");
    at(3, "repository.main.url", "begins with /");
    at(4, "repository.main.lock", "expected a duration");
    at(5, "repository.main.copy-to", "needs a later version");
    at(
        6,
        "repository.main.secret-access-key",
        "secret-access-key-file",
    );
    at(
        7,
        "repository.main.limit-upload",
        "such as \"20MiB\", found a whole number",
    );
    at(9, "repository.main.recipients", "public halves");
    at(9, "repository.main.recipients", "\"nobody\"");
    at(11, "repository.twin.url", "without a password");
    at(12, "repository.twin.endpoint", "https://");
    at(
        15,
        "repository.half.access-key-id",
        "secret-access-key-file",
    );
    at(16, "repository.half.prices", "currency");
    at(
        17,
        "repository.half.prices.per-1000-put",
        "expected a price",
    );
    at(
        20,
        "source.a.repository",
        "there is no repository \"mian\" here (did you mean main?)",
    );
    at(21, "source.a.codec", "dense or portable");
    at(22, "source.a.level", "from 1 to 22");
    at(23, "source.a.keep-dayly", "the nearest is keep-daily");
    at(24, "source.a.keep-within", "1y5m7d2h");
    at(25, "source.a.labels", "a table of texts");
    // Other commands name the first, and that there are more.
    let refused = desk.says(
        &["archives", "--json"],
        1,
        &["narthex.toml:1: defualt-repository", "config check"],
    );
    assert_eq!(refused.json()["kind"], "invalid");
    desk.says(&["config", "show"], 1, &["narthex.toml:1"]);
    // What is no TOML.
    desk.write(
        "narthex.toml",
        "[repository.main]\nurl = \"hunter5\nx",
        0o644,
    );
    desk.says(&["config", "check"], 3, &["narthex.toml:3", "not TOML"]);
    for arguments in [
        &["config", "check"][..],
        &["archives"],
        &["config", "show", "--json"],
    ] {
        let ran = desk.run(arguments);
        let said = format!("{}{}{}{}", checked.out, checked.err, ran.out, ran.err);
        for secret in ["hunter2", "HUNTER3", "hunter4", "hunter5"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
}

#[test]
fn check_finds_what_is_named_and_not_there() {
    let desk = Desk::with(
        r#"
[repository.main]
url = "DIR/repo"
[repository.s3]
url = "s3://bucket/prefix"
access-key-id-file = "DIR/id"
secret-access-key-command = "DIR/no-program --with hunter2"
ca-file = "DIR/gone.pem"
[repository.sftp]
url = "sftp://h/x"
[source.a]
path = "DIR"
repository = "main"
[source.b]
path = "NIGHTS/night-1"
repository = "main"
"#,
    );
    desk.write("id", "AKIAHUNTER\n", 0o644);
    if cfg!(feature = "remote") {
        let checked = desk.says(&["config", "check", "--json"], 3, &[]);
        let json = checked.json();
        let found = json["findings"].as_array().unwrap();
        let kinds: Vec<_> = found
            .iter()
            .map(|it| {
                let text = |key: &str| it[key].as_str().unwrap().to_owned();
                (text("kind"), text("key"), text("severity"))
            })
            .collect();
        let wanted = [
            ("exposed-secret", "repository.s3.access-key-id", "note"),
            ("command", "repository.s3.secret-access-key", "problem"),
            ("file", "repository.s3.ca-file", "problem"),
            ("source", "source.a.path", "problem"),
        ];
        let wanted: Vec<_> = wanted
            .map(|(a, b, c)| (a.into(), b.into(), c.into()))
            .into();
        assert_eq!(kinds, wanted, "{found:#?}");
        assert!(!checked.out.contains("hunter2") && !checked.out.contains("HUNTER"));
        // A note is no problem.
        desk.write("gone.pem", "", 0o644);
    }
    desk.write(
        "narthex.toml",
        "[repository.main]\nurl = \"DIR/repo\"\n[source.b]\npath = \"NIGHTS/night-1\"\n",
        0o600,
    );
    desk.says(&["config", "check"], 0, &["no problems found"]);
    // There is no repository yet: a backup makes it.
    desk.says(&["config", "check", "--online"], 0, &["no-repository"]);
    desk.says(&["backup", "b"], 0, &[]);
    let online = desk.says(&["config", "check", "--online"], 0, &[]);
    assert!(!online.out.contains("no-repository"), "{}", online.out);
    // Where no backup makes it, it is missed.
    for (more, of_source) in [
        ("recipients = [\"RECIPIENT\"]\n", ""),
        ("", "no-create = true\n"),
    ] {
        let more = more.replace(
            "RECIPIENT",
            "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
        );
        let text = format!(
            "[repository.main]\nurl = \"DIR/none\"\n{more}[source.b]\npath = \"NIGHTS/night-1\"\n{of_source}"
        );
        desk.write("other.toml", &text, 0o600);
        let other = ["config", "check", "--online", "--config", "other.toml"];
        desk.says(&other, 3, &["no-repository", "problem"]);
    }
    desk.says(&["config", "check", "--config", "gone"], 1, &["gone"]);
    desk.says(
        &["config", "show", "--config", "none"],
        1,
        &["no configuration"],
    );
}

#[test]
fn show_says_who_says_what_and_never_a_secret() {
    let desk = Desk::with(
        r#"default-repository = "main"
[repository.main]
url = "s3://bucket/prefix"
endpoint = "https://one.example.org"
region = "one"
access-key-id = "AKIA"
secret-access-key-command = ["DIR/print", "hunter2"]
[repository.main.prices]
currency = "USD"
[source.a]
path = "/data"
repository = "main"
"#,
    );
    if !cfg!(feature = "remote") {
        return;
    }
    let show = |arguments: &[&str], set: &[(&str, &str)]| {
        let all = [&["config", "show", "--json"], arguments].concat();
        let shown = ran(desk.command(&all).envs(set.iter().copied()));
        assert_eq!(shown.code, 0, "{}", shown.err);
        assert!(!shown.out.contains("hunter"), "{}", shown.out);
        shown.json()
    };
    let of = |json: &serde_json::Value, key: &str| {
        let settings = json["settings"].as_array().unwrap();
        let found = settings.iter().find(|it| it["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{key}: {json}"));
        let text = |key: &str| found[key].as_str().unwrap_or("-").to_owned();
        let origin = text("origin").replace(desk.dir.path().to_str().unwrap(), "");
        let instead = text("instead_of").replace(desk.dir.path().to_str().unwrap(), "");
        [text("value"), origin, instead]
    };
    let plain = show(&[], &[]);
    assert_eq!(
        of(&plain, "repository.main.region"),
        ["one", "/narthex.toml:5", "-"]
    );
    assert_eq!(
        of(&plain, "source.a.path"),
        ["/data", "/narthex.toml:11", "-"]
    );
    let command = of(&plain, "repository.main.secret-access-key-command");
    assert!(command[0].ends_with("/print …"), "{command:?}");
    let typed = show(&["--region", "two", "--limit-upload", "1MiB"], &[]);
    assert_eq!(
        of(&typed, "repository.main.region"),
        ["two", "--region", "/narthex.toml:5"]
    );
    assert_eq!(
        of(&typed, "repository.main.limit-upload")[1],
        "--limit-upload"
    );
    let set = show(
        &[],
        &[
            ("AWS_REGION", "three"),
            ("NARTHEX_ENDPOINT", "https://u:hunter3@h"),
            ("AWS_ACCESS_KEY_ID", "hunter4"),
            ("NARTHEX_REPO", "elsewhere"),
        ],
    );
    assert_eq!(
        of(&set, "repository.main.region"),
        ["three", "environment AWS_REGION", "/narthex.toml:5"]
    );
    assert_eq!(
        of(&set, "repository.main.endpoint")[1],
        "environment NARTHEX_ENDPOINT"
    );
    assert_eq!(
        of(&set, "repository.main.secret-access-key-command")[0],
        "(not shown)"
    );
    assert_eq!(
        of(&set, "default-repository")[..2],
        ["elsewhere", "environment NARTHEX_REPO"]
    );
}

#[test]
fn a_file_that_others_may_write_to_is_refused() {
    use rustix::process::geteuid;
    let desk = Desk::with("[repository.main]\nurl = \"DIR/repo\"\n");
    let path = desk.path("narthex.toml");
    let mode = |mode: u32| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o646);
    for arguments in [&["init"][..], &["config", "check"], &["config", "show"]] {
        desk.says(
            arguments,
            1,
            &["everybody on this machine may write to", "chmod o-w"],
        );
    }
    // Of the owner's own group.
    mode(0o664);
    desk.says(&["config", "check"], 0, &[]);
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files to others");
        return;
    }
    std::os::unix::fs::chown(&path, None, Some(12345)).unwrap();
    desk.says(
        &["config", "check"],
        1,
        &["a group other than that of its owner", "chmod g-w"],
    );
    mode(0o644);
    desk.says(&["config", "check"], 0, &[]);
    std::os::unix::fs::chown(&path, Some(12345), Some(12345)).unwrap();
    desk.says(
        &["init"],
        1,
        &["owns", "can have programs run", "chown it to root"],
    );
    assert!(!desk.path("repo").exists());
    // A pipe is not waited for.
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    desk.says(&["config", "check"], 1, &["regular file"]);
}

#[test]
fn keys_are_not_taken_for_nothing() {
    let desk = Desk::with(
        r#"
[repository.main]
url = "DIR/repo"
identity-file = "DIR/key"
recipients = ["age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"]
"#,
    );
    desk.write("key", "AGE-SECRET-KEY-1HUNTER\n", 0o604);
    let checked = desk.run(&["config", "check"]);
    assert!(checked.out.contains("exposed-secret"), "{}", checked.out);
    assert!(!checked.out.contains("HUNTER"));
    if cfg!(feature = "encryption") {
        assert!(
            checked.out.contains("mistyped or cut off"),
            "{}",
            checked.out
        );
        desk.write("key", "\n", 0o600);
        desk.says(&["config", "check"], 3, &["found nothing"]);
    }
    if cfg!(feature = "encryption") {
        return;
    }
    assert!(
        checked.out.contains("built without encryption"),
        "{}",
        checked.out
    );
    desk.says(&["init"], 1, &["built without encryption"]);
    assert!(!desk.path("repo").exists());
}

#[test]
fn how_firmly_to_lock_may_be_typed_where_the_file_says_for_how_long() {
    let desk = Desk::with(
        "[repository.locked]\nurl = \"s3://backups/mon1\"\nendpoint = \"http://127.0.0.1:1\"\n\
         lock = \"30d\"\n[repository.free]\nurl = \"s3://backups/mon2\"\nendpoint = \
         \"http://127.0.0.1:1\"\n",
    );
    let night = fixture("night-1");
    let backup = |repository: &str| {
        let mode = ["--lock-mode", "governance", "--repo", repository];
        let backup = ["backup", night.to_str().unwrap()];
        let mut command = desk.command(&[&backup[..], &mode].concat());
        command.env("AWS_ACCESS_KEY_ID", "user");
        command.env("AWS_SECRET_ACCESS_KEY", "password");
        ran(&mut command)
    };
    let neither = backup("free");
    assert_eq!(neither.code, 1, "{}", neither.err);
    assert!(
        neither.err.contains("--lock with a duration"),
        "{}",
        neither.err
    );
    // The store does not answer, which is asked next.
    let configured = backup("locked");
    assert_eq!(configured.code, 1, "{}", configured.err);
    assert!(!configured.err.contains("--lock"), "{}", configured.err);
}

#[test]
fn the_example_is_a_configuration() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy/narthex.toml");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(&example).unwrap();
    assert!(
        fs::read_to_string(page).unwrap().contains(&text),
        "the page quotes it"
    );
    if !cfg!(feature = "remote") {
        return;
    }
    let desk = Desk::with("");
    // Nothing is wrong in it, whatever of what it names is not there.
    fs::write(desk.path("narthex.toml"), &text).unwrap();
    let checked = desk.run(&["config", "check", "--json"]).json();
    for found in checked["findings"].as_array().unwrap() {
        assert!(
            ["file", "source"].contains(&found["kind"].as_str().unwrap()),
            "{found}"
        );
    }
    desk.says(&["config", "show"], 0, &["repository.offsite.url"]);
}
