//! Which archives forget removes, and what it refuses.

use super::*;
use narthex::ErrorKind;
use narthex::repository::{ArchiveId, SourceFilter};
use narthex::retain::{ForgetSelection, Forgotten, Keep, Leave, Policy, forget};
use narthex::store::ReadStore as _;

use crate::keeping::archive;

/// When archives are forgotten.
const NOW: Millis = START + 100 * DAY;

fn leave(nothing: bool, dry_run: bool) -> Leave {
    Leave { nothing, dry_run }
}

/// Archives of two hosts, one a day.
fn days(count: i64) -> (MemoryStore, Repository) {
    let store = MemoryStore::new();
    let repository = Repository::init(Arc::new(store.clone())).unwrap();
    for (host, day) in ["mon1", "mon2"]
        .iter()
        .flat_map(|host| (0..count).map(move |day| (host, day)))
    {
        let mut made = archive(START + day * DAY, ArchiveId::random(), Vec::new());
        (*host).clone_into(&mut made.host);
        repository.commit(&made).unwrap();
    }
    (store, repository)
}

fn daily(count: u64) -> ForgetSelection {
    ForgetSelection::Policy(Policy {
        daily: Keep::Count(count),
        ..Policy::default()
    })
}

fn run(repository: &Repository, selection: &ForgetSelection, all: bool) -> Result<Forgotten> {
    forget(
        repository,
        selection,
        &SourceFilter::default(),
        leave(all, false),
        NOW,
    )
}

fn left(repository: &Repository) -> Vec<(String, Millis)> {
    let archives = repository.archives().unwrap().archives;
    let mut left: Vec<_> = archives
        .into_iter()
        .map(|a| (a.host, (a.time - START) / DAY))
        .collect();
    left.sort();
    left
}

#[test]
fn every_group_goes_by_the_policy_on_its_own_and_a_dry_run_removes_nothing() {
    let (store, repository) = days(4);
    let filter = SourceFilter::default();
    let dry = forget(&repository, &daily(2), &filter, leave(false, true), NOW).unwrap();
    assert_eq!((dry.removed(), archives(&store)), (4, 8));
    let done = run(&repository, &daily(2), false).unwrap();
    let said = |f: &Forgotten| -> Vec<_> {
        let made = f.decisions.iter();
        made.map(|d| (d.archive.id.clone(), d.reasons.clone()))
            .collect()
    };
    assert_eq!(said(&dry), said(&done));
    let wanted = ["mon1", "mon2"].map(|host| [2, 3].map(|day| (host.to_owned(), day)));
    assert_eq!(left(&repository), wanted.concat());
    assert_eq!(run(&repository, &daily(2), false).unwrap().removed(), 0);
}

#[test]
fn a_filter_keeps_the_policy_from_other_groups() {
    let (_, repository) = days(3);
    let filter = SourceFilter {
        host: Some("mon2".to_owned()),
        ..SourceFilter::default()
    };
    let done = forget(&repository, &daily(1), &filter, leave(false, false), NOW).unwrap();
    assert_eq!((done.decisions.len(), done.removed()), (3, 2));
    assert_eq!(left(&repository).len(), 4);
}

#[test]
fn archives_are_removed_by_the_beginnings_of_their_ids_and_wrong_ones_remove_nothing() {
    let (store, repository) = days(2);
    let all = repository.archives().unwrap().archives;
    let ids = |ids: &[&str]| ForgetSelection::Ids(ids.iter().map(|id| (*id).to_owned()).collect());
    let first = all[0].id.as_str();
    for (bad, kind) in [("zz", ErrorKind::NotFound), ("", ErrorKind::NotFound)] {
        let error = run(&repository, &ids(&[first, bad]), false).unwrap_err();
        assert_eq!((error.kind(), archives(&store)), (kind, 4));
    }
    let done = run(&repository, &ids(&[&first[..12]]), false).unwrap();
    assert_eq!((done.removed(), archives(&store)), (1, 3));
    assert!(
        repository
            .archives()
            .unwrap()
            .archives
            .iter()
            .all(|a| a.id.as_str() != first)
    );
}

#[test]
fn nothing_is_removed_without_a_policy_and_no_group_loses_its_last_archive_by_accident() {
    let (store, repository) = days(2);
    for empty in [
        Policy::default(),
        Policy {
            last: Keep::Count(0),
            ..Policy::default()
        },
    ] {
        for all in [false, true] {
            let error = run(&repository, &ForgetSelection::Policy(empty.clone()), all).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("--keep-daily 7"), "{error}");
        }
    }
    let of_one: Vec<_> = repository
        .archives()
        .unwrap()
        .archives
        .into_iter()
        .filter(|a| a.host == "mon1")
        .map(|a| a.id.to_string())
        .collect();
    let selection = ForgetSelection::Ids(of_one);
    let error = run(&repository, &selection, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("mon1") && error.to_string().contains("--keep-last 1"));
    assert_eq!(archives(&store), 4);
    assert_eq!(run(&repository, &selection, true).unwrap().removed(), 2);

    let gone = SourceFilter {
        host: Some("mon2".to_owned()),
        ..SourceFilter::default()
    };
    let nothing = ForgetSelection::Policy(Policy::default());
    let done = forget(&repository, &nothing, &gone, leave(true, false), NOW).unwrap();
    assert_eq!((done.removed(), archives(&store)), (2, 0));
}

#[test]
fn a_damaged_manifest_is_named_and_stays_unless_its_id_is_given() {
    let (store, repository) = days(3);
    let all = repository.archives().unwrap().archives;
    let broken = all[1].manifest_name().unwrap().object().unwrap();
    let mut bytes = store.get(&broken, 1 << 20).unwrap();
    bytes[50] ^= 1;
    store.overwrite(&broken, &bytes);
    let done = run(&repository, &daily(1), false).unwrap();
    assert_eq!(done.damaged.len(), 1);
    assert_eq!(done.damaged[0].name, broken);
    assert!(store.size(&broken).is_ok());
    assert!(
        prune(&store, 0, START).is_err(),
        "nobody knows what it needs"
    );

    let by_id = ForgetSelection::Ids(vec![all[1].id.to_string()]);
    let done = run(&repository, &by_id, false).unwrap();
    assert_eq!(done.removed_damaged, std::slice::from_ref(&broken));
    assert_eq!(done.damaged.len(), 0);
    assert!(store.size(&broken).is_err());
    prune(&store, 0, START).unwrap();
}

/// Archives of one server with so many blocks each, one a day.
fn nights(blocks: &[usize]) -> (MemoryStore, Repository) {
    let store = MemoryStore::new();
    let repository = Repository::init(Arc::new(store.clone())).unwrap();
    for (day, blocks) in (0..).zip(blocks) {
        let numbers: Vec<u8> = (1..).take(*blocks).collect();
        crate::keeping::back_up(&repository, START + day * DAY, &numbers).unwrap();
    }
    (store, repository)
}

fn days_left(repository: &Repository) -> Vec<i64> {
    left(repository).into_iter().map(|(_, day)| day).collect()
}

#[test]
fn the_last_archive_that_holds_blocks_stays() {
    let (_, repository) = nights(&[1, 1, 0, 0]);
    let last = ForgetSelection::Policy(Policy {
        last: Keep::Count(1),
        ..Policy::default()
    });
    let done = run(&repository, &last, false).unwrap();
    assert_eq!(days_left(&repository), [1, 3]);
    let kept = done.decisions.iter().find(|made| made.is_kept()).unwrap();
    assert_eq!(kept.reasons, ["last with blocks"]);
    let named = ForgetSelection::Ids(vec![kept.archive.id.to_string()]);
    let refused = run(&repository, &named, false).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.to_string().contains("holds blocks"), "{refused}");
    run(&repository, &last, true).unwrap();
    assert_eq!(days_left(&repository), [3]);
}

#[test]
fn an_archive_from_the_future_counts_for_nothing_and_costs_no_other() {
    let (_, repository) = nights(&[1, 1, 1]);
    crate::keeping::back_up(&repository, START + 400 * DAY, &[1]).unwrap();
    for policy in [
        Policy {
            within: Some("1y".parse().unwrap()),
            ..Policy::default()
        },
        Policy {
            daily: Keep::Count(3),
            ..Policy::default()
        },
    ] {
        let selection = ForgetSelection::Policy(policy);
        let done = run(&repository, &selection, false).unwrap();
        assert_eq!((done.removed(), done.ahead.len()), (0, 1));
    }
    let done = run(&repository, &daily(1), false).unwrap();
    assert_eq!(done.removed(), 2);
    assert_eq!(
        days_left(&repository),
        [2, 400],
        "the newest real one stays"
    );
    let ids = |day: usize| {
        let archives = repository.archives().unwrap().archives;
        ForgetSelection::Ids(vec![archives[day].id.to_string()])
    };
    let real = run(&repository, &ids(0), false).unwrap_err();
    assert_eq!(
        real.kind(),
        ErrorKind::Refused,
        "one from the future stands in for none"
    );
    run(&repository, &ids(1), false).unwrap();
    assert_eq!(days_left(&repository), [2]);
}

#[test]
fn with_a_clock_that_stands_before_all_archives_a_policy_removes_none() {
    for now in [Millis::MIN, -1, 0, START - DAY] {
        let (_, repository) = nights(&[1, 1, 1]);
        let done = forget(
            &repository,
            &daily(1),
            &SourceFilter::default(),
            leave(false, false),
            now,
        )
        .unwrap();
        assert_eq!((done.removed(), done.ahead.len()), (0, 3), "{now}");
    }
}
