//! An error with the address that it is about.

use core::fmt;
use std::io;

use crate::Error;
use crate::net::address::Address;

/// What failed, and for which address; inside the `io::Error` that users get.
#[derive(Debug)]
pub(crate) struct AddressError {
    pub(crate) addr: Address,
    pub(crate) error: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.addr, self.error)
    }
}

impl core::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<AddressError> for io::Error {
    fn from(error: AddressError) -> Self {
        Self::new(error.error.kind(), error)
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        io::Error::from(error).into()
    }
}
