//! SIGINT and SIGTERM.

use tokio::task::JoinHandle;

use crate::app::Closing;
use crate::server::{ServeError, ServerHandle};

/// Ends a server by signals: the first drains it, the second stops it. `told` hears of each. Has to be called inside a
/// runtime.
///
/// # Errors
/// When signals can't be listened for.
pub fn obey(handle: ServerHandle, told: fn(Closing)) -> Result<JoinHandle<()>, ServeError> {
    let mut signals = Signals::listen()?;
    Ok(tokio::spawn(async move {
        signals.next().await;
        told(Closing::Draining);
        handle.drain();
        signals.next().await;
        told(Closing::Stopped);
        handle.stop();
    }))
}

/// The signals that end a program.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(ServeError::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(ServeError::Signals)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where there is only Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Self, ServeError> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
