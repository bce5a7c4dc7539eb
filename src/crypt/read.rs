//! Decrypting ranges of a stored object.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};

use super::identity::Identities;
use super::layout::{CHUNK, ChunkLayout};
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};

/// Longest header that is read, in bytes; what is read first of an object holds it.
pub const MAX_HEADER: u64 = 16 << 10;

/// An object of at most so many stored bytes is read in one go.
const SMALL: u64 = MAX_HEADER + CHUNK;

/// How every age file begins, whatever its version.
const ANY_MAGIC: &[u8] = b"age-encryption.org/";

/// How one of version 1 begins.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// How the last line of a header begins.
const LAST_LINE: &[u8] = b"--- ";

/// Bytes of the nonce behind the header.
const NONCE: usize = super::window::NONCE;

/// Reads ranges of the stored bytes of an object.
pub type Fetch<'a> = &'a dyn Fn(Range<u64>) -> Result<Vec<u8>>;

/// What can be told of an encrypted object without any key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The header and the nonce behind it.
    header: Vec<u8>,
    layout: ChunkLayout,
}

impl Envelope {
    /// Reads the header of an object of `stored` bytes, in one read; an object of up to 80 KiB is
    /// read whole. Gives back what was read, too, which [`RangeReader::new`] makes use of.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when it is no age file, or one that was cut off; `Unsupported`, when it is one of
    /// another version or has a header of more than [`MAX_HEADER`] bytes; what `fetch` says.
    pub fn read(stored: u64, fetch: Fetch<'_>) -> Result<(Self, Vec<u8>)> {
        let wanted = if stored <= SMALL { stored } else { MAX_HEADER };
        let first = fetch_exactly(0..wanted, fetch)?;
        let envelope = Self::parse(&first, stored)?;
        Ok((envelope, first))
    }

    /// The same of the first bytes of an object of `stored` bytes.
    pub fn parse(first: &[u8], stored: u64) -> Result<Self> {
        let header = find_header(first, stored)?.to_vec();
        Decryptor::new_buffered(Window::header(&header)).map_err(spoiled)?;
        let layout = ChunkLayout::new(header.len() as u64, stored)?;
        Ok(Envelope { header, layout })
    }

    /// Bytes of the plaintext, if nobody has changed anything: only [`RangeReader::new`] proves it.
    pub fn plain_size(&self) -> u64 {
        self.layout.plain()
    }

    /// Bytes of the object as it is stored.
    pub fn stored_size(&self) -> u64 {
        self.layout.stored()
    }
}

/// The whole plaintext of an object that is in memory as it is stored.
///
/// # Errors
///
/// As [`Envelope::read`] and [`RangeReader::new`].
pub fn decrypt(stored: &[u8], identities: &Identities) -> Result<Vec<u8>> {
    let envelope = Envelope::parse(stored, stored.len() as u64)?;
    let key = unwrap_key(&envelope, identities)?;
    let span = envelope.layout.header()..envelope.layout.stored();
    let chunks = slice(stored, &span).unwrap_or_default();
    decrypt_range(&envelope, &key, chunks, 0..envelope.plain_size())
}

/// Decrypts ranges of one object: knows its key, its sizes, and its last chunk. It is to be kept
/// for as long as the object is read: what it knows is not asked for again.
pub struct RangeReader {
    envelope: Envelope,
    key: FileKey,
    /// Where the plaintext of the last chunk begins, and it.
    last: (u64, Vec<u8>),
}

impl RangeReader {
    /// Finds the key of the object, and proves by its last chunk that nothing was cut off. `first`
    /// is what [`Envelope::read`] has read; if the last chunk is not in it, that is fetched: it is
    /// also what most formats are read by first.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is encrypted to others than `identities`; `Corrupt`, when header or last
    /// chunk are not what was encrypted, or another chunk is the last; what `fetch` says.
    pub fn new(
        envelope: Envelope,
        first: &[u8],
        identities: &Identities,
        fetch: Fetch<'_>,
    ) -> Result<Self> {
        let key = unwrap_key(&envelope, identities)?;
        let (begin, span) = envelope.layout.last();
        let fetched;
        let chunk = match slice(first, &span) {
            Some(chunk) => chunk,
            None => {
                fetched = fetch_exactly(span, fetch)?;
                &fetched
            }
        };
        let plain = decrypt_range(&envelope, &key, chunk, begin..envelope.plain_size())?;
        Ok(RangeReader {
            envelope,
            key,
            last: (begin, plain),
        })
    }

    /// Bytes of the plaintext.
    pub fn plain_size(&self) -> u64 {
        self.envelope.plain_size()
    }

    /// Bytes of the object as it is stored.
    pub fn stored_size(&self) -> u64 {
        self.envelope.stored_size()
    }

    /// The plaintext in `range`. Fetches the chunks that hold it in one read, or nothing, if that
    /// is the last chunk.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when the plaintext ends before the range does, or a chunk is not what was
    /// encrypted; what `fetch` says.
    pub fn read(&self, range: Range<u64>, fetch: Fetch<'_>) -> Result<Vec<u8>> {
        let plain = self.plain_size();
        if range.start > range.end || range.end > plain {
            return Err(Error::corrupt(format!(
                "expected an object to hold bytes {} to {}, found {plain} bytes",
                range.start, range.end
            )));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (begin, last) = &self.last;
        if let Some(start) = range.start.checked_sub(*begin) {
            let end = range.end.saturating_sub(*begin);
            let known = slice(last, &(start..end)).unwrap_or_default();
            return Ok(known.to_vec());
        }
        let chunks = fetch_exactly(self.envelope.layout.span(&range), fetch)?;
        decrypt_range(&self.envelope, &self.key, &chunks, range)
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.plain_size(), self.stored_size());
        f.debug_tuple("RangeReader").field(&sizes).finish()
    }
}

/// Those of `bytes` that `range` says.
fn slice<'b>(bytes: &'b [u8], range: &Range<u64>) -> Option<&'b [u8]> {
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end).ok()?;
    bytes.get(start..end)
}

fn fetch_exactly(range: Range<u64>, fetch: Fetch<'_>) -> Result<Vec<u8>> {
    let wanted = range.end.saturating_sub(range.start);
    let fetched = fetch(range)?;
    if fetched.len() as u64 == wanted {
        return Ok(fetched);
    }
    Err(Error::corrupt(format!(
        "expected {wanted} bytes of an encrypted object, found {}",
        fetched.len()
    )))
}

/// The plaintext in `range`, which is not beyond the end, of `chunks`, which hold it.
fn decrypt_range(
    envelope: &Envelope,
    key: &FileKey,
    chunks: &[u8],
    range: Range<u64>,
) -> Result<Vec<u8>> {
    let layout = &envelope.layout;
    let whole = range.end == layout.plain();
    let begin = if range.is_empty() {
        layout.header()
    } else {
        layout.span(&range).start
    };
    let window = Window::new(&envelope.header, begin, chunks, layout.stored());
    let known = Known(key);
    let decryptor = Decryptor::new_buffered(window).map_err(spoiled)?;
    let mut stream = decryptor
        .decrypt([&known as &dyn age::Identity].into_iter())
        .map_err(spoiled)?;
    let length = usize::try_from(range.end.saturating_sub(range.start));
    let mut plain = vec![0; length.map_err(|_| Error::invalid("a range beyond all memory"))?];
    let mut read = || {
        if range.start.is_multiple_of(CHUNK) && range.start > 0 {
            // At the first byte of a chunk the stream would look for the last chunk, which is not
            // in the window. From the second byte on it only goes back.
            stream.seek(SeekFrom::Start(range.start.saturating_add(1)))?;
        }
        stream.seek(SeekFrom::Start(range.start))?;
        stream.read_exact(&mut plain)?;
        // Only what comes behind says that the last chunk is the last.
        if whole && stream.read(&mut [0])? != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    };
    read().map_err(|e: io::Error| {
        Error::corrupt(
            "an encrypted object was changed since it was encrypted, was cut off, or is another's",
        )
        .with_source(e)
    })?;
    Ok(plain)
}

/// The file key, once it is known.
struct Known<'k>(&'k FileKey);

impl age::Identity for Known<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(copy(self.0)))
    }
}

fn copy(key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|bytes| bytes.copy_from_slice(key.expose_secret()))
}

/// Finds the file key by any of the identities, and sees to it that the header is unchanged.
fn unwrap_key(envelope: &Envelope, identities: &Identities) -> Result<FileKey> {
    let seeker = Seeker {
        identities,
        found: RefCell::new(None),
        recipients: RefCell::new(String::new()),
    };
    let header = Window::header(&envelope.header);
    let decryptor = Decryptor::new_buffered(header).map_err(spoiled)?;
    let opened = decryptor.decrypt([&seeker as &dyn age::Identity].into_iter());
    match opened {
        Ok(_) => {}
        Err(DecryptError::NoMatchingKeys) => {
            return Err(Error::refused(format!(
                "none of the identities given can read what is encrypted to {}",
                seeker.recipients.into_inner()
            ))
            .advise("give the one that can with --identity FILE"));
        }
        Err(e) => return Err(spoiled(e)),
    }
    let found = seeker.found.into_inner();
    found.ok_or_else(|| Error::corrupt("the header of an encrypted object holds no key"))
}

/// All identities as one, which remembers the key that they find, and what there was to find.
struct Seeker<'i> {
    identities: &'i Identities,
    found: RefCell<Option<FileKey>>,
    recipients: RefCell<String>,
}

impl age::Identity for Seeker<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        None
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        *self.recipients.borrow_mut() = tell(stanzas);
        let mut failed = None;
        for identity in self.identities.iter() {
            match identity.as_age().unwrap_stanzas(stanzas) {
                Some(Ok(key)) => {
                    *self.found.borrow_mut() = Some(copy(&key));
                    return Some(Ok(key));
                }
                Some(Err(e)) => failed = failed.or(Some(Err(e))),
                None => {}
            }
        }
        failed
    }
}

/// To whom something is encrypted, as far as its header tells.
fn tell(stanzas: &[Stanza]) -> String {
    let mut nameless = 0_u32;
    let mut told = Vec::new();
    for stanza in stanzas {
        match stanza.tag.as_str() {
            "X25519" => nameless += 1,
            // The tag is what `ssh-keygen -l` begins its fingerprint with, but for its last digit,
            // of which only two bits are there.
            "ssh-ed25519" | "ssh-rsa" => {
                let tag = stanza.args.first().map_or("", String::as_str);
                let digits = tag.get(..5).unwrap_or(tag);
                told.push(format!("{} SHA256:{digits}…", stanza.tag));
            }
            // What age puts there so that nobody relies on there being nothing else.
            tag if tag.ends_with("-grease") => {}
            "scrypt" => told.push("a passphrase".to_owned()),
            _ => told.push("a recipient of another kind".to_owned()),
        }
    }
    match nameless {
        0 => {}
        1 => told.push("one age1… recipient (the header does not say which)".to_owned()),
        more => told.push(format!(
            "{more} age1… recipients (the header does not say which)"
        )),
    }
    if told.is_empty() {
        told.push("nobody".to_owned());
    }
    told.join(", ")
}

/// Header and nonce, which are what an age file begins with; `first` are its first bytes, `stored`
/// is how many it has.
fn find_header(first: &[u8], stored: u64) -> Result<&[u8]> {
    if !first.starts_with(MAGIC) {
        return Err(match first.starts_with(ANY_MAGIC) {
            true => Error::unsupported("expected an age file of version 1, found another version"),
            false => Error::corrupt("expected an encrypted object (age), found something else"),
        });
    }
    let limit = usize::try_from(MAX_HEADER).unwrap_or(usize::MAX);
    let begin = first.get(..limit).unwrap_or(first);
    let mut lines = begin.split_inclusive(|byte| *byte == b'\n');
    let mut length = 0_usize;
    let ended = lines.any(|line| {
        length = length.saturating_add(line.len());
        line.starts_with(LAST_LINE) && line.ends_with(b"\n")
    });
    let header = first.get(..length.saturating_add(NONCE));
    match header.filter(|_| ended) {
        Some(header) => Ok(header),
        None if !ended && stored > MAX_HEADER => Err(Error::unsupported(format!(
            "expected the header of an encrypted object within {MAX_HEADER} bytes, found a longer \
             one"
        ))),
        None => Err(Error::corrupt(
            "the header of an encrypted object is cut off",
        )),
    }
}

fn spoiled(error: DecryptError) -> Error {
    let kind = match error {
        DecryptError::ExcessiveWork { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, "the header of an encrypted object is damaged").with_source(error)
}
