//! The utterances of a session with an engine that judges the ends of turns: which audio is sent, and which utterance words
//! belong to.
//!
//! Pure. Audio of the open utterance is sent until it ends or the engine ends the turn. An utterance that ends first is
//! followed by silence, and has the words that the engine has heard when it is past the end. Then the turn is closed, so that
//! its words are not those of the next utterance. An utterance that begins before the end of an earlier turn repeats the words
//! of that turn; its audio is not sent twice. After the loss of a connection the audio since the last closed turn is sent again.

mod line;
mod utterance;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::timeline::append;
use super::{Frame, SessionTimeline, TranscriptEvent, TurnInfo, TurnState};
use crate::audio::AudioBuffer;
use crate::engines::core::EngineError;
use crate::engines::stt::{SttEvent, Utterance};
use line::{EndedTurn, TurnLine};
use utterance::{SendProgress, TurnUtterance};

/// The length of audio before an utterance that is sent with it: the start of a word is soft.
const BEFORE: Duration = Duration::from_millis(240);
/// The length of audio after an utterance that is sent with it.
const AFTER: Duration = Duration::from_millis(100);
/// The length of a frame, as Deepgram recommends.
const FRAME: Duration = Duration::from_millis(80);
/// The length of the silence after an utterance: an engine that reports every 250 ms reports within it.
const TAIL: Duration = Duration::from_millis(480);
/// The part of that silence that the engine has to hear, so that its words are complete.
const HEARD_TAIL: Duration = Duration::from_millis(160);
/// A turn that ends this shortly after the beginning of an utterance is an earlier one.
const OVERLAP: Duration = Duration::from_millis(200);
/// The most utterances at the same time; when there is one more, the oldest fails. A conversation needs one or two.
const MOST: usize = 8;
/// The most turns that are kept, with their words.
const MOST_TURNS: usize = 64;

pub struct TurnTimeline {
    audio: AudioBuffer,
    final_timeout: Duration,
    /// Utterances that still need words, oldest first; the open one is the last. Audio is sent for the first one only.
    utterances: Vec<TurnUtterance>,
    /// The turns that are closed, oldest first.
    turns: VecDeque<ClosedTurn>,
    /// The position up to which the words are known.
    done: u64,
    line: Option<TurnLine>,
    events: VecDeque<SttEvent>,
    /// Samples that were sent so far, on all connections.
    total: u64,
}

struct ClosedTurn {
    end: u64,
    text: String,
}

impl TurnTimeline {
    pub fn new(rate: u32, final_timeout: Duration) -> TurnTimeline {
        TurnTimeline {
            audio: AudioBuffer::new(rate),
            final_timeout,
            utterances: Vec::new(),
            turns: VecDeque::new(),
            done: 0,
            line: None,
            events: VecDeque::new(),
            total: 0,
        }
    }
}

impl SessionTimeline for TurnTimeline {
    fn audio(&mut self, samples: &[i16]) {
        self.audio.append(samples);
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        if self.open_utterance().is_some() {
            self.abandon(self.utterances.len() - 1);
        }
        let sent = self.sent();
        // The audio of an abandoned utterance goes on in this one.
        self.utterances.retain(|it| it.utterance.is_some() || sent <= from);
        if self.utterances.len() >= MOST {
            let oldest = self.utterances.remove(0);
            self.fail(oldest.utterance, &EngineError::Temporary("too many utterances at once".into()));
        }
        self.utterances.push(TurnUtterance::open(utterance, from));
    }

    fn end(&mut self, utterance: Utterance, at: u64, now: Instant) {
        let stop = at.saturating_add(self.samples(AFTER)).min(self.audio.end());
        let (tail, deadline) = (self.samples(TAIL), now + self.final_timeout);
        if let Some(open) = self.open_utterance().filter(|open| open.utterance == Some(utterance)) {
            open.progress = SendProgress::Ended { at, stop, tail };
            open.deadline = Some(deadline);
            self.drop_partial(utterance);
        }
    }

    fn cancel(&mut self, utterance: Utterance) {
        self.events.retain(|event| event.utterance() != utterance);
        if let Some(index) = self.utterances.iter().position(|it| it.utterance == Some(utterance)) {
            self.abandon(index);
        }
    }

    fn forget(&mut self, position: u64) {
        let before = self.samples(BEFORE);
        let oldest = self.utterances.iter().map(|it| it.from).min();
        let needed = oldest.map_or(position, |oldest| oldest.saturating_sub(before).min(position));
        self.audio.forget(needed);
        let keep_from = oldest.map_or(position, |oldest| oldest.min(position));
        self.turns.retain(|turn| turn.end > keep_from);
    }

    fn connected(&mut self) {
        self.lost();
        self.line = Some(TurnLine::new(self.done, self.audio.rate()));
    }

    fn lost(&mut self) {
        self.line = None;
        self.utterances.retain(|it| it.utterance.is_some());
        let tail = self.samples(TAIL);
        self.utterances.iter_mut().for_each(|it| it.send_again(tail));
    }

    fn give_up(&mut self, error: &EngineError) {
        let (open, ended) =
            std::mem::take(&mut self.utterances).into_iter().partition(TurnUtterance::is_open);
        self.utterances = open;
        ended.into_iter().for_each(|it: TurnUtterance| self.fail(it.utterance, error));
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let next_from = self.utterances.first().map(|it| it.from);
        let line = self.line.as_mut()?;
        if line.must_close(next_from) {
            line.close();
            return Some(Frame::Commit);
        }
        let samples = self.next_samples()?;
        self.total += samples.len() as u64;
        Some(Frame::Audio(samples.into()))
    }

    fn sent_ms(&self) -> u64 {
        self.total * 1_000 / u64::from(self.audio.rate())
    }

    fn heard(&mut self, heard: TranscriptEvent) {
        let TranscriptEvent::Turn(info) = heard else { return };
        let Some(line) = &mut self.line else { return };
        let until = line.position_of(info.until_ms);
        match line.take(&info, until) {
            Some(EndedTurn::ByEngine(turn)) => {
                self.keep(turn);
                self.turn_ended(until);
            }
            Some(EndedTurn::OnRequest(turn)) => self.keep(turn),
            None => self.report(info.state),
        }
        self.settle(info.until_ms);
    }

    fn deadline(&self) -> Option<Instant> {
        self.utterances.iter().filter_map(|it| it.deadline).min()
    }

    fn expire(&mut self, now: Instant) -> bool {
        let is_due = |it: &TurnUtterance| it.deadline.is_some_and(|deadline| deadline <= now);
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.utterances).into_iter().partition(is_due);
        self.utterances = rest;
        let any = !due.is_empty();
        due.into_iter().for_each(|it| self.fail(it.utterance, &EngineError::Timeout(self.final_timeout)));
        any
    }

    fn next_event(&mut self) -> Option<SttEvent> {
        self.events.pop_front()
    }
}

impl TurnTimeline {
    fn samples(&self, time: Duration) -> u64 {
        time.as_millis() as u64 * u64::from(self.audio.rate()) / 1_000
    }

    /// The position up to which audio was sent on this connection.
    fn sent(&self) -> u64 {
        self.line.as_ref().map_or(0, |line| line.sent)
    }

    fn open_utterance(&mut self) -> Option<&mut TurnUtterance> {
        self.utterances.last_mut().filter(|it| it.is_open())
    }

    /// The words of an utterance are not needed any more. If audio of it was sent, its turn is still closed, so that its words are
    /// not taken for those of the next utterance.
    fn abandon(&mut self, index: usize) {
        let (sent, tail) = (self.sent(), self.samples(TAIL));
        let abandoned = &mut self.utterances[index];
        if sent <= abandoned.from {
            self.utterances.remove(index);
        } else {
            abandoned.abandon(sent, tail);
        }
    }

    /// The next samples of the first utterance, then the silence after it.
    fn next_samples(&mut self) -> Option<Vec<i16>> {
        let (before, frame) = (self.samples(BEFORE), self.samples(FRAME));
        let unheard_tail = self.samples(TAIL - HEARD_TAIL);
        let line = self.line.as_mut()?;
        let utterance = self.utterances.first_mut()?;
        line.sent = line.sent.max(utterance.from.saturating_sub(before));
        let (stop, least) = match utterance.progress {
            SendProgress::Open { .. } => (self.audio.end(), frame),
            SendProgress::Ended { stop, .. } => (stop, 1),
            SendProgress::Sent { .. } => return None,
        };
        while stop.saturating_sub(line.sent) >= least {
            let to = stop.min(line.sent + frame);
            let samples = self.audio.clip(line.sent, to).samples;
            line.sent = to;
            // Audio that is no longer kept is skipped: an empty frame would end the stream.
            if !samples.is_empty() {
                line.audio_sent(samples.len());
                return Some(samples.to_vec());
            }
        }
        let silence = utterance.take_silence(frame)?;
        line.silence_sent(silence);
        utterance.silence_sent(line.ms_before(unheard_tail));
        Some(vec![0; silence as usize])
    }

    fn keep(&mut self, turn: ClosedTurn) {
        self.done = self.done.max(turn.end);
        if self.turns.len() == MOST_TURNS {
            self.turns.pop_front();
        }
        self.turns.push_back(turn);
    }

    /// The words of the speech from a position on.
    fn words_of(&self, from: u64) -> String {
        let after = from.saturating_add(self.samples(OVERLAP));
        let mut words = String::new();
        self.turns.iter().filter(|turn| turn.end > after).for_each(|turn| append(&mut words, &turn.text));
        if let Some(text) = self.line.as_ref().and_then(|line| line.words_of(from)) {
            append(&mut words, text);
        }
        words
    }

    /// Reports the words so far of the open utterance.
    fn report(&mut self, state: TurnState) {
        let Some(first) = self.utterances.first() else { return };
        let text = self.words_of(first.from);
        let announced =
            self.utterances.first_mut().filter(|_| !text.is_empty()).and_then(TurnUtterance::announce);
        let Some((utterance, is_new)) = announced else { return };
        self.drop_partial(utterance);
        if is_new {
            self.events.push_back(SttEvent::TurnStarted { utterance, text: text.clone() });
        }
        self.events.extend(match state {
            TurnState::MayEnd => Some(SttEvent::TurnMayEnd { utterance, text }),
            TurnState::Resumed => Some(SttEvent::TurnResumed { utterance, text }),
            TurnState::Open if !is_new => Some(SttEvent::Partial { utterance, text }),
            TurnState::Open | TurnState::Ended => None,
        });
    }

    /// The engine has ended a turn, having heard the audio up to `until`.
    fn turn_ended(&mut self, until: u64) {
        let Some(first) = self.utterances.first().filter(|it| it.ends_by(until)) else { return };
        let (utterance, text) = (first.utterance, self.words_of(first.from));
        if text.is_empty() {
            return;
        }
        self.utterances.remove(0);
        if let Some(utterance) = utterance {
            self.drop_partial(utterance);
            self.events.push_back(SttEvent::TurnEnded { utterance, text });
        }
    }

    /// Reports the first utterance if it has ended and the engine has heard all of it.
    fn settle(&mut self, until_ms: u64) {
        let Some(first) = self.utterances.first().filter(|it| it.is_heard_by(until_ms)) else { return };
        let (utterance, text) = (first.utterance, self.words_of(first.from));
        self.done = self.done.max(self.sent());
        self.utterances.remove(0);
        if let Some(utterance) = utterance {
            self.events.push_back(SttEvent::Final { utterance, text });
        }
    }

    fn drop_partial(&mut self, utterance: Utterance) {
        let is_partial =
            |event: &SttEvent| matches!(event, SttEvent::Partial { utterance: of, .. } if *of == utterance);
        self.events.retain(|event| !is_partial(event));
    }

    fn fail(&mut self, utterance: Option<Utterance>, error: &EngineError) {
        if let Some(utterance) = utterance {
            self.events.push_back(SttEvent::Failed { utterance, error: error.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
