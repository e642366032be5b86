//! The driver: SysTick is the clock and the alarm, WFI the wait.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::interrupt;
use cortex_m::peripheral::SCB;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SYST, scb};
use cortex_m_rt::exception;
use rondel_core::{Doorbell, Driver, Instant};

/// Is the longest period of the 24-bit counter, in cycles.
const PERIOD_MAX: u32 = 1 << 24;

/// Is the shortest period that is worth an alarm, in cycles; what is due sooner
/// is due now.
const PERIOD_MIN: u32 = 64;

/// Is how many cycles a restart of the counter loses: from reading its value to
/// its reload. Count the instructions of [`State::restart`] for another core.
const RESTART_CYCLES: u32 = 8;

/// A driver whose processor runs at `HZ` and sleeps while its loop waits.
///
/// The clock counts processor cycles in periods of the 24-bit counter. A period
/// ends with an exception, which adds it to the 64-bit sum. A deadline within
/// the current period cuts that short, at the price of [`RESTART_CYCLES`], which
/// are added; all other periods are the longest there are, so a loop without
/// timers sleeps for 2^24 cycles at a time.
///
/// One per program: there is one SysTick.
#[derive(Debug)]
pub struct SysTickDriver<const HZ: u32>(());

/// Is shared by the loop's thread and the exception of SysTick.
struct State {
    /// Is the number of cycles before the current period.
    before: u64,
    /// Is the length of the current period in cycles.
    period: u32,
    /// Is what was read last, so that nothing can turn the clock back.
    last: u64,
}

struct Shared(UnsafeCell<State>);

// SAFETY: it is reached through `with_state` only, which masks interrupts, and
// there is one processor.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(UnsafeCell::new(State { before: 0, period: PERIOD_MAX, last: 0 }));

/// Tells that the doorbell rang since the last wait.
static RANG: AtomicBool = AtomicBool::new(false);

impl<const HZ: u32> SysTickDriver<HZ> {
    /// Starts SysTick.
    pub fn new(mut systick: SYST) -> Self {
        systick.set_reload(PERIOD_MAX - 1);
        systick.clear_current();
        systick.set_clock_source(SystClkSource::Core);
        systick.enable_interrupt();
        systick.enable_counter();
        // A write clears the counter; it is loaded with the next cycle.
        while SYST::get_current() == 0 {}
        Self(())
    }

    const fn nanos(cycles: u64) -> u64 {
        const { assert!(HZ > 0) };
        let hz = HZ as u64;
        if 1_000_000_000 % hz == 0 {
            return cycles * (1_000_000_000 / hz);
        }
        // In two parts: the product of all of it would not fit.
        cycles / hz * 1_000_000_000 + cycles % hz * 1_000_000_000 / hz
    }

    /// Returns the cycles from now to `deadline`: rounded up, one period at most.
    fn cycles_until(deadline: Instant, now: Instant) -> u32 {
        let longest = const { Self::nanos(PERIOD_MAX as u64) };
        let nanos = deadline.as_nanos().saturating_sub(now.as_nanos());
        if nanos >= longest {
            return PERIOD_MAX;
        }
        if const { 1_000_000_000 % HZ == 0 && Self::nanos(PERIOD_MAX as u64) <= u32::MAX as u64 } {
            return (nanos as u32).div_ceil(1_000_000_000 / HZ);
        }
        (nanos * u64::from(HZ)).div_ceil(1_000_000_000) as u32
    }
}

impl<const HZ: u32> Driver for SysTickDriver<HZ> {
    fn now(&self) -> Instant {
        Instant::from_nanos(Self::nanos(with_state(State::cycles)))
    }

    fn wait(&self, deadline: Option<Instant>) {
        loop {
            interrupt::disable();
            // From here to WFI an interrupt only becomes pending. If it rings, it
            // does so after this look; and a pending one ends WFI, masked or not.
            let rang = RANG.load(Ordering::SeqCst);
            RANG.store(false, Ordering::SeqCst);
            let is_over = rang || !self.set_alarm(deadline);
            if !is_over {
                // SAFETY: memory may change meanwhile, and no option says it doesn't.
                unsafe { asm!("dsb", "wfi") };
            }
            // SAFETY: they were enabled before: `wait` is called by the loop, and
            // that runs in thread mode with nothing masked.
            unsafe { interrupt::enable() };
            // Here the handlers run whose interrupts are pending.
            cortex_m::asm::isb();
            if is_over {
                return;
            }
        }
    }

    fn doorbell(&self) -> &'static dyn Doorbell {
        &InterruptDoorbell
    }
}

impl<const HZ: u32> SysTickDriver<HZ> {
    /// Makes SysTick end the wait at `deadline` or before; false if that is past.
    fn set_alarm(&self, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            return true;
        };
        let now = self.now();
        if deadline <= now {
            return false;
        }
        with_state(|state| state.end_within(Self::cycles_until(deadline, now)));
        true
    }
}

impl State {
    /// Reads the clock.
    fn cycles(&mut self) -> u64 {
        let now = self.before + u64::from(self.elapsed());
        self.last = self.last.max(now);
        self.last
    }

    /// Returns the cycles since the last period that was added up.
    fn elapsed(&self) -> u32 {
        let value = SYST::get_current();
        if !is_wrap_pending() {
            return position(value, self.period);
        }
        // The period ended, unseen by the exception as yet: perhaps after the
        // first look at the counter, so look again. All periods but cut ones are
        // the longest, and so is the one that follows.
        self.period + position(SYST::get_current(), PERIOD_MAX)
    }

    /// Ends the current period after `cycles`, unless it ends before.
    fn end_within(&mut self, cycles: u32) {
        if !is_wrap_pending() && SYST::get_current() > cycles.saturating_add(PERIOD_MIN) {
            self.restart(cycles.max(PERIOD_MIN));
        }
    }

    fn restart(&mut self, period: u32) {
        // SAFETY: interrupts are masked, and nobody else has SysTick.
        let registers = unsafe { &*SYST::PTR };
        // SAFETY: any value of 24 bits is a valid period.
        unsafe { registers.rvr.write(period - 1) };
        let value = registers.cvr.read();
        // SAFETY: a write of any value clears the counter.
        unsafe { registers.cvr.write(0) };
        while registers.cvr.read() == 0 {}
        // The counter is loaded; this is for the period after.
        // SAFETY: as above.
        unsafe { registers.rvr.write(PERIOD_MAX - 1) };
        self.before += u64::from(position(value, self.period) + RESTART_CYCLES);
        self.period = period;
    }

    fn end_period(&mut self) {
        self.before += u64::from(self.period);
        self.period = PERIOD_MAX;
    }
}

/// Returns how far into its period a counter is that counts down to zero. At
/// zero the exception of its end is pending or was taken: the next one begins.
const fn position(value: u32, period: u32) -> u32 {
    if value == 0 { 0 } else { (period - 1).saturating_sub(value) }
}

fn is_wrap_pending() -> bool {
    SCB::is_pendst_pending()
}

fn with_state<R>(section: impl FnOnce(&mut State) -> R) -> R {
    // SAFETY: interrupts are masked, so nothing else runs; and no section calls
    // this function.
    interrupt::free(|_| section(unsafe { &mut *STATE.0.get() }))
}

/// Adds the period that ended.
#[exception]
fn SysTick() {
    with_state(State::end_period);
}

/// Rings by leaving a note: it is the interrupt that ends WFI.
struct InterruptDoorbell;

// SAFETY: there is one thread. Whoever runs in thread mode is in it, and no
// handler that interrupted it; that one's number is in IPSR.
unsafe impl Doorbell for InterruptDoorbell {
    fn ring(&self) {
        RANG.store(true, Ordering::SeqCst);
    }

    fn is_loop_thread(&self) -> bool {
        let active = SCB::vect_active();
        matches!(active, scb::VectActive::ThreadMode)
    }
}
