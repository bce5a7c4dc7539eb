//! `tombstones`: ranges of time that were deleted through the API but not yet compacted away.
//!
//! Source: Prometheus `tsdb/tombstones/tombstones.go`; layout in `docs/tsdb-format.md`.

use crate::model::{Millis, SeriesRef};
use crate::raw::{Malformed, Reader};

/// First four bytes of the file.
pub const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
/// Magic, version.
const HEADER: usize = 5;
const CRC: usize = 4;

/// One deleted range of one series, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The series.
    pub series: SeriesRef,
    /// First deleted millisecond.
    pub min_time: Millis,
    /// Last deleted millisecond.
    pub max_time: Millis,
}

/// What a `tombstones` file holds: records in file order, and what is wrong with the file, if
/// anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// The records that could be read.
    pub records: Vec<Tombstone>,
    /// Faults. Several can exist at once: a wrong checksum does not stop the records from being
    /// read.
    pub faults: Vec<Malformed>,
}

impl Tombstones {
    /// The file of a block in which nothing is deleted: magic number, version, the checksum of no
    /// records.
    pub const EMPTY_FILE: [u8; HEADER + CRC] = [0x01, 0x30, 0xba, 0x30, VERSION, 0, 0, 0, 0];

    /// Reads the whole file; never fails, but says in `faults` what is wrong.
    pub fn read(content: &[u8]) -> Self {
        let mut result = Tombstones::default();
        if let Err(fault) = result.read_all(content) {
            result.faults.push(fault);
        }
        result
    }

    fn read_all(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(content, 0, "tombstones header");
        reader.magic(MAGIC)?;
        reader.version("tombstones version", VERSION..=VERSION)?;
        let Some(len) = content.len().checked_sub(HEADER + CRC) else {
            let (wanted, found) = (CRC as u64, reader.remaining() as u64);
            return Err(Malformed::truncated(
                "tombstones checksum",
                HEADER as u64,
                wanted,
                found,
            ));
        };
        let mut records = reader.sub(len, "tombstones")?;
        if let Err(fault) = reader
            .named("tombstones checksum")
            .checksum_of(records.rest())
        {
            self.faults.push(fault);
        }
        while !records.is_empty() {
            self.records.push(Tombstone {
                series: SeriesRef(records.uvarint()?),
                min_time: records.varint()?,
                max_time: records.varint()?,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(records: &[u8]) -> Vec<u8> {
        let crc = crate::raw::crc32c(records).to_be_bytes();
        [&[0x01, 0x30, 0xba, 0x30, 1], records, &crc].concat()
    }

    #[test]
    fn the_empty_file_of_a_new_block_has_no_records_and_no_faults() {
        assert_eq!(file(&[]), Tombstones::EMPTY_FILE);
        assert_eq!(MAGIC.to_be_bytes(), Tombstones::EMPTY_FILE[..4]);
        assert_eq!(Tombstones::read(&file(&[])), Tombstones::default());
    }

    #[test]
    fn records_are_read_even_when_the_checksum_is_wrong() {
        let mut content = file(&[3, 9, 20]);
        let expected = Tombstone {
            series: SeriesRef(3),
            min_time: -5,
            max_time: 10,
        };
        assert_eq!(Tombstones::read(&content).records, [expected]);
        assert!(Tombstones::read(&content).faults.is_empty());
        *content.last_mut().unwrap() ^= 1;
        let damaged = Tombstones::read(&content);
        assert_eq!((damaged.records.len(), damaged.faults.len()), (1, 1));
    }

    #[test]
    fn every_cut_is_a_fault() {
        let content = file(&[3, 9, 20, 0x80, 1, 2, 4]);
        for len in 0..content.len() {
            assert!(
                !Tombstones::read(&content[..len]).faults.is_empty(),
                "{len} bytes"
            );
        }
    }
}
