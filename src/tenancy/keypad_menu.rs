//! Keypad menus of a profile: their prompts, and the action of each key.

mod schema;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::check::{LONGEST_PHRASE, LineBreaks, check_name, required, text};
use super::{Label, ProfileSettings, Tool};
use crate::conversation::{
    AgentChoice, DigitRules, DtmfMode, Menu, MenuAction, MenuChoice, MenuOpening, MenuStep, Menus, ToolAction,
};
use crate::dtmf::Digit;
use crate::language::words;
use crate::violation::Violation;

const MOST_MENUS: usize = 10;
/// A keypad has so many keys.
const MOST_CHOICES: usize = 16;
pub(super) const MOST_WORDS: usize = 10;
pub(super) const LONGEST_WORDS: usize = 50;
/// The most choices that lead to a menu.
const DEEPEST: usize = 3;
const LONGEST_TIMEOUT_S: u32 = 60;
const MOST_REPETITIONS: u32 = 5;
const MOST_DIGITS: u32 = 32;

/// A menu that the caller hears, and answers by a key or by words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeypadMenu {
    pub name: Label,
    /// It names the keys: "For opening hours press 1, for orders press 2." May have variables.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*([^\s\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("For opening hours press 1, for orders press 2.")
    )]
    pub prompt: String,
    #[schema(min_items = 1, max_items = 16)]
    pub choices: Vec<KeypadChoice>,
    /// Said before the prompt is repeated for a key that is no choice. Default: the prompt alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub invalid: Option<String>,
    /// The longest silence after the prompt, in seconds. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 60)]
    pub timeout_s: Option<u32>,
    /// How often the prompt is repeated, after silence or a key that is no choice. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 5)]
    pub repetitions: Option<u32>,
    /// The step after the last repetition. Default: the agent goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<KeypadStep>,
}

/// A choice of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeypadChoice {
    #[schema(value_type = String, min_length = 1, max_length = 1, pattern = "^[0-9A-Da-d*#]$", examples("1"))]
    pub key: Digit,
    /// Words that mean the same as the key: "hours", "when do you open". The key itself can be said in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = super::schemas::choice_words)]
    pub words: Vec<String>,
    /// Said before the action. May have variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub say: Option<String>,
    pub then: KeypadAction,
}

/// Words, and an action after them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeypadStep {
    /// Said before the action. May have variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    pub say: Option<String>,
    pub then: KeypadAction,
}

/// The action of a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeypadAction {
    /// The agent goes on: it answers, or listens after words of the choice.
    // With braces: serde ignores the fields of a variant without them.
    Agent {},
    /// The menu of this name.
    Menu { menu: Label },
    /// The caller is transferred to this target of the tenant.
    Transfer { target: Label },
    /// This profile of `switch_to` goes on with the call.
    SwitchAgent { agent: String },
    /// The agent goes on in this one of `languages`.
    SetLanguage { language: String },
    /// Digits are collected, and the agent goes on with them.
    Collect {
        max_digits: u32,
        #[serde(default)]
        masked: bool,
    },
    /// The call ends.
    EndCall {},
}

impl ProfileSettings {
    /// The menus as the conversation has them. A choice that leads nowhere is left out: a profile may have been imported.
    pub fn menus(&self) -> Menus {
        let names: HashMap<&Label, usize> =
            self.keypad_menus.iter().enumerate().rev().map(|(at, menu)| (&menu.name, at)).collect();
        let menus = self.keypad_menus.iter().map(|menu| menu.for_conversation(&names)).collect();
        let at_start = self.keypad_menu_at_start.unwrap_or(true);
        let opening = if at_start { MenuOpening::AtStart } else { MenuOpening::ByKey };
        Menus { menus, opening, key: self.keypad_menu_key }
    }

    /// The transfer targets that its menus name, with the place of each.
    pub fn menu_targets(&self) -> impl Iterator<Item = (String, &Label)> {
        let steps = self.keypad_menus.iter().enumerate().flat_map(|(at, menu)| menu.actions(at));
        steps.filter_map(|(place, action)| match action {
            KeypadAction::Transfer { target } => Some((format!("{place}.target"), target)),
            _ => None,
        })
    }

    /// All texts of its menus that are said, with the place of each.
    pub(super) fn menu_texts(&self) -> impl Iterator<Item = (String, &str)> {
        self.keypad_menus.iter().enumerate().flat_map(|(at, menu)| {
            let place = format!("keypad_menus.{at}");
            let choices = menu.choices.iter().enumerate();
            let said = choices.filter_map(|(choice, it)| {
                Some((format!("keypad_menus.{at}.choices.{choice}.say"), it.say.as_deref()?))
            });
            let otherwise = menu.otherwise.as_ref().and_then(|it| it.say.as_deref());
            let others = [
                ("prompt", Some(menu.prompt.as_str())),
                ("invalid", menu.invalid.as_deref()),
                ("otherwise.say", otherwise),
            ];
            let others =
                others.into_iter().filter_map(move |(field, text)| Some((format!("{place}.{field}"), text?)));
            others.chain(said).collect::<Vec<_>>()
        })
    }
}

impl KeypadMenu {
    /// The actions of its choices and after its last repetition, with the place of each. It is at `at` in the list.
    fn actions(&self, at: usize) -> impl Iterator<Item = (String, &KeypadAction)> {
        let choices = self.choices.iter().enumerate();
        let choices =
            choices.map(move |(choice, it)| (format!("keypad_menus.{at}.choices.{choice}.then"), &it.then));
        let otherwise = self.otherwise.iter();
        choices.chain(otherwise.map(move |it| (format!("keypad_menus.{at}.otherwise.then"), &it.then)))
    }

    fn for_conversation(&self, names: &HashMap<&Label, usize>) -> Menu {
        let choices = self.choices.iter().filter_map(|choice| {
            let step = step(&choice.say, &choice.then, names)?;
            let words = choice.words.iter().map(|it| it.as_str().into()).collect();
            Some(MenuChoice { key: choice.key, words, step })
        });
        let otherwise = self.otherwise.as_ref().and_then(|it| step(&it.say, &it.then, names));
        Menu {
            prompt: self.prompt.as_str().into(),
            invalid: said(&self.invalid),
            timeout: Duration::from_secs(self.timeout_s.unwrap_or(5).into()),
            repetitions: self.repetitions.unwrap_or(2).min(MOST_REPETITIONS),
            choices: choices.take(MOST_CHOICES).collect(),
            otherwise: otherwise.unwrap_or(MenuStep { say: None, action: MenuAction::Agent }),
        }
    }
}

fn said(text: &Option<String>) -> Option<Arc<str>> {
    text.as_deref().filter(|text| !text.trim().is_empty()).map(Arc::from)
}

fn step(say: &Option<String>, then: &KeypadAction, names: &HashMap<&Label, usize>) -> Option<MenuStep> {
    let action = match then {
        KeypadAction::Agent {} => MenuAction::Agent,
        KeypadAction::EndCall {} => MenuAction::EndCall,
        KeypadAction::Menu { menu } => MenuAction::Menu(*names.get(menu)?),
        KeypadAction::Transfer { target } => {
            let action = ToolAction::Transfer { target: target.as_str().into(), summary: None };
            tool(Tool::Transfer, &json!({ "target": target }), action)
        }
        KeypadAction::SwitchAgent { agent } => {
            let reason = "The caller chose this in the keypad menu.";
            let choice = AgentChoice::Agent { name: agent.as_str().into(), reason: reason.into() };
            tool(
                Tool::SwitchAgent,
                &json!({ "agent": agent, "reason": reason }),
                ToolAction::ChangeAgent(choice),
            )
        }
        KeypadAction::SetLanguage { language } => {
            let choice = AgentChoice::Language { tag: language.as_str().into() };
            tool(Tool::SetLanguage, &json!({ "language": language }), ToolAction::ChangeAgent(choice))
        }
        KeypadAction::Collect { max_digits, masked } => {
            let most = usize::try_from((*max_digits).clamp(1, MOST_DIGITS)).ok()?;
            let rules = DigitRules::of(most, *masked);
            let arguments = json!({ "max_digits": most, "masked": masked });
            tool(Tool::CollectDigits, &arguments, ToolAction::CollectDigits(rules))
        }
    };
    Some(MenuStep { say: said(say), action })
}

/// A tool that runs as if the model had called it.
fn tool(tool: Tool, arguments: &Value, action: ToolAction) -> MenuAction {
    MenuAction::Act { name: tool.as_str().into(), arguments: arguments.to_string().into(), action }
}

/// The problems of a profile's menus. `dtmf` is the profile's setting for keys.
pub(super) fn violations(settings: &ProfileSettings, dtmf: DtmfMode) -> Vec<Violation> {
    let menus = &settings.keypad_menus;
    let mut found = Vec::new();
    if menus.is_empty() {
        let key = settings.keypad_menu_key.is_some().then_some("keypad_menu_key");
        let start = settings.keypad_menu_at_start.is_some().then_some("keypad_menu_at_start");
        let unused = key.into_iter().chain(start);
        return unused.map(|field| Violation::new(field, "there are no keypad_menus")).collect();
    }
    if menus.len() > MOST_MENUS {
        found.push(Violation::new("keypad_menus", format!("{MOST_MENUS} at most")));
    }
    if dtmf == DtmfMode::Ignored {
        let remedy = "set turn.dtmf to shown or masked";
        found.push(Violation::with_remedy("keypad_menus", "keys have no effect", remedy));
    }
    if settings.keypad_menu_at_start == Some(false) && settings.keypad_menu_key.is_none() {
        let remedy = "set keypad_menu_at_start or keypad_menu_key";
        found.push(Violation::with_remedy("keypad_menus", "nothing opens the main menu", remedy));
    }
    let mut names = HashSet::new();
    for (at, menu) in menus.iter().take(MOST_MENUS).enumerate() {
        let place = format!("keypad_menus.{at}");
        if !names.insert(&menu.name) {
            found.push(Violation::new(format!("{place}.name"), "another menu has this name"));
        }
        found.extend(menu.violations().into_iter().map(|violation| violation.below(&place)));
        found.extend(menu.actions(at).filter_map(|(place, action)| leads_nowhere(&place, action, settings)));
    }
    found.extend(unreachable(menus));
    found.extend(settings.menu_texts().filter_map(|(field, said)| {
        if field.ends_with(".prompt") {
            required(&field, said, LONGEST_PHRASE, LineBreaks::Allowed)
        } else {
            text(&field, said, LONGEST_PHRASE, LineBreaks::Allowed)
        }
    }));
    found
}

/// Why an action has no destination.
fn leads_nowhere(place: &str, action: &KeypadAction, settings: &ProfileSettings) -> Option<Violation> {
    let (field, problem) = match action {
        KeypadAction::Menu { menu } if settings.keypad_menus.iter().all(|it| it.name != *menu) => {
            ("menu", "there is no such menu".to_owned())
        }
        KeypadAction::SwitchAgent { agent } if !settings.switch_to.contains(agent) => {
            ("agent", "it is none of switch_to".to_owned())
        }
        KeypadAction::SetLanguage { language } if !settings.languages.contains(language) => {
            ("language", "it is none of languages".to_owned())
        }
        KeypadAction::Collect { max_digits, .. } if !(1..=MOST_DIGITS).contains(max_digits) => {
            ("max_digits", format!("1 to {MOST_DIGITS}"))
        }
        _ => return None,
    };
    Some(Violation::new(format!("{place}.{field}"), problem))
}

/// The menus that no choice leads to from the main menu, or too many do.
fn unreachable(menus: &[KeypadMenu]) -> Vec<Violation> {
    let mut depths = BTreeMap::from([(0, 0)]);
    let mut next = VecDeque::from([(0, 0)]);
    while let Some((at, depth)) = next.pop_front() {
        for (_, action) in menus[at].actions(at) {
            let KeypadAction::Menu { menu } = action else { continue };
            let Some(to) = menus.iter().position(|it| it.name == *menu) else { continue };
            if let Entry::Vacant(place) = depths.entry(to) {
                place.insert(depth + 1);
                next.push_back((to, depth + 1));
            }
        }
    }
    let places = (0..menus.len().min(MOST_MENUS)).map(|at| (at, depths.get(&at)));
    let problems = places.filter_map(|(at, depth)| match depth {
        None => Some((at, "no choice leads to it".to_owned())),
        Some(depth) if *depth > DEEPEST => Some((at, format!("more than {DEEPEST} choices lead to it"))),
        Some(_) => None,
    });
    problems.map(|(at, problem)| Violation::new(format!("keypad_menus.{at}"), problem)).collect()
}

impl KeypadMenu {
    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !(1..=MOST_CHOICES).contains(&self.choices.len()) {
            found.push(Violation::new("choices", format!("1 to {MOST_CHOICES} choices")));
        }
        if !self.timeout_s.is_none_or(|it| (1..=LONGEST_TIMEOUT_S).contains(&it)) {
            found.push(Violation::new("timeout_s", format!("1 to {LONGEST_TIMEOUT_S}")));
        }
        if self.repetitions.is_some_and(|it| it > MOST_REPETITIONS) {
            found.push(Violation::new("repetitions", format!("0 to {MOST_REPETITIONS}")));
        }
        let (mut keys, mut phrases) = (Vec::new(), BTreeSet::new());
        for (at, choice) in self.choices.iter().take(MOST_CHOICES).enumerate() {
            let place = format!("choices.{at}");
            if keys.contains(&choice.key) {
                found.push(Violation::new(format!("{place}.key"), "another choice has this key"));
            }
            keys.push(choice.key);
            found.extend(choice.words_violations(&mut phrases).into_iter().map(|it| it.below(&place)));
        }
        found
    }
}

impl KeypadChoice {
    /// `phrases` are the words of the choices before it.
    fn words_violations(&self, phrases: &mut BTreeSet<Vec<String>>) -> Vec<Violation> {
        if self.words.len() > MOST_WORDS {
            return vec![Violation::new("words", format!("{MOST_WORDS} at most"))];
        }
        let faulty = self.words.iter().enumerate().filter_map(|(at, phrase)| {
            let field = format!("words.{at}");
            let spoken = words(phrase);
            let problem = if spoken.is_empty() {
                Some("it has no word")
            } else {
                (!phrases.insert(spoken)).then_some("they are listed twice")
            };
            let unsound = check_name(&field, phrase, LONGEST_WORDS);
            unsound.or_else(|| problem.map(|problem| Violation::new(field, problem)))
        });
        faulty.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(changes: Value) -> ProfileSettings {
        let mut settings = json!({
            "switch_to": ["Sales"], "languages": ["en", "de"], "keypad_menu_key": "*",
            "keypad_menus": [
                { "name": "main", "prompt": "Orders 1, hours 2.", "choices": [
                    { "key": "1", "words": ["orders", "an order"], "then": { "action": "menu", "menu": "orders" } },
                    { "key": "2", "say": "At six.", "then": { "action": "menu", "menu": "main" } },
                    { "key": "9", "words": ["a person"], "then": { "action": "agent" } },
                ] },
                { "name": "orders", "prompt": "Shop 1.", "timeout_s": 8, "repetitions": 0, "invalid": "Sorry?", "choices": [
                    { "key": "1", "then": { "action": "transfer", "target": "shop" } },
                    { "key": "2", "then": { "action": "switch_agent", "agent": "Sales" } },
                    { "key": "3", "then": { "action": "set_language", "language": "de" } },
                    { "key": "4", "then": { "action": "collect", "max_digits": 4, "masked": true } },
                ], "otherwise": { "say": "Goodbye.", "then": { "action": "end_call" } } },
            ],
        });
        for (pointer, value) in changes.as_object().expect("changes") {
            match settings.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => settings[pointer] = value.clone(),
            }
        }
        serde_json::from_value(settings).expect("settings")
    }

    fn fields(changes: Value) -> Vec<String> {
        let found = violations(&settings(changes), DtmfMode::Shown);
        found.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn menus_are_those_of_the_conversation() {
        assert_eq!(fields(json!({})), [""; 0]);
        let menus = settings(json!({})).menus();
        assert_eq!((menus.opening, menus.key), (MenuOpening::AtStart, Digit::parse("*")));
        assert_eq!(menus.menus[0].choices[0].step.action, MenuAction::Menu(1));
        let orders = &menus.menus[1];
        assert_eq!((orders.timeout, orders.repetitions), (Duration::from_secs(8), 0));
        let MenuAction::Act { name, arguments, action } = &orders.choices[0].step.action else {
            panic!("no transfer")
        };
        assert_eq!((&**name, &**arguments), ("transfer", r#"{"target":"shop"}"#));
        assert_eq!(*action, ToolAction::Transfer { target: "shop".into(), summary: None });
        let MenuAction::Act { action: ToolAction::CollectDigits(rules), .. } = &orders.choices[3].step.action
        else {
            panic!("no rules")
        };
        assert_eq!((rules.most, rules.masked, rules.terminator), (4, true, Digit::parse("#")));
        assert_eq!(orders.otherwise.action, MenuAction::EndCall);
        let targets: Vec<_> = settings(json!({})).menu_targets().map(|(field, _)| field).collect();
        assert_eq!(targets, ["keypad_menus.1.choices.0.then.target"]);
    }

    #[test]
    fn each_problem_of_a_menu_is_named() {
        let choice = |then: Value| json!([{ "key": "1", "then": then }, { "key": "1", "then": { "action": "agent" } }]);
        for (pointer, value, field) in [
            ("/keypad_menus/1/name", json!("main"), "keypad_menus.1.name"),
            ("/keypad_menus/0/prompt", json!(" "), "keypad_menus.0.prompt"),
            ("/keypad_menus/1/invalid", json!("a\u{1b}"), "keypad_menus.1.invalid"),
            ("/keypad_menus/1/otherwise/say", json!("x".repeat(1_001)), "keypad_menus.1.otherwise.say"),
            ("/keypad_menus/1/timeout_s", json!(0), "keypad_menus.1.timeout_s"),
            ("/keypad_menus/1/repetitions", json!(6), "keypad_menus.1.repetitions"),
            ("/keypad_menus/1/choices", json!([]), "keypad_menus.1.choices"),
            ("/keypad_menus/1/choices", choice(json!({ "action": "agent" })), "keypad_menus.1.choices.1.key"),
            ("/keypad_menus/0/choices/0/words", json!(["a", "A!"]), "keypad_menus.0.choices.0.words.1"),
            ("/keypad_menus/0/choices/0/words", json!(["?"]), "keypad_menus.0.choices.0.words.0"),
            ("/keypad_menus/0/choices/2/words", json!(["Orders"]), "keypad_menus.0.choices.2.words.0"),
            ("/keypad_menus/0/choices/1/then/menu", json!("x"), "keypad_menus.0.choices.1.then.menu"),
            ("/switch_to", json!([]), "keypad_menus.1.choices.1.then.agent"),
            ("/languages", json!(["en"]), "keypad_menus.1.choices.2.then.language"),
            (
                "/keypad_menus/1/choices/3/then/max_digits",
                json!(33),
                "keypad_menus.1.choices.3.then.max_digits",
            ),
        ] {
            let found = fields(json!({ pointer: value }));
            assert!(found.contains(&field.to_owned()), "{pointer}: {found:?}");
        }
        assert_eq!(fields(json!({ "/keypad_menus": [] })), ["keypad_menu_key"]);
        assert_eq!(violations(&settings(json!({})), DtmfMode::Ignored)[0].field, "keypad_menus");
        let closed = json!({ "keypad_menu_at_start": false, "/keypad_menu_key": null });
        assert_eq!(fields(closed), ["keypad_menus"]);
    }

    #[test]
    fn menus_that_no_choice_leads_to_are_violations() {
        assert_eq!(fields(json!({ "/keypad_menus/0/choices/0/then/menu": "main" })), ["keypad_menus.1"]);
        let menu = |at: usize| {
            json!({ "name": format!("m{at}"), "prompt": "x", "choices":
                [{ "key": "1", "then": { "action": "menu", "menu": format!("m{}", at + 1) } }] })
        };
        let mut chain: Vec<Value> = (0..5).map(menu).collect();
        chain[4]["choices"][0]["then"] = json!({ "action": "agent" });
        assert_eq!(fields(json!({ "/keypad_menus": chain })), ["keypad_menus.4"]);
    }

    #[test]
    fn an_imported_choice_that_leads_nowhere_is_left_out() {
        let menus = settings(json!({ "/keypad_menus/0/choices/0/then/menu": "x" })).menus();
        assert_eq!(menus.menus[0].choices.len(), 2);
    }

    proptest! {
        #[test]
        fn no_names_of_menus_panic(names in prop::collection::vec("[a-c]", 1..12), to in prop::collection::vec("[a-d]", 1..12)) {
            let menus = names.iter().zip(to.iter().cycle()).map(|(name, to)| json!({
                "name": name, "prompt": "x",
                "choices": [{ "key": "1", "then": { "action": "menu", "menu": to } }],
            }));
            let settings = settings(json!({ "/keypad_menus": menus.collect::<Vec<_>>() }));
            violations(&settings, DtmfMode::Shown);
            let count = settings.keypad_menus.len();
            let is_inside = |choice: &MenuChoice| matches!(choice.step.action, MenuAction::Menu(at) if at < count);
            prop_assert!(settings.menus().menus.iter().flat_map(|menu| &menu.choices).all(is_inside));
        }
    }
}
