//! Whoever has everything that a host has, its credentials and its signing key, takes nothing away:
//! what was there before comes back byte for byte, and what is odd is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, FileTimes};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use narthex::crypt::keys::AllowedSigner;
use narthex::crypt::sign::SigningKey;
use narthex::crypt::{Identities, Identity};
use narthex::model::{Millis, now};
use narthex::progress::Silent;
use narthex::repository::check::{CheckDepth, CheckReport, Kind, check};
use narthex::repository::keyed::Keyring;
use narthex::repository::locks::{LockMemory, LockTerms, lock_archives};
use narthex::repository::{ArchiveId, Repository, SourceFilter};
use narthex::retain::{ForgetSelection, Keep, Leave, Policy, PruneOptions, forget, prune};
use narthex::store::remote::RemoteStore;
use narthex::store::{LockMode, MemoryStore, ObjectName, ReadStore as _, Store};

use super::guarded::{Guarded, Policy as Rights, Who};
use super::proxy::{Fault, Proxy};
use super::servers::BUCKET;
use crate::encrypted::world::{DAY, SOURCE, assert_restored, back_up, night};

/// Where the repository is in the bucket.
const PREFIX: &str = "prom";

const MONTH: Millis = 30 * DAY;

/// A repository of two nights, all that was needed for it, and the server it lies on.
struct Scene {
    guarded: Guarded,
    admin: SigningKey,
    host: SigningKey,
    reader: Identities,
    home: tempfile::TempDir,
    /// Ids of the archives, with the night that each is of.
    archives: Vec<(String, usize)>,
}

impl Scene {
    fn set_or_skip() -> Option<Self> {
        let mut scene = Scene {
            guarded: Guarded::start_or_skip(PREFIX)?,
            admin: SigningKey::generate("admin").unwrap(),
            host: SigningKey::generate("host").unwrap(),
            reader: Identities::new([Identity::generate()]).unwrap(),
            home: tempfile::tempdir().unwrap(),
            archives: Vec::new(),
        };
        let signer = AllowedSigner {
            key: scene.host.public(),
            sources: vec![SOURCE.to_owned()],
        };
        Repository::init_encrypted(
            Arc::new(scene.guarded.store(Who::Admin, PREFIX)),
            &scene.admin,
            scene.reader.recipients().collect(),
            vec![signer],
            Keyring::default(),
        )
        .unwrap();
        for (number, days) in [(1, 3), (2, 2)] {
            let time = noon() - days * DAY;
            let report = back_up(&scene.of_host(), &night(number), SOURCE, time).unwrap();
            assert!(report.committed, "{:?}", report.problems);
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            scene.archives.push((report.archive.id.to_string(), number));
            scene.arrived(
                &report.archive.manifest_name().unwrap().object().unwrap(),
                time,
            );
        }
        Some(scene)
    }

    /// Says that this came at `time`.
    fn arrived(&self, name: &ObjectName, time: Millis) {
        let data = self.guarded.server.home.path().join("data");
        let path = data.join(BUCKET).join(PREFIX).join(name.as_str());
        let file = File::options().write(true).open(path).unwrap();
        let time = UNIX_EPOCH + Duration::from_millis(time.unsigned_abs());
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    /// The repository as the host sees it: with its credentials, without an identity.
    fn of_host(&self) -> Repository {
        let keyring = Keyring {
            signing: Some(self.host.clone()),
            memory: Some(self.home.path().join("written")),
            ..Keyring::default()
        };
        let store = self.guarded.store(Who::Host, PREFIX);
        let opened = Repository::open_with(Arc::new(store), keyring).unwrap();
        assert!(opened.is_write_only());
        opened
    }

    /// The same as the administrator's machine sees it.
    fn of_admin(&self) -> Repository {
        let keyring = Keyring {
            identities: Some(self.reader.clone()),
            signing: Some(self.admin.clone()),
            ..Keyring::default()
        };
        let store = self.guarded.store(Who::Admin, PREFIX);
        Repository::open_with(Arc::new(store), keyring).unwrap()
    }

    fn everything_comes_back(&self) {
        let repository = self.of_admin();
        for (id, number) in &self.archives {
            assert_restored(&repository, id, &night(*number));
        }
    }

    fn ask(&self, method: &str, name: &str, query: &[(&str, &str)], body: &[u8]) -> u16 {
        let key = format!("{PREFIX}/{name}");
        let asked = self.guarded.ask(Who::Host, method, &key, query, &[], body);
        asked.0
    }

    /// Puts `content` over what has this name, with the host's credentials.
    fn overwrite(&self, name: &ObjectName, content: &[u8]) {
        assert_eq!(self.ask("PUT", name.as_str(), &[], content), 200, "{name}");
    }

    fn checked(&self) -> CheckReport {
        let repository = self.of_admin();
        let mut report = check(repository.store(), CheckDepth::ReadAll, &Silent).unwrap();
        let keys = repository.keys().unwrap();
        keys.judge_missing(&mut report, true).unwrap();
        report
    }
}

/// The objects that are found to be of this kind.
fn found(report: &CheckReport, kind: Kind) -> BTreeSet<String> {
    let findings = report.findings.iter().filter(|it| it.kind == kind);
    findings.map(|it| it.object.clone()).collect()
}

#[test]
fn a_host_that_only_writes_needs_no_more_than_the_policy_gives() {
    let Some(scene) = Scene::set_or_skip() else {
        return;
    };
    scene.everything_comes_back();
    assert!(
        !scene.checked().has_problems(),
        "{:?}",
        scene.checked().findings
    );
    // A third night knows the blocks of the second, and a large object goes in parts.
    let report = back_up(&scene.of_host(), &night(2), SOURCE, now()).unwrap();
    assert_eq!(report.new_blocks, 0, "{report:?}");
    let store: &dyn Store = &scene.guarded.store(Who::Host, PREFIX);
    let name = ObjectName::new("packs/large.pack").unwrap();
    store.put(&name, &vec![7; 9 << 20]).unwrap();
    let again = store.put(&name, &vec![7; 9 << 20]).unwrap_err();
    assert_eq!(
        again.kind(),
        narthex::ErrorKind::AlreadyExists,
        "{}",
        again.chain()
    );
    let small = ObjectName::new("packs/small.pack").unwrap();
    store.put(&small, b"small").unwrap();
    let again = store.put(&small, b"small").unwrap_err();
    assert_eq!(
        again.kind(),
        narthex::ErrorKind::AlreadyExists,
        "{}",
        again.chain()
    );
    store.settle(&small).unwrap();
    assert!(store.get(&small, 10).is_err());
}

/// What backs up and restores needs no more than the page says, and what keeps order neither.
#[test]
fn machines_need_no_more_than_their_policies_give() {
    let Some(guarded) = Guarded::start_or_skip(PREFIX) else {
        return;
    };
    let store = |who| Arc::new(guarded.store(who, PREFIX));
    Repository::init(store(Who::Admin)).unwrap();
    guarded.allow(Rights::BackUp, PREFIX);
    let open = || Repository::open(store(Who::Host)).unwrap();
    let mut archives = Vec::new();
    for (number, days) in [(1, 9), (2, 8)] {
        let report = back_up(&open(), &night(number), SOURCE, noon() - days * DAY).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_restored(&open(), report.archive.id.as_str(), &night(number));
        archives.push(report.archive);
    }
    let sound = || {
        let report = check(open().store(), CheckDepth::ReadAll, &Silent).unwrap();
        assert!(!report.has_problems(), "{:?}", report.findings);
    };
    sound();
    let manifest = archives[0].manifest_name().unwrap().object().unwrap();
    let refused = open().store().delete(&manifest).unwrap_err();
    assert!(
        refused.chain().contains("credentials"),
        "{}",
        refused.chain()
    );

    guarded.allow(Rights::KeepOrder, PREFIX);
    let objects = || store(Who::Admin).list("").unwrap().len();
    let before = objects();
    open().store().delete(&manifest).unwrap();
    for days in [7, 1] {
        prune(&open(), PruneOptions::default(), noon() - days * DAY).unwrap();
    }
    assert!(objects() < before - 1, "a log and blocks went");
    sound();
    assert_restored(&open(), archives[1].id.as_str(), &night(2));
}

#[test]
fn an_answer_that_got_lost_is_not_guessed_where_nothing_may_be_read() {
    let Some(guarded) = Guarded::start_or_skip(PREFIX) else {
        return;
    };
    let slow = "<Error><Code>SlowDown</Code></Error>";
    let faults = [
        (Fault::Answer(503, slow), true),
        (Fault::Reset, true),
        // It was written: whose it is cannot be seen.
        (Fault::AnswerAfter(503, slow), false),
        (Fault::LoseAnswer, false),
    ];
    for (number, (fault, is_well)) in faults.into_iter().enumerate() {
        let mut is_done = false;
        let proxy = Proxy::start(guarded.server.port, Duration::ZERO, move |request| {
            let concerns = request.method == "PUT" && request.path.contains("/object");
            if is_done || !concerns {
                return Fault::None;
            }
            is_done = true;
            fault
        });
        let mut options = guarded.options(Who::Host);
        options.endpoint = Some(format!("http://127.0.0.1:{}", proxy.port));
        let address = guarded.server.address(PREFIX);
        let store: &dyn Store = &RemoteStore::new(address, &options).unwrap();
        let name = ObjectName::new(format!("packs/object-{number}")).unwrap();
        let put = store.put(&name, b"mine");
        assert_eq!(put.is_ok(), is_well, "{fault:?}: {put:?}");
        if let Err(error) = put {
            assert_eq!(error.kind(), narthex::ErrorKind::Io, "{}", error.chain());
            let said = "cannot be told whether this run has written it";
            assert!(error.chain().contains(said), "{}", error.chain());
        }
        let kept = guarded.store(Who::Admin, PREFIX).get(&name, 10).unwrap();
        assert_eq!(kept, b"mine", "{fault:?}");
    }
}

#[test]
fn whoever_has_all_that_a_host_has_takes_nothing_away() {
    let Some(scene) = Scene::set_or_skip() else {
        return;
    };
    let admin = scene.of_admin();
    let archives = admin.archives().unwrap().archives;
    let terms = LockTerms {
        time: MONTH,
        mode: LockMode::Compliance,
    };
    let mut memory = LockMemory::default();
    let locked = lock_archives(&admin, &archives, terms, &mut memory, false, now()).unwrap();
    assert!(locked.failure.is_none(), "{:?}", locked.failure);
    let keys = admin.keys().unwrap();
    keys.write_witness(&scene.admin, &BTreeSet::new(), now())
        .unwrap();
    let before: BTreeMap<_, _> = admin.stored().list("").unwrap().into_iter().collect();
    let bytes_of = |name: &ObjectName| admin.stored().get(name, 1 << 30).unwrap();
    let data: BTreeSet<_> = archives
        .iter()
        .flat_map(narthex::repository::Archive::objects)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(_, object)| object.name.clone())
        .collect();
    let manifests: Vec<_> = before
        .keys()
        .filter(|it| it.as_str().starts_with("archives/"))
        .cloned()
        .collect();
    let contents: Vec<_> = manifests.iter().map(bytes_of).collect();

    // What the thief needs to make manifests of its own is what every host may read.
    let copy = copy_of(&before, &bytes_of);

    // Nothing can be read, deleted, or freed of its lock.
    let retention = b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2027-01-01T00:00:00Z</RetainUntilDate></Retention>";
    for name in data.iter().chain(&manifests) {
        let version = &scene.guarded.versions(&format!("{PREFIX}/{name}"))[0];
        let id = [("versionId", &**version)];
        let lock = [("retention", ""), ("versionId", version)];
        for (method, query) in [
            ("GET", &[][..]),
            ("GET", &id),
            ("HEAD", &[]),
            ("DELETE", &[]),
            ("DELETE", &id),
        ] {
            assert_eq!(
                scene.ask(method, name.as_str(), query, b""),
                403,
                "{method} {name}"
            );
        }
        assert_eq!(
            scene.ask("PUT", name.as_str(), &lock, retention),
            403,
            "{name}"
        );
        // Not even by the administrator.
        let key = format!("{PREFIX}/{name}");
        let asked = scene.guarded.ask(Who::Admin, "DELETE", &key, &id, &[], b"");
        assert_eq!(asked.0, 403, "{name}: {}", asked.1);
        let asked = scene
            .guarded
            .ask(Who::Admin, "PUT", &key, &lock, &[], retention);
        assert_eq!(asked.0, 403, "{name}: {}", asked.1);
    }
    for name in before
        .keys()
        .filter(|it| it.as_str().starts_with("claims/"))
    {
        assert_eq!(scene.ask("DELETE", name.as_str(), &[], b""), 403, "{name}");
    }

    // Everything is written over: as long as it was, longer, or with what another one holds.
    for (number, name) in data.iter().enumerate() {
        let bytes = usize::try_from(before[name]).unwrap();
        scene.overwrite(
            name,
            &vec![b'x'; if number % 2 == 0 { bytes } else { bytes + 1 }],
        );
    }
    for name in [
        "narthex.json",
        "keys/00000001.json",
        "witness/00000001.json",
    ] {
        scene.overwrite(&ObjectName::new(name).unwrap(), b"{}");
    }
    scene.overwrite(&manifests[0], b"garbage");
    // With less than it held, and signed by the host's key.
    let mut poorer = archives[1].clone();
    poorer.wal = None;
    opened(&scene, &copy).commit(&poorer).unwrap();
    scene.overwrite(&manifests[1], &copy.get(&manifests[1], 1 << 30).unwrap());
    // An archive that nobody has signed.
    let mut false_one = archives[1].clone();
    false_one.id = ArchiveId::random();
    let unsigned = false_one.manifest_name().unwrap().object().unwrap();
    scene.overwrite(&unsigned, &false_one.to_bytes().unwrap());
    // The older of two under a new name.
    let renamed = ObjectName::new("archives/20261101T000000Z-0123456789abcdef.json").unwrap();
    scene.overwrite(&renamed, &contents[0]);
    // And a flood, signed by the host's key, of times that a policy would want.
    let host = opened(&scene, &copy);
    for number in 0..50 {
        let mut archive = archives[1].clone();
        archive.id = ArchiveId::random();
        archive.time = noon() - (number % 10) * DAY - 60_000 * number;
        let name = host.commit(&archive).unwrap();
        scene.overwrite(&name, &copy.get(&name, 1 << 30).unwrap());
    }

    // The administrator's machine names what is odd.
    let report = scene.checked();
    assert!(report.has_problems());
    let covered = found(&report, Kind::ObjectCovered);
    let odd = [
        "narthex.json",
        "keys/00000001.json",
        "witness/00000001.json",
    ];
    let odd = odd.map(|name| ObjectName::new(name).unwrap());
    for name in data.iter().chain(&manifests).chain(&odd) {
        assert!(
            covered.contains(name.as_str()),
            "{name}: {:#?}",
            report.findings
        );
    }
    let untrusted = found(&report, Kind::ManifestUntrusted);
    assert!(
        untrusted.contains(unsigned.as_str()),
        "{:#?}",
        report.findings
    );
    let damaged = found(&report, Kind::ManifestDamaged);
    assert!(damaged.contains(renamed.as_str()), "{:#?}", report.findings);
    for kind in [Kind::ManifestGone, Kind::ObjectDamaged, Kind::ObjectMissing] {
        assert!(found(&report, kind).is_empty(), "{:#?}", report.findings);
    }
    scene.everything_comes_back();

    // It tidies up as on every day, and what was there stays.
    let policy = Policy {
        last: Keep::Count(3),
        daily: Keep::Count(7),
        ..Policy::default()
    };
    let selection = ForgetSelection::Policy(policy);
    let filter = SourceFilter::default();
    let forgotten = forget(
        &scene.of_admin(),
        &selection,
        &filter,
        Leave::default(),
        now(),
    )
    .unwrap();
    assert!(
        forgotten.removed() > 20,
        "{} {:?}",
        forgotten.removed(),
        forgotten
            .damaged
            .iter()
            .map(|it| it.error.chain())
            .collect::<Vec<_>>()
    );
    let kept = forgotten.decisions.iter().filter(|made| made.is_kept());
    let kept: BTreeSet<_> = kept.map(|made| made.archive.id.to_string()).collect();
    for (id, _) in &scene.archives {
        let decided = forgotten.decisions.iter();
        let decided: Vec<_> = decided
            .map(|made| (made.archive.id.short(), made.archive.time, &made.reasons))
            .collect();
        assert!(kept.contains(id), "{id}: {decided:?}");
    }
    scene.everything_comes_back();
}

/// Noon of yesterday: minutes before it are of the same day, whenever this runs.
fn noon() -> Millis {
    let now = now();
    now - now % DAY - DAY / 2
}

/// The repository in `copy`, for whoever has the host's key and nothing of its memory.
fn opened(scene: &Scene, copy: &MemoryStore) -> Repository {
    let keyring = Keyring {
        signing: Some(scene.host.clone()),
        ..Keyring::default()
    };
    Repository::open_with(Arc::new(copy.clone()), keyring).unwrap()
}

/// A copy of the small objects.
fn copy_of(
    before: &BTreeMap<ObjectName, u64>,
    bytes_of: &dyn Fn(&ObjectName) -> Vec<u8>,
) -> MemoryStore {
    let copy = MemoryStore::new();
    for name in before.keys() {
        let is_small = ["narthex.json", "keys/"];
        if is_small.iter().any(|it| name.as_str().starts_with(it)) {
            (&copy as &dyn Store).put(name, &bytes_of(name)).unwrap();
        }
    }
    copy
}

#[test]
fn what_somebody_has_hidden_is_read_and_named() {
    let Some(scene) = Scene::set_or_skip() else {
        return;
    };
    let admin = scene.of_admin();
    let keys = admin.keys().unwrap();
    keys.write_witness(&scene.admin, &BTreeSet::new(), now())
        .unwrap();
    let listed = admin.stored().list("").unwrap();
    let hides = ["archives/", "packs/", "wal/", "keys/", "witness/"];
    let hidden = listed.into_iter().map(|(name, _)| name);
    let hidden: Vec<_> = hidden
        .filter(|name| hides.iter().any(|it| name.as_str().starts_with(it)))
        .collect();
    assert!(hidden.len() > 5);
    for name in &hidden {
        let key = format!("{PREFIX}/{name}");
        let asked = scene.guarded.ask(Who::Admin, "DELETE", &key, &[], &[], b"");
        assert_eq!(asked.0, 204, "{name}: {}", asked.1);
    }
    let found = found(&scene.checked(), Kind::ObjectHidden);
    for name in &hidden {
        assert!(found.contains(name.as_str()), "{name}: {found:?}");
    }
    scene.everything_comes_back();
    // What was forgotten is gone: the witness after it has not seen it.
    let repository = scene.of_admin();
    let ids = ForgetSelection::Ids(vec![scene.archives[0].0.clone()]);
    let leave = Leave::default();
    let forgotten = forget(&repository, &ids, &SourceFilter::default(), leave, now()).unwrap();
    let removed = forgotten.removed_names().unwrap();
    let keys = repository.keys().unwrap();
    keys.write_witness(&scene.admin, &removed, now()).unwrap();
    let names = scene.of_admin().manifest_names().unwrap();
    let ids: Vec<_> = names.iter().map(|name| name.id.to_string()).collect();
    assert_eq!(ids, [scene.archives[1].0.clone()]);
}
