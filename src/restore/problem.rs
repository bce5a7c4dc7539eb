//! The one table of what a restore tells beside what it brings back.

use crate::trouble::{Trouble, kinds};

/// Something that whoever restores should know.
pub type RestoreProblem = Trouble<ProblemKind>;

kinds! {
    /// What a restore tells: one member for each row of the table.
    ProblemKind:
    NotRestored "not-restored" Problem "A block, or a log, could not be restored." "it does not come back" , "narthex check --read-data says what is lost; other archives may hold it";
    BlockDamaged "block-damaged" Problem "A block was damaged when it was archived." "it comes back as it was, or cannot be cut", "verify the target before Prometheus is started on it";
    BlockReplaced "block-replaced" Problem "Another version of a block, or other blocks with its samples, come in the place of one that was damaged when it was archived." "its samples come back, the block does not", "--as-archived brings it as it was";
    StandIn "stand-in" Problem "Another version of a block, or other blocks with its samples, come in the place of one that cannot be read." "its samples come back, the block does not; of a range of time that is what was asked for, and a note", "nothing to do where the samples are what is wanted";
    PartOnly "part-only" Problem "A block comes in the place of one that could not be restored, of which it holds a part." "the rest does not come back", "narthex check --read-data says what is lost";
    Mixed "mixed" Problem "Files of a block come from several archives, because some of them cannot be read." "the block is whole, and not as one archive has it", "verify the target";
    Salvaged "salvaged" Problem "Only some series of a block could be read." "the rest does not come back", "narthex check --read-data says what is lost; other archives may hold it";
    Missed "missed" Problem "The archive lacks something that was there when it was made." "it does not come back", "restore it from another archive";
    BlockThere "block-there" Problem "A block that was asked for is in the target already." "it is not restored, and nobody has looked whether it is sound", "--replace-damaged instead of --add-missing replaces it if it is damaged";
    BlockDiffers "block-differs" Problem "A block is in the target already, and not as it was archived." "it is not restored", "--replace-damaged instead of --add-missing replaces it if it is damaged";
    LogDiffers "log-differs" Problem "There is a log in the target already, and not the one that was archived." "the archived one is not restored", "move wal and wbl away and restore again, or say --no-wal";
    LogOnly "log-only" Problem "Samples that were asked for are in the log of the archive only, and the target has logs of its own." "they do not come back", "restore into an empty directory, or leave it out on purpose with --head none";
    HeadShort "head-short" Problem "A log of the archive is damaged, and the newest hours come back as a block." "what follows the damage is in no block", "restore the log itself with --head log, and look at it with narthex verify";
    HeadUnknown "head-unknown" Note "Samples of the log are of series that nothing in it defines, and the newest hours come back as a block." "they are in no block; no start of Prometheus reads them either" , "nothing to do; narthex verify names them as wal-unknown-series";
    LogElsewhere "log-elsewhere" Problem "Samples of a time that no block covers are in the log of another archive." "they do not come back", "restore that archive by its id, or leave logs out on purpose with --head none";
    BlockExcluded "block-excluded" Problem "A block with samples of its own is left out because Prometheus would delete it, or its parent, beside the others." "its samples do not come back", "restore it alone with --block";
    Aggregates "aggregates" Problem "A block of aggregates comes back." "a Prometheus starts with it, and cannot answer queries of its time; of a whole archive that is what was asked for, and a note", "keep it away from Prometheus' data directory";
    SourcesUnknown "sources-unknown" Problem "It cannot be read what a block holds of its sources." "blocks that hold the same, or others, may be chosen wrongly", "name the archive or the block that is meant";
    ManifestUnread "manifest-unread" Problem "The manifest of another archive of the source cannot be read." "what only that one holds does not come back", "narthex check says what is wrong with the repository, narthex repair mends it";
    LatestDoubtful "latest-doubtful" Problem "It is not certain that the archive which was taken for the latest is the one that is meant." "another one may hold more", "name the archive by its id";
    SeveralHosts "several-hosts" Note "The source was archived on several hosts, whose archives are taken together." "blocks of all of them come back", "--host takes those of one";
    Detour "detour" Note "Something comes from another object than the one it was stored in, because that one cannot be read." "it comes back whole", "narthex backup and narthex repair store it anew";
    AggregatesLeftOut "aggregates-left-out" Note "A block of aggregates is left out, because finer blocks hold its time." "nothing is lost", "restore it with --block to have it";
    SameSources "same-sources" Note "Blocks of the same sources may be parts or copies." "all of them come back", "nothing to do";
    BlockStays "block-stays" Problem "A damaged block of the data directory stays as it is." "the server goes on without what is damaged in it, or does not start", "the detail says why; narthex dump writes what is readable of it";
    MetaDoubtful "meta-doubtful" Problem "The metadata of a sound block of the data directory are not those that were archived." "it is not touched, and one of the two is wrong", "name the block with --block to have the archived ones";
    DeletionsDiffer "deletions-differ" Problem "Deletions of a replaced block are those of the archive: those of the damaged block could not be kept." "what was deleted since then is there again", "delete it again";
    SwapSettled "swap-settled" Note "An earlier run died while it replaced a block; what it left was finished or undone." "nothing is lost", "nothing to do";
    ServerUnknown "server-unknown" Note "Nothing says whether a server is at work in the data directory." "a server at work goes on with the block that was replaced", "make sure that none is, and start it again afterwards";
    NoRoom "no-room" Problem "The target's file system has no room for what is to be restored." "without --dry-run the restore is refused before anything is written", "make room, choose another directory, or bring back less";
    OwnerDiffers "owner-differs" Note "What is restored belongs to another user than the directory it is in." "a server that runs as that user may not be able to read it", "restore with --chown, or chown it before the server is started";
    StageLeft "stage-left" Note "A hidden directory of a restore is left beside the target." "it takes room", "remove it";
}

impl ProblemKind {
    /// Such a problem of `place`.
    pub fn at(self, place: impl Into<String>, detail: impl Into<String>) -> RestoreProblem {
        Trouble::new(self, place, detail)
    }
}
