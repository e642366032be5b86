//! Answers that are kept for as long as their server allows.

use std::collections::VecDeque;

use rondel_core::Instant;

use super::message::{Kind, Records};

/// A bounded list of answers; the oldest goes first.
pub(super) struct Cache {
    /// Invariant: at most `limit`.
    entries: VecDeque<Entry>,
    limit: usize,
}

struct Entry {
    name: String,
    kinds: Vec<Kind>,
    records: Records,
    expires: Instant,
}

impl Cache {
    pub(super) const fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), limit }
    }

    /// Returns what is known of a name.
    pub(super) fn find(&mut self, name: &str, kinds: &[Kind], now: Instant) -> Option<Records> {
        self.entries.retain(|entry| entry.expires > now);
        self.entries.iter().find(|entry| entry.is_of(name, kinds)).map(|entry| entry.records.clone())
    }

    pub(super) fn keep(&mut self, name: &str, kinds: &[Kind], records: &Records, now: Instant) {
        if self.limit == 0 || records.ttl.is_zero() {
            return;
        }
        self.entries.retain(|entry| !entry.is_of(name, kinds));
        if self.entries.len() >= self.limit {
            self.entries.pop_front();
        }
        let (name, kinds) = (name.to_owned(), kinds.to_owned());
        self.entries.push_back(Entry { name, kinds, records: records.clone(), expires: now + records.ttl });
    }
}

impl Entry {
    fn is_of(&self, name: &str, kinds: &[Kind]) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.kinds == kinds
    }
}
