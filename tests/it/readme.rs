//! What the front page shows is what the program does: the run in a terminal, and the picture of
//! nights beside rivals.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use narthex::units::time_text;
use serde_json::Value;

use crate::e2e::program::{narthex, run};
use crate::fixtures::fixture;

/// What stands around the run.
const BEFORE: &str = "It looks like this:\n\n```text\n";
const AFTER: &str = "```\n";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Standard output of a command line of the README, run in `dir`.
fn shown(dir: &Path, line: &str) -> String {
    let arguments = line.split(' ').skip(1);
    let mut command = narthex(arguments);
    command
        .current_dir(dir)
        .env("NARTHEX_STATE_DIR", dir.join("state"))
        .env("NARTHEX_CACHE_DIR", dir.join("cache"));
    let output = run(&mut command, &[0]);
    String::from_utf8(output.stdout).unwrap()
}

/// What a terminal shows of the second night and of its way back.
fn terminal() -> String {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    symlink(fixture(""), dir.join("fixtures")).unwrap();
    let first = "narthex backup fixtures/night-1 --repo demo-repo --source demo";
    shown(dir, first);
    let mut text = String::new();
    for line in [
        "narthex backup fixtures/night-2 --repo demo-repo --source demo",
        "narthex restore latest --repo demo-repo --target demo-restored",
    ] {
        writeln!(text, "$ {line}\n{}", shown(dir, line)).unwrap();
    }
    let verified = shown(dir, "narthex verify demo-restored");
    let last = verified.lines().last().unwrap();
    write!(text, "$ narthex verify demo-restored | tail -n 1\n{last}\n").unwrap();
    let archives = shown(dir, "narthex archives --repo demo-repo --json");
    let archives: Value = serde_json::from_str(&archives).unwrap();
    let newest = &archives["archives"][1];
    let (id, time) = (&newest["id"], &newest["time"]);
    let (id, time) = (id.as_str().unwrap(), time_text(time.as_i64().unwrap()));
    text.replace(id, "497aac40ebe9b38b")
        .replace(&id[..8], "497aac40")
        .replace(&time, "2026-11-22 02:30:04.183Z")
}

#[test]
fn the_readme_shows_a_run_as_it_is() {
    let text = fs::read_to_string(page("README.md")).unwrap();
    let (before, rest) = text.split_once(BEFORE).unwrap();
    let (quoted, after) = rest.split_once(AFTER).unwrap();
    let found = terminal();
    if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
        let text = format!("{before}{BEFORE}{found}{AFTER}{after}");
        fs::write(page("README.md"), text).unwrap();
        return;
    }
    assert_eq!(
        quoted, found,
        "NARTHEX_WRITE_REFERENCE=1 cargo test --test it -- readme:: writes it anew"
    );
}

/// The cells of the row of a page's table that begins with `name`.
fn row<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begin = format!("| {name} |");
    let line = page.lines().find(|line| line.starts_with(&begin));
    let cells = line.unwrap_or_else(|| panic!("no row {name}")).split('|');
    cells.map(str::trim).skip(1).collect()
}

#[test]
fn the_picture_of_nights_has_the_figures_of_the_page() {
    let data = fs::read_to_string(page("docs/images/nights.json")).unwrap();
    let data: Value = serde_json::from_str(&data).unwrap();
    let text = fs::read_to_string(page("docs/performance.md")).unwrap();
    let picture = fs::read_to_string(page("docs/images/nights.svg")).unwrap();
    for chain in data["chains"].as_array().unwrap() {
        let name = chain["name"].as_str().unwrap();
        for tool in ["zstd", "restic", "narthex"] {
            let sizes = chain[tool].as_array().unwrap();
            for (night, size) in (1..).zip(sizes) {
                let cells = row(&text, &format!("{name}, {night}"));
                let at = ["", "zstd", "restic", "narthex"];
                let at = at.iter().position(|column| *column == tool).unwrap();
                assert_eq!(cells[at], format!("{size} MiB"), "{name} {night} {tool}");
            }
            let last = format!(">{} MiB</text>", sizes.last().unwrap());
            assert!(picture.contains(&last), "{name} {tool}");
        }
    }
    // The script writes beside itself.
    let dir = tempfile::tempdir().unwrap();
    for file in ["nights.py", "nights.json"] {
        fs::copy(page("docs/images").join(file), dir.path().join(file)).unwrap();
    }
    let script = dir.path().join("nights.py");
    match Command::new("python3").arg(&script).output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            let drawn = fs::read_to_string(dir.path().join("nights.svg")).unwrap();
            assert!(drawn == picture, "run docs/images/nights.py");
        }
        Err(_) => eprintln!("SKIPPED: drawing the picture anew needs python3"),
    }
}
