//! The one table of what `verify` can find. Ids are a promise to scripts: they are never renamed,
//! and `docs/findings.md` is held equal to this table by a test.

use std::borrow::Cow;
use std::fmt;

use crate::start::Release;
use crate::trouble;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingSeverity {
    /// Legal, but unusual: worth knowing, nothing to mend. Does not count as a problem.
    Note,
    /// Not as it should be, but every sample is there and is served.
    Warning,
    /// Samples are lost, wrong or out of reach.
    Damaged,
    /// The whole block is out of reach: the server does not start, or leaves the block out.
    Fatal,
}

impl fmt::Display for FindingSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FindingSeverity::Note => "note",
            FindingSeverity::Warning => "warning",
            FindingSeverity::Damaged => "damaged",
            FindingSeverity::Fatal => "fatal",
        })
    }
}

/// What Prometheus does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consequence {
    /// It does not notice, or does not mind.
    Nothing,
    /// It drops what is concerned, and rebuilds it from the logs.
    Rebuilds,
    /// It serves it, but never deletes it, not even when it is rewritten or too old.
    NeverDeletes,
    /// It removes what is concerned at its next start or reload.
    Deletes,
    /// It logs a line and serves without the block.
    SkipsBlock,
    /// Compactions that read it fail, again and again.
    FailsCompaction,
    /// Queries are right, but a compaction that reads it leaves samples out, without a word.
    LosesInCompaction,
    /// Queries that touch it fail.
    FailsQueries,
    /// Queries that touch it return too little or something wrong, without a word.
    WrongAnswers,
    /// It starts, and refuses new samples until the clock has come near those in the log.
    RefusesNew,
    /// It starts, and passes over what is concerned.
    SkipsRecords,
    /// It starts, but what it logs from then on is lost at the start after that.
    LosesNewData,
    /// It drops what stands in the log behind this place, and starts.
    DropsLog,
    /// It dies as soon as it reads there: when it starts, for a query, or when it compacts.
    Crashes,
    /// It takes all in-order samples before the end of a block for stored: it drops those in the
    /// log and refuses new ones.
    ShutsOut,
    /// It makes a block in the future, from whose end retention counts.
    DeletesOlder,
    /// It does not start.
    DoesNotStart,
    /// It does not start, and the attempt destroys data.
    Destroys,
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consequence::Nothing => "nothing",
            Consequence::Rebuilds => "drops it and rebuilds it from the log",
            Consequence::NeverDeletes => "serves it, but never deletes it",
            Consequence::Deletes => "deletes it",
            Consequence::SkipsBlock => "serves without the block",
            Consequence::FailsCompaction => "fails to compact it",
            Consequence::LosesInCompaction => "loses samples when it compacts it",
            Consequence::FailsQueries => "fails queries that touch it",
            Consequence::WrongAnswers => "answers wrongly without a word",
            Consequence::RefusesNew => "refuses new samples for so long",
            Consequence::SkipsRecords => "starts without what is concerned",
            Consequence::LosesNewData => "loses what it logs from now on",
            Consequence::DropsLog => "drops the rest of the log",
            Consequence::Crashes => "crashes when it reads it",
            Consequence::ShutsOut => "loses the WAL and all new samples up to the block's end",
            Consequence::DeletesOlder => "deletes all blocks that are older by the retention time",
            Consequence::DoesNotStart => "does not start",
            Consequence::Destroys => "does not start, and destroys data trying",
        })
    }
}

/// What releases of Prometheus do about it. It prints as one consequence where they agree, else by
/// release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequences {
    /// What [`Release::OLDEST`] does.
    pub old: Consequence,
    /// What [`Release::OBSERVED`] does.
    pub new: Consequence,
    /// The release from which on it is as in the newer one: its first two numbers.
    pub since: (u32, u32),
}

impl Consequences {
    /// What the release with these first two numbers does.
    pub fn of(self, major: u32, minor: u32) -> Consequence {
        if (major, minor) < self.since {
            self.old
        } else {
            self.new
        }
    }

    /// The worse of both.
    pub fn worst(self) -> Consequence {
        self.old.max(self.new)
    }
}

impl fmt::Display for Consequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.old == self.new {
            return self.old.fmt(f);
        }
        let (oldest, newest) = (Release::OLDEST, Release::OBSERVED);
        write!(f, "{oldest}: {}; {newest}: {}", self.old, self.new)
    }
}

/// From this release on, Prometheus keeps the labels of a series as one string, in which it
/// searches by their order.
const STRING_LABELS: (u32, u32) = (2, 44);
/// From this release on, the last fragment of a record says how it is compressed.
const LAST_FRAGMENT: (u32, u32) = (3, 4);
/// From this release on, a start does not look for a WAL of the format before Prometheus 2.1.
const NO_MIGRATION: (u32, u32) = (2, 53);
/// From this release on at the latest, late samples in chunks_head are compacted without a log of
/// late samples.
const LATE_BY_ITSELF: (u32, u32) = (3, 16);
/// From this release on, a start deletes chunk snapshots that are ahead of the WAL.
const SNAPSHOT_AHEAD: (u32, u32) = (2, 43);
/// From this release on, a start heeds the minimum valid time in a checkpoint.
const MIN_VALID_TIME: (u32, u32) = (3, 16);

/// What the table says of one kind.
#[derive(Debug)]
struct Entry {
    id: &'static str,
    severity: FindingSeverity,
    consequences: Consequences,
    sentence: &'static str,
    remedy: &'static str,
}

const RESTORE: &str = "stop the server and replace the block by its copy in an archive: narthex restore latest --target DIR --replace-damaged --block ULID; if there is none, narthex dump writes what is readable";
const META: &str = "stop the server and restore the block from an archive (narthex restore latest --target DIR --replace-damaged --block ULID); if every archive has it so, find out which program wrote the block";
const LEAVE: &str = "nothing to do";
const WRITER: &str =
    "find out which program wrote the block; Prometheus does not write this any more";
const HARMLESS: &str =
    "check the disk: something changed bytes that nobody reads; the block itself can stay";
const WAL: &str = "back up the log before Prometheus is started on it";

const HEAD: &str =
    "see whether the log is sound, and check the disk: nothing is lost where the log is";
const AWAY: &str =
    "move the block away before Prometheus is started; if only its meta.json is wrong, mend that";
const RANGE: &str = "restore the block from an archive before Prometheus is started (narthex restore latest --target DIR --replace-damaged --block ULID): the range in its meta.json is wrong";
const CLOCK: &str = "archive the log and move it away before Prometheus is started";
const REBUILD: &str = "move chunks_head away while no server runs: the log rebuilds it";
const NEWER: &str = "start the release that is named, or a newer one";
/// What all releases do, or what they do up to one and what they do from then on.
macro_rules! consequences {
    ($all:ident) => {
        Consequences {
            old: Consequence::$all,
            new: Consequence::$all,
            since: (0, 0),
        }
    };
    ($old:ident $since:ident $new:ident) => {
        Consequences {
            old: Consequence::$old,
            new: Consequence::$new,
            since: $since,
        }
    };
}

macro_rules! kinds {
    ($($(#[$heading:meta])* $variant:ident $id:literal $severity:ident $consequence:ident $(until $since:ident then $new:ident)? $sentence:literal $remedy:expr;)*) => {
        /// What was found: one member for each row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $(#[doc = $sentence] $variant,)*
        }

        impl Kind {
            /// All of them, in the order of the table.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            fn entry(self) -> &'static Entry {
                match self {
                    $(Kind::$variant => &Entry {
                        id: $id,
                        severity: FindingSeverity::$severity,
                        consequences: consequences!($consequence $($since $new)?),
                        sentence: $sentence,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

kinds! {
    // Directories and files.
    Unreadable "unreadable" Fatal DoesNotStart "A file or directory that belongs to the block cannot be read." "mend its permissions or the file system, then verify again";
    BlockUnlistable "block-unlistable" Fatal SkipsBlock "The block's directory cannot be listed, and its meta.json not be read." "mend its permissions or the file system, then verify again";
    PageUnreadable "page-unreadable" Fatal Crashes "The disk cannot read part of a file." "stop the server, copy what can be read to another disk, restore the block from an archive";
    ForeignEntry "foreign-entry" Note Nothing "Something lies here that is not Prometheus'." LEAVE;
    LeftoverFile "leftover-file" Note Nothing "An interrupted writer left a file that Prometheus neither reads nor removes." "remove it while no server runs";
    LeftoverDirectory "leftover-directory" Note Deletes "A directory is being written or removed, or was when the server died." "if no server runs, it can be removed";
    Sandbox "sandbox" Note Nothing "A reader of the database that was killed left its working directory." "remove it";
    BlockMisspelled "block-misspelled" Warning NeverDeletes "The block's directory is not spelled in upper case: it is served, but never deleted." "rename the directory while no server runs";
    BlockSymlink "block-symlink" Warning SkipsBlock "The block's directory is a symbolic link, which Prometheus does not follow." "put the block itself there, or a bind mount";
    BlockDeletable "block-deletable" Note Deletes "The block is marked as deletable: everything in it was deleted." LEAVE;
    BlockFailed "block-failed" Note FailsCompaction "A compaction of this block failed, or an older server was stopped during one; Prometheus will not compact it again, and serves it." "see what else is found in the block, or in the others of that compaction";
    BlockDownsampledServed "block-downsampled-served" Warning FailsQueries "A block that was downsampled by Thanos lies in the data directory of a Prometheus, which cannot read its chunks: queries that touch one of its series fail, be there other blocks with their samples or not." "take it out of the directory";
    BlockDownsampled "block-downsampled" Note FailsQueries "The block was downsampled by Thanos: its chunks are aggregates that Prometheus cannot read." "keep it away from Prometheus' data directory";
    DeclaredSize "declared-size" Damaged Nothing "A file is not of the size that the block's Thanos section declares, or is missing." "upload or copy the block again";
    DeclaredHash "declared-hash" Damaged Nothing "A file has not the SHA-256 digest that the block's Thanos section declares." "upload or copy the block again";

    // meta.json.
    MetaMissing "meta-missing" Fatal SkipsBlock "meta.json is missing." RESTORE;
    MetaMalformed "meta-malformed" Fatal SkipsBlock "meta.json is not block metadata." RESTORE;
    MetaVersion "meta-version" Fatal SkipsBlock "meta.json has a version that Prometheus does not load." RESTORE;
    MetaVersion2 "meta-version-2" Note Nothing "meta.json has version 2, as Prometheus 2.1 wrote; a later release mends it when it starts." LEAVE;
    MetaUlid "meta-ulid" Warning NeverDeletes "The block's own ULID is not the name of its directory: when the block was rewritten or is too old, the directory stays." "find out which of the two is right: is this meta.json that of another block?";
    MetaRange "meta-range" Damaged WrongAnswers "The block's range of time is empty or the wrong way round: it is never queried." RESTORE;
    MetaLineage "meta-lineage" Warning Nothing "Level, sources, parents and range of the block contradict one another." META;
    MetaKey "meta-key" Warning Nothing "A key of meta.json is nearly one that Prometheus knows: what it says is passed over." META;
    MetaHint "meta-hint" Note Nothing "A compaction hint is unknown." LEAVE;
    MetaStats "meta-stats" Warning Nothing "The numbers in meta.json are not those of the data." "if data is not damaged, only the numbers are wrong: is this meta.json that of another block?";

    // The index as a file.
    IndexMissing "index-missing" Fatal DoesNotStart "The index is missing." RESTORE;
    IndexHeader "index-header" Fatal DoesNotStart "The index does not begin as an index does." RESTORE;
    IndexVersion "index-version" Fatal DoesNotStart "The index has a version that is not known." "use a newer narthex, or see which program wrote it";
    IndexToc "index-toc" Fatal DoesNotStart "The table of contents at the end of the index is cut off or damaged." RESTORE;
    IndexLayout "index-layout" Fatal DoesNotStart "The sections of the index are not where its table of contents says, or do not follow one another." RESTORE;
    IndexOffsets "index-offsets" Warning Nothing "The table of contents of the index is wrong about sections that Prometheus finds without it." HARMLESS;
    IndexPadding "index-padding" Warning Nothing "Filling bytes in the index are not zero." HARMLESS;
    IndexGarbage "index-garbage" Warning Nothing "The index has bytes that belong to nothing." HARMLESS;

    // Symbols.
    SymbolsChecksum "symbols-checksum" Fatal DoesNotStart "The checksum of the symbol table is wrong: some label name or value is damaged." RESTORE;
    SymbolsMalformed "symbols-malformed" Fatal DoesNotStart "The symbol table cannot be read." RESTORE;
    SymbolUnsorted "symbol-unsorted" Damaged FailsCompaction "The symbols are not in order." RESTORE;
    SymbolUnsortedName "symbol-unsorted-name" Fatal DoesNotStart "The symbols are so far out of order that the name of a label is not found among them." RESTORE;
    SymbolDuplicate "symbol-duplicate" Damaged FailsCompaction "A symbol stands in the table twice." RESTORE;
    SymbolNotUtf8 "symbol-not-utf8" Note Nothing "A label name or value is not UTF-8." LEAVE;
    SymbolUnused "symbol-unused" Note Nothing "Symbols stand in the table that no series uses, as in most blocks cut from a head." LEAVE;

    // Series.
    SeriesChecksum "series-checksum" Damaged FailsQueries "The checksum of a series entry is wrong." RESTORE;
    SeriesMalformed "series-malformed" Damaged FailsQueries "A series entry cannot be read." RESTORE;
    SeriesNoLabels "series-no-labels" Damaged FailsCompaction "A series has no labels." WRITER;
    SeriesNoChunks "series-no-chunks" Warning Nothing "A series has no chunks." WRITER;
    SeriesUnsorted "series-unsorted" Damaged FailsCompaction "The series are not in the order of their labels." RESTORE;
    SeriesDuplicate "series-duplicate" Damaged FailsQueries "Two series have the same labels." WRITER;
    SymbolMissing "symbol-missing" Damaged FailsQueries "A series refers to a symbol that does not exist." RESTORE;
    LabelUnsorted "label-unsorted" Warning FailsCompaction until STRING_LABELS then WrongAnswers "The labels of a series are not in order, as writers before Prometheus 2.8 could leave them." WRITER;
    LabelDuplicate "label-duplicate" Warning FailsCompaction "A series has two labels of one name." WRITER;
    LabelEmpty "label-empty" Note Nothing "A label has an empty name or value." LEAVE;

    // What series say of chunks.
    ChunkRange "chunk-range" Damaged WrongAnswers "A chunk ends before it begins, by the index; Prometheus 2.51 and later do not compact it." RESTORE;
    ChunkOverlap "chunk-overlap" Warning WrongAnswers "Chunks of one series overlap or are out of order, as writers before Prometheus 2.51 could leave them; later ones do not compact them." WRITER;
    ChunkDuplicate "chunk-duplicate" Warning WrongAnswers "A series has two chunks for the same range of time; Prometheus 2.51 and later do not compact them." WRITER;
    ChunkOutsideBlock "chunk-outside-block" Warning WrongAnswers "A chunk lies, wholly or in part, outside the block's range of time, where queries do not look; a compaction leaves out what does." "if many chunks do, the range in meta.json is wrong";

    // Postings.
    PostingsTableChecksum "postings-table-checksum" Fatal DoesNotStart "The checksum of the postings offset table is wrong." RESTORE;
    PostingsTableMalformed "postings-table-malformed" Fatal DoesNotStart "The postings offset table cannot be read." RESTORE;
    PostingsTableCount "postings-table-count" Warning Nothing "The postings offset table announces more entries than it has." HARMLESS;
    PostingsTableRest "postings-table-rest" Damaged WrongAnswers "The postings offset table goes on behind the entries that it announces, so label values are not found." RESTORE;
    PostingsTableUnsorted "postings-table-unsorted" Damaged WrongAnswers "The postings offset table is not in order, so label values are not found." RESTORE;
    PostingsChecksum "postings-checksum" Damaged FailsQueries "The checksum of a postings list is wrong." RESTORE;
    PostingsMalformed "postings-malformed" Damaged FailsQueries "A postings list cannot be read." RESTORE;
    PostingsUnsorted "postings-unsorted" Damaged WrongAnswers "The references in a postings list do not ascend." RESTORE;
    PostingsMissing "postings-missing" Damaged WrongAnswers "A series is not in the postings list of one of its labels." RESTORE;
    PostingsExtra "postings-extra" Damaged WrongAnswers "A postings list names a series that does not have the label." RESTORE;
    PostingsDangling "postings-dangling" Damaged FailsQueries "A postings list refers to a place where no series is." RESTORE;
    PostingsShared "postings-shared" Damaged WrongAnswers "Two label pairs have postings lists that overlap." RESTORE;
    AllPostingsDamaged "all-postings-damaged" Damaged FailsCompaction "The list of all series, which only compactions read, is damaged, out of order, or refers to a place where no series is." RESTORE;
    AllPostingsMissing "all-postings-missing" Damaged LosesInCompaction "A series is not in the list of all series, which only compactions read." RESTORE;

    // Label indices, which nobody reads.
    LabelIndexChecksum "label-index-checksum" Warning Nothing "The checksum of a label index, or of their offset table, is wrong; nobody reads them." HARMLESS;
    LabelIndexMalformed "label-index-malformed" Warning Nothing "A label index, or their offset table, cannot be read; nobody reads them." HARMLESS;
    LabelIndexContent "label-index-content" Warning Nothing "The label indices do not list the values that the postings have; nobody reads them." HARMLESS;

    // Segments.
    ChunksMissing "chunks-missing" Fatal DoesNotStart "The directory chunks is missing." RESTORE;
    SegmentHeader "segment-header" Fatal DoesNotStart "A segment does not begin as segments do." RESTORE;
    SegmentEmpty "segment-empty" Fatal DoesNotStart "A segment is an empty file." RESTORE;
    SegmentPadding "segment-padding" Warning Nothing "The three filling bytes of a segment's header are not zero." HARMLESS;
    SegmentNames "segment-names" Warning Nothing "The segments are not called 000001, 000002 … without a gap; Prometheus counts them by position." "see whether a segment is missing";
    SegmentMissing "segment-missing" Damaged FailsQueries "The index refers to a segment that is not there, and the chunks are nowhere else." RESTORE;
    SegmentTruncated "segment-truncated" Damaged FailsQueries "The index refers to chunks behind the end of a segment, and they are nowhere else." RESTORE;
    SegmentOversize "segment-oversize" Note Nothing "A segment is larger than 512 MiB, which Prometheus makes only for a single chunk or when told to." LEAVE;
    SegmentGarbage "segment-garbage" Warning Nothing "A segment has bytes that belong to no chunk." HARMLESS;
    ChunksForeign "chunks-foreign" Damaged FailsQueries "The chunks are sound, but not those that the index refers to: index and segments are of different blocks." RESTORE;

    // Chunks.
    ChunkReference "chunk-reference" Damaged FailsQueries "A reference in the index leads astray; the chunk it means stands elsewhere, or none can." RESTORE;
    ChunkShared "chunk-shared" Warning WrongAnswers "Two references lead to the same chunk, or to overlapping ones." WRITER;
    ChunkUnreferenced "chunk-unreferenced" Warning WrongAnswers "A sound chunk is there that no series refers to." "its samples can be read, but not to which series they belong";
    ChunkOrphaned "chunk-orphaned" Note Nothing "Chunks are there whose series entries are damaged: their samples are what is lost." RESTORE;
    ChunkChecksum "chunk-checksum" Damaged FailsQueries "The checksum of a chunk is wrong." RESTORE;
    ChunkMalformed "chunk-malformed" Damaged FailsQueries "A chunk cannot be decoded to its end, or does not fit into its segment." RESTORE;
    ChunkShort "chunk-short" Damaged WrongAnswers "A chunk ends before the last samples that it should hold; those before are served as if they were all." RESTORE;
    ChunkEncoding "chunk-encoding" Damaged FailsQueries "A chunk has an encoding or a histogram schema that is not known." "use a newer narthex, or see which program wrote it";
    ChunkEmpty "chunk-empty" Warning Nothing "A chunk holds no samples." WRITER;
    ChunkCount "chunk-count" Damaged WrongAnswers "Something stands behind the last sample of a chunk: its header counts too few samples." RESTORE;
    ChunkOrder "chunk-order" Damaged WrongAnswers "The samples of a chunk are not in order of time." RESTORE;
    ChunkTime "chunk-time" Damaged WrongAnswers "A chunk begins before or ends after the times the index gives, so queries may pass it over." RESTORE;
    ChunkTimeWide "chunk-time-wide" Warning Nothing "The index gives a chunk a wider range of time than its samples have." RESTORE;
    ChunkNotCanonical "chunk-not-canonical" Note Nothing "A chunk is not encoded as Prometheus would encode its samples." LEAVE;
    HistogramLayout "histogram-layout" Damaged WrongAnswers "The spans or bounds of a histogram chunk are not possible." RESTORE;
    HistogramCounts "histogram-counts" Damaged WrongAnswers "The counts of a histogram are not possible." RESTORE;
    HistogramShortfall "histogram-shortfall" Note Nothing "The buckets of a histogram hold fewer observations than its count says." LEAVE;

    // Tombstones.
    TombstonesMissing "tombstones-missing" Note Nothing "There is no tombstones file, so nothing is deleted; Prometheus snapshots of the block fail." LEAVE;
    TombstonesLink "tombstones-link" Warning Nothing "The tombstones file is a link that leads nowhere: Prometheus takes it that nothing is deleted." "put the file itself there; without it, deleted samples come back";
    TombstonesChecksum "tombstones-checksum" Fatal DoesNotStart "The checksum of the tombstones file is wrong." "restore the block from an archive (narthex restore latest --target DIR --replace-damaged --block ULID); without the file, deleted samples come back";
    TombstonesMalformed "tombstones-malformed" Fatal DoesNotStart "The tombstones file cannot be read." "restore the block from an archive (narthex restore latest --target DIR --replace-damaged --block ULID); without the file, deleted samples come back";
    TombstoneSeries "tombstone-series" Warning Nothing "A tombstone is for a series that does not exist." "are these the tombstones of another block?";
    TombstoneRange "tombstone-range" Warning Nothing "A tombstone ends before it begins." WRITER;

    // Between blocks.
    BlocksOverlap "blocks-overlap" Note Nothing "Two blocks overlap in time; the next compaction merges them." LEAVE;
    UlidDuplicate "ulid-duplicate" Warning NeverDeletes "Two directories hold a block of the same ULID." "remove one of them";
    SourcesDuplicate "sources-duplicate" Warning Nothing "The samples of a block are in another one as well: its sources are all among the other's." "remove the smaller block";
    ParentPresent "parent-present" Warning Deletes "A block is still there beside the one that was compacted from it." LEAVE;
    ParentUncovered "parent-uncovered" Damaged Deletes "A block is named as parent by one that does not hold all its samples; Prometheus deletes it nevertheless." "move the child away before Prometheus is started";

    // What blocks and logs say together, about a start.
    BlockFuture "block-future" Fatal ShutsOut "A block's range reaches into the future: retention counts from its end, and what is older than its end is neither replayed nor taken." AWAY;
    BlockFutureLate "block-future-late" Fatal DeletesOlder "The range of a block of late or selected samples reaches into the future: retention counts from its end." AWAY;
    BlockRange "block-range" Fatal ShutsOut "The newest block's range ends long after its last sample: what is older than its end is neither replayed nor taken." RANGE;
    BlockRangeWide "block-range-wide" Warning Nothing "A block's range reaches far beyond its samples; Prometheus merges it with every block that it overlaps." RANGE;
    WalHidden "wal-hidden" Damaged ShutsOut "The log holds samples that no block has and that are older than the end of the newest block, or than the time from which on the log is replayed by its checkpoint (Prometheus 3.16): a start drops them." RANGE;
    LogFuture "log-future" Damaged RefusesNew "The log, or a chunk of chunks_head, holds samples far ahead of the time of the start: new samples are refused until an hour before the newest of them." CLOCK;
    LogFutureLate "log-future-late" Fatal DeletesOlder "The log of late samples, or a chunk of such samples in chunks_head, reaches far ahead of the time of the start: a compaction will make a block of it, from whose end retention counts." "archive wbl and chunks_head and move them away before Prometheus is started";
    CheckpointFuture "wal-checkpoint-future" Fatal Nothing until MIN_VALID_TIME then ShutsOut "The newest checkpoint says that all samples before a time in the future are in blocks: what is older is neither replayed nor taken." CLOCK;
    ReleaseChunks "release-chunks" Damaged FailsQueries "The release of Prometheus that was asked for cannot read some chunks of a block." NEWER;
    ReleaseLog "release-log" Damaged WrongAnswers "The release of Prometheus that was asked for passes over some records of the log, or takes them for something else." NEWER;

    // Files of the head.
    HeadFileBlocked "head-file-blocked" Fatal DoesNotStart "Something else lies where a server writes a file at every start: lock or queries.active." "move it away before Prometheus is started";
    HeadChunksBroken "head-chunks-broken" Fatal DoesNotStart "chunks_head is no directory, or a file of it is missing, or does not begin as such files do." REBUILD;
    HeadChunksDamaged "head-chunks-damaged" Warning Rebuilds "A chunk in chunks_head is damaged: a start removes its file and all later ones." HEAD;
    HeadChunksOrder "head-chunks-order" Warning Rebuilds "Chunks of one series in chunks_head overlap: a start removes all files of chunks_head." HEAD;
    HeadChunksTorn "head-chunks-torn" Note Rebuilds "The last chunk in chunks_head was being written, as in a copy of a server at work." LEAVE;
    HeadChunksUnwritten "head-chunks-unwritten" Note Deletes "The last file of chunks_head was created and never written, as after a power cut." LEAVE;
    HeadChunksOrphaned "head-chunks-orphaned" Damaged WrongAnswers "chunks_head holds samples of series that the log does not define: a start drops them." "restore the log from an archive";
    HeadChunksForeign "head-chunks-foreign" Warning WrongAnswers "chunks_head holds samples that the log does not have, under numbers by which the log knows series: a start serves them as samples of those." REBUILD;
    HeadChunksContradict "head-chunks-contradict" Damaged WrongAnswers "The log holds samples that a start passes over, for chunks of the same series in chunks_head reach beyond them and do not hold them." REBUILD;
    HeadChunksWithoutWbl "head-chunks-without-wbl" Warning Crashes until LATE_BY_ITSELF then Nothing "chunks_head holds late samples, and there is no wbl: a server that is not told to take late samples crashes when it compacts." "start the server with an out_of_order_time_window, or a newer release";
    SnapshotUnusable "snapshot-unusable" Warning Rebuilds "The newest chunk snapshot is damaged, or something else lies under such a name; servers that use chunk snapshots replay the WAL instead." HEAD;
    SnapshotAhead "snapshot-ahead" Damaged LosesNewData until SNAPSHOT_AHEAD then Deletes "The newest chunk snapshot is ahead of the WAL. Of servers that use chunk snapshots, those before Prometheus 2.43 do not replay segments that they write until they have caught up; later ones delete the snapshot." "copy the snapshot; what it has and the log has not comes back with Prometheus before 2.43 alone";
    SnapshotTail "snapshot-tail" Warning LosesNewData "The newest chunk snapshot ends inside a segment of the WAL that is not there. Servers that use chunk snapshots write that segment anew; should they crash, they replay of it only what lies behind that place." "remove the chunk snapshot while no server runs, if the log has all";
    SnapshotShort "snapshot-short" Damaged SkipsRecords "The newest chunk snapshot lacks series of which the log before it has samples: servers that use chunk snapshots start without those." "remove the chunk snapshot while no server runs: the log has all";

    // Write-ahead logs.
    WalNote "wal-note" Note Nothing "A write-ahead log holds something unusual." LEAVE;
    WalTorn "wal-torn" Note Nothing "A write-ahead log ends inside a record, as that of a server at work or of one that was killed does; the start that cuts it off replays the WBL only the next time." LEAVE;
    WalCompressionFlags "wal-compression-flags" Warning DropsLog until LAST_FRAGMENT then Nothing "The fragments of a record disagree about its compression: Prometheus 3.4 and newer go by the last one and read it; 2.42 misreads the record, or cuts the log there." WAL;
    WalUnknownSeries "wal-unknown-series" Damaged SkipsRecords "A write-ahead log holds samples of series that nothing before them in the log defines." "restore the log from an archive; the samples can be read, but not to which series they belong";
    WalCheckpointEmpty "wal-checkpoint-empty" Damaged SkipsRecords "The newest checkpoint defines no series, though the log behind it needs them." "restore the log from an archive";
    WalHistogram "wal-histogram" Fatal Crashes "A histogram in a write-ahead log has more or fewer buckets than its spans say: Prometheus panics when it encodes it, with one of the WAL at every start." WAL;
    WalFirstNotAFile "wal-first-not-a-file" Warning DoesNotStart until NO_MIGRATION then Nothing "The oldest segment of the WAL, be it in use or not, is no file: Prometheus before 2.53 looks into it whether the WAL is of an old format." "move it away while no server runs, if a checkpoint has replaced it";
    WalUnusual "wal-unusual" Warning SkipsRecords "A write-ahead log holds something that replay passes over." WAL;
    WalBehind "wal-behind" Damaged LosesNewData "The segments of the log are older than its checkpoint, so that new ones are not replayed." WAL;
    WalDamaged "wal-damaged" Damaged DropsLog "A write-ahead log is damaged: replay ends here, and what follows is dropped." WAL;
    WalBroken "wal-broken" Fatal DoesNotStart "A write-ahead log cannot be replayed." WAL;
    WalDestructive "wal-destructive" Fatal Destroys "A write-ahead log is damaged in a way that makes Prometheus delete the rest of it." "do not start Prometheus on this directory: copy it first, then restore the log or remove its checkpoint";
}

impl Kind {
    /// Its stable id, for example `chunk-checksum`.
    pub fn id(self) -> &'static str {
        self.entry().id
    }

    /// How bad it is.
    pub fn severity(self) -> FindingSeverity {
        self.entry().severity
    }

    /// What Prometheus does about it, by release.
    pub fn consequence(self) -> Consequences {
        self.entry().consequences
    }

    /// What the Prometheus release does about it that has these first two numbers.
    pub fn consequence_of(self, major: u32, minor: u32) -> Consequence {
        self.consequence().of(major, minor)
    }

    /// What it means, in one sentence.
    pub fn sentence(self) -> &'static str {
        self.entry().sentence
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        self.entry().remedy
    }
}

impl trouble::Kind for Kind {
    const ALL: &'static [Self] = Kind::ALL;

    fn id(self) -> &'static str {
        Kind::id(self)
    }

    fn severity(self) -> trouble::Severity {
        match Kind::severity(self) {
            FindingSeverity::Note => trouble::Severity::Note,
            FindingSeverity::Warning | FindingSeverity::Damaged | FindingSeverity::Fatal => {
                trouble::Severity::Problem
            }
        }
    }

    fn sentence(self) -> &'static str {
        Kind::sentence(self)
    }

    /// What Prometheus does about it.
    fn consequence(self) -> Cow<'static, str> {
        Cow::Owned(Kind::consequence(self).to_string())
    }

    fn remedy(self) -> &'static str {
        Kind::remedy(self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_kebab_case() {
        let mut ids: Vec<_> = Kind::ALL.iter().map(|kind| kind.id()).collect();
        for id in &ids {
            assert!(
                id.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{id}"
            );
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Kind::ALL.len());
    }

    #[test]
    fn what_is_lost_to_prometheus_is_never_a_mere_note() {
        for kind in Kind::ALL {
            if kind.severity() == FindingSeverity::Fatal {
                assert!(
                    kind.consequence().worst() >= Consequence::SkipsBlock,
                    "{kind}"
                );
            }
        }
    }
}
