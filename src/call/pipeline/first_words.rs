//! The first words of a reply: an engine that takes a text in parts gets them while the model writes them.
//!
//! The conversation decides what is said, as with any engine: it asks for the speech of the first clause once that is
//! complete, and then the engine gets the rest. By that time the audio of the first words may be there. Later clauses are
//! complete while the first one plays. A reply that is retracted, or goes on in another way, cancels the speech.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::debug;

use super::synthesis::Synthesis;
use super::tasks::{EngineResult, EngineTasks};
use crate::call::Agent;
use crate::conversation::TurnId;
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::engines::tts::BegunSpeech;
use crate::language::settled;

/// The most bytes of a reply that are watched for its first clause.
const LONGEST: usize = 1_000;
/// Steps that wait for the engine: more words than a clause has.
const QUEUE: usize = 256;

/// A step of the text.
pub enum FirstStep {
    /// The words so far of the clause.
    Words(String),
    /// The clause is complete.
    Clause(Synthesis),
}

/// The first clause of a reply, while it is written.
pub struct FirstClause {
    turn: TurnId,
    /// The agent that replies.
    agent: Arc<Agent>,
    /// Of this speech alone.
    meter: Meter,
    /// The reply so far, as the conversation reads it.
    text: String,
    /// How much of it was sent, in bytes.
    sent: usize,
    /// The task that speaks it, once words were sent.
    steps: Option<mpsc::Sender<FirstStep>>,
}

impl FirstClause {
    /// None where the agent's engine takes whole texts only.
    pub fn new(turn: TurnId, agent: &Arc<Agent>, meter: &Meter) -> Option<FirstClause> {
        let (agent, meter) = (agent.clone(), meter.watched());
        let takes_parts = agent.engines.tts.takes_parts();
        takes_parts.then(|| FirstClause { turn, agent, meter, text: String::new(), sent: 0, steps: None })
    }

    pub fn turn(&self) -> TurnId {
        self.turn
    }

    /// Adds the next piece of the reply, and sends the words that are settled. `rate` is the call's.
    pub fn add(&mut self, text: &str, rate: u32, tasks: &mut EngineTasks) {
        if self.text.len() >= LONGEST {
            return;
        }
        // The conversation removes the marks of Markdown.
        self.text.extend(text.chars().filter(|c| !matches!(c, '*' | '`')));
        let begun = self.text.len() - self.text.trim_start().len();
        self.text.drain(..begun);
        let beginning = settled(&self.text, self.agent.voice.pronunciations.as_deref());
        if beginning.len() <= self.sent {
            return;
        }
        let step = FirstStep::Words(beginning.to_owned());
        self.sent = beginning.len();
        let steps = self.steps.get_or_insert_with(|| {
            let (steps, queue) = mpsc::channel(QUEUE);
            let (agent, meter) = (self.agent.clone(), self.meter.clone());
            tasks.start(self.turn, |reports| speak(queue, agent, meter, rate, reports));
            steps
        });
        // Without its task, or with a full queue, the clause is spoken as a whole.
        let _ = steps.try_send(step);
    }

    /// Whether this is the text of a clause that begins with the words that were sent.
    pub fn begins(&self, turn: TurnId, agent: &Arc<Agent>, text: &str) -> bool {
        let sent = self.text[..self.sent].trim_end();
        self.turn == turn && !sent.is_empty() && Arc::ptr_eq(&self.agent, agent) && text.starts_with(sent)
    }

    /// Has the rest of the clause spoken. Returns the synthesis if the task has ended.
    pub fn complete(self, clause: Synthesis) -> Result<(), Synthesis> {
        let FirstClause { meter, steps, .. } = self;
        let Some(steps) = steps else { return Err(clause) };
        let clause = Synthesis { meter, ..clause };
        match steps.try_send(FirstStep::Clause(clause)) {
            Err(
                TrySendError::Full(FirstStep::Clause(clause))
                | TrySendError::Closed(FirstStep::Clause(clause)),
            ) => Err(clause),
            _ => Ok(()),
        }
    }
}

/// Speaks a clause, whose words arrive step by step. Ends without a sound when the clause is given up.
async fn speak(
    mut steps: mpsc::Receiver<FirstStep>,
    agent: Arc<Agent>,
    meter: Meter,
    rate: u32,
    reports: mpsc::Sender<EngineResult>,
) {
    let voice = agent.voice.at_rate(rate);
    let mut opening = agent.engines.tts.open(voice.clone(), meter);
    let mut words = None;
    let speech = loop {
        tokio::select! {
            opened = &mut opening => break report(opened),
            step = steps.recv() => match step {
                Some(FirstStep::Words(more)) => words = Some(more),
                Some(FirstStep::Clause(clause)) => {
                    // Its place among the requests is that of the whole clause.
                    drop(opening);
                    return clause.run(None, reports).await;
                }
                None => return,
            }
        }
    };
    let mut begun = speech.map(|speech| BegunSpeech::new(speech, voice));
    loop {
        let has_failed = match (&mut begun, words.take()) {
            (Some(speech), Some(words)) => report(speech.say(&words).await).is_none(),
            _ => false,
        };
        if has_failed {
            begun = None;
        }
        match steps.recv().await {
            Some(FirstStep::Words(more)) => words = Some(more),
            Some(FirstStep::Clause(clause)) => return clause.run(begun, reports).await,
            None => return,
        }
    }
}

/// A failure is left to the speech of the whole clause.
fn report<T>(result: Result<T, EngineError>) -> Option<T> {
    result.inspect_err(|error| debug!(%error, "the first words of a reply are not sent")).ok()
}
