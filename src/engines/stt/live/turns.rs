//! The utterances of a session with an engine that judges the ends of turns: which audio is sent, and which utterance words
//! belong to.
//!
//! Pure. Audio of the open utterance is sent until it ends or the engine ends the turn. An utterance that ends first is
//! followed by silence, and has the words that the engine has heard when it is past the end. Then the turn is closed, so that
//! its words are not those of the next utterance. An utterance that begins before the end of an earlier turn repeats the words
//! of that turn; its audio is not sent twice. After the loss of a connection the audio since the last closed turn is sent again.
//! Until the engine has heard it, the words that it had heard before stand; they are used where no other connection is opened.

mod line;
mod utterance;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outgoing::{FrameSize, OutgoingAudio};
use super::words::{FinalPart, FinalWords, SttEvents, append};
use super::{Frame, SessionTimeline, TranscriptEvent, TurnInfo, TurnState};
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

pub struct TurnTimeline {
    audio: OutgoingAudio,
    final_timeout: Duration,
    /// Utterances that still need words, oldest first; the open one is the last. Audio is sent for the first one only.
    utterances: Vec<TurnUtterance>,
    /// The words of the turns that are closed.
    words: FinalWords,
    /// The words of the turn that was open when a connection was lost, with the position up to which they were heard.
    interrupted: Option<FinalPart>,
    /// The position up to which the words are known.
    done: u64,
    line: Option<TurnLine>,
    events: SttEvents,
}

impl TurnTimeline {
    pub fn new(rate: u32, final_timeout: Duration) -> TurnTimeline {
        TurnTimeline {
            audio: OutgoingAudio::new(rate),
            final_timeout,
            utterances: Vec::new(),
            words: FinalWords::default(),
            interrupted: None,
            done: 0,
            line: None,
            events: SttEvents::default(),
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
            let error = EngineError::Temporary("too many utterances at once".into());
            self.events.fail(oldest.utterance, &error);
        }
        self.utterances.push(TurnUtterance::open(utterance, from));
    }

    fn end(&mut self, utterance: Utterance, at: u64, now: Instant) {
        let stop = at.saturating_add(self.audio.samples_in(AFTER)).min(self.audio.end());
        let (tail, deadline) = (self.audio.samples_in(TAIL), now + self.final_timeout);
        if let Some(open) = self.open_utterance().filter(|open| open.utterance == Some(utterance)) {
            open.progress = SendProgress::Ended { at, stop, tail };
            open.deadline = Some(deadline);
            self.events.drop_partial(utterance);
        }
    }

    fn cancel(&mut self, utterance: Utterance) {
        self.events.cancel(utterance);
        if let Some(index) = self.utterances.iter().position(|it| it.utterance == Some(utterance)) {
            self.abandon(index);
        }
    }

    fn forget(&mut self, position: u64) {
        let before = self.audio.samples_in(BEFORE);
        let oldest = self.utterances.iter().map(|it| it.from).min();
        let needed = oldest.map_or(position, |oldest| oldest.saturating_sub(before).min(position));
        self.audio.forget(needed);
        let keep_from = oldest.map_or(position, |oldest| oldest.min(position));
        self.words.forget(keep_from);
    }

    fn connected(&mut self) {
        self.lost();
        self.line = Some(TurnLine::new(self.done, self.audio.rate()));
    }

    fn lost(&mut self) {
        if let Some(turn) = self.line.take().and_then(TurnLine::into_open_turn)
            && self.interrupted.as_ref().is_none_or(|before| before.end <= turn.end)
        {
            self.interrupted = Some(turn);
        }
        self.utterances.retain(|it| it.utterance.is_some());
        let tail = self.audio.samples_in(TAIL);
        self.utterances.iter_mut().for_each(|it| it.send_again(tail));
    }

    fn give_up(&mut self, error: &EngineError) {
        let (open, ended) =
            std::mem::take(&mut self.utterances).into_iter().partition(TurnUtterance::is_open);
        self.utterances = open;
        ended.into_iter().for_each(|it: TurnUtterance| self.fail(&it, error));
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let next_from = self.utterances.first().map(|it| it.from);
        let line = self.line.as_mut()?;
        if line.must_close(next_from) {
            line.close();
            return Some(Frame::Commit);
        }
        self.next_samples().map(Frame::Audio)
    }

    fn sent_ms(&self) -> u64 {
        self.audio.sent_ms()
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
            None if self.is_heard_again(until) => {}
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
        let error = EngineError::Timeout(self.final_timeout);
        due.into_iter().for_each(|it| self.fail(&it, &error));
        any
    }

    fn next_event(&mut self) -> Option<SttEvent> {
        self.events.pop()
    }
}

impl TurnTimeline {
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
        let (sent, tail) = (self.sent(), self.audio.samples_in(TAIL));
        let abandoned = &mut self.utterances[index];
        if sent <= abandoned.from {
            self.utterances.remove(index);
        } else {
            abandoned.abandon(sent, tail);
        }
    }

    /// The next samples of the first utterance, then the silence after it.
    fn next_samples(&mut self) -> Option<Arc<[i16]>> {
        let (before, frame) = (self.audio.samples_in(BEFORE), self.audio.samples_in(FRAME));
        let unheard_tail = self.audio.samples_in(TAIL - HEARD_TAIL);
        let line = self.line.as_mut()?;
        let utterance = self.utterances.first_mut()?;
        line.sent = line.sent.max(utterance.from.saturating_sub(before));
        let (stop, least) = match utterance.progress {
            SendProgress::Open { .. } => (self.audio.end(), frame),
            SendProgress::Ended { stop, .. } => (stop, 1),
            SendProgress::Sent { .. } => return None,
        };
        if let Some(samples) = self.audio.next_frame(&mut line.sent, stop, FrameSize { least, most: frame }) {
            line.audio_sent(samples.len());
            return Some(samples);
        }
        let silence = utterance.take_silence(frame)?;
        line.silence_sent(silence);
        utterance.silence_sent(line.ms_before(unheard_tail));
        Some(self.audio.silence(silence))
    }

    fn keep(&mut self, turn: FinalPart) {
        self.done = self.done.max(turn.end);
        self.interrupted = None;
        self.words.keep(turn.end, turn.text);
    }

    /// Whether the engine, having heard the audio up to `until`, hears again what it had heard before a connection was lost.
    fn is_heard_again(&self, until: u64) -> bool {
        self.interrupted.as_ref().is_some_and(|turn| until < turn.end)
    }

    /// The words of the closed turns from a position on.
    fn closed_words_of(&self, from: u64) -> String {
        self.words.since(from.saturating_add(self.audio.samples_in(OVERLAP)))
    }

    /// The words of the speech from a position on.
    fn words_of(&self, from: u64) -> String {
        let mut words = self.closed_words_of(from);
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
        self.events.drop_partial(utterance);
        if is_new {
            self.events.push(SttEvent::TurnStarted { utterance, text: text.clone() });
        }
        match state {
            TurnState::MayEnd => self.events.push(SttEvent::TurnMayEnd { utterance, text }),
            TurnState::Resumed => self.events.push(SttEvent::TurnResumed { utterance, text }),
            TurnState::Open if !is_new => self.events.push(SttEvent::Partial { utterance, text }),
            TurnState::Open | TurnState::Ended => {}
        }
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
            self.events.drop_partial(utterance);
            self.events.push(SttEvent::TurnEnded { utterance, text });
        }
    }

    /// Reports the first utterance if it has ended and the engine has heard all of it.
    fn settle(&mut self, until_ms: u64) {
        let Some(first) = self.utterances.first().filter(|it| it.is_heard_by(until_ms)) else { return };
        let (utterance, text) = (first.utterance, self.words_of(first.from));
        self.done = self.done.max(self.sent());
        self.interrupted = None;
        self.utterances.remove(0);
        if let Some(utterance) = utterance {
            self.events.push(SttEvent::Final { utterance, text });
        }
    }

    /// An utterance fails, unless the engine had heard all of it before a connection was lost.
    fn fail(&mut self, failed: &TurnUtterance, error: &EngineError) {
        let is_all =
            |turn: &&FinalPart| turn.end > failed.from && failed.end().is_some_and(|end| turn.end >= end);
        match (failed.utterance, self.interrupted.as_ref().filter(is_all)) {
            (Some(utterance), Some(turn)) => {
                let mut text = self.closed_words_of(failed.from);
                append(&mut text, &turn.text);
                self.events.push(SttEvent::Final { utterance, text });
            }
            _ => self.events.fail(failed.utterance, error),
        }
    }
}

#[cfg(test)]
mod tests;
