//! The script of a simulated caller, step by step. Pure: it receives every 20 ms whether the agent speaks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::audio::Clip;

#[derive(Debug, Clone)]
pub enum Step {
    /// Until the agent has spoken since the caller's last words and has then been silent for `silent`. Continues
    /// with the next step after `at_most` in any case.
    Listen {
        silent: Duration,
        at_most: Duration,
    },
    /// Until the agent has been speaking for `spoken` (pauses below 300 ms count as speech). Continues with the
    /// next step after `at_most` in any case.
    LetSpeak {
        spoken: Duration,
        at_most: Duration,
    },
    /// Speak.
    Say(Clip),
    /// Press a key (RFC 4733) for 100 ms: `0` to `9`, `*`, `#` or `A` to `D`.
    Press(char),
    /// Stay silent, without regard to the agent.
    Wait(Duration),
    HangUp,
}

/// A pause of the agent up to this length does not end its speech.
const BREATH: Duration = Duration::from_millis(300);

/// The caller's action in the next 20 ms.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallerAction {
    Silence,
    /// Begins the clip with this number, counted from 0.
    Speak(usize),
    Press(char),
    HangUp,
    /// The script is over; the caller stays silent.
    Done,
}

pub(super) struct CallerScript {
    steps: VecDeque<Step>,
    said: usize,
    entered: Duration,
    spoken_since: Option<Duration>,
    last_voiced: Option<Duration>,
    /// The agent's last voiced time, while the caller speaks over the agent.
    interrupted: Option<Duration>,
    /// Steps that reached their time limit.
    pub(super) missed: Vec<String>,
}

impl CallerScript {
    pub(super) fn new(steps: Vec<Step>) -> CallerScript {
        CallerScript {
            steps: steps.into(),
            said: 0,
            entered: Duration::ZERO,
            spoken_since: None,
            last_voiced: None,
            interrupted: None,
            missed: Vec::new(),
        }
    }

    /// The agent's audio is voiced at `now`.
    pub(super) fn heard(&mut self, now: Duration) {
        self.interrupted = self.interrupted.filter(|last| now.saturating_sub(*last) <= BREATH).and(Some(now));
        if self.interrupted.is_some() {
            return;
        }
        let goes_on = self.last_voiced.is_some_and(|last| now.saturating_sub(last) <= BREATH);
        if !goes_on || self.spoken_since.is_none() {
            self.spoken_since = Some(now);
        }
        self.last_voiced = Some(now);
    }

    /// Called every 20 ms while the caller is silent. The clip of a `Speak` and the key of a `Press` have to be over before the
    /// next call.
    pub(super) fn next(&mut self, now: Duration) -> CallerAction {
        let Some(step) = self.steps.front() else { return CallerAction::Done };
        let waited = now.saturating_sub(self.entered);
        let (over, at_most) = match step {
            Step::Listen { silent, at_most } => (self.silent_for(now, *silent), Some(*at_most)),
            Step::LetSpeak { spoken, at_most } => (self.spoken_for(*spoken), Some(*at_most)),
            Step::Wait(time) => (waited >= *time, None),
            Step::Say(_) | Step::Press(_) | Step::HangUp => (true, None),
        };
        if !over {
            if at_most.is_none_or(|limit| waited < limit) {
                return CallerAction::Silence;
            }
            self.missed.push(format!("{step:?}"));
        }
        self.enter_next(now)
    }

    /// The caller's clip or key is over.
    pub(super) fn finished_saying(&mut self, now: Duration) {
        self.entered = now;
        self.interrupted = None;
    }

    fn enter_next(&mut self, now: Duration) -> CallerAction {
        self.entered = now;
        match self.steps.pop_front() {
            Some(Step::Say(_)) => {
                self.said += 1;
                self.await_response(now);
                CallerAction::Speak(self.said - 1)
            }
            Some(Step::Press(key)) => {
                self.await_response(now);
                CallerAction::Press(key)
            }
            Some(Step::HangUp) => {
                self.steps.clear();
                CallerAction::HangUp
            }
            _ => CallerAction::Silence,
        }
    }

    /// Audio from before the caller's utterance or key is no response to it, nor are the words that it interrupts.
    fn await_response(&mut self, now: Duration) {
        self.interrupted = self.last_voiced.filter(|last| now.saturating_sub(*last) <= BREATH);
        self.last_voiced = None;
        self.spoken_since = None;
    }

    fn silent_for(&self, now: Duration, silent: Duration) -> bool {
        self.last_voiced.is_some_and(|last| now.saturating_sub(last) >= silent)
    }

    fn spoken_for(&self, spoken: Duration) -> bool {
        let (Some(since), Some(last)) = (self.spoken_since, self.last_voiced) else { return false };
        last.saturating_sub(since) >= spoken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Runs a script against an agent that speaks in the given stretches; says what happened when.
    fn run(steps: Vec<Step>, agent: &[(u64, u64)]) -> (Vec<String>, Vec<String>) {
        let length = |step: &Step| if let Step::Say(clip) = step { Some(clip.duration()) } else { None };
        let lengths: Vec<Duration> = steps.iter().filter_map(length).collect();
        let mut script = CallerScript::new(steps);
        let mut events = Vec::new();
        let mut saying = None;
        for now in (0..500).map(|n| FRAME * n) {
            if agent.iter().any(|&(from, to)| now >= ms(from) && now < ms(to)) {
                script.heard(now);
            }
            match saying {
                Some(end) if now < end => continue,
                Some(_) => script.finished_saying(now),
                None => {}
            }
            saying = None;
            match script.next(now) {
                CallerAction::Silence => {}
                CallerAction::Speak(n) => {
                    events.push(format!("{} speak {n}", now.as_millis()));
                    saying = Some(now + lengths[n]);
                }
                CallerAction::Press(key) => events.push(format!("{} press {key}", now.as_millis())),
                CallerAction::HangUp => events.push(format!("{} hang up", now.as_millis())),
                CallerAction::Done => break,
            }
        }
        (events, script.missed)
    }

    fn clip() -> Clip {
        Clip::new(8_000, vec![0; 160])
    }

    #[test]
    fn listens_until_the_agent_is_silent() {
        let listen = Step::Listen { silent: ms(500), at_most: ms(9_000) };
        let (events, missed) = run(
            vec![listen.clone(), Step::Say(clip()), listen, Step::HangUp],
            &[(200, 1_000), (1_300, 2_000), (3_000, 4_000)],
        );
        assert_eq!(events, ["2500 speak 0", "4500 hang up"]);
        assert!(missed.is_empty());
    }

    #[test]
    fn interrupts_after_the_agent_has_spoken_for_a_while() {
        let interrupt = Step::LetSpeak { spoken: ms(600), at_most: ms(9_000) };
        let (events, _) = run(vec![interrupt, Step::Say(clip()), Step::HangUp], &[(100, 300), (900, 5_000)]);
        assert_eq!(events, ["1520 speak 0", "1540 hang up"]);
    }

    #[test]
    fn the_end_of_interrupted_words_is_no_answer() {
        let words = Step::Say(Clip::new(8_000, vec![0; 8 * 500]));
        let listen = Step::Listen { silent: ms(300), at_most: ms(9_000) };
        let interrupt = Step::LetSpeak { spoken: ms(600), at_most: ms(9_000) };
        // The words are cut off 200 ms after the caller began at 1,120; the answer follows.
        let (events, missed) =
            run(vec![interrupt, words, listen, Step::HangUp], &[(500, 1_320), (2_000, 3_000)]);
        assert_eq!(events, ["1120 speak 0", "3300 hang up"]);
        assert!(missed.is_empty());
    }

    #[test]
    fn gives_up_and_tells() {
        let listen = Step::Listen { silent: ms(500), at_most: ms(1_000) };
        let (events, missed) = run(vec![listen, Step::Wait(ms(100)), Step::HangUp], &[]);
        assert_eq!(events, ["1120 hang up"]);
        assert_eq!(missed.len(), 1);
    }
}
