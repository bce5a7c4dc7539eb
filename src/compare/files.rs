//! Whether the files of blocks are the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::block::Block;
use crate::error::{Error, Result};
use crate::model::Ulid;

/// Bytes that are compared at a time.
const STEP: usize = 256 << 10;

/// What became of comparing files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Files that were compared and are the same.
    pub same: u64,
    /// Their bytes, on one side.
    pub bytes: u64,
    /// What differs, as a sentence; nothing is compared after it.
    pub first_difference: Option<String>,
}

/// Compares all files of the blocks of two sides, tombstones and `meta.json` included, up to the
/// first difference. Blocks that only one side has, and files of another size, are found before
/// anything is read.
///
/// # Errors
///
/// When a directory or a file cannot be read, or is neither.
pub fn same_files(a: &[Block], b: &[Block]) -> Result<Files> {
    let mut files = Files::default();
    for (side, blocks) in [("A", a), ("B", b)] {
        if by_ulid(blocks).len() < blocks.len() {
            let difference = format!("{side} has several blocks of one ULID");
            files.first_difference = Some(difference);
            return Ok(files);
        }
    }
    let (a, b) = (by_ulid(a), by_ulid(b));
    let ulids: BTreeSet<&Ulid> = a.keys().chain(b.keys()).collect();
    let mut pairs = Vec::new();
    for ulid in ulids {
        let (Some(a), Some(b)) = (a.get(ulid), b.get(ulid)) else {
            let side = if a.contains_key(ulid) { "A" } else { "B" };
            files.first_difference = Some(format!("only {side} has block {ulid}"));
            return Ok(files);
        };
        let (a, b) = (list(a)?, list(b)?);
        let names: BTreeSet<&PathBuf> = a.keys().chain(b.keys()).collect();
        for name in names {
            let sizes = (
                a.get(name).map(|(_, size)| *size),
                b.get(name).map(|(_, size)| *size),
            );
            if sizes.0 != sizes.1 {
                let size = |size: Option<u64>| {
                    size.map_or_else(|| "missing".to_owned(), |size| format!("{size} bytes"))
                };
                let (a, b) = (size(sizes.0), size(sizes.1));
                let name = name.display();
                files.first_difference =
                    Some(format!("block {ulid}, file {name}: {a} in A, {b} in B"));
                return Ok(files);
            }
        }
        pairs.push((ulid.to_string(), a, b));
    }
    for (ulid, a, b) in pairs {
        for (name, (path, size)) in &a {
            let Some((other, _)) = b.get(name) else {
                continue;
            };
            if let Some(offset) = first_difference(path, other)? {
                let name = name.display();
                files.first_difference = Some(format!(
                    "block {ulid}, file {name}: differs from offset {offset} on"
                ));
                return Ok(files);
            }
            files.same += 1;
            files.bytes = files.bytes.saturating_add(*size);
        }
    }
    Ok(files)
}

fn by_ulid(blocks: &[Block]) -> BTreeMap<Ulid, &Path> {
    let blocks = blocks.iter();
    blocks
        .map(|block| (block.meta().ulid, block.dir()))
        .collect()
}

/// The files below `dir` by their names in it, with path and size.
fn list(dir: &Path) -> Result<BTreeMap<PathBuf, (PathBuf, u64)>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(below) = dirs.pop() {
        let failed = |e| Error::io("list", &below, e);
        for entry in fs::read_dir(&below).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            // Not through links: a link to above would never end.
            let data = fs::symlink_metadata(&path).map_err(|e| Error::io("read", &path, e))?;
            if data.is_dir() {
                dirs.push(path);
            } else if !data.is_file() {
                return Err(Error::unsupported(format!(
                    "expected files and directories only, found {}",
                    path.display()
                )));
            } else {
                let name = path.strip_prefix(dir).unwrap_or(&path).to_owned();
                files.insert(name, (path, data.len()));
            }
        }
    }
    Ok(files)
}

/// The offset from which on two files differ.
fn first_difference(a: &Path, b: &Path) -> Result<Option<u64>> {
    let open = |path: &Path| File::open(path).map_err(|e| Error::io("open", path, e));
    let (mut file_a, mut file_b) = (open(a)?, open(b)?);
    let (mut step_a, mut step_b) = (Vec::new(), Vec::new());
    let mut offset = 0u64;
    loop {
        for (file, step, path) in [(&mut file_a, &mut step_a, a), (&mut file_b, &mut step_b, b)] {
            step.clear();
            file.take(STEP as u64)
                .read_to_end(step)
                .map_err(|e| Error::io("read", path, e))?;
        }
        if step_a != step_b {
            let same = step_a.iter().zip(&step_b).take_while(|(a, b)| a == b);
            return Ok(Some(offset.saturating_add(same.count() as u64)));
        }
        if step_a.is_empty() {
            return Ok(None);
        }
        offset = offset.saturating_add(step_a.len() as u64);
    }
}
