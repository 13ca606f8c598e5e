//! The utterances of a session over the time of its audio: which audio is sent, and which utterance words belong to.
//!
//! Pure. Audio is sent in parts, and a commit ends each part. The server confirms a commit once the words of its part are
//! final; then the part is done. An utterance has the words of every part that ends after the utterance begins. An
//! utterance that begins at the same position as an earlier one therefore repeats the earlier words, and the audio is not
//! sent twice. Parts that are not done when the connection is lost are sent again on the next one.

mod entry;
mod line;

use std::time::Duration;

use tokio::time::Instant;

use super::outgoing::{FrameSize, OutgoingAudio};
use super::words::{FinalWords, SttEvents, append, bounded};
use super::{Frame, SessionTimeline, TranscriptEvent};
use crate::engines::core::EngineError;
use crate::engines::stt::{SttEvent, Utterance};
use entry::{PendingUtterance, UtteranceState};
use line::Line;

/// The length of audio before an utterance that is sent with it: the start of a word is soft.
const BEFORE: Duration = Duration::from_millis(240);
/// The length of audio after an utterance that is sent with it.
const AFTER: Duration = Duration::from_millis(100);
/// The longest frame. Vendors recommend 20 to 250 ms.
const LONGEST_FRAME: Duration = Duration::from_millis(100);
/// The shortest part: OpenAI refuses a commit of less than 100 ms, ElevenLabs of less than 300 ms. Silence is appended to a
/// shorter part.
const SHORTEST_PART: Duration = Duration::from_millis(320);
/// The most utterances at the same time; when there is one more, the oldest fails. A conversation needs one or two.
const MOST: usize = 8;

pub struct UtteranceTimeline {
    audio: OutgoingAudio,
    final_timeout: Duration,
    /// Utterances that still need words, oldest first; the open one is the last.
    utterances: Vec<PendingUtterance>,
    /// The words of the parts that are done.
    words: FinalWords,
    /// The position up to which parts are done.
    done: u64,
    line: Option<Line>,
    events: SttEvents,
}

impl UtteranceTimeline {
    pub fn new(rate: u32, final_timeout: Duration) -> UtteranceTimeline {
        UtteranceTimeline {
            audio: OutgoingAudio::new(rate),
            final_timeout,
            utterances: Vec::new(),
            words: FinalWords::default(),
            done: 0,
            line: None,
            events: SttEvents::default(),
        }
    }
}

impl SessionTimeline for UtteranceTimeline {
    fn audio(&mut self, samples: &[i16]) {
        self.audio.append(samples);
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.abandon_open(from);
        if self.utterances.len() >= MOST {
            let oldest = self.utterances.remove(0);
            let error = EngineError::Temporary("too many utterances at once".into());
            self.events.fail(oldest.utterance, &error);
        }
        self.utterances.push(PendingUtterance {
            utterance: Some(utterance),
            from,
            state: UtteranceState::Open,
        });
    }

    fn end(&mut self, utterance: Utterance, at: u64, now: Instant) {
        let stop = at.saturating_add(self.audio.samples_in(AFTER)).min(self.audio.end());
        let deadline = Some(now + self.final_timeout);
        if let Some(open) = self.open_entry().filter(|open| open.utterance == Some(utterance)) {
            open.state = UtteranceState::Ended { at, stop, deadline };
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
        let needed = self.utterances.iter().map(|it| it.from.saturating_sub(before)).min();
        self.audio.forget(needed.map_or(position, |needed| needed.min(position)));
        let oldest = self.utterances.iter().map(|it| it.from).min();
        let keep_from = oldest.map_or(position, |oldest| oldest.min(position));
        self.words.forget(keep_from);
    }

    fn connected(&mut self) {
        self.lost();
        self.line = Some(Line::new(self.done));
    }

    fn lost(&mut self) {
        self.line = None;
        self.utterances.retain(|it| it.utterance.is_some());
        for entry in &mut self.utterances {
            if let UtteranceState::Committed { at, stop, deadline } = entry.state {
                entry.state = UtteranceState::Ended { at, stop, deadline };
            }
        }
    }

    fn give_up(&mut self, error: &EngineError) {
        let (open, ended) = std::mem::take(&mut self.utterances)
            .into_iter()
            .partition(|entry| entry.state == UtteranceState::Open);
        self.utterances = open;
        ended.into_iter().for_each(|entry: PendingUtterance| self.events.fail(entry.utterance, error));
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let before = self.audio.samples_in(BEFORE);
        let size = FrameSize { least: 1, most: self.audio.samples_in(LONGEST_FRAME) };
        let shortest = self.audio.samples_in(SHORTEST_PART);
        let (audio_end, rate) = (self.audio.end(), self.audio.rate());
        let line = self.line.as_mut()?;
        let entry =
            self.utterances.iter_mut().find(|it| !matches!(it.state, UtteranceState::Committed { .. }))?;
        line.sent = line.sent.max(entry.from.saturating_sub(before));
        let stop = match entry.state {
            UtteranceState::Ended { stop, .. } | UtteranceState::Committed { stop, .. } => stop,
            UtteranceState::Open => audio_end,
        };
        if let Some(samples) = self.audio.next_frame(&mut line.sent, stop, size) {
            return Some(line.frame(samples));
        }
        let UtteranceState::Ended { at, deadline, .. } = entry.state else { return None };
        let part = line.streamed - line.streamed_at_commit;
        if part > 0 && part < shortest {
            return Some(line.frame(self.audio.silence(shortest - part)));
        }
        entry.state = UtteranceState::Committed { at, stop: line.sent, deadline };
        if part == 0 {
            // An earlier commit has all of its audio.
            self.finish();
            return self.next_frame();
        }
        line.commit(at, rate);
        // All of its words may be final already.
        let covered_ms = line.covered_ms;
        self.covered(covered_ms, false);
        Some(Frame::Commit)
    }

    fn sent_ms(&self) -> u64 {
        self.audio.sent_ms()
    }

    fn heard(&mut self, heard: TranscriptEvent) {
        let Some(line) = &mut self.line else { return };
        match heard {
            TranscriptEvent::Interim(text) => line.interim = bounded(text),
            TranscriptEvent::Final(text) => {
                append(&mut line.words, &text);
                line.interim.clear();
            }
            TranscriptEvent::Covered { until_ms, by_commit } => return self.covered(until_ms, by_commit),
            TranscriptEvent::Committed => return self.part_is_done(),
            TranscriptEvent::Turn(_) => return,
        }
        self.report_partial();
    }

    fn deadline(&self) -> Option<Instant> {
        self.utterances.iter().filter_map(PendingUtterance::deadline).min()
    }

    fn expire(&mut self, now: Instant) -> bool {
        let is_due = |entry: &PendingUtterance| entry.deadline().is_some_and(|deadline| deadline <= now);
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.utterances).into_iter().partition(is_due);
        self.utterances = rest;
        let any = !due.is_empty();
        let error = EngineError::Timeout(self.final_timeout);
        due.into_iter().for_each(|entry| self.events.fail(entry.utterance, &error));
        any
    }

    fn next_event(&mut self) -> Option<SttEvent> {
        self.events.pop()
    }
}

impl UtteranceTimeline {
    fn open_entry(&mut self) -> Option<&mut PendingUtterance> {
        self.utterances.last_mut().filter(|entry| entry.state == UtteranceState::Open)
    }

    /// Another utterance, which begins at `from`, replaces the open one. If it begins after the audio that was sent, the audio
    /// sent so far is committed, so that its words are not taken for those of the new utterance.
    fn abandon_open(&mut self, from: u64) {
        let sent = self.line.as_ref().map_or(0, |line| line.sent);
        if self.open_entry().is_none() {
            return;
        }
        if from < sent {
            self.utterances.pop();
        } else {
            self.abandon(self.utterances.len() - 1);
        }
    }

    /// The words of an utterance are not needed any more. If audio of it was sent, that audio is still committed, so that its
    /// words are not taken for those of the next utterance.
    fn abandon(&mut self, index: usize) {
        let sent = self.line.as_ref().filter(|line| line.streamed > 0).map_or(0, |line| line.sent);
        let entry = &mut self.utterances[index];
        if sent <= entry.from {
            self.utterances.remove(index);
            return;
        }
        entry.utterance = None;
        entry.state = match entry.state {
            UtteranceState::Committed { at, stop, .. } => {
                UtteranceState::Committed { at, stop, deadline: None }
            }
            _ => UtteranceState::Ended { at: sent, stop: sent, deadline: None },
        };
    }

    fn covered(&mut self, until_ms: u64, by_commit: bool) {
        if let Some(line) = &mut self.line {
            line.covered_ms = line.covered_ms.max(until_ms);
        }
        loop {
            if !self.line.as_ref().is_some_and(|line| line.covers_commit(until_ms, by_commit)) {
                return;
            }
            self.part_is_done();
        }
    }

    fn part_is_done(&mut self) {
        let Some(line) = &mut self.line else { return };
        let Some(commit) = line.commits.pop_front() else { return };
        let text = std::mem::take(&mut line.words);
        line.interim.clear();
        self.done = commit.end;
        self.words.keep(commit.speech_end, text);
        self.finish();
    }

    /// Reports the utterances with commits that are done.
    fn finish(&mut self) {
        let outstanding = self.line.as_ref().and_then(|line| line.commits.front()).map(|it| it.end);
        let is_done = |entry: &PendingUtterance| match entry.state {
            UtteranceState::Committed { stop, .. } => outstanding.is_none_or(|end| stop < end),
            _ => false,
        };
        let (done, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.utterances).into_iter().partition(is_done);
        self.utterances = rest;
        for entry in done {
            if let Some(utterance) = entry.utterance {
                let text = self.words.since(entry.from);
                self.events.push(SttEvent::Final { utterance, text });
            }
        }
    }

    /// Reports the words so far of the open utterance, unless the newest words belong to an earlier one.
    fn report_partial(&mut self) {
        let Some(open) = self.utterances.last().filter(|it| it.state == UtteranceState::Open) else { return };
        let (Some(utterance), Some(line)) = (open.utterance, &self.line) else { return };
        if line.commits.front().is_some_and(|commit| commit.speech_end <= open.from) {
            return;
        }
        let mut text = self.words.since(open.from);
        append(&mut text, &line.words);
        append(&mut text, &line.interim);
        self.events.drop_partial(utterance);
        self.events.push(SttEvent::Partial { utterance, text });
    }
}

#[cfg(test)]
mod tests;
