//! The sound copy wins: whatever any object of a repository still holds is restored, and it is said
//! where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, Codec, Source};
use narthex::progress::Silent;
use narthex::repository::copies::Copies;
use narthex::repository::{Archive, ArchiveId, LeftOut, Repository, mended_object};
use narthex::restore::{self, RestoreReport, Target, TargetContent, Wanted};
use narthex::store::ReadStore as _;
use narthex::store::{LocalStore, MemoryStore, ObjectName, Store};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};

const NIGHTS: [&str; 2] = ["night-1", "night-2"];
const TIMES: [i64; 2] = [1_795_312_000_000, 1_795_398_400_000];

/// What can become of an object.
#[derive(Clone, Copy, Debug)]
enum Damage {
    FlippedAt(usize),
    Shorter(usize),
    Longer,
    Empty,
    Lost,
}

const DAMAGES: [Damage; 9] = [
    Damage::FlippedAt(3),
    Damage::FlippedAt(40),
    Damage::FlippedAt(50),
    Damage::FlippedAt(97),
    Damage::Shorter(3),
    Damage::Shorter(60),
    Damage::Longer,
    Damage::Empty,
    Damage::Lost,
];

impl Damage {
    /// The bytes that are left of `sound`; `None` when the object is gone. Places are in percent.
    fn of(self, sound: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sound.to_vec();
        match self {
            Damage::FlippedAt(percent) => bytes[sound.len() * percent / 100] ^= 4,
            Damage::Shorter(percent) => {
                bytes.truncate(sound.len() - sound.len() * percent / 100 - 1);
            }
            Damage::Longer => bytes.extend_from_slice(b"and more"),
            Damage::Empty => bytes.clear(),
            Damage::Lost => return None,
        }
        Some(bytes)
    }
}

fn put(store: &MemoryStore, object: &ObjectName, bytes: &[u8]) {
    let store: &dyn Store = store;
    let _ = store.delete(object);
    store.put(object, bytes).unwrap();
}

fn get(store: &MemoryStore, object: &ObjectName) -> Vec<u8> {
    store.get(object, u64::MAX).unwrap()
}

/// Two nights of one server, of which the second is spliced from packs of the first.
fn spliced(codec: Codec) -> (MemoryStore, Repository) {
    let store = MemoryStore::new();
    let repository = Repository::init(Arc::new(store.clone())).unwrap();
    for (night, time) in NIGHTS.into_iter().zip(TIMES) {
        let source = Source::new(&fixture(night), "host".into(), Some("test".into())).unwrap();
        let options = BackupOptions {
            codec,
            ..BackupOptions::default()
        };
        archive::backup(&source, &repository, &options, time, &Silent).unwrap();
    }
    (store, repository)
}

fn restore(
    repository: &Repository,
    archive: &Archive,
    dir: &Path,
) -> narthex::Result<RestoreReport> {
    let copies = Copies::new(repository)?;
    let target = Target::new(dir, false)?;
    let plan = restore::plan(
        &Wanted::Archive,
        archive,
        &[],
        true,
        &TargetContent::default(),
    )?;
    restore::apply(&plan, &copies, &target, &Silent)
}

/// What `archive` has to come back as.
fn night(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
    let number = TIMES.iter().position(|time| *time == archive.time);
    let mut files = tree(&fixture(NIGHTS[number.unwrap()]));
    let left_out = ["chunks_head", "lock", "queries.active"];
    files.retain(|name, _| !left_out.iter().any(|left| name.starts_with(left)));
    files
}

/// Restores all archives, asserts that they come back to the last byte, and says how many detours
/// there were.
fn assert_whole(repository: &Repository, what: &str) -> usize {
    let mut detours = 0;
    for archive in &repository.archives().unwrap().archives {
        let here = tempfile::tempdir().unwrap();
        let dir = here.path().join("back");
        let report =
            restore(repository, archive, &dir).unwrap_or_else(|e| panic!("{what}: {}", e.chain()));
        let failed: Vec<_> = report
            .failed
            .iter()
            .map(|failed| failed.error.chain())
            .collect();
        assert!(failed.is_empty(), "{what}: {failed:?}");
        assert!(tree(&dir) == night(archive), "{what}");
        for detour in &report.detours {
            assert!(!detour.from.is_empty(), "{what}");
        }
        detours += report.detours.len();
    }
    detours
}

/// Damages each object, one at a time, and calls `check`. Each way of damage comes to each kind of
/// object, but not to each object: that would take minutes.
fn with_each_damage(
    store: &MemoryStore,
    objects: &[ObjectName],
    mut check: impl FnMut(&ObjectName, Damage),
) {
    let ways = DAMAGES.len().div_ceil(objects.len()) + 1;
    let mut next = DAMAGES.iter().copied().cycle();
    for object in objects {
        let sound = get(store, object);
        for damage in next.by_ref().take(ways) {
            match damage.of(&sound) {
                Some(bytes) => put(store, object, &bytes),
                None => (store as &dyn Store).delete(object).unwrap(),
            }
            check(object, damage);
        }
        put(store, object, &sound);
    }
}

fn data(repository: &Repository) -> Vec<ObjectName> {
    let objects = repository.data_objects().unwrap();
    objects.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_block_that_is_damaged_comes_back_from_the_objects_of_another_archive() {
    let (store, repository) = spliced(Codec::Dense);
    let objects = data(&repository);
    let blocks: Vec<_> = objects
        .iter()
        .filter(|name| !name.as_str().starts_with("wal/"))
        .cloned()
        .collect();
    assert!(
        blocks
            .iter()
            .any(|name| name.as_str().starts_with("packs/"))
    );
    // The same blocks once more, each in one portable object, as another program's archives.
    let (others, portable) = spliced(Codec::Portable);
    for object in data(&portable) {
        put(&store, &object, &get(&others, &object));
    }
    for archive in portable.archives().unwrap().archives {
        repository.commit(&archive).unwrap();
    }
    assert_eq!(assert_whole(&repository, "sound"), 0);
    with_each_damage(&store, &blocks, |object, damage| {
        let detours = assert_whole(&repository, &format!("{object} {damage:?}"));
        assert!(detours > 0, "{object} {damage:?}");
    });
}

#[test]
fn an_object_that_is_damaged_is_replaced_by_the_one_that_was_mended() {
    let (store, repository) = spliced(Codec::Dense);
    let objects = data(&repository);
    for object in &objects {
        let bytes = get(&store, object);
        put(&store, &mended_object(&store, object).unwrap(), &bytes);
    }
    assert_eq!(assert_whole(&repository, "sound"), 0);
    with_each_damage(&store, &objects, |object, damage| {
        let detours = assert_whole(&repository, &format!("{object} {damage:?}"));
        assert!(detours > 0, "{object} {damage:?}");
    });
}

const CHILD: &str = "01M80FP6SVCTE08DH9VF94DFK4";
const PARENT: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";

/// A directory in which the command line works on a repository `repo`.
pub(crate) struct Desk(tempfile::TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes `data` what the fixture `name` is, and archives it.
    pub(crate) fn back_up(&self, name: &str, more: &[&str]) {
        self.data(name);
        self.back_up_again(more);
    }

    pub(crate) fn back_up_again(&self, more: &[&str]) {
        let backup = [
            "backup", "data", "--repo", "repo", "--host", "h", "--source", "s",
        ];
        let ran = narthex(self.path(), &[&backup[..], more].concat());
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
    }

    pub(crate) fn data(&self, name: &str) {
        let data = self.path().join("data");
        let _ = fs::remove_dir_all(&data);
        for (name, content) in tree(&fixture(name)) {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    /// Restores, and gives what was said and what came back.
    pub(crate) fn restore(&self, id: &str, more: &[&str]) -> (Ran, BTreeMap<String, Vec<u8>>) {
        let _ = fs::remove_dir_all(self.path().join("back"));
        let restore = ["restore", id, "--repo", "repo", "--target", "back"];
        let ran = narthex(self.path(), &[&restore[..], more].concat());
        let back = self.path().join("back");
        let files = if back.exists() {
            tree(&back)
        } else {
            BTreeMap::new()
        };
        (ran, files)
    }

    fn repository(&self) -> Repository {
        Repository::open(Arc::new(LocalStore::new(self.path().join("repo")))).unwrap()
    }

    /// Flips a bit in the middle of each object whose name contains `part`.
    fn flip(&self, part: &str) {
        let repository = self.repository();
        let mut flipped = 0;
        for (name, _) in repository.data_objects().unwrap() {
            if name.as_str().contains(part) {
                let mut bytes = repository.store().get(&name, u64::MAX).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                repository.store().delete(&name).unwrap();
                repository.store().put(&name, &bytes).unwrap();
                flipped += 1;
            }
        }
        assert!(flipped > 0, "{part}");
    }
}

/// Cuts the table of contents off the index of block `ulid` in `data`: Prometheus does not start
/// with it.
fn cut_index(desk: &Desk, ulid: &str) {
    let index = desk.path().join("data").join(ulid).join("index");
    let content = fs::read(&index).unwrap();
    fs::write(&index, &content[..content.len() - 4]).unwrap();
}

#[test]
fn a_block_that_was_damaged_when_it_was_archived_comes_back_from_an_earlier_archive() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    cut_index(&desk, PARENT);
    desk.back_up_again(&["--no-wal"]);
    let index = format!("{PARENT}/index");
    let sound = fs::read(fixture("night-1").join(&index)).unwrap();

    let (ran, back) = desk.restore("latest", &["--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("sound copy"), "{}", ran.err);
    assert!(back[&index] == sound);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["replaced"][0]["block"], PARENT);
    assert_eq!(said["prometheus_starts"], true);

    let (ran, back) = desk.restore("latest", &["--as-archived"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(back[&index].len(), sound.len() - 4);
    let last = ran.out.lines().last().unwrap();
    assert!(
        last.starts_with("Prometheus will not start on this"),
        "{last}"
    );
    assert!(last.contains(PARENT), "{last}");
}

#[test]
fn a_block_that_is_damaged_everywhere_comes_back_with_exit_code_3_and_says_what_a_start_does() {
    let desk = Desk::new();
    desk.data("night-1");
    cut_index(&desk, PARENT);
    desk.back_up_again(&["--no-wal"]);
    for more in [&[][..], &["--dry-run"], &["--as-archived"]] {
        let (ran, _) = desk.restore("latest", more);
        assert_eq!(ran.code, 3, "{more:?}: {}", ran.err);
        assert!(
            ran.out.contains("Prometheus will not start on this"),
            "{more:?}: {}",
            ran.out
        );
    }
}

#[test]
fn what_the_backup_could_not_read_is_named_again_when_it_is_restored() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    let repository = desk.repository();
    let mut archive = repository.archives().unwrap().archives.remove(0);
    archive.id = ArchiveId::random();
    archive.time += 60_000;
    archive.left_out.push(LeftOut {
        name: "01M80FJGSDDJPV4DWFG2XR4VJZ".into(),
        reason: "cannot open chunks/000001: permission denied".into(),
    });
    repository.commit(&archive).unwrap();
    let (ran, _) = desk.restore(archive.id.as_str(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err
            .contains("01M80FJGSDDJPV4DWFG2XR4VJZ is not in this archive"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("newest sample"), "{}", ran.out);
}

#[test]
fn the_child_stands_in_for_a_parent_that_cannot_be_read_and_is_named() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    desk.back_up("night-2", &["--no-wal", "--codec", "portable"]);
    desk.flip(&format!("packs/{PARENT}"));
    let first = desk.repository().archives().unwrap().archives.remove(0);
    let (ran, back) = desk.restore(first.id.as_str(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err.contains(&format!(
            "{PARENT} cannot be read; its samples come back in {CHILD}"
        )),
        "{}",
        ran.err
    );
    let index = format!("{CHILD}/index");
    assert!(back[&index] == fs::read(fixture("night-2").join(&index)).unwrap());
    assert!(!back.keys().any(|name| name.starts_with(PARENT)));
    let verified = narthex(desk.path(), &["verify", "back"]);
    assert_eq!(verified.code, 0, "{}", verified.out);
}

#[test]
fn the_parents_that_are_sound_come_back_where_their_child_cannot_be_read() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    desk.back_up("night-2", &["--no-wal"]);
    desk.flip(&format!("packs/{CHILD}"));
    for more in [&[][..], &["--since", "2026-01-01"]] {
        let (ran, back) = desk.restore("latest", more);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(
            ran.err.contains(&format!("{CHILD} could not be restored")),
            "{}",
            ran.err
        );
        assert!(back.contains_key(&format!("{PARENT}/index")), "{more:?}");
    }
}

/// What comes back is what was asked for, and time that is gone is named.
#[test]
fn nothing_comes_for_a_block_that_failed_in_the_place_of_another() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    desk.back_up("night-2", &["--no-wal"]);
    desk.flip(&format!("packs/{PARENT}"));
    desk.flip(&format!("packs/{CHILD}"));
    let first = desk.repository().archives().unwrap().archives.remove(0);
    let (ran, back) = desk.restore(first.id.as_str(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let lost = first
        .blocks
        .iter()
        .find(|block| block.ulid.to_string() == PARENT);
    let lost = lost.unwrap();
    let named: BTreeSet<_> = back
        .keys()
        .filter_map(|name| name.split('/').next())
        .collect();
    let asked = |name: &&str| {
        first
            .blocks
            .iter()
            .any(|block| block.ulid.to_string() == **name)
    };
    assert!(named.iter().all(asked), "{named:?}");
    let begin = jiff::Timestamp::from_millisecond(lost.min_time).unwrap();
    let begin = begin
        .strftime("no block for   %Y-%m-%d %H:%M:%S")
        .to_string();
    assert!(ran.out.contains(&begin), "{begin}: {}", ran.out);
}

#[test]
fn an_archive_of_which_something_cannot_be_read_is_not_healthy() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    desk.flip(&format!("packs/{PARENT}"));
    let verify = ["verify", "--archive", "latest", "--repo", "repo"];
    let ran = narthex(desk.path(), &[&verify[..], &["--json"]].concat());
    assert_eq!(ran.code, 3, "{}", ran.err);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["verified"][0]["healthy"], false);
    assert_eq!(said["verified"][0]["findings"][0]["block"], PARENT);
    let ran = narthex(desk.path(), &verify);
    assert!(!ran.out.contains(": healthy;"), "{}", ran.out);
}

#[test]
fn an_exported_block_is_put_together_from_what_is_sound() {
    let desk = Desk::new();
    desk.back_up("night-1", &["--no-wal"]);
    let repository = desk.repository();
    let objects = repository.data_objects().unwrap();
    let (pack, _) = objects
        .iter()
        .find(|(name, _)| name.as_str().contains(&format!("packs/{PARENT}")))
        .unwrap();
    let sound = repository.store().get(pack, u64::MAX).unwrap();
    let export = ["export", PARENT, "--repo", "repo"];
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
        command
            .args(export)
            .current_dir(desk.path())
            .output()
            .unwrap()
    };
    let before = run();
    desk.flip(pack.as_str());
    assert_eq!(run().status.code(), Some(1));
    repository
        .store()
        .put(&mended_object(repository.store(), pack).unwrap(), &sound)
        .unwrap();
    let after = run();
    let err = String::from_utf8_lossy(&after.stderr);
    assert_eq!(after.status.code(), Some(0), "{err}");
    assert!(err.contains("mended/"), "{err}");
    let (before, after) = (untar(&before.stdout), untar(&after.stdout));
    assert!(before == after && before.len() >= 4);
}

fn untar(stream: &[u8]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut archive = tar::Archive::new(stream);
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().into_owned(), content)
    });
    files.collect()
}
