//! The head as a block: what is left of logs that are damaged is a sound block, or none.

use std::fs;
use std::path::Path;

use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::raw::{ReadMode, crc32c};
use narthex::replay::Head;
use narthex::verify::{VerifyOptions, verify_block};

use crate::fixtures::{fixture, tree};

/// Samples of the block that is made of the logs in `dir`, which must be sound.
fn samples_of(dir: &Path) -> u64 {
    let target = tempfile::tempdir().unwrap();
    let head = Head::read(dir, ReadMode::Read, &Silent).unwrap();
    let Some(block) = head.write_block(target.path(), Ulid::generate()).unwrap() else {
        return 0;
    };
    let verdict = verify_block(&block, VerifyOptions::default(), &Silent).unwrap();
    assert!(!verdict.findings.has_problems(), "{:?}", verdict.findings);
    verdict.stats.samples
}

fn copy_logs(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        if name.starts_with("wal/") || name.starts_with("wbl/") {
            let path = to.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

#[test]
fn what_is_before_the_damage_counts_and_what_comes_of_it_is_sound() {
    for name in ["wal/out-of-order", "wal/live-snappy"] {
        let dir = tempfile::tempdir().unwrap();
        copy_logs(&fixture(name), dir.path());
        let whole = samples_of(dir.path());
        assert!(whole > 100, "{name}: {whole}");
        let mut ended_early = 0;
        for (file, sound) in tree(dir.path()) {
            let path = dir.path().join(file);
            for step in 0..12 {
                let mut damaged = sound.clone();
                let at = damaged.len() * step / 12;
                let Some(byte) = damaged.get_mut(at) else {
                    continue;
                };
                *byte ^= 1 << (step % 8);
                fs::write(&path, &damaged).unwrap();
                let left = samples_of(dir.path());
                assert!(left <= whole, "{name}: {left} of {whole}");
                ended_early += u32::from(left < whole);
                fs::write(&path, &sound[..at]).unwrap();
                assert!(samples_of(dir.path()) <= whole, "{name}, cut off at {at}");
            }
            fs::write(&path, &sound).unwrap();
        }
        assert!(ended_early > 5, "{name}: {ended_early}");
        assert_eq!(samples_of(dir.path()), whole);
    }
}

#[test]
fn a_directory_without_samples_in_its_logs_makes_no_block() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    assert_eq!(samples_of(dir.path()), 0);
    // Aside from what a block would be named, nothing is left.
    let target = tempfile::tempdir().unwrap();
    let head = Head::read(dir.path(), ReadMode::Map, &Silent).unwrap();
    assert_eq!(
        head.write_block(target.path(), Ulid::generate()).unwrap(),
        None
    );
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

/// The segment with another value in its first record of samples, which is in one piece and not
/// compressed.
fn with_another_value(segment: &[u8]) -> Vec<u8> {
    const PAGE: usize = 32_768;
    let mut bytes = segment.to_vec();
    let mut at = 0;
    loop {
        let left = PAGE - at % PAGE;
        if left < 7 || bytes[at] == 0 {
            at += left;
            continue;
        }
        let len = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        let payload = at + 7..at + 7 + len;
        if (bytes[at], bytes[at + 7]) == (1, 2) {
            bytes[payload.end - 1] ^= 1;
            let checksum = crc32c(&bytes[payload]);
            bytes[at + 3..at + 7].copy_from_slice(&checksum.to_be_bytes());
            return bytes;
        }
        at = payload.end;
    }
}

#[test]
fn the_name_of_a_head_is_that_of_its_records_and_of_no_others() {
    let name = |dir: &Path| {
        let head = Head::read(dir, ReadMode::Read, &Silent).unwrap();
        (head.ulid(), head.facts().clone())
    };
    let night = fixture("night-1");
    assert_eq!(name(&night), name(&night));
    // One bit of one value, in a segment that is not compressed: nothing that is counted differs.
    let dir = tempfile::tempdir().unwrap();
    copy_logs(&fixture("wal/wal-1"), dir.path());
    let plain = name(dir.path());
    let wal = dir.path().join("wal/00000000");
    let changed = with_another_value(&fs::read(&wal).unwrap());
    fs::write(&wal, changed).unwrap();
    let other = name(dir.path());
    assert_eq!(plain.1, other.1);
    assert_ne!(plain.0, other.0);
}
