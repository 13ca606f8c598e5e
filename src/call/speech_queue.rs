//! The agent's voice: utterances in order, synthesised ahead, fed to the media thread piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::agent::Agent;
use super::phrases::Fitting;
use super::prompt_cache::PromptCache;
use super::tasks::{CallTasks, Sound, TaskResult};
use crate::conversation::{Phrase, Say, SpeechId, TurnId};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::tts::Pieces;
use crate::media::{Port, SpeechTag};

/// Utterances that are synthesised at once: the one that is due, and the next.
const AHEAD: usize = 2;

pub struct SpeechQueue {
    agent: Arc<Agent>,
    prompts: Arc<PromptCache>,
    /// Pre-synthesised prompts are not counted here: they were not synthesised for this call.
    meter: Meter,
    rate: u32,
    /// In the order in which they are heard.
    queue: VecDeque<QueuedSpeech>,
    /// Fed to the media thread entirely, but not heard to the end yet.
    fed: VecDeque<(SpeechId, TurnId, Duration)>,
}

struct QueuedSpeech {
    speech: SpeechId,
    turn: TurnId,
    text: Arc<str>,
    held: bool,
    state: SpeechState,
    samples: VecDeque<Arc<[i16]>>,
    /// Samples so far.
    length: u64,
    /// Some of it was fed to the media thread.
    begun: bool,
}

#[derive(PartialEq)]
enum SpeechState {
    Waiting,
    Synthesising,
    Complete,
}

impl SpeechQueue {
    pub fn new(agent: Arc<Agent>, prompts: Arc<PromptCache>, meter: Meter, rate: u32) -> SpeechQueue {
        SpeechQueue { agent, prompts, meter, rate, queue: VecDeque::new(), fed: VecDeque::new() }
    }

    /// Takes an utterance behind all others, or ahead of what has not begun when it is a filler. A filler that
    /// is not cached is left out, and false returned: synthesising it would delay the reply that it is meant to cover.
    pub fn say(
        &mut self,
        speech: SpeechId,
        turn: TurnId,
        what: &Say,
        held: bool,
        tasks: &mut CallTasks,
    ) -> bool {
        let text: Arc<str> = match what {
            Say::Text(text) => text.as_str().into(),
            Say::Phrase(phrase) => self.agent.phrases.get(phrase).cloned().unwrap_or_default(),
        };
        let is_filler = *what == Say::Phrase(Phrase::Filler);
        let tts = &*self.agent.engines.tts;
        if is_filler && self.prompts.find(tts, &self.agent.voice, &text, self.rate).is_none() {
            return false;
        }
        let utterance = QueuedSpeech {
            speech,
            turn,
            text,
            held,
            state: SpeechState::Waiting,
            samples: VecDeque::new(),
            length: 0,
            begun: false,
        };
        let begun = self.queue.iter().take_while(|utterance| utterance.begun).count();
        let place = if is_filler { begun } else { self.queue.len() };
        self.queue.insert(place, utterance);
        self.start_synthesis(tasks);
        true
    }

    /// The turn that an utterance is of, until it was heard to the end.
    pub fn turn_of(&self, speech: SpeechId) -> Option<TurnId> {
        let queued = self.queue.iter().map(|utterance| (utterance.speech, utterance.turn));
        let fed = self.fed.iter().map(|(speech, turn, _)| (*speech, *turn));
        queued.chain(fed).find(|(it, _)| *it == speech).map(|(_, turn)| turn)
    }

    pub fn release(&mut self, turn: TurnId) {
        self.queue.iter_mut().filter(|utterance| utterance.turn == turn).for_each(|u| u.held = false);
    }

    /// Drops what is not heard yet of a turn. True when some of it is with the media thread already.
    pub fn cancel(&mut self, turn: TurnId) -> bool {
        let fed = self.fed.iter().any(|(_, of, _)| *of == turn)
            || self.queue.iter().any(|utterance| utterance.turn == turn && utterance.begun);
        self.queue.retain(|utterance| utterance.turn != turn);
        self.fed.retain(|(_, of, _)| *of != turn);
        fed
    }

    pub fn drop_all(&mut self) {
        self.queue.clear();
        self.fed.clear();
    }

    /// Takes the next part of a synthesis. Returns the error of one that failed.
    pub fn take(&mut self, speech: SpeechId, sound: Sound, tasks: &mut CallTasks) -> Option<EngineError> {
        let utterance = self.queue.iter_mut().find(|utterance| utterance.speech == speech)?;
        let failed = match sound {
            Sound::Samples(samples) => {
                if !samples.is_empty() {
                    utterance.length += samples.len() as u64;
                    utterance.samples.push_back(samples.into());
                }
                return None;
            }
            Sound::End => None,
            Sound::Failed(error) => {
                tracing::warn!(%error, engine = %self.agent.engines.tts.name(), "synthesis failed");
                Some(error)
            }
        };
        utterance.state = SpeechState::Complete;
        self.start_synthesis(tasks);
        failed
    }

    /// Feeds the media thread as far as it has room. An utterance ends with its last piece, which may be empty.
    pub fn feed(&mut self, port: &mut Port) {
        while let Some(utterance) = self.queue.front_mut() {
            if utterance.held || !port.has_room() {
                return;
            }
            let tag = SpeechTag(utterance.speech.0);
            let piece = utterance.samples.pop_front();
            let last = utterance.samples.is_empty() && utterance.state == SpeechState::Complete;
            if piece.is_none() && !last {
                return;
            }
            utterance.begun = true;
            if !port.play(tag, piece.unwrap_or_else(|| Arc::from([])), last) {
                tracing::error!("the media thread had room and has none");
            }
            if last {
                let length = self.length(self.queue[0].length);
                if let Some(done) = self.queue.pop_front() {
                    self.fed.push_back((done.speech, done.turn, length));
                }
            }
        }
    }

    /// How long an utterance is, once that is known.
    pub fn total(&self, speech: SpeechId) -> Option<Duration> {
        let fed = self.fed.iter().find(|(of, _, _)| *of == speech).map(|(_, _, length)| *length);
        fed.or_else(|| {
            let utterance = self.queue.iter().find(|utterance| utterance.speech == speech)?;
            (utterance.state == SpeechState::Complete).then(|| self.length(utterance.length))
        })
    }

    /// An utterance was heard to its end.
    pub fn heard(&mut self, speech: SpeechId) {
        self.fed.retain(|(of, _, _)| *of != speech);
    }

    fn length(&self, samples: u64) -> Duration {
        Duration::from_micros(samples * 1_000_000 / u64::from(self.rate))
    }

    fn start_synthesis(&mut self, tasks: &mut CallTasks) {
        let SpeechQueue { agent, prompts, meter, rate, queue, .. } = self;
        let busy = queue.iter().filter(|utterance| utterance.state == SpeechState::Synthesising).count();
        let waiting = queue.iter_mut().filter(|utterance| utterance.state == SpeechState::Waiting);
        for utterance in waiting.take(AHEAD.saturating_sub(busy)) {
            let tts = &*agent.engines.tts;
            if let Some(clip) = prompts.find(tts, &agent.voice, &utterance.text, *rate) {
                utterance.length = clip.samples.len() as u64;
                utterance.samples.push_back(clip.samples);
                utterance.state = SpeechState::Complete;
                continue;
            }
            utterance.state = SpeechState::Synthesising;
            let (speech, text, rate) = (utterance.speech, utterance.text.clone(), *rate);
            let (tts, voice, meter) = (agent.engines.tts.clone(), agent.voice.clone(), meter.clone());
            tasks.start_for(utterance.turn, |reports| async move {
                let pieces = tts.speak(text, voice, meter).await;
                speak(pieces, rate, speech, reports).await;
            });
        }
    }
}

/// Reports a speech's samples as they arrive.
async fn speak(
    pieces: Result<Pieces, EngineError>,
    rate: u32,
    speech: SpeechId,
    reports: mpsc::Sender<TaskResult>,
) {
    let report = async |sound| reports.send(TaskResult::Sound { speech, sound }).await.is_ok();
    let mut pieces = match pieces {
        Ok(pieces) => pieces,
        Err(error) => {
            report(Sound::Failed(error)).await;
            return;
        }
    };
    let mut fitting = Fitting::new(rate);
    while let Some(piece) = pieces.next().await {
        let sound = match piece {
            Ok(piece) => Sound::Samples(fitting.fit(&piece)),
            Err(error) => {
                report(Sound::Samples(fitting.finish())).await;
                report(Sound::Failed(error)).await;
                return;
            }
        };
        if !report(sound).await {
            return;
        }
    }
    report(Sound::Samples(fitting.finish())).await;
    report(Sound::End).await;
}
