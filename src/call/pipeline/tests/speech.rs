//! Speech: its order, its failures, announcements and kept sentences.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_filler_goes_before_speech_that_has_not_begun() {
    let agent = Arc::new(agent([], []));
    let prompts: Arc<PromptCache> = Arc::default();
    let mut cascade = Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let filler = |speech| Command::Speak {
        speech: SpeechId(speech),
        turn: ONE,
        what: Say::Phrase(Phrase::Filler),
        held: false,
    };
    cascade.go(filler(9));
    assert_eq!(cascade.settle().await, [PipelineEvent::SpeechSkipped { speech: SpeechId(9) }]);
    let text = &agent.phrases[&Phrase::Filler];
    prompts.prepare(agent.prompt_voice(), text, &[RATE]).await.expect("the filler");
    cascade.speak(1, ONE, "first", false);
    assert_eq!(cascade.settle().await, []);
    assert!(cascade.next_audio().is_some_and(|piece| piece.speech == SpeechId(1)), "it has begun");
    cascade.speak(2, ONE, "second", false);
    cascade.go(filler(3));
    assert_eq!(cascade.settle().await, []);
    let order: Vec<u32> = cascade.audio().into_iter().map(|(speech, _)| speech).collect();
    assert_eq!(order, [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_whole_sentence_is_synthesised_once_for_each_tenant() {
    let (mine, prompts) = (Arc::new(agent([], [])), Arc::<PromptCache>::default());
    let call = |agent: &Arc<Agent>| Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let is_ready = |cascade: &mut Cascade, text| {
        cascade.speak(2, TWO, text, false);
        !cascade.audio().is_empty()
    };
    let mut first = call(&mine);
    first.speak(1, ONE, "cut", false);
    sleep(Duration::from_millis(50)).await;
    first.go(Command::Cancel { turn: ONE });
    first.speak(1, TWO, "whole", false);
    assert_eq!(first.settle().await, []);
    assert!(is_ready(&mut call(&mine), "whole"), "another call of the tenant has it at once");
    assert!(!is_ready(&mut call(&mine), "cut"), "a sentence that was cut short is not kept");
    let theirs = Arc::new(Agent { tenant: TenantId::new(), ..(*mine).clone() });
    assert!(!is_ready(&mut call(&theirs), "whole"), "another tenant does not");
}

#[tokio::test(start_paused = true)]
async fn kept_sentences_do_not_hold_up_those_behind_them() {
    let (agent, prompts) = (Arc::new(agent([], [])), Arc::<PromptCache>::default());
    let call = || Cascade::new(agent.clone(), prompts.clone(), Meter::default(), RATE);
    let mut first = call();
    for (speech, text) in [(1, "one"), (2, "two"), (3, "three")] {
        first.speak(speech, ONE, text, false);
    }
    assert_eq!(first.settle().await, []);
    let mut second = call();
    let texts = [(1, "new"), (2, "newer"), (3, "one"), (4, "two"), (5, "three"), (6, "newest")];
    for (speech, text) in texts {
        second.speak(speech, ONE, text, false);
    }
    assert_eq!(second.settle().await, []);
    let mut spoken: Vec<u32> = second.audio().into_iter().map(|(speech, _)| speech).collect();
    spoken.dedup();
    assert_eq!(spoken, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn held_speech_is_synthesised_and_waits_for_its_release() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "four", true);
    cascade.speak(2, ONE, "seven77", true);
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), []);
    assert_eq!(cascade.length(SpeechId(1)), Some(Duration::from_micros(500)));
    cascade.go(Command::Release { turn: TWO });
    assert_eq!(cascade.audio(), [], "another turn's release");
    cascade.go(Command::Release { turn: ONE });
    assert_eq!(cascade.audio(), [(1, 4), (2, 7)]);
    assert_eq!((cascade.turn_of(SpeechId(1)), cascade.length(SpeechId(1)).is_some()), (Some(ONE), true));
    cascade.played(SpeechId(1));
    assert_eq!(cascade.turn_of(SpeechId(1)), None);
    assert_eq!(cascade.command(Command::Cancel { turn: ONE }), PlaybackEffect::Flush, "2 is being played");
    assert_eq!(cascade.command(Command::Cancel { turn: ONE }), PlaybackEffect::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn speech_does_not_wait_for_another_turns_that_is_cancelled() {
    let mut cascade = cascade(agent([], []));
    for (speech, turn, text) in [(1, ONE, "one"), (2, ONE, "two"), (3, TWO, "three")] {
        cascade.speak(speech, turn, text, false);
    }
    cascade.go(Command::Cancel { turn: ONE });
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), [(3, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_synthesis_does_not_block_the_next_speech() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "fail", false);
    cascade.speak(2, ONE, "good", false);
    let fault = EngineFault { kind: EngineKind::Tts, engine: "samples".into(), error: failure() };
    let failed = PipelineEvent::SynthesisFailed { speech: SpeechId(1) };
    assert_eq!(cascade.settle().await, [PipelineEvent::EngineFailed(fault), failed]);
    let end = cascade.next_audio().expect("the end of the first speech");
    assert_eq!((end.speech, end.samples.len(), end.last), (SpeechId(1), 0, true));
    assert_eq!(cascade.audio(), [(2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_failed_is_replaced_in_its_place() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "fail", false);
    cascade.speak(2, ONE, "good", false);
    assert_eq!(cascade.settle().await.last(), Some(&PipelineEvent::SynthesisFailed { speech: SpeechId(1) }));
    cascade.replace(1, 3, "again");
    assert_eq!(cascade.settle().await, []);
    assert_eq!(cascade.audio(), [(3, 5), (2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_stalls_fails_within_two_seconds_and_is_repeated_after_its_beginning() {
    for begins in [true, false] {
        let mut cascade = cascade(agent([], []));
        cascade.speak(1, ONE, "stall", false);
        cascade.speak(2, ONE, "good", false);
        let failed = PipelineEvent::SynthesisFailed { speech: SpeechId(1) };
        let asked = tokio::time::Instant::now();
        while begins && cascade.audio() != [(1, 5)] {
            cascade.next().await;
        }
        while cascade.next().await != failed {}
        assert!(asked.elapsed() < Duration::from_millis(2_200), "{:?}", asked.elapsed());
        cascade.replace(1, 3, "again");
        assert_eq!(cascade.settle().await, []);
        assert_eq!(cascade.audio(), [(3, 5), (2, 4)], "audio that is not played is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_drops_all_speech() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(1, ONE, "first", false);
    cascade.speak(2, TWO, "second", true);
    cascade.settle().await;
    cascade.flush();
    assert_eq!((cascade.audio(), cascade.turn_of(SpeechId(2))), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn an_announcement_is_synthesised_at_once_and_played_when_it_is_released() {
    let mut cascade = cascade(agent([], []));
    cascade.speak(0, ONE, "held", true);
    let mut announcer = cascade.announcer("Acme", Some("Ms Ito, a late order."));
    assert_eq!(announcer.next().await, PipelineEvent::Audio);
    assert_eq!(announcer.next_audio(), None, "it is held");
    announcer.release();
    let expected = "A call for Acme. Ms Ito, a late order. Will you take the call? Say yes or no, or press 1 for yes, or 2 for no.";
    let mut played = 0;
    while let Some(piece) = announcer.next_audio() {
        played += piece.samples.len();
        if piece.last {
            break;
        }
        announcer.next().await;
    }
    assert_eq!(played, expected.len(), "one sample for each byte");
    assert_eq!(cascade.next_audio(), None, "the conversation's speech waits on");
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_cannot_be_synthesised_ends_without_audio() {
    let mut agent = agent([], []);
    agent.engines.tts = Arc::new(Mute("mute".into()));
    let mut announcer = cascade(agent).announcer("Acme", None);
    announcer.release();
    assert!(matches!(announcer.next().await, PipelineEvent::EngineFailed(_)));
    let end = announcer.next_audio().expect("its end");
    assert!(end.last && end.samples.is_empty());
    assert!(timeout(Duration::from_secs(60), announcer.next()).await.is_err(), "nothing follows");
}

/// Speaks a quarter of a second at the rate that it is asked for, each sample different from the next.
struct AnyRate(Arc<str>);

impl Tts for AnyRate {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn speak(&self, _: Arc<str>, voice: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        let rate = voice.rate.expect("the call's rate").get();
        let clip = Clip::new(rate, AnyRate::samples(rate));
        async { Ok(stream::iter([Ok(clip)]).boxed()) }.boxed()
    }
}

impl AnyRate {
    fn samples(rate: u32) -> Vec<i16> {
        (0..rate / 4).map(|n| if n % 2 == 0 { 7_000 } else { -5_000 }).collect()
    }
}

/// A resampler would smooth the samples.
#[tokio::test(start_paused = true)]
async fn a_speech_is_requested_at_the_calls_rate_and_played_unchanged() {
    for rate in [8_000, 16_000] {
        let mut agent = agent([], []);
        agent.engines.tts = Arc::new(AnyRate("any".into()));
        let mut cascade = Cascade::new(Arc::new(agent), Arc::default(), Meter::default(), rate);
        cascade.speak(1, ONE, "Hello.", false);
        cascade.settle().await;
        let pieces = std::iter::from_fn(|| cascade.next_audio());
        let played: Vec<i16> = pieces.flat_map(|piece| piece.samples.to_vec()).collect();
        assert_eq!(played, AnyRate::samples(rate));
    }
}

/// Synthesises nothing.
struct Mute(Arc<str>);

impl Tts for Mute {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn speak(&self, _: Arc<str>, _: Voice, _: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        async { Err(failure()) }.boxed()
    }
}
