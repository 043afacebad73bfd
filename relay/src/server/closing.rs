//! The end that every task of a relay waits for.

use tokio::sync::watch;

/// Waits until the relay closes.
pub(super) async fn until(closed: &mut watch::Receiver<bool>) {
    // A relay that is gone is closed.
    let _ = closed.wait_for(|closed| *closed).await;
}
