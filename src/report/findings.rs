//! How findings look, and the blocks they were found in.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::logs::LOGS;
use super::wrap::wrapped;
use super::{
    Column, Extent, InJson, Rows, Sheet, SheetOf, Unit, Value, View, bytes_text, safe_line,
    shell_word,
};
use crate::archive;
use crate::block::DirKind;
use crate::copy;
use crate::repository::{LeftOutKind, check};
use crate::restore;
use crate::select;
use crate::start::Release;
use crate::trouble;
use crate::units::count_text;
use crate::verify::{BlockVerdict, Finding, FindingSeverity, Findings, Kind, Verdict};
use crate::wal::Logs;

/// One finding. For people it is a line of its own: see [`line()`].
pub static FINDINGS: Sheet<Findings, Finding> = Sheet {
    name: "finding",
    title: "Findings, of a path and of each block",
    row: "finding",
    json: InJson::List("findings"),
    rows: |findings, _| Rows::of(findings.as_slice()),
    columns: &[
        Column {
            key: "kind",
            heading: "KIND",
            unit: Unit::None,
            weight: 9,
            explanation: "What it is: a stable id, explained in docs/findings.md.",
            value: |f| Value::text(f.kind.id()),
        },
        Column {
            key: "severity",
            heading: "SEVERITY",
            unit: Unit::None,
            weight: 5,
            explanation: "How bad it is: note, warning, damaged or fatal. Notes are no problem.",
            value: |f| Value::text(f.kind.severity().to_string()),
        },
        Column {
            key: "block",
            heading: "BLOCK",
            unit: Unit::None,
            weight: 5,
            explanation: "ULID of the block.",
            value: |f| {
                f.block
                    .map_or(Value::None, |ulid| Value::text(ulid.to_string()))
            },
        },
        Column {
            key: "path",
            heading: "PATH",
            unit: Unit::None,
            weight: 5,
            explanation: "The file or directory.",
            value: |f| Value::text(f.path.display().to_string()),
        },
        Column {
            key: "offset",
            heading: "OFFSET",
            unit: Unit::Offset,
            weight: 5,
            explanation: "Where in the file the part begins that is concerned (an entry, a chunk, a list, a section), in bytes.",
            value: |f| f.offset.map_or(Value::None, Value::Count),
        },
        Column {
            key: "section",
            heading: "SECTION",
            unit: Unit::None,
            weight: 5,
            explanation: "Part of the file, as the format names it.",
            value: |f| f.section.map_or(Value::None, Value::text),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::None,
            weight: 5,
            explanation: "A selector for the series concerned.",
            value: |f| {
                f.series
                    .as_ref()
                    .map_or(Value::None, |labels| Value::text(labels.to_string()))
            },
        },
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 5,
            explanation: "Time of the first sample that is lost or wrong, in milliseconds since the Unix epoch, where it is known.",
            value: |f| {
                f.loss
                    .and_then(|loss| loss.times)
                    .map_or(Value::None, |(first, _)| Value::Time(first))
            },
        },
        Column {
            key: "max_time",
            heading: "TO",
            unit: Unit::Time,
            weight: 5,
            explanation: "Time of the last one, in milliseconds since the Unix epoch.",
            value: |f| {
                f.loss
                    .and_then(|loss| loss.times)
                    .map_or(Value::None, |(_, last)| Value::Time(last))
            },
        },
        Column {
            key: "chunks",
            heading: "CHUNKS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of chunks concerned.",
            value: |f| f.loss.map_or(Value::None, |loss| Value::Count(loss.chunks)),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of samples concerned, where the damage leaves a way to know.",
            value: |f| {
                f.loss
                    .and_then(|loss| loss.samples)
                    .map_or(Value::None, Value::Count)
            },
        },
        Column {
            key: "detail",
            heading: "DETAIL",
            unit: Unit::None,
            weight: 5,
            explanation: "What was expected and what was found.",
            value: |f| Value::text(&f.detail),
        },
        Column {
            key: "meaning",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What this kind of finding means.",
            value: |f| Value::text(f.kind.sentence()),
        },
        Column {
            key: "prometheus",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What Prometheus does about it. A block whose metadata it cannot read is left out, whatever else is wrong with it.",
            value: |f| Value::text(f.consequence().to_string()),
        },
        Column {
            key: "remedy",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "What to do about it.",
            value: |f| Value::text(f.kind.remedy()),
        },
    ],
};

/// A block that was verified.
pub static BLOCKS: Sheet<Verdict, BlockVerdict> = Sheet {
    name: "block",
    title: "Blocks that were verified",
    row: "block",
    json: InJson::List("blocks"),
    rows: |verdict, _| Rows::of(&verdict.blocks),
    columns: &[
        Column {
            key: "ulid",
            heading: "BLOCK",
            unit: Unit::None,
            weight: 9,
            explanation: "ULID of the block.",
            value: |b| {
                let name = b.ulid.map(|ulid| ulid.to_string());
                Value::text(name.unwrap_or_else(|| b.dir.display().to_string()))
            },
        },
        Column {
            key: "path",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "Its directory.",
            value: |b| Value::text(b.dir.display().to_string()),
        },
        Column {
            key: "verdict",
            heading: "VERDICT",
            unit: Unit::None,
            weight: 9,
            explanation: "healthy, or the worst severity among its findings.",
            value: |b| Value::text(word(&b.findings)),
        },
        Column {
            key: "problems",
            heading: "PROBLEMS",
            unit: Unit::Count,
            weight: 8,
            explanation: "Number of findings that are more than notes.",
            value: |b| Value::Count(problems(&b.findings)),
        },
        Column {
            key: "notes",
            heading: "NOTES",
            unit: Unit::Count,
            weight: 4,
            explanation: "Number of findings that are notes.",
            value: |b| Value::Count(b.findings.of_severity(FindingSeverity::Note)),
        },
        Column {
            key: "min_time",
            heading: "FROM",
            unit: Unit::Time,
            weight: 6,
            explanation: "Time of the first sample, in milliseconds since the Unix epoch.",
            value: |b| {
                b.stats
                    .times
                    .map_or(Value::None, |(min, _)| Value::Time(min))
            },
        },
        Column {
            key: "max_time",
            heading: "TO",
            unit: Unit::Time,
            weight: 6,
            explanation: "Time of the last sample, in milliseconds since the Unix epoch.",
            value: |b| {
                b.stats
                    .times
                    .map_or(Value::None, |(_, max)| Value::Time(max))
            },
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of series that could be read.",
            value: |b| Value::Count(b.stats.series),
        },
        Column {
            key: "chunks",
            heading: "CHUNKS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Number of chunks that the index names.",
            value: |b| Value::Count(b.stats.chunks),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of samples in the chunks that could be read.",
            value: |b| Value::Count(b.stats.samples),
        },
        Column {
            key: "histograms",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Of those, native histograms.",
            value: |b| Value::Count(b.stats.histograms),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the index and the segments.",
            value: |b| Value::Bytes(b.stats.bytes),
        },
    ],
};

/// What is said of findings as a whole.
fn word(findings: &Findings) -> String {
    match findings.worst() {
        None | Some(FindingSeverity::Note) => "healthy".to_owned(),
        Some(severity) => severity.to_string(),
    }
}

fn problems(findings: &Findings) -> u64 {
    let all: u64 = findings.counts().map(|(_, count)| count).sum();
    all - findings.of_severity(FindingSeverity::Note)
}

/// A finding as one line: severity, kind, place, what was found, whose samples, what Prometheus
/// does.
pub fn line(finding: &Finding) -> String {
    // A path or a label may hold anything.
    safe_line(&finding.to_string()).into_owned()
}

/// What was found at a path, for people: a line for each finding (notes only `with_notes`), what to
/// do about each kind of problem, a line for each block, and one for all.
pub fn text(verdict: &Verdict, with_notes: bool, view: &View) -> String {
    let mut lines = Vec::new();
    let mut problem_kinds = BTreeSet::new();
    for finding in verdict.all_findings() {
        let is_problem = finding.kind.severity() > FindingSeverity::Note;
        if with_notes || is_problem {
            lines.push(line(finding));
        }
        if is_problem {
            problem_kinds.insert(finding.kind);
        }
    }
    let collections = || {
        let blocks = verdict.blocks.iter().map(|block| &block.findings);
        blocks.chain([&verdict.findings])
    };
    let omitted: u64 = collections().map(Findings::omitted).sum();
    if omitted > 0 {
        lines.push(format!(
            "… and {} more findings of the same kinds",
            count_text(omitted)
        ));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    for kind in &problem_kinds {
        let (sentence, remedy) = (kind.sentence(), kind.remedy());
        lines.push(format!("{kind}: {sentence} What to do: {remedy}."));
    }
    if !problem_kinds.is_empty() {
        lines.push(String::new());
    }
    if !verdict.blocks.is_empty() {
        lines.push(view.of(&BLOCKS, verdict, Extent::All).text(view));
    }
    if let Some(logs) = &verdict.logs {
        lines.push(super::logs::text(&logs.facts(), view));
    }
    if let Some(start) = &verdict.start {
        lines.push(super::start::text(start, &verdict.path));
    }
    lines.push(total(verdict, collections().map(problems).sum()));
    lines.join("\n")
}

/// Most blocks that the advice to replace them names one by one.
const MAX_NAMED: usize = 3;

/// The command that puts sound copies in the place of damaged blocks, if any are. `is_repo_known`
/// says whether it finds the repository without being told.
pub fn advice(verdict: &Verdict, is_repo_known: bool) -> Option<String> {
    let damaged = verdict.blocks.iter().filter(|block| {
        let worst = block.findings.worst();
        worst >= Some(FindingSeverity::Damaged)
    });
    let ulids: Vec<_> = damaged.filter_map(|block| block.ulid).collect();
    let dir = match verdict.place {
        DirKind::DataDir | DirKind::PrometheusSnapshot => Some(verdict.path.clone()),
        DirKind::Block => {
            let full = verdict.path.canonicalize().ok();
            full.and_then(|full| full.parent().map(Path::to_owned))
        }
    };
    let dir = dir.filter(|_| !ulids.is_empty())?;
    let dir = dir.to_string_lossy();
    let target = shell_word(&dir);
    let repo = if is_repo_known { "" } else { " --repo REPO" };
    let blocks = if ulids.len() <= MAX_NAMED {
        let named = ulids.iter().map(|ulid| format!(" --block {ulid}"));
        named.collect::<Vec<_>>().concat()
    } else {
        String::new()
    };
    Some(format!(
        "With an archive that holds sound copies, this replaces what is damaged, while no server is at work there:\n  \
         narthex restore latest{repo} --target {target} --replace-damaged{blocks}\n"
    ))
}

fn total(verdict: &Verdict, problems: u64) -> String {
    let blocks = verdict.blocks.len();
    let samples: u64 = verdict.blocks.iter().map(|block| block.stats.samples).sum();
    let bytes: u64 = verdict.blocks.iter().map(|block| block.stats.bytes).sum();
    let outcome = match problems {
        0 => "healthy".to_owned(),
        1 => "1 problem".to_owned(),
        more => format!("{more} problems"),
    };
    let noun = if blocks == 1 { "block" } else { "blocks" };
    format!(
        "{}: {outcome}; {blocks} {noun}, {} samples, {}\n",
        safe_line(&verdict.path.to_string_lossy()),
        count_text(samples),
        bytes_text(bytes)
    )
}

/// What was found at a path, for programs.
pub fn to_json(verdict: &Verdict) -> Json {
    let table = BLOCKS.all(verdict);
    let objects = table.objects().zip(&verdict.blocks);
    let blocks = objects.map(|(mut object, block)| {
        add_findings(&mut object, &block.findings);
        Json::Object(object)
    });
    let place = match verdict.place {
        DirKind::DataDir => "data directory",
        DirKind::PrometheusSnapshot => "Prometheus snapshot",
        DirKind::Block => "block",
    };
    let object = json!({
        "path": verdict.path.display().to_string(),
        "place": place,
        "healthy": !verdict.has_problems(),
        "blocks": blocks.collect::<Vec<_>>(),
        "start": verdict.start.as_ref().map(super::start::to_json),
    });
    let logs = verdict.logs.as_ref().map(Logs::facts).unwrap_or_default();
    match object {
        Json::Object(mut object) => {
            LOGS.add_to(&mut object, &logs, Extent::Document);
            add_findings(&mut object, &verdict.findings);
            Json::Object(object)
        }
        other => other,
    }
}

fn add_findings(object: &mut Map<String, Json>, findings: &Findings) {
    let count = |(kind, count): (Kind, u64)| (kind.id().to_owned(), json!(count));
    let counts: Map<_, _> = findings.counts().map(count).collect();
    FINDINGS.add_to(object, findings, Extent::Document);
    object.insert("counts".to_owned(), Json::Object(counts));
}

/// The reference of all kinds of findings, in Markdown: `docs/findings.md`.
pub fn reference() -> String {
    let (oldest, newest) = (Release::OLDEST, Release::OBSERVED);
    let heading = format!(
        "# Findings\n\n\
        What `narthex verify` and `narthex check` can find, what `narthex backup`, `narthex copy` and `narthex restore` tell beside their results, what commands tell that\n\
        read samples, and why something is left out of an archive. This page is made from the tables in `src/verify/kind.rs`,\n\
        `src/repository/check/finding.rs`, `src/archive/problem.rs`, `src/copy/problem.rs`, `src/copy/compare.rs`, `src/restore/problem.rs`, `src/select/problem.rs` and\n\
        `src/repository/left_out.rs` and held equal to them by a test; ids are never renamed.\n\n\
        ## verify\n\n\
        Where releases of Prometheus differ in what they do, the table says what {oldest} and {newest} do. Real servers of both were started on\n\
        nearly every kind of fault, asked and made to compact: tests hold this column to what they did.\n\n\
        Severities: a *note* is legal but unusual and does not count as a problem (exit code 0). A *warning* is not as it\n\
        should be, but every sample is there and is served. *Damaged*: samples are lost, wrong or out of reach. *Fatal*: the whole\n\
        block, or the server, is. Of each kind the first 1,000 in a block are listed and the rest are counted.\n\n\
        | id | severity | meaning | Prometheus | what to do |\n|---|---|---|---|---|\n"
    );
    let row = |kind: &Kind| {
        let (severity, consequence) = (kind.severity(), kind.consequence());
        let (sentence, remedy) = (kind.sentence(), kind.remedy());
        format!("| `{kind}` | {severity} | {sentence} | {consequence} | {remedy} |\n")
    };
    let rows = Kind::ALL.iter().map(row);
    let findings = std::iter::once(heading).chain(rows);
    let check = chapter::<check::Kind>(
        "check",
        "A *problem* makes `narthex check` end with exit code 3, a *note* does not. What counts as corruption is in
\
         [repository-format.md](repository-format.md#5-what-counts-as-corruption).",
    );
    let backup = chapter::<archive::ProblemKind>(
        "backup",
        "Each is printed as a sentence and makes `narthex backup` end with exit code 3; `--json` has all that stands here under `problems`.",
    );
    let copies = chapter::<copy::CopyProblemKind>(
        "copy",
        "Each is printed as a sentence. A *problem* makes `narthex copy` end with exit code 3, a *note* does not; `--json` has all that stands
\
         here under `problems`.",
    );
    let compared = chapter::<copy::DifferenceKind>(
        "check --compare",
        "How two repositories can differ. A *problem* makes `narthex check` end with exit code 3, a *note* does not; `--json` has all that
\
         stands here under `differences`.",
    );
    let restore = chapter::<restore::ProblemKind>(
        "restore",
        "Each is printed as a sentence. A *problem* makes `narthex restore` end with exit code 3, a *note* does not; `--json` has all that stands
\
         here under `problems`.",
    );
    let read = chapter::<select::ReadKind>(
        "dump, diff",
        "Commands that read samples print each as a sentence, with the file, the offset, the series and the time where they are known, and end
\
         with exit code 3 after a *problem*. `narthex diff --json` has all that stands here under `problems`.",
    );
    let chapters = findings
        .chain(check)
        .chain(compared)
        .chain(backup)
        .chain(copies)
        .chain(restore)
        .chain(read);
    let page: String = chapters.chain(left_out_page()).collect();
    wrapped(&page)
}

/// The chapter about the kinds `K` of trouble.
fn chapter<K: trouble::Kind>(command: &str, words: &str) -> impl Iterator<Item = String> {
    let heading = format!(
        "\n## {command}\n\n{words}\n\n| id | severity | meaning | what comes of it | what to do |\n|---|---|---|---|---|\n"
    );
    let rows = K::ALL.iter().map(|kind| {
        let (id, severity, sentence) = (kind.id(), kind.severity(), kind.sentence());
        let (consequence, remedy) = (kind.consequence(), kind.remedy());
        format!("| `{id}` | {severity} | {sentence} | {consequence} | {remedy} |\n")
    });
    std::iter::once(heading).chain(rows)
}

/// The chapter about what archives do not hold of their sources.
fn left_out_page() -> impl Iterator<Item = String> {
    let heading = "\n## left out of an archive\n\n\
        `backup` prints each, and `--json` has it under `left_out`. Only of what is *missed* a later `restore` says that it is not there.\n\n\
        | id | missed | meaning |\n|---|---|---|\n";
    let rows = LeftOutKind::ALL.iter().map(|kind| {
        let missed = if kind.is_missed() { "yes" } else { "no" };
        format!("| `{}` | {missed} | {} |\n", kind.id(), kind.sentence())
    });
    std::iter::once(heading.to_owned()).chain(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_a_table<K: trouble::Kind>() {
        let ids: BTreeSet<_> = K::ALL.iter().map(|kind| kind.id()).collect();
        assert_eq!(ids.len(), K::ALL.len(), "ids are all different");
        for kind in K::ALL {
            let is_id =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(kind.id().bytes().all(is_id), "{kind:?}");
            assert!(kind.sentence().ends_with('.'), "{kind:?}");
            for words in [&*kind.consequence(), kind.remedy()] {
                assert!(
                    !words.is_empty() && !words.ends_with('.'),
                    "{kind:?}: {words}"
                );
            }
        }
    }

    #[test]
    fn every_room_has_a_table_of_kinds() {
        is_a_table::<Kind>();
        is_a_table::<check::Kind>();
        is_a_table::<archive::ProblemKind>();
        is_a_table::<copy::CopyProblemKind>();
        is_a_table::<copy::DifferenceKind>();
        is_a_table::<restore::ProblemKind>();
        is_a_table::<select::ReadKind>();
    }

    #[test]
    fn the_page_about_findings_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md");
        if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == reference(),
            "docs/findings.md is not what the tables of findings and problems say: `NARTHEX_WRITE_REFERENCE=1 cargo test --lib report::` writes it anew"
        );
    }
}
