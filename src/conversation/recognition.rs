//! The caller's words, in any turn: those of their utterance, and those of speech over the agent.

use super::endpoint::{settled_words, spoken};
use super::floor::Floor;
use super::interruption::{PendingWords, SpokenOver};
use super::words::{TurnEnd, bounded};
use super::{At, Conversation, Recognition, UtteranceId};

impl Conversation {
    pub(super) fn recognition(&mut self, now: At, utterance: UtteranceId, event: &Recognition) {
        if !matches!(event, Recognition::Final { .. } | Recognition::Failed) {
            self.out.asked.mark_streamed();
        }
        match event {
            Recognition::Partial { text } => self.partial_words(now, utterance, bounded(text.trim())),
            Recognition::TurnStarted { text } | Recognition::TurnResumed { text } => {
                self.judged_words(now, utterance, bounded(text.trim()), TurnEnd::Awaited);
            }
            Recognition::TurnMayEnd { text } => {
                self.judged_words(now, utterance, bounded(text.trim()), TurnEnd::Possible);
            }
            Recognition::TurnEnded { text } => {
                if !self.words_on_hold(now, utterance, spoken(bounded(text))) {
                    self.words_of_turn(now, utterance, spoken(bounded(text)));
                }
            }
            Recognition::Final { text } => {
                if !self.words_on_hold(now, utterance, spoken(bounded(text))) {
                    self.words(now, utterance, spoken(bounded(text)));
                }
            }
            Recognition::Failed => {
                if !self.words_on_hold(now, utterance, "") {
                    self.words_failed(now, utterance);
                }
            }
        }
    }

    fn words(&mut self, now: At, utterance: UtteranceId, text: &str) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_words(now, utterance, text),
            Floor::Agent(..) => {
                if let Some(pending) = self.pending(utterance) {
                    self.words_over(now, pending, text);
                }
            }
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
    }

    /// The words of speech over the agent, or in place of keys that it waits for.
    fn words_over(&mut self, now: At, pending: PendingWords, text: &str) {
        if self.give_way_to_words(now, pending.over, text) {
            return self.utterance_words(now, pending.utterance, text);
        }
        self.recognition_times.add(now.since(pending.to));
        self.withdraw_words(now, text);
    }

    /// Gives the floor to a caller who speaks over the agent, if the words want it. Returns whether they do.
    fn give_way_to_words(&mut self, now: At, over: SpokenOver, text: &str) -> bool {
        let Floor::Agent(response, _) = &self.floor else { return false };
        let takes = over.is_meant(text, self.language) && self.gives_way(response);
        let takes = takes && self.digits_said(text).is_none();
        if takes {
            self.give_way(now);
        }
        takes
    }

    /// The words over the agent leave the floor to it.
    fn withdraw_words(&mut self, now: At, text: &str) {
        // A caller who says more is recognised from the beginning again.
        let digits = self.digits_said(text).filter(|_| self.voice.is_none());
        self.withdraw(now);
        self.collect_said(now, digits.unwrap_or_default());
    }

    /// The words so far of a turn of which the engine judges the end.
    fn judged_words(&mut self, now: At, utterance: UtteranceId, text: &str, end: TurnEnd) {
        if let Floor::Agent(_, Some(interruption)) = &mut self.floor {
            interruption.judge(utterance, text, end);
            self.partial_words(now, utterance, text);
        } else {
            self.turn_judged(utterance, text, end);
        }
    }

    /// The engine has ended the caller's turn.
    fn words_of_turn(&mut self, now: At, utterance: UtteranceId, text: &str) {
        match &self.floor {
            Floor::Caller(_) => self.turn_ended(now, utterance, text),
            Floor::Agent(response, Some(interruption)) if interruption.is_open(utterance) => {
                let over = response.spoken_over(interruption.from(), &self.texts);
                if self.give_way_to_words(now, over, text) {
                    self.turn_ended(now, utterance, text);
                } else {
                    self.withdraw_words(now, text);
                }
            }
            Floor::Agent(..) => self.words(now, utterance, text),
            Floor::NotConnected | Floor::Free | Floor::Ended => {}
        }
    }

    /// The words so far: those with a meaning interrupt the agent while the caller speaks on.
    fn partial_words(&mut self, now: At, utterance: UtteranceId, text: &str) {
        let Floor::Agent(response, Some(interruption)) = &mut self.floor else {
            return self.utterance_partial(now, utterance, text);
        };
        let over = response.spoken_over(interruption.from(), &self.texts);
        let heard = interruption.hear(utterance, text);
        if heard && self.digits_said(text).is_none() {
            self.give_way_to_words(now, over, settled_words(text));
        }
    }

    fn words_failed(&mut self, now: At, utterance: UtteranceId) {
        match &self.floor {
            Floor::Caller(_) => self.utterance_failed(now, utterance),
            Floor::Agent(..) if self.pending(utterance).is_some() => self.withdraw(now),
            _ => {}
        }
    }

    /// The speech over the agent that `utterance` is.
    fn pending(&self, utterance: UtteranceId) -> Option<PendingWords> {
        let Floor::Agent(_, Some(interruption)) = &self.floor else { return None };
        interruption.pending().filter(|pending| pending.utterance == utterance)
    }
}
