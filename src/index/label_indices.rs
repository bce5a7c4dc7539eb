//! Label indices: for every label name its values. Written up to Prometheus 3.6, read by nobody.

use super::section::{Section, table_entries};
use super::symbols::SymbolRef;
use super::toc::Toc;
use crate::raw::{Malformed, Reader};

/// The label indices of a block and their offset table.
#[derive(Clone, Copy, Debug)]
pub struct LabelIndices<'a> {
    file: &'a [u8],
    toc: Toc,
}

/// An entry of the offset table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelIndexEntry<'a> {
    /// Label name.
    pub name: &'a [u8],
    /// Where its values stand: absolute offset of the length field.
    pub index: u64,
    /// Where this entry stands.
    pub offset: u64,
}

/// The values of one label name.
#[derive(Clone, Copy, Debug)]
pub struct LabelIndex<'a> {
    values: &'a [u8],
}

impl<'a> LabelIndices<'a> {
    pub(super) fn new(file: &'a [u8], toc: Toc) -> Self {
        LabelIndices { file, toc }
    }

    /// The frame of the offset table.
    ///
    /// # Errors
    ///
    /// When it does not fit the file.
    pub fn table_section(&self) -> Result<Section<'a>, Malformed> {
        Section::at(
            self.file,
            self.toc.label_indices_table,
            "label index offset table",
        )
    }

    /// The frame of the label index at `offset`.
    ///
    /// # Errors
    ///
    /// When it does not fit the file.
    pub fn section(&self, offset: u64) -> Result<Section<'a>, Malformed> {
        Section::at(self.file, offset, "label index")
    }

    /// The entries of the offset table; ends after the first malformed one. Bytes after the last
    /// are malformed as well.
    ///
    /// # Errors
    ///
    /// When the number of entries cannot fit the table.
    pub fn entries(
        &self,
        table: &Section<'a>,
    ) -> Result<impl Iterator<Item = Result<LabelIndexEntry<'a>, Malformed>> + use<'a>, Malformed>
    {
        let mut rest = table.content;
        let count = rest.count_u32(3)?;
        Ok(table_entries(rest, count, read_entry))
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Result<LabelIndexEntry<'a>, Malformed> {
    let at = *reader;
    let keys = reader.uvarint()?;
    if keys != 1 {
        return Err(at.unexpected("number of strings in an entry", "1", keys));
    }
    Ok(LabelIndexEntry {
        name: reader.string()?,
        index: reader.uvarint()?,
        offset: at.offset(),
    })
}

impl<'a> LabelIndex<'a> {
    /// Takes the values out of the frame, whatever its checksum says.
    ///
    /// # Errors
    ///
    /// When the counts do not match the frame's length.
    pub fn read(section: &Section<'a>) -> Result<Self, Malformed> {
        let mut content: Reader<'a> = section.content;
        let at = content;
        let names = content.u32()?;
        if names != 1 {
            return Err(at.unexpected("number of names in a label index", "1", names));
        }
        let at = content;
        let count = content.u32()?;
        if u64::from(count) * 4 != content.remaining() as u64 {
            let wanted = format!("for {} bytes", content.remaining());
            return Err(at.unexpected("number of label values", wanted, count));
        }
        Ok(LabelIndex {
            values: content.rest(),
        })
    }

    /// The values as symbols, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SymbolRef> + use<'a> {
        let (values, _) = self.values.as_chunks::<4>();
        values
            .iter()
            .map(|bytes| SymbolRef(u32::from_be_bytes(*bytes)))
    }
}
