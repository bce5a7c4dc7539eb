//! What backups leave beside each block: series, samples and bytes by job and metric, held against
//! counting them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex::block::Block;
use narthex::chunk::promised_samples;
use narthex::index::Series;
use narthex::raw::ReadMode;
use narthex::repository::{Archive, Repository, STATISTICS_FILE};
use narthex::statistics::{Amounts, Statistics, read};
use narthex::store::LocalStore;
use serde_json::Value as Json;

use crate::fixtures::{fixture, tree};
use crate::reading::{Copy, narthex};

type Groups = BTreeMap<(Option<Box<[u8]>>, Option<Box<[u8]>>), Amounts>;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn repository(&self) -> Repository {
        Repository::open(Arc::new(LocalStore::new(self.repo()))).unwrap()
    }

    /// Backs up, and returns the exit code and the archive.
    fn back_up(&self, source: &Path, codec: &str) -> (i32, Archive) {
        let repo = self.repo();
        let ran = narthex(&[
            "backup",
            text(source),
            "--repo",
            text(&repo),
            "--no-cache",
            "--codec",
            codec,
        ]);
        let mut archives = self.repository().archives().unwrap().archives;
        (
            ran.code,
            archives.pop().unwrap_or_else(|| panic!("{}", ran.err)),
        )
    }
}

/// Counts a block's groups in the simplest way.
fn counted(dir: &Path) -> Groups {
    let block = Block::open(dir, ReadMode::Read).unwrap();
    let index = block.index().unwrap();
    let symbols = index.symbols().unwrap();
    let mut groups = Groups::new();
    let mut series = Series::default();
    for entry in index.series() {
        let entry = entry.unwrap();
        entry.decode(&mut series).unwrap();
        let labels = index.labels(&symbols, &series, entry.offset).unwrap();
        let label = |name: &[u8]| labels.get(name).map(Into::into);
        let group = groups
            .entry((label(b"job"), label(b"__name__")))
            .or_default();
        group.series += 1;
        group.entry_bytes += entry.end - entry.offset;
        for chunk in &series.chunks {
            if let Ok(record) = block.chunk(chunk.reference) {
                let samples = promised_samples(record.encoding, record.data, 0).unwrap();
                group.samples += u64::from(samples);
                group.chunk_bytes += record.end - record.offset;
            }
        }
    }
    groups
}

/// Each row is the group of its name, the rest is what is left, and no group that is left is larger
/// than a row.
fn assert_counted(statistics: &Statistics, mut groups: Groups) {
    let mut smallest = u64::MAX;
    for row in &statistics.rows {
        let group = groups.remove(&(row.job.clone(), row.metric.clone()));
        assert_eq!(group, Some(row.amounts), "{row:?}");
        smallest = smallest.min(row.amounts.bytes());
    }
    assert_eq!(statistics.others, groups.len() as u64);
    let mut rest = Amounts::default();
    for group in groups.values() {
        assert!(group.bytes() <= smallest);
        rest.add(*group);
    }
    assert_eq!(statistics.rest, rest);
}

#[test]
fn rows_are_what_counting_the_block_gives_and_sums_are_exact() {
    for (source, codec) in [
        ("night-2", "dense"),
        ("night-2", "portable"),
        ("blocks/encodings-456", "dense"),
        ("blocks/promtool-2.42", "dense"),
        ("blocks/segments-of-3000", "portable"),
    ] {
        let bench = Bench::new();
        let source = fixture(source);
        let (_, archive) = bench.back_up(&source, codec);
        assert!(!archive.blocks.is_empty());
        for block in &archive.blocks {
            let repository = bench.repository();
            let statistics = read(repository.store(), block).unwrap().unwrap();
            assert_counted(&statistics, counted(&source.join(block.ulid.to_string())));
            let totals = statistics.totals();
            assert_eq!(
                (totals.series, totals.samples),
                (block.series, block.samples)
            );
            let listed = block
                .files
                .iter()
                .any(|file| file.name.as_str() == STATISTICS_FILE);
            assert!(!listed, "it is no file of the block");
        }
    }
}

#[test]
fn the_next_night_names_them_again_and_stores_nothing() {
    let bench = Bench::new();
    let (_, first) = bench.back_up(&fixture("night-1"), "dense");
    let before = tree(&bench.repo().join("blocks"));
    let (_, second) = bench.back_up(&fixture("night-1"), "dense");
    assert_eq!(first.blocks, second.blocks);
    assert!(second.blocks.iter().all(|block| block.statistics));
    assert_eq!(tree(&bench.repo().join("blocks")), before);
}

#[test]
fn of_a_damaged_block_there_is_what_could_be_read() {
    for codec in ["dense", "portable"] {
        let copy = Copy::of("blocks/tiny");
        copy.edit("chunks/000001", |bytes| *bytes.last_mut().unwrap() ^= 1);
        let bench = Bench::new();
        let (code, archive) = bench.back_up(copy.path(), codec);
        assert_eq!(code, 3);
        let statistics = read(bench.repository().store(), &archive.blocks[0]).unwrap();
        let totals = statistics.unwrap().totals();
        assert_eq!((totals.series, totals.samples), (2, 3), "{codec}");
    }
}

#[test]
fn a_block_without_a_readable_index_has_none_and_restores() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("index", Vec::clear);
    let bench = Bench::new();
    let (_, archive) = bench.back_up(copy.path(), "dense");
    assert!(!archive.blocks[0].statistics);
    assert_eq!(
        read(bench.repository().store(), &archive.blocks[0]).unwrap(),
        None
    );
}

#[test]
fn a_file_of_that_name_in_the_block_is_the_blocks_own() {
    let copy = Copy::of("blocks/tiny");
    fs::write(copy.block.join(STATISTICS_FILE), b"mine").unwrap();
    for codec in ["dense", "portable"] {
        let bench = Bench::new();
        let (_, archive) = bench.back_up(copy.path(), codec);
        assert!(!archive.blocks[0].statistics);
        let target = bench.dir.path().join("back");
        let repo = bench.repo();
        let ran = narthex(&[
            "restore",
            "latest",
            "--repo",
            text(&repo),
            "--target",
            text(&target),
        ]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(tree(&target), tree(copy.path()));
    }
}

/// A file of statistics goes the way of its block.
#[test]
fn damage_to_them_is_found_by_check_and_is_no_panic() {
    let bench = Bench::new();
    let (_, archive) = bench.back_up(&fixture("blocks/tiny"), "dense");
    let block = &archive.blocks[0];
    let repo = bench.repo();
    let path = repo.join(block.object.name.as_str());
    let sound = fs::read(&path).unwrap();
    let damage = |bytes: &[u8]| {
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let mut refused = 0;
    for at in (0..sound.len()).step_by(7) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        damage(&bytes);
        refused += u32::from(read(bench.repository().store(), block).is_err());
        damage(&sound[..at]);
        assert!(read(bench.repository().store(), block).is_err());
    }
    assert!(refused > 20);
    let mut bytes = sound.clone();
    bytes[sound.len() / 2] ^= 0x10;
    damage(&bytes);
    let ran = narthex(&["check", "--read-data", "--repo", text(&repo), "--json"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("object-damaged"), "{}", ran.out);
    let ran = narthex(&["stats", "--by", "metric", "--repo", text(&repo)]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains(&block.ulid.to_string()), "{}", ran.err);
}

fn by(repo: &Path, arguments: &[&str]) -> (i32, Json) {
    let ran = narthex(&[&["stats", "--repo", text(repo), "--json"], arguments].concat());
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    (ran.code, json)
}

#[test]
fn stats_add_up_the_blocks_of_an_archive_by_metric_and_by_job() {
    let bench = Bench::new();
    let (_, archive) = bench.back_up(&fixture("night-2"), "dense");
    let mut by_job: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = 0;
    for block in &archive.blocks {
        for ((job, _), amounts) in counted(&fixture("night-2").join(block.ulid.to_string())) {
            let job = String::from_utf8(job.unwrap().into()).unwrap();
            *by_job.entry(job).or_default() += amounts.samples;
            all += amounts.samples;
        }
    }
    for group in ["metric", "job", "both"] {
        let (code, json) = by(&bench.repo(), &["--by", group, "--top", "0"]);
        assert_eq!(code, 0);
        assert_eq!(json["archive"], archive.id.as_str());
        assert_eq!(json["totals"]["samples"], all);
        assert_eq!(json["totals"]["blocks"], archive.blocks.len());
        let rows = json["rows"].as_array().unwrap();
        let samples: u64 = rows
            .iter()
            .map(|row| row["samples"].as_u64().unwrap())
            .sum();
        assert_eq!(
            samples + json["totals"]["rest_samples"].as_u64().unwrap(),
            all
        );
        if group == "job" {
            for row in rows {
                assert_eq!(row["samples"], by_job[row["job"].as_str().unwrap()]);
                assert_eq!(row["metric"], Json::Null);
            }
        }
    }
    let repo = bench.repo();
    let ran = narthex(&["stats", "--repo", text(&repo), "--by", "job"]);
    insta::assert_snapshot!(ran.out);
}

#[test]
fn an_archive_of_an_older_narthex_has_none_and_says_so() {
    let repo = fixture("repositories/v1/repository");
    let repository = Repository::open(Arc::new(LocalStore::new(&repo))).unwrap();
    for archive in repository.archives().unwrap().archives {
        assert!(archive.blocks.iter().all(|block| !block.statistics));
        let (code, json) = by(&repo, &["--by", "metric", "--archive", archive.id.as_str()]);
        assert_eq!(code, 3);
        assert_eq!(json["totals"]["blocks_without"], archive.blocks.len());
        assert_eq!(json["rows"], Json::Array(Vec::new()));
    }
}
