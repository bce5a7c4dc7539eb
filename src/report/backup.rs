//! Reports about single runs: a backup, a restore.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::archive;
use crate::error::ErrorKind;
use crate::model::Millis;
use crate::report::time_text;
use crate::repository::{ArchiveGap, LeftOut};
use crate::restore;
use crate::units::count_text;

/// What an archive does not hold of its source.
pub static LEFT_OUT: Sheet<[LeftOut], LeftOut> = Sheet {
    name: "left-out",
    title: "What the archive does not hold",
    row: "entry of the source",
    json: InJson::List("left_out"),
    rows: |left_out, _| Rows::of(left_out),
    columns: &[
        Column {
            key: "name",
            heading: "NAME",
            unit: Unit::None,
            weight: 9,
            explanation: "Name in the data directory.",
            value: |l| Value::text(&l.name),
        },
        Column {
            key: "kind",
            heading: "KIND",
            unit: Unit::None,
            weight: 5,
            explanation: "Why: a stable id, explained in docs/findings.md.",
            value: |l| Value::text(l.kind().id()),
        },
        Column {
            key: "missed",
            heading: "MISSED",
            unit: Unit::Flag,
            weight: 5,
            explanation: "Whether the archive should hold it.",
            value: |l| Value::Flag(l.is_missed()),
        },
        Column {
            key: "reason",
            heading: "REASON",
            unit: Unit::None,
            weight: 5,
            explanation: "Why, as a sentence.",
            value: |l| Value::text(&l.reason),
        },
    ],
};

/// One backup run.
pub static BACKUP: Sheet<archive::BackupReport, archive::BackupReport> = Sheet {
    name: "backup",
    title: "The backup as a whole",
    row: "backup",
    json: InJson::Itself,
    rows: |report, _| Rows::one(report),
    columns: &[
        Column {
            key: "id",
            heading: "archive",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the archive that was committed; none when there was nothing to archive.",
            value: |r| {
                if r.committed {
                    Value::text(r.archive.id.as_str())
                } else {
                    Value::None
                }
            },
        },
        Column {
            key: "time",
            heading: "",
            unit: Unit::Time,
            weight: 1,
            explanation: "When the backup began.",
            value: |r| Value::Time(r.archive.time),
        },
        Column {
            key: "source_name",
            heading: "source",
            unit: Unit::None,
            weight: 5,
            explanation: "Name of the source, one for each Prometheus server.",
            value: |r| Value::text(&r.archive.source_name),
        },
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of blocks in the archive.",
            value: |r| Value::Count(r.archive.blocks.len() as u64),
        },
        Column {
            key: "new_blocks",
            heading: "  new",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that were archived for the first time.",
            value: |r| Value::Count(r.new_blocks as u64),
        },
        Column {
            key: "updated_blocks",
            heading: "  updated",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks of which only meta.json, tombstones or foreign files had changed.",
            value: |r| Value::Count(r.updated_blocks as u64),
        },
        Column {
            key: "unchanged_blocks",
            heading: "  unchanged",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that an earlier archive holds as they are; they were not read.",
            value: |r| Value::Count(r.unchanged_blocks as u64),
        },
        Column {
            key: "bytes",
            heading: "size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all files of the archive, as they restore.",
            value: |r| Value::Bytes(r.archive.bytes()),
        },
        Column {
            key: "read_bytes",
            heading: "read",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the source that were compressed in this run.",
            value: |r| Value::Bytes(r.read_bytes),
        },
        Column {
            key: "stored_bytes",
            heading: "stored",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the objects they became.",
            value: |r| Value::Bytes(r.stored_bytes),
        },
        Column {
            key: "ratio",
            heading: "ratio",
            unit: Unit::Ratio,
            weight: 5,
            explanation: "Bytes read for each byte stored.",
            value: |r| match r.stored_bytes {
                0 => Value::None,
                stored => Value::Number(r.read_bytes as f64 / stored as f64),
            },
        },
        Column {
            key: "min_time",
            heading: "from",
            unit: Unit::Time,
            weight: 5,
            explanation: "Begin of the first block.",
            value: |r| time(r.archive.coverage.min_time),
        },
        Column {
            key: "max_time",
            heading: "until",
            unit: Unit::Time,
            weight: 5,
            explanation: "End of the last block, exclusive.",
            value: |r| time(r.archive.coverage.max_time),
        },
        Column {
            key: "wal_max_time",
            heading: "WAL until",
            unit: Unit::Time,
            weight: 5,
            explanation: "Time of the last sample in the archived WAL.",
            value: |r| time(r.archive.wal.as_ref().and_then(|wal| wal.max_time)),
        },
        Column {
            key: "wal_bytes",
            heading: "WAL size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the archived WAL and WBL; none when there is none.",
            value: |r| {
                let wal = r.archive.wal.as_ref();
                wal.map_or(Value::None, |wal| Value::Bytes(wal.bytes()))
            },
        },
        Column {
            key: "gaps",
            heading: "gaps",
            unit: Unit::Spans,
            weight: 5,
            explanation: "Spans between the first and the last block that no block covers.",
            value: |r| {
                let gaps = r.archive.coverage.gaps.iter();
                Value::Spans(gaps.map(|gap| (gap.min_time, gap.max_time)).collect())
            },
        },
    ],
};

/// One restore.
pub static RESTORE: Sheet<restore::RestoreReport, restore::RestoreReport> = Sheet {
    name: "restore",
    title: "The restore as a whole",
    row: "restore",
    json: InJson::Nowhere,
    rows: |report, _| Rows::one(report),
    columns: &[
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of blocks that were restored.",
            value: |r| Value::Count(r.blocks.len() as u64),
        },
        Column {
            key: "wal",
            heading: "WAL",
            unit: Unit::Flag,
            weight: 5,
            explanation: "Whether WAL and WBL were restored.",
            value: |r| Value::Flag(r.wal),
        },
        Column {
            key: "bytes",
            heading: "size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all files that were restored.",
            value: |r| Value::Bytes(r.bytes),
        },
        Column {
            key: "min_time",
            heading: "from",
            unit: Unit::Time,
            weight: 5,
            explanation: "Begin of the time that they are of.",
            value: |r| time(r.time.map(|time| time.0)),
        },
        Column {
            key: "max_time",
            heading: "until",
            unit: Unit::Time,
            weight: 5,
            explanation: "Its end, exclusive.",
            value: |r| time(r.time.map(|time| time.1)),
        },
        Column {
            key: "missing",
            heading: "missing",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks and logs that should have come back and did not, or not whole.",
            value: |r| Value::Count((r.failed.len() + r.salvaged.len()) as u64),
        },
    ],
};

/// A [`Detour`](crate::stored::Detour) as a sentence.
pub fn detour(detour: &crate::stored::Detour) -> String {
    format!(
        "{} comes back whole, from {}: {}",
        detour.name,
        if detour.from.is_empty() {
            "its own objects".to_owned()
        } else {
            detour.from.join(", ")
        },
        detour.reason.chain()
    )
}

/// A [`StandIn`](restore::StandIn) as a sentence.
pub fn stand_in(stand_in: &restore::StandIn, reason: &restore::Failed) -> String {
    let by: Vec<_> = stand_in.by.iter().map(ToString::to_string).collect();
    let sources: Vec<_> = stand_in.sources.iter().map(String::as_str).collect();
    let of = match sources.as_slice() {
        [] => String::new(),
        sources => format!(", archived as {}", sources.join(", ")),
    };
    // A block that is sound and was taken out for another.
    let how = match reason.error.kind() {
        ErrorKind::Refused => "is left out",
        _ => "cannot be read",
    };
    format!(
        "{} {how}; its samples come back in {}{of}{}: {}",
        stand_in.ulid,
        by.join(", "),
        undeleted(stand_in),
        reason.error.chain()
    )
}

/// That deleted samples come back with `stand_in`, if they do.
pub fn undeleted(stand_in: &restore::StandIn) -> &'static str {
    if stand_in.undeleted {
        ", and with them samples that had been deleted"
    } else {
        ""
    }
}

/// That a block was damaged when it was archived, and which come in its place.
pub fn replaced(stand_in: &restore::StandIn) -> String {
    let (ulid, undeleted) = (stand_in.ulid, undeleted(stand_in));
    let from = if stand_in.by == [ulid] {
        format!("a sound copy of it in another archive is taken{undeleted}")
    } else {
        let by: Vec<_> = stand_in.by.iter().map(ToString::to_string).collect();
        let by = by.join(", ");
        format!("its samples come back in {by}{undeleted}")
    };
    format!("block {ulid} was damaged when it was archived: {from}")
}

/// What is said of a block that came with small files of another archive.
pub fn mixed(mixed: &restore::Failed) -> String {
    format!(
        "{} comes back with metadata and tombstones of another archive, so other samples may be deleted in it: {}",
        mixed.name,
        mixed.error.chain()
    )
}

/// A [`Salvaged`](restore::Salvaged) as sentences.
pub fn salvaged(salvaged: &restore::Salvaged) -> Vec<String> {
    let (original, reason) = (salvaged.original, salvaged.reason.chain());
    let came = match &salvaged.block {
        Some(made) => format!(
            "{} samples of {} series came back as {}",
            count_text(made.samples),
            count_text(made.series),
            made.ulid
        ),
        None => "nothing of what is wanted came back".to_owned(),
    };
    let short = match salvaged.short_of {
        Some((0, 0)) if salvaged.is_short => {
            ", as many as there were, and not all of them the same".to_owned()
        }
        Some((0, 0)) => ", which is all".to_owned(),
        Some((series, samples)) => format!(
            ", {} samples and {} series are lost",
            count_text(samples),
            count_text(series)
        ),
        None if salvaged.is_short => ", which is not all that is wanted, or more".to_owned(),
        None => String::new(),
    };
    let mut lines = vec![format!("{original} is damaged: {came}{short}: {reason}")];
    lines.extend(salvaged.losses.named.iter().map(|loss| {
        let span = loss.span.map_or(String::new(), |(first, last)| {
            format!(", from {} to {}", time_text(first), time_text(last))
        });
        let count = |count: Option<u64>, what| {
            count.map_or(String::new(), |count| {
                format!(", {} {what}", count_text(count))
            })
        };
        let (samples, series) = (count(loss.samples, "samples"), count(loss.series, "series"));
        format!("{original}: lost{samples}{series}{span}: {}", loss.place)
    }));
    if salvaged.losses.more > 0 {
        let more = salvaged.losses.more;
        lines.push(format!("{original}: and {more} more losses"));
    }
    lines
}

/// A [`Salvaged`](restore::Salvaged) as JSON.
pub fn salvaged_json(salvaged: &restore::Salvaged) -> serde_json::Value {
    let losses = salvaged.losses.named.iter().map(|loss| {
        serde_json::json!({
            "place": loss.place,
            "series": loss.series,
            "samples": loss.samples,
            "min_time": loss.span.map(|span| span.0),
            "max_time": loss.span.map(|span| span.1),
        })
    });
    serde_json::json!({
        "original": salvaged.original,
        "block": salvaged.block.map(|made| made.ulid),
        "series": salvaged.block.map(|made| made.series),
        "samples": salvaged.block.map(|made| made.samples),
        "complete": !salvaged.is_short,
        "lost_series": salvaged.short_of.map(|short| short.0),
        "lost_samples": salvaged.short_of.map(|short| short.1),
        "losses": losses.collect::<Vec<_>>(),
        "more_losses": salvaged.losses.more,
        "reason": salvaged.reason.chain(),
    })
}

/// A [`Detour`](crate::stored::Detour) as JSON: `name`, `from` (objects), `reason`.
pub fn detour_json(detour: &crate::stored::Detour) -> serde_json::Value {
    serde_json::json!({
        "name": detour.name,
        "from": detour.from,
        "reason": detour.reason.chain(),
    })
}

/// A gap as `2026-11-21 19:08:00..2026-11-21 21:00:00`.
pub fn gap_text(gap: &ArchiveGap) -> String {
    format!("{}..{}", time_text(gap.min_time), time_text(gap.max_time))
}

fn time(time: Option<Millis>) -> Value {
    time.map_or(Value::None, Value::Time)
}
