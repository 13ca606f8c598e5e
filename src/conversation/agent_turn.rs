//! The agent's turn: its response arrives, is played, or fails.

use std::time::Duration;

use super::floor::Floor;
use super::interruption::Interruption;
use super::response::{Afterwards, Response};
use super::timer::Timer;
use super::{
    At, Command, Conversation, Ending, Output, Phrase, PlaybackEvent, PlaybackProgress, ResponseEvent, Say,
    SpeechId, TurnId,
};

/// How long after a filler the next one plays, if the caller still waits.
const FILLER_AGAIN: Duration = Duration::from_secs(5);

impl Conversation {
    pub(super) fn response(&mut self, now: At, turn: TurnId, event: ResponseEvent) {
        match event {
            ResponseEvent::Text(text) => self.response_text(now, turn, &text),
            ResponseEvent::Spoken(words) => self.response_spoken(now, turn, &words),
            ResponseEvent::SoundEnds { after } => self.response_sound_ends(turn, after),
            ResponseEvent::ToolCall(call) => self.tool_called(now, turn, call),
            ResponseEvent::Writing => self.response_goes_on(now, turn),
            ResponseEvent::Paused => self.response_pauses(now, turn),
            ResponseEvent::EndCall => self.response_ends_call(turn),
            ResponseEvent::Finished => self.response_ended(now, turn),
            ResponseEvent::Failed => self.response_failed(now, turn),
        }
    }

    pub(super) fn playback(&mut self, now: At, speech: SpeechId, event: &PlaybackEvent) {
        match *event {
            PlaybackEvent::Synthesised => self.synthesised(now, speech),
            PlaybackEvent::Started => self.playback_started(now, speech),
            PlaybackEvent::Progress(progress) => self.played(now, speech, progress),
            PlaybackEvent::Ended => self.playback_ended(now, speech),
            PlaybackEvent::SynthesisFailed => self.synthesis_failed(now, speech),
        }
    }

    fn response_text(&mut self, now: At, turn: TurnId, text: &str) {
        let Some(response) = self.floor.response_mut().filter(|response| response.turn == turn) else {
            return;
        };
        response.add(now, text, self.language, &mut self.out);
        self.watch_for_stall(now);
    }

    fn response_spoken(&mut self, now: At, turn: TurnId, words: &str) {
        if let Some(response) = self.floor.response_mut().filter(|response| response.turn == turn) {
            response.add_spoken(now, words, &mut self.out);
            self.watch_for_stall(now);
        }
    }

    fn response_sound_ends(&mut self, turn: TurnId, after: Duration) {
        if let Some(response) = self.floor.response_mut().filter(|response| response.turn == turn) {
            response.end_sound(after);
        }
    }

    fn response_goes_on(&mut self, now: At, turn: TurnId) {
        if self.floor.response_mut().is_some_and(|response| response.turn == turn) {
            self.response_pauses(now, turn);
            self.watch_for_stall(now);
        }
    }

    fn response_pauses(&mut self, now: At, turn: TurnId) {
        if let Some(response) = self.floor.response_mut().filter(|response| response.turn == turn) {
            response.pause(now, self.language, &mut self.out);
        }
    }

    fn response_ended(&mut self, now: At, turn: TurnId) {
        let Some(response) = self.floor.response_mut() else { return };
        if response.turn == turn && response.is_streaming() {
            response.end(now, self.language, &mut self.out);
            self.advance_tools(now);
            self.response_completed(now);
        }
    }

    fn response_ends_call(&mut self, turn: TurnId) {
        let Some(response) = self.floor.response_mut() else { return };
        if response.turn == turn && response.is_streaming() {
            response.hang_up_afterwards();
        }
    }

    fn response_failed(&mut self, now: At, turn: TurnId) {
        let response = self.floor.response_mut();
        if response.is_some_and(|response| response.turn == turn && response.is_streaming()) {
            self.break_off(now);
        }
    }

    fn response_completed(&mut self, now: At) {
        match &self.floor {
            // A prepared response that failed is repaired at the commit.
            Floor::Agent(response, _) if response.is_incomplete() => self.repair(now),
            _ => self.finish_if_over(now),
        }
    }

    fn synthesised(&mut self, now: At, speech: SpeechId) {
        if let Some(response) = self.floor.response_mut().filter(|response| response.contains(speech)) {
            response.synthesised(now);
        }
    }

    fn playback_started(&mut self, now: At, speech: SpeechId) {
        if let Some(response) = self.audible(speech) {
            response.started(speech, now);
            self.timers.stop(Timer::Filler);
        }
    }

    fn played(&mut self, now: At, speech: SpeechId, progress: PlaybackProgress) {
        if let Some(response) = self.audible(speech) {
            response.played(speech, now, progress);
            self.timers.stop(Timer::Filler);
        }
    }

    fn playback_ended(&mut self, now: At, speech: SpeechId) {
        if self.filler.take_if(|filler| *filler == speech).is_some() {
            self.timers.start(Timer::Filler, now, FILLER_AGAIN);
        }
        if let Some(response) = self.audible(speech) {
            let was_protected = response.is_protected();
            response.ended(speech);
            let was_protected = was_protected && !response.is_protected();
            let is_notice = response.is_audible_notice(speech);
            let breaks_off = response.is_broken_speech(speech);
            if is_notice {
                self.out.push(Output::NoticeHeard);
            }
            if was_protected {
                self.protection_ends(now);
            }
            self.speech_over(now);
            if breaks_off && !self.settings.filler_ms.is_zero() {
                // The caller has waited for the rest of the sentence already.
                self.play_filler(now);
            }
        }
    }

    /// From now on the caller may speak over the agent; speech that has begun already counts from now.
    fn protection_ends(&mut self, now: At) {
        if self.take_chosen(now) {
            return;
        }
        if self.awaits_greeting() {
            self.await_response(now);
        }
        let speaks_over = matches!(&self.floor, Floor::Agent(response, None) if !response.is_goodbye());
        if self.voice.is_some() && speaks_over {
            self.speak_over(now);
        }
    }

    fn synthesis_failed(&mut self, now: At, speech: SpeechId) {
        let Some(response) = self.floor.response_mut().filter(|response| response.contains(speech)) else {
            return;
        };
        response.broke(speech, &mut self.out);
        self.speech_over(now);
    }

    /// A speech of the response is over: tools that wait for it start, and a caller who waits for one hears a filler in time.
    fn speech_over(&mut self, now: At) {
        self.advance_tools(now);
        if matches!(&self.floor, Floor::Agent(response, _) if response.is_busy()) {
            if !self.timers.is_running(Timer::Filler) {
                self.await_response(now);
            }
            self.await_first_key(now);
            self.watch_for_stall(now);
        }
        self.finish_if_over(now);
    }

    /// The transcript or the response is late: plays a filler, but not while the caller speaks.
    pub(super) fn play_filler(&mut self, now: At) {
        let turn = match &self.floor {
            Floor::Caller(utterance) if utterance.is_overdue() => utterance.response_turn(),
            Floor::Agent(response, _) if response.tools.is_collecting() => return,
            Floor::Agent(response, _) if response.keeps_waiting() || self.awaits_greeting() => response.turn,
            _ => return,
        };
        if self.voice.is_some() || self.floor.is_paused() || self.hold.is_on() {
            return self.timers.start(Timer::Filler, now, FILLER_AGAIN);
        }
        if self.awaits_greeting() {
            return self.replace_greeting(now);
        }
        if let Some(words) =
            self.floor.response_mut().and_then(|response| response.tools.take_delayed_words())
        {
            return self.say(Say::Text(words.as_ref().to_owned()));
        }
        if self.settings.filler_ms.is_zero() {
            return;
        }
        let speech = self.out.new_speech();
        self.filler = Some(speech);
        self.out.command(Command::Speak { speech, turn, what: Say::Phrase(Phrase::Filler), held: false });
    }

    pub(super) fn say(&mut self, what: Say) {
        if let Floor::Agent(response, _) = &mut self.floor {
            response.say(what, &mut self.out);
        }
    }

    /// An engine's failure leaves the caller without a response: plays a prompt that says so, or ends the call. A turn fails
    /// once.
    pub(super) fn fail(&mut self, now: At, phrase: Phrase) {
        let Floor::Agent(response, _) = &mut self.floor else { return };
        if std::mem::replace(&mut response.failed, true) {
            return;
        }
        self.limits.turn_failed();
        self.timers.stop(Timer::Filler);
        if self.limits.too_many_failures(&self.settings) {
            self.say_goodbye(now, Phrase::Goodbye, Ending::EngineFailure);
        } else {
            self.say(Say::Phrase(phrase));
        }
    }

    /// Ends the turn when everything was played and speech over it has been judged.
    pub(super) fn finish_if_over(&mut self, now: At) {
        let Floor::Agent(response, interruption) = &self.floor else { return };
        let waits = self.voice.is_none() && interruption.as_ref().is_some_and(Interruption::is_late);
        if response.is_over() && !waits {
            self.finish(now);
        }
    }

    /// Ends the agent's turn.
    pub(super) fn finish(&mut self, now: At) {
        let Floor::Agent(mut response, interruption) = std::mem::replace(&mut self.floor, Floor::Free) else {
            return;
        };
        self.stop_responding();
        self.conclude(now, &mut response, false);
        let is_spoken_over = interruption.is_some() || self.voice.is_some();
        if response.was_heard() && !is_spoken_over {
            self.out.asked.begin_anew();
        }
        match response.afterwards() {
            Afterwards::CallEnds(ending) => self.hang_up(ending),
            Afterwards::AgentHangsUp if !is_spoken_over => self.agent_ends_call(now),
            // A caller who speaks over the last words has more to say.
            Afterwards::AgentHangsUp | Afterwards::CallersTurn => {
                let spoken_over = interruption.map(|interruption| self.outlasted_by(interruption));
                self.settle(now, spoken_over);
            }
        }
    }

    /// Records the turn, and counts it when an engine failed in it.
    pub(super) fn conclude(&mut self, now: At, response: &mut Response, interrupted: bool) {
        if response.tools.is_collecting() {
            self.timers.stop(Timer::Keys);
        }
        response.tools.close(now, interrupted);
        if response.was_heard() {
            self.limits.turn_succeeded();
        } else if response.question.is_some() && response.is_broken() && !response.failed {
            self.limits.turn_failed();
        }
        if (!interrupted && !response.failed) || response.was_heard_after_acting() {
            self.actions.answered();
        }
        self.prompted = response.wants_an_answer(&self.texts);
        let mut record = response.record(&self.texts, interrupted);
        record.tools.splice(..0, self.take_late_tools());
        self.transcript.add_agent(response.items(&self.texts, interrupted));
        self.detach_tools(response);
        self.out.push(Output::TurnFinished(record));
    }

    /// The response that `speech` belongs to, if it may be played.
    fn audible(&mut self, speech: SpeechId) -> Option<&mut Response> {
        self.floor.response_mut().filter(|response| response.is_committed() && response.contains(speech))
    }
}
