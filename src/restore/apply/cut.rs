//! Staging what is wanted of a block.

use crate::error::{Error, Result};
use crate::repository::StoredBlock;
use crate::repository::lineage::is_damaged;
use crate::restore::exact::{CutOutcome, Exact, is_of_target};
use crate::restore::salvage::SalvageOf;
use crate::restore::work::{Outcome, Staged, Work};
use crate::stored::Detour;

impl Work<'_> {
    /// Stages what is wanted of `block`, which does not come back whole because of `damage`: if
    /// nothing of that is lost.
    fn stage_sound(
        &self,
        block: &StoredBlock,
        exact: &Exact,
        damage: Error,
    ) -> Result<Outcome<Staged>> {
        let Ok(salvaged) = self.salvage(block, &SalvageOf::exact(exact), false)? else {
            return Ok(Err(damage));
        };
        if salvaged.is_short {
            if let Some(made) = &salvaged.block {
                self.stage.remove(&made.ulid.to_string())?;
            }
            return Ok(Err(damage));
        }
        self.took(Detour {
            name: format!("what is wanted of {}", block.ulid),
            reason: damage,
            from: vec!["what is sound of its objects".to_owned()],
        });
        Ok(Ok(Staged::Cut(CutOutcome {
            original: block.ulid,
            block: salvaged.block,
        })))
    }

    /// Stages what is wanted of `block`. The block itself is staged and proved before, and gone
    /// after.
    pub(super) fn stage_cut(&self, block: &StoredBlock, exact: &Exact) -> Result<Outcome<Staged>> {
        if is_damaged(block) {
            let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
            return Ok(Err(Error::corrupt(format!(
                "expected a sound block to cut, found one that was damaged when it was archived ({}): restore it as \
                 it was, without --exact",
                kinds.join(", ")
            ))));
        }
        let name = format!("{}.whole", block.ulid);
        if let Err(damage) = self.stage_block(block, &name)? {
            self.stage.remove(&name)?;
            return self.stage_sound(block, exact, damage);
        }
        let whole = self.stage.path(&name);
        let cut = exact.cut(block, &whole);
        self.stage.remove(&name)?;
        if let Ok(Some(made)) = &cut {
            self.stage.give_permissions(&made.ulid.to_string())?;
        }
        match cut {
            Ok(cut) => Ok(Ok(Staged::Cut(CutOutcome {
                original: block.ulid,
                block: cut,
            }))),
            // What cannot be written concerns every block.
            Err(error) if is_of_target(&error) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }
}
