//! Nothing that a manifest says makes a command work much more than the manifest is long; and
//! nothing is restored for which there is no room.

use std::path::PathBuf;
use std::sync::Arc;

use narthex::block::Meta;
use narthex::inspect::{BlockListing, ListedBlock};
use narthex::model::TimeRange;
use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::repair::judge_damage;
use narthex::repository::check::{self, CheckDepth};
use narthex::repository::copies::Copies;
use narthex::repository::{
    Archive, ArchiveId, Digest, FilePath, Fingerprint, ObjectCodec, Repository, StoredBlock,
    StoredFile, StoredObject, block_object, pack_object,
};
use narthex::restore::{self, Target, TargetContent, Wanted};
use narthex::store::MemoryStore;
use narthex::wal::{Log, LogEntry, LogListing, summarize};
use narthex::{ErrorKind, Result};

use crate::effort::assert_grows_with;
use crate::keeping;

fn ulid(number: usize) -> Ulid {
    Ulid::from_parts(1_795_288_065_445, number as u128)
}

fn pack(number: usize) -> StoredObject {
    let fingerprint = Fingerprint::of(&number.to_be_bytes());
    StoredObject {
        name: pack_object(ulid(number), &fingerprint).unwrap(),
        codec: ObjectCodec::Pack,
        bytes: 100,
        sha256: Digest::of(b""),
        raw_bytes: 1000,
        encrypted: None,
    }
}

/// A block of which nothing is stored: an hour, and one atom.
fn block(number: usize) -> StoredBlock {
    let fingerprint = Fingerprint::of(&number.to_be_bytes());
    let mut block =
        keeping::archive(0, ArchiveId::random(), vec![TEMPLATE.clone()]).blocks[0].clone();
    block.ulid = ulid(number);
    block.sources = vec![ulid(number)];
    block.object.name = block_object(block.ulid, &fingerprint).unwrap();
    block.fingerprint = fingerprint;
    block.min_time = number as i64 * 3_600_000;
    block.max_time = block.min_time + 3_600_000;
    block
}

static TEMPLATE: std::sync::LazyLock<StoredBlock> =
    std::sync::LazyLock::new(|| keeping::store_block(&MemoryStore::new(), 1, None).unwrap());

fn archive(time: i64, blocks: Vec<StoredBlock>) -> Archive {
    keeping::archive(time, ArchiveId::random(), blocks)
}

fn repository(archives: Vec<Archive>) -> Repository {
    let repository = Repository::init(Arc::new(MemoryStore::new())).unwrap();
    for archive in archives {
        repository.commit(&archive).unwrap();
    }
    repository
}

fn proved(repository: &Repository) {
    let mut report = check::check(repository.store(), CheckDepth::Structure, &Silent).unwrap();
    judge_damage(repository, &mut report, |_| ()).unwrap();
    assert!(report.has_problems());
}

/// A block of as many packs, and as many files.
fn of_many_packs(count: usize) -> StoredBlock {
    let mut block = block(0);
    block.packs = (0..count).map(pack).collect();
    let file = |number| StoredFile {
        name: FilePath::new(format!("x/{number}")).unwrap(),
        bytes: 1,
        sha256: Digest::of(b"x"),
        sidecar: false,
        packed: number % 2 == 0,
    };
    block.files.extend((0..count).map(file));
    block
}

#[test]
fn check_of_a_block_of_many_packs_and_files() {
    let input = |count| repository(vec![archive(1000, vec![of_many_packs(count)])]);
    assert_grows_with("many packs", input, proved);
}

#[test]
fn check_of_many_blocks_that_share_a_pack() {
    let input = |count| {
        let mut blocks: Vec<_> = (0..count).map(block).collect();
        for block in &mut blocks {
            block.packs = vec![pack(0)];
        }
        repository(vec![archive(1000, blocks.clone()), archive(2000, blocks)])
    };
    assert_grows_with("a shared pack", input, proved);
}

#[test]
fn a_log_of_damaged_segments() {
    let input = |count: usize| {
        let segment = |number| LogEntry::file(format!("{number:08}"));
        LogListing::of((0..count).map(segment))
    };
    assert_grows_with("damaged segments", input, |listing| {
        let garbage = || Ok(vec![0xff_u8; 7]);
        let summary = summarize(listing, Log::Wal, |_| garbage());
        assert!(summary.problems.len() >= listing.segments.len());
    });
}

#[test]
fn a_listing_of_blocks_that_all_overlap() {
    let listed = |number: usize| {
        let ulid = ulid(number);
        let meta = format!(
            r#"{{"ulid":"{ulid}","minTime":{number},"maxTime":9000000,"version":1,"compaction":{{"sources":["{ulid}"]}}}}"#
        );
        ListedBlock {
            dir: PathBuf::from(ulid.to_string()),
            meta: Meta::parse(meta.as_bytes()).unwrap(),
            index_bytes: 10,
            chunk_bytes: 100,
            missing: Vec::new(),
            oddity: None,
            directory_ulid: None,
            marks: Vec::new(),
            gap: None,
            overlaps: Vec::new(),
            superseded_by: None,
            parent_of: None,
            reach: Vec::new(),
            needs: None,
        }
    };
    let input = |count| BlockListing {
        blocks: (0..count).map(listed).collect(),
        ..BlockListing::default()
    };
    assert_grows_with("overlaps", input, |listing| {
        let listing = BlockListing::joined([listing.clone()]);
        assert!(
            listing
                .blocks
                .iter()
                .all(|block| block.overlaps.len() == 16)
        );
    });
}

fn planned(archives: &[Archive], wanted: &Wanted) {
    let (last, _) = archives.split_last().unwrap();
    restore::plan(wanted, last, archives, true, &TargetContent::default()).unwrap();
}

#[test]
fn a_plan_for_blocks_that_were_all_damaged_and_have_sound_stand_ins() {
    let input = |count: usize| {
        let mut damaged: Vec<_> = (0..count).map(block).collect();
        for block in &mut damaged {
            block.findings.by_severity.insert("error".into(), 1);
        }
        let children = (0..count / 4).map(|number| {
            let mut child = block(count + number);
            child.sources = (4 * number..4 * number + 4).map(ulid).collect();
            child
        });
        [archive(1000, children.collect()), archive(2000, damaged)]
    };
    assert_grows_with("stand-ins", input, |archives| {
        planned(archives, &Wanted::Archive);
    });
}

#[test]
fn a_plan_for_a_range_of_time_with_raw_blocks_and_aggregates() {
    let input = |count: usize| {
        let raw = (0..count).map(block);
        let aggregates = (0..count).map(|number| {
            let mut block = block(number);
            block.ulid = ulid(count + number);
            block.sources = vec![block.ulid];
            block.object.name = block_object(block.ulid, &block.fingerprint).unwrap();
            block.resolution = Some(300_000);
            block
        });
        [archive(1000, raw.chain(aggregates).collect())]
    };
    assert_grows_with("aggregates", input, |archives| {
        planned(archives, &Wanted::Range(TimeRange::ALL));
    });
}

#[test]
fn looking_for_blocks_that_are_all_lost() {
    let input = |count: usize| {
        let blocks: Vec<_> = (0..count / 4).map(block).collect();
        let nights = (0..8).map(|night| archive(1000 + night, blocks.clone()));
        repository(nights.collect())
    };
    assert_grows_with("lost blocks", input, |repository| {
        let copies = Copies::new(repository).unwrap();
        let archives = repository.archives().unwrap().archives;
        for block in &archives.last().unwrap().blocks {
            let exported = restore::export_tar(&copies, block, &mut Vec::new(), &Silent);
            assert_eq!(exported.unwrap_err().kind(), ErrorKind::NotFound);
        }
    });
}

#[test]
fn an_object_is_that_of_one_block_only() {
    let refused = |archive: &Archive| {
        let read = Archive::from_bytes(&archive.to_bytes().unwrap());
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.chain()
    };
    let mut blocks = vec![block(0), block(1)];
    blocks[1].object = blocks[0].object.clone();
    let found = refused(&archive(1000, blocks.clone()));
    assert!(found.contains(blocks[0].object.name.as_str()), "{found}");
    let mut block = block(0);
    block.packs = vec![pack(0), pack(0)];
    let found = refused(&archive(1000, vec![block.clone()]));
    assert!(found.contains("in one place, found it in two"), "{found}");
    // Packs are shared.
    block.packs.pop();
    blocks[1] = block;
    blocks[1].ulid = ulid(7);
    blocks[0].packs = blocks[1].packs.clone();
    blocks[1].object.name = block_object(ulid(7), &blocks[1].fingerprint).unwrap();
    Archive::from_bytes(&archive(1000, blocks).to_bytes().unwrap()).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let store = MemoryStore::new();
    let repository = Repository::init(Arc::new(store)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("to/be/made");
    let refused = |archive: &Archive| -> Result<()> {
        let target = Target::new(&target, false)?;
        let plan = restore::plan(
            &Wanted::Archive,
            archive,
            &[],
            true,
            &TargetContent::default(),
        )?;
        target.refuse_without_room(&plan)
    };
    let mut archive = keeping::back_up(&repository, 1000, &[1, 2]).unwrap();
    refused(&archive).unwrap();
    archive.blocks[1].files[0].bytes = 1 << 60;
    let error = refused(&archive).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let found = error.chain();
    for said in [
        "expected room for 1.0 EiB",
        " free",
        dir.path().to_str().unwrap(),
    ] {
        assert!(found.contains(said), "{found}");
    }
    assert!(!target.exists());
}
