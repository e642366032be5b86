//! What the gateway says while it serves.

/// Prints a line. Where nobody reads any more it is lost and the gateway goes on, which `println`, a panic
/// there, would not let it.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) use say;
