//! Engines that take audio as it arrives, against the local servers of their vendors.

use std::future::poll_fn;
use std::time::Duration;

use vca::engines::core::FailureReason;
use vca::engines::core::usage::{Meter, Unit};
use vca::engines::registry::Engines;
use vca::engines::stt::{Hints, SessionConfig, SttEvent, SttSession, Utterance};

use super::named::{engines, run};
use crate::support::vendor::{KEY, Kind, LiveFault, Mood, Vendor, WORDS};

const ONE: Utterance = Utterance(1);
const TWO: Utterance = Utterance(2);
const SECOND: usize = 8_000;

/// The engine of each vendor.
const ENGINES: [(&str, &str, &str); 3] = [
    ("nova", "deepgram", "/deepgram/v1"),
    ("realtime", "openai-realtime", "/v1"),
    ("scribe", "elevenlabs", "/elevenlabs/v1"),
];

/// All engines at `vendor`, and `whisper`, which transcribes clips.
fn configured(vendor: &Vendor, extra: &str) -> Engines {
    let engine = |(name, api, path): &(&str, &str, &str)| {
        format!(
            "[engines.{name}]\nkind = \"stt\"\napi = \"{api}\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
             final_timeout_ms = 700\nretry = {{ retries = 0 }}\n",
            vendor.live_url(path)
        )
    };
    let live: String = ENGINES.iter().map(engine).collect();
    let whisper = format!(
        "[engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.base_url()
    );
    engines(&format!("{extra}\n{live}{whisper}"))
}

pub struct Call {
    pub session: Box<dyn SttSession>,
    pub meter: Meter,
    pub position: u64,
}

impl Call {
    pub fn open(engines: &Engines, name: &str, rate: u32) -> Call {
        let meter = Meter::default();
        let hints = Hints { language: Some("en-GB".into()), ..Hints::default() };
        let session = engines.stt(Some(name)).expect("an engine").open(SessionConfig {
            rate,
            hints,
            meter: meter.clone(),
        });
        Call { session, meter, position: 0 }
    }

    /// A frame of 20 ms each 2 ms.
    pub async fn sound(&mut self, samples: usize, level: i16) -> Vec<SttEvent> {
        let mut events = Vec::new();
        for _ in 0..samples / 160 {
            self.session.audio(&[level; 160]);
            self.position += 160;
            let pause = Duration::from_millis(2);
            if let Ok(event) = tokio::time::timeout(pause, self.next()).await {
                events.push(event);
            }
        }
        events
    }

    pub async fn next(&mut self) -> SttEvent {
        poll_fn(|cx| self.session.poll_event(cx)).await
    }

    /// The last event of an utterance.
    pub async fn last(&mut self) -> SttEvent {
        let last = async {
            loop {
                match self.next().await {
                    event if event.is_last() => return event,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), last).await.expect("a last event")
    }

    /// An utterance of 1.5 s with silence before and after it.
    pub async fn utter(&mut self, utterance: Utterance) -> (Vec<SttEvent>, SttEvent) {
        self.sound(SECOND, 0).await;
        self.session.begin(utterance, self.position);
        let partials = self.sound(SECOND * 3 / 2, 5_000).await;
        let end = self.position;
        self.sound(1_600, 0).await;
        self.session.end(utterance, end);
        (partials, self.last().await)
    }

    pub fn audio_ms(&self, engine: &str) -> u64 {
        let total = self.meter.total();
        let audio = total.iter().find(|(item, _)| &*item.engine == engine && item.unit == Unit::AudioMs);
        audio.map_or(0, |(_, quantity)| *quantity)
    }
}

fn words(utterance: Utterance, text: &str) -> SttEvent {
    SttEvent::Final { utterance, text: text.into() }
}

#[test]
fn live_engines_report_words_while_the_caller_speaks() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "");
    run(async {
        for (name, ..) in ENGINES {
            assert!(engines.stt(Some(name)).expect("an engine").is_live());
            let mut call = Call::open(&engines, name, 8_000);
            let (partials, last) = call.utter(ONE).await;
            assert_eq!(last, words(ONE, WORDS), "{name}");
            let first = SttEvent::Partial { utterance: ONE, text: "What".into() };
            assert!(partials.contains(&first), "{name}: {partials:?}");
            assert_eq!(call.utter(TWO).await.1, words(TWO, WORDS), "{name}: the same connection");
            // 240 ms before and 200 ms after each; not the silence between them.
            let sent = call.audio_ms(name);
            assert!((3_600..3_950).contains(&sent), "{name}: {sent} ms");
        }
    });
    assert_eq!(vendor.requests(Kind::Stt).len(), 3, "one connection each");
}

#[test]
fn wideband_audio_is_sent_at_its_rate_or_at_the_vendors() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "");
    run(async {
        for (name, ..) in ENGINES {
            let mut call = Call::open(&engines, name, 16_000);
            call.session.begin(ONE, 0);
            call.sound(3 * SECOND, 5_000).await;
            call.session.end(ONE, 3 * SECOND as u64);
            assert_eq!(call.last().await, words(ONE, WORDS), "{name}");
        }
    });
    let requests = vendor.requests(Kind::Stt);
    assert!(
        requests[0].contains("encoding=linear16&sample_rate=16000") && requests[0].contains("language=en")
    );
    assert!(requests[1].contains("intent=transcription"));
    assert!(requests[2].contains("audio_format=pcm_16000") && requests[2].contains("language_code=en"));
}

#[test]
fn a_connection_that_is_lost_in_mid_utterance_loses_no_words() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "");
    run(async {
        for (name, ..) in ENGINES {
            vendor.fail_live(&[LiveFault::CloseAfter(700)]);
            let mut call = Call::open(&engines, name, 8_000);
            assert_eq!(call.utter(ONE).await.1, words(ONE, WORDS), "{name}");
        }
    });
    assert_eq!(vendor.requests(Kind::Stt).len(), 6, "two connections each");
}

#[test]
fn a_server_without_words_fails_the_utterance_and_is_left() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "");
    run(async {
        for (name, ..) in ENGINES {
            // The first message of OpenAI and ElevenLabs is needed to connect.
            let fault = if name == "nova" { LiveFault::Mute } else { LiveFault::MuteWords };
            vendor.fail_live(&[fault]);
            let mut call = Call::open(&engines, name, 8_000);
            let (_, last) = call.utter(ONE).await;
            let SttEvent::Failed { error, .. } = last else { panic!("{name}: {last:?}") };
            assert_eq!(error.reason(), FailureReason::Timeout, "{name}");
            assert_eq!(call.utter(TWO).await.1, words(TWO, WORDS), "{name}: the next connection");
        }
    });
}

#[test]
fn the_fallback_transcribes_the_utterances_that_fail() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "stt.fallback = \"whisper\"");
    run(async {
        for fault in [LiveFault::Mute, LiveFault::Garbage] {
            vendor.fail_live(&[fault, fault, fault]);
            let mut call = Call::open(&engines, "nova", 8_000);
            assert_eq!(call.utter(ONE).await.1, words(ONE, WORDS), "{fault:?}");
            let covered = call.meter.covered.take();
            assert_eq!(covered.first().map(|it| &*it.engine), Some("nova"), "{fault:?}");
            // 1.84 s, of which 240 ms precede the utterance; the server charges for whole seconds.
            assert_eq!(call.audio_ms("whisper"), 2_000, "{fault:?}");
        }
    });
}

#[test]
fn refusals_of_a_live_engine_have_the_vendors_reason() {
    let vendor = Vendor::start();
    for (mood, reason) in [
        (Mood::WrongKey, FailureReason::Auth),
        (Mood::RateLimited, FailureReason::Busy),
        (Mood::OutOfQuota, FailureReason::Quota),
        (Mood::Broken, FailureReason::Unavailable),
    ] {
        vendor.feels(Kind::Stt, mood);
        let engines = configured(&vendor, "");
        run(async {
            for (name, ..) in ENGINES {
                let mut call = Call::open(&engines, name, 8_000);
                let (_, last) = call.utter(ONE).await;
                let SttEvent::Failed { error, .. } = last else { panic!("{name}: {last:?}") };
                assert_eq!(error.reason(), reason, "{name}: {error}");
                assert!(!error.to_string().contains(KEY), "{error}");
            }
        });
    }
}

#[test]
fn a_live_engine_can_be_the_fallback_of_another() {
    let vendor = Vendor::start();
    let broken = Vendor::start();
    broken.feels(Kind::Stt, Mood::WrongKey);
    let settings = format!(
        "stt.fallback = \"nova\"\n[engines.nova]\nkind = \"stt\"\napi = \"deepgram\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n\
         [engines.whisper]\nkind = \"stt\"\napi = \"openai\"\nbase_url = \"{}\"\nkey = \"{KEY}\"\n",
        vendor.live_url("/deepgram/v1"),
        broken.base_url()
    );
    let engines = engines(&settings);
    run(async {
        let mut call = Call::open(&engines, "whisper", 8_000);
        assert_eq!(call.utter(ONE).await.1, words(ONE, WORDS));
    });
}

#[test]
fn an_engine_without_words_is_left_alone_after_two_utterances() {
    let vendor = Vendor::start();
    let engines = configured(&vendor, "stt.fallback = \"whisper\"");
    vendor.fail_live(&[LiveFault::Mute; 9]);
    run(async {
        let mut call = Call::open(&engines, "nova", 8_000);
        for id in 1..=4 {
            assert_eq!(call.utter(Utterance(id)).await.1, words(Utterance(id), WORDS), "{id}");
        }
    });
    let connections = vendor.requests(Kind::Stt).iter().filter(|it| it.contains("model=nova-3")).count();
    assert_eq!(connections, 2, "the others were transcribed at once");
}
