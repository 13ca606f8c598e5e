//! Keypad menus: the caller chooses by a key, or by words that mean the same.
//!
//! | state | event | next | then |
//! |---|---|---|---|
//! | closed | the conversation begins, and the main menu does | open | the agent says the greeting and the prompt |
//! | closed | the key of the main menu, with no entry begun | open | the prompt |
//! | open | a key or words of a choice | closed, open | the step of the choice |
//! | open | a key while words are played that are not to be interrupted | chosen | – |
//! | chosen | those words are over | as by the key | – |
//! | open | another key, or silence | open | the prompt again; after the last repetition the step for that |
//! | open | the same, a menu would follow, and a silent caller has had all prompts | closed | the goodbye |
//! | open | other words | closed | the agent answers them |
//! | any | another agent goes on | closed | – |
//!
//! A key counts over the prompt as well, which ends with it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::limits::Turn;
use super::response::Response;
use super::timer::Timer;
use super::utterance::Utterance;
use super::words::Words;
use super::{At, Conversation, Ending, Phrase, ToolAction, ToolEffect, ToolRequest};
use crate::dtmf::Digit;
use crate::language::{Language, dictated_digits, words};

/// The menus of an agent; the first one is the main menu.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Menus {
    pub menus: Vec<Menu>,
    pub opening: MenuOpening,
    /// The key that opens the main menu at any time.
    pub key: Option<Digit>,
}

/// When the main menu is opened, its key apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MenuOpening {
    #[default]
    ByKey,
    /// The conversation begins with it.
    AtStart,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    pub prompt: Arc<str>,
    /// Said before the prompt is repeated for a key that is no choice.
    pub invalid: Option<Arc<str>>,
    /// The longest silence after the prompt.
    pub timeout: Duration,
    /// How often the prompt is repeated.
    pub repetitions: u32,
    pub choices: Vec<MenuChoice>,
    /// The step after the last repetition.
    pub otherwise: MenuStep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuChoice {
    pub key: Digit,
    /// Words that mean the same as the key.
    pub words: Vec<Arc<str>>,
    pub step: MenuStep,
}

/// The agent's words, and its action after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuStep {
    pub say: Option<Arc<str>>,
    pub action: MenuAction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MenuAction {
    /// The model answers; after words, it is the caller's turn.
    Agent,
    /// The menu of this place in the list.
    Menu(usize),
    /// A tool runs as if the model had called it, and the model goes on with its result.
    Act { name: Arc<str>, arguments: Arc<str>, action: ToolAction },
    /// The call ends.
    EndCall,
}

impl Menus {
    /// The menus with other texts.
    #[must_use]
    pub fn with_texts(&self, text: impl Fn(&Arc<str>) -> Arc<str>) -> Menus {
        let mut menus = self.clone();
        for menu in &mut menus.menus {
            let steps = menu.choices.iter_mut().map(|choice| &mut choice.step);
            let said = steps.chain([&mut menu.otherwise]).filter_map(|step| step.say.as_mut());
            for said in said.chain([&mut menu.prompt]).chain(menu.invalid.as_mut()) {
                *said = text(said);
            }
        }
        menus
    }

    /// All texts that are said.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.menus.iter().flat_map(|menu| {
            let steps = menu.choices.iter().map(|choice| &choice.step).chain([&menu.otherwise]);
            [&menu.prompt].into_iter().chain(&menu.invalid).chain(steps.filter_map(|step| step.say.as_ref()))
        })
    }
}

impl MenuStep {
    fn is_agent_alone(&self) -> bool {
        self.say.is_none() && self.action == MenuAction::Agent
    }
}

impl Menu {
    fn by_key(&self, key: Digit) -> Option<&MenuStep> {
        self.choices.iter().find(|choice| choice.key == key).map(|choice| &choice.step)
    }

    /// Its prompt was repeated as often as it may be, and a menu follows.
    fn leads_to_a_menu(&self, open: OpenMenu) -> bool {
        open.repeated >= self.repetitions && matches!(self.otherwise.action, MenuAction::Menu(_))
    }

    /// The one choice that the words mean: those that it has, or its digit.
    fn by_words(&self, text: &str, language: &Language) -> Option<&MenuStep> {
        let said = words(text);
        let digits = dictated_digits(text, language);
        let means = |choice: &&MenuChoice| {
            let is_digit = digits.as_deref().is_some_and(|it| it.chars().eq([choice.key.as_char()]));
            is_digit || choice.words.iter().any(|phrase| contains(&said, &words(phrase)))
        };
        let mut meant = self.choices.iter().filter(means);
        let only = meant.next()?;
        meant.next().is_none().then_some(&only.step)
    }
}

fn contains(said: &[String], phrase: &[String]) -> bool {
    !phrase.is_empty() && said.windows(phrase.len()).any(|run| run == phrase)
}

/// The menu that the caller hears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MenuState {
    #[default]
    Closed,
    Open(OpenMenu),
    /// A key was pressed, which counts after words that are not to be interrupted.
    Chosen(OpenMenu, Digit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenMenu {
    menu: usize,
    /// How often its prompt was repeated.
    repeated: u32,
}

impl MenuState {
    pub fn is_open(self) -> bool {
        self != MenuState::Closed
    }
}

impl Conversation {
    fn open_menu(&self) -> Option<(OpenMenu, &Menu)> {
        let (MenuState::Open(open) | MenuState::Chosen(open, _)) = self.menu else { return None };
        Some((open, self.settings.menus.menus.get(open.menu)?))
    }

    /// The silence after which the caller is prompted.
    pub(super) fn prompted_after(&self) -> Duration {
        self.open_menu().map_or(self.settings.silence_ms, |(_, menu)| menu.timeout)
    }

    /// The conversation begins with the main menu, after the words that the agent says now.
    pub(super) fn begin_with_menu(&mut self) {
        let menus = &self.settings.menus;
        if let (MenuOpening::AtStart, Some(main)) = (menus.opening, menus.menus.first()) {
            let prompt = main.prompt.clone();
            self.menu = MenuState::Open(OpenMenu { menu: 0, repeated: 0 });
            self.say_text(&prompt);
        }
    }

    /// Whether the conversation begins with a menu.
    pub(super) fn begins_with_menu(&self) -> bool {
        let menus = &self.settings.menus;
        menus.opening == MenuOpening::AtStart && !menus.menus.is_empty()
    }

    fn say_text(&mut self, text: &str) {
        if let Floor::Agent(response, _) = &mut self.floor {
            response.say_all(text, self.language, &mut self.out);
        }
    }

    /// Whether a key opens the main menu now.
    pub(super) fn opens_main_menu(&self, key: Digit) -> bool {
        let may = match &self.floor {
            Floor::Free | Floor::Caller(_) => true,
            Floor::Agent(response, _) => !response.is_goodbye() && !response.is_protected(),
            Floor::NotConnected | Floor::Ended => false,
        };
        let is_entering = self.keypad.is_entering() || self.keypad.is_complete();
        let menus = &self.settings.menus;
        menus.key == Some(key) && !menus.menus.is_empty() && may && !is_entering && !self.hold.is_on()
    }

    pub(super) fn open_main_menu(&mut self, now: At, key: Digit) {
        self.step_by_key(now, key, MenuStep { say: None, action: MenuAction::Menu(0) });
    }

    /// A key while a menu is open.
    pub(super) fn menu_key(&mut self, now: At, key: Digit) {
        let Some((open, menu)) = self.open_menu() else { return };
        match &self.floor {
            Floor::Agent(response, _) if response.is_goodbye() => {}
            Floor::Agent(response, _) if response.is_protected() => self.menu = MenuState::Chosen(open, key),
            _ => {
                let step = menu.by_key(key).cloned();
                // The key of the main menu, where the menu has no such choice.
                let step = step.or_else(|| {
                    let is_main = self.settings.menus.key == Some(key);
                    is_main.then_some(MenuStep { say: None, action: MenuAction::Menu(0) })
                });
                let invalid = menu.invalid.clone();
                match step.or_else(|| self.repeated(open, invalid)) {
                    Some(step) => self.step_by_key(now, key, step),
                    None => self.menu = MenuState::Closed,
                }
            }
        }
    }

    /// Words are over that are not to be interrupted: a key that was pressed meanwhile counts now. Returns whether there was one.
    pub(super) fn take_chosen(&mut self, now: At) -> bool {
        let MenuState::Chosen(open, key) = self.menu else { return false };
        self.menu = MenuState::Open(open);
        self.menu_key(now, key);
        true
    }

    /// The prompt again, after `words`; the step for that after the last repetition.
    fn repeated(&mut self, open: OpenMenu, words: Option<Arc<str>>) -> Option<MenuStep> {
        let menu = self.settings.menus.menus.get(open.menu)?;
        if open.repeated >= menu.repetitions {
            return Some(menu.otherwise.clone());
        }
        self.menu = MenuState::Open(OpenMenu { repeated: open.repeated + 1, ..open });
        Some(MenuStep { say: words, action: MenuAction::Menu(open.menu) })
    }

    /// The caller has been silent for the menu's time. A menu that leads to another one, or begins again, counts as a prompt
    /// of a silent caller.
    pub(super) fn menu_silence(&mut self, now: At) {
        let open = self.open_menu().map(|(open, menu)| (open, menu.leads_to_a_menu(open)));
        let step = open.and_then(|(open, is_prompt)| {
            let may = !is_prompt || self.limits.may_prompt(&self.settings);
            if may { self.repeated(open, None) } else { None }
        });
        match step {
            Some(step) if !step.is_agent_alone() => self.take_step(now, step),
            // The caller has said nothing that the model could answer.
            _ => {
                self.menu = MenuState::Closed;
                self.prompt_silent_caller(now);
            }
        }
    }

    /// The step that the caller's words mean. The menu is closed, also where they mean none: the agent answers them.
    pub(super) fn step_by_words(&mut self) -> Option<MenuStep> {
        let is_emergency = self.is_emergency_known();
        let (_, menu) = self.open_menu()?;
        let step = match &self.floor {
            Floor::Caller(Utterance { words: Words::Known(text), .. }) if !is_emergency => {
                menu.by_words(text, self.language).cloned()
            }
            _ => None,
        };
        if matches!(&self.floor, Floor::Caller(Utterance { words: Words::Known(_), .. })) {
            self.menu = MenuState::Closed;
        }
        step.filter(|step| !step.is_agent_alone())
    }

    fn step_by_key(&mut self, now: At, key: Digit, step: MenuStep) {
        self.take_floor(now);
        self.enter_choice(now, key);
        if step.is_agent_alone() {
            self.menu = MenuState::Closed;
            return self.answer_entry(now);
        }
        self.note_rest(Vec::new());
        self.limits.turn_taken(Turn::Counted);
        self.take_step(now, step);
    }

    /// The caller has said the words of a choice.
    pub(super) fn step_by_speech(&mut self, now: At, step: MenuStep) {
        self.limits.turn_taken(Turn::Counted);
        self.take_step(now, step);
    }

    /// Takes the floor, and the step.
    fn take_step(&mut self, now: At, step: MenuStep) {
        let open = std::mem::take(&mut self.menu);
        self.take_floor(now);
        self.timers.stop(Timer::Silence);
        if let Some((phrase, ending)) = self.limits.reached(&self.settings) {
            return self.say_goodbye(now, phrase, ending);
        }
        match step.action {
            MenuAction::Menu(menu) => self.enter_menu(now, open, menu, step.say),
            MenuAction::EndCall => self.end_from_menu(now, step.say),
            MenuAction::Agent => {
                let response = Response::prompt(self.out.new_turn(), now, None);
                self.floor = Floor::Agent(response, None);
                self.say_text(step.say.as_deref().unwrap_or_default());
            }
            MenuAction::Act { name, arguments, action } => {
                self.actions.begin_anew();
                let turn = self.out.new_turn();
                let mut response = Response::composed(turn, now);
                let tool = self.out.new_tool();
                let id = format!("menu-{}", tool.0).into();
                response.tools.add(
                    tool,
                    turn,
                    ToolRequest { id, name, arguments, action, effect: ToolEffect::None },
                );
                self.floor = Floor::Agent(response, None);
                self.say_text(step.say.as_deref().unwrap_or_default());
                self.advance_tools(now);
            }
        }
    }

    fn enter_menu(&mut self, now: At, before: MenuState, menu: usize, say: Option<Arc<str>>) {
        let Some(prompt) = self.settings.menus.menus.get(menu).map(|menu| menu.prompt.clone()) else {
            return self.settle(now, None);
        };
        let repeated = match before {
            MenuState::Open(open) | MenuState::Chosen(open, _) if open.menu == menu => open.repeated,
            _ => 0,
        };
        self.menu = MenuState::Open(OpenMenu { menu, repeated });
        let response = Response::prompt(self.out.new_turn(), now, None);
        self.floor = Floor::Agent(response, None);
        self.say_text(say.as_deref().unwrap_or_default());
        self.say_text(&prompt);
        self.finish_if_over(now);
    }

    fn end_from_menu(&mut self, now: At, say: Option<Arc<str>>) {
        let Some(text) = say else {
            return self.say_goodbye(now, Phrase::Goodbye, Ending::AgentHungUp);
        };
        self.timers.stop_all();
        self.limit_words_of_goodbye(now, &text);
        let response = Response::prompt(self.out.new_turn(), now, Some(Ending::AgentHungUp));
        self.floor = Floor::Agent(response, None);
        self.say_text(&text);
    }
}
