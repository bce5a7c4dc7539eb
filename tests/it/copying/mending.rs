//! Two repositories compared, and one mended from the other.

use narthex::copy::{Compared, ComparedSide, DifferenceKind, compare, mend_from};
use narthex::dense::Cache;
use narthex::repair::{RepairOutcome, RepairStep, judge_damage, leave_marks, repair};
use narthex::repository::SourceFilter;
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};

use super::*;

pub(super) fn compared(one: &MemoryStore, other: &MemoryStore) -> Compared {
    let judged = |store: &MemoryStore| {
        let (repository, mut report) = (open(store), checked(store));
        judge_damage(&repository, &mut report, |_| {}).unwrap();
        (repository, report)
    };
    let (one, other) = (judged(one), judged(other));
    let side = |(repository, report)| ComparedSide { repository, report };
    compare(
        side((&one.0, &one.1)),
        side((&other.0, &other.1)),
        &SourceFilter::default(),
    )
    .unwrap()
}

fn differences(compared: &Compared) -> BTreeSet<(DifferenceKind, String)> {
    let all = compared.differences.iter();
    all.map(|it| (it.kind, it.place.clone())).collect()
}

/// Mends `store` from `other`, as the command does.
pub(super) fn mend(store: &MemoryStore, other: &MemoryStore, lost: bool) -> Vec<RepairStep> {
    let mut repository = open(store);
    repository.mend_descriptor(None).unwrap();
    let options = CopyOptions::default();
    let now = START + 5 * DAY;
    let planned = mend_from(
        &repository,
        &open(other),
        lost,
        true,
        &options,
        now,
        &Silent,
    )
    .unwrap();
    let mut steps = mend_from(
        &repository,
        &open(other),
        lost,
        false,
        &options,
        now,
        &Silent,
    )
    .unwrap();
    if steps
        .iter()
        .any(|step| step.outcome == RepairOutcome::Repaired)
    {
        assert!(!planned.is_empty(), "{steps:?}");
    }
    let cache = Cache::default();
    let rest = repair(&mut repository, &cache, false, false, None, now, &Silent);
    steps.extend(rest.unwrap());
    steps
}

#[test]
fn a_copy_has_no_difference_and_each_damage_is_named_and_mended() {
    for codec in [Codec::Dense, Codec::Portable] {
        let first = two_nights(codec);
        let other = MemoryStore::new();
        copy_all(&first, &other, START).unwrap();
        let same = compared(&first, &other);
        assert_eq!(same.differences, []);
        assert_eq!(
            (same.archives, same.objects),
            (2, data(&first).len() as u64)
        );

        for object in data(&first) {
            for way in WAYS {
                let what = format!("{codec:?}: {way} {object}");
                let store = twin(&first);
                if !spoil(&store, &object, way) {
                    continue;
                }
                let found = compared(&store, &other);
                let is_named = found.differences.iter().any(|it| {
                    it.kind == DifferenceKind::ObjectDamaged && it.place == object.as_str()
                });
                // What comes back from the rest of the repository is no difference.
                if !is_named {
                    assert_eq!(found.differences, [], "{what}");
                }
                let back = compared(&other, &store);
                assert_eq!(differences(&back), differences(&found), "{what}");

                leave_marks(&open(&store), &checked(&store), START).unwrap();
                let steps = mend(&store, &other, false);
                let left = steps
                    .iter()
                    .filter(|step| step.outcome == RepairOutcome::Left);
                assert_eq!(left.count(), 0, "{what}: {steps:?}");
                assert!(
                    steps.iter().any(|step| step.object == object.as_str()),
                    "{what}: {steps:?}"
                );
                if way == "delete" {
                    assert_perfect(&store, &what);
                }
                assert_whole(&store, &what);
                let found = compared(&store, &other);
                assert_eq!(found.differences, [], "{what}");
                // All is well: nothing more is fetched.
                let before = data(&store);
                mend(&store, &other, false);
                assert_eq!(data(&store), before, "{what}");
            }
        }
    }
}

#[test]
fn a_damaged_manifest_gives_way_to_that_of_the_copy() {
    for way in ["flip", "truncate", "extend", "empty", "swap"] {
        for number in 0..2 {
            let what = format!("{way} {number}");
            let store = two_nights(Codec::Dense);
            let other = MemoryStore::new();
            copy_all(&store, &other, START).unwrap();
            let before = archives(&store);
            let manifest = before[number].manifest_name().unwrap().object().unwrap();
            assert!(spoil(&store, &manifest, way));
            let found = compared(&store, &other);
            let wanted = (DifferenceKind::ManifestDamaged, manifest.to_string());
            assert!(differences(&found).contains(&wanted), "{what}");
            let steps = mend(&store, &other, false);
            assert!(
                steps
                    .iter()
                    .all(|step| step.outcome == RepairOutcome::Repaired),
                "{what}: {steps:?}"
            );
            assert_eq!(
                archives(&store),
                before,
                "{what}: as it was, to its repository"
            );
            assert_perfect(&store, &what);
            assert_eq!(store.list("claims/").unwrap(), []);
        }
    }
}

#[test]
fn a_lost_manifest_comes_back_when_it_is_asked_for() {
    let store = two_nights(Codec::Dense);
    let other = MemoryStore::new();
    copy_all(&store, &other, START).unwrap();
    let before = archives(&store);
    let manifest = before[0].manifest_name().unwrap().object().unwrap();
    store.delete(&manifest).unwrap();
    // An object that only it needs is gone as well.
    let needed = before[0].objects().next().unwrap().1.name.clone();
    store.delete(&needed).unwrap();
    mend(&store, &other, false);
    assert_eq!(archives(&store).len(), 1, "it may have been forgotten");
    let found = compared(&store, &other);
    let kinds: Vec<_> = found.differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [DifferenceKind::ArchiveElsewhere]);
    assert!(!found.has_problems());
    mend(&store, &other, true);
    assert_eq!(archives(&store), before);
    assert_perfect(&store, "lost");
}

#[test]
fn a_descriptor_that_is_lost_or_damaged_is_written_anew_with_its_id() {
    for way in ["flip", "delete", "empty"] {
        let store = two_nights(Codec::Dense);
        let other = MemoryStore::new();
        copy_all(&store, &other, START).unwrap();
        let id = open(&store).descriptor().id.clone();
        assert!(spoil(&store, &name("narthex.json"), way));
        let object = data(&store).into_iter().next().unwrap();
        store.delete(&object).unwrap();
        let steps = mend(&store, &other, false);
        assert!(!steps.is_empty());
        assert_eq!(open(&store).descriptor().id, id, "{way}");
        assert!(!checked(&store).has_problems(), "{way}");
        assert_whole(&store, way);
    }
}

#[test]
fn a_copy_that_is_behind_or_says_something_else_is_a_problem() {
    let (store, other) = (MemoryStore::new(), MemoryStore::new());
    back_up(&store, &fixture(PARENTS), Codec::Dense, START);
    copy_all(&store, &other, START).unwrap();
    back_up(&store, &fixture(CHILD), Codec::Dense, START + DAY);
    let id = archives(&store)[1].id.short().to_owned();
    for (one, two) in [(&store, &other), (&other, &store)] {
        let found = compared(one, two);
        assert_eq!(
            differences(&found),
            [(DifferenceKind::ArchiveBehind, id.clone())].into()
        );
        assert!(found.has_problems());
    }
    copy_all(&store, &other, START).unwrap();
    let mut first = archives(&other).remove(0);
    let manifest = first.manifest_name().unwrap().object().unwrap();
    first.source_name = "somebody else".to_owned();
    other.overwrite(&manifest, &first.to_bytes().unwrap());
    let kinds: BTreeSet<_> = compared(&store, &other)
        .differences
        .iter()
        .map(|it| it.kind)
        .collect();
    assert!(kinds.contains(&DifferenceKind::ArchiveDiffers), "{kinds:?}");
}

#[test]
fn what_is_damaged_in_both_is_lost_and_the_rest_is_mended() {
    let store = two_nights(Codec::Portable);
    let other = MemoryStore::new();
    copy_all(&store, &other, START).unwrap();
    let objects: Vec<_> = data(&store).into_iter().collect();
    for store in [&store, &other] {
        spoil(store, &objects[0], "truncate");
    }
    spoil(&store, &objects[1], "truncate");
    let found = differences(&compared(&store, &other));
    let is = |kind, object: &ObjectName| found.contains(&(kind, object.to_string()));
    assert!(is(DifferenceKind::ObjectLost, &objects[0]), "{found:?}");
    assert!(is(DifferenceKind::ObjectDamaged, &objects[1]), "{found:?}");
    let steps = mend(&store, &other, false);
    let repaired = steps
        .iter()
        .any(|step| step.outcome == RepairOutcome::Repaired && step.object == objects[1].as_str());
    assert!(repaired, "{steps:?}");
    let left = steps.iter().any(|step| step.outcome == RepairOutcome::Left);
    assert!(left, "{steps:?}");
}

#[test]
fn a_mending_that_dies_at_any_operation_is_ended_by_the_next() {
    let healthy = two_nights(Codec::Dense);
    let other = MemoryStore::new();
    copy_all(&healthy, &other, START).unwrap();
    let sick = twin(&healthy);
    let before = archives(&sick);
    let manifest = before[0].manifest_name().unwrap().object().unwrap();
    spoil(&sick, &manifest, "flip");
    for (number, (_, object)) in before[0].objects().enumerate() {
        let way = ["delete", "truncate"][number % 2];
        spoil(&sick, &object.name, way);
    }
    let run = |store: &FaultyStore| {
        let repository = Repository::open(Arc::new(store.clone()))?;
        let options = CopyOptions::default();
        // One that is gone altogether is brought back when it is said that it was lost.
        mend_from(
            &repository,
            &open(&other),
            true,
            false,
            &options,
            START + DAY,
            &Silent,
        )
    };
    let counting = FaultyStore::new(Arc::new(twin(&sick)), StoreFaults::default());
    run(&counting).unwrap();
    assert!(counting.operations() > 20);
    for at in 0..counting.operations() {
        for fault in [StoreFault::Before, StoreFault::After, StoreFault::Torn] {
            let what = format!("{fault:?} at {at} of {}", counting.operations());
            let store = twin(&sick);
            let faults = StoreFaults {
                crash_at: Some((at, fault)),
                ..StoreFaults::default()
            };
            let dying = FaultyStore::new(Arc::new(store.clone()), faults);
            let _ = run(&dying);
            dying.cut_power().unwrap();
            let there = archives(&store);
            assert!(there.contains(&before[1]), "{what}");
            if there.contains(&before[0]) {
                assert_eq!(problems(&store), [""; 0], "{what}");
            }
            let again = FaultyStore::new(Arc::new(store.clone()), StoreFaults::default());
            let steps = run(&again).map_err(|e| e.chain());
            let steps = steps.unwrap_or_else(|e| panic!("{what}: {e}"));
            let is_left = |step: &RepairStep| step.outcome == RepairOutcome::Left;
            assert!(!steps.iter().any(is_left), "{what}: {steps:?}");
            let mut there = archives(&store);
            // It may have been written when there was a replacement, or before.
            there[0].format_version = before[0].format_version;
            assert_eq!(there, before, "{what}");
            assert_eq!(problems(&store), [""; 0], "{what}");
            assert_whole(&store, &what);
        }
    }
}
