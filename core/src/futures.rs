//! The future table: results without their types.
#![allow(unsafe_code, reason = "drops results of erased type")]

use core::fmt;
use core::panic::Location;

use crate::completion::Completion;
use crate::defect;
use crate::exception::Exception;
use crate::finally::Finally;
use crate::inline::Inline;
use crate::slots::{Entry, NOWHERE, SlotId, Slots, Vacant};
use crate::tables::Source;
use crate::{Context, ExceptionContext, FutureId, Instant, Scheduler};

/// The state of a future, without the type of its result.
pub(crate) enum State {
    Pending,
    /// Invariant: holds the `T` of the `Future<T>`s of this slot.
    Result(Inline),
    Exception(Exception),
    Cancelled,
    /// The result was moved out.
    Taken,
}

/// What a future's slot holds.
pub struct FutureValue {
    pub(crate) completion: Completion,
    pub(crate) state: State,
    pub(crate) drop_result: unsafe fn(&mut Inline),
    pub(crate) location: &'static Location<'static>,
    /// Is when it was made, or done.
    pub(crate) since: Instant,
    /// Tells that an exception is still to be looked at.
    pub(crate) unread: bool,
    /// Counts down the children of a `gather`.
    pub(crate) remaining: u32,
    /// Is the child of a `gather` that failed first.
    pub(crate) failed: Option<u32>,
}

/// The memory of one future.
pub type FutureSlot = Entry<FutureValue, ()>;

impl Vacant for FutureValue {
    const VACANT: Self = Self {
        completion: Completion::new(),
        state: State::Taken,
        drop_result: |_| (),
        location: NOWHERE,
        since: Instant::ZERO,
        unread: false,
        remaining: 0,
        failed: None,
    };
}

pub(crate) type Futures = Slots<FutureValue>;

impl fmt::Debug for FutureValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.name())
    }
}

impl State {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Result(_) => "result",
            Self::Exception(_) => "exception",
            Self::Cancelled => "cancelled",
            Self::Taken => "taken",
        }
    }
}

impl<C: Context> Scheduler<C> {
    /// Calls back, with a reference of its own, so that the slot stays.
    pub(crate) fn call_back_source(&self, context: &C, source: Source) {
        self.tables.with(|tables| {
            if let Some(completion) = tables.completion(source) {
                completion.references += 1;
            }
        });
        let _released = Finally(|| self.release_source(context, source));
        self.call_back(context, source);
    }

    /// Gives up one reference; the last one frees the slot, and reports an
    /// exception that nobody looked at (F-8).
    pub(crate) fn release_future(&self, context: &C, id: SlotId) {
        let last = self.tables.with(|tables| {
            let future = &mut tables.futures.get_mut(id)?.value;
            future.completion.references = future.completion.references.saturating_sub(1);
            (future.completion.references == 0).then_some(())
        });
        if last.is_none() {
            return;
        }
        let _freed = Finally(|| self.free_future(context, id));
        let rest = Finally(|| while self.next_abandoned_of(Source::Future(id)).is_some() {});
        while self.next_abandoned_of(Source::Future(id)).is_some() {}
        core::mem::forget(rest);
    }

    fn free_future(&self, context: &C, id: SlotId) {
        let freed = self.tables.with(|tables| {
            let future = &mut tables.futures.get_mut(id)?.value;
            let state = core::mem::replace(&mut future.state, State::Taken);
            let freed = (state, future.drop_result, future.unread, future.location);
            tables.futures.release(id.index);
            Some(freed)
        });
        let Some((state, drop_result, unread, location)) = freed else {
            return;
        };
        match state {
            State::Exception(exception) if unread && !defect::SILENT => {
                let mut report = ExceptionContext::new("Future exception was never retrieved")
                    .with_exception(exception.get())
                    .with_location(location);
                report.future = Some(FutureId(id));
                context.call_exception_handler(&report);
            }
            // SAFETY: `drop_result` was made with the slot, for its type of
            // result, which was taken out of the slot just now.
            State::Result(mut result) => unsafe { drop_result(&mut result) },
            _ => {}
        }
    }

    /// Empties all futures: their values may hold the loop's handle.
    pub(crate) fn close_futures(&self, context: &C) {
        let rest = Finally(|| self.close_futures(context));
        let mut index = 0;
        while let Some(id) = self.tables.with(|tables| tables.futures.next_live(index)) {
            index = id.index + 1;
            while let Some(waker) = self.next_waiter_of(Source::Future(id)) {
                drop(waker);
            }
            let _ = context.guard(|| self.free_future(context, id));
        }
        core::mem::forget(rest);
    }
}
