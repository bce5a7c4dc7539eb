//! Repositories: making, opening, committing, finding archives, crashes, and what `check` finds.

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};

use narthex::ErrorKind;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, CheckReport, Kind, Severity, check};
use narthex::repository::portable::FRAME_BYTES;
use narthex::repository::portable::Root;
use narthex::repository::{
    Archive, ArchiveId, Change, ObjectCodec, Repository, SourceFilter, diff, side_object,
};
use narthex::store::ReadStore as _;
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use narthex::store::{LocalStore, MemoryStore, ObjectName, Store};
use proptest::prelude::*;

use crate::keeping::{
    Files, archive, back_up, expected, noise, restore, store_block, store_files, store_wal, ulid,
};

const FIRST: i64 = 1_795_288_065_445;
const NIGHT: i64 = 86_400_000;

fn memory() -> (MemoryStore, Repository) {
    let store = MemoryStore::new();
    let repository = Repository::init(Arc::new(store.clone())).unwrap();
    (store, repository)
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

#[test]
fn a_repository_is_made_once_and_only_where_nothing_is() {
    let (store, made) = memory();
    let opened = Repository::open(Arc::new(store.clone())).unwrap();
    assert_eq!(opened.descriptor(), made.descriptor());
    let again = Repository::init(Arc::new(store.clone())).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    let other = MemoryStore::new();
    (&other as &dyn Store)
        .put(&name("photos/1.jpg"), b"")
        .unwrap();
    for refused in [
        Repository::init(Arc::new(other.clone())),
        Repository::open_or_init(Arc::new(other.clone())),
    ] {
        let kind = refused.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::Refused | ErrorKind::NotFound),
            "{kind:?}"
        );
    }
    assert_eq!(other.list("").unwrap().len(), 1);
}

#[test]
fn of_racing_runs_one_makes_the_repository_and_all_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(4);
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let store = Arc::new(LocalStore::new(dir.path().join("repo")));
                    barrier.wait();
                    let opened = Repository::open_or_init(store).unwrap();
                    opened.descriptor().id.clone()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1);
}

#[test]
fn what_is_no_repository_or_a_newer_one_is_said_clearly() {
    let nothing = Repository::open(Arc::new(MemoryStore::new())).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);

    let (store, _) = memory();
    let descriptor = name("narthex.json");
    let bytes = store.get(&descriptor, 1000).unwrap();
    let at = bytes.windows(2).position(|w| w == b": ").unwrap() + 2;
    for (at, bit) in [(at, 1), (at, 2), (0, 1), (bytes.len() - 1, 1)] {
        let mut flipped = bytes.clone();
        flipped[at] ^= bit;
        store.overwrite(&descriptor, &flipped);
        let error = Repository::open(Arc::new(store.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
        assert!(error.chain().contains("narthex.json"));
    }
}

/// A time at which all archives of these tests have been made.
const LATER: i64 = FIRST + 100 * NIGHT;

fn find_latest(repository: &Repository) -> Archive {
    let found = repository.find("latest", &SourceFilter::default(), LATER);
    found.unwrap().archive
}

#[test]
fn an_archive_comes_back_with_every_byte() {
    let (store, repository) = memory();
    let archive = back_up(&repository, FIRST, &[1, 2]).unwrap();
    let found = find_latest(&repository);
    assert_eq!(found, archive);
    assert_eq!(restore(&store, &found).unwrap(), expected(FIRST, &[1, 2]));
}

#[test]
fn a_block_that_was_touched_comes_back_with_its_new_files_and_its_old_ones_beside() {
    let (store, repository) = memory();
    back_up(&repository, FIRST, &[1]).unwrap();
    let touched = store_block(repository.store(), 1, Some(b"touched")).unwrap();
    let later = archive(FIRST + NIGHT, ArchiveId::random(), vec![touched]);
    repository.commit(&later).unwrap();
    let latest = find_latest(&repository);
    let files = restore(&store, &latest).unwrap();
    assert_eq!(files[&format!("{}/meta.json", ulid(1))], b"touched");
    assert_eq!(files.len(), 5);
    assert_eq!(
        repository.stored_blocks().unwrap().len(),
        1,
        "the rest is stored once"
    );
}

#[test]
fn archives_are_found_by_time_source_and_beginning_of_their_id() {
    let (_, repository) = memory();
    let commit = |time, id: &str, host: &str| {
        let mut made = archive(time, id.parse().unwrap(), Vec::new());
        made.host = host.to_owned();
        repository.commit(&made).unwrap();
    };
    // The last three within one second, ids against the order of time.
    commit(FIRST, "aaaa000000000000", "mon1");
    commit(FIRST + NIGHT + 300, "aaab000000000000", "mon2");
    commit(FIRST + NIGHT + 200, "bbbb000000000000", "mon1");
    commit(FIRST + NIGHT + 100, "cccc000000000000", "mon1");
    let on = |host: &str| SourceFilter {
        host: Some(host.to_owned()),
        ..SourceFilter::default()
    };
    let any = SourceFilter::default();
    let find = |selector: &str, filter: &SourceFilter| {
        let found = repository.find(selector, filter, LATER);
        found
            .map(|chosen| chosen.archive.id.to_string())
            .map_err(|e| e.kind())
    };
    assert_eq!(find("latest", &any), Err(ErrorKind::Invalid));
    let several = repository
        .find("latest", &any, LATER)
        .unwrap_err()
        .to_string();
    assert!(
        several.contains("on \"mon1\"")
            && several.contains("on \"mon2\"")
            && several.contains("--host"),
        "{several}"
    );
    assert_eq!(find("latest", &on("mon2")).unwrap(), "aaab000000000000");
    assert_eq!(find("latest", &on("mon1")).unwrap(), "bbbb000000000000");
    assert_eq!(find("latest", &on("mon3")), Err(ErrorKind::NotFound));
    assert_eq!(find("aaab", &any).unwrap(), "aaab000000000000");
    assert_eq!(find("aaa", &any), Err(ErrorKind::Invalid));
    assert_eq!(find("d", &any), Err(ErrorKind::NotFound));
    assert_eq!(find("", &any), Err(ErrorKind::NotFound));
    let listed = repository.archives().unwrap().archives;
    let ids: Vec<_> = listed.iter().map(|a| a.id.short()).collect();
    assert_eq!(ids, ["aaaa0000", "cccc0000", "bbbb0000", "aaab0000"]);
}

#[test]
fn an_archive_from_the_future_is_the_latest_only_when_there_are_no_others() {
    let (_, repository) = memory();
    let ahead = back_up(&repository, FIRST + 400 * NIGHT, &[1]).unwrap();
    let any = SourceFilter::default();
    let alone = repository.find("latest", &any, FIRST).unwrap();
    assert_eq!(alone.archive.id, ahead.id);
    let said: Vec<_> = alone.remarks().collect();
    assert!(said[0].contains("there are no others"), "{said:?}");
    let real = back_up(&repository, FIRST, &[1]).unwrap();
    for now in [FIRST, FIRST + 300 * NIGHT] {
        let chosen = repository.find("latest", &any, now).unwrap();
        assert_eq!(chosen.archive.id, real.id);
        let said: Vec<_> = chosen.remarks().collect();
        assert!(said[0].contains("not taken for the latest"), "{said:?}");
        assert!(said[0].contains(ahead.id.short()), "{said:?}");
    }
    let then = repository
        .find("latest", &any, FIRST + 400 * NIGHT)
        .unwrap();
    assert_eq!((then.archive.id, then.ahead.len()), (ahead.id, 0));
    for extreme in [i64::MIN, 0, i64::MAX] {
        repository.find("latest", &any, extreme).unwrap();
    }
}

#[test]
fn a_damaged_manifest_hides_no_other_and_is_not_passed_over_as_latest() {
    let (store, repository) = memory();
    let old = back_up(&repository, FIRST, &[1]).unwrap();
    let new = back_up(&repository, FIRST + NIGHT, &[1, 2]).unwrap();
    let object = new.manifest_name().unwrap().object().unwrap();
    let mut bytes = store.get(&object, u64::MAX).unwrap();
    bytes[100] ^= 1;
    store.overwrite(&object, &bytes);

    let all = repository.archives().unwrap();
    assert_eq!(all.archives, std::slice::from_ref(&old));
    assert_eq!(all.damaged[0].name, object);
    let filter = SourceFilter::default();
    let latest = repository.find("latest", &filter, LATER).unwrap_err();
    assert_eq!(latest.kind(), ErrorKind::Corrupt);
    let found = repository.find(old.id.as_str(), &filter, LATER).unwrap();
    assert_eq!(found.archive, old);
    let readable = repository.latest(&filter, LATER).unwrap();
    assert_eq!(readable.archive, Some(old));
    assert_eq!(readable.damaged.len(), 1);
}

#[test]
fn a_manifest_tolerates_fields_of_the_future_and_refuses_hostile_names() {
    let (store, repository) = memory();
    let made = back_up(&repository, FIRST, &[1]).unwrap();
    let text = String::from_utf8(made.to_bytes().unwrap()).unwrap();
    let reseal = |text: &str| {
        let content = text.split_at(text.len() - 83).0;
        let sha256 = narthex::repository::Digest::of(content.as_bytes());
        format!("{content},\n  \"sha256\": \"{sha256}\"\n}}\n")
    };
    let future = text.replace("\"host\":", "\"weather\": {\"rain\": [1]},\n  \"host\":");
    assert_eq!(
        Archive::from_bytes(reseal(&future).as_bytes()).unwrap(),
        made
    );
    let newer = text.replacen("\"format_version\": 1", "\"format_version\": 5", 1);
    let newer = Archive::from_bytes(reseal(&newer).as_bytes()).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Unsupported);
    for hostile in [
        "../index",
        "/index",
        "a/../../b",
        "C:\\\\x",
        "a\\u0000",
        "",
        ".",
    ] {
        let manifest = text.replace("\"name\": \"index\"", &format!("\"name\": \"{hostile}\""));
        assert_ne!(manifest, text);
        let error = Archive::from_bytes(reseal(&manifest).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{hostile}");
        let object = text.replacen(
            "\"name\": \"blocks/",
            &format!("\"name\": \"{hostile}/blocks//"),
            1,
        );
        assert!(
            Archive::from_bytes(reseal(&object).as_bytes()).is_err(),
            "{hostile}"
        );
    }
    drop(store);
}

#[test]
fn no_prefix_and_no_flipped_bit_of_a_manifest_is_accepted() {
    let (_, repository) = memory();
    let made = back_up(&repository, FIRST, &[1]).unwrap();
    let bytes = made.to_bytes().unwrap();
    assert_eq!(Archive::from_bytes(&bytes).unwrap(), made);
    for len in 0..bytes.len() {
        assert!(
            Archive::from_bytes(&bytes[..len]).is_err(),
            "prefix of {len}"
        );
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(Archive::from_bytes(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn a_diff_says_what_became_of_every_block_that_is_not_shared() {
    let (_, repository) = memory();
    let store = repository.store();
    let blocks = |numbers: &[(u8, Option<&[u8]>)]| {
        let stored = numbers
            .iter()
            .map(|(n, touched)| store_block(store, *n, *touched).unwrap());
        archive(FIRST, ArchiveId::random(), stored.collect())
    };
    let a = blocks(&[(1, None), (2, None), (3, None), (4, None)]);
    let mut b = blocks(&[(2, None), (3, Some(b"touched")), (4, None), (5, None)]);
    b.blocks[2].fingerprint = narthex::repository::Fingerprint::of(b"other");
    let found = diff(&a, &b);
    let changes: Vec<_> = found
        .changes
        .iter()
        .map(|c| (c.block.ulid, c.change))
        .collect();
    assert_eq!(
        changes,
        [
            (ulid(1), Change::Removed),
            (ulid(3), Change::Touched),
            (ulid(4), Change::Replaced),
            (ulid(5), Change::Added)
        ]
    );
    assert_eq!(found.shared, 1);
    assert_eq!(diff(&a, &a).changes, []);
    assert_eq!(diff(&a, &a).shared, 4);
}

/// Runs a backup against a store that dies at operation `at`; says whether it got to the end.
fn dying_backup(store: &LocalStore, faults: StoreFaults, time: i64) -> bool {
    let faulty = FaultyStore::new(Arc::new(store.clone()), faults);
    let repository = Repository::open(Arc::new(faulty));
    repository.is_ok_and(|repository| back_up(&repository, time, &[2, 3]).is_ok())
}

fn assert_whole_and_usable(store: &LocalStore, acknowledged: bool, what: &str) {
    let report = check(store, CheckDepth::ReadAll, &Silent).unwrap();
    assert!(!report.has_problems(), "{what}: {:?}", report.findings);
    let repository = Repository::open(Arc::new(store.clone())).unwrap();
    let archives = repository.archives().unwrap().archives;
    assert_eq!(
        restore(store, &archives[0]).unwrap(),
        expected(FIRST, &[1, 2]),
        "{what}"
    );
    assert!(archives.len() > usize::from(acknowledged), "{what}");
    for later in &archives[1..] {
        assert_eq!(
            restore(store, later).unwrap(),
            expected(FIRST + NIGHT, &[2, 3]),
            "{what}"
        );
    }
    let next = back_up(&repository, FIRST + 2 * NIGHT, &[2, 3, 4]).unwrap();
    assert_eq!(
        restore(store, &next).unwrap(),
        expected(FIRST + 2 * NIGHT, &[2, 3, 4]),
        "{what}"
    );
    assert!(
        !check(store, CheckDepth::ReadAll, &Silent)
            .unwrap()
            .has_problems(),
        "{what}"
    );
}

fn local_with_one_archive() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("repo"));
    let repository = Repository::open_or_init(Arc::new(store.clone())).unwrap();
    back_up(&repository, FIRST, &[1, 2]).unwrap();
    (dir, store)
}

#[test]
fn whichever_operation_a_backup_dies_at_what_was_committed_stays_whole() {
    let (_dir, store) = local_with_one_archive();
    let counting = FaultyStore::new(Arc::new(store), StoreFaults::default());
    let repository = Repository::open(Arc::new(counting.clone())).unwrap();
    back_up(&repository, FIRST + NIGHT, &[2, 3]).unwrap();
    let operations = counting.operations();
    assert!(
        operations >= 20,
        "a backup has more operations than {operations}"
    );

    for fault in [StoreFault::Before, StoreFault::After, StoreFault::Torn] {
        for at in 0..=operations {
            let (_dir, store) = local_with_one_archive();
            let faults = StoreFaults {
                crash_at: Some((at, fault)),
                ..StoreFaults::default()
            };
            let done = dying_backup(&store, faults, FIRST + NIGHT);
            assert_eq!(done, at == operations, "{fault:?} at {at}");
            assert_whole_and_usable(&store, done, &format!("{fault:?} at {at}"));
        }
    }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_leaves_what_was_committed_whole() {
    for room in (0..5000).step_by(397) {
        let (_dir, store) = local_with_one_archive();
        let faults = StoreFaults {
            disk_bytes: Some(room),
            ..StoreFaults::default()
        };
        assert!(
            !dying_backup(&store, faults, FIRST + NIGHT),
            "{room} bytes are not enough"
        );
        assert_eq!(store.leftovers("").unwrap(), [], "a live process cleans up");
        assert_whole_and_usable(&store, false, &format!("disk of {room} bytes"));
    }
}

/// Two archives: blocks 1 and 2; blocks 2 (touched) and 3; each with WAL.
fn two_archives() -> (MemoryStore, Archive, Archive) {
    let (store, repository) = memory();
    let a = back_up(&repository, FIRST, &[1, 2]).unwrap();
    let id = ArchiveId::random();
    let blocks = vec![
        store_block(&store, 2, Some(b"touched")).unwrap(),
        store_block(&store, 3, None).unwrap(),
    ];
    let mut b = archive(FIRST + NIGHT, id.clone(), blocks);
    b.wal = Some(store_wal(&store, &id, 77).unwrap());
    repository.commit(&b).unwrap();
    (store, a, b)
}

fn problems(report: &CheckReport) -> Vec<(Kind, String, Vec<ArchiveId>, Vec<String>)> {
    let problems = report
        .findings
        .iter()
        .filter(|f| f.kind.severity() == Severity::Problem);
    problems
        .map(|f| {
            let blocks = f.blocks.iter().map(ToString::to_string).collect();
            (f.kind, f.object.clone(), f.archives.clone(), blocks)
        })
        .collect()
}

/// The archives and blocks that need `object`, by the manifests.
fn hit(object: &ObjectName, archives: [&Archive; 2]) -> (Vec<ArchiveId>, Vec<String>) {
    let mut blocks = BTreeSet::new();
    let mut ids = Vec::new();
    for archive in archives {
        let manifest = archive.manifest_name().unwrap().object().unwrap();
        let needed = archive
            .objects()
            .filter(|(_, needed)| needed.name == *object);
        let needed: Vec<_> = needed.collect();
        if !needed.is_empty() || manifest == *object {
            ids.push(archive.id.clone());
        }
        blocks.extend(needed.into_iter().filter_map(|(ulid, _)| ulid));
    }
    (ids, blocks.iter().map(ToString::to_string).collect())
}

#[test]
fn a_sound_repository_has_no_findings_at_all() {
    let (store, ..) = two_archives();
    for depth in [CheckDepth::Structure, CheckDepth::ReadAll] {
        let report = check(&store, depth, &Silent).unwrap();
        assert_eq!(report.findings, []);
        assert_eq!((report.archives, report.objects), (2, 6));
        let read = if depth == CheckDepth::ReadAll { 6 } else { 0 };
        assert_eq!(report.objects_read, read);
    }
}

#[test]
fn a_bit_flipped_in_any_object_is_named_with_exactly_the_archives_and_blocks_it_hits() {
    let (store, a, b) = two_archives();
    for (object, _) in store.list("").unwrap() {
        let sound = store.get(&object, u64::MAX).unwrap();
        for at in (0..sound.len()).step_by(5).chain([sound.len() - 1]) {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (at % 8);
            store.overwrite(&object, &flipped);
            let report = check(&store, CheckDepth::ReadAll, &Silent);
            let found = problems(&report.unwrap());
            let (archives, blocks) = hit(&object, [&a, &b]);
            let kind = match object.as_str().split_once('/') {
                None => Kind::DescriptorDamaged,
                Some(("archives", _)) => Kind::ManifestDamaged,
                // The fifth byte from the end says what kind of seek table follows: one not known
                // yet.
                Some(_) if at + 5 == sound.len() => Kind::ObjectUnsupported,
                Some(_) => Kind::ObjectDamaged,
            };
            assert_eq!(
                found,
                [(kind, object.to_string(), archives, blocks)],
                "byte {at}"
            );
        }
        store.overwrite(&object, &sound);
    }
}

#[test]
fn an_object_cut_short_or_gone_is_named_without_reading_data() {
    let (store, a, b) = two_archives();
    for (object, bytes) in store.list("").unwrap() {
        let sound = store.get(&object, u64::MAX).unwrap();
        let (archives, blocks) = hit(&object, [&a, &b]);
        let room = object.as_str().split_once('/').map(|(room, _)| room);
        for len in [0, 1, bytes / 2, bytes - 1] {
            store.overwrite(&object, &sound[..usize::try_from(len).unwrap()]);
            let found = problems(&check(&store, CheckDepth::Structure, &Silent).unwrap());
            let kind = match room {
                None => Kind::DescriptorDamaged,
                Some("archives") => Kind::ManifestDamaged,
                Some(_) => Kind::ObjectDamaged,
            };
            let expected = (kind, object.to_string(), archives.clone(), blocks.clone());
            assert_eq!(found, [expected], "{object} cut to {len}");
        }
        store.delete(&object).unwrap();
        let report = check(&store, CheckDepth::Structure, &Silent).unwrap();
        let expected = match room {
            None => vec![(
                Kind::DescriptorMissing,
                object.to_string(),
                archives,
                blocks,
            )],
            // Without its manifest an archive was never there; its objects are unreferenced.
            Some("archives") => Vec::new(),
            Some(_) => vec![(Kind::ObjectMissing, object.to_string(), archives, blocks)],
        };
        assert_eq!(problems(&report), expected);
        assert_eq!(
            room == Some("archives"),
            !report.findings.is_empty() && expected.is_empty()
        );
        store.overwrite(&object, &sound);
    }
}

#[test]
fn damage_to_one_frame_costs_only_the_files_in_it() {
    let (store, repository) = memory();
    let files = Files::from([
        ("a-meta.json".to_owned(), noise(1, 100)),
        ("chunks/000001".to_owned(), noise(2, FRAME_BYTES)),
        ("chunks/000002".to_owned(), noise(3, 3 * FRAME_BYTES)),
        ("index".to_owned(), noise(4, 1000)),
    ]);
    let mut block = store_block(&store, 1, None).unwrap();
    store.delete(&block.object.name).unwrap();
    let root = Root::Block(block.ulid);
    (block.object, block.files) = store_files(&store, &block.object.name, root, &files).unwrap();
    repository
        .commit(&archive(FIRST, ArchiveId::random(), vec![block.clone()]))
        .unwrap();
    let object = &block.object.name;
    let mut bytes = store.get(object, u64::MAX).unwrap();
    bytes[FRAME_BYTES * 5 / 2] ^= 1;
    bytes[FRAME_BYTES * 7 / 2] ^= 1;
    store.overwrite(object, &bytes);
    let report = check(&store, CheckDepth::ReadAll, &Silent).unwrap();
    let [finding] = report.findings.as_slice() else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(finding.files, ["chunks/000002"]);
    assert!(
        finding.detail.contains("frame 2 at offset"),
        "{}",
        finding.detail
    );
    assert!(
        finding.detail.ends_with("and 1 more frames"),
        "{}",
        finding.detail
    );
}

#[test]
fn what_belongs_to_no_archive_is_a_note() {
    let (store, ..) = two_archives();
    store_block(&store, 9, None).unwrap();
    store.overwrite(&name("notes.txt"), b"hi");
    let report = check(&store, CheckDepth::ReadAll, &Silent).unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::ObjectUnreferenced, Kind::Foreign]);
    assert!(!report.has_problems());
}

#[test]
fn an_unknown_codec_is_listed_and_not_called_damaged() {
    let (store, repository) = memory();
    let mut block = store_block(&store, 1, None).unwrap();
    block.object.codec = ObjectCodec::Unknown("denser".to_owned());
    repository
        .commit(&archive(FIRST, ArchiveId::random(), vec![block]))
        .unwrap();
    assert_eq!(repository.archives().unwrap().archives.len(), 1);
    let found = problems(&check(&store, CheckDepth::ReadAll, &Silent).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, Kind::ObjectUnsupported);
}

#[test]
fn archives_that_disagree_about_an_object_are_named() {
    let (store, repository) = memory();
    let block = store_block(&store, 1, None).unwrap();
    let mut other = block.clone();
    other.object.sha256 = narthex::repository::Digest::of(b"other");
    for (night, block) in [block, other].into_iter().enumerate() {
        let time = FIRST + NIGHT * night as i64;
        repository
            .commit(&archive(time, ArchiveId::random(), vec![block]))
            .unwrap();
    }
    let found = problems(&check(&store, CheckDepth::Structure, &Silent).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, found[0].2.len()), (Kind::ObjectDisputed, 2));
}

#[test]
fn a_store_that_fails_to_read_an_object_is_a_finding_and_not_the_end() {
    let (store, ..) = two_archives();
    let count = FaultyStore::new(Arc::new(store.clone()), StoreFaults::default());
    check(&count, CheckDepth::ReadAll, &Silent).unwrap();
    // The first operations list objects and read descriptor and manifests; all later ones read
    // objects.
    let reading = count.operations() - 3..count.operations();
    for at in reading {
        let faults = StoreFaults {
            fail_at: Some((at, StoreFault::Before)),
            ..StoreFaults::default()
        };
        let faulty = FaultyStore::new(Arc::new(store.clone()), faults);
        let found = problems(&check(&faulty, CheckDepth::ReadAll, &Silent).unwrap());
        assert_eq!(found.len(), 1, "operation {at}");
        assert_eq!(found[0].0, Kind::ObjectUnreadable, "operation {at}");
    }
}

#[test]
fn sidecars_are_called_by_their_content() {
    let path = crate::keeping::path("meta.json");
    let digest = narthex::repository::Digest::of;
    let fingerprint = narthex::repository::Fingerprint::of(b"x");
    let named = |content: &[u8]| side_object(ulid(1), &fingerprint, [(&path, digest(content))], 0);
    assert_eq!(named(b"a").unwrap(), named(b"a").unwrap());
    assert_ne!(named(b"a").unwrap(), named(b"b").unwrap());
}

proptest! {
    #[test]
    fn any_bytes_as_manifest_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Archive::from_bytes(&bytes).is_err());
    }
}
