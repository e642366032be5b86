//! How often something had no room.

use core::cell::Cell;
use core::fmt;

use crate::{Refusal, Resource};

/// Is how many resources there are.
const RESOURCES: usize = Resource::ALL.len();

/// Counts what was refused because something was full, or too large, by resource.
///
/// Where pointers have 32 bits, so have the counts of a loop, which stop at their end.
///
/// ```
/// use rondel_core::{Refusals, Resource};
///
/// let mut refusals = Refusals::default();
/// refusals.add(Resource::Task, 2);
/// assert_eq!(refusals.of(Resource::Task), 2);
/// assert_eq!(refusals.total(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals([u64; RESOURCES]);

impl Refusals {
    /// Is nothing refused.
    pub const NONE: Self = Self([0; RESOURCES]);

    /// Counts the refusals for want of `resource`.
    #[must_use]
    pub fn of(&self, resource: Resource) -> u64 {
        self.0.get(resource as usize).copied().unwrap_or(0)
    }

    /// Counts all refusals.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns each resource with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, u64)> {
        Resource::ALL.into_iter().map(|resource| (resource, self.of(resource)))
    }

    /// Adds `count` refusals.
    pub fn add(&mut self, resource: Resource, count: u64) {
        if let Some(counted) = self.0.get_mut(resource as usize) {
            *counted = counted.saturating_add(count);
        }
    }
}

/// Counts refusals while the loop goes on, in the processor's own words.
#[derive(Default)]
pub(crate) struct RefusalCounts([Cell<usize>; RESOURCES]);

impl RefusalCounts {
    /// Adds a refusal, unless it is that of a closed loop.
    pub(crate) fn note(&self, refusal: Refusal) {
        if let Refusal::Full { resource, .. } | Refusal::TooLarge { resource, .. } = refusal
            && let Some(count) = self.0.get(resource as usize)
        {
            count.set(count.get().saturating_add(1));
        }
    }

    /// Returns the counts.
    pub(crate) fn get(&self) -> Refusals {
        Refusals(core::array::from_fn(|index| self.0.get(index).map_or(0, |count| count.get() as u64)))
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.iter().filter(|(_, count)| *count > 0);
        f.debug_map().entries(counted).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_a_count_of_its_own() {
        for (index, resource) in Resource::ALL.into_iter().enumerate() {
            // Whoever adds one is told here to add it to `ALL` as well.
            match resource {
                Resource::Call
                | Resource::Timer
                | Resource::Future
                | Resource::Task
                | Resource::TaskBody
                | Resource::ThreadsafeCall
                | Resource::Descriptor
                | Resource::WriteBuffer
                | Resource::ChildProcess => assert_eq!(resource as usize, index),
            }
            let refusals = RefusalCounts::default();
            refusals.note(Refusal::Full { resource, limit: 0 });
            refusals.note(Refusal::Closed);
            assert_eq!((refusals.get().of(resource), refusals.get().total()), (1, 1));
        }
    }
}
