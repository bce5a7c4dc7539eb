//! Writing files so that they survive a power cut.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Large enough that a disk sees few writes, small enough not to count in memory.
const BUFFER: usize = 1 << 20;

/// A new file. It is durable after [`DurableFile::finish`]; its directory's entry for it is so
/// after [`sync_dir`].
#[derive(Debug)]
pub struct DurableFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl DurableFile {
    /// Creates `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// When it exists or cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::create_new(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(DurableFile {
            path,
            out: BufWriter::with_capacity(BUFFER, file),
        })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// When they cannot be written, with the path.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .map_err(|e| Error::io("write", &self.path, e))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    ///
    /// When it cannot be written or synced.
    pub fn finish(mut self) -> Result<()> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Makes the entries of the directory `dir` durable; the empty path is the current directory.
///
/// # Errors
///
/// When it cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<()> {
    // What `Path::parent` gives for a name alone cannot be opened.
    let is_here = dir.as_os_str().is_empty();
    let dir = if is_here { Path::new(".") } else { dir };
    File::open(dir)
        .and_then(|opened| opened.sync_all())
        .map_err(|e| Error::io("sync directory", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let mut file = DurableFile::create(&path).unwrap();
        file.append(b"whole").unwrap();
        file.finish().unwrap();
        sync_dir(dir.path()).unwrap();
        sync_dir(Path::new("")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        let error = DurableFile::create(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
}
