//! Uploads in parts that were begun in S3 and not ended: nobody sees them, and they are paid for.

use std::time::SystemTime;

use http::Method;
use object_store::path::Path;

use super::inner::Inner;
use super::signed::{ask, elements, failed};
use crate::error::Result;

/// Most pages that are read: a thousand uploads are on each.
const MAX_PAGES: usize = 1_000;

const LIST: &str = "list unfinished uploads";

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

/// All uploads whose names begin with `prefix`; none where the service is not S3.
pub(super) async fn begun(inner: &Inner, prefix: &str) -> Result<Vec<Begun>> {
    let mut all = Vec::new();
    let mut next: Option<(String, String)> = None;
    for _ in 0..MAX_PAGES {
        let mut query = vec![("uploads", ""), ("prefix", prefix)];
        if let Some((key, id)) = &next {
            query.extend([("key-marker", &**key), ("upload-id-marker", &**id)]);
        }
        let bucket = Path::default();
        let asked = ask(inner, LIST, Method::GET, &bucket, &query, Vec::new());
        let Some(answer) = asked.await? else {
            return Ok(all);
        };
        if !answer.status.is_success() {
            return Err(answer.error(LIST, inner));
        }
        let page = parse(&answer.body)?;
        all.extend(page.uploads);
        match page.next {
            Some(following) if next.as_ref() != Some(&following) => next = Some(following),
            _ => return Ok(all),
        }
    }
    let found = format!("there are more than {MAX_PAGES} pages of them");
    Err(failed(LIST, &found))
}

/// Reads a `ListMultipartUploadsResult`.
fn parse(xml: &[u8]) -> Result<Page> {
    let mut page = Page::default();
    let mut upload = Begun::default();
    let (mut is_truncated, mut key, mut id) = (false, String::new(), String::new());
    let read = elements(xml, |name, text| match name {
        b"Upload" => page.uploads.push(std::mem::take(&mut upload)),
        b"Key" => text.clone_into(&mut upload.key),
        b"UploadId" => text.clone_into(&mut upload.id),
        b"Initiated" => upload.since = time(text),
        b"IsTruncated" => is_truncated = text == "true",
        b"NextKeyMarker" => text.clone_into(&mut key),
        b"NextUploadIdMarker" => text.clone_into(&mut id),
        _ => {}
    });
    read.map_err(|e| failed(LIST, &e))?;
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
