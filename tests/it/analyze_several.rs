//! `narthex analyze` over blocks that are made for it: births and deaths across seams, reasons why
//! chunks end, damage beside the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use narthex::block::Block;
use narthex::capacity::{Analysis, AnalyzeOptions, Analyzer, ChurnStep, CutReason, Turnover};
use narthex::chunk::Encoding;
use narthex::raw::ReadMode;
use serde_json::Value as Json;

use crate::reading::{Copy, narthex_in};
use crate::sick::{Loose, LooseSeries, START, Sick, floats};

/// Scrapes are this far apart.
const INTERVAL: i64 = 15_000;
/// A series that begins or ends within this time of all blocks is there from the start or to the
/// end: three scrapes.
const SLACK: i64 = 3 * INTERVAL;

type Labels = Vec<(String, String)>;

/// First and last scrape of each series.
type Lives = BTreeMap<Labels, (i64, i64)>;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn time(scrape: i64) -> i64 {
    START + scrape * INTERVAL
}

/// A block of what of these series lies in the scrapes from `from` to `to`, exclusive.
fn block(lives: &Lives, from: i64, to: i64) -> Sick {
    let series = lives.iter().filter_map(|(labels, (first, last))| {
        let scrapes = (*first).max(from)..(*last + 1).min(to);
        (!scrapes.is_empty()).then(|| LooseSeries {
            labels: labels.clone(),
            chunks: vec![floats(Encoding::Xor, scrapes.map(time))],
        })
    });
    let mut loose = Loose::healthy();
    loose.series = series.collect();
    loose.range = Some((time(from), time(to)));
    loose.write()
}

fn analyse(blocks: &[Sick]) -> Analysis {
    let mut analyzer = Analyzer::new(AnalyzeOptions {
        several_blocks: blocks.len() > 1,
        ..AnalyzeOptions::default()
    });
    for block in blocks {
        let block = Block::open(&block.dir, ReadMode::Map).unwrap();
        assert_eq!(analyzer.add(&block).unwrap(), 0);
    }
    analyzer.finish()
}

/// Pods that come and go at any time, some of them at the seams of blocks, in three jobs.
fn pods() -> Lives {
    let mut lives = Lives::new();
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((random >> 33) % below) as i64
    };
    for pod in 0..40 {
        let (first, last) = match pod % 5 {
            0 => (0, 59),
            1 => (20, 59),
            2 => (0, 19),
            3 => (20 * next(3), 59 - 20 * next(2)),
            _ => {
                let first = next(58);
                (first, first + next(60 - first as u64))
            }
        };
        let (job, pod) = (format!("job-{}", pod % 3), format!("pod-{pod}"));
        for metric in ["a", "b"] {
            let late = next(3).min(last - first);
            let of = labels(&[("__name__", metric), ("job", &job), ("pod", &pod)]);
            lives.insert(of, (first + late, last));
        }
    }
    lives
}

#[test]
fn series_that_come_and_go_at_seams_and_in_overlapping_blocks_are_those_of_a_slow_count() {
    let lives = pods();
    let parts: [&[(i64, i64)]; 4] = [
        &[(0, 60)],
        &[(0, 20), (20, 40), (40, 60)],
        &[(0, 20), (20, 40), (20, 60), (40, 60)],
        &[(0, 60), (0, 60)],
    ];
    for ranges in parts {
        let blocks: Vec<_> = ranges
            .iter()
            .map(|(from, to)| block(&lives, *from, *to))
            .collect();
        let analysis = analyse(&blocks);
        let (min, max) = (time(0), time(60));
        let span = |labels: &Labels| {
            let (first, last) = lives[labels];
            (time(first), time(last))
        };
        let is_born = |labels: &Labels| span(labels).0 - min > SLACK;
        let is_dead = |labels: &Labels| max - span(labels).1 > SLACK;
        assert_eq!(analysis.totals().series, lives.len() as u64);

        for name in ["__name__", "job", "pod"] {
            let mut values: BTreeMap<&str, Vec<&Labels>> = BTreeMap::new();
            for labels in lives.keys() {
                let value = labels.iter().find(|(n, _)| n == name);
                values.entry(&value.unwrap().1).or_default().push(labels);
            }
            let mut wanted = Turnover {
                label: name.to_owned(),
                values: values.len() as u64,
                ..Turnover::default()
            };
            for (value, series) in &values {
                let born = series.iter().filter(|s| is_born(s)).count() as u64;
                let died = series.iter().filter(|s| is_dead(s)).count() as u64;
                let groups = analysis.groups(name.as_bytes(), None);
                let what = narthex::capacity::What::Value((*value).to_owned());
                let group = groups.iter().find(|group| group.what == what).unwrap();
                assert_eq!((group.born, group.died), (born, died), "{ranges:?} {value}");
                wanted.born += born;
                if born == series.len() as u64 {
                    wanted.new_values += 1;
                    wanted.born_with_new += born;
                }
                if died == series.len() as u64 {
                    wanted.gone_values += 1;
                    wanted.died_with_gone += died;
                }
            }
            let found = analysis
                .turnover()
                .into_iter()
                .find(|row| row.label == name);
            let is_shown = wanted.new_values > 0 || wanted.gone_values > 0;
            assert_eq!(found, is_shown.then_some(wanted), "{ranges:?}");
        }

        let check = |step: &ChurnStep, job: Option<&str>| {
            let of = lives
                .keys()
                .filter(|labels| job.is_none_or(|job| labels[1].1 == job));
            let mut wanted = ChurnStep {
                start: step.start,
                end: step.end,
                ..ChurnStep::default()
            };
            for labels in of {
                let (first, last) = span(labels);
                let within = |time| (step.start..step.end).contains(&time);
                let born = is_born(labels) && within(first);
                let died = is_dead(labels) && within(last);
                let before = !is_born(labels) || first < step.start;
                let before = before && (!is_dead(labels) || last >= step.start);
                wanted.before += u64::from(before);
                wanted.born += u64::from(born);
                wanted.died += u64::from(died);
                wanted.survived += u64::from(before && !died);
                wanted.after += u64::from((before || born) && !died);
            }
            assert_eq!(*step, wanted, "{ranges:?} {job:?}");
        };
        let steps = analysis.steps();
        assert_eq!((steps[0].start, steps.last().unwrap().end), (min, max));
        for step in &steps {
            check(step, None);
        }
        let of_jobs = analysis.job_steps(usize::MAX);
        assert_eq!(of_jobs.len(), 3 * steps.len());
        for row in &of_jobs {
            check(&row.step, row.job.as_deref());
        }
        assert_eq!(analysis.job_steps(1), of_jobs[..steps.len()]);
        for job in analysis.job_churn() {
            let of = || {
                lives
                    .keys()
                    .filter(|labels| Some(&labels[1].1) == job.job.as_ref())
            };
            let count = |is: &dyn Fn(&Labels) -> bool| of().filter(|s| is(s)).count() as u64;
            assert_eq!(
                (job.series, job.born, job.died, job.survived),
                (
                    count(&|_| true),
                    count(&is_born),
                    count(&is_dead),
                    count(&|s| !is_born(s) && !is_dead(s))
                )
            );
        }
    }
}

#[test]
fn a_day_is_divided_into_hours_and_no_range_into_more_than_25_steps() {
    for (from, scrapes, steps) in [(80, 5760, 25), (0, 480, 25), (3, 4, 1), (0, 40_000, 14)] {
        let lives = Lives::from([(labels(&[("__name__", "up")]), (from, from + 3))]);
        let steps_found = analyse(&[block(&lives, from, from + scrapes)]).steps();
        assert!(steps_found.len() <= 25 && steps_found.len().abs_diff(steps) <= 1);
        if scrapes == 5760 {
            assert_eq!(steps_found[1].end - steps_found[1].start, 3_600_000);
        }
    }
}

#[test]
fn a_series_without_a_readable_chunk_is_neither_born_nor_dead() {
    let lives = Lives::from([
        (labels(&[("__name__", "a")]), (0, 19)),
        (labels(&[("__name__", "b")]), (0, 19)),
    ]);
    let sick = block(&lives, 0, 20);
    let mut segment = sick.read("chunks/000001");
    let end = segment.len() - 1;
    segment[end] ^= 1;
    sick.write("chunks/000001", &segment);
    let mut analyzer = Analyzer::new(AnalyzeOptions::default());
    assert_eq!(
        analyzer
            .add(&Block::open(&sick.dir, ReadMode::Map).unwrap())
            .unwrap(),
        1
    );
    let analysis = analyzer.finish();
    let jobs = analysis.job_churn();
    assert_eq!(jobs.len(), 1);
    let (series, alive) = (jobs[0].series, jobs[0].from_start);
    assert_eq!((series, alive, jobs[0].born, jobs[0].died), (2, 1, 0, 0));
    assert!(
        analysis
            .steps()
            .iter()
            .all(|step| (step.born, step.died) == (0, 0))
    );
    assert!(analysis.turnover().is_empty());
    let groups = analysis.groups(b"__name__", None);
    assert!(
        groups
            .iter()
            .all(|group| (group.born, group.died) == (0, 0)),
        "{groups:?}"
    );
}

#[test]
fn a_metric_that_is_large_in_one_block_only_says_how_many_of_its_series_were_looked_at() {
    let block_of = |late: usize, early: usize, from: i64| {
        let mut lives = Lives::new();
        let mut metric = |name: &str, count: usize| {
            for n in 0..count {
                let of = labels(&[("__name__", name), ("n", &n.to_string())]);
                lives.insert(of, (from, from + 19));
            }
        };
        for other in 0..19 {
            metric(&format!("other-{other:02}"), 3);
        }
        metric("early", early);
        metric("late", late);
        block(&lives, from, from + 20)
    };
    let analysis = analyse(&[block_of(1, 9, 0), block_of(7, 2, 20)]);
    let rows = analysis.cross(usize::MAX, usize::MAX);
    let of = |metric: &str| {
        let row = rows.iter().find(|row| row.metric == metric).unwrap();
        (row.metric_series, row.looked_at, row.values, row.series)
    };
    assert_eq!(of("late"), (8, 7, 7, 7));
    assert_eq!(of("early"), (11, 11, 9, 11));
    assert_eq!(of("other-00"), (6, 6, 3, 6));
}

#[test]
fn chunks_end_for_the_reasons_they_were_made_with() {
    let chunk = |scrapes: std::ops::Range<i64>| floats(Encoding::Xor, scrapes.map(time));
    // The next range of two hours begins at scrape 426⅔.
    let series = |name: &str, chunks: Vec<_>| LooseSeries {
        labels: labels(&[("__name__", name)]),
        chunks,
    };
    let jumps = (0..110).map(|k| time(0) + k * 40_000 + (k % 2) * 1_100_000);
    let mut loose = Loose::healthy();
    loose.series = vec![
        series(
            "a",
            vec![
                chunk(0..120),
                chunk(120..237),
                chunk(237..287),
                chunk(297..298),
                chunk(298..310),
                chunk(309..427),
                chunk(427..480),
            ],
        ),
        series("b", vec![chunk(0..10)]),
        series(
            "c",
            vec![floats(Encoding::Xor, jumps.clone()), chunk(470..480)],
        ),
        series("d", vec![chunk(479..480)]),
    ];
    loose.range = Some((time(0), time(480)));
    let analysis = analyse(&[loose.write()]);
    let found: BTreeMap<_, _> = analysis
        .cuts()
        .into_iter()
        .map(|row| (row.cut, (row.chunks, row.samples)))
        .collect();
    let wanted = BTreeMap::from([
        (CutReason::Full, (2, 237)),
        (CutReason::Size, (1, 110)),
        (CutReason::RangeEnd, (1, 118)),
        (CutReason::Gap, (1, 50)),
        (CutReason::Overlap, (1, 12)),
        (CutReason::BlockEnd, (3, 53 + 10 + 1)),
        (CutReason::SeriesEnd, (1, 10)),
        (CutReason::Unknown, (1, 1)),
    ]);
    assert_eq!(found, wanted);
}

#[test]
fn damaged_tombstones_and_segment_headers_do_not_keep_a_block_from_being_analysed() {
    let copy = Copy::of("blocks/child-of-three");
    let summary = || {
        let ran = copy.narthex("analyze", &["--by", "summary", "--json"]);
        let rows: Json = serde_json::from_str(&ran.out).unwrap();
        (ran.code, ran.err, rows[0].clone())
    };
    let (code, _, healthy) = summary();
    assert_eq!((code, &healthy["faults"]), (0, &Json::from(0)));
    copy.edit("chunks/000001", |segment| segment[0] ^= 1);
    copy.edit("tombstones", |tombstones| {
        let end = tombstones.len() - 1;
        tombstones[end] ^= 1;
    });
    let (code, err, damaged) = summary();
    assert_eq!((code, &damaged["faults"]), (3, &Json::from(2)));
    assert!(
        err.contains("chunks/000001: ") && err.contains("tombstones: "),
        "{err}"
    );
    assert_eq!(damaged["samples"], healthy["samples"]);
    assert_eq!(damaged["bytes"], healthy["bytes"]);
}

#[test]
fn a_block_that_cannot_be_opened_is_counted_and_one_without_blocks_says_so() {
    let copy = Copy::of("night-2");
    let blocks: BTreeSet<_> = fs::read_dir(copy.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("meta.json").exists())
        .collect();
    let first = blocks.first().unwrap();
    fs::write(first.join("meta.json"), "{garbage").unwrap();
    let ran = copy.narthex("analyze", &["--by", "summary", "--json"]);
    let rows: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("meta.json"), "{}", ran.err);
    assert_eq!(rows[0]["unreadable"], 1);
    // The head takes its place: it is read from where the newest block that can be read ends.
    assert_eq!(rows[0]["blocks"], blocks.len() as u64);

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    let ran = narthex_in(dir.path(), &["analyze", ".", "--by", "summary", "--json"]);
    let rows: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &rows[0]["min_time"]), (0, &Json::Null));
    assert!(ran.err.contains("nothing was analysed"), "{}", ran.err);
}

#[test]
fn a_block_of_an_archive_that_cannot_be_unpacked_does_not_keep_the_others_from_being_analysed() {
    let copy = Copy::of("night-2");
    let repo = tempfile::tempdir().unwrap();
    let place = repo.path().to_str().unwrap();
    assert_eq!(narthex_in(copy.path(), &["init", "--repo", place]).code, 0);
    let backup = ["backup", ".", "--no-cache", "--repo", place];
    assert_eq!(narthex_in(copy.path(), &backup).code, 0);
    let analyze = || {
        let arguments = [
            "analyze",
            "--archive",
            "latest",
            "--repo",
            place,
            "--by",
            "summary",
            "--json",
        ];
        narthex_in(copy.path(), &arguments)
    };
    let blocks = |out: &str| {
        let rows: Json = serde_json::from_str(out).unwrap();
        let number = |key: &str| rows[0][key].as_u64().unwrap();
        (number("blocks"), number("unreadable"))
    };
    let (all, none) = blocks(&analyze().out);
    assert!(all > 1 && none == 0);
    let objects = fs::read_dir(repo.path().join("blocks")).unwrap();
    let lost: BTreeSet<_> = objects.map(|entry| entry.unwrap().path()).collect();
    let lost = lost.first().unwrap();
    fs::remove_dir_all(lost).unwrap();
    fs::remove_dir_all(repo.path().join("packs").join(lost.file_name().unwrap())).unwrap();
    let ran = analyze();
    assert_eq!(
        (ran.code, blocks(&ran.out)),
        (3, (all - 1, 1)),
        "{}",
        ran.err
    );
    let ulid = lost.file_name().unwrap().to_str().unwrap();
    assert!(ran.err.contains(ulid), "{}", ran.err);
}
