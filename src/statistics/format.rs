//! The bytes of statistics; `docs/repository-format.md` has the layout.
//!
//! Columns, because they compress: each name stands once, and series of one job have the same
//! number of samples, so that what differs from the row before is mostly nothing. The object they
//! stand in is compressed, so they are not.

use std::collections::BTreeSet;

use super::{Amounts, LONGEST_NAME, MOST_ROWS, Row, Statistics};
use crate::error::{Error, Result};
use crate::raw::varint::{write_uvarint, write_varint};
use crate::raw::{Malformed, Reader};

/// The only version.
const VERSION: u8 = 1;

/// Section named in errors.
const SECTION: &str = "statistics";

/// The most rows that are read.
const MAX_ROWS: usize = 4 * MOST_ROWS;

/// Columns that follow from the row before and the number of series.
type Column = (fn(&Amounts) -> u64, fn(&mut Amounts) -> &mut u64);

const COLUMNS: [Column; 3] = [
    (|a| a.samples, |a| &mut a.samples),
    (|a| a.chunk_bytes, |a| &mut a.chunk_bytes),
    (|a| a.entry_bytes, |a| &mut a.entry_bytes),
];

/// What ends a name. Names that have it in them have no row.
pub(super) const END: u8 = 0;

pub(super) fn write(statistics: &Statistics) -> Vec<u8> {
    let mut out = vec![VERSION];
    let rows = &statistics.rows;
    let names = |name: fn(&Row) -> Option<&[u8]>| -> Vec<&[u8]> {
        let distinct: BTreeSet<_> = rows.iter().filter_map(name).collect();
        distinct.into_iter().collect()
    };
    let (jobs, metrics) = (
        names(|row| row.job.as_deref()),
        names(|row| row.metric.as_deref()),
    );
    for count in [jobs.len(), metrics.len(), rows.len()] {
        write_uvarint(&mut out, count as u64);
    }
    for name in jobs.iter().chain(&metrics) {
        out.extend_from_slice(name);
        out.push(END);
    }
    let absent = [None].into_iter();
    for job in absent.chain(jobs.iter().copied().map(Some)) {
        let of_job = rows.iter().filter(|row| row.job.as_deref() == job);
        write_uvarint(&mut out, of_job.count() as u64);
    }
    for of_job in rows.chunk_by(|a, b| a.job == b.job) {
        let mut before = 0;
        for row in of_job {
            let number = row.metric.as_deref().map_or(0, |metric| {
                metrics.partition_point(|other| *other < metric) as u64 + 1
            });
            write_uvarint(&mut out, number.wrapping_sub(before));
            before = number;
        }
    }
    for row in rows {
        write_uvarint(&mut out, row.amounts.series);
    }
    for (get, _) in COLUMNS {
        let mut before = Amounts::default();
        for row in rows {
            let expected = expected(get(&before), before.series, row.amounts.series);
            let beyond = get(&row.amounts).wrapping_sub(expected);
            write_varint(&mut out, beyond.cast_signed());
            before = row.amounts;
        }
    }
    let rest = &statistics.rest;
    for number in [
        statistics.others,
        rest.series,
        rest.samples,
        rest.chunk_bytes,
        rest.entry_bytes,
    ] {
        write_uvarint(&mut out, number);
    }
    out
}

pub(super) fn read(bytes: &[u8]) -> Result<Statistics> {
    let mut reader = Reader::new(bytes, 0, SECTION);
    let damaged = |fault: Malformed| Error::corrupt(fault.to_string());
    match reader.u8().map_err(damaged)? {
        VERSION => read_columns(&mut reader).map_err(damaged),
        0 => Err(damaged(Malformed::unknown(SECTION, 0, "version", 0))),
        newer => Err(Error::unsupported(format!(
            "expected statistics of version {VERSION} at most, found {newer}"
        ))),
    }
}

fn read_columns(reader: &mut Reader<'_>) -> Result<Statistics, Malformed> {
    let jobs = count(reader, "number of jobs")?;
    let metrics = count(reader, "number of metrics")?;
    let rows = count(reader, "number of rows")?;
    let jobs = names(reader, jobs)?;
    let metrics = names(reader, metrics)?;
    let mut statistics = Statistics::default();
    for job in [None].into_iter().chain(jobs.into_iter().map(Some)) {
        let at = reader.offset();
        let of_job = count(reader, "number of rows of a job")?;
        if statistics.rows.len() + of_job > rows {
            return Err(too_large(at, "number of rows of a job", of_job as u64));
        }
        let row = Row {
            job: job.map(Into::into),
            ..Row::default()
        };
        statistics.rows.extend(std::iter::repeat_n(row, of_job));
    }
    if statistics.rows.len() != rows {
        let found = statistics.rows.len();
        return Err(reader.unexpected("number of rows", format!("{rows}"), found));
    }
    for of_job in statistics.rows.chunk_by_mut(|a, b| a.job == b.job) {
        let mut number = 0usize;
        for row in of_job {
            let at = reader.offset();
            let more = reader.uvarint()?;
            let next = usize::try_from(more).map_or(usize::MAX, |more| number.saturating_add(more));
            number = next;
            row.metric = match number.checked_sub(1) {
                None => None,
                Some(position) => {
                    let metric = metrics.get(position);
                    let metric = metric.ok_or_else(|| too_large(at, "number of a metric", more))?;
                    Some((*metric).into())
                }
            };
        }
    }
    for row in &mut statistics.rows {
        row.amounts.series = reader.uvarint()?;
    }
    for (get, place) in COLUMNS {
        let mut before = Amounts::default();
        for row in &mut statistics.rows {
            let expected = expected(get(&before), before.series, row.amounts.series);
            let beyond = reader.varint()?.cast_unsigned();
            *place(&mut row.amounts) = expected.wrapping_add(beyond);
            before = row.amounts;
        }
    }
    statistics.others = reader.uvarint()?;
    let rest = &mut statistics.rest;
    for number in [
        &mut rest.series,
        &mut rest.samples,
        &mut rest.chunk_bytes,
        &mut rest.entry_bytes,
    ] {
        *number = reader.uvarint()?;
    }
    if reader.is_empty() {
        Ok(statistics)
    } else {
        let found = format!("{} more bytes", reader.remaining());
        Err(reader.unexpected("end", "none", found))
    }
}

/// What a row would have if each of its series had as much as one of the row before; 0 when that
/// has none.
fn expected(before: u64, before_series: u64, series: u64) -> u64 {
    let product = u128::from(before) * u128::from(series);
    let expected = product.checked_div(u128::from(before_series));
    expected.map_or(0, |expected| u64::try_from(expected).unwrap_or(u64::MAX))
}

fn count(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, Malformed> {
    let at = reader.offset();
    let count = reader.uvarint()?;
    let checked = usize::try_from(count).ok();
    checked
        .filter(|count| *count <= MAX_ROWS)
        .ok_or_else(|| too_large(at, what, count))
}

/// So many names.
fn names<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Vec<&'a [u8]>, Malformed> {
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let mut bytes = reader.rest().iter().take(LONGEST_NAME + 1);
        let Some(length) = bytes.position(|byte| *byte == END) else {
            let wanted = format!("a name of at most {LONGEST_NAME} bytes and a zero byte");
            return Err(reader.unexpected("name", wanted, "none"));
        };
        names.push(reader.take(length)?);
        reader.take(1)?;
    }
    Ok(names)
}

fn too_large(at: u64, what: &'static str, found: u64) -> Malformed {
    Malformed::unexpected(SECTION, at, what, "a smaller one".to_owned(), found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_rows() -> impl Strategy<Value = Vec<Row>> {
        let name = prop::option::of("[a-c]{0,6}");
        let number = prop_oneof![0..2000u64, any::<u64>().prop_map(|number| number >> 12)];
        let row = (name.clone(), name, prop::array::uniform4(number));
        let row = row.prop_map(
            |(job, metric, [series, samples, chunk_bytes, entry_bytes])| Row {
                job: job.map(|job| job.into_bytes().into()),
                metric: metric.map(|metric| metric.into_bytes().into()),
                amounts: Amounts {
                    series,
                    samples,
                    chunk_bytes,
                    entry_bytes,
                },
            },
        );
        prop::collection::vec(row, 0..300)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_adds_up(rows in any_rows()) {
            let mut totals = Amounts::default();
            for row in &rows {
                totals.add(row.amounts);
            }
            let statistics = Statistics::of(rows);
            prop_assert_eq!(statistics.totals(), totals);
            prop_assert!(statistics.rows.len() <= MOST_ROWS);
            prop_assert_eq!(read(&write(&statistics)).unwrap(), statistics);
        }

        #[test]
        fn bytes_that_were_changed_or_cut_are_read_or_refused(
            rows in any_rows(),
            at in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let bytes = write(&Statistics::of(rows));
            for end in 0..bytes.len() {
                prop_assert!(read(&bytes[..end]).is_err());
            }
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= flip;
            if let Ok(found) = read(&changed) {
                prop_assert!(found.rows.len() <= MAX_ROWS);
            }
        }
    }

    #[test]
    fn the_largest_rows_stay_and_long_names_go_to_the_rest() {
        let row = |metric: String, chunk_bytes| Row {
            job: None,
            metric: Some(metric.into_bytes().into()),
            amounts: Amounts {
                series: 1,
                chunk_bytes,
                ..Amounts::default()
            },
        };
        let mut rows: Vec<_> = (0..300).map(|i| row(format!("m{i:03}"), i)).collect();
        rows.push(row("x".repeat(LONGEST_NAME + 1), 1 << 40));
        let statistics = Statistics::of(rows);
        assert_eq!(statistics.rows.len(), MOST_ROWS);
        assert!(
            statistics
                .rows
                .iter()
                .all(|row| row.amounts.chunk_bytes >= 100)
        );
        assert_eq!((statistics.others, statistics.rest.series), (101, 101));
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let error = read(&[2, 0, 0]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert_eq!(read(&[0]).unwrap_err().kind(), crate::ErrorKind::Corrupt);
    }

    #[test]
    fn counts_that_do_not_fit_are_refused() {
        // One metric "a", one row without a job.
        let sound = [1, 0, 1, 1, b'a', 0, 1, 1, 5, 20, 40, 60, 0, 0, 0, 0, 0];
        let read_back = read(&sound).unwrap();
        assert_eq!(read_back.rows[0].metric.as_deref(), Some(&b"a"[..]));
        assert_eq!(read_back.totals().samples, 10);
        for (at, value) in [(1, 1), (2, 2), (3, 2), (3, 0), (5, b'b'), (6, 2), (7, 2)] {
            let mut bytes = sound;
            bytes[at] = value;
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{at}: {value}");
        }
        let mut long = vec![1, 0, 1, 1];
        long.extend([b'a'; LONGEST_NAME + 1]);
        long.extend([0; 40]);
        assert!(read(&long).is_err());
    }
}
