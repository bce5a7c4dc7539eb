//! Small repositories to try things on; no tests of its own.

use std::collections::BTreeMap;

use narthex::model::{Millis, Ulid};
use narthex::progress::Silent;
use narthex::repository::portable::{self, Root, SourceFile, Visitor};
use narthex::repository::{
    Archive, ArchiveId, Coverage, Digest, FilePath, FindingCounts, Fingerprint,
    PLAIN_MANIFEST_VERSION, Repository, StoredBlock, StoredFile, StoredObject, StoredWal,
    block_object, side_object, wal_object,
};
use narthex::store::{ObjectName, Store};
use narthex::{ErrorKind, Result};

/// Names and contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn ulid(number: u8) -> Ulid {
    Ulid::from_parts(1_795_288_065_445 + i64::from(number), u128::from(number))
}

/// Bytes that look random, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[2]
    };
    (0..len).map(|_| next()).collect()
}

/// The files of a small block.
pub(crate) fn block_files(number: u8) -> Files {
    let seed = u64::from(number);
    BTreeMap::from([
        (
            "meta.json".to_owned(),
            format!("{{\"ulid\": \"{}\"}}", ulid(number)).into_bytes(),
        ),
        ("chunks/000001".to_owned(), noise(seed, 700)),
        ("chunks/000002".to_owned(), noise(seed + 1000, 100)),
        ("index".to_owned(), noise(seed + 2000, 300)),
        ("tombstones".to_owned(), Vec::new()),
    ])
}

pub(crate) fn path(name: &str) -> FilePath {
    FilePath::new(name).unwrap()
}

fn sources(files: &Files) -> Vec<SourceFile<'_>> {
    files
        .iter()
        .map(|(name, content)| SourceFile {
            name: path(name),
            content,
        })
        .collect()
}

/// Stores `files` as `name`, or proves that they are stored already.
pub(crate) fn store_files(
    store: &dyn Store,
    name: &ObjectName,
    root: Root,
    files: &Files,
) -> Result<(StoredObject, Vec<StoredFile>)> {
    let written = portable::write(store, name, root, &sources(files), 3, &Silent)?.publish();
    match written {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            portable::Object::open(store, name, root)?.contents(&mut portable::NoVisitor, &Silent)
        }
        written => written,
    }
}

/// Stores block `number`; with `touched`, its `meta.json` has changed since it was first stored.
pub(crate) fn store_block(
    store: &dyn Store,
    number: u8,
    touched: Option<&[u8]>,
) -> Result<StoredBlock> {
    let (ulid, fingerprint) = (ulid(number), Fingerprint::of(&[number]));
    let name = block_object(ulid, &fingerprint)?;
    let (object, mut files) = store_files(store, &name, Root::Block(ulid), &block_files(number))?;
    let mut sidecar = None;
    if let Some(meta) = touched {
        let side = Files::from([("meta.json".to_owned(), meta.to_vec())]);
        let listing = [(&path("meta.json"), Digest::of(meta))];
        let name = side_object(ulid, &fingerprint, listing, 0)?;
        let (object, mut replaced) = store_files(store, &name, Root::Block(ulid), &side)?;
        files.retain(|file| file.name.as_str() != "meta.json");
        for file in &mut replaced {
            file.sidecar = true;
        }
        files.append(&mut replaced);
        sidecar = Some(object);
    }
    Ok(StoredBlock {
        ulid,
        fingerprint,
        min_time: i64::from(number) * 7_200_000,
        max_time: i64::from(number + 1) * 7_200_000,
        level: 1,
        sources: vec![ulid],
        parents: Vec::new(),
        resolution: Some(0),
        external_labels: BTreeMap::new(),
        hints: Vec::new(),
        series: 1,
        chunks: 2,
        samples: 240,
        object,
        packs: Vec::new(),
        sidecar,
        files,
        statistics: false,
        empty_dirs: Vec::new(),
        findings: FindingCounts::default(),
    })
}

pub(crate) fn wal_files(seed: u64) -> Files {
    BTreeMap::from([
        ("wal/00000012".to_owned(), noise(seed, 500)),
        (
            "wal/checkpoint.00000011/00000000".to_owned(),
            noise(seed + 1, 50),
        ),
        ("wbl/00000000".to_owned(), Vec::new()),
    ])
}

pub(crate) fn store_wal(store: &dyn Store, id: &ArchiveId, seed: u64) -> Result<StoredWal> {
    let (object, files) = store_files(store, &wal_object(id)?, Root::Data, &wal_files(seed))?;
    Ok(StoredWal {
        min_time: Some(1),
        max_time: Some(2),
        samples: 3,
        ..StoredWal::of(object, files)
    })
}

pub(crate) fn archive(time: Millis, id: ArchiveId, blocks: Vec<StoredBlock>) -> Archive {
    Archive {
        format_version: PLAIN_MANIFEST_VERSION,
        previous: None,
        id,
        time,
        host: "mon1".to_owned(),
        source: "/var/lib/prometheus".to_owned(),
        source_name: "mon1:/var/lib/prometheus".to_owned(),
        labels: BTreeMap::new(),
        narthex_version: "0.1.0".to_owned(),
        repository: None,
        coverage: Coverage::default(),
        blocks: blocks.into(),
        wal: None,
        left_out: Vec::new(),
        findings: FindingCounts::default(),
    }
}

/// A backup run in small: blocks, WAL, manifest.
pub(crate) fn back_up(repository: &Repository, time: Millis, blocks: &[u8]) -> Result<Archive> {
    let store = repository.store();
    let stored: Result<Vec<_>> = blocks
        .iter()
        .map(|number| store_block(store, *number, None))
        .collect();
    let id = ArchiveId::random();
    let mut archive = archive(time, id.clone(), stored?);
    archive.wal = Some(store_wal(store, &id, time as u64)?);
    repository.commit(&archive)?;
    Ok(archive)
}

/// Collects files by name.
#[derive(Default)]
pub(crate) struct Collect {
    pub(crate) files: Files,
    current: Vec<u8>,
}

impl Visitor for Collect {
    fn begin(&mut self, _name: &FilePath, _bytes: u64) -> Result<()> {
        self.current.clear();
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.current.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        assert_eq!(sha256, Digest::of(&self.current));
        self.files
            .insert(name.to_string(), std::mem::take(&mut self.current));
        Ok(())
    }
}

/// Everything an archive restores to, proved on the way; names begin with the block's ULID or
/// `wal/`.
pub(crate) fn restore(store: &dyn Store, archive: &Archive) -> Result<Files> {
    let mut all = Files::new();
    for block in &archive.blocks {
        let root = Root::Block(block.ulid);
        for object in block.objects() {
            let mut collect = Collect::default();
            let files = block.files_from(object);
            portable::read_stored(store, object, root, files, &mut collect, &Silent)?;
            let files = collect.files.into_iter();
            all.extend(files.map(|(name, content)| (format!("{}/{name}", block.ulid), content)));
        }
    }
    if let Some(wal) = &archive.wal {
        let mut collect = Collect::default();
        narthex::stored::read_pieces(store, wal, &mut collect, &Silent)?;
        all.append(&mut collect.files);
    }
    Ok(all)
}

/// What [`restore`] must give for an archive made by [`back_up`].
pub(crate) fn expected(time: Millis, blocks: &[u8]) -> Files {
    let mut all = wal_files(time as u64);
    for number in blocks {
        let files = block_files(*number).into_iter();
        all.extend(files.map(|(name, content)| (format!("{}/{name}", ulid(*number)), content)));
    }
    all
}
