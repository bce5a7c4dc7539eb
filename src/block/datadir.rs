//! What a directory given on the command line holds: a data directory, a Prometheus snapshot, or
//! one block.
//!
//! [`DataDir::scan`] only lists names and types; it opens no file and writes nothing, so it works
//! on read-only mounts and does not disturb a running Prometheus. What it lists may be gone a
//! moment later.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{BlockFiles, Meta, read_meta};
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};

/// What kind of directory was scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirKind {
    /// A server's data directory: it holds a head (`wal`, `chunks_head` …) and perhaps blocks.
    DataDir,
    /// Blocks and nothing of a head, as the snapshot call of Prometheus' admin API makes it.
    PrometheusSnapshot,
    /// One block directory.
    Block,
}

/// What one entry of a data directory is, by its name and type alone (Prometheus' `tsdb/db.go`,
/// `tsdb/head.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A block directory.
    Block,
    /// A block directory whose name is not spelled in upper case: Prometheus loads it, but never
    /// deletes it.
    MisspelledBlock,
    /// A symbolic link, named like a block, to a directory: Prometheus does not see it.
    SymlinkedBlock,
    /// `<ULID>.tmp-for-creation`: a block that is being written, or was when the server died.
    BeingCreated,
    /// `<ULID>.tmp-for-deletion`: a block that is being removed, or was when the server died.
    BeingDeleted,
    /// `<ULID>.tmp` or `chunk_snapshot.….tmp`: left by an interrupted writer.
    Temporary,
    /// `wal`: the write-ahead log.
    Wal,
    /// `wbl`: the log of out-of-order samples.
    Wbl,
    /// `chunks_head`: chunks of the head; the logs rebuild them.
    ChunksHead,
    /// `chunk_snapshot.…`: the head as it was at a clean shutdown; the logs rebuild it.
    ChunkSnapshot,
    /// `snapshots`: where the admin API puts Prometheus snapshots.
    Snapshots,
    /// `lock`: says nothing about whether a server runs.
    Lock,
    /// `queries.active`: queries that were running.
    QueryLog,
    /// A block elsewhere that was made of the logs: see [`DataDir::add_head`].
    Head,
    /// `tmp_dbro_sandbox…`: left by a reader (`promtool`) that was killed.
    Sandbox,
    /// Nothing that Prometheus knows.
    Foreign,
}

impl EntryKind {
    /// Whether the entry is a block that Prometheus would try to load.
    pub fn is_loaded(self) -> bool {
        matches!(self, EntryKind::Block | EntryKind::MisspelledBlock)
    }

    /// Whether the entry holds a block: one that Prometheus loads, one behind a symbolic link, or
    /// one that was made of the logs.
    pub fn is_block(self) -> bool {
        self.is_loaded() || matches!(self, EntryKind::SymlinkedBlock | EntryKind::Head)
    }

    /// Whether the entry is there because a writer was interrupted, or is at work just now.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            EntryKind::BeingCreated | EntryKind::BeingDeleted | EntryKind::Temporary
        )
    }

    /// Whether only a server's data directory has such an entry.
    fn is_of_a_head(self) -> bool {
        matches!(
            self,
            EntryKind::Wal
                | EntryKind::Wbl
                | EntryKind::ChunksHead
                | EntryKind::ChunkSnapshot
                | EntryKind::Lock
                | EntryKind::QueryLog
        )
    }
}

/// One entry of a scanned directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// The ULID its name begins with, for blocks and what becomes or was one. A single block
    /// ([`DirKind::Block`]) may lie in a directory of any name, and then has none.
    pub ulid: Option<Ulid>,
}

impl DirEntry {
    /// Its file name, for messages; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Whether it is a symbolic link, named like a block, that leads nowhere: what was a block may
    /// lie on a disk that is not mounted.
    pub fn is_lost_block(&self) -> bool {
        self.kind == EntryKind::Foreign
            && self.name().parse::<Ulid>().is_ok()
            && self.path.is_symlink()
            && !self.path.exists()
    }
}

/// A directory and what it held when it was scanned.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    place: DirKind,
    entries: Vec<DirEntry>,
}

impl DataDir {
    /// Lists the directory at `path` and says what it is.
    ///
    /// # Errors
    ///
    /// When it cannot be listed, is a narthex repository, or holds nothing by which a data
    /// directory, a Prometheus snapshot or a block could be recognised.
    pub fn scan(path: &Path) -> Result<Self> {
        let mut entries = list(path)?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if is_repository(&entries) {
            return Err(Error::invalid(format!(
                "{EXPECTED}, found a narthex repository in {}: its archives are read with --archive and --repo",
                path.display()
            )));
        }
        let place = recognise(path, &entries).ok_or_else(|| {
            Error::invalid(format!(
                "{EXPECTED}, found neither blocks nor a WAL in {}{}",
                path.display(),
                meant_instead(path, &entries)
            ))
        })?;
        if place == DirKind::Block {
            entries = vec![single_block(path)];
        }
        Ok(DataDir {
            path: path.to_owned(),
            place,
            entries,
        })
    }

    /// The directory that was scanned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of directory it is.
    pub fn place(&self) -> DirKind {
        self.place
    }

    /// Takes the block `ulid` at `path`, which is made of the logs of this directory, as one of its
    /// blocks: so whoever reads them reads the newest hours with them.
    pub fn add_head(&mut self, path: PathBuf, ulid: Ulid) {
        self.entries.push(DirEntry {
            path,
            kind: EntryKind::Head,
            ulid: Some(ulid),
        });
    }

    /// Everything in it, by name; for a single block, that block.
    pub fn entries(&self) -> &[DirEntry] {
        &self.entries
    }

    /// The blocks, also those behind symbolic links, by name.
    pub fn blocks(&self) -> impl Iterator<Item = &DirEntry> {
        self.entries.iter().filter(|entry| entry.kind.is_block())
    }

    /// The end of the newest block with samples that came in order: a start of Prometheus replays
    /// no older samples of the WAL. Nothing when there is no such block whose metadata can be
    /// read.
    pub fn in_order_end(&self) -> Option<Millis> {
        let blocks = self.blocks().filter(|it| it.kind != EntryKind::Head);
        let metas = blocks.filter_map(|entry| {
            let files = BlockFiles::scan(&entry.path).ok()?;
            read_meta(&files).ok()
        });
        let in_order = metas.filter(Meta::is_in_order);
        in_order.map(|meta| meta.max_time).max()
    }

    /// Where the entry of this kind is, for kinds that occur once ([`EntryKind::Wal`] …).
    pub fn find(&self, kind: EntryKind) -> Option<&Path> {
        let found = self.entries.iter().find(|entry| entry.kind == kind)?;
        Some(&found.path)
    }
}

/// What whoever names a directory of blocks should have named.
const EXPECTED: &str = "expected a Prometheus data directory, a Prometheus snapshot or a block";

/// Most directories below one that are looked into for what may have been meant.
const MAX_LOOKED_INTO: usize = 100;

/// Which directories above or below `path`, which is none itself, are those that may have been
/// meant, as the end of a sentence.
fn meant_instead(path: &Path, entries: &[DirEntry]) -> String {
    let is_one = |dir: &Path| {
        let entries = list(dir).ok();
        entries
            .is_some_and(|entries| !is_repository(&entries) && recognise(dir, &entries).is_some())
    };
    let above = path.canonicalize().ok();
    let above = above.as_deref().and_then(Path::parent);
    if let Some(above) = above.filter(|above| is_one(above)) {
        return format!(": it is part of {}", above.display());
    }
    let below = entries.iter().take(MAX_LOOKED_INTO);
    let below = below.filter(|entry| entry.path.is_dir() && is_one(&entry.path));
    let below: Vec<_> = below
        .take(3)
        .map(|entry| entry.path.display().to_string())
        .collect();
    if below.is_empty() {
        return String::new();
    }
    format!(": is {} meant?", below.join(", or "))
}

/// What is wrong with a `path` that cannot be listed.
fn unlisted(path: &Path, error: std::io::Error) -> Error {
    let shown = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::not_found(format!("{EXPECTED}, found nothing at {shown}")).with_source(error)
        }
        std::io::ErrorKind::NotADirectory => Error::invalid(format!(
            "{EXPECTED}, which are directories, found a file at {shown}"
        ))
        .with_source(error),
        _ => Error::io("list", path, error),
    }
}

fn list(path: &Path) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| unlisted(path, e))? {
        let entry = entry.map_err(|e| Error::io("list", path, e))?;
        let shape = Shape::of(&entry);
        let (kind, ulid) = classify(&entry.file_name(), shape);
        entries.push(DirEntry {
            path: entry.path(),
            kind,
            ulid,
        });
    }
    Ok(entries)
}

/// What an entry is for the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Directory,
    LinkToDirectory,
    File,
    Other,
}

impl Shape {
    /// An entry that vanishes meanwhile, or whose type cannot be asked, is [`Shape::Other`].
    fn of(entry: &fs::DirEntry) -> Self {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => Shape::Directory,
            Ok(kind) if kind.is_file() => Shape::File,
            Ok(kind) if kind.is_symlink() => match fs::metadata(entry.path()) {
                Ok(target) if target.is_dir() => Shape::LinkToDirectory,
                Ok(target) if target.is_file() => Shape::File,
                _ => Shape::Other,
            },
            _ => Shape::Other,
        }
    }
}

fn classify(name: &OsStr, shape: Shape) -> (EntryKind, Option<Ulid>) {
    let Some(name) = name.to_str() else {
        return (EntryKind::Foreign, None);
    };
    let (stem, suffix) = name.split_once('.').unwrap_or((name, ""));
    if let Ok(ulid) = stem.parse::<Ulid>()
        && let Some(kind) = block_kind(suffix, shape, ulid.to_string() == stem)
    {
        return (kind, Some(ulid));
    }
    (head_kind(name, shape), None)
}

fn block_kind(suffix: &str, shape: Shape, upper_case: bool) -> Option<EntryKind> {
    match (suffix, shape) {
        ("", Shape::Directory) if upper_case => Some(EntryKind::Block),
        ("", Shape::Directory) => Some(EntryKind::MisspelledBlock),
        ("", Shape::LinkToDirectory) => Some(EntryKind::SymlinkedBlock),
        ("tmp-for-creation", Shape::Directory) => Some(EntryKind::BeingCreated),
        ("tmp-for-deletion", Shape::Directory) => Some(EntryKind::BeingDeleted),
        ("tmp", Shape::Directory) => Some(EntryKind::Temporary),
        _ => None,
    }
}

fn head_kind(name: &str, shape: Shape) -> EntryKind {
    let directory = matches!(shape, Shape::Directory | Shape::LinkToDirectory);
    match (name, directory) {
        ("wal", true) => EntryKind::Wal,
        ("wbl", true) => EntryKind::Wbl,
        ("chunks_head", true) => EntryKind::ChunksHead,
        ("snapshots", true) => EntryKind::Snapshots,
        ("lock", false) => EntryKind::Lock,
        ("queries.active", false) => EntryKind::QueryLog,
        (_, true) if name.starts_with("chunk_snapshot.") => match name.strip_suffix(".tmp") {
            Some(_) => EntryKind::Temporary,
            None => EntryKind::ChunkSnapshot,
        },
        (_, true) if name.starts_with("tmp_dbro_sandbox") => EntryKind::Sandbox,
        _ => EntryKind::Foreign,
    }
}

/// Whether they are those of a narthex repository, which has a `wal` as well; also of one that has
/// lost its descriptor.
fn is_repository(entries: &[DirEntry]) -> bool {
    let has = |wanted: &str| entries.iter().any(|entry| entry.name() == wanted);
    let has_block = entries.iter().any(|entry| entry.kind.is_block());
    !has_block && (has("narthex.json") || (has("archives") && (has("blocks") || has("packs"))))
}

/// A directory with blocks or a head is not itself a block, whatever else lies in it.
fn recognise(path: &Path, entries: &[DirEntry]) -> Option<DirKind> {
    let has = |test: fn(EntryKind) -> bool| entries.iter().any(|entry| test(entry.kind));
    if has(EntryKind::is_of_a_head) {
        Some(DirKind::DataDir)
    } else if has(EntryKind::is_block) {
        Some(DirKind::PrometheusSnapshot)
    } else if ["meta.json", "index", "chunks"]
        .iter()
        .any(|name| entries.iter().any(|entry| entry.path == path.join(name)))
    {
        Some(DirKind::Block)
    } else {
        None
    }
}

fn single_block(path: &Path) -> DirEntry {
    // `narthex list .` inside a block is about that block as well.
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = full.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let ulid = name.parse::<Ulid>().ok();
    let misspelled = ulid.is_some_and(|ulid| ulid.to_string() != name);
    DirEntry {
        path: path.to_owned(),
        kind: if misspelled {
            EntryKind::MisspelledBlock
        } else {
            EntryKind::Block
        },
        ulid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";

    fn directory(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir_all(dir.path().join(name)).unwrap(),
                None => fs::write(dir.path().join(name), b"x").unwrap(),
            }
        }
        dir
    }

    fn kinds(dir: &DataDir) -> Vec<(String, EntryKind)> {
        let of = |entry: &DirEntry| (entry.name(), entry.kind);
        dir.entries().iter().map(of).collect()
    }

    #[test]
    fn a_narthex_repository_is_no_data_directory() {
        for names in [
            &["narthex.json", "wal/"][..],
            &["archives/", "blocks/", "wal/"],
            &["archives/", "packs/"],
        ] {
            let error = DataDir::scan(directory(names).path()).unwrap_err();
            assert!(
                error.to_string().contains("a narthex repository"),
                "{error}"
            );
        }
        for names in [
            &["narthex.json", "01M7ZTB71NJ67GWWE5SXTVHFTH/"][..],
            &["archives/", "wal/"],
        ] {
            DataDir::scan(directory(names).path()).unwrap();
        }
    }

    #[test]
    fn every_entry_is_classified_by_name_and_type_and_listed_in_order() {
        let lower = ULID.to_lowercase();
        let dir = directory(&[
            "01M7ZTB71NJ67GWWE5SXTVHFTH/",
            "01M7ZTB71NJ67GWWE5SXTVHFTJ.tmp-for-creation/",
            "01M7ZTB71NJ67GWWE5SXTVHFTK.tmp-for-deletion/",
            "01M7ZTB71NJ67GWWE5SXTVHFTM.tmp/",
            "01M7ZTB71NJ67GWWE5SXTVHFTN.tmp",
            "01M7ZTB71NJ67GWWE5SXTVHFTP",
            &format!("{lower}/"),
            "chunk_snapshot.000002.0000000000/",
            "chunk_snapshot.000003.0000000000.tmp/",
            "chunks_head/",
            "lock",
            "lost+found/",
            "queries.active",
            "snapshots/",
            "tmp_dbro_sandbox123/",
            "wal/",
            "wbl/",
        ]);
        let scanned = DataDir::scan(dir.path()).unwrap();
        let name = |name: &str| name.to_owned();
        assert_eq!(
            kinds(&scanned),
            [
                (name("01M7ZTB71NJ67GWWE5SXTVHFTH"), EntryKind::Block),
                (
                    name("01M7ZTB71NJ67GWWE5SXTVHFTJ.tmp-for-creation"),
                    EntryKind::BeingCreated
                ),
                (
                    name("01M7ZTB71NJ67GWWE5SXTVHFTK.tmp-for-deletion"),
                    EntryKind::BeingDeleted
                ),
                (name("01M7ZTB71NJ67GWWE5SXTVHFTM.tmp"), EntryKind::Temporary),
                (name("01M7ZTB71NJ67GWWE5SXTVHFTN.tmp"), EntryKind::Foreign),
                (name("01M7ZTB71NJ67GWWE5SXTVHFTP"), EntryKind::Foreign),
                (lower, EntryKind::MisspelledBlock),
                (
                    name("chunk_snapshot.000002.0000000000"),
                    EntryKind::ChunkSnapshot
                ),
                (
                    name("chunk_snapshot.000003.0000000000.tmp"),
                    EntryKind::Temporary
                ),
                (name("chunks_head"), EntryKind::ChunksHead),
                (name("lock"), EntryKind::Lock),
                (name("lost+found"), EntryKind::Foreign),
                (name("queries.active"), EntryKind::QueryLog),
                (name("snapshots"), EntryKind::Snapshots),
                (name("tmp_dbro_sandbox123"), EntryKind::Sandbox),
                (name("wal"), EntryKind::Wal),
                (name("wbl"), EntryKind::Wbl),
            ]
        );
        assert_eq!(scanned.place(), DirKind::DataDir);
        assert_eq!(scanned.blocks().count(), 2);
        assert_eq!(scanned.find(EntryKind::Wal), Some(&*dir.path().join("wal")));
    }

    #[test]
    fn blocks_without_a_head_are_a_prometheus_snapshot() {
        let dir = directory(&["01M7ZTB71NJ67GWWE5SXTVHFTH/", "notes.txt"]);
        let scanned = DataDir::scan(dir.path()).unwrap();
        assert_eq!(scanned.place(), DirKind::PrometheusSnapshot);
        assert_eq!(scanned.blocks().count(), 1);
    }

    #[test]
    fn a_block_is_one_whatever_its_directory_is_called() {
        let dir = directory(&["01M7ZTB71NJ67GWWE5SXTVHFTH/", "copy/"]);
        for (name, ulid) in [(ULID, Some(ULID.parse().unwrap())), ("copy", None)] {
            let path = dir.path().join(name);
            fs::write(path.join("index"), b"").unwrap();
            let scanned = DataDir::scan(&path).unwrap();
            assert_eq!(scanned.place(), DirKind::Block);
            let [block] = scanned.entries() else {
                panic!("one entry, found {:?}", scanned.entries())
            };
            assert_eq!((&block.path, block.ulid), (&path, ulid));
        }
    }

    #[test]
    fn a_directory_that_is_none_of_these_is_refused_by_name() {
        let dir = directory(&["notes.txt"]);
        let error = DataDir::scan(dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&dir.path().display().to_string())
        );
        let error = DataDir::scan(&dir.path().join("missing")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_block_is_not_a_block_and_a_dangling_one_is_foreign() {
        let dir = directory(&["01M7ZTB71NJ67GWWE5SXTVHFTH/", "elsewhere/"]);
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(dir.path().join(target), dir.path().join(name)).unwrap();
        };
        link("01M7ZTB71NJ67GWWE5SXTVHFTJ", "elsewhere");
        link("01M7ZTB71NJ67GWWE5SXTVHFTK", "missing");
        let scanned = DataDir::scan(dir.path()).unwrap();
        let kinds: Vec<_> = scanned.entries().iter().map(|entry| entry.kind).collect();
        assert_eq!(
            kinds,
            [
                EntryKind::Block,
                EntryKind::SymlinkedBlock,
                EntryKind::Foreign,
                EntryKind::Foreign
            ]
        );
    }
}
