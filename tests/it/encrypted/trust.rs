//! Whose word counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use narthex::ErrorKind;
use narthex::crypt::keys::AllowedSigner;
use narthex::crypt::sign::SigningKey;
use narthex::crypt::{Identities, Identity};
use narthex::model::now;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, check};
use narthex::repository::cover::Cover;
use narthex::repository::keyed::{Keyring, SeenWitness, WitnessMemory};
use narthex::repository::{Repository, SourceFilter};
use narthex::retain::{PruneOptions, prune};
use narthex::store::{MemoryStore, ObjectName, ReadStore as _, Store};

use super::world::{DAY, NIGHT, SOURCE, World, assert_restored, back_up, night, problems};

/// Publishes what `change` makes of the newest list of keys.
fn change_keys(world: &World, signers: Vec<AllowedSigner>) {
    let repository = world.open(world.of_reader());
    let keys = repository.keys().unwrap();
    let recipients = keys.chain().newest().recipients.clone();
    let id = &repository.descriptor().id;
    let signers = signers.into_iter().map(|it| it.in_repository(id)).collect();
    let next = keys.chain().next(now(), recipients, signers).unwrap();
    let store: &dyn Store = &world.store;
    store
        .put(
            &next.object().unwrap(),
            &next.to_signed(&world.admin).unwrap(),
        )
        .unwrap();
}

fn signer(key: &SigningKey, source: &str) -> AllowedSigner {
    AllowedSigner {
        key: key.public(),
        sources: vec![source.to_owned()],
    }
}

#[test]
fn an_archive_without_a_signature_that_counts_is_named_and_is_not_the_latest() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    // Somebody who has the credentials of the store, and a key of their own.
    let thief = Keyring {
        signing: Some(SigningKey::generate("thief").unwrap()),
        memory: Some(world.home.path().join("thief")),
        // A program of their own refuses nothing.
        accept_unsigned: true,
        ..Keyring::default()
    };
    back_up(&world.open(thief), &night(2), SOURCE, NIGHT + DAY).unwrap();
    let reader = world.open(world.of_reader());
    let chosen = reader
        .find("latest", &SourceFilter::default(), NIGHT + 2 * DAY)
        .unwrap();
    assert_eq!(chosen.archive.time, NIGHT);
    assert_eq!(chosen.untrusted.len(), 1);
    assert_eq!(chosen.remarks().count(), 1, "it is said");
    assert_restored(&reader, "latest", &night(1));
    let false_one = reader.manifest_names().unwrap().pop().unwrap();
    let refused = reader.archive(&false_one).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let found = problems(reader.store());
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("manifest-untrusted"), "{found:?}");
    // Who asks for it gets it.
    let trusting = Keyring {
        accept_unsigned: true,
        ..world.of_reader()
    };
    assert_restored(&world.open(trusting), "latest", &night(2));
}

#[test]
fn a_host_signs_its_own_source_only_and_nothing_unsigned_where_signers_are_named() {
    let world = World::new();
    let refused = back_up(&world.open(world.of_host()), &night(1), "another", NIGHT).unwrap_err();
    assert!(
        refused.chain().contains("may not sign"),
        "{}",
        refused.chain()
    );
    let unrefused = Keyring {
        accept_unsigned: true,
        ..world.of_host()
    };
    back_up(&world.open(unrefused), &night(1), "another", NIGHT).unwrap();
    let reader = world.open(world.of_reader());
    let all = reader.archives().unwrap();
    assert!(all.archives.is_empty());
    assert_eq!(all.damaged.len(), 1);
    let unsigned = Keyring {
        signing: None,
        ..world.of_host()
    };
    let refused = back_up(&world.open(unsigned), &night(1), SOURCE, NIGHT).unwrap_err();
    assert!(refused.chain().contains("signed"), "{}", refused.chain());
}

#[test]
fn a_key_that_was_taken_back_signs_no_more_and_what_it_has_signed_stays() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let reader = world.open(world.of_reader());
    let keys = reader.keys().unwrap();
    keys.write_witness(&world.admin, &BTreeSet::new(), now())
        .unwrap();
    let new = SigningKey::generate("new").unwrap();
    change_keys(&world, vec![signer(&new, SOURCE)]);
    let reader = world.open(world.of_reader());
    assert_restored(&reader, "latest", &night(1));
    assert!(problems(reader.store()).is_empty());
    let keyring = Keyring {
        signing: Some(new),
        ..world.of_host()
    };
    back_up(&world.open(keyring), &night(2), SOURCE, NIGHT + DAY).unwrap();
    assert_restored(&world.open(world.of_reader()), "latest", &night(2));
}

#[test]
fn who_is_believed_is_not_replaced_by_what_lies_there() {
    let world = World::new();
    let admin = world.admin.public().fingerprint();
    let pinned = Keyring {
        admin: Some(admin),
        seen: 1,
        ..world.of_host()
    };
    back_up(&world.open(pinned.clone()), &night(1), SOURCE, NIGHT).unwrap();
    // Somebody makes a repository of their own in its place.
    let other = World::new();
    let refused = Repository::open_with(Arc::new(other.store.clone()), pinned.clone());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    // Or one that is not encrypted at all.
    let clear = MemoryStore::new();
    Repository::init(Arc::new(clear.clone())).unwrap();
    let refused = Repository::open_with(Arc::new(clear), pinned.clone());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
    // Or shows an older list of keys.
    let seen = Keyring { seen: 2, ..pinned };
    let refused = Repository::open_with(Arc::new(world.store.clone()), seen);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn recipients_that_the_administrator_has_not_signed_are_not_written_to() {
    let world = World::new();
    let thief = Identities::new([Identity::generate()]).unwrap();
    let repository = world.open(world.of_reader());
    let chain = repository.keys().unwrap().chain().clone();
    let recipients = chain.newest().recipients.iter().cloned();
    let recipients = recipients.chain(thief.recipients()).collect();
    let signers = chain.newest().signers.clone();
    let next = chain.next(now(), recipients, signers).unwrap();
    let false_admin = SigningKey::generate("thief").unwrap();
    let store: &dyn Store = &world.store;
    let content = next.to_signed(&false_admin).unwrap();
    store.put(&next.object().unwrap(), &content).unwrap();
    let opened = world.open(world.of_host());
    let believed = opened.keys().unwrap().chain();
    assert_eq!(believed.newest(), chain.newest());
    assert_eq!(believed.junk().len(), 1);
    // Nor do they stop a night, which only the true ones read.
    back_up(&opened, &night(1), SOURCE, NIGHT).unwrap();
    assert_restored(&world.open(world.of_reader()), "latest", &night(1));
    assert_eq!(
        judged(&world),
        [format!("keys-false {}", next.object().unwrap())]
    );
    let after = opened.keys().unwrap().chain();
    let after = after.next(now(), chain.newest().recipients.clone(), Vec::new());
    assert_eq!(after.unwrap().number, next.number + 1);
}

#[test]
fn a_manifest_in_clear_among_encrypted_ones_counts_for_nothing() {
    let world = World::new();
    let clear = MemoryStore::new();
    let plain = Repository::init(Arc::new(clear.clone())).unwrap();
    back_up(&plain, &night(1), SOURCE, NIGHT).unwrap();
    for (name, bytes) in clear.list("").unwrap() {
        if name.as_str() != "narthex.json" {
            let content = clear.get(&name, bytes).unwrap();
            world.store.overwrite(&name, &content);
        }
    }
    let all = world.open(world.of_reader()).archives().unwrap();
    assert!(all.archives.is_empty());
    assert_eq!(all.damaged.len(), 1);
}

/// A key of the machine that keeps the repository in order, and that key beside the host's.
fn upkeep(world: &World) -> SigningKey {
    let upkeep = SigningKey::generate("upkeep").unwrap();
    let signers = vec![signer(&world.host, SOURCE), signer(&upkeep, "*")];
    change_keys(world, signers);
    upkeep
}

/// What a check with the keys of a reader finds about manifests, witnesses and lists of keys.
fn judged(world: &World) -> Vec<String> {
    let reader = world.open(world.of_reader());
    let mut report = check(reader.store(), CheckDepth::Structure, &Silent).unwrap();
    reader
        .keys()
        .unwrap()
        .judge_missing(&mut report, true)
        .unwrap();
    let findings = report.findings.iter();
    findings
        .filter(|it| !it.kind.id().starts_with("object"))
        .map(|it| format!("{} {}", it.kind.id(), it.object))
        .collect()
}

#[test]
fn a_witness_misses_what_was_removed_and_not_what_was_forgotten() {
    let world = World::new();
    let upkeep = upkeep(&world);
    for (number, time) in [(1, NIGHT), (2, NIGHT + DAY), (2, NIGHT + 2 * DAY)] {
        back_up(&world.open(world.of_host()), &night(number), SOURCE, time).unwrap();
    }
    let none = BTreeSet::new();
    let reader = world.open(world.of_reader());
    let keys = reader.keys().unwrap();
    // Those of one source alone are no witness.
    assert!(
        keys.write_witness(&world.host, &none, NIGHT + 3 * DAY)
            .is_err()
    );
    let witness = keys.write_witness(&upkeep, &none, NIGHT + 3 * DAY).unwrap();
    assert_eq!((witness.number, witness.manifests.len()), (1, 3));
    assert!(judged(&world).is_empty());
    let names: Vec<_> = world.store.list("archives/").unwrap();
    let content = world.store.get(&names[1].0, names[1].1).unwrap();
    // Somebody removes one, or puts another in its place.
    world.store.delete(&names[1].0).unwrap();
    assert_eq!(judged(&world), [format!("manifest-gone {}", names[1].0)]);
    let refused = keys
        .write_witness(&upkeep, &none, NIGHT + 4 * DAY)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    world
        .store
        .overwrite(&names[1].0, &content[..content.len() - 1]);
    assert!(judged(&world).contains(&format!("manifest-gone {}", names[1].0)));
    world.store.overwrite(&names[1].0, &content);
    assert!(judged(&world).is_empty());
    // One is forgotten.
    world.store.delete(&names[0].0).unwrap();
    let forgotten = [names[0].0.clone()].into();
    keys.write_witness(&upkeep, &forgotten, NIGHT + 4 * DAY)
        .unwrap();
    assert!(judged(&world).is_empty(), "{:?}", judged(&world));
}

#[test]
fn an_archive_that_is_removed_before_any_witness_is_told_by_the_next_one() {
    let world = World::new();
    let upkeep = upkeep(&world);
    let reader = world.open(world.of_reader());
    let none = BTreeSet::new();
    reader
        .keys()
        .unwrap()
        .write_witness(&upkeep, &none, NIGHT - DAY)
        .unwrap();
    for time in [NIGHT, NIGHT + DAY] {
        back_up(&world.open(world.of_host()), &night(1), SOURCE, time).unwrap();
    }
    let first = world.store.list("archives/").unwrap().remove(0).0;
    world.store.delete(&first).unwrap();
    assert_eq!(judged(&world), [format!("manifest-gone {first}")]);
}

#[test]
fn what_a_stolen_key_signs_after_it_was_taken_back_counts_for_nothing() {
    let world = World::new();
    let upkeep = upkeep(&world);
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let reader = world.open(world.of_reader());
    let none = BTreeSet::new();
    reader
        .keys()
        .unwrap()
        .write_witness(&upkeep, &none, now())
        .unwrap();
    let stolen = world.of_host();
    let thief = world.open(stolen);
    change_keys(&world, vec![signer(&upkeep, "*")]);
    // It dates its archive back, before the key was taken.
    back_up(&thief, &night(2), SOURCE, NIGHT + DAY).unwrap();
    let reader = world.open(world.of_reader());
    let all = reader.archives().unwrap();
    assert_eq!((all.archives.len(), all.damaged.len()), (1, 1));
    assert_restored(&reader, "latest", &night(1));
}

#[test]
fn junk_beside_witnesses_hides_none_and_a_prune_goes_by_the_true_one() {
    let world = World::new();
    let upkeep = upkeep(&world);
    for time in [NIGHT, NIGHT + DAY] {
        back_up(&world.open(world.of_host()), &night(1), SOURCE, time).unwrap();
    }
    let none = BTreeSet::new();
    let store: &dyn Store = &world.store;
    let junk = |number: u32| ObjectName::new(format!("witness/{number:08}.json")).unwrap();
    for number in [1, 7, 99_999_999] {
        store.put(&junk(number), b"junk").unwrap();
    }
    let reader = world.open(world.of_reader());
    let keys = reader.keys().unwrap();
    let witness = keys.write_witness(&upkeep, &none, NIGHT + 2 * DAY).unwrap();
    assert_eq!(witness.number, 2);
    assert_eq!(keys.witness().unwrap().unwrap().0.number, 2);
    let mut report = check(reader.store(), CheckDepth::Structure, &Silent).unwrap();
    keys.judge_missing(&mut report, true).unwrap();
    let false_ones = report
        .findings
        .iter()
        .filter(|it| it.kind.id() == "witness-false");
    assert_eq!(false_ones.count(), 3);
    // A manifest that names nothing is put in the place of one, or the manifest is taken away.
    let prune = || {
        let options = PruneOptions {
            grace: 0,
            ..PruneOptions::default()
        };
        prune(&world.open(Keyring::default()), options, now())
    };
    prune().unwrap();
    let before = world.objects();
    let (name, bytes) = world.store.list("archives/").unwrap().remove(1);
    let sound = world.store.get(&name, bytes).unwrap();
    let cover = Cover::read(&sound).unwrap().unwrap();
    let emptied = Cover {
        objects: Vec::new(),
        ..cover
    };
    world
        .store
        .overwrite(&name, &emptied.to_bytes(|_| Ok(None)).unwrap());
    assert_eq!(prune().unwrap_err().kind(), ErrorKind::Refused);
    world.store.delete(&name).unwrap();
    assert_eq!(prune().unwrap_err().kind(), ErrorKind::Refused);
    world.store.overwrite(&name, &sound);
    assert_eq!(world.objects(), before);
}

#[test]
fn an_archive_of_another_repository_of_the_same_keys_counts_for_nothing() {
    let one = World::new();
    let clone = World {
        store: MemoryStore::new(),
        admin: one.admin.clone(),
        host: one.host.clone(),
        reader: one.reader.clone(),
        home: tempfile::tempdir().unwrap(),
    };
    let signer = AllowedSigner {
        key: clone.host.public(),
        sources: vec!["*".to_owned()],
    };
    Repository::init_encrypted(
        Arc::new(clone.store.clone()),
        &clone.admin,
        clone.reader.recipients().collect(),
        vec![signer],
        Keyring::default(),
    )
    .unwrap();
    back_up(&one.open(one.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    for (name, content) in one.objects() {
        if name != "narthex.json" && !name.starts_with("keys/") {
            clone
                .store
                .overwrite(&ObjectName::new(name).unwrap(), &content);
        }
    }
    let all = clone.open(clone.of_reader()).archives().unwrap();
    assert_eq!((all.archives.len(), all.damaged.len()), (0, 1));
}

#[test]
fn junk_that_is_all_there_is_of_witnesses_is_found() {
    let world = World::new();
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let store: &dyn Store = &world.store;
    let junk = ObjectName::new("witness/00000001.json").unwrap();
    store.put(&junk, b"junk").unwrap();
    let reader = world.open(world.of_reader());
    let mut report = check(reader.store(), CheckDepth::Structure, &Silent).unwrap();
    let keys = reader.keys().unwrap();
    keys.judge_missing(&mut report, true).unwrap();
    let found = report
        .findings
        .iter()
        .find(|it| it.kind.id() == "witness-false");
    assert_eq!(found.map(|it| it.object.as_str()), Some(junk.as_str()));
    assert!(report.has_problems());
}

#[test]
fn a_witness_that_was_seen_and_is_gone_is_missed() {
    let world = World::new();
    let upkeep = upkeep(&world);
    back_up(&world.open(world.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let none = BTreeSet::new();
    let witness = |keyring: Keyring| {
        let reader = world.open(keyring);
        let keys = reader.keys().unwrap();
        keys.write_witness(&upkeep, &none, now())
            .map(|it| it.number)
    };
    witness(world.of_reader()).unwrap();
    let memory = Arc::new(Seen::default());
    let remembering = |memory: &Arc<Seen>| Keyring {
        witnesses: memory.0.lock().unwrap().clone(),
        witness_memory: Some(Arc::clone(memory) as Arc<dyn WitnessMemory>),
        ..world.of_reader()
    };
    assert_eq!(witness(remembering(&memory)).unwrap(), 2);
    let second = ObjectName::new("witness/00000002.json").unwrap();
    let seen = memory
        .0
        .lock()
        .unwrap()
        .values()
        .map(|seen| seen.number)
        .max();
    assert_eq!(seen, Some(2));
    let content = world.store.get(&second, u64::MAX).unwrap();
    let found = || {
        let reader = world.open(remembering(&memory));
        let mut report = check(reader.store(), CheckDepth::Structure, &Silent).unwrap();
        reader
            .keys()
            .unwrap()
            .judge_missing(&mut report, false)
            .unwrap();
        let findings = report.findings.iter().map(|it| it.kind.id());
        findings.filter(|kind| *kind == "witness-gone").count()
    };
    let prune = || {
        let options = PruneOptions {
            grace: 0,
            ..PruneOptions::default()
        };
        prune(&world.open(remembering(&memory)), options, now())
    };
    assert_eq!(found(), 0);
    prune().unwrap();
    let before = world.objects();
    // It is removed, junk is put in its place, or another one that counts.
    let first = world
        .store
        .get(&ObjectName::new("witness/00000001.json").unwrap(), u64::MAX)
        .unwrap();
    for other in [None, Some(&b"junk"[..]), Some(&first[..])] {
        match other {
            None => world.store.delete(&second).unwrap(),
            Some(other) => world.store.overwrite(&second, other),
        }
        assert_eq!(found(), 1);
        assert_eq!(prune().unwrap_err().kind(), ErrorKind::Refused);
        let refused = witness(remembering(&memory)).unwrap_err();
        assert!(refused.advice().unwrap().contains("--accept-missing"));
        world.store.overwrite(&second, &content);
    }
    assert_eq!(world.objects(), before);
    // Nobody who has not seen it misses it; who has accepts it by a number behind it.
    world.store.delete(&second).unwrap();
    assert!(judged(&world).is_empty());
    let reader = world.open(remembering(&memory));
    let keys = reader.keys().unwrap();
    let (new, missing) = keys.write_witness_accepting(&upkeep, now()).unwrap();
    assert_eq!(new.number, 3);
    let lost = missing.witness.unwrap();
    assert_eq!((lost.number, lost.newest), (2, Some(1)));
    assert_eq!(found(), 0);
    prune().unwrap();
}

/// The newest witnesses that a machine has seen, in memory.
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) Mutex<BTreeMap<String, SeenWitness>>);

impl WitnessMemory for Seen {
    fn keep(&self, scope: &str, seen: SeenWitness) {
        self.0.lock().unwrap().insert(scope.to_owned(), seen);
    }
}

#[test]
fn a_manifest_that_was_changed_is_accepted_by_name() {
    let world = World::new();
    let upkeep = upkeep(&world);
    for time in [NIGHT, NIGHT + DAY, NIGHT + 2 * DAY] {
        back_up(&world.open(world.of_host()), &night(1), SOURCE, time).unwrap();
    }
    let none = BTreeSet::new();
    let reader = world.open(world.of_reader());
    let keys = reader.keys().unwrap();
    keys.write_witness(&upkeep, &none, now()).unwrap();
    let [gone, changed, _] = &world.store.list("archives/").unwrap()[..] else {
        panic!("there are three")
    };
    let (gone, changed) = (&gone.0, &changed.0);
    let content = world.store.get(changed, u64::MAX).unwrap();
    let cover = Cover::read(&content).unwrap().unwrap();
    let unsigned = cover.to_bytes(|_| Ok(None)).unwrap();
    world.store.delete(gone).unwrap();
    world.store.overwrite(changed, &unsigned);
    let found = judged(&world);
    for name in [gone, changed] {
        assert!(
            found.contains(&format!("manifest-gone {name}")),
            "{found:?}"
        );
    }
    let (_, missing) = keys.write_witness_accepting(&upkeep, now()).unwrap();
    assert!(missing.gone.iter().eq([gone]), "{missing:?}");
    assert!(missing.changed.iter().eq([changed]), "{missing:?}");
    // What it is now is what is seen. That nobody has signed it is another matter.
    let found = judged(&world);
    assert_eq!(found, [format!("manifest-untrusted {changed}")]);
}
