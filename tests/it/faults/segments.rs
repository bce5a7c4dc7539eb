//! Segments as files: headers, names, lengths, and bytes of no chunk.

use std::fs;

use narthex::verify::{Depth, Kind};

use super::{NEW, SEGMENT, assert_found, assert_noted, findings, is_problem};
use crate::sick::{Loose, START, Sick, at};

#[test]
fn headers_of_segments() {
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 1);
    assert_found(&sick, &[("segment-header", SEGMENT, Some(0))]);
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 4);
    assert_found(&sick, &[("segment-header", SEGMENT, Some(4))]);
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 6);
    assert_found(&sick, &[("segment-padding", SEGMENT, Some(5))]);
}

#[test]
fn segments_that_are_cut_off_empty_or_zeroed() {
    let sick = Sick::copy_of(NEW);
    let chunks = sick.chunks(SEGMENT);
    let cut = chunks[60].0;
    sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut)));
    assert_found(&sick, &[("segment-truncated", SEGMENT, Some(cut))]);
    let found = findings(&sick.dir, Depth::Full);
    let lost = found.iter().find(|f| is_problem(f)).unwrap().loss.unwrap();
    assert_eq!(lost.chunks, chunks.len() as u64 - 60);

    let sick = Sick::copy_of(NEW);
    sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut) - 3));
    assert_found(
        &sick,
        &[
            ("chunk-malformed", SEGMENT, Some(chunks[59].0)),
            ("segment-truncated", SEGMENT, Some(cut)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write(SEGMENT, b"");
    assert_found(
        &sick,
        &[
            ("segment-empty", SEGMENT, None),
            ("segment-truncated", SEGMENT, Some(8)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.edit(SEGMENT, |bytes| bytes[at(cut)..].fill(0));
    assert_found(&sick, &[("chunk-checksum", SEGMENT, Some(cut))]);
}

#[test]
fn segments_that_are_missing_renamed_or_strange() {
    let sick = Sick::copy_of(NEW);
    sick.remove(SEGMENT);
    assert_found(&sick, &[("segment-missing", SEGMENT, Some(8))]);
    fs::remove_dir(sick.path("chunks")).unwrap();
    assert_found(
        &sick,
        &[
            ("chunks-missing", "chunks", None),
            ("segment-missing", SEGMENT, Some(8)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write("chunks/notes.txt", b"");
    assert_noted(&sick, "foreign-entry");

    let sick = Sick::copy_of(NEW);
    fs::rename(sick.path(SEGMENT), sick.path("chunks/000002")).unwrap();
    assert_found(&sick, &[("segment-names", "chunks/000002", None)]);

    for lost in ["chunks/000001", "chunks/000007"] {
        let sick = Sick::copy_of("blocks/segments-of-3000");
        sick.remove(lost);
        let next = if lost.ends_with('1') {
            "chunks/000002"
        } else {
            "chunks/000008"
        };
        assert_found(
            &sick,
            &[
                ("segment-missing", lost, Some(8)),
                ("segment-names", next, None),
            ],
        );
    }
    let sick = Sick::copy_of("blocks/segments-of-3000");
    sick.remove("chunks/000022");
    assert_found(&sick, &[("segment-missing", "chunks/000022", Some(8))]);
}

#[test]
fn bytes_in_segments_that_belong_to_no_chunk() {
    for garbage in [&[0u8; 4096][..], b"not a chunk"] {
        let sick = Sick::copy_of(NEW);
        let end = sick.read(SEGMENT).len() as u64;
        sick.edit(SEGMENT, |bytes| bytes.extend(garbage));
        assert_found(&sick, &[("segment-garbage", SEGMENT, Some(end))]);
    }
    let sick = Sick::copy_of("blocks/tiny");
    let end = sick.read(SEGMENT).len() as u64;
    let file = fs::File::options()
        .write(true)
        .open(sick.path(SEGMENT))
        .unwrap();
    file.set_len(513 << 20).unwrap();
    assert_found(&sick, &[("segment-garbage", SEGMENT, Some(end))]);
    let found = findings(&sick.dir, Depth::Quick);
    assert!(found.iter().any(|f| f.kind == Kind::SegmentOversize));

    let mut loose = Loose::healthy();
    loose.series[1].chunks[0].listed = false;
    let sick = loose.write();
    assert_found(
        &sick,
        &[(
            "chunk-unreferenced",
            SEGMENT,
            Some(sick.chunks(SEGMENT)[2].0),
        )],
    );
    let found = findings(&sick.dir, Depth::Full);
    let loss = found.iter().find(|f| is_problem(f)).unwrap().loss.unwrap();
    assert_eq!((loss.times.unwrap().0, loss.samples), (START, Some(5)));
}

#[test]
fn index_and_chunks_of_different_blocks() {
    let (sick, other) = (Sick::copy_of(NEW), Sick::copy_of("blocks/overlap-a"));
    sick.write(SEGMENT, &other.read(SEGMENT));
    let found = findings(&sick.dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind == Kind::ChunksForeign),
        "{found:#?}"
    );
}

/// Its bytes are sound, but nothing in them or in the index tells a time.
#[test]
fn what_nobody_knows_the_time_of_is_not_put_into_1970() {
    let mut loose = Loose::healthy();
    loose.series[1].chunks[0].listed = false;
    loose.series[1].chunks[0].data.truncate(2);
    let sick = loose.write();
    for depth in [Depth::Full, Depth::Quick] {
        let found = findings(&sick.dir, depth);
        let loss = found.iter().find(|f| is_problem(f)).unwrap().loss.unwrap();
        assert_eq!((loss.times, loss.samples), (None, Some(5)));
    }
}

#[test]
fn quick_verification_does_not_decode_chunks_without_a_series() {
    let mut loose = Loose::healthy();
    loose.series[1].chunks[0].listed = false;
    let sick = loose.write();
    let loss = |depth| {
        let found = findings(&sick.dir, depth);
        found.iter().find(|f| is_problem(f)).unwrap().loss.unwrap()
    };
    let times = Some((START, START + 4 * 15_000));
    assert_eq!(loss(Depth::Full).times, times);
    assert_eq!(loss(Depth::Quick).times, None);
    assert_eq!(loss(Depth::Quick).samples, Some(5));
}
