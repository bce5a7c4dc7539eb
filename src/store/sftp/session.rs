//! One connection: a child process `ssh` whose standard input and output speak SFTP.
//!
//! Three threads belong to it. One writes what is queued, one reads answers and hands each to
//! whoever asked, one keeps the end of what ssh complains of. Whoever waits for an answer measures
//! the silence: when nothing has arrived for too long, ssh is killed, and all who wait are told.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::address::{COMMAND_VARIABLE, DEFAULT_COMMAND, SftpAddress, SftpOptions};
use super::failure::{Failure, of_ssh};
use super::packet::{
    Abilities, Answer, Attributes, Entry, Garbled, Handle, MAX_PACKET, Request, Status, VERSION,
    decode, decode_hello, hello,
};
use crate::store::traffic::Traffic;

/// How long making something durable may take: a disk that is full of other writes takes minutes.
/// Servers work on one request after another, so the others wait that long, too.
const DURABLE_WITHIN: Duration = Duration::from_mins(15);

/// What ssh is told besides the address. `NARTHEX_SSH` may say otherwise: ssh takes what it is told
/// first.
const SSH_OPTIONS: [&str; 8] = [
    // Nobody is there at night to type a password.
    "BatchMode=yes",
    // A line that is dead is known within a minute, also while the server works on something.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ConnectTimeout=30",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
];

/// Bytes of what ssh complains of that are kept: the last ones.
const MAX_COMPLAINTS: usize = 4 << 10;

/// How long ssh may take to end when its output has.
const END_WITHIN: Duration = Duration::from_secs(2);

/// How long what it complains of may take to arrive when it has ended.
const COMPLAIN_WITHIN: Duration = Duration::from_millis(200);

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Session {
    queue: Sender<Vec<u8>>,
    shared: Arc<Shared>,
    pub abilities: Abilities,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    child: Mutex<Child>,
    complaints: Mutex<Vec<u8>>,
    has_complained: AtomicBool,
    begun: Instant,
    /// When something arrived last, in milliseconds since the beginning.
    heard: AtomicU64,
    /// Requests on their way that may take [`DURABLE_WITHIN`].
    slow: AtomicUsize,
    answer_within: Duration,
    traffic: Arc<Traffic>,
}

/// Who waits for an answer.
#[derive(Debug, Default)]
struct Waiting {
    next: u32,
    senders: HashMap<u32, Sender<Answer>>,
    /// Why nobody gets one any more.
    ended: Option<End>,
}

/// How a connection has come to its end.
#[derive(Clone, Debug)]
enum End {
    /// It was lost: another one may fare better.
    Lost(String),
    /// The server does not speak the protocol.
    Garbled(String),
}

impl End {
    fn failure(&self) -> Failure {
        match self {
            End::Lost(why) => Failure::Lost(why.clone()),
            End::Garbled(why) => Failure::Garbled(why.clone()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that is expected.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    answer: Receiver<Answer>,
    sent: Instant,
    is_slow: bool,
}

impl Session {
    /// Starts ssh and greets the server.
    pub(super) fn connect(
        address: &SftpAddress,
        options: &SftpOptions,
        traffic: Arc<Traffic>,
    ) -> Result<Self, Failure> {
        let command = options.command();
        let shown = shown(&command);
        // The command is the user's own, as a shell reads it. What is added are arguments, which no
        // shell reads.
        let mut ssh = Command::new("sh");
        ssh.args(["-c", &script(&command), "sh"]);
        ssh.args(SSH_OPTIONS.iter().flat_map(|option| ["-o", option]));
        ssh.args(["-T", "-s"]);
        let mut arguments = address.arguments();
        let server = arguments.pop().unwrap_or_default();
        ssh.args(arguments).args(["--", &server, "sftp"]);
        let mut child = ssh
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What is typed at a terminal to stop narthex is not for ssh: what was begun on the
            // server is tidied up over it.
            .process_group(0)
            .spawn()
            .map_err(|e| Failure::Lost(format!("cannot run {shown}: {e}")))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(Failure::Lost(format!("{shown} has no pipes")));
        };
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            child: Mutex::new(child),
            complaints: Mutex::default(),
            has_complained: AtomicBool::new(false),
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            slow: AtomicUsize::new(0),
            answer_within: options.answer_within,
            traffic,
        });
        let (queue, queued) = mpsc::channel();
        let (greeting, greeted) = mpsc::channel();
        let begun = spawn("narthex-ssh-in", move || write(input, &queued))
            .and_then(|()| {
                let shared = Arc::clone(&shared);
                spawn("narthex-ssh-err", move || shared.keep_complaints(errors))
            })
            .and_then(|()| {
                let shared = Arc::clone(&shared);
                spawn("narthex-ssh-out", move || shared.read(output, &greeting))
            });
        if let Err(e) = begun {
            shared.kill();
            return Err(Failure::Lost(format!("cannot start a thread: {e}")));
        }
        let _ = queue.send(hello());
        let abilities = match greeted.recv_timeout(options.answer_within) {
            Ok(abilities) => abilities,
            Err(RecvTimeoutError::Timeout) => {
                shared.kill();
                let seconds = options.answer_within.as_secs();
                return Err(Failure::Lost(format!(
                    "no answer within {seconds} s of starting {shown}"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let end = lock(&shared.waiting).ended.clone();
                return Err(match end {
                    Some(End::Lost(why)) => of_ssh(address, &command, &unquoted(&why, &command)),
                    Some(end) => end.failure(),
                    None => Failure::Lost("the connection was closed".to_owned()),
                });
            }
        };
        let session = Session {
            queue,
            shared,
            abilities,
        };
        if abilities.version < VERSION {
            return Err(Failure::Garbled(format!(
                "expected version {VERSION} of SFTP, found {}",
                abilities.version
            )));
        }
        Ok(session)
    }

    /// Whether it still can be asked.
    pub(super) fn is_alive(&self) -> bool {
        lock(&self.shared.waiting).ended.is_none()
    }

    /// Asks, and does not wait.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Ticket, Failure> {
        let (sender, answer) = mpsc::channel();
        let mut waiting = lock(&self.shared.waiting);
        if let Some(end) = &waiting.ended {
            return Err(end.failure());
        }
        let id = waiting.next;
        waiting.next = id.wrapping_add(1);
        waiting.senders.insert(id, sender);
        drop(waiting);
        let is_slow = matches!(request, Request::Fsync(_));
        if is_slow {
            self.shared.slow.fetch_add(1, Ordering::Relaxed);
        }
        let packet = request.encode(id);
        let bytes = packet.len() as u64;
        self.shared.traffic.request(request.deed(), bytes);
        // When nobody takes it the connection is at its end, which whoever waits is told.
        let _ = self.queue.send(packet);
        Ok(Ticket {
            shared: Arc::clone(&self.shared),
            answer,
            sent: Instant::now(),
            is_slow,
        })
    }

    /// Asks for what has no answer but that it is done.
    pub(super) fn done(&self, request: &Request<'_>) -> Result<(), Failure> {
        self.send(request)?.done()
    }

    /// Opens a file or a directory.
    pub(super) fn open(&self, request: &Request<'_>) -> Result<Handle, Failure> {
        self.send(request)?.handle()
    }

    /// Asks what is known of a name or an open file.
    pub(super) fn stat(&self, request: &Request<'_>) -> Result<Attributes, Failure> {
        self.send(request)?.attributes()
    }

    /// Closes what was opened, and does not wait for it: nothing follows from the answer.
    pub(super) fn close(&self, handle: &[u8]) {
        let _ = self.send(&Request::Close(handle));
    }
}

impl Ticket {
    /// Waits for the answer.
    pub(super) fn wait(self) -> Result<Answer, Failure> {
        let shared = &self.shared;
        loop {
            let heard = Duration::from_millis(shared.heard.load(Ordering::Relaxed));
            let since = (shared.begun + heard).max(self.sent);
            let patience = if shared.slow.load(Ordering::Relaxed) > 0 {
                DURABLE_WITHIN.max(shared.answer_within)
            } else {
                shared.answer_within
            };
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                let why = format!("no answer for {} s", patience.as_secs());
                shared.end(End::Lost(why));
                shared.kill();
            }
            // Looked at again after a while, as others may have been answered, or become slow.
            let step = left.clamp(Duration::from_millis(1), Duration::from_secs(1));
            match self.answer.recv_timeout(step) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let end = lock(&shared.waiting).ended.clone();
                    return Err(end.map_or_else(
                        || Failure::Lost("the connection was closed".to_owned()),
                        |end| end.failure(),
                    ));
                }
            }
        }
    }

    /// Waits for word that it is done.
    pub(super) fn done(self) -> Result<(), Failure> {
        match self.wait()? {
            Answer::Status(Status::Done, _) => Ok(()),
            answer => Err(unexpected(answer)),
        }
    }

    pub(super) fn handle(self) -> Result<Handle, Failure> {
        match self.wait()? {
            Answer::Handle(handle) => Ok(handle),
            answer => Err(unexpected(answer)),
        }
    }

    pub(super) fn attributes(self) -> Result<Attributes, Failure> {
        match self.wait()? {
            Answer::Attributes(attributes) => Ok(attributes),
            answer => Err(unexpected(answer)),
        }
    }

    /// Bytes of a file; none at its end.
    pub(super) fn data(self) -> Result<Vec<u8>, Failure> {
        match self.wait()? {
            Answer::Data(data) => Ok(data),
            Answer::Status(Status::End, _) => Ok(Vec::new()),
            answer => Err(unexpected(answer)),
        }
    }

    /// The next names of a directory; none at its end.
    pub(super) fn names(self) -> Result<Vec<Entry>, Failure> {
        match self.wait()? {
            // An empty list would be asked for again for ever.
            Answer::Names(names) if !names.is_empty() => Ok(names),
            Answer::Names(_) => Err(Failure::Garbled("a list of no names".to_owned())),
            Answer::Status(Status::End, _) => Ok(Vec::new()),
            answer => Err(unexpected(answer)),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_slow {
            self.shared.slow.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the command is called in errors: it may hold a password or a token.
fn shown(command: &str) -> &str {
    if command == DEFAULT_COMMAND {
        command
    } else {
        COMMAND_VARIABLE
    }
}

/// What the shell runs.
fn script(command: &str) -> String {
    format!("exec {command} \"$@\"")
}

/// A complaint without the command: some shells quote what they cannot read.
fn unquoted(why: &str, command: &str) -> String {
    why.replace(&script(command), &script(shown(command)))
}

fn unexpected(answer: Answer) -> Failure {
    match answer {
        Answer::Status(Status::Done, _) => {
            Failure::Garbled("a success without its result".to_owned())
        }
        Answer::Status(status, text) => Failure::Status(status, text),
        Answer::Handle(_)
        | Answer::Data(_)
        | Answer::Names(_)
        | Answer::Attributes(_)
        | Answer::Other(_) => Failure::Garbled("an answer to another request".to_owned()),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}

/// Writes what is queued until nobody queues any more, then lets ssh see the end.
fn write(mut input: ChildStdin, queued: &Receiver<Vec<u8>>) {
    while let Ok(packet) = queued.recv() {
        // The reader sees the end as well, and says it.
        if input.write_all(&packet).is_err() {
            return;
        }
    }
}

/// Notes when something is read.
struct Heard<'s>(ChildStdout, &'s Shared);

impl Read for Heard<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buffer)?;
        let since = u64::try_from(self.1.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.1.heard.store(since, Ordering::Relaxed);
        self.1.traffic.received(len as u64);
        Ok(len)
    }
}

impl Shared {
    /// Hands out answers until there are none any more.
    fn read(&self, output: ChildStdout, greeting: &Sender<Abilities>) {
        let mut output = BufReader::with_capacity(64 << 10, Heard(output, self));
        if let Err(garbled) = self.read_all(&mut output, greeting) {
            self.end(garbled);
            self.kill();
        }
        self.wait_for_end();
        self.end(End::Lost(self.complaint()));
    }

    fn read_all(&self, output: &mut impl Read, greeting: &Sender<Abilities>) -> Result<(), End> {
        let garbled =
            |found: Garbled| End::Garbled(format!("expected {}, found something else", found.0));
        let mut is_greeted = false;
        while let Some(len) = read_len(output) {
            let size = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
            if size > MAX_PACKET {
                return Err(if is_greeted {
                    End::Garbled(format!("a packet of {size} bytes"))
                } else {
                    End::Garbled(shell_talk(len, output))
                });
            }
            let mut packet = vec![0; size];
            if output.read_exact(&mut packet).is_err() {
                return Ok(());
            }
            if !is_greeted {
                let abilities = decode_hello(&packet).map_err(garbled)?;
                is_greeted = true;
                let _ = greeting.send(abilities);
                continue;
            }
            let (id, answer) = decode(&packet).map_err(garbled)?;
            match lock(&self.waiting).senders.remove(&id) {
                // Nobody waits for what follows from nothing, such as a close.
                Some(sender) => drop(sender.send(answer)),
                None => return Err(End::Garbled("an answer that nobody asked for".to_owned())),
            }
        }
        Ok(())
    }

    /// Keeps the end of what ssh and the server's shell say.
    fn keep_complaints(&self, mut errors: ChildStderr) {
        let mut buffer = [0; 1024];
        while let Ok(len @ 1..) = errors.read(&mut buffer) {
            let mut complaints = lock(&self.complaints);
            complaints.extend(buffer.get(..len).unwrap_or_default());
            let surplus = complaints.len().saturating_sub(MAX_COMPLAINTS);
            complaints.drain(..surplus);
        }
        self.has_complained.store(true, Ordering::Release);
    }

    /// What ssh has complained of, on one line.
    fn complaint(&self) -> String {
        let complaints = lock(&self.complaints);
        let text = String::from_utf8_lossy(&complaints);
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.replace(char::is_control, " ").trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            "the connection was closed".to_owned()
        } else {
            lines.join("; ")
        }
    }

    /// Waits until ssh has ended and said why, and kills it if it does not.
    fn wait_for_end(&self) {
        let begin = Instant::now();
        let pause = Duration::from_millis(10);
        let mut ended: Option<Instant> = None;
        while begin.elapsed() < END_WITHIN {
            if ended.is_none() && !matches!(lock(&self.child).try_wait(), Ok(None)) {
                ended = Some(Instant::now());
            }
            if let Some(ended) = ended {
                // A connection that others share keeps the pipe of complaints open.
                let is_late = ended.elapsed() > COMPLAIN_WITHIN;
                if is_late || self.has_complained.load(Ordering::Acquire) {
                    return;
                }
            }
            thread::sleep(pause);
        }
        self.kill();
        let _ = lock(&self.child).wait();
    }

    /// Tells all who wait. Only the first reason counts.
    fn end(&self, end: End) {
        let mut waiting = lock(&self.waiting);
        waiting.ended.get_or_insert(end);
        waiting.senders.clear();
    }

    fn kill(&self) {
        let _ = lock(&self.child).kill();
    }
}

/// The length in front of a packet; `None` at the end.
fn read_len(output: &mut impl Read) -> Option<[u8; 4]> {
    let mut len = [0; 4];
    output.read_exact(&mut len).ok()?;
    Some(len)
}

/// What arrived in the place of the first packet: a shell's start-up files that print something.
fn shell_talk(begin: [u8; 4], output: &mut impl Read) -> String {
    let mut text = begin.to_vec();
    let mut rest = [0; 200];
    if let Ok(len) = output.read(&mut rest) {
        text.extend(rest.get(..len).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&text).replace(char::is_control, " ");
    format!(
        "expected SFTP, found {text:?}: start-up files of the shell there must print nothing unless it is interactive"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_not_shown_in_errors() {
        let address = "sftp://h/x".parse().unwrap();
        for (command, expected) in [
            ("no-such-ssh --token=s3cret", "install ssh"),
            ("sh -c 'exec sleep 30' s3cret", "of starting NARTHEX_SSH"),
        ] {
            let options = SftpOptions {
                command: Some(command.to_owned()),
                answer_within: Duration::from_millis(300),
                ..SftpOptions::default()
            };
            let failure = Session::connect(&address, &options, Arc::default()).unwrap_err();
            let told = failure.error("list objects", &address).chain();
            assert!(told.contains(expected), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        let of_bash = "sh: -c: line 1: syntax error near unexpected token `('; sh: -c: line 1: `exec ssh (s3cret) \"$@\"'";
        assert!(!unquoted(of_bash, "ssh (s3cret)").contains("s3cret"));
        assert_eq!(shown("ssh"), "ssh");
    }
}
