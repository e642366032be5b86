//! Stands for libuv where these benchmarks are built without it.

use crate::case::Unavailable;
use crate::threads::Flood;

type Absent = Result<fn() -> f64, Unavailable>;

fn absent() -> Absent {
    Err(Unavailable("built without the feature libuv".into()))
}

pub(crate) fn burst(_turns: usize) -> Absent {
    absent()
}

pub(crate) fn chain(_count: usize) -> Absent {
    absent()
}

pub(crate) fn rearm(_outstanding: usize, _count: usize) -> Absent {
    absent()
}

pub(crate) fn fire(_count: usize) -> Absent {
    absent()
}

pub(crate) fn lateness(_count: usize) -> Absent {
    absent()
}

pub(crate) fn flood(_flood: Flood) -> Absent {
    absent()
}

pub(crate) fn round_trip(_count: usize) -> Absent {
    absent()
}
