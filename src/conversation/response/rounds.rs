//! The rounds of a response: its words, then the tools that it calls, then the model is asked again.

use std::collections::HashMap;
use std::time::Duration;

use super::{Afterwards, Progress, Response, ResponseSpeech, ResponseText, Source};
use crate::conversation::clauses::Clauses;
use crate::conversation::outbox::Outbox;
use crate::conversation::tool_work::{Spoken, items_of};
use crate::conversation::transcript::heard;
use crate::conversation::{At, ContextItem, Phrase, Say};
use crate::language::Language;

impl Response {
    /// The text of the round is complete: speaks the rest of it. The response is complete unless it calls tools.
    pub fn end(&mut self, now: At, language: &Language, out: &mut Outbox) {
        let rest = match &mut self.text {
            ResponseText::Awaited => Vec::new(),
            ResponseText::Streaming(clauses) => clauses.end(language),
            ResponseText::Tools | ResponseText::Complete | ResponseText::BrokenOff => return,
        };
        self.say_clauses(now, rest, out);
        self.end_round(out);
    }

    /// Adds the next words of a response that the model speaks itself: one speech in each round.
    pub fn add_spoken(&mut self, now: At, words: &str, out: &mut Outbox) {
        if !self.is_streaming() {
            return;
        }
        if matches!(self.text, ResponseText::Awaited) {
            self.text = ResponseText::Streaming(Clauses::default());
            let reply = now.since(self.since);
            self.latency.reply.get_or_insert(reply);
            self.latency.clause.get_or_insert(reply);
            self.say(Say::Spoken, out);
        }
        if let Some(speech) = self.speeches.iter_mut().rfind(|speech| speech.what == Say::Spoken) {
            speech.kept.get_or_insert_default().push_str(words);
        }
    }

    /// The audio of the model's own speech in this round ends after so long, and its words may be ahead of it: those that have no
    /// audio, by the usual speaking rate, are dropped, and so is a speech without audio.
    pub fn end_sound(&mut self, after: Duration) {
        let round = self.tools.round();
        let is_it = |speech: &ResponseSpeech| speech.what == Say::Spoken && speech.round == round;
        if after.is_zero() {
            self.speeches.retain(|speech| !is_it(speech));
        } else if let Some(speech) = self.speeches.iter_mut().rfind(|speech| is_it(speech)) {
            speech.kept = speech.kept.take().map(|words| heard(&words, after, None).to_owned());
        }
    }

    /// The first audio of a speech is there.
    pub fn synthesised(&mut self, now: At) {
        self.latency.speech.get_or_insert(now.since(self.since));
    }

    /// The text of the round broke off: an unfinished sentence is dropped, and so are calls of tools that were not started.
    pub fn break_off(&mut self, language: &Language, out: &mut Outbox) {
        if let ResponseText::Streaming(clauses) = &mut self.text {
            for clause in clauses.break_off(language) {
                self.say(Say::Text(clause), out);
            }
        }
        self.tools.drop_waiting();
        self.end_round(out);
        if self.is_complete() && self.afterwards == Afterwards::CallersTurn {
            self.text = ResponseText::BrokenOff;
        }
    }

    fn end_round(&mut self, out: &mut Outbox) {
        if self.tools.has_calls() {
            self.text = ResponseText::Tools;
        } else {
            self.complete(out);
        }
    }

    /// The results of the round's tools are there: the model is asked again, unless the agent hangs up or may ask no more.
    /// Returns false when the response is complete instead.
    pub fn begin_round(&mut self, out: &mut Outbox) -> bool {
        let goes_on = self.afterwards == Afterwards::CallersTurn && self.tools.begin_round();
        if goes_on {
            self.text = ResponseText::Awaited;
        } else {
            self.complete(out);
        }
        goes_on
    }

    /// The response ends with a prompt, and the model is not asked again.
    pub fn end_with(&mut self, phrase: Phrase, out: &mut Outbox) {
        self.tools.begin_round();
        self.say(Say::Phrase(phrase), out);
        self.complete(out);
    }

    /// The text of the round is complete, and all tools that it calls are done.
    pub fn awaits_round(&self) -> bool {
        matches!(self.text, ResponseText::Tools) && self.tools.is_settled()
    }

    /// How much of the agent's words so far was said.
    pub fn spoken(&self) -> Spoken {
        match self.text {
            ResponseText::Awaited | ResponseText::Streaming(_) => Spoken::Streaming,
            _ if self.is_pending() => Spoken::Complete,
            _ => Spoken::Played,
        }
    }

    /// The agent said something in the present round.
    pub fn has_spoken_in_round(&self) -> bool {
        let round = self.tools.round();
        self.speeches.iter().any(|speech| speech.round == round)
    }

    /// The rest of the response is awaited, after words of it or tools, and nothing plays.
    pub fn is_busy(&self) -> bool {
        let is_playing = self.speeches.iter().any(|speech| speech.progress == Progress::Playing);
        let has_begun = self.tools.has_acted() || !self.speeches.iter().all(ResponseSpeech::is_waiting);
        self.source == Source::Model && self.is_committed() && !self.is_over() && !is_playing && has_begun
    }

    /// The caller waits, and hears nothing of the response.
    pub fn keeps_waiting(&self) -> bool {
        self.is_awaited() || self.is_busy()
    }

    /// The response has no text, and the agent neither hangs up nor has called a tool: it failed.
    pub fn is_wordless(&self) -> bool {
        !self.tools.has_acted() && !self.has_text(0)
    }

    /// The present round has no text: a response that breaks off here leaves the caller without words.
    pub fn is_wordless_round(&self) -> bool {
        !self.has_text(self.tools.round())
    }

    fn has_text(&self, from: usize) -> bool {
        let mut speeches = self.speeches.iter().filter(|speech| speech.round >= from);
        self.afterwards == Afterwards::AgentHangsUp
            || speeches.any(|speech| matches!(speech.what, Say::Text(_) | Say::Spoken))
    }

    /// The turn as the model reads it once it is over: the words as far as they were heard, and the tools.
    pub fn items(&self, texts: &HashMap<Phrase, String>, interrupted: bool) -> Vec<ContextItem> {
        self.rounds(|speech| speech.heard(speech.text(texts)), interrupted)
    }

    /// The turn so far as the model reads it to go on: the words will be heard, unless their synthesis failed.
    pub fn items_so_far(&self, texts: &HashMap<Phrase, String>) -> Vec<ContextItem> {
        self.rounds(|speech| speech.expected(speech.text(texts)), false)
    }

    fn rounds<'a>(
        &'a self,
        text: impl Fn(&'a ResponseSpeech) -> &'a str,
        interrupted: bool,
    ) -> Vec<ContextItem> {
        let (mut items, said) = (Vec::new(), self.said(text));
        for round in 0..=self.tools.round() {
            let of_round = said.iter().filter(|(speech, _)| speech.round == round && !speech.is_apology());
            let words = joined(of_round.map(|(_, text)| *text));
            if !words.is_empty() {
                items.push(ContextItem::Agent { text: words, cut_short: false });
            }
            items.extend(items_of(self.tools.of_round(round)));
        }
        let last = items.iter_mut().rfind(|item| matches!(item, ContextItem::Agent { .. }));
        if let Some(ContextItem::Agent { cut_short, .. }) = last {
            *cut_short = interrupted;
        }
        items
    }
}

/// The texts that are not empty, as one.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}
