//! The blocks that benches run on.

use std::path::{Path, PathBuf};

use narthex::block::Block;
use narthex::raw::ReadMode;

/// The blocks below the directory that `NARTHEX_CORPUS` names; without it, those of the fixtures,
/// so that the benches run quickly in test mode.
pub(crate) fn blocks() -> Vec<Block> {
    let fixtures = || Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let root = std::env::var_os("NARTHEX_CORPUS").map_or_else(fixtures, PathBuf::from);
    let mut dirs = Vec::new();
    find_blocks(&root, &mut dirs);
    // The same block lies in several nights of a chain.
    dirs.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    dirs.dedup_by(|a, b| a.file_name() == b.file_name());
    let open = |dir: &PathBuf| Block::open(dir, ReadMode::Map).unwrap();
    dirs.iter().map(open).collect()
}

fn find_blocks(dir: &Path, found: &mut Vec<PathBuf>) {
    if dir.join("index").is_file() && dir.join("meta.json").is_file() {
        found.push(dir.to_owned());
        return;
    }
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_blocks(&path, found);
        }
    }
}
