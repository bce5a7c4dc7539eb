//! What lies in a block directory and in the data directory around it.

use std::path::{Path, PathBuf};

use super::Subject;
use crate::block::{BlockFiles, DataDir, Entry, EntryKind};
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

/// Reports what in a data directory is out of the ordinary.
pub(in crate::verify) fn data_dir(scanned: &DataDir, findings: &mut Findings) {
    for entry in scanned.entries() {
        let kind = match entry.kind {
            EntryKind::MisspelledBlock => Kind::BlockMisspelled,
            EntryKind::SymlinkedBlock => Kind::BlockSymlink,
            EntryKind::BeingCreated | EntryKind::BeingDeleted | EntryKind::Temporary => {
                Kind::LeftoverDirectory
            }
            EntryKind::Sandbox => Kind::Sandbox,
            EntryKind::Foreign => Kind::ForeignEntry,
            _ => continue,
        };
        findings.add(kind, || about(kind, entry));
    }
}

/// A finding about an entry of a data directory.
pub(in crate::verify) fn about(kind: Kind, entry: &Entry) -> Finding {
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
    }
}

/// Bytes of the indexes and segments of all blocks, as far as they can be asked for.
pub(in crate::verify) fn bytes(scanned: &DataDir) -> u64 {
    let len = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let of_block = |entry: &Entry| {
        let Ok(files) = BlockFiles::scan(&entry.path) else {
            return 0;
        };
        let segments = files.segments.iter().map(|name| len(&files.segment(name)));
        len(&files.index()) + segments.sum::<u64>()
    };
    scanned.blocks().map(of_block).sum()
}
