//! LEB128 and zig-zag, as Go's `encoding/binary` reads and writes them.

/// Longest encoding of 64 bits.
pub(crate) const MAX_LEN: usize = 10;

/// Decodes an unsigned varint at the start of `bytes`: value and length, or nothing when it is cut
/// off or does not fit 64 bits. Non-minimal forms are accepted, as Go does.
#[inline]
pub(crate) fn read_uvarint(bytes: &[u8]) -> Option<(u64, usize)> {
    if let Some(&first) = bytes.first()
        && first < 0x80
    {
        return Some((u64::from(first), 1));
    }
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        if i == MAX_LEN - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Undoes zig-zag: 0, 1, 2, 3 … become 0, −1, 1, −2 …
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Does zig-zag: 0, −1, 1, −2 … become 0, 1, 2, 3 …
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes of the minimal encoding of `value`.
#[inline]
pub(crate) fn uvarint_len(value: u64) -> u64 {
    u64::from((64 - value.leading_zeros()).max(1).div_ceil(7))
}

/// Appends the minimal encoding of `value`.
pub(crate) fn write_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Appends the minimal zig-zag encoding of `value`.
pub(crate) fn write_varint(out: &mut Vec<u8>, value: i64) {
    write_uvarint(out, zigzag(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_cuts_are_noticed() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            write_uvarint(&mut bytes, value);
            assert_eq!(read_uvarint(&bytes), Some((value, bytes.len())));
            assert_eq!(uvarint_len(value), bytes.len() as u64);
            for cut in 0..bytes.len() {
                assert_eq!(read_uvarint(&bytes[..cut]), None);
            }
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        assert_eq!(read_uvarint(&[0xff; 11]), None, "more than 64 bits");
    }
}
