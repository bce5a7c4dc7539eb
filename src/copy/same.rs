//! Whether two repositories say the same of an archive or of a block, in whatever codec each has
//! the blocks.

use crate::repository::{Archive, Blocks, Digest, FilePath, StoredBlock, StoredObject};

/// Whether two manifests say the same of one archive, each in a repository of its own: of the same
/// blocks with the same files, whatever objects hold them, and of the same logs.
pub(super) fn is_same(one: &Archive, other: &Archive) -> bool {
    let mut blocks = one.blocks.iter().zip(&other.blocks);
    one.blocks.len() == other.blocks.len()
        && blocks.all(|(one, other)| is_same_block(one, other))
        && bare(one) == bare(other)
}

/// `archive` without its blocks, and without what depends on the repository it lies in.
fn bare(archive: &Archive) -> Archive {
    let mut archive = archive.clone();
    archive.blocks = Blocks::default();
    archive.repository = None;
    archive.format_version = 0;
    archive.previous = None;
    archive.as_it_lies(false);
    archive
}

/// Whether both are one block with the same files, of which the same is said.
fn is_same_block(one: &StoredBlock, other: &StoredBlock) -> bool {
    one == other || has_same_files(one, other) && in_objects_of(one, other) == *one
}

/// What is said of `block`, with the objects of `other`.
fn in_objects_of(other: &StoredBlock, block: &StoredBlock) -> StoredBlock {
    StoredBlock {
        // Of two names for one immutable part, which one is taken depends on what lies there.
        fingerprint: other.fingerprint.clone(),
        object: other.object.clone(),
        statistics: other.statistics,
        packs: other.packs.clone(),
        sidecar: other.sidecar.clone(),
        files: other.files.clone(),
        ..block.clone()
    }
}

/// Whether both are one block with the same files.
pub(super) fn has_same_files(one: &StoredBlock, other: &StoredBlock) -> bool {
    one.ulid == other.ulid
        && one.empty_dirs == other.empty_dirs
        && is_one_content(one, other, |_| true)
}

/// Whether both are one block with the same index and the same segments; other files may be others.
pub(super) fn has_same_part(one: &StoredBlock, other: &StoredBlock) -> bool {
    one.ulid == other.ulid && is_one_content(one, other, FilePath::is_immutable)
}

fn is_one_content(one: &StoredBlock, other: &StoredBlock, counts: fn(&FilePath) -> bool) -> bool {
    let (mut ours, mut theirs) = (content(one, counts), content(other, counts));
    // Nearly always they stand in one order.
    ours == theirs || {
        ours.sort_unstable();
        theirs.sort_unstable();
        ours == theirs
    }
}

/// The files of `block` that count, without where each lies.
fn content(block: &StoredBlock, counts: fn(&FilePath) -> bool) -> Vec<(&FilePath, u64, Digest)> {
    let files = block.files.iter().filter(|file| counts(&file.name));
    files
        .map(|file| (&file.name, file.bytes, file.sha256))
        .collect()
}

/// Whether both name the same objects with the same bytes.
pub(super) fn has_same_objects(one: &StoredBlock, other: &StoredBlock) -> bool {
    is_one_row(one.objects(), other.objects())
}

/// Whether both name the same objects with the same bytes, whatever sidecar each has.
pub(super) fn has_same_body(one: &StoredBlock, other: &StoredBlock) -> bool {
    one.object.name == other.object.name
        && is_same_bytes(&one.object, &other.object)
        && is_one_row(one.packs.iter(), other.packs.iter())
}

fn is_one_row<'o>(
    mut ours: impl Iterator<Item = &'o StoredObject>,
    mut theirs: impl Iterator<Item = &'o StoredObject>,
) -> bool {
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one.name == other.name && is_same_bytes(one, other) => {}
            _ => return false,
        }
    }
}

/// Whether two archives expect the same bytes of one object. The raw size of a pack is a statistic.
pub(super) fn is_same_bytes(one: &StoredObject, other: &StoredObject) -> bool {
    (one.bytes, one.sha256) == (other.bytes, other.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::StoredFile;
    use crate::repository::lineage::tests::block;

    fn file(name: &str, content: &str) -> StoredFile {
        StoredFile {
            name: FilePath::new(name).unwrap(),
            bytes: content.len() as u64,
            sha256: Digest::of(content.as_bytes()),
            sidecar: false,
            packed: false,
        }
    }

    #[test]
    fn a_block_is_the_same_in_other_objects_and_another_with_other_files() {
        let mut one = block(1, (0, 2), 1, &[1], &[]);
        one.files = vec![
            file("meta.json", "{}"),
            file("index", "i"),
            file("chunks/000001", "c"),
        ];
        let mut other = one.clone();
        other.object = block(2, (0, 2), 1, &[1], &[]).object;
        other.files.reverse();
        for file in &mut other.files {
            file.packed = file.name.is_immutable();
        }
        other.packs = vec![one.object.clone()];
        other.statistics = true;
        assert!(is_same_block(&one, &other) && has_same_part(&one, &other));
        assert!(!has_same_objects(&one, &other));
        let meta = other.files.pop().unwrap();
        assert!(!is_same_block(&one, &other) && has_same_part(&one, &other));
        other.files.push(file("meta.json", "{ }"));
        assert!(!is_same_block(&one, &other) && has_same_part(&one, &other));
        other.files.pop();
        other.files.push(meta);
        other.samples += 1;
        assert!(!is_same_block(&one, &other), "something else is said of it");
        other.samples -= 1;
        other.files[0] = file("chunks/000001", "C");
        assert!(!is_same_block(&one, &other) && !has_same_part(&one, &other));
    }
}
