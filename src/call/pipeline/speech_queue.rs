//! The agent's speeches in order: synthesised ahead, and handed out piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::first_words::FirstClause;
use super::synthesis::Synthesis;
use super::tasks::{EngineTasks, SynthesisEvent};
use super::{AudioPiece, PlaybackEffect};
use crate::call::sentence_cache::Sentence;
use crate::call::{Agent, PromptCache};
use crate::conversation::{Attempt, Phrase, Say, SpeechId, TurnId};
use crate::engines::core::EngineError;
use crate::engines::core::timing::WordEnd;
use crate::engines::core::usage::Meter;

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
    delivered: VecDeque<DeliveredSpeech>,
    /// The first clause of the reply that the model writes.
    first_clause: Option<FirstClause>,
}

struct DeliveredSpeech {
    speech: SpeechId,
    turn: TurnId,
    length: Duration,
    words: Vec<WordEnd>,
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
    /// Its words so far, where the engine reports them.
    words: Vec<WordEnd>,
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
        let (samples, words) = (VecDeque::new(), Vec::new());
        QueuedSpeech {
            speech,
            turn,
            text,
            agent,
            held,
            attempt,
            state,
            samples,
            length: 0,
            words,
            begun: false,
        }
    }

    /// Takes all of its samples.
    fn fill(&mut self, samples: Arc<[i16]>) {
        self.length = samples.len() as u64;
        self.samples.push_back(samples);
        self.state = SpeechState::Complete;
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
        let (queue, delivered) = (VecDeque::new(), VecDeque::new());
        SpeechQueue { agent, prompts, meter, rate, queue, delivered, first_clause: None }
    }

    /// The model is asked for a reply: its first words may be spoken while it writes.
    pub fn begin_reply(&mut self, turn: TurnId) {
        self.first_clause = FirstClause::new(turn, &self.agent, &self.meter);
    }

    /// The model wrote the next piece of a reply.
    pub fn add_words(&mut self, turn: TurnId, text: &str, tasks: &mut EngineTasks) {
        if let Some(first_clause) = self.first_clause.as_mut().filter(|it| it.turn() == turn) {
            first_clause.add(text, self.rate, tasks);
        }
    }

    /// The turn is over: words of its reply that were not asked for are given up.
    pub fn end_turn(&mut self, turn: TurnId) {
        self.first_clause.take_if(|it| it.turn() == turn);
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
        let delivered = self.delivered.iter().map(|delivered| (delivered.speech, delivered.turn));
        queued.chain(delivered).find(|(it, _)| *it == speech).map(|(_, turn)| turn)
    }

    pub fn release(&mut self, turn: TurnId) {
        self.queue.iter_mut().filter(|queued| queued.turn == turn).for_each(|queued| queued.held = false);
    }

    /// Drops the speech of a turn that has not been played. That of others is synthesised in its place.
    pub fn cancel(&mut self, turn: TurnId, tasks: &mut EngineTasks) -> PlaybackEffect {
        self.end_turn(turn);
        let is_playing = self.delivered.iter().any(|delivered| delivered.turn == turn)
            || self.queue.iter().any(|queued| queued.turn == turn && queued.begun);
        self.queue.retain(|queued| queued.turn != turn);
        self.delivered.retain(|delivered| delivered.turn != turn);
        self.start_synthesis(tasks);
        if is_playing { PlaybackEffect::Flush } else { PlaybackEffect::Unchanged }
    }

    /// Drops all speech that has not been played.
    pub fn flush(&mut self) {
        self.queue.clear();
        self.delivered.clear();
        self.first_clause = None;
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
            SynthesisEvent::Words(words) => {
                queued.words = words;
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
            let QueuedSpeech { speech, turn, words, .. } = done;
            let length = self.duration(done.length);
            self.delivered.push_back(DeliveredSpeech { speech, turn, length, words });
        }
        Some(piece)
    }

    /// The length of a speech, once it is known.
    pub fn length_of(&self, speech: SpeechId) -> Option<Duration> {
        let delivered = self.delivered.iter().find(|delivered| delivered.speech == speech);
        delivered.map(|delivered| delivered.length).or_else(|| {
            let speech = self.queue.iter().find(|queued| queued.speech == speech)?;
            (speech.state == SpeechState::Complete).then(|| self.duration(speech.length))
        })
    }

    /// How many letters of its text a speech has up to a position, where the engine reports its words.
    pub fn letters_until(&self, speech: SpeechId, position: Duration) -> Option<u32> {
        let delivered = self.delivered.iter().find(|it| it.speech == speech).map(|it| &it.words);
        let words = delivered.or_else(|| Some(&self.queue.iter().find(|it| it.speech == speech)?.words))?;
        let spoken = words.iter().rfind(|word| word.at <= position).map_or(0, |word| word.letters);
        (!words.is_empty()).then_some(spoken)
    }

    /// A speech was played to its end.
    pub fn played(&mut self, speech: SpeechId) {
        self.delivered.retain(|delivered| delivered.speech != speech);
    }

    fn duration(&self, samples: u64) -> Duration {
        Duration::from_micros(samples * 1_000_000 / u64::from(self.rate))
    }

    /// Afterwards a synthesis is in progress, whose end starts the next one, or no speech waits.
    fn start_synthesis(&mut self, tasks: &mut EngineTasks) {
        let SpeechQueue { prompts, meter, rate, queue, first_clause, .. } = self;
        let mut busy = queue.iter().filter(|queued| queued.state == SpeechState::Synthesising).count();
        for queued in queue.iter_mut().filter(|queued| queued.state == SpeechState::Waiting) {
            if busy >= AHEAD {
                break;
            }
            let begun = first_clause.take_if(|it| it.begins(queued.turn, &queued.agent, &queued.text));
            let (tts, voice) = (&*queued.agent.engines.tts, &queued.agent.voice);
            if let Some(clip) = prompts.find(queued.agent.prompt_voice(), &queued.text, *rate) {
                queued.fill(clip.samples);
                continue;
            }
            let sentence = Sentence::of(queued.agent.tenant, tts, voice, &queued.text, *rate);
            if let Some(samples) = prompts.sentences().find(&sentence) {
                queued.fill(samples);
                continue;
            }
            busy += 1;
            queued.state = SpeechState::Synthesising;
            let synthesis = Synthesis {
                speech: queued.speech,
                text: queued.text.clone(),
                agent: queued.agent.clone(),
                attempt: queued.attempt,
                meter: meter.watched(),
                prompts: prompts.clone(),
                rate: *rate,
            };
            let rest = match begun.filter(|_| queued.attempt == Attempt::First) {
                Some(begun) => begun.complete(synthesis),
                None => Err(synthesis),
            };
            if let Err(synthesis) = rest {
                tasks.start(queued.turn, |reports| synthesis.run(None, reports));
            }
        }
    }
}
