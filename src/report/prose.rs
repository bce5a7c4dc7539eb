//! What is around the sheets in the JSON of each command, in Markdown.

pub(super) const LIST: &str = "\
One object with the key `directories`: a list with one object per directory, blocks that were named singly being put together. Each has
`path`; `place`, which is `data directory`, `Prometheus snapshot` or `block`; and `blocks`, `unreadable`, `others`, `logs` and `totals`. `logs` is a list with one object
per log of a data directory, in `narthex verify --json` too.";

pub(super) const VERIFY: &str = "\
One object with the key `verified`: a list with one object per path. Each has `path`; `place`, as of `narthex list`; `healthy`, whether nothing was found
but notes; `blocks`; `start`; `logs`, as of `narthex list`; `findings`, of what is not in a block; and `counts`, an object with the number of findings of each kind, those
included that are not listed. Each block has `findings` and `counts` of its own. Kinds of findings are explained in [findings.md](findings.md).

`start` says what a start of Prometheus would do there; it is `null` for a single block. It has `prometheus`, the release that was assumed; `retention` and `now` in
milliseconds and `retention_size` in bytes, `null` where none is assumed; `starts`, whether the server starts; `keeps`, the ULIDs of the
blocks it serves; `stored_until`, the end of the newest block, before which in-order samples are neither replayed nor taken; `valid_from`, that time, or
what the checkpoint says, whichever is later; `replays`, the times (`min_time`,
`max_time`) of the first and the last sample it replays from the WAL; and `entries`, what it does, in order.";

pub(super) const INSPECT: &str = "\
One object with the key `blocks`: a list with one object per block. Beside the tables below it has `faults`, a list of sentences. Each object in `distributions` has `buckets`.";

pub(super) const ANALYZE: &str = "\
One object. Beside the tables below it has `faults`, a list of sentences. Without `--top` there are at most 1,000 of each list of pairs, and at most 100 jobs in
`churn_by_time_and_job`. With `--by` it is one list alone, in full unless `--top` is given.";

pub(super) const WHATIF: &str = "\
One object with the keys `covered`, the milliseconds that blocks cover; `changes`; `collisions`, a list with one
object per change that drops labels, with `change` and `first`, a list of the first label sets; `snippet`, configuration to paste; and `notes`, a
list of sentences about it. With `--rules` or `--dashboards` there are also `metrics`, the number of metrics in the blocks; `unused` and `guessed`;
`files` and `expressions`, how many were read; and `problems`, a list of sentences: with any, `unused` is not certain.

`--csv` prints `unused` if there is `--rules` or `--dashboards`, otherwise `changes`.";

pub(super) const BACKUP: &str = "\
One object; beside the keys below it has `left_out`; `mended`, a list of names of damaged objects whose content was stored anew; `copies`; `lock`, an object with the keys of `narthex lock`, null where no lock was wanted; and `problems`.

With `--dry-run`: one object with the keys `new`, a list of objects with `ulid` and `bytes`; `updated` and `unchanged`, lists of ULIDs; `left_out`; `lock`, as of the archive before this one; and `problems`.";

pub(super) const COPY: &str = "\
One object; beside the keys below it has `dry_run`, `archives` and `problems`.";

pub(super) const ARCHIVES: &str = "\
One object with the keys `archives`, and `damaged`, a list of objects with `object` and `error`, for manifests that cannot be read.";

pub(super) const RESTORE: &str = "\
One object with the keys

* `archive`, an id; `blocks`, the ULIDs of blocks that are in the target now; `already_there`, those of blocks that are not brought back because the target has them;
  `wal`, whether WAL and WBL were restored; `bytes`, the size of what was written; `min_time` and `max_time` (exclusive), the time that it is of;
* `cut`, a list of objects with `original`, `block` (`null` when nothing is left of it), `series` and `samples`, for blocks that were cut;
* `gaps`, a list of objects with `min_time` and `max_time`: wanted time that no block covers;
* `replaced`, a list of objects with `block`, `by`, `undeleted` (whether deleted samples come back with them) and `sources`, for blocks in whose place others come; `beside`, the
  ULIDs of those that hold a part only of what is lost;
* `aggregates` and `aggregates_left_out`, ULIDs of downsampled blocks that came back or did not; `excluded`, those of blocks that cannot stand beside others;
  `doubtful`, lists of ULIDs of which nothing says whether they are parts or copies;
* `failed`, a list of objects with `name`, `error` and `salvageable`; `mixed`, a list of objects with `name` and `error`, for blocks that came with small files of another archive;
  `taken`, a list of objects with `name`, `from` and `reason`, for what came from other objects than its own;
* `salvaged`, a list of objects with `original`, `block`, `series`, `samples`, `complete`, `lost_series`, `lost_samples`, `losses` (objects with `place`, `series`, `samples`, `min_time`
  and `max_time`), `more_losses` and `reason`;
* `newest_sample`, a time; `prometheus_starts`; `keeps_from_starting`, a list of objects with `block` and `findings`, or `log` or `problem`; `start`, as of `narthex verify`; and
  `blocks_older_than_default_retention`, a number.

With `--dry-run` `blocks` are those that would be restored and `to_cut` those of them that would be cut; `room` and `free` are bytes that must be free in
the target's file system, and that are (null where that cannot be told); and nothing is said of what only a restore can know.

With `--replace-damaged`: one object with the keys `archive`, an id; `dry_run`; `room`, the bytes that the copies need beside the damaged blocks; `blocks`, a
list with one object per block that was looked at (the table `replaced`); and `problems`.";

pub(super) const CHECK: &str = "\
One object with the keys `archives`, `objects` and `bytes`, which say what there is; `objects_read` and `bytes_read`, which say what was read of it; and `findings`. With `--compare` also `compared` and `differences`.";

pub(super) const REPAIR: &str = "\
One object with the keys `dry_run` and `steps`.";

pub(super) const STATS: &str = "\
One object with the keys `totals`, `codecs` and `parts`, which is empty with `--quick`.

With `--by`: one object with the keys `archive`, an id; `totals`; and `rows`, the largest first.";

pub(super) const DIFF: &str = "\
Of the block lists of two archives: one object with the keys `a` and `b`, which are ids; `shared`, a number of blocks; and `changes`.

Of the samples of two sides: one object with the keys `equal`, which is `files`, `samples`, `series` or `none`; `complete`, whether everything
could be read; `sides`, `counts`, `files` (null where files were not compared), and the lists `metrics` (the largest changes first), `only_in_a` and
`only_in_b`, `differences`, `covered_only_by_a` and `covered_only_by_b`. `metrics`, `only_in_a`, `only_in_b` and `differences` are as long as `--top` lets them. `problems` has the first 1,000
things that could not be read, their `place` with `a: ` or `b: ` in front; `sides` counts them all.";

pub(super) const FORGET: &str = "\
One object with the keys `archives`, a list with one object per archive that was considered; `damaged`, a list of objects with `object`
and `error`, for manifests that cannot be read and stay; `ahead`, the ids of archives that lie in the future and stay; `removed_damaged`, a list of names of such manifests that were removed because their ids
were given; `damaged_blocks`, a list of the ULIDs of blocks that the archives which stay have only damaged, because of which others stay as well; `held`, a list of the ids of archives that were named and stay all the same; `dry_run`; `policy`, an object with `place` and `words`, where the configuration says it; and, with `--prune`, `prune`, an object as of `narthex prune --json`.";

pub(super) const PRUNE: &str = "\
One object; beside the tables below it has `dry_run`.";

pub(super) const LOCK: &str = "\
One object; beside the keys below it has `dry_run`.";

pub(super) const KEY: &str = "\
Of `narthex key list`, `add` and `remove`: one object with the keys `number`, of the list of keys that counts, `admin`, the fingerprint of the administrator's key, and `keys`.

Of `narthex key memory`: one object with the keys `archive`, the id of the archive it was made of, and `directory`.

Of `narthex key generate`: one object with the keys `kind`, which is `recipient` or `signer`, and `public`, the public key.";

pub(super) const WITNESS: &str = "\
One object with the keys `number`, of the witness, and `archives`, how many it lists. What `--accept-missing` has accepted are `accepted_gone` \
and `accepted_changed`, lists of the names of manifests, and `accepted_witness`, the number of a witness that was seen and is gone, or null.";

pub(super) const FORECAST: &str = "\
One object; beside the tables below it has `cautions`, a list of sentences. `--csv` prints one line, with the keys of the first table.";

pub(super) const DUMP: &str = "\
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
| `positive_buckets`, `negative_buckets` | Observations in each of these buckets, not cumulated. |";

pub(super) const CONFIG: &str = "\
`narthex config check`: one object with the keys `file` and `findings`. `narthex config show`: one with the keys `file` and `settings`.";

pub(super) const NETWORK: &str = "\
What every command adds that has asked anything of an object store (S3, Google Cloud Storage, Azure). `narthex dump`, which prints lines, does not.";
