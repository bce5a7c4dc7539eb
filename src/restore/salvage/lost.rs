//! Staging what can be read of a block that is lost.

use super::sources::Sources;
use super::{SalvageOf, Salvaged, salvaged_ulid};
use crate::error::{Error, Result};
use crate::repository::StoredBlock;
use crate::repository::lineage::{is_damaged, stream};
use crate::restore::exact::is_of_target;
use crate::restore::plan::RestorePlan;
use crate::restore::work::{Outcome, Work};
use crate::stored::{has_index, with_sound_packs};

impl Work<'_> {
    /// Whether something can be read of `block`, which nothing brings back, and `plan` does not ask
    /// for that. Reads no samples.
    pub(in crate::restore) fn may_salvage(
        &self,
        plan: &RestorePlan<'_>,
        block: &StoredBlock,
    ) -> bool {
        if plan.brings(block) || plan.salvage.is_none() || is_damaged(block) {
            return false;
        }
        if block.packs.is_empty() {
            has_index(self.copies, block)
        } else {
            with_sound_packs(self.copies, block, |_| Ok(())).is_ok_and(|sound| sound.is_some())
        }
    }

    /// Stages what can be read of `block`, which nothing brings back because of `reason`, as far as
    /// `plan` asks for that.
    pub(in crate::restore) fn salvage_lost(
        &self,
        plan: &RestorePlan<'_>,
        block: &StoredBlock,
        reason: Error,
    ) -> Result<(Error, Option<Salvaged>)> {
        if !plan.brings(block) {
            return Ok((reason, None));
        }
        let exact = plan.exact.as_ref().filter(|exact| exact.cuts(block));
        let wanted = match (exact, &plan.salvage) {
            (Some(exact), _) => SalvageOf::exact(exact),
            (None, Some(salvage)) => SalvageOf::all(salvage),
            (None, None) => return Ok((reason, None)),
        };
        // Aggregates are asked for by labels that they do not have in their blocks.
        let mut wanted = wanted;
        if stream(block).is_aggregate() {
            wanted.asked.selectors.clear();
        }
        let is_asked = plan.salvage.as_ref().is_some_and(|salvage| salvage.bring);
        if is_damaged(block) && !is_asked {
            return Ok((reason, None));
        }
        let ulid = salvaged_ulid(block.ulid);
        if plan.present.iter().any(|kin| kin.ulid == ulid) {
            let there = format!("what could be read of it is there already, as {ulid}");
            return Ok((reason.context(there), None));
        }
        let nothing = match self.salvage(block, &wanted, true)? {
            Ok(salvaged) if salvaged.block.is_some() || !salvaged.is_short => {
                return Ok((reason, Some(salvaged)));
            }
            Ok(_) => "nothing of what is wanted can be read of it".to_owned(),
            Err(error) => format!("it cannot be salvaged ({})", error.chain()),
        };
        Ok((reason.context(nothing), None))
    }

    /// Stages what can be read of what is `wanted` of `block`, which does not come back as it was;
    /// the caller says why. With `with_kin`, blocks of the same samples are read as well, if
    /// its own objects do not give all.
    pub(in crate::restore) fn salvage(
        &self,
        block: &StoredBlock,
        wanted: &SalvageOf,
        with_kin: bool,
    ) -> Result<Outcome<Salvaged>> {
        let name = format!("{}.salvage", block.ulid);
        let mut sources = Sources::of(self, block, wanted, &name)?;
        let read = sources.read(with_kin);
        let has_failed = sources.has_failed();
        let merged = read.and_then(|losses| sources.merge(losses));
        drop(sources);
        self.stage.remove(&name)?;
        match merged {
            Ok(salvaged) => {
                if let Some(made) = &salvaged.block {
                    self.stage.give_permissions(&made.ulid.to_string())?;
                }
                Ok(Ok(salvaged))
            }
            Err(error) if has_failed || is_of_target(&error) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }
}
