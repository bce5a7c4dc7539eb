//! What somebody has put on top of objects, in stores that keep older versions.

use std::collections::BTreeMap;

use super::{CheckFinding, Checker, Kind};
use crate::error::{ErrorKind, Result};
use crate::repository::{is_data, versions};
use crate::store::ObjectName;

impl Checker<'_> {
    /// Names what covers or hides what counts, and reads that from now on.
    pub(super) fn versions(&mut self, listed: &mut BTreeMap<ObjectName, u64>) -> Result<()> {
        let store = self.store;
        let history = store.history().filter(|history| history.keeps_versions());
        let Some(history) = history else {
            return Ok(());
        };
        let all = match history.versions("") {
            Err(error) if error.kind() == ErrorKind::Refused => {
                let detail = error.chain();
                let finding = CheckFinding::new(Kind::VersionsUnread, "", detail);
                self.report.findings.push(finding);
                return Ok(());
            }
            all => all?,
        };
        // What was seen when the repository was opened.
        let settled = all.iter().filter(|(name, _)| !is_data(name));
        let mut odd: Vec<_> = settled
            .filter_map(|(name, versions)| {
                let version = history.version_read(name)?;
                Some(versions::Odd::of(name, versions, &version))
            })
            .collect();
        let expected = self.expected.values();
        let objects = expected.filter_map(|expected| Some(&expected.keys().next()?.object));
        odd.extend(versions::settle_among(history, &all, objects));
        for odd in odd {
            listed.insert(odd.name.clone(), odd.version.bytes.unwrap_or(0));
            let kind = if odd.is_hidden {
                Kind::ObjectHidden
            } else {
                Kind::ObjectCovered
            };
            let finding = self.finding(kind, &odd.name, odd.detail);
            self.report.findings.push(finding);
        }
        Ok(())
    }
}
