//! A real `sshd` on a port of this machine, and `sftp-server` without one, for as long as the
//! values live.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use narthex::store::sftp::{SftpOptions, SftpStore};

use super::servers::free_port;
use crate::e2e::tools::skip;

/// How long a server may take to begin on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The first of `places` that is there, or `None` after saying that the running test is skipped.
fn program(places: &[&str]) -> Option<PathBuf> {
    let found = places.iter().map(PathBuf::from).find(|it| it.is_file());
    if found.is_none() {
        skip(&format!(
            "no {} (apt-get install openssh-server)",
            places[0]
        ));
    }
    found
}

/// A server at work; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Sshd {
    process: Child,
    pub(crate) port: u16,
    /// Holds keys, configuration, what the server says, and what it keeps.
    pub(crate) home: tempfile::TempDir,
}

impl Sshd {
    /// Starts one, or says that the running test is skipped.
    pub(crate) fn start_or_skip() -> Option<Self> {
        let sshd = program(&["/usr/sbin/sshd", "/usr/local/sbin/sshd"])?;
        program(&["/usr/bin/ssh", "/usr/local/bin/ssh"])?;
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        for key in ["host", "client", "stranger"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(dir.join(key))
                .status();
            assert!(made.unwrap().success());
        }
        fs::copy(dir.join("client.pub"), dir.join("authorized_keys")).unwrap();
        fs::create_dir(dir.join("data")).unwrap();
        // Where it gives up rights it does so in a directory that a package makes at boot.
        let _ = fs::create_dir_all("/run/sshd");
        let port = free_port();
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nMaxStartups 100\nSubsystem sftp internal-sftp\n",
            at("host"),
            at("authorized_keys")
        );
        fs::write(dir.join("sshd_config"), config).unwrap();
        let public = fs::read_to_string(dir.join("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {public}");
        fs::write(dir.join("known_hosts"), known).unwrap();
        for (name, key, known) in [
            ("ssh_config", "client", "known_hosts"),
            ("as_stranger", "stranger", "known_hosts"),
            ("unknown_host", "client", "nothing_known"),
        ] {
            let config = format!(
                "Host *\nIdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {}\n\
                 GlobalKnownHostsFile none\nStrictHostKeyChecking yes\n",
                at(key),
                at(known)
            );
            fs::write(dir.join(name), config).unwrap();
        }
        let log = fs::File::create(dir.join("log")).unwrap();
        let process = Command::new(sshd)
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Sshd {
            process,
            port,
            home,
        };
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let log = fs::read_to_string(server.home.path().join("log")).unwrap();
            assert!(begin.elapsed() < PATIENCE, "sshd does not answer: {log}");
            thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// The address of a directory of the server.
    pub(crate) fn address(&self, name: &str) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let dir = self.home.path().join("data").join(name);
        format!(
            "sftp://{}@127.0.0.1:{}{}",
            user.trim(),
            self.port,
            dir.display()
        )
    }

    /// The command that reaches it as the configuration `name` says.
    pub(crate) fn command(&self, name: &str) -> String {
        format!("ssh -F {}", self.home.path().join(name).display())
    }

    pub(crate) fn store(&self, name: &str) -> SftpStore {
        store(&self.address(name), &self.command("ssh_config"))
    }

    /// Ends it, and all connections with it.
    pub(crate) fn stop(&mut self) {
        let parent = self.process.id().to_string();
        // Its children serve the connections.
        let killed = Command::new("pkill")
            .args(["-KILL", "-P", &parent])
            .status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        // 1 when there are none.
        let is_done = killed
            .as_ref()
            .is_ok_and(|it| matches!(it.code(), Some(0 | 1)));
        // A test that has failed already says why.
        assert!(
            is_done || thread::panicking(),
            "expected pkill (apt-get install procps) to end the connections, found {killed:?}"
        );
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A store that is reached by `command`, with little patience.
pub(crate) fn store(address: &str, command: &str) -> SftpStore {
    let mut options = SftpOptions::default();
    options.command = Some(command.to_owned());
    options.answer_within = Duration::from_secs(20);
    options.first_wait = Duration::from_millis(50);
    SftpStore::new(address.parse().unwrap(), options)
}

/// The program that `sshd` starts for each connection, run directly: as fast as a disk.
pub(crate) fn sftp_server_or_skip() -> Option<PathBuf> {
    program(&[
        "/usr/lib/openssh/sftp-server",
        "/usr/libexec/openssh/sftp-server",
        "/usr/lib/ssh/sftp-server",
        "/usr/libexec/sftp-server",
    ])
}

/// Writes the script `text` to `path`: a command in the place of ssh, whose arguments it ignores.
pub(crate) fn script(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}
