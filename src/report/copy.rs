//! Reports about copies of repositories.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::copy::{Compared, CopiedArchive, CopyReport, DifferenceKind, Fate};
use crate::trouble::Trouble;
use crate::units::{bytes_text, count_text};

/// A copy as a whole.
pub static COPY: Sheet<CopyReport, CopyReport> = Sheet {
    name: "copy",
    title: "The copy as a whole",
    row: "copy",
    json: InJson::Itself,
    rows: |report, _| Rows::one(report),
    columns: &[
        Column {
            key: "copied",
            heading: "copied",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of archives that were copied; with --dry-run, that would be.",
            value: |r| Value::Count(r.count(Fate::Copied) + r.count(Fate::Planned)),
        },
        Column {
            key: "completed",
            heading: "completed",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of archives that were there and lacked objects, which are there now.",
            value: |r| Value::Count(r.count(Fate::Completed)),
        },
        Column {
            key: "present",
            heading: "there already",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of archives that were there already, with all their objects.",
            value: |r| Value::Count(r.count(Fate::Present)),
        },
        Column {
            key: "left_out",
            heading: "left out",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of archives that could not be copied; manifests that cannot be read are not among them.",
            value: |r| Value::Count(r.count(Fate::LeftOut)),
        },
        Column {
            key: "objects",
            heading: "objects",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that were sent; with --dry-run, that would be.",
            value: |r| Value::Count(r.objects),
        },
        Column {
            key: "bytes",
            heading: "size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |r| Value::Bytes(r.bytes),
        },
        Column {
            key: "taken_over",
            heading: "taken over",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that a run which died had sent, and that were proved and not sent again.",
            value: |r| Value::Count(r.taken_over),
        },
        Column {
            key: "converted_blocks",
            heading: "converted",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of blocks that were stored anew, in the codec of --codec or in place of lost objects; with --dry-run, that would be. Their new objects are among those that were sent, but with --dry-run.",
            value: |r| Value::Count(r.converted_blocks),
        },
        Column {
            key: "converted_bytes",
            heading: "converted size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the files of these blocks.",
            value: |r| Value::Bytes(r.converted_bytes),
        },
    ],
};

/// One row for each archive that was meant.
pub static COPIED: Sheet<CopyReport, CopiedArchive> = Sheet {
    name: "copied",
    title: "Archives",
    row: "archive that was meant",
    json: InJson::List("archives"),
    rows: |report, _| Rows::of(&report.archives),
    columns: &[
        Column {
            key: "fate",
            heading: "FATE",
            unit: Unit::None,
            weight: 9,
            explanation: "`copied`; `completed`: it was there, and objects that it lacked are there now; `present`: it was there with its objects; `left out`; `planned`: it would be copied or completed.",
            value: |a| Value::text(a.fate.id()),
        },
        Column {
            key: "id",
            heading: "ID",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the archive, the same in both repositories.",
            value: |a| Value::text(a.id.as_str()),
        },
        Column {
            key: "time",
            heading: "TIME",
            unit: Unit::Time,
            weight: 8,
            explanation: "When its backup began.",
            value: |a| Value::Time(a.time),
        },
        Column {
            key: "host",
            heading: "HOST",
            unit: Unit::None,
            weight: 4,
            explanation: "Machine its source was on.",
            value: |a| Value::text(&a.host),
        },
        Column {
            key: "source_name",
            heading: "NAME",
            unit: Unit::None,
            weight: 6,
            explanation: "Name of its source.",
            value: |a| Value::text(&a.source_name),
        },
        Column {
            key: "objects",
            heading: "OBJECTS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that it needs, and that were not there before nor needed by an archive above.",
            value: |a| Value::Count(a.objects),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Their size.",
            value: |a| Value::Bytes(a.bytes),
        },
        Column {
            key: "reason",
            heading: "REASON",
            unit: Unit::None,
            weight: 7,
            explanation: "Why it is left out.",
            value: |a| a.reason.as_deref().map_or(Value::None, Value::text),
        },
    ],
};

/// What became of a copy that a backup was asked for.
#[derive(Clone, Debug, Default)]
pub struct CopyAfterBackup {
    /// Where to, as typed.
    pub repository: String,
    /// Whether it went to its end.
    pub is_done: bool,
    /// Archives that are there now and were not.
    pub copied: u64,
    /// Archives that could not be copied.
    pub left_out: u64,
    /// Archives of the server that are still not there; `None` when that could not be told.
    pub behind: Option<u64>,
    /// Objects that were sent.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is wrong, if anything is.
    pub trouble: Option<String>,
}

impl CopyAfterBackup {
    /// It as a sentence.
    pub fn sentence(&self) -> String {
        format!(
            "copied to {}: {} archives, {} objects of {}",
            self.repository,
            count_text(self.copied),
            count_text(self.objects),
            bytes_text(self.bytes)
        )
    }
}

/// One row for each repository that a backup was to be copied to.
pub static COPIES: Sheet<[CopyAfterBackup], CopyAfterBackup> = Sheet {
    name: "copies",
    title: "Copies of the archive",
    row: "repository that it was to be copied to",
    json: InJson::List("copies"),
    rows: |copies, _| Rows::of(copies),
    columns: &[
        Column {
            key: "repository",
            heading: "REPOSITORY",
            unit: Unit::None,
            weight: 9,
            explanation: "Where to, as typed.",
            value: |c| Value::text(&c.repository),
        },
        Column {
            key: "done",
            heading: "DONE",
            unit: Unit::Flag,
            weight: 8,
            explanation: "Whether the copy went to its end.",
            value: |c| Value::Flag(c.is_done),
        },
        Column {
            key: "copied",
            heading: "COPIED",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of archives that are there now and were not.",
            value: |c| Value::Count(c.copied),
        },
        Column {
            key: "behind",
            heading: "BEHIND",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of archives of the server that should be there and are not; none when that could not be told.",
            value: |c| c.behind.map_or(Value::None, Value::Count),
        },
        Column {
            key: "objects",
            heading: "OBJECTS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of objects that were sent.",
            value: |c| Value::Count(c.objects),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 6,
            explanation: "Their size.",
            value: |c| Value::Bytes(c.bytes),
        },
    ],
};

/// Two repositories, as a whole.
pub static COMPARED: Sheet<Compared, Compared> = Sheet {
    name: "compared",
    title: "What two repositories share",
    row: "comparison",
    json: InJson::Object("compared"),
    rows: |compared, _| Rows::one(compared),
    columns: &[
        Column {
            key: "archives",
            heading: "archives in both",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of archives that both have, and of which both say the same.",
            value: |c| Value::Count(c.archives),
        },
        Column {
            key: "only_here",
            heading: "  only here",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of archives that only the repository has that is checked.",
            value: |c| Value::Count(c.only_first),
        },
        Column {
            key: "only_there",
            heading: "  only there",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of archives that only the other one has.",
            value: |c| Value::Count(c.only_second),
        },
        Column {
            key: "objects",
            heading: "objects in both",
            unit: Unit::Count,
            weight: 7,
            explanation: "Number of objects of which archives of both expect the same bytes.",
            value: |c| Value::Count(c.objects),
        },
        Column {
            key: "objects_only_here",
            heading: "  only here",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of objects that only archives here need.",
            value: |c| Value::Count(c.only_first_objects),
        },
        Column {
            key: "bytes_only_here",
            heading: "  their size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |c| Value::Bytes(c.only_first_bytes),
        },
        Column {
            key: "objects_only_there",
            heading: "  only there",
            unit: Unit::Count,
            weight: 6,
            explanation: "Number of objects that only archives there need.",
            value: |c| Value::Count(c.only_second_objects),
        },
        Column {
            key: "bytes_only_there",
            heading: "  their size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |c| Value::Bytes(c.only_second_bytes),
        },
    ],
};

/// One row for each difference between two repositories.
pub static DIFFERENCES: Sheet<Compared, Trouble<DifferenceKind>> = Sheet {
    name: "difference",
    title: "What two repositories do not share",
    row: "difference",
    json: InJson::List("differences"),
    rows: |compared, _| Rows::of(&compared.differences),
    columns: &[
        Column {
            key: "kind",
            heading: "DIFFERENCE",
            unit: Unit::None,
            weight: 9,
            explanation: "What it is: a stable id, explained in docs/findings.md.",
            value: |d| Value::text(d.kind.id()),
        },
        Column {
            key: "severity",
            heading: "SEVERITY",
            unit: Unit::None,
            weight: 6,
            explanation: "`problem`: the command ends with exit code 3; `note`: the exit code does not tell of it.",
            value: |d| Value::text(d.severity.to_string()),
        },
        Column {
            key: "place",
            heading: "PLACE",
            unit: Unit::None,
            weight: 9,
            explanation: "Beginning of the id of an archive, or the name of an object.",
            value: |d| Value::text(&d.place),
        },
        Column {
            key: "detail",
            heading: "DETAIL",
            unit: Unit::None,
            weight: 8,
            explanation: "What was found, as a sentence.",
            value: |d| Value::text(&d.detail),
        },
        Column {
            key: "meaning",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What this kind means.",
            value: |d| Value::text(d.kind.sentence()),
        },
        Column {
            key: "remedy",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What to do about it.",
            value: |d| Value::text(d.kind.remedy()),
        },
    ],
};
