//! `narthex restore --replace-damaged`: single damaged blocks of a data directory are replaced
//! where they lie.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};
use crate::sick::Sick;

const BLOCK: &str = "01M80FN8PK4S2DZQ85HBJ25081";
const OTHER: &str = "01M80FP6G2JYAH5B92ZT3VPDV8";

/// The second night in `data`, archived in `repo`.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    put(&fixture("night-2"), &data);
    let backup = ["backup", "data", "--repo", "repo", "--source", "s"];
    let ran = narthex(dir.path(), &backup);
    assert_eq!(ran.code, 0, "{}", ran.err);
    (dir, data)
}

fn put(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn replace(dir: &Path, more: &[&str]) -> Ran {
    let common = [
        "restore",
        "latest",
        "--repo",
        "repo",
        "--target",
        "data",
        "--replace-damaged",
        "--json",
    ];
    narthex(dir, &[&common[..], more].concat())
}

fn verify(dir: &Path) -> i32 {
    narthex(dir, &["verify", "data"]).code
}

/// What became of each block.
fn outcomes(ran: &Ran) -> BTreeMap<String, String> {
    let blocks = ran.json()["blocks"].as_array().unwrap().clone();
    let of = |block: &serde_json::Value, key: &str| block[key].as_str().unwrap().to_owned();
    blocks
        .iter()
        .map(|block| (of(block, "ulid"), of(block, "outcome")))
        .collect()
}

/// Inodes of directories of blocks: what is not touched keeps them.
fn inodes(data: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let inode = |entry: &fs::DirEntry| entry.metadata().unwrap().ino();
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), inode(&entry)))
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut content = fs::read(path).unwrap();
    content[at] ^= 0x20;
    fs::write(path, content).unwrap();
}

/// A way to damage a block, with a name.
type Damage = (&'static str, fn(&Path));

/// Ways to damage a block.
const DAMAGES: &[Damage] = &[
    ("chunk", |block| flip(&block.join("chunks/000001"), 40)),
    ("symbols", |block| flip(&block.join("index"), 12)),
    ("index cut", |block| {
        let index = fs::read(block.join("index")).unwrap();
        fs::write(block.join("index"), &index[..index.len() / 2]).unwrap();
    }),
    ("index gone", |block| {
        fs::remove_file(block.join("index")).unwrap();
    }),
    ("meta gone", |block| {
        fs::remove_file(block.join("meta.json")).unwrap();
    }),
    ("meta empty", |block| {
        fs::write(block.join("meta.json"), "").unwrap();
    }),
    ("segment gone", |block| {
        fs::remove_file(block.join("chunks/000001")).unwrap();
    }),
    ("segments gone", |block| {
        fs::remove_dir_all(block.join("chunks")).unwrap();
    }),
    ("tombstones", |block| flip(&block.join("tombstones"), 8)),
    ("everything", |block| {
        fs::remove_dir_all(block).unwrap();
        fs::create_dir(block).unwrap();
    }),
];

#[test]
fn damage_of_every_kind_is_replaced_and_nothing_else_is_touched() {
    let (dir, data) = place();
    let before = tree(&data.join(BLOCK));
    for (what, damage) in DAMAGES {
        damage(&data.join(BLOCK));
        let (damaged, there) = (tree(&data.join(BLOCK)), inodes(&data));
        assert_eq!(verify(dir.path()), 3, "{what}");

        let dry = replace(dir.path(), &["--dry-run"]);
        assert_eq!(dry.code, 0, "{what}: {}", dry.err);
        assert_eq!(outcomes(&dry)[BLOCK], "planned", "{what}");
        assert_eq!(inodes(&data), there, "{what}");

        let ran = replace(dir.path(), &[]);
        // Of deletions that cannot be read nobody knows what they were.
        let code = if *what == "tombstones" { 3 } else { 0 };
        assert_eq!(ran.code, code, "{what}: {}", ran.err);
        let mut wanted: BTreeMap<_, _> = fs::read_dir(fixture("night-2"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.len() == BLOCK.len())
            .map(|name| (name, "sound".to_owned()))
            .collect();
        wanted.insert(BLOCK.to_owned(), "replaced".to_owned());
        assert_eq!(outcomes(&ran), wanted, "{what}");
        assert!(tree(&data.join(BLOCK)) == before, "{what}");
        assert_eq!(verify(dir.path()), 0, "{what}");

        let kept = format!("{BLOCK}.damaged");
        assert!(tree(&data.join(&kept)) == damaged, "{what}");
        let mut now = inodes(&data);
        assert_eq!(now.remove(&kept), there.get(BLOCK).copied(), "{what}");
        assert_ne!(now.get(BLOCK), there.get(BLOCK), "{what}");
        now.remove(BLOCK);
        let mut untouched = there.clone();
        untouched.remove(BLOCK);
        assert_eq!(now, untouched, "{what}");

        let again = replace(dir.path(), &[]);
        assert_eq!(again.code, 0, "{what}: {}", again.err);
        assert!(outcomes(&again).values().all(|outcome| outcome == "sound"));
        fs::remove_dir_all(data.join(kept)).unwrap();
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    for file in ["index", "chunks/000001"] {
        let (dir, data) = place();
        let path = data.join(BLOCK).join(file);
        fs::remove_file(&path).unwrap();
        mkfifoat(CWD, &path, Mode::RWXU).unwrap();
        let ran = replace(dir.path(), &[]);
        assert_eq!(ran.code, 0, "{file}: {}", ran.err);
        assert_eq!(outcomes(&ran)[BLOCK], "replaced", "{file}");
        assert_eq!(verify(dir.path()), 0, "{file}");
    }
}

#[test]
fn verify_prints_the_command_and_it_works() {
    let (dir, data) = place();
    flip(&data.join(BLOCK).join("chunks/000001"), 40);
    let verified = narthex(dir.path(), &["verify", "data"]);
    assert_eq!(verified.code, 3);
    let command = verified
        .out
        .lines()
        .rev()
        .find(|line| line.contains("--replace-damaged"));
    let command = command.unwrap().trim().replace("REPO", "repo");
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!(words[0], "narthex");
    assert!(words.ends_with(&["--block", BLOCK]), "{command}");
    let ran = narthex(dir.path(), &words[1..]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("1 replaced"), "{}", ran.out);
    assert!(
        ran.out.contains(&format!("rm -r data/{BLOCK}.damaged")),
        "{}",
        ran.out
    );
    let healthy = narthex(dir.path(), &["verify", "data"]);
    assert_eq!(healthy.code, 0, "{}", healthy.out);
    assert!(!healthy.out.contains("--replace-damaged"));
}

#[test]
fn what_no_archive_holds_sound_stays_and_the_rest_is_replaced() {
    let (dir, data) = place();
    let archived = narthex(dir.path(), &["archives", "--repo", "repo", "--json"]);
    let first = archived.json()["archives"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // A block that came after the backup.
    let late = "01M80FJGSDDJPV4DWFG2XR4VJ2";
    put(&fixture("night-1").join(late), &data.join(late));
    flip(&data.join(late).join("chunks/000001"), 40);
    flip(&data.join(BLOCK).join("chunks/000001"), 40);
    let there = inodes(&data);
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let found = outcomes(&ran);
    assert_eq!((&*found[late], &*found[BLOCK]), ("stays", "replaced"));
    assert!(ran.err.contains("no archive holds it"), "{}", ran.err);
    assert_eq!(inodes(&data)[late], there[late]);
    assert!(!data.join(format!("{late}.damaged")).exists());

    // Archived damaged, it is no copy; the sound one of the older archive is.
    fs::remove_dir_all(data.join(late)).unwrap();
    fs::remove_file(data.join(OTHER).join("chunks/000001")).unwrap();
    let backup = ["backup", "data", "--repo", "repo", "--source", "s"];
    assert_eq!(narthex(dir.path(), &backup).code, 3);
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let blocks = ran.json()["blocks"].clone();
    let mut blocks = blocks.as_array().unwrap().iter();
    let other = blocks.find(|block| block["ulid"] == OTHER).unwrap();
    assert_eq!(other["outcome"], "replaced");
    assert!(first.starts_with(other["archive"].as_str().unwrap()));
}

#[test]
fn a_copy_that_comes_back_damaged_is_not_put_in_place() {
    let (dir, data) = place();
    flip(&data.join(BLOCK).join("chunks/000001"), 40);
    let damaged = tree(&data.join(BLOCK));
    for (name, content) in tree(&dir.path().join("repo")) {
        if name.starts_with("packs/") || name.starts_with("blocks/") {
            let path = dir.path().join("repo").join(name);
            fs::remove_file(&path).unwrap();
            fs::write(&path, vec![0; content.len()]).unwrap();
        }
    }
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(outcomes(&ran)[BLOCK], "stays");
    assert!(tree(&data.join(BLOCK)) == damaged);
    let hidden = inodes(&data).into_keys();
    let hidden: Vec<_> = hidden.filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn beside_a_server_at_work_nothing_is_replaced() {
    let (dir, data) = place();
    flip(&data.join(BLOCK).join("chunks/000001"), 40);
    let lock = fs::File::open(data.join("lock")).unwrap();
    lock.lock().unwrap();
    let there = inodes(&data);
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("is at work in data"), "{}", ran.err);
    assert_eq!(inodes(&data), there);
    let dry = replace(dir.path(), &["--dry-run"]);
    assert_eq!(outcomes(&dry)[BLOCK], "planned", "{}", dry.err);
    drop(lock);
    assert_eq!(replace(dir.path(), &[]).code, 0);
}

#[test]
fn deletions_that_came_after_the_backup_are_kept() {
    let (dir, data) = place();
    let sick = Sick::copy_of("night-2");
    let name = sick.dir.file_name().unwrap().to_str().unwrap().to_owned();
    sick.delete_nothing();
    for file in ["meta.json", "tombstones"] {
        fs::write(data.join(&name).join(file), sick.read(file)).unwrap();
    }
    let before = tree(&data.join(&name));
    flip(&data.join(&name).join("chunks/000001"), 40);
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(tree(&data.join(&name)) == before);
}

#[test]
fn a_block_that_is_named_must_be_there_and_is_replaced_for_wrong_metadata_too() {
    let (dir, data) = place();
    let missing = replace(dir.path(), &["--block", "01M80FJGSDDJPV4DWFG2XR4VJ2"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("--add-missing"), "{}", missing.err);
    let sound = replace(dir.path(), &["--block", BLOCK]);
    assert_eq!(sound.code, 0, "{}", sound.err);
    assert_eq!(outcomes(&sound).len(), 1);
    assert_eq!(outcomes(&sound)[BLOCK], "sound");

    let path = data.join(BLOCK).join("meta.json");
    let before = fs::read(&path).unwrap();
    let mut meta: serde_json::Value = serde_json::from_slice(&before).unwrap();
    meta["maxTime"] = (meta["maxTime"].as_i64().unwrap() + 1000).into();
    fs::write(&path, meta.to_string()).unwrap();
    let told = replace(dir.path(), &[]);
    assert_eq!(told.code, 3, "{}", told.err);
    assert_eq!(outcomes(&told)[BLOCK], "sound");
    assert!(
        told.err.contains(&format!("--block {BLOCK}")),
        "{}",
        told.err
    );
    let named = replace(dir.path(), &["--block", BLOCK]);
    assert_eq!(named.code, 0, "{}", named.err);
    assert_eq!(outcomes(&named)[BLOCK], "replaced");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_block_that_lost_its_name_between_two_steps_has_it_again() {
    let (dir, data) = place();
    flip(&data.join(BLOCK).join("chunks/000001"), 40);
    let replacing = data.join(format!("{BLOCK}.replacing"));
    fs::rename(data.join(BLOCK), &replacing).unwrap();
    let dry = replace(dir.path(), &["--dry-run"]);
    assert!(dry.err.contains("without --dry-run"), "{}", dry.err);
    assert!(replacing.is_dir());
    let ran = replace(dir.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(outcomes(&ran)[BLOCK], "replaced");
    assert!(ran.err.contains("has its name again"), "{}", ran.err);
    assert_eq!(verify(dir.path()), 0);

    // The same of a snapshot, in which nothing else is left.
    let snapshot = dir.path().join("snapshot");
    put(
        &data.join(format!("{BLOCK}.damaged")),
        &snapshot.join(format!("{BLOCK}.replacing")),
    );
    let ran = narthex(
        dir.path(),
        &[
            "restore",
            "latest",
            "--repo",
            "repo",
            "--target",
            "snapshot",
            "--replace-damaged",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(tree(&snapshot.join(BLOCK)) == tree(&data.join(BLOCK)));
}

#[test]
fn killed_at_any_moment_it_loses_nothing_and_the_next_run_finishes() {
    let (dir, data) = place();
    let sound = tree(&data);
    let run = |data: &str| {
        let arguments = [
            "restore",
            "latest",
            "--repo",
            "repo",
            "--target",
            data,
            "--replace-damaged",
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
        command
            .args(arguments)
            .env_remove("NARTHEX_REPO")
            .env("NARTHEX_CACHE_DIR", dir.path().join("cache"))
            .env("NARTHEX_STATE_DIR", dir.path().join("state"))
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let spoil = |data: &Path| {
        put(&fixture("night-2"), data);
        for block in [BLOCK, OTHER] {
            flip(&data.join(block).join("chunks/000001"), 40);
        }
    };
    let timed = dir.path().join("timed");
    spoil(&timed);
    let begun = Instant::now();
    assert!(run("timed").status().unwrap().success());
    let whole_run = begun.elapsed();
    let mut killed = 0;
    for round in 0..20u32 {
        let name = format!("round-{round}");
        let data = dir.path().join(&name);
        spoil(&data);
        let mut running = run(&name).spawn().unwrap();
        std::thread::sleep(whole_run * (round % 10) / 10 + Duration::from_micros(u64::from(round)));
        running.kill().unwrap();
        killed += u32::from(running.wait().unwrap().code().is_none());
        let ended = run(&name).status().unwrap();
        assert_eq!(ended.code(), Some(0), "{name}");
        let mut now = tree(&data);
        now.retain(|name, _| !name.contains(".damaged") && !name.starts_with(".narthex-restore-"));
        assert!(now == sound, "{name}: {:?}", now.keys().collect::<Vec<_>>());
        fs::remove_dir_all(&data).unwrap();
    }
    assert!(
        killed > 6,
        "only {killed} runs were killed before they had ended"
    );
}
