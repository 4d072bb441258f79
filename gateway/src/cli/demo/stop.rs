//! The word to stop: Ctrl-C, SIGTERM or a terminal that closes, from the demo's first moment.
//!
//! What was started is then ended and removed in the ordinary way, not here. A further signal
//! changes nothing: cleaning up takes some seconds at most, and half of it would leave a server.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::pipeline::Halt;

/// Whether the demo has been told to stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// From now on the signals end nothing by themselves.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> Result<Stop, Halt> {
        let failed =
            |error: std::io::Error| super::failed(&format!("cannot listen for signals: {error}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut interrupt, mut terminate, mut hang_up) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).map_err(failed);
            (
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            )
        };
        let (tell, told) = watch::channel(false);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                    }
                });
                tell.send_replace(true);
            })
            .map_err(failed)?;
        Ok(Stop(told))
    }

    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is told.
    pub async fn told(mut self) {
        if self.0.wait_for(|told| *told).await.is_err() {
            // The listening thread is gone without a word, so none will come.
            std::future::pending::<()>().await;
        }
    }
}
