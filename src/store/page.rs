//! Lists, a page at a time. Ids are ordered by time, so an id is where a page begins.

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

/// The part of a list to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The last id of the page before; absent for the first page.
    pub after: Option<Uuid>,
    /// How many rows at most.
    pub limit: u32,
}

impl Window {
    /// From the beginning.
    pub fn first(limit: u32) -> Window {
        Window { after: None, limit }
    }

    /// Where a list that goes up begins: behind this id.
    pub(super) fn above(&self) -> Uuid {
        self.after.unwrap_or(Uuid::nil())
    }

    /// Where a list that goes down begins: before this id.
    pub(super) fn below(&self) -> Uuid {
        self.after.unwrap_or(Uuid::max())
    }

    /// One row more than wanted shows whether there is another page.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    pub(super) fn page<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = if more { items.last().map(id) } else { None };
        Page { items, next }
    }
}

/// Ids begin with the time at which they were made (UUID version 7): the first that could be of this moment.
pub(super) fn first_id_at(moment: DateTime<Utc>) -> Uuid {
    let millis = moment.timestamp_millis().max(0).unsigned_abs();
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_whether_there_is_another() {
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let window = Window::first(3);
        assert_eq!(window.page(ids.clone(), |id| *id), Page { items: ids.clone(), next: None });
        let window = Window::first(2);
        assert_eq!(window.page(ids.clone(), |id| *id), Page { items: ids[..2].to_vec(), next: Some(ids[1]) });
        assert_eq!(Window::first(0).page(ids, |id| *id), Page { items: vec![], next: None });
    }
}
