//! The part of libuv's interface that is measured, by Rust's means.
//!
//! Loops and handles are never freed: that would need an iteration of the loop
//! for each, and the process ends anyway.
#![allow(unsafe_code, reason = "calls a C library")]

use core::ffi::{c_int, c_uint, c_void};

#[link(name = "uv")]
unsafe extern "C" {
    fn uv_loop_size() -> usize;
    fn uv_loop_init(event_loop: *mut c_void) -> c_int;
    fn uv_run(event_loop: *mut c_void, mode: c_uint) -> c_int;
    fn uv_stop(event_loop: *mut c_void);
    fn uv_update_time(event_loop: *mut c_void);

    fn uv_handle_size(kind: c_uint) -> usize;
    fn uv_handle_get_loop(handle: *const c_void) -> *mut c_void;
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);

    fn uv_idle_init(event_loop: *mut c_void, idle: *mut c_void) -> c_int;
    fn uv_idle_start(idle: *mut c_void, callback: Callback) -> c_int;
    fn uv_idle_stop(idle: *mut c_void) -> c_int;

    fn uv_timer_init(event_loop: *mut c_void, timer: *mut c_void) -> c_int;
    fn uv_timer_start(timer: *mut c_void, callback: Callback, timeout_ms: u64, repeat_ms: u64) -> c_int;
    fn uv_timer_stop(timer: *mut c_void) -> c_int;

    fn uv_async_init(event_loop: *mut c_void, handle: *mut c_void, callback: Callback) -> c_int;
    fn uv_async_send(handle: *mut c_void) -> c_int;
}

const ASYNC: c_uint = 1;
const IDLE: c_uint = 6;
const TIMER: c_uint = 13;

/// Is called by the loop with the handle that it belongs to.
pub(crate) type Callback = extern "C" fn(Handle);

/// How long a loop runs.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Mode {
    /// Until it is stopped, or has no active handle.
    Default = 0,
    /// One iteration, which waits.
    Once = 1,
    /// One iteration.
    NoWait = 2,
}

fn check(answer: c_int) {
    assert!(answer >= 0, "libuv answers {answer}");
}

/// Returns zeroed memory for ever.
fn memory(size: usize) -> *mut c_void {
    Vec::leak(vec![0_u128; size.div_ceil(16)]).as_mut_ptr().cast()
}

/// A loop.
///
/// Invariant: initialized memory that is never freed.
#[derive(Clone, Copy)]
pub(crate) struct Loop(*mut c_void);

impl Loop {
    pub(crate) fn new() -> Self {
        // SAFETY: the memory is as large as a loop.
        unsafe {
            let event_loop = memory(uv_loop_size());
            check(uv_loop_init(event_loop));
            Self(event_loop)
        }
    }

    pub(crate) fn run(self, mode: Mode) {
        // SAFETY: the invariant; what is not `Send` stays in the loop's thread.
        check(unsafe { uv_run(self.0, mode as c_uint) });
    }

    pub(crate) fn update_time(self) {
        // SAFETY: as in `run`.
        unsafe { uv_update_time(self.0) }
    }

    pub(crate) fn idle(self) -> Idle {
        // SAFETY: the memory is as large as the handle.
        unsafe {
            let handle = memory(uv_handle_size(IDLE));
            check(uv_idle_init(self.0, handle));
            Idle(Handle(handle))
        }
    }

    pub(crate) fn timer(self) -> Timer {
        // SAFETY: the memory is as large as the handle.
        unsafe {
            let handle = memory(uv_handle_size(TIMER));
            check(uv_timer_init(self.0, handle));
            Timer(Handle(handle))
        }
    }

    /// Makes a bell that has `callback` called with `data` in the loop's thread.
    pub(crate) fn bell<T>(self, callback: Callback, data: &'static T) -> Bell {
        // SAFETY: the memory is as large as the handle.
        let handle = unsafe {
            let handle = memory(uv_handle_size(ASYNC));
            check(uv_async_init(self.0, handle, callback));
            Handle(handle)
        };
        handle.set_data(core::ptr::from_ref(data).cast_mut().cast());
        Bell(handle)
    }
}

/// A handle of any kind.
///
/// Invariant: initialized memory that is never freed.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Handle(*mut c_void);

impl Handle {
    fn set_data(self, data: *mut c_void) {
        // SAFETY: the invariant.
        unsafe { uv_handle_set_data(self.0, data) }
    }

    fn data(self) -> *mut c_void {
        // SAFETY: the invariant.
        unsafe { uv_handle_get_data(self.0) }
    }

    /// Returns what a bell was made with.
    ///
    /// # Safety
    /// The handle is a bell's, made with a `T`.
    pub(crate) unsafe fn bell_data<T: Sync>(self) -> &'static T {
        // SAFETY: our caller's promise.
        unsafe { &*self.data().cast() }
    }

    /// Lets the loop's run return.
    pub(crate) fn stop_loop(self) {
        // SAFETY: the invariant; called in the loop's thread.
        unsafe { uv_stop(uv_handle_get_loop(self.0)) }
    }
}

/// A callback of each iteration.
#[derive(Clone, Copy)]
pub(crate) struct Idle(pub(crate) Handle);

impl Idle {
    pub(crate) fn set_number(self, number: usize) {
        self.0.set_data(core::ptr::without_provenance_mut(number));
    }

    pub(crate) fn number(self) -> usize {
        self.0.data().addr()
    }

    pub(crate) fn start(self, callback: Callback) {
        // SAFETY: made by `uv_idle_init`.
        check(unsafe { uv_idle_start(self.0.0, callback) });
    }

    pub(crate) fn stop(self) {
        // SAFETY: made by `uv_idle_init`.
        check(unsafe { uv_idle_stop(self.0.0) });
    }
}

/// A timer.
#[derive(Clone, Copy)]
pub(crate) struct Timer(Handle);

impl Timer {
    pub(crate) fn start(self, callback: Callback, timeout_ms: u64) {
        // SAFETY: made by `uv_timer_init`.
        check(unsafe { uv_timer_start(self.0.0, callback, timeout_ms, 0) });
    }

    pub(crate) fn stop(self) {
        // SAFETY: made by `uv_timer_init`.
        check(unsafe { uv_timer_stop(self.0.0) });
    }
}

/// What other threads wake the loop with.
#[derive(Clone, Copy)]
pub(crate) struct Bell(Handle);

// SAFETY: it can only ring, which libuv lets any thread do.
unsafe impl Send for Bell {}

impl Bell {
    pub(crate) fn ring(self) {
        // SAFETY: made by `uv_async_init`.
        check(unsafe { uv_async_send(self.0.0) });
    }
}
