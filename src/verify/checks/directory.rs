//! What lies in a block directory and in the data directory around it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Subject;
use crate::block::{BlockFiles, DataDir, DirEntry, EntryKind};
use crate::verify::{Finding, Findings, Kind};

/// Names that interrupted writers leave in a block directory.
const LEFTOVERS: [&str; 5] = [
    "meta.json.tmp",
    "tombstones.tmp",
    "index.repaired",
    "index_tmp_p",
    "index_tmp_po",
];

/// Reports what in a block directory is not part of a block.
pub(in crate::verify) fn block(subject: &Subject<'_>, findings: &mut Findings) {
    for other in &subject.files.others {
        let is_leftover = LEFTOVERS.iter().any(|name| other == Path::new(name));
        let kind = if is_leftover {
            Kind::LeftoverFile
        } else {
            Kind::ForeignEntry
        };
        findings.add(kind, || {
            subject.finding(kind, subject.files.dir.join(other))
        });
    }
}

/// What lies where a server has something of its own and must have it to start: the finding, the
/// path, and what was expected.
pub(in crate::verify) fn in_the_way(
    scanned: &DataDir,
) -> impl Iterator<Item = (Kind, PathBuf, &'static str)> + '_ {
    let foreign = scanned.entries().iter();
    let foreign = foreign.filter(|entry| entry.kind == EntryKind::Foreign);
    foreign.filter_map(|entry| {
        let path = &entry.path;
        let is_dir = path.is_dir();
        let (kind, wanted) = match path.file_name()?.to_str()? {
            "wal" | "wbl" => (Kind::WalBroken, "expected a directory"),
            "chunks_head" => (Kind::HeadChunksBroken, "expected a directory"),
            "lock" | "queries.active" if is_dir => {
                (Kind::HeadFileBlocked, "expected a file, found a directory")
            }
            _ => return None,
        };
        Some((kind, path.clone(), wanted))
    })
}

/// Reports what in a data directory is out of the ordinary.
pub(in crate::verify) fn data_dir(scanned: &DataDir, findings: &mut Findings) {
    let mut blocking = BTreeSet::new();
    for (kind, path, wanted) in in_the_way(scanned) {
        findings.add(kind, || about_path(kind, path.clone()).saying(wanted));
        blocking.insert(path);
    }
    for entry in scanned.entries() {
        if blocking.contains(&entry.path) {
            continue;
        }
        let kind = match entry.kind {
            EntryKind::MisspelledBlock => Kind::BlockMisspelled,
            EntryKind::SymlinkedBlock => Kind::BlockSymlink,
            EntryKind::BeingCreated | EntryKind::BeingDeleted | EntryKind::Temporary => {
                Kind::LeftoverDirectory
            }
            EntryKind::Sandbox => Kind::Sandbox,
            EntryKind::Foreign if entry.is_lost_block() => Kind::BlockSymlink,
            EntryKind::Foreign => Kind::ForeignEntry,
            _ => continue,
        };
        findings.add(kind, || about(kind, entry));
    }
}

/// A finding about an entry of a data directory.
pub(in crate::verify) fn about(kind: Kind, entry: &DirEntry) -> Finding {
    Finding {
        block: entry.ulid,
        ..about_path(kind, entry.path.clone())
    }
}

/// A finding about a file or directory that belongs to no block.
pub(in crate::verify) fn about_path(kind: Kind, path: PathBuf) -> Finding {
    Finding {
        kind,
        block: None,
        path,
        offset: None,
        section: None,
        series: None,
        loss: None,
        detail: String::new(),
        is_unopened: false,
    }
}

/// Names that a server at work adds and takes away.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::verify) struct Names {
    /// Blocks and checkpoints.
    made: BTreeSet<PathBuf>,
    /// Segments of the logs and of the chunks of the head.
    segments: BTreeSet<PathBuf>,
}

impl Names {
    /// Whether what was seen under these names is still what a server has that has `now`: its logs
    /// and the chunks of its head may have grown.
    pub(in crate::verify) fn are_in(&self, now: &Names) -> bool {
        self.made == now.made && self.segments.is_subset(&now.segments)
    }
}

/// The names in a directory and in those of its head. What cannot be listed has none.
pub(in crate::verify) fn names(scanned: &DataDir) -> Names {
    let blocks = scanned.blocks().map(|entry| entry.path.clone());
    let mut names = Names {
        made: blocks.collect(),
        segments: BTreeSet::new(),
    };
    for kind in [EntryKind::Wal, EntryKind::Wbl, EntryKind::ChunksHead] {
        let listed = scanned.find(kind).and_then(|dir| fs::read_dir(dir).ok());
        for entry in listed.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("checkpoint.") && !name.ends_with(".tmp") {
                names.made.insert(entry.path());
            } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
                names.segments.insert(entry.path());
            }
        }
    }
    names
}

/// Bytes of the indexes and segments of all blocks, as far as they can be asked for.
pub(in crate::verify) fn bytes(scanned: &DataDir) -> u64 {
    let of_block =
        |entry: &DirEntry| BlockFiles::scan(&entry.path).map_or(0, |files| files.bytes());
    scanned.blocks().map(of_block).sum()
}
