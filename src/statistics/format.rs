//! The bytes of statistics; `docs/repository-format.md` has the layout.
//!
//! Columns, because they compress: names share beginnings with their neighbours, and series of one job have the same number of samples, so
//! that what differs from the row before is mostly nothing. The object they stand in is compressed, so they are not.

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

pub(super) fn write(statistics: &Statistics) -> Vec<u8> {
    let mut out = vec![VERSION];
    let rows = &statistics.rows;
    let jobs: Vec<&[Row]> = rows.chunk_by(|a, b| a.job == b.job).collect();
    write_uvarint(&mut out, jobs.len() as u64);
    let mut strings = Vec::new();
    for job in &jobs {
        let name = job.first().and_then(|row| row.job.as_deref());
        write_uvarint(&mut out, name.map_or(0, |name| name.len() as u64 + 1));
        strings.extend_from_slice(name.unwrap_or_default());
    }
    for job in &jobs {
        write_uvarint(&mut out, job.len() as u64);
    }
    let mut before: &[u8] = &[];
    let mut suffixes = Vec::with_capacity(rows.len());
    for row in rows {
        let name = row.metric.as_deref().unwrap_or_default();
        let shared = before.iter().zip(name).take_while(|(a, b)| a == b).count();
        write_uvarint(&mut out, shared as u64);
        let suffix = name.get(shared..).unwrap_or_default();
        suffixes.push(row.metric.as_ref().map(|_| suffix));
        before = name;
    }
    for suffix in &suffixes {
        write_uvarint(&mut out, suffix.map_or(0, |suffix| suffix.len() as u64 + 1));
        strings.extend_from_slice(suffix.unwrap_or_default());
    }
    out.extend_from_slice(&strings);
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
    let lengths = (0..jobs)
        .map(|_| name_length(reader))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows_of = Vec::with_capacity(jobs);
    let mut rows = 0usize;
    for _ in 0..jobs {
        let at = reader.offset();
        let of_job = count(reader, "number of rows")?;
        rows = rows.saturating_add(of_job);
        if rows > MAX_ROWS {
            return Err(too_many(at, "number of rows", rows as u64));
        }
        rows_of.push(of_job);
    }
    let shared = (0..rows)
        .map(|_| name_length_of(reader, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let suffixes = (0..rows)
        .map(|_| name_length(reader))
        .collect::<Result<Vec<_>, _>>()?;
    let mut statistics = Statistics::default();
    for (length, rows) in lengths.into_iter().zip(rows_of) {
        let job: Option<Box<[u8]>> = match length {
            Some(length) => Some(reader.take(length)?.into()),
            None => None,
        };
        statistics.rows.extend((0..rows).map(|_| Row {
            job: job.clone(),
            ..Row::default()
        }));
    }
    let mut before: Vec<u8> = Vec::new();
    for ((row, shared), suffix) in statistics.rows.iter_mut().zip(shared).zip(suffixes) {
        let Some(suffix) = suffix else {
            before.clear();
            continue;
        };
        if shared > before.len() || shared + suffix > LONGEST_NAME {
            let wanted = "a name that begins like the one before";
            let found = format!("{shared} shared bytes of {}", before.len());
            return Err(reader.unexpected("name", wanted, found));
        }
        before.truncate(shared);
        before.extend_from_slice(reader.take(suffix)?);
        row.metric = Some(before.as_slice().into());
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

/// What a row would have if each of its series had as much as one of the row before; 0 when that has none.
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
        .ok_or_else(|| too_many(at, what, count))
}

/// The length of a name; `None` when there is no name.
fn name_length(reader: &mut Reader<'_>) -> Result<Option<usize>, Malformed> {
    let length = name_length_of(reader, 1)?;
    Ok(length.checked_sub(1))
}

fn name_length_of(reader: &mut Reader<'_>, more: usize) -> Result<usize, Malformed> {
    let at = reader.offset();
    let length = reader.uvarint()?;
    let checked = usize::try_from(length).ok();
    checked
        .filter(|length| *length <= LONGEST_NAME + more)
        .ok_or_else(|| too_many(at, "length of a name", length))
}

fn too_many(at: u64, what: &'static str, found: u64) -> Malformed {
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
    fn names_that_share_much_cannot_take_much_memory() {
        // One job, many rows, each longer than the longest name by sharing all of the one before.
        let mut bytes = vec![VERSION, 1, 0, 2];
        for shared in [0, LONGEST_NAME as u64] {
            write_uvarint(&mut bytes, shared);
        }
        for suffix in [LONGEST_NAME as u64 + 1, 2] {
            write_uvarint(&mut bytes, suffix);
        }
        bytes.resize(bytes.len() + LONGEST_NAME + 64, b'a');
        assert_eq!(read(&bytes).unwrap_err().kind(), crate::ErrorKind::Corrupt);
    }
}
