//! From the response of a speech server to clips.

use futures_util::StreamExt;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use super::Pieces;
use super::sound::{self, Requested};
use crate::engines::core::EngineError;
use crate::engines::core::openai::Endpoint;

/// The clips of a successful response, in any format.
///
/// # Errors
/// As of [`sound::recognise`].
pub async fn any(
    endpoint: &Endpoint,
    response: Response,
    requested: Requested,
) -> Result<Pieces, EngineError> {
    let content_type = content_type(&response);
    recognise(endpoint, response, content_type.as_deref(), requested).await
}

/// The same of a vendor that answers in the requested format, and labels it as any kind of audio.
///
/// # Errors
/// As of [`sound::recognise`].
pub async fn stated(
    endpoint: &Endpoint,
    response: Response,
    requested: Requested,
) -> Result<Pieces, EngineError> {
    let content_type = content_type(&response).filter(|it| !it.starts_with("audio/"));
    recognise(endpoint, response, Some(content_type.as_deref().unwrap_or("audio/pcm")), requested).await
}

fn content_type(response: &Response) -> Option<String> {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_lowercase)
}

async fn recognise(
    endpoint: &Endpoint,
    response: Response,
    content_type: Option<&str>,
    requested: Requested,
) -> Result<Pieces, EngineError> {
    sound::recognise(content_type, requested, endpoint.body(response).boxed()).await
}
