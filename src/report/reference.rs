//! The reference of JSON keys, `docs/report-columns.md`, made from the tables of columns.

use std::fmt::Write as _;

use super::analyze::columns as analyze;
use super::inspect::columns as inspect;
use super::{Column, archives, blocks, compare, forecast, logs, retain, start, stats, whatif};

const HEADING: &str = "\
# What commands print as JSON and CSV

This page is made from the tables of columns in `src/report` and held equal to them by a test. Keys are stable: new ones may be
added, none is renamed. Numbers are as they are, in the unit of their column; the unit is left out for words. `null`, in CSV nothing, means not
known or not applicable. CSV has the keys as its first line, in this order.

";

const LIST: &str = "\
## `narthex list --json`

One object with the key `directories`: a list with one object per directory, blocks that were named singly being put together. Each has
`path`; `place`, which is `data directory`, `Prometheus snapshot` or `block`; and `blocks`, `unreadable`, `others`, `logs` and `totals`. `logs` is a list with one object
per log of a data directory, in `narthex verify --json` too.

";

const VERIFY: &str = "\
## `narthex verify --json`

One object with the key `verified`: a list with one object per path, whose `findings` are explained in [findings.md](findings.md). Its `start` says
what a start of Prometheus would do there; it is `null` for a single block. It has `prometheus`, the release that was assumed; `retention` and `now` in
milliseconds and `retentionSize` in bytes, `null` where none is assumed; `starts`, whether the server starts; `keeps`, the ULIDs of the
blocks it serves; `storedUntil`, the end of the newest block, before which in-order samples are neither replayed nor taken; `validFrom`, that time, or
what the checkpoint says, whichever is later; `replays`, the times (`minTime`,
`maxTime`) of the first and the last sample it replays from the WAL; and `entries`, what it does, in order.

";

const INSPECT: &str = "\
## `narthex inspect --json`

One object with the key `blocks`: a list with one object per block, with the keys of the first table and `sections`,
`encodings`, `labels`, `tombstones` and `foreign_files`, which are lists of objects with the keys of the other tables; `segments`, a list of objects with `name` and
`bytes`; `distributions`, an object with one object per distribution; and `faults`, a list of sentences.

";

const ANALYZE: &str = "\
## `narthex analyze --json`

One object. `summary` is an object with the keys of the first table; `distributions`, an object with one object per distribution, as of
`narthex inspect --json`; `faults`, a list of sentences. All other keys are lists of objects with the keys of the table of the same name; `jobs`
is as `metrics`, and `common_pairs` and `churning_pairs` are as `pairs`, of which there are at most 1,000 without `--top`; `churn_by_time_and_job` has at most 100 jobs. `encodings` is as of
`narthex inspect --json`. With `--by` it is one of these lists alone.

";

const WHATIF: &str = "\
## `narthex whatif --json`

One object with the keys `covered`, the milliseconds that blocks cover; `changes`, a list with one object per change; `collisions`, a list with one
object per change that drops labels, with `change` and `first`, a list of the first label sets; `snippet`, configuration to paste; and `notes`, a
list of sentences about it. With `--rules` or `--dashboards` there are also `metrics`, the number of metrics in the blocks; `unused` and `guessed`,
lists of metrics that nothing uses and that only a name with variables may mean; `files` and `expressions`, how many were read; and
`problems`, a list of sentences: with any, `unused` is not certain.

";

const STATS: &str = "\
## `narthex stats --json`

One object with the keys `totals`, an object; `codecs`, a list with one object per codec; and `parts`, a list with one object per kind of
column in packs, empty with `--quick`.

With `--by`: one object with the keys `archive`, an id; `totals`, an object; and `rows`, a list with one object per metric, job, or both, the largest first.

";

const DIFF: &str = "\
## `narthex diff --json`

Of the block lists of two archives: one object with the keys `a` and `b`, which are ids; `shared`, a number of blocks; and `changes`.

Of the samples of two sides: one object with the keys `equal`, which is `files`, `samples`, `series` or `none`; `complete`, whether everything
could be read; `sides`, `counts`, `files` (null where files were not compared), and the lists `metrics` (the largest changes first), `only_in_a` and
`only_in_b`, `differences`, `covered_only_by_a` and `covered_only_by_b`. `metrics`, `only_in_a`, `only_in_b` and `differences` are as long as `--top` lets them.

";

const FORGET: &str = "\
## `narthex forget --json`

One object with the keys `archives`, a list with one object per archive that was considered; `damaged`, a list of objects with `object`
and `error`, for manifests that cannot be read and stay; `removed_damaged`, a list of names of such manifests that were removed because their ids
were given; `damaged_blocks`, a list of the ULIDs of blocks that the archives which stay have only damaged, because of which others stay as well; `dry_run`; and, with `--prune`, `prune`, an object as of `narthex prune --json`.

";

const PRUNE: &str = "\
## `narthex prune --json`

One object with the keys of the first table, `dry_run`, and `items`, a list with one object for each object that no archive needs, or that
was marked although one does.

";

const FORECAST: &str = "\
## `narthex forecast --json`

One object with the keys of the first table; `levels`, a list with one object per compaction level; `models`, a list with one object per model that
was tried; and `cautions`, a list of sentences. `--csv` prints one line, with the keys of the first table.

";

const DUMP: &str = "\
## `narthex dump --format json`

One object per line and sample.

| key | meaning |
|---|---|
| `labels` | The labels of the series as an object. Bytes that are not UTF-8 are replaced by U+FFFD. |
| `time` | Time of the sample, in milliseconds since the Unix epoch. |
| `start` | Its start timestamp, in milliseconds since the Unix epoch; missing where there is none. |
| `value` | Value of a float sample: a number, or one of the strings `NaN`, `+Inf`, `-Inf`, and `stale` for the marker that ends a series. |
| `bits` | The value's IEEE-754 bits as 16 hexadecimal digits, for a NaN that is neither the stale marker nor `7ff8000000000001`; else missing. |
| `histogram` | A native histogram instead of `value`: an object with the keys below. |

### In `histogram`

| key | meaning |
|---|---|
| `kind` | `integer` or `float`: how counts are stored. |
| `counter_reset` | What the chunk says of a reset before its first sample: `unknown`, `no`, `yes`; or `gauge`. |
| `sum`, `count` | Sum and number of observations; `sum` is the string `stale` in a stale marker. |
| `schema` | Resolution: −4 to 8 for exponential buckets, −53 for custom bounds. |
| `zero_threshold`, `zero_count` | Width of the zero bucket, and observations in it. |
| `custom_bounds` | Upper bounds of the buckets, for schema −53. |
| `positive_spans`, `negative_spans` | Runs of buckets: objects with `offset`, the index of the first bucket or the buckets skipped since the span before, and `length`. |
| `positive_buckets`, `negative_buckets` | Observations in each of these buckets, not cumulated. |
";

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = HEADING.to_owned();
    page.push_str(LIST);
    keys(&mut page, "`blocks`", blocks::COLUMNS);
    keys(&mut page, "`unreadable`", blocks::UNREADABLE);
    keys(&mut page, "`others`", blocks::OTHERS);
    keys(&mut page, "`logs`", logs::LOGS);
    keys(&mut page, "`totals`", blocks::TOTALS);
    page.push_str(VERIFY);
    keys(&mut page, "`entries` of `start`", start::ENTRIES);
    page.push_str(INSPECT);
    keys(&mut page, "A block", inspect::OVERVIEW);
    keys(&mut page, "`sections`", inspect::SECTIONS);
    keys(&mut page, "`encodings`", inspect::ENCODINGS);
    keys(&mut page, "`labels`", inspect::LABELS);
    keys(&mut page, "`tombstones`", inspect::DELETIONS);
    keys(&mut page, "`foreign_files`", inspect::FILES);
    keys(&mut page, "`distributions`", inspect::DISTRIBUTIONS);
    keys(&mut page, "`buckets` of a distribution", inspect::BUCKETS);
    page.push_str(ANALYZE);
    keys(&mut page, "`summary`", analyze::SUMMARY);
    keys(&mut page, "`blocks` of an analysis", analyze::BLOCKS);
    keys(&mut page, "`parts`: kinds of bytes", analyze::PARTS);
    keys(&mut page, "`metrics`", analyze::GROUPS);
    keys(&mut page, "`labels`: label names", analyze::LABELS);
    keys(&mut page, "`pairs`", analyze::PAIRS);
    keys(&mut page, "`metric_labels`", analyze::CROSS);
    keys(&mut page, "`looks`", analyze::LOOKS);
    keys(&mut page, "`churn`", analyze::STEPS);
    keys(&mut page, "`churn_by_job`", analyze::JOBS);
    keys(&mut page, "`churn_by_time_and_job`", analyze::JOB_STEPS);
    keys(&mut page, "`turnover`", analyze::TURNOVER);
    keys(&mut page, "`scrapes`", analyze::SCRAPES);
    keys(&mut page, "`cuts`", analyze::CUTS);
    page.push_str(WHATIF);
    keys(&mut page, "`changes`", whatif::columns::OUTCOMES);
    keys(
        &mut page,
        "`first` of `collisions`",
        whatif::columns::COLLISIONS,
    );
    keys(
        &mut page,
        "`unused` and `guessed`",
        whatif::columns::METRICS,
    );
    page.push_str(STATS);
    keys(&mut page, "`totals` of a repository", stats::TOTALS);
    keys(&mut page, "`codecs`", stats::CODECS);
    keys(&mut page, "`parts`", stats::PARTS);
    keys(&mut page, "`totals` with `--by`", stats::ROW_TOTALS);
    keys(&mut page, "`rows`", stats::ROWS);
    page.push_str(DIFF);
    keys(&mut page, "`changes`", archives::CHANGES);
    keys(&mut page, "`sides`", compare::SIDES);
    keys(&mut page, "`counts`", compare::COUNTS);
    keys(&mut page, "`files`", compare::FILES);
    keys(&mut page, "`metrics`", compare::METRICS);
    keys(&mut page, "`only_in_a`, `only_in_b`", compare::SERIES);
    keys(&mut page, "`differences`", compare::DIFFERENCES);
    keys(
        &mut page,
        "`covered_only_by_a`, `covered_only_by_b`",
        compare::RANGES,
    );
    page.push_str(FORGET);
    keys(&mut page, "`archives`", retain::DECISIONS);
    page.push_str(PRUNE);
    keys(&mut page, "A prune", retain::PRUNED);
    keys(&mut page, "`items`", retain::ITEMS);
    page.push_str(FORECAST);
    keys(&mut page, "A forecast", forecast::FORECAST);
    keys(&mut page, "`levels`", forecast::LEVELS);
    keys(&mut page, "`models`", forecast::MODELS);
    page.push_str(DUMP);
    page
}

fn keys<Row>(page: &mut String, title: &str, columns: &[Column<Row>]) {
    let _ = writeln!(
        page,
        "### {title}\n\n| key | unit | meaning |\n|---|---|---|"
    );
    for column in columns {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            column.key, column.unit, column.explanation
        );
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;

    #[test]
    fn the_page_about_json_keys_is_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report-columns.md");
        if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), reference());
    }

    #[test]
    fn every_unit_has_a_name_of_its_own() {
        for (i, unit) in Unit::ALL.into_iter().enumerate() {
            assert!(
                Unit::ALL[..i]
                    .iter()
                    .all(|other| other.name() != unit.name()),
                "{unit}"
            );
        }
    }

    #[test]
    fn keys_are_unique_and_every_column_is_explained() {
        fn check<Row>(columns: &[Column<Row>]) {
            for (i, column) in columns.iter().enumerate() {
                assert!(column.explanation.ends_with('.'), "{}", column.key);
                assert!(
                    columns[..i].iter().all(|other| other.key != column.key),
                    "{}",
                    column.key
                );
            }
        }
        check(blocks::COLUMNS);
        check(blocks::TOTALS);
        check(logs::LOGS);
        check(start::ENTRIES);
        check(inspect::OVERVIEW);
        check(inspect::SECTIONS);
        check(inspect::ENCODINGS);
        check(inspect::DISTRIBUTIONS);
        check(inspect::LABELS);
        check(inspect::DELETIONS);
        check(analyze::SUMMARY);
        check(analyze::BLOCKS);
        check(analyze::PARTS);
        check(analyze::GROUPS);
        check(analyze::LABELS);
        check(analyze::PAIRS);
        check(analyze::CROSS);
        check(analyze::LOOKS);
        check(analyze::STEPS);
        check(analyze::JOBS);
        check(analyze::JOB_STEPS);
        check(analyze::TURNOVER);
        check(analyze::SCRAPES);
        check(analyze::CUTS);
        check(whatif::columns::OUTCOMES);
        check(whatif::columns::COLLISIONS);
        check(whatif::columns::METRICS);
        check(stats::TOTALS);
        check(stats::CODECS);
        check(stats::PARTS);
        check(stats::ROWS);
        check(stats::ROW_TOTALS);
        check(archives::CHANGES);
        check(compare::SIDES);
        check(compare::COUNTS);
        check(compare::FILES);
        check(compare::METRICS);
        check(compare::SERIES);
        check(compare::DIFFERENCES);
        check(compare::RANGES);
        check(retain::DECISIONS);
        check(retain::PRUNED);
        check(retain::ITEMS);
        check(forecast::FORECAST);
        check(forecast::LEVELS);
        check(forecast::MODELS);
    }
}
