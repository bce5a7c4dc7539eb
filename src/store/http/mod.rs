//! A repository that a web server gives out as files, to be read only.
//!
//! HTTP knows no lists. What is listed comes from pages about directories, as JSON: nginx makes
//! them with `autoindex_format json`, Caddy when it is asked for JSON. Parts of objects are asked
//! for with `Range`; a server that answers with the whole object is refused, so that nothing is
//! read beyond what was asked for.

mod address;
mod listing;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, LOCATION, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, StatusCode};

pub use address::{HttpAddress, HttpOptions};

use super::runtime::{self, block_on};
use super::traffic::{Deed, Traffic};
use super::{ObjectName, ReadStore, TrafficCounts, beyond_end, no_object, too_large};
use crate::error::{Error, ErrorKind, Result};
use listing::{Entry, Unread};

/// How long nothing may arrive before a request is given up.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request is sent again that failed for a reason that passes.
const REPEATS: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Largest page about a directory, in bytes.
const MAX_PAGE: u64 = 64 << 20;

/// Most names that are seen: a server that goes on for ever is stopped somewhere.
const MAX_NAMES: usize = 10_000_000;

/// Most directories below each other that are gone down: where each has the same ones again, there
/// are too many long before there are too many names.
const MAX_DEPTH: usize = 32;

/// Most bytes that are made room for before they are there.
const ROOM: u64 = 8 << 20;

/// Reads objects below a URL.
#[derive(Clone)]
pub struct HttpStore {
    address: HttpAddress,
    client: Client,
    traffic: Arc<Traffic>,
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpStore").field(&self.address).finish()
    }
}

/// Why a request has not got what it asked for.
enum Failure {
    /// Whatever has the name is no object.
    Missing,
    /// It may be otherwise a moment later.
    Passing(String),
    Final(Error),
}

impl HttpStore {
    /// The store below `address`. Nothing is read yet.
    ///
    /// # Errors
    ///
    /// `Invalid`, when it would be read in the clear over a network, and nobody has allowed it, or
    /// when `options` hold no certificates where there should be some.
    pub fn new(address: HttpAddress, options: &HttpOptions) -> Result<Self> {
        if !address.is_encrypted() && !address.is_loopback() && !options.allows_http() {
            return Err(Error::invalid(format!(
                "cannot read {address}: everybody on the way could read and change it; use https://, or set NARTHEX_ALLOW_HTTP=1"
            )));
        }
        runtime::begin()?;
        // The one provider of cryptography in this program; whoever uses the library may have
        // installed another one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = match &options.ca {
            Some(pem) => Certificate::from_pem_bundle(pem)
                .map_err(|e| Error::invalid(format!("expected certificates in PEM: {e}")))?,
            None => Vec::new(),
        };
        if options.ca.is_some() && certificates.is_empty() {
            return Err(Error::invalid(
                "expected certificates in PEM, found none in the file of authorities",
            ));
        }
        let client = Client::builder()
            .tls_certs_merge(certificates)
            .user_agent(concat!("narthex/", env!("CARGO_PKG_VERSION")))
            .read_timeout(READ_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .https_only(address.is_encrypted())
            .redirect(Policy::custom(|attempt| {
                // A directory: in the place of an object, or one that is elsewhere.
                if attempt.url().path().ends_with('/') || attempt.previous().len() > 5 {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            }))
            .build()
            .map_err(|e| Error::invalid(format!("cannot read {address}: {e}")))?;
        Ok(HttpStore {
            address,
            client,
            traffic: Arc::default(),
        })
    }

    /// Does what may be done twice, until it is done or does not pass.
    fn again<T>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> Result<T, Failure>,
    ) -> Result<Option<T>> {
        let mut repeat = 0;
        loop {
            match ask() {
                Ok(done) => return Ok(Some(done)),
                Err(Failure::Missing) => return Ok(None),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(_)) if repeat < REPEATS => {
                    thread::sleep(FIRST_WAIT * (1 << repeat));
                    repeat += 1;
                }
                Err(Failure::Passing(why)) => {
                    let address = &self.address;
                    let error = Error::new(ErrorKind::Io, format!("cannot {what} in {address}"));
                    return Err(error.with_source(std::io::Error::other(why)));
                }
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        name: &str,
        range: Option<&Range<u64>>,
        accept: &str,
    ) -> Result<Response, Failure> {
        let url = self.address.url_of(name);
        let mut request = self
            .client
            .request(method, url)
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, "identity");
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            request = request.header(RANGE, format!("bytes={}-{last}", range.start));
        }
        let is_dir = name.is_empty() || name.ends_with('/');
        let deed = if is_dir { Deed::List } else { Deed::Read };
        self.traffic.request(deed, 0);
        let answer = request.send().await.map_err(|e| passing(&e))?;
        let status = answer.status();
        if is_dir && status.is_redirection() {
            return Err(Failure::Final(self.elsewhere(name, &answer)));
        }
        if status.is_redirection() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Err(Failure::Missing);
        }
        let is_passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if is_passing {
            return Err(Failure::Passing(format!("the server answers {status}")));
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(self.wrong(&format!("the server answers {status}")));
        }
        Ok(answer)
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::Final(Error::new(
            ErrorKind::Io,
            format!("cannot read {}: {why}", self.address),
        ))
    }

    /// The error for a directory whose list is said to be at another URL: what is there was not
    /// asked for, and what is not followed is not empty.
    fn elsewhere(&self, name: &str, answer: &Response) -> Error {
        let target = answer.headers().get(LOCATION);
        let target = target.and_then(|it| it.to_str().ok()).unwrap_or("nowhere");
        let url = self.address.url_of(name);
        let status = answer.status();
        let why = format!(
            "cannot list objects in {}: the server answers {status} for {url}, and leads to {target:?}",
            self.address
        );
        Error::new(ErrorKind::Io, why).advise("give the address that it leads to")
    }

    fn unexpected(&self, answer: &Response) -> Failure {
        self.wrong(&format!("the server answers {}", answer.status()))
    }

    /// The body of an answer; `None` when it is larger than `max` bytes, which are not read then.
    async fn body(&self, mut answer: Response, max: u64) -> Result<Option<Vec<u8>>, Failure> {
        let said = length(answer.headers());
        if said.is_some_and(|said| said > max) {
            return Ok(None);
        }
        let room = usize::try_from(said.unwrap_or(0).min(ROOM)).unwrap_or_default();
        let mut content = Vec::with_capacity(room);
        while let Some(piece) = answer.chunk().await.map_err(|e| passing(&e))? {
            self.traffic.received(piece.len() as u64);
            content.extend_from_slice(&piece);
            if content.len() as u64 > max {
                return Ok(None);
            }
        }
        if said.is_some_and(|said| said != content.len() as u64) {
            return Err(Failure::Passing("the answer was cut".to_owned()));
        }
        Ok(Some(content))
    }

    /// Names in one directory; `None` when the server says that it is not there.
    fn names(&self, dir: &str) -> Result<Option<Vec<Entry>>> {
        let name = slashed(dir);
        let page = self.again("list objects", || {
            block_on(async {
                let accept = "application/json";
                let answer = self.send(Method::GET, &name, None, accept).await;
                let answer = match answer {
                    Err(Failure::Final(error)) if error.advice().is_none() => {
                        return Err(Failure::Final(no_list(error)));
                    }
                    answer => answer?,
                };
                if answer.status() != StatusCode::OK {
                    return Err(self.unexpected(&answer));
                }
                let page = self.body(answer, MAX_PAGE).await?;
                page.ok_or_else(|| self.wrong("a list of more than 64 MiB"))
            })
        })?;
        let Some(page) = page else {
            return Ok(None);
        };
        let told = |kind, why: &str| {
            let url = self.address.url_of(&name);
            let text = format!("cannot list objects in {}: {url} is {why}", self.address);
            Error::new(kind, text)
        };
        match listing::parse(&page) {
            Ok(entries) => Ok(Some(entries)),
            Err(Unread::NoList(why)) => Err(no_list(told(ErrorKind::Io, &why))),
            Err(Unread::Cut(names)) => {
                let why = format!("a list of {names} names, which is where Caddy cuts lists");
                Err(told(ErrorKind::Unsupported, &why).advise(
                    "raise file_limit under file_server browse, say to 1000000, or use nginx",
                ))
            }
        }
    }

    /// Names in `dir`, which the directory above it lists, unless it is the root.
    fn listed_names(&self, dir: &str) -> Result<Vec<Entry>> {
        if let Some(entries) = self.names(dir)? {
            return Ok(entries);
        }
        if self.is_gone(dir)? {
            return Ok(Vec::new());
        }
        Err(no_list(Error::new(
            ErrorKind::Io,
            format!(
                "cannot list objects in {}: the server says that {} is not there",
                self.address,
                self.address.url_of(&slashed(dir))
            ),
        )))
    }

    /// Whether `dir` is not listed any more: whoever deletes the last object of a directory removes
    /// the directory. The root is always expected.
    fn is_gone(&self, dir: &str) -> Result<bool> {
        let Some((above, name)) = above(dir) else {
            return Ok(false);
        };
        match self.names(above)? {
            Some(entries) => Ok(entries.iter().all(|it| it.name != name)),
            None => self.is_gone(above),
        }
    }

    fn too_much(&self, what: &str) -> Error {
        Error::unsupported(format!("cannot list objects in {}: {what}", self.address))
    }
}

/// What the page about `dir` is called.
fn slashed(dir: &str) -> String {
    if dir.is_empty() {
        String::new()
    } else {
        format!("{dir}/")
    }
}

/// The directory that `dir` is in, and its name there; `None` for the root.
fn above(dir: &str) -> Option<(&str, &str)> {
    (!dir.is_empty()).then(|| dir.rsplit_once('/').unwrap_or(("", dir)))
}

/// What a server must be told to list what it has.
fn no_list(error: Error) -> Error {
    error.advise(
        "see that this is the address of a repository; the web server must list directories as JSON: in nginx autoindex on and autoindex_format json, in Caddy file_server browse",
    )
}

fn passing(error: &reqwest::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    Failure::Passing(text)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What `Content-Range` says: which bytes, unless the request was refused, of how many.
fn content_range(headers: &HeaderMap) -> Option<(Option<Range<u64>>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let size = size.parse().ok()?;
    if range == "*" {
        return Some((None, size));
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((Some(first..last.checked_add(1)?), size))
}

impl ReadStore for HttpStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let content = self.again(&format!("read object {name}"), || {
            block_on(async {
                let answer = self.send(Method::GET, name.as_str(), None, "*/*").await?;
                if answer.status() != StatusCode::OK {
                    return Err(self.unexpected(&answer));
                }
                let said = length(answer.headers());
                let content = self.body(answer, max_bytes).await?;
                content.ok_or_else(|| {
                    let bytes = said.unwrap_or(max_bytes.saturating_add(1));
                    Failure::Final(too_large(name, bytes, max_bytes))
                })
            })
        })?;
        content.ok_or_else(|| no_object(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let Some(len) = range.end.checked_sub(range.start).filter(|len| *len > 0) else {
            let bytes = self.size(name)?;
            return if range.start == range.end && range.end <= bytes {
                Ok(Vec::new())
            } else {
                Err(beyond_end(name, bytes, &range))
            };
        };
        let content = self.again(&format!("read object {name}"), || {
            block_on(async {
                let answer = self
                    .send(Method::GET, name.as_str(), Some(&range), "*/*")
                    .await?;
                let told = content_range(answer.headers());
                match (answer.status(), told) {
                    (StatusCode::PARTIAL_CONTENT, Some((Some(sent), size))) if sent == range => {
                        match self.body(answer, len).await? {
                            Some(content) if content.len() as u64 == len => Ok(Ok(content)),
                            _ if size < range.end => Ok(Err(Some(size))),
                            _ => Err(Failure::Passing("other bytes than were asked for".into())),
                        }
                    }
                    (
                        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE,
                        Some((_, size)),
                    ) if size < range.end => Ok(Err(Some(size))),
                    (StatusCode::RANGE_NOT_SATISFIABLE, _) => Ok(Err(None)),
                    (StatusCode::OK, _) => Err(Failure::Final(Error::unsupported(format!(
                        "cannot read a part of object {name}: the server of {} does not know Range",
                        self.address
                    )))),
                    _ => Err(self.unexpected(&answer)),
                }
            })
        })?;
        match content.ok_or_else(|| no_object(name))? {
            Ok(content) => Ok(content),
            Err(size) => {
                let bytes = size.map_or_else(|| self.size(name), Ok)?;
                Err(beyond_end(name, bytes, &range))
            }
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let size = self.again(&format!("look at object {name}"), || {
            block_on(async {
                let answer = self.send(Method::HEAD, name.as_str(), None, "*/*").await?;
                if answer.status() != StatusCode::OK {
                    return Err(self.unexpected(&answer));
                }
                let size = length(answer.headers());
                size.ok_or_else(|| self.wrong("the server does not say how large objects are"))
            })
        })?;
        size.ok_or_else(|| no_object(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        self.list_many(&[prefix])
    }

    fn list_many(&self, prefixes: &[&str]) -> Result<Vec<(ObjectName, u64)>> {
        // From the root on: that a directory is not there is known from the one above it. A server
        // that lists nothing says the same of every directory.
        let mut objects = Vec::new();
        let mut dirs = vec![String::new()];
        let mut seen = 0_usize;
        while let Some(dir) = dirs.pop() {
            let entries = self.listed_names(&dir)?;
            seen = seen.saturating_add(entries.len());
            if seen > MAX_NAMES {
                return Err(self.too_much(&format!("more than {MAX_NAMES} names")));
            }
            for entry in entries {
                let name = if dir.is_empty() {
                    entry.name
                } else {
                    format!("{dir}/{}", entry.name)
                };
                // What is not published is below a name that no object has.
                let Ok(object) = ObjectName::new(name.as_str()) else {
                    continue;
                };
                let is_asked = if entry.is_dir {
                    let slashed = slashed(&name);
                    let leads_to = |prefix: &&str| {
                        slashed.starts_with(*prefix) || prefix.starts_with(&slashed)
                    };
                    prefixes.iter().any(leads_to)
                } else {
                    prefixes.iter().any(|prefix| name.starts_with(prefix))
                };
                if is_asked && !entry.is_dir {
                    let bytes = entry.size.map_or_else(|| self.size(&object), Ok)?;
                    objects.push((object, bytes));
                } else if is_asked {
                    if name.split('/').count() > MAX_DEPTH {
                        let what = format!("more than {MAX_DEPTH} directories below each other");
                        return Err(self.too_much(&what));
                    }
                    dirs.push(name);
                }
            }
        }
        objects.sort_unstable();
        objects.dedup();
        Ok(objects)
    }

    fn describe(&self) -> String {
        self.address.to_string()
    }

    fn traffic(&self) -> Option<TrafficCounts> {
        Some(self.traffic.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_say_them() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(said("bytes 3-4/10"), Some((Some(3..5), 10)));
        assert_eq!(said("bytes */10"), Some((None, 10)));
        for odd in [
            "bytes 3-4/*",
            "bytes 3-18446744073709551615/1",
            "items 3-4/10",
            "bytes 3",
        ] {
            assert_eq!(said(odd), None, "{odd}");
        }
    }
}
