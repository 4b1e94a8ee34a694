//! SIGINT and SIGTERM: the first asks the daemon to go down, the second does not ask.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// How long going down may take; what is not durable by then was never acknowledged.
const GRACE: Duration = Duration::from_millis(9_500);
/// The exit code after a second signal, as a shell has it for SIGINT.
const INTERRUPTED: i32 = 130;

/// Resolves at the first signal.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!("told to stop; once more ends it at once");
        // The daemon may be on its way out already.
        let _ = tell.send(());
        let code = tokio::select! {
            () = either(&mut interrupt, &mut terminate) => INTERRUPTED,
            () = tokio::time::sleep(GRACE) => {
                tracing::error!("going down took too long; what was acknowledged is durable");
                1
            }
        };
        std::process::exit(code);
    });
    Ok(async {
        // The task lives as long as the process.
        let _ = told.await;
    })
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
