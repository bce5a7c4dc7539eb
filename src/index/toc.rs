//! The table of contents: the last 52 bytes.

use crate::raw::{Malformed, Reader};

/// Bytes of the table of contents, its checksum included.
pub const TOC_LEN: usize = 52;

/// Where the sections of an index begin: absolute offsets, in the order they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc {
    /// Symbol table.
    pub symbols: u64,
    /// Series entries.
    pub series: u64,
    /// Label indices; since Prometheus 3.7 there are none and this equals `postings`.
    pub label_indices: u64,
    /// Offset table of the label indices; since Prometheus 3.7 this equals `postings_table`.
    pub label_indices_table: u64,
    /// Postings lists.
    pub postings: u64,
    /// Postings offset table.
    pub postings_table: u64,
}

impl Toc {
    /// Reads the table of contents at the end of `file`.
    ///
    /// # Errors
    ///
    /// When the file is too short or the checksum is wrong.
    pub fn read(file: &[u8]) -> Result<Self, Malformed> {
        const NAME: &str = "table of contents";
        let Some(start) = file.len().checked_sub(TOC_LEN) else {
            return Err(Malformed::truncated(
                NAME,
                0,
                TOC_LEN as u64,
                file.len() as u64,
            ));
        };
        let mut reader = Reader::new(file.get(start..).unwrap_or_default(), start as u64, NAME);
        let mut content = reader.sub(TOC_LEN - 4, NAME)?;
        reader.checksum_of(content.rest())?;
        Ok(Toc {
            symbols: content.u64()?,
            series: content.u64()?,
            label_indices: content.u64()?,
            label_indices_table: content.u64()?,
            postings: content.u64()?,
            postings_table: content.u64()?,
        })
    }

    /// Where the series entries end.
    pub fn series_end(&self) -> u64 {
        if self.label_indices == 0 {
            self.postings
        } else {
            self.label_indices
        }
    }

    /// Whether label indices were written (before Prometheus 3.7).
    pub fn has_label_indices(&self) -> bool {
        self.label_indices_table != 0 && self.label_indices_table != self.postings_table
    }

    /// The offsets with their names, in the order they are written.
    pub fn entries(&self) -> [(&'static str, u64); 6] {
        [
            ("symbols", self.symbols),
            ("series", self.series),
            ("label indices", self.label_indices),
            ("label index offset table", self.label_indices_table),
            ("postings", self.postings),
            ("postings offset table", self.postings_table),
        ]
    }
}
