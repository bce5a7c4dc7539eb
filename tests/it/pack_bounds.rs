//! Packs that are made to do harm: a few bytes that claim millions of whatever can be counted. Each
//! is refused, with little work, by an error that says which bound it breaks.

use narthex::index::Generation;
use narthex::pack::Pack;

use crate::effort::effort;
use crate::harness::{GroupParts, Segments, pack_of, uvarint, with_directory};
use crate::pack::{directory_of, put_part};

/// Most work that a pack may make, in nanoseconds of one processor: those that claim millions would
/// take hours.
const MOST_EFFORT: u64 = 20_000_000_000;

/// Streams of a group, by their number in the format.
mod stream {
    pub(super) const SERIES: usize = 0;
    pub(super) const SHAPES: usize = 1;
    pub(super) const SHAPE_OF_SERIES: usize = 2;
    pub(super) const CONSTANTS: usize = 3;
    pub(super) const PLANS: usize = 5;
    pub(super) const FIRSTS: usize = 8;
    pub(super) const HISTOGRAMS: usize = 12;
    pub(super) const EXCEPTIONS: usize = 13;
    pub(super) const COUNT: usize = 15;
}

/// A part as small as zstd makes it.
fn put_compressed(out: &mut Vec<u8>, content: &[u8]) {
    let stored = zstd::bulk::compress(content, 1).unwrap();
    if stored.len() >= content.len() {
        put_part(out, content);
        return;
    }
    uvarint(out, content.len() as u64);
    uvarint(out, stored.len() as u64);
    out.extend(stored);
}

/// A group or section of timelines of these streams, without residuals.
fn streams(given: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..stream::COUNT {
        let content = given.iter().find(|(given, _)| *given == number);
        put_compressed(&mut out, content.map_or(&[], |(_, content)| content));
    }
    // No table, both kinds of context use it, no low bits, four states at rest.
    out.extend([0, 1, 0, 0x80, 1, 1, 0, 0x80, 1, 0]);
    out.extend([0, 0, 1, 0].repeat(4));
    out
}

fn uvarints(numbers: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in numbers {
        uvarint(&mut out, *number);
    }
    out
}

/// Unpacks a pack of these sections, without its index, and says what is wrong with it.
fn harm(timelines: Vec<u8>, group: Vec<u8>, [timeline_count, series, chunks]: [u64; 3]) -> String {
    let numbers = vec![timeline_count, 0, series, chunks, 0, 0, 0, 0, 0, 0];
    let group = GroupParts {
        timelines,
        group,
        numbers,
    };
    let labels = labels([&[], &[], &[0, 0, 0], &[], &[], &[]]);
    harm_of(&pack_of(&labels, &[group]), chunks, false)
}

fn labels(parts: [&[u8]; 6]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        put_compressed(&mut out, part);
    }
    out
}

fn harm_of(pack: &[u8], chunks: u64, with_index: bool) -> String {
    assert!(pack.len() < 200_000, "{} bytes", pack.len());
    let (unpacked, effort) = effort(|| {
        let mut index = Vec::new();
        let out: &mut dyn std::io::Write = &mut index;
        let out = with_index.then_some((Generation::Plain, out));
        Pack::open(pack).and_then(|pack| match out {
            // Groups without labels: only their digests make somebody look at them.
            None => pack.digests(&mut std::io::sink()),
            out => pack.unpack(&[chunks], &mut Segments::default(), out, &|_| ()),
        })
    });
    assert!(effort < MOST_EFFORT, "{effort} ns of work");
    unpacked.map_or_else(|error| error.chain().clone(), |()| "nothing".to_owned())
}

fn assert_says(found: &str, wanted: &str) {
    assert!(found.contains(wanted), "expected {wanted}, found {found}");
}

#[test]
fn series_shapes_chunks_and_exceptions_without_number_are_refused() {
    let series = |count: usize| {
        let mut kinds = uvarints(&[count as u64]);
        kinds.resize(kinds.len() + count, 3);
        (stream::SERIES, kinds)
    };
    let of_shape_0 = |count: usize| {
        let mut codes = vec![1];
        codes.resize(count, 0);
        (stream::SHAPE_OF_SERIES, codes)
    };
    let exceptions = |count: usize| {
        let mut list = uvarints(&[count as u64]);
        list.extend([0, 1].repeat(count));
        (stream::EXCEPTIONS, list)
    };
    let none = || exceptions(0);
    let no_chunks = (stream::SHAPES, vec![1, 0, 0]);
    let try_it = |given: &[(usize, Vec<u8>)]| harm(Vec::new(), streams(given), [0, 1, 1]);

    let found = try_it(&[
        series(1 << 20),
        of_shape_0(1 << 20),
        no_chunks.clone(),
        none(),
    ]);
    assert_says(&found, "expected series of up to 262144, found 1048576");

    let mut shapes = uvarints(&[1 << 20]);
    shapes.extend([0, 0].repeat(1 << 20));
    let shapes = (stream::SHAPES, shapes);
    assert_says(
        &try_it(&[series(3), of_shape_0(3), shapes, none()]),
        "shapes of 3 series",
    );

    let mut shape = uvarints(&[1, 0, 2 << 20]);
    shape.resize(shape.len() + (2 << 20), 0);
    let shapes = (stream::SHAPES, shape);
    let found = try_it(&[series(1), of_shape_0(1), shapes, none()]);
    assert_says(&found, "shapes of up to 1048576 chunks");

    // Chunks of one sample, in as few shapes as can be: each series has 100,000 of them.
    let mut shape = uvarints(&[1, 1, 100_000, 100_000]);
    shape.extend([1, 1].repeat(100_000));
    let given = [
        (stream::SERIES, [vec![200, 1], vec![0; 200]].concat()),
        of_shape_0(200),
        (stream::SHAPES, shape),
        (stream::PLANS, vec![0x41]),
        (stream::FIRSTS, vec![0]),
        (stream::CONSTANTS, vec![0; 200]),
        none(),
    ];
    assert_says(&try_it(&given), "group of up to 1048576 chunks");

    let found = try_it(&[
        series(1),
        of_shape_0(1),
        no_chunks.clone(),
        exceptions(2 << 20),
    ]);
    assert_says(&found, "exceptions of up to 1048576 chunks, found 2097152");
    let found = try_it(&[series(1), of_shape_0(1), no_chunks, exceptions(1)]);
    assert_says(&found, "exceptions of chunks that exist");
}

#[test]
fn samples_without_number_are_refused() {
    let mut shape = uvarints(&[1, 1, 4_000_000, 62]);
    for _ in 0..61 {
        shape.push(1);
        uvarint(&mut shape, 65_535);
    }
    shape.push(1);
    uvarint(&mut shape, 4_000_000 - 61 * 65_535);
    let given = |series: u8| {
        streams(&[
            (
                stream::SERIES,
                [vec![series], vec![0; usize::from(series)]].concat(),
            ),
            (
                stream::SHAPE_OF_SERIES,
                [vec![1], vec![0; usize::from(series) - 1]].concat(),
            ),
            (stream::SHAPES, shape.clone()),
            (stream::PLANS, vec![0x41]),
            (stream::FIRSTS, vec![0]),
            (stream::CONSTANTS, vec![0; usize::from(series)]),
            (stream::EXCEPTIONS, vec![0]),
        ])
    };
    // A whole group of them is allowed; it is not what this directory says, though.
    assert_says(
        &harm(Vec::new(), given(1), [0, 1, 62]),
        "as the directory says",
    );
    assert_says(
        &harm(Vec::new(), given(100), [0, 100, 6200]),
        "group of up to 4,194,304 samples",
    );
}

#[test]
fn streams_that_expand_without_end_are_refused() {
    let zeros = || vec![0; 40 << 20];
    let group = streams(&[(stream::CONSTANTS, zeros()), (stream::FIRSTS, zeros())]);
    assert_says(
        &harm(Vec::new(), group, [0, 1, 1]),
        "expected length up to 25165824 bytes, found 41943040",
    );
    // One that says it is small.
    let mut group = Vec::new();
    let bomb = zstd::bulk::compress(&zeros(), 1).unwrap();
    uvarint(&mut group, 1 << 20);
    uvarint(&mut group, bomb.len() as u64);
    group.extend(bomb);
    assert_says(
        &harm(Vec::new(), group, [0, 1, 1]),
        "content of 1048576 bytes",
    );
}

#[test]
fn timelines_without_number_or_times_are_refused() {
    let empty = streams(&[(
        stream::SHAPES,
        [uvarints(&[1 << 21]), vec![0; 1 << 21]].concat(),
    )]);
    let try_it = |timelines, count| harm(timelines, streams(&[]), [count, 1, 1]);
    assert_says(&try_it(empty, 1 << 21), "timelines of up to 1048576 times");
    let empty = streams(&[(stream::SHAPES, vec![1, 0])]);
    assert_says(&try_it(empty, 1), "timeline of 1 to 1048576 times, found 0");
    let long = |times: u64| {
        streams(&[
            (stream::SHAPES, uvarints(&[1, times])),
            (stream::PLANS, vec![0x41]),
            (stream::FIRSTS, vec![0]),
        ])
    };
    assert_says(
        &try_it(long((1 << 20) + 1), 1),
        "timeline of 1 to 1048576 times",
    );
    assert_says(
        &try_it(long(1 << 20), 2),
        "number of 2, as the directory says, found 1",
    );
    // Runs that take nothing from it.
    let mut runs = uvarints(&[1, 6_000_001, 0]);
    runs.resize(runs.len() + 12_000_000, 0);
    let group = streams(&[
        (stream::SERIES, vec![1, 3]),
        (stream::SHAPES, runs),
        (stream::EXCEPTIONS, vec![0]),
    ]);
    assert_says(
        &harm(long(1 << 20), group, [1, 1, 1]),
        "shapes of up to 4,194,304 samples",
    );
}

#[test]
fn histograms_of_buckets_without_number_are_refused() {
    let try_it = |span: u64, columns: u64| {
        let mut layout = vec![0, 0];
        layout.extend([0; 8]);
        layout.extend([1, 0]);
        uvarint(&mut layout, span);
        layout.extend([0, 0]);
        uvarint(&mut layout, columns);
        let group = streams(&[
            (stream::SERIES, vec![1, 8]),
            (stream::SHAPE_OF_SERIES, vec![1]),
            (stream::SHAPES, vec![1, 1, 1, 1, 2, 1]),
            (stream::CONSTANTS, vec![0]),
            (stream::PLANS, vec![0x41; 100]),
            (stream::FIRSTS, vec![0; 100]),
            (stream::HISTOGRAMS, layout),
            (stream::EXCEPTIONS, vec![0]),
        ]);
        harm(Vec::new(), group, [0, 1, 1])
    };
    assert_says(&try_it(5, 7), "after the last series, found 92 more bytes");
    assert_says(&try_it(5, 8), "counts of 7 columns, found 8");
    assert_says(
        &try_it(1 << 40, (1 << 40) + 2),
        "histogram with up to 4194303 counts",
    );
    assert_says(
        &try_it(u64::MAX, u64::MAX),
        "histogram with up to 4194303 counts",
    );
}

#[test]
fn labels_that_expand_without_end_are_refused() {
    let try_it = |labels: &[u8]| {
        let pack = pack_of(labels, &[]);
        harm_of(&pack, 0, true)
    };
    assert_eq!(
        try_it(&labels([&[], &[], &[0, 0, 0], &[], &[], &[]])),
        "nothing"
    );
    // Symbols that are all the same beginning of the first.
    let mut lengths = uvarints(&[0, 60_000]);
    lengths.extend(uvarints(&[60_000, 0]).repeat(10_000));
    let found = try_it(&labels([
        &lengths,
        &vec![b'x'; 60_000],
        &[0, 0, 0],
        &[],
        &[],
        &[],
    ]));
    assert_says(&found, "labels of up to 512 MiB");
    // Symbols without text, and entries of dictionaries without content.
    let found = try_it(&labels([
        &vec![0; 48 << 20],
        &[],
        &[0, 0, 0],
        &[],
        &[],
        &[],
    ]));
    assert_says(&found, "labels of up to 512 MiB");
    let mut dictionary = uvarints(&[0, 40 << 20]);
    dictionary.resize(dictionary.len() + (40 << 20), 0);
    let found = try_it(&labels([&[], &[], &dictionary, &[], &[], &[]]));
    assert_says(&found, "labels of up to 512 MiB");
    // Series of very many labels each.
    let mut dictionary = uvarints(&[100_000, 1, 1 << 16]);
    dictionary.resize(dictionary.len() + (1 << 16), 0);
    dictionary.extend(uvarints(&[1, 1 << 16]));
    dictionary.resize(dictionary.len() + (1 << 16), 0);
    let series = vec![0; 100_000];
    let found = try_it(&labels([&[0, 1], b"x", &dictionary, &series, &series, &[]]));
    assert_says(&found, "series of up to 268435456 labels");
    // Parts that are too long together.
    let zeros = vec![0; 300 << 20];
    let found = try_it(&labels([&zeros, &zeros, &[], &[], &[], &[]]));
    assert_says(&found, "expected length up to 222298112 bytes");
}

#[test]
fn labels_with_something_left_over_are_refused() {
    let try_it = |parts| harm_of(&pack_of(&labels(parts), &[]), 0, true);
    assert_says(
        &try_it([&[], b"x", &[0, 0, 0], &[], &[], &[]]),
        "after the last symbol",
    );
    assert_says(
        &try_it([&[], &[], &[0, 0, 0, 0], &[], &[], &[]]),
        "end of the dictionaries",
    );
    assert_says(
        &try_it([&[], &[], &[0, 0, 0], &[], &[0], &[]]),
        "after the last series",
    );
    assert_says(
        &try_it([&[], &[], &[0, 0, 0], &[], &[], &[0]]),
        "after the last series",
    );
    assert_says(
        &try_it([&[], &[], &[0, 0, 0], &[0], &[], &[]]),
        "expected entry of 0",
    );
    assert_says(
        &try_it([&[], &[], &[0, 1, 0, 0], &[0], &[], &[]]),
        "series as counted, 0",
    );
}

#[test]
fn sections_that_are_used_more_than_once_are_refused() {
    let labels = labels([&[], &[], &[0, 0, 0], &[], &[], &[]]);
    let group = GroupParts {
        timelines: Vec::new(),
        group: streams(&[
            (stream::SERIES, vec![0]),
            (stream::SHAPES, vec![0]),
            (stream::EXCEPTIONS, vec![0]),
        ]),
        numbers: vec![0; 10],
    };
    let pack = pack_of(&labels, &[group.clone(), group]);
    let mut content = directory_of(&pack);
    let end = u64::from_le_bytes(pack[pack.len() - 24..][..8].try_into().unwrap()) as usize;
    assert_eq!(
        harm_of(&with_directory(pack[..end].to_vec(), &content), 0, false),
        "nothing"
    );
    // Labels and the number of groups take seven bytes, then come two entries of 22 bytes, all of
    // whose numbers are short.
    assert_eq!(content.len(), 7 + 2 * 22);
    let (first, second) = content[7..].split_at_mut(22);
    second.copy_from_slice(first);
    let found = harm_of(&with_directory(pack[..end].to_vec(), &content), 0, false);
    assert_says(&found, "expected section that begins at ");
}
