//! Whether a server gives a name only once, tried.

use ulid::Ulid;

use super::TEMPORARY;
use super::failure::Failure;
use super::packet::{Request, Status};
use super::place::{Inner, lock};
use super::session::Session;

impl Inner {
    /// What is known of whether a name that is taken is refused; tried if nothing is.
    pub(super) fn is_create_only(&self) -> Result<bool, Failure> {
        let known = lock(&self.known).create_only;
        if let Some(known) = known {
            return Ok(known);
        }
        let mut probe: Option<Probe> = None;
        let is_create_only = self.again(|session| {
            if let Some(before) = probe.take() {
                before.remove(session);
            }
            // Without links there is a look whether the name is free, and a rename then.
            if !session.abilities.hard_links {
                return Ok(false);
            }
            let tried = probe.insert(Probe::new(self)).link_twice(self, session);
            if !matches!(tried, Err(Failure::Lost(_)))
                && let Some(probe) = probe.take()
            {
                probe.remove(session);
            }
            tried
        })?;
        lock(&self.known).create_only = Some(is_create_only);
        Ok(is_create_only)
    }

    /// Forgets what is known of it.
    pub(super) fn forget_create_only(&self) {
        lock(&self.known).create_only = None;
    }
}

/// A file, and the name that it is given twice. Both are below `tmp`: whoever dies here leaves what
/// a dead run leaves.
struct Probe {
    file: String,
    link: String,
}

impl Probe {
    fn new(inner: &Inner) -> Self {
        let id = Ulid::generate();
        let path = |what: &str| inner.address.path_of(&format!("{TEMPORARY}/{id}-{what}"));
        Probe {
            file: path("probe"),
            link: path("link"),
        }
    }

    /// Gives the file its other name twice. The second attempt must fail.
    fn link_twice(&self, inner: &Inner, session: &Session) -> Result<bool, Failure> {
        let handle = match self.create(inner, session) {
            // The whole directory was removed since it was seen.
            Err(failure) if failure.is_missing() => {
                inner.forget_way(TEMPORARY);
                self.create(inner, session)
            }
            handle => handle,
        }?;
        session.close(&handle);
        let link = Request::HardLink(&self.file, &self.link);
        match session.done(&link) {
            // The file system has none, or the server only says that it can.
            Err(Failure::Status(..)) => return Ok(false),
            linked => linked?,
        }
        match session.done(&link) {
            // Not there: the first attempt has moved the file.
            Ok(()) | Err(Failure::Status(Status::NoSuchFile, _)) => Ok(false),
            Err(Failure::Status(..)) => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    fn create(&self, inner: &Inner, session: &Session) -> Result<Vec<u8>, Failure> {
        inner.make_dirs(session, TEMPORARY)?;
        let modes = inner.root(session)?;
        session.open(&Request::Create(&self.file, modes.file))
    }

    /// What cannot be removed is listed as left over.
    fn remove(&self, session: &Session) {
        for path in [&self.link, &self.file] {
            let _ = session.done(&Request::Remove(path));
        }
    }
}
