//! What is encrypted comes back with `age`, `zstd` and coreutils: the commands of
//! `docs/encryption.md`, run as they stand there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use narthex::crypt::{Identities, Identity, IdentityFile};
use narthex::dense::Cache;
use narthex::progress::Silent;
use narthex::repair::repair;
use narthex::repository::check::{CheckDepth, Kind, check};
use narthex::repository::{Repository, SourceFilter};
use narthex::store::{LocalStore, ReadStore as _};

use super::world::{DAY, NIGHT, SOURCE, World, assert_restored, back_up, night};
use crate::crypt::tools::{age, ssh_keygen};

const PAGE: &str = include_str!("../../../docs/encryption.md");

/// The page that comes next: what it relies on lies in clear.
const RECOVERY: &str = include_str!("../../../docs/recover-by-hand.md");

/// The shell commands below the heading `By hand`.
fn commands() -> Vec<&'static str> {
    let (_, section) = PAGE.split_once("## By hand").unwrap();
    let parts = section.split("```sh\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// Runs `script` with these variables; what it said, and whether it ended well.
fn run(script: &str, variables: &[(&str, &Path)]) -> (bool, String) {
    let output = Command::new("sh")
        .args(["-c", script])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), out + &err)
}

#[test]
fn an_encrypted_repository_is_decrypted_by_hand_and_its_signatures_hold() {
    if age().is_none() || ssh_keygen().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("backup.key");
    Identity::create(&key).unwrap();
    let file = IdentityFile::load(&key).unwrap();
    let world = World::encrypted_to(Identities::new(file.identities).unwrap());
    for number in [1, 2] {
        let time = NIGHT + number as i64 * DAY;
        back_up(&world.open(world.of_host()), &night(number), SOURCE, time).unwrap();
    }
    let (repo, clear) = (home.path().join("repo"), home.path().join("clear"));
    for (name, content) in world.objects() {
        let path = repo.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(&clear).unwrap();
    let variables = [("REPO", &*repo), ("CLEAR", &*clear), ("IDENTITY", &*key)];
    // The first says where things are.
    let (good, said) = run(commands()[1], &variables);
    assert!(
        good && said.contains("good: ") && !said.contains("BAD"),
        "{said}"
    );
    // The page that comes next takes what came out, and refuses what is still encrypted.
    let list = RECOVERY.split("```sh\n").nth(1).unwrap();
    let list = list.split("```").next().unwrap();
    for (repo, wanted) in [(&repo, "are encrypted"), (&clear, "good: choose one")] {
        let (good, said) = run(list, &[("REPO", &**repo)]);
        assert!(said.contains(wanted), "{said}");
        assert_eq!(good, wanted.starts_with("good"), "{said}");
        assert_ne!(said.contains("good: "), said.contains("BAD: "), "{said}");
    }
    // With another key nothing comes out, and that is what is said.
    let other = home.path().join("other.key");
    Identity::create(&other).unwrap();
    let nowhere = home.path().join("nowhere");
    for (repo, key) in [(&repo, &other), (&nowhere, &key)] {
        let (clear, key) = (home.path().join("wrong"), key.as_path());
        let variables = [("REPO", &**repo), ("CLEAR", &*clear), ("IDENTITY", key)];
        let (_, said) = run(commands()[1], &variables);
        assert!(said.contains("BAD: ") && !said.contains("good: "), "{said}");
    }
    // Nor is what is no encrypted object any more passed over.
    let (pack, _) = world.store.list("packs/").unwrap().remove(0);
    let pack = repo.join(pack.as_str());
    let whole = fs::read(&pack).unwrap();
    for left in [0, 10] {
        fs::write(&pack, &whole[..left]).unwrap();
        let wrong = home.path().join("cut");
        let variables = [("REPO", &*repo), ("CLEAR", &*wrong), ("IDENTITY", &*key)];
        let (good, said) = run(commands()[1], &variables);
        assert!(
            !good && said.contains("BAD: ") && !said.contains("good: "),
            "{said}"
        );
    }
    fs::write(&pack, whole).unwrap();
    let plain = Repository::open(Arc::new(LocalStore::new(&clear))).unwrap();
    for (name, number) in plain.manifest_names().unwrap().iter().zip([1, 2]) {
        assert_restored(&plain, name.id.as_str(), &night(number));
    }
    let chosen = plain.find("latest", &SourceFilter::default(), NIGHT + 9 * DAY);
    assert!(chosen.is_ok());
    // What came out is a repository in clear like any other, but for its descriptor.
    let store = LocalStore::new(&clear);
    let report = check(&store, CheckDepth::ReadAll, &Silent).unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::DescriptorMissing], "{:?}", report.findings);
    let mut plain = plain;
    let steps = repair(
        &mut plain,
        &Cache::default(),
        false,
        false,
        None,
        NIGHT,
        &Silent,
    )
    .unwrap();
    let objects: Vec<_> = steps.iter().map(|step| &*step.object).collect();
    assert_eq!(objects, ["narthex.json"], "{steps:?}");
    back_up(&plain, &night(2), SOURCE, NIGHT + 3 * DAY).unwrap();
    let report = check(&store, CheckDepth::ReadAll, &Silent).unwrap();
    assert_eq!(report.findings, []);

    let signer = home.path().join("host.pub");
    fs::write(&signer, format!("{}\n", world.host.public())).unwrap();
    let (manifest, _) = world.store.list("archives/").unwrap().remove(0);
    let manifest = repo.join(manifest.as_str());
    let variables = [
        ("SIGNER", &*signer),
        ("CLEAR", &*clear),
        ("MANIFEST", &*manifest),
    ];
    let (good, said) = run(commands()[2], &variables);
    assert!(good, "{said}");
    // One digit more, and it is nobody's word.
    let changed = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, changed.replacen("\"id\": \"", "\"id\": \"0", 1)).unwrap();
    let (good, said) = run(commands()[2], &variables);
    assert!(!good, "{said}");
}
