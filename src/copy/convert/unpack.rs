//! Files of a stored block in a temporary directory, each proved by its digest.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Silent;
use crate::raw::{Links, free_bytes, temporary_dir};
use crate::repository::copies::Copies;
use crate::repository::portable::Visitor;
use crate::repository::{Digest, FilePath, StoredBlock, StoredFile};
use crate::stored::write::OpenBlock;
use crate::stored::{Detour, Sink, StoredReader, fetch_block};
use crate::units::bytes_text;

/// A block, or some of its files, on disk for as long as this lives.
pub(super) struct Unpacked {
    dir: TempDir,
    /// What came from elsewhere than its own objects.
    pub(super) detour: Option<Detour>,
}

impl Unpacked {
    /// All files of `block`, from its own objects or from wherever else they are sound; the inner
    /// error says what nothing gives.
    ///
    /// # Errors
    ///
    /// `Refused` when there is no room for them; when the disk or the network fails.
    pub(super) fn whole(copies: &Copies, block: &StoredBlock) -> Result<Result<Self>> {
        let dir = directory(block.bytes())?;
        let mut files = Files::below(dir.path());
        let mut index = Files::below(dir.path());
        let reader = StoredReader::new(copies.store(), block);
        let read = reader.read_all(&mut files, &mut index, &Silent);
        let Err(damage) = read else {
            return Ok(Ok(Unpacked { dir, detour: None }));
        };
        if files.has_failed || index.has_failed || is_of_network(copies, &damage) {
            return Err(damage);
        }
        drop(dir);
        let dir = directory(block.bytes())?;
        let mut files = Files::below(dir.path());
        let mut index = Files::below(dir.path());
        let fetched = fetch_block(copies, block, &mut files, &mut index)?;
        match fetched.outcome(&block.ulid.to_string(), Some(damage)) {
            Err(error) if is_of_network(copies, &error) => Err(error),
            outcome => Ok(outcome.map(|detour| Unpacked {
                dir,
                detour: Some(detour),
            })),
        }
    }

    /// Those files of `block` that are `wanted`, none of which is rebuilt from packs; all of them
    /// where the block's own objects do not give these.
    ///
    /// # Errors
    ///
    /// As [`Unpacked::whole`].
    pub(super) fn some(
        copies: &Copies,
        block: &StoredBlock,
        wanted: &[&StoredFile],
    ) -> Result<Result<Self>> {
        let sizes = wanted.iter().map(|file| file.bytes);
        let dir = directory(sizes.fold(0, u64::saturating_add))?;
        let reader = StoredReader::new(copies.store(), block);
        for file in wanted {
            let mut made = create(&dir.path().join(&file.name))?;
            match reader.read_file(file, &mut made) {
                Ok(()) => {}
                Err(error) if is_of_network(copies, &error) => return Err(error),
                Err(_) => return Unpacked::whole(copies, block),
            }
        }
        Ok(Ok(Unpacked { dir, detour: None }))
    }

    /// The files, open.
    ///
    /// # Errors
    ///
    /// When they cannot be opened.
    pub(super) fn open(&self) -> Result<OpenBlock> {
        let dir = self.dir.path();
        OpenBlock::open_given(dir, Links::Refused).map_err(|miss| miss.into_error(dir))
    }
}

/// A network that fails says nothing of what lies there.
fn is_of_network(copies: &Copies, error: &Error) -> bool {
    error.kind() == ErrorKind::Io && copies.store().is_far()
}

/// A temporary directory with room for `bytes` bytes.
fn directory(bytes: u64) -> Result<TempDir> {
    let dir = temporary_dir()?;
    match free_bytes(dir.path()) {
        Some(free) if free < bytes => Err(Error::refused(format!(
            "expected room for {} in {}, found {} free: a block is unpacked there before it is stored in another codec",
            bytes_text(bytes),
            std::env::temp_dir().display(),
            bytes_text(free)
        ))
        .advise("name another directory in TMPDIR")),
        _ => Ok(dir),
    }
}

fn create(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
    }
    File::create(path).map_err(|e| Error::io("create", path, e))
}

/// Writes files below a directory that nobody else can look into.
struct Files<'d> {
    dir: &'d Path,
    current: Option<(PathBuf, File)>,
    /// Whether it is the disk that failed.
    has_failed: bool,
}

impl<'d> Files<'d> {
    fn below(dir: &'d Path) -> Self {
        Files {
            dir,
            current: None,
            has_failed: false,
        }
    }

    fn check<T>(&mut self, done: Result<T>) -> Result<T> {
        self.has_failed |= done.is_err();
        done
    }
}

impl Visitor for Files<'_> {
    fn begin(&mut self, name: &FilePath, _bytes: u64) -> Result<()> {
        let path = self.dir.join(name);
        let created = create(&path);
        let file = self.check(created)?;
        self.current = Some((path, file));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((path, file)) = &mut self.current else {
            return Ok(());
        };
        let written = file.write_all(bytes);
        let written = written.map_err(|e| Error::io("write", path, e));
        self.check(written)
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        self.current = None;
        Ok(())
    }
}

impl Sink for Files<'_> {
    fn takes(&self, _name: &FilePath) -> bool {
        true
    }

    fn abandon(&mut self) -> Result<()> {
        let Some((path, _)) = self.current.take() else {
            return Ok(());
        };
        let removed = fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e));
        self.check(removed)
    }

    fn has_failed(&self) -> bool {
        self.has_failed
    }
}
