//! Faults of directories and of files as wholes.

use std::fs;

use narthex::verify::Kind;

use super::{Case, Fault};
use crate::sick::{Sick, at};

const NEW: &str = "blocks/parents-three";
const SEGMENT: &str = "chunks/000001";

pub(super) fn cases() -> Vec<Case> {
    let real = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Real(NEW, spoil),
    };
    vec![
        real(
            "a stray directory beside the block",
            Kind::ForeignEntry,
            |sick| fs::create_dir(sick.parent().join("lost+found")).unwrap(),
        ),
        real("a stray file in the block", Kind::ForeignEntry, |sick| {
            sick.write("notes.txt", b"");
        }),
        real(
            "a stray file beside the segments",
            Kind::ForeignEntry,
            |sick| sick.write("chunks/notes.txt", b""),
        ),
        real(
            "an interrupted rewrite of meta.json",
            Kind::LeftoverFile,
            |sick| sick.write("meta.json.tmp", b"{"),
        ),
        real("an interrupted deletion", Kind::LeftoverDirectory, |sick| {
            fs::create_dir(
                sick.parent()
                    .join("01M80FKE4V4C8GPJHYD9T1D87F.tmp-for-deletion"),
            )
            .unwrap();
        }),
        real("an interrupted creation", Kind::LeftoverDirectory, |sick| {
            fs::create_dir(
                sick.parent()
                    .join("01M80FKE4V4C8GPJHYD9T1D87F.tmp-for-creation"),
            )
            .unwrap();
        }),
        real(
            "an old interrupted creation",
            Kind::LeftoverDirectory,
            |sick| fs::create_dir(sick.parent().join("01M80FKE4V4C8GPJHYD9T1D87F.tmp")).unwrap(),
        ),
        real("a reader's sandbox", Kind::Sandbox, |sick| {
            fs::create_dir(sick.parent().join("tmp_dbro_sandbox7")).unwrap();
        }),
        real(
            "a block spelled in lower case",
            Kind::BlockMisspelled,
            |sick| {
                let name = sick
                    .dir
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_lowercase();
                fs::rename(&sick.dir, sick.parent().join(name)).unwrap();
            },
        ),
        real("a link to a block", Kind::BlockSymlink, |sick| {
            let hidden = sick.parent().join("elsewhere");
            fs::rename(&sick.dir, &hidden).unwrap();
            std::os::unix::fs::symlink(hidden, &sick.dir).unwrap();
        }),
        real("a block marked deletable", Kind::BlockDeletable, |sick| {
            sick.edit_meta(|meta| meta["compaction"]["deletable"] = true.into());
        }),
        real("the index is gone", Kind::IndexMissing, |sick| {
            sick.remove("index");
        }),
        real("the index is a directory", Kind::Unreadable, |sick| {
            sick.remove("index");
            fs::create_dir(sick.path("index")).unwrap();
        }),
        real("the index is a dangling link", Kind::Unreadable, |sick| {
            sick.remove("index");
            std::os::unix::fs::symlink("nowhere", sick.path("index")).unwrap();
        }),
        real("a segment is a directory", Kind::Unreadable, |sick| {
            sick.remove(SEGMENT);
            fs::create_dir(sick.path(SEGMENT)).unwrap();
        }),
        real("a segment is a dangling link", Kind::Unreadable, |sick| {
            sick.remove(SEGMENT);
            std::os::unix::fs::symlink("nowhere", sick.path(SEGMENT)).unwrap();
        }),
        real("tombstones is a directory", Kind::Unreadable, |sick| {
            sick.remove("tombstones");
            fs::create_dir(sick.path("tombstones")).unwrap();
        }),
        real(
            "tombstones is a dangling link",
            Kind::TombstonesLink,
            |sick| {
                sick.remove("tombstones");
                std::os::unix::fs::symlink("nowhere", sick.path("tombstones")).unwrap();
            },
        ),
        real("meta.json is a directory", Kind::MetaMalformed, |sick| {
            sick.remove("meta.json");
            fs::create_dir(sick.path("meta.json")).unwrap();
        }),
        real("meta.json is a dangling link", Kind::MetaMissing, |sick| {
            sick.remove("meta.json");
            std::os::unix::fs::symlink("nowhere", sick.path("meta.json")).unwrap();
        }),
        real(
            "the chunks directory is gone",
            Kind::ChunksMissing,
            |sick| fs::remove_dir_all(sick.path("chunks")).unwrap(),
        ),
        real("chunks is a file", Kind::ChunksMissing, |sick| {
            fs::remove_dir_all(sick.path("chunks")).unwrap();
            sick.write("chunks", b"");
        }),
        real(
            "the magic number of a segment",
            Kind::SegmentHeader,
            |sick| sick.flip(SEGMENT, 1),
        ),
        real("the version of a segment", Kind::SegmentHeader, |sick| {
            sick.flip(SEGMENT, 4);
        }),
        real(
            "a segment shorter than its header",
            Kind::SegmentHeader,
            |sick| sick.edit(SEGMENT, |bytes| bytes.truncate(7)),
        ),
        real(
            "the padding of a segment's header",
            Kind::SegmentPadding,
            |sick| sick.flip(SEGMENT, 6),
        ),
        real("an empty segment", Kind::SegmentEmpty, |sick| {
            sick.write(SEGMENT, b"");
        }),
        real("a segment of zeros", Kind::SegmentHeader, |sick| {
            sick.edit(SEGMENT, |bytes| bytes.fill(0));
        }),
        real("the only segment is gone", Kind::SegmentMissing, |sick| {
            sick.remove(SEGMENT);
        }),
        real("the only segment renamed", Kind::SegmentNames, |sick| {
            fs::rename(sick.path(SEGMENT), sick.path("chunks/000002")).unwrap();
        }),
        Case {
            name: "the first segment of many is gone",
            kind: Kind::SegmentMissing,
            fault: Fault::Real("blocks/segments-of-3000", |sick| sick.remove(SEGMENT)),
        },
        Case {
            name: "the last segment of many is gone",
            kind: Kind::SegmentMissing,
            fault: Fault::Real("blocks/segments-of-3000", |sick| {
                sick.remove("chunks/000022");
            }),
        },
        Case {
            name: "two segments swapped",
            kind: Kind::ChunksForeign,
            fault: Fault::Real("blocks/segments-of-3000", |sick| {
                let (a, b) = (sick.read("chunks/000003"), sick.read("chunks/000009"));
                sick.write("chunks/000003", &b);
                sick.write("chunks/000009", &a);
            }),
        },
        real(
            "a segment cut between chunks",
            Kind::SegmentTruncated,
            |sick| {
                let cut = sick.chunks(SEGMENT)[60].0;
                sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut)));
            },
        ),
        real(
            "a segment cut within a chunk",
            Kind::SegmentTruncated,
            |sick| {
                let cut = sick.chunks(SEGMENT)[60].0 - 3;
                sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut)));
            },
        ),
        real(
            "zeros behind the last chunk",
            Kind::SegmentGarbage,
            |sick| sick.edit(SEGMENT, |bytes| bytes.extend([0; 4096])),
        ),
        real(
            "a segment of more than 512 MiB",
            Kind::SegmentOversize,
            |sick| {
                fs::File::options()
                    .write(true)
                    .open(sick.path(SEGMENT))
                    .unwrap()
                    .set_len(513 << 20)
                    .unwrap();
            },
        ),
        real(
            "the segments of another block",
            Kind::ChunksForeign,
            |sick| {
                let other = Sick::copy_of("blocks/overlap-a");
                sick.write(SEGMENT, &other.read(SEGMENT));
            },
        ),
        real(
            "another size than Thanos declares",
            Kind::DeclaredSize,
            |sick| {
                sick.edit_meta(|meta| {
                    meta["thanos"] =
                        serde_json::json!({"files": [{"rel_path": "index", "size_bytes": 276}]});
                });
            },
        ),
        real("no tombstones", Kind::TombstonesMissing, |sick| {
            sick.remove("tombstones");
        }),
        real("empty tombstones", Kind::TombstonesMalformed, |sick| {
            sick.write("tombstones", b"");
        }),
        real(
            "tombstones of another magic number",
            Kind::TombstonesMalformed,
            |sick| sick.edit("tombstones", |bytes| bytes[0] ^= 1),
        ),
        real(
            "tombstones of another version",
            Kind::TombstonesMalformed,
            |sick| sick.edit("tombstones", |bytes| bytes[4] = 9),
        ),
        real(
            "a flipped bit in the tombstones",
            Kind::TombstonesChecksum,
            |sick| sick.edit("tombstones", |bytes| bytes[5] ^= 1),
        ),
        real(
            "tombstones cut in a record",
            Kind::TombstonesMalformed,
            |sick| {
                sick.edit("tombstones", |bytes| {
                    bytes.remove(7);
                    let end = bytes.len() - 4;
                    crate::sick::seal(bytes, 5, end);
                });
            },
        ),
        real("a tombstone of no series", Kind::TombstoneSeries, |sick| {
            sick.edit("tombstones", |bytes| {
                bytes[5] ^= 1;
                let end = bytes.len() - 4;
                crate::sick::seal(bytes, 5, end);
            });
        }),
        real(
            "a tombstone that ends before it begins",
            Kind::TombstoneRange,
            |sick| {
                sick.edit("tombstones", |bytes| {
                    let end = bytes.len() - 4;
                    bytes[end - 2] = 8;
                    crate::sick::seal(bytes, 5, end);
                });
            },
        ),
    ]
}
