//! Which object is called what, and which file names may come out of a repository.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, Hasher, is_hex};
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::store::ObjectName;

/// Name of the repository descriptor.
pub(super) const DESCRIPTOR: &str = "narthex.json";
/// Prefix of all archive manifests.
pub(super) const ARCHIVES: &str = "archives/";
/// Prefix of all blocks.
pub(super) const BLOCKS: &str = "blocks/";
/// Prefix of all packs.
pub(super) const PACKS: &str = "packs/";
/// Prefix of all WALs.
pub(super) const WAL: &str = "wal/";
/// Suffix of all objects in the portable codec.
pub(super) const OBJECT_SUFFIX: &str = ".tar.zst";

/// Suffix of all packs.
pub(super) const PACK_SUFFIX: &str = ".pack";

/// Prefix of the claims of backups that are about to commit.
pub(super) const CLAIMS: &str = "claims/";
/// Prefix of marks and warrants.
pub(super) const TRASH: &str = "trash/";
/// Prefix of all marks.
pub(super) const MARKS: &str = "trash/marks/";
/// Prefix of all warrants.
pub(super) const WARRANTS: &str = "trash/warrants/";

/// Prefix of the marks of objects that were seen damaged.
pub(super) const DAMAGE: &str = "damage/";
/// Prefix of key documents.
pub(super) const KEYS: &str = "keys/";
/// Prefix of witnesses.
pub(super) const WITNESSES: &str = "witness/";
/// Digits of the number of a key document or witness.
const KEY_DIGITS: usize = 8;

/// Prefix of objects that stand in for damaged ones.
pub(super) const MENDED: &str = "mended/";

/// Prefix of the parts of a repository that is in parts.
pub(super) const SOURCES: &str = "sources/";

/// Where stores keep what is not published yet.
pub(crate) const TEMPORARY: &str = "tmp/";
/// Hexadecimal digits behind the name of the object that is replaced.
const MENDED_DIGITS: usize = 16;

/// Where objects that hold data are.
pub(super) const DATA: [&str; 4] = [BLOCKS, PACKS, WAL, MENDED];

const MANIFEST_SUFFIX: &str = ".json";
const STAMP_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Hexadecimal digits of an [`ArchiveId`], and of the listing digest in a sidecar's name.
const ID_LEN: usize = 16;

/// Hexadecimal digits of a [`Fingerprint`].
const FINGERPRINT_LEN: usize = 32;

/// Longest file name in bytes, well inside every limit of tar and of the operating systems.
const MAX_FILE_NAME_LEN: usize = 1024;

/// Identity of an archive: 16 random lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArchiveId(String);

impl ArchiveId {
    /// A new one.
    pub fn random() -> Self {
        let random = ulid::Ulid::generate().random();
        ArchiveId(format!("{:016x}", random & u128::from(u64::MAX)))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, which are enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

/// Identity of the immutable part of a block (index and chunks) under its ULID: 32 lower-case
/// hexadecimal digits. Whoever archives decides what they are computed from; a repository only
/// compares them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The first 128 bits of the SHA-256 digest of `identity`.
    pub fn of(identity: &[u8]) -> Self {
        let mut text = Digest::of(identity).to_string();
        text.truncate(FINGERPRINT_LEN);
        Fingerprint(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a file inside a block, or inside a data directory for the WAL: relative, made of
/// plain components separated by `/`, so that it stays below the directory it is joined to.
///
/// This is the one gate for names that come from a repository: no absolute path, no `.` or `..`, no
/// empty component, no backslash, no drive, no control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is not of the form above.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let plain = |component: &str| {
            let mut parts = Path::new(component).components();
            matches!(parts.next(), Some(Component::Normal(normal)) if normal == component)
                && component.len() <= 255
                && !component.contains(|c: char| c == '\\' || c.is_control())
        };
        let drive = name.as_bytes().get(1) == Some(&b':');
        if name.len() <= MAX_FILE_NAME_LEN && !drive && name.split('/').all(plain) {
            Ok(FilePath(name))
        } else {
            Err(Error::refused(format!(
                "expected a file name of plain components, found {name:?}"
            )))
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a segment of a block: Prometheus reads the files in `chunks` whose names are
    /// numbers.
    pub fn is_segment(&self) -> bool {
        let number = self.0.strip_prefix("chunks/");
        number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether it is a file of a block that never changes once the block is published: the index,
    /// and whatever is in `chunks`.
    pub fn is_immutable(&self) -> bool {
        self.0 == "index" || self.0.starts_with("chunks/")
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Text newtypes that check themselves wherever they are parsed.
macro_rules! checked_text {
    ($($name:ident: $check:expr;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                $check(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                $check(text)
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }
    )*};
}

checked_text! {
    ArchiveId: |text| hex(text, ID_LEN, "an archive id").map(ArchiveId);
    Fingerprint: |text| hex(text, FINGERPRINT_LEN, "a fingerprint").map(Fingerprint);
    FilePath: FilePath::new;
}

fn hex(text: String, len: usize, what: &str) -> Result<String> {
    if is_hex(&text, len) {
        Ok(text)
    } else {
        Err(Error::invalid(format!(
            "expected {what} of {len} hexadecimal digits, found {text:?}"
        )))
    }
}

/// What the name of a manifest says of its archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestName {
    /// The archive's time in UTC, to the second: `YYYYMMDDThhmmssZ`. As text it sorts by time.
    pub stamp: String,
    /// The archive's id.
    pub id: ArchiveId,
}

impl ManifestName {
    /// The name for an archive of `time`.
    ///
    /// # Errors
    ///
    /// `Invalid`, when `time` lies outside the years 0 to 9999.
    pub fn new(time: Millis, id: &ArchiveId) -> Result<Self> {
        Ok(ManifestName {
            stamp: stamp_of(time)?,
            id: id.clone(),
        })
    }

    /// The archive's time, to the second.
    pub fn time(&self) -> Option<Millis> {
        time_of(&self.stamp)
    }

    /// Reads the name of a manifest; `None` when `object` cannot be one.
    pub fn parse(object: &ObjectName) -> Option<Self> {
        let name = object.as_str().strip_prefix(ARCHIVES)?;
        let (stamp, id) = name.strip_suffix(MANIFEST_SUFFIX)?.split_once('-')?;
        Some(ManifestName {
            stamp: Some(stamp).filter(|stamp| is_stamp(stamp))?.to_owned(),
            id: id.parse().ok()?,
        })
    }

    /// The object's name.
    pub fn object(&self) -> Result<ObjectName> {
        ObjectName::new(format!(
            "{ARCHIVES}{}-{}{MANIFEST_SUFFIX}",
            self.stamp, self.id
        ))
    }
}

/// Whether what is called `name`, in the store or of an upload there, is narthex' own: in a bucket
/// without a prefix others may keep theirs.
pub(crate) fn is_own_name(name: &str) -> bool {
    let own = [ARCHIVES, CLAIMS, TRASH, DAMAGE, TEMPORARY];
    let mut own = own.into_iter().chain(DATA);
    name.starts_with(DESCRIPTOR) || own.any(|prefix| name.starts_with(prefix))
}

/// Whether what is called `name` lies among the manifests, or in the place of their directory. It
/// need not be an object.
pub(super) fn is_among_manifests(name: &str) -> bool {
    name.starts_with(ARCHIVES) || Some(name) == ARCHIVES.strip_suffix('/')
}

/// Name of the witness `number`.
///
/// # Errors
///
/// None that is known.
#[cfg(feature = "encryption")]
pub(super) fn witness_object(number: u32) -> Result<ObjectName> {
    ObjectName::new(format!("{WITNESSES}{number:08}{MANIFEST_SUFFIX}"))
}

/// The number of the witness `name`; `None` when no witness has such a name.
pub(super) fn witness_number(name: &ObjectName) -> Option<u32> {
    let digits = name.as_str().strip_prefix(WITNESSES)?;
    let digits = digits.strip_suffix(MANIFEST_SUFFIX)?;
    let is_number = digits.len() == KEY_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Whether `name` is that of a key document of an encrypted repository.
pub(super) fn is_key_document(name: &ObjectName) -> bool {
    let number = name.as_str().strip_prefix(KEYS);
    let number = number.and_then(|rest| rest.strip_suffix(MANIFEST_SUFFIX));
    number.is_some_and(|digits| {
        digits.len() == KEY_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether `id`, of a repository, can be the name of a directory or file on this machine: it is
/// from the repository, and must not lead out of where it is put.
pub(crate) fn is_plain_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `time` in UTC, cut to the second: `20261121T190800Z`.
///
/// # Errors
///
/// `Invalid`, when `time` lies outside the years 0 to 9999.
pub(super) fn stamp_of(time: Millis) -> Result<String> {
    let stamp = Timestamp::from_millisecond(time)
        .map(|time| time.strftime(STAMP_FORMAT).to_string())
        .ok()
        .filter(|stamp| is_stamp(stamp));
    stamp.ok_or_else(|| Error::invalid(format!("expected a time of our era, found {time} ms")))
}

/// The time a stamp says; `None` when `text` is none.
pub(super) fn time_of(text: &str) -> Option<Millis> {
    let time = DateTime::strptime(STAMP_FORMAT, text).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond()).filter(|_| is_stamp(text))
}

/// Whether `text` looks like `20261121T190800Z`.
fn is_stamp(text: &str) -> bool {
    const SHAPE: &[u8] = b"00000000T000000Z";
    let matches = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        fixed => byte == *fixed,
    };
    text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(matches)
}

/// Name of the object that holds a block.
pub fn block_object(ulid: Ulid, fingerprint: &Fingerprint) -> Result<ObjectName> {
    ObjectName::new(format!("{BLOCKS}{ulid}/{fingerprint}{OBJECT_SUFFIX}"))
}

/// Name of the object that says how a block in the dense codec is rebuilt, and holds its other
/// files.
pub fn recipe_object(ulid: Ulid, fingerprint: &Fingerprint) -> Result<ObjectName> {
    ObjectName::new(format!(
        "{BLOCKS}{ulid}/{fingerprint}.recipe{OBJECT_SUFFIX}"
    ))
}

/// Name of the pack with the samples of a block in the dense codec.
pub fn pack_object(ulid: Ulid, fingerprint: &Fingerprint) -> Result<ObjectName> {
    ObjectName::new(format!("{PACKS}{ulid}/{fingerprint}{PACK_SUFFIX}"))
}

/// The block that a pack of this name, or the pack that it stands in for, was made of.
pub fn block_of_pack(object: &ObjectName) -> Option<Ulid> {
    let original = original(object);
    let name = original.as_ref().unwrap_or(object).as_str();
    let (ulid, file) = name.strip_prefix(PACKS)?.split_once('/')?;
    let parsed = ulid.parse().ok();
    parsed.filter(|_| file.ends_with(PACK_SUFFIX))
}

/// Reads the name of a block's object; `None` for sidecars and everything else.
pub(super) fn parse_block_object(object: &ObjectName) -> Option<(Ulid, Fingerprint)> {
    let (ulid, file) = object.as_str().strip_prefix(BLOCKS)?.split_once('/')?;
    let fingerprint = file.strip_suffix(OBJECT_SUFFIX)?.parse().ok()?;
    let parsed: Ulid = ulid.parse().ok()?;
    (parsed.to_string() == ulid).then_some((parsed, fingerprint))
}

/// Name of the object that holds the files of a block that differ from what the block's own object
/// holds: `<fingerprint>.<first 16 digits of the listing's digest>.side.tar.zst`. The listing is
/// what `sha256sum` prints for these files in order, so that the same files give the same name. A
/// second `attempt` begins the listing with a line `again`: for when the first name is taken by
/// something damaged.
pub fn side_object<'a>(
    ulid: Ulid,
    fingerprint: &Fingerprint,
    files: impl IntoIterator<Item = (&'a FilePath, Digest)>,
    attempt: u32,
) -> Result<ObjectName> {
    let mut listing = Hasher::default();
    if attempt > 0 {
        listing.update(b"again\n");
    }
    for (name, sha256) in files {
        listing.update(format!("{sha256}  {name}\n").as_bytes());
    }
    let digest = listing.finish().to_string();
    let short = digest.get(..ID_LEN).unwrap_or(&digest);
    ObjectName::new(format!(
        "{BLOCKS}{ulid}/{fingerprint}.{short}.side{OBJECT_SUFFIX}"
    ))
}

/// Whether narthex gives such names to objects with data: to blocks with their recipes and
/// sidecars, packs and WALs. Only such objects are ever deleted because no archive names them.
pub fn is_data(object: &ObjectName) -> bool {
    if let Some(original) = original(object) {
        return is_data(&original);
    }
    let name = object.as_str();
    if let Some(file) = name.strip_prefix(WAL) {
        return file
            .strip_suffix(OBJECT_SUFFIX)
            .is_some_and(|id| is_hex(id, ID_LEN));
    }
    let of_block = |prefix: &str, suffix: &str| {
        let (ulid, file) = name.strip_prefix(prefix)?.split_once('/')?;
        let mut words = file.strip_suffix(suffix)?.split('.');
        let parsed: Ulid = ulid.parse().ok()?;
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Some(
            parsed.to_string() == ulid
                && is_hex(words.next()?, FINGERPRINT_LEN)
                && words.all(is_word),
        )
    };
    of_block(BLOCKS, OBJECT_SUFFIX) == Some(true) || of_block(PACKS, PACK_SUFFIX) == Some(true)
}

/// The name of an object as one component of another name: `_` for each `/`. Names of data hold no
/// `_` of their own, but for those of mended objects behind their first component.
pub(super) fn flat(object: &ObjectName) -> String {
    object.as_str().replace('/', "_")
}

/// The object whose [`flat`] name is `text`, if there can be one.
pub(super) fn unflat(text: &str) -> Option<ObjectName> {
    let prefix = MENDED.trim_end_matches('/');
    let mended = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'));
    let name = match mended {
        Some(rest) => format!("{MENDED}{rest}"),
        None => text.replace('_', "/"),
    };
    let name = ObjectName::new(name).ok()?;
    (flat(&name) == text).then_some(name)
}

/// Whether a replacement may stand in for `object`.
pub(super) fn can_be_mended(object: &ObjectName) -> bool {
    object.as_str() == DESCRIPTOR || (!object.as_str().starts_with(MENDED) && is_data(object))
}

/// What the replacement `object` stands in for; `None` when it is none.
pub fn original(object: &ObjectName) -> Option<ObjectName> {
    let rest = object.as_str().strip_prefix(MENDED)?;
    let (flat, digits) = rest.rsplit_once('.')?;
    let original = unflat(flat).filter(can_be_mended)?;
    is_hex(digits, MENDED_DIGITS).then_some(original)
}

/// Name of the object that holds the WAL and WBL of one archive.
pub fn wal_object(id: &ArchiveId) -> Result<ObjectName> {
    ObjectName::new(format!("{WAL}{id}{OBJECT_SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";

    #[test]
    fn no_file_name_leaves_its_directory() {
        for good in [
            "meta.json",
            "chunks/000001",
            "wal/checkpoint.00000011/00000000",
            "ä b",
            "...",
            "ab:c",
        ] {
            assert_eq!(FilePath::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            "./a",
            "a/.",
            "a/..",
            "../a",
            "a/../../b",
            "a\\..\\b",
            "C:",
            "C:\\a",
            "c:a",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            &"x".repeat(256),
            &"x/".repeat(600),
        ] {
            assert!(FilePath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let id = ArchiveId::random();
        let manifest = ManifestName::new(1_795_288_065_445, &id).unwrap();
        assert_eq!(manifest.stamp, "20261121T190745Z");
        assert_eq!(
            ManifestName::parse(&manifest.object().unwrap()),
            Some(manifest)
        );

        let ulid: Ulid = BLOCK.parse().unwrap();
        let fingerprint = Fingerprint::of(b"x");
        let block = block_object(ulid, &fingerprint).unwrap();
        assert_eq!(
            parse_block_object(&block),
            Some((ulid, fingerprint.clone()))
        );
        let file = FilePath::new("meta.json").unwrap();
        let side = side_object(ulid, &fingerprint, [(&file, Digest::of(b""))], 0).unwrap();
        assert_eq!(parse_block_object(&side), None, "a sidecar is no block");
        assert!(side.as_str().ends_with(".side.tar.zst"));
    }

    #[test]
    fn a_stamp_is_read_as_it_is_written() {
        let stamp = stamp_of(1_795_288_065_445).unwrap();
        assert_eq!(time_of(&stamp), Some(1_795_288_065_000));
        assert!(stamp_of(i64::MAX).is_err());
        for odd in [
            "",
            "20261121T190745",
            "20261321T190745Z",
            "2026-11-21T19:07:45Z",
        ] {
            assert_eq!(time_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn data_is_told_from_what_only_lies_beside_it() {
        let ulid: Ulid = BLOCK.parse().unwrap();
        let (fingerprint, file) = (Fingerprint::of(b"x"), FilePath::new("meta.json").unwrap());
        for ours in [
            block_object(ulid, &fingerprint),
            recipe_object(ulid, &fingerprint),
            pack_object(ulid, &fingerprint),
            side_object(ulid, &fingerprint, [(&file, Digest::of(b""))], 1),
            wal_object(&ArchiveId::random()),
        ] {
            assert!(is_data(ours.as_ref().unwrap()), "{ours:?}");
        }
        let digits = fingerprint.as_str();
        for odd in [
            "narthex.json".to_owned(),
            "wal/notes.tar.zst".to_owned(),
            "blocks/backup.tar.zst".to_owned(),
            format!("blocks/{BLOCK}/backup.tar.zst"),
            format!("blocks/{BLOCK}/{digits}.tar"),
            format!("blocks/{BLOCK}/{digits}.my_copy.tar.zst"),
            format!("blocks/{}/{digits}.tar.zst", BLOCK.to_lowercase()),
            format!("packs/{BLOCK}/old/{digits}.pack"),
        ] {
            assert!(!is_data(&ObjectName::new(odd.as_str()).unwrap()), "{odd}");
        }
    }

    #[test]
    fn names_that_only_look_alike_are_not_read() {
        for odd in [
            "archives/20261121T190745Z-0123456789abcde.json",
            "archives/20261121T190745Z-0123456789ABCDEF.json",
            "archives/20261121-190745Z-0123456789abcdef.json",
            "archives/a/20261121T190745Z-0123456789abcdef.json",
            "20261121T190745Z-0123456789abcdef.json",
        ] {
            assert_eq!(
                ManifestName::parse(&ObjectName::new(odd).unwrap()),
                None,
                "{odd}"
            );
        }
        let fingerprint = Fingerprint::of(b"x");
        let lower = format!("blocks/{}/{fingerprint}.tar.zst", BLOCK.to_lowercase());
        assert_eq!(parse_block_object(&ObjectName::new(lower).unwrap()), None);
    }
}
