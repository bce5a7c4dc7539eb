//! Programs that tests hold narthex against, and what these tests share.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use narthex::crypt::{Identities, Identity, Recipients, encrypt};

/// A program on the path.
pub(crate) struct Program(PathBuf);

impl Program {
    /// `name`, or `None` after saying that the running test is skipped. `package` is where Debian
    /// has it.
    pub(crate) fn find_or_skip(name: &str, package: &str) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|candidate| candidate.is_file());
        if found.is_none() {
            let missing = format!("no {name} on the PATH (apt-get install {package})");
            let demanded = env::var_os("NARTHEX_REQUIRE_E2E").is_some_and(|value| value == "1");
            assert!(!demanded, "NARTHEX_REQUIRE_E2E=1, but {missing}");
            let thread = std::thread::current();
            // The test harness swallows what the print macros say, but not this.
            let test = thread.name().unwrap_or("a test");
            let _ = writeln!(io::stderr(), "SKIPPED: {test}: {missing}");
        }
        found.map(Program)
    }

    /// What it writes to standard output, or to standard error if it fails.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // One that fails early does not read all of it.
            scope.spawn(move || stdin.write_all(input).is_ok());
            child.wait_with_output().unwrap()
        });
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// `age`.
pub(crate) fn age() -> Option<Program> {
    Program::find_or_skip("age", "age")
}

/// `ssh-keygen`.
pub(crate) fn ssh_keygen() -> Option<Program> {
    Program::find_or_skip("ssh-keygen", "openssh-client")
}

/// A new SSH key of `kind` in `dir`, without a passphrase unless there is one.
pub(crate) fn ssh_key(dir: &Path, kind: &str, passphrase: &str) -> Option<PathBuf> {
    let file = dir.join(format!("id_{kind}{}", passphrase.len()));
    let path = file.to_str().unwrap();
    let arguments = ["-q", "-t", kind, "-N", passphrase, "-C", "a@b", "-f", path];
    ssh_keygen()?.run(arguments, b"").unwrap();
    Some(file)
}

/// A new identity, and its recipient.
pub(crate) fn pair() -> (Identities, Recipients) {
    let identities = Identities::new([Identity::generate()]).unwrap();
    let recipients = Recipients::new(identities.recipients()).unwrap();
    (identities, recipients)
}

/// `plain`, encrypted.
pub(crate) fn sealed(plain: &[u8], recipients: &Recipients) -> Vec<u8> {
    let mut encrypting = encrypt(Vec::new(), recipients).unwrap();
    encrypting.write_all(plain).unwrap();
    encrypting.finish().unwrap()
}

/// Bytes that are not like each other.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
