//! Archives copied into another codec: the same files in other objects, converted once.

use std::fs;
use std::process::{Command, Stdio};

use narthex::copy::{DifferenceKind, preview};
use narthex::repair::leave_marks;
use narthex::repository::check::Kind;
use narthex::repository::{ObjectCodec, StoredBlock};
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};

use super::command::Desk;
use super::mending::{compared, mend};
use super::*;

/// Blocks of [`two_nights`].
const BLOCKS: u64 = 4;

/// The codecs from which and into which is copied.
const WAYS_ROUND: [(Codec, Codec); 2] = [
    (Codec::Dense, Codec::Portable),
    (Codec::Portable, Codec::Dense),
];

fn options(codec: Codec) -> CopyOptions {
    CopyOptions {
        codec: Some(codec),
        ..CopyOptions::default()
    }
}

/// Copies the archives that are meant into `codec`.
fn convert_these(
    from: &(impl Store + Clone + 'static),
    to: &(impl Store + Clone + 'static),
    codec: Codec,
    choice: &CopyChoice,
    now: Millis,
) -> Result<CopyReport> {
    let from = Repository::open(Arc::new(from.clone()))?;
    let to = Repository::open_or_init(Arc::new(to.clone()))?;
    copy(&from, &to, choice, &options(codec), now, &Silent)
}

/// Copies all archives into `codec`.
fn convert(
    from: &(impl Store + Clone + 'static),
    to: &(impl Store + Clone + 'static),
    codec: Codec,
    now: Millis,
) -> Result<CopyReport> {
    convert_these(from, to, codec, &CopyChoice::default(), now)
}

fn word(codec: Codec) -> ObjectCodec {
    match codec {
        Codec::Dense => ObjectCodec::Dense,
        Codec::Portable => ObjectCodec::Portable,
    }
}

/// Every block in `store` is in `codec`.
fn assert_in(store: &MemoryStore, codec: Codec, what: &str) {
    for archive in archives(store) {
        for block in &archive.blocks {
            assert_eq!(block.object.codec, word(codec), "{what}: {}", block.ulid);
        }
    }
}

fn facts(report: &CopyReport) -> (u64, u64, u64, u64) {
    let (copied, present) = (report.count(Fate::Copied), report.count(Fate::Present));
    (copied, present, report.converted_blocks, report.objects)
}

#[test]
fn nights_come_back_from_the_other_codec_and_are_converted_once() {
    for (stored, wanted) in WAYS_ROUND {
        let what = format!("{stored:?} to {wanted:?}");
        let (from, to, third) = (two_nights(stored), MemoryStore::new(), MemoryStore::new());
        let (source, choice) = (open(&from), CopyChoice::default());
        let planned = preview(&source, None, &choice, &options(wanted), START, &Silent).unwrap();
        let report = convert(&from, &to, wanted, START + 2 * DAY).unwrap();
        assert_eq!(report.problems, [], "{what}");
        assert_eq!(report.converted_blocks, BLOCKS, "{what}");
        assert_eq!(report.objects, data(&to).len() as u64, "{what}: each once");
        let by_archive = report.archives.iter().map(|archive| archive.objects);
        assert_eq!(by_archive.sum::<u64>(), report.objects, "{what}");
        assert_eq!(
            (planned.converted_blocks, planned.converted_bytes),
            (BLOCKS, report.converted_bytes),
            "{what}"
        );
        assert_in(&to, wanted, &what);
        assert_perfect(&to, &what);
        for (old, new) in archives(&from).iter().zip(archives(&to)) {
            assert_eq!(
                (old.time, &old.host, &old.findings),
                (new.time, &new.host, &new.findings)
            );
            for (old, new) in old.blocks.iter().zip(&new.blocks) {
                assert_eq!(old.statistics, new.statistics, "{what}");
                assert_eq!((old.series, old.samples), (new.series, new.samples));
            }
        }
        let before = data(&to);
        for codec in [Some(wanted), None] {
            let again = match codec {
                Some(codec) => convert(&from, &to, codec, START + 3 * DAY),
                None => copy_all(&from, &to, START + 3 * DAY),
            };
            assert_eq!(facts(&again.unwrap()), (0, 2, 0, 0), "{what}");
        }
        assert_eq!(data(&to), before, "{what}");

        // And back, where neither archive is another one.
        let report = convert(&to, &third, stored, START + 3 * DAY).unwrap();
        assert_eq!(report.converted_blocks, BLOCKS, "{what}");
        assert_in(&third, stored, &what);
        assert_perfect(&third, &what);
        for (one, other) in [(&from, &to), (&to, &third), (&from, &third)] {
            let found = compared(one, other);
            assert_eq!(found.differences, [], "{what}");
            assert_eq!(found.archives, 2, "{what}");
        }
        let back = copy_all(&third, &from, START + 4 * DAY).unwrap();
        assert_eq!(facts(&back), (0, 2, 0, 0), "{what}");
        // What is in the codec already is sent as it is.
        let fourth = MemoryStore::new();
        let report = convert(&from, &fourth, stored, START).unwrap();
        assert_eq!(report.converted_blocks, 0, "{what}");
        assert_eq!(data(&fourth), data(&from), "{what}");
    }
}

#[test]
fn each_night_converts_what_is_new() {
    for (stored, wanted) in WAYS_ROUND {
        let (from, to) = (MemoryStore::new(), MemoryStore::new());
        back_up(&from, &fixture(PARENTS), stored, START);
        let first = convert(&from, &to, wanted, START).unwrap();
        assert_eq!(facts(&first).2, 3);
        // The same once more, and then the child.
        back_up(&from, &fixture(PARENTS), stored, START + 1);
        let log = archives(&from)[1].wal.iter().count() as u64;
        let second = convert(&from, &to, wanted, START + 1).unwrap();
        assert_eq!(facts(&second), (1, 1, 0, log));
        back_up(&from, &fixture(CHILD), stored, START + DAY);
        let third = convert(&from, &to, wanted, START + DAY).unwrap();
        assert_eq!((facts(&third).0, facts(&third).2), (1, 1));
        assert_in(&to, wanted, "nights");
        assert_eq!(checked(&to).findings, []);
    }
}

#[test]
fn dense_blocks_repeat_no_samples_of_those_that_are_there() {
    let (from, to) = (two_nights(Codec::Portable), MemoryStore::new());
    convert(&from, &to, Codec::Dense, START).unwrap();
    let child = &archives(&to)[1].blocks[0];
    assert!(child.packs.len() > 1, "{:?}", child.packs);
    // Out of packs of several blocks into the other codec.
    let back = MemoryStore::new();
    convert(&to, &back, Codec::Portable, START).unwrap();
    assert_perfect(&back, "spliced");
    assert_in(&back, Codec::Portable, "spliced");
}

#[test]
fn a_conversion_that_dies_at_any_operation_is_taken_up_by_the_next() {
    for (stored, wanted) in WAYS_ROUND {
        let from = two_nights(stored);
        let clean = MemoryStore::new();
        let counting = FaultyStore::new(Arc::new(clean.clone()), StoreFaults::default());
        convert(&from, &counting, wanted, START).unwrap();
        let operations = counting.operations();
        assert!(operations > 20, "{operations}");
        for at in 0..operations {
            let fault = [StoreFault::Before, StoreFault::After, StoreFault::Torn][at as usize % 3];
            let what = format!("{wanted:?}: {fault:?} at {at} of {operations}");
            let to = MemoryStore::new();
            let faults = StoreFaults {
                crash_at: Some((at, fault)),
                ..StoreFaults::default()
            };
            let dying = FaultyStore::new(Arc::new(to.clone()), faults);
            let _ = convert(&from, &dying, wanted, START);
            dying.cut_power().unwrap();
            if !to.list("archives/").unwrap().is_empty() {
                let findings = checked(&to).findings.into_iter();
                let left = [Kind::ObjectUnreferenced, Kind::ObjectUnpublished];
                let mut others = findings.filter(|found| !left.contains(&found.kind));
                assert_eq!(others.next(), None, "{what}");
            }
            let report = convert(&from, &to, wanted, START + 1000).map_err(|e| e.chain());
            let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(report.problems, [], "{what}");
            assert_eq!(data(&to), data(&clean), "{what}: nothing twice");
            assert_in(&to, wanted, &what);
            assert_perfect(&to, &what);
        }
    }
}

/// A data directory of a test, with what was written into it.
fn data_dir(from: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in tree(&fixture(from)) {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

/// The directory of the first block in it.
fn first_block(dir: &Path) -> std::path::PathBuf {
    let mut blocks: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    blocks.retain(|path| path.join("index").exists());
    blocks.sort();
    blocks.remove(0)
}

#[test]
fn blocks_whose_small_files_changed_are_converted_once_and_restored_as_of_each_night() {
    for (stored, wanted) in WAYS_ROUND {
        let from = MemoryStore::new();
        let dir = data_dir(PARENTS);
        let block = first_block(dir.path());
        let mut nights = Vec::new();
        for night in 0..3 {
            if night > 0 {
                let meta = block.join("meta.json");
                let text = fs::read_to_string(&meta).unwrap();
                fs::write(meta, format!("{text}\n")).unwrap();
                fs::write(block.join("note.txt"), format!("night {night}")).unwrap();
            }
            back_up(&from, dir.path(), stored, START + night * DAY);
            nights.push(tree(dir.path()));
        }
        assert!(
            archives(&from)[1]
                .blocks
                .iter()
                .any(|it| it.sidecar.is_some())
        );
        // In whichever order they come.
        for first in [None, Some(0), Some(1), Some(2)] {
            let what = format!("{wanted:?}, {first:?} first");
            let to = MemoryStore::new();
            if let Some(first) = first {
                let choice = CopyChoice {
                    ids: vec![archives(&from)[first].id.to_string()],
                    ..CopyChoice::default()
                };
                let report = convert_these(&from, &to, wanted, &choice, START).unwrap();
                assert_eq!(report.converted_blocks, 3, "{what}");
            }
            let report = convert(&from, &to, wanted, START).unwrap();
            assert_eq!(report.problems, [], "{what}");
            let left = if first.is_some() { 0 } else { 3 };
            assert_eq!(report.converted_blocks, left, "{what}");
            assert_eq!(checked(&to).findings, [], "{what}");
            assert_in(&to, wanted, &what);
            for (archive, night) in archives(&to).iter().zip(&nights) {
                assert!(restore(&to, archive) == *night, "{what}");
            }
            assert_eq!(compared(&from, &to).differences, [], "{what}");
            let again = convert(&from, &to, wanted, START).unwrap();
            assert_eq!(facts(&again), (0, 3, 0, 0), "{what}");
        }
    }
}

#[test]
fn a_damaged_block_keeps_its_bytes() {
    for stored in [Codec::Dense, Codec::Portable] {
        let dir = data_dir(PARENTS);
        let segment = first_block(dir.path()).join("chunks/000001");
        let mut content = fs::read(&segment).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&segment, &content).unwrap();
        let from = MemoryStore::new();
        let archive = back_up(&from, dir.path(), stored, START);
        assert!(archive.findings.problems() > 0);
        for wanted in [Codec::Dense, Codec::Portable] {
            let what = format!("{stored:?} to {wanted:?}");
            let to = MemoryStore::new();
            let report = convert(&from, &to, wanted, START).unwrap();
            assert_eq!(report.problems, [], "{what}");
            let copied = archives(&to).remove(0);
            assert!(restore(&to, &copied) == tree(dir.path()), "{what}");
            assert_eq!(copied.findings, archive.findings, "{what}");
            assert_eq!(problems(&to), [""; 0], "{what}");
            for (old, new) in archive.blocks.iter().zip(&copied.blocks) {
                assert_eq!(old.findings, new.findings, "{what}");
                let is_damaged = old.findings.problems() > 0;
                if is_damaged && old.object.codec == ObjectCodec::Portable {
                    assert_eq!(old.object, new.object, "{what}: as it is");
                } else if !is_damaged || wanted == Codec::Portable {
                    assert_eq!(new.object.codec, word(wanted), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_block_that_dense_cannot_hold_is_copied_as_it_is_and_that_is_said() {
    let dir = data_dir(PARENTS);
    // A file with the name of one that objects of dense blocks hold.
    fs::write(first_block(dir.path()).join("narthex.recipe.json"), "{}").unwrap();
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    for night in 0..2 {
        back_up(&from, dir.path(), Codec::Portable, START + night * DAY);
    }
    let report = convert(&from, &to, Codec::Dense, START).unwrap();
    assert_eq!(kinds(&report), [CopyProblemKind::BlockUnfit].into());
    assert_eq!((report.problems.len(), report.converted_blocks), (1, 2));
    assert_eq!(checked(&to).findings, []);
    for archive in archives(&to) {
        assert!(restore(&to, &archive) == tree(dir.path()));
    }
    let again = convert(&from, &to, Codec::Dense, START).unwrap();
    assert_eq!(facts(&again), (0, 2, 0, 0));
}

#[test]
fn what_a_converted_copy_has_lost_is_made_again_from_the_files() {
    for (stored, wanted) in WAYS_ROUND {
        let (from, healthy) = (two_nights(stored), MemoryStore::new());
        convert(&from, &healthy, wanted, START).unwrap();
        for object in data(&healthy) {
            for way in ["flip", "truncate", "delete"] {
                for asked in [None, Some(wanted)] {
                    let what = format!("{wanted:?} ({asked:?}): {way} {object}");
                    let to = twin(&healthy);
                    assert!(spoil(&to, &object, way));
                    leave_marks(&open(&to), &checked(&to), START).unwrap();
                    let report = match asked {
                        Some(codec) => convert(&from, &to, codec, START + DAY),
                        None => copy_all(&from, &to, START + DAY),
                    };
                    let report = report.map_err(|e| e.chain());
                    let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(report.count(Fate::LeftOut), 0, "{what}");
                    assert!(report.count(Fate::Completed) > 0, "{what}");
                    assert_eq!(problems(&to), [""; 0], "{what}");
                    assert_whole(&to, &what);
                    let again = copy_all(&from, &to, START + 2 * DAY).unwrap();
                    assert_eq!(facts(&again), (0, 2, 0, 0), "{what}");
                }
            }
        }
    }
}

#[test]
fn damage_where_it_is_copied_from_is_never_converted() {
    for (stored, wanted) in WAYS_ROUND {
        let healthy = two_nights(stored);
        let all = archives(&healthy);
        for object in data(&healthy) {
            for way in ["flip", "truncate", "delete"] {
                let what = format!("{wanted:?}: {way} {object}");
                let (from, to) = (twin(&healthy), MemoryStore::new());
                assert!(spoil(&from, &object, way));
                let before = from.list("").unwrap();
                let report = convert(&from, &to, wanted, START).unwrap();
                assert_eq!(from.list("").unwrap(), before, "{what}");
                let needs =
                    |archive: &&Archive| archive.objects().any(|(_, needed)| needed.name == object);
                let most = all.iter().filter(needs).count() as u64;
                // What other objects of the repository give is not lost.
                assert!(report.count(Fate::LeftOut) <= most, "{what}");
                if report.count(Fate::Copied) > 0 {
                    assert_eq!(problems(&to), [""; 0], "{what}");
                }
                assert_whole(&to, &what);
                let report = convert(&healthy, &to, wanted, START + DAY).unwrap();
                assert_eq!(report.count(Fate::LeftOut), 0, "{what}");
                assert_eq!(archives(&to).len(), 2, "{what}");
                assert_whole(&to, &what);
            }
        }
    }
}

#[test]
fn other_files_are_another_archive() {
    let (from, to) = (two_nights(Codec::Dense), MemoryStore::new());
    convert(&from, &to, Codec::Portable, START).unwrap();
    let mut first = archives(&to).remove(0);
    let manifest = first.manifest_name().unwrap().object().unwrap();
    let file = &mut first.blocks[0].files[0];
    file.bytes += 1;
    to.overwrite(&manifest, &first.to_bytes().unwrap());
    let report = convert(&from, &to, Codec::Portable, START).unwrap();
    assert_eq!(kinds(&report), [CopyProblemKind::ArchiveDiffers].into());
    let found = compared(&from, &to).differences;
    let differ = |it: &narthex::trouble::Trouble<DifferenceKind>| {
        it.kind == DifferenceKind::ArchiveDiffers && it.place == first.id.short()
    };
    assert!(found.iter().any(differ), "{found:?}");
}

#[test]
fn objects_that_two_repositories_made_of_one_block_are_no_difference() {
    // The same names, and other bytes: of another level.
    let from = MemoryStore::new();
    let source = Source::new(&fixture(PARENTS), "host".into(), Some("test".into())).unwrap();
    let options = BackupOptions {
        codec: Codec::Portable,
        level: 19,
        ..BackupOptions::default()
    };
    archive::backup(&source, &open(&from), &options, START, &Silent).unwrap();
    let (dense, third) = (MemoryStore::new(), MemoryStore::new());
    convert(&from, &dense, Codec::Dense, START).unwrap();
    convert(&dense, &third, Codec::Portable, START).unwrap();
    let object = |store: &MemoryStore| archives(store)[0].blocks[0].object.clone();
    let (ours, theirs) = (object(&from), object(&third));
    assert_eq!(ours.name, theirs.name);
    assert_ne!(ours.sha256, theirs.sha256);
    let found = compared(&from, &third);
    assert_eq!(found.differences, []);
    assert!(found.only_first_objects > 0);

    // And neither is mended with the bytes of the other.
    assert!(spoil(&from, &ours.name, "truncate"));
    let kinds: Vec<_> = compared(&from, &third)
        .differences
        .iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(kinds, [DifferenceKind::ObjectLost]);
    mend(&from, &third, false);
    assert!(!problems(&from).is_empty());
    // A copy makes it again from the files.
    let report = copy_all(&third, &from, START + DAY).unwrap();
    assert_eq!(report.count(Fate::Completed), 1);
    assert_eq!(problems(&from), [""; 0]);
    let whole = restore(&from, &archives(&from)[0]);
    assert!(whole == tree(&fixture(PARENTS)));
}

#[test]
fn a_manifest_that_is_lost_comes_back_from_a_copy_in_another_codec() {
    let (store, other) = (two_nights(Codec::Dense), MemoryStore::new());
    convert(&store, &other, Codec::Portable, START).unwrap();
    let manifest = archives(&store)[0]
        .manifest_name()
        .unwrap()
        .object()
        .unwrap();
    assert!(spoil(&store, &manifest, "flip"));
    mend(&store, &other, false);
    assert_eq!(archives(&store).len(), 2);
    assert_eq!(problems(&store), [""; 0]);
    assert_whole(&store, "mended");
}

#[test]
fn the_command_says_what_is_converted() {
    let desk = Desk::new();
    let copy = [
        "copy", "--from", "one", "--to", "two", "--codec", "portable",
    ];
    let ran = desk.run(&[&copy[..], &["--dry-run"]].concat(), 0);
    assert!(ran.out.contains("4 blocks of "), "{}", ran.out);
    assert!(ran.out.contains(" would be converted"), "{}", ran.out);
    let ran = desk.run(&[&copy[..], &["--json"]].concat(), 0);
    let json = ran.json();
    assert_eq!(json["converted_blocks"], 4, "{json}");
    assert!(json["converted_bytes"].as_u64() > Some(0), "{json}");
    let ran = desk.run(&copy, 0);
    assert!(!ran.out.contains("converted"), "{}", ran.out);
    desk.run(
        &["check", "--repo", "two", "--read-data", "--compare", "one"],
        0,
    );
}

/// Whether programs that read portable objects are there.
fn has_tools() -> bool {
    let runs = |tool: &str| {
        let ran = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        ran.is_ok_and(|status| status.success())
    };
    let is_there = runs("zstd") && runs("tar");
    if !is_there {
        eprintln!("SKIPPED: reading objects by hand needs zstd and tar");
    }
    is_there
}

#[test]
fn zstd_and_tar_read_a_converted_block() {
    if !has_tools() {
        return;
    }
    let (from, to) = (two_nights(Codec::Dense), MemoryStore::new());
    convert(&from, &to, Codec::Portable, START).unwrap();
    for (archive, dir) in archives(&to).iter().zip([PARENTS, CHILD]) {
        let scratch = tempfile::tempdir().unwrap();
        for block in &archive.blocks {
            let StoredBlock { object, ulid, .. } = block;
            let path = scratch.path().join("block.tar.zst");
            fs::write(&path, to.get(&object.name, u64::MAX).unwrap()).unwrap();
            let shell = "zstd -dc block.tar.zst | tar -x && rm block.tar.zst";
            let mut ran = Command::new("sh");
            let ran = ran.args(["-ec", shell]).current_dir(scratch.path());
            let status = ran.status().unwrap();
            assert!(status.success(), "{ulid}");
        }
        let mut found = tree(scratch.path());
        found.retain(|name, _| !name.ends_with("narthex.statistics"));
        let mut wanted = tree(&fixture(dir));
        wanted.retain(|name, _| name.starts_with("01"));
        assert!(found == wanted, "{dir}");
    }
}
