//! Hosts that can write, and read nothing back.

use std::fs;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use narthex::error::{Error, ErrorKind, Result};
use narthex::repository::Repository;
use narthex::repository::keyed::Memory;
use narthex::store::{Leftover, MemoryStore, ObjectName, PendingObject, ReadStore, Store};

use super::world::{DAY, NIGHT, SOURCE, World, assert_restored, back_up, night, problems};

/// A store as a host sees it that may write and list, read keys and the descriptor, and nothing
/// else.
#[derive(Debug)]
struct LetterBox {
    inner: MemoryStore,
    /// What was asked for and refused.
    refused: Mutex<Vec<String>>,
}

impl LetterBox {
    fn of(world: &World) -> Arc<Self> {
        Arc::new(LetterBox {
            inner: world.store.clone(),
            refused: Mutex::default(),
        })
    }

    fn may_read(&self, name: &ObjectName) -> Result<()> {
        let text = name.as_str();
        if text == "narthex.json" || text.starts_with("keys/") {
            return Ok(());
        }
        self.refuse("read", text)
    }

    fn refuse<T>(&self, what: &str, name: &str) -> Result<T> {
        self.refused.lock().unwrap().push(format!("{what} {name}"));
        // As the stores in clouds say it.
        Err(Error::new(
            ErrorKind::Io,
            format!("may not {what} {name}: 403 Forbidden"),
        ))
    }
}

impl ReadStore for LetterBox {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        self.may_read(name)?;
        self.inner.get(name, max_bytes)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        self.may_read(name)?;
        self.inner.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.may_read(name)?;
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.inner.list(prefix)
    }

    fn describe(&self) -> String {
        "letter box".to_owned()
    }

    fn is_far(&self) -> bool {
        true
    }
}

impl Store for LetterBox {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        self.inner.create(name)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.refuse("delete", name.as_str())
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        self.inner.settle(name)
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        self.inner.leftovers(prefix)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        self.refuse("remove", &leftover.name)
    }

    fn is_vacant(&self) -> Result<bool> {
        self.inner.is_vacant()
    }

    fn is_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn try_create_only(&self) -> Result<bool> {
        Ok(true)
    }
}

#[test]
fn nights_are_incremental_without_reading_or_deleting_anything() {
    let world = World::new();
    let letters = LetterBox::of(&world);
    let mut stored = Vec::new();
    for number in [1, 2, 2] {
        let keyring = world.of_host();
        let host = Repository::open_with(letters.clone(), keyring).unwrap();
        assert!(host.is_write_only() && !host.can_read());
        let time = NIGHT + stored.len() as i64 * DAY;
        let report = back_up(&host, &night(number), SOURCE, time).unwrap();
        assert!(
            report.committed && report.problems.is_empty(),
            "{:?}",
            report.problems
        );
        stored.push((report.new_blocks, report.unchanged_blocks));
    }
    assert!(
        stored[1].1 > 0,
        "blocks of the first night are known: {stored:?}"
    );
    assert_eq!(stored[2].0, 0, "{stored:?}");
    // Only claims were to be taken back.
    let refused = letters.refused.lock().unwrap().clone();
    assert!(
        refused.iter().all(|it| it.starts_with("delete claims/")),
        "{refused:?}"
    );
    assert_eq!(refused.len(), 3);
    let reader = world.open(world.of_reader());
    let names = reader.manifest_names().unwrap();
    for (name, number) in names.iter().zip([1, 2, 2]) {
        assert_restored(&reader, name.id.as_str(), &night(number));
    }
    assert!(problems(reader.store()).is_empty());
    // Each names the one before it.
    let archives = reader.archives().unwrap().archives;
    let linked: Vec<_> = archives.iter().map(|it| it.previous.is_some()).collect();
    assert_eq!(linked, [false, true, true]);
}

#[test]
fn what_is_stored_is_as_small_as_where_everything_can_be_read() {
    let bytes = |reads: bool| {
        let world = World::new();
        for number in [1, 2] {
            let mut keyring = world.of_host();
            keyring.identities = reads.then(|| world.reader.clone());
            let time = NIGHT + number as i64 * DAY;
            back_up(&world.open(keyring), &night(number), SOURCE, time).unwrap();
        }
        let data = world.objects().into_iter();
        let data = data.filter(|(name, _)| !name.starts_with("archives/"));
        data.map(|(_, content)| content.len()).sum::<usize>()
    };
    let (blind, reading) = (bytes(false), bytes(true));
    // Headers of encrypted objects have random lengths.
    assert!(blind < reading + reading / 50, "{blind} against {reading}");
}

#[test]
fn a_host_that_has_forgotten_everything_stores_it_again_and_loses_nothing() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    fs::remove_dir_all(world.home.path().join("written")).unwrap();
    let report = back_up(&world.open(world.of_host()), &night(2), SOURCE, NIGHT + DAY).unwrap();
    assert!(report.committed);
    let reader = world.open(world.of_reader());
    let names = reader.manifest_names().unwrap();
    for (name, number) in names.iter().zip([1, 2]) {
        assert_restored(&reader, name.id.as_str(), &night(number));
    }
    assert!(problems(reader.store()).is_empty());
    // From then on it knows again.
    let report = back_up(
        &world.open(world.of_host()),
        &night(2),
        SOURCE,
        NIGHT + 2 * DAY,
    )
    .unwrap();
    assert_eq!(report.new_blocks, 0);
}

#[test]
fn a_host_that_may_read_nothing_and_remembers_nothing_goes_on() {
    let world = World::new();
    let letters = LetterBox::of(&world);
    for (at, number) in [1, 1, 2].into_iter().enumerate() {
        let host = Repository::open_with(letters.clone(), world.of_host()).unwrap();
        let report = back_up(&host, &night(number), SOURCE, NIGHT + at as i64 * DAY).unwrap();
        assert!(report.committed, "{at}");
        fs::remove_dir_all(world.home.path().join("written")).unwrap();
    }
    let refused = letters.refused.lock().unwrap().clone();
    // Claims were to be taken back, and what came before was looked for.
    let is_data = |it: &String| !it.starts_with("delete claims/") && !it.contains(" archives/");
    assert!(!refused.iter().any(is_data), "{refused:?}");
    let reader = world.open(world.of_reader());
    let names = reader.manifest_names().unwrap();
    for (name, number) in names.iter().zip([1, 1, 2]) {
        assert_restored(&reader, name.id.as_str(), &night(number));
    }
    assert!(problems(reader.store()).is_empty());
}

#[test]
fn what_is_kept_is_private_and_no_more_than_the_last_archive_needs() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let written = world.home.path().join("written");
    let mut dir = written.clone();
    for number in [1, 2] {
        let time = NIGHT + number as i64 * DAY;
        back_up(&world.open(world.of_host()), &night(number), SOURCE, time).unwrap();
        dir = fs::read_dir(&written)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        // A day passes.
        for entry in fs::read_dir(&dir).unwrap() {
            let file = fs::File::options()
                .write(true)
                .open(entry.unwrap().path())
                .unwrap();
            let yesterday = SystemTime::now() - Duration::from_hours(48);
            file.set_modified(yesterday).unwrap();
        }
    }
    back_up(
        &world.open(world.of_host()),
        &night(2),
        SOURCE,
        NIGHT + 3 * DAY,
    )
    .unwrap();
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let reader = world.open(world.of_reader());
    let last = reader.archives().unwrap().archives.pop().unwrap();
    let needed: Vec<_> = last
        .objects()
        .map(|(_, object)| object.name.as_str().replace('/', "_"))
        .collect();
    let mut found = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("archives_") {
            assert!(needed.contains(&name), "{name}");
            found += 1;
        }
    }
    assert!(found >= 4);
}

#[test]
fn a_machine_that_reads_makes_anew_what_a_host_has_forgotten() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let written = world.home.path().join("written");
    fs::remove_dir_all(&written).unwrap();
    let reader = world.open(world.of_reader());
    let archive = reader.archives().unwrap().archives.remove(0);
    let memory = Memory::of(&written, &reader.descriptor().id).unwrap();
    memory.recall(reader.store(), &archive).unwrap();
    let report = back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT + DAY).unwrap();
    assert_eq!((report.new_blocks, report.problems.len()), (0, 0));
    // An id is no path.
    for odd in ["", "..", "../x", "/tmp"] {
        assert!(Memory::of(&written, odd).is_err(), "{odd}");
    }
    // What was changed on the way is not believed.
    fs::remove_dir_all(&written).unwrap();
    let memory = Memory::of(&written, &reader.descriptor().id).unwrap();
    let (name, bytes) = world.store.list("packs/").unwrap().remove(0);
    let mut content = world.store.get(&name, bytes).unwrap();
    *content.last_mut().unwrap() ^= 1;
    world.store.overwrite(&name, &content);
    assert!(
        memory
            .recall(world.open(world.of_reader()).store(), &archive)
            .is_err()
    );
}

#[test]
fn a_machine_that_backs_up_two_servers_forgets_neither() {
    let world = World::new();
    let keyring = |number: usize| {
        let mut keyring = world.of_host();
        // It signs for both.
        keyring.accept_unsigned = number == 2;
        keyring
    };
    for (number, source) in [(1, SOURCE), (2, "another"), (1, SOURCE), (2, "another")] {
        let host = world.open(keyring(number));
        let before = world.store.list("packs/").unwrap().len();
        let time = NIGHT + world.store.list("archives/").unwrap().len() as i64 * DAY;
        let report = back_up(&host, &night(number), source, time).unwrap();
        let after = world.store.list("packs/").unwrap().len();
        if time >= NIGHT + 2 * DAY {
            assert_eq!((report.new_blocks, after), (0, before), "{source}");
        }
    }
}
