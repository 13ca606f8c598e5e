//! Hold: while the caller has put the call on hold, the conversation neither listens nor speaks.
//!
//! A hold pauses playback whether or not anything plays: a response that becomes ready meanwhile waits.
//!
//! | from | event | to |
//! |---|---|---|
//! | off | `Held`, `HeldByCaller` | on, by the caller |
//! | by the caller | `Uncertain`: its end may have been missed | doubtful |
//! | doubtful | words of the caller, who has spoken for a second | off: they are the caller's turn |
//! | by the caller, doubtful | timer `Hold` | off: the call ends |
//! | by the caller, doubtful | `Held` | on |
//! | any | `Resumed` | off |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::outbox::Outbox;
use super::timer::Timer;
use super::utterance::Utterance;
use super::words::Words;
use super::{At, Command, Conversation, Ending, HoldChange, Output, Phrase, TurnId, UtteranceId};

/// Shorter sound during a doubtful hold is not asked about.
const LEAST_SPEECH: Duration = Duration::from_secs(1);

/// Whether the caller listens. It decides what an interruption may do to playback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hold {
    #[default]
    Off,
    On,
    /// By the caller's telephone, which reports its end.
    ByCaller,
    /// The report of its end may have been missed.
    Doubtful(Doubt),
}

/// The caller's sound during a doubtful hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Doubt {
    Silent,
    Speaking {
        from: At,
    },
    /// The words of the speech are awaited.
    Asked {
        turn: TurnId,
        utterance: UtteranceId,
        from: At,
        to: At,
    },
}

impl Hold {
    pub fn is_on(self) -> bool {
        self != Hold::Off
    }

    /// The caller no longer speaks over the agent: playback continues, unless the call is on hold.
    pub fn unpause(self, out: &mut Outbox) {
        if self == Hold::Off {
            out.push(Output::Resume);
        }
    }

    /// Drops speech that was not played yet. Speech in its place waits too while the call is on hold.
    pub fn flush(self, out: &mut Outbox) {
        out.push(Output::Flush);
        if self.is_on() {
            out.push(Output::Pause);
        }
    }
}

impl Conversation {
    pub(super) fn hold_changed(&mut self, now: At, change: HoldChange) {
        match (self.hold, change) {
            (Hold::Off, HoldChange::Held) => self.held(now, Hold::On),
            (Hold::Off, HoldChange::HeldByCaller) => {
                self.held(now, Hold::ByCaller);
                if !self.settings.max_hold_ms.is_zero() {
                    self.timers.start(Timer::Hold, now, self.settings.max_hold_ms);
                }
            }
            // The driver reports the caller's own hold again afterwards.
            (Hold::ByCaller | Hold::Doubtful(_), HoldChange::Held) => {
                self.forget_doubt();
                self.hold = Hold::On;
                self.timers.stop(Timer::Hold);
            }
            (Hold::ByCaller, HoldChange::Uncertain) => self.hold = Hold::Doubtful(Doubt::Silent),
            (Hold::On | Hold::ByCaller | Hold::Doubtful(_), HoldChange::Resumed) => self.resumed(now),
            _ => {}
        }
    }

    /// The utterance so far counts and is answered; later sound is not the caller's.
    fn held(&mut self, now: At, hold: Hold) {
        self.hold = hold;
        if !self.floor.is_paused() {
            self.out.push(Output::Pause);
        }
        self.background = None;
        self.voice_paused(now, None);
        self.timers.stop(Timer::Silence);
    }

    /// Taking the call off hold is a sign of life: earlier silence no longer counts.
    fn resumed(&mut self, now: At) {
        if let Hold::Doubtful(Doubt::Asked { turn, .. }) = self.hold {
            self.out.command(Command::Cancel { turn });
        }
        self.end_hold();
        if matches!(self.floor, Floor::Free) {
            self.settle(now, None);
        }
    }

    fn end_hold(&mut self) {
        self.hold = Hold::Off;
        self.timers.stop(Timer::Hold);
        self.limits.caller_is_there();
        if !self.floor.is_paused() {
            self.out.push(Output::Resume);
        }
    }

    /// The hold has lasted too long: the caller has left the telephone, or its end was missed.
    pub(super) fn end_long_hold(&mut self, now: At) {
        self.end_hold();
        self.say_goodbye(now, Phrase::TimeLimitGoodbye, Ending::HoldLimit);
    }

    /// A caller who may be back is not heard: the agent is muted, or the caller is being transferred.
    pub(super) fn forget_doubt(&mut self) {
        let Hold::Doubtful(doubt) = self.hold else { return };
        if let Doubt::Asked { turn, .. } = doubt {
            self.out.command(Command::Cancel { turn });
        }
        self.hold = Hold::Doubtful(Doubt::Silent);
    }

    /// Sound begins during a hold.
    pub(super) fn sound_on_hold(&mut self, at: At) {
        if let Hold::Doubtful(doubt @ Doubt::Silent) = &mut self.hold {
            *doubt = Doubt::Speaking { from: at };
        }
    }

    /// Sound ends during a hold: words of a caller who has spoken for long enough are asked for.
    pub(super) fn silence_on_hold(&mut self, to: At) {
        let Hold::Doubtful(Doubt::Speaking { from }) = self.hold else { return };
        let mut doubt = Doubt::Silent;
        let is_free = matches!(self.floor, Floor::Free | Floor::Agent(_, None));
        if is_free && to.since(from) >= LEAST_SPEECH {
            let turn = self.out.new_turn();
            let mut words = Words::open(turn, from, &mut self.out);
            words.end(to, &mut self.out);
            if let Words::Asked { id: utterance, .. } = words {
                doubt = Doubt::Asked { turn, utterance, from, to };
            }
        }
        self.hold = Hold::Doubtful(doubt);
    }

    /// The words of the caller during a doubtful hold, if `of` are those. They end it, and are the caller's turn unless the agent has
    /// something to say.
    pub(super) fn words_on_hold(&mut self, now: At, of: UtteranceId, text: &str) -> bool {
        let Hold::Doubtful(Doubt::Asked { turn, utterance, from, to }) = self.hold else { return false };
        if utterance != of {
            return false;
        }
        self.hold = Hold::Doubtful(Doubt::Silent);
        if text.is_empty() {
            return true;
        }
        self.end_hold();
        if matches!(self.floor, Floor::Free) {
            self.hear(Utterance::asked(turn, utterance, from, to));
            self.utterance_words(now, utterance, text);
        } else {
            self.out.command(Command::Cancel { turn });
        }
        true
    }
}
