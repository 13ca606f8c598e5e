//! Speech of the caller while the agent speaks or its response is awaited.
//!
//! | from | event | to |
//! |---|---|---|
//! | – | `SpeechStarted` | noticed |
//! | noticed | `SpeechPaused` | – |
//! | noticed, late | timer `BargeIn` | paused |
//! | paused | partial words with a meaning | the caller has the floor |
//! | paused | `SpeechPaused` | paused, with pending words |
//! | paused | timer `BargeInWords` | late: playback continues |
//! | paused, late | words without a meaning, the caller is silent | –: playback continues |
//! | paused, late | words with a meaning | the caller has the floor |
//! | paused | timer `BargeInCertain` | the caller has the floor |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{is_backchannel, is_courtesy, is_presence_check};
use super::outbox::Outbox;
use super::words::{TurnEnd, Words};
use super::{At, Command, TurnId, UtteranceId};
use crate::language::Language;

/// Speech over the agent, from its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Interruption {
    /// Too short so far to be listened to.
    Noticed { from: At },
    /// Playback is paused for it.
    Paused {
        from: At,
        /// How long the caller has spoken since the pause, without the current run of speech.
        voiced: Duration,
        words: WordsOver,
    },
    /// Playback continued before the words were there; they may still interrupt.
    Late { from: At, pending: PendingWords },
}

/// The agent's side, which the caller speaks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SpokenOver {
    /// The response is awaited, and nothing of it was heard: "hello?" is a presence check.
    Silence,
    /// Words of the agent.
    Words,
    /// A question, most of which was heard: "yes" answers it.
    Question,
    /// "Are you still there?": any words answer it.
    StillThere,
}

/// The words of speech over the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum WordsOver {
    /// The caller speaks, and the speech is recognised as it is spoken.
    Open { turn: TurnId, words: Words },
    /// The caller has paused: the words of the speech so far are awaited.
    Pending(PendingWords),
}

/// Speech over the agent that is being transcribed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct PendingWords {
    pub turn: TurnId,
    pub utterance: UtteranceId,
    /// The end of the speech.
    pub to: At,
    pub over: SpokenOver,
}

impl Interruption {
    pub fn from(&self) -> At {
        match self {
            Interruption::Noticed { from }
            | Interruption::Paused { from, .. }
            | Interruption::Late { from, .. } => *from,
        }
    }

    pub fn pending(&self) -> Option<PendingWords> {
        match self {
            Interruption::Paused { words: WordsOver::Pending(pending), .. }
            | Interruption::Late { pending, .. } => Some(*pending),
            Interruption::Noticed { .. } | Interruption::Paused { .. } => None,
        }
    }

    /// Its words, in any state of their recognition.
    pub fn into_words(self) -> Option<WordsOver> {
        match self {
            Interruption::Noticed { .. } => None,
            Interruption::Paused { words, .. } => Some(words),
            Interruption::Late { pending, .. } => Some(WordsOver::Pending(pending)),
        }
    }

    /// The turn that its words are recognised for.
    pub fn turn(&self) -> Option<TurnId> {
        match self {
            Interruption::Paused { words: WordsOver::Open { turn, .. }, .. } => Some(*turn),
            other => other.pending().map(|pending| pending.turn),
        }
    }

    /// The words so far of speech that is recognised as it is spoken.
    pub fn partial(&self) -> &str {
        match self {
            Interruption::Paused { words: WordsOver::Open { words, .. }, .. } => words.partial(),
            _ => "",
        }
    }

    /// Takes the engine's judgement of speech that is recognised as it is spoken.
    pub fn judge(&mut self, of: UtteranceId, text: &str, end: TurnEnd) {
        if let Interruption::Paused { words: WordsOver::Open { words, .. }, .. } = self {
            words.judge(of, text, end);
        }
    }

    /// Whether `utterance` is its speech, which is recognised as it is spoken.
    pub fn is_open(&self, utterance: UtteranceId) -> bool {
        matches!(self, Interruption::Paused { words: WordsOver::Open { words, .. }, .. } if words.is_open(utterance))
    }

    /// Keeps the words so far. Returns whether they are of this speech.
    pub fn hear(&mut self, of: UtteranceId, text: &str) -> bool {
        match self {
            Interruption::Paused { words: WordsOver::Open { words, .. }, .. } => words.hear(of, text),
            other => other.pending().is_some_and(|pending| pending.utterance == of),
        }
    }

    pub fn is_noticed(&self) -> bool {
        matches!(self, Interruption::Noticed { .. })
    }

    pub fn is_paused(&self) -> bool {
        matches!(self, Interruption::Paused { .. })
    }

    pub fn is_late(&self) -> bool {
        matches!(self, Interruption::Late { .. })
    }

    /// Adds a run of speech; returns how long the caller has spoken since the pause.
    pub fn add(&mut self, run: Duration) -> Duration {
        let Interruption::Paused { voiced, .. } = self else { return run };
        *voiced += run;
        *voiced
    }

    /// Playback pauses, and the speech is recognised as it goes on.
    pub fn pause(&mut self, out: &mut Outbox) {
        let from = self.from();
        let words = match self.pending() {
            Some(pending) => WordsOver::Pending(pending),
            None => WordsOver::open(from, out),
        };
        *self = Interruption::Paused { from, voiced: Duration::ZERO, words };
    }

    /// The caller pauses at `at`: asks for the words of the speech so far, in place of earlier ones.
    pub fn end_words(&mut self, at: At, over: SpokenOver, out: &mut Outbox) {
        let Interruption::Paused { from, words, .. } = self else { return };
        let mut open = match words {
            WordsOver::Open { turn, words } => (*turn, words.clone()),
            WordsOver::Pending(earlier) => {
                out.command(Command::Cancel { turn: earlier.turn });
                let turn = out.new_turn();
                (turn, Words::open(turn, *from, out))
            }
        };
        open.1.end(at, out);
        if let (turn, Words::Asked { id: utterance, .. }) = open {
            *words = WordsOver::Pending(PendingWords { turn, utterance, to: at, over });
        }
    }

    /// Playback continues without words.
    pub fn resume(&mut self) {
        *self = Interruption::without_pause(self.from(), self.pending());
    }

    /// The pending words had no meaning, and the caller still speaks.
    pub fn forget_words(&mut self, out: &mut Outbox) {
        match self {
            Interruption::Paused { from, words, .. } => *words = WordsOver::open(*from, out),
            _ => *self = Interruption::without_pause(self.from(), None),
        }
    }

    fn without_pause(from: At, pending: Option<PendingWords>) -> Interruption {
        match pending {
            Some(pending) => Interruption::Late { from, pending },
            None => Interruption::Noticed { from },
        }
    }
}

impl WordsOver {
    /// Begins the recognition of speech from `from` on.
    fn open(from: At, out: &mut Outbox) -> WordsOver {
        let turn = out.new_turn();
        WordsOver::Open { turn, words: Words::open(turn, from, out) }
    }
}

impl SpokenOver {
    /// The caller wants the turn with these words.
    pub fn is_meant(self, text: &str, language: &Language) -> bool {
        let listens = is_backchannel(text, language);
        let checks = is_presence_check(text, language);
        let void = match self {
            SpokenOver::Silence | SpokenOver::Words => listens || checks || is_courtesy(text, language),
            SpokenOver::Question => checks && !listens,
            SpokenOver::StillThere => false,
        };
        !void && !text.is_empty()
    }
}
