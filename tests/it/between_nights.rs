//! What changes or vanishes between two backups of a data directory, and is not what a Prometheus does: it is told, and what was sound is
//! not hidden.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::fixture;
use crate::sick::copy;

/// Blocks of `blocks/parents-three`, by time.
const BLOCKS: [&str; 3] = [
    "01M7ZSW06MPETEKCNDX7B1881S",
    "01M7ZSW08H71451MKGD0YTRMEH",
    "01M7ZSW09PMERPPDTFHD6PEVGT",
];

/// What is done to a file, after a word that is said of it.
type Damage = (&'static str, fn(&Path));

/// A data directory, archived once.
struct Nights {
    root: tempfile::TempDir,
}

impl Nights {
    fn of(blocks: &[&str], log: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let nights = Nights { root };
        for block in blocks {
            let name = Path::new(block).file_name().unwrap();
            copy(&fixture(block), &nights.data().join(name));
        }
        if let Some(log) = log {
            copy(&fixture(log), &nights.data());
        }
        let first = nights.backup();
        assert_eq!(first.code, 0, "{}", first.err);
        nights
    }

    /// The three parents and a log.
    fn plain() -> Self {
        let blocks = BLOCKS.map(|block| format!("blocks/parents-three/{block}"));
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        Nights::of(&blocks, Some("wal/wal-1"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        narthex(self.root.path(), arguments)
    }

    fn backup(&self) -> Ran {
        self.backup_with(&[])
    }

    fn backup_with(&self, options: &[&str]) -> Ran {
        let plain = ["backup", "data", "--repo", "repo", "--source", "s"];
        self.run(&[&plain, options].concat())
    }

    fn restore(&self, target: &str, options: &[&str]) -> Ran {
        let plain = ["restore", "latest", "--repo", "repo", "--target", target];
        self.run(&[&plain, options].concat())
    }

    /// Whether the block comes back into `target` as it is in the fixture.
    fn is_as_first(&self, target: &str, block: &str, file: &str) -> bool {
        let first = fixture(&format!("blocks/parents-three/{block}/{file}"));
        let back = self.path(target).join(block).join(file);
        fs::read(back).unwrap() == fs::read(first).unwrap()
    }
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_changed_of_a_block_is_verified_and_the_sound_copy_comes_back() {
    let damages: [Damage; 4] = [
        ("tombstones-checksum", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[6] ^= 0x31;
            fs::write(path, bytes).unwrap();
        }),
        ("tombstones-malformed", |path| {
            fs::write(path, b"\x01\x30\xba\x30").unwrap();
        }),
        ("tombstones-malformed", |path| fs::write(path, b"").unwrap()),
        ("unreadable", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (number, (kind, damage)) in damages.into_iter().enumerate() {
        let nights = Nights::plain();
        let block = BLOCKS[1];
        damage(&nights.data().join(block).join("tombstones"));
        // The second time the block is archived as it was before.
        for _ in 0..2 {
            let ran = nights.backup();
            assert_eq!(ran.code, 3, "{number}: {}", ran.err);
            assert!(
                ran.err.contains(block) && ran.err.contains(kind),
                "{number}: {}",
                ran.err
            );
        }
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{number}: {}", ran.err);
        assert!(
            ran.out.contains("Prometheus will start"),
            "{number}: {}",
            ran.out
        );
        assert!(nights.is_as_first("back", block, "tombstones"), "{number}");
        let first = fixture(&format!("blocks/parents-three/{block}/tombstones"));
        let path = nights.data().join(block).join("tombstones");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        fs::copy(first, path).unwrap();
        let ran = nights.backup();
        assert_eq!(ran.code, 0, "{number}: {}", ran.err);
    }
}

#[test]
fn wrong_metadata_hides_nothing_of_what_is_stored() {
    let right = "\"minTime\": 1700006400005";
    let damages: [Damage; 4] = [
        ("minTime", |meta| {
            rewrite(
                meta,
                "\"minTime\": 1700006400005",
                "\"minTime\": 1700013500005",
            );
        }),
        ("maxTime", |meta| {
            rewrite(
                meta,
                "\"maxTime\": 1700013600000",
                "\"maxTime\": 1700006410000",
            );
        }),
        ("minTime", |meta| {
            let other = meta.parent().unwrap().with_file_name(BLOCKS[2]);
            fs::copy(other.join("meta.json"), meta).unwrap();
        }),
        ("sources", |meta| {
            rewrite(
                meta,
                "\t\t\t\"01M7ZSW08H71451MKGD0YTRMEH\"",
                "\"01M7ZSW09PMERPPDTFHD6PEVGT\"",
            );
        }),
    ];
    for (number, (told, damage)) in damages.into_iter().enumerate() {
        let nights = Nights::plain();
        let meta = nights.data().join(BLOCKS[1]).join("meta.json");
        assert!(fs::read_to_string(&meta).unwrap().contains(right));
        damage(&meta);
        for _ in 0..2 {
            let ran = nights.backup();
            assert_eq!(ran.code, 3, "{number}: {}", ran.err);
            assert!(ran.err.contains(told), "{number}: {}", ran.err);
            assert!(
                ran.err.contains(&format!("{} has faults", BLOCKS[1])),
                "{number}: {}",
                ran.err
            );
        }
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{number}: {}", ran.err);
        assert!(nights.is_as_first("back", BLOCKS[1], "meta.json"));
        let range = [
            "--since",
            "2023-11-15T01:00:00Z",
            "--until",
            "2023-11-15T01:30:00Z",
        ];
        let ran = nights.restore("range", &range);
        assert_eq!(ran.code, 0, "{number}: {}", ran.err);
        assert!(nights.is_as_first("range", BLOCKS[1], "meta.json"));
        let ran = nights.restore("as-it-was", &["--as-archived"]);
        assert!(!nights.is_as_first("as-it-was", BLOCKS[1], "meta.json"));
        assert_ne!(ran.code, 1, "{}", ran.err);
    }
}
