use super::*;
use crate::repository::lineage::tests::{block, ulid};
use crate::repository::{ArchiveId, Coverage, FilePath, FindingCounts, StoredFile, StoredObject};
use crate::repository::{
    ObjectCodec, PLAIN_MANIFEST_VERSION, StoredWal, block_object, portable, wal_object,
};
use crate::store::MemoryStore;

const DIR: &str = "/data";

/// A log whose last segment, its only one, has this number and length, with samples of these times.
fn wal(number: u64, bytes: u64, times: Option<(Millis, Millis)>) -> StoredWal {
    let name = wal_object(&ArchiveId::random()).unwrap();
    let object = StoredObject {
        name,
        codec: ObjectCodec::Portable,
        bytes,
        sha256: Digest::of(b""),
        raw_bytes: bytes,
        encrypted: None,
    };
    let file = StoredFile {
        name: FilePath::new(format!("wal/{number:08}")).unwrap(),
        bytes,
        sha256: Digest::of(b""),
        sidecar: false,
        packed: false,
    };
    StoredWal {
        min_time: times.map(|times| times.0),
        max_time: times.map(|times| times.1),
        samples: times.map_or(0, |times| (times.1 - times.0).unsigned_abs()),
        ..StoredWal::of(object, vec![file])
    }
}

fn archive(blocks: Vec<StoredBlock>) -> Archive {
    Archive {
        format_version: PLAIN_MANIFEST_VERSION,
        previous: None,
        id: ArchiveId::random(),
        time: 1000,
        host: "host".to_owned(),
        source: DIR.to_owned(),
        source_name: "name".to_owned(),
        labels: BTreeMap::new(),
        narthex_version: String::new(),
        repository: None,
        coverage: Coverage::default(),
        blocks: blocks.into(),
        wal: Some(wal(7, 100, Some((50, 110)))),
        left_out: Vec::new(),
        findings: FindingCounts::default(),
    }
}

/// `block` with so many samples.
fn with_samples(mut block: StoredBlock, samples: u64) -> StoredBlock {
    block.samples = samples;
    block
}

/// `block` with this file of deletions.
fn with_deletions(mut block: StoredBlock, deletions: &[u8]) -> StoredBlock {
    block.files.push(StoredFile {
        name: FilePath::new("tombstones").unwrap(),
        bytes: 9 + deletions.len() as u64,
        sha256: Digest::of(deletions),
        sidecar: false,
        packed: false,
    });
    block
}

/// A source and the archive before it.
struct Night {
    newest: Archive,
    older: Vec<Archive>,
    here: Vec<Present>,
    left_out: BTreeMap<String, String>,
    missed: BTreeMap<String, String>,
    is_snapshot: bool,
    log: Log,
}

impl Night {
    fn of(before: Vec<StoredBlock>) -> Self {
        Night {
            newest: archive(before),
            older: Vec::new(),
            here: Vec::new(),
            left_out: BTreeMap::new(),
            missed: BTreeMap::new(),
            is_snapshot: false,
            log: Log::default(),
        }
    }

    /// Five blocks of ten.
    fn plain() -> Self {
        Night::of((1..=5).map(plain).collect())
    }

    fn with(mut self, blocks: impl IntoIterator<Item = StoredBlock>) -> Self {
        for block in blocks {
            let mut here = Present::captured(&block, &[], Path::new("/nowhere"));
            here.is_served = true;
            self.here.push(here);
        }
        self
    }

    /// A block that says when what it was made of began and ended.
    fn with_made(mut self, block: &StoredBlock, made_of: &[(u64, (Millis, Millis))]) -> Self {
        let parents: Vec<_> = made_of
            .iter()
            .map(|(number, (min_time, max_time))| Parent {
                ulid: ulid(*number),
                min_time: *min_time,
                max_time: *max_time,
            })
            .collect();
        let mut here = Present::captured(block, &parents, Path::new("/nowhere"));
        here.is_served = true;
        self.here.push(here);
        self
    }

    fn now(&self) -> Now<'_> {
        Now {
            dir: Path::new(DIR),
            is_snapshot: self.is_snapshot,
            blocks: self.here.clone(),
            left_out: [&self.left_out, &self.missed],
            log: self.log,
        }
    }

    /// Numbers of blocks that are gone, and of those that may have been emptied.
    fn gone(&self) -> (Vec<u64>, Vec<u64>) {
        let archives = || self.older.iter().chain([&self.newest]).rev();
        let held = |ulid, is_meant: fn(&StoredBlock) -> bool| {
            archives().find_map(|archive| {
                let mut blocks = archive.blocks.iter();
                let block = blocks.find(|block| block.ulid == ulid && is_meant(block))?;
                Some((archive, block))
            })
        };
        let before = Before {
            newest: &self.newest,
            holding: &|ulid| held(ulid, |_| true),
            sound: &|ulid| held(ulid, |block| !is_damaged(block)),
            told: &|ulid| archives().any(|archive| archive.tells_gone(ulid)),
            store: &MemoryStore::new(),
            read_mode: crate::raw::ReadMode::Map,
        };
        let gone = gone_blocks(&before, &self.now());
        let numbers = |deleted: bool| {
            let gone = gone.iter().filter(|one| one.is_deleted == deleted);
            let number = |one: &Gone<'_>| (0..1000).find(|n| ulid(*n) == one.block.ulid);
            gone.filter_map(number).collect()
        };
        (numbers(false), numbers(true))
    }
}

/// Block `number` of level 1, ten long.
fn plain(number: u64) -> StoredBlock {
    let begin = number as Millis * 10;
    block(number, (begin, begin + 10), 1, &[number], &[])
}

fn all_but(gone: u64) -> impl Iterator<Item = StoredBlock> {
    (1..=5).filter(move |number| *number != gone).map(plain)
}

const NONE: (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());

#[test]
fn what_is_gone_from_between_others_or_from_the_end_is_missed_and_what_is_oldest_is_not() {
    assert_eq!(Night::plain().with((1..=5).map(plain)).gone(), NONE);
    for number in 2..=5 {
        let night = Night::plain().with(all_but(number)).with([plain(6)]);
        assert_eq!(night.gone(), (vec![number], vec![]));
    }
    assert_eq!(Night::plain().with(all_but(1)).gone(), NONE, "retention");
    assert_eq!(Night::plain().with([plain(5), plain(6)]).gone(), NONE);
    let all = vec![1, 2, 3, 4, 5];
    assert_eq!(Night::plain().gone(), (all, vec![]));
}

#[test]
fn retention_goes_by_blocks_that_it_takes_itself() {
    // A block that no Prometheus sees stays however old it is.
    let mut night = Night::plain().with([plain(1), plain(4), plain(5)]);
    night.here[0].is_served = false;
    assert_eq!(night.gone(), NONE);
    // Late samples make a block that is too old already, and gone in a minute.
    let late = block(9, (10, 20), 1, &[9], &[]);
    assert_eq!(Night::plain().with([plain(4), plain(5), late]).gone(), NONE);
    // Aggregates are kept longer than samples.
    let mut aggregates = plain(1);
    (aggregates.ulid, aggregates.resolution) = (ulid(21), Some(300_000));
    let mut before: Vec<_> = (1..=5).map(plain).collect();
    before.push(aggregates.clone());
    let night = Night::of(before).with([aggregates, plain(4), plain(5)]);
    assert_eq!(night.gone(), NONE);
}

#[test]
fn compacted_and_rewritten_blocks_are_not_missed() {
    let rest = || [plain(1), plain(4), plain(5)];
    for made in [
        vec![block(12, (20, 40), 2, &[2, 3], &[2, 3])],
        // Compacted more than once since.
        vec![block(13, (10, 40), 3, &[1, 2, 3], &[1, 12])],
        // Each rewritten without what was deleted.
        vec![
            block(12, (20, 30), 1, &[12], &[2]),
            block(13, (30, 40), 1, &[13], &[3]),
        ],
        // Rewritten and compacted.
        vec![block(14, (20, 40), 2, &[12, 13], &[12, 13])],
        // Parents of a child that was there as well.
        vec![block(15, (20, 40), 2, &[2, 3], &[])],
    ] {
        let night = Night::plain().with(rest()).with(made.clone());
        assert_eq!(night.gone(), NONE, "{made:?}");
    }
    // Once compacted, and rewritten since, and the other way round, with the time that each parent
    // covered.
    let range = (20, 40);
    let twice = block(14, range, 1, &[14], &[13]);
    let night = Night::plain()
        .with(rest())
        .with_made(&twice, &[(13, range)]);
    assert_eq!(night.gone(), NONE);
    let both = block(14, range, 2, &[12, 13], &[12, 13]);
    let made_of = [(12, (20, 30)), (13, (30, 40))];
    let night = Night::plain().with(rest()).with_made(&both, &made_of);
    assert_eq!(night.gone(), NONE);
    // A child that an older backup saw beside its parents.
    let mut before: Vec<_> = (1..=5).map(plain).collect();
    before.push(block(12, range, 2, &[12], &[2, 3]));
    let night = Night::of(before)
        .with(rest())
        .with([block(13, range, 1, &[13], &[12])]);
    assert_eq!(night.gone(), NONE);
}

#[test]
fn a_block_that_was_compacted_over_a_hole_does_not_hide_it() {
    let over = block(12, (10, 50), 2, &[1, 2, 4], &[1, 2, 4]);
    let ranges = [(1, (10, 20)), (2, (20, 30)), (4, (40, 50))];
    let night = Night::plain().with([plain(5)]).with_made(&over, &ranges);
    assert_eq!(night.gone(), (vec![3], vec![]));
    // Part of it was cut from the head since.
    let over = block(12, (20, 60), 2, &[2, 6], &[2, 6]);
    let ranges = [(2, (20, 30)), (6, (50, 60))];
    let before = vec![plain(1), plain(2), plain(3)];
    let night = Night::of(before).with([plain(1)]).with_made(&over, &ranges);
    assert_eq!(night.gone(), (vec![3], vec![]));
    // Late samples of the same time are other samples, and the all-zero parent of their blocks is
    // none.
    let mut late = block(12, (30, 40), 1, &[12], &[]);
    late.parents = vec![Ulid::ZERO];
    let night = Night::plain().with(all_but(3)).with([late]);
    assert_eq!(night.gone(), (vec![3], vec![]));
    // What was rewritten of a block that an archive holds is no other's.
    let mut night = Night::plain()
        .with(all_but(3))
        .with([block(13, (30, 40), 1, &[13], &[9])]);
    let older = block(9, (30, 40), 1, &[9], &[]);
    night.older.push(archive(vec![older]));
    assert_eq!(
        night.gone(),
        (vec![], vec![3]),
        "and yet blocks were rewritten"
    );
}

#[test]
fn a_block_beside_others_that_lost_samples_by_deletion_may_have_lost_all() {
    let deleted = |number| with_deletions(plain(number), b"some");
    let cleaned = |number: u64, parent: u64| {
        let begin = parent as Millis * 10;
        block(number, (begin, begin + 10), 1, &[number], &[parent])
    };
    let rest = |gone: &[u64]| {
        (1..=5)
            .filter(|n| !gone.contains(n))
            .map(plain)
            .collect::<Vec<_>>()
    };
    let emptied: (Vec<u64>, Vec<u64>) = (vec![], vec![3]);
    // Deletions that wait, that were carried out, and that were carried out by a compaction.
    let night = Night::plain().with(rest(&[2, 3])).with([deleted(2)]);
    assert_eq!(night.gone(), emptied);
    let night = Night::plain().with(rest(&[3, 4])).with([cleaned(14, 4)]);
    assert_eq!(night.gone(), emptied);
    let before: Vec<_> = (1..=5).map(|n| with_samples(plain(n), 100)).collect();
    let compacted = |samples| with_samples(block(14, (40, 60), 2, &[4, 5], &[4, 5]), samples);
    let night = |samples| {
        Night::of(before.clone())
            .with(rest(&[3, 4, 5]))
            .with([compacted(samples)])
    };
    assert_eq!(night(199).gone(), emptied);
    assert_eq!(night(200).gone(), (vec![3], vec![]));
    // A block that was rewritten twice, or compacted since, has other sources.
    let night = Night::plain().with(rest(&[2, 3])).with_made(
        &block(13, (10, 30), 2, &[1, 12], &[1, 12]),
        &[(1, (10, 20)), (12, (20, 30))],
    );
    assert_eq!(night.gone(), emptied);
    // Deletions of yesterday, or far away, say nothing.
    let mut before: Vec<_> = (1..=5).map(plain).collect();
    before[1] = deleted(2);
    let night = Night::of(before).with(rest(&[2, 3])).with([deleted(2)]);
    assert_eq!(night.gone(), (vec![3], vec![]));
    let night = Night::plain().with(rest(&[3, 5])).with([deleted(5)]);
    assert_eq!(night.gone(), (vec![3], vec![]));
    // What was in the head has deletions in the log, or samples that the log had are in no block
    // and not in it any more, though it goes on.
    let log = |deletions, begin| Log {
        begin: Some(begin),
        deletions,
        goes_on: true,
    };
    for (gone, log, is_emptied) in [
        (5, log(2, 50), true),
        (3, log(2, 50), false),
        (5, log(0, 200), true),
        (3, log(0, 200), false),
        (5, log(0, 55), false),
        (
            5,
            Log {
                goes_on: false,
                ..log(0, 200)
            },
            false,
        ),
    ] {
        let mut night = Night::plain().with(rest(&[gone])).with([plain(7)]);
        night.log = log;
        let (missed, emptied) = night.gone();
        assert_eq!(emptied == [gone], is_emptied, "{gone}: {log:?}");
        assert_eq!(missed == [gone], !is_emptied, "{gone}: {log:?}");
    }
}

#[test]
fn the_head_of_a_prometheus_snapshot_is_written_anew_every_time() {
    let head = |number, end| block(number, (60, end), 1, &[number], &[]);
    let snapshot = || {
        let mut blocks: Vec<_> = (1..=5).map(plain).collect();
        blocks.push(head(21, 68));
        let mut night = Night::of(blocks);
        night.newest.wal = None;
        night
    };
    // The server itself, and the next snapshot.
    assert_eq!(snapshot().with((1..=5).map(plain)).gone(), NONE);
    // Late samples are in a block that ends behind the head.
    let late = || {
        let mut late = block(23, (60, 72), 1, &[23], &[]);
        late.hints = vec!["from-out-of-order".to_owned()];
        late
    };
    let mut night = snapshot();
    night.newest.blocks.push(late());
    assert_eq!(night.with((1..=5).map(plain)).with([late()]).gone(), NONE);
    let mut next = snapshot().with((1..=6).map(plain)).with([head(22, 79)]);
    next.is_snapshot = true;
    assert_eq!(next.gone(), NONE);
    assert_eq!(snapshot().with(all_but(4)).gone(), (vec![4], vec![]));
    // A server whose log was left out as asked for is none.
    let mut night = Night::plain().with(all_but(5));
    (night.newest.wal, night.newest.left_out) = (None, vec![asked_for()]);
    assert_eq!(night.gone(), (vec![5], vec![]));
    // A snapshot that is older than the archive: what it has in its head is in blocks of the
    // archive, and what these were made of is in it.
    let mut before: Vec<_> = (3..=7).map(plain).collect();
    before.push(block(12, (10, 30), 2, &[1, 2], &[1, 2]));
    let mut older = Night::of(before)
        .with((1..=5).map(plain))
        .with([head(22, 65)]);
    older.is_snapshot = true;
    assert_eq!(older.gone(), NONE);
}

fn asked_for() -> LeftOut {
    LeftOut {
        name: "wal".to_owned(),
        reason: "left out as asked for".to_owned(),
    }
}

#[test]
fn what_is_said_to_be_elsewhere_or_was_damaged_or_gone_already_is_not_missed() {
    let name = ulid(3).to_string();
    for (at, reason, is_said) in [
        (&*name, "compacted into another, which is archived", true),
        (
            &format!("{name}.tmp-for-deletion"),
            "a block that was being deleted",
            true,
        ),
        (&name, "nothing that Prometheus knows", false),
    ] {
        let mut night = Night::plain().with(all_but(3));
        night.left_out.insert(at.to_owned(), reason.to_owned());
        assert_eq!(night.gone() == NONE, is_said, "{reason}");
    }
    let mut night = Night::plain().with(all_but(3));
    night
        .missed
        .insert(name.clone(), "cannot be read".to_owned());
    assert_eq!(night.gone(), NONE);
    let mut night = Night::plain().with(all_but(3));
    let damaged = night
        .newest
        .blocks
        .iter_mut()
        .find(|block| block.ulid == ulid(3));
    let severities = &mut damaged.unwrap().findings.by_severity;
    severities.insert("damaged".to_owned(), 1);
    assert_eq!(night.gone(), NONE);
    // An older archive holds it undamaged.
    night.older.push(archive(vec![plain(3)]));
    assert_eq!(night.gone(), (vec![3], vec![]));
    // The newest archive missed it: what it could not read is looked for, what it called gone is
    // not.
    for (reason, is_missed) in [
        ("input/output error", true),
        ("gone since archive 1, which holds it", false),
    ] {
        let mut night = Night::of(all_but(3).collect()).with(all_but(3));
        night.older.push(archive(vec![plain(3)]));
        let (name, reason) = (name.clone(), reason.to_owned());
        night.newest.left_out.push(LeftOut { name, reason });
        assert_eq!(night.gone() == NONE, !is_missed);
    }
    // What was put together again of what was left is an archive like others.
    let mut night = Night::plain().with(all_but(3));
    let (name, reason) = (
        "manifest".to_owned(),
        "reconstructed from objects".to_owned(),
    );
    night.newest.left_out.push(LeftOut { name, reason });
    assert_eq!(night.gone(), (vec![3], vec![]));
    // But it may hold what an older one has told is gone.
    let mut told = archive(Vec::new());
    told.left_out
        .push(LeftOut::gone(ulid(3).to_string(), &night.newest));
    night.older.push(told);
    assert_eq!(night.gone(), NONE);
}

/// Blocks of other series were backfilled in the time of block 3 and compacted, and block 3 is
/// gone.
#[test]
fn what_holds_far_fewer_samples_was_not_made_of_a_block() {
    for (samples, gone) in [(40, vec![3]), (60, vec![])] {
        let other = with_samples(block(20, (30, 40), 2, &[21, 22], &[21, 22]), samples);
        let before = (1..=5).map(|number| with_samples(plain(number), 100));
        let night = Night::of(before.collect()).with(all_but(3).chain([other]));
        assert_eq!(night.gone(), (gone, vec![]), "{samples}");
    }
    // Most samples were deleted, and it was rewritten twice: whatever is left was made of it alone.
    let cleaned = with_samples(block(20, (30, 40), 1, &[20], &[21]), 1);
    let before = (1..=5).map(|number| with_samples(plain(number), 100));
    let night = Night::of(before.collect()).with(all_but(3).chain([cleaned]));
    assert_eq!(night.gone(), NONE);
}

#[test]
fn the_last_log_of_a_directory_is_looked_for_where_one_was_archived() {
    let of = |dir: &str, wal: Option<StoredWal>, left: Option<(&str, &str)>| {
        let mut archive = archive(vec![plain(1)]);
        (archive.source, archive.wal) = (dir.to_owned(), wal);
        let left = left.map(|(name, reason)| LeftOut {
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
        archive.left_out.extend(left);
        archive
    };
    let log = || Some(wal(7, 10, None));
    let asked = || of(DIR, None, Some(("wal", "left out as asked for")));
    let gone = || {
        of(
            DIR,
            None,
            Some(("wal", "gone since archive 1, which holds it")),
        )
    };
    for (archives, wanted) in [
        (vec![of(DIR, log(), None)], Some(0)),
        (vec![asked(), of(DIR, log(), None)], Some(1)),
        (vec![gone(), of(DIR, log(), None)], Some(0)),
        // A Prometheus snapshot in between.
        (
            vec![of("/snapshot", None, None), of(DIR, log(), None)],
            Some(1),
        ),
        // Another directory's, unless it was moved.
        (vec![of(DIR, None, None), of("/old", log(), None)], None),
        (vec![of("/old", log(), None)], Some(0)),
    ] {
        let found = last_log(archives.iter(), DIR);
        let wanted = wanted.map(|at: usize| &archives[at].id);
        assert_eq!(found.map(|archive| &archive.id), wanted, "{archives:?}");
    }
}

#[test]
fn a_log_of_late_samples_is_missed_when_nothing_is_left_of_it() {
    let with_late = |bytes: Option<u64>| {
        let mut wal = wal(7, 10, None);
        wal.files.extend(bytes.map(|bytes| StoredFile {
            name: FilePath::new("wbl/00000001").unwrap(),
            bytes,
            sha256: Digest::of(b""),
            sidecar: false,
            packed: false,
        }));
        wal
    };
    let mut night = Night::plain().with((1..=5).map(plain));
    night.newest.wal = Some(with_late(Some(30)));
    let is_gone = |night: &Night, wal: &StoredWal| {
        gone_late_log(&night.newest, Some(wal), &night.now()).is_some()
    };
    assert!(is_gone(&night, &with_late(None)));
    assert!(!is_gone(&night, &with_late(Some(0))), "compacted");
    night.newest.wal = Some(with_late(Some(0)));
    assert!(!is_gone(&night, &with_late(None)), "it was empty");
    night.newest.wal = Some(with_late(Some(30)));
    night
        .missed
        .insert("wbl/00000001".to_owned(), "cannot be read".to_owned());
    assert!(!is_gone(&night, &with_late(None)), "it is named already");
    // Nothing could be read of either log.
    night.missed.clear();
    night
        .missed
        .insert("wal".to_owned(), "cannot be read".to_owned());
    assert!(gone_late_log(&night.newest, None, &night.now()).is_none());
}

#[test]
fn a_server_that_was_begun_anew_has_lost_all() {
    let long = |number: u64| {
        let mut block = plain(number);
        block.files.push(StoredFile {
            name: FilePath::new("index").unwrap(),
            bytes: 100,
            sha256: Digest::of(b""),
            sidecar: false,
            packed: false,
        });
        block
    };
    let before = || Night::of((1..=5).map(long).collect());
    let all: (Vec<u64>, Vec<u64>) = ((1..=5).collect(), vec![]);
    assert_eq!(before().with([long(8)]).gone(), all);
    // As old as retention may take, or as much as it may keep.
    assert_eq!(before().with([long(10)]).gone(), NONE);
    assert_eq!(before().with([long(7), long(8)]).gone(), NONE);
    // Something is left of what there was.
    assert_eq!(before().with([long(5), long(8)]).gone(), NONE);
    let mut night = before().with([long(8)]);
    night.log.deletions = 1;
    assert_eq!(night.gone(), (vec![], (1..=5).collect()));
}

/// Somebody has deleted two series of the head, and a block with three is gone.
#[test]
fn deletions_of_some_series_do_not_empty_a_block() {
    for (deletions, is_emptied) in [(2, false), (3, true)] {
        let mut night = Night::plain().with([1, 2, 3, 4].map(plain));
        for block in night.newest.blocks.iter_mut() {
            (block.series, block.samples) = (3, 3000);
        }
        night.log = Log {
            begin: Some(50),
            deletions,
            goes_on: true,
        };
        let wanted = if is_emptied {
            (vec![], vec![5])
        } else {
            (vec![5], vec![])
        };
        assert_eq!(night.gone(), wanted, "{deletions}");
    }
}

#[test]
fn a_log_is_missed_when_nothing_is_left_of_it_or_of_its_last_samples() {
    let night = |blocks: &[u64]| Night::plain().with(blocks.iter().map(|number| plain(*number)));
    let is_gone = |night: &Night, wal: Option<&StoredWal>| {
        let now = night.now();
        gone_log(&night.newest, wal, &now).is_some()
    };
    let kept = [1, 2, 3, 4, 5];
    let mut here = night(&kept);
    assert!(is_gone(&here, None));
    // One that was begun anew, and is empty or goes on from somewhere else.
    assert!(is_gone(&here, Some(&wal(0, 0, None))));
    assert!(is_gone(&here, Some(&wal(7, 0, None))), "segments only grow");
    assert!(is_gone(&here, Some(&wal(3, 100, Some((200, 230))))));
    assert!(is_gone(&here, Some(&wal(3, 100, None))));
    assert!(!is_gone(&here, Some(&wal(3, 100, Some((105, 230))))));
    // It begins where it did, and its end is gone.
    assert!(is_gone(&here, Some(&wal(6, 100, Some((50, 55))))));
    assert!(is_gone(&here, Some(&wal(7, 100, Some((50, 55))))));
    // What is lost of a log that goes on was deleted from the head.
    assert!(!is_gone(&here, Some(&wal(8, 100, Some((200, 230))))));
    assert!(!is_gone(&here, Some(&wal(8, 0, None))));
    // Samples of the log are in blocks now.
    let cut = night(&[1, 2, 3, 4, 5, 9, 10, 11]);
    assert!(!is_gone(&cut, Some(&wal(3, 100, Some((200, 230))))));
    assert!(is_gone(&cut, Some(&wal(0, 0, None))));
    // Retention has taken all blocks of then, or has compacted ones left.
    let late = night(&[40]);
    assert!(!is_gone(&late, Some(&wal(3, 100, Some((400, 430))))));
    let compacted = night(&[]).with([block(12, (40, 60), 2, &[4, 5], &[4, 5])]);
    assert!(is_gone(&compacted, Some(&wal(3, 100, Some((400, 430))))));
    here.left_out
        .insert("wal".to_owned(), "left out as asked for".to_owned());
    assert!(!is_gone(&here, None));
    let mut here = night(&kept);
    here.newest.source = "/other".to_owned();
    here.is_snapshot = true;
    assert!(!is_gone(&here, None), "a snapshot has no log");
    here.is_snapshot = false;
    here.newest.source = DIR.to_owned();
    here.newest.wal = Some(wal(7, 0, None));
    assert!(!is_gone(&here, None));
}

#[test]
fn a_log_goes_on_counting() {
    let was = archive(Vec::new());
    let log = |wal: Option<&StoredWal>| log_of(wal, 3, Some(&was));
    assert!(log(Some(&wal(7, 100, None))).goes_on);
    assert!(log(Some(&wal(9, 0, None))).goes_on);
    assert!(!log(Some(&wal(6, 900, None))).goes_on);
    assert!(!log(None).goes_on);
    assert!(!log_of(Some(&wal(9, 0, None)), 3, None).goes_on);
    assert_eq!(log(Some(&wal(9, 9, Some((5, 6))))).begin, Some(5));
}

#[test]
fn deletions_of_every_series_are_read_from_the_object_that_holds_them() {
    let record = |series: u8| [series, 2, 4];
    let file = |series: &[u8]| {
        let records: Vec<u8> = series.iter().flat_map(|series| record(*series)).collect();
        let crc = crate::raw::crc32c(&records).to_be_bytes();
        [&[0x01, 0x30, 0xba, 0x30, 1], &records[..], &crc].concat()
    };
    for (series, sidecar, is_all) in [
        (&[1, 2, 3][..], false, true),
        (&[1, 2, 3], true, true),
        (&[1, 2, 2], false, false),
        (&[], false, false),
    ] {
        let store = MemoryStore::new();
        let mut stored = plain(3);
        stored.series = 3;
        let content = file(series);
        let source = portable::SourceFile {
            name: FilePath::new("tombstones").unwrap(),
            content: &content,
        };
        let root = portable::Root::Block(stored.ulid);
        let (name, silent) = (stored.object.name.clone(), crate::progress::Silent);
        let staged = portable::write(&store, &name, root, &[source], 3, &silent).unwrap();
        let (object, files) = staged.publish().unwrap();
        stored.files = files;
        stored.files[0].sidecar = sidecar;
        if sidecar {
            stored.sidecar = Some(object);
            let other = block_object(ulid(3), &Fingerprint::of(b"other")).unwrap();
            stored.object.name = other;
        }
        assert_eq!(
            has_deletions_everywhere(&store, &stored),
            is_all,
            "{series:?}"
        );
        stored.files[0].sha256 = Digest::of(b"");
        assert!(!has_deletions_everywhere(&store, &stored));
    }
}

#[test]
fn sentences_name_the_first_blocks_and_the_archive() {
    let newest = archive((1..=5).map(plain).collect());
    let gone: Vec<_> = newest
        .blocks
        .iter()
        .map(|block| Gone {
            archive: &newest,
            block,
            is_deleted: false,
        })
        .collect();
    let id = newest.id.short();
    let said = problems(&gone[..1]);
    let begin = format!("block {} (1970-01-01T00:00:00Z to ", ulid(1));
    assert!(said[0].detail.starts_with(&begin), "{said:?}");
    assert!(
        said[0].detail.contains(&format!("of archive {id} is gone")),
        "{said:?}"
    );
    let said = problems(&gone);
    assert_eq!(said.len(), 1);
    assert!(said[0].detail.contains("and 2 more of archive"), "{said:?}");
    assert!(!said[0].detail.contains(&ulid(4).to_string()), "{said:?}");
}

#[test]
fn series_are_counted_by_their_chunks_without_those_whose_samples_there_are_deleted() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/night-1");
    let count = |block: &str, range| series_in(&fixtures.join(block), range, ReadMode::Map);
    let all = (Millis::MIN, Millis::MAX);
    assert_eq!(count("01M80FKE2Z8SDE7SM63DE19N15", all), Some(278));
    let deleted = "01M80FKE4V4C8GPJHYD9T1D87F";
    assert_eq!(count(deleted, all), Some(277));
    assert_eq!(count(deleted, (Millis::MIN, 0)), Some(0));
    assert_eq!(count("none", all), None);
}
