//! What prune marks, deletes, spares and refuses.

use super::*;
use narthex::ErrorKind;
use narthex::repository::SourceFilter;
use narthex::retain::ObjectFate;
use narthex::store::LocalStore;
use narthex::store::ReadStore as _;

use crate::keeping;

fn fates(pruned: &Pruned) -> Vec<(ObjectFate, &str)> {
    let items = pruned.items.iter();
    items
        .map(|item| (item.fate, item.name.split('/').next().unwrap()))
        .collect()
}

#[test]
fn what_no_archive_names_is_marked_and_deleted_once_the_grace_is_over() {
    let bench = Bench::new(Codec::Dense);
    let store = &bench.store;
    let objects = store.list("").unwrap().len();
    for early in [START, START + 3 * DAY - 1000] {
        let pruned = prune(store, 3 * DAY, early).unwrap();
        let waiting = ["blocks", "packs", "wal"].map(|kind| (ObjectFate::Waiting, kind));
        assert_eq!(fates(&pruned), waiting);
        assert!(
            pruned
                .items
                .iter()
                .all(|item| item.due == Some(START + 3 * DAY))
        );
        assert_eq!(store.list("").unwrap().len(), objects);
    }
    let pruned = prune(store, 3 * DAY, START + 3 * DAY).unwrap();
    let deleted = ["blocks", "packs", "wal"].map(|kind| (ObjectFate::Deleted, kind));
    assert_eq!(fates(&pruned), deleted);
    assert_eq!(
        (pruned.needed_objects, pruned.of(ObjectFate::Deleted).0),
        (3, 3)
    );
    assert!(pruned.of(ObjectFate::Deleted).1 > 0);
    bench.assert_whole(store, "pruned");
    assert_eq!(store.list("trash/").unwrap(), []);
    assert_eq!(
        store.list("").unwrap().len(),
        2 + 3,
        "descriptor, manifest, three objects"
    );
    let pruned = prune(store, 3 * DAY, START + 9 * DAY).unwrap();
    assert_eq!(pruned.items, []);
}

#[test]
fn a_backup_takes_over_what_is_marked_and_the_mark_off() {
    let bench = Bench::new(Codec::Dense);
    let before = bench.store.list("packs/").unwrap().len();
    let report = bench.back_up(&bench.store, START + DAY).unwrap();
    assert_eq!(report.new_blocks, 2);
    assert_eq!(
        bench.store.list("packs/").unwrap().len(),
        before + 1,
        "one was there"
    );
    let left = bench.store.list("trash/").unwrap();
    assert_eq!(left.len(), 1, "that of the forgotten WAL");
    let pruned = prune(&bench.store, 3 * DAY, START + 30 * DAY).unwrap();
    assert_eq!(fates(&pruned), [(ObjectFate::Deleted, "wal")]);
    bench.assert_whole(&bench.store, "taken over");
}

#[test]
fn a_backup_stores_again_what_somebody_has_a_warrant_for() {
    for codec in [Codec::Portable, Codec::Dense] {
        let bench = Bench::new(codec);
        let month = START + 30 * DAY;
        // Dies when it is about to delete: claims and manifests have been read, the warrants are
        // out.
        let operations = bench.operations(|store| prune(store, 3 * DAY, month));
        let mut stored_again = 0;
        for at in 0..operations {
            let store = bench.again();
            let faults = StoreFaults {
                crash_at: Some((at, StoreFault::Before)),
                ..StoreFaults::default()
            };
            let dead = FaultyStore::new(Arc::new(store.clone()), faults);
            assert!(prune(&dead, 3 * DAY, month).is_err());
            let warrants = store.list("trash/warrants/").unwrap();
            let report = bench.back_up(&store, month + 1000).unwrap();
            let named: Vec<_> = report
                .archive
                .objects()
                .map(|(_, o)| o.name.to_string())
                .collect();
            for (warrant, _) in &warrants {
                let flat = warrant.as_str().strip_prefix("trash/warrants/").unwrap();
                let condemned = flat.rsplit_once("Z-").unwrap().0;
                let condemned = condemned[..condemned.len() - 16].replace('_', "/");
                assert!(!named.contains(&condemned), "{condemned}");
            }
            stored_again += warrants.len();
            bench.assert_whole(&store, &format!("{codec:?} at {at}"));
        }
        assert!(stored_again > 0);
    }
}

#[test]
fn a_mark_on_what_is_needed_again_is_taken_off() {
    let bench = Bench::new(Codec::Portable);
    let store = &bench.store;
    // A backup that leaves the mark, as one does that dies behind its commit point.
    let marks: Vec<_> = store.list("trash/").unwrap();
    let contents: Vec<_> = marks
        .iter()
        .map(|(n, b)| store.get(n, *b).unwrap())
        .collect();
    bench.back_up(store, START + DAY).unwrap();
    for ((mark, _), content) in marks.iter().zip(contents) {
        store.overwrite(mark, &content);
    }
    let pruned = prune(store, 3 * DAY, START + 30 * DAY).unwrap();
    assert_eq!(
        fates(&pruned),
        [
            (ObjectFate::Unmarked, "blocks"),
            (ObjectFate::Deleted, "wal")
        ]
    );
    assert_eq!(store.list("trash/").unwrap(), []);
    bench.assert_whole(store, "unmarked");
}

#[test]
fn a_mark_from_the_future_is_replaced_and_one_of_a_second_ago_is_not_old() {
    let bench = Bench::new(Codec::Portable);
    let past = START - 10 * DAY;
    let pruned = prune(&bench.store, 3 * DAY, past).unwrap();
    assert!(
        pruned
            .items
            .iter()
            .all(|item| item.fate == ObjectFate::Marked && item.since == Some(past))
    );
    let pruned = prune(&bench.store, 3 * DAY, past + 1000).unwrap();
    assert!(
        pruned
            .items
            .iter()
            .all(|item| item.fate == ObjectFate::Waiting)
    );
    assert_eq!(bench.store.list("trash/").unwrap().len(), 2);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let bench = Bench::new(Codec::Portable);
    let dry = |grace, now| {
        let options = retain::PruneOptions {
            grace,
            dry_run: true,
            ..retain::PruneOptions::default()
        };
        let repository = Repository::open(Arc::new(bench.store.clone())).unwrap();
        retain::prune(&repository, options, now).unwrap()
    };
    for (grace, now) in [
        (3 * DAY, START + DAY),
        (3 * DAY, START + 30 * DAY),
        (0, START),
    ] {
        let before = bench.store.list("").unwrap();
        let said = dry(grace, now);
        assert_eq!(bench.store.list("").unwrap(), before);
        let store = bench.again();
        assert_eq!(prune(&store, grace, now).unwrap().items, said.items);
    }
}

#[test]
fn prune_refuses_while_it_cannot_know_what_is_needed() {
    let bench = Bench::new(Codec::Portable);
    let manifest = bench.kept.manifest_name().unwrap().object().unwrap();
    let sound = bench.store.get(&manifest, 1 << 20).unwrap();
    let mut flipped = sound.clone();
    flipped[200] ^= 1;
    let claim = name("claims/20261121T190745Z-0123456789abcdef.json");
    let strange = name("archives/20261121T190745Z-0123456789abcdef.json.bak");
    let spoils = [
        (&manifest, flipped.as_slice()),
        (&claim, b"{}"),
        (&strange, b"{}"),
    ];
    for (what, content) in spoils {
        let store = bench.again();
        store.overwrite(what, content);
        let before = store.list("").unwrap();
        let error = prune(&store, 0, START + 1000).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Io);
        assert!(error.chain().contains(what.as_str()), "{}", error.chain());
        assert!(error.chain().contains("nothing is deleted"));
        assert_eq!(store.list("").unwrap(), before);
    }
}

#[test]
fn data_without_any_manifest_is_deleted_only_when_all_archives_went_on_purpose() {
    let bench = Bench::new(Codec::Portable);
    let store = &bench.store;
    remove(store, &bench.kept);
    let before = store.list("").unwrap();
    let late = START + 30 * DAY;
    let run = |dry_run, allow_remove_all| {
        let options = retain::PruneOptions {
            grace: 0,
            dry_run,
            allow_remove_all,
            only_writer: false,
        };
        let repository = Repository::open(Arc::new(store.clone())).unwrap();
        retain::prune(&repository, options, late)
    };
    for dry_run in [true, false] {
        let error = run(dry_run, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let said = error.chain();
        assert!(
            said.contains("found none, while 4 objects with data"),
            "{said}"
        );
        assert!(said.contains("--unsafe-allow-remove-all"), "{said}");
        assert_eq!(store.list("").unwrap(), before);
    }
    let report = check(store, CheckDepth::Structure, &Silent).unwrap();
    assert_eq!(report.findings[0].kind.id(), "manifests-missing");
    assert!(report.has_problems());
    let repository = Repository::open(Arc::new(store.clone())).unwrap();
    for selector in ["latest", "0123"] {
        let error = repository.find(selector, &SourceFilter::default(), late);
        let said = error.unwrap_err().chain();
        assert!(said.contains("4 objects with data"), "{said}");
    }

    assert_eq!(run(true, true).unwrap().of(ObjectFate::Deleted).0, 4);
    assert_eq!(run(false, true).unwrap().of(ObjectFate::Deleted).0, 4);
    assert_eq!(store.list("").unwrap().len(), 1, "the descriptor");
    // Of nothing there is nothing to refuse.
    assert_eq!(run(false, false).unwrap().items, []);
    assert_eq!(
        check(store, CheckDepth::Structure, &Silent)
            .unwrap()
            .findings,
        []
    );
}

#[test]
fn a_prune_that_sees_every_manifest_go_before_it_deletes_stops() {
    let bench = Bench::new(Codec::Portable);
    let month = START + 30 * DAY;
    let operations = bench.operations(|store| prune(store, 3 * DAY, month));
    let mut refused = 0;
    for at in 0..operations {
        let store = bench.again();
        let manifest = bench.kept.manifest_name().unwrap().object().unwrap();
        let pruned = interrupted(
            &store,
            at,
            None,
            |faulty| prune(faulty, 3 * DAY, month),
            || store.delete(&manifest).unwrap(),
        );
        if pruned.is_err() {
            assert!(chain(&pruned).contains("found none"), "{}", chain(&pruned));
            refused += 1;
            assert_eq!(store.list("trash/warrants/").unwrap(), []);
        }
        for object in bench.kept.objects().map(|(_, object)| &object.name) {
            assert!(store.size(object).is_ok(), "{object} before {at}");
        }
    }
    assert!(refused > 0);
}

#[test]
fn what_narthex_did_not_write_is_not_touched() {
    let bench = Bench::new(Codec::Portable);
    for theirs in [
        "blocks/mine.tar.zst",
        "packs/readme",
        "photos/1.jpg",
        "trash/notes",
    ] {
        bench.store.overwrite(&name(theirs), b"precious");
    }
    prune(&bench.store, 0, START + 1000).unwrap();
    for theirs in [
        "blocks/mine.tar.zst",
        "packs/readme",
        "photos/1.jpg",
        "trash/notes",
    ] {
        assert_eq!(bench.store.get(&name(theirs), 8).unwrap(), b"precious");
    }
}

#[test]
fn what_dead_runs_left_in_tmp_goes_after_the_grace_and_at_least_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let repository = Repository::open_or_init(Arc::new(store.clone())).unwrap();
    keeping::back_up(&repository, START, &[1]).unwrap();
    fs::write(dir.path().join("tmp/01DEAD"), b"half").unwrap();
    let written = fs::metadata(dir.path().join("tmp/01DEAD"))
        .unwrap()
        .modified()
        .unwrap();
    let written = written
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    for (grace, after, left) in [(3 * DAY, 3 * DAY - 1, 1), (0, DAY - 1, 1), (0, DAY, 0)] {
        let pruned = prune(&store, grace, written + after).unwrap();
        assert_eq!(store.leftovers("").unwrap().len(), left, "{grace} {after}");
        assert_eq!(pruned.items.len(), 1);
    }
    assert!(!dir.path().join("tmp/01DEAD").exists());
}

#[test]
fn check_knows_marks_warrants_and_claims() {
    let bench = Bench::new(Codec::Portable);
    let warrant =
        "trash/warrants/wal_0123456789abcdef.tar.zst.20261121T190745Z-0123456789abcdef.json";
    bench.store.overwrite(&name(warrant), b"{}");
    let report = check(&bench.store, CheckDepth::Structure, &Silent).unwrap();
    assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
    for finding in &report.findings {
        assert_eq!(finding.kind.id(), "object-unreferenced");
        assert!(
            finding.detail.contains("marked for prune since 20"),
            "{}",
            finding.detail
        );
    }
    let claim = name("claims/20261121T190745Z-0123456789abcdef.json");
    bench.store.overwrite(&claim, b"{}");
    let report = check(&bench.store, CheckDepth::Structure, &Silent).unwrap();
    assert_eq!(report.findings[0].kind.id(), "claim-damaged");
    assert!(report.has_problems());
}
