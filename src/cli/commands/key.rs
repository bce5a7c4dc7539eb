//! `narthex key`: keys of encrypted repositories: made, listed, added, taken off.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use crate::cli::args::{SourceArgs, local_path};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::keys::{load_signing, public_key, remember, untyped_recipients};
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::crypt::keys::{AllowedSigner, KeyDocument};
use crate::crypt::sign::{SignerKey, SigningKey};
use crate::crypt::{Identity, Recipient, Recipients};
use crate::error::{Error, ErrorKind, Result};
use crate::model::now;
use crate::report::keys::{KEYS, ListedKey};
use crate::report::safe_line;
use crate::report::{Extent, SheetOf as _};
use crate::repository::Repository;
use crate::repository::keyed::Memory;

/// What to do with keys.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  narthex key generate backup.key                   # whoever has this file reads the backups
  narthex key generate --signing host-a.key         # signs the archives of host-a
  narthex key list --repo s3://backups/prometheus
  narthex key add --admin admin.key --signer host-a.key.pub --source host-a --repo s3://backups/prometheus
  narthex key remove --admin admin.key --recipient age1… --repo s3://backups/prometheus")]
pub(crate) enum Args {
    /// Make a key, in a new file that only its user can read
    #[command(after_help = "\
Examples:
  narthex key generate backup.key
  narthex key generate --signing /etc/narthex/host.key

A key to read with is one of age, as age-keygen makes them: what is printed is its recipient, for narthex init --recipient. A key \
to sign with is one of SSH, as ssh-keygen -t ed25519 makes them: its public half is in FILE.pub.")]
    Generate {
        /// The file, which must not exist
        #[arg(value_parser = local_path())]
        file: PathBuf,
        /// A key to sign with, for a host or for the administrator
        #[arg(long)]
        signing: bool,
    },
    /// Make anew what a host remembers that cannot read, from its latest archive
    #[command(after_help = "\
Examples:
  narthex key memory /tmp/written --source host-a --identity backup.key --repo s3://backups/prometheus
  scp -rp /tmp/written host-a:/var/lib/narthex/

What a host without an identity has stored it knows from the directory `written` in its state directory. When that is lost, its next \
backup stores all blocks again; a machine that can read makes it anew, as a directory to be copied there.")]
    Memory(MemoryArgs),
    /// List whom a repository is encrypted to, and who may sign archives
    List(ListArgs),
    /// Encrypt what comes to more keys, or let more hosts sign
    Add(AddArgs),
    /// Encrypt what comes no more to keys, or let hosts sign no more
    Remove(ChangeArgs),
}

impl Args {
    /// Which repository, where one is meant.
    pub(crate) fn repository(&mut self) -> Option<&mut RepoArgs> {
        match self {
            Args::Generate { .. } => None,
            Args::List(args) => Some(&mut args.repo),
            Args::Memory(args) => Some(&mut args.repo),
            Args::Add(args) => Some(&mut args.change.repo),
            Args::Remove(args) => Some(&mut args.repo),
        }
    }
}

/// Which repository.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex key list --repo s3://backups/prometheus
  narthex key list --json | jq '.keys[] | select(.kind == \"signer\")'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    repo: RepoArgs,
}

/// Whose memory.
#[derive(Debug, clap::Args)]
pub(crate) struct MemoryArgs {
    /// Where to put it: a directory that does not exist, or is empty
    #[arg(value_parser = local_path())]
    dir: PathBuf,
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    sources: SourceArgs,
}

/// What is said of changes after their options.
const CHANGES: &str = "\
Examples:
  narthex key add --admin admin.key --recipient age1… --repo s3://backups/prometheus
  narthex key add --admin admin.key --signer host-a.key.pub --source host-a --repo s3://backups/prometheus
  narthex key add --admin admin.key --signer host-a.key.pub --source host-a --replace --repo s3://backups/prometheus
  narthex key remove --admin admin.key --signer host-a.key.pub --repo s3://backups/prometheus

A change is a new list of keys, signed by the administrator's key. --source adds to what a signer may sign; with --replace the sources \
that are named are all that it may. It holds for what is written from then on: whoever could read what is there still can, until narthex \
copy has written it anew for the keys that are left.";

/// What to change.
#[derive(Debug, clap::Args)]
#[command(after_help = CHANGES)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    keys: NewKeys,
    /// File with the administrator's key
    #[arg(long, value_name = "FILE", value_parser = local_path())]
    admin: PathBuf,
}

/// What to add.
#[derive(Debug, clap::Args)]
#[command(after_help = CHANGES)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Let these signers sign the sources that are named, and no others any more
    #[arg(long, requires = "sources")]
    replace: bool,
}

/// Keys that were typed.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NewKeys {
    /// Who can read: age1… or an SSH public key; can be repeated [init, key add: or in
    /// `NARTHEX_RECIPIENT`]
    #[arg(short, long, value_name = "KEY")]
    pub(crate) recipient: Vec<String>,
    /// File with recipients, one in each line [init, key add: or in `NARTHEX_RECIPIENTS_FILE`]
    #[arg(short = 'R', long, value_name = "FILE", value_parser = local_path())]
    pub(crate) recipients_file: Vec<PathBuf>,
    /// Who signs archives: an ssh-ed25519 public key, or the file that holds it; can be repeated
    #[arg(long, value_name = "KEY")]
    signer: Vec<String>,
    /// Which sources those may sign, by their names [default: all]
    #[arg(long = "source", value_name = "NAME", requires = "signer")]
    sources: Vec<String>,
}

impl NewKeys {
    /// Whether none was typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.recipient.is_empty() && self.recipients_file.is_empty() && self.signer.is_empty()
    }

    /// Those who read.
    pub(crate) fn recipients(&self) -> Result<Vec<Recipient>> {
        // Not parsed with the options: what is wrong may be a secret, and is not to be repeated.
        let typed = self.recipient.iter().map(|typed| typed.parse());
        let mut all = typed.collect::<Result<Vec<Recipient>>>()?;
        for path in &self.recipients_file {
            let read = Recipient::load(path)?;
            if read.is_empty() {
                return Err(Error::invalid(format!(
                    "expected recipients in {}, found none",
                    path.display()
                )));
            }
            all.extend(read);
        }
        Ok(all)
    }

    fn signer_keys(&self) -> Result<Vec<SignerKey>> {
        self.signer.iter().map(|typed| public_key(typed)).collect()
    }

    /// Those who sign, and which sources, by their names.
    pub(crate) fn signers(&self) -> Result<Vec<AllowedSigner>> {
        let sources = if self.sources.is_empty() {
            vec!["*".to_owned()]
        } else {
            self.sources.clone()
        };
        let keys = self.signer_keys()?.into_iter();
        Ok(keys
            .map(|key| AllowedSigner {
                key,
                sources: sources.clone(),
            })
            .collect())
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    match args {
        Args::Generate { file, signing } => {
            let (kind, public) = if *signing {
                let comment = file.file_stem().unwrap_or_default().to_string_lossy();
                let key = SigningKey::create(file, &comment)?;
                ("signer", key.public().to_string())
            } else {
                let key = Identity::create(file)?;
                ("recipient", key.to_string())
            };
            if context.json {
                context.print_json(&json!({"kind": kind, "public": public}))?;
            } else {
                context.print(format_args!("{public}\n"))?;
            }
            Ok(Ending::Healthy)
        }
        Args::Memory(args) => memory(args, context),
        Args::List(args) => list(args.repo.open()?.root(), context),
        Args::Add(args) if args.replace => change(&args.change, Change::Replace, context),
        Args::Add(args) => change(&args.change, Change::Add, context),
        Args::Remove(args) => change(args, Change::Remove, context),
    }
}

fn memory(args: &MemoryArgs, context: &mut Context<'_>) -> Result<Ending> {
    let filter = args.sources.filter();
    let repository = args.repo.open()?.holding("latest", &filter, now())?;
    let keys = repository
        .keys()
        .ok_or_else(|| not_encrypted(&repository))?;
    repository.need_to_read()?;
    let chosen = repository.find("latest", &filter, now())?;
    let memory = Memory::of(&args.dir, keys.scope())?;
    let dir = memory.dir();
    if !memory.is_empty()? {
        return Err(Error::refused(format!(
            "expected an empty directory, found something in {}",
            dir.display()
        )));
    }
    memory.recall(repository.store(), &chosen.archive)?;
    for remark in chosen.remarks() {
        context.progress.remark(&remark);
    }
    let id = chosen.archive.id.short();
    if context.json {
        context.print_json(&json!({"archive": chosen.archive.id, "directory": dir}))?;
    } else {
        context.print(format_args!(
            "{} is what the host remembers that made archive {id}\n",
            safe_line(&dir.display().to_string())
        ))?;
    }
    Ok(Ending::Healthy)
}

fn list(repository: &Repository, context: &mut Context<'_>) -> Result<Ending> {
    let keys = repository.keys().ok_or_else(|| not_encrypted(repository))?;
    let newest = keys.chain().newest();
    let recipients = newest.recipients.iter().map(|key| ListedKey {
        kind: "recipient",
        key: key.to_string(),
        sources: Vec::new(),
    });
    let signers = newest.signers.iter().map(|signer| ListedKey {
        kind: "signer",
        key: signer.key.to_string(),
        sources: signer.sources.clone(),
    });
    let listed: Vec<_> = recipients.chain(signers).collect();
    if context.json {
        let mut object = serde_json::Map::new();
        KEYS.add_to(&mut object, &listed, Extent::Document);
        object.insert("number".to_owned(), json!(newest.number));
        object.insert("admin".to_owned(), json!(repository.descriptor().admin));
        context.print_json(&Json::Object(object))?;
    } else {
        let view = &context.view;
        let text = view.of(&KEYS, &listed, Extent::All).text(view);
        context.print(format_args!("{text}\n"))?;
    }
    Ok(Ending::Healthy)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    /// What the keys may sign is what is said, and no more.
    Replace,
    Remove,
}

impl Change {
    /// Whether something may count for nothing afterwards that counted before.
    fn takes_away(self) -> bool {
        matches!(self, Change::Replace | Change::Remove)
    }
}

fn change(args: &ChangeArgs, change: Change, context: &mut Context<'_>) -> Result<Ending> {
    let is_untyped = args.keys.is_empty() && change == Change::Add;
    let typed = if is_untyped {
        untyped_recipients(args.repo.location())?
    } else {
        args.keys.recipients()?
    };
    if typed.is_empty() && args.keys.signer.is_empty() {
        return Err(Error::invalid(
            "expected --recipient, --recipients-file or --signer, found none of them",
        ));
    }
    let admin = load_signing(&args.admin)?;
    let parts = args.repo.open_to_change(&args.state)?;
    let repository = parts.root();
    let keys = repository.keys().ok_or_else(|| not_encrypted(repository))?;
    let believed = keys.admin();
    if believed != admin.public().fingerprint() {
        return Err(Error::refused(format!(
            "expected the administrator's key {believed} in {}, found {}: nobody would believe what it signs",
            args.admin.display(),
            admin.public().fingerprint()
        )));
    }
    let chain = keys.chain();
    let newest = chain.newest();
    let (mut recipients, mut signers) = (newest.recipients.clone(), newest.signers.clone());
    if is_untyped && typed.iter().all(|key| recipients.contains(key)) {
        return Err(Error::invalid(
            "expected --recipient, --recipients-file or --signer: the recipients of the environment and the configuration are in the list already",
        ));
    }
    match change {
        Change::Add | Change::Replace => {
            recipients.extend(typed.iter().cloned());
            for signer in args.keys.signers()? {
                if change == Change::Replace {
                    let before = signers.len();
                    signers.retain(|known| known.key != signer.key);
                    if signers.len() == before {
                        return Err(unknown("signer", &signer.key));
                    }
                }
                add_signer(&mut signers, signer.in_repository(&newest.repository));
            }
        }
        Change::Remove => {
            for recipient in &typed {
                let before = recipients.len();
                recipients.retain(|known| known != recipient);
                if recipients.len() == before {
                    return Err(unknown("recipient", recipient));
                }
            }
            for key in args.keys.signer_keys()? {
                let before = signers.len();
                signers.retain(|known| known.key != key);
                if signers.len() == before {
                    return Err(unknown("signer", &key));
                }
            }
            if signers.is_empty() && !newest.signers.is_empty() {
                return Err(Error::refused(
                    "expected a signer to be left, found none: whoever can write into the repository would be believed; add the new one first",
                ));
            }
        }
    }
    if change.takes_away() && !args.keys.signer.is_empty() {
        // What those keys have signed counts on, and what they sign from now on does not.
        let mut written = Ok(());
        for part in parts.all()? {
            if let Some(keys) = part.keys() {
                let witness = keys.write_witness(&admin, &BTreeSet::new(), now());
                written = written.and(witness.map(|_| ()));
            }
        }
        if let Err(error) = written {
            context.progress.remark(&format_args!(
                "no witness was written, so archives that these keys have signed since the last one, and may not sign any more, count for nothing from now on: {}",
                error.chain()
            ));
        }
    }
    let recipients = Recipients::new(recipients)?;
    let recipients: Vec<_> = recipients.iter().cloned().collect();
    let next = chain.next(now(), recipients, signers)?;
    publish(repository, &next, &admin)?;
    // What was seen is raised with it.
    let parts = args.repo.open_to_change(&args.state)?;
    let repository = parts.root();
    remember(args.repo.location(), repository, &args.state);
    if change != Change::Remove && !typed.is_empty() {
        context.progress.remark(&"blocks that are there already are not written again: the new keys read archives that name them only when narthex copy has written all anew");
    }
    if change == Change::Remove && !typed.is_empty() {
        context.progress.remark(&format_args!(
            "what is there can still be read with the keys that were taken off: narthex copy --re-encrypt writes it anew, into another repository, for those that are left"
        ));
    }
    list(repository, context)
}

fn publish(repository: &Repository, document: &KeyDocument, admin: &SigningKey) -> Result<()> {
    let name = document.object()?;
    let put = repository.stored().put(&name, &document.to_signed(admin)?);
    put.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::refused(format!(
            "somebody else has changed the keys meanwhile ({name}): look at narthex key list, and try again"
        )),
        _ => e,
    })
}

/// Lets a key sign more sources, or adds it.
fn add_signer(signers: &mut Vec<AllowedSigner>, new: AllowedSigner) {
    match signers.iter_mut().find(|known| known.key == new.key) {
        Some(known) => {
            known.sources.extend(new.sources);
            known.sources.sort_unstable();
            known.sources.dedup();
        }
        None => signers.push(new),
    }
}

fn unknown(kind: &str, key: &impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "expected a {kind} of this repository, found {key}: narthex key list says which there are"
    ))
}

fn not_encrypted(repository: &Repository) -> Error {
    Error::refused(format!(
        "the repository in {} is not encrypted, and stays so: narthex init --recipient makes one that is, and narthex copy brings its archives there",
        repository.store().describe()
    ))
}
