//! Faults of `meta.json`, and between blocks.

use narthex::verify::Kind;
use serde_json::json;

use super::{Case, Fault};
use crate::sick::{Sick, ULID, copy};

const NEW: &str = "blocks/parents-three";

pub(super) fn cases() -> Vec<Case> {
    let real = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Real(NEW, spoil),
    };
    vec![
        real("no meta.json", Kind::MetaMissing, |sick| {
            sick.remove("meta.json");
        }),
        real("an empty meta.json", Kind::MetaMalformed, |sick| {
            sick.write("meta.json", b"");
        }),
        real("a meta.json of zeros", Kind::MetaMalformed, |sick| {
            sick.edit("meta.json", |bytes| bytes.fill(0));
        }),
        real("a meta.json that is cut off", Kind::MetaMalformed, |sick| {
            sick.edit("meta.json", |bytes| bytes.truncate(bytes.len() / 2));
        }),
        real("metadata of version 7", Kind::MetaVersion, |sick| {
            sick.edit_meta(|meta| meta["version"] = json!(7));
        }),
        real("metadata of version 2", Kind::MetaVersion2, |sick| {
            sick.edit_meta(|meta| meta["version"] = json!(2));
        }),
        real("the ULID of another block", Kind::MetaUlid, |sick| {
            sick.edit_meta(|meta| {
                meta["ulid"] = json!(ULID);
                meta["compaction"]["sources"] = json!([ULID]);
            });
        }),
        real(
            "a ULID with a letter that is none",
            Kind::MetaUlid,
            |sick| {
                sick.edit_meta(|meta| {
                    let own = meta["ulid"].as_str().unwrap().to_owned();
                    let odd = format!("{}I", &own[..25]);
                    meta["ulid"] = json!(odd);
                    meta["compaction"]["sources"] = json!([odd]);
                });
            },
        ),
        real("a source that is no ULID", Kind::MetaLineage, |sick| {
            sick.edit_meta(|meta| {
                let own = meta["compaction"]["sources"][0]
                    .as_str()
                    .unwrap()
                    .to_owned();
                meta["compaction"]["sources"][0] = json!(format!("{}U", &own[..25]));
            });
        }),
        real("a key that is no UTF-8", Kind::MetaKey, |sick| {
            sick.edit("meta.json", |bytes| {
                let at = bytes.windows(7).position(|part| part == b"minTime");
                bytes[at.unwrap() + 2] |= 0x80;
            });
        }),
        real("a range the wrong way round", Kind::MetaRange, |sick| {
            sick.edit_meta(|meta| meta["minTime"] = json!(meta["maxTime"].as_i64().unwrap() + 1));
        }),
        real("a level of 0", Kind::MetaLineage, |sick| {
            sick.edit_meta(|meta| meta["compaction"]["level"] = json!(0));
        }),
        real("a misspelled key", Kind::MetaKey, |sick| {
            sick.edit("meta.json", |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                *bytes = text.replacen("numSeries", "numSeriez", 1).into_bytes();
            });
        }),
        real("no sources", Kind::MetaLineage, |sick| {
            sick.edit_meta(|meta| meta["compaction"]["sources"] = json!([]));
        }),
        real("other sources", Kind::MetaLineage, |sick| {
            sick.edit_meta(|meta| meta["compaction"]["sources"] = json!([ULID]));
        }),
        real("an unknown hint", Kind::MetaHint, |sick| {
            sick.edit_meta(|meta| meta["compaction"]["hints"] = json!(["from-the-future"]));
        }),
        real("other counts", Kind::MetaStats, |sick| {
            sick.edit_meta(|meta| meta["stats"]["numSamples"] = json!(7));
        }),
        real(
            "an end two minutes early",
            Kind::ChunkOutsideBlock,
            |sick| {
                sick.edit_meta(|meta| {
                    meta["maxTime"] = json!(meta["maxTime"].as_i64().unwrap() - 120_000);
                });
            },
        ),
        real(
            "two directories with one block",
            Kind::UlidDuplicate,
            |sick| copy(&sick.dir, &sick.parent().join(ULID)),
        ),
        real("a rewritten copy", Kind::SourcesDuplicate, |sick| {
            let (copied, name) = (
                sick.parent().join(ULID),
                sick.dir.file_name().unwrap().to_str().unwrap(),
            );
            copy(&sick.dir, &copied);
            let text = std::fs::read_to_string(copied.join("meta.json")).unwrap();
            std::fs::write(copied.join("meta.json"), text.replacen(name, ULID, 1)).unwrap();
        }),
        real("the child beside a parent", Kind::ParentPresent, |sick| {
            let child = Sick::copy_of("blocks/child-of-three");
            copy(
                &child.dir,
                &sick.parent().join(child.dir.file_name().unwrap()),
            );
        }),
        real(
            "a child that does not hold its parent",
            Kind::ParentUncovered,
            |sick| {
                let child = Sick::copy_of("blocks/child-of-three");
                let name = sick.dir.file_name().unwrap().to_str().unwrap().to_owned();
                child.edit_meta(|meta| {
                    meta["compaction"]["sources"]
                        .as_array_mut()
                        .unwrap()
                        .retain(|source| *source != name);
                });
                copy(
                    &child.dir,
                    &sick.parent().join(child.dir.file_name().unwrap()),
                );
            },
        ),
        Case {
            name: "blocks that overlap",
            kind: Kind::BlocksOverlap,
            fault: Fault::RealUntold("blocks/overlap-a", |sick| {
                let other = Sick::copy_of("blocks/parents-three");
                copy(
                    &other.dir,
                    &sick.parent().join(other.dir.file_name().unwrap()),
                );
            }),
        },
    ]
}
