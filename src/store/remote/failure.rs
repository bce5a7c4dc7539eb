//! From what the client library says to what a person can do about it.

use object_store::Error as StoreError;

use super::Inner;
use crate::error::{Error, ErrorKind};
use crate::store::{ObjectName, no_object};

/// Codes by which services say that what should hold the objects is not there. An object is not
/// merely missing then.
const NO_BUCKET: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "The specified bucket does not exist",
    "ResourceNotFound",
];

impl Inner {
    /// What went wrong while `verb` was done to `name`.
    pub(super) fn failed_object(&self, verb: &str, name: &ObjectName, error: StoreError) -> Error {
        let text = error.to_string();
        match error {
            StoreError::NotFound { .. } if !misses_bucket(&text) => no_object(name),
            error => self.failed(&format!("{verb} object {name}"), error),
        }
    }

    /// What went wrong while `what` was done.
    pub(super) fn failed(&self, what: &str, error: StoreError) -> Error {
        let text = error.to_string();
        let address = &self.address;
        if misses_bucket(&text) {
            return Error::invalid(format!(
                "cannot {what}: {} {} does not exist, or is in another region or account",
                address.service.container(),
                address.bucket
            ));
        }
        let kind = match error {
            StoreError::NotFound { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let is_denied = matches!(
            error,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
        );
        let found = Error::new(kind, format!("cannot {what} in {address}")).with_source(error);
        if is_denied {
            let credentials = &self.client.credentials;
            found.advise(format!(
                "credentials were taken from {credentials}: see which rights they have on {address}"
            ))
        } else {
            found
        }
    }
}

fn misses_bucket(text: &str) -> bool {
    NO_BUCKET.iter().any(|code| text.contains(code))
}
