//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), as bytes.
//!
//! What arrives was written by another machine: every length is held against the bytes that are
//! there before anything is done with it, and no packet is longer than [`MAX_PACKET`].

use crate::store::traffic::Deed;

/// Longest packet that is read, in bytes: servers send no more than 256 KiB, and data of the size
/// that was asked for.
pub(super) const MAX_PACKET: usize = 320 << 10;

/// The version that is spoken.
pub(super) const VERSION: u32 = 3;

const INIT: u8 = 1;
const VERSION_REPLY: u8 = 2;
const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const SETSTAT: u8 = 9;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const MKDIR: u8 = 14;
const RMDIR: u8 = 15;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAMES: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED: u8 = 200;

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_MODE: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_MORE: u32 = 0x8000_0000;

const FOR_READING: u32 = 1;
const FOR_WRITING: u32 = 2;
const CREATE: u32 = 8;
const EXCLUSIVE: u32 = 0x20;

/// The extension that gives a file another name, unless that is taken.
pub(super) const HARD_LINK: &str = "hardlink@openssh.com";
/// The extension that makes a file durable.
pub(super) const FSYNC: &str = "fsync@openssh.com";

/// What a server calls an open file or directory.
pub(super) type Handle = Vec<u8>;

/// What is asked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request<'r> {
    /// Opens a file to read it.
    Read(&'r str),
    /// Makes a file of these permissions, which must not be there.
    Create(&'r str, u32),
    /// Opens a file that is there to go on writing it.
    Reopen(&'r str),
    Close(&'r [u8]),
    /// Bytes of a file from an offset on.
    Get(&'r [u8], u64, u32),
    Put(&'r [u8], u64, &'r [u8]),
    /// What is known of a name; a link is not followed.
    LinkStat(&'r str),
    Stat(&'r str),
    FileStat(&'r [u8]),
    /// Sets when a file was read and written.
    SetTimes(&'r str, u32),
    OpenDir(&'r str),
    ReadDir(&'r [u8]),
    Remove(&'r str),
    MakeDir(&'r str, u32),
    RemoveDir(&'r str),
    Rename(&'r str, &'r str),
    HardLink(&'r str, &'r str),
    Fsync(&'r [u8]),
}

impl Request<'_> {
    /// What it counts as.
    pub(super) fn deed(&self) -> Deed {
        match self {
            Request::OpenDir(_) | Request::ReadDir(_) => Deed::List,
            Request::Read(_)
            | Request::Get(..)
            | Request::LinkStat(_)
            | Request::Stat(_)
            | Request::FileStat(_)
            | Request::Close(_) => Deed::Read,
            Request::Remove(_) | Request::RemoveDir(_) => Deed::Delete,
            Request::Create(..)
            | Request::Reopen(_)
            | Request::Put(..)
            | Request::SetTimes(..)
            | Request::MakeDir(..)
            | Request::Rename(..)
            | Request::HardLink(..)
            | Request::Fsync(_) => Deed::Write,
        }
    }
}

/// A packet on its way to the server.
struct Writer(Vec<u8>);

impl Writer {
    fn begin(kind: u8, id: u32) -> Self {
        let mut writer = Writer(vec![0, 0, 0, 0, kind]);
        writer.number(id);
        writer
    }

    fn number(&mut self, value: u32) {
        self.0.extend(value.to_be_bytes());
    }

    fn long(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.number(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend(value);
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn mode(&mut self, mode: u32) {
        self.number(HAS_MODE);
        self.number(mode);
    }

    fn end(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(place) = self.0.first_chunk_mut::<4>() {
            *place = len.to_be_bytes();
        }
        self.0
    }
}

/// The packet that begins a session.
pub(super) fn hello() -> Vec<u8> {
    // In the place of the id of a request it has the version.
    Writer::begin(INIT, VERSION).end()
}

impl Request<'_> {
    /// The request as a packet, length in front.
    pub(super) fn encode(&self, id: u32) -> Vec<u8> {
        let begin = |kind| Writer::begin(kind, id);
        let of_path = |kind, path: &str| {
            let mut packet = begin(kind);
            packet.text(path);
            packet
        };
        let of_handle = |kind, handle: &[u8]| {
            let mut packet = begin(kind);
            packet.bytes(handle);
            packet
        };
        let packet = match *self {
            Request::Read(path) => {
                let mut packet = of_path(OPEN, path);
                packet.number(FOR_READING);
                packet.number(0);
                packet
            }
            Request::Create(path, mode) => {
                let mut packet = of_path(OPEN, path);
                packet.number(FOR_WRITING | CREATE | EXCLUSIVE);
                packet.mode(mode);
                packet
            }
            Request::Reopen(path) => {
                let mut packet = of_path(OPEN, path);
                packet.number(FOR_WRITING);
                packet.number(0);
                packet
            }
            Request::Close(handle) => of_handle(CLOSE, handle),
            Request::Get(handle, offset, len) => {
                let mut packet = of_handle(READ, handle);
                packet.long(offset);
                packet.number(len);
                packet
            }
            Request::Put(handle, offset, data) => {
                let mut packet = of_handle(WRITE, handle);
                packet.long(offset);
                packet.bytes(data);
                packet
            }
            Request::LinkStat(path) => of_path(LSTAT, path),
            Request::Stat(path) => of_path(STAT, path),
            Request::FileStat(handle) => of_handle(FSTAT, handle),
            Request::SetTimes(path, time) => {
                let mut packet = of_path(SETSTAT, path);
                packet.number(HAS_TIMES);
                packet.number(time);
                packet.number(time);
                packet
            }
            Request::OpenDir(path) => of_path(OPENDIR, path),
            Request::ReadDir(handle) => of_handle(READDIR, handle),
            Request::Remove(path) => of_path(REMOVE, path),
            Request::MakeDir(path, mode) => {
                let mut packet = of_path(MKDIR, path);
                packet.mode(mode);
                packet
            }
            Request::RemoveDir(path) => of_path(RMDIR, path),
            Request::Rename(from, to) => {
                let mut packet = of_path(RENAME, from);
                packet.text(to);
                packet
            }
            Request::HardLink(from, to) => {
                let mut packet = of_path(EXTENDED, HARD_LINK);
                packet.text(from);
                packet.text(to);
                packet
            }
            Request::Fsync(handle) => {
                let mut packet = of_path(EXTENDED, FSYNC);
                packet.bytes(handle);
                packet
            }
        };
        packet.end()
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(Status, String),
    Handle(Handle),
    Data(Vec<u8>),
    Names(Vec<Entry>),
    Attributes(Attributes),
    /// Of a kind that no request here gets.
    Other(u8),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    End,
    NoSuchFile,
    Denied,
    /// No more is said of most things that go wrong: a name that is taken, a full disk.
    Failure,
    Unsupported,
    Other(u32),
}

impl Status {
    fn of(code: u32) -> Self {
        match code {
            0 => Status::Done,
            1 => Status::End,
            2 => Status::NoSuchFile,
            3 => Status::Denied,
            4 => Status::Failure,
            8 => Status::Unsupported,
            other => Status::Other(other),
        }
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub size: Option<u64>,
    pub mode: Option<u32>,
    /// When it was last written, in seconds.
    pub modified: Option<u32>,
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Dir,
    /// A link, a pipe, or what the server does not say.
    Other,
}

impl Attributes {
    pub(super) fn kind(&self) -> Kind {
        match self.mode.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => Kind::File,
            Some(0o040_000) => Kind::Dir,
            _ => Kind::Other,
        }
    }
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: Vec<u8>,
    pub attributes: Attributes,
}

/// Says what was expected of a packet, and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled(pub(super) &'static str);

/// Bytes of a packet that were not read yet.
struct Reader<'p>(&'p [u8]);

impl<'p> Reader<'p> {
    fn take(&mut self, len: usize) -> Result<&'p [u8], Garbled> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Garbled("a packet that goes on"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let taken = self.take(N)?.first_chunk::<N>().copied();
        taken.ok_or(Garbled("a packet that goes on"))
    }

    fn byte(&mut self) -> Result<u8, Garbled> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn number(&mut self) -> Result<u32, Garbled> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn long(&mut self) -> Result<u64, Garbled> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'p [u8], Garbled> {
        let len = self.number()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn attributes(&mut self) -> Result<Attributes, Garbled> {
        let mut attributes = Attributes::default();
        let flags = self.number()?;
        if flags & HAS_SIZE != 0 {
            attributes.size = Some(self.long()?);
        }
        if flags & HAS_OWNER != 0 {
            self.long()?;
        }
        if flags & HAS_MODE != 0 {
            attributes.mode = Some(self.number()?);
        }
        if flags & HAS_TIMES != 0 {
            self.number()?;
            attributes.modified = Some(self.number()?);
        }
        if flags & HAS_MORE != 0 {
            for _ in 0..self.number()? {
                self.bytes()?;
                self.bytes()?;
            }
        }
        Ok(attributes)
    }

    fn names(&mut self) -> Result<Vec<Entry>, Garbled> {
        // Room follows from what is there, not from the number that is said.
        let mut names = Vec::new();
        for _ in 0..self.number()? {
            let name = self.bytes()?.to_vec();
            // As `ls -l` shows it.
            self.bytes()?;
            let attributes = self.attributes()?;
            names.push(Entry { name, attributes });
        }
        Ok(names)
    }
}

/// Reads an answer, without its length: the id of the request that it is to, and what it says.
pub(super) fn decode(packet: &[u8]) -> Result<(u32, Answer), Garbled> {
    let mut reader = Reader(packet);
    let kind = reader.byte()?;
    let id = reader.number()?;
    let answer = match kind {
        STATUS => {
            let status = Status::of(reader.number()?);
            // Old servers leave it out.
            let text = reader.bytes().unwrap_or_default();
            Answer::Status(status, String::from_utf8_lossy(text).into_owned())
        }
        HANDLE => Answer::Handle(reader.bytes()?.to_vec()),
        DATA => Answer::Data(reader.bytes()?.to_vec()),
        NAMES => Answer::Names(reader.names()?),
        ATTRS => Answer::Attributes(reader.attributes()?),
        other => Answer::Other(other),
    };
    Ok((id, answer))
}

/// What a server can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub version: u32,
    pub hard_links: bool,
    pub fsync: bool,
}

/// Reads the answer to [`hello`], without its length.
pub(super) fn decode_hello(packet: &[u8]) -> Result<Abilities, Garbled> {
    let mut reader = Reader(packet);
    if reader.byte()? != VERSION_REPLY {
        return Err(Garbled("the version of the server"));
    }
    let mut abilities = Abilities {
        version: reader.number()?,
        ..Abilities::default()
    };
    while !reader.0.is_empty() {
        let (name, data) = (reader.bytes()?, reader.bytes()?);
        abilities.hard_links |= name == HARD_LINK.as_bytes() && data == b"1";
        abilities.fsync |= name == FSYNC.as_bytes() && data == b"1";
    }
    Ok(abilities)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    #[test]
    fn requests_are_the_bytes_of_the_draft() {
        assert_eq!(hex(&hello()), "000000050100000003");
        let open = Request::Create("/a", 0o600).encode(7);
        assert_eq!(
            hex(&open),
            "0000001703000000070000\
             00022f610000002a0000000400000180"
        );
        let get = Request::Get(b"\x80", 1, 2).encode(8);
        assert_eq!(
            hex(&get),
            "00000016050000000800000001800000000000000001\
             00000002"
        );
        let link = Request::HardLink("a", "b").encode(9);
        assert!(link.ends_with(b"hardlink@openssh.com\0\0\0\x01a\0\0\0\x01b"));
    }

    /// A packet of names as OpenSSH sends it.
    fn names() -> Vec<u8> {
        let mut packet = Writer::begin(NAMES, 3);
        packet.number(2);
        for (name, mode) in [("a", 0o100_600), ("dir", 0o040_700)] {
            packet.text(name);
            packet.text("-rw-------    1 0 0 5 Dec  1 12:00 a");
            packet.number(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES | HAS_MORE);
            packet.long(5);
            packet.long(0);
            packet.number(mode);
            packet.number(1);
            packet.number(2);
            packet.number(1);
            packet.text("acl@example.org");
            packet.text("x");
        }
        packet.end().split_off(4)
    }

    #[test]
    fn names_and_attributes_are_read_with_what_nobody_knows_among_them() {
        let (id, answer) = decode(&names()).unwrap();
        let Answer::Names(entries) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((id, entries.len()), (3, 2));
        assert_eq!(entries[0].attributes.size, Some(5));
        assert_eq!(entries[0].attributes.modified, Some(2));
        assert_eq!(entries[0].attributes.kind(), Kind::File);
        assert_eq!(
            (&*entries[1].name, entries[1].attributes.kind()),
            (&b"dir"[..], Kind::Dir)
        );
    }

    #[test]
    fn a_packet_that_is_cut_or_says_too_much_is_garbled_and_allocates_nothing() {
        let whole = names();
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
        let mut many = Writer::begin(NAMES, 3);
        many.number(u32::MAX);
        assert!(decode(&many.end()[4..]).is_err());
        let mut long = Writer::begin(DATA, 3);
        long.number(u32::MAX);
        assert!(decode(&long.end()[4..]).is_err());
    }

    #[test]
    fn what_a_server_can_do_stands_in_its_version() {
        let mut packet = Writer::begin(VERSION_REPLY, 3);
        for name in ["posix-rename@openssh.com", HARD_LINK, FSYNC] {
            packet.text(name);
            packet.text("1");
        }
        let abilities = decode_hello(&packet.end()[4..]).unwrap();
        assert!(abilities.hard_links && abilities.fsync);
        assert_eq!(abilities.version, 3);
        let bare = decode_hello(&[2, 0, 0, 0, 3]).unwrap();
        assert!(!bare.hard_links && !bare.fsync);
        assert!(decode_hello(b"Welcome!").is_err());
    }
}
