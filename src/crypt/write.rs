//! Encrypting.

use std::fmt;
use std::io::{self, Write};

use age::EncryptError;
use age::stream::StreamWriter;

use super::recipient::Recipients;
use crate::error::{Error, ErrorKind, Result};

/// Begins an age file in `output` that each of `recipients` can read. What is written to the result
/// is encrypted, in chunks of 64 KiB, and [`Encrypting::finish`] ends the file: nothing reads one
/// that was not ended.
///
/// # Errors
///
/// `Io`, when the header cannot be written.
pub fn encrypt<W: Write>(output: W, recipients: &Recipients) -> Result<Encrypting<W>> {
    let failed =
        |e: EncryptError| Error::invalid("cannot encrypt to these recipients").with_source(e);
    let encryptor = age::Encryptor::with_recipients(recipients.as_age()).map_err(failed)?;
    let inner = encryptor.wrap_output(output).map_err(|e| {
        Error::new(
            ErrorKind::Io,
            "cannot write the header of an encrypted object",
        )
        .with_source(e)
    })?;
    Ok(Encrypting { inner })
}

/// Encrypts what is written to it; see [`encrypt`]. Holds one chunk, 64 KiB.
pub struct Encrypting<W> {
    inner: StreamWriter<W>,
}

impl<W: Write> Encrypting<W> {
    /// Writes the last chunk, and gives back what was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.inner.finish()
    }
}

impl<W: Write> Write for Encrypting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for Encrypting<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encrypting")
    }
}
