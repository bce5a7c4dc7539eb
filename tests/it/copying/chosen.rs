//! Which archives are copied, and what a preview says of them.

use narthex::ErrorKind;
use narthex::copy::preview;
use narthex::model::TimeRange;
use narthex::repository::SourceFilter;
use narthex::retain::{Keep, Policy};

use super::*;

/// The times of the archives that are copied, in days since the first.
fn copied(from: &MemoryStore, choice: &CopyChoice) -> Result<Vec<Millis>> {
    let to = MemoryStore::new();
    let (from, to_repository) = (open(from), open(&to));
    let (options, now) = (CopyOptions::default(), START + 20 * DAY);
    let planned = preview(&from, None, choice, &options, now, &Silent)?;
    let report = copy(&from, &to_repository, choice, &options, now, &Silent)?;
    // A preview says the same.
    let told = |report: &CopyReport| {
        let archives = report.archives.iter();
        archives
            .map(|it| (it.id.clone(), it.objects, it.bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&planned), told(&report));
    assert_eq!(
        (planned.objects, planned.bytes),
        (report.objects, report.bytes)
    );
    assert_eq!(planned.count(Fate::Planned), report.count(Fate::Copied));
    let days = archives(&to).into_iter();
    Ok(days.map(|archive| (archive.time - START) / DAY).collect())
}

#[test]
fn archives_are_chosen_by_id_server_time_and_policy() {
    let from = MemoryStore::new();
    for day in 0..5 {
        back_up(&from, &fixture(CHILD), Codec::Dense, START + day * DAY);
    }
    let all = archives(&from);
    let of = |choice: CopyChoice| copied(&from, &choice).unwrap();
    assert_eq!(of(CopyChoice::default()), [0, 1, 2, 3, 4]);
    let ids = vec!["latest".to_owned(), all[1].id.to_string()];
    assert_eq!(
        of(CopyChoice {
            ids,
            ..CopyChoice::default()
        }),
        [1, 4]
    );
    let made = TimeRange {
        since: START + DAY,
        until: START + 3 * DAY,
    };
    assert_eq!(
        of(CopyChoice {
            made: Some(made),
            ..CopyChoice::default()
        }),
        [1, 2]
    );
    let policy = Policy {
        last: Keep::Count(2),
        ..Policy::default()
    };
    assert_eq!(
        of(CopyChoice {
            policy: Some(policy),
            ..CopyChoice::default()
        }),
        [3, 4]
    );
    let nobody = SourceFilter {
        source_name: Some("nobody".to_owned()),
        ..SourceFilter::default()
    };
    for none in [
        CopyChoice {
            filter: nobody,
            ..CopyChoice::default()
        },
        CopyChoice {
            ids: vec!["ffff".to_owned()],
            ..CopyChoice::default()
        },
        CopyChoice {
            made: Some(TimeRange {
                since: 0,
                until: START,
            }),
            ..CopyChoice::default()
        },
    ] {
        let error = copied(&from, &none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    let error = copied(&MemoryStore::new(), &CopyChoice::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn what_is_behind_is_later_than_all_that_is_there() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    for day in 0..4 {
        back_up(&from, &fixture(CHILD), Codec::Dense, START + day * DAY);
    }
    let behind = CopyChoice {
        only_behind: true,
        ..CopyChoice::default()
    };
    let (options, now) = (CopyOptions::default(), START + 9 * DAY);
    let run = || copy(&open(&from), &open(&to), &behind, &options, now, &Silent).unwrap();
    assert_eq!(run().count(Fate::Copied), 4);
    // What was forgotten there does not come back.
    let second = archives(&to).remove(1).manifest_name().unwrap();
    to.delete(&second.object().unwrap()).unwrap();
    assert_eq!(run().archives, []);
    back_up(&from, &fixture(CHILD), Codec::Dense, START + 5 * DAY);
    assert_eq!(run().count(Fate::Copied), 1);
}
