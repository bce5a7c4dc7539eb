use super::*;
use crate::ErrorKind;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

fn modes_of(dir: &Path) -> (u32, u32) {
    let store = LocalStore::new(dir);
    let object = name("blocks/a/b");
    let mut pending = store.create(&object).unwrap();
    pending.write_all(b"x").unwrap();
    pending.publish().unwrap();
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().mode() & 0o777;
    assert_eq!(mode("tmp"), mode("blocks/a"));
    (mode("blocks/a"), mode("blocks/a/b"))
}

#[test]
fn what_root_makes_in_the_repository_of_somebody_else_is_theirs() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can make things for others");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("theirs");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(65_533), Some(65_532)).unwrap();
    modes_of(&dir);
    for made in ["tmp", "blocks", "blocks/a", "blocks/a/b"] {
        let made = fs::metadata(dir.join(made)).unwrap();
        assert_eq!((made.uid(), made.gid()), (65_533, 65_532));
    }
    let own = home.path().join("own");
    modes_of(&own);
    assert_eq!(fs::metadata(own.join("blocks/a/b")).unwrap().uid(), 0);
}

#[test]
fn objects_are_for_their_owner_alone_unless_the_root_is_shared_with_a_group() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(modes_of(&home.path().join("new")), (0o700, 0o600));
    let root = fs::metadata(home.path().join("new")).unwrap().mode();
    assert_eq!(root & 0o777, 0o700);
    let made_before = home.path().join("made");
    fs::create_dir(&made_before).unwrap();
    assert_eq!(modes_of(&made_before), (0o700, 0o600));
    let shared = home.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(
        &shared,
        std::os::unix::fs::PermissionsExt::from_mode(0o2770),
    )
    .unwrap();
    let (dir, file) = modes_of(&shared);
    // The process' mask may take the group's right to write.
    assert_eq!((dir & 0o757, file), (0o750, 0o640));
}

#[test]
fn a_rename_without_replacing_keeps_what_has_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::write(&from, b"new").unwrap();
    rename_without_replacing(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
    fs::write(&from, b"newer").unwrap();
    let error = rename_without_replacing(&from, &to).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&to).unwrap(), b"new");
}

#[test]
fn files_of_dead_runs_and_of_strangers_are_leftovers_and_no_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    (&store as &dyn Store).put(&name("a/b"), b"kept").unwrap();
    fs::write(dir.path().join("tmp/01DEAD"), b"half").unwrap();
    fs::write(dir.path().join("a/my notes.txt"), b"hi").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("a/loop")).unwrap();
    let leftovers = store.leftovers("").unwrap();
    let seen: Vec<_> = leftovers
        .iter()
        .map(|left| (left.name.as_str(), left.origin))
        .collect();
    assert_eq!(
        seen,
        [
            ("a/loop", Origin::Foreign),
            ("a/my notes.txt", Origin::Foreign),
            ("tmp/01DEAD", Origin::Unpublished)
        ]
    );
    assert_eq!(store.list("").unwrap(), [(name("a/b"), 4)]);
}

#[test]
fn a_first_level_directory_and_an_object_may_be_links_and_lists_and_reads_agree() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (root, other) = (dir.path().join("repo"), dir.path().join("other"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(other.join("X")).unwrap();
    fs::write(other.join("X/a"), b"whole").unwrap();
    symlink(&other, root.join("blocks")).unwrap();
    symlink(other.join("X/a"), root.join("one.json")).unwrap();
    symlink(&other, other.join("circle")).unwrap();
    symlink(".", root.join("self")).unwrap();
    let store = LocalStore::new(&root);
    (&store as &dyn Store)
        .put(&name("blocks/Y/b"), b"new")
        .unwrap();

    let listed: Vec<_> = ["blocks/X/a", "blocks/Y/b", "one.json"].map(name).into();
    let all = store.list("").unwrap();
    let (own, through_self): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(name, _)| !name.as_str().starts_with("self/"));
    assert_eq!(
        own,
        [
            (listed[0].clone(), 5),
            (listed[1].clone(), 3),
            (listed[2].clone(), 5)
        ]
    );
    assert!(
        through_self
            .iter()
            .all(|(name, _)| store.size(name).is_ok())
    );
    assert_eq!(store.list("blocks/Y/").unwrap(), own[1..2]);
    assert_eq!(store.list("blocks/circle/X/").unwrap(), []);
    for (name, bytes) in &own {
        assert_eq!(store.get(name, 10).unwrap().len() as u64, *bytes);
    }
    let circle = name("blocks/circle/X/a");
    assert_eq!(
        store.get(&circle, 10).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let refused = (&store as &dyn Store)
        .put(&name("blocks/circle/c"), b"")
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let leftovers = store.leftovers("").unwrap();
    assert!(leftovers.iter().any(|left| left.name == "blocks/circle"));
}

#[test]
fn a_pipe_with_the_name_of_an_object_is_none_and_nobody_waits_for_it() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    mkfifoat(CWD, dir.path().join("narthex.json"), Mode::RWXU).unwrap();
    let error = store.get(&name("narthex.json"), 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.leftovers("").unwrap()[0].origin, Origin::Foreign);
}

#[test]
fn a_directory_or_a_link_to_nothing_in_the_place_of_a_document_is_somebody_elses() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    (&store as &dyn Store).put(&name("a/b"), b"kept").unwrap();
    for made in ["a/one.json", "a/two.json/deep", "a/lost+found"] {
        fs::create_dir_all(dir.path().join(made)).unwrap();
    }
    fs::write(dir.path().join("a/two.json/deep/x"), b"x").unwrap();
    symlink("nowhere", dir.path().join("a/three.json")).unwrap();
    symlink("nowhere", dir.path().join("archives")).unwrap();
    let leftovers = store.leftovers("").unwrap();
    let seen: Vec<_> = leftovers.iter().map(|left| &*left.name).collect();
    assert_eq!(
        seen,
        ["a/one.json", "a/three.json", "a/two.json", "archives"]
    );
    assert!(leftovers.iter().all(|left| left.origin == Origin::Foreign));
    assert_eq!(store.list("").unwrap(), [(name("a/b"), 4)]);
    assert_eq!(store.list("a/two.json/").unwrap(), []);
    let inside = name("a/two.json/deep/x");
    let error = store.size(&inside).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = name("a/two.json/y");
    let error = (&store as &dyn Store).put(&other, b"").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[test]
fn an_unpublished_object_that_is_dropped_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("deep/er"));
    let mut pending = store.create(&name("a")).unwrap();
    pending.write_all(b"half").unwrap();
    assert_eq!(store.leftovers("").unwrap().len(), 1);
    drop(pending);
    assert_eq!(store.leftovers("").unwrap(), []);
    assert!(store.is_vacant().unwrap());
}

#[test]
fn only_what_a_dead_run_has_left_is_removed_and_only_if_nobody_has_written_to_it_since() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path().join("repo"));
    let mut pending = store.create(&name("a")).unwrap();
    pending.write_all(b"half").unwrap();
    fs::write(dir.path().join("precious"), b"mine").unwrap();
    fs::write(dir.path().join("repo/my notes.txt"), b"mine").unwrap();
    let listed = store.leftovers("").unwrap();
    let foreign = &listed[0];
    let refused = |leftover: &Leftover| store.remove_leftover(leftover).unwrap_err().kind();
    assert_eq!(refused(foreign), ErrorKind::Refused);
    for escape in ["tmp/../../precious", "tmp", "tmpx/a", "my notes.txt"] {
        let name = escape.to_owned();
        let escape = Leftover {
            name,
            ..listed[1].clone()
        };
        assert_eq!(refused(&escape), ErrorKind::Refused, "{escape:?}");
    }
    let older = Leftover {
        modified: Some(std::time::SystemTime::UNIX_EPOCH),
        ..listed[1].clone()
    };
    assert_eq!(refused(&older), ErrorKind::Refused);
    store.remove_leftover(&listed[1]).unwrap();
    assert_eq!(refused(&listed[1]), ErrorKind::NotFound);
    assert_eq!(store.leftovers("").unwrap().len(), 1);
    let error = pending.publish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "its writer is told");
    assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"mine");
}

#[test]
fn the_last_object_of_a_directory_takes_it_along_and_writers_do_not_mind() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let put = |object: &str| (&store as &dyn Store).put(&name(object), b"x");
    put("blocks/X/deep/a").unwrap();
    put("blocks/X/b").unwrap();
    store.delete(&name("blocks/X/deep/a")).unwrap();
    assert!(dir.path().join("blocks/X").is_dir());
    assert!(!dir.path().join("blocks/X/deep").exists());
    store.delete(&name("blocks/X/b")).unwrap();
    assert!(!dir.path().join("blocks/X").exists());
    assert!(dir.path().join("blocks").is_dir(), "it may be a link");

    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, put) = (&store, &put);
            scope.spawn(move || {
                for _ in 0..100 {
                    let object = format!("blocks/Y/{writer}");
                    put(&object).unwrap();
                    store.delete(&name(&object)).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_fresh_file_system_is_vacant_and_somebody_elses_directory_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    assert!(store.is_vacant().unwrap());
    fs::create_dir(dir.path().join("photos")).unwrap();
    assert!(!store.is_vacant().unwrap());
}

#[test]
fn a_file_where_the_root_should_be_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"").unwrap();
    let error = (&LocalStore::new(&path) as &dyn Store)
        .put(&name("a"), b"")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        error.chain().contains(&path.display().to_string()),
        "{}",
        error.chain()
    );
}
