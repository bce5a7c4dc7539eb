//! The sound copy wins: whatever any object of a repository still holds is restored, and it is said where it came from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use narthex::archive::{self, Codec, Options, Source};
use narthex::progress::Silent;
use narthex::repository::copies::Copies;
use narthex::repository::{Archive, Repository, mended_object};
use narthex::restore::{self, Present, Report, Target, Wanted};
use narthex::store::{MemoryStore, ObjectName, Store};

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
        let options = Options {
            codec,
            ..Options::default()
        };
        archive::backup(&source, &repository, &options, time, &Silent).unwrap();
    }
    (store, repository)
}

fn restore(repository: &Repository, archive: &Archive, dir: &Path) -> narthex::Result<Report> {
    let copies = Copies::new(repository)?;
    let target = Target::new(dir, false)?;
    let plan = restore::plan(&Wanted::Archive, archive, &[], true, &Present::default())?;
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

/// Restores all archives, asserts that they come back to the last byte, and says how many detours there were.
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

/// Damages each object, one at a time, and calls `check`. Each way of damage comes to each kind of object, but not to each object: that would
/// take minutes.
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
        put(&store, &mended_object(object).unwrap(), &bytes);
    }
    assert_eq!(assert_whole(&repository, "sound"), 0);
    with_each_damage(&store, &objects, |object, damage| {
        let detours = assert_whole(&repository, &format!("{object} {damage:?}"));
        assert!(detours > 0, "{object} {damage:?}");
    });
}
