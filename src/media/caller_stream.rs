//! The caller's frames in order: voice detection, and the audio and changes of speech for the call.

use std::time::{Duration, Instant};

use super::leg::LegConfig;
use super::port::{Backend, MediaEvent};
use super::suppression::Suppression;
use crate::audio::echo::{Correlator, EchoDetector, EchoPath, FrameOrigin, StartReview};
use crate::audio::prefetch::prefetch;
use crate::audio::vad::{SpeechChange, TwoOpinions, Vad, mean_square};

/// The length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// How soon the call needs the caller's audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioDelivery {
    /// The audio is used when an utterance ends: the call is notified every 100 ms while the caller speaks, and every 500 ms
    /// while not.
    #[default]
    Buffered,
    /// The audio is streamed to an engine: the call is notified every 40 ms, in silence as in speech.
    Live,
}

impl AudioDelivery {
    /// Frames between two notifications.
    fn interval(self, speaking: bool) -> u32 {
        match (self, speaking) {
            (AudioDelivery::Live, _) => 2,
            (AudioDelivery::Buffered, true) => 5,
            (AudioDelivery::Buffered, false) => 25,
        }
    }
}

/// The most silence that is taken back, in frames: a second.
const MAX_SURPLUS: usize = 50;

pub struct CallerStream {
    vad: Vad<TwoOpinions>,
    /// `None` where noise is not suppressed.
    suppression: Option<Box<Suppression>>,
    /// `None` where echo detection is off.
    echo: Option<Box<EchoDetector>>,
    /// The last frame.
    last: Box<[i16]>,
    /// Samples given to the call so far.
    position: u64,
    /// Samples that were given to the call too many: silence for audio that was only late.
    surplus: usize,
    since_notify: u32,
    /// The position and the time of the latest pause.
    paused: Option<(u64, Instant)>,
}

impl CallerStream {
    pub fn new(config: &LegConfig) -> CallerStream {
        CallerStream {
            vad: Vad::new(TwoOpinions::new(config.format.rate()), config.thresholds),
            suppression: Suppression::new(config.noise_suppression, config.format.frame_len()),
            echo: config.echo_detection.then(Box::default),
            last: vec![0; config.format.frame_len()].into(),
            position: 0,
            surplus: 0,
            since_notify: 0,
            paused: None,
        }
    }

    /// Called shortly before a packet: prefetches memory.
    pub fn prefetch(&self) {
        self.vad.prefetch();
        prefetch(&*self.last);
        if let Some(echo) = &self.echo {
            echo.prefetch();
        }
    }

    /// The last frame.
    pub fn last(&self) -> &[i16] {
        &self.last
    }

    pub fn echo(&self) -> Option<EchoPath> {
        self.echo.as_ref()?.path()
    }

    /// Takes the agent's frame that is sent now.
    pub fn sent(&mut self, frame: &[i16], has_sound: bool, ticks: u32) {
        if let Some(echo) = &mut self.echo {
            echo.send(frame, has_sound, ticks);
        }
    }

    /// Takes the next frame.
    pub fn take(&mut self, frame: &[i16], now: Instant, back: &mut Backend, correlator: &mut Correlator) {
        self.last.copy_from_slice(frame);
        let power = mean_square(frame);
        let origin = self.echo.as_mut().map_or(FrameOrigin::Caller, |echo| echo.receive(frame, power));
        self.suppress_noise(back);
        let (frame, power) = match self.suppression.as_deref().and_then(Suppression::for_voice) {
            Some(suppressed) => (suppressed, mean_square(suppressed)),
            None => (frame, power),
        };
        let change = match origin {
            FrameOrigin::Caller | FrameOrigin::Doubtful => self.vad.push(frame, power),
            FrameOrigin::Echo => self.vad.push_unvoiced(),
        };
        let change = self.review(change, correlator).map(|change| self.with_onset(change));
        self.publish(change, now, back);
    }

    /// A start of speech with its onset: how soon the detectors are sure does not put off an interruption.
    fn with_onset(&self, change: SpeechChange) -> SpeechChange {
        match change {
            SpeechChange::Started { frames, level } => {
                SpeechChange::Started { frames: frames + self.vad.onset(frames), level }
            }
            SpeechChange::Paused { .. } => change,
        }
    }

    /// Takes a frame of silence in place of one that was not received.
    pub fn take_missing(&mut self, now: Instant, back: &mut Backend) {
        self.last.fill(0);
        if let Some(echo) = &mut self.echo {
            echo.receive_missing();
        }
        self.suppress_noise(back);
        let change = self.vad.push_unvoiced();
        self.publish(change, now, back);
    }

    /// Has the noise of the last frame suppressed, as the call wants it.
    fn suppress_noise(&mut self, back: &mut Backend) {
        back.renew_suppression(&mut self.suppression);
        if let Some(suppression) = &mut self.suppression {
            suppression.take(&self.last);
        }
    }

    /// Leaves out `samples` of the next silence: as much was put in for audio that was late.
    pub fn take_back(&mut self, samples: usize) {
        self.surplus = (self.surplus + samples).min(MAX_SURPLUS * self.last.len());
    }

    /// Holds or drops a start of speech that may be an echo.
    fn review(&mut self, change: Option<SpeechChange>, correlator: &mut Correlator) -> Option<SpeechChange> {
        let Some(echo) = &mut self.echo else { return change };
        let Some(SpeechChange::Started { frames, level }) = change else {
            if self.vad.is_speaking() {
                echo.review_speech(correlator);
            }
            return change;
        };
        match echo.review_start(frames, correlator) {
            StartReview::Accept { frames } => Some(SpeechChange::Started { frames, level }),
            StartReview::Hold => {
                self.vad.hold_start();
                None
            }
            StartReview::Reject => {
                self.vad.reject_start();
                None
            }
        }
    }

    fn publish(&mut self, change: Option<SpeechChange>, now: Instant, back: &mut Backend) {
        if self.surplus >= self.last.len() && self.vad.is_silent() {
            self.surplus -= self.last.len();
        } else {
            let for_call = self.suppression.as_deref().map_or(&*self.last, Suppression::for_call);
            self.position += back.push_audio(&self.last, for_call);
        }
        self.notify(change, now, back);
    }

    /// Sends a change of speech to the call, and notifies it from time to time so that it fetches the audio.
    fn notify(&mut self, change: Option<SpeechChange>, now: Instant, back: &mut Backend) {
        // A packet has waited half a frame for this tick, on average.
        let ago = |frames: u32| now.checked_sub(FRAME * frames + FRAME / 2).unwrap_or(now);
        let before = |frames: u32| self.position.saturating_sub(u64::from(frames) * self.last.len() as u64);
        match change {
            Some(SpeechChange::Started { frames, level }) => {
                let position = before(frames);
                // Speech that was divided goes on at the moment of its pause, however unevenly packets arrive.
                let divided = self.paused.take().filter(|(to, _)| *to == position);
                let at = divided.map_or_else(|| ago(frames), |(_, at)| at);
                back.send(MediaEvent::SpeechStarted { at, position, level });
            }
            Some(SpeechChange::Paused { frames, level }) => {
                let (at, position) = (ago(frames), before(frames));
                self.paused = Some((position, at));
                back.send(MediaEvent::SpeechPaused { at, position, level });
            }
            None => {
                self.since_notify += 1;
                if self.since_notify < back.delivery.interval(self.vad.is_speaking()) {
                    return;
                }
                back.notify.notify_one();
            }
        }
        self.since_notify = 0;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::audio::AudioBuffer;
    use crate::audio::codec::Format;
    use crate::media::playout::Playout;
    use crate::media::{NoiseSuppression, Speaker, link};

    #[test]
    fn the_call_is_notified_of_silence_as_soon_as_it_needs_the_audio_at_present() {
        let (mut port, mut back) = link(Format::Ulaw);
        let mut stream = CallerStream::new(&LegConfig::new(Format::Ulaw));
        let (mut playout, notify, now) = (Playout::new(8_000, 1), port.notify(), Instant::now());
        let mut in_two_seconds = |delivery| {
            port.deliver(delivery);
            let mut was_notified = || {
                playout.fill(&mut [0; 160], &mut back);
                stream.take_missing(now, &mut back);
                notify.notified().now_or_never().is_some()
            };
            (0..100).filter(|_| was_notified()).count()
        };
        let deliveries = [AudioDelivery::Buffered, AudioDelivery::Live, AudioDelivery::Buffered];
        assert_eq!(deliveries.map(&mut in_two_seconds), [4, 50, 4]);
    }

    /// A frame of steady noise.
    fn noise(state: &mut u32) -> Vec<i16> {
        let mut next = || {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (*state >> 22) as i16 - 512
        };
        (0..160).map(|_| next()).collect()
    }

    /// Steady noise for ten seconds: the powers of what is received, of what the call gets, and of what a tap gets, in the last one.
    fn powers(noise_suppression: NoiseSuppression) -> [u32; 3] {
        let (mut port, mut back) = link(Format::Ulaw);
        let config = LegConfig { noise_suppression, ..LegConfig::new(Format::Ulaw) };
        let (mut stream, mut correlator) = (CallerStream::new(&config), Correlator::default());
        let mut tap = port.tap_point().attach().expect("the only tap");
        back.tap_agent(&[0; 160], 1);
        let mut state = 1u32;
        let mut powers = [0; 3];
        for _ in 0..500 {
            let frame = noise(&mut state);
            stream.take(&frame, Instant::now(), &mut back, &mut correlator);
            back.tap_agent(&[0; 160], 1);
            let mut heard = Vec::new();
            port.fetch_with(|samples| heard.extend_from_slice(samples));
            let tapped =
                std::iter::from_fn(|| tap.next_frame()).filter(|frame| frame.speaker == Speaker::Caller);
            let tapped: Vec<i16> = tapped.flat_map(|frame| frame.samples().to_vec()).collect();
            powers = [mean_square(&frame), mean_square(&heard), mean_square(&tapped)];
        }
        powers
    }

    #[test]
    fn the_call_gets_the_audio_without_its_noise_and_a_tap_gets_it_as_it_is() {
        let [received, for_call, tapped] = powers(NoiseSuppression::Off);
        assert_eq!((for_call, tapped), (received, received));
        for kind in [NoiseSuppression::Recognition, NoiseSuppression::RecognitionAndVoice] {
            let [received, for_call, tapped] = powers(kind);
            assert!(16 * for_call < received, "{kind:?}: {for_call} of {received}");
            assert_eq!(tapped, received);
        }
    }

    #[test]
    fn noise_suppression_changes_while_the_call_goes_on() {
        let (mut port, mut back) = link(Format::Ulaw);
        let (mut playout, mut correlator) = (Playout::new(8_000, 1), Correlator::default());
        let (mut stream, mut state) = (CallerStream::new(&LegConfig::new(Format::Ulaw)), 1);
        for kind in [
            NoiseSuppression::Recognition,
            NoiseSuppression::Off,
            NoiseSuppression::RecognitionAndVoice,
            NoiseSuppression::Recognition,
        ] {
            port.suppress_noise(kind);
            let mut powers = (0, 0);
            for _ in 0..500 {
                let frame = noise(&mut state);
                playout.fill(&mut [0; 160], &mut back);
                stream.take(&frame, Instant::now(), &mut back, &mut correlator);
                let mut heard = Vec::new();
                port.fetch_with(|samples| heard.extend_from_slice(samples));
                powers = (mean_square(&frame), mean_square(&heard));
            }
            let (received, for_call) = powers;
            match kind {
                NoiseSuppression::Off => assert_eq!(for_call, received),
                _ => assert!(16 * for_call < received, "{kind:?}: {for_call} of {received}"),
            }
        }
    }

    #[test]
    fn surplus_silence_is_taken_back_in_whole_frames() {
        let (mut port, mut back) = link(Format::Ulaw);
        let mut stream = CallerStream::new(&LegConfig::new(Format::Ulaw));
        stream.take_back(5 * 160 + 80);
        (0..12).for_each(|_| stream.take_missing(Instant::now(), &mut back));
        let mut buffer = AudioBuffer::new(8_000);
        port.fetch(&mut buffer);
        assert_eq!(buffer.end(), 7 * 160);
    }
}
