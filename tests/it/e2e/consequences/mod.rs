//! What `verify` says that Prometheus does about a fault is what real servers do about it.
//!
//! Each [`Case`] makes one fault in a small block. `narthex verify` must find it; then a server of
//! each release is started on it, answers questions, rewrites the block as a compaction would, and
//! answers again. What it did is compared with the consequence in the table of kinds.

mod chunks;
mod files;
mod index;
mod meta;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use narthex::index::{Index, Series};
use narthex::progress::Silent;
use narthex::verify::{Consequence, Kind, VerifyOptions, verify};
use serde_json::Value;

use super::tools::{Release, Tools};
use super::trial::{self, Question, Replies, Reply, Trial, trial};
use crate::sick::{Loose, Sick};

/// A fault, and the kind of finding that it is.
pub(super) struct Case {
    name: &'static str,
    kind: Kind,
    fault: Fault,
}

/// How a fault is made, and so what the block would be without it.
pub(super) enum Fault {
    /// In a copy of the first block of a fixture.
    Real(&'static str, fn(&Sick)),
    /// In the files of a block that was built from parts.
    Built(fn(&Sick)),
    /// In the parts themselves.
    Parts(fn(&mut Loose)),
    /// In the parts, where no fault would have made the second block.
    Unlike(fn(&mut Loose), fn(&mut Loose)),
    /// In the parts, where nobody can say what a right answer would be.
    Untold(fn(&mut Loose)),
    /// In a copy of the first block of a fixture, likewise.
    RealUntold(&'static str, fn(&Sick)),
}

impl Case {
    fn is_untold(&self) -> bool {
        matches!(self.fault, Fault::Untold(_) | Fault::RealUntold(..))
    }
}

impl Fault {
    /// A name for what the block would be without the fault, if other cases have the same.
    fn origin(&self) -> Option<usize> {
        match self {
            Fault::Real(fixture, _) | Fault::RealUntold(fixture, _) => {
                Some(fixture.as_ptr().addr())
            }
            Fault::Built(_) | Fault::Parts(_) | Fault::Untold(_) => Some(0),
            Fault::Unlike(..) => None,
        }
    }

    /// The block as it should be, with a deletion of nothing, so that it will be rewritten.
    fn healthy(&self) -> Sick {
        let sick = match self {
            Fault::Real(fixture, _) | Fault::RealUntold(fixture, _) => Sick::copy_of(fixture),
            Fault::Built(_) | Fault::Parts(_) | Fault::Untold(_) => Loose::healthy().write(),
            Fault::Unlike(_, truth) => built(*truth),
        };
        sick.delete_nothing();
        sick
    }

    /// The block with the fault.
    fn make(&self) -> Sick {
        match self {
            Fault::Real(_, spoil) | Fault::RealUntold(_, spoil) | Fault::Built(spoil) => {
                let sick = self.healthy();
                spoil(&sick);
                sick
            }
            Fault::Parts(spoil) | Fault::Unlike(spoil, _) | Fault::Untold(spoil) => {
                let sick = built(*spoil);
                sick.delete_nothing();
                sick
            }
        }
    }
}

fn built(change: fn(&mut Loose)) -> Sick {
    let mut loose = Loose::healthy();
    change(&mut loose);
    loose.write()
}

/// Parts of a block's time that are asked for one by one.
const PARTS: i64 = 20;

/// Most label pairs that are asked for one by one.
const MOST_PAIRS: usize = 40;

/// What is asked of a server on this block: all of it at once, and each label pair.
fn questions(block: &Sick) -> Vec<Question> {
    let bytes = block.read("index");
    let index = Index::open(&bytes).unwrap();
    let symbols = index.symbols().unwrap();
    let mut series = Series::default();
    let mut pairs = Vec::new();
    for entry in index.series() {
        let entry = entry.unwrap();
        entry.decode(&mut series).unwrap();
        for label in index.labels(&symbols, &series, entry.offset).unwrap().0 {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            pairs.push((text(&label.name), text(&label.value)));
        }
    }
    // And one that no series has.
    pairs.push(("job".to_owned(), "e".to_owned()));
    pairs.sort();
    pairs.dedup();
    let meta: Value = serde_json::from_slice(&block.read("meta.json")).unwrap();
    let (since, until) = (
        meta["minTime"].as_i64().unwrap(),
        meta["maxTime"].as_i64().unwrap(),
    );
    let all = r#"{__name__=~".+"}"#;
    let mut questions = vec![
        trial::samples(all, until, "7d"),
        trial::series(all, since, until),
        trial::samples(r#"{__name__=~".+",job!="b"}"#, until, "7d"),
        trial::samples(r#"{__name__=~".+",job=~"a|c"}"#, until, "7d"),
    ];
    // Parts of the time, as graphs ask for them: of chunks that the index places elsewhere, some
    // are passed over.
    let step = (until - since) / PARTS;
    let width = format!("{step}ms");
    questions.extend((1..=PARTS).map(|part| trial::samples(all, since + part * step, &width)));
    questions.push(trial::samples(all, until, &format!("{}ms", step / 6)));
    let mut names: Vec<_> = pairs.iter().map(|(name, _)| name.clone()).collect();
    names.dedup();
    questions.extend(
        names
            .iter()
            .map(|name| trial::label_values(name, since, until)),
    );
    let pairs = pairs.iter().take(MOST_PAIRS);
    questions
        .extend(pairs.map(|(name, value)| trial::counts(&format!("{{{name}={value:?}}}"), until)));
    questions
}

/// What a server did, as far as consequences tell it apart.
#[derive(Debug)]
struct Observed {
    starts: bool,
    /// Questions that were not answered.
    failed: usize,
    /// Questions about samples that were answered otherwise than for the block without the fault.
    wrong: usize,
    /// Whether samples of the block were answered at all.
    serves: bool,
    compacts: bool,
    /// Questions about samples that were answered otherwise after the rewrite than before.
    changed: usize,
    /// Whether what the finding is about is still there: after the start, and after the rewrite.
    remains: (bool, bool),
    /// What it said and answered, for whoever reads of a failure.
    said: String,
}

impl Observed {
    fn describe(&self) -> String {
        let all = format!("{self:?}\n  {}", self.said);
        all.chars().take(1000).collect()
    }
}

fn observe(
    tools: &Tools,
    truth: &Replies,
    questions: &[Question],
    about: &Path,
    sick: &Sick,
) -> Observed {
    let mut after_start = true;
    let tried = trial(tools, sick.parent(), questions, || {
        after_start = about.symlink_metadata().is_ok();
    });
    let is_there = about.symlink_metadata().is_ok();
    match tried {
        Trial::Refused(log) => Observed {
            starts: false,
            failed: 0,
            wrong: 0,
            serves: false,
            compacts: false,
            changed: 0,
            remains: (is_there, is_there),
            said: log.lines().last().unwrap_or_default().to_owned(),
        },
        Trial::Started {
            replies,
            compaction,
            rewritten,
        } => {
            let differ = |before: &Replies, after: &Replies| {
                let mut pairs: Vec<_> = before
                    .iter()
                    .filter(|(question, _)| question.contains("/query?"))
                    .map(|(question, reply)| (question, reply, &after[question]))
                    .filter(
                        |(_, before, after)| matches!((before, after), (Ok(a), Ok(b)) if a != b),
                    )
                    .collect();
                pairs.sort_by_key(|(question, ..)| question.len());
                pairs
                    .into_iter()
                    .map(|(question, before, after)| format!("{question}: {before:?} <> {after:?}"))
                    .collect::<Vec<_>>()
            };
            let wrong = differ(truth, &replies);
            let changed = differ(&replies, &rewritten);
            let failures: Vec<_> = replies
                .values()
                .filter_map(|reply| reply.as_ref().err())
                .collect();
            let is_some = |reply: &Reply| {
                reply.as_ref().is_ok_and(|reply| {
                    reply["result"]
                        .as_array()
                        .is_some_and(|rows| !rows.is_empty())
                })
            };
            let said = [
                failures.first().map(|s| (*s).clone()),
                compaction.as_ref().err().cloned(),
                wrong.first().cloned(),
                changed.first().cloned(),
            ];
            Observed {
                starts: true,
                failed: failures.len(),
                wrong: wrong.len(),
                serves: replies.values().any(is_some) || !failures.is_empty(),
                changed: changed.len(),
                compacts: compaction.is_ok(),
                remains: (after_start, is_there),
                said: said
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("\n")
                    .replace('\r', ""),
            }
        }
    }
}

/// Whether a server that did this did what the table says.
fn agrees(consequence: Consequence, case: &Case, seen: &Observed) -> bool {
    let right = seen.starts && seen.failed == 0 && (seen.wrong == 0 || case.is_untold());
    match consequence {
        Consequence::Nothing => right && seen.compacts && seen.changed == 0 && seen.serves,
        Consequence::NeverDeletes => {
            right && seen.compacts && seen.changed == 0 && seen.remains == (true, true)
        }
        Consequence::Deletes => seen.starts && !seen.remains.0,
        Consequence::SkipsBlock => {
            seen.starts && seen.failed == 0 && !seen.serves && seen.remains.0
        }
        Consequence::FailsCompaction => right && !seen.compacts && seen.serves,
        Consequence::LosesInCompaction => right && seen.compacts && seen.changed > 0,
        Consequence::FailsQueries => seen.starts && seen.failed > 0,
        Consequence::WrongAnswers => seen.starts && seen.wrong > 0,
        Consequence::DoesNotStart => !seen.starts,
        _ => panic!("{consequence} is of logs, which have tests of their own"),
    }
}

/// Servers at a time: each waits more than it works.
const AT_A_TIME: usize = 3;

/// What a server answers of the block without the fault, by what the block is made from.
type Truths = Mutex<BTreeMap<usize, (Vec<Question>, Replies)>>;

fn try_case(tools: &Tools, case: &Case, truths: &Truths) -> Result<(), String> {
    let told = || -> (Vec<Question>, Replies) {
        let healthy = case.fault.healthy();
        let questions = questions(&healthy);
        match trial(tools, healthy.parent(), &questions, || {}) {
            Trial::Started { replies, .. } => (questions, replies),
            Trial::Refused(log) => panic!("a healthy block: {log}"),
        }
    };
    let (questions, truth) = match case.fault.origin() {
        None => told(),
        Some(origin) => {
            let known = truths.lock().unwrap().get(&origin).cloned();
            known.unwrap_or_else(|| {
                let told = told();
                truths.lock().unwrap().insert(origin, told.clone());
                told
            })
        }
    };
    let sick = case.fault.make();
    let verdict = verify(sick.parent(), VerifyOptions::default(), &Silent).unwrap();
    let found: BTreeSet<_> = verdict
        .all_findings()
        .map(|finding| finding.kind.id())
        .collect();
    let Some(finding) = verdict
        .all_findings()
        .find(|finding| finding.kind == case.kind)
    else {
        return Err(format!("{}: no {} but {found:?}", case.name, case.kind));
    };
    let path = &finding.path;
    let about = if path.symlink_metadata().is_ok() {
        path
    } else {
        path.parent().unwrap()
    };
    let seen = observe(tools, &truth, &questions, about, &sick);
    let (major, minor) = tools.release.version();
    let consequence = case.kind.consequence_of(major, minor);
    if agrees(consequence, case, &seen) {
        return Ok(());
    }
    Err(format!(
        "{}: {} says that {major}.{minor} {consequence:?}\n  {found:?}\n  {}",
        case.name,
        case.kind,
        seen.describe()
    ))
}

fn try_all(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let cases = cases();
    let next = AtomicUsize::new(0);
    let (wrong, truths) = (Mutex::new(Vec::new()), Truths::default());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(said) = try_case(&tools, case, &truths) {
                        wrong.lock().unwrap().push(said);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

fn cases() -> Vec<Case> {
    let all = [
        files::cases(),
        index::cases(),
        chunks::cases(),
        meta::cases(),
    ]
    .into_iter()
    .flatten();
    let only = std::env::var("NARTHEX_ONLY_CASES").unwrap_or_default();
    all.filter(|case| case.name.contains(&only)).collect()
}

/// Kinds that no case tries, and why.
const UNTRIED: &[(Kind, &str)] = &[
    (
        Kind::BlockFailed,
        "only the planner of a server that compacts by itself passes it over",
    ),
    (Kind::ChunkNotCanonical, "no writer at hand makes one"),
    (
        Kind::ChunkOrphaned,
        "stands beside the damaged series, which is tried",
    ),
    (Kind::SymbolNotUtf8, "is not a fault"),
    (
        Kind::DeclaredHash,
        "Prometheus does not read what it is about; see declared-size",
    ),
    (
        Kind::PageUnreadable,
        "needs a broken disk: see hostile_machine.rs",
    ),
];

/// Kinds of logs and of a start have tests of their own: these, which name them.
const ELSEWHERE: &[(&str, &[Kind])] = &[
    (
        include_str!("../log_faults.rs"),
        &[
            Kind::WalNote,
            Kind::WalTorn,
            Kind::WalCompressionFlags,
            Kind::WalUnknownSeries,
            Kind::WalCheckpointEmpty,
            Kind::WalHistogram,
            Kind::WalFirstNotAFile,
            Kind::WalUnusual,
            Kind::WalBehind,
            Kind::WalDamaged,
            Kind::WalBroken,
            Kind::WalDestructive,
        ],
    ),
    (
        include_str!("../start.rs"),
        &[
            Kind::BlockFuture,
            Kind::BlockFutureLate,
            Kind::BlockRange,
            Kind::BlockRangeWide,
            Kind::WalHidden,
            Kind::LogFuture,
            Kind::LogFutureLate,
            Kind::ReleaseChunks,
            Kind::ReleaseLog,
            Kind::HeadFileBlocked,
            Kind::HeadChunksBroken,
            Kind::HeadChunksDamaged,
            Kind::HeadChunksOrder,
            Kind::HeadChunksTorn,
            Kind::HeadChunksUnwritten,
            Kind::HeadChunksOrphaned,
            Kind::HeadChunksForeign,
            Kind::HeadChunksContradict,
        ],
    ),
    (
        include_str!("../future.rs"),
        &[Kind::CheckpointFuture, Kind::HeadChunksWithoutWbl],
    ),
    (
        include_str!("../snapshots.rs"),
        &[
            Kind::SnapshotUnusable,
            Kind::SnapshotAhead,
            Kind::SnapshotTail,
            Kind::SnapshotShort,
        ],
    ),
    (include_str!("../unlistable.rs"), &[Kind::BlockUnlistable]),
];

#[test]
fn every_kind_is_tried_or_named_as_untried() {
    let tried: BTreeSet<_> = cases().iter().map(|case| case.kind).collect();
    for kind in Kind::ALL {
        let mut places = ELSEWHERE.iter().filter(|(_, kinds)| kinds.contains(kind));
        let elsewhere = places.next();
        if let Some((test, _)) = elsewhere {
            assert!(
                test.contains(kind.id()),
                "{kind} is not named where it is tried"
            );
        }
        let is_untried = UNTRIED.iter().any(|(untried, _)| untried == kind);
        assert!(
            tried.contains(kind) != (is_untried || elsewhere.is_some()),
            "{kind}"
        );
    }
}

#[test]
fn prometheus_2_42_does_what_verify_says() {
    try_all(Release::Packaged);
}

#[test]
fn the_current_prometheus_does_what_verify_says() {
    try_all(Release::Current);
}
