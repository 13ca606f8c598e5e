//! A connection: the audio that was sent on it, and the words that it has heard.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engines::stt::live::Frame;

/// How much less than all audio a result may cover that follows a commit: less than the shortest part.
const SLACK_MS: u64 = 250;

pub struct Line {
    /// The position up to which audio was sent.
    pub sent: u64,
    /// Samples that were sent on this connection.
    pub streamed: u64,
    /// The value of `streamed` at the last commit.
    pub streamed_at_commit: u64,
    /// The commits that are not done.
    pub commits: VecDeque<Commit>,
    /// The milliseconds of the connection's audio that final words cover.
    pub covered_ms: u64,
    pub words: String,
    pub interim: String,
}

pub struct Commit {
    /// Position of the end of its audio.
    pub end: u64,
    /// Position of the end of the speech in it.
    pub speech_end: u64,
    /// The end of the speech, and of everything that was sent, in milliseconds of the connection's audio.
    speech_ms: u64,
    all_ms: u64,
}

impl Line {
    pub fn new(sent: u64) -> Line {
        Line {
            sent,
            streamed: 0,
            streamed_at_commit: 0,
            commits: VecDeque::new(),
            covered_ms: 0,
            words: String::new(),
            interim: String::new(),
        }
    }

    /// The frame of samples that are sent now.
    pub fn frame(&mut self, samples: Arc<[i16]>) -> Frame {
        self.streamed += samples.len() as u64;
        Frame::Audio(samples)
    }

    /// Notes a commit behind the audio that was sent, at `rate` samples a second. The speech in it ends at `speech_end`.
    pub fn commit(&mut self, speech_end: u64, rate: u32) {
        let ms = |samples: u64| samples * 1_000 / u64::from(rate);
        self.streamed_at_commit = self.streamed;
        self.commits.push_back(Commit {
            end: self.sent,
            speech_end,
            speech_ms: ms(self.streamed.saturating_sub(self.sent.saturating_sub(speech_end))),
            all_ms: ms(self.streamed),
        });
    }

    /// Whether final words up to `until_ms` are all words of the oldest commit.
    pub fn covers_commit(&self, until_ms: u64, by_commit: bool) -> bool {
        self.commits.front().is_some_and(|commit| {
            let covers_all = until_ms.saturating_add(SLACK_MS) >= commit.all_ms;
            until_ms >= commit.speech_ms || by_commit && covers_all
        })
    }
}
