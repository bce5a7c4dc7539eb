//! Whether a block is the same one as last night, without reading it.
//!
//! The fingerprint of a block is taken over what never changes in it: the names and lengths of
//! `index` and of the files in `chunks/`, and those bytes of the index that depend on nearly all
//! others: its header, its table of contents and the lengths and checksums of the sections that
//! have one of their own. That is less than 1 KiB read per block. `meta.json`, `tombstones` and
//! foreign files may change and are compared separately.

use super::source::{OpenBlock, SourceFile};
use crate::error::Result;
use crate::index::{HEADER_LEN, TOC_LEN};
use crate::raw::Reader;
use crate::repository::{Digest, FilePath, Fingerprint};

/// The fingerprint of a block; equal for equal blocks.
///
/// A damaged index has a fingerprint too: whatever bytes are found at the places that count.
pub(crate) fn fingerprint(block: &OpenBlock) -> Result<Fingerprint> {
    let mut identity = Vec::new();
    for file in &block.files {
        if file.name.is_immutable() {
            identity.extend(format!("{} {}\n", file.name, file.bytes).into_bytes());
        }
    }
    if let Some(index) = block.get("index") {
        identity.extend(index_marks(index)?);
    }
    Ok(Fingerprint::of(&identity))
}

/// The fingerprint of a block that has the same `cheap` one as another and yet other content,
/// because one of the two is damaged where the fingerprint does not look.
pub(crate) fn deep_fingerprint<'a>(
    cheap: &Fingerprint,
    files: impl IntoIterator<Item = (&'a FilePath, Digest)>,
) -> Fingerprint {
    let files = files.into_iter().filter(|(name, _)| name.is_immutable());
    let lines = files.map(|(name, sha256)| format!("{sha256}  {name}"));
    let identity: Vec<_> = std::iter::once(cheap.to_string()).chain(lines).collect();
    Fingerprint::of(identity.join("\n").as_bytes())
}

/// The bytes of an index that stand for the rest.
fn index_marks(index: &SourceFile) -> Result<Vec<u8>> {
    let toc_bytes = TOC_LEN as u64;
    let toc = index.read_at(index.bytes.saturating_sub(toc_bytes), toc_bytes)?;
    let mut marks = index.read_at(0, HEADER_LEN)?;
    for offset in checked_sections(&toc) {
        let length = index.read_at(offset, 4)?;
        let content = Reader::new(&length, offset, "section length").u32();
        let checksum = content.map_or(0, |content| offset.saturating_add(4 + u64::from(content)));
        marks.extend(length);
        marks.extend(index.read_at(checksum, 4)?);
    }
    marks.extend(toc);
    Ok(marks)
}

/// Offsets of the sections with one checksum over all of them: symbols, label offset table,
/// postings offset table (slots 1, 4 and 6 of the table of contents).
fn checked_sections(toc: &[u8]) -> Vec<u64> {
    let mut reader = Reader::new(toc, 0, "table of contents");
    let offsets: Vec<u64> = std::iter::from_fn(|| reader.u64().ok()).take(6).collect();
    [0, 3, 5]
        .iter()
        .filter_map(|slot| offsets.get(*slot).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Links;
    use std::fs;
    use std::path::Path;

    /// An index with a symbol table and a postings offset table of 8 bytes each, and a table of
    /// contents.
    fn index() -> Vec<u8> {
        let mut bytes = vec![0xba, 0xaa, 0xd7, 0, 2];
        for content in [[1u8; 8], [2; 8]] {
            bytes.extend(8u32.to_be_bytes());
            bytes.extend(content);
            bytes.extend(crate::raw::crc32c(&content).to_be_bytes());
        }
        for offset in [5u64, 21, 21, 21, 21, 21] {
            bytes.extend(offset.to_be_bytes());
        }
        bytes.extend([0; 4]);
        bytes
    }

    fn block(dir: &Path, index: &[u8], segment: &[u8], meta: &str) -> Fingerprint {
        fs::create_dir_all(dir.join("chunks")).unwrap();
        fs::write(dir.join("index"), index).unwrap();
        fs::write(dir.join("chunks/000001"), segment).unwrap();
        fs::write(dir.join("meta.json"), meta).unwrap();
        fingerprint(&OpenBlock::open_given(dir, Links::Refused).unwrap()).unwrap()
    }

    #[test]
    fn it_changes_with_names_lengths_and_checksums_and_not_with_meta_json() {
        let dir = tempfile::tempdir().unwrap();
        let index = index();
        let first = block(dir.path(), &index, b"12345678", "{}");
        assert_eq!(first, block(dir.path(), &index, b"12345678", "{ }"));
        assert_ne!(first, block(dir.path(), &index, b"123456789", "{}"));
        for at in [4, 5, 17, 21, 36, 37, index.len() - 1] {
            let mut other = index.clone();
            other[at] ^= 1;
            assert_ne!(first, block(dir.path(), &other, b"12345678", "{}"), "{at}");
        }
        fs::rename(
            dir.path().join("chunks/000001"),
            dir.path().join("chunks/000002"),
        )
        .unwrap();
        fs::write(dir.path().join("index"), &index).unwrap();
        let opened = OpenBlock::open_given(dir.path(), Links::Refused).unwrap();
        assert_ne!(first, fingerprint(&opened).unwrap());
    }

    #[test]
    fn any_bytes_have_one() {
        let dir = tempfile::tempdir().unwrap();
        let index = index();
        for end in 0..index.len() {
            block(dir.path(), &index[..end], b"", "");
        }
        block(dir.path(), &[0xff; 200], b"", "");
    }
}
