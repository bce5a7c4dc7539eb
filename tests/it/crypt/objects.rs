//! What is encrypted comes back, whole and in ranges, here and by `age`.

use std::cell::RefCell;
use std::fs;
use std::ops::Range;

use narthex::crypt::{
    CHUNK, Envelope, Identities, Identity, IdentityFile, RangeReader, Recipient, Recipients,
    decrypt,
};
use narthex::{ErrorKind, Result};

use super::tools::{age, bytes, pair, sealed, ssh_key};

const K: usize = CHUNK as usize;

/// Lengths at which something changes.
const LENGTHS: [usize; 10] = [
    0,
    1,
    K - 1,
    K,
    K + 1,
    2 * K - 1,
    2 * K,
    2 * K + 1,
    4 * K,
    300_000,
];

/// Ranges of a plaintext of `length` bytes at which something changes.
fn ranges(length: usize) -> Vec<Range<usize>> {
    let mut edges = vec![0, 1, K - 1, K, K + 1, 2 * K - 1, 2 * K, 2 * K + 1, 3 * K];
    edges.extend([length.saturating_sub(1), length / 2, length]);
    edges.retain(|edge| *edge <= length);
    edges.sort_unstable();
    edges.dedup();
    let pairs = edges
        .iter()
        .flat_map(|from| edges.iter().map(move |to| *from..*to));
    pairs.filter(|range| range.start <= range.end).collect()
}

fn wide(range: &Range<usize>) -> Range<u64> {
    range.start as u64..range.end as u64
}

/// The stored bytes, and which of them were asked for.
struct Asked<'b> {
    stored: &'b [u8],
    ranges: RefCell<Vec<(u64, u64)>>,
}

impl<'b> Asked<'b> {
    fn new(stored: &'b [u8]) -> Self {
        Asked {
            stored,
            ranges: RefCell::default(),
        }
    }

    fn fetch(&self, range: Range<u64>) -> Vec<u8> {
        self.ranges.borrow_mut().push((range.start, range.end));
        self.stored[range.start as usize..range.end as usize].to_vec()
    }

    fn take(&self) -> Vec<(u64, u64)> {
        self.ranges.take()
    }
}

fn open(asked: &Asked<'_>, identities: &Identities) -> Result<RangeReader> {
    let fetch = |range| Ok(asked.fetch(range));
    let (envelope, first) = Envelope::read(asked.stored.len() as u64, &fetch)?;
    RangeReader::new(envelope, &first, identities, &fetch)
}

#[test]
fn every_range_of_every_length_comes_back() {
    let (identities, recipients) = pair();
    for length in LENGTHS {
        let plain = bytes(length);
        let stored = sealed(&plain, &recipients);
        assert_eq!(decrypt(&stored, &identities).unwrap(), plain);
        let asked = Asked::new(&stored);
        let reader = open(&asked, &identities).unwrap();
        assert_eq!(reader.plain_size(), length as u64);
        assert_eq!(reader.stored_size(), stored.len() as u64);
        for range in ranges(length) {
            let read = reader.read(wide(&range), &|range| Ok(asked.fetch(range)));
            assert!(
                read.unwrap() == plain[range.clone()],
                "{range:?} of {length}"
            );
        }
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may pass one")]
        for beyond in [0..length + 1, length + 1..length + 1, 0..usize::MAX, 1..0] {
            let error = reader.read(wide(&beyond), &|range| Ok(asked.fetch(range)));
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt, "{beyond:?}");
        }
    }
}

#[test]
fn few_bytes_are_asked_for_and_none_twice() {
    let (identities, recipients) = pair();
    let plain = bytes(5 * K + 100);
    let stored = sealed(&plain, &recipients);
    let end = stored.len() as u64;
    let asked = Asked::new(&stored);
    let reader = open(&asked, &identities).unwrap();
    // Header and last chunk, which is what formats are read by first.
    assert_eq!(asked.take(), [(0, 16 << 10), (end - 116, end)]);
    let read = |range: Range<usize>| {
        let read = reader.read(wide(&range), &|range| Ok(asked.fetch(range)));
        assert!(read.unwrap() == plain[range]);
        asked.take()
    };
    assert_eq!(read(5 * K..5 * K + 100), []);
    assert_eq!(read(5 * K + 99..5 * K + 100), []);
    let header = end - 116 - 5 * (CHUNK + 16);
    let chunk = |number: u64| header + number * (CHUNK + 16);
    assert_eq!(read(0..1), [(chunk(0), chunk(1))]);
    assert_eq!(read(K..2 * K), [(chunk(1), chunk(2))]);
    assert_eq!(read(2 * K - 1..3 * K + 1), [(chunk(1), chunk(4))]);
    assert_eq!(read(7..7), []);
    assert_eq!(read(0..5 * K + 100), [(chunk(0), end)]);

    // A small one is read once, whole.
    let stored = sealed(&plain[..K], &recipients);
    let asked = Asked::new(&stored);
    let reader = open(&asked, &identities).unwrap();
    let read = reader.read(0..CHUNK, &|range| Ok(asked.fetch(range)));
    assert!(read.unwrap() == plain[..K]);
    assert_eq!(asked.take(), [(0, stored.len() as u64)]);
}

#[test]
fn age_reads_what_is_written_and_what_age_writes_is_read() {
    let Some(age) = age() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut recipients = Vec::new();
    let mut files = Vec::new();
    for number in 0..2 {
        let keygen = super::tools::Program::find_or_skip("age-keygen", "age").unwrap();
        let file = path(&format!("key{number}"));
        keygen.run(["-o", &file], b"").unwrap();
        let public = keygen.run(["-y", &file], b"").unwrap();
        recipients.push(String::from_utf8(public).unwrap().trim().to_owned());
        files.push(file);
    }
    for kind in ["ed25519", "rsa"] {
        let Some(key) = ssh_key(dir.path(), kind, "") else {
            return;
        };
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        recipients.push(public.trim().to_owned());
        files.push(key.to_str().unwrap().to_owned());
    }
    let parsed = recipients.iter().map(|text| text.parse().unwrap());
    let all = Recipients::new(parsed).unwrap();
    for length in LENGTHS {
        let plain = bytes(length);
        let ours = sealed(&plain, &all);
        let to = recipients.iter().flat_map(|recipient| ["-r", recipient]);
        let theirs = age.run(to, &plain).unwrap();
        for file in &files {
            let read = age.run(["-d", "-i", file], &ours).unwrap();
            assert!(read == plain, "{file}, {length} bytes");
            let loaded = IdentityFile::load(file.as_ref()).unwrap();
            let identities = Identities::new(loaded.identities).unwrap();
            let asked = Asked::new(&theirs);
            let reader = open(&asked, &identities).unwrap();
            assert_eq!(reader.plain_size(), length as u64);
            // All ranges with one of them, else it takes long.
            let mut ranges = if file == &files[0] {
                ranges(length)
            } else {
                vec![]
            };
            ranges.push(length.saturating_sub(1)..length);
            for range in ranges {
                let read = reader.read(wide(&range), &|range| Ok(asked.fetch(range)));
                assert!(
                    read.unwrap() == plain[range.clone()],
                    "{range:?} of {length}"
                );
            }
        }
    }
    // A recipients file is one for both.
    let list = path("recipients");
    fs::write(&list, format!("# us\n\n{}\n", recipients.join("\n"))).unwrap();
    let ours = Recipients::new(Recipient::load(list.as_ref()).unwrap()).unwrap();
    assert_eq!(ours, all);
    age.run(["-e", "-R", &list], b"x").unwrap();
}

#[test]
fn whoever_is_no_recipient_reads_nothing_and_hears_who_is() {
    let dir = tempfile::tempdir().unwrap();
    let (other, _) = pair();
    let (_, two) = pair();
    let (_, three) = pair();
    let mut all: Vec<Recipient> = two.iter().chain(three.iter()).cloned().collect();
    let one = sealed(b"x", &two);
    let refused = decrypt(&one, &other).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert_eq!(
        refused.chain(),
        "none of the identities given can read what is encrypted to one age1… recipient (the \
         header does not say which); give the one that can with --identity FILE"
    );
    let Some(key) = ssh_key(dir.path(), "ed25519", "") else {
        return;
    };
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    all.insert(1, public.parse().unwrap());
    let stored = sealed(b"x", &Recipients::new(all).unwrap());
    let error = decrypt(&stored, &other).unwrap_err().to_string();
    assert!(error.contains("2 age1… recipients"), "{error}");
    let keygen = super::tools::ssh_keygen().unwrap();
    let listed = keygen
        .run(["-l", "-f", key.to_str().unwrap()], b"")
        .unwrap();
    let listed = String::from_utf8(listed).unwrap();
    let fingerprint = listed.split(' ').nth(1).unwrap();
    let told = format!("ssh-ed25519 {}…", &fingerprint[..12]);
    assert!(error.contains(&told), "{error}: {listed}");
}

#[test]
fn the_first_identity_that_fits_is_enough() {
    let (_, recipients) = pair();
    let mine = Identity::generate();
    let also = mine.recipient().unwrap();
    let all = Recipients::new(recipients.iter().cloned().chain([also])).unwrap();
    let stored = sealed(b"0123456789", &all);
    let identities = Identities::new([Identity::generate(), mine]).unwrap();
    assert_eq!(decrypt(&stored, &identities).unwrap(), b"0123456789");
}
