//! Lists of keys that a machine has read and proved before: a repository of many hosts has many,
//! and none of them ever changes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::MAX_BYTES;
use crate::error::Result;
use crate::raw::read_bounded;

/// A directory with key documents of one repository, each in a file that is called by its number.
/// What is in it is proved like what comes from the repository; losing it costs requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDocuments {
    dir: PathBuf,
}

impl KeptDocuments {
    /// Those in `dir`, which is made when it is needed.
    pub fn new(dir: &Path) -> Self {
        KeptDocuments {
            dir: dir.to_owned(),
        }
    }

    /// The document `number`, which has `bytes` bytes in the repository; `None` where it is not
    /// kept, or has another size.
    pub(super) fn get(&self, number: u32, bytes: u64) -> Option<Vec<u8>> {
        let content = read_bounded(&self.path(number), bytes).ok()?;
        (content.len() as u64 == bytes).then_some(content)
    }

    /// The document `number`, of whatever size.
    pub(super) fn read(&self, number: u32) -> Result<Vec<u8>> {
        read_bounded(&self.path(number), MAX_BYTES)
    }

    /// The numbers of those that are kept.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        });
        numbers.collect()
    }

    /// Keeps the document `number`. Where that fails, it is read again.
    pub(super) fn keep(&self, number: u32, content: &[u8]) {
        let _ = self.write(number, content);
    }

    fn write(&self, number: u32, content: &[u8]) -> std::io::Result<()> {
        let mut making = fs::DirBuilder::new();
        making.recursive(true).mode(0o700).create(&self.dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(content)?;
        file.persist(self.path(number))?;
        Ok(())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number}.json"))
    }
}
