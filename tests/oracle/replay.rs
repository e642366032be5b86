//! Executes a script on rondel: the counterpart of `World` in `generate.py`.

use core::cell::{Cell, RefCell};
use core::error::Error;
use core::fmt;
use core::future::Future as StdFuture;
use core::panic::Location;
use core::pin::Pin;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rondel_core::{
    Callback, Cancelled, Context, DoneCallback, ExceptionContext, Future, FutureError, FutureId, Gather,
    GatherError, GatherOutcomes, Handle, Instant, RunError, Sleep, Task, TaskCell, TaskError, TaskId,
    Timeout, TimeoutError, TimerHandle, WaitError, YieldNow,
};

use crate::machine::{Boxed, Machine, Owner};
use crate::script::Op;

/// Is far more runs than any script stops at its end.
const RUNS_MAX: usize = 1_000;

/// How a body or an await fails.
#[derive(Clone, Copy, Debug)]
pub enum Fail {
    /// An error of the script.
    Error(u32),
    /// The task that awaits was cancelled.
    Cancelled(Cancelled),
    /// What is awaited was cancelled.
    OtherCancelled,
    TimedOut,
    Taken,
    NotReady,
    AwaitsItself,
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(number) => write!(f, "e{number}"),
            Self::Cancelled(_) => f.write_str("C"),
            Self::OtherCancelled => f.write_str("K"),
            Self::TimedOut => f.write_str("O"),
            Self::Taken => f.write_str("T"),
            Self::NotReady => f.write_str("N"),
            Self::AwaitsItself => f.write_str("A"),
        }
    }
}

impl Error for Fail {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

/// What an await ended with: what to show, why it failed, and what a `ret` in
/// its body returned.
struct Ended {
    shown: String,
    failure: Option<Fail>,
    returned: Option<u32>,
}

impl Ended {
    fn well(shown: impl fmt::Display) -> Self {
        Self { shown: shown.to_string(), failure: None, returned: None }
    }

    /// The wait itself failed.
    fn by(failure: Fail) -> Self {
        Self { shown: failure.to_string(), failure: Some(failure), returned: None }
    }

    /// What was waited for ended with an error.
    fn with_error(failure: Fail) -> Self {
        // A cancellation of the awaiting task is shown as what it is.
        let mark = if matches!(failure, Fail::Cancelled(_)) { "" } else { "!" };
        Self { shown: format!("{mark}{failure}"), failure: Some(failure), returned: None }
    }
}

impl From<Result<u32, FutureError>> for Ended {
    fn from(result: Result<u32, FutureError>) -> Self {
        match result {
            Ok(value) => Self::well(value),
            Err(FutureError::NotReady) => Self::by(Fail::NotReady),
            Err(FutureError::Cancelled) => Self::by(Fail::OtherCancelled),
            Err(FutureError::Taken) => Self::by(Fail::Taken),
            Err(FutureError::CallerCancelled(cancelled)) => Self::by(Fail::Cancelled(cancelled)),
            Err(FutureError::Exception(exception)) => {
                Self::with_error(*exception.get().downcast_ref::<Fail>().expect("an error of the script"))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl From<TaskError> for Ended {
    fn from(error: TaskError) -> Self {
        Self::by(match error {
            TaskError::NotReady => Fail::NotReady,
            TaskError::Cancelled => Fail::OtherCancelled,
            TaskError::Taken => Fail::Taken,
            TaskError::AwaitsItself => Fail::AwaitsItself,
            TaskError::CallerCancelled(cancelled) => Fail::Cancelled(cancelled),
            error => panic!("{error}"),
        })
    }
}

impl From<Result<Result<u32, Fail>, TaskError>> for Ended {
    fn from(result: Result<Result<u32, Fail>, TaskError>) -> Self {
        match result {
            Ok(Ok(value)) => Self::well(value),
            Ok(Err(error)) => Self::with_error(error),
            Err(error) => error.into(),
        }
    }
}

impl From<Result<(), WaitError>> for Ended {
    fn from(result: Result<(), WaitError>) -> Self {
        match result {
            Ok(()) => Self::well("."),
            Err(WaitError::Cancelled(cancelled)) => Self::by(Fail::Cancelled(cancelled)),
            Err(WaitError::AwaitsItself) => Self::by(Fail::AwaitsItself),
            Err(error) => panic!("{error}"),
        }
    }
}

enum Source<C: Context> {
    Future(Future<u32, C>),
    Task(Task<Result<u32, Fail>, C>),
}

enum AnyHandle<C: Context> {
    Soon(Handle<C>),
    Timer(TimerHandle<C>),
}

trait Hooks {
    fn idle(&self);
    fn stop(&self);
    fn report(&self, context: &ExceptionContext<'_>);
}

thread_local! {
    static HOOKS: RefCell<Option<Rc<dyn Hooks>>> = const { RefCell::new(None) };
}

fn hooks() -> Option<Rc<dyn Hooks>> {
    HOOKS.with_borrow(Clone::clone)
}

/// Is called by a wait that nothing can end; it stops the loop then.
pub fn idle() {
    if let Some(hooks) = hooks() {
        hooks.idle();
        hooks.stop();
    }
}

/// Is called after a wait that nothing could end has ended the run.
pub fn was_idle() {
    if let Some(hooks) = hooks() {
        hooks.idle();
    }
}

/// Is the exception handler.
pub fn report(context: &ExceptionContext<'_>) {
    if let Some(hooks) = hooks() {
        hooks.report(context);
    }
}

struct World<C: Context> {
    context: C,
    owner: Rc<dyn Owner>,
    trace: RefCell<Vec<String>>,
    last: Cell<(u64, u64)>,
    handles: RefCell<BTreeMap<u32, Rc<AnyHandle<C>>>>,
    futures: RefCell<BTreeMap<u32, Future<u32, C>>>,
    tasks: RefCell<BTreeMap<u32, Task<Result<u32, Fail>, C>>>,
    added: RefCell<BTreeMap<u32, (String, DoneCallback)>>,
    gathered: RefCell<BTreeSet<u32>>,
    /// Holds the futures that are not dropped.
    shared: RefCell<BTreeSet<u32>>,
    future_names: RefCell<Vec<(FutureId, u32)>>,
    task_names: RefCell<Vec<(TaskId, u32)>>,
    is_idle: Cell<bool>,
}

/// The task that executes a body.
struct Me {
    label: String,
    timeouts: Cell<u32>,
}

/// What a callback does; in one word, so that its closure is small enough.
struct Call<C: Context> {
    world: Rc<World<C>>,
    label: String,
    body: Rc<[Op]>,
}

impl<C: Context> Call<C> {
    fn run(&self) -> Result<(), Fail> {
        self.world.log(&self.label);
        self.world.perform(&self.body)
    }
}

type Execution = Pin<Box<dyn StdFuture<Output = Result<Option<u32>, Fail>>>>;

impl<C: Context> Hooks for World<C> {
    fn idle(&self) {
        self.log("idle");
        self.is_idle.set(true);
    }

    fn stop(&self) {
        self.context.scheduler().stop();
    }

    fn report(&self, context: &ExceptionContext<'_>) {
        let what = match context.message {
            "Exception in callback" => "c".to_owned(),
            "Future exception was never retrieved" => {
                let names = self.future_names.borrow();
                let name = names.iter().rev().find(|(id, _)| Some(*id) == context.future);
                format!("f{}", name.expect("a future of the script").1)
            }
            "Task exception was never retrieved" => {
                let names = self.task_names.borrow();
                let name = names.iter().rev().find(|(id, _)| Some(*id) == context.task);
                format!("t{}", name.expect("a task of the script").1)
            }
            message => panic!("{message}"),
        };
        self.log(&format!("x{what} {}", context.exception.expect("an error")));
    }
}

impl<C: Context> World<C> {
    fn log(&self, line: &str) {
        let now = (self.owner.iterations(), self.context.now().as_nanos());
        let last = self.last.replace(now);
        let mut trace = self.trace.borrow_mut();
        if now != last {
            let count = match now.0 - last.0 {
                1 => String::new(),
                count => count.to_string(),
            };
            let at = if now.1 == last.1 { String::new() } else { format!("@{}", now.1) };
            trace.push(format!(">{count}{at}"));
        }
        trace.push(line.to_owned());
    }

    fn future(&self, number: u32) -> Option<Future<u32, C>> {
        self.futures.borrow().get(&number).cloned()
    }

    fn task(&self, number: u32) -> Option<Task<Result<u32, Fail>, C>> {
        self.tasks.borrow().get(&number).cloned()
    }

    fn source(&self, name: &str) -> Option<Source<C>> {
        let number = name[1..].parse().expect("a number");
        if name.starts_with('f') {
            self.shared.borrow_mut().insert(number);
            self.future(number).map(Source::Future)
        } else {
            self.task(number).map(Source::Task)
        }
    }

    fn is_me(&self, task: &Task<Result<u32, Fail>, C>) -> bool {
        self.context.scheduler().current_task(&self.context).is_some_and(|current| current.id() == task.id())
    }

    fn call(self: &Rc<Self>, label: String, op: &Op) -> Rc<Call<C>> {
        Rc::new(Call { world: Rc::clone(self), label, body: Rc::clone(&op.body) })
    }

    /// Executes a body that can't await.
    fn perform(self: &Rc<Self>, body: &[Op]) -> Result<(), Fail> {
        for op in body {
            if op.kind == "ret" {
                return Ok(());
            }
            self.step(op)?;
        }
        Ok(())
    }

    fn step(self: &Rc<Self>, op: &Op) -> Result<(), Fail> {
        let (scheduler, context) = (self.context.scheduler(), &self.context);
        let location = Location::caller();
        match op.kind.as_str() {
            "soon" => {
                let call = self.call(format!("c{}", op.number(0)), op);
                let callback = move |_: &C| call.run();
                let handle = scheduler.call_soon(context, callback, Callback::new, location);
                let handle = AnyHandle::Soon(handle.unwrap_or_else(|refused| panic!("{refused}")));
                self.handles.borrow_mut().insert(op.number(0), Rc::new(handle));
            }
            "later" | "at" => {
                let call = self.call(format!("c{}", op.number(0)), op);
                let callback = move |_: &C| call.run();
                let nanos = u64::from(op.number(1));
                let handle = if op.kind == "later" {
                    let delay = Duration::from_nanos(nanos);
                    scheduler.call_later(context, delay, callback, Callback::new, location)
                } else {
                    let when = Instant::from_nanos(nanos);
                    scheduler.call_at(context, when, callback, Callback::new, location)
                };
                let handle = AnyHandle::Timer(handle.unwrap_or_else(|refused| panic!("{refused}")));
                self.handles.borrow_mut().insert(op.number(0), Rc::new(handle));
            }
            "hcancel" => {
                let handle = self.handles.borrow().get(&op.number(0)).cloned();
                match handle.as_deref() {
                    Some(AnyHandle::Soon(handle)) => handle.cancel(),
                    Some(AnyHandle::Timer(handle)) => handle.cancel(),
                    None => {}
                }
            }
            "fut" => {
                let future = Future::<u32, C>::new(context).expect("room for a future");
                self.future_names.borrow_mut().push((future.id(), op.number(0)));
                self.futures.borrow_mut().insert(op.number(0), future);
            }
            "setr" | "sete" | "fcancel" | "result" | "exc" => {
                if let Some(future) = self.future(op.number(0)) {
                    self.step_future(op, &future);
                }
            }
            "drop" => {
                if !self.shared.borrow().contains(&op.number(0)) {
                    let dropped = self.futures.borrow_mut().remove(&op.number(0));
                    drop(dropped);
                }
            }
            "add" => {
                let call = self.call(format!("d{}", op.number(0)), op);
                let added = match self.source(&op.args[1]) {
                    None => return Ok(()),
                    Some(Source::Future(future)) => {
                        future.add_done_callback(move |_, _| call.run()).map_err(|refused| refused.refusal())
                    }
                    Some(Source::Task(task)) => {
                        task.add_done_callback(move |_, _| call.run()).map_err(|refused| refused.refusal())
                    }
                };
                let added = (op.args[1].clone(), added.expect("room for a callback"));
                self.added.borrow_mut().insert(op.number(0), added);
            }
            "rm" => {
                let Some((name, callback)) = self.added.borrow().get(&op.number(0)).cloned() else {
                    return Ok(());
                };
                let removed = match self.source(&name) {
                    None => return Ok(()),
                    Some(Source::Future(future)) => future.remove_done_callback(callback),
                    Some(Source::Task(task)) => task.remove_done_callback(callback),
                };
                self.log(&format!("d{} removed {}", op.number(0), u8::from(removed)));
            }
            "task" => {
                let me = Me { label: format!("t{}", op.number(0)), timeouts: Cell::new(0) };
                let body = Box::pin(run_task(Rc::clone(self), me, Rc::clone(&op.body)));
                let body: Pin<Box<dyn StdFuture<Output = Result<u32, Fail>>>> = body;
                let task = Task::new(context, body, TaskCell::new).expect("room for a task");
                self.task_names.borrow_mut().push((task.id(), op.number(0)));
                self.tasks.borrow_mut().insert(op.number(0), task);
            }
            "tcancel" => {
                if let Some(task) = self.task(op.number(0)) {
                    self.log(&format!("t{} cancel {}", op.number(0), u8::from(task.cancel())));
                }
            }
            "take" => {
                if let Some(task) = self.task(op.number(0)) {
                    self.log(&format!("t{} {}", op.number(0), Ended::from(task.take()).shown));
                }
            }
            "q" => self.ask(&op.args[0]),
            "stop" => scheduler.stop(),
            "nest" => {
                assert!(!self.owner.can_run_now());
                self.log("nest refused");
            }
            "work" => self.owner.work(Duration::from_nanos(op.number(0).into())),
            "raise" => return Err(Fail::Error(op.number(0))),
            kind => panic!("no such operation here: {kind}"),
        }
        Ok(())
    }

    fn step_future(&self, op: &Op, future: &Future<u32, C>) {
        let number = op.number(0);
        match op.kind.as_str() {
            "setr" if future.set_result(op.number(1)).is_err() => self.log(&format!("f{number} invalid")),
            "sete" if future.set_exception(Fail::Error(op.number(1))).is_err() => {
                self.log(&format!("f{number} invalid"));
            }
            "fcancel" => self.log(&format!("f{number} cancel {}", u8::from(future.cancel()))),
            "result" => self.log(&format!("f{number} {}", Ended::from(future.result()).shown)),
            "exc" => {
                let show = |error: Option<&(dyn Error + 'static)>| match error {
                    Some(error) => format!("!{error}"),
                    None => "-".to_owned(),
                };
                let shown =
                    future.exception(show).unwrap_or_else(|error| Ended::from(Err::<u32, _>(error)).shown);
                self.log(&format!("f{number} {shown}"));
            }
            _ => {}
        }
    }

    /// Shows whether something is done, and whether it is cancelled.
    fn ask(&self, name: &str) {
        let bits = if let Some(number) = name.strip_prefix('h') {
            let number = number.parse().expect("a number");
            let handle = self.handles.borrow().get(&number).cloned();
            match handle.as_deref() {
                None => return,
                Some(AnyHandle::Soon(handle)) => u8::from(handle.cancelled()).to_string(),
                Some(AnyHandle::Timer(handle)) => u8::from(handle.cancelled()).to_string(),
            }
        } else {
            match self.source(name) {
                None => return,
                Some(Source::Future(it)) => format!("{}{}", u8::from(it.done()), u8::from(it.cancelled())),
                Some(Source::Task(it)) => format!("{}{}", u8::from(it.done()), u8::from(it.cancelled())),
            }
        };
        self.log(&format!("{name} {bits}"));
    }

    /// Waits for what `op` names; `None` if it names nothing.
    async fn wait_for(self: &Rc<Self>, me: &Rc<Me>, op: &Op) -> Option<Ended> {
        let context = &self.context;
        match op.kind.as_str() {
            "sleep" => Some(Sleep::new(context, Duration::from_nanos(op.number(0).into())).await.into()),
            "yield" => Some(YieldNow::new(context).await.into()),
            "await" => Some(match self.source(&op.args[0])? {
                Source::Future(future) => future.await.into(),
                Source::Task(task) => task.await.into(),
            }),
            "wait" => {
                let wait = match self.source(&op.args[0])? {
                    Source::Future(future) => future.wait(),
                    Source::Task(task) => task.wait(),
                };
                Some(wait.await.into())
            }
            "timeout" => {
                let limit = Duration::from_nanos(op.number(0).into());
                me.timeouts.set(me.timeouts.get() + 1);
                let body = execute(Rc::clone(self), Rc::clone(me), Rc::clone(&op.body));
                let ended = Timeout::new(context, limit, body).await;
                me.timeouts.set(me.timeouts.get() - 1);
                Some(match ended {
                    Ok(Ok(returned)) => Ended { returned, ..Ended::well(".") },
                    Ok(Err(error)) => Ended::with_error(error),
                    Err(TimeoutError::TimedOut) => Ended::by(Fail::TimedOut),
                    Err(TimeoutError::Cancelled(cancelled)) => Ended::by(Fail::Cancelled(cancelled)),
                    Err(error) => panic!("{error}"),
                })
            }
            _ => {
                let mut numbers: Vec<u32> = Vec::new();
                for number in (1..op.args.len()).map(|index| op.number(index)) {
                    let others = self.task(number).is_some_and(|task| !self.is_me(&task));
                    if others && !numbers.contains(&number) {
                        numbers.push(number);
                    }
                }
                let tasks: Vec<_> = numbers.iter().filter_map(|&number| self.task(number)).collect();
                if tasks.is_empty() {
                    return None;
                }
                self.gathered.borrow_mut().extend(numbers);
                let all = op.kind == "gatherx";
                Some(match <[_; 1]>::try_from(tasks) {
                    Ok(tasks) => self.gather(tasks, all).await,
                    Err(tasks) => match <[_; 2]>::try_from(tasks) {
                        Ok(tasks) => self.gather(tasks, all).await,
                        Err(tasks) => match <[_; 3]>::try_from(tasks) {
                            Ok(tasks) => self.gather(tasks, all).await,
                            Err(_) => panic!("too many to gather"),
                        },
                    },
                })
            }
        }
    }

    async fn gather<const N: usize>(&self, tasks: [Task<Result<u32, Fail>, C>; N], all: bool) -> Ended {
        if all {
            return match GatherOutcomes::new(&self.context, tasks).expect("room to gather").await {
                Ok(outcomes) => Ended::well(list(outcomes.map(|outcome| Ended::from(outcome).shown))),
                Err(error) => Err::<(), _>(error).into(),
            };
        }
        match Gather::new(&self.context, tasks).expect("room to gather").await {
            Ok(values) => Ended::well(list(values.map(|value| value.to_string()))),
            Err(GatherError::Failed { error, .. }) => Ended::with_error(error),
            Err(GatherError::Task { error, .. }) => error.into(),
            Err(GatherError::Cancelled(cancelled)) => Ended::by(Fail::Cancelled(cancelled)),
            Err(error) => panic!("{error}"),
        }
    }

    fn run(&self) {
        self.owner.run_forever();
        self.log("r");
    }

    fn ended<T>(&self, ended: Result<T, RunError>, show: impl FnOnce(T) -> String) {
        let shown = match ended {
            Ok(value) => show(value),
            Err(RunError::Stopped) => "S".to_owned(),
            Err(RunError::Cancelled) => "C".to_owned(),
            Err(error) => panic!("{error}"),
        };
        self.log(&format!("r={shown}"));
    }

    fn execute_script(self: &Rc<Self>, script: &[Op], mut before: impl FnMut(&Self)) {
        for op in script {
            before(self);
            match op.kind.as_str() {
                "run" => self.run(),
                "ruc" => {
                    let me = Me { label: format!("t{}", op.number(0)), timeouts: Cell::new(0) };
                    let body = run_task(Rc::clone(self), me, Rc::clone(&op.body));
                    let ended = self.owner.run_body(Box::pin(body));
                    self.ended(ended, |result| match result {
                        Ok(value) => value.to_string(),
                        Err(error) => Ended::with_error(error).shown,
                    });
                }
                "rucw" => {
                    let wait: Boxed<_> = match self.source(&op.args[0]) {
                        None => continue,
                        Some(Source::Future(future)) => Box::pin(future.wait()),
                        Some(Source::Task(task)) => Box::pin(task.wait()),
                    };
                    let ended = self.owner.run_wait(wait);
                    self.ended(ended, |result| Ended::from(result).shown);
                }
                _ => self.step(op).expect("nothing is raised outside of a callback"),
            }
        }
        before(self);
        // Only what the script does stops these runs before there is nothing left.
        for _ in 0..RUNS_MAX {
            self.is_idle.set(false);
            self.run();
            if self.is_idle.get() {
                break;
            }
        }
        if !self.is_idle.get() {
            self.log("never idle");
        }
        let numbers: Vec<u32> = self.futures.borrow().keys().copied().collect();
        for number in numbers {
            let last = self.futures.borrow_mut().remove(&number);
            drop(last);
        }
        let numbers: Vec<u32> = self.tasks.borrow().keys().copied().collect();
        for number in numbers {
            let last = self.tasks.borrow_mut().remove(&number);
            if let (Some(task), true) = (&last, self.gathered.borrow().contains(&number)) {
                let _ = task.take();
            }
            drop(last);
        }
    }
}

fn list<const N: usize>(shown: [String; N]) -> String {
    format!("[{}]", shown.join(","))
}

async fn run_task<C: Context>(world: Rc<World<C>>, me: Me, body: Rc<[Op]>) -> Result<u32, Fail> {
    let me = Rc::new(me);
    world.log(&me.label);
    let result = execute(Rc::clone(&world), Rc::clone(&me), body).await;
    let result = result.map(|returned| returned.unwrap_or(0));
    let shown = match &result {
        Ok(value) => value.to_string(),
        Err(error) => Ended::with_error(*error).shown,
    };
    world.log(&format!("{}={shown}", me.label));
    result
}

/// Executes a body that can await; returns the value of a `ret`.
fn execute<C: Context>(world: Rc<World<C>>, me: Rc<Me>, body: Rc<[Op]>) -> Execution {
    Box::pin(async move {
        for op in body.iter() {
            let is_me = op.kind == "me"
                || (op.kind == "tcancel" && world.task(op.number(0)).is_some_and(|task| world.is_me(&task)));
            if is_me {
                let current = world.context.scheduler().current_task(&world.context);
                if let (0, Some(current)) = (me.timeouts.get(), current) {
                    world.log(&format!("{} cancel {}", me.label, u8::from(current.cancel())));
                }
                continue;
            }
            match op.kind.as_str() {
                "ret" => return Ok(Some(op.number(0))),
                "await" | "wait" | "sleep" | "yield" | "timeout" | "gather" | "gatherx" => {}
                _ => {
                    world.step(op)?;
                    continue;
                }
            }
            let Some(ended) = world.wait_for(&me, op).await else {
                continue;
            };
            world.log(&format!("{} {}", me.label, ended.shown));
            match (ended.failure, op.mode()) {
                (None, _) if ended.returned.is_some() => return Ok(ended.returned),
                (Some(failure), "p") => return Err(failure),
                (Some(_), "r") => return Ok(Some(900)),
                (Some(_), "x") => return Err(Fail::Error(7)),
                _ => {}
            }
        }
        Ok(None)
    })
}

/// Lets go of the script, also when it fails.
struct Unset;

impl Drop for Unset {
    fn drop(&mut self) {
        HOOKS.take();
    }
}

/// Executes `script` and returns its trace, and how long that was before each
/// operation outside of bodies and at the end.
pub fn replay<C: Context>(machine: Machine<C>, script: &[Op]) -> (Vec<String>, Vec<usize>) {
    let world = Rc::new(World {
        context: machine.context.clone(),
        owner: Rc::clone(&machine.owner),
        trace: RefCell::default(),
        last: Cell::new((0, 0)),
        handles: RefCell::default(),
        futures: RefCell::default(),
        tasks: RefCell::default(),
        added: RefCell::default(),
        gathered: RefCell::default(),
        shared: RefCell::default(),
        future_names: RefCell::default(),
        task_names: RefCell::default(),
        is_idle: Cell::new(false),
    });
    let hooks: Rc<dyn Hooks> = Rc::<World<C>>::clone(&world);
    HOOKS.set(Some(hooks));
    let _unset = Unset;
    let mut lengths = Vec::new();
    world.execute_script(script, |world| lengths.push(world.trace.borrow().len()));
    // What is left is not compared: a pending task is reported, asyncio waits
    // for the garbage collector.
    HOOKS.set(None);
    let _ = machine.context.scheduler().close(&machine.context);
    world.handles.take();
    (world.trace.take(), lengths)
}
