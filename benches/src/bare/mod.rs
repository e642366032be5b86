//! Bare data structures and system calls: what a method costs without everything
//! around it.

pub(crate) mod heap;
pub(crate) mod os;
pub(crate) mod poll;
pub(crate) mod ring;
pub(crate) mod wheel;
