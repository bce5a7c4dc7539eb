//! CRC-32C (Castagnoli): Prometheus' checksum in segments, index, tombstones and WAL.

/// CRC-32C of `bytes`, with the processor's own instruction where it has one.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of some bytes followed by `bytes`, when that of the former is `crc`; 0 is that of none.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_castagnoli_polynomial() {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(super::crc32c(&[0; 32]), 0x8a91_36aa);
    }
}
