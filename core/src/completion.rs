//! What futures and tasks have in common: they complete once, and then call
//! back, in the order in which it was asked for (contract F-4).

use core::error::Error;
use core::panic::Location;

use crate::callback::Callback;
use crate::calls::Kind;
use crate::defect;
use crate::finally::Finally;
use crate::ready::{List, Node, Owner, Ready};
use crate::tables::{Source, Tables};
use crate::{Context, Outcome, Refused, Scheduler, SlotId};

/// The part of a future or task that others hold on to.
#[derive(Debug)]
pub(crate) struct Completion {
    /// Holds done callbacks and waiters while pending; empty afterwards.
    pub(crate) waiters: List,
    /// Counts handles, and done callbacks that are about to run. Those that wait
    /// don't count: a future that nobody can complete takes them along.
    pub(crate) references: u32,
    pub(crate) is_done: bool,
}

impl Completion {
    pub(crate) const fn new() -> Self {
        Self { waiters: List::EMPTY, references: 1, is_done: false }
    }
}

/// Names a done callback, to remove it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoneCallback(pub(crate) SlotId);

impl DoneCallback {
    /// Names no callback.
    pub(crate) const NONE: Self = Self(SlotId { index: u32::MAX, seq: 0 });
}

/// Shows the outcome of a callback that has run through to the loop.
pub(crate) struct Passed<R>(pub(crate) Option<R>);

impl<R: Outcome> Outcome for Passed<R> {
    type Value = Option<R::Value>;
    type Error = R::Error;

    fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().and_then(R::error)
    }

    fn into_result(self) -> Result<Self::Value, R::Error> {
        self.0.map(R::into_result).transpose()
    }
}

impl<C: Context> Tables<C> {
    pub(crate) fn completion(&mut self, source: Source) -> Option<&mut Completion> {
        match source {
            Source::Future(id) => self.futures.get_mut(id).map(|entry| &mut entry.value.completion),
            Source::Task(id) => self.tasks.slots.get_mut(id).map(|entry| &mut entry.value.completion),
        }
    }

    /// Returns the future or task in the slot `index`, which a call of this kind belongs to.
    ///
    /// It outlives the call, which so needs no more than its slot: whoever awaits refers to it, and what
    /// waits for one that nobody can complete any more goes with it.
    pub(crate) fn source_of(&self, kind: Kind, index: u32) -> Option<Source> {
        match kind {
            Kind::FutureDone | Kind::FutureWaiter => {
                self.futures.live_at(index).map(|entry| Source::Future(SlotId { index, seq: entry.seq }))
            }
            Kind::TaskDone | Kind::TaskWaiter => {
                self.tasks.slots.live_at(index).map(|entry| Source::Task(SlotId { index, seq: entry.seq }))
            }
            _ => None,
        }
    }

    /// Takes a call out of the waiters of its source, or out of the ready queue.
    ///
    /// Returns the source if it is a done callback that holds a reference to it:
    /// it does from the completion on.
    fn unlink_waiter(&mut self, ready: &mut Ready, index: u32) -> Option<Source> {
        let node = Node::call(index);
        let entry = self.calls.at(index)?;
        let kind = entry.head.kind;
        let source = self.source_of(kind, entry.at);
        match source.and_then(|source| self.completion(source)) {
            Some(completion) if !completion.is_done => {
                completion.waiters.remove(&mut ready.links, node);
                return None;
            }
            Some(_) if matches!(kind, Kind::FutureDone | Kind::TaskDone) => {
                ready.remove(node);
                return source;
            }
            _ => ready.remove(node),
        };
        None
    }

    /// Takes the wait node of a task, which has ended, out of the line that it stands in.
    fn leave(&mut self, ready: &mut Ready, task: u32, source: Source) {
        if let Some(completion) = self.completion(source)
            && !completion.is_done
        {
            completion.waiters.remove(&mut ready.links, Node::wait(task));
        }
    }
}

/// What belongs to those who ask for a completion. The first of them links it: a program in
/// which nobody does, as a small one, is linked without.
pub(crate) struct Askers<C: Context> {
    /// Calls back everybody who asked for the completion of a source, which is done.
    pub(crate) call_back: fn(&Scheduler<C>, &C, Source),
    /// Gives up one reference.
    pub(crate) release: fn(&Scheduler<C>, &C, Source),
    /// See [`Tables::source_of`].
    pub(crate) source_of: fn(&Tables<C>, Kind, u32) -> Option<Source>,
    /// See [`Tables::unlink_waiter`].
    pub(crate) unlink: fn(&mut Tables<C>, &mut Ready, u32) -> Option<Source>,
    /// See [`Tables::leave`].
    pub(crate) leave: fn(&mut Tables<C>, &mut Ready, u32, Source),
}

impl<C: Context> Askers<C> {
    const fn new() -> Self {
        Self {
            call_back: Scheduler::call_back_source,
            release: Scheduler::release_source,
            source_of: Tables::source_of,
            unlink: Tables::unlink_waiter,
            leave: Tables::leave,
        }
    }
}

impl<C: Context> Scheduler<C> {
    /// Adds a callback for when `source` is done; at once ready if it is.
    pub(crate) fn add_done_callback<P>(
        &self,
        source: Source,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<DoneCallback, Refused<P>> {
        let (kind, owner) = match source {
            Source::Future(id) => (Kind::FutureDone, id),
            Source::Task(id) => (Kind::TaskDone, id),
        };
        let id = self.insert_waiter("add_done_callback", kind, owner, callback, erase, location)?;
        let node = Node::call(id.index);
        self.tables.with_both(|tables, ready| {
            let Some(completion) = tables.completion(source) else {
                return;
            };
            if completion.is_done {
                completion.references += 1;
                ready.push(node);
            } else {
                completion.waiters.push(&mut ready.links, node);
            }
        });
        Ok(DoneCallback(id))
    }

    /// Takes a done callback of a pending source out again.
    pub(crate) fn remove_done_callback(&self, context: &C, source: Source, callback: DoneCallback) -> bool {
        let pending = self.tables.with(|tables| {
            let call = tables.calls.get(callback.0);
            let belongs = call.and_then(|call| tables.source_of(call.head.kind, call.at)) == Some(source);
            belongs && tables.completion(source).is_some_and(|completion| !completion.is_done)
        });
        pending && self.cancel_call(context, callback.0)
    }

    /// Adds a call that belongs to a future or task.
    pub(crate) fn insert_waiter<P>(
        &self,
        operation: &'static str,
        kind: Kind,
        owner: SlotId,
        callback: P,
        erase: impl FnOnce(P) -> Callback<C>,
        location: &'static Location<'static>,
    ) -> Result<SlotId, Refused<P>> {
        let id = self.insert_call(operation, kind, callback, erase, location)?;
        self.link_askers();
        self.tables.with(|tables| {
            if let Some(entry) = tables.calls.get_mut(id) {
                entry.at = owner.index;
            }
        });
        Ok(id)
    }

    /// Returns what a call that asks belongs to.
    pub(crate) fn source_of(&self, kind: Kind, index: u32) -> Option<Source> {
        let askers = self.askers.get()?;
        self.tables.with(|tables| (askers.source_of)(tables, kind, index))
    }

    /// Makes what belongs to whoever asks for a completion part of the program.
    #[inline]
    pub(crate) fn link_askers(&self) {
        self.askers.set(Some(const { &Askers::new() }));
    }

    /// Calls back everybody who asked for the completion of `source`, which is
    /// done. Nothing of it runs here: callbacks and tasks become ready.
    pub(crate) fn call_back(&self, context: &C, source: Source) {
        let rest = Finally(|| self.call_back(context, source));
        while let Some(waker) = self.next_waiter_of(source) {
            if defect::RUN_INLINE {
                self.source.set(Some(source.id()));
            }
            // A foreign waker is foreign code; its panic is reported.
            let _ = context.guard(|| waker.call_once(context));
        }
        core::mem::forget(rest);
    }

    /// Makes waiters ready up to the first one with a waker, which it returns.
    pub(crate) fn next_waiter_of(&self, source: Source) -> Option<Callback<C>> {
        self.tables.with_both(|tables, ready| {
            loop {
                let node = tables.completion(source)?.waiters.pop_waiter(&mut ready.links)?;
                match node.owner() {
                    Owner::Call(index) => {
                        let entry = tables.calls.at_mut(index)?;
                        let is_callback = matches!(entry.head.kind, Kind::FutureDone | Kind::TaskDone);
                        if is_callback && !defect::RUN_INLINE {
                            ready.push(node);
                            if let Some(completion) = tables.completion(source) {
                                completion.references += 1;
                            }
                            continue;
                        }
                        let waker = entry.value.callback.take();
                        tables.calls.release(index);
                        if waker.is_some() {
                            return waker;
                        }
                    }
                    Owner::Wait(_) if defect::DROP_WAKE => {}
                    Owner::Wait(index) | Owner::Task(index) => {
                        ready.push(Node::task(index));
                    }
                }
            }
        })
    }

    /// Takes a done callback of `source`, which never completes, out of its slot.
    pub(crate) fn next_abandoned_of(&self, source: Source) -> Option<Callback<C>> {
        self.tables.with_both(|tables, ready| {
            loop {
                let node = tables.completion(source)?.waiters.pop(&mut ready.links)?;
                let Owner::Call(index) = node.owner() else { continue };
                let callback = tables.calls.at_mut(index)?.value.callback.take();
                tables.calls.release(index);
                if callback.is_some() {
                    return callback;
                }
            }
        })
    }

    /// Gives up one reference to a future or task.
    pub(crate) fn release_source(&self, context: &C, source: Source) {
        match source {
            Source::Future(id) => self.release_future(context, id),
            Source::Task(id) => self.release_task(context, id),
        }
    }
}
