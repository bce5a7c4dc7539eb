//! Logs that grow from run to run: each run stores what has come, and every archive comes back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, Source};
use narthex::progress::Silent;
use narthex::repository::{Archive, LogPiece, PIECES_MANIFEST_VERSION, Repository};
use narthex::store::{LocalStore, Store};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};
use crate::healing::copy;

/// How much of each log file there is when the server is looked at: a segment that is being
/// written, in the middle of a record; then more of it and another one; then all; then a new
/// checkpoint in place of the first segment.
pub(crate) const STATES: [&[(&str, usize)]; 4] = [
    &[
        ("wal/checkpoint.00000008/00000000", usize::MAX),
        ("wal/00000009", 100_000),
        ("wbl/00000011", 0),
    ],
    &[
        ("wal/checkpoint.00000008/00000000", usize::MAX),
        ("wal/00000009", usize::MAX),
        ("wal/00000010", 40_000),
        ("wbl/00000011", 20_000),
    ],
    &[
        ("wal/checkpoint.00000008/00000000", usize::MAX),
        ("wal/00000009", usize::MAX),
        ("wal/00000010", usize::MAX),
        ("wal/00000011", usize::MAX),
        ("wbl/00000011", usize::MAX),
    ],
    &[
        ("wal/checkpoint.00000009/00000000", usize::MAX),
        ("wal/00000010", usize::MAX),
        ("wal/00000011", usize::MAX),
        ("wbl/00000011", usize::MAX),
    ],
];

/// Lets the logs of the data directory `data` be as they are in the state of this number.
pub(crate) fn grow(data: &Path, state: usize) {
    for log in ["wal", "wbl"] {
        let _ = fs::remove_dir_all(data.join(log));
    }
    for (name, bytes) in STATES[state] {
        let from = name.replace("checkpoint.00000009", "checkpoint.00000008");
        let content = fs::read(fixture("wal/live-snappy").join(from)).unwrap();
        let path = data.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &content[..content.len().min(*bytes)]).unwrap();
    }
}

/// A directory with data in `data`, archived in `repo`.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        copy(&fixture("blocks/tiny"), &bench.path("data"));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn grow(&self, state: usize) {
        grow(&self.path("data"), state);
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        narthex(self.dir.path(), arguments)
    }

    fn back_up(&self) -> Archive {
        let ran = self.run(&["backup", "data", "--repo", "repo", "--source", "s"]);
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
        self.archives().pop().unwrap()
    }

    /// All archives, oldest first.
    fn archives(&self) -> Vec<Archive> {
        let store: Arc<dyn Store> = Arc::new(LocalStore::new(self.path("repo")));
        let repository = Repository::open(store).unwrap();
        repository.archives().unwrap().archives
    }

    /// Archives all states, and gives what each was.
    fn all(&self) -> Vec<(Archive, BTreeMap<String, Vec<u8>>)> {
        let states = 0..3;
        states
            .map(|state| {
                self.grow(state);
                (self.back_up(), tree(&self.path("data")))
            })
            .collect()
    }

    fn restored(&self, archive: &str) -> (Ran, BTreeMap<String, Vec<u8>>) {
        let _ = fs::remove_dir_all(self.path("back"));
        let ran = self.run(&["restore", archive, "--repo", "repo", "--target", "back"]);
        let files = if self.path("back").exists() {
            tree(&self.path("back"))
        } else {
            BTreeMap::new()
        };
        (ran, files)
    }

    #[track_caller]
    fn assert_back(&self, archive: &Archive, files: &BTreeMap<String, Vec<u8>>) {
        let (ran, back) = self.restored(archive.id.as_str());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(back == *files, "{}: {:?}", archive.id, back.keys());
    }

    fn check(&self) -> Ran {
        self.run(&["check", "--repo", "repo", "--read-data"])
    }
}

/// The objects of the logs of `archive`, by name.
fn objects(archive: &Archive) -> Vec<String> {
    let objects = archive.wal.as_ref().unwrap().objects();
    objects.map(|object| object.name.to_string()).collect()
}

/// The parts of file `name`: where each begins and how long it is.
fn parts(archive: &Archive, name: &str) -> Vec<(u64, u64)> {
    let pieces = archive.wal.as_ref().unwrap().pieces();
    let parts = pieces.iter().flat_map(|piece| &piece.parts);
    parts
        .filter(|part| part.name.as_str() == name)
        .map(|part| (part.from, part.bytes))
        .collect()
}

#[test]
fn each_run_stores_what_has_come_and_every_archive_comes_back() {
    let bench = Bench::new();
    let all = bench.all();
    let [first, second, third] = [0, 1, 2].map(|at| &all[at].0);
    assert_eq!(
        (first.format_version, second.format_version),
        (1, PIECES_MANIFEST_VERSION)
    );
    assert_eq!(objects(second)[..1], objects(first));
    assert_eq!(objects(third)[..2], objects(second));
    assert_eq!(
        parts(third, "wal/00000009"),
        [(0, 100_000), (100_000, 45_147)]
    );
    assert_eq!(
        parts(third, "wal/00000010"),
        [(0, 40_000), (40_000, 25_536)]
    );
    assert_eq!(
        parts(third, "wbl/00000011"),
        [(0, 20_000), (20_000, 12_768)]
    );
    // Of a checkpoint nothing is stored again.
    let checkpoint = parts(third, "wal/checkpoint.00000008/00000000");
    assert_eq!(checkpoint.len(), 1);
    for (archive, files) in &all {
        bench.assert_back(archive, files);
    }
    let checked = bench.check();
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);

    // The counts add up to what the logs hold, whoever stored it.
    let wal = third.wal.as_ref().unwrap();
    let pieces = wal.pieces();
    let samples: u64 = pieces.iter().map(LogPiece::samples).sum();
    assert_eq!(samples, wal.samples);
    let stats = bench.run(&["stats", "--repo", "repo", "--json"]).json();
    let codecs = stats["codecs"].as_array().unwrap();
    let logs = codecs.iter().find(|codec| codec["codec"] == "wal").unwrap();
    assert_eq!(logs["items"], 3);
    let bytes: u64 = wal.files.iter().map(|file| file.bytes).sum();
    assert_eq!(logs["raw_bytes"], bytes, "{logs}");
    assert_eq!(logs["samples"], wal.samples, "{logs}");

    // An unchanged log costs nothing.
    let same = bench.back_up();
    assert_eq!(objects(&same), objects(third));
    assert_eq!(same.wal, third.wal);

    // A checkpoint comes in place of segments: nothing but that is stored.
    bench.grow(3);
    let later = bench.back_up();
    assert_eq!(parts(&later, "wal/00000009"), []);
    assert_eq!(parts(&later, "wal/00000010"), parts(third, "wal/00000010"));
    assert_eq!(
        objects(&later).len(),
        3,
        "the first has nothing but what is gone"
    );
    let files = tree(&bench.path("data"));
    bench.assert_back(&later, &files);

    // What the last archive needs of the others stays.
    let forgotten = bench.run(&[
        "forget",
        "--repo",
        "repo",
        "--keep-last",
        "1",
        "--prune",
        "--grace",
        "0s",
    ]);
    assert_eq!(forgotten.code, 0, "{}", forgotten.err);
    let pruned = bench.run(&["prune", "--repo", "repo", "--grace", "0s"]);
    assert_eq!(pruned.code, 0, "{}", pruned.err);
    assert_eq!(bench.archives().len(), 1);
    bench.assert_back(&later, &files);
    assert_eq!(bench.check().code, 0);
}

/// What becomes of the file at a path.
type Change = fn(&Path);

#[test]
fn what_is_not_as_it_was_is_stored_whole() {
    let segment = "wal/00000009";
    let changes: [(&str, Change, usize); 4] = [
        (
            "a byte in the middle of what was archived, before more has come",
            |path| {
                let mut content = fs::read(path).unwrap();
                content[60_000] ^= 1;
                fs::write(path, content).unwrap();
            },
            1,
        ),
        (
            "shorter, as a server makes it that repairs its log",
            |path| {
                let content = fs::read(path).unwrap();
                fs::write(path, &content[..90_000]).unwrap();
            },
            0,
        ),
        (
            "as long, of another server",
            |path| {
                let content = fs::read(path).unwrap();
                let other: Vec<u8> = content.iter().rev().copied().collect();
                fs::write(path, other).unwrap();
            },
            0,
        ),
        ("empty", |path| fs::write(path, b"").unwrap(), 0),
    ];
    for (what, change, state) in changes {
        let bench = Bench::new();
        bench.grow(0);
        let first = bench.back_up();
        let files = tree(&bench.path("data"));
        bench.grow(state);
        change(&bench.path("data").join(segment));
        let second = bench.back_up();
        let now = tree(&bench.path("data"));
        let length = now[segment].len() as u64;
        assert_eq!(parts(&second, segment), [(0, length)], "{what}");
        let name = objects(&second).pop().unwrap();
        assert_ne!([name], objects(&first)[..], "{what}");
        bench.assert_back(&first, &files);
        let (ran, back) = bench.restored(second.id.as_str());
        assert!([0, 3].contains(&ran.code), "{what}: {}", ran.err);
        assert!(back == now, "{what}");
    }
}

#[test]
fn a_lost_piece_is_found_and_stored_anew_by_the_next_run() {
    for at in 0..2 {
        let bench = Bench::new();
        let all = bench.all();
        let lost = objects(&all[2].0)[at].clone();
        fs::remove_file(bench.path("repo").join(&lost)).unwrap();
        let checked = bench.check();
        assert_eq!(checked.code, 3, "{}", checked.out);
        assert!(checked.out.contains(&lost), "{}", checked.out);
        let (ran, back) = bench.restored("latest");
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains("wal could not be restored"), "{}", ran.err);
        assert!(!back.keys().any(|name| name.starts_with("wal/")));
        let again = bench.back_up();
        assert!(!objects(&again).contains(&lost));
        // Older archives get what stands in for it, with a word on that.
        for (archive, files) in &all {
            let (ran, back) = bench.restored(archive.id.as_str());
            assert!([0, 3].contains(&ran.code), "{}", ran.err);
            assert!(back == *files, "{}: {}", archive.id, ran.err);
        }
        bench.assert_back(&again, &all[2].1);
        let checked = bench.check();
        assert!(!checked.out.contains("lost"), "{}", checked.out);
    }
}

#[test]
fn where_a_piece_is_lost_its_files_are_stored_whole_as_they_are_now() {
    let bench = Bench::new();
    let all = bench.all();
    fs::remove_file(bench.path("repo").join(&objects(&all[2].0)[0])).unwrap();
    // As long as before, and the same at both ends.
    let segment = bench.path("data/wal/00000009");
    let mut content = fs::read(&segment).unwrap();
    content[60_000] ^= 1;
    fs::write(&segment, &content).unwrap();
    let again = bench.back_up();
    let length = content.len() as u64;
    assert_eq!(parts(&again, "wal/00000009"), [(0, length)]);
    let (_, back) = bench.restored(again.id.as_str());
    assert!(back == tree(&bench.path("data")));
}

#[test]
fn a_log_is_never_in_more_than_128_objects_however_often_archives_are_made() {
    let bench = Bench::new();
    bench.grow(2);
    let segment = bench.path("data/wal/00000011");
    let content = fs::read(&segment).unwrap();
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(bench.path("repo")));
    let repository = Repository::init(store).unwrap();
    let source = Source::new(&bench.path("data"), "host".into(), Some("s".into())).unwrap();
    let mut counts = Vec::new();
    for run in 0..140 {
        fs::write(&segment, &content[..400 * (run + 1)]).unwrap();
        let time = 1_800_000_000_000 + 60_000 * i64::try_from(run).unwrap();
        let options = BackupOptions::default();
        let made = archive::backup(&source, &repository, &options, time, &Silent).unwrap();
        counts.push(objects(&made.archive).len());
    }
    // The other files are in the first object, and stay there.
    assert_eq!(counts[..128], (1..=128).collect::<Vec<_>>());
    assert_eq!(counts[128..], (2..14).collect::<Vec<_>>());
    let last = bench.archives().pop().unwrap();
    bench.assert_back(&last, &tree(&bench.path("data")));
}

#[test]
fn a_part_of_a_log_is_put_behind_no_other_servers_log() {
    let bench = Bench::new();
    bench.grow(0);
    bench.back_up();
    bench.grow(1);
    let lost = bench.back_up();
    // Another server, whose files are as long.
    let other = ["backup", "data", "--repo", "repo", "--source", "other"];
    bench.grow(0);
    assert_ne!(bench.run(&other).code, 1);
    let manifest = lost.manifest_name().unwrap().object().unwrap();
    fs::write(bench.path("repo").join(manifest.as_str()), b"{").unwrap();
    let ran = bench.run(&["repair", "--repo", "repo"]);
    let archives = bench.archives();
    let made = archives.iter().find(|archive| archive.is_reconstructed());
    assert!(made.is_none_or(|made| made.wal.is_none()), "{}", ran.out);
    assert!(
        ran.out.contains("it cannot be told to which"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[test]
fn a_lost_manifest_is_put_together_again_from_pieces() {
    let bench = Bench::new();
    let all = bench.all();
    let manifest = all[2].0.manifest_name().unwrap().object().unwrap();
    fs::write(bench.path("repo").join(manifest.as_str()), b"{").unwrap();
    let ran = bench.run(&["repair", "--repo", "repo"]);
    assert!([0, 3].contains(&ran.code), "{}{}", ran.out, ran.err);
    let last = bench.archives();
    let made = last.iter().find(|archive| archive.is_reconstructed());
    let made = made.unwrap_or_else(|| panic!("{}{}", ran.out, ran.err));
    assert_eq!(objects(made), objects(&all[2].0));
    let (ran, back) = bench.restored(made.id.as_str());
    assert!([0, 3].contains(&ran.code), "{}", ran.err);
    let logs = |files: &BTreeMap<String, Vec<u8>>| -> Vec<(String, Vec<u8>)> {
        let files = files.iter().filter(|(name, _)| name.starts_with('w'));
        files
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect()
    };
    assert!(logs(&back) == logs(&all[2].1));
}
