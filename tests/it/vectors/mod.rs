//! The examples of `docs/pack-format.md` and `docs/repository-format.md`: files in
//! `fixtures/vectors` that the code makes anew, and that the pages quote to the byte.

mod decoder;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use narthex::block::{BlockOptions, write_block};
use narthex::chunk::Encoding;
use narthex::chunk::encode::{EncodedChunk, float_chunks};
use narthex::dense::{RECIPE_FILE, Recipe, SegmentRecipe};
use narthex::index::Generation;
use narthex::model::{FloatSample, Label, Labels, Millis};
use narthex::pack::{BlockBytes, KnownPack, Pack, Splice, plan, unpack, write_part};
use narthex::progress::Silent;
use narthex::repository::portable::{self, Root, SourceFile};
use narthex::repository::{
    Archive, ArchiveId, Coverage, Digest, FilePath, FindingCounts, Fingerprint, ObjectCodec,
    PLAIN_MANIFEST_VERSION, StoredBlock, StoredFile, StoredObject, pack_object, recipe_object,
};
use narthex::store::{MemoryStore, ReadStore};
use serde::Deserialize;

use crate::e2e::program;
use crate::fixtures::fixture;
use crate::harness::Segments;

const ULID: &str = "01M80TWQSER1ESTW0TWQSER1ES";
const REPOSITORY: &str = "00112233445566778899aabbccddeeff";
const PAGES: [&str; 3] = ["pack-format", "repository-format", "tsdb-format"];

/// A series of the raw input.
#[derive(Deserialize)]
struct RawSeries {
    labels: BTreeMap<String, String>,
    start: Millis,
    step: Millis,
    values: Vec<f64>,
}

/// The files of a block.
struct Block {
    meta: Vec<u8>,
    index: Vec<u8>,
    segment: Vec<u8>,
}

/// The raw input.
fn input() -> Vec<RawSeries> {
    let text = fs::read_to_string(fixture("vectors/series.jsonl")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The block of these series, of each the first `samples`.
fn block(series: &[RawSeries], samples: usize) -> Block {
    let series = series.iter().map(|raw| {
        let label = |(name, value): (&String, &String)| Label {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        };
        let labels = Labels(raw.labels.iter().map(label).collect());
        let sample = |(k, value): (usize, &f64)| FloatSample {
            time: raw.start + raw.step * k as Millis,
            start: 0,
            bits: value.to_bits(),
        };
        let samples = raw.values.iter().take(samples).enumerate().map(sample);
        (labels, float_chunks(samples, Encoding::Xor).unwrap())
    });
    let series: BTreeMap<Labels, Vec<EncodedChunk>> = series.collect();
    let parent = tempfile::tempdir().unwrap();
    let ulid = ULID.parse().unwrap();
    let dir = write_block(parent.path(), ulid, &series, BlockOptions::default()).unwrap();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    Block {
        meta: read("meta.json"),
        index: read("index"),
        segment: read("chunks/000001"),
    }
}

impl Block {
    fn bytes(&self) -> BlockBytes<'_> {
        BlockBytes {
            index: &self.index,
            segments: vec![&self.segment],
        }
    }

    /// The pack of it, and the digests of its series.
    fn pack(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut pack, mut digests) = (Vec::new(), Vec::new());
        let packed = write_part(&self.bytes(), None, &mut pack, &mut digests, &|_| ());
        packed.unwrap().unwrap();
        (pack, digests)
    }
}

/// How the block of the first ten minutes of the first series follows from the pack of both.
fn splice(pack: &[u8], digests: &[u8], part: &Block) -> Splice {
    let known = KnownPack::new(Pack::open(pack).unwrap(), Box::new(digests), true);
    let start = input()[0].start;
    let range = (start, start + 600_000);
    let plan = plan(&part.bytes(), range, &mut [known]).unwrap().unwrap();
    assert!(plan.own.is_none(), "the pack holds all of it");
    let (mut segments, mut index) = (Segments::default(), Vec::new());
    unpack(
        &[Pack::open(pack).unwrap()],
        &plan.splice,
        &plan.segments,
        &mut segments,
        Some((plan.index, &mut index)),
        &|_| (),
    )
    .unwrap();
    assert!(segments.0 == std::slice::from_ref(&part.segment));
    assert!(index == part.index);
    plan.splice
}

fn file(name: &str, content: &[u8], packed: bool) -> StoredFile {
    StoredFile {
        name: FilePath::new(name).unwrap(),
        bytes: content.len() as u64,
        sha256: Digest::of(content),
        sidecar: false,
        packed,
    }
}

/// What a repository holds beside the pack when this block has been archived.
struct Documents {
    descriptor: Vec<u8>,
    manifest: Vec<u8>,
    recipe: Vec<u8>,
    recipe_object: Vec<u8>,
    archive: Archive,
}

fn documents(block: &Block, pack: &[u8]) -> Documents {
    let ulid = ULID.parse().unwrap();
    let fingerprint = Fingerprint::of(b"two series");
    let pack_name = pack_object(ulid, &fingerprint).unwrap();
    let segments = vec![SegmentRecipe {
        name: FilePath::new("chunks/000001").unwrap(),
        chunks: 4,
    }];
    let index = Some(Generation::Plain);
    let recipe = Recipe::new(vec![pack_name.clone()], &Splice::default(), index, segments);
    let recipe = recipe.to_bytes().unwrap();
    let object = |name, codec, bytes: &[u8], raw_bytes| StoredObject {
        name,
        codec,
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
        raw_bytes,
        encrypted: None,
    };
    let recipe_name = recipe_object(ulid, &fingerprint).unwrap();
    let store = MemoryStore::default();
    let kept = [("meta.json", &block.meta), (RECIPE_FILE, &recipe)];
    let kept = kept.map(|(name, content)| SourceFile {
        name: FilePath::new(name).unwrap(),
        content,
    });
    let root = Root::Block(ulid);
    let staged = portable::write(&store, &recipe_name, root, &kept, 3, &Silent);
    let (stored_recipe, _) = staged.unwrap().publish().unwrap();
    let recipe_object = store.get(&recipe_name, 1 << 20).unwrap();
    let raw = (block.index.len() + block.segment.len()) as u64;
    let times = input()[0].start..input()[0].start + 129 * 15_000 + 1;
    let stored = StoredBlock {
        ulid,
        fingerprint,
        min_time: times.start,
        max_time: times.end,
        level: 1,
        sources: vec![ulid],
        parents: Vec::new(),
        resolution: Some(0),
        external_labels: BTreeMap::new(),
        hints: Vec::new(),
        series: 2,
        chunks: 4,
        samples: 260,
        object: stored_recipe.in_dense_codec(),
        statistics: false,
        packs: vec![object(pack_name, ObjectCodec::Pack, pack, raw)],
        sidecar: None,
        files: vec![
            file("chunks/000001", &block.segment, true),
            file("index", &block.index, true),
            file("meta.json", &block.meta, false),
        ],
        empty_dirs: Vec::new(),
        findings: FindingCounts::default(),
    };
    let archive = Archive {
        format_version: PLAIN_MANIFEST_VERSION,
        previous: None,
        id: "0123456789abcdef".parse::<ArchiveId>().unwrap(),
        time: 1_795_288_065_445,
        host: "mon1".to_owned(),
        source: "/var/lib/prometheus/metrics2".to_owned(),
        source_name: "main".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "infra \"east\"".to_owned())]),
        narthex_version: "0.2.0".to_owned(),
        repository: Some(REPOSITORY.to_owned()),
        coverage: Coverage {
            min_time: Some(times.start),
            max_time: Some(times.end),
            gaps: Vec::new(),
        },
        blocks: vec![stored].into(),
        wal: None,
        left_out: Vec::new(),
        findings: FindingCounts::default(),
    };
    let manifest = archive.to_bytes().unwrap();
    assert_eq!(Archive::from_bytes(&manifest).unwrap(), archive);
    let descriptor = format!(
        "{{\n\"format_version\": 1,\n\"id\": \"{REPOSITORY}\",\n\"created\": \"2026-11-21T19:00:00.000Z\""
    );
    Documents {
        descriptor: sealed(&descriptor),
        manifest,
        recipe,
        recipe_object,
        archive,
    }
}

/// A sealed document, as section 2 of `docs/repository-format.md` says.
fn sealed(content: &str) -> Vec<u8> {
    let digest = Digest::of(content.as_bytes());
    format!("{content},\n  \"sha256\": \"{digest}\"\n}}\n").into_bytes()
}

/// Every vector that is made from the raw input, by name.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let input = input();
    let whole = block(&input, usize::MAX);
    let part = block(&input[..1], 40);
    let (pack, digests) = whole.pack();
    let splice = splice(&pack, &digests, &part);
    let documents = documents(&whole, &pack);
    let residuals = decoder::ten_residuals(&pack, &input[0].values);
    BTreeMap::from([
        ("two-series.index", whole.index),
        ("two-series.segment", whole.segment),
        ("two-series.pack", pack),
        ("residuals.txt", residuals.into_bytes()),
        ("ten-minutes.index", part.index),
        ("ten-minutes.segment", part.segment),
        ("ten-minutes.splice", splice.to_bytes()),
        ("narthex.json", documents.descriptor),
        ("narthex.recipe.json", documents.recipe),
        ("two-series.recipe.tar.zst", documents.recipe_object),
        ("manifest.json", documents.manifest),
    ])
}

fn path(name: &str) -> PathBuf {
    fixture("vectors").join(name)
}

#[test]
fn the_vectors_are_what_the_code_makes_of_the_raw_input() {
    let write = std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some();
    for (name, content) in vectors() {
        if write {
            fs::write(path(name), &content).unwrap();
        }
        let found = fs::read(path(name)).unwrap();
        assert!(
            found == content,
            "{name}: made otherwise, {} bytes instead of {}",
            content.len(),
            found.len()
        );
    }
}

#[test]
fn the_vectors_are_a_repository_that_restores() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, target) = (dir.path().join("repo"), dir.path().join("target"));
    let whole = block(&input(), usize::MAX);
    let (pack, _) = whole.pack();
    let archive = documents(&whole, &pack).archive;
    let block = &archive.blocks.iter().next().unwrap();
    let manifest = archive.manifest_name().unwrap().object().unwrap();
    for (name, object) in [
        ("narthex.json", "narthex.json"),
        ("manifest.json", manifest.as_str()),
        ("two-series.recipe.tar.zst", block.object.name.as_str()),
        ("two-series.pack", block.packs[0].name.as_str()),
    ] {
        let place = repo.join(object);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(path(name), place).unwrap();
    }
    program::run(program::check(&repo).arg("--read-data"), &[0]);
    program::restore("latest", &repo, &target);
    let read = |name: &str| fs::read(target.join(ULID).join(name)).unwrap();
    assert!(read("index") == fs::read(path("two-series.index")).unwrap());
    assert!(read("chunks/000001") == fs::read(path("two-series.segment")).unwrap());
}

/// What a page quotes: code blocks whose language is `hex`, with a path below `fixtures/`, as the
/// bytes in their first column; and others with such a path, as they stand there.
fn quotes(page: &str) -> Vec<(String, Vec<u8>)> {
    let mut quotes = Vec::new();
    for part in page.split("\n```").skip(1).step_by(2) {
        let (info, body) = part.split_once('\n').unwrap();
        let Some((language, name)) = info.split_once(' ') else {
            continue;
        };
        let content = match language {
            "hex" => body.lines().flat_map(hex).collect(),
            _ => format!("{body}\n").into_bytes(),
        };
        quotes.push((name.to_owned(), content));
    }
    quotes
}

/// The bytes of a line: hexadecimal digits, up to the first two spaces.
fn hex(line: &str) -> Vec<u8> {
    let digits: String = line.split("  ").next().unwrap().split(' ').collect();
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    pairs
        .map(|pair| byte(pair).unwrap_or_else(|_| panic!("no hexadecimal digits: {line}")))
        .collect()
}

#[test]
fn the_pages_quote_the_vectors_to_the_byte() {
    let mut quoted = 0;
    for name in PAGES {
        let page = format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(page).unwrap();
        for (name, content) in quotes(&page) {
            let found = fs::read(fixture(&name)).unwrap();
            assert!(found == content, "the page quotes {name} otherwise");
            quoted += 1;
        }
    }
    assert_eq!(quoted, 7, "quoted files");
}
