//! Where the bytes of blocks go, and which labels, jobs and metrics are to blame.
//!
//! An [`Analyzer`] takes blocks one by one, opened or unpacked for the time of a call, and ends in
//! an [`Analysis`] of all of them.
//!
//! **Every byte belongs to something.** A chunk's record and a series entry belong to their series;
//! so does what the series bears of the index beside its entry ([`Costs`]). What belongs to all
//! (header, table of contents, the list of all series, symbols that nobody uses, headers of
//! segments, what no series refers to) is a row of its own. Rows of a partition (metrics, jobs, the
//! values of one label) add up to the size of the files exactly, see [`Analysis::groups`].
//!
//! **Several blocks**: bytes, chunks and samples are sums; a sample that two blocks hold counts
//! twice, as it is stored twice. Series are told apart by their labels, so that one that lives in
//! several blocks is one where births and deaths are counted.
//!
//! **Damage** goes to [`Analysis::faults`]; everything else is counted. Bytes that cannot be read
//! belong to all.
//!
//! Memory: about 100 bytes for each different label pair, 48 for each different series; while a
//! block is read, 24 bytes for each of its pairs and 56 more for each thread, and 32 for each of
//! its series, 48 of one of several blocks.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::capacity::{Analyzer, AnalyzeOptions};
//! use narthex::raw::ReadMode;
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let mut analyzer = Analyzer::new(AnalyzeOptions::default());
//! analyzer.add(&Block::open(dir.as_ref(), ReadMode::Map)?)?;
//! let analysis = analyzer.finish();
//! // Label name, and how many of its values: the most expensive metrics come first.
//! let metrics = analysis.groups(b"__name__", Some(3));
//! assert!(metrics[0].bytes() >= metrics[1].bytes());
//! # Ok::<(), narthex::Error>(())
//! ```

mod analyzer;
mod churn;
mod costs;
mod cross;
mod cuts;
mod decode;
mod fixed;
mod groups;
mod headline;
mod identity;
mod lives;
mod lookalike;
mod options;
mod pairs;
mod scrapes;
mod tally;
mod walk;
mod window;

pub use analyzer::{Analysis, AnalysisTotals, Analyzer, BlockRow, ByteKind};
pub use churn::{ChurnStep, JobChurn, JobStep, Turnover};
pub use costs::{Costs, NameCost, NameId, PairCost, PairId};
pub use cuts::{CutReason, CutRow};
pub use decode::Bits;
pub use fixed::FixedBytes;
pub use groups::{CrossRow, GroupRow, LabelRow, LookRow, PairRow, Rank, What};
pub use headline::{Headline, HeadlineKind};
pub(crate) use identity::SymbolHashes;
pub use lookalike::Look;
pub use options::AnalyzeOptions;
pub use scrapes::Scrapes;
pub use walk::{ChunkView, SeriesView, Walked, each_series, fold_series, for_each_series};
