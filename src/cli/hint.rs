//! What to do about errors of the operating system, which know nothing of who runs narthex.

use std::error::Error as _;
use std::io;

use nix::unistd::{Uid, User};

use crate::error::Error;

/// What to do about `error`, as a sentence to go on with, if that is known.
pub(super) fn hint(error: &Error) -> Option<String> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return of_io(cause);
        }
        next = cause.source();
    }
    None
}

fn of_io(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(format!(
            "narthex runs as user {}, who may not: run it as one who may, or change the permissions",
            user()
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "there is no room left: make room and run it again; nothing that was there before is lost"
                .to_owned(),
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("it is mounted read-only: mount it for writing, or choose another place".to_owned())
        }
        _ => None,
    }
}

/// Name and number of whom narthex runs as.
fn user() -> String {
    let own = Uid::effective();
    match User::from_uid(own) {
        Ok(Some(user)) => format!("{} ({own})", user.name),
        _ => own.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn errors_of_the_system_say_what_to_do() {
        let of = |kind: io::ErrorKind| {
            let error = Error::io("open", Path::new("/data/index"), kind.into());
            hint(&error.context("block 01AB"))
        };
        let denied = of(io::ErrorKind::PermissionDenied).unwrap();
        assert!(
            denied.contains(&format!("({})", Uid::effective())),
            "{denied}"
        );
        assert!(of(io::ErrorKind::StorageFull).unwrap().contains("room"));
        assert_eq!(of(io::ErrorKind::NotFound), None);
        assert_eq!(hint(&Error::corrupt("bytes")), None);
    }
}
