//! Encryption of objects, and signatures: nobody reads a repository who has only the place where it
//! lies, and nobody writes what a host believes.
//!
//! Objects are encrypted to [`Recipients`] and decrypted with [`Identities`], as files of
//! [age](https://age-encryption.org/v1) version 1: `age -d -i FILE` reads what is written here, and
//! what `age -r` writes is read. [`EncryptedStore`] does it for all objects of a store;
//! [`encrypt`] and [`RangeReader`] for one.
//!
//! # What is stored
//!
//! An encrypted object is a file of age version 1, not armoured:
//!
//! | bytes | what |
//! |---|---|
//! | *h*, at most 16,368 | the header: text that ends with the first line that begins with `--- ` |
//! | 16 | the nonce |
//! | 65,552 each | chunks of 65,536 bytes of plaintext and a tag of 16 |
//! | 16 to 65,552 | the last chunk, with its tag; without plaintext only if the object is empty |
//!
//! So an object of *s* stored bytes has *n* = ⌈(*s* − *h* − 16) / 65,552⌉ chunks and
//! *s* − *h* − 16 − 16 *n* bytes of plaintext, and the plaintext from byte *p* on is in the chunk
//! ⌊*p* / 65,536⌋. A size that no plaintext has is that of an object that was cut off; one that was
//! cut off between two chunks is noticed because its last chunk was not encrypted as the last. Each
//! object has a key of its own: the same content is stored as other bytes each time, and a digest
//! of stored bytes says nothing of the content.
//!
//! The header says in clear of which kind the recipients are and how many there are, and of SSH
//! keys the first four bytes of their digest. Names and sizes of objects are not hidden.
//!
//! **What that does not prove.** Whoever has a recipient, which is public, can encrypt another
//! object and put it in the place of one. That an object is the one that was written is proved by a
//! digest in a manifest, and that the manifest is a host's by its signature: [`sign`], [`keys`].
//!
//! # Secrets
//!
//! No secret is in an error, in `Debug` or in `Display`. Whoever has a recipient can write, but
//! read nothing, not even what it has written itself.
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

mod document;
mod envelope;
mod identity;
pub mod keys;
mod known;
mod layout;
mod read;
mod recipient;
pub mod sign;
mod store;
mod unwrap;
mod window;
mod write;

pub use document::{sign_document, split_document};
pub use envelope::{Envelope, Fetch, MAX_HEADER};
pub use identity::{Identities, Identity, IdentityFile, KeyExposure};
pub use layout::{CHUNK, TAG};
pub use read::{RangeReader, decrypt};
pub use recipient::{MAX_RECIPIENTS, Recipient, Recipients};
pub use store::{EncryptedStore, InClear};
pub use write::{Encrypting, encrypt};
