//! One side of a call between people: its utterances, by its pauses, and their words.

use std::time::{Duration, Instant};

use super::{BridgedEvent, BridgedParty};
use crate::call::pipeline::{EngineFault, PartyListener, PartyWords};
use crate::engines::stt::Utterance;
use crate::media::{MediaEvent, Port};

/// A pause that ends an utterance.
const PAUSE: Duration = Duration::from_millis(700);
/// Longer speech is recognised in parts.
const LONGEST_UTTERANCE: Duration = Duration::from_secs(15);

pub struct Side {
    port: Port,
    listener: PartyListener,
    speech: SideSpeech,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SideSpeech {
    Silent,
    /// An utterance is open since then.
    Speaking {
        since: Instant,
    },
    /// It ends at `until`, with its voice at this position of the side's audio.
    Paused {
        since: Instant,
        until: Instant,
        to: u64,
    },
}

/// An event of a side.
#[derive(Debug, PartialEq, Eq)]
pub enum SideEvent {
    /// Audio or changes of voice may have arrived.
    Media,
    Words(String),
    Failed(EngineFault),
}

impl SideEvent {
    pub(super) fn of(self, party: BridgedParty) -> BridgedEvent {
        match self {
            SideEvent::Media => BridgedEvent::Media,
            SideEvent::Words(text) => BridgedEvent::Words { party, text },
            SideEvent::Failed(fault) => BridgedEvent::Failed(fault),
        }
    }
}

impl Side {
    pub fn new(port: Port, listener: PartyListener) -> Side {
        Side { port, listener, speech: SideSpeech::Silent }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.speech {
            SideSpeech::Silent => None,
            SideSpeech::Speaking { since } => Some(since + LONGEST_UTTERANCE),
            SideSpeech::Paused { until, .. } => Some(until),
        }
    }

    /// The next event; dropping the future loses none.
    pub(super) async fn next(&mut self) -> SideEvent {
        let notify = self.port.notify();
        loop {
            let (utterance, words) = tokio::select! {
                () = notify.notified() => return SideEvent::Media,
                words = self.listener.next_of_any() => words,
            };
            match words {
                PartyWords::Words(text) => {
                    self.recognised(utterance);
                    if !text.trim().is_empty() {
                        return SideEvent::Words(text);
                    }
                }
                PartyWords::Failed(fault) => {
                    self.failed(utterance);
                    return SideEvent::Failed(fault);
                }
            }
        }
    }

    /// Passes on the audio that has arrived, and follows the voice.
    pub(super) fn listen(&mut self, now: Instant) {
        let listener = &mut self.listener;
        self.port.fetch_with(|samples| listener.audio(samples));
        while let Some(event) = self.port.next_event() {
            match event {
                MediaEvent::SpeechStarted { position, .. } => self.voice_started(now, position),
                MediaEvent::SpeechPaused { position, .. } => self.voice_paused(now, position),
                MediaEvent::PlaybackStarted { .. }
                | MediaEvent::Played { .. }
                | MediaEvent::PlaybackEnded { .. }
                | MediaEvent::UnexpectedPackets { .. } => {}
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        // The voice may have begun again meanwhile.
        self.listen(now);
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        match self.speech {
            SideSpeech::Silent => {}
            SideSpeech::Speaking { .. } => {
                let position = self.listener.position();
                self.listener.end(position);
                self.begin(now, position);
            }
            SideSpeech::Paused { to, .. } => {
                self.listener.end(to);
                self.speech = SideSpeech::Silent;
            }
        }
    }

    fn voice_started(&mut self, now: Instant, position: u64) {
        match self.speech {
            SideSpeech::Silent => self.begin(now, position),
            SideSpeech::Paused { since, .. } => self.speech = SideSpeech::Speaking { since },
            SideSpeech::Speaking { .. } => {}
        }
    }

    fn voice_paused(&mut self, now: Instant, to: u64) {
        if let SideSpeech::Speaking { since } = self.speech {
            self.speech = SideSpeech::Paused { since, until: now + PAUSE, to };
        }
    }

    fn begin(&mut self, now: Instant, from: u64) {
        self.listener.begin(from);
        self.speech = SideSpeech::Speaking { since: now };
    }

    /// The open utterance has failed: the next one begins with another voice.
    fn failed(&mut self, utterance: Utterance) {
        if utterance == self.listener.latest() {
            self.speech = SideSpeech::Silent;
        }
    }

    /// An engine that judges the ends of turns may have ended the open utterance: a voice that goes on begins another
    /// one.
    fn recognised(&mut self, utterance: Utterance) {
        if utterance != self.listener.latest() {
            return;
        }
        match self.speech {
            SideSpeech::Silent => {}
            SideSpeech::Speaking { since } => {
                let position = self.listener.position();
                self.begin(since, position);
            }
            SideSpeech::Paused { .. } => self.speech = SideSpeech::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use super::*;
    use crate::audio::codec::Format;
    use crate::engines::core::EngineError;
    use crate::engines::stt::{SessionConfig, Stt, SttEvent, SttSession};
    use crate::media::link;

    /// The requests to a session, and its events.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<(Vec<String>, VecDeque<SttEvent>)>>);

    struct Engine(Arc<str>, Recorder);

    impl Stt for Engine {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        fn open(&self, _: SessionConfig) -> Box<dyn SttSession> {
            Box::new(self.1.clone())
        }
    }

    impl Recorder {
        fn note(&self, line: String) {
            self.0.lock().expect("no panic").0.push(line);
        }

        fn report(&self, event: SttEvent) {
            self.0.lock().expect("no panic").1.push_back(event);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().expect("no panic").0)
        }
    }

    impl SttSession for Recorder {
        fn audio(&mut self, _: &[i16]) {}

        fn begin(&mut self, utterance: Utterance, from: u64) {
            self.note(format!("{} from {from}", utterance.0));
        }

        fn end(&mut self, utterance: Utterance, at: u64) {
            self.note(format!("{} to {at}", utterance.0));
        }

        fn cancel(&mut self, _: Utterance) {}

        fn forget(&mut self, _: u64) {}

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<SttEvent> {
            self.0.lock().expect("no panic").1.pop_front().map_or(Poll::Pending, Poll::Ready)
        }
    }

    fn side() -> (Side, Recorder) {
        let recorder = Recorder::default();
        let engine = Engine("recorder".into(), recorder.clone());
        let listener = PartyListener::new(&engine, SessionConfig::default(), 0);
        (Side::new(link(Format::Ulaw).0, listener), recorder)
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn words(text: &str) -> SideEvent {
        SideEvent::Words(text.to_owned())
    }

    #[test]
    fn a_pause_ends_an_utterance_and_long_speech_is_divided() {
        let (mut side, recorder) = side();
        let now = Instant::now();
        side.voice_started(now, 100);
        side.voice_paused(now + ms(1_000), 8_000);
        side.voice_started(now + ms(1_500), 12_000);
        side.voice_paused(now + ms(2_000), 16_000);
        assert_eq!(side.deadline(), Some(now + ms(2_700)));
        side.tick(now + ms(2_699));
        assert_eq!(recorder.take(), ["1 from 100"]);
        side.tick(now + ms(2_700));
        assert_eq!((recorder.take(), side.deadline()), (vec!["1 to 16000".to_owned()], None));
        side.voice_started(now + ms(4_000), 32_000);
        side.listener.audio(&[0; 152_000]);
        side.tick(now + ms(19_000));
        assert_eq!(recorder.take(), ["2 from 32000", "2 to 152000", "3 from 152000"]);
        assert_eq!(side.deadline(), Some(now + ms(34_000)));
    }

    #[tokio::test]
    async fn the_words_of_every_utterance_are_reported() {
        let (mut side, recorder) = side();
        for (utterance, text) in [(1, "Shop, hello?"), (2, ""), (3, "Yes.")] {
            recorder.report(SttEvent::Final { utterance: Utterance(utterance), text: text.to_owned() });
        }
        assert_eq!((side.next().await, side.next().await), (words("Shop, hello?"), words("Yes.")));
    }

    #[tokio::test]
    async fn an_engine_may_end_a_turn_itself() {
        let (mut side, recorder) = side();
        let now = Instant::now();
        let ended = |n| SttEvent::TurnEnded { utterance: Utterance(n), text: "Hello?".to_owned() };
        side.voice_started(now, 0);
        side.listener.audio(&[0; 8_000]);
        recorder.report(ended(1));
        assert_eq!(side.next().await, words("Hello?"));
        assert_eq!(recorder.take(), ["1 from 0", "2 from 8000"], "the voice goes on");
        side.voice_paused(now + ms(1_000), 8_000);
        recorder.report(ended(2));
        assert_eq!((side.next().await, side.deadline()), (words("Hello?"), None));
        assert_eq!(recorder.take(), [""; 0]);
    }

    #[tokio::test]
    async fn after_a_failure_the_next_voice_is_recognised() {
        let (mut side, recorder) = side();
        let now = Instant::now();
        side.voice_started(now, 0);
        let error = EngineError::Permanent("no".into());
        recorder.report(SttEvent::Failed { utterance: Utterance(1), error });
        assert!(matches!(side.next().await, SideEvent::Failed(_)));
        assert_eq!(side.deadline(), None);
        side.voice_started(now + ms(500), 4_000);
        assert_eq!(recorder.take(), ["1 from 0", "2 from 4000"]);
    }
}
