//! Where the fixtures are. Nothing here looks into them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The fixture called `name`, a path below `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// Every block below `fixtures/`, wherever it lies, and below the directory that
/// `NARTHEX_TEST_BLOCKS` names, if set.
pub(crate) fn blocks() -> Vec<PathBuf> {
    let mut blocks = blocks_below(&fixture(""));
    if let Some(more) = std::env::var_os("NARTHEX_TEST_BLOCKS") {
        blocks.extend(blocks_below(Path::new(&more)));
    }
    // Not Prometheus' blocks: what holds of samples does not hold of aggregates, and `thanos.rs`
    // has tests of both.
    blocks.retain(|dir| !dir.starts_with(fixture("thanos")));
    assert!(blocks.len() > 20, "found {} blocks", blocks.len());
    blocks.sort();
    blocks
}

/// Every directory below `dir` that holds an index and metadata.
pub(crate) fn blocks_below(dir: &Path) -> Vec<PathBuf> {
    if dir.join("index").is_file() && dir.join("meta.json").is_file() {
        return vec![dir.to_owned()];
    }
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|path| blocks_below(&path))
        .collect()
}

/// Every file below `dir`, by its path there.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}
