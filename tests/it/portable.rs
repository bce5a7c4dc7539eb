//! The portable codec: round trips, ranges out of the middle, files that change, and every kind of
//! hostile object.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex::ErrorKind;
use narthex::progress::Silent;
use narthex::repository::portable::{self, FRAME_BYTES, Object, Root, SourceContent, SourceFile};
use narthex::repository::{Digest, ObjectCodec, StoredFile, StoredObject};
use narthex::store::ReadStore as _;
use narthex::store::{MemoryStore, ObjectName, Store};
use proptest::prelude::*;

use crate::keeping::{Collect, Files, block_files, noise, path, store_files, ulid};

fn object_name() -> ObjectName {
    ObjectName::new("blocks/x/y.tar.zst").unwrap()
}

fn stored(files: &Files, root: Root) -> (MemoryStore, StoredObject, Vec<StoredFile>) {
    let store = MemoryStore::new();
    let (object, files) = store_files(&store, &object_name(), root, files).unwrap();
    (store, object, files)
}

fn read(
    store: &dyn Store,
    object: &StoredObject,
    root: Root,
    files: &[StoredFile],
) -> narthex::Result<Files> {
    let mut collect = Collect::default();
    portable::read_stored(store, object, root, files, &mut collect, &Silent)?;
    Ok(collect.files)
}

fn assert_round_trip(files: &Files, root: Root) {
    let (store, object, listed) = stored(files, root);
    assert_eq!(read(&store, &object, root, &listed).unwrap(), *files);
    for file in &listed {
        assert_eq!(file.sha256, Digest::of(&files[file.name.as_str()]));
    }
    let bytes = store.get(&object.name, u64::MAX).unwrap();
    assert_eq!(object.bytes, bytes.len() as u64);
    assert_eq!(object.sha256, Digest::of(&bytes));
    let mut opened = Object::open(&store, &object.name, root).unwrap();
    assert_eq!(opened.raw_bytes(), object.raw_bytes);
    let entries = opened.entries().unwrap();
    assert_eq!(entries.len(), files.len());
    for entry in entries.iter().rev() {
        let content = opened.read_file(entry, entry.bytes).unwrap();
        assert!(content == files[entry.name.as_str()], "{}", entry.name);
    }
}

#[test]
fn files_of_every_size_around_a_block_and_a_frame_come_back() {
    let mut files = Files::new();
    for len in [
        0,
        1,
        511,
        512,
        513,
        FRAME_BYTES - 1024,
        FRAME_BYTES,
        2 * FRAME_BYTES + 1,
    ] {
        files.insert(format!("chunks/{len:08}"), noise(len as u64, len));
    }
    assert_round_trip(&files, Root::Block(ulid(1)));
    assert_round_trip(&Files::new(), Root::Data);
}

#[test]
fn an_object_of_many_batches_of_frames_comes_back() {
    let batches = 3 * portable::frames_in_flight() + 1;
    let mut content = vec![7; batches * FRAME_BYTES];
    content[FRAME_BYTES * 5 / 2..][..1000].copy_from_slice(&noise(1, 1000));
    let files = Files::from([("a".to_owned(), content), ("b".to_owned(), noise(2, 10))]);
    assert_round_trip(&files, Root::Data);
}

#[test]
fn names_too_long_for_a_tar_header_come_back() {
    for len in [60, 72, 73, 74, 98, 99, 100, 101, 200, 255] {
        for root in [Root::Block(ulid(1)), Root::Data] {
            let deep = format!("{}/{}", "d".repeat(200), "ü".repeat(len / 2));
            let files = Files::from([("x".repeat(len), noise(1, 5)), (deep, noise(2, 600))]);
            assert_round_trip(&files, root);
        }
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let [a, b] = [(); 2].map(|()| stored(&block_files(1), Root::Block(ulid(1))).1);
    assert_eq!(a, b);
}

#[test]
fn only_sensible_levels_are_taken() {
    for level in [-1, 0, 23] {
        let store = MemoryStore::new();
        let error = portable::write(&store, &object_name(), Root::Data, &[], level, &Silent);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(store.is_vacant().unwrap());
    }
}

/// A file whose size differs from one question to the next.
struct Changing {
    sizes: [u64; 2],
    asked: AtomicU64,
}

impl SourceContent for Changing {
    fn size(&self) -> io::Result<u64> {
        Ok(match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => self.sizes[0],
            _ => self.sizes[1],
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let held = self.sizes[0].min(self.sizes[1]);
        if offset + buffer.len() as u64 > held {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.fill(1);
        Ok(())
    }
}

#[test]
fn a_file_that_shrinks_or_grows_while_it_is_read_is_an_error_and_nothing_is_stored() {
    for sizes in [[1000, 999], [1000, 1001]] {
        let store = MemoryStore::new();
        let content = Changing {
            sizes,
            asked: AtomicU64::new(0),
        };
        let file = SourceFile {
            name: path("index"),
            content: &content,
        };
        let written = portable::write(&store, &object_name(), Root::Data, &[file], 3, &Silent);
        let error = written.unwrap_err();
        assert!(error.chain().contains("index"), "{}", error.chain());
        assert!(store.is_vacant().unwrap());
    }
}

#[test]
fn files_a_manifest_does_not_list_are_skipped_and_files_it_lists_must_be_there() {
    let root = Root::Block(ulid(1));
    let (store, object, listed) = stored(&block_files(1), root);
    let some = &listed[1..3];
    assert_eq!(read(&store, &object, root, some).unwrap().len(), 2);

    let mut extra = listed.clone();
    extra[0].name = path("another");
    let error = read(&store, &object, root, &extra).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.chain().contains("expected file another"),
        "{}",
        error.chain()
    );
}

#[test]
fn a_file_that_is_not_what_the_manifest_says_is_corrupt_and_never_ends() {
    let root = Root::Block(ulid(1));
    let (store, object, listed) = stored(&block_files(1), root);
    let mut longer = listed.clone();
    longer[1].bytes += 1;
    let mut other = listed.clone();
    other[1].sha256 = Digest::of(b"other");
    for lying in [longer, other] {
        let mut collect = Collect::default();
        let read = portable::read_stored(&store, &object, root, &lying, &mut collect, &Silent);
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.chain().contains(listed[1].name.as_str()),
            "{}",
            error.chain()
        );
        assert!(!collect.files.contains_key(listed[1].name.as_str()));
    }
    let mut other_object = object.clone();
    other_object.sha256 = Digest::of(b"other");
    assert!(read(&store, &other_object, root, &listed).is_err());
}

#[test]
fn an_unknown_codec_is_unsupported() {
    let (store, mut object, listed) = stored(&block_files(1), Root::Data);
    object.codec = ObjectCodec::Unknown("denser".to_owned());
    let error = read(&store, &object, Root::Data, &listed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_files_of_another_block_are_refused() {
    let (store, object, listed) = stored(&block_files(1), Root::Block(ulid(1)));
    let error = read(&store, &object, Root::Block(ulid(2)), &listed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

/// Every reading function on hostile bytes: none may panic.
fn read_every_way(bytes: &[u8], root: Root) -> narthex::Result<Vec<StoredFile>> {
    let store = MemoryStore::new();
    let name = object_name();
    store.overwrite(&name, bytes);
    let mut object = Object::open(&store, &name, root)?;
    let entries = object.entries();
    for entry in entries.iter().flatten() {
        let _ = object.read_file(entry, 1 << 20);
    }
    object.damaged_frames();
    let (_, files) = object.contents(&mut Collect::default(), &Silent)?;
    let names = |entries: &[portable::FileEntry]| -> Vec<_> {
        entries.iter().map(|e| (e.name.clone(), e.bytes)).collect()
    };
    let listed: Vec<_> = files.iter().map(|f| (f.name.clone(), f.bytes)).collect();
    assert_eq!(names(&entries?), listed, "both readers see the same");
    Ok(files)
}

#[test]
fn no_prefix_of_an_object_is_accepted() {
    let root = Root::Block(ulid(1));
    let (store, object, _) = stored(&block_files(1), root);
    let bytes = store.get(&object.name, u64::MAX).unwrap();
    for len in 0..bytes.len() {
        assert!(
            read_every_way(&bytes[..len], root).is_err(),
            "prefix of {len}"
        );
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let root = Root::Block(ulid(1));
    let (store, object, listed) = stored(&block_files(1), root);
    let bytes = store.get(&object.name, u64::MAX).unwrap();
    for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        store.overwrite(&object.name, &flipped);
        let error = read(&store, &object, root, &listed).unwrap_err();
        assert!(
            error.chain().contains(object.name.as_str()),
            "{}",
            error.chain()
        );
        if let Ok(files) = read_every_way(&flipped, root) {
            assert_eq!(
                files, listed,
                "without a manifest bit {bit} of byte {at} changes no file"
            );
        }
    }
}

/// A well-formed object around any raw bytes: frames of `frame` raw bytes, and a seek table.
fn wrap(raw: &[u8], frame: usize, checksum: bool) -> Vec<u8> {
    let (mut object, mut entries) = (Vec::new(), Vec::new());
    for part in raw.chunks(frame) {
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        let flag = zstd::zstd_safe::CParameter::ChecksumFlag(checksum);
        compressor.set_parameter(flag).unwrap();
        let compressed = compressor.compress(part).unwrap();
        entries.extend(u32::try_from(compressed.len()).unwrap().to_le_bytes());
        entries.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        object.extend(compressed);
    }
    object.extend(0x184D_2A5E_u32.to_le_bytes());
    object.extend(u32::try_from(entries.len() + 9).unwrap().to_le_bytes());
    let frames = u32::try_from(entries.len() / 8).unwrap();
    object.extend(entries);
    object.extend(frames.to_le_bytes());
    object.push(0);
    object.extend(0x8F92_EAB1_u32.to_le_bytes());
    object
}

/// A tar stream with one entry, made by the `tar` crate, which can also make what narthex never
/// writes.
fn tar_of(kind: tar::EntryType, name: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut raw = header.as_bytes().to_vec();
    raw.extend(content);
    raw.resize(raw.len().next_multiple_of(512) + 1024, 0);
    raw
}

#[test]
fn a_stranger_may_write_objects_with_any_frame_size() {
    let raw = tar_of(tar::EntryType::Regular, b"index", 1500, &noise(1, 1500));
    for frame in [1, 7, 512, 1000, 1 << 20] {
        let files = read_every_way(&wrap(&raw, frame, true), Root::Data).unwrap();
        assert_eq!(
            files[0].sha256,
            Digest::of(&noise(1, 1500)),
            "frames of {frame}"
        );
    }
}

#[test]
fn hostile_tar_streams_are_refused() {
    use tar::EntryType as Kind;
    let good = |name: &[u8]| tar_of(Kind::Regular, name, 3, b"abc");
    assert!(read_every_way(&wrap(&good(b"a"), 512, true), Root::Data).is_ok());
    let mut junk_after = good(b"a");
    *junk_after.last_mut().unwrap() = 1;
    let mut twice = good(b"a")[..1024].to_vec();
    twice.extend(good(b"a"));
    let mut bad_checksum = good(b"a");
    bad_checksum[0] = b'b';
    for (what, raw) in [
        ("a symlink", tar_of(Kind::Symlink, b"a", 0, b"")),
        ("a hard link", tar_of(Kind::Link, b"a", 0, b"")),
        ("a directory", tar_of(Kind::Directory, b"a/", 0, b"")),
        ("a device", tar_of(Kind::Block, b"a", 0, b"")),
        ("a pax header", tar_of(Kind::XHeader, b"a", 3, b"abc")),
        ("a name that climbs", good(b"../a")),
        ("an absolute name", good(b"/etc/passwd")),
        ("a name that hides a climb", good(b"a/../../b")),
        ("no name", good(b"")),
        ("a name in no encoding", good(b"\xff")),
        (
            "a file longer than the stream",
            tar_of(Kind::Regular, b"a", 1 << 60, b"abc"),
        ),
        (
            "a file as long as can be",
            tar_of(Kind::Regular, b"a", u64::MAX, b"abc"),
        ),
        (
            "a name longer than memory",
            tar_of(Kind::GNULongName, b"x", 1 << 40, b"abc"),
        ),
        (
            "a long name for nothing",
            tar_of(Kind::GNULongName, b"x", 3, b"abc"),
        ),
        ("a file twice", twice),
        ("bytes after the end", junk_after),
        ("a bad header checksum", bad_checksum),
        ("no end", good(b"a")[..1024].to_vec()),
        ("nothing at all", Vec::new()),
    ] {
        assert!(
            read_every_way(&wrap(&raw, 512, true), Root::Data).is_err(),
            "{what}"
        );
    }
}

#[test]
fn frames_without_checksum_are_refused() {
    let raw = tar_of(tar::EntryType::Regular, b"a", 3, b"abc");
    let error = read_every_way(&wrap(&raw, 512, false), Root::Data).unwrap_err();
    assert!(error.chain().contains("checksum"), "{}", error.chain());
}

#[test]
fn a_seek_table_that_lies_about_frames_is_refused() {
    let raw = tar_of(tar::EntryType::Regular, b"a", 3, b"abc");
    let object = wrap(&raw, 1024, true);
    let entries = object.len() - 9 - 16;
    let as_u32 = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().unwrap());
    let with = |values: [u32; 4]| {
        let mut lying = object.clone();
        for (i, value) in values.iter().enumerate() {
            lying[entries + 4 * i..][..4].copy_from_slice(&value.to_le_bytes());
        }
        lying
    };
    let true_values = [0, 4, 8, 12].map(|at| as_u32(entries + at));
    assert!(read_every_way(&with(true_values), Root::Data).is_ok());
    let [c1, r1, c2, r2] = true_values;
    for lie in [
        [c1 + c2, r1 + r2, 0, 1],
        [c1 + 1, r1, c2 - 1, r2],
        [c1, r1 + 1, c2, r2 - 1],
        [c1, r1, c2, r2 + 1],
        [c1, r1, c2, 0],
        [c1, 1 << 31, c2, r2],
        [u32::MAX, r1, c2.wrapping_add(c1).wrapping_add(1), r2],
    ] {
        assert!(read_every_way(&with(lie), Root::Data).is_err(), "{lie:?}");
    }
}

fn any_files() -> impl Strategy<Value = Files> {
    let name = "[a-z0-9._-]{1,12}(/[a-zäöü ]{1,60}){0,3}".prop_filter("a good name", |name| {
        narthex::repository::FilePath::new(name.as_str()).is_ok()
    });
    proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..2000), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_files_come_back(files in any_files()) {
        assert_round_trip(&files, Root::Block(ulid(3)));
    }

    #[test]
    fn any_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read_every_way(&bytes, Root::Data).is_err());
    }

    #[test]
    fn any_damage_to_a_tar_stream_is_an_error_or_seen_by_both_readers_alike(
        files in any_files(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        frame in 1_usize..3000,
    ) {
        let (store, object, _) = stored(&files, Root::Data);
        let bytes = store.get(&object.name, u64::MAX).unwrap();
        let mut raw = zstd::stream::decode_all(bytes.as_slice()).unwrap();
        for (at, byte) in damage {
            let at = at.index(raw.len());
            raw[at] = byte;
        }
        let _ = read_every_way(&wrap(&raw, frame, true), Root::Data);
    }
}
