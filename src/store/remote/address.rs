//! Addresses of object stores as they are typed, and clients made from them and the environment.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
};

use super::profile::Profile;
use super::wire::Wire;
use crate::error::{Error, Result};
use crate::store::StoreOptions;
use crate::store::name::is_component;

/// Longest prefix in bytes: S3 ends names at 1,024, and those of objects have up to 512.
const MAX_PREFIX_LEN: usize = 400;

/// How long nothing may arrive before a request is given up. There is no limit to how long a
/// request may take as a whole: large objects over slow lines take long.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The service that keeps objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Amazon S3, and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Service; 3] = [Service::S3, Service::Gcs, Service::Azure];

    /// What addresses begin with.
    pub fn scheme(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Gcs => "gs",
            Service::Azure => "az",
        }
    }

    /// Whose it is where no endpoint is named.
    pub(super) fn vendor(self) -> &'static str {
        match self {
            Service::S3 => "Amazon",
            Service::Gcs => "Google",
            Service::Azure => "Microsoft",
        }
    }

    /// What holds objects there.
    pub(super) fn container(self) -> &'static str {
        match self {
            Service::S3 | Service::Gcs => "bucket",
            Service::Azure => "container",
        }
    }
}

/// A place in an object store: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
/// `az://CONTAINER/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Who keeps the objects.
    pub service: Service,
    /// The bucket, or Azure's container.
    pub bucket: String,
    /// What all names begin with, without a slash at its ends; may be empty.
    pub prefix: String,
}

impl Address {
    /// Whether `text` begins as an address does.
    pub fn is_one(text: &str) -> bool {
        text.split_once("://")
            .is_some_and(|(scheme, _)| Service::ALL.iter().any(|it| it.scheme() == scheme))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |wanted: &str| Error::invalid(format!("expected {wanted}, found {text:?}"));
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("s3://BUCKET/PREFIX"))?;
        let service = Service::ALL.into_iter().find(|it| it.scheme() == scheme);
        let service = service.ok_or_else(|| invalid("s3://, gs:// or az://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let container = service.container();
        if !is_component(bucket) {
            return Err(invalid(&format!(
                "{scheme}:// with the name of a {container}"
            )));
        }
        let is_plain = prefix.is_empty() || prefix.split('/').all(is_component);
        if !is_plain || prefix.len() > MAX_PREFIX_LEN {
            return Err(invalid(&format!(
                "a prefix of at most {MAX_PREFIX_LEN} letters, digits, dots, dashes, underscores and slashes behind the {container}"
            )));
        }
        Ok(Address {
            service,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl StoreOptions {
    /// What is set under `name`, here or in the environment.
    fn setting(&self, name: &str) -> Option<String> {
        let own = self.settings.0.get(name).cloned();
        own.or_else(|| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The first of `names` that is set.
    fn first_set<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        let mut names = names.iter().copied();
        names.find(|name| self.setting(name).is_some())
    }

    /// The own settings that a client knows, which `parse` tells.
    fn keys<K: FromStr>(&self) -> impl Iterator<Item = (K, &String)> {
        let settings = self.settings.0.iter();
        settings.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
    }
}

/// One client, by what it can do.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub objects: Arc<dyn ObjectStore>,
    pub pages: Arc<dyn PageStore>,
    pub parts: Arc<dyn PartStore>,
    /// Of S3 only.
    pub signer: Option<Arc<dyn Signer>>,
    /// Where the credentials come from, for people.
    pub credentials: String,
    /// Whether nobody named credentials, so that those of the machine are asked for.
    pub is_by_identity: bool,
    /// The URL of the service, where it is not the vendor's own.
    pub endpoint: Option<String>,
}

/// [`PaginatedListStore`] that prints.
pub(super) trait PageStore: PaginatedListStore + fmt::Debug {}
impl<T: PaginatedListStore + fmt::Debug> PageStore for T {}

/// [`MultipartStore`] that prints.
pub(super) trait PartStore: MultipartStore + fmt::Debug {}
impl<T: MultipartStore + fmt::Debug> PartStore for T {}

impl Client {
    pub(super) fn new(address: &Address, options: &StoreOptions, wire: Wire) -> Result<Self> {
        // The one provider of cryptography in this program; whoever uses the library may have
        // installed another one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match address.service {
            Service::S3 => s3(address, options, wire),
            Service::Gcs => gcs(address, options, wire),
            Service::Azure => azure(address, options, wire),
        }
    }
}

fn s3(address: &Address, options: &StoreOptions, wire: Wire) -> Result<Client> {
    let mut builder = AmazonS3Builder::from_env();
    for (key, value) in options.keys() {
        builder = builder.with_config(key, value);
    }
    let has = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).is_some();
    let is_told = options.settings.0.contains_key("AWS_ACCESS_KEY_ID");
    let place = if is_told {
        "configuration"
    } else {
        "environment"
    };
    let mut credentials = format!("AWS_ACCESS_KEY_ID of the {place}");
    let from_environment = has(&builder, AmazonS3ConfigKey::AccessKeyId);
    let named = options.profile.is_some();
    if named || !from_environment {
        match Profile::read(options.profile.as_deref())? {
            Some(profile) => {
                if let Some(region) = &profile.region
                    && !has(&builder, AmazonS3ConfigKey::Region)
                {
                    builder = builder.with_region(region);
                }
                if let Some(endpoint) = &profile.endpoint
                    && !has(&builder, AmazonS3ConfigKey::Endpoint)
                {
                    builder = builder.with_endpoint(endpoint);
                }
                match profile.keys {
                    Some(keys) => {
                        credentials = format!("profile {} of {}", profile.name, profile.place);
                        builder = builder
                            .with_access_key_id(keys.id)
                            .with_secret_access_key(keys.secret);
                        if let Some(token) = keys.token {
                            builder = builder.with_token(token);
                        }
                    }
                    None => S3_IDENTITY.clone_into(&mut credentials),
                }
            }
            None => S3_IDENTITY.clone_into(&mut credentials),
        }
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let told = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let mut told = told.iter().filter_map(|key| builder.get_config_value(key));
    let endpoint = options.endpoint.clone().or_else(|| told.next());
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint, options, false)?;
        // The client library would prefer what the environment says under the first of these.
        builder = builder
            .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
            .with_endpoint(endpoint);
    }
    if !has(&builder, AmazonS3ConfigKey::Region) {
        builder = builder.with_region("us-east-1");
    }
    let client = builder
        .with_bucket_name(&address.bucket)
        .with_retry(retry())
        .with_client_options(client_options(options, endpoint.as_deref())?)
        .with_http_connector(wire)
        .build()
        .map_err(|e| misconfigured(address, &e))?;
    let client = Arc::new(client);
    Ok(Client {
        objects: Arc::clone(&client) as Arc<dyn ObjectStore>,
        pages: Arc::clone(&client) as Arc<dyn PageStore>,
        parts: Arc::clone(&client) as Arc<dyn PartStore>,
        signer: Some(client),
        is_by_identity: credentials == S3_IDENTITY,
        credentials,
        endpoint,
    })
}

/// Where S3's client looks when there are no keys.
const S3_IDENTITY: &str = "the identity of this machine (web identity, container, or instance metadata), as neither AWS_ACCESS_KEY_ID nor a \
     profile in ~/.aws/credentials is there";

/// Where Google's client looks when no credentials are named.
const GCS_IDENTITY: &str = "the application default credentials, or the identity of this machine, as GOOGLE_APPLICATION_CREDENTIALS is \
     not set";

/// Where Azure's client looks when no credentials are named.
const AZURE_IDENTITY: &str = "the identity of this machine (workload identity, or instance metadata), as neither AZURE_STORAGE_ACCOUNT_KEY \
     nor AZURE_STORAGE_SAS_TOKEN is set";

fn gcs(address: &Address, options: &StoreOptions, wire: Wire) -> Result<Client> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in options.keys() {
        builder = builder.with_config(key, value);
    }
    let named = options.first_set(&[
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ]);
    let credentials = source(named, GCS_IDENTITY);
    let mut is_by_identity = named.is_none();
    if let Some(endpoint) = &options.endpoint {
        check_endpoint(endpoint, options, false)?;
        builder = builder.with_base_url(endpoint);
        if is_loopback(endpoint) && named.is_none() {
            // The client library has an option for no signature, and does not heed it where it
            // writes.
            let nobody = GcpCredential {
                bearer: "nobody".to_owned(),
            };
            let nobody = StaticCredentialProvider::new(nobody);
            builder = builder.with_credentials(Arc::new(nobody));
            is_by_identity = false;
        }
    }
    let client = builder
        .with_bucket_name(&address.bucket)
        .with_retry(retry())
        .with_client_options(client_options(options, options.endpoint.as_deref())?)
        .with_http_connector(wire)
        .build()
        .map_err(|e| misconfigured(address, &e))?;
    let client = Arc::new(client);
    Ok(Client {
        objects: Arc::clone(&client) as Arc<dyn ObjectStore>,
        pages: Arc::clone(&client) as Arc<dyn PageStore>,
        parts: client,
        signer: None,
        is_by_identity,
        credentials,
        endpoint: options.endpoint.clone(),
    })
}

fn azure(address: &Address, options: &StoreOptions, wire: Wire) -> Result<Client> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in options.keys() {
        builder = builder.with_config(key, value);
    }
    let named = options.first_set(&[
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_CLIENT_SECRET",
    ]);
    let credentials = source(named, AZURE_IDENTITY);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let endpoint = options.endpoint.clone();
    let endpoint = endpoint.or_else(|| options.setting("AZURE_STORAGE_ENDPOINT"));
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint, options, true)?;
    }
    let client = builder
        .with_container_name(&address.bucket)
        .with_retry(retry())
        .with_client_options(client_options(options, endpoint.as_deref())?)
        .with_http_connector(wire)
        .build()
        .map_err(|e| misconfigured(address, &e))?;
    let client = Arc::new(client);
    Ok(Client {
        objects: Arc::clone(&client) as Arc<dyn ObjectStore>,
        pages: Arc::clone(&client) as Arc<dyn PageStore>,
        parts: client,
        signer: None,
        is_by_identity: named.is_none(),
        credentials,
        endpoint,
    })
}

/// Where credentials come from, for people.
fn source(named: Option<&str>, otherwise: &str) -> String {
    named.map_or_else(
        || otherwise.to_owned(),
        |name| format!("{name} of the environment"),
    )
}

fn misconfigured(address: &Address, error: &object_store::Error) -> Error {
    let text = error.to_string();
    let missing = MISSING.iter().find(|(said, _)| text.contains(said));
    match missing {
        Some((_, what)) => Error::invalid(format!("cannot use {address}: {what}")),
        None => Error::invalid(format!("cannot use {address}: {text}")),
    }
}

/// What the client library says is missing, and what a person calls it.
const MISSING: [(&str, &str); 3] = [
    (
        "Missing SecretAccessKey",
        "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY, which belongs to it, is not",
    ),
    (
        "Missing AccessKeyId",
        "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID, which belongs to it, is not",
    ),
    (
        "Account must be specified",
        "set AZURE_STORAGE_ACCOUNT_NAME to the name of the storage account",
    ),
];

/// Tries again for three minutes, after longer and longer waits of random length.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 12,
        retry_timeout: Duration::from_mins(3),
    }
}

pub(super) fn client_options(
    options: &StoreOptions,
    endpoint: Option<&str>,
) -> Result<ClientOptions> {
    let mut client = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(READ_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_user_agent(http::HeaderValue::from_static(concat!(
            "narthex/",
            env!("CARGO_PKG_VERSION")
        )));
    if allows_http(options) || endpoint.is_some_and(is_loopback) {
        client = client.with_allow_http(true);
    }
    if let Some(pem) = &options.ca {
        let certificates = Certificate::from_pem_bundle(pem)
            .map_err(|e| Error::invalid(format!("expected certificates in PEM: {e}")))?;
        if certificates.is_empty() {
            return Err(Error::invalid(
                "expected certificates in PEM, found none in the file of authorities",
            ));
        }
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// Whether somebody has allowed to speak to other machines without encryption.
fn allows_http(options: &StoreOptions) -> bool {
    let allowed = ["AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP"];
    allowed.iter().any(|name| {
        options
            .setting(name)
            .is_some_and(|value| value == "true" || value == "1")
    })
}

/// Refuses what is no URL of a service; `has_path`: it may have a path. What is refused is not
/// repeated: it may hold a password.
fn check_endpoint(endpoint: &str, options: &StoreOptions, has_path: bool) -> Result<()> {
    let wrong = |found: &str| {
        Err(Error::invalid(format!(
            "expected the endpoint of the service as https://HOST or https://HOST:PORT, found {found}"
        )))
    };
    let Ok(url) = endpoint.parse::<http::Uri>() else {
        return wrong("something else");
    };
    let Some(authority) = url.authority() else {
        return wrong("none of them: https:// is missing");
    };
    if authority.as_str().contains('@') {
        return wrong(
            "a name or a password before the host: credentials are in the environment or in a profile",
        );
    }
    if url.query().is_some() || !has_path && !["", "/"].contains(&url.path()) {
        return wrong(
            "more behind the host; bucket and prefix are in the address of the repository",
        );
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(endpoint) || allows_http(options) => Ok(()),
        Some("http") => Err(Error::invalid(
            "expected an endpoint with https://, found http://: only this machine is spoken to without encryption, unless AWS_ALLOW_HTTP=true (or \
             AZURE_ALLOW_HTTP, GOOGLE_ALLOW_HTTP) says otherwise",
        )),
        _ => wrong("another scheme"),
    }
}

/// Whether a URL leads to this machine, where nobody listens in.
fn is_loopback(url: &str) -> bool {
    let url = url.parse::<http::Uri>().ok();
    let authority = url.as_ref().and_then(http::Uri::authority);
    authority.is_some_and(|authority| {
        !authority.as_str().contains('@')
            && ["127.0.0.1", "localhost", "[::1]"].contains(&authority.host())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, bucket, prefix) in [
            ("s3://backups/prometheus/a", "backups", "prometheus/a"),
            ("gs://backups", "backups", ""),
            ("az://box/x", "box", "x"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((&*address.bucket, &*address.prefix), (bucket, prefix));
            assert_eq!(address.to_string(), text);
            assert!(Address::is_one(text));
        }
        let slashes: Address = "s3://b/x/".parse().unwrap();
        assert_eq!(slashes.to_string(), "s3://b/x");
    }

    #[test]
    fn what_could_leave_its_prefix_is_refused() {
        for text in [
            "s3://",
            "s3:///x",
            "s3://b/../x",
            "s3://b/x//y",
            "s3://b/x y",
            "ftp://b",
            "s3:b",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        assert!(is_loopback("http://127.0.0.1:9000"));
        assert!(is_loopback("http://localhost/x"));
        assert!(!is_loopback("http://localhost.example.org"));
        assert!(!is_loopback("http://10.0.0.1"));
        assert!(!is_loopback("http://localhost:x@10.0.0.1"));
        assert!(!is_loopback("http://localhost@10.0.0.1:9000"));
    }

    #[test]
    fn of_credentials_that_lack_a_half_the_half_is_named() {
        for (place, name, missing) in [
            ("s3://b", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ("s3://b", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            (
                "az://b",
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_ACCOUNT_NAME",
            ),
        ] {
            let mut options = StoreOptions::default();
            options
                .settings
                .0
                .insert(name.to_owned(), "geheim".to_owned());
            let refused = crate::store::remote::RemoteStore::new(place.parse().unwrap(), &options);
            let told = refused.unwrap_err().chain();
            assert!(told.contains(missing), "{told}");
            assert!(!told.contains("geheim"), "{told}");
        }
    }

    #[test]
    fn an_endpoint_is_a_url_of_a_service_and_is_not_repeated() {
        let options = StoreOptions::default();
        for good in [
            "https://s3.example.org",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000",
        ] {
            check_endpoint(good, &options, false).unwrap();
        }
        check_endpoint("http://127.0.0.1:10000/account", &options, true).unwrap();
        for bad in [
            "",
            "127.0.0.1:9000",
            "https://user:geheim@s3.example.org",
            "https://s3.example.org/geheim",
            "https://s3.example.org?x=geheim",
            "http://10.0.0.1:9000",
            "ftp://s3.example.org",
        ] {
            let refused = check_endpoint(bad, &options, false).unwrap_err();
            assert_eq!(refused.kind(), crate::ErrorKind::Invalid, "{bad}");
            assert!(!refused.chain().contains("geheim"), "{}", refused.chain());
        }
    }
}
