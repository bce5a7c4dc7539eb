//! A server, its host and its administrator, in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, BackupReport, Source};
use narthex::crypt::keys::AllowedSigner;
use narthex::crypt::sign::SigningKey;
use narthex::crypt::{Identities, Identity};
use narthex::error::Result;
use narthex::model::Millis;
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, Severity, check};
use narthex::repository::copies::Copies;
use narthex::repository::keyed::Keyring;
use narthex::repository::{Repository, SourceFilter};
use narthex::restore::{Target, Wanted, apply, plan};
use narthex::store::{MemoryStore, ReadStore as _, Store};

use crate::fixtures::{fixture, tree};

/// The name of the source.
pub(crate) const SOURCE: &str = "tell-nobody";

/// A time after all samples of the fixtures.
pub(crate) const NIGHT: Millis = 1_795_400_000_000;

/// How long after each other nights are.
pub(crate) const DAY: Millis = 86_400_000;

/// An encrypted repository, and all keys to it.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) admin: SigningKey,
    pub(crate) host: SigningKey,
    pub(crate) reader: Identities,
    pub(crate) home: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::encrypted_to(Identities::new([Identity::generate()]).unwrap())
    }

    pub(crate) fn encrypted_to(reader: Identities) -> Self {
        let world = World {
            store: MemoryStore::new(),
            admin: SigningKey::generate("admin").unwrap(),
            host: SigningKey::generate("host").unwrap(),
            reader,
            home: tempfile::tempdir().unwrap(),
        };
        let signer = AllowedSigner {
            key: world.host.public(),
            sources: vec![SOURCE.to_owned()],
        };
        Repository::init_encrypted(
            Arc::new(world.store.clone()),
            &world.admin,
            world.reader.recipients().collect(),
            vec![signer],
            Keyring::default(),
        )
        .unwrap();
        world
    }

    /// What the host has: no key to read with.
    pub(crate) fn of_host(&self) -> Keyring {
        Keyring {
            signing: Some(self.host.clone()),
            memory: Some(self.home.path().join("written")),
            ..Keyring::default()
        }
    }

    /// What somebody has who reads.
    pub(crate) fn of_reader(&self) -> Keyring {
        Keyring {
            identities: Some(self.reader.clone()),
            ..Keyring::default()
        }
    }

    pub(crate) fn open(&self, keyring: Keyring) -> Repository {
        Repository::open_with(Arc::new(self.store.clone()), keyring).unwrap()
    }

    /// Every object, by its name.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let listed = self.store.list("").unwrap();
        let read = |(name, bytes)| (format!("{name}"), self.store.get(&name, bytes).unwrap());
        listed.into_iter().map(read).collect()
    }
}

/// The directory of one night.
pub(crate) fn night(number: usize) -> PathBuf {
    fixture(&format!("night-{number}"))
}

/// Archives the directory `dir` as `source`.
pub(crate) fn back_up(
    repository: &Repository,
    dir: &Path,
    source: &str,
    time: Millis,
) -> Result<BackupReport> {
    let source = Source::new(dir, "h".into(), Some(source.into()))?;
    archive::backup(
        &source,
        repository,
        &BackupOptions::default(),
        time,
        &Silent,
    )
}

/// Proves that the archive that `selector` means brings back `dir`, byte for byte.
pub(crate) fn assert_restored(repository: &Repository, selector: &str, dir: &Path) {
    let place = tempfile::tempdir().unwrap();
    let target = Target::new(&place.path().join("out"), false).unwrap();
    let chosen = repository.find(selector, &SourceFilter::default(), NIGHT + 100 * DAY);
    let archive = chosen.unwrap().archive;
    let plan = plan(
        &Wanted::Archive,
        &archive,
        &[],
        true,
        &target.present().unwrap(),
    )
    .unwrap();
    let copies = Copies::new(repository).unwrap();
    let report = apply(&plan, &copies, &target, &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let wanted = archived(dir);
    let found = tree(&place.path().join("out"));
    assert!(found == wanted, "{selector} comes back otherwise");
}

/// How many findings a check of `store` has that are problems, and which kinds they are.
pub(crate) fn problems(store: &dyn Store) -> Vec<String> {
    let report = check(store, CheckDepth::ReadAll, &Silent).unwrap();
    let findings = report.findings.iter();
    let problems = findings.filter(|it| it.kind.severity() == Severity::Problem);
    problems
        .map(|it| format!("{} {}", it.kind.id(), it.object))
        .collect()
}

/// Every file below `dir`, but what no archive holds of a data directory.
pub(crate) fn archived(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = tree(dir);
    files.retain(|name, _| {
        !["lock", "queries.active"].contains(&&**name) && !name.starts_with("chunks_head/")
    });
    files
}
