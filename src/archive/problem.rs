//! The one table of what a backup can complain of.

use crate::trouble::{Trouble, kinds};

/// Something that somebody should look at after a backup.
pub type BackupProblem = Trouble<ProblemKind>;

kinds! {
    /// What a backup complains of: one member for each row of the table.
    ProblemKind:
    SourceEmpty "source-empty" Problem "The source holds no block and no sample." "no archive was made", "mount its disk, or name the right directory";
    SourceWithoutBlocks "source-without-blocks" Problem "The source holds no block, and an earlier archive of it held some." "the archive holds the log alone", "mount its disk, or name the right directory; earlier archives still hold the blocks";
    ServerDoubtful "server-doubtful" Problem "No archive of this source knows a block that is here, and they were made of another directory." "restore latest may bring back another server", "give another server a name of its own with --source, and forget this archive";
    EndsEarlier "ends-earlier" Problem "The samples end before those of the archive before." "restore latest brings back less than the archive before holds", "name the archive before by its id, or back up the newer copy";
    BlockGone "block-gone" Problem "A block that an earlier archive holds is gone, and neither compaction nor retention explains it." "this archive does not hold it; forget keeps the one that does while an archive stays that misses it", "if it was not deleted on purpose, restore it from the archive that is named: --block ULID --add-missing";
    LogGone "log-gone" Problem "The log that an earlier archive holds is gone, or its last samples are." "this archive does not hold them; forget keeps the one that does while an archive stays that misses them", "find out whether a disk is not mounted or the log was deleted";
    LeftOut "left-out" Problem "Something of the source could not be read." "this archive does not hold it", "mend its permissions or the disk, and back up again";
    EntryStrange "entry-strange" Problem "Something in a block is neither a file nor a directory." "this archive does not hold it", "take it out of the block, or say --follow-links if it is a link that is meant";
    BlockFaulty "block-faulty" Problem "A block has faults that narthex verify finds." "it is archived as it is", "verify the source; restore the block from an archive in which it was sound";
    BlockDisputed "block-disputed" Problem "The metadata of a block contradict the first archive that holds it." "both are kept", "restore meta.json from the first archive";
    BlockRange "block-range" Problem "The range of a block cannot be true." "it is archived as it is", "narthex verify says what a start of Prometheus would lose";
    BlockLink "block-link" Problem "A block is a symbolic link." "it is archived, and Prometheus does not see it", "put the block itself there, or a bind mount";
    ParentUnproven "parent-unproven" Problem "The children of a block could not be proven to hold its samples." "all are archived", "verify parent and children: Prometheus deletes the parent when it starts";
    LogFaulty "log-faulty" Problem "The log has faults." "it is archived as it is", "verify the source before Prometheus is started on it";
    CompactionUnfinished "compaction-unfinished" Problem "A compaction of samples that came late did not end while it was waited for." "the log is archived as it is, and a start does not replay some of its samples", "see whether the server is alive, and back up again";
    BlocksUnsettled "blocks-unsettled" Problem "Blocks vanished again and again while they were read." "some may be missing from this archive", "back up again when no compaction runs";
    ObjectsUnsettled "objects-unsettled" Problem "A block rests on stored objects that turned out to be damaged, again and again." "this block may not come back from this archive", "check the disk of the repository, and back up again";
    ManifestUnread "manifest-unread" Problem "The manifest of an earlier archive cannot be read." "what it holds is not built upon, and it may be the latest", "narthex check says what is wrong with the repository, narthex repair mends it";
    CopyBehind "copy-behind" Problem "A repository that the archive was to be copied to does not have it, or not all of what is to be there." "the archive itself is whole; the copy is behind", "narthex copy brings what is missing there, as does the next backup with --copy-to";
    ArchiveAhead "archive-ahead" Problem "An earlier archive lies in the future." "it is not taken for the latest", "set the clock; then forget that archive by its id";
}

impl ProblemKind {
    /// Such a problem of `place`.
    pub(crate) fn at(self, place: impl Into<String>, detail: impl Into<String>) -> BackupProblem {
        Trouble::new(self, place, detail)
    }
}
