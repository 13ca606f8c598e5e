//! Prefetching of memory into the cache.
//!
//! A thousand calls use megabytes every 20 ms, more than a core's cache holds, so each call's memory is cold when
//! its turn starts: reading a cache line takes some 150 ns then, and a call needs dozens. Prefetched while the
//! kernel sends and receives, they cost next to nothing. Does nothing on processors other than x86-64.

/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Prefetches a value's own memory.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    prefetch_run(std::ptr::from_ref(value).cast(), size_of_val(value));
}

/// Prefetches `len` bytes.
#[inline]
pub fn prefetch_run(start: *const u8, len: usize) {
    let within = start.addr() % CACHE_LINE;
    for offset in (0..len + within).step_by(CACHE_LINE) {
        prefetch_line(start.wrapping_sub(within).wrapping_add(offset));
    }
}

#[inline]
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint: it returns no data to the program and faults on no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
