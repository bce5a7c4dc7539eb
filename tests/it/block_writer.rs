//! Blocks that narthex writes: the same bytes as Prometheus' where it had the same samples, and
//! never half a block.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use narthex::ErrorKind;
use narthex::block::{Block, BlockOptions, BlockWriter, Meta, write_block};
use narthex::chunk::encode::{EncodedChunk, float_chunks};
use narthex::chunk::{Encoding, SEGMENT_LIMIT};
use narthex::index::{Generation, Index, IndexWriter, Postings, Series, SymbolRef};
use narthex::model::{ChunkMeta, ChunkRef, FloatSample, Label, Labels};
use narthex::raw::ReadMode;
use proptest::prelude::*;

use crate::fixtures;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.as_bytes().into(),
        value: value.as_bytes().into(),
    };
    Labels(pairs.iter().map(label).collect())
}

/// `up{job="a"}` with the values 1, 2, 3 and `up{job="b"}` with 0, 1, 2, every 15 seconds.
fn two_series() -> BTreeMap<Labels, Vec<EncodedChunk>> {
    let series = |job, first: u32| {
        let sample = |k: u32| FloatSample {
            time: 1_700_000_000_000 + 15_000 * i64::from(k),
            start: 0,
            bits: f64::from(first + k).to_bits(),
        };
        let chunks = float_chunks((0..3).map(sample), Encoding::Xor).unwrap();
        (labels(&[("__name__", "up"), ("job", job)]), chunks)
    };
    [series("a", 1), series("b", 0)].into()
}

/// Content of every file below `dir`, by relative path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in ["meta.json", "index", "tombstones"] {
        files.insert(name.to_owned(), fs::read(dir.join(name)).unwrap());
    }
    for entry in fs::read_dir(dir.join("chunks")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("chunks/{}", path.file_name().unwrap().display());
        files.insert(name, fs::read(path).unwrap());
    }
    files
}

#[test]
fn a_block_of_the_same_samples_is_the_one_prometheus_wrote() {
    let ulid = "01M7ZTB71NJ67GWWE5SXTVHFTH";
    let parent = tempfile::tempdir().unwrap();
    let dir = write_block(
        parent.path(),
        ulid.parse().unwrap(),
        &two_series(),
        BlockOptions::default(),
    )
    .unwrap();
    assert_eq!(dir, parent.path().join(ulid));
    assert_eq!(
        files(&dir),
        files(&fixtures::fixture("blocks/tiny").join(ulid))
    );
}

#[test]
fn every_fixture_written_again_from_its_parts_has_the_same_bytes() {
    let mut generations = BTreeSet::new();
    for dir in fixtures::blocks() {
        let original = files(&dir);
        let generation = Generation::of(&Index::open(&original["index"]).unwrap().toc());
        generations.insert(generation == Generation::Plain);
        let parent = tempfile::tempdir().unwrap();
        let again = files(&write_again(&dir, parent.path(), generation));
        for (name, content) in &original {
            match name.as_str() {
                "tombstones" => {}
                "meta.json" => assert_same_meta(content, &again[name]),
                _ => assert!(*content == again[name], "{} {name}", dir.display()),
            }
        }
        assert_eq!(original.len(), again.len(), "{}", dir.display());
    }
    assert_eq!(
        generations.len(),
        2,
        "both generations of indexes have fixtures"
    );
}

/// Deletions are counted by who deletes, and Prometheus before 3.6 did not count by kind of sample.
fn assert_same_meta(original: &[u8], again: &[u8]) {
    let mut meta = Meta::parse(original).unwrap();
    let counted = Meta::parse(again).unwrap();
    meta.stats.num_tombstones = 0;
    if meta.stats.num_float_samples + meta.stats.num_histogram_samples == 0 {
        meta.stats.num_float_samples = counted.stats.num_float_samples;
        meta.stats.num_histogram_samples = counted.stats.num_histogram_samples;
    }
    assert_eq!(
        String::from_utf8_lossy(again),
        String::from_utf8_lossy(&meta.to_json())
    );
}

/// The segment limit of a fixture made with another than the usual one is in its name.
fn segment_limit(dir: &Path) -> u64 {
    dir.components()
        .filter_map(|part| part.as_os_str().to_str()?.strip_prefix("segments-of-"))
        .find_map(|limit| limit.parse().ok())
        .unwrap_or(SEGMENT_LIMIT)
}

/// Writes the block in `dir` again, from its decoded index and its chunks, into `parent`.
fn write_again(dir: &Path, parent: &Path, generation: Generation) -> std::path::PathBuf {
    let block = Block::open(dir, ReadMode::Map).unwrap();
    let index = block.index().unwrap();
    let symbols: Vec<&[u8]> = index
        .symbols()
        .unwrap()
        .iter()
        .map(|(_, symbol)| symbol)
        .collect();
    let options = BlockOptions {
        generation,
        segment_limit: segment_limit(dir),
    };
    let mut writer = BlockWriter::create(parent, block.meta().clone(), &symbols, options).unwrap();
    let mut series = Series::default();
    for entry in index.series() {
        entry.unwrap().decode(&mut series).unwrap();
        let chunk = |meta: &ChunkMeta| {
            let record = block.chunk(meta.reference).unwrap();
            EncodedChunk {
                encoding: record.encoding,
                min_time: meta.min_time,
                max_time: meta.max_time,
                data: record.data,
            }
        };
        let chunks: Vec<_> = series.chunks.iter().map(chunk).collect();
        writer.add_series(&series.labels, &chunks).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn segments_are_cut_and_chunks_still_found() {
    let series = (0..20)
        .map(|i| {
            let sample = |k: i64| FloatSample {
                time: k,
                start: 0,
                bits: f64::from(i).to_bits() ^ k as u64,
            };
            let chunks = float_chunks((0..500).map(sample), Encoding::Xor).unwrap();
            (labels(&[("i", &format!("{i:02}"))]), chunks)
        })
        .collect();
    let parent = tempfile::tempdir().unwrap();
    let options = BlockOptions {
        segment_limit: 4096,
        ..BlockOptions::default()
    };
    let ulid = "01M7ZTB71NJ67GWWE5SXTVHFTH".parse().unwrap();
    let dir = write_block(parent.path(), ulid, &series, options).unwrap();
    let block = Block::open(&dir, ReadMode::Map).unwrap();
    assert!(block.segments().len() > 3);
    assert!(block.segments().all(|segment| segment.len() <= 4096));
    let mut found = Series::default();
    for (entry, chunks) in block.index().unwrap().series().zip(series.values()) {
        entry.unwrap().decode(&mut found).unwrap();
        for (meta, chunk) in found.chunks.iter().zip(chunks) {
            assert_eq!(block.chunk(meta.reference).unwrap().data, chunk.data);
        }
    }
}

#[test]
fn a_block_with_a_series_that_could_not_be_written_does_not_appear() {
    let parent = tempfile::tempdir().unwrap();
    let tiny = fixtures::fixture("blocks/tiny/01M7ZTB71NJ67GWWE5SXTVHFTH/meta.json");
    let meta = Meta::parse(&fs::read(tiny).unwrap()).unwrap();
    let symbols = ["", "a"];
    let mut writer =
        BlockWriter::create(parent.path(), meta, &symbols, BlockOptions::default()).unwrap();
    let chunks = two_series().into_values().next().unwrap();
    writer.add_series(&[], &chunks).unwrap_err();
    let label = [(SymbolRef(1), SymbolRef(1))];
    writer.add_series(&label, &chunks).unwrap_err();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn an_unfinished_block_leaves_nothing_and_an_existing_one_is_not_touched() {
    let parent = tempfile::tempdir().unwrap();
    let ulid = "01M7ZTB71NJ67GWWE5SXTVHFTH".parse().unwrap();
    let dir = write_block(parent.path(), ulid, &two_series(), BlockOptions::default()).unwrap();
    let meta = Meta::parse(&fs::read(dir.join("meta.json")).unwrap()).unwrap();

    let create = |meta: &Meta| {
        BlockWriter::create(
            parent.path(),
            meta.clone(),
            &["", "a"],
            BlockOptions::default(),
        )
    };
    let error = create(&meta).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);

    let other = Meta {
        ulid: "01M7ZTB71NJ67GWWE5SXTVHFTJ".parse().unwrap(),
        ..meta
    };
    let mut writer = create(&other).unwrap();
    writer
        .add_series(
            &[(SymbolRef(1), SymbolRef(1))],
            &two_series().into_values().next().unwrap(),
        )
        .unwrap();
    assert!(
        parent
            .path()
            .join("01M7ZTB71NJ67GWWE5SXTVHFTJ.tmp-for-creation")
            .is_dir()
    );
    drop(writer);
    let left: Vec<_> = fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [dir]);
}

/// What is wrong with a series, its labels, its chunks.
type Refused<'a> = (&'a str, &'a [(SymbolRef, SymbolRef)], &'a [ChunkMeta]);

#[test]
fn the_index_writer_refuses_what_prometheus_refuses() {
    let symbols = ["", "a", "b"];
    let label = |name, value| (SymbolRef(name), SymbolRef(value));
    let chunk = |min_time, max_time, offset| ChunkMeta {
        min_time,
        max_time,
        reference: ChunkRef(offset),
    };
    let (first, second) = ([label(1, 1)], [label(1, 2)]);
    let refused: [Refused<'_>; 7] = [
        ("no labels", &[], &[]),
        ("the same labels", &first, &[]),
        ("an unknown symbol", &[label(1, 3)], &[]),
        ("a chunk of an earlier series", &second, &[chunk(0, 1, 7)]),
        (
            "chunks out of order",
            &second,
            &[chunk(0, 1, 9), chunk(2, 3, 8)],
        ),
        (
            "chunks that overlap",
            &second,
            &[chunk(0, 1, 8), chunk(1, 2, 9)],
        ),
        (
            "a chunk that ends before it begins",
            &second,
            &[chunk(2, 1, 9)],
        ),
    ];
    for (what, labels, chunks) in refused {
        let mut writer = IndexWriter::new(Vec::new(), Generation::Plain, &symbols).unwrap();
        writer.add_series(&first, &[chunk(0, 1, 8)]).unwrap();
        let error = writer.add_series(labels, chunks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}");
        writer
            .add_series(&second, &[chunk(0, 1, 8), chunk(2, 2, 9)])
            .unwrap();
        writer.finish().unwrap();
    }
    for symbols in [["b", "a"], ["a", "a"]] {
        IndexWriter::new(Vec::new(), Generation::Plain, &symbols).unwrap_err();
    }
    let mut twice = IndexWriter::new(Vec::new(), Generation::Plain, &symbols).unwrap();
    twice.add_series(&[label(1, 1), label(1, 2)], &[]).unwrap();
    assert!(
        twice
            .finish()
            .unwrap_err()
            .to_string()
            .contains("label a once")
    );
}

/// Label sets by position in the symbol table, names ascending within each.
fn any_series(symbols: u32) -> impl Strategy<Value = BTreeSet<Vec<(u32, u32)>>> {
    let labels = prop::collection::btree_map(0..symbols, 0..symbols, 1..5);
    prop::collection::btree_set(
        labels.prop_map(|labels| labels.into_iter().collect()),
        0..60,
    )
}

proptest! {
    #[test]
    fn an_index_holds_exactly_what_was_written(
        symbols in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..200), 10..40),
        series in any_series(10),
        label_indices: bool,
    ) {
        let symbols: Vec<_> = symbols.into_iter().collect();
        let generation = if label_indices { Generation::LabelIndices } else { Generation::Plain };
        let mut writer = IndexWriter::new(Vec::new(), generation, &symbols).unwrap();
        let mut expected = Vec::new();
        let mut postings = BTreeMap::<_, Vec<_>>::new();
        postings.insert((&b""[..], &b""[..]), Vec::new());
        for (i, pairs) in (0..).zip(&series) {
            let time = |k: i64| 1_700_000_000_000 - 7 * i + 1000 * k;
            let chunk = |k| ChunkMeta {
                min_time: time(k),
                max_time: time(k) + 900,
                reference: ChunkRef((i * 10 + k) as u64),
            };
            let labels: Vec<_> = pairs.iter().map(|(n, v)| (SymbolRef(*n), SymbolRef(*v))).collect();
            let chunks: Vec<_> = (0..i % 4).map(chunk).collect();
            let reference = writer.add_series(&labels, &chunks).unwrap();
            for (name, value) in pairs {
                let key = (&*symbols[*name as usize], &*symbols[*value as usize]);
                postings.entry(key).or_default().push(reference);
            }
            postings.get_mut(&(&b""[..], &b""[..])).unwrap().push(reference);
            expected.push((reference, Series { labels, chunks }));
        }
        let bytes = writer.finish().unwrap();

        let index = Index::open(&bytes).unwrap();
        prop_assert_eq!(index.label_indices().is_some(), label_indices);
        let found: Vec<_> = index.symbols().unwrap().iter().map(|(_, symbol)| symbol.to_vec()).collect();
        prop_assert_eq!(&found, &symbols);
        let mut read = Vec::new();
        for entry in index.series() {
            let entry = entry.unwrap();
            entry.check().unwrap();
            let mut series = Series::default();
            entry.decode(&mut series).unwrap();
            read.push((entry.reference, series));
        }
        prop_assert_eq!(read, expected);
        let table = index.postings_table().unwrap();
        let mut lists = BTreeMap::new();
        for entry in table.iter() {
            let entry = entry.unwrap();
            let section = index.postings_section(entry.list).unwrap();
            section.checksum.clone().unwrap();
            let list: Vec<_> = Postings::read(&section).unwrap().iter().collect();
            let before = lists.insert((entry.name, entry.value), list);
            prop_assert!(before.is_none() || entry.name.is_empty());
        }
        if !symbols[0].is_empty() {
            prop_assert_eq!(lists, postings);
        }
    }
}
