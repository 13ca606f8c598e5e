//! Fetching memory into the cache before it is needed.
//!
//! A thousand calls touch megabytes every 20 ms, more than a core's cache holds, so each call's memory is cold when
//! its turn comes: a line takes some 150 ns from there, and a call needs dozens. Fetched while the kernel sends and
//! receives, they cost next to nothing. On processors other than x86-64 this does nothing.

/// Bytes that the cache fetches at once.
const LINE: usize = 64;

/// Has a value's own memory fetched.
#[inline]
pub fn fetch<T: ?Sized>(value: &T) {
    fetch_run(std::ptr::from_ref(value).cast(), size_of_val(value));
}

/// Has `len` bytes fetched, wherever they are.
#[inline]
pub fn fetch_run(start: *const u8, len: usize) {
    let within = start.addr() % LINE;
    for offset in (0..len + within).step_by(LINE) {
        fetch_line(start.wrapping_sub(within).wrapping_add(offset));
    }
}

#[inline]
fn fetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint: it reads nothing into the program and faults on no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
