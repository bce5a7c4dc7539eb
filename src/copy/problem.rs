//! The one table of what a copy can tell.

use crate::trouble::{Trouble, kinds};

/// Something that somebody should know after a copy.
pub type CopyProblem = Trouble<CopyProblemKind>;

const CHECK: &str = "narthex check --read-data on the repository copied from, then narthex repair or a backup, and copy again";

kinds! {
    /// What a copy tells: one member for each row of the table.
    CopyProblemKind:
    ManifestUnread "manifest-unread" Problem "A manifest of the repository copied from cannot be read." "its archive is not copied", "narthex check says what is wrong, narthex repair mends it; --from a repository that holds the archive";
    ManifestNewer "manifest-newer" Problem "A manifest holds members that this narthex does not know and would lose." "its archive is not copied", "use a newer narthex";
    ObjectUnsound "object-unsound" Problem "An object of the repository copied from is damaged or gone, and nothing there gives its content." "it is not copied, and neither are the archives that need it", CHECK;
    ArchiveDiffers "archive-differs" Problem "The repository copied to has another archive of the same id." "it stays as it is, and this one is not copied", "narthex check on both says which one to trust; forget the other one and copy again";
    ManifestTaken "manifest-taken" Problem "The name of a manifest is taken by one that is damaged." "the archive is not copied: nothing is overwritten", "narthex repair --from the repository copied from puts it in place";
    ObjectTaken "object-taken" Note "The name of an object is taken by other bytes, or by what a prune is deleting." "a replacement with the right bytes is stored beside it", "narthex check --read-data marks what is damaged; a prune removes what nobody needs";
    ObjectHealed "object-healed" Note "An object of the repository copied from is damaged or gone, and its bytes are stored elsewhere in it." "the copy holds it sound", "narthex repair of the repository copied from stores it anew there";
    ObjectReplaced "object-replaced" Note "An object of the repository copied from is damaged or gone, and replacements of it give what archives need." "the replacements are copied, and what they give was proved there", "nothing to do";
    BlockUnfit "block-unfit" Note "The dense codec, which was asked for, cannot hold a block." "it is copied as it is, in the portable codec", "nothing to do";
}

impl CopyProblemKind {
    /// Such a problem of `place`.
    pub(super) fn at(self, place: impl Into<String>, detail: impl Into<String>) -> CopyProblem {
        Trouble::new(self, place, detail)
    }
}
