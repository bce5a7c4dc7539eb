//! Recovering without narthex: the commands of `docs/recover-by-hand.md`, run as they stand there,
//! in a shell that has no tools but those that the page names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, Codec, Source};
use narthex::copy::{CopyChoice, CopyOptions, copy};
use narthex::progress::Silent;
use narthex::repository::portable::{FRAME_BYTES, Root};
use narthex::repository::{
    Archive, ArchiveId, Digest, LeftOut, Repository, StoredWal, block_object,
};
use narthex::store::{LocalStore, MemoryStore};

use crate::fixtures::{fixture, tree};
use crate::healing::copy as healing_copy;
use crate::keeping::{
    Files, archive as archive_of, back_up, block_files, expected, noise, path, store_block,
    store_files, store_wal, ulid, wal_files,
};
use crate::log_pieces::{STATES, grow};

const DOCUMENT: &str = include_str!("../../docs/recover-by-hand.md");
/// What the page names beside coreutils and the shell.
const TOOLS: [&str; 6] = ["zstd", "tar", "awk", "grep", "sed", "find"];
const COREUTILS: [&str; 10] = [
    "basename",
    "cat",
    "cut",
    "head",
    "ls",
    "mkdir",
    "rm",
    "sha256sum",
    "sort",
    "tail",
];
/// The sections from the manifest to the proof.
const ALL_OF_IT: [usize; 4] = [2, 3, 4, 5];

/// Where `tool` is.
fn find(tool: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&dirs).map(|dir| dir.join(tool));
    places.into_iter().find(|place| place.is_file())
}

/// Whether the tools are there. Where they are not, the test is skipped loudly, or fails when that
/// is demanded.
fn tools_are_there() -> bool {
    let tools = TOOLS.iter().chain(&COREUTILS).chain(&["sh"]);
    let missing: Vec<_> = tools.filter(|tool| find(tool).is_none()).collect();
    let demanded = std::env::var_os("NARTHEX_REQUIRE_E2E").is_some_and(|value| value == "1");
    assert!(missing.is_empty() || !demanded, "missing: {missing:?}");
    if !missing.is_empty() {
        eprintln!("SKIPPED: recovering by hand needs {missing:?}");
    }
    missing.is_empty()
}

/// The shell commands of the document, by section.
fn sections() -> Vec<&'static str> {
    let parts = DOCUMENT.split("```sh\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// A repository, an empty directory to recover into, and a shell with few tools.
struct Place {
    dir: tempfile::TempDir,
}

/// How a section ended.
struct Ended {
    good: bool,
    said: String,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        fs::create_dir(dir.path().join("tools")).unwrap();
        let place = Place { dir };
        for tool in TOOLS.iter().chain(&COREUTILS) {
            place.add_tool(tool, &find(tool).unwrap());
        }
        place
    }

    fn repository(&self) -> Repository {
        Repository::open_or_init(Arc::new(LocalStore::new(self.path("repo")))).unwrap()
    }

    fn add_tool(&self, name: &str, place: &Path) {
        symlink(place, self.path("tools").join(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a section of the page in a shell that stops at the first failure, as the page's reader
    /// would.
    fn try_section(&self, section: usize, manifest: &Path) -> Ended {
        self.try_with(section, manifest, &self.path("target"))
    }

    fn try_with(&self, section: usize, manifest: &Path, target: &Path) -> Ended {
        let output = Command::new(find("sh").unwrap())
            .args(["-euc", sections()[section - 1]])
            .env_clear()
            .env("PATH", self.path("tools"))
            .env("NARTHEX_CACHE_DIR", self.path("cache"))
            .env("NARTHEX_STATE_DIR", self.path("state"))
            .env("REPO", self.path("repo"))
            .env("TARGET", target)
            .env("MANIFEST", manifest)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        eprintln!("section {section}: {stderr}");
        assert!(!stderr.contains("not found"), "a tool that the page lacks");
        let said = String::from_utf8(output.stdout).unwrap();
        let good = output.status.success();
        let (is_good, is_bad) = (said.contains("good: "), said.contains("BAD: "));
        assert!(is_good || is_bad, "section {section} is silent: {said}");
        assert!(good || is_bad, "section {section} fails silently: {said}");
        Ended { good, said }
    }

    /// Runs sections 2 to 5, which must have nothing to complain of.
    fn recover(&self, manifest: &Path) {
        for section in ALL_OF_IT {
            let ended = self.try_section(section, manifest);
            let is_bad = ended.said.contains("BAD");
            assert!(ended.good && !is_bad, "{section}: {}", ended.said);
        }
    }

    fn manifest(&self, archive: &Archive) -> PathBuf {
        let name = archive.manifest_name().unwrap().object().unwrap();
        self.path("repo").join(name.as_str())
    }

    fn target(&self) -> Files {
        tree(&self.path("target"))
    }

    /// Runs the program on this repository.
    fn narthex(&self, arguments: &[&str], codes: &[i32]) {
        let mut command = crate::e2e::program::narthex(arguments);
        command.arg("--repo").arg(self.path("repo"));
        crate::e2e::program::run(
            command
                .env("NARTHEX_CACHE_DIR", self.path("cache"))
                .env("NARTHEX_STATE_DIR", self.path("state")),
            codes,
        );
    }

    /// All manifests, oldest first.
    fn manifests(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("repo/archives")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.extension().is_some_and(|it| it == "json"));
        names.sort();
        names
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The only object of the repository below `dir`, a directory of a directory.
fn some_object(dir: &Path) -> PathBuf {
    let mut objects: Vec<_> = tree(dir).into_keys().collect();
    objects.sort();
    dir.join(&objects[0])
}

/// What an archive of `night-1` holds, by name.
fn night() -> Files {
    let mut files = tree(&fixture("night-1"));
    files.retain(|name, _| !name.starts_with("chunks_head/") && name.contains('/'));
    files
}

#[test]
fn the_page_names_its_tools_and_has_a_block_of_commands_in_each_section() {
    let (begin, _) = DOCUMENT.split_once("## 1.").unwrap();
    let named = TOOLS.map(|tool| begin.contains(&format!("`{tool}`")));
    assert_eq!(named, [true; TOOLS.len()]);
    let headings = DOCUMENT.lines().filter(|line| line.starts_with("## "));
    assert_eq!(headings.count(), sections().len());
}

#[test]
fn an_archive_comes_back_with_zstd_and_tar_alone() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let archive = back_up(&place.repository(), 1_795_288_065_445, &[1, 2]).unwrap();
    place.recover(&place.manifest(&archive));
    assert_eq!(place.target(), expected(1_795_288_065_445, &[1, 2]));
}

/// The digests of what the archives of the kept repository `name` restore to, by archive and file.
fn kept_digests(name: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = fixture("repositories").join(name).join("files.sha256");
    let mut digests: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in fs::read_to_string(text).unwrap().lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let (archive, file) = path.split_once('/').unwrap();
        let files = digests.entry(archive.to_owned()).or_default();
        files.insert(file.to_owned(), digest.to_owned());
    }
    digests
}

#[test]
fn what_earlier_releases_wrote_comes_back_by_hand_or_is_said_to_be_dense() {
    if !tools_are_there() {
        return;
    }
    for (name, archives) in [("v1", 3), ("v2", 5), ("v3", 6)] {
        let kept = fixture("repositories").join(name).join("repository");
        let digests = kept_digests(name);
        assert_eq!(digests.len(), archives, "{name}");
        let mut portable = 0;
        for (archive, wanted) in &digests {
            let place = Place::new();
            symlink(&kept, place.path("repo")).unwrap();
            let listed = place.try_section(1, &place.path("none"));
            assert!(listed.good && listed.said.lines().count() == archives + 1);
            let manifests = place.manifests().into_iter();
            let end = format!("-{archive}.json");
            let mut ours = manifests.filter(|path| path.to_str().unwrap().ends_with(&end));
            let manifest = ours.next().unwrap();
            let said = place.try_section(2, &manifest).said;
            assert!(said.contains("good: the manifest is whole"), "{said}");
            if said.contains("BAD: the archive is dense: ") {
                assert!(place.try_section(3, &manifest).good, "{name} {archive}");
                continue;
            }
            portable += 1;
            place.recover(&manifest);
            let digest = |(file, content): (String, Vec<u8>)| {
                let digest = Digest::of(&content).to_string();
                (file, digest)
            };
            let found: BTreeMap<_, _> = place.target().into_iter().map(digest).collect();
            assert!(found == *wanted, "{name} {archive}");
        }
        assert_eq!(portable, 1, "{name}");
    }
}

#[test]
fn a_list_with_nothing_in_it_is_never_good() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let repository = place.repository();
    let empty = archive_of(1, ArchiveId::random(), Vec::new());
    repository.commit(&empty).unwrap();
    let manifest = place.manifest(&empty);
    let listed = place.try_section(2, &manifest);
    assert!(!listed.good, "{}", listed.said);
    assert!(listed.said.contains("names no object"), "{}", listed.said);
    assert!(!listed.said.contains("is portable"), "{}", listed.said);
    for section in [3, 4, 5] {
        let ended = place.try_section(section, &manifest);
        let is_good = ended.said.contains("good: ");
        assert!(!ended.good && !is_good, "{section}: {}", ended.said);
    }
}

#[test]
fn a_touched_block_of_many_frames_and_odd_names_comes_back_by_hand() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let repository = place.repository();
    let store = repository.store();
    let mut files = block_files(2);
    files.insert("chunks/000001".to_owned(), noise(9, 2 * FRAME_BYTES + 3));
    files.insert(format!("{}.json", "mark-".repeat(30)), noise(8, 600));
    files.insert("a \"quoted\": name, ".to_owned(), noise(7, 60));
    let mut stored = files.clone();
    stored.insert("narthex.statistics".to_owned(), noise(6, 60));
    stored.insert("deletion-mark.json".to_owned(), noise(5, 60));
    let mut touched = store_block(store, 1, Some(b"touched")).unwrap();
    let odd = ["name", "sha256", "ulid", "wal", "files"];
    let labels = odd.map(|name| (name.to_owned(), "x\", \"y".to_owned()));
    touched.external_labels = BTreeMap::from(labels.clone());
    touched.empty_dirs = vec![path("an \"empty\" one"), path("tmp/deep")];
    let mut large = store_block(store, 2, None).unwrap();
    store.delete(&large.object.name).unwrap();
    let root = Root::Block(large.ulid);
    let name = block_object(large.ulid, &large.fingerprint).unwrap();
    (large.object, large.files) = store_files(store, &name, root, &stored).unwrap();
    large
        .files
        .retain(|file| files.contains_key(file.name.as_str()));
    let id = ArchiveId::random();
    let mut made = archive_of(1, id.clone(), vec![touched, large]);
    made.labels = BTreeMap::from(labels);
    made.left_out.push(LeftOut {
        name: "chunks_head".to_owned(),
        reason: "the WAL holds it".to_owned(),
    });
    made.wal = Some(store_wal(store, &id, 5).unwrap());
    repository.commit(&made).unwrap();

    place.recover(&place.manifest(&made));
    let mut wanted = wal_files(5);
    let mut first = block_files(1);
    first.insert("meta.json".to_owned(), b"touched".to_vec());
    for (number, files) in [(1, first), (2, files)] {
        let files = files.into_iter();
        wanted.extend(files.map(|(name, content)| (format!("{}/{name}", ulid(number)), content)));
    }
    let mut found = place.target();
    let mark = format!("{}/deletion-mark.json", ulid(2));
    assert!(found.remove(&mark).is_some());
    assert_eq!(found, wanted);
    let said = place.try_section(5, &place.manifest(&made)).said;
    assert!(
        said.contains("older one: remove") && said.contains(&mark),
        "{said}"
    );
    for dir in ["an \"empty\" one", "tmp/deep"] {
        let dir = format!("target/{}/{dir}", ulid(1));
        assert!(place.path(&dir).is_dir(), "{dir}");
    }
}

#[test]
fn damage_is_seen_by_hand_too() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let archive = back_up(&place.repository(), 1, &[1]).unwrap();
    let manifest = place.manifest(&archive);
    let block = place
        .path("repo")
        .join(archive.blocks[0].object.name.as_str());

    assert!(place.try_section(2, &manifest).good);
    assert!(place.try_section(3, &manifest).good);
    flip(&block, 200);
    assert!(!place.try_section(3, &manifest).good, "the object's digest");
    let unpacked = Command::new("zstd").arg("-t").arg(&block).output().unwrap();
    assert!(!unpacked.status.success(), "the frame's checksum");
    let lost = place.try_section(4, &manifest).said;
    assert!(lost.contains("nothing stands in for blocks/"), "{lost}");
    assert!(!place.try_section(5, &manifest).good, "files are missing");
    flip(&block, 200);

    let full = place.try_section(2, &manifest);
    assert!(!full.good && full.said.contains("is not empty"), "the log");
    let relative = place.try_with(2, &manifest, Path::new("target"));
    assert!(relative.said.contains("expected an absolute path"));
    fs::remove_dir_all(place.path("target")).unwrap();
    fs::create_dir(place.path("target")).unwrap();
    flip(&manifest, 50);
    assert!(
        !place.try_section(2, &manifest).good,
        "the manifest's digest"
    );
}

#[test]
fn blocks_are_found_without_any_manifest() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let nowhere = place.path("nowhere");
    assert!(!place.try_section(1, &nowhere).good, "no manifest");
    let night = fixture("night-1");
    let night = night.to_str().unwrap();
    place.narthex(&["backup", night, "--codec", "portable"], &[0]);
    let listed = place.try_section(6, &nowhere).said;
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[0].contains(" level 2 "), "{listed}");
    let object = lines[0].rsplit(' ').next().unwrap();
    let object = object.strip_prefix(place.path("repo").to_str().unwrap());
    assert!(
        object.is_some_and(|name| name.contains("/01M80FKE4V4C8GPJHYD9T1D87F/")),
        "{listed}"
    );
}

#[test]
fn the_archives_of_several_servers_are_told_apart() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let repository = place.repository();
    for (time, server) in [(1, "mon1"), (2, "mon2"), (3, "mon1")] {
        let mut made = archive_of(time * 86_400_000, ArchiveId::random(), Vec::new());
        made.host = server.to_owned();
        made.source_name = format!("name-of-{server}");
        made.labels = BTreeMap::from([("host".to_owned(), "a label".to_owned())]);
        repository.commit(&made).unwrap();
    }
    let said = place.try_section(1, &place.path("none")).said;
    let lines: Vec<_> = said.lines().collect();
    let begins = [
        "1970-01-02T00:00:00.000Z  mon1  name-of-mon1  /",
        "1970-01-03T00:00:00.000Z  mon2  name-of-mon2  /",
        "1970-01-04T00:00:00.000Z  mon1  name-of-mon1  /",
    ];
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert_eq!(lines.len(), 4, "{said}");
}

#[test]
fn a_recovered_data_directory_is_archived_as_well_as_any_other() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let data = fixture("night-1");
    let data = data.to_str().unwrap();
    place.narthex(&["backup", data, "--codec", "portable"], &[0]);
    place.recover(&place.manifests()[0]);
    assert_eq!(place.target(), night());

    let again = Place::new();
    let recovered = place.path("target");
    again.narthex(&["backup", recovered.to_str().unwrap()], &[0]);
    let manifest = fs::read_to_string(&again.manifests()[0]).unwrap();
    let codecs = manifest.matches("\"codec\": \"dense\"").count();
    assert_eq!(codecs, 3, "blocks that are stored as columns");
}

#[test]
fn logs_that_several_archives_have_stored_come_back_by_hand() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let data = place.path("data");
    healing_copy(&fixture("blocks/tiny"), &data);
    let source = Source::new(&data, "host".into(), Some("s".into())).unwrap();
    let options = BackupOptions {
        codec: Codec::Portable,
        ..BackupOptions::default()
    };
    let mut archives = Vec::new();
    for state in 0..STATES.len() {
        grow(&data, state);
        let repository = place.repository();
        let time = 1_800_000_000_000 + 1000 * state as i64;
        let made = archive::backup(&source, &repository, &options, time, &Silent).unwrap();
        archives.push((made.archive, tree(&data)));
    }
    let pieces = |at: usize| {
        archives[at]
            .0
            .wal
            .iter()
            .flat_map(StoredWal::objects)
            .count()
    };
    assert_eq!([0, 1, 2, 3].map(pieces), [1, 2, 3, 3]);
    for (archive, files) in &archives {
        place.recover(&place.manifest(archive));
        assert!(tree(&place.path("target")) == *files, "{}", archive.id);
        let checkpoints = fs::read_dir(place.path("target/wal")).unwrap();
        let checkpoints = checkpoints.filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(checkpoints.count(), 1, "none of an older archive is left");
        fs::remove_dir_all(place.path("target")).unwrap();
        fs::create_dir(place.path("target")).unwrap();
    }
}

#[test]
fn of_a_damaged_object_its_replacement_is_taken() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let data = fixture("night-1");
    let data = data.to_str().unwrap();
    place.narthex(&["backup", data, "--codec", "portable"], &[0]);
    let first = &place.manifests()[0];
    flip(&some_object(&place.path("repo/blocks")), 500);
    place.narthex(&["check", "--read-data"], &[3]);
    place.narthex(&["backup", data, "--codec", "portable"], &[0, 3]);
    assert!(place.try_section(2, first).good);
    assert!(!place.try_section(3, first).good);
    let extracted = place.try_section(4, first).said;
    assert!(extracted.contains("stands in for blocks/"), "{extracted}");
    assert!(place.try_section(5, first).good);
    assert_eq!(place.target(), night());
}

#[test]
fn a_dense_archive_is_said_to_need_narthex_and_comes_back_with_it() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let data = fixture("night-1");
    place.narthex(&["backup", data.to_str().unwrap()], &[0]);
    let manifest = &place.manifests()[0];
    let codec = place.try_section(2, manifest).said;
    assert!(
        codec.contains("BAD: the archive is dense: 6 files"),
        "{codec}"
    );
    assert!(place.try_section(3, manifest).good);
    assert!(place.try_section(4, manifest).good);
    let proof = place.try_section(5, manifest);
    assert!(!proof.good && proof.said.contains("go to section 7"));
    let found = place.target();
    assert!(found.keys().all(|name| !name.contains("narthex.")));

    place.add_tool("narthex", Path::new(env!("CARGO_BIN_EXE_narthex")));
    assert!(place.try_section(7, manifest).good);
    assert_eq!(tree(&place.path("restored")), night());
}

#[test]
fn a_dense_archive_comes_back_by_hand_once_it_is_copied_into_the_portable_codec() {
    if !tools_are_there() {
        return;
    }
    let place = Place::new();
    let source = Source::new(&fixture("night-1"), "host".into(), None).unwrap();
    let dense = Repository::open_or_init(Arc::new(MemoryStore::new())).unwrap();
    let time = 1_795_288_065_445;
    archive::backup(&source, &dense, &BackupOptions::default(), time, &Silent).unwrap();
    let options = CopyOptions {
        codec: Some(Codec::Portable),
        ..CopyOptions::default()
    };
    let (to, choice) = (place.repository(), CopyChoice::default());
    copy(&dense, &to, &choice, &options, time, &Silent).unwrap();
    place.recover(&place.manifests()[0]);
    assert_eq!(place.target(), night());
}
