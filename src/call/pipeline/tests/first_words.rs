//! The first clause of a reply, sent to the engine word by word.

use super::*;
use crate::engines::tts::{BegunPieces, OpenSpeech};

/// Speaks as [`Samples`], and takes texts in parts: their audio is there 100 ms after the first words. Reports the times of
/// words, each of as many samples as it has bytes. Notes what it is sent: `>` begins a part, `|` ends a text, and `x` is a
/// text that was given up.
struct Parts {
    name: Arc<str>,
    sent: Arc<Mutex<Vec<String>>>,
    fails: bool,
}

impl Parts {
    fn note(&self, text: String) {
        self.sent.lock().unwrap().push(text);
    }
}

/// The clip of a text.
fn spoken(text: &str, meter: &Meter) -> Clip {
    let mut letters = 0;
    for word in text.split_whitespace() {
        letters += u32::try_from(word.len()).unwrap();
        meter.timing.add(letters_of(word), Duration::from_secs(1) * letters / RATE);
    }
    Clip::new(RATE, vec![5_000; text.len()])
}

fn letters_of(word: &str) -> u32 {
    crate::engines::core::timing::letters(word)
}

impl Tts for Parts {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn speak(&self, text: Arc<str>, _: Voice, meter: Meter) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        self.note(text.to_string());
        async move {
            sleep(Duration::from_millis(100)).await;
            meter.timing.restart();
            Ok(stream::iter([Ok(spoken(&text, &meter))]).boxed())
        }
        .boxed()
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn open(&self, _: Voice, meter: Meter) -> BoxFuture<'_, Result<Box<dyn OpenSpeech>, EngineError>> {
        async move {
            if self.fails {
                return Err(EngineError::Temporary("no connection".into()));
            }
            let text = String::new();
            let speech: Box<dyn OpenSpeech> =
                Box::new(OpenParts { sent: self.sent.clone(), text, begun: None, meter });
            Ok(speech)
        }
        .boxed()
    }

    fn speak_begun(
        &self,
        begun: crate::engines::tts::BegunSpeech,
        text: Arc<str>,
        voice: Voice,
        meter: Meter,
    ) -> BoxFuture<'_, Result<Pieces, EngineError>> {
        match begun.finish(&text) {
            Some(speech) => speech.pieces,
            None => self.speak(text, voice, meter),
        }
    }
}

struct OpenParts {
    sent: Arc<Mutex<Vec<String>>>,
    /// Empty once it is finished.
    text: String,
    begun: Option<tokio::time::Instant>,
    meter: Meter,
}

impl OpenSpeech for OpenParts {
    fn add<'a>(&'a mut self, words: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.sent.lock().unwrap().push(format!(">{words}"));
        self.text.push_str(words);
        self.begun.get_or_insert_with(tokio::time::Instant::now);
        async { Ok(()) }.boxed()
    }

    fn finish(mut self: Box<Self>, rest: &str) -> BegunPieces {
        self.sent.lock().unwrap().push(format!(">{rest}|"));
        let text = format!("{}{rest}", std::mem::take(&mut self.text));
        let (begun, meter) = (self.begun.expect("words"), self.meter.clone());
        async move {
            tokio::time::sleep_until(begun + Duration::from_millis(100)).await;
            Ok(stream::iter([Ok(spoken(&text, &meter))]).boxed())
        }
        .boxed()
    }
}

impl Drop for OpenParts {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.sent.lock().unwrap().push("x".to_owned());
        }
    }
}

type Sent = Arc<Mutex<Vec<String>>>;

/// A cascade whose model writes these scripts, and the texts that its engine is sent.
fn writing(scripts: Vec<Vec<Result<Delta, EngineError>>>, fails: bool) -> (Cascade, Sent) {
    let sent = Sent::default();
    let mut agent = agent([], scripts);
    agent.engines.tts = Arc::new(Parts { name: "parts".into(), sent: sent.clone(), fails });
    (cascade(agent), sent)
}

fn script(words: &[&str]) -> Vec<Result<Delta, EngineError>> {
    words.iter().map(|word| text(word)).collect()
}

fn texts(sent: &Sent) -> Vec<String> {
    sent.lock().unwrap().clone()
}

/// The model's reply until it ends.
async fn replied(cascade: &mut Cascade) {
    while cascade.next().await != response(ONE, ResponseEvent::Finished) {}
}

#[tokio::test(start_paused = true)]
async fn the_audio_of_a_clause_is_there_when_the_clause_is_complete() {
    let (mut cascade, sent) = writing(vec![script(&["We", " are", " open", " today", "."])], false);
    cascade.go(respond(ONE));
    replied(&mut cascade).await;
    let asked = tokio::time::Instant::now();
    cascade.speak(1, ONE, "We are open today.", false);
    assert_eq!(cascade.settle_until_audio().await, 18);
    assert!(asked.elapsed() < Duration::from_millis(5), "{:?}", asked.elapsed());
    assert_eq!(texts(&sent), [">We ", ">are ", ">open ", ">today.|"]);
}

#[tokio::test(start_paused = true)]
async fn later_clauses_are_spoken_as_a_whole() {
    let (mut cascade, sent) = writing(vec![script(&["We are open,", " every day. ", "Come in."])], false);
    cascade.go(respond(ONE));
    replied(&mut cascade).await;
    cascade.speak(1, ONE, "We are open,", false);
    cascade.speak(2, ONE, "every day.", false);
    cascade.settle().await;
    assert_eq!(cascade.audio(), [(1, 12), (2, 10)]);
    assert_eq!(texts(&sent), [">We are ", ">open,|", "every day."]);
}

#[tokio::test(start_paused = true)]
async fn a_clause_that_is_another_one_is_spoken_anew_and_the_words_are_given_up() {
    let (mut cascade, sent) = writing(vec![script(&["We", " are", " open."])], false);
    cascade.go(respond(ONE));
    replied(&mut cascade).await;
    cascade.speak(1, ONE, "One moment.", false);
    cascade.speak(2, ONE, "We are", false);
    cascade.settle().await;
    assert_eq!(cascade.audio(), [(1, 11), (2, 6)]);
    let expected = [">We ", ">are ", "One moment.", "x", "We are"];
    let mut texts = texts(&sent);
    texts.sort_unstable();
    let mut expected = expected.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(texts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_retracted_or_asked_for_anew_gives_up_its_words() {
    for retract in [true, false] {
        let scripts = vec![script(&["We", " are", " open."]), script(&["Yes."])];
        let (mut cascade, sent) = writing(scripts, false);
        cascade.go(respond(ONE));
        replied(&mut cascade).await;
        // The engine is sent the last of the words.
        sleep(Duration::from_millis(1)).await;
        if retract {
            cascade.go(Command::Cancel { turn: ONE });
        } else {
            cascade.go(respond(ONE));
        }
        cascade.settle().await;
        assert_eq!(texts(&sent), [">We ", ">are ", "x"], "retracted: {retract}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_speech_that_cannot_be_opened_is_spoken_as_a_whole() {
    let (mut cascade, sent) = writing(vec![script(&["We", " are", " open."])], true);
    cascade.go(respond(ONE));
    replied(&mut cascade).await;
    cascade.speak(1, ONE, "We are open.", false);
    assert_eq!(cascade.settle().await, []);
    assert_eq!((cascade.audio(), texts(&sent)), (vec![(1, 12)], vec!["We are open.".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_words_that_were_played_are_known_by_the_engines_report() {
    let (mut cascade, _) = writing(vec![script(&["We", " are", " open."])], false);
    cascade.go(respond(ONE));
    replied(&mut cascade).await;
    cascade.speak(1, ONE, "We are open.", false);
    cascade.settle().await;
    let heard = |cascade: &Cascade, samples: u64| {
        cascade.letters_until(SpeechId(1), Duration::from_micros(samples * 1_000_000 / u64::from(RATE)))
    };
    let positions = [0, 2, 4, 5, 10, 12];
    let expected = [0, 2, 2, 5, 9, 9].map(Some);
    assert_eq!(positions.map(|samples| heard(&cascade, samples)), expected);
    assert_eq!(cascade.audio(), [(1, 12)]);
    assert_eq!(heard(&cascade, 5), Some(5), "it is handed out, and still plays");
    cascade.played(SpeechId(1));
    assert_eq!(heard(&cascade, 5), None);
}

impl Cascade {
    /// Waits for the first audio. Returns the number of its samples.
    async fn settle_until_audio(&mut self) -> usize {
        loop {
            if let Some((_, samples)) = self.audio().first() {
                return *samples;
            }
            self.next().await;
        }
    }
}
