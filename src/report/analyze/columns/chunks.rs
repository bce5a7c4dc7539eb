//! What is said of scrapes and of the ends of chunks.

use super::{count, name, percent};
use crate::capacity::{Analysis, CutRow, Scrapes};
use crate::chunk::Encoding;
use crate::inspect::EncodingCounts;
use crate::report::inspect::columns::{DISTRIBUTION, ENCODING, Named, distributions, encodings};
use crate::report::{Column, InJson, Rows, Sheet, Unit, Value, ratio};

/// One row for each job.
pub(in crate::report) static SCRAPES: Sheet<Analysis, Scrapes> = Sheet {
    name: "scrape",
    title: "Scrapes by job",
    row: "job",
    json: InJson::List("scrapes"),
    rows: |analysis, _| Rows::made(analysis.scrapes()),
    columns: &[
        Column {
            key: "job",
            heading: "JOB",
            unit: Unit::None,
            weight: 9,
            explanation: "The job; null for series without the label.",
            value: |s| name(s.job.as_ref()),
        },
        Column {
            key: "interval",
            heading: "INTERVAL",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The most common distance of two samples, rounded to three digits; without --extended, of averages in chunks.",
            value: |s| Value::Duration(s.interval),
        },
        Column {
            key: "interval_share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Share of samples that have this distance.",
            value: |s| Value::Number(s.share * 100.0),
        },
        Column {
            key: "distances",
            heading: "DISTANCES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Distances between two samples of a series, also where one block ends and the next begins; with --extended.",
            value: |s| count(s.distances),
        },
        Column {
            key: "missed",
            heading: "MISSED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples that are missing between them at this interval; with --extended.",
            value: |s| count(s.missed),
        },
        Column {
            key: "gaps",
            heading: "GAPS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Distances in which five samples or more are missing; with --extended.",
            value: |s| count(s.gaps),
        },
        Column {
            key: "longest",
            heading: "LONGEST",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The longest distance; with --extended.",
            value: |s| s.longest.map_or(Value::None, Value::Duration),
        },
        Column {
            key: "doubled",
            heading: "TOO EARLY",
            unit: Unit::Count,
            weight: 5,
            explanation: "Distances of less than half the interval: scraped twice; with --extended.",
            value: |s| count(s.doubled),
        },
    ],
};

/// One row for each encoding.
pub(in crate::report) static ENCODINGS: Sheet<Analysis, (Encoding, EncodingCounts)> = Sheet {
    name: "encoding",
    title: "Encodings",
    row: "encoding",
    json: InJson::List("encodings"),
    rows: |analysis, _| Rows::made(encodings(&analysis.counts)),
    columns: ENCODING,
};

/// One row for each distribution.
pub(in crate::report) static DISTRIBUTIONS: Sheet<Analysis, Named> = Sheet {
    name: "chunk",
    title: "Chunks",
    row: "distribution",
    json: InJson::Named("distributions"),
    rows: |analysis, _| Rows::made(distributions_of(analysis)),
    columns: DISTRIBUTION,
};

/// The distributions of all chunks that are not empty.
pub(in crate::report) fn distributions_of(analysis: &Analysis) -> Vec<Named> {
    distributions(&analysis.counts, &analysis.histogram_buckets)
}

/// One row for each reason.
pub(in crate::report) static CUTS: Sheet<Analysis, CutRow> = Sheet {
    name: "cut",
    title: "Ends of chunks",
    row: "reason",
    json: InJson::List("cuts"),
    rows: |analysis, _| Rows::made(analysis.cuts()),
    columns: &[
        Column {
            key: "reason",
            heading: "CHUNKS END BY",
            unit: Unit::None,
            weight: 9,
            explanation: "Why chunks end, as far as a block shows: full, size, range-end, counter-reset, layout-change, gap, overlap, block-end, series-end or unknown.",
            value: |c| Value::text(c.cut.id()),
        },
        Column {
            key: "chunks",
            heading: "CHUNKS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of chunks.",
            value: |c| Value::Count(c.chunks),
        },
        Column {
            key: "share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Their share of all chunks.",
            value: |c| percent(c.chunks, c.of_chunks),
        },
        Column {
            key: "samples_per_chunk",
            heading: "SAMPLES/CHUNK",
            unit: Unit::Mean,
            weight: 5,
            explanation: "Samples of such a chunk, on average.",
            value: |c| ratio(c.samples, c.chunks),
        },
        Column {
            key: "meaning",
            heading: "THAT IS",
            unit: Unit::None,
            weight: 5,
            explanation: "What it means.",
            value: |c| Value::text(c.cut.meaning()),
        },
    ],
};
