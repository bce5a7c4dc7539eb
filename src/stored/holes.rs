//! What can be read of the files of a block that is stored whole, however damaged its objects are.

use std::collections::BTreeSet;

use super::INDEX;
use crate::error::Result;
use crate::repository::copies::{Copies, Redirected, Trust};
use crate::repository::portable::{Object, Root, Visitor};
use crate::repository::{FilePath, StoredBlock, StoredFile};
use crate::store::ObjectName;

/// A file that was passed on, with zeros in the place of what cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWithHoles {
    /// Its name.
    pub name: FilePath,
    /// The object that it came from.
    pub object: ObjectName,
    /// Bytes of it that are zeros because they cannot be read.
    pub missing_bytes: u64,
}

/// Whether the index of `block`, which is stored whole, can be found in some place of its objects;
/// nothing of it is read.
pub fn has_index(copies: &Copies, block: &StoredBlock) -> bool {
    let mut objects = block.file_objects();
    objects.any(|object| {
        let files: Vec<&StoredFile> = block.files_from(object).collect();
        copies.places(object).into_iter().any(|place| {
            let mut store = Redirected::new(copies.store());
            store.redirect(&object.name, place);
            let opened = Object::open_damaged(&store, &object.name, Root::Block(block.ulid));
            opened.is_ok_and(|mut opened| {
                let entries = opened.likely_entries(&files).0;
                entries.iter().any(|entry| entry.name.as_str() == INDEX)
            })
        })
    })
}

/// Passes those files of `block`, which is stored whole, that samples are read out of to `visitor`:
/// index and segments, with zeros in the place of what cannot be read. Says which they were.
/// Digests are not compared, and replacements of objects are not looked at.
///
/// # Errors
///
/// Whatever the visitor says.
pub fn read_with_holes(
    copies: &Copies,
    block: &StoredBlock,
    visitor: &mut dyn Visitor,
) -> Result<Vec<FileWithHoles>> {
    let mut passed = Vec::new();
    let mut there = BTreeSet::new();
    for object in block.file_objects() {
        let files: Vec<&StoredFile> = block.files_from(object).collect();
        let places = copies.places(object).into_iter();
        for place in places.filter(|place| place.trust != Trust::Mended) {
            let mut store = Redirected::new(copies.store());
            store.redirect(&object.name, place);
            let opened = Object::open_damaged(&store, &object.name, Root::Block(block.ulid));
            let Ok(mut opened) = opened else {
                continue;
            };
            for entry in opened.likely_entries(&files).0 {
                let mut listed = files.iter();
                let is_wanted = listed.any(|file| file.name == entry.name && has_samples(file))
                    && there.insert(entry.name.clone());
                if is_wanted {
                    let missing_bytes = opened.pass_on_with_holes(&entry, visitor)?;
                    passed.push(FileWithHoles {
                        name: entry.name,
                        object: object.name.clone(),
                        missing_bytes,
                    });
                }
            }
            // The first place that opens is the one.
            break;
        }
    }
    Ok(passed)
}

/// Whether samples of a block are read out of a file.
pub fn has_samples(file: &StoredFile) -> bool {
    file.name.is_segment() || file.name.as_str() == INDEX
}
