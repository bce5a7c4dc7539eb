//! A framed part of the index: `u32 length | content | CRC-32C of the content`.

use crate::raw::{Malformed, Reader};

/// A framed part of the index, in which the content is there but its checksum may be wrong.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// The content, without length and checksum.
    pub content: Reader<'a>,
    /// Offset of the length field.
    pub start: u64,
    /// Offset just behind the checksum.
    pub end: u64,
    /// Whether the checksum is right.
    pub checksum: Result<(), Malformed>,
}

impl<'a> Section<'a> {
    /// Frames the section called `name` at `offset` of `file`.
    pub(super) fn at(file: &'a [u8], offset: u64, name: &'static str) -> Result<Self, Malformed> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| file.get(start..))
            .ok_or_else(|| {
                let wanted = format!("within the file's {} bytes", file.len());
                Malformed::unexpected(name, offset, "offset", wanted, offset)
            })?;
        let mut reader = Reader::new(rest, offset, name);
        let length = reader.count_u32(1)?;
        let content = reader.sub(length, name)?;
        let checksum = match reader.checksum_of(content.rest()) {
            Err(
                cut @ Malformed {
                    problem: crate::raw::MalformedProblem::Truncated { .. },
                    ..
                },
            ) => {
                return Err(cut);
            }
            outcome => outcome,
        };
        let end = content.offset() + length as u64 + 4;
        Ok(Section {
            content,
            start: offset,
            end,
            checksum,
        })
    }

    /// The content, provided the checksum is right.
    ///
    /// # Errors
    ///
    /// The checksum's fault.
    pub fn checked(self) -> Result<Reader<'a>, Malformed> {
        self.checksum.map(|()| self.content)
    }
}

/// The entries of an offset table: `count` times `read`, from the bytes in `rest`.
///
/// Ends after the first malformed entry; bytes after the last one are malformed as well.
pub(super) fn table_entries<'a, T>(
    mut rest: Reader<'a>,
    count: usize,
    read: fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> impl Iterator<Item = Result<T, Malformed>> + use<'a, T> {
    let mut left = Some(count);
    std::iter::from_fn(move || match left? {
        0 => {
            left = None;
            let found = format!("{} more bytes", rest.remaining());
            (!rest.is_empty())
                .then(|| Err(rest.unexpected("end of the table", "after its entries", found)))
        }
        more => {
            let entry = read(&mut rest);
            left = entry.is_ok().then_some(more - 1);
            Some(entry)
        }
    })
}
