//! Closures without an allocator.
#![allow(unsafe_code, reason = "calls and drops closures of erased type")]

use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;

use crate::inline::Inline;
use crate::slots::{NOWHERE, SlotId};
use crate::{Context, Outcome, Scheduler};

/// A closure that the loop will call with its context, stored inline.
///
/// Takes up to 24 bytes of captures, alignment 8 at most, on every target.
pub struct Callback<C: 'static> {
    /// Invariant: holds the closure that `vtable` was made for.
    closure: Inline,
    vtable: &'static VTable<C>,
    /// Closures needn't be `Send`.
    _not_send: PhantomData<*mut ()>,
}

/// Calls a handler that was taken out of its slot.
type Handle<C> = fn(&C, SlotId, &'static Location<'static>, &mut Callback<C>);

struct VTable<C: 'static> {
    /// Calls the closure for the last time, and drops it.
    call_once: unsafe fn(&mut Inline, &C),
    /// Calls the closure and leaves it there, if it can be called again.
    call_again: Option<unsafe fn(&mut Inline, &C)>,
    /// Is how the loop calls a handler; in its table, so that a program without handlers is
    /// linked without.
    handle: Option<Handle<C>>,
    /// Is `None` where there is nothing to drop.
    drop: Option<unsafe fn(&mut Inline)>,
    /// Tells what the closure does, if it is an [`Action`].
    aim: Option<unsafe fn(&Inline) -> Option<Aim>>,
}

impl<C: Context> Callback<C> {
    /// Makes a callback to be called once.
    ///
    /// A closure with more than 24 bytes of captures does not compile.
    #[inline]
    pub fn new<F, R>(closure: F) -> Self
    where
        F: FnOnce(&C) -> R + 'static,
        R: Outcome,
    {
        Self {
            closure: Inline::store(closure),
            vtable: const { &VTable::once::<F, R>() },
            _not_send: PhantomData,
        }
    }

    /// Makes a callback to be called once, or gives a closure of more than 24
    /// bytes back.
    ///
    /// # Errors
    /// The closure, when it doesn't fit.
    #[inline]
    pub fn try_inline<F, R>(closure: F) -> Result<Self, F>
    where
        F: FnOnce(&C) -> R + 'static,
        R: Outcome,
    {
        Ok(Self {
            closure: Inline::new(closure)?,
            vtable: const { &VTable::once::<F, R>() },
            _not_send: PhantomData,
        })
    }

    /// Makes a callback to be called again and again.
    ///
    /// A closure with more than 24 bytes of captures does not compile.
    pub fn handler<F, R>(closure: F) -> Self
    where
        F: FnMut(&C) -> R + 'static,
        R: Outcome,
    {
        Self {
            closure: Inline::store(closure),
            vtable: const { &VTable::repeated::<F, R>() },
            _not_send: PhantomData,
        }
    }

    /// Makes a callback to be called again and again, or gives a closure of
    /// more than 24 bytes back.
    ///
    /// # Errors
    /// The closure, when it doesn't fit.
    pub fn try_inline_handler<F, R>(closure: F) -> Result<Self, F>
    where
        F: FnMut(&C) -> R + 'static,
        R: Outcome,
    {
        Ok(Self {
            closure: Inline::new(closure)?,
            vtable: const { &VTable::repeated::<F, R>() },
            _not_send: PhantomData,
        })
    }

    /// Makes a callback of an action, to be called again and again.
    ///
    /// An action of more than 24 bytes does not compile.
    pub(crate) fn action<A: Action<C>>(action: A) -> Self {
        Self {
            closure: Inline::store(action),
            vtable: const { &VTable::action::<A>() },
            _not_send: PhantomData,
        }
    }

    /// Calls the closure and drops it.
    #[inline]
    pub(crate) fn call_once(mut self, context: &C) {
        self.call(context);
    }

    /// Calls the closure where it lies, and drops it; a further call does nothing.
    #[inline]
    pub(crate) fn call(&mut self, context: &C) {
        let vtable = core::mem::replace(&mut self.vtable, const { &VTable::spent() });
        // SAFETY: the vtable was made for this closure, which the call moves out
        // and which nobody calls or drops again: its vtable was replaced.
        unsafe { (vtable.call_once)(&mut self.closure, context) };
    }

    /// Returns how the loop calls it, if it is a handler.
    #[inline]
    pub(crate) fn handle(&self) -> Option<Handle<C>> {
        self.vtable.handle
    }

    /// Takes the closure out, and leaves one that does nothing.
    pub(crate) fn take(&mut self) -> Self {
        let vtable = core::mem::replace(&mut self.vtable, const { &VTable::spent() });
        Self { closure: self.closure, vtable, _not_send: PhantomData }
    }

    /// Calls the closure, if it is one that can be called again.
    pub(crate) fn call_again(&mut self, context: &C) {
        if let Some(call) = self.vtable.call_again {
            // SAFETY: the vtable was made for this closure, which stays in place.
            unsafe { call(&mut self.closure, context) };
        }
    }
}

/// A callback of ours that a snapshot can look into.
pub(crate) trait Action<C>: 'static {
    /// Does what the callback is for.
    fn run(&mut self, context: &C);

    /// Tells what it does.
    fn aim(&self) -> Option<Aim>;
}

/// What a callback of ours brings about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// Wakes the task in this slot.
    Wakes(u32),
    /// Counts down a future.
    Completes(SlotId),
}

/// Where a callback lies, beside the place in the program that it comes from.
///
/// The location stands where a [`Callback`] of 32-bit pointers has its padding.
pub(crate) struct Place<C: 'static> {
    /// Invariant: `None`, or made for `closure`.
    vtable: Option<&'static VTable<C>>,
    closure: Inline,
    pub(crate) location: &'static Location<'static>,
    _not_send: PhantomData<*mut ()>,
}

impl<C> Place<C> {
    /// Is the place of no callback, from nowhere.
    pub(crate) const EMPTY: Self =
        Self { vtable: None, closure: Inline::EMPTY, location: NOWHERE, _not_send: PhantomData };

    /// Takes the callback out.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Callback<C>> {
        let vtable = self.vtable.take()?;
        Some(Callback { closure: self.closure, vtable, _not_send: PhantomData })
    }

    /// Empties the place, and returns the callback if there is anything to drop.
    #[inline]
    pub(crate) fn clear(&mut self) -> Option<Callback<C>> {
        if self.vtable?.drop.is_none() {
            self.vtable = None;
            return None;
        }
        self.take()
    }

    /// Puts a callback in, which must find the place empty: what was there would
    /// not be dropped.
    #[inline]
    pub(crate) fn put(&mut self, callback: Callback<C>) {
        debug_assert!(self.vtable.is_none(), "nothing is dropped here");
        (self.closure, self.vtable) = (callback.closure, Some(callback.vtable));
        core::mem::forget(callback);
    }

    /// Tells what the callback does, if it is an [`Action`] and here.
    pub(crate) fn aim(&self) -> Option<Aim> {
        let aim = self.vtable?.aim?;
        // SAFETY: the vtable was made for this closure.
        unsafe { aim(&self.closure) }
    }

    /// Exchanges what is here for `other`.
    pub(crate) fn swap(&mut self, other: &mut Option<Callback<C>>) {
        let taken = self.take();
        if let Some(callback) = core::mem::replace(other, taken) {
            self.put(callback);
        }
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<C> fmt::Debug for Place<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place {{ is_empty: {} }}", self.vtable.is_none())
    }
}

/// A callback that may be handed to another thread.
pub struct SendCallback<C: 'static>(Callback<C>);

// SAFETY: made of a `Send` closure only, and nothing else is in it.
unsafe impl<C> Send for SendCallback<C> {}

impl<C: Context> SendCallback<C> {
    /// Makes a callback to be called once.
    ///
    /// A closure with more than 24 bytes of captures does not compile.
    pub fn new<F, R>(closure: F) -> Self
    where
        F: FnOnce(&C) -> R + Send + 'static,
        R: Outcome,
    {
        Self(Callback::new(closure))
    }

    /// Makes a callback to be called once, or gives a closure of more than 24
    /// bytes back.
    ///
    /// # Errors
    /// The closure, when it doesn't fit.
    pub fn try_inline<F, R>(closure: F) -> Result<Self, F>
    where
        F: FnOnce(&C) -> R + Send + 'static,
        R: Outcome,
    {
        Callback::try_inline(closure).map(Self)
    }

    /// Returns the callback, in the thread that will call it.
    #[must_use]
    pub fn into_callback(self) -> Callback<C> {
        self.0
    }
}

impl<C> fmt::Debug for SendCallback<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> Drop for Callback<C> {
    #[inline]
    fn drop(&mut self) {
        if let Some(drop) = self.vtable.drop {
            // SAFETY: the vtable was made for this closure, and `call` replaces that
            // of one which it moves out.
            unsafe { drop(&mut self.closure) };
        }
    }
}

impl<C> fmt::Debug for Callback<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback {{ repeats: {} }}", self.vtable.call_again.is_some())
    }
}

/// Reports what a callback failed with.
#[inline]
fn settle<C: Context, R: Outcome>(outcome: R, context: &C) {
    if let Some(error) = outcome.error() {
        context.scheduler().callback_failed(context, error);
    }
}

impl<C: Context> VTable<C> {
    const fn once<F, R>() -> Self
    where
        F: FnOnce(&C) -> R + 'static,
        R: Outcome,
    {
        Self {
            // SAFETY: an `F` is stored, and this is its last use.
            call_once: |closure, context| settle(unsafe { closure.read::<F>() }(context), context),
            call_again: None,
            handle: None,
            drop: Self::drop_of::<F>(),
            aim: None,
        }
    }

    const fn repeated<F, R>() -> Self
    where
        F: FnMut(&C) -> R + 'static,
        R: Outcome,
    {
        Self {
            // SAFETY: an `F` is stored, and this is its last use.
            call_once: |closure, context| settle(unsafe { closure.read::<F>() }(context), context),
            call_again: Some(|closure, context| {
                // SAFETY: an `F` is stored, and borrowed as the words are.
                settle(unsafe { &mut *closure.as_mut_ptr::<F>() }(context), context);
            }),
            handle: Some(Scheduler::call_handler),
            drop: Self::drop_of::<F>(),
            aim: None,
        }
    }

    const fn action<A: Action<C>>() -> Self {
        Self {
            // SAFETY: an `A` is stored, and this is its last use.
            call_once: |closure, context| unsafe { closure.read::<A>() }.run(context),
            // SAFETY: an `A` is stored, and borrowed as the words are.
            call_again: Some(|closure, context| unsafe { &mut *closure.as_mut_ptr::<A>() }.run(context)),
            handle: None,
            drop: Self::drop_of::<A>(),
            // SAFETY: as above.
            aim: Some(|closure| unsafe { &*closure.as_ptr::<A>() }.aim()),
        }
    }

    /// Is the table of a closure that was called and is gone.
    const fn spent() -> Self {
        Self { call_once: |_, _| (), call_again: None, handle: None, drop: None, aim: None }
    }

    const fn drop_of<F>() -> Option<unsafe fn(&mut Inline)> {
        if !core::mem::needs_drop::<F>() {
            return None;
        }
        // SAFETY: an `F` is stored, and this is its last use.
        Some(|closure| drop(unsafe { closure.read::<F>() }))
    }
}
