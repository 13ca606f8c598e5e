//! The memory of a call, by part.
//!
//! The daemon's resident memory is read before the calls and at its highest during them. The parts that a call owns for all
//! of its time are built here, and their heap is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use vca::audio::AudioBuffer;
use vca::audio::codec::Format;
use vca::conversation::{self, Conversation};
use vca::media::{Leg, LegConfig, Port, link};

use crate::figures::Figures;
use crate::setting::Setting;

/// Counts the bytes that each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn hold(bytes: i64) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A value, and the bytes of its heap and of itself.
fn sized<T>(make: impl FnOnce() -> T) -> (T, f64) {
    let before = HELD.get();
    let made = make();
    (made, (HELD.get() - before) as f64 + size_of::<T>() as f64)
}

/// Resident memory by kind of mapping, in kB.
#[derive(Clone, Copy, Default)]
struct Resident {
    heap: u64,
    files: u64,
    other: u64,
}

impl Resident {
    fn read(setting: &Setting) -> Resident {
        let mut resident = Resident::default();
        let smaps = setting.env.process_file("smaps").unwrap_or_default();
        let mut kind = "";
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("Rss:") => {
                    let kb: u64 = words.next().and_then(|kb| kb.parse().ok()).unwrap_or_default();
                    match kind {
                        // The allocator's arenas and the threads' stacks have no name.
                        "" | "[heap]" => resident.heap += kb,
                        name if name.starts_with('/') => resident.files += kb,
                        _ => resident.other += kb,
                    }
                }
                // A mapping: addresses, permissions, offset, device, inode, name.
                Some(range) if range.contains('-') => {
                    kind = line.split_whitespace().nth(5).unwrap_or_default()
                }
                _ => {}
            }
        }
        resident
    }

    fn sum(self) -> u64 {
        self.heap + self.files + self.other
    }
}

/// The daemon's memory before calls, and at its highest during them.
pub struct Memory {
    before: Resident,
    highest: Resident,
    most: usize,
    read: Option<Instant>,
}

impl Memory {
    pub fn before(setting: &Setting) -> Memory {
        let before = Resident::read(setting);
        Memory { before, highest: before, most: 0, read: None }
    }

    /// Reads the memory as more calls are in progress than before, and every second while as many are.
    pub fn sample(&mut self, setting: &Setting, running: usize) {
        let is_due = self.read.is_none_or(|read| read.elapsed() >= Duration::from_secs(1));
        if running > self.most || (running == self.most && is_due) {
            let now = Resident::read(setting);
            self.highest = if now.sum() > self.highest.sum() { now } else { self.highest };
            self.most = running;
            self.read = Some(Instant::now());
        }
    }

    pub fn report(&self, figures: &mut Figures, calls: usize) {
        let a_call = |of: fn(&Resident) -> u64| {
            of(&self.highest).saturating_sub(of(&self.before)) as f64 / calls as f64
        };
        figures.add("memory_idle_mb", self.before.sum() as f64 / 1_024.0, None);
        figures.add("memory_of_a_call_mb", a_call(|it| it.sum()) / 1_024.0, Some(0.6));
        figures.add("memory_of_a_call_heap_and_stacks_kb", a_call(|it| it.heap), None);
        figures.add("memory_of_a_call_program_and_libraries_kb", a_call(|it| it.files), None);
        for (part, bytes) in parts() {
            figures.add(&format!("memory_part_{part}_kb"), bytes / 1_024.0, None);
        }
    }
}

/// The parts of a narrow-band call, in bytes.
fn parts() -> [(&'static str, f64); 5] {
    let ((port, backend), rings): ((Port, _), f64) = sized(|| link(Format::Ulaw));
    let (leg, frame_path) = sized(|| Leg::new(LegConfig::new(Format::Ulaw), backend));
    let (_conversation, machine) = sized(|| Conversation::new(conversation::Settings::default()));
    let (_kept, caller) = sized(|| {
        // What a session keeps between turns, and an utterance of four seconds.
        let mut audio = AudioBuffer::new(8_000);
        (0..350).for_each(|_| audio.append(&[1; 160]));
        audio
    });
    // A reply of four seconds that waits for its playback.
    let (_reply, agent) = sized(|| vec![1_i16; 32_000]);
    drop((port, leg));
    [
        ("rings_to_and_from_media", rings),
        ("frame_path", frame_path),
        ("conversation", machine),
        ("caller_audio_of_7_s", caller),
        ("reply_of_4_s", agent),
    ]
}
