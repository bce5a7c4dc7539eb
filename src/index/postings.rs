//! Postings: for every label pair the series that carry it, and the table that says where each list
//! is.

use super::section::{Section, table_entries};
use crate::model::SeriesRef;
use crate::raw::{Malformed, Reader};

/// The postings offset table.
#[derive(Clone, Copy, Debug)]
pub struct PostingsTable<'a> {
    entries: Reader<'a>,
    count: usize,
}

/// One entry: the list of the series that carry `name="value"`; both empty for the list of all
/// series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostingsEntry<'a> {
    /// Label name.
    pub name: &'a [u8],
    /// Label value.
    pub value: &'a [u8],
    /// Where the list stands: absolute offset of its length field.
    pub list: u64,
    /// Where this entry stands.
    pub offset: u64,
}

impl<'a> PostingsTable<'a> {
    /// Reads the section's content.
    ///
    /// # Errors
    ///
    /// When the number of entries cannot fit it.
    pub fn read(mut content: Reader<'a>) -> Result<Self, Malformed> {
        // An entry: number of strings, two lengths, an offset.
        let count = content.count_u32(4)?;
        Ok(PostingsTable {
            entries: content,
            count,
        })
    }

    /// Number of entries the table announces.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it announces none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Offset of the end of its content in the file.
    pub fn end(&self) -> u64 {
        self.entries.offset() + self.entries.remaining() as u64
    }

    /// The entries in file order. Ends after the first malformed one; a table that goes on after
    /// its last entry is malformed as well.
    pub fn iter(&self) -> impl Iterator<Item = Result<PostingsEntry<'a>, Malformed>> + use<'a> {
        table_entries(self.entries, self.count, read_entry)
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<PostingsEntry<'a>, Malformed> {
    let at = *reader;
    let keys = reader.uvarint()?;
    if keys != 2 {
        return Err(at.unexpected("number of strings in an entry", "2", keys));
    }
    Ok(PostingsEntry {
        name: reader.string()?,
        value: reader.string()?,
        list: reader.uvarint()?,
        offset: at.offset(),
    })
}

/// One postings list.
#[derive(Clone, Copy, Debug)]
pub struct Postings<'a> {
    refs: &'a [u8],
    /// Offset of the first reference.
    offset: u64,
}

impl<'a> Postings<'a> {
    /// Takes the references out of the frame, whatever its checksum says.
    ///
    /// # Errors
    ///
    /// When the list's length does not match its number of entries.
    pub fn read(section: &Section<'a>) -> Result<Self, Malformed> {
        let mut content = section.content;
        let at = content;
        let count = content.u32()?;
        if u64::from(count) * 4 != content.remaining() as u64 {
            let wanted = format!("for {} bytes", content.remaining());
            return Err(at.unexpected("number of series references", wanted, count));
        }
        Ok(Postings {
            refs: content.rest(),
            offset: content.offset(),
        })
    }

    /// Number of series in the list.
    pub fn len(&self) -> usize {
        self.refs.len() / 4
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Absolute offset of the reference at `position`.
    pub fn offset_of(&self, position: usize) -> u64 {
        self.offset + position as u64 * 4
    }

    /// The references in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SeriesRef> + use<'a> {
        let (refs, _) = self.refs.as_chunks::<4>();
        refs.iter()
            .map(|bytes| SeriesRef(u64::from(u32::from_be_bytes(*bytes))))
    }
}
