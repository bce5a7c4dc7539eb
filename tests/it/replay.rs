//! The head as a block: what is left of logs that are damaged is a sound block, or none.

use std::fs;
use std::path::Path;

use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::raw::ReadMode;
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
