//! Damage in the repository that is copied from.

use narthex::dense::Cache;
use narthex::repair::{leave_marks, repair};
use narthex::trouble::Severity;

use super::*;

#[test]
fn a_damaged_object_is_never_published_and_only_archives_that_need_it_are_left_out() {
    for codec in [Codec::Dense, Codec::Portable] {
        let healthy = two_nights(codec);
        let all = archives(&healthy);
        for object in data(&healthy) {
            for way in WAYS {
                let what = format!("{codec:?}: {way} {object}");
                let (from, to) = (twin(&healthy), MemoryStore::new());
                if !spoil(&from, &object, way) {
                    continue;
                }
                let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
                // Its bytes are there all the same, in another place or before what was appended.
                let is_there = ["extend", "swap"].contains(&way);
                let needs = |archive: &&Archive| {
                    let mut objects = archive.objects();
                    !is_there && objects.any(|(_, needed)| needed.name == object)
                };
                let left_out = all.iter().filter(needs).count() as u64;
                assert_eq!(report.count(Fate::LeftOut), left_out, "{what}");
                assert_eq!(report.count(Fate::Copied), 2 - left_out, "{what}");
                let problems = report.problems.iter();
                let problems: Vec<_> = problems
                    .filter(|problem| problem.severity == Severity::Problem)
                    .collect();
                if is_there {
                    assert_eq!(problems, Vec::<&_>::new(), "{what}");
                    assert_perfect(&to, &what);
                    continue;
                }
                assert_eq!(problems.len(), 1, "{what}");
                assert_eq!(problems[0].kind, CopyProblemKind::ObjectUnsound, "{what}");
                assert_eq!(problems[0].place, object.as_str(), "{what}");
                assert!(!data(&to).contains(&object), "{what}");
                if left_out < 2 {
                    assert_eq!(super::problems(&to), [""; 0], "{what}");
                }
                assert_whole(&to, &what);
                // With the object whole again, the rest follows.
                let report = copy_all(&healthy, &to, START + 2 * DAY).unwrap();
                assert_eq!(report.count(Fate::Copied), left_out, "{what}");
                assert_perfect(&to, &what);
            }
        }
    }
}

/// Spoils each object, mends what can be mended there, and copies.
fn mended_is_copied(codec: Codec, way: &str) -> (u64, u64) {
    let healthy = two_nights(codec);
    let (mut with_bytes, mut with_files) = (0, 0);
    for object in data(&healthy) {
        let what = format!("{codec:?}: {way} {object}");
        let (from, to) = (twin(&healthy), MemoryStore::new());
        assert!(spoil(&from, &object, way));
        let mut repository = open(&from);
        leave_marks(&repository, &checked(&from), START).unwrap();
        let steps = repair(
            &mut repository,
            &Cache::default(),
            false,
            false,
            None,
            START + DAY,
            &Silent,
        );
        steps.unwrap();
        if from.list("mended/").unwrap().is_empty() {
            continue;
        }
        let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
        assert_eq!(
            report.count(Fate::Copied),
            2,
            "{what}: {:?}",
            report.problems
        );
        let found = kinds(&report);
        if found.contains(&CopyProblemKind::ObjectHealed) {
            with_bytes += 1;
            assert_perfect(&to, &what);
        } else {
            assert_eq!(found, [CopyProblemKind::ObjectReplaced].into(), "{what}");
            with_files += 1;
            assert_eq!(problems(&to), [""; 0], "{what}");
            assert_whole(&to, &what);
        }
        // All is there then.
        let again = copy_all(&from, &to, START + 3 * DAY).unwrap();
        assert_eq!(
            (again.objects, again.count(Fate::Present)),
            (0, 2),
            "{what}"
        );
        // And so it is for a copy of the copy.
        let third = MemoryStore::new();
        let report = copy_all(&to, &third, START + 3 * DAY).unwrap();
        assert_eq!(
            report.count(Fate::Copied),
            2,
            "{what}: {:?}",
            report.problems
        );
        assert_whole(&third, &what);
    }
    (with_bytes, with_files)
}

#[test]
fn what_replacements_give_is_copied_and_proved() {
    for way in ["flip", "delete"] {
        let (_, with_files) = mended_is_copied(Codec::Dense, way);
        assert!(with_files > 0, "{way}");
    }
    let (with_bytes, _) = mended_is_copied(Codec::Dense, "swap");
    assert!(with_bytes > 0);
}

#[test]
fn a_damaged_manifest_is_named_and_the_others_are_copied() {
    for way in ["flip", "truncate", "empty"] {
        let (from, to) = (two_nights(Codec::Dense), MemoryStore::new());
        let manifest = archives(&from).remove(0).manifest_name().unwrap();
        let manifest = manifest.object().unwrap();
        assert!(spoil(&from, &manifest, way));
        let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
        assert_eq!(report.count(Fate::Copied), 1, "{way}");
        assert_eq!(kinds(&report), [CopyProblemKind::ManifestUnread].into());
        assert_eq!(report.problems[0].place, manifest.as_str());
        assert_eq!(archives(&to).len(), 1);
        assert_whole(&to, way);
    }
}

#[test]
fn a_manifest_that_names_anything_but_data_is_not_copied() {
    for odd in ["narthex.json", "archives/x.json", "claims/x", "blocks/mine"] {
        let (from, to) = (two_nights(Codec::Dense), MemoryStore::new());
        let mut evil = archives(&from).remove(0);
        let before = evil.manifest_name().unwrap().object().unwrap();
        from.delete(&before).unwrap();
        let mut block = evil.blocks.get(0).unwrap().clone();
        block.object.name = name(odd);
        block.packs.clear();
        block.files.retain(|file| !file.packed);
        evil.blocks = vec![block].into();
        from.overwrite(&before, &evil.to_bytes().unwrap());
        let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
        assert_eq!(report.count(Fate::LeftOut), 1, "{odd}");
        assert_eq!(
            kinds(&report),
            [CopyProblemKind::ManifestUnread].into(),
            "{odd}"
        );
        assert_eq!(archives(&to).len(), 1, "{odd}");
        assert_whole(&to, odd);
    }
}

#[test]
fn a_manifest_of_a_newer_program_is_not_cut_short() {
    let (from, to) = (two_nights(Codec::Dense), MemoryStore::new());
    let archive = archives(&from).remove(0);
    let manifest = archive.manifest_name().unwrap().object().unwrap();
    // As a later version may write it: one more member, sealed anew.
    let text = String::from_utf8(from.get(&manifest, 1 << 20).unwrap()).unwrap();
    let content = text.split(",\n  \"sha256\"").next().unwrap();
    let content = content.replacen("\"host\"", "\"unheard_of\": 7,\n\"host\"", 1);
    let seal = narthex::repository::Digest::of(content.as_bytes());
    let text = format!("{content},\n  \"sha256\": \"{seal}\"\n}}\n");
    from.overwrite(&manifest, text.as_bytes());
    assert_eq!(archives(&from).len(), 2);
    let report = copy_all(&from, &to, START + 2 * DAY).unwrap();
    assert_eq!(kinds(&report), [CopyProblemKind::ManifestNewer].into());
    assert!(
        report.problems[0].detail.contains("unheard_of"),
        "{:?}",
        report.problems
    );
    assert_eq!(
        (report.count(Fate::Copied), report.count(Fate::LeftOut)),
        (1, 1)
    );
}
