//! What lies in the repository that is copied to, and is damaged or something else.

use narthex::repair::leave_marks;
use narthex::repository::ArchiveId;
use narthex::repository::trash::issue_warrant;

use super::*;

#[test]
fn a_name_that_is_taken_keeps_what_has_it_and_the_bytes_come_beside_it() {
    for codec in [Codec::Dense, Codec::Portable] {
        let from = two_nights(codec);
        for object in data(&from) {
            for way in ["flip", "truncate", "empty"] {
                let what = format!("{codec:?}: {way} {object}");
                // Of a run that died, and whose object has gone bad since.
                let to = MemoryStore::new();
                open(&to);
                to.overwrite(&object, &from.get(&object, u64::MAX).unwrap());
                assert!(spoil(&to, &object, way));
                let before = to.get(&object, u64::MAX).unwrap();
                let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
                assert_eq!(report.count(Fate::Copied), 2, "{what}");
                assert_eq!(
                    kinds(&report),
                    [CopyProblemKind::ObjectTaken].into(),
                    "{what}"
                );
                assert!(to.get(&object, u64::MAX).unwrap() == before, "{what}");
                assert_eq!(to.list("mended/").unwrap().len(), 1, "{what}");
                assert_whole(&to, &what);
                assert_eq!(problems(&to), [""; 0], "{what}");
                let manifests = archives(&to);
                assert!(manifests.iter().all(|it| it.format_version == 2), "{what}");
                let again = copy_all(&from, &to, START + 3 * DAY).unwrap();
                assert_eq!(
                    (again.objects, again.count(Fate::Present)),
                    (0, 2),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_replacement_of_a_dead_run_is_taken_over() {
    let from = two_nights(Codec::Dense);
    let object = data(&from).into_iter().next().unwrap();
    let to = MemoryStore::new();
    open(&to);
    to.overwrite(&object, b"something else");
    copy_all(&from, &to, START).unwrap();
    for archive in archives(&to) {
        let manifest = archive.manifest_name().unwrap().object().unwrap();
        to.delete(&manifest).unwrap();
    }
    let before = data(&to);
    let report = copy_all(&from, &to, START).unwrap();
    assert_eq!((report.objects, report.count(Fate::Copied)), (0, 2));
    assert_eq!(data(&to), before);
    assert_whole(&to, "taken over");
}

#[test]
fn an_archive_is_there_only_with_its_objects() {
    for codec in [Codec::Dense, Codec::Portable] {
        let from = two_nights(codec);
        let healthy = MemoryStore::new();
        copy_all(&from, &healthy, START).unwrap();
        for object in data(&from) {
            for way in WAYS {
                let what = format!("{codec:?}: {way} {object}");
                let to = twin(&healthy);
                if !spoil(&to, &object, way) {
                    continue;
                }
                // What cannot be seen without reading it is marked first.
                leave_marks(&open(&to), &checked(&to), START).unwrap();
                let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
                assert!(report.count(Fate::Completed) > 0, "{what}");
                let most = if way == "swap" { 2 } else { 1 };
                assert_eq!(report.objects, most, "{what}");
                assert_eq!(report.count(Fate::LeftOut), 0, "{what}");
                if way == "delete" {
                    assert_perfect(&to, &what);
                }
                assert_whole(&to, &what);
                let again = copy_all(&from, &to, START + 3 * DAY).unwrap();
                assert_eq!(
                    (again.objects, again.count(Fate::Present)),
                    (0, 2),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_name_that_a_prune_is_deleting_is_not_used() {
    let from = two_nights(Codec::Dense);
    for object in data(&from) {
        let to = MemoryStore::new();
        open(&to);
        let warrant = issue_warrant(&to, &object, &ArchiveId::random(), START).unwrap();
        let report = copy_all(&from, &to, START).unwrap();
        assert_eq!(kinds(&report), [CopyProblemKind::ObjectTaken].into());
        assert!(!data(&to).contains(&object));
        to.delete(&warrant).unwrap();
        assert_whole(&to, object.as_str());
    }
}

#[test]
fn another_archive_of_the_same_id_and_a_damaged_manifest_stay() {
    let from = two_nights(Codec::Dense);
    let to = MemoryStore::new();
    copy_all(&from, &to, START).unwrap();
    let mut first = archives(&to).remove(0);
    let manifest = first.manifest_name().unwrap().object().unwrap();
    first.source_name = "somebody else".to_owned();
    to.overwrite(&manifest, &first.to_bytes().unwrap());
    let report = copy_all(&from, &to, START).unwrap();
    assert_eq!(kinds(&report), [CopyProblemKind::ArchiveDiffers].into());
    assert_eq!(
        (report.count(Fate::LeftOut), report.count(Fate::Present)),
        (1, 1)
    );
    assert_eq!(archives(&to).remove(0).source_name, "somebody else");

    assert!(spoil(&to, &manifest, "flip"));
    let before = to.get(&manifest, u64::MAX).unwrap();
    let report = copy_all(&from, &to, START).unwrap();
    assert_eq!(kinds(&report), [CopyProblemKind::ManifestTaken].into());
    assert_eq!(to.get(&manifest, u64::MAX).unwrap(), before);
}
