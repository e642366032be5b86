//! Defects that the tests must find: `--cfg rondel_defect="lifo"` builds one in.
//!
//! Constants, so that nothing of them is left in any other build. `.ci/run
//! defects` builds each of them and requires that oracle and model find it.

/// A future that completes forgets the tasks that wait for it.
pub(crate) const DROP_WAKE: bool = cfg!(rondel_defect = "drop-wake");
/// What is ready runs last in, first out.
pub(crate) const LIFO: bool = cfg!(rondel_defect = "lifo");
/// Completing a future calls its done callbacks at once.
pub(crate) const RUN_INLINE: bool = cfg!(rondel_defect = "run-inline");
/// Done callbacks and waiters are called in reverse.
pub(crate) const WAITERS_REVERSED: bool = cfg!(rondel_defect = "waiters-reversed");
/// A task that waits does not hear that it is cancelled.
pub(crate) const LOSE_CANCEL: bool = cfg!(rondel_defect = "lose-cancel");
/// A request to cancel is delivered again and again.
pub(crate) const CANCEL_AGAIN: bool = cfg!(rondel_defect = "cancel-again");
/// A task that was cancelled before its first step runs.
pub(crate) const RUN_UNBORN: bool = cfg!(rondel_defect = "run-unborn");
/// A task that cancels what it awaits stays in line for it.
pub(crate) const WAKE_ONESELF: bool = cfg!(rondel_defect = "wake-oneself");
/// A cancelled timer fires.
pub(crate) const FIRE_CANCELLED: bool = cfg!(rondel_defect = "fire-cancelled");
/// Timers fire from the last to the first.
pub(crate) const TIMERS_REVERSED: bool = cfg!(rondel_defect = "timers-reversed");
/// What becomes ready in an iteration runs in the same one.
pub(crate) const HOP_TOO_FEW: bool = cfg!(rondel_defect = "hop-too-few");
/// A timer that is due waits for one more iteration.
pub(crate) const HOP_TOO_MANY: bool = cfg!(rondel_defect = "hop-too-many");
/// A stop cuts the batch that is running.
pub(crate) const STOP_CUTS: bool = cfg!(rondel_defect = "stop-cuts");
/// A stop stops the next run too.
pub(crate) const STOP_STAYS: bool = cfg!(rondel_defect = "stop-stays");
/// An exception that nobody looked at is not reported.
pub(crate) const SILENT: bool = cfg!(rondel_defect = "silent");

/// Lets tests of the end of all creation numbers come to it: `--cfg
/// rondel_few_creations`.
#[cfg(rondel_few_creations)]
impl<C: crate::Context> crate::Scheduler<C> {
    /// Leaves numbers for so many creations.
    pub fn leave_creations(&self, left: u64) {
        self.seq.set(u64::MAX - left);
    }
}
