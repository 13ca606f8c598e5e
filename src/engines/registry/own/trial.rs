//! One small request to an account's engine, as a call would make it.

use futures_util::StreamExt;

use super::{OwnAccount, OwnEngines};
use crate::audio::Clip;
use crate::engines::core::EngineError;
use crate::engines::core::retry::Kind;
use crate::engines::core::usage::Meter;
use crate::engines::llm::{Message, Prompt};
use crate::engines::realtime;
use crate::engines::stt::{Hints, recognise};
use crate::engines::tts::{self, Voice};

/// The longest reply of a trial, in tokens.
const TRIAL_TOKENS: u32 = 32;

impl OwnEngines {
    /// Sends one small request with the account's key, without fallbacks. The vendor may charge the tenant for it. The caller
    /// limits the time.
    ///
    /// # Errors
    /// The engine's; or the account cannot be used.
    pub async fn try_out(&self, account: &OwnAccount) -> Result<(), EngineError> {
        match account.kind {
            Kind::Stt => {
                let (engine, _) = self.build_stt(account, false).map_err(unusable)?;
                let sound: Vec<i16> = (0..2_400i16).map(|n| (n % 80 - 40) * 50).collect();
                let clip = Clip::new(8_000, sound);
                recognise(&*engine, clip, Hints::default(), Meter::default()).await.map(drop)
            }
            Kind::Llm => {
                let (engine, _) = self.build_llm(account, false).map_err(unusable)?;
                let mut deltas = engine.reply(question(), Meter::default()).await?;
                while let Some(delta) = deltas.next().await {
                    delta?;
                }
                Ok(())
            }
            Kind::Tts => {
                let (engine, _) = self.build_tts(account, false).map_err(unusable)?;
                tts::trial::run(&*engine, "Hello.", Voice::default()).await.map(drop)
            }
            Kind::Realtime => {
                let (engine, _) = self.build_realtime(account).map_err(unusable)?;
                realtime::trial::run(&engine).await.map(drop)
            }
        }
    }
}

fn question() -> Prompt {
    Prompt {
        system: "You answer the telephone. Answer in one word.".into(),
        messages: vec![Message::Caller("Can you hear me?".into())],
        max_tokens: Some(TRIAL_TOKENS),
        ..Prompt::default()
    }
}

fn unusable(violation: crate::violation::Violation) -> EngineError {
    EngineError::Permanent(violation.to_string())
}
