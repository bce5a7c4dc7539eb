//! The report of `narthex list`: blocks by time, with what stands out about each.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::logs::{HEADS, LOGS, head_line};
use super::stream::{external_labels, resolution, shard};
use super::{
    Column, Extent, InJson, Rows, Sheet, SheetOf, Unit, Value, View, bytes_text, duration_text,
    safe_line, time_text,
};
use crate::block::{DirKind, EntryKind};
use crate::inspect::{BlockGap, BlockListing, BlockTotals, ListedBlock, OtherEntry, UnlistedBlock};
use crate::model::Ulid;
use crate::replay::ListedHead;
use crate::units::count_text;
use crate::wal::LogFacts;

/// What `narthex list` says of each block.
pub static BLOCKS: Sheet<BlockListing, ListedBlock> = Sheet {
    name: "block",
    title: "Blocks",
    row: "block",
    json: InJson::List("blocks"),
    rows: |listing, _| Rows::of(&listing.blocks),
    columns: &[
        Column {
            key: "ulid",
            heading: "ULID",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the block, as its metadata says.",
            value: |block| Value::text(block.meta.ulid.to_string()),
        },
        Column {
            key: "path",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "The block's directory.",
            value: |block| Value::text(block.dir.display().to_string()),
        },
        Column {
            key: "min_time",
            heading: "MIN TIME",
            unit: Unit::Time,
            weight: 8,
            explanation: "Start of the block's range, in milliseconds since the Unix epoch.",
            value: |block| Value::Time(block.meta.min_time),
        },
        Column {
            key: "max_time",
            heading: "MAX TIME",
            unit: Unit::Time,
            weight: 8,
            explanation: "End of the block's range, exclusive, in milliseconds since the Unix epoch.",
            value: |block| Value::Time(block.meta.max_time),
        },
        Column {
            key: "duration",
            heading: "DURATION",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Length of the block's range, in milliseconds.",
            value: |block| Value::Duration(block.meta.duration()),
        },
        Column {
            key: "level",
            heading: "LEVEL",
            unit: Unit::Count,
            weight: 6,
            explanation: "Compaction level: 1 for blocks cut from the head.",
            value: |block| {
                u64::try_from(block.meta.compaction.level).map_or(Value::None, Value::Count)
            },
        },
        Column {
            key: "source_count",
            heading: "SOURCES",
            unit: Unit::Count,
            weight: 2,
            explanation: "Number of level-1 blocks that went into the block.",
            value: |block| Value::Count(block.meta.compaction.sources.len() as u64),
        },
        Column {
            key: "sources",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "The level-1 blocks that went into the block.",
            value: |block| ulids(&block.meta.compaction.sources),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of series, as the metadata says.",
            value: |block| Value::Count(block.meta.stats.num_series),
        },
        Column {
            key: "chunks",
            heading: "CHUNKS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Number of chunks, as the metadata says.",
            value: |block| Value::Count(block.meta.stats.num_chunks),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of samples, as the metadata says.",
            value: |block| Value::Count(block.meta.stats.num_samples),
        },
        Column {
            key: "index_bytes",
            heading: "INDEX",
            unit: Unit::Bytes,
            weight: 4,
            explanation: "Size of the index file, in bytes.",
            value: |block| Value::Bytes(block.index_bytes),
        },
        Column {
            key: "chunk_bytes",
            heading: "SEGMENTS",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all segment files, in bytes.",
            value: |block| Value::Bytes(block.chunk_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 2,
            explanation: "Bytes of index and segments per sample.",
            value: |block| {
                let bytes = block.index_bytes.saturating_add(block.chunk_bytes);
                super::ratio(bytes, block.meta.stats.num_samples)
            },
        },
        Column {
            key: "hints",
            heading: "HINTS",
            unit: Unit::List,
            weight: 3,
            explanation: "Compaction hints, for example from-out-of-order.",
            value: |block| Value::List(block.meta.compaction.hints.clone()),
        },
        Column {
            key: "resolution",
            heading: "RESOLUTION",
            unit: Unit::Millis,
            weight: 6,
            explanation: "How much time one aggregate of a downsampled block stands for, in milliseconds; null for samples.",
            value: |block| resolution(&block.meta.stream()),
        },
        Column {
            key: "external_labels",
            heading: "LABELS",
            unit: Unit::List,
            weight: 4,
            explanation: "External labels of the block, as name=value: cluster, replica, tenant.",
            value: |block| external_labels(&block.meta.stream()),
        },
        Column {
            key: "shard",
            heading: "SHARD",
            unit: Unit::None,
            weight: 6,
            explanation: "Which of several blocks of the same sources it is, such as 3_of_8.",
            value: |block| shard(&block.meta.stream()),
        },
        Column {
            key: "marks",
            heading: "MARKS",
            unit: Unit::List,
            weight: 6,
            explanation: "What marks in the block's directory ask for, since when and why.",
            value: |block| Value::List(block.marks.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "gap_before",
            heading: "",
            unit: Unit::Millis,
            weight: 1,
            explanation: "Length of the hole before the block, in milliseconds; null without one.",
            value: |block| {
                block
                    .gap
                    .map_or(Value::None, |gap| Value::Duration(gap.duration()))
            },
        },
        Column {
            key: "overlaps",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "Blocks of the same resolution, shard and tenant whose range overlaps this one's, at most 16 of them.",
            value: |block| ulids(&block.overlaps),
        },
        Column {
            key: "superseded_by",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "The block this one was compacted into, if that is there as well.",
            value: |block| {
                block
                    .superseded_by
                    .map_or(Value::None, |child| Value::text(child.to_string()))
            },
        },
        Column {
            key: "range_faults",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "In which ways the block's range of time cannot be true.",
            value: |block| Value::List(block.reach.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "needs_prometheus",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "The release of Prometheus that the block's first chunks need, where that is newer than 2.42.",
            value: |block| {
                block
                    .needs
                    .map_or(Value::None, |release| Value::text(release.to_string()))
            },
        },
        Column {
            key: "missing",
            heading: "",
            unit: Unit::List,
            weight: 1,
            explanation: "Files the block lacks and cannot be opened without.",
            value: |block| Value::List(block.missing.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "notes",
            heading: "NOTES",
            unit: Unit::None,
            weight: 9,
            explanation: "What stands out: gaps, overlaps, missing files, marks, odd names.",
            value: |block| Value::Text(notes(block).join("; ")),
        },
    ],
};

/// The sums under the table.
pub static TOTALS: Sheet<BlockListing, BlockTotals> = Sheet {
    name: "total",
    title: "All blocks together",
    row: "directory",
    json: InJson::Object("totals"),
    rows: |listing, _| Rows::made(vec![listing.totals()]),
    columns: &[
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of blocks whose metadata can be read.",
            value: |totals| Value::Count(totals.blocks),
        },
        Column {
            key: "min_time",
            heading: "min time",
            unit: Unit::Time,
            weight: 5,
            explanation: "Start of the earliest block, in milliseconds since the Unix epoch.",
            value: |totals| Value::Time(totals.min_time),
        },
        Column {
            key: "max_time",
            heading: "max time",
            unit: Unit::Time,
            weight: 5,
            explanation: "End of the latest block, exclusive, in milliseconds since the Unix epoch.",
            value: |totals| Value::Time(totals.max_time),
        },
        Column {
            key: "chunks",
            heading: "chunks",
            unit: Unit::Count,
            weight: 5,
            explanation: "Chunks of all blocks.",
            value: |totals| Value::Count(totals.chunks),
        },
        Column {
            key: "samples",
            heading: "samples",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of all blocks; those in overlapping blocks count more than once.",
            value: |totals| Value::Count(totals.samples),
        },
        Column {
            key: "index_bytes",
            heading: "index",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all index files, in bytes.",
            value: |totals| Value::Bytes(totals.index_bytes),
        },
        Column {
            key: "chunk_bytes",
            heading: "segments",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all segment files, in bytes.",
            value: |totals| Value::Bytes(totals.chunk_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/sample",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes of index and segments per sample.",
            value: |totals| {
                let bytes = totals.index_bytes.saturating_add(totals.chunk_bytes);
                super::ratio(bytes, totals.samples)
            },
        },
    ],
};

/// Blocks whose metadata cannot be read.
pub static UNREADABLE: Sheet<BlockListing, UnlistedBlock> = Sheet {
    name: "unreadable",
    title: "Blocks whose metadata cannot be read",
    row: "such block",
    json: InJson::List("unreadable"),
    rows: |listing, _| Rows::of(&listing.unreadable),
    columns: &[
        Column {
            key: "path",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "The block's directory.",
            value: |block| Value::text(block.dir.display().to_string()),
        },
        Column {
            key: "reason",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "Why its metadata cannot be read.",
            value: |block| Value::text(&block.reason),
        },
    ],
};

/// What lies beside the blocks.
pub static OTHERS: Sheet<BlockListing, OtherEntry> = Sheet {
    name: "other",
    title: "What else lies there",
    row: "entry of the directory that is no block",
    json: InJson::List("others"),
    rows: |listing, _| Rows::of(&listing.others),
    columns: &[
        Column {
            key: "name",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "File name of the entry.",
            value: |other| Value::text(other.entry.name()),
        },
        Column {
            key: "kind",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What the entry is.",
            value: |other| Value::text(kind_text(other.entry.kind)),
        },
        Column {
            key: "bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of all regular files in it.",
            value: |other| Value::Bytes(other.bytes),
        },
    ],
};

/// The lists about a directory, in the order of its JSON.
pub const LISTS: &[&dyn SheetOf<BlockListing>] = &[&BLOCKS, &UNREADABLE, &OTHERS];

/// The listing of one directory as text for people; `logs` are those it holds, and `heads` what is
/// in no block yet.
pub fn text(
    listing: &BlockListing,
    logs: &[LogFacts],
    heads: &[ListedHead],
    view: &View,
) -> String {
    let mut text = String::new();
    if listing.blocks.is_empty() {
        text.push_str("no blocks\n");
    } else {
        text.push_str(&view.of(&BLOCKS, listing, Extent::All).text(view));
        text.push_str(&totals_line(&listing.totals()));
    }
    for block in &listing.unreadable {
        let _ = writeln!(
            text,
            "unreadable: {}: {}",
            safe_line(&block.dir.to_string_lossy()),
            safe_line(&block.reason)
        );
    }
    for head in heads {
        text.push_str(&head_line(head));
    }
    if !logs.is_empty() {
        text.push_str(&super::logs::text(logs, view));
    }
    if !listing.others.is_empty() {
        let others: Vec<_> = listing.others.iter().map(other_text).collect();
        let _ = writeln!(text, "also there: {}", safe_line(&others.join(", ")));
    }
    text
}

/// The listing of the directory at `path` as a JSON object; `logs` are those it holds, and `heads`
/// what is in no block yet.
pub fn json(
    path: &Path,
    place: DirKind,
    listing: &BlockListing,
    logs: &[LogFacts],
    heads: &[ListedHead],
) -> Json {
    let place = match place {
        DirKind::DataDir => "data directory",
        DirKind::PrometheusSnapshot => "Prometheus snapshot",
        DirKind::Block => "block",
    };
    let mut object = Map::new();
    object.insert("path".to_owned(), json!(path.display().to_string()));
    object.insert("place".to_owned(), json!(place));
    for sheet in LISTS {
        sheet.add_to(&mut object, listing, Extent::Document);
    }
    HEADS.add_to(&mut object, heads, Extent::Document);
    LOGS.add_to(&mut object, logs, Extent::Document);
    TOTALS.add_to(&mut object, listing, Extent::Document);
    Json::Object(object)
}

fn totals_line(totals: &BlockTotals) -> String {
    format!(
        "total: {} {}, {} to {}, {} samples in {} chunks, index {}, segments {}\n",
        totals.blocks,
        if totals.blocks == 1 {
            "block"
        } else {
            "blocks"
        },
        time_text(totals.min_time),
        time_text(totals.max_time),
        count_text(totals.samples),
        count_text(totals.chunks),
        bytes_text(totals.index_bytes),
        bytes_text(totals.chunk_bytes),
    )
}

fn other_text(other: &OtherEntry) -> String {
    let size = match other.bytes {
        0 => String::new(),
        bytes => format!(" {}", bytes_text(bytes)),
    };
    match other.entry.kind {
        EntryKind::BeingCreated
        | EntryKind::BeingDeleted
        | EntryKind::Temporary
        | EntryKind::Sandbox
        | EntryKind::Foreign => {
            let kind = kind_text(other.entry.kind);
            format!("{}{size} ({kind})", other.entry.name())
        }
        _ => format!("{}{size}", other.entry.name()),
    }
}

fn ulids(ulids: &[Ulid]) -> Value {
    Value::List(ulids.iter().map(ToString::to_string).collect())
}

fn notes(block: &ListedBlock) -> Vec<String> {
    let mut notes = Vec::new();
    if !block.missing.is_empty() {
        notes.push(format!("{} missing", block.missing.join(" and ")));
    }
    notes.extend(block.reach.iter().map(ToString::to_string));
    if let Some(needed) = block.needs {
        notes.push(format!("needs Prometheus {needed}"));
    }
    if let Some(gap) = block.gap {
        notes.push(format!(
            "gap of {} before",
            duration_text(BlockGap::duration(gap))
        ));
    }
    match &*block.overlaps {
        [] => {}
        [other] => notes.push(format!("overlaps {other}")),
        [other, more @ ..] => notes.push(format!("overlaps {other} and {} more", more.len())),
    }
    if let Some(child) = block.superseded_by {
        notes.push(format!("superseded by {child}"));
    }
    if let Some(child) = block.parent_of {
        notes.push(format!(
            "parent of {child}, which lacks samples of it: Prometheus deletes this one"
        ));
    }
    if block.meta.compaction.deletable {
        notes.push("marked deletable".to_owned());
    }
    if block.meta.compaction.failed {
        notes.push("compaction failed".to_owned());
    }
    if block.meta.stats.num_tombstones > 0 {
        notes.push(format!("tombstones: {}", block.meta.stats.num_tombstones));
    }
    if let Some(resolution) = block.meta.downsampled() {
        notes.push(format!("downsampled to {}", duration_text(resolution)));
    }
    if let Some(ulid) = block.directory_ulid {
        notes.push(format!("directory is called {ulid}"));
    }
    if let Some(oddity) = block.oddity {
        notes.push(kind_text(oddity).to_owned());
    }
    notes
}

fn kind_text(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Block => "block",
        EntryKind::MisspelledBlock => "name not in upper case: Prometheus never deletes it",
        EntryKind::SymlinkedBlock => "symbolic link: Prometheus does not see it",
        EntryKind::Head => "head",
        EntryKind::BeingCreated => "block being created",
        EntryKind::BeingDeleted => "block being deleted",
        EntryKind::Temporary => "left over",
        EntryKind::Wal => "write-ahead log",
        EntryKind::Wbl => "out-of-order log",
        EntryKind::ChunksHead => "chunks of the head",
        EntryKind::ChunkSnapshot => "chunk snapshot",
        EntryKind::Snapshots => "Prometheus snapshots",
        EntryKind::Lock => "lock",
        EntryKind::QueryLog => "query log",
        EntryKind::Sandbox => "left by promtool",
        EntryKind::Foreign => "not Prometheus'",
    }
}
