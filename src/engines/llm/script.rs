//! A script of replies: patterns to answers, from a TOML text.
//!
//! ```toml
//! phrases = ["what is the weather [today]", "my name is (john | mary)"]  # what callers may say
//! otherwise = "Pardon?"
//!
//! [[reply]]
//! pattern = "my name is (?<name>\\w+)"   # a regular expression, case-insensitive; or `patterns`
//! say = "Hello $name, nice to meet you."  # or a list, taken in turn; $$ is a dollar sign
//! delay_ms = 300                          # before the first word
//! end_call = true                         # end the call then, where the profile lets the agent do so
//! call = { tool = "look_up", name = "$name" }  # call a tool with these arguments, where the profile offers it
//! ```
//!
//! The result of a tool is answered like words of the caller; the patterns see it as `look_up: ` and the result.
//!
//! Pure: it reads no file and does not wait.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use regex::{Captures, Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use super::END_CALL;

/// Largest compiled size of a pattern, in bytes: far beyond what a person writes.
const PATTERN_SIZE: usize = 1 << 20;

/// A script that was found to be in order.
#[derive(Debug, Clone)]
pub struct Script {
    /// Phrases of callers, for a recogniser's grammar.
    pub phrases: Vec<String>,
    replies: Vec<ScriptReply>,
    otherwise: Vec<String>,
}

/// A reply, and its delay after the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub delay: Duration,
    /// The tool to call then.
    pub call: Option<ScriptCall>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptCall {
    pub tool: String,
    /// A JSON object.
    pub arguments: String,
}

/// A fault of a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}; {remedy}")]
pub struct BadScript {
    /// Counted from 1.
    pub line: usize,
    pub problem: String,
    pub remedy: &'static str,
}

#[derive(Debug, Clone)]
struct ScriptReply {
    patterns: Vec<Regex>,
    say: Vec<String>,
    delay: Duration,
    call: Option<RawCall>,
}

/// A call before the groups of the pattern are filled in.
#[derive(Debug, Clone, Deserialize)]
struct RawCall {
    tool: String,
    #[serde(flatten)]
    arguments: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    #[serde(default)]
    phrases: Vec<String>,
    #[serde(default)]
    reply: Vec<Spanned<RawReply>>,
    otherwise: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    pattern: Option<Spanned<String>>,
    #[serde(default)]
    patterns: Vec<Spanned<String>>,
    say: Spanned<Texts>,
    #[serde(default)]
    delay_ms: u32,
    #[serde(default)]
    end_call: bool,
    call: Option<Spanned<RawCall>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn into_vec(self) -> Vec<String> {
        match self {
            Texts::One(text) => vec![text],
            Texts::Several(texts) => texts,
        }
    }
}

impl Script {
    /// Reads a script; the first fault is returned.
    pub fn parse(text: &str) -> Result<Script, BadScript> {
        let raw: RawScript = toml::from_str(text).map_err(|error| BadScript {
            line: line(text, error.span().unwrap_or_default()),
            problem: error.message().replace('\n', " "),
            remedy: "a script has `otherwise`, `phrases` and tables `[[reply]]` with `pattern` or `patterns`, `say`, `delay_ms`, `end_call`, `call`",
        })?;
        let otherwise = raw.otherwise.into_vec();
        if otherwise.is_empty() {
            return Err(BadScript {
                line: 1,
                problem: "`otherwise` is empty".into(),
                remedy: "give one text at least",
            });
        }
        let replies = raw.reply.into_iter().map(|reply| checked(text, reply)).collect::<Result<_, _>>()?;
        Ok(Script { phrases: raw.phrases, replies, otherwise })
    }

    /// The answer to what the caller said in their `turn`-th turn, counted from 0.
    pub fn answer(&self, said: &str, turn: usize) -> Answer {
        let found = self.replies.iter().find_map(|reply| {
            let captures = reply.patterns.iter().find_map(|pattern| pattern.captures(said))?;
            Some((reply, captures))
        });
        match found {
            Some((reply, captures)) => Answer {
                text: filled(&reply.say[turn % reply.say.len()], &captures),
                delay: reply.delay,
                call: reply.call.as_ref().map(|call| call.filled(&captures)),
            },
            None => Answer {
                text: self.otherwise[turn % self.otherwise.len()].clone(),
                delay: Duration::ZERO,
                call: None,
            },
        }
    }
}

impl RawCall {
    fn filled(&self, captures: &Captures<'_>) -> ScriptCall {
        let filled = |value: &Value| match value {
            Value::String(text) => filled(text, captures).into(),
            other => other.clone(),
        };
        let arguments: Value =
            self.arguments.iter().map(|(name, value)| (name.clone(), filled(value))).collect();
        ScriptCall { tool: self.tool.clone(), arguments: arguments.to_string() }
    }
}

fn filled(say: &str, captures: &Captures<'_>) -> String {
    let mut text = String::new();
    captures.expand(say, &mut text);
    text
}

fn checked(text: &str, reply: Spanned<RawReply>) -> Result<ScriptReply, BadScript> {
    let whole = reply.span();
    let reply = reply.into_inner();
    let fault =
        |span: Range<usize>, problem: String, remedy| BadScript { line: line(text, span), problem, remedy };
    let mut patterns = Vec::new();
    for pattern in reply.pattern.into_iter().chain(reply.patterns) {
        let regex =
            RegexBuilder::new(pattern.as_ref()).case_insensitive(true).size_limit(PATTERN_SIZE).build();
        patterns.push(regex.map_err(|error| {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            let problem = format!("the pattern {:?} is no regular expression ({reason})", pattern.as_ref());
            fault(
                pattern.span(),
                problem,
                "correct it; a literal dot or bracket takes two backslashes before it",
            )
        })?);
    }
    if patterns.is_empty() {
        return Err(fault(whole, "a reply without a pattern".into(), "add `pattern` or `patterns`"));
    }
    let span = reply.say.span();
    let say = reply.say.into_inner().into_vec();
    if say.is_empty() {
        return Err(fault(span, "`say` is empty".into(), "give one text at least"));
    }
    if let Some(group) = say.iter().find_map(|say| unknown_group(say, &patterns)) {
        let problem = format!("`say` uses ${group}, which its patterns do not capture");
        return Err(fault(span, problem, "add the group to each pattern, or write $$ for a dollar sign"));
    }
    let call = called(reply.call, reply.end_call, &patterns)
        .map_err(|(span, problem, remedy)| fault(span.unwrap_or(whole), problem, remedy))?;
    let delay = Duration::from_millis(reply.delay_ms.into());
    Ok(ScriptReply { patterns, say, delay, call })
}

type CallFault = (Option<Range<usize>>, String, &'static str);

/// The call of a reply. `end_call` is the short form of the commonest one.
fn called(
    call: Option<Spanned<RawCall>>,
    end_call: bool,
    patterns: &[Regex],
) -> Result<Option<RawCall>, CallFault> {
    let Some(call) = call else {
        return Ok(end_call.then(|| RawCall { tool: END_CALL.to_owned(), arguments: BTreeMap::new() }));
    };
    if end_call {
        let problem = "a reply with `call` and `end_call`".to_owned();
        return Err((Some(call.span()), problem, "remove one of them"));
    }
    let mut texts = call.as_ref().arguments.values().filter_map(Value::as_str);
    if let Some(group) = texts.find_map(|text| unknown_group(text, patterns)) {
        let problem = format!("`call` uses ${group}, which its patterns do not capture");
        return Err((
            Some(call.span()),
            problem,
            "add the group to each pattern, or write $$ for a dollar sign",
        ));
    }
    Ok(Some(call.into_inner()))
}

/// The first `$group` in a text that some pattern does not have.
fn unknown_group(say: &str, patterns: &[Regex]) -> Option<String> {
    let mut rest = say;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = match rest.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        if !patterns.iter().all(|pattern| has_group(pattern, name)) {
            return Some(name.to_owned());
        }
    }
    None
}

fn has_group(pattern: &Regex, name: &str) -> bool {
    match name.parse::<usize>() {
        Ok(index) => index < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|known| known == name),
    }
}

fn line(text: &str, span: Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script(text: &str) -> Script {
        Script::parse(text).unwrap_or_else(|e| panic!("{e}"))
    }

    fn fault(text: &str) -> String {
        Script::parse(text).expect_err("a fault").to_string()
    }

    #[test]
    fn the_first_pattern_found_answers() {
        let script = script(
            r#"
            otherwise = ["Pardon?", "Once more, please?"]
            [[reply]]
            patterns = ["\\bmy name is (?<name>\\w+)", "\\bcall me (?<name>\\w+)"]
            say = "Hello $name."
            [[reply]]
            pattern = "name"
            say = ["One.", "That is $$5."]
            delay_ms = 70
            "#,
        );
        let said = |text, turn| script.answer(text, turn).text;
        assert_eq!(said("Please CALL me Ishmael!", 0), "Hello Ishmael.");
        assert_eq!(
            [said("a name", 0), said("a name", 1), said("a name", 2)],
            ["One.", "That is $5.", "One."]
        );
        assert_eq!(script.answer("name", 0).delay, Duration::from_millis(70));
        assert_eq!([said("what", 0), said("what", 1)], ["Pardon?", "Once more, please?"]);
    }

    #[test]
    fn a_reply_calls_a_tool() {
        let text = "otherwise = \"x\"\n[[reply]]\npattern = \"(?<city>wien)\"\nsay = \"y\"\n";
        let script = |more: &str| format!("{text}{more}");
        let call = |more| Script::parse(&script(more)).expect("a script").answer("Wien", 0).call;
        let look = ScriptCall { tool: "look".into(), arguments: "{\"city\":\"Wien\"}".into() };
        assert_eq!(call("call = { tool = \"look\", city = \"$city\" }"), Some(look));
        assert_eq!(call("end_call = true").map(|it| it.tool), Some("end_call".into()));
        let two = ScriptCall { tool: "look".into(), arguments: "{\"days\":2}".into() };
        assert_eq!(call("call = { tool = \"look\", days = 2 }"), Some(two));
        let unknown = fault(&script("call = { tool = \"look\", city = \"$town\" }"));
        assert!(unknown.starts_with("line 5: `call` uses $town"), "{unknown}");
        assert!(fault(&script("end_call = true\ncall = { tool = \"look\" }")).contains("remove one"));
    }

    #[test]
    fn faults_name_line_and_remedy() {
        let bad_pattern = fault("otherwise = \"x\"\n[[reply]]\npattern = \"(\"\nsay = \"y\"\n");
        assert!(
            bad_pattern.starts_with("line 3: the pattern \"(\" is no regular expression"),
            "{bad_pattern}"
        );
        let dollar = fault("otherwise = \"x\"\n[[reply]]\npattern = \"cost\"\nsay = \"It is $5\"\n");
        assert!(dollar.starts_with("line 4: `say` uses $5") && dollar.contains("$$"), "{dollar}");
        let unknown = fault("otherwise = \"x\"\n\nfoo = 1\n");
        assert!(unknown.starts_with("line 3: unknown field `foo`"), "{unknown}");
        assert!(
            fault("otherwise = \"x\"\n[[reply]]\nsay = \"y\"").starts_with("line 2: a reply without"),
            "pattern"
        );
        assert!(fault("[[reply]]\npattern=\"x\"\nsay=\"y\"").contains("otherwise"));
        assert!(fault("otherwise = [").starts_with("line 1:"));
    }

    proptest! {
        #[test]
        fn random_texts_do_no_harm(text: String) {
            let _ = Script::parse(&text);
        }

        #[test]
        fn random_replies_do_no_harm(pattern: String, say: String, said: String) {
            let mut reply = toml::Table::new();
            reply.insert("pattern".into(), pattern.into());
            reply.insert("say".into(), say.into());
            let mut script = toml::Table::new();
            script.insert("otherwise".into(), "x".into());
            script.insert("reply".into(), toml::Value::Array(vec![reply.into()]));
            if let Ok(script) = Script::parse(&script.to_string()) {
                script.answer(&said, 0);
            }
        }
    }
}
