use super::super::listing::LogEntry;
use super::super::record::RecordType;
use super::super::writer::SegmentWriter;
use super::*;
use crate::error::Error;

/// One float sample at `time`.
fn sample(time: i64) -> Vec<u8> {
    let base = [&[2][..], &[0; 8], &time.to_be_bytes()].concat();
    [&base[..], &[0, 0], &[1; 8]].concat()
}

fn segment(time: i64) -> Vec<u8> {
    SegmentWriter::with([&sample(time)[..], &sample(time + 1)])
}

/// The second record begins after 7 bytes of header and 27 of sample.
const CUT: u64 = 34;

fn torn(time: i64) -> Vec<u8> {
    let mut bytes = segment(time);
    bytes.pop();
    bytes
}

fn damaged(time: i64) -> Vec<u8> {
    let mut bytes = segment(time);
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

fn summary(log: Log, files: &[(&str, Vec<u8>)]) -> Summary {
    let listing = LogListing::of(files.iter().map(|(path, _)| LogEntry::file(*path)));
    summarize(&listing, log, |file| {
        let found = files.iter().find(|(path, _)| *path == file.path);
        found
            .map(|(_, bytes)| &bytes[..])
            .ok_or_else(|| Error::not_found("gone"))
    })
}

fn paths(paths: &[&str]) -> Later {
    let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
    paths.into()
}

#[test]
fn a_sound_wal_is_added_up_from_its_checkpoint_on() {
    let summary = summary(
        Log::Wal,
        &[
            ("checkpoint.00000004/00000000", segment(50)),
            ("00000004", damaged(0)),
            ("00000005", segment(100)),
            ("00000006", segment(200)),
            ("00000007", Vec::new()),
        ],
    );
    assert_eq!(summary.problems, []);
    assert_eq!(summary.outcome(), &LogConsequence::Nothing);
    assert_eq!(summary.replayed.samples(), 6);
    assert_eq!(summary.replayed.times, Some((50, 201)));
    assert_eq!(summary.dropped, Contents::default());
    assert_eq!(summary.superseded[0].path, "00000004");
    assert_eq!(summary.bytes(), 3 * 68);
}

#[test]
fn a_torn_tail_is_legal_at_the_end_of_the_log_only() {
    let at_end = [
        ("00000000", segment(100)),
        ("00000001", torn(200)),
        ("00000002", Vec::new()),
    ];
    let live = summary(Log::Wal, &at_end);
    assert_eq!(live.outcome(), &LogConsequence::CutsTail);
    assert!(live.problems.iter().all(LogProblem::is_harmless));
    assert_eq!(
        live.problems[0].kind.to_string(),
        "WAL fragment at offset 41: expected 27 more bytes, found 26: the record is torn after 33 bytes"
    );
    let (tail, malformed) = live.torn_tail().unwrap();
    assert_eq!((tail.number, tail.sound_bytes), (1, CUT));
    assert_eq!(malformed.offset, CUT + 7);
    assert_eq!(live.replayed.times, Some((100, 200)));

    let [first, second, _] = at_end;
    let early = summary(Log::Wal, &[first, second, ("00000002", segment(300))]);
    assert_eq!(
        early.outcome(),
        &LogConsequence::Repairs {
            cut_at: CUT,
            deletes: paths(&["00000002"])
        }
    );
    assert_eq!(early.torn_tail(), None);
    assert_eq!(early.dropped.times, Some((300, 301)));
}

#[test]
fn damage_in_either_log_costs_all_that_follows_it() {
    for log in [Log::Wal, Log::Wbl] {
        let summary = summary(
            log,
            &[
                ("00000000", segment(100)),
                ("00000001", damaged(200)),
                ("00000002", segment(300)),
                ("00000003", torn(400)),
            ],
        );
        let deletes = paths(&["00000002", "00000003"]);
        let cut_at = CUT;
        assert_eq!(
            summary.outcome(),
            &LogConsequence::Repairs { cut_at, deletes }
        );
        let damage = summary.first_damage().unwrap();
        assert_eq!((&damage.path[..], damage.offset), ("00000001", Some(CUT)));
        assert_eq!(summary.replayed.times, Some((100, 200)));
        assert_eq!(summary.dropped.samples(), 3);
    }
}

#[test]
fn a_damaged_or_torn_checkpoint_costs_the_wal() {
    for bytes in [damaged(50), torn(50)] {
        let summary = summary(
            Log::Wal,
            &[
                ("checkpoint.00000004/00000000", bytes),
                ("00000004", segment(90)),
                ("00000005", segment(100)),
                ("00000006", segment(200)),
            ],
        );
        let deletes = paths(&["00000004", "00000005", "00000006"]);
        assert_eq!(summary.outcome(), &LogConsequence::Destroys { deletes });
        assert_eq!(summary.dropped.times, Some((100, 201)));
    }
}

#[test]
fn a_record_that_does_not_decode_is_dropped_as_a_whole() {
    let bad = SegmentWriter::with([&sample(1)[..], &[&sample(2)[..], &[0]].concat()]);
    let summary = summary(Log::Wal, &[("00000000", bad)]);
    let damage = summary.first_damage().unwrap().to_string();
    assert!(
        damage.starts_with("00000000: samples record at offset 34: "),
        "{damage}"
    );
    assert_eq!(summary.replayed.times, Some((1, 1)));
    assert_eq!(summary.segments[0].sound_bytes, CUT);
}

#[test]
fn the_outcome_is_that_of_the_problem_a_start_meets_first() {
    let missing_and_damaged = summary(Log::Wal, &[("00000003", damaged(1))]);
    assert_eq!(missing_and_damaged.outcome(), &LogConsequence::DoesNotStart);
    let checkpoint_first = summary(
        Log::Wal,
        &[
            ("checkpoint.00000001/00000000", damaged(50)),
            ("00000005", segment(100)),
        ],
    );
    assert_eq!(
        checkpoint_first.outcome(),
        &LogConsequence::Destroys {
            deletes: paths(&["00000005"])
        }
    );
    let gap_first = summary(
        Log::Wal,
        &[
            ("checkpoint.00000001/00000000", damaged(50)),
            ("00000002", segment(100)),
            ("00000004", segment(100)),
        ],
    );
    assert_eq!(gap_first.outcome(), &LogConsequence::DoesNotStart);
}

#[test]
fn unknown_and_empty_records_are_told_and_do_not_end_the_segment() {
    let odd = SegmentWriter::with([&[99, 1, 2][..], &[], &[15], &[14, 0], &sample(5)]);
    let summary = summary(Log::Wal, &[("00000000", odd)]);
    let said: Vec<_> = summary.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "00000000: empty record, 1 times, first at offset 10 (Prometheus replays everything)",
            "00000000: unknown record type 15, 1 times, first at offset 17 (Prometheus starts without these \
                 records)",
            "00000000: unknown record type 99, 1 times, first at offset 0 (Prometheus starts without these \
                 records)",
            "00000000: minimum valid time record of another length than 9 bytes, 1 times, first at offset 25 \
                 (Prometheus replays everything)",
        ]
    );
    assert_eq!(summary.outcome(), &LogConsequence::Skips);
    assert_eq!(summary.replayed.times, Some((5, 5)));
}

#[test]
fn the_minimum_valid_time_of_a_checkpoint_is_read_and_counted() {
    let record = [&[14][..], &1_795_939_200_000_i64.to_be_bytes()].concat();
    let checkpoint = SegmentWriter::with([&record[..], &sample(5)]);
    let summary = summary(
        Log::Wal,
        &[
            ("checkpoint.00000001/00000000", checkpoint),
            ("00000002", segment(7)),
        ],
    );
    assert_eq!(summary.problems, []);
    assert_eq!(summary.replayed.min_valid_time, Some(1_795_939_200_000));
    assert_eq!(summary.replayed.records[&RecordType::MinValidTime], 1);
}

/// Definitions of series with one label each.
fn series(references: &[u64]) -> Vec<u8> {
    let one = |reference: &u64| [&reference.to_be_bytes()[..], b"\x01\x01a\x01b"].concat();
    let all: Vec<_> = references.iter().map(one).collect();
    [&[1][..], &all.concat()].concat()
}

/// A sample of each of the series, all at `time`.
fn samples(references: &[u64], time: i64) -> Vec<u8> {
    references
        .iter()
        .flat_map(|reference| {
            [
                &[2][..],
                &reference.to_be_bytes(),
                &time.to_be_bytes(),
                &[0, 0],
                &[0; 8],
            ]
            .concat()
        })
        .collect()
}

fn followed(log: Log, series: &mut Follow, files: &[(&str, Vec<u8>)]) -> Summary {
    let listing = LogListing::of(files.iter().map(|(path, _)| LogEntry::file(*path)));
    follow(&listing, log, series, |file| {
        let found = files.iter().find(|(path, _)| *path == file.path);
        found
            .map(|(_, bytes)| &bytes[..])
            .ok_or_else(|| Error::not_found("gone"))
    })
}

#[test]
fn samples_count_as_lost_until_their_series_is_defined_and_ever_after_if_it_never_is() {
    let early = SegmentWriter::with([
        &samples(&[7], 10)[..],
        &series(&[7]),
        &samples(&[7], 11),
        &samples(&[9], 12),
        &samples(&[9], 13),
    ]);
    let mut known = Follow::default();
    let wal = followed(Log::Wal, &mut known, &[("00000000", early)]);
    let undefined = &wal.undefined;
    assert_eq!((undefined.samples, undefined.series), (3, 2));
    assert_eq!(undefined.times, Some((10, 13)));
    assert_eq!(undefined.first, Some(("00000000".into(), 0)));
    assert_eq!(wal.outcome(), &LogConsequence::Skips);

    let late = SegmentWriter::with([&samples(&[7], 5)[..], &samples(&[9], 6)]);
    let wbl = followed(Log::Wbl, &mut known, &[("00000003", late)]);
    assert_eq!((wbl.undefined.samples, wbl.undefined.series), (1, 1));
    assert_eq!(wbl.undefined.first, Some(("00000003".into(), 34)));
}

#[test]
fn samples_that_blocks_hold_are_not_missed_except_in_the_wbl() {
    let log = SegmentWriter::with([&samples(&[7], 99)[..], &samples(&[7], 100)]);
    let mut known = Follow::new(100);
    let wal = followed(Log::Wal, &mut known, &[("00000000", log.clone())]);
    assert_eq!(wal.undefined.samples, 1);
    let wbl = followed(Log::Wbl, &mut known, &[("00000000", log.clone())]);
    assert_eq!(wbl.undefined.samples, 2);

    // A checkpoint may say a later time than the blocks.
    let checkpoint = SegmentWriter::with([&[&[14][..], &101_i64.to_be_bytes()].concat()[..]]);
    let files = [
        ("checkpoint.00000001/00000000", checkpoint),
        ("00000002", log),
    ];
    let mut known = Follow::new(100);
    let wal = followed(Log::Wal, &mut known, &files);
    assert_eq!(wal.undefined, Undefined::default());
    assert_eq!(known.min_valid_time(), 101);
    assert!(
        wal.problems.iter().all(LogProblem::is_harmless),
        "{:?}",
        wal.problems
    );
}

/// Integer histograms of the schema 0 with one span of this length and these buckets, all of
/// one series at 10.
fn histogram(reference: u64, length: u8, buckets: &[u8], sum: u64) -> Vec<u8> {
    let stamp = [&reference.to_be_bytes()[..], &10_i64.to_be_bytes()].concat();
    let head = [&[7][..], &stamp, &[0, 0, 0, 0], &[0; 8], &[0, 5]].concat();
    let spans = [1, 0, length, 0, u8::try_from(buckets.len()).unwrap()];
    [&head[..], &sum.to_be_bytes(), &spans, buckets, &[0]].concat()
}

#[test]
fn histograms_with_other_buckets_than_their_spans_say_end_the_start_that_replays_them() {
    let outcome = |log, record: Vec<u8>| {
        let mut known = Follow::new(10);
        let series = SegmentWriter::with([&series(&[7])[..]]);
        followed(Log::Wal, &mut known, &[("00000000", series.clone())]);
        let records = SegmentWriter::with([&series[7..], &record]);
        let files = [("00000000", records)];
        followed(log, &mut known, &files).outcome().clone()
    };
    let sound = 1_f64.to_bits();
    for (length, buckets) in [(5, &[2][..]), (1, &[2, 2, 2]), (0x7f, &[])] {
        let bad = || histogram(7, length, buckets, sound);
        assert_eq!(outcome(Log::Wal, bad()), LogConsequence::DoesNotStart);
        assert_eq!(outcome(Log::Wbl, bad()), LogConsequence::Crashes);
        // A marker of staleness has no buckets to a head, whatever stands there.
        let stale = histogram(7, length, buckets, crate::model::STALE_NAN);
        assert_eq!(outcome(Log::Wal, stale), LogConsequence::Nothing);
    }
    let fits = histogram(7, 2, &[2, 2], sound);
    assert_eq!(outcome(Log::Wal, fits), LogConsequence::Nothing);
    // Nobody looks at what blocks hold already.
    let mut stored = Follow::new(11);
    let bad = histogram(7, 5, &[2], sound);
    let log = SegmentWriter::with([&series(&[7])[..], &bad]);
    let wal = followed(Log::Wal, &mut stored, &[("00000000", log)]);
    assert_eq!(wal.outcome(), &LogConsequence::Nothing);
}

#[test]
fn a_checkpoint_without_series_is_a_problem_where_the_log_needs_them() {
    let segment = SegmentWriter::with([&samples(&[7], 10)[..]]);
    let files = [
        ("checkpoint.00000001/00000000", Vec::new()),
        ("00000002", segment),
    ];
    let wal = followed(Log::Wal, &mut Follow::default(), &files);
    let kinds: Vec<_> = wal.problems.iter().map(|p| p.kind.to_string()).collect();
    assert_eq!(
        kinds,
        [
            "expected series in the checkpoint, found none",
            "1 samples refer to 1 series that nothing before them defines"
        ]
    );
    assert!(!wal.problems[0].is_harmless());
}

#[test]
fn what_replay_drops_as_a_whole_is_not_told_twice() {
    let mut broken = SegmentWriter::with([&series(&[7])[..], &samples(&[8], 10)]);
    *broken.last_mut().unwrap() ^= 1;
    let files = [
        ("00000000", broken),
        ("00000001", SegmentWriter::with([&samples(&[9], 11)[..]])),
    ];
    let wal = followed(Log::Wal, &mut Follow::default(), &files);
    assert_eq!(wal.undefined, Undefined::default());
    assert_eq!(wal.dropped.samples(), 1);
}

#[test]
fn a_series_that_was_logged_as_gone_is_not_defined_any_more() {
    let gone = [
        &[3][..],
        &7_u64.to_be_bytes(),
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ]
    .concat();
    let log = SegmentWriter::with([
        &series(&[7])[..],
        &samples(&[7], 10),
        &gone,
        &samples(&[7], 11),
    ]);
    let wal = followed(Log::Wal, &mut Follow::default(), &[("00000000", log)]);
    let replayed = &wal.replayed;
    assert_eq!((replayed.tombstones, replayed.gone), (1, 1));
    assert_eq!(wal.undefined.samples, 1);
}

#[test]
fn something_else_than_a_file_costs_what_a_start_makes_of_it() {
    let outcome = |kind| {
        let mut listing = LogListing::of(["00000000", "00000001", "00000002"].map(LogEntry::file));
        listing.segments[1].kind = kind;
        let summary = summarize(&listing, Log::Wal, |_| Ok(Vec::new()));
        summary.outcome().clone()
    };
    let deletes = paths(&["00000002"]);
    assert_eq!(
        outcome(EntryType::EmptyDirectory),
        LogConsequence::Repairs {
            cut_at: 0,
            deletes: deletes.clone()
        }
    );
    assert_eq!(
        outcome(EntryType::Directory),
        LogConsequence::Destroys { deletes }
    );
    for kind in [EntryType::Pipe, EntryType::Other] {
        assert_eq!(outcome(kind), LogConsequence::DoesNotStart);
    }
}

#[test]
fn a_segment_that_does_not_open_is_a_problem_not_an_error() {
    let listing = LogListing::of([LogEntry::file("00000000"), LogEntry::file("00000001")]);
    let summary = summarize(&listing, Log::Wal, |file| {
        if file.number == 0 {
            Err(Error::refused("no"))
        } else {
            Ok(segment(1))
        }
    });
    assert_eq!(summary.outcome(), &LogConsequence::DoesNotStart);
    assert_eq!(
        summary.first_damage().unwrap().to_string(),
        "00000000: no (Prometheus does not start)"
    );
    assert_eq!(summary.dropped.samples(), 2);
}
