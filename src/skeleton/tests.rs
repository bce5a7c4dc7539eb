use std::path::Path;

use proptest::prelude::*;

use super::cursor::Cursors;
use super::*;
use crate::block::Block;
use crate::error::Result;
use crate::raw::{ReadMode, varint};
use crate::wal::writer::SegmentWriter;
use crate::wal::{Compression, Log, LogListing};

/// A name, which log it is of, its content, and where the part begins.
type File<'f> = (&'f str, Log, &'f [u8], usize);

/// Strips the parts and puts them together again; how many samples the block has, and whether
/// there is one.
fn there_and_back(files: &[File<'_>]) -> Option<u64> {
    let target = tempfile::tempdir().unwrap();
    let mut strip = Strip::new().unwrap();
    for (name, log, bytes, from) in files {
        strip.part(name, *log, bytes, *from).unwrap();
    }
    let stripped = strip.finish(target.path()).unwrap()?;
    let skeleton = Skeleton::open(&stripped.dir, ReadMode::Read).unwrap();
    let again = filled(&skeleton).unwrap();
    assert_eq!(again.len(), files.len());
    for ((name, _, bytes, from), (part, found)) in files.iter().zip(again) {
        assert_eq!((*name, *from as u64), (part.name.as_str(), part.from));
        assert!(found == bytes[*from..], "{name}: other bytes came back");
    }
    Some(stripped.samples)
}

fn filled(skeleton: &Skeleton) -> Result<Vec<(SkeletonPart, Vec<u8>)>> {
    let parts = skeleton.parts().iter().cloned();
    let mut again: Vec<_> = parts.map(|part| (part, Vec::new())).collect();
    skeleton.fill(&mut |part, bytes| {
        let (_, to) = again.iter_mut().find(|(it, _)| it == part).unwrap();
        to.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(again)
}

/// A record that defines series `1..=count`, each with a label of its own.
fn series(numbers: impl IntoIterator<Item = u64>, value: &str) -> Vec<u8> {
    let mut record = vec![1];
    for number in numbers {
        record.extend(number.to_be_bytes());
        varint::write_uvarint(&mut record, 2);
        for string in ["a", &number.to_string(), "b", value] {
            varint::write_uvarint(&mut record, string.len() as u64);
            record.extend(string.as_bytes());
        }
    }
    record
}

/// A record of floats: series, time and value of each.
fn floats(samples: impl IntoIterator<Item = (u64, i64, f64)>) -> Vec<u8> {
    let mut record = vec![2];
    let mut base = None;
    for (number, time, value) in samples {
        let (first, begin) = *base.get_or_insert_with(|| {
            record.extend(number.to_be_bytes());
            record.extend(time.to_be_bytes());
            (number, time)
        });
        varint::write_varint(&mut record, number as i64 - first as i64);
        varint::write_varint(&mut record, time - begin);
        record.extend(value.to_bits().to_be_bytes());
    }
    record
}

/// A record with one histogram of series `number`.
fn histogram(number: u64, time: i64, hint: u8, sum: u64, buckets: &[i64]) -> Vec<u8> {
    let mut record = vec![7];
    record.extend(number.to_be_bytes());
    record.extend(time.to_be_bytes());
    record.extend([0, 0, hint]);
    varint::write_varint(&mut record, 3);
    record.extend(0.001_f64.to_bits().to_be_bytes());
    varint::write_uvarint(&mut record, 1);
    varint::write_uvarint(&mut record, 10);
    record.extend(sum.to_be_bytes());
    varint::write_uvarint(&mut record, 1);
    varint::write_varint(&mut record, -2);
    varint::write_uvarint(&mut record, buckets.len() as u64);
    varint::write_uvarint(&mut record, 0);
    varint::write_uvarint(&mut record, buckets.len() as u64);
    for bucket in buckets {
        varint::write_varint(&mut record, *bucket);
    }
    varint::write_uvarint(&mut record, 0);
    record
}

fn segment(records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = SegmentWriter::default();
    for (record, compression) in records
        .iter()
        .zip([Compression::None, Compression::Snappy].into_iter().cycle())
    {
        writer.log(record, compression);
    }
    writer.bytes
}

#[test]
fn a_log_of_a_server_comes_back() {
    for night in ["night-1", "night-2"] {
        let dir = Path::new("fixtures").join(night).join("wal");
        let listing = LogListing::read(&dir).unwrap();
        let mut files = Vec::new();
        for file in listing.replay(Log::Wal).files() {
            let path = dir.join(&file.path);
            files.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
        let whole: Vec<File<'_>> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), Log::Wal, &bytes[..], 0))
            .collect();
        let samples = there_and_back(&whole).expect("a log with samples");
        assert!(samples > 500, "{samples} samples are in the block");
    }
}

#[test]
fn what_a_block_cannot_hold_stays_in_the_skeleton() {
    let scrape = |time| floats((1..=9).map(|number| (number, time, number as f64 / 3.0)));
    let ordinary = segment(&[series(1..=9, "x"), scrape(1000), scrape(2000)]);
    assert_eq!(
        there_and_back(&[("wal/0", Log::Wal, &ordinary, 0)]),
        Some(18)
    );

    // Late and double samples, unknown series; and what follows is taken again.
    let odd = segment(&[
        series(1..=9, "x"),
        scrape(1000),
        floats([
            (1, 500, 1.0),
            (2, 1000, f64::NAN),
            (77, 2000, 5.0),
            (3, 2000, 6.0),
        ]),
        scrape(3000),
    ]);
    assert_eq!(there_and_back(&[("wal/0", Log::Wal, &odd, 0)]), Some(19));

    // A number that stands for something else later.
    let other = segment(&[
        series(1..=9, "x"),
        scrape(1000),
        series(1..=4, "y"),
        scrape(2000),
        series(1..=9, "x"),
        scrape(3000),
    ]);
    assert_eq!(there_and_back(&[("wal/0", Log::Wal, &other, 0)]), Some(23));

    // Samples that came late have a log of their own.
    let late = segment(&[scrape(4000)]);
    let both: [File<'_>; 2] = [
        ("wal/0", Log::Wal, &ordinary, 0),
        ("wbl/0", Log::Wbl, &late, 0),
    ];
    assert_eq!(there_and_back(&both), Some(18));
    assert_eq!(there_and_back(&both[1..]), None);
}

#[test]
fn histograms_come_back_with_their_hints() {
    let stale = 0x7ff0_0000_0000_0002;
    let sum = 2.5_f64.to_bits();
    let log = segment(&[
        series(1..=2, "x"),
        histogram(1, 1000, 0, sum, &[5, -2, 4]),
        histogram(1, 2000, 2, sum, &[5, -2, 5]),
        histogram(1, 3000, 1, sum, &[1, 0, 0]),
        histogram(2, 3000, 3, sum, &[]),
        histogram(1, 4000, 0, stale, &[1, 2, 3]),
        histogram(1, 5000, 0, sum, &[5, -2, 5, 0]),
        floats([(1, 6000, 1.5)]),
    ]);
    assert_eq!(there_and_back(&[("wal/0", Log::Wal, &log, 0)]), Some(6));

    // A number in more bytes than it takes is kept.
    let mut long = histogram(1, 7000, 0, sum, &[1]);
    let last = long.pop().unwrap();
    long.extend([last | 0x80, 0]);
    let log = segment(&[series(1..=2, "x"), long, floats([(1, 8000, 1.5)])]);
    assert_eq!(there_and_back(&[("wal/0", Log::Wal, &log, 0)]), Some(1));
}

/// A record of exemplars of series 1, all at one time: value and trace of each.
fn exemplars<'t>(time: i64, exemplars: impl IntoIterator<Item = (f64, &'t str)>) -> Vec<u8> {
    let mut record = vec![4];
    record.extend(1_u64.to_be_bytes());
    record.extend(time.to_be_bytes());
    for (value, trace) in exemplars {
        record.extend([0, 0]);
        record.extend(value.to_bits().to_be_bytes());
        record.push(1);
        for string in ["trace_id", trace] {
            varint::write_uvarint(&mut record, string.len() as u64);
            record.extend(string.as_bytes());
        }
    }
    record
}

#[test]
fn exemplars_come_back_and_the_same_labels_are_said_once() {
    let log = |exemplars: &[Vec<u8>]| {
        let mut records = vec![series(1..=2, "x"), floats([(1, 1000, 1.5)])];
        records.extend_from_slice(exemplars);
        segment(&records)
    };
    let long = "y".repeat(600);
    let ids: Vec<_> = (0..500_u64)
        .map(|id| format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let of = |time, ids: &[String], value: f64| {
        exemplars(time, ids.iter().map(|id| (value, id.as_str())))
    };
    let all = [
        of(1000, &ids, 0.5),
        exemplars(
            2000,
            [(1.0, "a"), (1.0, "a"), (2.0, "a"), (2.0, "b"), (2.0, "a")],
        ),
        exemplars(
            3000,
            [(1.0, long.as_str()), (1.0, long.as_str()), (2.0, "")],
        ),
        of(4000, &ids, 0.5),
        of(5000, &ids[..7], 0.25),
        of(6000, &ids[..9], 0.25),
        // No entries, and nothing at all.
        vec![4],
        exemplars(7000, []),
    ];
    assert_eq!(
        there_and_back(&[("wal/0", Log::Wal, &log(&all), 0)]),
        Some(1)
    );

    // A record that is damaged at its end, and one that says a number in more bytes than it takes,
    // are kept, and what they would have been remembered by is not.
    let mut cut = exemplars(2000, [(1.0, "never"), (3.0, "a")]);
    cut.pop();
    let mut wide = exemplars(2000, [(1.0, "once")]);
    wide.splice(27..28, [0x81, 0]);
    let odd = [
        all[1].clone(),
        cut,
        exemplars(3000, [(1.0, "never"), (3.0, "a")]),
        wide,
        all[2].clone(),
    ];
    assert_eq!(
        there_and_back(&[("wal/0", Log::Wal, &log(&odd), 0)]),
        Some(1)
    );

    let skeleton = |exemplars: &[Vec<u8>]| {
        let target = tempfile::tempdir().unwrap();
        let mut strip = Strip::new().unwrap();
        strip.part("wal/0", Log::Wal, &log(exemplars), 0).unwrap();
        strip.finish(target.path()).unwrap().unwrap().skeleton
    };
    let once = skeleton(&all[..1]);
    let again = skeleton(&[all[0].clone(), all[3].clone(), of(5000, &ids, 0.5)]);
    assert!(
        again < once * 11 / 10,
        "{again} bytes for three times, {once} for once"
    );
}

#[test]
fn a_part_may_begin_and_end_anywhere() {
    let scrape =
        |time| floats((1..=999).map(|number| (number, time, (number * time as u64) as f64 / 3.0)));
    let records: Vec<_> = std::iter::once(series(1..=999, "x"))
        .chain((1..17).map(|at| scrape(at * 1000)))
        .collect();
    let mut whole = segment(&records);
    assert!(whole.len() > 3 << 15, "several pages");
    let torn = whole.len() / 2 + 11;
    let none = there_and_back(&[("wal/0", Log::Wal, &whole, 0)]);
    assert_eq!(none, Some(16 * 999));
    for from in (0..whole.len()).step_by(9111) {
        there_and_back(&[
            ("wal/0", Log::Wal, &whole, from),
            ("wal/1", Log::Wal, &whole[..torn], 0),
        ]);
    }
    // Damage in the middle, and a page that was filled up.
    whole[40_000] ^= 1;
    whole.resize(whole.len().next_multiple_of(1 << 15), 0);
    there_and_back(&[("wal/0", Log::Wal, &whole, 0)]).unwrap();
}

#[test]
fn however_few_samples_are_held_all_are_found() {
    let target = tempfile::tempdir().unwrap();
    let times = || (1..300).map(|at| at * 1000);
    let mut records = vec![series(1..=3, "x")];
    for time in times() {
        records.push(floats((1..=2).map(|number| (number, time, time as f64))));
        records.push(histogram(3, time, 0, 0, &[time, 2]));
    }
    let mut strip = Strip::new().unwrap();
    strip
        .part("wal/0", Log::Wal, &segment(&records), 0)
        .unwrap();
    let stripped = strip.finish(target.path()).unwrap().unwrap();
    assert_eq!(stripped.samples, 299 * 3);
    let block = Block::open(&stripped.dir, ReadMode::Read).unwrap();
    for ahead in [1, 2, 7, 120, 1000] {
        let mut cursors = Cursors::new(&block).unwrap();
        cursors.ahead(ahead);
        assert_eq!(cursors.len(), 3);
        for time in times() {
            for position in 0..3 {
                let sample = cursors.sample(position, time).unwrap();
                assert_eq!(sample.expect("a sample").time(), time, "{ahead} ahead");
            }
        }
        assert!(cursors.sample(0, 300_000).unwrap().is_none());
        assert!(cursors.sample(3, 1000).unwrap().is_none());
        // What was passed over is not looked for again.
        let mut cursors = Cursors::new(&block).unwrap();
        cursors.ahead(ahead);
        assert!(cursors.sample(1, 200_000).unwrap().is_some());
        assert!(cursors.sample(1, 1000).unwrap().is_none());
    }
}

#[test]
fn records_of_zstd_stay_as_they_are() {
    let mut writer = SegmentWriter::default();
    writer.log(&series(1..=9, "x"), Compression::Zstd);
    writer.log(&floats([(1, 1000, 1.0)]), Compression::Zstd);
    writer.log(&floats([(1, 2000, 1.0)]), Compression::None);
    assert_eq!(
        there_and_back(&[("wal/0", Log::Wal, &writer.bytes, 0)]),
        Some(1)
    );
}

#[test]
fn a_skeleton_of_another_version_is_refused() {
    let target = tempfile::tempdir().unwrap();
    let log = segment(&[series(1..=2, "x"), floats([(1, 1000, 1.0)])]);
    let mut strip = Strip::new().unwrap();
    strip.part("wal/0", Log::Wal, &log, 0).unwrap();
    let stripped = strip.finish(target.path()).unwrap().unwrap();
    let path = stripped.dir.join(SKELETON_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, stripped.skeleton);
    bytes[8] = 2;
    std::fs::write(&path, &bytes).unwrap();
    let error = Skeleton::open(&stripped.dir, ReadMode::Read).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    let said = error.to_string();
    assert!(said.contains("of version 1, found 2"), "{said}");
}

#[test]
fn a_damaged_skeleton_is_said_and_never_believed() {
    let target = tempfile::tempdir().unwrap();
    let log = segment(&[
        series(1..=5, "x"),
        floats((1..=5).map(|number| (number, 1000, 0.5))),
        floats([(1, 500, 1.0), (77, 1000, 2.0)]),
        histogram(2, 2000, 0, 0, &[1, 2]),
        exemplars(1000, [(1.0, "a"), (1.0, "b"), (1.0, "a"), (2.0, "b")]),
        vec![99, 1, 2, 3],
    ]);
    let mut strip = Strip::new().unwrap();
    strip.part("wal/0", Log::Wal, &log, 0).unwrap();
    let stripped = strip.finish(target.path()).unwrap().unwrap();
    let path = stripped.dir.join(SKELETON_FILE);
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..sound.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] ^= change;
            std::fs::write(&path, &bytes).unwrap();
            let skeleton = Skeleton::open(&stripped.dir, ReadMode::Read);
            let Ok(again) = skeleton.and_then(|skeleton| filled(&skeleton)) else {
                refused += 1;
                continue;
            };
            // As long as it should be: its digest says that it is another.
            assert!(
                again
                    .iter()
                    .all(|(part, bytes)| part.bytes == bytes.len() as u64)
            );
        }
    }
    assert!(refused > sound.len(), "{refused} of {}", 3 * sound.len());
    for len in 0..sound.len() {
        std::fs::write(&path, &sound[..len]).unwrap();
        let skeleton = Skeleton::open(&stripped.dir, ReadMode::Read);
        assert!(skeleton.is_err(), "cut to {len} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_come_back(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        from in any::<prop::sample::Index>(),
        kinds in prop::collection::vec(0_u8..16, 9),
    ) {
        let mut all = vec![series(1..=3, "x"), floats([(1, 1000, 1.0)])];
        all.extend(records);
        for (record, kind) in all.iter_mut().skip(2).zip(kinds) {
            if let Some(first) = record.first_mut() {
                *first = kind;
            }
        }
        all.push(floats([(2, 1000, 1.0)]));
        let mut bytes = segment(&all);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        there_and_back(&[
            ("wal/0", Log::Wal, &bytes, 0),
            ("wal/1", Log::Wal, &bytes, from.index(bytes.len())),
        ]);
    }
}
