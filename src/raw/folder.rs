//! A directory held open, and what is below it: reached from the open directory, never through a
//! link.
//!
//! Paths are looked up anew each time they are used. Whoever may write to one of the directories on
//! the way can put a link there between two uses, and lead a program that runs as somebody else
//! wherever they like. So the directory that a person named is opened once, and everything below it
//! is opened relative to it (`openat`), one component after the other, each of which must not be a
//! link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};

use crate::error::{Error, Result};

/// How deep [`Folder::remove_all`] goes: deeper than anything that is written, and no end to what
/// somebody else may put there.
const MAX_DEPTH: usize = 64;

/// Whether links below a directory are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// A link is an error that says so.
    #[default]
    Refused,
    /// A link stands for what it leads to, wherever that is (`--follow-links`).
    Followed,
}

/// An open directory.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    links: Links,
}

/// What a directory has under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its name.
    pub name: OsString,
    /// What it is; a link is [`FileType::Symlink`] when links are refused, and else what it leads
    /// to.
    pub kind: FileType,
    /// Whether it is a link, followed or not.
    pub is_link: bool,
}

const OPEN_DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Permissions of files that are made.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Permissions of directories that are made.
const DIR_MODE: Mode = Mode::RWXU;

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens the directory at `path`, which somebody named: it may be reached through links. What
    /// is below it may not, unless `links` says so.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is no directory.
    pub fn open(path: &Path, links: Links) -> Result<Self> {
        // The empty path is the current directory, as it is for `Path::parent`.
        let named = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let fd = rustix::fs::open(named, OPEN_DIR, Mode::empty());
        let fd = fd.map_err(|e| Error::io("open", path, e.into()))?;
        Ok(Folder {
            fd,
            path: path.to_owned(),
            links,
        })
    }

    /// As [`Folder::open`], but `path` itself must not be a link where links are refused.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`], and when it is a link.
    pub fn open_entry(path: &Path, links: Links) -> Result<Self> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let mut folder = Folder::open(parent, links)?.folder(name.as_ref())?;
                path.clone_into(&mut folder.path);
                Ok(folder)
            }
            _ => Folder::open(path, links),
        }
    }

    /// Where it was when it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to this very directory for as long as it is held open, whatever becomes of
    /// its name: for code that takes paths. Needs a mounted `/proc`.
    pub fn steady_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// Opens the directory `name` below it; `name` may have several components.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no directory, or a component is a link and links are refused.
    pub fn folder(&self, name: &Path) -> Result<Folder> {
        let mut folder = self.again()?;
        for part in parts(name) {
            let part = part.map_err(|()| self.outside(name))?;
            let path = folder.path.join(part);
            let fd =
                rustix::fs::openat(&folder.fd, part, OPEN_DIR | self.no_follow(), Mode::empty());
            let fd = fd.map_err(|e| folder.failed("open", part, e))?;
            folder = Folder {
                fd,
                path,
                links: self.links,
            };
        }
        Ok(folder)
    }

    /// Opens the regular file `name` below it for reading; `name` may have several components.
    /// Never waits for the other end of a pipe.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no regular file, or a component is a link and links are
    /// refused.
    pub fn file(&self, name: &Path) -> Result<File> {
        let (folder, last) = self.walk_to(name)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&folder.fd, last, flags | self.no_follow(), Mode::empty());
        let file = File::from(fd.map_err(|e| folder.failed("open", last, e))?);
        let path = folder.path.join(last);
        let metadata = file.metadata().map_err(|e| Error::io("stat", &path, e))?;
        if metadata.is_file() {
            Ok(file)
        } else {
            let path = path.display();
            Err(Error::invalid(format!("{path} is not a regular file")))
        }
    }

    /// What it holds, by name.
    ///
    /// # Errors
    ///
    /// When it cannot be listed. An entry that is gone by the time it is looked at is passed over.
    pub fn entries(&self) -> Result<Vec<FolderEntry>> {
        let failed = |e: rustix::io::Errno| Error::io("list", &self.path, e.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(name, AtFlags::SYMLINK_NOFOLLOW)?,
                known => Some(known),
            };
            let is_link = kind == Some(FileType::Symlink);
            let kind = if is_link && self.links == Links::Followed {
                // A link to nothing stays a link.
                self.kind(name, AtFlags::empty())?.or(kind)
            } else {
                kind
            };
            entries.extend(kind.map(|kind| FolderEntry {
                name: name.to_owned(),
                kind,
                is_link,
            }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Whether it has something of this name, be it a link to nothing.
    ///
    /// # Errors
    ///
    /// When that cannot be seen.
    pub fn has(&self, name: &OsStr) -> Result<bool> {
        self.kind(name, AtFlags::SYMLINK_NOFOLLOW)
            .map(|kind| kind.is_some())
    }

    fn kind(&self, name: &OsStr, flags: AtFlags) -> Result<Option<FileType>> {
        match rustix::fs::statat(&self.fd, name, flags) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("stat", name, error)),
        }
    }

    /// Makes the file `name` in it, open for writing, for its owner alone.
    ///
    /// # Errors
    ///
    /// When the name is taken, by whatever, or it cannot be made.
    pub fn create(&self, name: &OsStr) -> Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, FILE_MODE);
        fd.map(File::from)
            .map_err(|e| self.failed("create", name, e))
    }

    /// Makes the directory `name` in it, for its owner alone, and opens it.
    ///
    /// # Errors
    ///
    /// When the name is taken or it cannot be made; when somebody puts something else there at
    /// once.
    pub fn make(&self, name: &OsStr) -> Result<Folder> {
        let made = rustix::fs::mkdirat(&self.fd, name, DIR_MODE);
        made.map_err(|e| self.failed("create", name, e))?;
        let made = self.folder(name.as_ref())?;
        // Whoever may write here may have put a directory of their own in its place: what is
        // written there would be theirs.
        let owner = rustix::fs::fstat(&made.fd).map(|stat| stat.st_uid);
        let is_ours = |owner| owner == rustix::process::geteuid().as_raw();
        if owner.is_ok_and(|owner| is_ours(owner) || self.owner_of_new(name).ok() == Some(owner)) {
            Ok(made)
        } else {
            let path = made.path.display();
            Err(Error::refused(format!(
                "{path} was replaced by somebody else as soon as it was made"
            )))
        }
    }

    /// Whom the file system gives what is made here, beside the directory `name` that was just
    /// made: on some mounts that is somebody else than who makes it (root on NFS, anybody on
    /// FAT).
    fn owner_of_new(&self, name: &OsStr) -> Result<u32> {
        let mut probe = name.to_owned();
        probe.push(".owner");
        let file = self.create(&probe)?;
        let owner = rustix::fs::fstat(&file).map(|stat| stat.st_uid);
        let removed = rustix::fs::unlinkat(&self.fd, probe.as_os_str(), AtFlags::empty());
        removed.map_err(|e| self.failed("remove", &probe, e))?;
        owner.map_err(|e| self.failed("stat", &probe, e))
    }

    /// Renames `from` in it to `name` in `to`, where nothing may have this name.
    ///
    /// # Errors
    ///
    /// When the name is taken, or it cannot be renamed.
    pub fn rename(&self, from: &OsStr, to: &Folder, name: &OsStr) -> Result<()> {
        let renamed =
            rustix::fs::renameat_with(&self.fd, from, &to.fd, name, RenameFlags::NOREPLACE);
        match renamed {
            // Not every file system knows it.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                if to.has(name)? {
                    return Err(to.failed("restore to", name, rustix::io::Errno::EXIST));
                }
                rustix::fs::renameat(&self.fd, from, &to.fd, name)
            }
            renamed => renamed,
        }
        .map_err(|e| to.failed("restore to", name, e))
    }

    /// Lets `from` in it and `name` in `to`, which are both there, change places in one step. Says
    /// whether the file system can: if not, nothing has happened.
    ///
    /// # Errors
    ///
    /// When one of them is not there, or cannot be renamed.
    pub fn exchange(&self, from: &OsStr, to: &Folder, name: &OsStr) -> Result<bool> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(&self.fd, from, &to.fd, name, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            // Not every file system knows it, nor does every kernel.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(to.failed("replace", name, error)),
        }
    }

    /// Takes the directory itself, or the file `name` in it, for this process alone (`flock`), for
    /// as long as what is returned is kept. `None` when another process has it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or the file system knows no such locks.
    pub fn lock(&self, name: Option<&OsStr>) -> Result<Option<File>> {
        let (file, path) = if let Some(name) = name {
            (self.file(name.as_ref())?, self.path.join(name))
        } else {
            let fd = self.fd.as_fd().try_clone_to_owned();
            let fd = fd.map_err(|e| Error::io("open", &self.path, e))?;
            (File::from(fd), self.path.clone())
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Error::io("lock", &path, error.into())),
        }
    }

    /// Removes the empty directory `name` in it.
    ///
    /// # Errors
    ///
    /// When it is not there, is no directory, or holds something.
    pub fn remove_dir(&self, name: &OsStr) -> Result<()> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(|e| self.failed("remove", name, e))
    }

    /// Removes `name` in it with everything below, following no link.
    ///
    /// # Errors
    ///
    /// The first that cannot be removed.
    pub fn remove_all(&self, name: &OsStr) -> Result<()> {
        self.remove_below(name, 0)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) if depth < MAX_DEPTH => {}
            removed => return removed.map_err(|e| self.failed("remove", name, e)),
        }
        let opened = rustix::fs::openat(&self.fd, name, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty());
        let inner = Folder {
            fd: opened.map_err(|e| self.failed("remove", name, e))?,
            path: self.path.join(name),
            links: Links::Refused,
        };
        for entry in inner.entries()? {
            inner.remove_below(&entry.name, depth + 1)?;
        }
        self.remove_dir(name)
    }

    /// Makes its entries durable.
    ///
    /// # Errors
    ///
    /// When it cannot be synced.
    pub fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).map_err(|e| Error::io("sync", &self.path, e.into()))
    }

    /// The same directory, once more.
    ///
    /// # Errors
    ///
    /// When the process may have no more files open.
    pub fn again(&self) -> Result<Folder> {
        let fd = self.fd.as_fd().try_clone_to_owned();
        Ok(Folder {
            fd: fd.map_err(|e| Error::io("open", &self.path, e))?,
            path: self.path.clone(),
            links: self.links,
        })
    }

    /// The directory that the last component of `name` is in, and that component.
    fn walk_to<'n>(&self, name: &'n Path) -> Result<(Folder, &'n OsStr)> {
        let last = name.file_name().ok_or_else(|| self.outside(name))?;
        let parent = name.parent().unwrap_or(Path::new(""));
        Ok((self.folder(parent)?, last))
    }

    fn no_follow(&self) -> OFlags {
        match self.links {
            Links::Refused => OFlags::NOFOLLOW,
            Links::Followed => OFlags::empty(),
        }
    }

    fn failed(&self, verb: &str, name: &OsStr, error: rustix::io::Errno) -> Error {
        let path = self.path.join(name);
        // A directory that is to be opened and is a link is "not a directory" to the kernel.
        let may_be_link = matches!(error, rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR);
        if may_be_link && self.links == Links::Refused && path_is_link(&self.fd, name) {
            return Error::refused(format!(
                "{} is a symbolic link, which is not followed (--follow-links follows it)",
                path.display()
            ));
        }
        Error::io(verb, &path, error.into())
    }

    fn outside(&self, name: &Path) -> Error {
        Error::invalid(format!(
            "expected a name below {}, found {}",
            self.path.display(),
            name.display()
        ))
    }
}

fn path_is_link(fd: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// The components of a relative path that leads downwards only.
fn parts(name: &Path) -> impl Iterator<Item = Result<&OsStr, ()>> {
    name.components().filter_map(|part| match part {
        Component::Normal(part) => Some(Ok(part)),
        Component::CurDir => None,
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => Some(Err(())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::os::unix::fs::symlink;

    fn is_link_refused(error: &Error) -> bool {
        error.kind() == ErrorKind::Refused && error.to_string().contains("symbolic link")
    }

    fn tree() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        std::fs::create_dir_all(dir.join("data/block/chunks")).unwrap();
        std::fs::write(dir.join("data/block/chunks/000001"), b"chunks").unwrap();
        std::fs::write(dir.join("secret"), b"secret").unwrap();
        std::fs::create_dir(dir.join("elsewhere")).unwrap();
        std::fs::write(dir.join("elsewhere/000001"), b"secret").unwrap();
        symlink("../../secret", dir.join("data/block/index")).unwrap();
        symlink("../elsewhere", dir.join("data/linked")).unwrap();
        symlink("data", dir.join("named")).unwrap();
        home
    }

    fn content(file: Result<File>) -> Vec<u8> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file.unwrap(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_below_is_reached_and_links_are_refused_unless_asked_for() {
        let home = tree();
        // The link on the command line is followed.
        let named = home.path().join("named");
        let data = Folder::open(&named, Links::Refused).unwrap();
        assert_eq!(
            content(data.file("block/chunks/000001".as_ref())),
            b"chunks"
        );
        for link in ["block/index", "linked/000001"] {
            let refused = data.file(link.as_ref()).unwrap_err();
            assert!(is_link_refused(&refused), "{refused}");
        }
        assert!(is_link_refused(
            &data.folder("linked".as_ref()).unwrap_err()
        ));
        assert!(is_link_refused(
            &Folder::open_entry(&named, Links::Refused).unwrap_err()
        ));
        let follows = Folder::open(&named, Links::Followed).unwrap();
        assert_eq!(content(follows.file("block/index".as_ref())), b"secret");
        assert_eq!(content(follows.file("linked/000001".as_ref())), b"secret");
    }

    #[test]
    fn names_that_lead_upwards_are_no_names() {
        let home = tree();
        let data = Folder::open(&home.path().join("data"), Links::Followed).unwrap();
        for name in ["../secret", "block/../../secret", "/etc/passwd", "", ".."] {
            let error = data.file(name.as_ref()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
        }
    }

    #[test]
    fn entries_say_what_they_are_and_a_pipe_is_not_waited_for() {
        let home = tree();
        let data = Folder::open(&home.path().join("data"), Links::Refused).unwrap();
        rustix::fs::mkfifoat(&data.fd, "pipe", FILE_MODE).unwrap();
        let kinds: Vec<_> = data
            .entries()
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.kind, entry.is_link))
            .collect();
        assert_eq!(
            kinds,
            [
                ("block".into(), FileType::Directory, false),
                ("linked".into(), FileType::Symlink, true),
                ("pipe".into(), FileType::Fifo, false),
            ]
        );
        let error = data.file("pipe".as_ref()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let followed = Folder::open(&home.path().join("data"), Links::Followed).unwrap();
        let entries = followed.entries().unwrap();
        let linked = entries.iter().find(|entry| entry.is_link).unwrap();
        assert_eq!(linked.kind, FileType::Directory);
    }

    #[test]
    fn what_is_written_stays_below_whatever_the_names_lead_to_by_then() {
        let home = tree();
        let target = home.path().join("target");
        std::fs::create_dir(&target).unwrap();
        let folder = Folder::open(&target, Links::Refused).unwrap();
        let stage = folder.make("stage".as_ref()).unwrap();
        // Somebody moves the staging directory away and puts a link in its place.
        std::fs::rename(target.join("stage"), target.join("moved")).unwrap();
        symlink(home.path().join("elsewhere"), target.join("stage")).unwrap();
        drop(stage.create("index".as_ref()).unwrap());
        stage.make("chunks".as_ref()).unwrap();
        assert!(target.join("moved/index").is_file());
        let elsewhere = std::fs::read_dir(home.path().join("elsewhere")).unwrap();
        assert_eq!(elsewhere.count(), 1, "nothing was written through the link");
        assert!(folder.make("stage".as_ref()).is_err());
        symlink(home.path().join("secret"), target.join("taken")).unwrap();
        assert!(folder.create("taken".as_ref()).is_err());
        let rename = stage.rename("index".as_ref(), &folder, "taken".as_ref());
        assert_eq!(rename.unwrap_err().kind(), ErrorKind::AlreadyExists);
        stage
            .rename("index".as_ref(), &folder, "published".as_ref())
            .unwrap();
        folder.remove_all("moved".as_ref()).unwrap();
        folder.remove_all("stage".as_ref()).unwrap();
        assert!(home.path().join("elsewhere/000001").is_file());
        assert!(!target.join("moved").exists());
    }
}
