//! Sessions for engines that transcribe whole clips: the only place that cuts clips from a caller's audio.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tracing::Instrument;

use super::{Hints, SessionConfig, Stt, SttEvent, SttSession, Transcriber, Utterance};
use crate::audio::{AudioBuffer, Clip};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;

/// Audio before an utterance that its clip includes: the start of a word is soft.
const BEFORE: Duration = Duration::from_millis(240);
/// Audio after an utterance that its clip includes.
const AFTER: Duration = Duration::from_millis(100);
/// Transcriptions of a session at the same time; one more cancels the oldest. A conversation needs one or two.
const MOST: usize = 8;

/// Keeps a caller's audio, and has each utterance transcribed when it ends.
pub struct Buffered<T>(Arc<T>);

impl<T: Transcriber + 'static> Buffered<T> {
    pub fn new(transcriber: T) -> Buffered<T> {
        Buffered(Arc::new(transcriber))
    }
}

impl<T: Transcriber + 'static> Stt for Buffered<T> {
    fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    fn open(&self, config: SessionConfig) -> Box<dyn SttSession> {
        Box::new(BufferedSession {
            transcriber: self.0.clone(),
            audio: AudioBuffer::new(config.rate),
            hints: config.hints,
            meter: config.meter,
            open: None,
            tasks: JoinSet::new(),
            running: Vec::new(),
        })
    }

    fn connect(&self) -> BoxFuture<'_, ()> {
        self.0.connect()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, EngineError>> {
        self.0.probe()
    }
}

struct BufferedSession<T> {
    transcriber: Arc<T>,
    audio: AudioBuffer,
    hints: Hints,
    meter: Meter,
    /// The utterance that has begun, and its position.
    open: Option<(Utterance, u64)>,
    tasks: JoinSet<Result<String, EngineError>>,
    /// The utterances that are transcribed, oldest first.
    running: Vec<(Utterance, AbortHandle)>,
}

impl<T: Transcriber + 'static> BufferedSession<T> {
    fn clip(&self, from: u64, to: u64) -> Clip {
        let from = from.saturating_sub(self.audio.samples_in(BEFORE));
        self.audio.clip(from, to.saturating_add(self.audio.samples_in(AFTER)))
    }

    /// The event of a task that has ended; `None` for one of a cancelled utterance.
    fn finished(&mut self, task: Id, result: Result<String, EngineError>) -> Option<SttEvent> {
        let place = self.running.iter().position(|(_, handle)| handle.id() == task)?;
        let (utterance, _) = self.running.remove(place);
        Some(match result {
            Ok(text) => SttEvent::Final { utterance, text },
            Err(error) => SttEvent::Failed { utterance, error },
        })
    }
}

impl<T: Transcriber + 'static> SttSession for BufferedSession<T> {
    fn audio(&mut self, samples: &[i16]) {
        self.audio.append(samples);
    }

    fn begin(&mut self, utterance: Utterance, from: u64) {
        self.open = Some((utterance, from));
    }

    fn end(&mut self, utterance: Utterance, at: u64) {
        let Some((_, from)) = self.open.take_if(|(open, _)| *open == utterance) else { return };
        // The oldest fails, which `poll_event` reports. Those that have failed and are not reported yet precede it.
        if let Some(oldest) = self.running.len().checked_sub(MOST) {
            self.running[oldest].1.abort();
        }
        let (clip, transcriber) = (self.clip(from, at), self.transcriber.clone());
        let (hints, meter) = (self.hints.clone(), self.meter.clone());
        let work = async move { transcriber.transcribe(clip, hints, meter).await };
        self.running.push((utterance, self.tasks.spawn(work.in_current_span())));
    }

    fn cancel(&mut self, utterance: Utterance) {
        self.open.take_if(|(open, _)| *open == utterance);
        if let Some(place) = self.running.iter().position(|(running, _)| *running == utterance) {
            self.running.remove(place).1.abort();
        }
    }

    fn forget(&mut self, position: u64) {
        self.audio.forget(position);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<SttEvent> {
        while let Poll::Ready(Some(joined)) = self.tasks.poll_join_next_with_id(cx) {
            let (task, result) = joined.unwrap_or_else(|error| (error.id(), Err(broken(&error))));
            if let Some(event) = self.finished(task, result) {
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

/// The task has panicked, or was aborted in favour of later utterances.
fn broken(error: &JoinError) -> EngineError {
    EngineError::Temporary(format!("the transcription broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use tokio::time::{Instant, sleep};

    use super::super::scripted::Step;
    use super::*;

    /// Plays steps, and keeps the clips that it gets.
    struct Engine {
        name: Arc<str>,
        steps: Mutex<VecDeque<Step>>,
        clips: Arc<Mutex<Vec<Clip>>>,
    }

    impl Transcriber for Engine {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn transcribe(&self, speech: Clip, _: Hints, _: Meter) -> BoxFuture<'_, Result<String, EngineError>> {
            self.clips.lock().unwrap().push(speech);
            let step = self.steps.lock().unwrap().pop_front().expect("a step");
            async move {
                sleep(step.delay).await;
                step.answer
            }
            .boxed()
        }
    }

    struct Trial {
        session: Box<dyn SttSession>,
        clips: Arc<Mutex<Vec<Clip>>>,
    }

    const SECOND: u64 = 8_000;
    const ONE: Utterance = Utterance(1);
    const TWO: Utterance = Utterance(2);

    fn says(text: &str, millis: u64) -> Step {
        Step { delay: Duration::from_millis(millis), answer: Ok(text.into()) }
    }

    /// A session at 8 kHz that has heard `seconds` of audio.
    fn trial(steps: Vec<Step>, seconds: u64) -> Trial {
        let clips: Arc<Mutex<Vec<Clip>>> = Arc::default();
        let engine = Engine { name: "engine".into(), steps: Mutex::new(steps.into()), clips: clips.clone() };
        let config = SessionConfig { rate: 8_000, ..SessionConfig::default() };
        let mut session = Buffered::new(engine).open(config);
        (0..seconds).for_each(|second| session.audio(&[second as i16; SECOND as usize]));
        Trial { session, clips }
    }

    impl Trial {
        fn utter(&mut self, utterance: Utterance, from: u64, to: u64) {
            self.session.begin(utterance, from);
            self.session.end(utterance, to);
        }

        async fn next(&mut self) -> SttEvent {
            poll_fn(|cx| self.session.poll_event(cx)).await
        }

        /// No event within a minute.
        async fn is_quiet(&mut self) -> bool {
            tokio::time::timeout(Duration::from_secs(60), self.next()).await.is_err()
        }
    }

    fn words(utterance: Utterance, text: &str) -> SttEvent {
        SttEvent::Final { utterance, text: text.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn utterances_are_transcribed_side_by_side() {
        let mut trial = trial(vec![says("late", 900), says("early", 100)], 4);
        trial.utter(ONE, SECOND, SECOND * 2);
        trial.utter(TWO, SECOND * 2, SECOND * 3);
        let begun = Instant::now();
        assert_eq!(trial.next().await, words(TWO, "early"));
        assert_eq!(trial.next().await, words(ONE, "late"));
        assert_eq!(begun.elapsed().as_millis(), 900);
        assert!(trial.is_quiet().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clip_has_240_ms_before_the_utterance_and_100_ms_after_it() {
        let mut trial = trial(vec![says("a", 0), says("b", 0), says("c", 0)], 3);
        trial.utter(ONE, SECOND, SECOND * 2);
        trial.next().await;
        trial.utter(TWO, 0, SECOND * 9);
        trial.next().await;
        trial.utter(Utterance(3), SECOND * 5, SECOND * 6);
        trial.next().await;
        let clips = trial.clips.lock().unwrap();
        let lengths: Vec<_> = clips.iter().map(|clip| clip.samples.len()).collect();
        assert_eq!(lengths, [1_920 + 8_000 + 800, 3 * 8_000, 0]);
        assert_eq!((clips[0].samples[1_919], clips[0].samples[1_920], clips[0].rate), (0, 1, 8_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_utterance_has_no_event() {
        let mut trial = trial(vec![says("cancelled", 100), says("kept", 200)], 2);
        trial.utter(ONE, 0, SECOND);
        trial.session.cancel(ONE);
        trial.session.begin(TWO, 0);
        trial.session.cancel(TWO);
        trial.session.end(TWO, SECOND);
        assert!(trial.is_quiet().await, "an utterance that was cancelled before its end is not transcribed");
        trial.utter(Utterance(3), 0, SECOND);
        let event = trial.next().await;
        assert!(matches!(event, SttEvent::Final { utterance: Utterance(3), .. }), "{event:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn words_that_are_known_before_the_cancellation_are_dropped_too() {
        let mut trial = trial(vec![says("late", 0)], 2);
        trial.utter(ONE, 0, SECOND);
        sleep(Duration::from_secs(1)).await;
        trial.session.cancel(ONE);
        assert!(trial.is_quiet().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_the_utterances_own() {
        let error = EngineError::Permanent("no".into());
        let fails = Step { delay: Duration::ZERO, answer: Err(error.clone()) };
        let mut trial = trial(vec![fails, says("yes", 0)], 2);
        trial.utter(ONE, 0, SECOND);
        assert_eq!(trial.next().await, SttEvent::Failed { utterance: ONE, error });
        trial.utter(TWO, 0, SECOND);
        assert_eq!(trial.next().await, words(TWO, "yes"));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let mut trial = trial((0..20).map(|_| says("yes", 100)).collect(), 200);
        for number in 0..20 {
            trial.utter(Utterance(number), 0, SECOND * 200);
            tokio::task::yield_now().await;
        }
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), trial.next()).await {
            match event {
                SttEvent::Final { utterance, .. } => left.push(utterance.0),
                SttEvent::Failed { utterance, .. } => failed.push(utterance.0),
                other => unreachable!("{other:?}"),
            }
        }
        left.sort_unstable();
        failed.sort_unstable();
        assert_eq!(left, (12..20).collect::<Vec<_>>(), "the newest transcriptions");
        assert_eq!(failed, (0..12).collect::<Vec<_>>(), "every utterance has an event");
        let longest = trial.clips.lock().unwrap().iter().map(|clip| clip.samples.len()).max();
        assert!(longest.is_some_and(|length| length <= 75 * 8_000), "{longest:?}");
        trial.session.forget(SECOND * 199);
        trial.utter(ONE, 0, SECOND * 200);
        tokio::task::yield_now().await;
        assert_eq!(trial.clips.lock().unwrap().last().map(|clip| clip.samples.len()), Some(8_000));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_session_cancels_its_work() {
        let mut trial = trial(vec![says("never", 1_000)], 1);
        let meter = Arc::downgrade(&trial.clips);
        trial.utter(ONE, 0, SECOND);
        tokio::task::yield_now().await;
        drop(trial);
        tokio::task::yield_now().await;
        assert_eq!(meter.strong_count(), 0, "the task and its engine are gone");
    }
}
