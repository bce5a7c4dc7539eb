//! Whatever happens to stored bytes is an error, and never a panic.

use narthex::ErrorKind;
use narthex::crypt::{CHUNK, Envelope, Identities, RangeReader, decrypt};
use proptest::prelude::*;

use super::tools::{bytes, pair, sealed};

const K: usize = CHUNK as usize;

/// Opens `stored` and reads the first byte of it.
fn first_byte(stored: &[u8], identities: &Identities) -> narthex::Result<Vec<u8>> {
    let fetch =
        |range: std::ops::Range<u64>| Ok(stored[range.start as usize..range.end as usize].to_vec());
    let (envelope, first) = Envelope::read(stored.len() as u64, &fetch)?;
    RangeReader::new(envelope, &first, identities, &fetch)?.read(0..1, &fetch)
}

#[test]
fn what_was_cut_off_is_an_error_also_for_its_first_byte() {
    let (identities, recipients) = pair();
    for length in [0, 1, 100, K, K + 1, 2 * K, 3 * K + 7] {
        let stored = sealed(&bytes(length), &recipients);
        let header = stored.len() - length - length.div_ceil(K).max(1) * 16;
        let mut lengths: Vec<usize> = (0..header + 40).collect();
        for edge in 1..4 {
            let edge = header + edge * (K + 16);
            lengths.extend(edge.saturating_sub(20)..edge + 20);
        }
        lengths.extend(stored.len().saturating_sub(20)..stored.len());
        for cut in lengths.into_iter().filter(|cut| *cut < stored.len()) {
            let error = first_byte(&stored[..cut], &identities).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corrupt,
                "{cut} of {length}: {error:?}"
            );
            let error = decrypt(&stored[..cut], &identities).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Corrupt,
                "{cut} of {length}: {error:?}"
            );
        }
    }
}

#[test]
fn what_was_put_behind_is_an_error_also_for_the_first_byte() {
    let (identities, recipients) = pair();
    for length in [1, 100, K, K + 1, 2 * K] {
        let stored = sealed(&bytes(length), &recipients);
        for more in [1, 15, 16, 17, 100, K, K + 15, K + 16, K + 17, 2 * K + 32] {
            let longer = [stored.clone(), bytes(more)].concat();
            let twice = [&stored[..], &stored[stored.len().saturating_sub(more)..]].concat();
            for longer in [longer, twice] {
                let error = first_byte(&longer, &identities).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{more} behind {length}");
                assert!(decrypt(&longer, &identities).is_err());
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error_for_what_holds_it() {
    let (identities, recipients) = pair();
    let stored = sealed(&bytes(300), &recipients);
    for at in 0..stored.len() {
        for mask in [0x01, 0x80] {
            let mut flipped = stored.clone();
            flipped[at] ^= mask;
            let error = decrypt(&flipped, &identities).unwrap_err();
            // A damaged header may look like one of other recipients, or of another version.
            let kinds = [
                ErrorKind::Corrupt,
                ErrorKind::Locked,
                ErrorKind::Unsupported,
            ];
            assert!(kinds.contains(&error.kind()), "bit {mask:#x} of {at}");
            assert!(first_byte(&flipped, &identities).is_err());
        }
    }
    let stored = sealed(&bytes(3 * K), &recipients);
    let header = stored.len() - 3 * (K + 16);
    for (at, harms_the_first) in [
        (header, true),
        (header + K + 15, true),
        (header + K + 16, false),
        (header + 2 * K + 40, true),
    ] {
        let mut flipped = stored.clone();
        flipped[at] ^= 1;
        assert!(decrypt(&flipped, &identities).is_err());
        // The last chunk is always read.
        assert_eq!(first_byte(&flipped, &identities).is_err(), harms_the_first);
    }
}

#[test]
fn chunks_are_not_exchanged() {
    let (identities, recipients) = pair();
    let plain = bytes(3 * K);
    let stored = sealed(&plain, &recipients);
    let header = stored.len() - 3 * (K + 16);
    let mut swapped = stored.clone();
    let (first, rest) = swapped[header..].split_at_mut(K + 16);
    first.swap_with_slice(&mut rest[..K + 16]);
    assert!(first_byte(&swapped, &identities).is_err());
    // Nor are the chunks of one object another's.
    let other = sealed(&plain, &recipients);
    let header_of_other = other.len() - 3 * (K + 16);
    let mixed = [&stored[..header], &other[header_of_other..]].concat();
    assert!(first_byte(&mixed, &identities).is_err());
}

#[test]
fn what_is_no_age_file_is_said_to_be_none() {
    let (identities, _) = pair();
    let kind = |stored: &[u8]| decrypt(stored, &identities).unwrap_err().kind();
    assert_eq!(kind(b""), ErrorKind::Corrupt);
    assert_eq!(kind(b"{\n\"format_version\": 1,"), ErrorKind::Corrupt);
    assert_eq!(kind(&vec![0; 100_000]), ErrorKind::Corrupt);
    let newer = b"age-encryption.org/v2\n-> X\n\n--- x\n";
    assert_eq!(kind(newer), ErrorKind::Unsupported);
}

#[test]
fn a_header_without_end_costs_little() {
    let (identities, _) = pair();
    let begun = std::time::Instant::now();
    for line in [
        "-> a\n\n",
        "-> X25519 a\n\n",
        "-> a b c d e f g h\nAAAA\n",
        "\n",
        "-> ",
    ] {
        let endless = [b"age-encryption.org/v1\n", line.repeat(1 << 20).as_bytes()].concat();
        let error = decrypt(&endless, &identities).unwrap_err();
        let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{line:?}: {error:?}");
    }
    let taken = begun.elapsed();
    assert!(taken.as_secs() < 10, "{taken:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(
        magic in any::<bool>(),
        content in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let magic: &[u8] = if magic { b"age-encryption.org/v1\n-> X25519 " } else { b"" };
        let (identities, _) = pair();
        let stored = [magic, &content].concat();
        prop_assert!(decrypt(&stored, &identities).is_err());
        prop_assert!(first_byte(&stored, &identities).is_err());
    }

    #[test]
    fn arbitrary_changes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (identities, recipients) = pair();
        let mut stored = sealed(b"0123456789", &recipients);
        for (place, byte) in &changes {
            let place = place.index(stored.len());
            stored[place] = *byte;
        }
        if let Ok(plain) = decrypt(&stored, &identities) {
            prop_assert_eq!(plain, b"0123456789");
        }
    }
}
