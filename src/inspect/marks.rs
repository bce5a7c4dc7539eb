//! Marks that Thanos and Mimir leave in a block's directory: what is to become of it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value as Json;

use crate::model::Millis;

/// Longest mark that is read, in bytes. Real ones have some hundred.
const MAX_MARK_BYTES: u64 = 64 << 10;

/// Files that are marks.
pub const MARK_FILES: [&str; 3] = [
    "deletion-mark.json",
    "no-compact-mark.json",
    "no-downsample-mark.json",
];

/// What a mark asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// The block is to be deleted, once the compactor's delay has passed.
    Deletion,
    /// The block is not to be compacted.
    NoCompact,
    /// The block is not to be downsampled.
    NoDownsample,
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What it asks for.
    pub kind: MarkKind,
    /// When it was set, in milliseconds; `None` where it does not say.
    pub time: Option<Millis>,
    /// Why, as far as it says: reason and details.
    pub reason: String,
}

impl MarkKind {
    const ALL: [(MarkKind, &'static str, &'static str); 3] = [
        (MarkKind::Deletion, "deletion-mark.json", "deletion_time"),
        (
            MarkKind::NoCompact,
            "no-compact-mark.json",
            "no_compact_time",
        ),
        (
            MarkKind::NoDownsample,
            "no-downsample-mark.json",
            "no_downsample_time",
        ),
    ];

    /// What it means for the block.
    pub fn meaning(self) -> &'static str {
        match self {
            MarkKind::Deletion => "to be deleted",
            MarkKind::NoCompact => "not to be compacted",
            MarkKind::NoDownsample => "not to be downsampled",
        }
    }
}

/// The marks in the directory of a block. One that cannot be read is there all the same, and says
/// so as its reason.
pub fn marks(dir: &Path) -> Vec<Mark> {
    let kinds = MarkKind::ALL.into_iter();
    kinds
        .filter_map(|(kind, file, time)| read(&dir.join(file), kind, time))
        .collect()
}

fn read(path: &Path, kind: MarkKind, time_key: &str) -> Option<Mark> {
    let is_file = path.symlink_metadata().ok()?.is_file();
    let mut content = Vec::new();
    let read = File::open(path)
        .ok()
        .filter(|_| is_file)
        .and_then(|file| file.take(MAX_MARK_BYTES).read_to_end(&mut content).ok());
    let json: Option<Json> = read.and_then(|_| serde_json::from_slice(&content).ok());
    let Some(json) = json.filter(Json::is_object) else {
        return Some(Mark {
            kind,
            time: None,
            reason: "the mark cannot be read".to_owned(),
        });
    };
    let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default();
    let reasons = [text("reason"), text("details")];
    let reasons: Vec<_> = reasons.into_iter().filter(|r| !r.is_empty()).collect();
    let seconds = json.get(time_key).and_then(Json::as_i64);
    Some(Mark {
        kind,
        time: seconds
            .filter(|seconds| *seconds != 0)
            .and_then(|seconds| seconds.checked_mul(1000)),
        reason: reasons.join(": "),
    })
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.meaning())?;
        if let Some(time) = self
            .time
            .and_then(|time| jiff::Timestamp::from_millisecond(time).ok())
        {
            write!(f, ", since {time:.0}")?;
        }
        if !self.reason.is_empty() {
            let plain = self.reason.chars().filter(|c| !c.is_control());
            let plain: String = plain.take(200).collect();
            write!(f, " ({plain})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_say_what_is_to_become_of_a_block_and_why() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| std::fs::write(dir.path().join(name), content);
        assert!(marks(dir.path()).is_empty());
        put(
            "deletion-mark.json",
            r#"{"id":"01M32HZW800000000000000001","version":1,"details":"source of compacted block","deletion_time":1790013600}"#,
        )
        .unwrap();
        put(
            "no-compact-mark.json",
            r#"{"version":1,"no_compact_time":1790013600,"reason":"manual","details":"too\nlarge"}"#,
        )
        .unwrap();
        put("no-downsample-mark.json", "\0\0\0").unwrap();
        let texts: Vec<_> = marks(dir.path()).iter().map(Mark::to_string).collect();
        assert_eq!(
            texts,
            [
                "to be deleted, since 2026-09-21T18:00:00Z (source of compacted block)",
                "not to be compacted, since 2026-09-21T18:00:00Z (manual: toolarge)",
                "not to be downsampled (the mark cannot be read)",
            ]
        );
    }
}
