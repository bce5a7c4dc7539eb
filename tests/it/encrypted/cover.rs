//! What can be read and proved without a key, and what cannot.

use std::sync::Arc;

use narthex::ErrorKind;
use narthex::model::now;
use narthex::repository::cover::Cover;
use narthex::repository::keyed::Keyring;
use narthex::repository::{Repository, SourceFilter};
use narthex::retain::{PruneOptions, prune};
use narthex::store::{ObjectName, ReadStore as _, Store};

use super::world::{DAY, NIGHT, SOURCE, World, assert_restored, back_up, night, problems};

#[test]
fn nights_come_back_and_nothing_but_names_and_times_can_be_read_without_a_key() {
    let world = World::new();
    let mut host = world.of_host();
    host.identities = Some(world.reader.clone());
    for number in [1, 2] {
        let repository = world.open(host.clone());
        let time = NIGHT + number as i64 * DAY;
        let report = back_up(&repository, &night(number), SOURCE, time).unwrap();
        assert!(
            report.committed && report.problems.is_empty(),
            "{:?}",
            report.problems
        );
        assert_restored(&repository, "latest", &night(number));
    }
    let reader = world.open(world.of_reader());
    assert!(problems(reader.store()).is_empty());
    assert!(
        problems(&world.store).is_empty(),
        "what lies there can be proved as it lies"
    );
    for (name, content) in world.objects() {
        let holds = |text: &str| {
            let bytes = text.as_bytes();
            content.windows(bytes.len()).any(|window| window == bytes)
        };
        for secret in [
            SOURCE,
            "night-1",
            "night-2",
            "up",
            "__name__",
            "meta.json",
            "prometheus",
        ] {
            // Two letters may be anywhere in what is encrypted.
            if secret.len() > 2 {
                assert!(!holds(secret), "{name} holds {secret}");
            }
        }
    }
}

#[test]
fn without_a_key_every_byte_that_is_wrong_is_found_and_named() {
    let world = World::new();
    let repository = world.open(Keyring {
        identities: Some(world.reader.clone()),
        ..world.of_host()
    });
    back_up(&repository, &night(1), SOURCE, NIGHT).unwrap();
    let data = |name: &ObjectName| {
        ["blocks/", "packs/", "wal/", "archives/"]
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
    };
    let listed = world.store.list("").unwrap();
    let mut hit = 0;
    for (name, bytes) in listed.into_iter().filter(|(name, _)| data(name)) {
        let sound = world.store.get(&name, bytes).unwrap();
        for at in [0, sound.len() / 2, sound.len() - 1] {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x10;
            world.store.overwrite(&name, &flipped);
            let found = problems(&world.store);
            assert!(
                found.iter().any(|it| it.contains(name.as_str())),
                "{name}, byte {at}: {found:?}"
            );
            hit += 1;
        }
        world.store.overwrite(&name, &sound);
    }
    assert!(hit > 20);
    assert!(problems(&world.store).is_empty());
}

#[test]
fn commands_that_need_to_read_say_so_and_none_says_that_there_is_nothing() {
    let world = World::new();
    let host = world.open(world.of_host());
    back_up(&host, &night(1), SOURCE, NIGHT).unwrap();
    let blind = world.open(Keyring::default());
    let filter = SourceFilter::default();
    for refused in [
        blind.archives().map(|_| ()),
        blind.find("latest", &filter, NIGHT + DAY).map(|_| ()),
        blind.latest(&filter, NIGHT + DAY).map(|_| ()),
        blind.servers(&filter).map(|_| ()),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.chain().contains("encrypted"), "{}", error.chain());
    }
    // The descriptor alone opens nothing, nor does a program that knows of no keys.
    let plain = Repository::open(Arc::new(world.store.clone())).unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Locked);
}

#[test]
fn prune_needs_no_key_and_deletes_what_no_archive_names() {
    let world = World::new();
    let host = world.open(world.of_host());
    back_up(&host, &night(1), SOURCE, now() - 5 * DAY).unwrap();
    let first = world.store.list("archives/").unwrap().remove(0).0;
    back_up(&host, &night(2), SOURCE, now() - 4 * DAY).unwrap();
    world.store.delete(&first).unwrap();
    let blind = world.open(Keyring::default());
    let options = PruneOptions {
        grace: 0,
        ..PruneOptions::default()
    };
    let before = world.objects().len();
    for _ in 0..2 {
        prune(&blind, options, now()).unwrap();
    }
    assert!(
        world.objects().len() < before,
        "the log of the first night goes"
    );
    assert_restored(&world.open(world.of_reader()), "latest", &night(2));
    assert!(problems(&world.store).is_empty());
}

#[test]
fn a_cover_says_what_the_archive_needs_and_is_held_to_it() {
    let world = World::new();
    let host = world.open(world.of_host());
    let archive = back_up(&host, &night(1), SOURCE, NIGHT).unwrap().archive;
    let (name, bytes) = world.store.list("archives/").unwrap().remove(0);
    let document = world.store.get(&name, bytes).unwrap();
    let cover = Cover::read(&document).unwrap().unwrap();
    let named: Vec<_> = archive
        .objects()
        .map(|(_, object)| object.listed())
        .collect();
    assert_eq!(cover.objects.len(), named.len());
    for object in &cover.objects {
        assert!(named.contains(&(object.name.clone(), object.bytes)));
    }
    // The body of another archive under this cover is noticed, whoever has sealed it.
    back_up(&host, &night(2), SOURCE, NIGHT + DAY).unwrap();
    let (other, bytes) = world.store.list("archives/").unwrap().remove(1);
    let other = world.store.get(&other, bytes).unwrap();
    let other = Cover::read(&other).unwrap().unwrap();
    let swapped = Cover {
        body: other.body,
        ..cover
    };
    let signed = swapped.to_bytes(|bytes| {
        let namespace = narthex::crypt::sign::ARCHIVE_NAMESPACE;
        world.host.sign(namespace, bytes)?.to_line().map(Some)
    });
    world.store.overwrite(&name, &signed.unwrap());
    let found = problems(world.open(world.of_reader()).store());
    assert!(
        found.iter().any(|it| it.starts_with("manifest-damaged")),
        "{found:?}"
    );
}

#[test]
fn a_damaged_header_is_damage_also_for_who_has_the_key() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let mut hit = 0;
    for (name, bytes) in world.store.list("").unwrap() {
        if !["blocks/", "packs/", "wal/"]
            .iter()
            .any(|it| name.as_str().starts_with(it))
        {
            continue;
        }
        let sound = world.store.get(&name, bytes).unwrap();
        // In the first line of a recipient, so that the object looks like one for another.
        let at = sound
            .windows(10)
            .position(|it| it == b"-> X25519 ")
            .unwrap();
        let mut flipped = sound.clone();
        flipped[at + 14] ^= 1;
        world.store.overwrite(&name, &flipped);
        let found = problems(world.open(world.of_reader()).store());
        assert_eq!(found, [format!("object-damaged {name}")]);
        world.store.overwrite(&name, &sound);
        hit += 1;
    }
    assert!(hit > 4);
}
