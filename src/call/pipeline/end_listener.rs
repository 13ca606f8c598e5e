//! Judges by sound whether an utterance is over.

use std::time::Duration;

use super::positions::Positions;
use super::recent_audio::RecentAudio;
use crate::audio::pitch::{self, Intonation};
use crate::call::Agent;
use crate::conversation::{At, EndJudge};
use crate::engines::end_of_turn::{EndOfTurn, Verdict, judge_intonation};

/// The part of a pause that the model hears.
const HEARD_PAUSE: Duration = Duration::from_millis(150);

/// The audio that the model hears, in seconds.
const HEARD_BY_MODEL: u32 = 8;

/// The caller's newest audio, and the judges of an agent.
pub struct EndListener {
    model: Option<EndOfTurn>,
    judges_pitch: bool,
    audio: RecentAudio,
}

impl EndListener {
    /// `None` for an agent that goes by the words alone. `end` is the position of the next sample, of `rate` a second.
    pub fn of(agent: &Agent, rate: u32, end: u64) -> Option<EndListener> {
        let (model, judges_pitch) = (agent.end_of_turn.clone(), agent.turn_settings.judges_pitch());
        let seconds = if model.is_some() { HEARD_BY_MODEL } else { pitch::LATEST_SECONDS };
        (model.is_some() || judges_pitch).then(|| EndListener {
            model,
            judges_pitch,
            audio: RecentAudio::new(rate, seconds, end),
        })
    }

    /// Adds the next samples of the caller.
    pub fn push(&mut self, samples: &[i16]) {
        self.audio.push(samples);
    }

    /// Judges the utterance from `from` to `to`, its pause: by the model, and by its pitch where there is no model or it is busy.
    /// Returns by which it sounds unfinished.
    pub fn judge(
        &self,
        positions: &Positions,
        from: At,
        to: At,
    ) -> impl Future<Output = Option<EndJudge>> + Send + use<> {
        let until = |end| self.audio.between(positions.of(from), positions.of(end));
        let for_model = self.model.clone().map(|model| (model, until(to.saturating_add(HEARD_PAUSE))));
        let for_pitch = self.judges_pitch.then(|| until(to));
        async move {
            if let Some((model, audio)) = for_model {
                match model.judge(audio).await {
                    Verdict::Finished => return None,
                    Verdict::Unfinished => return Some(EndJudge::Model),
                    Verdict::Busy | Verdict::Failed => {}
                }
            }
            let is_level = judge_intonation(for_pitch?).await == Intonation::Level;
            is_level.then_some(EndJudge::Pitch)
        }
    }
}
