//! Text of bounded length.

use core::fmt::{self, Write};

/// Prints a value, but no more of it than so many bytes: an error may print
/// whatever it likes, a report of it has an end (FAULTS K-07).
#[derive(Clone, Copy, Debug)]
pub struct Clipped<D> {
    value: D,
    bytes_max: usize,
}

impl<D: fmt::Display> Clipped<D> {
    /// Makes that at most `bytes_max` bytes of `value` are printed.
    pub const fn new(value: D, bytes_max: usize) -> Self {
        Self { value, bytes_max }
    }
}

impl<D: fmt::Display> fmt::Display for Clipped<D> {
    /// Ends with `...` if something was left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clip = Clip { out: f, left: self.bytes_max, is_cut: false };
        let printed = write!(clip, "{}", self.value);
        if clip.is_cut { f.write_str("...") } else { printed }
    }
}

/// Passes text on as far as there is room, and then fails: who prints more is
/// stopped.
struct Clip<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    left: usize,
    is_cut: bool,
}

impl Write for Clip<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = self.left.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.left -= end;
        self.out.write_str(text.get(..end).unwrap_or_default())?;
        self.is_cut |= end < text.len();
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use core::fmt;
    use std::format;
    use std::string::ToString;

    use super::Clipped;

    /// Prints for ever, unless it is stopped.
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("again and ")?;
            }
        }
    }

    /// Fails to print itself.
    struct Failing;

    impl fmt::Display for Failing {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    #[test]
    fn k07_what_is_too_long_is_cut_at_a_character() {
        assert_eq!(Clipped::new("short", 5).to_string(), "short");
        assert_eq!(Clipped::new("longer", 5).to_string(), "longe...");
        assert_eq!(Clipped::new("ääää", 5).to_string(), "ää...");
        assert_eq!(Clipped::new("x", 0).to_string(), "...");
        assert_eq!(Clipped::new(Endless, 15).to_string(), "again and again...");
        assert_eq!(format!("{}, {}", Clipped::new(1234, 2), Clipped::new(1, 2)), "12..., 1");
    }

    #[test]
    fn what_fails_to_print_fails_here_too() {
        use core::fmt::Write;
        assert!(write!(std::string::String::new(), "{}", Clipped::new(Failing, 5)).is_err());
    }
}
