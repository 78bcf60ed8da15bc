//! What happens when a mapped file is cut short under us: touching a page that is gone raises SIGBUS, which would end the
//! process. Here such a page becomes zeros instead, and the map is marked as lost, which every search asks before it
//! hands anything out.
//!
//! The alternatives cost more: copying the file into memory is work per vector at every start and twice the memory,
//! leases and immutable flags need rights or file systems that are not everywhere, and refusing writable files would
//! refuse every laptop. The handler does nothing until the moment at which the process would otherwise have died; a
//! SIGBUS that is none of ours goes where it would have gone before.
#![expect(unsafe_code, reason = "a signal handler, and a page mapped over one that is gone")]

use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Maps that can be watched at once; more are mapped, but not watched.
const MAPS: usize = 256;

static WATCHED: [Slot; MAPS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), lost: AtomicBool::new(false) } }; MAPS];
static BEFORE: OnceLock<Option<(libc::sigaction, usize)>> = OnceLock::new();

struct Slot {
    /// 0 where the slot is free.
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

/// Watches one map for as long as it lives; must be dropped before the map.
pub(super) struct Watch(Option<&'static Slot>);

impl Watch {
    /// Watches the bytes of a map.
    pub(super) fn new(map: &[u8]) -> Self {
        if map.is_empty() || BEFORE.get_or_init(install).is_none() {
            return Self(None);
        }
        let range = map.as_ptr_range();
        let free = WATCHED
            .iter()
            .find(|slot| slot.start.compare_exchange(0, range.start as usize, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        if let Some(slot) = free {
            slot.lost.store(false, Ordering::Relaxed);
            slot.end.store(range.end as usize, Ordering::Release);
        }
        Self(free)
    }

    /// Whether a page was gone when it was touched.
    pub(super) fn lost(&self) -> bool {
        self.0.is_some_and(|slot| slot.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.end.store(0, Ordering::Release);
            slot.start.store(0, Ordering::Release);
        }
    }
}

/// Installs the handler; says who handled the signal before, and how large pages are.
fn install() -> Option<(libc::sigaction, usize)> {
    // SAFETY: both structures are plain data for which zeros are valid, and live through the calls.
    unsafe {
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).ok().filter(|page| page.is_power_of_two())?;
        let (mut action, mut before): (libc::sigaction, libc::sigaction) = (std::mem::zeroed(), std::mem::zeroed());
        action.sa_sigaction = handle as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        (libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) == 0).then_some((before, page))
    }
}

/// Only atomics and two system calls: all that a handler may do.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // The signal may come while `install` has not returned yet; then there is nobody to hand it to but the default.
    let before = BEFORE.get().and_then(Option::as_ref);
    // SAFETY: the kernel hands a valid structure to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    let slot =
        WATCHED.iter().find(|slot| (slot.start.load(Ordering::Acquire)..slot.end.load(Ordering::Acquire)).contains(&address));
    if let (Some(slot), Some((_, page))) = (slot, before) {
        let start = (address & !(page - 1)) as *mut libc::c_void;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page lies in a map of ours that is still watched, so still mapped, and nothing can be read from it.
        let mapped = unsafe { libc::mmap(start, *page, libc::PROT_READ, flags, -1, 0) };
        if mapped != libc::MAP_FAILED {
            slot.lost.store(true, Ordering::Relaxed);
            return;
        }
    }
    // SAFETY: puts back what was there; returning runs into the same fault again, which then takes its usual course.
    unsafe {
        match before {
            Some((before, _)) => libc::sigaction(signal, before, null_mut()),
            None => libc::signal(signal, libc::SIG_DFL) as libc::c_int,
        };
    }
}
