//! Values, and what every kernel is.

use std::rc::Rc;

use super::real;
use crate::sys::kernel::Kernel;
use crate::sys::{Interest, ManualKernel, NullKernel};

#[test]
fn interests_unite() {
    assert_eq!(Interest::READABLE | Interest::WRITABLE, Interest::BOTH);
    assert_eq!(Interest::READABLE.union(Interest::READABLE), Interest::READABLE);
    assert_ne!(Interest::READABLE, Interest::WRITABLE);
    assert_eq!(Interest::READABLE.union(Interest::WRITABLE), Interest::BOTH);
}

#[test]
fn kernels_are_object_safe() {
    let kernels: [Rc<dyn Kernel>; 3] =
        [Rc::new(real()), Rc::new(ManualKernel::new().unwrap()), Rc::new(NullKernel::new())];
    let real = kernels.map(|kernel| kernel.has_real_descriptors());
    assert_eq!(real, [true, true, false]);
}
