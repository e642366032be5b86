//! Atomics at each access of which a handler may come.

use core::cell::Cell;
use core::sync::atomic::{self, Ordering};

type Handler = &'static dyn Fn(usize);

thread_local! {
    static POINTS: Cell<usize> = const { Cell::new(0) };
    static AT: Cell<[usize; 2]> = const { Cell::new([usize::MAX; 2]) };
    static HANDLER: Cell<Option<Handler>> = const { Cell::new(None) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Calls `handler` at two points, counted from here, with its number.
pub fn expect(at: [usize; 2], handler: impl Fn(usize) + 'static) {
    HANDLER.set(Some(Box::leak(Box::new(handler))));
    POINTS.set(0);
    AT.set(at);
}

/// Returns how many points there were.
pub fn expect_no_more() -> usize {
    HANDLER.set(None);
    POINTS.get()
}

pub fn is_in_handler() -> bool {
    DEPTH.get() > 0
}

/// Is where a handler may come.
pub fn point() {
    let Some(handler) = HANDLER.get() else { return };
    let here = POINTS.replace(POINTS.get() + 1);
    if let Some(number) = AT.get().iter().position(|&at| at == here) {
        DEPTH.set(DEPTH.get() + 1);
        handler(number);
        DEPTH.set(DEPTH.get() - 1);
    }
}

macro_rules! atomic {
    ($name:ident $(<$of:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub struct $name $(<$of>)? (atomic::$name $(<$of>)?);

        impl $(<$of>)? $name $(<$of>)? {
            pub const fn new(initial: $value) -> Self {
                Self(atomic::$name::new(initial))
            }

            pub fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicPtr<T>, *mut T);

impl AtomicU32 {
    pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        point();
        self.0.fetch_add(value, order)
    }

    pub fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        point();
        self.0.fetch_sub(value, order)
    }

    pub fn fetch_max(&self, value: u32, order: Ordering) -> u32 {
        point();
        self.0.fetch_max(value, order)
    }
}
