//! A request to the model reports its reply.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tasks::{EngineResult, RequestId};
use crate::engines::core::EngineError;
use crate::engines::llm::{Delta, Deltas};

/// Text that does not go on for this long pauses: several tokens of a usual model.
const TEXT_PAUSE: Duration = Duration::from_millis(80);

/// Reports a reply piece by piece, and the pauses of its text.
pub async fn report(
    deltas: Result<Deltas, EngineError>,
    request: RequestId,
    reports: &mpsc::Sender<EngineResult>,
) {
    let report = async |delta| reports.send(EngineResult::Reply { request, delta }).await.is_ok();
    let deltas = match deltas {
        Ok(deltas) => deltas.peekable(),
        Err(error) => {
            report(Some(Err(error))).await;
            return;
        }
    };
    let mut deltas = pin!(deltas);
    while let Some(delta) = deltas.next().await {
        let is_last = matches!(delta, Err(_) | Ok(Delta::End));
        let is_text = matches!(delta, Ok(Delta::Text(_)));
        if !report(Some(delta)).await {
            return;
        }
        if is_last {
            // The tokens are counted while the rest of the stream is read.
            while deltas.next().await.is_some() {}
            return;
        }
        if is_text && timeout(TEXT_PAUSE, deltas.as_mut().peek()).await.is_err() {
            // Without a receiver the call is over, and so is the next report.
            let _ = reports.send(EngineResult::ReplyPaused { request }).await;
        }
    }
    report(None).await;
}
