//! Bytes, lists, selections and samples, against a slow count.

use super::*;

#[test]
fn bytes_of_every_label_of_every_block_add_up_and_are_those_of_a_slow_count() {
    for dir in blocks() {
        let place = dir.display();
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let (series, own_pairs, own_names) = slow(&block);
        let analysis = analyse(std::slice::from_ref(&dir), AnalyzeOptions::default());
        assert_eq!(analysis.faults.count, 0, "{place}");
        let bytes = size(&dir);
        assert_eq!(analysis.totals().bytes, bytes, "{place}");
        assert_eq!(
            analysis.parts().iter().map(|part| part.bytes).sum::<u64>(),
            bytes
        );
        let names: BTreeSet<&[u8]> = own_names.keys().map(Vec::as_slice).collect();
        for name in names.iter().copied().chain([&b"no such label"[..]]) {
            let groups = analysis.groups(name, None);
            assert_eq!(sum(&groups), bytes, "{place} {}", name.escape_ascii());
            assert_eq!(sum(&analysis.groups(name, Some(2))), bytes);
            for group in &groups {
                let carries = |series: &&Slow| match &group.what {
                    What::Value(value) => series.has(name) == Some(value.as_bytes()),
                    What::Without => series.has(name).is_none(),
                    What::Others(_) | What::NotSelected | What::Shared => false,
                };
                let of: Vec<_> = series.iter().filter(carries).collect();
                let index: f64 = of.iter().map(|series| series.index).sum();
                if group.what != What::Shared {
                    assert!(
                        (group.index_bytes as f64 - index).abs() < 1.01,
                        "{place} {group:?}: {index}"
                    );
                    assert_eq!(
                        group.chunk_bytes,
                        of.iter().map(|series| series.chunk_bytes()).sum::<u64>()
                    );
                }
                assert_eq!(group.series, of.len() as u64, "{place}");
                assert_eq!(group.samples, of.iter().map(|s| s.samples()).sum::<u64>());
                assert_eq!(
                    group.chunks,
                    of.iter().map(|s| s.chunks.len() as u64).sum::<u64>()
                );
                assert_eq!(
                    group.one_sample,
                    of.iter().filter(|s| s.samples() == 1).count() as u64
                );
            }
        }
        let pairs = analysis.pairs(Rank::Series, None);
        assert_eq!(pairs.len(), own_pairs.len(), "{place}");
        for pair in &pairs {
            let key = (
                pair.name.clone().into_bytes(),
                pair.value.clone().into_bytes(),
            );
            assert!(
                (pair.own_bytes as f64 - own_pairs[&key]).abs() < 0.6,
                "{place} {pair:?}"
            );
            let carriers = series.iter().filter(|s| s.labels.contains(&key));
            assert_eq!(pair.series, carriers.count() as u64);
        }
        for label in analysis.labels() {
            let own = own_names[label.name.as_bytes()];
            assert!(
                (label.own_bytes as f64 - own).abs() < 1.01,
                "{place} {label:?}: {own}"
            );
        }
    }
}

/// What promtool prints, by its own way of counting: maps filled series by series.
#[test]
fn the_lists_of_promtool_come_out_as_it_counts_them() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let (series, ..) = slow(&block);
        let analysis = analyse(std::slice::from_ref(&dir), AnalyzeOptions::default());
        let meta = block.meta();
        let duration = (meta.max_time - meta.min_time) as u64;
        let mut pairs: BTreeMap<Pair, (u64, u64)> = BTreeMap::new();
        let mut names: BTreeMap<Vec<u8>, (u64, BTreeSet<Vec<u8>>)> = BTreeMap::new();
        let mut entries = 0;
        for series in &series {
            let (first, last) = series.span();
            let covered = last.min(meta.max_time) - first.max(meta.min_time);
            let uncovered = duration - covered.max(0) as u64;
            for (name, value) in &series.labels {
                let pair = pairs.entry((name.clone(), value.clone())).or_default();
                *pair = (pair.0 + 1, pair.1 + uncovered);
                let of_name = names.entry(name.clone()).or_default();
                of_name.0 += uncovered;
                of_name.1.insert(value.clone());
                entries += 1;
            }
        }
        let totals = analysis.totals();
        assert_eq!(totals.postings, entries);
        assert_eq!(totals.label_pairs, pairs.len() as u64);
        assert_eq!(totals.label_names, names.len() as u64);
        assert_eq!(totals.series, series.len() as u64);
        let labels = analysis.labels();
        assert_eq!(labels.len(), names.len());
        for label in &labels {
            let (uncovered, values) = &names[label.name.as_bytes()];
            assert_eq!(label.values, values.len() as u64);
            assert_eq!(
                label.value_bytes,
                values.iter().map(|v| v.len() as u64).sum::<u64>()
            );
            assert_eq!(label.uncovered, uncovered / duration);
        }
        let keys: Vec<_> = labels
            .iter()
            .map(|l| (std::cmp::Reverse(l.values), &l.name))
            .collect();
        assert!(keys.is_sorted());
        let mut common: Vec<_> = pairs
            .iter()
            .map(|(pair, (n, _))| (std::cmp::Reverse(*n), pair))
            .collect();
        common.sort();
        let top = analysis.pairs(Rank::Series, Some(20));
        assert_eq!(top.len(), common.len().min(20));
        for (row, (n, pair)) in top.iter().zip(&common) {
            assert_eq!(
                (row.series, row.name.as_bytes(), row.value.as_bytes()),
                (n.0, &pair.0[..], &pair.1[..])
            );
        }
        let mut churning: Vec<_> = pairs
            .iter()
            .map(|(pair, (_, u))| (std::cmp::Reverse(*u), pair))
            .collect();
        churning.sort();
        for (row, (u, pair)) in analysis
            .pairs(Rank::Uncovered, Some(20))
            .iter()
            .zip(&churning)
        {
            assert_eq!(
                (row.name.as_bytes(), row.value.as_bytes()),
                (&pair.0[..], &pair.1[..])
            );
            assert_eq!(row.uncovered, u.0 / duration);
        }
        for row in analysis.cross(5, 100) {
            let of_metric = || {
                series
                    .iter()
                    .filter(|s| s.has(b"__name__") == Some(row.metric.as_bytes()))
            };
            assert_eq!(row.metric_series, of_metric().count() as u64);
            let values: BTreeSet<_> = of_metric()
                .filter_map(|s| s.has(row.label.as_bytes()))
                .collect();
            assert_eq!(row.values, values.len() as u64, "{row:?}");
            assert_eq!(
                row.series,
                of_metric()
                    .filter(|s| s.has(row.label.as_bytes()).is_some())
                    .count() as u64
            );
        }
    }
}

#[test]
fn several_blocks_are_added_up_and_a_series_in_several_is_one() {
    let dirs: Vec<_> = blocks()
        .into_iter()
        .filter(|dir| dir.starts_with(fixture("night-2")))
        .collect();
    let several = AnalyzeOptions {
        several_blocks: true,
        ..AnalyzeOptions::default()
    };
    let analysis = analyse(&dirs, several);
    let bytes: u64 = dirs.iter().map(|dir| size(dir)).sum();
    let mut lives: BTreeMap<Vec<Pair>, (i64, i64)> = BTreeMap::new();
    let mut metrics: BTreeMap<Vec<u8>, (u64, u64, f64)> = BTreeMap::new();
    let (mut min, mut max) = (i64::MAX, i64::MIN);
    for dir in &dirs {
        let block = Block::open(dir, ReadMode::Map).unwrap();
        (min, max) = (
            min.min(block.meta().min_time),
            max.max(block.meta().max_time),
        );
        for series in slow(&block).0 {
            let span = series.span();
            let life = lives.entry(series.labels.clone()).or_insert(span);
            *life = (life.0.min(span.0), life.1.max(span.1));
            let metric = metrics
                .entry(series.has(b"__name__").unwrap().to_vec())
                .or_default();
            metric.0 += 1;
            metric.1 += series.chunk_bytes();
            metric.2 += series.index;
        }
    }
    assert_eq!(analysis.totals().series, lives.len() as u64);
    let groups = analysis.groups(b"__name__", None);
    assert_eq!(sum(&groups), bytes);
    for group in groups.iter().filter(|group| value(group).is_some()) {
        let (series, chunk_bytes, index) = metrics[value(group).unwrap().as_bytes()];
        assert_eq!((group.series, group.chunk_bytes), (series, chunk_bytes));
        assert!((group.index_bytes as f64 - index).abs() < 1.01);
    }
    // The slack at both ends is three intervals; the blocks were scraped each half second.
    let steps = analysis.steps();
    let jobs = analysis.job_churn();
    let born: u64 = steps.iter().map(|step| step.born).sum();
    let died: u64 = steps.iter().map(|step| step.died).sum();
    assert_eq!(born, jobs.iter().map(|job| job.born).sum::<u64>());
    assert_eq!(died, jobs.iter().map(|job| job.died).sum::<u64>());
    assert_eq!(
        lives.len() as u64,
        jobs.iter().map(|job| job.series).sum::<u64>()
    );
    let (late, early) = (
        |slack: i64| lives.values().filter(|life| life.0 - min > slack).count() as u64,
        |slack: i64| lives.values().filter(|life| max - life.1 > slack).count() as u64,
    );
    let fits = |slack: &i64| late(*slack) == born && early(*slack) == died;
    assert!(
        (1..300_000).step_by(500).any(|slack| fits(&slack))
            || [1500, 15_000, 3000].iter().any(fits),
        "{born} {died}"
    );
    for (step, next) in steps.iter().zip(&steps[1..]) {
        assert_eq!((step.after, step.end), (next.before, next.start));
        assert_eq!(step.before + step.born - step.died, step.after);
    }
}

#[test]
fn selections_count_whole_chunks_and_what_is_left_out_has_a_row() {
    let dir = fixture("night-1/01M80FKE4V4C8GPJHYD9T1D87F");
    let block = Block::open(&dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let meta = block.meta();
    let middle = i64::midpoint(meta.min_time, meta.max_time);
    let jobs: BTreeSet<_> = series.iter().filter_map(|s| s.has(b"job")).collect();
    let job = String::from_utf8(jobs.first().unwrap().to_vec()).unwrap();
    for (since, until, matcher) in [
        (i64::MIN, i64::MAX, Some(&job)),
        (middle, i64::MAX, None),
        (i64::MIN, middle, Some(&job)),
        (meta.max_time + 1, i64::MAX, None),
    ] {
        let selectors = matcher
            .iter()
            .map(|job| format!("{{job={job:?}}}").parse().unwrap())
            .collect();
        let selection = Selection::new(since, until, selectors);
        let options = AnalyzeOptions {
            selection,
            ..AnalyzeOptions::default()
        };
        let analysis = analyse(std::slice::from_ref(&dir), options);
        let wanted =
            |chunk: &&SlowChunk| chunk.meta.max_time >= since && chunk.meta.min_time < until;
        let chosen: Vec<_> = series
            .iter()
            .filter(|s| matcher.is_none_or(|job| s.has(b"job") == Some(job.as_bytes())))
            .filter(|s| s.chunks.iter().any(|chunk| wanted(&chunk)))
            .collect();
        let chunks: Vec<_> = chosen
            .iter()
            .flat_map(|s| &s.chunks)
            .filter(wanted)
            .collect();
        let totals = analysis.totals();
        assert_eq!(totals.series_entries, chosen.len() as u64);
        assert_eq!(totals.left_out, (series.len() - chosen.len()) as u64);
        assert_eq!(totals.chunks, chunks.len() as u64);
        assert_eq!(
            totals.samples,
            chunks.iter().map(|c| c.samples).sum::<u64>()
        );
        let groups = analysis.groups(b"job", None);
        assert_eq!(sum(&groups), size(&dir));
        let all: u64 = series.iter().map(Slow::chunk_bytes).sum();
        let left_out = groups
            .iter()
            .filter(|group| group.what == What::NotSelected)
            .map(|group| group.chunk_bytes)
            .sum::<u64>();
        assert_eq!(left_out, all - chunks.iter().map(|c| c.bytes).sum::<u64>());
    }
}

#[test]
fn samples_say_what_they_cost_and_how_far_they_are_apart() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let analysis = analyse(
            std::slice::from_ref(&dir),
            AnalyzeOptions {
                extended: true,
                ..AnalyzeOptions::default()
            },
        );
        let (mut samples, mut bits, mut rest) = (0u64, 0u64, 0u64);
        let mut distances: BTreeMap<Option<String>, BTreeMap<u64, u64>> = BTreeMap::new();
        for series in slow(&block).0 {
            let job = series
                .has(b"job")
                .map(|job| String::from_utf8(job.to_vec()).unwrap());
            let of_job = distances.entry(job).or_default();
            let mut last: Option<i64> = None;
            for chunk in &series.chunks {
                let mut times = Vec::new();
                let shape = decode(chunk.encoding, &chunk.data, 0, |sample| {
                    times.push(sample.time());
                })
                .unwrap();
                let joined = last
                    .into_iter()
                    .chain(times.iter().copied())
                    .collect::<Vec<_>>();
                for pair in joined.windows(2).filter(|pair| pair[1] > pair[0]) {
                    *of_job
                        .entry(rounded((pair[1] - pair[0]) as u64))
                        .or_default() += 1;
                }
                last = last.max(times.last().copied());
                if chunk.encoding != Encoding::Xor {
                    continue;
                }
                samples += times.len() as u64;
                bits += bits_of(&times);
                rest += chunk.data.len() as u64 * 8
                    - 16
                    - match shape.tail {
                        Tail::Padding => 0,
                        Tail::ExtraZeroByte => 8,
                        Tail::Unexpected { bits } => bits,
                    };
            }
        }
        assert_eq!(
            (analysis.bits.samples, analysis.bits.time),
            (samples, bits),
            "{}",
            dir.display()
        );
        assert_eq!(analysis.bits.value, rest - bits);
        for row in analysis.scrapes() {
            let of_job = &distances[&row.job];
            let Some(found) = row.distances else {
                assert!(of_job.is_empty());
                continue;
            };
            assert_eq!(found, of_job.values().sum::<u64>());
            let most = of_job.values().max().unwrap();
            assert_eq!(of_job[&(row.interval as u64)], *most);
            assert_eq!(
                row.longest.unwrap() as u64,
                *of_job.keys().next_back().unwrap()
            );
            let interval = row.interval as f64;
            let missed = of_job
                .iter()
                .map(|(d, n)| ((*d as f64 / interval).round() - 1.0).max(0.0) * *n as f64);
            assert!(
                (missed.sum::<f64>() - row.missed.unwrap() as f64).abs() < 0.5,
                "{row:?}"
            );
        }
    }
}

fn rounded(distance: u64) -> u64 {
    let digits = distance.to_string().len().saturating_sub(3);
    let unit = 10u64.pow(digits as u32);
    (distance + unit / 2) / unit * unit
}

fn bits_of(times: &[i64]) -> u64 {
    let mut bits = 0;
    let mut delta = 0;
    for (i, time) in times.iter().enumerate() {
        let before = if i == 0 { 0 } else { times[i - 1] };
        let change = time - before - delta;
        bits += match i {
            0 => 8 * varint_len(((time << 1) ^ (time >> 63)) as u64) as u64,
            1 => 8 * varint_len((time - before) as u64) as u64,
            _ if change == 0 => 1,
            _ if (-8191..=8192).contains(&change) => 16,
            _ if (-65535..=65536).contains(&change) => 20,
            _ if (-524_287..=524_288).contains(&change) => 24,
            _ => 68,
        };
        if i > 0 {
            delta = time - before;
        }
    }
    bits
}

#[test]
fn each_series_is_shown_with_what_it_costs() {
    let dir = fixture("blocks/promtool-2.42");
    let dir = crate::fixtures::blocks_below(&dir).remove(0);
    let block = Block::open(&dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let mut faults = Faults::default();
    let mut at = 0;
    for_each_series(
        &block,
        &Selection::default(),
        &mut faults,
        |costs: &Costs<'_>, view| {
            let slow = &series[at];
            at += 1;
            assert!((view.index_bytes().rounded() as f64 - slow.index).abs() < 0.6);
            assert_eq!(
                (view.chunk_bytes, view.samples),
                (slow.chunk_bytes(), slow.samples())
            );
            assert_eq!(view.min_time().zip(view.max_time()), Some(slow.span()));
            for (pair, (name, _)) in view.pairs.iter().zip(&slow.labels) {
                let pair = &costs.pairs()[pair.unwrap() as usize];
                assert_eq!(costs.name_of(pair.name), &name[..]);
            }
        },
    )
    .unwrap();
    assert_eq!((at, faults.count), (series.len(), 0));
}
