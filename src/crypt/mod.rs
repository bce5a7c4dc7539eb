//! Encryption of objects, and signatures: nobody reads a repository who has only the place where it
//! lies, and nobody writes what a host believes.
//!
//! Objects are encrypted to [`Recipients`] and decrypted with [`Identities`], as files of
//! [age](https://age-encryption.org/v1) version 1: `age -d -i FILE` reads what is written here, and
//! what `age -r` writes is read. [`EncryptedStore`] does it for all objects of a store;
//! [`encrypt`] and [`RangeReader`] for one.
//!
//! # Secrets
//!
//! No secret is in an error, in `Debug` or in `Display`. Whoever has a recipient can write, but read
//! nothing, not even what it has written itself.
//!
//! # Hostile input
//!
//! Any bytes may stand in place of an encrypted object. At most [`MAX_HEADER`] bytes are a header;
//! what is allocated is what the caller asked for and the chunks that hold it.
//!
//! ```
//! use std::io::Write as _;
//!
//! use narthex::crypt::{Identities, Identity, Recipients, decrypt, encrypt};
//!
//! let identities = Identities::new([Identity::generate()])?;
//! let recipients = Recipients::new(identities.recipients())?;
//! let mut encrypting = encrypt(Vec::new(), &recipients)?;
//! encrypting.write_all(b"0123456789").expect("memory takes it");
//! let stored = encrypting.finish().expect("memory takes it");
//! assert!(stored.starts_with(b"age-encryption.org/v1\n"));
//! assert_eq!(decrypt(&stored, &identities)?, b"0123456789");
//! # Ok::<(), narthex::Error>(())
//! ```

mod identity;
mod known;
mod layout;
mod read;
mod recipient;
mod store;
mod window;
mod write;

pub use identity::{Identities, Identity, IdentityFile, KeyExposure};
pub use layout::{CHUNK, TAG};
pub use read::{Envelope, Fetch, MAX_HEADER, RangeReader, decrypt};
pub use recipient::{MAX_RECIPIENTS, Recipient, Recipients};
pub use store::{EncryptedStore, InClear};
pub use write::{Encrypting, encrypt};
