//! An encrypted repository in a bucket comes back with `rclone`, `age`, `zstd` and `tar` alone: the
//! commands of `docs/recover-by-hand.md` and `docs/encryption.md`, as they stand there.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::nights::{Machine, archived, night};
use super::servers::{BUCKET, Kind, ObjectServer};
use crate::crypt::tools::Program;

/// The shell commands of a page, those behind `heading` where there is one.
fn commands(page: &'static str, heading: &str) -> Vec<&'static str> {
    let (_, section) = page.split_once(heading).unwrap();
    let parts = section.split("```sh\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

fn run(script: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new("bash")
        .env_remove("AWS_CA_BUNDLE")
        .args(["-c", script])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("BAD"),
        "{script}: {said}"
    );
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_encrypted_archive_comes_back_from_a_bucket_by_hand() {
    let tools = [
        ("rclone", "rclone"),
        ("age", "age"),
        ("zstd", "zstd"),
        ("tar", "tar"),
    ];
    if tools
        .iter()
        .any(|(name, package)| Program::find_or_skip(name, package).is_none())
    {
        return;
    }
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "by-hand");
    let home = machine.home.path();
    let recipient = machine.key("reader.key");
    machine.done(&["init", "--recipient", &recipient, "--admin", "admin.key"]);
    let dir = night("night-2");
    let backup = [
        "backup",
        text(&dir),
        "--source",
        "a",
        "--host",
        "h",
        "--codec",
        "portable",
    ];
    machine.done(&backup);

    let (sealed, clear, target) = (home.join("sealed"), home.join("clear"), home.join("target"));
    fs::create_dir(&clear).unwrap();
    fs::create_dir(&target).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let options = server.options_through(server.port);
    let secret = |name: &str| options.settings.0[name].clone();
    run(
        "rclone --config /dev/null copy \"b:$BUCKET/by-hand\" \"$REPO\"",
        &[
            ("RCLONE_CONFIG_B_TYPE", "s3"),
            ("RCLONE_CONFIG_B_PROVIDER", "Other"),
            ("RCLONE_CONFIG_B_ENDPOINT", &endpoint),
            (
                "RCLONE_CONFIG_B_ACCESS_KEY_ID",
                &secret("AWS_ACCESS_KEY_ID"),
            ),
            (
                "RCLONE_CONFIG_B_SECRET_ACCESS_KEY",
                &secret("AWS_SECRET_ACCESS_KEY"),
            ),
            ("BUCKET", BUCKET),
            ("REPO", text(&sealed)),
        ],
    );
    let decrypt = commands(include_str!("../../../docs/encryption.md"), "## By hand");
    let key = home.join("reader.key");
    run(
        decrypt[1],
        &[
            ("REPO", text(&sealed)),
            ("CLEAR", text(&clear)),
            ("IDENTITY", text(&key)),
        ],
    );
    let page = commands(
        include_str!("../../../docs/recover-by-hand.md"),
        "# Recovering by hand",
    );
    let manifest = fs::read_dir(clear.join("archives"))
        .unwrap()
        .next()
        .unwrap();
    let manifest = manifest.unwrap().path();
    let all = page[1..5].join("\n");
    let variables = [
        ("REPO", text(&clear)),
        ("MANIFEST", text(&manifest)),
        ("TARGET", text(&target)),
    ];
    run(&all, &variables);
    assert!(archived(&target) == archived(&dir));
}
