//! Archives copied from repository to repository: at every interleaving with a prune, with a crash
//! at every operation, with damage of every kind on either side; comparing the two, and mending one
//! from the other.

mod beside;
mod chosen;
mod codec;
mod command;
mod damage;
mod mending;
mod taken;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use narthex::Result;
use narthex::archive::{self, BackupOptions, Codec, Source};
use narthex::copy::{CopyChoice, CopyOptions, CopyProblemKind, CopyReport, Fate, copy};
use narthex::model::Millis;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, CheckReport, check};
use narthex::repository::copies::Copies;
use narthex::repository::{Archive, Repository};
use narthex::restore::{Target, TargetContent, Wanted, apply, plan};
use narthex::store::{MemoryStore, ObjectName, ReadStore as _, Store};

use crate::fixtures::{fixture, tree};

const DAY: Millis = 86_400_000;
/// The first night.
const START: Millis = 1_795_288_065_000;

const PARENTS: &str = "blocks/parents-three";
const CHILD: &str = "blocks/child-of-three";

type Files = BTreeMap<String, Vec<u8>>;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn back_up(store: &MemoryStore, dir: &Path, codec: Codec, time: Millis) -> Archive {
    let source = Source::new(dir, "host".into(), Some("test".into())).unwrap();
    let repository = Repository::open_or_init(Arc::new(store.clone())).unwrap();
    let options = BackupOptions {
        codec,
        ..BackupOptions::default()
    };
    archive::backup(&source, &repository, &options, time, &Silent)
        .unwrap()
        .archive
}

/// A store with two archives, of three blocks and of their child, whose packs have most in common.
fn two_nights(codec: Codec) -> MemoryStore {
    let store = MemoryStore::new();
    back_up(&store, &fixture(PARENTS), codec, START);
    back_up(&store, &fixture(CHILD), codec, START + DAY);
    store
}

/// A store that shares nothing with `store`, and holds the same.
fn twin(store: &MemoryStore) -> MemoryStore {
    let fresh = MemoryStore::new();
    for (name, bytes) in store.list("").unwrap() {
        fresh.overwrite(&name, &store.get(&name, bytes).unwrap());
    }
    fresh
}

fn open(store: &(impl Store + Clone + 'static)) -> Repository {
    Repository::open_or_init(Arc::new(store.clone())).unwrap()
}

/// Copies all archives.
fn copy_all(
    from: &(impl Store + Clone + 'static),
    to: &(impl Store + Clone + 'static),
    now: Millis,
) -> Result<CopyReport> {
    let from = Repository::open(Arc::new(from.clone()))?;
    let to = Repository::open_or_init(Arc::new(to.clone()))?;
    let (choice, options) = (CopyChoice::default(), CopyOptions::default());
    copy(&from, &to, &choice, &options, now, &Silent)
}

fn archives(store: &MemoryStore) -> Vec<Archive> {
    open(store).archives().unwrap().archives
}

/// What an archive restores to; all of it, and nothing is wrong.
fn restore(store: &MemoryStore, archive: &Archive) -> Files {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("back");
    let wanted = Wanted::Archive;
    let wanted = plan(&wanted, archive, &[], true, &TargetContent::default()).unwrap();
    let copies = Copies::new(&open(store)).unwrap();
    let place = Target::new(&target, false).unwrap();
    let report = apply(&wanted, &copies, &place, &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    tree(&target)
}

fn checked(store: &MemoryStore) -> CheckReport {
    check(store, CheckDepth::ReadAll, &Silent).unwrap()
}

/// What is wrong with `store`, after it was asked what comes back all the same.
fn problems(store: &MemoryStore) -> Vec<String> {
    let mut report = checked(store);
    narthex::repair::judge_damage(&open(store), &mut report, |_| {}).unwrap();
    let findings = report.findings.into_iter();
    let problems = findings.filter(|it| it.kind.severity() == narthex::trouble::Severity::Problem);
    problems.map(|it| format!("{it:?}")).collect()
}

/// Every archive in `store` comes back as what was archived.
fn assert_whole(store: &MemoryStore, what: &str) {
    for archive in archives(store) {
        let wanted = if archive.time == START {
            PARENTS
        } else {
            CHILD
        };
        assert!(
            restore(store, &archive) == tree(&fixture(wanted)),
            "{what}: {wanted} came back otherwise"
        );
    }
}

/// `store` holds both archives, and there is nothing to be said of it.
fn assert_perfect(store: &MemoryStore, what: &str) {
    let report = checked(store);
    assert_eq!(report.findings, [], "{what}");
    assert_eq!(report.archives, 2, "{what}");
    assert_whole(store, what);
}

/// Names of all that holds data.
fn data(store: &MemoryStore) -> BTreeSet<ObjectName> {
    let all = ["blocks/", "packs/", "wal/", "mended/"];
    let all = all.iter().flat_map(|prefix| store.list(prefix).unwrap());
    all.map(|(name, _)| name).collect()
}

fn kinds(report: &CopyReport) -> BTreeSet<CopyProblemKind> {
    report.problems.iter().map(|problem| problem.kind).collect()
}

/// Ways in which an object goes bad.
const WAYS: [&str; 6] = ["flip", "truncate", "extend", "delete", "empty", "swap"];

/// Spoils an object; whether there is such a way.
fn spoil(store: &MemoryStore, object: &ObjectName, way: &str) -> bool {
    let mut content = store.get(object, u64::MAX).unwrap();
    match way {
        "flip" => {
            let middle = content.len() / 2;
            content[middle] ^= 4;
        }
        "truncate" => content.truncate(content.len() * 2 / 3),
        "extend" => content.extend(b"more"),
        "empty" => content.clear(),
        "delete" => {
            store.delete(object).unwrap();
            return true;
        }
        _ => {
            let room = object.as_str().split('/').next().unwrap();
            let others = store.list(room).unwrap().into_iter();
            let mut others = others.filter(|(other, _)| other != object);
            let Some((other, _)) = others.next() else {
                return false;
            };
            let swapped = store.get(&other, u64::MAX).unwrap();
            store.overwrite(&other, &content);
            content = swapped;
        }
    }
    store.overwrite(object, &content);
    true
}

#[test]
fn a_copy_restores_to_the_same_bytes_and_what_is_there_is_not_sent_again() {
    for codec in [Codec::Dense, Codec::Portable] {
        let (from, to, third) = (two_nights(codec), MemoryStore::new(), MemoryStore::new());
        let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
        assert_eq!(report.problems, []);
        assert_eq!(report.count(Fate::Copied), 2);
        assert_eq!(report.objects, data(&from).len() as u64, "each once");
        assert_eq!(data(&from), data(&to));
        assert_perfect(&to, "the copy");

        // Manifests are the same, but for the repository they name.
        let own = open(&to).descriptor().id.clone();
        assert_ne!(own, open(&from).descriptor().id);
        for (mut old, new) in archives(&from).into_iter().zip(archives(&to)) {
            assert_eq!(new.repository.as_ref(), Some(&own));
            old.repository = Some(own.clone());
            assert_eq!(old, new);
        }
        let again = copy_all(&from, &to, START + 3 * DAY).unwrap();
        assert_eq!((again.objects, again.count(Fate::Present)), (0, 2));

        // A copy of a copy, and back.
        let report = copy_all(&to, &third, START + 3 * DAY).unwrap();
        assert_eq!(
            (report.count(Fate::Copied), &*report.problems),
            (2, &[][..])
        );
        assert_perfect(&third, "a copy of the copy");
        let back = copy_all(&third, &from, START + 3 * DAY).unwrap();
        assert_eq!((back.objects, back.count(Fate::Present)), (0, 2));
    }
}

#[test]
fn each_night_sends_what_is_new() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    back_up(&from, &fixture(PARENTS), Codec::Dense, START);
    copy_all(&from, &to, START).unwrap();
    let before = data(&from);
    back_up(&from, &fixture(CHILD), Codec::Dense, START + DAY);
    let new = data(&from).difference(&before).count() as u64;
    let report = copy_all(&from, &to, START + DAY).unwrap();
    assert_eq!(report.objects, new);
    assert_eq!(
        (report.count(Fate::Copied), report.count(Fate::Present)),
        (1, 1)
    );
    assert_perfect(&to, "two nights");
}

#[test]
fn a_repository_is_not_copied_to_itself_by_whatever_way() {
    let from = two_nights(Codec::Dense);
    let before = from.list("").unwrap();
    let error = copy_all(&from, &from, START).unwrap_err();
    assert!(error.to_string().contains("one place"), "{error}");
    assert_eq!(from.list("").unwrap(), before);
    // A clone has the same id, and is another place.
    let clone = twin(&from);
    let manifest = archives(&clone).remove(1).manifest_name().unwrap();
    clone.delete(&manifest.object().unwrap()).unwrap();
    let report = copy_all(&from, &clone, START).unwrap();
    assert_eq!((report.objects, report.count(Fate::Copied)), (0, 1));
    assert_perfect(&clone, "a clone");
}
