//! Judges by sound whether an utterance is over.

use std::time::Duration;

use super::positions::Positions;
use super::recent_audio::RecentAudio;
use crate::audio::Clip;
use crate::audio::pitch::Intonation;
use crate::call::Agent;
use crate::conversation::{At, EndJudge};
use crate::engines::end_of_turn::{EndOfTurn, Verdict, judge_intonation};

/// The part of a pause that the model hears.
const HEARD_PAUSE: Duration = Duration::from_millis(150);

/// The audio that the model hears, in seconds.
const HEARD_BY_MODEL: u32 = 8;

/// The audio in which the pitch is looked for, in seconds.
const HEARD_FOR_PITCH: u32 = 4;

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
        let seconds = if model.is_some() { HEARD_BY_MODEL } else { HEARD_FOR_PITCH };
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
        let (with_pause, speech) = (until(to.saturating_add(HEARD_PAUSE)), until(to));
        let (model, judges_pitch) = (self.model.clone(), self.judges_pitch);
        async move {
            match verdict(model, with_pause).await {
                Some(is_finished) => (!is_finished).then_some(EndJudge::Model),
                None if judges_pitch => {
                    let is_level = judge_intonation(speech).await == Intonation::Level;
                    is_level.then_some(EndJudge::Pitch)
                }
                None => None,
            }
        }
    }
}

/// Whether the model hears the end, if there is one that is not busy.
async fn verdict(model: Option<EndOfTurn>, audio: Clip) -> Option<bool> {
    match model?.judge(audio).await {
        Verdict::Finished => Some(true),
        Verdict::Unfinished => Some(false),
        Verdict::Busy | Verdict::Failed => None,
    }
}
