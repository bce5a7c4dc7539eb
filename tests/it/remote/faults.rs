//! Bad days of networks and services, by a proxy: no false success, no object lost.

use std::collections::BTreeSet;
use std::time::Duration;

use narthex::ErrorKind;
use narthex::store::remote::RemoteStore;
use narthex::store::{ObjectName, ReadStore as _, Store};

use super::proxy::{Fault, Proxy, Request};
use super::servers::{Kind, ObjectServer};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";
const SLOW: &str = "<Error><Code>SlowDown</Code></Error>";
const TAKEN: &str = "<Error><Code>PreconditionFailed</Code></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code></Error>";
const UNKNOWN: &str = "<Error><Code>NotImplemented</Code></Error>";

/// A store behind a proxy that does `fault` to the first request that `concerns` says.
fn once(
    server: &ObjectServer,
    prefix: &str,
    fault: Fault,
    concerns: impl Fn(&Request) -> bool + Send + 'static,
) -> (Proxy, RemoteStore) {
    let mut is_done = false;
    let proxy = Proxy::start(server.port, Duration::ZERO, move |request| {
        if is_done || !concerns(request) {
            return Fault::None;
        }
        is_done = true;
        fault
    });
    let store =
        RemoteStore::new(server.address(prefix), &server.options_through(proxy.port)).unwrap();
    (proxy, store)
}

fn writes_object(request: &Request) -> bool {
    request.method == "PUT"
        && request.path.contains("/object")
        && !request.path.contains("partNumber")
}

#[test]
fn a_write_whose_answer_is_wrong_or_lost_ends_in_the_object_or_an_error() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let faults = [
        Fault::Answer(409, CONFLICT),
        Fault::Answer(503, SLOW),
        Fault::Answer(500, ""),
        Fault::AnswerAfter(412, TAKEN),
        Fault::AnswerAfter(503, SLOW),
        Fault::AnswerAfter(500, ""),
        Fault::LoseAnswer,
        Fault::Reset,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let prefix = format!("write/{number}");
        let (_proxy, store) = once(&server, &prefix, fault, writes_object);
        let store: &dyn Store = &store;
        let put = store.put(&name("object"), b"mine");
        assert!(put.is_ok(), "{fault:?}: {}", put.unwrap_err().chain());
        assert_eq!(
            store.get(&name("object"), 10).unwrap(),
            b"mine",
            "{fault:?}"
        );
        // What somebody else has written is never taken for one's own.
        let other = server.store(&prefix);
        let refused = (&other as &dyn Store)
            .put(&name("object"), b"mine")
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{fault:?}");
    }
}

#[test]
fn a_large_object_survives_faults_of_each_of_its_requests() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let content: Vec<u8> = (0..(17_usize << 20)).map(|at| (at % 251) as u8).collect();
    for (number, fault) in [
        Fault::Answer(503, SLOW),
        Fault::AnswerAfter(503, SLOW),
        Fault::LoseAnswer,
        Fault::AnswerAfter(412, TAKEN),
    ]
    .into_iter()
    .enumerate()
    {
        for (what, part) in ["uploads", "partNumber=2", "uploadId"]
            .into_iter()
            .enumerate()
        {
            if part != "uploadId" && matches!(fault, Fault::AnswerAfter(412, _)) {
                continue;
            }
            let prefix = format!("large/{number}/{what}");
            let (_proxy, store) = once(&server, &prefix, fault, move |request| {
                let is_end = part != "uploadId" || request.method == "POST";
                request.path.contains(part) && is_end
            });
            let store: &dyn Store = &store;
            match store.put(&name("object"), &content) {
                Ok(()) => assert!(
                    store.get(&name("object"), u64::MAX).unwrap() == content,
                    "{fault:?} {part}"
                ),
                Err(error) => {
                    // Said to have failed: then it can be written again.
                    assert_ne!(
                        error.kind(),
                        ErrorKind::AlreadyExists,
                        "{fault:?} {part}: {}",
                        error.chain()
                    );
                    store.put(&name("object"), &content).unwrap();
                }
            }
        }
    }
}

#[test]
fn answers_that_are_cut_or_slow_are_read_to_their_end() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for (number, fault) in [
        Fault::CutBody,
        Fault::SlowBody,
        Fault::Reset,
        Fault::Answer(503, SLOW),
    ]
    .into_iter()
    .enumerate()
    {
        let prefix = format!("read/{number}");
        (&server.store(&prefix) as &dyn Store)
            .put(&name("object"), &content)
            .unwrap();
        let (_proxy, store) = once(&server, &prefix, fault, |request| request.method == "GET");
        assert!(
            store.get(&name("object"), u64::MAX).unwrap() == content,
            "{fault:?}"
        );
        let (_proxy, store) = once(&server, &prefix, fault, |request| request.method == "GET");
        assert_eq!(
            store.get_range(&name("object"), 5..3_000_005).unwrap(),
            content[5..3_000_005],
            "{fault:?}"
        );
        let (_proxy, store) = once(&server, &prefix, fault, |request| request.method == "GET");
        assert_eq!(store.list("").unwrap().len(), 1, "{fault:?}");
    }
}

/// As Google's does to whoever may create objects and not delete them.
#[test]
fn a_name_that_may_not_be_written_twice_is_taken_and_not_forbidden() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let mut written = BTreeSet::new();
    let proxy = Proxy::start(server.port, Duration::ZERO, move |request| {
        let is_whole = request.method == "PUT" && !request.path.contains("partNumber");
        let is_end = request.method == "POST" && request.path.contains("uploadId");
        let (path, _) = request.path.split_once('?').unwrap_or((&*request.path, ""));
        if (is_whole || is_end) && !written.insert(path.to_owned()) {
            Fault::Answer(403, DENIED)
        } else {
            Fault::None
        }
    });
    let options = server.options_through(proxy.port);
    let store = RemoteStore::new(server.address("twice"), &options).unwrap();
    assert!(store.is_create_only().unwrap());
    let store: &dyn Store = &store;
    for content in [&b"small"[..], &vec![7; 9 << 20]] {
        let object = name(&format!("object/{}", content.len()));
        store.put(&object, content).unwrap();
        let refused = store.put(&object, b"other").unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::AlreadyExists,
            "{}",
            refused.chain()
        );
        assert!(store.get(&object, u64::MAX).unwrap() == content);
    }
    // What is forbidden and not there is.
    let (_proxy, store) = once(&server, "never", Fault::Answer(403, DENIED), writes_object);
    let refused = (&store as &dyn Store).put(&name("object"), b"mine");
    let refused = refused.unwrap_err();
    assert_ne!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(
        refused.chain().contains("credentials"),
        "{}",
        refused.chain()
    );
}

/// A store that takes each condition for fulfilled, and one that does not know any.
#[test]
fn a_store_without_conditions_is_known_as_one() {
    // moto does not look at signatures, of which the condition is a part.
    let Some(server) = ObjectServer::start_or_skip(Kind::Moto) else {
        return;
    };
    let unknown = Fault::Answer(501, UNKNOWN);
    for (number, fault) in [Fault::DropCondition, unknown].into_iter().enumerate() {
        let proxy = Proxy::start(server.port, Duration::ZERO, move |request| {
            if request.is_conditional {
                fault
            } else {
                Fault::None
            }
        });
        let prefix = format!("without/{number}");
        let options = server.options_through(proxy.port);
        let store = RemoteStore::new(server.address(&prefix), &options).unwrap();
        assert!(!store.is_create_only().unwrap(), "{fault:?}");
        // One that writes alone can still write, and replaces nothing.
        let store: &dyn Store = &store;
        for content in [&b"small"[..], &vec![7; 9 << 20]] {
            let object = name(&format!("object/{}", content.len()));
            store.put(&object, content).unwrap();
            let refused = store.put(&object, b"other").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{fault:?}");
            assert!(
                store.get(&object, u64::MAX).unwrap() == content,
                "{fault:?}"
            );
        }
    }
}
