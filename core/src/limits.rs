//! How much one turn may do.

/// How much one turn may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Is the most timers that one turn makes ready, one at least. The rest
    /// follows in the next turns, in order, with a look at the outside between
    /// any two (FAULTS C-07).
    pub timers_per_turn: usize,
    /// Is the number of turns after which a loop that is never idle looks at
    /// the outside; 1 is every turn, as in asyncio.
    pub turns_per_poll: u32,
}

impl Limits {
    /// Is 1,024 timers a turn, and a look at the outside between any two turns.
    pub const DEFAULT: Self = Self { timers_per_turn: 1024, turns_per_poll: 1 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
