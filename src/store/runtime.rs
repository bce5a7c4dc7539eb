//! The one runtime of this process, on which everything runs that speaks HTTP.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// Waits for `future` on the runtime of this process.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    #[expect(
        clippy::expect_used,
        reason = "without threads there is nothing that could be done instead"
    )]
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("narthex-net")
            .enable_all()
            .build()
            .expect("threads for the network")
    });
    runtime.block_on(future)
}
