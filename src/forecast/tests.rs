//! Histories against brute force, disks against sums on paper, and times nobody has seen.

use super::*;
use crate::model::{SHARD_LABEL, Stream, Ulid};

const HOUR: Millis = 3_600_000;
const DAY_MS: Millis = 24 * HOUR;
const GIB: u64 = 1 << 30;

fn block(number: u128, min_time: Millis, max_time: Millis) -> KnownBlock {
    KnownBlock {
        ulid: Ulid::from_parts(0, number),
        min_time,
        max_time,
        level: 1,
        sources: Vec::new(),
        stream: Stream::default(),
        samples: 1000,
        series: 10,
        chunk_bytes: 900,
        index_bytes: 100,
        is_head: false,
    }
}

fn past(blocks: impl IntoIterator<Item = KnownBlock>) -> Past {
    let mut past = Past::default();
    for block in blocks {
        past.add(block, "a block", None);
    }
    past
}

/// A server that takes one GiB a day, in blocks of two hours, without index.
fn steady(days: i64) -> Past {
    let blocks = (0..days * 12).map(|i| KnownBlock {
        samples: GIB / 12,
        chunk_bytes: GIB / 12,
        index_bytes: 0,
        ..block(i as u128, i * 2 * HOUR, (i + 1) * 2 * HOUR)
    });
    let mut past = past(blocks);
    past.present = PresentUse {
        block_bytes: days as u64 * (GIB / 12) * 12,
        min_time: Some(0),
        head_bytes: Some(GIB),
    };
    past
}

/// The same numbers in the same order, from 0 to `below`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn overlapping_blocks_count_once_and_the_denser_wins_everywhere() {
    let mut dice = Dice(7);
    for _ in 0..200 {
        let count = 1 + dice.roll(8);
        let blocks: Vec<_> = (0..count)
            .map(|i| {
                let begin = dice.roll(30) as Millis * 1000;
                let length = (1 + dice.roll(10)) as Millis * 1000;
                let mut block = block(u128::from(i), begin, begin + length);
                block.samples = (1 + dice.roll(5)) * length as u64;
                block
            })
            .collect();
        let history = History::of(&past(blocks.clone()));
        for time in (0..45).map(|second| second * 1000 + 500) {
            let there = blocks
                .iter()
                .filter(|b| b.min_time <= time && time < b.max_time);
            let wanted = there
                .map(|b| b.samples / (b.duration() as u64 / 1000))
                .max();
            let mut spans = history.spans.iter();
            let found = spans.find(|s| s.min_time <= time && time < s.max_time);
            let found = found
                .map(|s| (s.samples / ((s.max_time - s.min_time) as f64 / 1000.0)).round() as u64);
            assert_eq!(found, wanted, "{blocks:?} at {time}");
        }
        for pair in history.spans.windows(2) {
            assert!(pair[0].max_time <= pair[1].min_time);
        }
    }
}

#[test]
fn a_compacted_block_and_its_parents_count_once_as_the_parents_say() {
    let parents: Vec<_> = (0..3)
        .map(|i| block(i, i as i64 * HOUR, (i as i64 + 1) * HOUR))
        .collect();
    let child = KnownBlock {
        level: 2,
        sources: parents.iter().map(|b| b.ulid).collect(),
        samples: 3000,
        chunk_bytes: 2700,
        index_bytes: 150,
        ..block(9, 0, 3 * HOUR)
    };
    let all = History::of(&past(parents.iter().cloned().chain([child.clone()])));
    assert_eq!(all.spans.len(), 3);
    assert_eq!(all.overlapping, 0);
    assert_eq!(all.levels[1].index_share, 0.5, "150 beside three times 100");
    let bytes: f64 = all.spans.iter().map(HistorySpan::bytes).sum();
    assert_eq!(bytes, 2850.0, "with the index as it is once compacted");

    // Prometheus has deleted one parent, and no archive saw it: the child stands for its time.
    let some = History::of(&past([parents[0].clone(), parents[2].clone(), child]));
    let times: Vec<_> = some
        .spans
        .iter()
        .map(|s| (s.min_time / HOUR, s.level))
        .collect();
    assert_eq!(times, [(0, 1), (1, 2), (2, 1)]);
    assert_eq!((some.covered(), some.overlapping), (3 * HOUR, 0));
}

/// A part of what went into two level-1 blocks.
fn part(number: u128, labels: &[(&str, &str)]) -> KnownBlock {
    let labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into()));
    KnownBlock {
        level: 2,
        sources: vec![Ulid::from_parts(0, 1), Ulid::from_parts(0, 2)],
        stream: Stream {
            labels: labels.collect(),
            ..Stream::default()
        },
        ..block(number, 0, 2 * HOUR)
    }
}

#[test]
fn shards_and_tenants_add_up_and_aggregates_do_not_count() {
    let shard = |number: u128| {
        let id = format!("{number}_of_4");
        part(10 + number, &[(SHARD_LABEL, &id)])
    };
    let count = |blocks: Vec<KnownBlock>| {
        let history = History::of(&past(blocks));
        let samples: f64 = history.spans.iter().map(|span| span.samples).sum();
        (samples.round(), history.series, history.overlapping)
    };
    assert_eq!(count((1..=4).map(shard).collect()), (4000.0, 40, 0));
    assert_eq!(count((1..=3).map(shard).collect()), (3000.0, 30, 0));
    let tenants = vec![part(8, &[("tenant", "a")]), part(9, &[("tenant", "b")])];
    assert_eq!(count(tenants), (2000.0, 20, 0));
    // What the shards were split from says the same, once.
    let unsplit = [block(1, 0, HOUR), block(2, HOUR, 2 * HOUR)];
    let with_shards = unsplit.iter().cloned().chain((1..=4).map(shard));
    assert_eq!(count(with_shards.collect()), (2000.0, 40, 0));
    // Replicas and what they were merged into.
    let mut replicas = unsplit;
    for (replica, block) in replicas.iter_mut().enumerate() {
        let labels = &mut block.stream.labels;
        labels.insert("replica".into(), replica.to_string());
    }
    let merged = replicas.into_iter().chain([part(8, &[])]);
    assert_eq!(count(merged.collect()).0, 2000.0);
    let mut aggregate = part(7, &[]);
    aggregate.stream.resolution = 300_000;
    assert_eq!(count(vec![aggregate, part(8, &[])]), (1000.0, 10, 0));
}

#[test]
fn a_gap_is_missing_and_not_nothing() {
    let mut blocks: Vec<_> = steady(30).blocks().cloned().collect();
    blocks.retain(|b| !(10 * DAY_MS..18 * DAY_MS).contains(&b.min_time));
    let found = forecast(&past(blocks), &ForecastOptions::default());
    assert!((found.bytes_per_day.value / GIB as f64 - 1.0).abs() < 1e-6);
    assert!(
        found
            .cautions
            .iter()
            .any(|c| matches!(c, Caution::Gaps(share) if (share - 8.0 / 30.0).abs() < 0.01))
    );
}

#[test]
fn an_even_server_fills_a_disk_when_sums_on_paper_say_so() {
    let options = ForecastOptions {
        disk: Some(100 * GIB),
        ..ForecastOptions::default()
    };
    let found = forecast(&steady(30), &options);
    // Without a retention blocks grow to 486 hours, the ninefold threefold of two hours that 31
    // days hold.
    assert_eq!(found.longest_block, 486 * HOUR);
    let days = 100.0 - 30.0 - 20.25 - found.head_bytes / GIB as f64;
    let full = found.full.unwrap();
    assert!(
        (full.when.unwrap() as f64 / DAY_MS as f64 - days).abs() < 0.1,
        "{full:?}"
    );
    assert!(full.earliest < full.when && full.when < full.latest);
    assert_eq!(found.binds_first, None);
}

#[test]
fn a_retention_needs_its_days_two_largest_blocks_and_the_head() {
    let options = ForecastOptions {
        disk: Some(20 * GIB),
        retention: Some(15 * DAY_MS),
        ..ForecastOptions::default()
    };
    let found = forecast(&steady(30), &options);
    assert_eq!(
        found.longest_block,
        18 * HOUR,
        "54 hours are more than a tenth of 15 days"
    );
    let needed = found.needed_bytes.unwrap().value / GIB as f64;
    let paper = 15.0 + 2.0 * 0.75 + found.head_bytes / GIB as f64;
    assert!((needed - paper).abs() < 1e-3, "{needed} {paper}");
    assert_eq!(
        found.full.unwrap().when,
        None,
        "with a retention it never is"
    );
    assert_eq!(
        (found.binds_first, found.time_binds),
        (Some(Limit::Time), Some(0))
    );
    let possible = found.possible_retention.unwrap();
    let need = |retention| {
        let options = ForecastOptions {
            retention: Some(retention),
            ..options
        };
        forecast(&steady(30), &options).needed_bytes.unwrap().value
    };
    assert!(need(possible) <= (20 * GIB) as f64 && need(possible + DAY_MS) > (20 * GIB) as f64);
    assert!(found.safe_retention.unwrap() < possible);
}

#[test]
fn the_limit_that_is_reached_first_is_named() {
    let ask = |days: i64, retention: i64, size: u64| {
        let options = ForecastOptions {
            retention: Some(retention * DAY_MS),
            retention_size: Some(size * GIB),
            ..ForecastOptions::default()
        };
        forecast(&steady(days), &options)
    };
    let size = ask(10, 60, 30);
    assert_eq!(
        (size.binds_first, size.binds_at_horizon),
        (Some(Limit::Size), Some(Limit::Size))
    );
    let in_days = size.size_binds.unwrap() as f64 / DAY_MS as f64;
    assert!(
        (in_days - (20.0 - size.head_bytes / GIB as f64)).abs() < 0.1,
        "{in_days}"
    );
    let kept = size.size_retention.unwrap() / DAY_MS;
    assert!((25..30).contains(&kept), "{kept}");
    let time = ask(10, 15, 300);
    assert_eq!(
        (time.binds_first, time.binds_at_horizon),
        (Some(Limit::Time), Some(Limit::Time))
    );
    assert_eq!((time.time_binds, time.size_binds), (Some(5 * DAY_MS), None));
    let neither = ask(10, 3000, 5000);
    assert_eq!(
        (neither.binds_first, neither.binds_at_horizon),
        (Some(Limit::Time), None)
    );
}

#[test]
fn short_histories_are_called_so_and_have_no_bounds() {
    for count in 0..5 {
        let blocks = (0..count).map(|i| block(i as u128, i * 2 * HOUR, (i + 1) * 2 * HOUR));
        let found = forecast(&past(blocks), &ForecastOptions::default());
        let expected = if count == 0 {
            Caution::NoHistory
        } else {
            Caution::ShortHistory
        };
        assert_eq!(found.cautions[0], expected);
        assert_eq!((found.error80, found.growth), (None, None));
    }
}

#[test]
fn absurd_times_are_left_out_or_harmless() {
    const ENDS: [Millis; 9] = [
        Millis::MIN,
        Millis::MIN + 1,
        -1,
        0,
        1,
        1_700_000_000_000,
        Millis::MAX - DAY_MS,
        Millis::MAX - 1,
        Millis::MAX,
    ];
    let mut all = Past::default();
    let mut number = 0;
    for begin in ENDS {
        for end in ENDS {
            number += 1;
            let mut odd = block(number, begin, end);
            odd.samples = u64::MAX;
            odd.chunk_bytes = u64::MAX;
            odd.index_bytes = u64::MAX;
            for now in [None, Some(0), Some(Millis::MAX)] {
                let mut alone = steady(4);
                alone.add(
                    KnownBlock {
                        ulid: Ulid::from_parts(1, number),
                        ..odd.clone()
                    },
                    "odd",
                    now,
                );
                for retention in [1, Millis::MAX] {
                    let options = ForecastOptions {
                        disk: Some(u64::MAX),
                        retention: Some(retention),
                        retention_size: Some(1),
                        horizon: Millis::MAX,
                    };
                    let found = forecast(&alone, &options);
                    assert!(found.bytes_per_day.value.is_finite());
                }
            }
            all.add(odd, "odd", Some(0));
        }
    }
    assert!(all.left_out.len() > 60, "{}", all.left_out.len());
    forecast(&all, &ForecastOptions::default());
}

#[test]
fn a_block_of_the_future_is_named_and_does_not_count() {
    let mut past = steady(10);
    past.add(
        block(1 << 40, 300 * DAY_MS, 301 * DAY_MS),
        "of tomorrow",
        Some(10 * DAY_MS),
    );
    assert_eq!(past.left_out[0].name, "of tomorrow");
    assert_eq!(
        forecast(&past, &ForecastOptions::default()).as_of,
        10 * DAY_MS
    );
}

#[test]
fn many_blocks_that_all_overlap_take_no_square_of_time() {
    let blocks = (0..60_000).map(|i| block(i, i as i64, 200 * DAY_MS + i as i64));
    let found = forecast(&past(blocks), &ForecastOptions::default());
    assert!(
        found
            .cautions
            .iter()
            .any(|c| matches!(c, Caution::Overlaps(_)))
    );
}
