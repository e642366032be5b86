//! The language in which the two schedulers are talked to, and in which they
//! answer.

use alloc::vec::Vec;

/// Is what a callback does when it runs.
pub type Script = Vec<Op>;

/// Picks one of the handles that are held: the newest if it is 255, else the one
/// at this place, counted around.
pub type Pick = u8;

/// Is the newest of what is held.
pub const NEWEST: Pick = 255;

/// One operation on a loop. All but the last three may also happen within a
/// callback or a task's step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    Soon(Script),
    /// A callback that comes back with an error.
    SoonFails(Script),
    Later(u64, Script),
    Cancel(Pick),
    DropHandle(Pick),
    NewFuture,
    SetResult(Pick),
    SetException(Pick),
    CancelFuture(Pick),
    DropFuture(Pick),
    AddDone(Pick, Script),
    /// Removes the done callback of whatever that was added last.
    RemoveDone(Pick),
    Spawn(Task),
    CancelTask(Pick),
    Abort(Pick),
    DropTask(Pick),
    AddTaskDone(Pick, Script),
    Stop,
    /// Lets time pass.
    Advance(u64),
    /// Runs one iteration that does not wait.
    Turn,
    /// Runs one iteration that waits for the next timer if nothing is ready;
    /// left out if there is none.
    Once,
    Close,
}

/// What a task does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Task {
    pub steps: Vec<Step>,
    /// Goes on when it is cancelled.
    pub swallows: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    Do(Op),
    Await(Pick),
    Wait(Pick),
    AwaitTask(Pick),
    WaitTask(Pick),
    Sleep(u64),
    Yield,
    /// Awaits a future for this long.
    Timeout(u64, Pick),
    Fail,
}

/// What a task tells of an await that is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    Value(u32),
    /// It waited, and left the result where it is.
    Done,
    Exception,
    /// What it awaited was cancelled.
    Cancelled,
    Taken,
    /// The task itself was cancelled.
    CallerCancelled,
    TimedOut,
    AwaitsItself,
    Full,
    Closed,
    /// There was nothing to await.
    Nothing,
    /// What may not happen.
    Strange,
}

/// What an operation answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    Ok,
    Full,
    Closed,
    Yes,
    No,
    /// Gave the value back: the future was done.
    InvalidState,
    /// There was nothing to do it with.
    Nothing,
}

/// What can be seen from outside, in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    Answer(Answer),
    Ran(u32),
    /// A callback was dropped unrun.
    Dropped(u32),
    /// A step of a task is over: the task, its place in the script, how.
    Woke(u32, usize, Outcome),
    /// A task's future was dropped before its end.
    TaskDropped(u32),
    Reported(&'static str),
}

/// What can be asked at any time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct View {
    pub iterations: u64,
    pub callbacks: u64,
    pub ready: usize,
    pub timers: usize,
    /// Live and peak of calls, futures, tasks.
    pub tables: [(usize, usize); 3],
    /// Of each future that is held: done, cancelled.
    pub futures: Vec<(bool, bool)>,
    pub tasks: Vec<(bool, bool)>,
    pub handles: Vec<bool>,
    pub now: u64,
}

/// How many calls, futures and tasks there is room for at once, and how many
/// creations altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity(pub usize, pub usize, pub usize, pub u64);

/// Is more creations than anybody makes.
pub const ENDLESS: u64 = u64::MAX;

/// Returns the place that `pick` picks.
pub fn picked(pick: Pick, len: usize) -> Option<usize> {
    let last = len.checked_sub(1)?;
    Some(if pick == NEWEST { last } else { usize::from(pick) % len })
}

/// Is the most handles that a script keeps: the oldest go.
pub const HANDLES_MAX: usize = 16;

pub const REPORTS: [&str; 4] = [
    "Exception in callback",
    "Future exception was never retrieved",
    "Task exception was never retrieved",
    "Task was destroyed but it is pending!",
];
