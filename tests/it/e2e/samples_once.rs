//! Nights of a real server that compacts, deletes and is snapshot: every archive comes back as it
//! was, and no sample is stored twice.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use narthex::block::DataDir;
use narthex::chunk::OwnedSample;
use narthex::model::{Millis, TimeRange};
use narthex::pack::Pack;
use narthex::raw::ReadMode;
use narthex::select::{Samples, SelectedBlocks, Selection};

use super::program::{archives, backup, check, restore, run};
use super::server::{Server, wait_until};
use super::tools::{Release, Tools};
use super::tree;

/// Series that are deleted one night.
const DELETED: &str = r#"{__name__=~"go_gc_.*"}"#;

/// How often the server is looked at: blocks of four seconds are compacted twice meanwhile.
const NIGHTS: usize = 12;

#[test]
fn a_packaged_server_that_compacts_has_each_sample_stored_once() {
    each_sample_is_stored_once(Release::Packaged);
}

#[test]
fn a_current_server_that_compacts_has_each_sample_stored_once() {
    each_sample_is_stored_once(Release::Current);
}

fn each_sample_is_stored_once(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let repository = home.path().join("repository");
    let server = Server::scraping(&tools, &data);
    wait_until("a first block", || !tree::metas(&data).is_empty());
    let mut nights = Vec::new();
    for night in 0..NIGHTS {
        thread::sleep(Duration::from_millis(2_700));
        if night == 5 {
            server.delete_series(DELETED);
        }
        // What Prometheus makes for backups: the head is one of its blocks.
        let snapshot = data.join("snapshots").join(server.snapshot());
        nights.push(archived_files(&snapshot));
        let mut command = backup(&snapshot, &repository);
        run(command.args(["--source", "server", "--no-wal"]), &[0]);
        fs::remove_dir_all(&snapshot).unwrap();
    }
    wait_until("a compacted block", || tree::holds_compacted_block(&data));
    run(check(&repository).arg("--read-data"), &[0]);
    let ids = archives(&repository);
    assert_eq!(ids.len(), nights.len());
    let mut in_blocks = 0;
    let mut distinct = HashSet::new();
    for (id, night) in ids.iter().zip(nights) {
        let target = home.path().join(id);
        restore(id, &repository, &target);
        assert!(archived_files(&target) == night, "archive {id}");
        in_blocks += samples_in(&target);
        collect(&target, &mut distinct);
    }
    let stored = stored_samples(&repository);
    let all = distinct.len() as u64;
    // Without splices each night would store the head, and each compaction its samples, again: more
    // than twice as many. With them, what little is of use of a pack (less than a sixteenth of
    // it) is stored again.
    assert!(
        stored <= all + all / 50,
        "{stored} samples are stored of {all}"
    );
    assert!(in_blocks > 3 * stored, "{in_blocks} in all archives");
}

/// The files of blocks.
fn archived_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = tree::archived_files(dir);
    assert!(files.len() > 3);
    files
}

/// Adds what the samples of blocks in `data` are known by: series and time.
fn collect(data: &Path, distinct: &mut HashSet<(u64, Millis)>) {
    let found = DataDir::scan(data).unwrap();
    let sources = SelectedBlocks::open(&found, TimeRange::ALL, ReadMode::Map);
    for block in &sources.blocks {
        let all = Selection::new(
            Millis::MIN,
            Millis::MAX,
            vec![r#"{__name__=~".+"}"#.parse().unwrap()],
        );
        for series in Samples::open(std::slice::from_ref(block), &all).unwrap() {
            let mut hasher = DefaultHasher::new();
            series.labels.to_string().hash(&mut hasher);
            let series_hash = hasher.finish();
            let times = series.samples.iter().map(OwnedSample::time);
            distinct.extend(times.map(|time| (series_hash, time)));
        }
    }
}

fn samples_in(data: &Path) -> u64 {
    let metas = tree::metas(data);
    metas
        .iter()
        .map(|meta| meta["stats"]["numSamples"].as_u64().unwrap())
        .sum()
}

fn stored_samples(repository: &Path) -> u64 {
    let packs = tree::files(&repository.join("packs"));
    packs
        .values()
        .map(|pack| Pack::open(&pack[..]).unwrap().samples())
        .sum()
}
