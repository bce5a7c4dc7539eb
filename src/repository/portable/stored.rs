//! Reading what a manifest promises, and holding the object to it.

use std::collections::BTreeMap;

use super::visitor::Visitor;
use super::{Object, Root};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::repository::digest::Digest;
use crate::repository::entries::{StoredFile, StoredObject};
use crate::repository::layout::FilePath;
use crate::store::Store;

/// Reads `stored` and passes those of its files that `files` lists to `visitor`, each proved
/// against its size before it begins and against its digest before it ends. Files that are not
/// listed are read and skipped.
///
/// # Errors
///
/// `Unsupported` for an unknown codec; `Corrupt` when the object or a file is not what the manifest
/// says.
pub fn read_stored<'f>(
    store: &dyn Store,
    stored: &StoredObject,
    root: Root,
    files: impl IntoIterator<Item = &'f StoredFile>,
    visitor: &mut dyn Visitor,
    progress: &dyn Progress,
) -> Result<()> {
    let context = |e: Error| e.context(format!("object {}", stored.name));
    stored.codec.expect_files().map_err(context)?;
    let mut listed = Listed {
        missing: files.into_iter().map(|file| (&file.name, file)).collect(),
        current: None,
        visitor,
    };
    let object = Object::open(store, &stored.name, root)?;
    let (found, _) = object.contents(&mut listed, progress)?;
    if let Some(missing) = listed.missing.keys().next() {
        return Err(context(Error::corrupt(format!(
            "expected file {missing}, found none"
        ))));
    }
    if found.sha256 != stored.sha256 || found.bytes != stored.bytes {
        return Err(context(Error::corrupt(format!(
            "expected {} bytes with SHA-256 {}, found {} with {}",
            stored.bytes, stored.sha256, found.bytes, found.sha256
        ))));
    }
    Ok(())
}

/// Passes on the files that are listed, and holds them to it.
struct Listed<'f, 'v> {
    missing: BTreeMap<&'f FilePath, &'f StoredFile>,
    current: Option<&'f StoredFile>,
    visitor: &'v mut dyn Visitor,
}

impl Visitor for Listed<'_, '_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        self.current = self.missing.remove(name);
        match self.current {
            Some(file) if file.bytes != bytes => Err(Error::corrupt(format!(
                "expected file {name} to be {} bytes, found {bytes}",
                file.bytes
            ))),
            Some(_) => self.visitor.begin(name, bytes),
            None => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match self.current {
            Some(_) => self.visitor.data(bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        match self.current {
            Some(file) if file.sha256 != sha256 => Err(Error::corrupt(format!(
                "expected file {name} to have SHA-256 {}, found {sha256}",
                file.sha256
            ))),
            Some(_) => self.visitor.end(name, sha256),
            None => Ok(()),
        }
    }
}
