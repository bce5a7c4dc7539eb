//! The one table of what `narthex check` can find.

use std::collections::BTreeMap;

use crate::model::{Millis, Ulid};
use crate::repository::parts::is_shared;
use crate::repository::{ArchiveId, Repository};
use crate::store::ObjectName;
pub use crate::trouble::Severity;
use crate::trouble::kinds;

const DESCRIPTOR: &str = "narthex repair writes it anew";
const MANIFEST: &str =
    "narthex repair makes an archive of what only it names; then narthex forget removes it";
const OBJECT: &str = "narthex backup stores it anew if its data directory still holds it, narthex repair if other objects do";
const NEWER: &str = "use a newer narthex";
const LEAVE: &str = "nothing to do";

kinds! {
    /// What can be wrong with a repository: one member for each row of the table.
    Kind:
    DescriptorMissing "descriptor-missing" Problem "There are archives, but no descriptor." "reading goes on without it", DESCRIPTOR;
    DescriptorDamaged "descriptor-damaged" Problem "The descriptor cannot be read." "reading goes on without it", DESCRIPTOR;
    DescriptorReplaced "descriptor-replaced" Note "The descriptor is lost or damaged, and another one stands in for it." "nothing is lost", LEAVE;
    ManifestsMissing "manifests-missing" Problem "There is not one manifest, and there is data, or this machine remembers archives: `archives/` may be on a disk that is not mounted, or all archives were removed; a first backup that has not ended looks the same." "nothing can be restored", "mount the disk; if the manifests are lost, narthex repair --orphans makes an archive of what lies there";
    ManifestForeign "manifest-foreign" Note "An archive names another repository as its own: it, or the descriptor, was copied here." "nothing is lost", LEAVE;
    ManifestDamaged "manifest-damaged" Problem "A manifest is not what it was, or what has its name is no file: a link to nothing, a directory, a pipe." "its archive cannot be restored", MANIFEST;
    ManifestUnreadable "manifest-unreadable" Problem "The storage fails to read a manifest, or narthex may not: what its archive needs was not checked." "its archive cannot be restored now", "mend its permissions or the storage, and check again";
    ManifestUntrusted "manifest-untrusted" Problem "Nobody has signed an archive who may write its source, or it is not encrypted, as others are." "it counts for nothing: no restore, no `latest` and no `forget` goes by it", "find out who has written it; narthex repair --from a copy brings back one that was damaged; narthex forget ID removes it";
    ManifestLocked "manifest-locked" Problem "None of the identities that were given opens an archive; of what it needs, no more than the stored bytes was checked, and that only where they open none at all." "nothing is wrong with it: it was encrypted for others", "give the identity that opens it as well (--identity can be repeated)";
    ManifestGone "manifest-gone" Problem "A witness has seen an archive that is not there any more, or not as it was, and nobody has said that it was forgotten." "it was removed or replaced by somebody who may write here", "find out who has removed it, and bring it back from a copy: narthex repair --from COPY, then narthex witness; if it was forgotten, narthex witness --accept-missing says so";
    ManifestMisplaced "manifest-misplaced" Problem "In a repository in parts an archive lies among those of another source: somebody has put it there, or the directory of the part was renamed." "it counts for nothing", "give the directory the name that is said, and where there is one of that name, move the files in it there instead; or find out who has put it there, and remove it";
    ServersShareName "servers-share-name" Problem "Archives of one server, by its host and the name of the source, take turns, more than once: each goes on with blocks that the one before it does not have. It is said once for a server." "two servers are backed up under one name: `latest` is either's, and a restore of it brings back one of the two", "give one of the servers a name of its own (--source), and forget its archives under this name";
    PartUnseen "part-unseen" Problem "In a repository in parts something lies where a part should be and is none that can be seen: a link, a file, a directory with another name." "archives in it are seen by no command", "find out what it was: a directory that was renamed gets its name back, a link gives way to what it leads to";
    ManifestBefore "manifest-before" Note "An archive names one before it that is not there: it was forgotten, or removed; narthex witness tells the two apart." "nothing, if it was forgotten", LEAVE;
    ManifestUnsupported "manifest-unsupported" Problem "A manifest is of a newer version; what it names was not checked." "this program cannot restore its archive", NEWER;
    ObjectDisputed "object-disputed" Problem "Archives expect different bytes of one object; `raw_bytes` of packs may differ." "some of these archives do not come back whole", "narthex check --read-data says which of them is right";
    BlockDisputed "block-disputed" Problem "Archives say different things of one block whose index and chunks are the same: one `meta.json` was damaged when it was archived." "one of them brings back wrong metadata", "restore the block from the archive whose meta.json is right";
    ObjectMissing "object-missing" Problem "An object that an archive needs does not exist." "the files that are named do not come back", OBJECT;
    ObjectDamaged "object-damaged" Problem "An object is not what the manifest says." "the files that are named do not come back", OBJECT;
    ObjectUnreadable "object-unreadable" Problem "The storage fails to read an object." "the files that are named do not come back now", "check the storage; narthex backup stores it anew if its data directory still holds it";
    WitnessFalse "witness-false" Problem "Something has the place of a witness that no key which counts has signed." "nobody goes by it", "find out who has written it, and remove it";
    WitnessGone "witness-gone" Problem "This machine has seen a witness that is not there any more, or not as it was. Which archives it has seen that are gone as well is not known." "`narthex prune` deletes nothing, and what was removed is not missed", "find out who has removed it, and bring `witness/` back from where it is kept; narthex witness --accept-missing goes on without it";
    KeysFalse "keys-false" Problem "Something has the place of a list of keys that the administrator's key has not signed for it." "nobody goes by it; but if it was put over a true list, machines that have not seen that one go by the list before", "find out who has written it, and remove it; look at narthex key list";
    KeysGone "keys-gone" Problem "A list of keys that this machine has read is not there any more." "machines that have not seen it go by the list before, and hosts that have seen it refuse to back up", "find out who has removed it; narthex repair puts it back as this machine keeps it";
    ObjectLocked "object-locked" Problem "None of the identities that were given opens an object: it was encrypted before they were listed, and its contents were not checked." "these identities alone bring nothing back of it", "give the identity that opens it as well; narthex copy writes everything anew for those that are listed now";
    ObjectUnsupported "object-unsupported" Problem "An object is in a codec that this version does not know: it was not checked." "this program cannot restore what is in it", NEWER;
    ObjectCovered "object-covered" Problem "In a store that keeps older versions of objects, a newer one lies on top of a manifest, a key document, a witness, the descriptor or an object that an archive needs. narthex never writes a name twice, and reads the version below." "nothing, as long as the version below is kept", "find out who has written it, and remove it by its version (docs/locks.md)";
    ObjectHidden "object-hidden" Problem "In a store that keeps older versions of objects, a delete marker hides an object that an archive needs, or a manifest that a witness has seen. narthex reads the version below." "nothing, as long as the version below is kept", "find out who has deleted it, and remove the marker by its version (docs/locks.md)";
    VersionsUnread "versions-unread" Note "The store keeps older versions of objects, and they may not be listed: what was written over objects, or hidden by delete markers, is not found." "nothing by itself", "check with credentials that may list versions (docs/locks.md)";
    ClaimDamaged "claim-damaged" Problem "The claim of a backup cannot be read: `narthex prune` refuses to work until it expires, a day after it was made." "nothing can be deleted", "wait a day";
    ObjectReplaced "object-replaced" Note "An object is damaged or gone, or archives expect different bytes of it; all that they need of it was proved to come back, and it is stored elsewhere: in a replacement, as another archive has it, or, of a log, in other logs; or a replacement does not give what it should." "nothing is lost", LEAVE;
    ObjectUnreferenced "object-unreferenced" Note "An object belongs to no archive: its archives were forgotten, or the run that wrote it died or still works. It says since when it is marked. Where manifests cannot be read, an archive may need it." "it takes room", "narthex prune deletes it once no archive can need it; read every manifest first";
    ObjectUnpublished "object-unpublished" Note "Something in `tmp/`: an object that was begun, by a run that died or still works." "it takes room", "narthex prune deletes it";
    Foreign "foreign" Note "Something that narthex did not write." "it is left alone", LEAVE;
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFinding {
    /// What it is.
    pub kind: Kind,
    /// The object, or whatever else lies there.
    pub object: String,
    /// What was expected and what was found.
    pub detail: String,
    /// Archives that need the object, oldest first.
    pub archives: Vec<ArchiveId>,
    /// Blocks in the object.
    pub blocks: Vec<Ulid>,
    /// Files that cannot be restored, where that is known; the others of the object can.
    pub files: Vec<String>,
    /// Begin and end of the time whose samples are in what cannot be restored, where that is
    /// known.
    pub lost: Option<(Millis, Millis)>,
}

impl CheckFinding {
    pub(crate) fn new(kind: Kind, object: impl Into<String>, detail: impl Into<String>) -> Self {
        CheckFinding {
            kind,
            object: object.into(),
            detail: detail.into(),
            archives: Vec::new(),
            blocks: Vec::new(),
            files: Vec::new(),
            lost: None,
        }
    }
}

/// What was proved and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Findings, problems first.
    pub findings: Vec<CheckFinding>,
    /// Archives whose manifest can be read.
    pub archives: u64,
    /// Objects that belong to them.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Objects that were read.
    pub objects_read: u64,
    /// Bytes that were read of them.
    pub bytes_read: u64,
    /// Objects that were read and are what archives expect, to the last byte.
    pub sound: Vec<ObjectName>,
    /// Objects that lie there and are not, or cannot be read; and what was found of each.
    pub damaged: BTreeMap<ObjectName, String>,
}

impl CheckReport {
    /// Adds what was found in `part` of the same repository.
    pub fn absorb(&mut self, other: CheckReport, part: &Repository) {
        for mut finding in other.findings {
            finding.object = part.full_name(&finding.object);
            // Lists of keys, which all parts share, are looked at in each.
            let is_shared = part.part().is_some() && is_shared(&finding.object);
            if !(is_shared && self.findings.contains(&finding)) {
                self.findings.push(finding);
            }
        }
        self.archives += other.archives;
        self.objects += other.objects;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.objects_read += other.objects_read;
        self.bytes_read = self.bytes_read.saturating_add(other.bytes_read);
        let sound = other.sound.iter().map(|name| part.full_object(name));
        self.sound.extend(sound);
        let damaged = other.damaged.into_iter();
        let damaged = damaged.map(|(name, found)| (part.full_object(&name), found));
        self.damaged.extend(damaged);
        self.sort();
    }

    /// Sorts the findings: problems first, then by kind and object.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| {
            (
                std::cmp::Reverse(finding.kind.severity()),
                finding.kind,
                finding.object.clone(),
            )
        });
    }

    /// Whether the descriptor could be read, and is where it belongs.
    pub fn has_descriptor(&self) -> bool {
        let lacks = |kind| {
            matches!(
                kind,
                Kind::DescriptorMissing | Kind::DescriptorDamaged | Kind::DescriptorReplaced
            )
        };
        !self.findings.iter().any(|finding| lacks(finding.kind))
    }

    /// Whether anything is wrong; notes are not.
    pub fn has_problems(&self) -> bool {
        let severities = self.findings.iter().map(|finding| finding.kind.severity());
        severities.max() == Some(Severity::Problem)
    }
}
