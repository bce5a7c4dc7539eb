//! An encrypted repository in parts: hosts that only write their own, and whoever reads all.

use std::collections::BTreeSet;
use std::sync::Arc;

use narthex::ErrorKind;
use narthex::crypt::keys::AllowedSigner;
use narthex::crypt::sign::SigningKey;
use narthex::crypt::{Identities, Identity};
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, Kind, check_part};
use narthex::repository::keyed::{Keyring, WitnessMemory};
use narthex::repository::{Parts, SourceFilter};
use narthex::store::{MemoryStore, ObjectName, ReadStore as _, Store};

use super::trust::Seen;
use super::world::{DAY, NIGHT, assert_restored, back_up, night};

struct Fleet {
    store: MemoryStore,
    admin: SigningKey,
    hosts: [SigningKey; 2],
    reader: Identities,
    home: tempfile::TempDir,
}

const SOURCES: [&str; 2] = ["east", "west"];

impl Fleet {
    fn new() -> Self {
        let fleet = Fleet {
            store: MemoryStore::new(),
            admin: SigningKey::generate("admin").unwrap(),
            hosts: SOURCES.map(|name| SigningKey::generate(name).unwrap()),
            reader: Identities::new([Identity::generate()]).unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        let signers = fleet.hosts.iter().zip(SOURCES);
        let signers = signers.map(|(key, source)| AllowedSigner {
            key: key.public(),
            sources: vec![source.to_owned()],
        });
        Parts::init_encrypted(
            Arc::new(fleet.store.clone()),
            &fleet.admin,
            fleet.reader.recipients().collect(),
            signers.collect(),
            Keyring::default(),
            true,
        )
        .unwrap();
        fleet
    }

    fn open(&self, keyring: Keyring) -> Parts {
        Parts::open_choosing(Arc::new(self.store.clone()), |_| Ok(keyring)).unwrap()
    }

    fn as_host(&self, number: usize) -> Parts {
        self.open(Keyring {
            signing: Some(self.hosts[number].clone()),
            memory: Some(self.home.path().join(SOURCES[number])),
            ..Keyring::default()
        })
    }

    fn as_reader(&self) -> Parts {
        self.open(Keyring {
            identities: Some(self.reader.clone()),
            ..Keyring::default()
        })
    }

    fn back_up(&self, number: usize, of_night: usize) -> (usize, usize) {
        let source = SOURCES[number];
        let part = self.as_host(number).of_source(source).unwrap();
        let time = NIGHT + of_night as i64 * DAY;
        let report = back_up(&part, &night(of_night), source, time).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        (report.new_blocks, report.unchanged_blocks)
    }
}

#[test]
fn hosts_write_their_parts_and_a_reader_reads_all() {
    let fleet = Fleet::new();
    for number in [0, 1] {
        fleet.back_up(number, 1);
        let (_, unchanged) = fleet.back_up(number, 2);
        assert!(unchanged > 0);
    }
    let names: Vec<_> = fleet.store.list("").unwrap();
    for (name, _) in &names {
        let text = name.as_str();
        assert!(
            !SOURCES.iter().any(|source| text.contains(source)),
            "{name}"
        );
        let is_shared = text == "narthex.json" || text.starts_with("keys/");
        assert!(is_shared || text.starts_with("sources/"), "{name}");
    }
    let parts = fleet.as_reader();
    assert_eq!(parts.sources().unwrap(), SOURCES.map(str::to_owned).into());
    for source in SOURCES {
        let part = parts.of_source(source).unwrap();
        assert_restored(&part, "latest", &night(2));
        let report = check_part(part.store(), &part, CheckDepth::ReadAll, &Silent).unwrap();
        assert!(!report.has_problems(), "{:?}", report.findings);
        // A witness is one of its part.
        let keys = part.keys().unwrap();
        let witness = keys.write_witness(&fleet.admin, &BTreeSet::new(), NIGHT + 3 * DAY);
        assert_eq!(witness.unwrap().manifests.len(), 2);
    }
    let several = parts.holding("latest", &SourceFilter::default(), NIGHT + 9 * DAY);
    assert_eq!(several.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn what_one_host_puts_into_the_part_of_another_counts_for_nothing() {
    let fleet = Fleet::new();
    fleet.back_up(0, 1);
    fleet.back_up(1, 1);
    let parts = fleet.as_reader();
    let part_of = |source: &str| parts.of_source(source).unwrap();
    let (east, west) = (part_of("east"), part_of("west"));
    let moved = |from: &str, prefix: &str| {
        let dir = format!("sources/{}/{prefix}", part_of(from).part().unwrap());
        let listed = fleet.store.list(&dir).unwrap();
        let (name, bytes) = listed.first().unwrap().clone();
        (name.clone(), fleet.store.get(&name, bytes).unwrap())
    };
    let copy_into = |to: &str, (name, content): (ObjectName, Vec<u8>)| {
        let (_, own) = name.as_str().split_at("sources/0123456789abcdef/".len());
        let to = part_of(to);
        let name = ObjectName::new(to.full_name(own)).unwrap();
        (&fleet.store as &dyn Store).put(&name, &content).unwrap();
    };
    copy_into("west", moved("east", "archives/"));
    let archives = west.archives().unwrap();
    assert_eq!((archives.archives.len(), archives.damaged.len()), (1, 1));
    assert_eq!(archives.damaged[0].error.kind(), ErrorKind::Refused);
    assert_restored(&west, "latest", &night(1));
    let report = check_part(west.store(), &west, CheckDepth::Structure, &Silent).unwrap();
    let mut findings = report.findings.iter();
    assert!(findings.any(|it| it.kind == Kind::ManifestMisplaced));
    // A witness of one part is none of another.
    let keys = east.keys().unwrap();
    keys.write_witness(&fleet.admin, &BTreeSet::new(), NIGHT + DAY)
        .unwrap();
    copy_into("west", moved("east", "witness/"));
    assert_eq!(west.keys().unwrap().witness().unwrap(), None);
    // No host commits an archive of another source.
    let wrong = fleet.as_host(0).of_source("west").unwrap();
    let refused = back_up(&wrong, &night(2), "east", NIGHT + 2 * DAY).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused:?}");
}

#[test]
fn a_part_that_is_removed_as_a_whole_is_missed_by_whoever_has_seen_it() {
    let fleet = Fleet::new();
    for number in [0, 1] {
        fleet.back_up(number, 1);
    }
    let memory = Arc::new(Seen::default());
    let open = || {
        fleet.open(Keyring {
            identities: Some(fleet.reader.clone()),
            witnesses: memory.0.lock().unwrap().clone(),
            witness_memory: Some(Arc::clone(&memory) as Arc<dyn WitnessMemory>),
            ..Keyring::default()
        })
    };
    for part in open().all().unwrap() {
        let keys = part.keys().unwrap();
        keys.write_witness(&fleet.admin, &BTreeSet::new(), NIGHT + DAY)
            .unwrap();
    }
    assert_eq!(memory.0.lock().unwrap().len(), 2);
    let gone = open().of_source("west").unwrap();
    let dir = gone.full_name("");
    for (name, _) in fleet.store.list(&dir).unwrap() {
        fleet.store.delete(&name).unwrap();
    }
    assert_eq!(fleet.as_reader().all().unwrap().len(), 1);
    let all = open().all().unwrap();
    assert_eq!(all.len(), 2);
    for part in all {
        let mut report = check_part(part.store(), &part, CheckDepth::Structure, &Silent).unwrap();
        let keys = part.keys().unwrap();
        keys.judge_missing(&mut report, false).unwrap();
        let is_gone = part.part() == gone.part();
        let mut findings = report.findings.iter();
        assert_eq!(findings.any(|it| it.kind == Kind::WitnessGone), is_gone);
    }
}
