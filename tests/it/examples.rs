//! The programs in `examples/`, which a reader of the library begins with, do what they say.

use std::path::Path;
use std::process::Command;

/// What the example writes to standard output; it must end well and write nothing else.
fn run(name: &str, arguments: &[&str]) -> String {
    let made = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--example", name, "--"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{name}: {err}");
    assert_eq!(err, "", "{name}");
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn blocks_are_listed_and_verified() {
    let out = run("list_and_verify", &["fixtures/night-1"]);
    let healthy = out.lines().filter(|line| line.ends_with("healthy")).count();
    assert_eq!(healthy, 3, "{out}");
    assert!(
        out.contains("01M80FJGSDDJPV4DWFG2XR4VJ2 278 series, 16680 samples"),
        "{out}"
    );
}

#[test]
fn the_head_becomes_a_block() {
    let target = tempfile::tempdir().unwrap();
    let out = run(
        "head_block",
        &["fixtures/night-1", target.path().to_str().unwrap()],
    );
    assert!(out.starts_with("21128 samples of 278 series\n"), "{out}");
    let block = out.lines().nth(1).unwrap();
    assert!(Path::new(block).join("index").is_file(), "{out}");
}

#[test]
fn samples_are_those_that_a_dump_writes() {
    let out = run("samples_of_a_series", &["fixtures/night-1", "up"]);
    let samples = out.lines().filter(|line| line.starts_with("  ")).count();
    let dump = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(["dump", "fixtures/night-1", "--match", "up", "--no-head"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let dumped = String::from_utf8(dump.stdout).unwrap();
    assert_eq!(samples, dumped.lines().count(), "{out}");
    assert!(samples > 100, "{samples}");
}

#[test]
fn what_is_backed_up_comes_back_sound() {
    let out = run("back_up_and_restore", &["fixtures/night-1"]);
    assert!(out.contains("of 3 blocks: "), "{out}");
    assert!(
        out.ends_with("restored 3 blocks, problems: false\n"),
        "{out}"
    );
}

#[test]
fn metrics_are_ranked_by_their_bytes() {
    let out = run("bytes_per_metric", &["fixtures/night-1"]);
    let bytes = |line: &str| line.trim_start().split(' ').next().unwrap().parse::<u64>();
    let all: Vec<u64> = out.lines().map(|line| bytes(line).unwrap()).collect();
    assert!(all.len() >= 10, "{out}");
    assert!(all[0] >= all[1] && all[1] >= all[2], "{out}");
}
