use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::file::{PAGE, read_around};
use super::slots::Slots;
use super::{Miss, OpenBlock, SourceFile};
use crate::raw::{Folder, Links, ReadMode};
use crate::repository::portable::SourceContent as _;
use crate::repository::{Digest, FilePath};

fn strange(block: &OpenBlock) -> Vec<PathBuf> {
    let strange = block.listing.strange.iter();
    strange.map(|(path, _)| path.clone()).collect()
}

fn names(block: &OpenBlock) -> Vec<&str> {
    block.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn a_block_is_opened_whole_with_meta_json_first_and_strange_entries_named() {
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path();
    fs::create_dir_all(block.join("chunks")).unwrap();
    fs::create_dir_all(block.join("a/empty")).unwrap();
    fs::create_dir_all(block.join("a/b")).unwrap();
    for name in ["index", "meta.json", "chunks/000001", "a/b/c"] {
        fs::write(block.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", block.join("dangling")).unwrap();
    let opened = OpenBlock::open(block, Links::Refused).unwrap();
    assert_eq!(
        names(&opened),
        ["meta.json", "a/b/c", "chunks/000001", "index"]
    );
    fs::write(block.join("back\\slash"), b"").unwrap();
    let opened = OpenBlock::open(block, Links::Refused).unwrap();
    assert_eq!(
        strange(&opened),
        [block.join("back\\slash"), block.join("dangling")]
    );
    assert_eq!(opened.bytes(), 9 + 5 + 13 + 5);
    let empty: Vec<_> = opened
        .listing
        .empty_dirs
        .iter()
        .map(FilePath::as_str)
        .collect();
    assert_eq!(empty, ["a/empty"]);
}

#[test]
fn links_are_named_and_those_to_files_and_chunks_followed_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join("block");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, block.join(name)).unwrap();
    };
    fs::create_dir_all(block.join("disk2")).unwrap();
    fs::write(block.join("disk2/000001"), b"x").unwrap();
    link("disk2/000001", "index");
    link("disk2", "chunks");
    link("..", "up");
    link(".", "self");
    let refused = OpenBlock::open(&block, Links::Refused).unwrap();
    assert_eq!(names(&refused), ["disk2/000001"]);
    let left_out = ["chunks", "index", "self", "up"].map(|name| block.join(name));
    assert_eq!(strange(&refused), left_out);
    assert!(refused.listing.lacks_part(&block));
    let followed = OpenBlock::open(&block, Links::Followed).unwrap();
    assert_eq!(names(&followed), ["chunks/000001", "disk2/000001", "index"]);
    assert_eq!(followed.listing.strange.len(), 2);
    assert!(!followed.listing.lacks_part(&block));
    std::os::unix::fs::symlink("block", dir.path().join("linked")).unwrap();
    let linked = dir.path().join("linked");
    assert!(OpenBlock::open(&linked, Links::Refused).is_err());
    let given = OpenBlock::open_given(&linked, Links::Refused).unwrap();
    assert_eq!(names(&given), ["disk2/000001"]);
}

#[test]
fn pages_that_the_disk_cannot_read_are_zeros_and_the_others_are_read() {
    let failing = |page: &mut [u8], at: u64| {
        if at / PAGE as u64 == 1 {
            return Err(rustix::io::Errno::IO.into());
        }
        page.fill(7);
        Ok(())
    };
    let mut buffer = vec![1; 2 * PAGE + 200];
    read_around(&mut buffer, PAGE as u64 - 100, failing).unwrap();
    assert!(buffer[..100].iter().all(|byte| *byte == 7));
    assert!(buffer[100..100 + PAGE].iter().all(|byte| *byte == 0));
    assert!(buffer[100 + PAGE..].iter().all(|byte| *byte == 7));
    let other = |_: &mut [u8], _: u64| Err(io::ErrorKind::UnexpectedEof.into());
    assert!(
        read_around(&mut buffer, 0, other).is_err(),
        "not the disk's fault"
    );
}

#[test]
fn an_open_file_keeps_its_content_and_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000001");
    fs::write(&path, b"0123456789").unwrap();
    let file = SourceFile::open(
        dir.path(),
        FilePath::new("00000001").unwrap(),
        Links::Refused,
    )
    .unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, b"appended"))
        .unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(file.size().unwrap(), 10);
    assert_eq!(file.digest().unwrap(), Digest::of(b"0123456789"));
    for mode in [ReadMode::Map, ReadMode::Read, ReadMode::Read] {
        assert_eq!(&*file.content(mode).unwrap(), b"0123456789");
    }
    assert_eq!(file.read_at(8, 100).unwrap(), b"89");
    assert_eq!(file.read_at(100, 100).unwrap(), b"");
}

#[test]
fn a_file_that_shrank_is_remembered_as_the_one_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    fs::write(&path, b"0123456789").unwrap();
    let file =
        SourceFile::open(dir.path(), FilePath::new("index").unwrap(), Links::Refused).unwrap();
    fs::write(&path, b"0").unwrap();
    let error = file.read_exact_at(&mut [0; 10], 0).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()));
    assert!(file.has_failed());
}

#[test]
fn of_many_files_few_are_open_and_one_that_is_gone_or_replaced_makes_the_block_vanish() {
    static FEW: Slots = Slots::new();
    FEW.max.set(2).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join("chunks").join(name);
    fs::create_dir(dir.path().join("chunks")).unwrap();
    let names = ["000001", "000002", "000003", "000004", "000005"];
    for name in names {
        fs::write(path(name), name).unwrap();
    }
    let block =
        OpenBlock::open_within(&FEW, Folder::open(dir.path(), Links::Refused).unwrap()).unwrap();
    let read = |file: &SourceFile| file.read_exact_at(&mut [0; 6], 0);
    assert_eq!(FEW.held.load(Ordering::Relaxed), 2);
    assert!(block.files.iter().all(|file| read(file).is_ok()));
    for (file, name) in block.files.iter().zip(names) {
        assert_eq!(file.digest().unwrap(), Digest::of(name.as_bytes()));
        assert_eq!(&*file.content(ReadMode::Map).unwrap(), name.as_bytes());
    }
    fs::remove_file(path("000001")).unwrap();
    fs::remove_file(path("000004")).unwrap();
    fs::write(path("new"), "000005").unwrap();
    fs::rename(path("new"), path("000005")).unwrap();
    let lost: Vec<_> = block.files.iter().map(|file| read(file).is_err()).collect();
    assert_eq!(lost, [false, false, false, true, true]);
    let vanished: Vec<_> = block.files.iter().map(SourceFile::has_vanished).collect();
    assert_eq!(vanished, lost);
    let gone = block.files[3].digest().unwrap_err();
    assert!(matches!(Miss::from(gone), Miss::Vanished));
    drop(block);
    assert_eq!(FEW.held.load(Ordering::Relaxed), 0);
}

#[test]
fn a_block_that_is_gone_has_vanished() {
    let dir = tempfile::tempdir().unwrap();
    let missing = OpenBlock::open(&dir.path().join("missing"), Links::Refused);
    assert!(matches!(missing, Err(Miss::Vanished)));
}
