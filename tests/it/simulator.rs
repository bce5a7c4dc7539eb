//! The simulator of `benches/simulator`: that its Prometheus plans, merges and deletes as the real
//! one does, and that what is claimed of two years holds.

#[path = "../../benches/simulator/cost.rs"]
mod cost;
#[path = "../../benches/simulator/cover.rs"]
mod cover;
#[path = "../../benches/simulator/figures.rs"]
mod figures;
#[path = "../../benches/simulator/forget.rs"]
mod forget;
#[path = "../../benches/simulator/keeper.rs"]
mod keeper;
#[path = "../../benches/simulator/planner.rs"]
mod planner;
#[path = "../../benches/simulator/server.rs"]
mod server;

use std::collections::BTreeSet;

use clap::Parser;
use narthex::block::{Compaction, Meta};
use narthex::model::{Millis, Ulid};

use cost::Workload;
use cover::{Cover, Known, cover};
use figures::{Clock, Run};
use keeper::Design;
use planner::{DAY, HOUR, plan, ranges};
use server::Server;

/// From a multiple of two hours to the first scrape after it.
const FIRST_SCRAPE: Millis = 50;

#[derive(Parser)]
struct Assumptions {
    #[command(flatten)]
    workload: Workload,
}

fn workload() -> Workload {
    Assumptions::parse_from([""]).workload
}

fn in_hours(retention: Millis) -> Vec<Millis> {
    ranges(retention).iter().map(|range| range / HOUR).collect()
}

/// A block from the first to the second hour, which begins `late` milliseconds after it.
fn block(hours: (Millis, Millis), late: Millis) -> Meta {
    let ulid = Ulid::from_parts(hours.1 * HOUR, 0);
    let range = (hours.0 * HOUR + late, hours.1 * HOUR);
    server::meta(ulid, range, Compaction::default())
}

/// What a server that keeps 15 days merges of blocks that begin with their first scrape.
fn planned(hours: &[(Millis, Millis)]) -> std::ops::Range<usize> {
    let blocks: Vec<Meta> = hours.iter().map(|at| block(*at, FIRST_SCRAPE)).collect();
    plan(&blocks, &ranges(15 * DAY))
}

#[test]
fn ranges_end_at_a_tenth_of_the_retention_and_at_a_month() {
    assert_eq!(in_hours(10 * HOUR), [2]);
    assert_eq!(in_hours(15 * DAY), [2, 6, 18]);
    assert_eq!(in_hours(30 * DAY), [2, 6, 18, 54]);
    assert_eq!(in_hours(90 * DAY), [2, 6, 18, 54, 162]);
    assert_eq!(in_hours(400 * DAY), [2, 6, 18, 54, 162, 486]);
    assert_eq!(in_hours(4_000 * DAY), [2, 6, 18, 54, 162, 486]);
}

#[test]
fn the_newest_block_is_never_merged() {
    assert_eq!(planned(&[]), 0..0);
    assert_eq!(planned(&[(0, 2)]), 0..0);
    assert_eq!(planned(&[(0, 2), (2, 4), (4, 6)]), 0..0);
}

#[test]
fn blocks_that_fill_their_window_are_merged_once_another_follows() {
    let mut blocks: Vec<Meta> = [(0, 2), (2, 4), (4, 6), (6, 8)]
        .map(|at| block(at, 0))
        .to_vec();
    assert_eq!(plan(&blocks, &ranges(15 * DAY)), 0..3);
    blocks.pop();
    assert_eq!(plan(&blocks, &ranges(15 * DAY)), 0..0);
}

#[test]
fn blocks_that_begin_late_do_not_fill_their_window_and_wait_for_one_more() {
    assert_eq!(planned(&[(0, 2), (2, 4), (4, 6), (6, 8)]), 0..0);
    assert_eq!(planned(&[(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]), 0..3);
}

#[test]
fn gaps_do_not_keep_blocks_of_a_window_apart() {
    assert_eq!(planned(&[(0, 2), (4, 6), (6, 8), (8, 10)]), 0..2);
    assert_eq!(planned(&[(0, 2), (2, 4), (8, 10), (10, 12)]), 0..2);
    // Alone in its window, there is nothing to merge with.
    assert_eq!(planned(&[(0, 2), (8, 10), (14, 16)]), 0..0);
}

#[test]
fn smaller_windows_are_merged_before_larger_ones() {
    let three = [(0, 6), (6, 12), (12, 18)];
    let later = [(18, 20), (20, 22), (22, 24), (24, 26), (26, 28)];
    let all: Vec<(Millis, Millis)> = three.into_iter().chain(later).collect();
    assert_eq!(planned(&all), 3..6);
    assert_eq!(planned(&all[..5]), 0..3);
}

#[test]
fn blocks_that_stick_out_of_their_window_are_left_alone() {
    assert_eq!(
        planned(&[(4, 8), (8, 10), (10, 12), (12, 14), (14, 16)]),
        1..3
    );
}

#[test]
fn windows_before_the_epoch_begin_at_multiples_of_their_length() {
    assert_eq!(planned(&[(-4, -2), (-2, 0), (0, 2), (2, 4)]), 0..2);
    assert_eq!(planned(&[(-8, -6), (-6, -4), (-4, -2)]), 0..0);
}

#[test]
fn a_window_with_a_failed_block_is_left_alone() {
    let hours = [
        (0, 2),
        (2, 4),
        (4, 6),
        (6, 8),
        (8, 10),
        (10, 12),
        (12, 14),
        (14, 16),
    ];
    let mut blocks: Vec<Meta> = hours.map(|at| block(at, FIRST_SCRAPE)).to_vec();
    blocks[1].compaction.failed = true;
    assert_eq!(plan(&blocks, &ranges(15 * DAY)), 3..6);
}

#[test]
fn a_server_keeps_each_hour_of_its_retention_in_one_block() {
    for retention in [15 * DAY, 90 * DAY] {
        let mut server = Server::new(0, retention, FIRST_SCRAPE);
        for day in 1..200 {
            server.run_until(day * DAY);
            let blocks = server.blocks();
            let (Some(first), Some(newest)) = (blocks.first(), blocks.last()) else {
                panic!("no block on day {day}");
            };
            assert_eq!(server.head(), newest.max_time);
            // The head is cut an hour after the block's end, and a multiple of two hours has passed
            // since.
            assert_eq!(newest.max_time, day * DAY - 2 * HOUR);
            for pair in blocks.windows(2) {
                assert_eq!(pair[0].max_time + FIRST_SCRAPE, pair[1].min_time);
            }
            assert!(newest.max_time - first.max_time < retention);
            assert!(
                day * DAY <= retention || newest.max_time - first.min_time >= retention - 2 * HOUR
            );
            let sources = blocks.iter().flat_map(|block| &block.compaction.sources);
            let distinct: BTreeSet<&Ulid> = sources.clone().collect();
            assert_eq!(distinct.len(), sources.count());
        }
    }
}

#[test]
fn a_block_refers_to_what_has_nothing_else_in_it_and_stores_the_rest() {
    let source = |number: u128| Ulid::from_parts(0, number);
    let sources = |numbers: std::ops::Range<u128>| numbers.map(source).collect::<Vec<_>>();
    let (early, late, both, beyond) = (sources(0..3), sources(3..4), sources(2..4), sources(6..8));
    let known = |sources, packs, min_time| Known {
        sources,
        packs,
        min_time,
    };
    let before = [
        known(&late, &[7][..], 6),
        known(&beyond, &[8], 12),
        known(&early, &[3, 5], 0),
    ];
    let covered = cover(&sources(0..7), &before);
    let expected = Cover {
        packs: vec![3, 5, 7],
        unseen: sources(4..7),
    };
    assert_eq!(covered, expected);
    // A source that two of them have is taken from the larger one.
    let overlapping = [known(&both, &[1][..], 4), known(&early, &[2], 0)];
    let covered = cover(&sources(0..4), &overlapping);
    assert_eq!((covered.packs, covered.unseen), (vec![2], sources(3..4)));
    assert_eq!(cover(&sources(0..2), &[]).unseen, sources(0..2));
}

#[test]
fn forgetting_leaves_the_newest_of_each_day_week_and_month() {
    // 2026-01-01 is a Thursday; a backup at three and one at nine each day, for 120 days, until
    // Thursday, 2026-04-30.
    let start = 1_767_225_600_000;
    let times: Vec<Millis> = (0..120)
        .flat_map(|day| [3, 9].map(|hour| start + day * DAY + hour * HOUR))
        .collect();
    let days: Vec<usize> = forget::kept(&times).iter().map(|at| at / 2).collect();
    let months = [30, 58];
    // Sundays, but for the week that has not ended.
    let weeks = [73, 80, 87, 94, 101];
    let expected: Vec<usize> = months.into_iter().chain(weeks).chain(106..120).collect();
    let march = 89;
    let mut expected = [expected, vec![march]].concat();
    expected.sort_unstable();
    assert_eq!(days, expected);
    assert!(forget::kept(&times).iter().all(|at| at % 2 == 1));
}

#[test]
fn over_two_years_each_sample_is_stored_once_where_ulids_store_it_up_to_three_times() {
    let workload = workload();
    let nightly = [
        (15, 1.49, 1.8),
        (30, 2.08, 3.3),
        (90, 2.75, 7.8),
        (400, 3.41, 21.3),
    ];
    for (days, times, worst) in nightly {
        let run = Run::new(
            Clock {
                retention: days * DAY,
                every: DAY,
                at: 3 * HOUR,
                length: 730 * DAY,
            },
            &workload,
        );
        let [ours, _, ulids, portable] = &run.designs[..] else {
            panic!("{} designs", run.designs.len());
        };
        assert_eq!(
            (ours.design, ulids.design),
            (Design::Sources, Design::Ulids)
        );
        assert!(
            (ours.times_stored - 1.0).abs() < 1e-9,
            "{}",
            ours.times_stored
        );
        assert!((ours.worst_night_days - 1.0).abs() < 1e-9);
        assert!(
            (ulids.times_stored - times).abs() < 0.01,
            "{}",
            ulids.times_stored
        );
        assert!(
            (ulids.worst_night_days - worst).abs() < 0.1,
            "{}",
            ulids.worst_night_days
        );
        assert!(ours.kept_all.blocks * (times - 0.05) < ulids.kept_all.blocks);
        assert!(ulids.kept_all.blocks * 3.0 < portable.kept_all.blocks);
        assert!(ours.kept_some.blocks <= ulids.kept_some.blocks);
        // What a restore reads is what the directory holds, and little more: labels that several
        // packs have.
        assert!(ours.restore.bytes < ulids.restore.bytes * 1.02);
    }
}

#[test]
fn whatever_the_schedule_each_sample_is_stored_once() {
    let workload = workload();
    for every in [2 * HOUR, 6 * HOUR, 7 * DAY] {
        let run = Run::new(
            Clock {
                retention: 30 * DAY,
                every,
                at: 4 * HOUR,
                length: 200 * DAY,
            },
            &workload,
        );
        let [ours, _, ulids, _] = &run.designs[..] else {
            panic!("{} designs", run.designs.len());
        };
        assert!(
            (ours.times_stored - 1.0).abs() < 1e-9,
            "{}",
            ours.times_stored
        );
        assert!(ulids.times_stored > 1.1, "{}", ulids.times_stored);
    }
}
