//! What `narthex check` can find.

use std::collections::BTreeMap;

use crate::model::{Millis, Ulid};
use crate::repository::ArchiveId;
use crate::store::ObjectName;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing that is kept is in danger.
    Note,
    /// Something cannot be restored, or cannot be proved.
    Problem,
}

/// What can be wrong with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// There are archives, but no descriptor.
    DescriptorMissing,
    /// The descriptor cannot be read.
    DescriptorDamaged,
    /// The descriptor is lost or damaged, and another one stands in for it.
    DescriptorReplaced,
    /// There is data and no manifest.
    ManifestsMissing,
    /// An archive was made in another repository.
    ManifestForeign,
    /// A manifest is not what it was, or what has its name is no file: its archive cannot be restored by narthex.
    ManifestDamaged,
    /// The store fails to read a manifest: what its archive needs was not checked.
    ManifestUnreadable,
    /// A manifest is of a newer version: what it names was not checked.
    ManifestUnsupported,
    /// Archives expect different bytes of one object.
    ObjectDisputed,
    /// Archives contradict each other about the metadata of one block: one `meta.json` was damaged when it was archived.
    BlockDisputed,
    /// An object that an archive needs does not exist.
    ObjectMissing,
    /// An object is not what archives expect of it.
    ObjectDamaged,
    /// The store fails to read an object.
    ObjectUnreadable,
    /// An object is in a codec that this version does not know: it was not checked.
    ObjectUnsupported,
    /// The claim of a backup cannot be read: `prune` refuses to work until it expires.
    ClaimDamaged,
    /// An object is damaged or gone, and everything archives need of it comes back from elsewhere.
    ObjectReplaced,
    /// An object belongs to no archive: its archives were forgotten, or the run that wrote it died or still works. The next
    /// run may use it.
    ObjectUnreferenced,
    /// An object that was begun and not published: the run that wrote it died or still works.
    ObjectUnpublished,
    /// Something that narthex did not write.
    Foreign,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 19] = [
        Kind::DescriptorMissing,
        Kind::DescriptorDamaged,
        Kind::ManifestsMissing,
        Kind::ManifestDamaged,
        Kind::ManifestUnreadable,
        Kind::ManifestUnsupported,
        Kind::ObjectDisputed,
        Kind::BlockDisputed,
        Kind::ObjectMissing,
        Kind::ObjectDamaged,
        Kind::ObjectUnreadable,
        Kind::ObjectUnsupported,
        Kind::ClaimDamaged,
        Kind::DescriptorReplaced,
        Kind::ManifestForeign,
        Kind::ObjectReplaced,
        Kind::ObjectUnreferenced,
        Kind::ObjectUnpublished,
        Kind::Foreign,
    ];

    /// Its name in reports, which does not change between versions.
    pub fn id(self) -> &'static str {
        self.entry().0
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.entry().1
    }

    fn entry(self) -> (&'static str, Severity) {
        match self {
            Kind::DescriptorMissing => ("descriptor-missing", Severity::Problem),
            Kind::DescriptorDamaged => ("descriptor-damaged", Severity::Problem),
            Kind::ManifestsMissing => ("manifests-missing", Severity::Problem),
            Kind::ManifestDamaged => ("manifest-damaged", Severity::Problem),
            Kind::ManifestUnreadable => ("manifest-unreadable", Severity::Problem),
            Kind::ManifestUnsupported => ("manifest-unsupported", Severity::Problem),
            Kind::ObjectDisputed => ("object-disputed", Severity::Problem),
            Kind::BlockDisputed => ("block-disputed", Severity::Problem),
            Kind::ObjectMissing => ("object-missing", Severity::Problem),
            Kind::ObjectDamaged => ("object-damaged", Severity::Problem),
            Kind::ObjectUnreadable => ("object-unreadable", Severity::Problem),
            Kind::ObjectUnsupported => ("object-unsupported", Severity::Problem),
            Kind::ClaimDamaged => ("claim-damaged", Severity::Problem),
            Kind::DescriptorReplaced => ("descriptor-replaced", Severity::Note),
            Kind::ManifestForeign => ("manifest-foreign", Severity::Note),
            Kind::ObjectReplaced => ("object-replaced", Severity::Note),
            Kind::ObjectUnreferenced => ("object-unreferenced", Severity::Note),
            Kind::ObjectUnpublished => ("object-unpublished", Severity::Note),
            Kind::Foreign => ("foreign", Severity::Note),
        }
    }
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
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
    /// Begin and end of the time whose samples are in what cannot be restored, where that is known.
    pub lost: Option<(Millis, Millis)>,
}

impl Finding {
    pub(crate) fn new(kind: Kind, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Finding {
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
pub struct Report {
    /// Findings, problems first.
    pub findings: Vec<Finding>,
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

impl Report {
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

    /// Whether anything is wrong; notes are not.
    pub fn has_problems(&self) -> bool {
        let severities = self.findings.iter().map(|finding| finding.kind.severity());
        severities.max() == Some(Severity::Problem)
    }
}
