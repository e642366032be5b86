//! Snapshots of a loop in a process that runs, asked for by a signal.

use std::io::{self, BufWriter, Write};

use super::SnapshotRow;
use crate::{Error, ErrorKind, EventLoopHandle, Result, Signal, SignalHandle};

/// Is the most rows that [`EventLoopHandle::dump_on_signal`] prints.
const ROWS_MAX: usize = 4096;

impl EventLoopHandle {
    /// Prints a [`snapshot`](Self::snapshot) and its tree to standard error each time `signal` comes:
    /// up to 4,096 rows, and how many more there are. The handle that it returns needn't be kept.
    ///
    /// The signal is handled in the loop, as [`add_signal_handler`](Self::add_signal_handler) does: a
    /// loop that is stuck in a callback prints after it. The memory is reserved here, so that it is
    /// there also when there is none any more; and a reader of standard error that doesn't read holds
    /// the loop up, as with everything that is written there.
    ///
    /// ```
    /// use rondel::{EventLoop, Signal};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.dump_on_signal(Signal::SIGUSR1)?; // kill -USR1 PID
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `add_signal_handler`; `TooLarge` without memory for the rows.
    ///
    /// # Python
    /// `faulthandler.register(signal.SIGUSR1)` prints stacks of threads; `python -m asyncio ps PID` asks
    /// from outside.
    #[track_caller]
    pub fn dump_on_signal(&self, signal: Signal) -> Result<SignalHandle> {
        self.dump_on_signal_to(signal, ROWS_MAX, io::stderr())
    }

    /// As [`dump_on_signal`](Self::dump_on_signal), up to `rows_max` rows, to `out`. What goes wrong in
    /// writing is reported to the exception handler.
    ///
    /// # Errors
    /// As [`dump_on_signal`](Self::dump_on_signal).
    #[track_caller]
    pub fn dump_on_signal_to(
        &self,
        signal: Signal,
        rows_max: usize,
        out: impl Write + 'static,
    ) -> Result<SignalHandle> {
        let mut rows: Vec<SnapshotRow> = Vec::new();
        rows.try_reserve_exact(rows_max).map_err(|error| Error::of(ErrorKind::TooLarge, error))?;
        let mut out = BufWriter::new(out);
        let handle = self.add_signal_handler(signal, move |event_loop: &Self| {
            // Within what was reserved; the memory is used as far as there are rows.
            rows.resize(rows_max.min(event_loop.snapshot_len()), SnapshotRow::Empty);
            let snapshot = event_loop.snapshot(&mut rows);
            let missing = snapshot.missing();
            write!(out, "{snapshot}who awaits whom:\n{}", snapshot.tree())?;
            debug_assert!(missing == 0 || rows.len() == rows_max, "as many as were counted");
            out.flush()
        })?;
        Ok(handle)
    }
}
