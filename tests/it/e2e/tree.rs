//! Directories as values: to compare them, to copy them, to look into blocks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// Every file below `directory` by its path relative to it, with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    entries(directory)
        .into_iter()
        .filter(|path| directory.join(path).is_file())
        .map(|path| {
            let bytes = fs::read(directory.join(&path)).unwrap();
            (path, bytes)
        })
        .collect()
}

/// What an archive of `data` holds: blocks, WAL and WBL, but none of the head's accelerators and
/// run-time files.
pub(crate) fn archived_files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(data);
    files.retain(|path, _| {
        let top = path.iter().next().unwrap().to_str().unwrap();
        top == "wal" || top == "wbl" || is_block_name(top)
    });
    files
}

/// Every entry below `directory` with the time of its last change.
pub(crate) fn change_times(directory: &Path) -> BTreeMap<PathBuf, SystemTime> {
    entries(directory)
        .into_iter()
        .map(|path| {
            let metadata = fs::symlink_metadata(directory.join(&path)).unwrap();
            (path, metadata.modified().unwrap())
        })
        .collect()
}

/// Copies the directory `from` to the new directory `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The `meta.json` of every block in `data` that can be read at this moment (a running server
/// removes blocks).
pub(crate) fn metas(data: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(data) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_block_name(path.file_name().unwrap().to_str().unwrap()))
        .filter_map(|block| fs::read(block.join("meta.json")).ok())
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .collect()
}

/// Whether one of the blocks was made from others.
pub(crate) fn holds_compacted_block(data: &Path) -> bool {
    let level = |meta: &Value| meta["compaction"]["level"].as_u64().unwrap();
    metas(data).iter().any(|meta| level(meta) > 1)
}

/// Whether `directory` holds an entry whose name ends so.
pub(crate) fn holds_name_ending(directory: &Path, ending: &str) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().ends_with(ending))
    })
}

/// A directory of `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn is_block_name(name: &str) -> bool {
    name.len() == 26 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Paths of all files and directories below `directory`, relative to it.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        for entry in fs::read_dir(directory.join(&relative)).unwrap() {
            let entry = entry.unwrap();
            let path = relative.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}
