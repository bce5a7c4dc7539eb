//! Witnesses: who has seen which archives.
//!
//! A manifest that somebody removes leaves nothing behind, and one that is added can claim any
//! time. So a machine that reads the repository, with a key that signs for all sources or the
//! administrator's, writes down from time to time which manifests there are: numbered objects,
//! `witness/00000001.json` and so on, in clear, created and never changed, each of which lists all
//! manifests and names the one before it. Whatever a witness lists and is not there was removed by
//! somebody; a `forget` that removes archives writes a new witness at its end. And what a witness
//! does not list was not there when it was made.
//!
//! Whoever removes archives can remove the witnesses that list them as well. So each machine that
//! has read one remembers the newest, and misses it.
//!
//! | member | value |
//! |---|---|
//! | `format_version` | 1 |
//! | `repository` | the `id` of the descriptor; of a part, with its name behind it |
//! | `number` | as in the name, from 1 |
//! | `time` | when it was made |
//! | `manifests` | array of `{name, sha256}`: all manifests, by name |
//! | `previous` | SHA-256 of the whole witness before, 64 digits; missing in the first |
//! | `signature` | of all lines before this one |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::KeyedStore;
use crate::crypt::sign::{SignerKey, SigningKey, WITNESS_NAMESPACE};
use crate::crypt::{sign_document, split_document};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::repository::check::{CheckFinding, CheckReport, Kind};
use crate::repository::digest::Digest;
use crate::repository::layout::{ARCHIVES, WITNESSES, time_of, witness_number, witness_object};
use crate::repository::{MAX_MANIFEST_BYTES, ManifestLink, ManifestName, versions};
use crate::store::{ObjectName, Store};

/// Version of witnesses that this program writes, and the newest it reads.
const WITNESS_VERSION: u32 = 1;

/// The largest number of a witness: it has eight digits.
const MAX_NUMBER: u32 = 99_999_999;

/// Which archives somebody has seen: all manifests that were there at one time, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    format_version: u32,
    repository: String,
    /// Its number, from 1.
    pub number: u32,
    /// When it was made.
    #[serde(with = "crate::repository::stamp")]
    pub time: Millis,
    /// All manifests that were there.
    pub manifests: Vec<ManifestLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
}

/// A witness that a machine has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenWitness {
    /// Its number.
    pub number: u32,
    /// SHA-256 of the whole witness.
    pub sha256: Digest,
}

/// Where a machine remembers the newest witness that it has seen: somewhere else than in the
/// repository.
pub trait WitnessMemory: fmt::Debug + Send + Sync {
    /// Remembers that `seen` was seen of the repository, or part of one, with this
    /// [scope](KeyedStore::scope), unless a newer one is remembered.
    fn keep(&self, scope: &str, seen: SeenWitness);
}

/// A witness that was seen before and is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostWitness {
    /// Its number.
    pub number: u32,
    /// The number of the newest that counts now; `None` where none does.
    pub newest: Option<u32>,
}

impl fmt::Display for LostWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match self.newest {
            None => write!(
                f,
                "expected witness {number}, as was seen before, found none"
            ),
            Some(newest) if newest == number => {
                write!(
                    f,
                    "expected witness {number} as it was seen before, found another"
                )
            }
            Some(newest) => write!(
                f,
                "expected witness {number}, as was seen before, found that the newest is {newest}"
            ),
        }
    }
}

impl LostWitness {
    fn refusal(self) -> Error {
        Error::refused(format!(
            "{self}: somebody has removed or replaced it, or shows an older state of the repository"
        ))
        .advise("find out who has; bring witness/ back from where it is kept, or accept with narthex witness --accept-missing that nobody knows which archives were there")
    }
}

/// How what is there differs from what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingManifests {
    /// Manifests that were seen, and are gone.
    pub gone: Vec<ObjectName>,
    /// Manifests that were seen, and have other bytes now.
    pub changed: Vec<ObjectName>,
    /// The newest witness that was seen, if it is gone: others may have been seen by it.
    pub witness: Option<LostWitness>,
}

impl KeyedStore {
    /// The newest witness that counts; `None` where there is none. Whoever can write may put
    /// anything beside them: what no key that counts has signed is passed over.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn witness(&self) -> Result<Option<(Witness, Digest)>> {
        let mut listed = self.inner.list(WITNESSES)?;
        listed.retain(|(name, _)| witness_number(name).is_some());
        for (name, _) in listed.iter().rev() {
            let bytes = match self.inner.get(name, MAX_MANIFEST_BYTES) {
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(_) => continue,
                Ok(bytes) => bytes,
            };
            if let Ok(witness) = self.believe(name, &bytes) {
                let digest = Digest::of(&bytes);
                self.keep_seen(&witness, digest);
                return Ok(Some((witness, digest)));
            }
        }
        Ok(None)
    }

    /// Remembers that `witness` was seen, if it is newer than what was seen before.
    fn keep_seen(&self, witness: &Witness, sha256: Digest) {
        let before = self.seen_witness().map_or(0, |seen| seen.number);
        if let Some(memory) = &self.keyring.witness_memory
            && witness.number > before
        {
            let number = witness.number;
            memory.keep(&self.scope, SeenWitness { number, sha256 });
        }
    }

    /// The [scopes](KeyedStore::scope) of which a witness was seen before.
    pub(in crate::repository) fn seen_scopes(&self) -> impl Iterator<Item = &str> {
        self.keyring.witnesses.keys().map(String::as_str)
    }

    /// The newest witness that was seen before.
    fn seen_witness(&self) -> Option<SeenWitness> {
        self.keyring.witnesses.get(&self.scope).copied()
    }

    /// The newest witness that this machine has seen, if it is not there any more; `newest` is the
    /// newest that counts.
    fn lost(&self, newest: Option<&(Witness, Digest)>) -> Option<LostWitness> {
        let seen = self.seen_witness()?;
        let is_there = newest.is_some_and(|(witness, digest)| {
            witness.number > seen.number || (witness.number, *digest) == (seen.number, seen.sha256)
        });
        (!is_there).then(|| LostWitness {
            number: seen.number,
            newest: newest.map(|(witness, _)| witness.number),
        })
    }

    /// The newest witness that this machine has seen, if it is not there any more.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn lost_witness(&self) -> Result<Option<LostWitness>> {
        Ok(self.lost(self.witness()?.as_ref()))
    }

    /// Objects in the place of witnesses that no key that counts has signed.
    ///
    /// # Errors
    ///
    /// When the store fails.
    fn false_witnesses(&self) -> Result<Vec<ObjectName>> {
        let listed = self.inner.list(WITNESSES)?.into_iter();
        let mut names = Vec::new();
        for (name, _) in listed {
            let is_true = self
                .inner
                .get(&name, MAX_MANIFEST_BYTES)
                .and_then(|bytes| self.believe(&name, &bytes));
            match is_true {
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(_) => names.push(name),
                Ok(_) => {}
            }
        }
        Ok(names)
    }

    /// Reads from now on the versions of manifests that the newest witness has seen, and of others
    /// the first, where others are on top of them; what is hidden and was seen is not hidden.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(in crate::repository) fn settle(&self) -> Result<()> {
        let store = &*self.inner;
        versions::settle(store, WITNESSES, false)?;
        let odd = versions::settle(store, ARCHIVES, true)?;
        if odd.is_empty() {
            return Ok(());
        }
        // One that does not count is named where witnesses are asked for.
        let Ok(Some((witness, _))) = self.witness() else {
            return Ok(());
        };
        let seen = witness.manifests.iter();
        for link in seen.filter(|link| odd.contains(&link.name)) {
            versions::read_digest(store, &link.name, link.sha256)?;
        }
        Ok(())
    }

    fn believe(&self, name: &ObjectName, bytes: &[u8]) -> Result<Witness> {
        let (signed, signature) = split_document(bytes)?;
        let key = signature.signer()?;
        key.verify(WITNESS_NAMESPACE, signed, &signature)?;
        self.refuse_witness_by(&key)?;
        let witness: Witness = serde_json::from_slice(bytes)
            .map_err(|cause| Error::corrupt("not the witness it should be").with_source(cause))?;
        if witness.format_version > WITNESS_VERSION {
            return Err(Error::unsupported(format!(
                "expected format version {WITNESS_VERSION} at most, found {}: use a newer narthex",
                witness.format_version
            )));
        }
        let is_own = witness.repository == self.scope;
        if is_own && Some(witness.number) == witness_number(name) {
            return Ok(witness);
        }
        Err(Error::corrupt(
            "expected the witness that belongs here, found another",
        ))
    }

    /// Refuses a witness of `key`, unless it is the administrator's or signs for all sources.
    fn refuse_witness_by(&self, key: &SignerKey) -> Result<()> {
        let mut signers = self.chain.newest().signers.iter();
        let is_admin = key.fingerprint() == self.admin();
        if is_admin || signers.any(|signer| signer.key == *key && signer.may_sign_all()) {
            return Ok(());
        }
        Err(Error::refused(format!(
            "{} may not say what is there: it is neither the administrator's key nor one that signs for all sources",
            key.fingerprint()
        ))
        .advise("give one of them with --signing-key, or leave the witness to a machine that has one"))
    }

    /// Refuses where no new witness could be written once `removed` are gone: they would be missed,
    /// and a prune would delete nothing.
    ///
    /// # Errors
    ///
    /// `Refused`; when the store fails.
    pub fn refuse_unwitnessed(&self, removed: &BTreeSet<ObjectName>) -> Result<()> {
        let before = self.witness()?;
        if let Some(lost) = self.lost(before.as_ref()) {
            return Err(lost.refusal());
        }
        let seen = before.iter().flat_map(|(witness, _)| &witness.manifests);
        if !seen.into_iter().any(|link| removed.contains(&link.name)) {
            return Ok(());
        }
        match self.signing() {
            Some(key) => self.refuse_witness_by(&key.public()),
            None => Err(Error::refused(format!(
                "archives in {} are witnessed, and without --signing-key no new witness can be written: what is removed would be missed, and prune would delete nothing",
                self.inner.describe()
            ))
            .advise("give --signing-key with the key of whoever writes witnesses")),
        }
    }

    /// Writes down which manifests are there, signed by `key`; `forgotten` are those that are gone
    /// since the witness before because somebody wanted it.
    ///
    /// # Errors
    ///
    /// `Refused`, when the key may not say that, or when others are gone as well, or the newest
    /// witness that was seen is: they would be missed by nobody any more; when the store fails.
    pub fn write_witness(
        &self,
        key: &SigningKey,
        forgotten: &BTreeSet<ObjectName>,
        now: Millis,
    ) -> Result<Witness> {
        self.refuse_witness_by(&key.public())?;
        let before = self.witness()?;
        if let Some(lost) = self.lost(before.as_ref()) {
            return Err(lost.refusal());
        }
        if let Some((before, _)) = &before {
            let gone = self.missing_of(before, false)?.gone;
            let mut gone = gone.iter().filter(|name| !forgotten.contains(name));
            if let Some(name) = gone.next() {
                let others = match gone.count() {
                    0 => "and is gone: nobody has said that it was".to_owned(),
                    others => format!(
                        "and so were {others} others that are gone: nobody has said that they were"
                    ),
                };
                return Err(Error::refused(format!(
                    "{name} was there when witness {} was made, {others} forgotten",
                    before.number,
                ))
                .advise("find out who has removed them, and bring them back from a copy; if they were forgotten, narthex witness --accept-missing says so"));
            }
        }
        self.write_after(before, &BTreeSet::new(), key, now)
    }

    /// The same, whatever is missing of what was seen before; what that is. All manifests are read.
    ///
    /// # Errors
    ///
    /// `Refused`, when the key may not say that; when the store fails.
    pub fn write_witness_accepting(
        &self,
        key: &SigningKey,
        now: Millis,
    ) -> Result<(Witness, MissingManifests)> {
        self.refuse_witness_by(&key.public())?;
        let before = self.witness()?;
        let mut missing = match &before {
            Some((before, _)) => self.missing_of(before, true)?,
            None => MissingManifests::default(),
        };
        missing.witness = self.lost(before.as_ref());
        let changed = missing.changed.iter().collect();
        let witness = self.write_after(before, &changed, key, now)?;
        Ok((witness, missing))
    }

    /// Writes the witness that follows `before`; `changed` are manifests that are not what that one
    /// says.
    fn write_after(
        &self,
        before: Option<(Witness, Digest)>,
        changed: &BTreeSet<&ObjectName>,
        key: &SigningKey,
        now: Millis,
    ) -> Result<Witness> {
        let known = before.iter().flat_map(|(before, _)| &before.manifests);
        let known = known.filter(|link| !changed.contains(&link.name));
        let known: BTreeMap<_, _> = known.map(|link| (&link.name, link.sha256)).collect();
        let listed = self.inner.list(ARCHIVES)?;
        let names = listed.into_iter().map(|(name, _)| name);
        let names: Vec<_> = names
            .filter(|name| ManifestName::parse(name).is_some())
            .collect();
        let mut manifests = Vec::new();
        for name in names {
            // They never change: those that were seen before need not be read again.
            let sha256 = match known.get(&name) {
                Some(known) => *known,
                None => match self.inner.get(&name, MAX_MANIFEST_BYTES) {
                    Err(gone) if gone.kind() == ErrorKind::NotFound => continue,
                    read => Digest::of(&read?),
                },
            };
            manifests.push(ManifestLink { name, sha256 });
        }
        let taken = self.inner.list(WITNESSES)?;
        let taken: BTreeSet<u32> = taken
            .iter()
            .filter_map(|(name, _)| witness_number(name))
            .collect();
        // Behind the newest that counts or was seen, whatever else has numbers there.
        let seen = self.seen_witness().map_or(0, |seen| seen.number);
        let last = before.as_ref().map_or(seen, |(it, _)| it.number.max(seen));
        let mut free = (last.saturating_add(1)..=MAX_NUMBER).filter(|it| !taken.contains(it));
        let number = free
            .next()
            .ok_or_else(|| Error::unsupported("there is no number left for a witness"))?;
        let witness = Witness {
            format_version: WITNESS_VERSION,
            repository: self.scope.clone(),
            number,
            time: now,
            manifests,
            previous: before.map(|(_, digest)| digest),
        };
        let content = sign_document(&witness, key, WITNESS_NAMESPACE)?;
        let store: &dyn Store = &*self.inner;
        store.put(&witness_object(witness.number)?, &content)?;
        self.keep_seen(&witness, Digest::of(&content));
        Ok(witness)
    }

    /// Whether the newest witness has seen the manifest `name` with these bytes.
    ///
    /// # Errors
    ///
    /// When the store fails: then nothing is known of what was seen.
    pub(super) fn has_seen(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        if self.seen.get().is_none() {
            // Another thread may have been faster, with the same.
            let _ = self.seen.set(links(self.witness()?));
        }
        let seen = self.seen.get();
        Ok(seen.and_then(|seen| seen.get(name)) == Some(&Digest::of(bytes)))
    }

    /// The manifests that the newest witness lists, with the digest of each; none where there is no
    /// witness.
    ///
    /// # Errors
    ///
    /// `Refused`, when the newest witness that was seen is gone: what it lists is not known; when
    /// the store fails.
    pub fn witnessed(&self) -> Result<BTreeMap<ObjectName, Digest>> {
        let witness = self.witness()?;
        match self.lost(witness.as_ref()) {
            None => Ok(links(witness)),
            Some(lost) => Err(lost.refusal()),
        }
    }

    /// What is to be found by the newest witness, archives that were removed since; and what has
    /// the place of witnesses and key documents and counts for nothing. Notes of `report` that
    /// a witness explains are taken out.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn judge_missing(&self, report: &mut CheckReport, read: bool) -> Result<()> {
        let false_ones = self.false_witnesses()?.into_iter().map(|name| {
            let detail = "no key that counts has signed it";
            CheckFinding::new(Kind::WitnessFalse, name.as_str(), detail)
        });
        report.findings.extend(false_ones);
        let junk = self.chain.junk().iter().filter(|junk| junk.is_numbered);
        let junk =
            junk.map(|junk| CheckFinding::new(Kind::KeysFalse, junk.name.as_str(), &*junk.why));
        report.findings.extend(junk);
        for (object, _) in self.gone_lists()? {
            let detail = "expected the list of keys that was seen before, found none that the administrator has signed";
            let finding = CheckFinding::new(Kind::KeysGone, object.as_str(), detail);
            report.findings.push(finding);
        }
        let newest = self.witness()?;
        if let Some(lost) = self.lost(newest.as_ref()) {
            let object = witness_object(lost.number)?;
            let finding = CheckFinding::new(Kind::WitnessGone, object.as_str(), lost.to_string());
            report.findings.push(finding);
        }
        report.sort();
        let Some((witness, _)) = newest else {
            return Ok(());
        };
        let missing = self.missing_of(&witness, read)?;
        let seen = format!("witness {} has seen it", witness.number);
        let gone = missing.gone.iter().map(|name| (name, "found none"));
        let changed = missing.changed.iter().map(|name| (name, "found another"));
        let found = gone.chain(changed).map(|(name, found)| {
            let detail = format!("expected the manifest that {seen}, {found}");
            CheckFinding::new(Kind::ManifestGone, name.as_str(), detail)
        });
        let found: Vec<_> = found.collect();
        for finding in &mut report.findings {
            let name = ObjectName::new(finding.object.as_str()).ok();
            let name = name.as_ref().and_then(ManifestName::parse);
            let is_later = || {
                let stamp = name.and_then(|name| time_of(&name.stamp));
                stamp.is_some_and(|time| time > witness.time)
            };
            // Whoever forgets writes a witness at the end.
            if finding.kind == Kind::ManifestBefore && is_later() {
                finding.kind = Kind::ManifestGone;
            }
        }
        report
            .findings
            .retain(|finding| finding.kind != Kind::ManifestBefore);
        report.findings.extend(found);
        report.sort();
        Ok(())
    }

    /// What of `witness` is not there any more as it was. With `read`, the bytes of manifests are
    /// compared as well.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub fn missing_of(&self, witness: &Witness, read: bool) -> Result<MissingManifests> {
        let listed = self.inner.list(ARCHIVES)?;
        let listed: BTreeMap<_, _> = listed.into_iter().collect();
        let mut missing = MissingManifests::default();
        for link in &witness.manifests {
            if !listed.contains_key(&link.name) {
                missing.gone.push(link.name.clone());
            } else if read {
                let bytes = self.inner.get(&link.name, MAX_MANIFEST_BYTES)?;
                if Digest::of(&bytes) != link.sha256 {
                    missing.changed.push(link.name.clone());
                }
            }
        }
        Ok(missing)
    }
}

/// The manifests that `witness` lists, with the digest of each.
fn links(witness: Option<(Witness, Digest)>) -> BTreeMap<ObjectName, Digest> {
    let links = witness
        .into_iter()
        .flat_map(|(witness, _)| witness.manifests);
    links.map(|link| (link.name, link.sha256)).collect()
}
