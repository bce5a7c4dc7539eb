//! Copies into encrypted repositories, out of them, and for other keys.

use std::sync::Arc;

use narthex::archive::Codec;
use narthex::copy::{CopyChoice, CopyOptions, copy, mend_from};
use narthex::crypt::sign::SigningKey;
use narthex::model::now;
use narthex::progress::Silent;
use narthex::repository::Repository;
use narthex::repository::keyed::Keyring;
use narthex::store::{MemoryStore, ReadStore as _, Store as _};

use super::world::{DAY, NIGHT, SOURCE, World, assert_restored, back_up, night, problems};

/// Copies all archives; how many.
fn copy_all(from: &Repository, to: &Repository) -> usize {
    copy_into(from, to, None)
}

/// The same, into a codec.
fn copy_into(from: &Repository, to: &Repository, codec: Option<Codec>) -> usize {
    let options = CopyOptions {
        codec,
        ..CopyOptions::default()
    };
    let report = copy(from, to, &CopyChoice::default(), &options, now(), &Silent).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    report.archives.len()
}

fn both_nights_come_back(repository: &Repository) {
    let names = repository.manifest_names().unwrap();
    assert_eq!(names.len(), 2);
    for (name, number) in names.iter().zip([1, 2]) {
        assert_restored(repository, name.id.as_str(), &night(number));
    }
    assert!(problems(repository.store()).is_empty());
}

/// A reader who also signs, as whoever copies.
fn of_copier(world: &World) -> Keyring {
    Keyring {
        signing: Some(world.host.clone()),
        ..world.of_reader()
    }
}

#[test]
fn a_copy_is_encrypted_for_its_own_keys_and_one_in_clear_is_in_clear() {
    let (one, other) = (World::new(), World::new());
    for number in [1, 2] {
        let time = NIGHT + number as i64 * DAY;
        back_up(&one.open(one.of_host()), &night(number), SOURCE, time).unwrap();
    }
    let from = one.open(one.of_reader());
    assert_eq!(copy_all(&from, &other.open(of_copier(&other))), 2);
    both_nights_come_back(&other.open(other.of_reader()));
    assert!(
        problems(&other.store).is_empty(),
        "what lies there is what covers say"
    );
    // The keys of the first read nothing of it.
    assert!(
        other
            .open(one.of_reader())
            .archives()
            .unwrap()
            .archives
            .is_empty()
    );
    // Once more: nothing is sent again.
    let before = other.objects();
    copy_all(&from, &other.open(of_copier(&other)));
    assert_eq!(other.objects(), before);

    let clear = MemoryStore::new();
    let plain = Repository::init(Arc::new(clear.clone())).unwrap();
    assert_eq!(copy_all(&from, &plain), 2);
    both_nights_come_back(&plain);
    for (name, bytes) in clear.list("archives/").unwrap() {
        let text = String::from_utf8(clear.get(&name, bytes).unwrap()).unwrap();
        assert!(
            !text.contains("stored_sha256") && !text.contains("previous"),
            "{text}"
        );
    }
    // And back into an encrypted one.
    let third = World::new();
    assert_eq!(copy_all(&plain, &third.open(of_copier(&third))), 2);
    both_nights_come_back(&third.open(third.of_reader()));
    // Where a backup goes on from it.
    let report = back_up(
        &third.open(of_copier(&third)),
        &night(2),
        SOURCE,
        NIGHT + 9 * DAY,
    );
    assert_eq!(report.unwrap().new_blocks, 0);
}

#[test]
fn each_night_names_what_is_there_in_the_form_in_which_it_is_there() {
    for codec in [None, Some(Codec::Portable)] {
        let (one, other) = (World::new(), World::new());
        let data = night(1);
        for number in [1, 2] {
            let time = NIGHT + number * DAY;
            back_up(&one.open(one.of_host()), &data, SOURCE, time).unwrap();
            let from = one.open(one.of_reader());
            copy_into(&from, &other.open(of_copier(&other)), codec);
            assert!(problems(&other.store).is_empty(), "{codec:?}");
        }
        let all = || {
            let read = other.open(other.of_reader());
            let names = read.manifest_names().unwrap();
            assert_eq!(names.len(), 2);
            for name in &names {
                assert_restored(&read, name.id.as_str(), &data);
            }
            names
        };
        // One that is lost comes back beside objects that are there.
        let lost = all()[1].object().unwrap();
        other.store.delete(&lost).unwrap();
        let (from, options) = (one.open(one.of_reader()), CopyOptions::default());
        let to = other.open(of_copier(&other));
        mend_from(&to, &from, true, false, &options, now(), &Silent).unwrap();
        all();
        assert!(problems(&other.store).is_empty(), "{codec:?}");
    }
}

#[test]
fn blocks_are_converted_out_of_encrypted_repositories_and_into_them() {
    let (one, other) = (World::new(), World::new());
    for number in [1, 2] {
        let time = NIGHT + number as i64 * DAY;
        back_up(&one.open(one.of_host()), &night(number), SOURCE, time).unwrap();
    }
    let from = one.open(one.of_reader());
    let (portable, dense) = (Some(Codec::Portable), Some(Codec::Dense));
    copy_into(&from, &other.open(of_copier(&other)), portable);
    both_nights_come_back(&other.open(other.of_reader()));
    assert!(
        problems(&other.store).is_empty(),
        "what lies there is what covers say"
    );
    assert!(other.store.list("packs/").unwrap().is_empty());
    let before = other.objects();
    copy_into(&from, &other.open(of_copier(&other)), portable);
    assert_eq!(other.objects(), before);

    let clear = MemoryStore::new();
    let plain = Repository::init(Arc::new(clear.clone())).unwrap();
    copy_into(&other.open(other.of_reader()), &plain, dense);
    both_nights_come_back(&plain);
    assert!(!clear.list("packs/").unwrap().is_empty());
    let third = World::new();
    copy_into(&plain, &third.open(of_copier(&third)), portable);
    both_nights_come_back(&third.open(third.of_reader()));
    assert!(problems(&third.store).is_empty());
}

#[test]
fn who_may_not_sign_or_cannot_read_copies_nothing() {
    let (one, other) = (World::new(), World::new());
    back_up(&one.open(one.of_host()), &night(1), SOURCE, NIGHT).unwrap();
    let (options, choice) = (CopyOptions::default(), CopyChoice::default());
    let try_copy = |from: &Repository, to: &Repository| {
        copy(from, to, &choice, &options, now(), &Silent).map(|_| ())
    };
    let blind = one.open(Keyring::default());
    let refused = try_copy(&blind, &other.open(of_copier(&other))).unwrap_err();
    assert!(refused.chain().contains("encrypted"), "{}", refused.chain());
    let from = one.open(one.of_reader());
    let stranger = Keyring {
        signing: Some(SigningKey::generate("stranger").unwrap()),
        ..other.of_reader()
    };
    let refused = try_copy(&from, &other.open(stranger)).unwrap_err();
    assert!(
        refused.chain().contains("may not sign"),
        "{}",
        refused.chain()
    );
    assert!(other.store.list("archives/").unwrap().is_empty());
}
