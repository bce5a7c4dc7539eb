//! Archives that a thief makes with a stolen key push out none of those that were there.

use std::fs::{File, FileTimes};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use narthex::model::{Millis, now};
use narthex::repository::{Repository, SourceFilter};
use narthex::retain::{ForgetSelection, Keep, Leave, Policy, forget};
use narthex::store::{LocalStore, ReadStore as _};

use super::world::{DAY, SOURCE, World, back_up, night};

/// How many nights there were.
const NIGHTS: i64 = 10;

/// Says that everything that came since `since` came at `time`.
fn arrive(store: &LocalStore, root: &std::path::Path, known: &mut Vec<String>, time: Millis) {
    for (name, _) in store.list("archives/").unwrap() {
        if known.iter().all(|it| it != name.as_str()) {
            let file = File::options()
                .write(true)
                .open(root.join(name.as_str()))
                .unwrap();
            let time = UNIX_EPOCH + Duration::from_millis(time.unsigned_abs());
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
            known.push(name.to_string());
        }
    }
}

#[test]
fn false_archives_of_any_time_push_out_no_good_one() {
    let world = World::new();
    let root = world.home.path().join("repo");
    let store = LocalStore::new(&root);
    for (name, content) in world.objects() {
        std::fs::create_dir_all(root.join(&name).parent().unwrap()).unwrap();
        std::fs::write(root.join(&name), content).unwrap();
    }
    let open = |keyring| Repository::open_with(Arc::new(LocalStore::new(&root)), keyring).unwrap();
    let (today, mut known) = (now(), Vec::new());
    for number in 0..NIGHTS {
        let time = today - (NIGHTS - number) * DAY;
        back_up(&open(world.of_host()), &night(1), SOURCE, time).unwrap();
        arrive(&store, &root, &mut known, time);
    }
    let good = known.clone();
    // Now the thief: one archive for the last minute of each day, and many of today.
    let mut times: Vec<_> = (0..NIGHTS).map(|day| today - day * DAY - 60_000).collect();
    times.extend((0..8).map(|number| today - 1_000 * number));
    for time in times {
        back_up(&open(world.of_host()), &night(2), SOURCE, time).unwrap();
    }
    arrive(&store, &root, &mut known, today);
    for (policy, kept) in [
        (
            Policy {
                daily: Keep::Count(7),
                ..Policy::default()
            },
            6,
        ),
        (
            Policy {
                last: Keep::Count(5),
                ..Policy::default()
            },
            4,
        ),
        (
            Policy {
                weekly: Keep::Count(2),
                ..Policy::default()
            },
            1,
        ),
    ] {
        let leave = Leave {
            nothing: false,
            dry_run: true,
        };
        let selection = ForgetSelection::Policy(policy.clone());
        let filter = SourceFilter::default();
        let forgotten = forget(&open(world.of_reader()), &selection, &filter, leave, today);
        let decisions = forgotten.unwrap().decisions;
        let left = decisions.iter().filter(|made| {
            let name = made.archive.manifest_name().unwrap().object().unwrap();
            made.is_kept() && good.iter().any(|it| it == name.as_str())
        });
        let left = left.count();
        assert!(
            left >= kept,
            "{policy:?}: {left} of {NIGHTS} good archives are left"
        );
    }
}
