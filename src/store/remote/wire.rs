//! What every HTTP request of an object store passes: it is counted, slowed down to the limits, and
//! corrected where the client library says less than it should.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::{Method, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use tokio::time::Sleep;

use super::pending::PUT_ID;
use crate::store::Limits;
use crate::store::traffic::{Deed, Traffic};

/// What a request does.
fn deed(method: &Method, uri: &Uri) -> Deed {
    match *method {
        Method::DELETE => Deed::Delete,
        // S3 deletes by a list of names, and Azure by a batch of requests.
        Method::POST if has_parameter(uri, &["delete", "comp"]) => Deed::Delete,
        Method::GET if is_list(uri) => Deed::List,
        Method::GET | Method::HEAD => Deed::Read,
        _ => Deed::Write,
    }
}

/// Whether a request is for `bucket`, and not for the credentials that such requests need.
fn is_of_bucket(uri: &Uri, bucket: &str) -> bool {
    let host = uri.host().and_then(|host| host.strip_prefix(bucket));
    host.is_some_and(|rest| rest.starts_with('.'))
        || uri.path().split('/').any(|part| part == bucket)
}

/// Names of parameters that make a `GET` one that lists.
const LISTS: [&str; 4] = ["list-type", "uploads", "comp", "versions"];

fn is_list(uri: &Uri) -> bool {
    has_parameter(uri, &LISTS)
}

fn has_parameter(uri: &Uri, names: &[&str]) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| names.contains(&pair.split('=').next().unwrap_or_default()))
}

/// Lets so many units a second pass, one after another.
#[derive(Debug)]
struct Pace {
    per_second: f64,
    /// When the last unit that was let through will have taken its time.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    fn of(per_second: Option<u64>) -> Option<Self> {
        per_second.map(|per_second| Pace {
            per_second: per_second.max(1) as f64,
            free: Mutex::new(None),
        })
    }

    /// How long whoever wants to pass with `units` must wait.
    fn wait(&self, units: u64) -> Duration {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let begin = free.map_or(now, |free| free.max(now));
        let takes = Duration::try_from_secs_f64(units as f64 / self.per_second);
        *free = begin.checked_add(takes.unwrap_or(Duration::ZERO));
        begin.duration_since(now)
    }
}

/// Makes clients whose requests are counted and limited.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: String,
    traffic: Arc<Traffic>,
    upload: Option<Pace>,
    download: Option<Pace>,
    requests: Option<Pace>,
    /// Whether uploads in parts are to be completed on the condition that the name is free, which
    /// the client library cannot ask for. S3 alone knows it.
    completes_conditionally: AtomicBool,
    /// Attempts to write of which an answer got lost, or said that the service failed: what they
    /// write may be there.
    lost: Mutex<BTreeSet<String>>,
}

impl Wire {
    pub(super) fn new(bucket: &str, limits: Limits, completes_conditionally: bool) -> Self {
        Wire {
            shared: Arc::new(Shared {
                bucket: bucket.to_owned(),
                traffic: Arc::default(),
                upload: Pace::of(limits.upload),
                download: Pace::of(limits.download),
                requests: Pace::of(limits.requests),
                completes_conditionally: AtomicBool::new(completes_conditionally),
                lost: Mutex::default(),
            }),
        }
    }

    /// No longer asks for a free name where uploads in parts end: the store does not know how.
    pub(super) fn complete_unconditionally(&self) {
        let asks = &self.shared.completes_conditionally;
        asks.store(false, Ordering::Relaxed);
    }

    /// Whether an answer to this attempt to write got lost. An attempt is known by the id in the
    /// metadata of what it writes, or by that of its upload.
    pub(super) fn has_lost(&self, attempt: &str) -> bool {
        self.shared.lost().contains(attempt)
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.shared.traffic
    }
}

impl Shared {
    fn lost(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attempt to write is known by.
fn attempt(request: &HttpRequest) -> Option<String> {
    let mut headers = request.headers().iter();
    let in_metadata = headers.find(|(name, _)| name.as_str().ends_with(PUT_ID));
    let in_metadata = in_metadata.and_then(|(_, value)| value.to_str().ok());
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let mut pairs = pairs.filter(|_| request.method() == Method::POST);
    let upload = pairs.find_map(|pair| pair.strip_prefix("uploadId="));
    in_metadata.or(upload).map(str::to_owned)
}

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service {
            client,
            shared: Arc::clone(&self.shared),
        }))
    }
}

#[derive(Debug)]
struct Service {
    client: HttpClient,
    shared: Arc<Shared>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let shared = &self.shared;
        if shared.completes_conditionally.load(Ordering::Relaxed)
            && request.method() == Method::POST
            && has_parameter(request.uri(), &["uploadId"])
        {
            // Not among the signed headers, which S3 asks of `x-amz-*` and `host` alone.
            let any = HeaderValue::from_static("*");
            request.headers_mut().insert(IF_NONE_MATCH, any);
        }
        let is_conditional = request.headers().contains_key(IF_NONE_MATCH);
        let sent = request.body().content_length() as u64;
        if let Some(pace) = &shared.requests {
            tokio::time::sleep(pace.wait(1)).await;
        }
        if let Some(pace) = &shared.upload {
            tokio::time::sleep(pace.wait(sent)).await;
        }
        if is_of_bucket(request.uri(), &shared.bucket) {
            let deed = deed(request.method(), request.uri());
            shared.traffic.request(deed, sent);
        }
        let attempt = attempt(&request).filter(|_| is_conditional);
        let answer = self.client.execute(request).await;
        let is_lost = answer
            .as_ref()
            .map_or(true, |answer| answer.status().is_server_error());
        if let Some(attempt) = attempt.filter(|_| is_lost) {
            shared.lost().insert(attempt);
        }
        let answer = answer?;
        let (mut parts, body) = answer.into_parts();
        let body = HttpResponseBody::new(Counted {
            body,
            shared: Arc::clone(shared),
            pause: None,
        });
        if !is_conditional {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        match parts.status {
            // A conflict of two requests at the same moment, which S3 wants to be tried again; the
            // client library would take it for a name that is taken. In Azure it is one.
            StatusCode::CONFLICT => {
                let text = body.bytes().await?;
                let is_passing = [&b"ConditionalRequestConflict"[..], b"OperationAborted"]
                    .iter()
                    .any(|code| text.windows(code.len()).any(|window| window == *code));
                if is_passing {
                    parts.status = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok(HttpResponse::from_parts(parts, text.into()))
            }
            // A store that does not know conditions says so at each try.
            StatusCode::NOT_IMPLEMENTED => {
                parts.status = StatusCode::METHOD_NOT_ALLOWED;
                Ok(HttpResponse::from_parts(parts, body))
            }
            _ => Ok(HttpResponse::from_parts(parts, body)),
        }
    }
}

/// The body of an answer, counted and slowed down while it is read.
struct Counted {
    body: HttpResponseBody,
    shared: Arc<Shared>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let bytes = data.len() as u64;
            self.shared.traffic.received(bytes);
            if let Some(pace) = &self.shared.download {
                let wait = pace.wait(bytes);
                if !wait.is_zero() {
                    self.pause = Some(Box::pin(tokio::time::sleep(wait)));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are_billed_as() {
        let traffic = Traffic::default();
        for (method, uri) in [
            (Method::GET, "http://h/b?list-type=2&prefix=x"),
            (Method::GET, "http://h/b?uploads=&prefix=x"),
            (Method::GET, "http://h/b/o"),
            (Method::HEAD, "http://h/b/o"),
            (Method::PUT, "http://h/b/o?partNumber=1&uploadId=2"),
            (Method::POST, "http://h/b/o?uploadId=2"),
            (Method::DELETE, "http://h/b/o"),
            (Method::POST, "http://h/b?delete"),
            (Method::POST, "http://h/b?restype=container&comp=batch"),
        ] {
            let uri = Uri::from_static(uri);
            assert!(is_of_bucket(&uri, "b"), "{uri}");
            traffic.request(deed(&method, &uri), 10);
        }
        let counts = traffic.counts();
        assert_eq!((counts.lists, counts.reads), (2, 2));
        assert_eq!((counts.writes, counts.deletes), (2, 3));
        assert_eq!((counts.requests(), counts.sent_bytes), (9, 90));
    }

    #[test]
    fn what_asks_for_credentials_is_told_from_what_asks_a_bucket() {
        for (uri, wanted) in [
            ("http://store:9000/backups/archives/x", true),
            ("https://backups.s3.amazonaws.com/archives/x", true),
            (
                "https://account.blob.core.windows.net/backups?comp=list",
                true,
            ),
            ("http://169.254.169.254/latest/api/token", false),
            ("https://sts.amazonaws.com/?Action=AssumeRole", false),
            ("https://oauth2.googleapis.com/token", false),
            ("https://backups2.s3.amazonaws.com/", false),
        ] {
            assert_eq!(
                is_of_bucket(&Uri::from_static(uri), "backups"),
                wanted,
                "{uri}"
            );
        }
    }

    #[test]
    fn whoever_follows_waits_for_those_before() {
        let pace = Pace::of(Some(1_000)).unwrap();
        assert_eq!(pace.wait(500), Duration::ZERO);
        let wait = pace.wait(1);
        assert!(wait > Duration::from_millis(400), "{wait:?}");
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
    }
}
