//! From what the client library says to what a person can do about it.

use object_store::Error as StoreError;

use super::inner::Inner;
use crate::error::{Error, ErrorKind};
use crate::store::{ObjectName, no_object};

/// Codes by which services say that what should hold the objects is not there. An object is not
/// merely missing then.
const NO_BUCKET: [&str; 4] = [
    "NoSuchBucket",
    "ContainerNotFound",
    "The specified bucket does not exist",
    "ResourceNotFound",
];

impl Inner {
    /// What went wrong while `verb` was done to `name`.
    pub(super) fn failed_object(&self, verb: &str, name: &ObjectName, error: StoreError) -> Error {
        let text = error.to_string();
        match error {
            StoreError::NotFound { .. } if !misses_bucket(&text) && !is_other_404(&text) => {
                no_object(name)
            }
            error => self.failed(&format!("{verb} object {name}"), &error),
        }
    }

    /// What went wrong while `what` was done.
    pub(super) fn failed(&self, what: &str, error: &StoreError) -> Error {
        let text = error.to_string();
        let address = &self.address;
        if misses_bucket(&text) {
            return Error::invalid(format!(
                "cannot {what}: {} {} does not exist, or is in another region or account",
                address.service.container(),
                address.bucket
            ));
        }
        let kind = match error {
            StoreError::NotFound { .. } if !is_other_404(&text) => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        let is_denied = matches!(
            error,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }
        );
        // An object may be denied among several that were to be deleted in one request.
        let is_denied = is_denied || text.contains("(code: AccessDenied)");
        let why = why(error);
        let endpoint = self.client.endpoint.as_ref();
        let at = endpoint.map_or_else(
            || format!(" at {}, as no endpoint was named", address.service.vendor()),
            |endpoint| format!(" at {endpoint}"),
        );
        let found = Error::new(kind, format!("cannot {what} in {address}{at}: {why}"));
        let credentials = &self.client.credentials;
        if is_denied {
            found.advise(format!(
                "credentials were taken from {credentials}: see which rights they have on {address}"
            ))
        } else if self.client.is_by_identity && kind != ErrorKind::NotFound {
            // Asking for them may be what failed.
            found.advise(format!("credentials were asked of {credentials}"))
        } else {
            found
        }
    }
}

/// Codes by which services say that there is no such object, or no such upload.
const NO_OBJECT: [&str; 4] = ["NoSuchKey", "NoSuchUpload", "BlobNotFound", "NotFound"];

/// Whether an answer with status 404 is about something else than the object: some services say so
/// of an access key that they do not know.
fn is_other_404(text: &str) -> bool {
    match tagged(text, "Code") {
        Some(code) => !NO_OBJECT.contains(&code),
        None => false,
    }
}

/// What stands in the first `tag` of some XML.
pub(super) fn tagged<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(it, _)| it)
}

/// Most characters of what a service says that are passed on.
const MOST_CHARS: usize = 300;

/// What the service says, on one line: the client library says each thing several times over, and
/// services wrap theirs in XML.
fn why(error: &StoreError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let said = match (tagged(&text, "Code"), tagged(&text, "Message")) {
        (Some(code), message) => {
            let (status, _) = text.split_once('<').unwrap_or_default();
            let status = status.trim().trim_end_matches(':');
            let message = message.map_or(String::new(), |it| format!(": {it}"));
            format!("{status}: {code}{message}")
        }
        (None, _) => without_tags(&text),
    };
    let words: Vec<_> = said.split_whitespace().collect();
    let line = without_entities(&words.join(" "));
    match line.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// The title of a page, where a proxy or a balancer answers with one, behind what stands before it;
/// else the text as it is.
fn without_tags(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let begin = ["<!doctype", "<html"];
    let Some(begin) = begin.iter().filter_map(|tag| lower.find(tag)).min() else {
        return text.to_owned();
    };
    let before = text.get(..begin).unwrap_or_default();
    let title = tagged(&lower, "title").and_then(|title| {
        let at = lower.find(title)?;
        text.get(at..at + title.len())
    });
    let title = title.map_or("a page of HTML", str::trim);
    format!("{before} {title}")
}

/// The text with the characters that XML and HTML write as entities.
fn without_entities(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#xA;", " "),
        ("&amp;", "&"),
    ];
    let replace = |text: String, (from, to): (&str, &str)| text.replace(from, to);
    entities.into_iter().fold(text.to_owned(), replace)
}

fn misses_bucket(text: &str) -> bool {
    NO_BUCKET.iter().any(|code| text.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn what_a_service_says_in_xml_becomes_a_sentence() {
        let error = generic(
            "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>No\n way.</Message></Error>",
        );
        assert_eq!(
            why(&error),
            "Server returned non-2xx status code: 403 Forbidden: AccessDenied: No way."
        );
        assert_eq!(why(&generic("one\n two")), "one two");
        assert_eq!(
            why(&generic(
                "502 Bad Gateway: <!DOCTYPE html><html><head>\n<TITLE>The &quot;proxy&quot; &amp; you</TITLE></head><body>…</body></html>"
            )),
            "502 Bad Gateway: The \"proxy\" & you"
        );
        assert_eq!(
            why(&generic(
                "403: <Error><Code>Denied</Code><Message>key &lt;k&gt; isn&#39;t known</Message></Error>"
            )),
            "403: Denied: key <k> isn't known"
        );
        assert_eq!(why(&generic(&"é".repeat(1_000))).chars().count(), 301);
    }
}
