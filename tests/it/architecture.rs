//! Which room may import which: nothing else enforces directions inside one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms it may import. `error`, `progress` and `trouble` are leaves that every room may
/// use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("progress", &[]),
    ("trouble", &[]),
    ("raw", &[]),
    ("model", &[]),
    ("units", &["model"]),
    ("index", &["raw", "model"]),
    ("chunk", &["raw", "model"]),
    ("wal", &["raw", "model"]),
    ("block", &["raw", "model", "units", "index", "chunk"]),
    ("head", &["raw", "model", "chunk", "wal"]),
    ("start", &["model", "units", "chunk", "wal", "block"]),
    (
        "replay",
        &["raw", "model", "index", "chunk", "wal", "block"],
    ),
    (
        "skeleton",
        &["raw", "model", "index", "chunk", "wal", "block", "replay"],
    ),
    (
        "inspect",
        &["raw", "model", "index", "chunk", "block", "start"],
    ),
    ("forecast", &["model", "block", "inspect"]),
    (
        "select",
        &["raw", "model", "units", "index", "chunk", "block"],
    ),
    ("dump", &["model", "block", "select"]),
    (
        "cut",
        &["raw", "model", "index", "chunk", "block", "select"],
    ),
    ("compare", &["model", "index", "chunk", "block", "select"]),
    (
        "capacity",
        &[
            "units", "raw", "model", "index", "chunk", "block", "inspect", "select",
        ],
    ),
    ("usage", &["select"]),
    (
        "whatif",
        &[
            "units", "raw", "model", "index", "chunk", "block", "inspect", "select", "capacity",
            "usage",
        ],
    ),
    (
        "verify",
        &[
            "units", "raw", "model", "index", "chunk", "wal", "block", "head", "start",
        ],
    ),
    ("pack", &["raw", "model", "index", "chunk"]),
    ("store", &["raw"]),
    ("crypt", &["raw", "model", "store"]),
    ("repository", &["raw", "model", "units", "store", "crypt"]),
    ("retain", &["model", "units", "repository", "store"]),
    ("dense", &["model", "index", "pack", "repository", "store"]),
    (
        "statistics",
        &["raw", "model", "repository", "store", "stored"],
    ),
    (
        "stored",
        &[
            "raw",
            "model",
            "index",
            "chunk",
            "block",
            "select",
            "dense",
            "pack",
            "repository",
            "store",
        ],
    ),
    (
        "repair",
        &[
            "raw",
            "model",
            "verify",
            "dense",
            "repository",
            "restore",
            "store",
            "stored",
        ],
    ),
    (
        "copy",
        &[
            "units",
            "raw",
            "model",
            "dense",
            "repository",
            "retain",
            "repair",
            "store",
            "stored",
        ],
    ),
    (
        "archive",
        &[
            "units",
            "repair",
            "statistics",
            "compare",
            "select",
            "dense",
            "forecast",
            "index",
            "raw",
            "model",
            "block",
            "wal",
            "start",
            "verify",
            "repository",
            "store",
            "stored",
        ],
    ),
    (
        "restore",
        &[
            "units",
            "raw",
            "model",
            "block",
            "cut",
            "replay",
            "select",
            "verify",
            "repository",
            "store",
            "stored",
        ],
    ),
    (
        "report",
        &[
            "store",
            "units",
            "repair",
            "statistics",
            "dense",
            "model",
            "block",
            "chunk",
            "wal",
            "replay",
            "inspect",
            "forecast",
            "capacity",
            "usage",
            "whatif",
            "select",
            "dump",
            "compare",
            "start",
            "verify",
            "repository",
            "archive",
            "copy",
            "restore",
            "stored",
            "retain",
        ],
    ),
    (
        "cli",
        &[
            "units",
            "repair",
            "statistics",
            "dense",
            "raw",
            "model",
            "block",
            "index",
            "chunk",
            "wal",
            "replay",
            "inspect",
            "forecast",
            "capacity",
            "usage",
            "whatif",
            "select",
            "dump",
            "compare",
            "start",
            "verify",
            "store",
            "stored",
            "crypt",
            "repository",
            "archive",
            "copy",
            "restore",
            "retain",
            "report",
        ],
    ),
];

#[test]
fn rooms_import_only_the_rooms_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let mut rooms_seen = 0;
    for (room, allowed) in ALLOWED {
        let files = files_of(&src, room);
        rooms_seen += usize::from(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for import in imports(line) {
                    let free =
                        import == *room || ["error", "progress", "trouble"].contains(&import);
                    let is_room = ALLOWED.iter().any(|(name, _)| *name == import);
                    if is_room && !free && !allowed.contains(&import) {
                        faults.push(format!(
                            "{}:{}: {room} imports {import}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(rooms_seen > 10, "the table does not fit the tree any more");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_permission_is_used() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut unused = Vec::new();
    for (room, allowed) in ALLOWED {
        let files = files_of(&src, room).into_iter();
        let text: String = files
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        let used: BTreeSet<_> = text.lines().flat_map(imports).collect();
        let spare = allowed.iter().filter(|other| !used.contains(**other));
        unused.extend(spare.map(|other| format!("{room} may import {other}, and does not")));
    }
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

#[test]
fn every_room_stands_in_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_str().unwrap();
        let known = ALLOWED.iter().any(|(name, _)| *name == room);
        assert!(
            known || ["lib", "main"].contains(&room),
            "{room} is not in the table of rooms"
        );
    }
}

/// Names right behind `crate::` in a line of code.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

fn files_of(src: &Path, room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let single = src.join(format!("{room}.rs"));
    if single.is_file() {
        files.push(single);
    }
    let mut dirs = vec![src.join(room)];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn whoever_names_encodings_names_all_of_them_in_a_match() {
    const DENIES: &str = "#![deny(clippy::wildcard_enum_match_arm)]";
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let denies = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains(DENIES));
    let mut named = 0;
    let mut found = Vec::new();
    let rooms = ALLOWED.iter().map(|(room, _)| *room);
    for path in rooms.flat_map(|room| files_of(&src, room)) {
        let text = fs::read_to_string(&path).unwrap();
        let variant = |(_, behind): (&str, &str)| behind.starts_with(char::is_uppercase);
        let names = text
            .match_indices("Encoding::")
            .any(|(at, name)| variant(text.split_at(at + name.len())));
        if !names && !text.contains("ChunkKind::") {
            continue;
        }
        named += 1;
        let room = path.strip_prefix(&src).unwrap().iter().next().unwrap();
        if !denies(&path) && !denies(&src.join(room).join("mod.rs")) {
            found.push(path);
        }
    }
    assert!(named > 10, "{named} files name encodings");
    assert!(
        found.is_empty(),
        "{DENIES} is missing in {found:?}: a new encoding must not slip through `_ =>`"
    );
}

/// Rooms that are no library of their own: what `main` calls.
const WITHOUT_EXAMPLE: [&str; 1] = ["cli"];

#[test]
fn every_room_has_an_example_that_runs() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let runs = |text: &str| {
        let mut fences = text
            .lines()
            .filter(|line| line.trim_start().starts_with("//"));
        fences.any(|line| line.trim_end().ends_with(" ```"))
    };
    let has = |room: &str| {
        let mut files = files_of(&src, room).into_iter();
        files.any(|file| runs(&fs::read_to_string(file).unwrap()))
    };
    let rooms = ALLOWED
        .iter()
        .map(|(room, _)| *room)
        .chain(["error", "progress", "trouble"]);
    let bare: Vec<_> = rooms
        .filter(|room| !WITHOUT_EXAMPLE.contains(room) && !has(room))
        .collect();
    assert!(bare.is_empty(), "without an example: {bare:?}");
}

#[test]
fn no_two_public_types_have_one_name() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let rooms = ALLOWED.iter().map(|(room, _)| *room);
    for path in rooms.flat_map(|room| files_of(&src, room)) {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines() {
            let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub type "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            named
                .entry(name.to_owned())
                .or_default()
                .push(path.strip_prefix(&src).unwrap().to_owned());
        }
    }
    assert!(named.len() > 300, "{} public types", named.len());
    named.retain(|_, files| files.len() > 1);
    assert!(
        named.is_empty(),
        "one noun, one thing: give one of them a word more: {named:#?}"
    );
}

#[test]
fn every_room_stands_in_the_layout_at_a_glance() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let table = page.split("## Build and test").next().unwrap();
    let rooms = ALLOWED.iter().map(|(room, _)| *room);
    let missing: Vec<_> = rooms
        .filter(|room| !table.contains(&format!("`{room}`")))
        .collect();
    assert!(missing.is_empty(), "not in CONTRIBUTING.md: {missing:?}");
}

#[test]
fn every_block_of_the_fixtures_has_its_passport() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let page = fs::read_to_string(fixtures.join("README.md")).unwrap();
    let dirs = fs::read_dir(fixtures.join("blocks")).unwrap();
    let names = dirs.map(|dir| dir.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    assert!(names.len() > 5);
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| !page.contains(&format!("{name}`")))
        .collect();
    assert!(unknown.is_empty(), "not in fixtures/README.md: {unknown:?}");
}
