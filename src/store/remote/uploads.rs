//! Uploads in parts that were begun in S3 and not ended: nobody sees them, and they are paid for.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use http_body::Body as _;
use object_store::client::{HttpClient, HttpRequestBody, HttpResponseBody};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::inner::MOST_REPEATS;
use crate::error::{Error, Result};

/// Most pages that are read: a thousand uploads are on each.
const MAX_PAGES: usize = 1_000;

/// Largest page, in bytes.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// How long the address of a page is good for.
const GOOD_FOR: Duration = Duration::from_mins(5);

/// An upload that was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// The name it would have, with the store's prefix.
    pub key: String,
    pub id: String,
    pub since: Option<SystemTime>,
}

/// One page of them, and where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Begun>,
    next: Option<(String, String)>,
}

/// All uploads whose names begin with `prefix`.
pub(super) async fn begun(
    signer: &dyn Signer,
    client: &HttpClient,
    prefix: &str,
) -> Result<Vec<Begun>> {
    let mut all = Vec::new();
    let mut pages = 0;
    let mut next: Option<(String, String)> = None;
    let mut repeats = 0;
    while pages < MAX_PAGES {
        let mut query = vec![("uploads", ""), ("prefix", prefix)];
        if let Some((key, id)) = &next {
            query.extend([("key-marker", &**key), ("upload-id-marker", &**id)]);
        }
        let options = SignedUrlOptions::default().with_query(query);
        let url = signer
            .signed_url_opts(Method::GET, &Path::default(), GOOD_FOR, &options)
            .await
            .map_err(|e| failed(&e))?;
        let request = http::Request::builder()
            .method(Method::GET)
            .uri(url.as_str())
            .body(HttpRequestBody::empty())
            .map_err(|e| failed(&e))?;
        let answer = client.execute(request).await.map_err(|e| failed(&e))?;
        let status = answer.status();
        if (status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS)
            && repeats < MOST_REPEATS
        {
            repeats += 1;
            tokio::time::sleep(Duration::from_millis(200 << repeats)).await;
            continue;
        }
        let body = bounded(answer.into_body()).await?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default());
            return Err(failed(&format!("the store answers {status}: {text}")));
        }
        (pages, repeats) = (pages + 1, 0);
        let page = parse(&body)?;
        all.extend(page.uploads);
        match page.next {
            Some(following) if next.as_ref() != Some(&following) => next = Some(following),
            _ => return Ok(all),
        }
    }
    Err(failed(&format!(
        "there are more than {MAX_PAGES} pages of them"
    )))
}

/// All of an answer, if it is no larger than a page may be.
async fn bounded(mut body: HttpResponseBody) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|e| failed(&e))?;
        if let Some(data) = frame.data_ref() {
            content.extend_from_slice(data);
        }
        if content.len() > MAX_PAGE_BYTES {
            let wanted = format!("expected a page of at most {MAX_PAGE_BYTES} bytes, found more");
            return Err(failed(&wanted));
        }
    }
    Ok(content)
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        crate::ErrorKind::Io,
        format!("cannot list unfinished uploads: {why}"),
    )
}

/// Reads a `ListMultipartUploadsResult`.
fn parse(xml: &[u8]) -> Result<Page> {
    let mut reader = Reader::from_reader(xml);
    let mut page = Page::default();
    let mut upload: Option<Begun> = None;
    let (mut is_truncated, mut key, mut id) = (false, String::new(), String::new());
    let mut path: Vec<Vec<u8>> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|e| failed(&e))? {
            Event::Start(tag) => {
                text.clear();
                path.push(tag.local_name().as_ref().to_vec());
                if path.last().is_some_and(|name| name == b"Upload") {
                    upload = Some(Begun::default());
                }
            }
            Event::Text(found) => text.push_str(&found.decode().map_err(|e| failed(&e))?),
            Event::GeneralRef(found) => {
                let name = found.decode().map_err(|e| failed(&e))?;
                let resolved = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => found.resolve_char_ref().map_err(|e| failed(&e))?,
                };
                text.extend(resolved);
            }
            Event::End(_) => {
                let value = std::mem::take(&mut text);
                let name = path.pop().unwrap_or_default();
                match (&*name, &mut upload) {
                    (b"Upload", _) => page.uploads.extend(upload.take()),
                    (b"Key", Some(upload)) => upload.key = value,
                    (b"UploadId", Some(upload)) => upload.id = value,
                    (b"Initiated", Some(upload)) => upload.since = time(&value),
                    (b"IsTruncated", None) => is_truncated = value == "true",
                    (b"NextKeyMarker", None) => key = value,
                    (b"NextUploadIdMarker", None) => id = value,
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if is_truncated && !key.is_empty() {
        page.next = Some((key, id));
    }
    Ok(page)
}

fn time(text: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_s3_writes_it() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Bucket>b</Bucket><KeyMarker></KeyMarker><NextKeyMarker>p/x</NextKeyMarker>
  <NextUploadIdMarker>2</NextUploadIdMarker><IsTruncated>true</IsTruncated>
  <Upload><Key>p/a&amp;b</Key><UploadId>1</UploadId>
    <Initiator><ID>arn</ID></Initiator><Initiated>2026-11-10T20:48:33.000Z</Initiated></Upload>
  <Upload><Key>p/x</Key><UploadId>2</UploadId></Upload>
</ListMultipartUploadsResult>"#;
        let page = parse(xml).unwrap();
        let keys: Vec<_> = page.uploads.iter().map(|it| (&*it.key, &*it.id)).collect();
        assert_eq!(keys, [("p/a&b", "1"), ("p/x", "2")]);
        assert!(page.uploads[0].since.is_some());
        assert_eq!(page.next, Some(("p/x".to_owned(), "2".to_owned())));
    }

    #[test]
    fn what_is_no_page_is_an_error_or_empty() {
        assert_eq!(parse(b"").unwrap(), Page::default());
        assert!(parse(b"<a><b></a>").is_err());
    }
}
