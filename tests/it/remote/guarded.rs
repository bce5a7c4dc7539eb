//! A bucket with versions and locks, an administrator, and a host that may do little: versitygw
//! with users and a policy, and requests as `curl` would make them.

use std::process::Command;

use narthex::store::remote::RemoteStore;
use narthex::store::{Settings, StoreOptions};

use super::servers::{ACCESS, BUCKET, Kind, ObjectServer, SECRET, base64, hmac_sha256, sha256};

/// The host's credentials.
const HOST: &str = "host";
const HOST_SECRET: &str = "host-secret";

/// The server.
pub(super) struct Guarded {
    pub(super) server: ObjectServer,
}

/// Somebody with credentials.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Admin,
    Host,
}

impl Who {
    fn credentials(self) -> (&'static str, &'static str) {
        match self {
            Who::Admin => (ACCESS, SECRET),
            Who::Host => (HOST, HOST_SECRET),
        }
    }
}

impl Guarded {
    /// Starts one, or says that the test is skipped. `prefix` is where the host may write.
    pub(super) fn start_or_skip(prefix: &str) -> Option<Self> {
        let program = Kind::Versity.find_or_skip()?;
        let home = tempfile::tempdir().unwrap();
        let [versions, users] = ["versions", "users"].map(|dir| home.path().join(dir));
        for dir in [&versions, &users] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let global = ["--iam-dir", users.to_str().unwrap(), "--iam-cache-disable"];
        let more = ["--versioning-dir", versions.to_str().unwrap()];
        let server = ObjectServer::start_with(home, Kind::Versity, &program, &global, &more);
        let guarded = Guarded { server };
        let made = Command::new(&program)
            .args(["admin", "--access", ACCESS, "--secret", SECRET])
            .args([
                "--endpoint-url",
                &format!("http://127.0.0.1:{}", guarded.server.port),
            ])
            .args(["create-user", "--access", HOST, "--secret", HOST_SECRET])
            .args(["--role", "user"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let (status, said) = guarded.ask(Who::Admin, "PUT", "", &[], &lock, b"");
        assert_eq!(status, 200, "{said}");
        guarded.allow(Policy::OnlyWrite, prefix);
        Some(guarded)
    }

    /// Lets the host do at `prefix` what the page says, and nothing else.
    pub(super) fn allow(&self, allowed: Policy, prefix: &str) {
        let policy = policy(allowed, prefix);
        let query = [("policy", "")];
        let (status, said) = self.ask(Who::Admin, "PUT", "", &query, &[], policy.as_bytes());
        assert!((200..300).contains(&status), "{said}");
    }

    /// One request on `key` of the bucket, signed: status and answer.
    pub(super) fn ask(
        &self,
        who: Who,
        method: &str,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let path = if key.is_empty() {
            format!("/{BUCKET}")
        } else {
            format!("/{BUCKET}/{key}")
        };
        let mut query: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('/', "%2F")))
            .collect();
        query.sort();
        let query = query.join("&");
        let date = amz_date();
        let digest = hex(&sha256(body));
        let mut signed: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let host = format!("127.0.0.1:{}", self.server.port);
        signed.push(("host".to_owned(), host));
        signed.push(("x-amz-content-sha256".to_owned(), digest.clone()));
        let checksum = base64(&sha256(body));
        signed.push(("x-amz-checksum-sha256".to_owned(), checksum));
        signed.push(("x-amz-date".to_owned(), date.clone()));
        signed.sort();
        let canonical: String = signed
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let names: Vec<_> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let request = format!("{method}\n{path}\n{query}\n{canonical}\n{names}\n{digest}");
        let day = &date[..8];
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hex(&sha256(request.as_bytes()))
        );
        let (access, secret) = who.credentials();
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [day, "us-east-1", "s3", "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes()).to_vec();
        }
        let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        let mut sent: Vec<(&str, String)> = signed
            .iter()
            .filter(|(name, _)| name != "host")
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        sent.push(("Authorization", authorization));
        let target = if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        };
        self.server.ask_bytes(method, &target, &sent, body)
    }

    /// The store at `prefix`, for somebody.
    pub(super) fn store(&self, who: Who, prefix: &str) -> RemoteStore {
        RemoteStore::new(self.server.address(prefix), &self.options(who)).unwrap()
    }

    /// How the server is reached by somebody.
    pub(super) fn options(&self, who: Who) -> StoreOptions {
        let mut options = self.server.options_through(self.server.port);
        let (access, secret) = who.credentials();
        let settings = [
            ("AWS_ACCESS_KEY_ID", access),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.settings = Settings(settings.into_iter().collect());
        options
    }

    /// The ids of the versions of `key`, the current one first, without delete markers.
    pub(super) fn versions(&self, key: &str) -> Vec<String> {
        let query = [("prefix", key), ("versions", "")];
        let (status, said) = self.ask(Who::Admin, "GET", "", &query, &[], b"");
        assert_eq!(status, 200, "{said}");
        let versions = said.split("<Version>").skip(1);
        let ids = versions.map(|it| {
            let (_, rest) = it.split_once("<VersionId>").unwrap();
            rest.split_once('<').unwrap().0.to_owned()
        });
        ids.collect()
    }
}

/// The page that says what narthex needs to be allowed.
const PAGE: &str = include_str!("../../../docs/stores/object-stores.md");

/// The policies of the page, in their order.
#[derive(Clone, Copy)]
pub(super) enum Policy {
    /// What backup, restore and check need.
    BackUp = 0,
    /// What a host needs that only writes.
    OnlyWrite = 1,
    /// What the machine needs that keeps order.
    KeepOrder = 2,
}

/// What the page lets the host do at `prefix`. Its policies are of users and this one is of the
/// bucket, so it says whose it is; and the server knows no conditions.
fn policy(policy: Policy, prefix: &str) -> String {
    let blocks = PAGE.split("```json\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let mut policies = blocks.filter(|block| block.contains("2012-10-17"));
    let text = policies.nth(policy as usize).unwrap();
    let text = text.replace("arn:aws:s3:::backups", &format!("arn:aws:s3:::{BUCKET}"));
    let text = text.replace(
        &format!("{BUCKET}/prometheus/"),
        &format!("{BUCKET}/{prefix}/"),
    );
    let mut policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let statement = statement.as_object_mut().unwrap();
        statement.remove("Condition");
        statement.insert("Principal".to_owned(), serde_json::json!({ "AWS": [HOST] }));
    }
    policy.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn amz_date() -> String {
    let now = Command::new("date")
        .args(["-u", "+%Y%m%dT%H%M%SZ"])
        .output();
    String::from_utf8(now.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}
