//! The agent's speeches in order: synthesised ahead, and handed out piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tasks::{EngineResult, EngineTasks, SynthesisEvent};
use super::{AudioPiece, PlaybackEffect};
use crate::audio::Clip;
use crate::call::phrases::Fitting;
use crate::call::sentence_cache::Sentence;
use crate::call::{Agent, PromptCache};
use crate::conversation::{Attempt, Phrase, Say, SpeechId, TurnId};
use crate::engines::core::EngineError;
use crate::engines::core::retry::STALLED;
use crate::engines::core::usage::Meter;
use crate::engines::tts::Pieces;

/// Speeches that are synthesised at the same time: the one that is due, and the next.
const AHEAD: usize = 2;

pub struct SpeechQueue {
    agent: Arc<Agent>,
    prompts: Arc<PromptCache>,
    /// Pre-synthesised prompts are not counted here: they were not synthesised for this call.
    meter: Meter,
    rate: u32,
    /// In the order of playback.
    queue: VecDeque<QueuedSpeech>,
    /// Handed out entirely, but not played to the end yet.
    delivered: VecDeque<(SpeechId, TurnId, Duration)>,
}

struct QueuedSpeech {
    speech: SpeechId,
    turn: TurnId,
    text: Arc<str>,
    /// The agent that speaks.
    agent: Arc<Agent>,
    held: bool,
    attempt: Attempt,
    state: SpeechState,
    samples: VecDeque<Arc<[i16]>>,
    /// Samples so far.
    length: u64,
    /// Some of it was handed out.
    begun: bool,
}

/// A speech to be synthesised and played.
#[derive(Clone, Copy)]
pub struct NewSpeech<'a> {
    pub speech: SpeechId,
    pub turn: TurnId,
    pub what: &'a Say,
    pub held: bool,
}

impl QueuedSpeech {
    fn new(added: &NewSpeech<'_>, (text, agent): (Arc<str>, Arc<Agent>), attempt: Attempt) -> QueuedSpeech {
        let NewSpeech { speech, turn, held, .. } = *added;
        // The model's own speech is delivered as a synthesis is.
        let state = if *added.what == Say::Spoken { SpeechState::Synthesising } else { SpeechState::Waiting };
        let samples = VecDeque::new();
        QueuedSpeech { speech, turn, text, agent, held, attempt, state, samples, length: 0, begun: false }
    }
}

#[derive(PartialEq)]
enum SpeechState {
    Waiting,
    Synthesising,
    Complete,
}

impl SpeechQueue {
    pub fn new(agent: Arc<Agent>, prompts: Arc<PromptCache>, meter: Meter, rate: u32) -> SpeechQueue {
        SpeechQueue { agent, prompts, meter, rate, queue: VecDeque::new(), delivered: VecDeque::new() }
    }

    /// Later speeches are those of another agent.
    pub fn change_agent(&mut self, agent: Arc<Agent>) {
        self.agent = agent;
    }

    /// Adds a speech behind all others, or, a filler, ahead of those that have not begun. Returns false for a filler that
    /// is not cached, and leaves it out.
    pub fn add(&mut self, added: NewSpeech<'_>, tasks: &mut EngineTasks) -> bool {
        let text = self.text(added.what);
        let is_filler = *added.what == Say::Phrase(Phrase::Filler);
        if is_filler && self.prompts.find(self.agent.prompt_voice(), &text, self.rate).is_none() {
            return false;
        }
        let place = if is_filler { self.begun() } else { self.queue.len() };
        self.queue.insert(place, QueuedSpeech::new(&added, (text, self.agent.clone()), Attempt::First));
        self.start_synthesis(tasks);
        true
    }

    /// Adds a speech right after one whose synthesis failed. A repetition is synthesised by other engines, where there are any,
    /// and takes the place of audio that has not been handed out.
    pub fn replace(&mut self, failed: SpeechId, added: NewSpeech<'_>, tasks: &mut EngineTasks) {
        let text = self.text(added.what);
        let at = self.queue.iter().position(|queued| queued.speech == failed);
        let is_repetition = matches!(added.what, Say::Text(_));
        let attempt = if is_repetition { Attempt::AfterFailure } else { Attempt::First };
        let place = match at {
            Some(at) if is_repetition && !self.queue[at].begun => {
                self.queue.remove(at);
                at
            }
            Some(at) => at + 1,
            None => self.begun(),
        };
        self.queue.insert(place, QueuedSpeech::new(&added, (text, self.agent.clone()), attempt));
        self.start_synthesis(tasks);
    }

    /// How many speeches at the front of the queue were handed out in part.
    fn begun(&self) -> usize {
        self.queue.iter().take_while(|queued| queued.begun).count()
    }

    fn text(&self, what: &Say) -> Arc<str> {
        match what {
            Say::Text(text) => text.as_str().into(),
            Say::Spoken => Arc::from(""),
            Say::Phrase(phrase) => self.agent.phrases.get(phrase).cloned().unwrap_or_default(),
        }
    }

    /// Another queue for the same voice.
    pub fn another(&self) -> SpeechQueue {
        SpeechQueue::new(self.agent.clone(), self.prompts.clone(), self.meter.clone(), self.rate)
    }

    /// A speech that is queued, and of which no audio is there yet.
    pub fn is_silent(&self, speech: SpeechId) -> bool {
        self.queue.iter().any(|queued| queued.speech == speech && queued.length == 0)
    }

    /// The turn of a speech, until it has been played to its end.
    pub fn turn_of(&self, speech: SpeechId) -> Option<TurnId> {
        let queued = self.queue.iter().map(|queued| (queued.speech, queued.turn));
        let delivered = self.delivered.iter().map(|(speech, turn, _)| (*speech, *turn));
        queued.chain(delivered).find(|(it, _)| *it == speech).map(|(_, turn)| turn)
    }

    pub fn release(&mut self, turn: TurnId) {
        self.queue.iter_mut().filter(|queued| queued.turn == turn).for_each(|queued| queued.held = false);
    }

    /// Drops the speech of a turn that has not been played. That of others is synthesised in its place.
    pub fn cancel(&mut self, turn: TurnId, tasks: &mut EngineTasks) -> PlaybackEffect {
        let is_playing = self.delivered.iter().any(|(_, of, _)| *of == turn)
            || self.queue.iter().any(|queued| queued.turn == turn && queued.begun);
        self.queue.retain(|queued| queued.turn != turn);
        self.delivered.retain(|(_, of, _)| *of != turn);
        self.start_synthesis(tasks);
        if is_playing { PlaybackEffect::Flush } else { PlaybackEffect::Unchanged }
    }

    /// Drops all speech that has not been played.
    pub fn flush(&mut self) {
        self.queue.clear();
        self.delivered.clear();
    }

    /// Takes the next part of a synthesis. Returns the error of one that failed, with the name of its engine. Those of dropped
    /// speeches are ignored.
    pub fn take(
        &mut self,
        speech: SpeechId,
        event: SynthesisEvent,
        tasks: &mut EngineTasks,
    ) -> Option<(EngineError, Arc<str>)> {
        let queued = self.queue.iter_mut().find(|queued| queued.speech == speech)?;
        let failed = match event {
            SynthesisEvent::Samples(samples) => {
                if !samples.is_empty() {
                    queued.length += samples.len() as u64;
                    queued.samples.push_back(samples.into());
                }
                return None;
            }
            SynthesisEvent::Finished => None,
            SynthesisEvent::Failed(error) => Some((error, queued.agent.engines.tts.name().clone())),
        };
        queued.state = SpeechState::Complete;
        self.start_synthesis(tasks);
        failed
    }

    /// The next audio for playback. A speech ends with its last piece, which may be empty.
    pub fn next_audio(&mut self) -> Option<AudioPiece> {
        let speech = self.queue.front_mut()?;
        if speech.held {
            return None;
        }
        let samples = speech.samples.pop_front();
        let last = speech.samples.is_empty() && speech.state == SpeechState::Complete;
        if samples.is_none() && !last {
            return None;
        }
        speech.begun = true;
        let piece =
            AudioPiece { speech: speech.speech, samples: samples.unwrap_or_else(|| Arc::from([])), last };
        if last && let Some(done) = self.queue.pop_front() {
            self.delivered.push_back((done.speech, done.turn, self.duration(done.length)));
        }
        Some(piece)
    }

    /// The length of a speech, once it is known.
    pub fn length_of(&self, speech: SpeechId) -> Option<Duration> {
        let delivered = self.delivered.iter().find(|(of, _, _)| *of == speech).map(|(_, _, length)| *length);
        delivered.or_else(|| {
            let speech = self.queue.iter().find(|queued| queued.speech == speech)?;
            (speech.state == SpeechState::Complete).then(|| self.duration(speech.length))
        })
    }

    /// A speech was played to its end.
    pub fn played(&mut self, speech: SpeechId) {
        self.delivered.retain(|(of, _, _)| *of != speech);
    }

    fn duration(&self, samples: u64) -> Duration {
        Duration::from_micros(samples * 1_000_000 / u64::from(self.rate))
    }

    /// Afterwards a synthesis is in progress, whose end starts the next one, or no speech waits.
    fn start_synthesis(&mut self, tasks: &mut EngineTasks) {
        let SpeechQueue { prompts, meter, rate, queue, .. } = self;
        let mut busy = queue.iter().filter(|queued| queued.state == SpeechState::Synthesising).count();
        for queued in queue.iter_mut().filter(|queued| queued.state == SpeechState::Waiting) {
            if busy >= AHEAD {
                break;
            }
            let agent = queued.agent.clone();
            let tts = &*agent.engines.tts;
            if let Some(clip) = prompts.find(agent.prompt_voice(), &queued.text, *rate) {
                queued.length = clip.samples.len() as u64;
                queued.samples.push_back(clip.samples);
                queued.state = SpeechState::Complete;
                continue;
            }
            let sentence = Sentence::of(agent.tenant, tts, &agent.voice, &queued.text, *rate);
            if let Some(samples) = prompts.sentences().find(&sentence) {
                queued.length = samples.len() as u64;
                queued.samples.push_back(samples);
                queued.state = SpeechState::Complete;
                continue;
            }
            busy += 1;
            queued.state = SpeechState::Synthesising;
            let (speech, text, rate) = (queued.speech, queued.text.clone(), *rate);
            let (tts, voice, attempt) =
                (agent.engines.tts.clone(), agent.voice.at_rate(rate), queued.attempt);
            let (meter, prompts) = (meter.watched(), prompts.clone());
            tasks.start(queued.turn, |reports| async move {
                let pieces = match attempt {
                    Attempt::First => tts.speak(text, voice, meter.clone()).await,
                    Attempt::AfterFailure => tts.speak_again(text, voice, meter.clone()).await,
                };
                let whole = speak(pieces, rate, speech, reports).await;
                // A fallback has another voice: the engine itself is asked again next time.
                let is_own_voice = attempt == Attempt::First && !meter.covered.is_noted();
                if let Some(samples) = whole.filter(|_| is_own_voice) {
                    prompts.sentences().keep(sentence, &samples);
                }
            });
        }
    }
}

/// Reports the samples of a speech as they arrive. Returns all of them when it is whole.
async fn speak(
    pieces: Result<Pieces, EngineError>,
    rate: u32,
    speech: SpeechId,
    reports: mpsc::Sender<EngineResult>,
) -> Option<Vec<i16>> {
    let report = async |event| reports.send(EngineResult::Synthesis { speech, event }).await.is_ok();
    let mut pieces = match pieces {
        Ok(pieces) => pieces,
        Err(error) => {
            report(SynthesisEvent::Failed(error)).await;
            return None;
        }
    };
    let mut whole = Vec::new();
    let mut fitting = Fitting::new(rate);
    while let Some(piece) = next_piece(&mut pieces).await {
        let samples = match piece {
            Ok(piece) => fitting.fit(&piece),
            Err(error) => {
                report(SynthesisEvent::Samples(fitting.finish())).await;
                report(SynthesisEvent::Failed(error)).await;
                return None;
            }
        };
        whole.extend_from_slice(&samples);
        if !report(SynthesisEvent::Samples(samples)).await {
            return None;
        }
    }
    let samples = fitting.finish();
    whole.extend_from_slice(&samples);
    report(SynthesisEvent::Samples(samples)).await;
    report(SynthesisEvent::Finished).await;
    Some(whole)
}

/// The next piece of a speech that has begun. One that stalls fails: it is repeated, in place of a longer silence.
async fn next_piece(pieces: &mut Pieces) -> Option<Result<Clip, EngineError>> {
    let next = timeout(STALLED, pieces.next()).await;
    next.unwrap_or(Some(Err(EngineError::Timeout(STALLED))))
}
