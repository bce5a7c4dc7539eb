//! What becomes of a manifest in another repository.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::repository::{Archive, EncryptedForm, Repository, StoredObject};
use crate::store::{ObjectName, StoredForm};

/// Largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// The descriptions of objects as they lie in the repository copied to, by their names.
pub(super) type Descriptions = BTreeMap<ObjectName, StoredObject>;

/// `archive` as its manifest says it in `to`: the same but for the repository it names as its own,
/// the version, and in which form its objects are stored. `has_mended`: whether there are
/// replacements in `to`.
pub(super) fn in_other(
    archive: &Archive,
    to: &Repository,
    stored: &Descriptions,
    has_mended: bool,
) -> Archive {
    let mut archive = archive.clone();
    archive.repository = Some(to.descriptor().id.clone()).filter(|id| !id.is_empty());
    archive.format_version = to.manifest_version(has_mended, archive.wal.as_ref());
    // What was before it there is another one.
    archive.previous = None;
    archive.lie_as(|object| stored.get(&object.name).and_then(|it| it.encrypted));
    archive
}

/// `object`, which was written to another repository and is stored there in `form`: the one place
/// where that enters a manifest.
pub(super) fn stored_as(object: &StoredObject, form: Option<StoredForm>) -> StoredObject {
    StoredObject {
        encrypted: form.map(EncryptedForm::from),
        ..object.clone()
    }
}

/// What the manifest of `archive` says that would not stand in one that is made of `archive`: the
/// name of the first such member.
///
/// # Errors
///
/// When it cannot be read, or is damaged.
pub(super) fn unknown_member(from: &Repository, archive: &Archive) -> Result<Option<String>> {
    let name = archive.manifest_name()?.object()?;
    let bytes = from.store().get(&name, MAX_BYTES)?;
    let parse = |bytes: &[u8]| {
        let parsed = serde_json::from_slice::<Json>(bytes);
        parsed.map_err(|e| Error::corrupt(format!("manifest {name}")).with_source(e))
    };
    // What is remembered of it may be older than what lies there.
    Archive::from_bytes(&bytes).map_err(|e| e.context(format!("manifest {name}")))?;
    let (said, mut known) = (parse(&bytes)?, parse(&archive.to_bytes()?)?);
    // The seal is another one where the document was indented.
    if let (Some(known), Some(seal)) = (known.as_object_mut(), said.get("sha256")) {
        known.insert("sha256".to_owned(), seal.clone());
    }
    Ok(lost(&said, &known, ""))
}

/// The first member of `said` that `known` lacks, or has otherwise.
fn lost(said: &Json, known: &Json, place: &str) -> Option<String> {
    match (said, known) {
        (Json::Object(said), Json::Object(known)) => said.iter().find_map(|(key, value)| {
            let place = format!("{place}.{key}");
            match known.get(key) {
                Some(known) => lost(value, known, &place),
                // What is left out when it is empty.
                None if is_empty(value) => None,
                None => Some(place),
            }
        }),
        (Json::Array(said), Json::Array(known)) if said.len() == known.len() => {
            let mut pairs = said.iter().zip(known);
            pairs.find_map(|(said, known)| lost(said, known, place))
        }
        _ => (said != known).then(|| place.to_owned()),
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_that_would_be_lost_are_found_at_any_depth() {
        let known = json!({"a": [{"b": 1, "c": []}], "d": "x"});
        for (said, wanted) in [
            (json!({"a": [{"b": 1}], "d": "x"}), None),
            (json!({"a": [{"b": 1, "e": false}]}), None),
            (json!({"a": [{"b": 1, "e": 2}]}), Some(".a.e")),
            (json!({"a": [{"b": 2}]}), Some(".a.b")),
            (json!({"a": []}), Some(".a")),
            (json!({"d": "x", "new": {"x": 1}}), Some(".new")),
        ] {
            assert_eq!(lost(&said, &known, "").as_deref(), wanted, "{said}");
        }
    }
}
