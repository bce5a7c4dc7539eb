//! Recovering without narthex: the commands of `docs/recover-by-hand.md`, run as they stand there with the real tools.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use narthex::repository::portable::{FRAME_BYTES, Root};
use narthex::repository::{ArchiveId, LeftOut, Repository};
use narthex::store::LocalStore;

use crate::fixtures::tree;
use crate::keeping::{
    Files, archive, back_up, block_files, expected, noise, store_block, store_files, store_wal,
    ulid, wal_files,
};

const DOCUMENT: &str = include_str!("../../docs/recover-by-hand.md");
const TOOLS: [&str; 5] = ["sh", "zstd", "tar", "awk", "sha256sum"];

/// Whether the tools are there. Where they are not, the test is skipped loudly, or fails when that is demanded.
fn tools_are_there() -> bool {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|tool| {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {tool}")])
                .output();
            !found.is_ok_and(|output| output.status.success())
        })
        .collect();
    let demanded = std::env::var_os("NARTHEX_REQUIRE_E2E").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !demanded, "missing: {missing:?}");
    if !missing.is_empty() {
        eprintln!("SKIPPED: recovering by hand needs {missing:?}");
    }
    missing.is_empty()
}

/// The shell commands of the document, by section.
fn sections() -> Vec<String> {
    let parts = DOCUMENT.split("```sh\n").skip(1);
    let code = parts.map(|part| part.split("```").next().unwrap().to_owned());
    code.collect()
}

fn run(script: &str, repo: &Path, target: &Path, manifest: &Path) -> bool {
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("REPO", repo)
        .env("TARGET", target)
        .env("MANIFEST", manifest)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

struct Place {
    dir: tempfile::TempDir,
    repository: Repository,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        let store = LocalStore::new(dir.path().join("repo"));
        let repository = Repository::init(Arc::new(store)).unwrap();
        Place { dir, repository }
    }

    fn run(&self, section: usize, archive: &narthex::repository::Archive) -> bool {
        let manifest = archive.manifest_name().unwrap().object().unwrap();
        let repo = self.dir.path().join("repo");
        let target = self.dir.path().join("target");
        run(
            &sections()[section - 1],
            &repo,
            &target,
            &repo.join(manifest.as_str()),
        )
    }

    fn target(&self) -> Files {
        tree(&self.dir.path().join("target"))
    }
}

#[test]
fn an_archive_comes_back_with_zstd_and_tar_alone() {
    if !tools_are_there() {
        return;
    }
    assert_eq!(sections().len(), 5);
    let place = Place::new();
    let archive = back_up(&place.repository, 1_795_288_065_445, &[1, 2]).unwrap();
    for section in 1..=4 {
        assert!(place.run(section, &archive), "section {section}");
    }
    assert_eq!(place.target(), expected(1_795_288_065_445, &[1, 2]));
}

#[test]
fn a_touched_block_of_many_frames_and_long_names_comes_back_by_hand() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let store = place.repository.store();
    let mut files = block_files(2);
    files.insert("chunks/000001".to_owned(), noise(9, 2 * FRAME_BYTES + 3));
    files.insert(format!("{}.json", "mark-".repeat(30)), noise(8, 600));
    let touched = store_block(store, 1, Some(b"touched")).unwrap();
    let mut large = store_block(store, 2, None).unwrap();
    store.delete(&large.object.name).unwrap();
    let root = Root::Block(large.ulid);
    (large.object, large.files) = store_files(store, &large.object.name, root, &files).unwrap();
    let id = ArchiveId::random();
    let mut made = archive(1, id.clone(), vec![touched, large]);
    made.left_out.push(LeftOut {
        name: "chunks_head".to_owned(),
        reason: "the WAL holds it".to_owned(),
    });
    made.wal = Some(store_wal(store, &id, 5).unwrap());
    place.repository.commit(&made).unwrap();

    for section in 1..=4 {
        assert!(place.run(section, &made), "section {section}");
    }
    let mut wanted = wal_files(5);
    let mut first = block_files(1);
    first.insert("meta.json".to_owned(), b"touched".to_vec());
    for (number, files) in [(1, first), (2, files)] {
        let files = files.into_iter();
        wanted.extend(files.map(|(name, content)| (format!("{}/{name}", ulid(number)), content)));
    }
    assert_eq!(place.target(), wanted);
}

#[test]
fn damage_is_seen_by_hand_too() {
    if !tools_are_there() {
        return;
    }
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let place = Place::new();
    let archive = back_up(&place.repository, 1, &[1]).unwrap();
    let repo = place.dir.path().join("repo");
    let block = repo.join(archive.blocks[0].object.name.as_str());

    assert!(place.run(2, &archive));
    flip(&block, 200);
    assert!(!place.run(2, &archive), "the object's digest");
    let unpacked = Command::new("zstd").arg("-t").arg(&block).output().unwrap();
    assert!(!unpacked.status.success(), "the frame's checksum");
    flip(&block, 200);

    let manifest = archive.manifest_name().unwrap().object().unwrap();
    flip(&repo.join(manifest.as_str()), 50);
    assert!(!place.run(1, &archive), "the manifest's digest");
}

#[test]
fn one_block_comes_back_without_any_manifest() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let archive = back_up(&place.repository, 1, &[1]).unwrap();
    assert!(place.run(5, &archive));
    let files = place.target();
    for (name, content) in block_files(1) {
        assert_eq!(files[&format!("one/{}/{name}", ulid(1))], content);
    }
}
