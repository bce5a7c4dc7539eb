//! The one runtime of this process, on which everything runs that speaks HTTP.

use std::future::Future;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Begins the runtime, unless it has begun: before any store is made that needs it.
///
/// # Errors
///
/// When the system gives no threads.
pub(super) fn begin() -> Result<()> {
    static BEGINNING: Mutex<()> = Mutex::new(());
    let _alone = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNTIME.get().is_none() {
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("narthex-net")
            .enable_all()
            .build();
        let made = made.map_err(|e| {
            Error::new(
                crate::ErrorKind::Io,
                "cannot begin the threads for the network",
            )
            .with_source(e)
        })?;
        let _ = RUNTIME.set(made);
    }
    Ok(())
}

/// Runs `future` on the runtime of this process, which has [begun](begin), while nobody waits.
pub(super) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    runtime().spawn(future)
}

/// Runs `future` on the threads of the runtime of this process, which has [begun](begin), and waits
/// for it.
pub(super) fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    match block_on(spawn(future)) {
        Ok(done) => done,
        // Nobody cancels it.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Waits for `future` on the runtime of this process, which has [begun](begin).
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

fn runtime() -> &'static Runtime {
    #[expect(
        clippy::expect_used,
        reason = "no store that comes here is made before the runtime has begun"
    )]
    RUNTIME.get().expect("a runtime that has begun")
}
