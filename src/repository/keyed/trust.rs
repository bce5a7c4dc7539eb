//! Whose word an archive is.

use super::KeyedStore;
use crate::crypt::keys::Standing;
use crate::crypt::sign::{ARCHIVE_NAMESPACE, Signature};
use crate::error::{Error, Result};
use crate::repository::cover::{Cover, signature};
use crate::store::ObjectName;

/// Whose word an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// A key has signed it that may, whose fingerprint this is; or nobody has to.
    Signed(String),
    /// No key document names any signer: whoever can write into the repository is believed.
    Anybody,
    /// A key has signed it that could once; why it cannot any more. It counts where a witness has
    /// seen it before.
    Retired(String),
    /// Nobody has signed it who ever could; why.
    Nobody(String),
}

impl KeyedStore {
    /// Whose word the manifest `document` with the cover `cover` is.
    pub fn trust(&self, document: &[u8], cover: &Cover) -> Voucher {
        if self.chain.newest().signers.is_empty() {
            return Voucher::Anybody;
        }
        let nobody = |error: Error| Voucher::Nobody(error.chain());
        let Some((signed, digits)) = signature(document) else {
            return Voucher::Nobody("nobody has signed it".to_owned());
        };
        let read = Signature::from_line(digits).and_then(|it| Ok((it.signer()?, it)));
        let (key, found) = match read {
            Ok(read) => read,
            Err(error) => return nobody(error),
        };
        if let Err(error) = key.verify(ARCHIVE_NAMESPACE, signed, &found) {
            return nobody(error);
        }
        let name = key.fingerprint();
        match self.chain.standing(&key, &cover.source) {
            Standing::Allowed => Voucher::Signed(name),
            Standing::Retired { by } => Voucher::Retired(format!(
                "{name} has signed it, which key document {by} took its right"
            )),
            Standing::Unknown => Voucher::Nobody(format!(
                "{name} has signed it, which may not sign for its source"
            )),
        }
    }

    /// Refuses an archive that is nobody's word who counts.
    pub(super) fn refuse_untrusted(
        &self,
        name: &ObjectName,
        document: &[u8],
        cover: &Cover,
    ) -> Result<()> {
        if self.keyring.accept_unsigned {
            return Ok(());
        }
        let own = &self.chain.newest().repository;
        if cover.repository != *own {
            return Err(untrusted(&format!(
                "it is of repository {}, and was brought here, into {own}",
                cover.repository
            )));
        }
        match self.trust(document, cover) {
            Voucher::Signed(_) | Voucher::Anybody => Ok(()),
            // It may have been made since, by whoever has the key, of any time.
            Voucher::Retired(_) if self.has_seen(name, document)? => Ok(()),
            Voucher::Retired(why) => Err(untrusted(&format!(
                "{why}, and no witness says that it was there before"
            ))),
            Voucher::Nobody(why) => Err(untrusted(&why)),
        }
    }
}

/// The error for an archive that is nobody's word who counts.
pub(super) fn untrusted(why: &str) -> Error {
    Error::refused(format!("the archive counts for nothing: {why}")).advise(
        "if it is known where it comes from, --accept-unsigned reads it; narthex forget ID removes it",
    )
}
