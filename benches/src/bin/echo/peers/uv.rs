//! The part of libuv's interface that a server of streams needs.
//!
//! Handles are never freed, but by the callback of their end.
#![allow(unsafe_code, reason = "calls a C library")]

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_uint, c_void};
use core::{ptr, slice};
use std::alloc::{alloc_zeroed, dealloc};
use std::os::fd::{IntoRawFd, OwnedFd};

#[repr(C)]
pub(crate) struct Buffer {
    base: *mut c_char,
    length: usize,
}

type OnConnection = unsafe extern "C" fn(*mut c_void, c_int);
type OnAllocate = unsafe extern "C" fn(*mut c_void, usize, *mut Buffer);
type OnRead = unsafe extern "C" fn(*mut c_void, isize, *const Buffer);
type OnWritten = unsafe extern "C" fn(*mut c_void, c_int);
type OnClosed = unsafe extern "C" fn(*mut c_void);

#[link(name = "uv")]
unsafe extern "C" {
    fn uv_default_loop() -> *mut c_void;
    fn uv_run(event_loop: *mut c_void, mode: c_uint) -> c_int;

    fn uv_handle_size(kind: c_uint) -> usize;
    fn uv_handle_get_type(handle: *const c_void) -> c_uint;
    fn uv_req_size(kind: c_uint) -> usize;
    fn uv_close(handle: *mut c_void, callback: OnClosed);

    fn uv_tcp_init(event_loop: *mut c_void, handle: *mut c_void) -> c_int;
    fn uv_tcp_open(handle: *mut c_void, socket: c_int) -> c_int;
    fn uv_tcp_nodelay(handle: *mut c_void, enable: c_int) -> c_int;
    fn uv_pipe_init(event_loop: *mut c_void, handle: *mut c_void, passes_handles: c_int) -> c_int;
    fn uv_pipe_open(handle: *mut c_void, socket: c_int) -> c_int;

    fn uv_listen(stream: *mut c_void, backlog: c_int, callback: OnConnection) -> c_int;
    fn uv_accept(server: *mut c_void, client: *mut c_void) -> c_int;
    fn uv_read_start(stream: *mut c_void, allocate: OnAllocate, read: OnRead) -> c_int;
    fn uv_try_write(stream: *mut c_void, buffers: *const Buffer, count: c_uint) -> c_int;
    fn uv_write(
        request: *mut c_void,
        stream: *mut c_void,
        buffers: *const Buffer,
        count: c_uint,
        callback: OnWritten,
    ) -> c_int;
}

const PIPE: c_uint = 7;
const TCP: c_uint = 12;
const WRITE: c_uint = 3;

fn check(answer: c_int) {
    assert!(answer >= 0, "libuv answers {answer}");
}

/// The loop of the thread that serves.
pub(super) struct Loop(*mut c_void);

impl Loop {
    pub(super) fn new() -> Self {
        // SAFETY: called in one thread.
        Self(unsafe { uv_default_loop() })
    }

    /// Accepts from a listening socket and sends back what each connection
    /// receives: from one buffer, at once, and only the rest by a request.
    pub(super) fn echo(&self, socket: OwnedFd, is_tcp: bool) {
        // SAFETY: the handle is new, and as large as its kind.
        unsafe {
            let listener = new_stream(if is_tcp { TCP } else { PIPE });
            let open = if is_tcp { uv_tcp_open } else { uv_pipe_open };
            check(open(listener, socket.into_raw_fd()));
            check(uv_listen(listener, 4096, connected));
        }
    }

    pub(super) fn run(&self) {
        // SAFETY: the loop of this thread.
        check(unsafe { uv_run(self.0, 0) });
    }
}

fn layout(kind: c_uint) -> Layout {
    // SAFETY: no pointers.
    Layout::from_size_align(unsafe { uv_handle_size(kind) }, 16).expect("is small")
}

/// Makes a stream of the default loop.
///
/// # Safety
/// Called in the loop's thread, with the kind of a stream.
unsafe fn new_stream(kind: c_uint) -> *mut c_void {
    // SAFETY: the memory is as large as the handle.
    unsafe {
        let stream = alloc_zeroed(layout(kind)).cast();
        let event_loop = uv_default_loop();
        check(if kind == TCP {
            uv_tcp_init(event_loop, stream)
        } else {
            uv_pipe_init(event_loop, stream, 0)
        });
        stream
    }
}

unsafe extern "C" fn connected(listener: *mut c_void, status: c_int) {
    check(status);
    // SAFETY: called by the loop, with what `echo` made.
    unsafe {
        let kind = uv_handle_get_type(listener);
        let stream = new_stream(kind);
        check(uv_accept(listener, stream));
        if kind == TCP {
            check(uv_tcp_nodelay(stream, 1));
        }
        check(uv_read_start(stream, lend_buffer, received));
    }
}

/// Is used by one read at a time.
struct Shared(UnsafeCell<[u8; super::BUFFER]>);

// SAFETY: used in the loop's thread alone.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new([0; super::BUFFER]));

unsafe extern "C" fn lend_buffer(_: *mut c_void, _: usize, buffer: *mut Buffer) {
    // SAFETY: the loop gives room for the answer.
    unsafe { buffer.write(Buffer { base: SHARED.0.get().cast(), length: super::BUFFER }) }
}

/// A request to write, behind which lies what it writes.
#[repr(C)]
struct Rest {
    request: [u128; 16],
    data: Box<[u8]>,
}

unsafe extern "C" fn received(stream: *mut c_void, count: isize, buffer: *const Buffer) {
    // SAFETY: called by the loop: the stream is open, and so much was received.
    unsafe {
        if count <= 0 {
            if count < 0 {
                uv_close(stream, closed);
            }
            return;
        }
        let data = Buffer { base: (*buffer).base, length: count as usize };
        let sent = uv_try_write(stream, &raw const data, 1).max(0) as usize;
        if sent < data.length {
            write_rest(stream, slice::from_raw_parts(data.base.cast(), data.length).split_at(sent).1);
        }
    }
}

/// # Safety
/// The stream is open, and its loop calls.
#[cold]
unsafe fn write_rest(stream: *mut c_void, data: &[u8]) {
    // SAFETY: what is written stays until `written`.
    unsafe {
        assert!(uv_req_size(WRITE) <= size_of::<[u128; 16]>());
        let rest = Box::leak(Box::new(Rest { request: [0; 16], data: data.into() }));
        let data = Buffer { base: rest.data.as_mut_ptr().cast(), length: rest.data.len() };
        check(uv_write(ptr::from_mut(rest).cast(), stream, &raw const data, 1, written));
    }
}

unsafe extern "C" fn written(request: *mut c_void, _: c_int) {
    // SAFETY: made by `write_rest`, and done.
    drop(unsafe { Box::from_raw(request.cast::<Rest>()) });
}

unsafe extern "C" fn closed(stream: *mut c_void) {
    // SAFETY: made by `new_stream`, and closed.
    unsafe { dealloc(stream.cast(), layout(uv_handle_get_type(stream))) }
}
