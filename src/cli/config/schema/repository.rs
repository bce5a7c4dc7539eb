//! The keys of repositories.

use super::{Kind, Section, key};

/// Keys of `[repository.NAME]`.
pub(crate) static REPOSITORY: Section = Section {
    heading: "`[repository.NAME]`",
    keys: &[
        key(
            "url",
            Kind::Place,
            "Where it is: all that `--repo` takes. A directory is an absolute path.",
        ),
        key(
            "endpoint",
            Kind::Text,
            "Where the service is, if not at the vendor.",
        )
        .option("--endpoint")
        .variables(&[
            "NARTHEX_ENDPOINT",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT",
            "AZURE_STORAGE_ENDPOINT",
        ]),
        key("region", Kind::Text, "Region of the bucket.")
            .option("--region")
            .variables(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
        key(
            "profile",
            Kind::Text,
            "Profile of `~/.aws/credentials` and `~/.aws/config`.",
        )
        .option("--profile")
        .variables(&["AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
        key(
            "ca-file",
            Kind::Path,
            "Certificates (PEM) of authorities to believe, beside those of the system.",
        )
        .option("--ca-file"),
        key(
            "limit-upload",
            Kind::Rate,
            "Most bytes that are sent in a second.",
        )
        .option("--limit-upload"),
        key(
            "limit-download",
            Kind::Rate,
            "Most bytes that are received in a second.",
        )
        .option("--limit-download"),
        key("limit-requests", Kind::Count, "Most requests in a second.").option("--limit-requests"),
        key(
            "access-key-id",
            Kind::Text,
            "`s3://`: the name of the access key, which is no secret.",
        )
        .option("--profile")
        .variables(AWS),
        key("access-key-id-file", Kind::Path, "The same, in a file.")
            .option("--profile")
            .variables(AWS),
        key(
            "access-key-id-command",
            Kind::Command,
            "The same, printed by a program.",
        )
        .option("--profile")
        .variables(AWS),
        key(
            "secret-access-key-file",
            Kind::Path,
            "`s3://`: the file that holds the secret access key, and nothing else.",
        )
        .option("--profile")
        .variables(AWS),
        key(
            "secret-access-key-command",
            Kind::Command,
            "The program that prints it.",
        )
        .option("--profile")
        .variables(AWS),
        key(
            "session-token-file",
            Kind::Path,
            "`s3://`: the file that holds the session token of temporary keys.",
        )
        .option("--profile")
        .variables(AWS),
        key(
            "session-token-command",
            Kind::Command,
            "The program that prints it.",
        )
        .option("--profile")
        .variables(AWS),
        key("account", Kind::Text, "`az://`: the storage account.")
            .variables(&["AZURE_STORAGE_ACCOUNT_NAME"]),
        key(
            "account-key-file",
            Kind::Path,
            "`az://`: the file that holds the key of the account.",
        )
        .variables(AZURE),
        key(
            "account-key-command",
            Kind::Command,
            "The program that prints it.",
        )
        .variables(AZURE),
        key(
            "sas-token-file",
            Kind::Path,
            "`az://`: the file that holds a shared access signature.",
        )
        .variables(AZURE),
        key(
            "sas-token-command",
            Kind::Command,
            "The program that prints it.",
        )
        .variables(AZURE),
        key(
            "service-account-file",
            Kind::Path,
            "`gs://`: the file with the key of a service account, as Google gives it (JSON).",
        )
        .variables(GOOGLE),
        key(
            "identity-file",
            Kind::Path,
            "Encryption: the file with the keys that read the repository (of age, or an SSH private key).",
        ),
        key(
            "identity-command",
            Kind::Command,
            "The program that prints them.",
        ),
        key(
            "recipients",
            Kind::List,
            "Encryption: to whom what is written is encrypted: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`.",
        ),
        key(
            "recipients-file",
            Kind::Path,
            "The same, one on each line of a file.",
        ),
        key(
            "signing-key-file",
            Kind::Path,
            "The file with the SSH private key that signs archives.",
        ),
        key(
            "signing-key-command",
            Kind::Command,
            "The program that prints it.",
        ),
        key(
            "lock",
            Kind::Duration,
            "`s3://`: for how long what a backup needs is locked; nobody can delete it until then (docs/locks.md).",
        )
        .option("--lock"),
        key(
            "lock-mode",
            Kind::Text,
            "Who can take locks off: nobody (`\"compliance\"`), or whoever may bypass them (`\"governance\"`).",
        )
        .option("--lock-mode"),
        key(
            "prices",
            Kind::Section,
            "The section `[repository.NAME.prices]`.",
        ),
    ],
    later: &[
        ("copy-to", "copying archives to other repositories"),
    ],
};

/// Credentials in the environment: any of them, and none of the file's is used.
/// Half a set of them would otherwise be mixed with the other half of the file.
pub(crate) const AWS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
];
pub(crate) const AZURE: &[&str] = &[
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
];
pub(crate) const GOOGLE: &[&str] = &[
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// Keys of `[repository.NAME.prices]`.
pub(crate) static PRICES: Section = Section {
    heading: "`[repository.NAME.prices]`",
    keys: &[
        key("currency", Kind::Text, "What the prices are in: `\"USD\"`."),
        key(
            "per-1000-put",
            Kind::Amount,
            "Price of 1,000 requests that write or list (`PUT`, `POST`, `LIST`).",
        ),
        key(
            "per-1000-get",
            Kind::Amount,
            "Price of 1,000 requests that read (`GET`, `HEAD`). Deleting is free.",
        ),
        key(
            "per-gb-out",
            Kind::Amount,
            "Price of a gigabyte (1,000,000,000 bytes) that the service sends.",
        ),
        key(
            "per-gb-month",
            Kind::Amount,
            "Price of a gigabyte that is kept for a month.",
        ),
    ],
    later: &[],
};
