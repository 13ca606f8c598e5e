//! The transcripts of a Realtime session's committed items, reported in the order of the audio.
//!
//! Items are transcribed side by side, so a later one may be complete first.

use std::collections::{BTreeMap, VecDeque};

use super::live::TranscriptEvent;
use super::live::words::{LONGEST, bounded};

/// Items of which words are kept; a further one replaces another.
const ITEMS: usize = 32;

#[derive(Default)]
pub(in crate::engines) struct CommittedItems {
    /// The committed items that are not reported, in the order of the audio.
    order: VecDeque<String>,
    items: BTreeMap<String, Item>,
}

#[derive(Default)]
struct Item {
    text: String,
    is_complete: bool,
}

impl CommittedItems {
    /// The server has made an item of the audio so far.
    pub fn committed(&mut self, id: String) -> Vec<TranscriptEvent> {
        if self.order.len() < ITEMS {
            self.order.push_back(id);
        }
        self.report()
    }

    /// More words of an item.
    pub fn delta(&mut self, id: String, delta: &str) -> Vec<TranscriptEvent> {
        let text = &mut self.item(id.clone()).text;
        let room = LONGEST.saturating_sub(text.len());
        text.push_str(&delta[..delta.floor_char_boundary(room)]);
        self.interim(&id)
    }

    /// All words of an item.
    pub fn completed(&mut self, id: String, text: String) -> Vec<TranscriptEvent> {
        *self.item(id) = Item { text: bounded(text), is_complete: true };
        self.report()
    }

    fn item(&mut self, id: String) -> &mut Item {
        while self.items.len() >= ITEMS && !self.items.contains_key(&id) {
            self.items.pop_first();
        }
        self.items.entry(id).or_default()
    }

    /// Reports the items that are complete, as far as those before them are.
    fn report(&mut self) -> Vec<TranscriptEvent> {
        let mut heard = Vec::new();
        while let Some(id) = self.order.front()
            && self.items.get(id).is_some_and(|item| item.is_complete)
        {
            let text = self.items.remove(id).map(|item| item.text).unwrap_or_default();
            self.order.pop_front();
            heard.extend([TranscriptEvent::Final(text), TranscriptEvent::Committed]);
        }
        heard
    }

    /// The words so far of an item, unless those of an earlier one are still to be reported.
    fn interim(&self, id: &str) -> Vec<TranscriptEvent> {
        let is_next = self.order.front().is_none_or(|oldest| oldest == id);
        let item = self.items.get(id).filter(|_| is_next);
        item.map(|item| TranscriptEvent::Interim(item.text.clone())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_item_are_bounded() {
        let mut items = CommittedItems::default();
        for _ in 0..100 {
            items.delta("a".into(), &"ä".repeat(1_000));
        }
        let interim = items.delta("a".into(), "b");
        assert!(matches!(&interim[..], [TranscriptEvent::Interim(text)] if text.len() == LONGEST), "interim");
        items.committed("a".into());
        let heard = items.completed("a".into(), "x".repeat(2 * LONGEST));
        assert!(matches!(&heard[..], [TranscriptEvent::Final(text), _] if text.len() == LONGEST), "final");
    }
}
