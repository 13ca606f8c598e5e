//! The agent's first words: the notice, and the greeting as the profile has it.
//!
//! A greeting by the model is asked for when the call is answered, so that the notice covers its delay. The text greeting replaces
//! one that fails or is late.

use super::floor::Floor;
use super::lifecycle::Opening;
use super::response::Response;
use super::{At, Attempt, Conversation, GreetingMode, Phrase, Say};

impl Conversation {
    /// Begins with the notice, if there is one, and the greeting.
    pub(super) fn greet(&mut self, now: At) {
        let has_notice = self.opening == Opening::Notice;
        if self.begins_with_menu() {
            return self.greet_with_menu(now, has_notice);
        }
        match self.settings.greeting_mode {
            GreetingMode::Text if has_notice => {
                self.prompt(now, Phrase::Notice, None);
                self.say(Say::Phrase(Phrase::Greeting));
            }
            GreetingMode::Text => self.prompt(now, Phrase::Greeting, None),
            GreetingMode::Model => self.ask_for_greeting(now, has_notice),
            GreetingMode::Wait if has_notice => self.prompt(now, Phrase::Notice, None),
            GreetingMode::Wait => self.settle(now, None),
        }
    }

    /// The main menu follows the greeting, where that is a text, and replaces it otherwise.
    fn greet_with_menu(&mut self, now: At, has_notice: bool) {
        let has_text = self.settings.greeting_mode == GreetingMode::Text;
        let response = Response::prompt(self.out.new_turn(), now, None);
        self.floor = Floor::Agent(response, None);
        if has_notice {
            self.say(Say::Phrase(Phrase::Notice));
        }
        if has_text {
            self.say(Say::Phrase(Phrase::Greeting));
        }
        self.begin_with_menu();
    }

    fn ask_for_greeting(&mut self, now: At, has_notice: bool) {
        let turn = self.out.new_turn();
        self.floor = Floor::Agent(Response::unasked(turn, now), None);
        if has_notice {
            self.say(Say::Phrase(Phrase::Notice));
        }
        self.ask_model(turn, self.transcript.context(), Attempt::First);
        self.await_response(now);
    }

    /// The caller hears nothing and waits for the model's greeting.
    pub(super) fn awaits_greeting(&self) -> bool {
        let is_awaited = self.settings.greeting_mode == GreetingMode::Model;
        is_awaited
            && matches!(&self.floor, Floor::Agent(response, _) if response.awaits_greeting() && !response.is_pending())
    }

    /// The model's greeting is late, or missing: the caller hears the text.
    pub(super) fn replace_greeting(&mut self, now: At) {
        if let Floor::Agent(response, _) = &mut self.floor {
            response.end_with(Phrase::Greeting, &mut self.out);
            self.finish_if_over(now);
        }
    }
}
