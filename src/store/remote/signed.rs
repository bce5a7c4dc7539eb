//! Requests to S3 that the client library does not know: signed with its credentials, sent over the
//! same wire.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body::Body as _;
use object_store::client::{HttpRequestBody, HttpResponseBody};
use object_store::path::Path;
use object_store::signer::SignedUrlOptions;
use quick_xml::Reader;
use quick_xml::events::Event;
use sha2::{Digest as _, Sha256};

use super::failure::tagged;
use super::inner::{Inner, MOST_REPEATS};
use crate::error::{Error, ErrorKind, Result};

/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How long the address of a request is good for.
const GOOD_FOR: Duration = Duration::from_mins(5);

/// S3 wants to be told the digest of what it is asked to do about locks.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

/// What S3 has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

impl Answer {
    /// The code of an answer that is an error, such as `AccessDenied`.
    pub(super) fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        tagged(&text, "Code").unwrap_or_default().to_owned()
    }

    /// Whether whoever has asked may not.
    pub(super) fn is_denied(&self) -> bool {
        matches!(
            self.status,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED
        )
    }

    /// Whether the service does not know what was asked.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(
            self.status,
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED
        )
    }

    /// The error for an answer to `what` that is one: `Refused` where that may not be asked.
    pub(super) fn error(&self, what: &str, inner: &Inner) -> Error {
        let text = String::from_utf8_lossy(&self.body);
        let said = match (tagged(&text, "Code"), tagged(&text, "Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => text.chars().take(300).collect(),
        };
        let kind = if self.is_denied() {
            ErrorKind::Refused
        } else {
            ErrorKind::Io
        };
        let error = Error::new(
            kind,
            format!(
                "cannot {what} in {}: the store answers {}: {said}",
                inner.address, self.status
            ),
        );
        if self.is_denied() {
            let credentials = &inner.client.credentials;
            return error.advise(format!(
                "credentials were taken from {credentials}: see which rights they have on {}",
                inner.address
            ));
        }
        error
    }
}

/// Asks for `path` (the bucket itself, if that is empty) with `query`. What fails for a passing
/// reason is asked again: only requests may be made that can be repeated. `None` where the service
/// is not S3.
pub(super) async fn ask(
    inner: &Inner,
    what: &str,
    method: Method,
    path: &Path,
    query: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Option<Answer>> {
    let Some(signer) = &inner.client.signer else {
        return Ok(None);
    };
    let failed = |why: &dyn std::fmt::Display| failed(what, why);
    let mut options = SignedUrlOptions::default().with_query(query.iter().copied());
    if !body.is_empty() {
        let digest = STANDARD.encode(Sha256::digest(&body));
        let digest = HeaderValue::from_str(&digest).map_err(|e| failed(&e))?;
        options = options
            .with_signed_header(CHECKSUM, digest)
            .with_signed_header(CHECKSUM_ALGORITHM, HeaderValue::from_static("SHA256"));
    }
    let mut repeats = 0;
    loop {
        let url = signer
            .signed_url_opts(method.clone(), path, GOOD_FOR, &options)
            .await
            .map_err(|e| failed(&e))?;
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(url.as_str())
            .body(HttpRequestBody::from(body.clone()))
            .map_err(|e| failed(&e))?;
        request.headers_mut().extend(options.signed_headers.clone());
        let answered = inner.http.execute(request).await;
        let is_passing = match &answered {
            Ok(answer) => {
                let status = answer.status();
                (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
                    || status == StatusCode::TOO_MANY_REQUESTS
            }
            Err(_) => true,
        };
        if is_passing && repeats < MOST_REPEATS {
            repeats += 1;
            tokio::time::sleep(Duration::from_millis(200 << repeats)).await;
            continue;
        }
        let answer = answered.map_err(|e| failed(&e))?;
        return Ok(Some(Answer {
            status: answer.status(),
            body: bounded(what, answer.into_body()).await?,
        }));
    }
}

/// All of an answer, if it is no larger than one may be.
async fn bounded(what: &str, mut body: HttpResponseBody) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|e| failed(what, &e))?;
        if let Some(data) = frame.data_ref() {
            content.extend_from_slice(data);
        }
        if content.len() > MAX_ANSWER_BYTES {
            let wanted = format!("expected at most {MAX_ANSWER_BYTES} bytes, found more");
            return Err(failed(what, &wanted));
        }
    }
    Ok(content)
}

pub(super) fn failed(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what}: {why}"))
}

/// Calls `each` at the end of every element of `xml`, with its name and its text.
///
/// # Errors
///
/// When it is no XML, in words.
pub(super) fn elements(
    xml: &[u8],
    mut each: impl FnMut(&[u8], &str),
) -> std::result::Result<(), String> {
    let mut reader = Reader::from_reader(xml);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(tag) => {
                text.clear();
                names.push(tag.local_name().as_ref().to_vec());
            }
            Event::Empty(tag) => each(tag.local_name().as_ref(), ""),
            Event::Text(found) => text.push_str(&found.decode().map_err(|e| e.to_string())?),
            Event::GeneralRef(found) => {
                let name = found.decode().map_err(|e| e.to_string())?;
                let resolved = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => found.resolve_char_ref().map_err(|e| e.to_string())?,
                };
                text.extend(resolved);
            }
            Event::End(_) => {
                let value = std::mem::take(&mut text);
                each(&names.pop().unwrap_or_default(), &value);
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}
