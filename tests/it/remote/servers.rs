//! Object stores on ports of this machine, for as long as the values live.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use narthex::store::remote::{Address, RemoteStore, Service};
use narthex::store::{Settings, StoreOptions};

use super::google;
use crate::e2e::tools::skip;

/// How long a server may take to begin on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The name of the bucket that every server has.
pub(crate) const BUCKET: &str = "backups";

/// A server of objects that is installed, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// versitygw: S3 over a directory.
    Versity,
    /// moto: another S3, in memory.
    Moto,
    /// fake-gcs-server: Google's, in memory.
    Gcs,
    /// Azurite: Azure's, in memory.
    Azurite,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Versity, Kind::Moto, Kind::Gcs, Kind::Azurite];

    /// The environment variable that names the program, and where `.ci/run` puts it.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Kind::Versity => ("NARTHEX_VERSITYGW", "tests/stores/bin/versitygw"),
            // The Python that has moto.
            Kind::Moto => ("NARTHEX_MOTO", "tests/stores/python/bin/python"),
            Kind::Gcs => ("NARTHEX_FAKE_GCS", "tests/stores/bin/fake-gcs-server"),
            Kind::Azurite => (
                "NARTHEX_AZURITE",
                "tests/stores/node_modules/.bin/azurite-blob",
            ),
        }
    }

    pub(super) fn find_or_skip(self) -> Option<PathBuf> {
        let (variable, built) = self.program();
        let program = env::var_os(variable).map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(built),
            PathBuf::from,
        );
        if !program.is_file() {
            skip(&format!("no {} (.ci/run installs it)", program.display()));
            return None;
        }
        Some(program)
    }

    fn service(self) -> Service {
        match self {
            Kind::Versity | Kind::Moto => Service::S3,
            Kind::Gcs => Service::Gcs,
            Kind::Azurite => Service::Azure,
        }
    }
}

/// A server at work; dropping it kills it.
#[derive(Debug)]
pub(crate) struct ObjectServer {
    pub(crate) kind: Kind,
    process: Child,
    pub(crate) port: u16,
    is_encrypted: bool,
    /// Holds what the server keeps, and what it says.
    pub(super) home: tempfile::TempDir,
}

impl ObjectServer {
    /// Starts one with an empty bucket, or says that the running test is skipped.
    pub(crate) fn start_or_skip(kind: Kind) -> Option<Self> {
        Some(Self::start(kind, &kind.find_or_skip()?))
    }

    /// Starts a versitygw that speaks TLS with a certificate of an authority of its own.
    pub(crate) fn start_encrypted_or_skip() -> Option<Self> {
        let kind = Kind::Versity;
        let program = kind.find_or_skip()?;
        let home = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let made = Command::new("openssl")
                .args(arguments.split_whitespace())
                .current_dir(home.path())
                .output();
            let made = made.unwrap();
            let said = String::from_utf8_lossy(&made.stderr);
            assert!(made.status.success(), "{arguments}: {said}");
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!(
            "req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
        ));
        openssl(&format!(
            "req {key} -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out server.csr"
        ));
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy -out server.pem",
        );
        let files = ["server.pem", "key.pem"].map(|file| home.path().join(file));
        let tls = ["--cert", text(&files[0]), "--key", text(&files[1])];
        let mut server = Self::start_in(home, kind, &program, &tls);
        server.is_encrypted = true;
        Some(server)
    }

    /// The certificate of the authority of a server that speaks TLS.
    pub(crate) fn authority(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    fn start(kind: Kind, program: &Path) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), kind, program, &[])
    }

    fn start_in(home: tempfile::TempDir, kind: Kind, program: &Path, tls: &[&str]) -> Self {
        std::fs::create_dir_all(home.path().join("data").join(BUCKET)).unwrap();
        Self::start_with(home, kind, program, tls, &[])
    }

    /// Starts one; `more` are options of versitygw's directory. It has no bucket of itself.
    pub(super) fn start_with(
        home: tempfile::TempDir,
        kind: Kind,
        program: &Path,
        tls: &[&str],
        more: &[&str],
    ) -> Self {
        let port = free_port();
        let data = home.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(program);
        let port_text = port.to_string();
        match kind {
            Kind::Versity => command
                .args(["--port", &format!("127.0.0.1:{port}"), "--quiet"])
                .args(tls)
                .args(["--access", ACCESS, "--secret", SECRET, "posix"])
                .args(["--sidecar", text(&side(home.path()))])
                .args(more)
                .arg(&data),
            Kind::Moto => command
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/moto_server.py"))
                .args(["127.0.0.1", &port_text]),
            Kind::Gcs => command
                .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port_text])
                .args([
                    "-backend",
                    "memory",
                    "-public-host",
                    &format!("127.0.0.1:{port}"),
                ]),
            Kind::Azurite => command
                .args(["--blobHost", "127.0.0.1", "--blobPort", &port_text])
                .args(["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]),
        };
        let log = || File::create(home.path().join("log")).unwrap();
        let process = command
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap();
        let mut server = ObjectServer {
            kind,
            process,
            port,
            is_encrypted: false,
            home,
        };
        server.wait();
        server.make_bucket();
        if kind == Kind::Gcs {
            server.port = google::translate(port);
        }
        server
    }

    fn wait(&self) {
        let begin = Instant::now();
        while !self.answers() {
            assert!(
                begin.elapsed() < PATIENCE,
                "{:?} does not answer: {}",
                self.kind,
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it takes connections, and answers: some do the one before the other.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return false;
        };
        if self.kind != Kind::Azurite {
            return true;
        }
        let asked =
            stream.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let mut begin = [0; 1];
        asked.is_ok() && stream.read(&mut begin).is_ok_and(|read| read > 0)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    fn make_bucket(&self) {
        let (status, answer) = match self.kind {
            // A directory is a bucket.
            Kind::Versity => return,
            Kind::Moto => self.ask("PUT", &format!("/{BUCKET}"), &[], ""),
            Kind::Gcs => {
                let bucket = format!("{{\"name\":\"{BUCKET}\"}}");
                let json = [("Content-Type", "application/json".to_owned())];
                self.ask("POST", "/storage/v1/b?project=p", &json, &bucket)
            }
            Kind::Azurite => {
                let path = format!("/{AZURE_ACCOUNT}/{BUCKET}?restype=container");
                let headers = azure_headers(
                    "PUT",
                    &format!("/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container"),
                );
                self.ask("PUT", &path, &headers, "")
            }
        };
        assert!((200..300).contains(&status), "{:?}: {answer}", self.kind);
    }

    /// One request, as plain as can be: status and answer.
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> (u16, String) {
        self.ask_bytes(method, path, headers, body.as_bytes())
    }

    /// The same with any body.
    pub(super) fn ask_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> (u16, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.port,
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        stream
            .write_all(&[format!("{head}\r\n").as_bytes(), body].concat())
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse().ok())
            .unwrap_or(0);
        (status, answer)
    }

    /// How the server is reached, through `port`, which may be that of something in between.
    pub(crate) fn options_through(&self, port: u16) -> StoreOptions {
        let mut options = StoreOptions::default();
        options.endpoint = Some(match self.kind {
            Kind::Azurite => format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}"),
            _ if self.is_encrypted => format!("https://127.0.0.1:{port}"),
            _ => format!("http://127.0.0.1:{port}"),
        });
        let settings: &[(&str, &str)] = match self.kind.service() {
            Service::S3 => &[
                ("AWS_ACCESS_KEY_ID", ACCESS),
                ("AWS_SECRET_ACCESS_KEY", SECRET),
            ],
            Service::Gcs => &[],
            Service::Azure => &[
                ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
            ],
        };
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        options.settings = Settings(settings.collect::<BTreeMap<_, _>>());
        options
    }

    /// The address of `prefix` in the bucket.
    pub(crate) fn address(&self, prefix: &str) -> Address {
        let scheme = self.kind.service().scheme();
        format!("{scheme}://{BUCKET}/{prefix}").parse().unwrap()
    }

    /// The store with `prefix`.
    pub(crate) fn store(&self, prefix: &str) -> RemoteStore {
        RemoteStore::new(self.address(prefix), &self.options_through(self.port)).unwrap()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not secrets: of servers that live for a test, and the one that Azurite documents.
pub(super) const ACCESS: &str = "narthex";
pub(super) const SECRET: &str = "narthex-secret";
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Where versitygw keeps metadata, as not all file systems have room for them beside files.
fn side(home: &Path) -> PathBuf {
    let side = home.join("side");
    std::fs::create_dir_all(&side).unwrap();
    side
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The headers of a request with an empty body, signed as Azure wants it ("Shared Key" of the
/// storage services' documentation).
fn azure_headers(method: &str, resource: &str) -> Vec<(&'static str, String)> {
    let date = jiff_date();
    let version = "2021-08-06";
    let signed = format!(
        "{method}\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    );
    let signature = base64(&hmac_sha256(&from_base64(AZURE_KEY), signed.as_bytes()));
    vec![
        ("x-ms-date", date),
        ("x-ms-version", version.to_owned()),
        (
            "Authorization",
            format!("SharedKey {AZURE_ACCOUNT}:{signature}"),
        ),
    ]
}

fn jiff_date() -> String {
    let now = Command::new("date")
        .args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output();
    String::from_utf8(now.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = narthex::repository::Hasher::default();
    hasher.update(bytes);
    let text = hasher.finish().to_string();
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// RFC 2104.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = sha256(&[&padded(0x36)[..], message].concat());
    sha256(&[&padded(0x5c)[..], &inner].concat())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                digit.into()
            } else {
                '='
            });
        }
    }
    text
}

fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|it| *it == digit).unwrap();
        word = word << 6 | u32::try_from(value).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits & 0xff) as u8);
        }
    }
    bytes
}

#[test]
fn signatures_are_made_as_the_standards_say() {
    assert_eq!(base64(b"Man"), "TWFu");
    assert_eq!(base64(b"M"), "TQ==");
    assert_eq!(from_base64("TWE="), b"Ma");
    // RFC 4231, test case 2.
    let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
}
