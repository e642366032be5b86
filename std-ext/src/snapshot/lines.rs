//! What a snapshot says, in lines for people.

use core::fmt;
use core::time::Duration;

use rondel_core::{Awaited, CallItem, CallRole, Instant, TaskState};

use super::Snapshot;
use super::job::{JobRow, JobState};
use super::row::{DescriptorRow, FutureRow, SnapshotAddr, SnapshotRow, TaskRow, Watcher};
use super::wait::TaskWait;

impl fmt::Display for Snapshot<'_> {
    /// Prints a line for each row, as `python -m asyncio ps` does for tasks, after one that counts
    /// them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&SnapshotRow) -> bool| self.rows().iter().filter(|row| is(row)).count();
        let tasks = count(|row| matches!(row, SnapshotRow::Task(_)));
        let calls = count(|row| matches!(row, SnapshotRow::Call(_)));
        let futures = count(|row| matches!(row, SnapshotRow::Future(_)));
        let descriptors = count(|row| matches!(row, SnapshotRow::Descriptor(_)));
        let jobs = count(|row| matches!(row, SnapshotRow::Job(_)));
        writeln!(
            f,
            "at {:?}: {tasks} tasks, {calls} calls, {futures} futures, {descriptors} descriptors, {jobs} jobs",
            self.time()
        )?;
        for row in self.rows() {
            match row {
                SnapshotRow::Task(row) => writeln!(f, "{}", TaskLine { row, now: self.time() })?,
                SnapshotRow::Call(call) => writeln!(f, "{}", CallLine { call, now: self.time() })?,
                SnapshotRow::Future(row) => writeln!(f, "{}", FutureLine { row, now: self.time() })?,
                SnapshotRow::Descriptor(row) => writeln!(f, "{}", DescriptorLine { row, now: self.time() })?,
                SnapshotRow::Job(job) => writeln!(f, "{}", JobLine { job, now: self.time() })?,
                SnapshotRow::Empty => {}
            }
        }
        match self.missing() {
            0 => Ok(()),
            missing => writeln!(f, "and {missing} more"),
        }
    }
}

/// A task, in a line.
pub(super) struct TaskLine<'a> {
    pub(super) row: &'a TaskRow,
    pub(super) now: Instant,
}

impl fmt::Display for TaskLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row: TaskRow { task, wait, is_in_cycle, .. }, now } = *self;
        write!(f, "{}", task.id)?;
        if let Some(name) = task.name {
            write!(f, " '{name}'")?;
        }
        match task.state {
            TaskState::Running => f.write_str(" is running")?,
            TaskState::Ready => f.write_str(" is ready")?,
            TaskState::Done => f.write_str(" is done")?,
            TaskState::Cancelled => f.write_str(" is cancelled")?,
            TaskState::Panicked => f.write_str(" panicked")?,
            _ => match wait {
                Some(TaskWait::Time(deadline)) => {
                    write!(f, " sleeps for {:?} more", rounded(*deadline - now))?;
                }
                Some(wait) => write!(f, " {wait}")?,
                None => {}
            },
        }
        write!(f, ", for {:?}", rounded(now - task.since))?;
        if *is_in_cycle {
            f.write_str(", and through others for itself")?;
        }
        write!(f, "; created at {}", task.location)
    }
}

struct CallLine<'a> {
    call: &'a CallItem,
    now: Instant,
}

impl fmt::Display for CallLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, now } = *self;
        write!(f, "{}", call.id)?;
        match call.role {
            CallRole::Ready => f.write_str(" is ready")?,
            CallRole::Threadsafe => f.write_str(" is ready, from another thread")?,
            CallRole::Timer(deadline) if deadline <= now => f.write_str(" is due")?,
            CallRole::Timer(deadline) => write!(f, " is due in {:?}", rounded(deadline - now))?,
            CallRole::Done(Awaited::Future(id)) => write!(f, " follows {id}")?,
            CallRole::Done(Awaited::Task(id)) => write!(f, " follows {id}")?,
            CallRole::Waiter(Some(Awaited::Future(id))) => write!(f, " waits for {id}")?,
            CallRole::Waiter(Some(Awaited::Task(id))) => write!(f, " waits for {id}")?,
            CallRole::Handler => f.write_str(" is a handler")?,
            _ => f.write_str(" waits")?,
        }
        write!(f, ", there for {:?}", rounded(now - call.since))?;
        if let Some(task) = call.wakes {
            write!(f, ", wakes {task}")?;
        }
        if let Some(future) = call.completes {
            write!(f, ", counts for {future}")?;
        }
        write!(f, "; created at {}", call.location)
    }
}

struct FutureLine<'a> {
    row: &'a FutureRow,
    now: Instant,
}

impl fmt::Display for FutureLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row: FutureRow { future, .. }, now } = *self;
        let (id, state, waiters) = (future.id, future.state, future.waiters);
        let age = rounded(now - future.since);
        write!(f, "{id} is {state}, for {age:?}, awaited by {waiters}; created at {}", future.location)
    }
}

struct JobLine<'a> {
    job: &'a JobRow,
    now: Instant,
}

impl fmt::Display for JobLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, now } = *self;
        write!(f, "job {} of {}, {},", job.number, job.executor, job.name.as_str())?;
        match job.state {
            JobState::Queued => f.write_str(" is queued")?,
            JobState::InThread { thread, .. } => match thread.as_str() {
                "" => f.write_str(" runs in a thread")?,
                name => write!(f, " runs in thread {name}")?,
            },
            JobState::InProcess { pid, .. } => write!(f, " runs in process {pid}")?,
            JobState::Done => f.write_str(" is done")?,
        }
        write!(f, ", for {:?}", rounded(now - job.since()))?;
        if let Some(task) = job.task {
            write!(f, ", awaited by {task}")?;
        }
        if job.is_abandoned {
            f.write_str(", awaited by nobody")?;
        }
        write!(f, "; created at {}", job.location)
    }
}

struct DescriptorLine<'a> {
    row: &'a DescriptorRow,
    now: Instant,
}

impl fmt::Display for DescriptorLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, now } = *self;
        write!(f, "{row}, quiet for {:.1?}; created at {}", now - row.since, row.location)
    }
}

impl fmt::Display for DescriptorRow {
    /// Prints what it is and who watches it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.owner.name(), self.fd)?;
        if !self.state.is_empty() {
            write!(f, " is {}", self.state)?;
        }
        if self.local != SnapshotAddr::None {
            write!(f, ", {}", self.local)?;
        }
        if self.peer != SnapshotAddr::None {
            write!(f, " to {}", self.peer)?;
        }
        if !self.protocol.is_empty() {
            write!(f, ", {}", self.protocol)?;
        }
        if let Some((pid, program)) = self.process {
            write!(f, ", pid {pid} ({})", program.as_str())?;
        }
        if let Some(connections) = self.connections {
            write!(f, ", connections: {connections}")?;
        }
        if self.queued > 0 {
            write!(f, ", queued: {} bytes", self.queued)?;
        }
        for (side, watcher) in [("read", self.reader), ("written", self.writer)] {
            match watcher {
                Watcher::None => {}
                Watcher::Callback(id) => write!(f, ", {side} by {id}")?,
                Watcher::Task(id) => write!(f, ", {side} by {id}")?,
                Watcher::Waiter(id) => write!(f, ", {side} through {id}")?,
            }
        }
        Ok(())
    }
}

/// Rounds to a thousandth of the unit that a duration is printed in.
fn rounded(duration: Duration) -> Duration {
    let smallest = if duration >= Duration::from_secs(1) {
        1_000_000
    } else if duration >= Duration::from_millis(1) {
        1_000
    } else {
        1
    };
    let rounded = duration.saturating_add(Duration::from_nanos(smallest / 2));
    rounded - Duration::from_nanos(u64::from(rounded.subsec_nanos()) % smallest)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::rounded;

    #[test]
    fn a_duration_has_three_places_at_most() {
        let printed = |nanos| format!("{:?}", rounded(Duration::from_nanos(nanos)));
        assert_eq!(printed(3_612_345_678_901), "3612.346s");
        assert_eq!(printed(2_000_000_999), "2s");
        assert_eq!(printed(1_999_990_000), "2s");
        assert_eq!(printed(999_999_999), "1s");
        assert_eq!(printed(217_889_421), "217.889ms");
        assert_eq!(printed(67_169), "67.169µs");
        assert_eq!(printed(0), "0ns");
    }
}
