//! `narthex init`: makes an empty repository.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::error::{ErrorKind, Result};
use crate::report::safe_line;
use crate::repository::Parts;

/// Where to make it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex init --repo /srv/backup/prometheus
  NARTHEX_REPO=/srv/backup/prometheus narthex init
  narthex init --repo s3://backups/prometheus --recipient age1… --admin admin.key
  narthex init --repo s3://backups/fleet --by-source

The directory is created; one that exists must be empty. narthex backup does this by itself, unless --no-create is given. Where a \
repository was before, none is made: its disk may not be mounted. --accept-repository says that it was given up.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Keep archives of each source apart, below a prefix of its own: for many servers in one
    /// repository. Give each backup its --source then
    #[arg(long)]
    by_source: bool,
    #[command(flatten)]
    state: StateArgs,
    #[cfg(feature = "encryption")]
    #[command(flatten)]
    keys: super::key::NewKeys,
    /// With --recipient: file with the administrator's key, which signs lists of keys, and which no
    /// host needs; made if it does not exist
    #[cfg(feature = "encryption")]
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::local_path())]
    admin: Option<std::path::PathBuf>,
}

/// Makes the repository, encrypted where that is asked for.
#[cfg(feature = "encryption")]
fn make(args: &Args, context: &Context<'_>) -> Result<Parts> {
    use crate::cli::keys::{keyring, load_signing, remember_made, untyped_recipients};
    use crate::crypt::sign::SigningKey;
    use crate::error::Error;
    let mut recipients = args.keys.recipients()?;
    if recipients.is_empty() {
        recipients = untyped_recipients(args.repo.location())?;
    }
    if recipients.is_empty() {
        if args.admin.is_some() || !args.keys.is_empty() {
            return Err(Error::invalid(
                "expected --recipient or --recipients-file, found none: who is to read what is encrypted?",
            ));
        }
        return plain(args);
    }
    let Some(path) = &args.admin else {
        return Err(Error::invalid(
            "expected --admin FILE with --recipient: the key that signs who may read and write; narthex init makes it, and no host needs it",
        ));
    };
    let is_new = !path.exists();
    let admin = if is_new {
        SigningKey::create(path, "narthex-admin")?
    } else {
        load_signing(path)?
    };
    if is_new {
        context.progress.remark(&format_args!(
            "made the administrator's key {} in {}: keep it, and copies of it, away from the hosts",
            admin.public().fingerprint(),
            path.display()
        ));
    }
    let keyring = keyring(args.repo.location(), &args.state, false, None)?;
    let parts = Parts::init_encrypted(
        args.repo.store()?,
        &admin,
        recipients,
        args.keys.signers()?,
        keyring,
        args.by_source,
    )?;
    remember_made(args.repo.location(), parts.root(), &args.state);
    Ok(parts)
}

/// Makes one that is not encrypted.
fn plain(args: &Args) -> Result<Parts> {
    let store = args.repo.store()?;
    if args.by_source {
        Parts::init_by_source(store)
    } else {
        Parts::init(store)
    }
}

/// Makes the repository.
#[cfg(not(feature = "encryption"))]
fn make(args: &Args, _context: &Context<'_>) -> Result<Parts> {
    plain(args)
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    if matches!(args.repo.open(), Err(error) if error.kind() == ErrorKind::NotFound) {
        args.state.refuse_vacant(args.repo.location())?;
    }
    let parts = make(args, context)?;
    let repository = parts.root();
    if let Some(reason) = args.state.remember(args.repo.location(), repository) {
        context.progress.remark(&reason);
    }
    super::backup::remark_on_store(repository, context);
    let (id, place) = (&repository.descriptor().id, repository.store().describe());
    if context.json {
        let by_source = parts.is_by_source();
        let admin = &repository.descriptor().admin;
        context.print_json(
            &json!({"id": id, "repository": place, "by_source": by_source, "admin": admin}),
        )?;
    } else {
        let place = safe_line(&place);
        let parts = if parts.is_by_source() {
            ", in parts, one for each source"
        } else {
            ""
        };
        context.print(format_args!("made repository {id} in {place}{parts}\n"))?;
    }
    Ok(Ending::Healthy)
}
