//! JSON documents of one member a line, to which a last line is still to come: a digest, a
//! signature.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Error, Result};

/// How serialised content ends, which makes room for one more member.
const CONTENT_END: &[u8] = b"\n}";

/// `content`, which must serialise to an object that is not empty, without the brace that closes
/// it and the line break before that. One member a line is for line-wise tools; indentation would
/// be for nobody, in every manifest of every night.
///
/// # Errors
///
/// `Invalid` when it cannot be serialised.
pub(crate) fn open_document(content: &impl Serialize) -> Result<Vec<u8>> {
    let failed = |cause| Error::invalid("cannot write a document as JSON").with_source(cause);
    let mut bytes = Vec::new();
    let lines = PrettyFormatter::with_indent(b"");
    let mut serializer = Serializer::with_formatter(&mut bytes, lines);
    content.serialize(&mut serializer).map_err(failed)?;
    bytes.truncate(bytes.len().saturating_sub(CONTENT_END.len()));
    Ok(bytes)
}
