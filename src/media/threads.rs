//! The media threads, and the assignment of calls to them.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ScheduleParams, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use uuid::Uuid;

use super::caller_stream::AudioDelivery;
use super::lateness::Lateness;
use super::leg::{Leg, LegConfig, NoiseSuppression};
use super::path::FramePath;
use super::port::{Port, link};
use super::settings::Settings;
use super::socket::MediaSocket;
use super::suppression_places::{CallSuppression, SuppressionPlaces};
use super::timer_wheel::TimerWheel;
use crate::audio::codec::Format;

/// Every media thread has its maximum of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the media threads are at their maximum of calls")]
pub struct CapacityError;

/// The media threads. Dropping it ends them, and closes the legs that they serve.
pub struct Threads {
    threads: Vec<MediaThread>,
    capacity: usize,
    echo_detection: bool,
    suppression_places: SuppressionPlaces,
}

struct MediaThread {
    state: Arc<ThreadState>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl MediaThread {
    fn is_alive(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| !handle.is_finished())
    }
}

/// The state that a media thread shares with [`Threads`].
#[derive(Default)]
pub(super) struct ThreadState {
    /// New legs: added by [`Threads::add`], taken by the thread. The lock is held for a push or a swap only.
    arrivals: Mutex<Vec<(Box<dyn FramePath>, MediaSocket)>>,
    /// `arrivals` is not empty: the thread reads this instead of the lock.
    has_arrivals: AtomicBool,
    /// The thread is to end.
    stop: AtomicBool,
    /// The number of legs: raised by [`Threads::add`], lowered by the thread when a leg is closed.
    legs: AtomicUsize,
    /// Counts the thread's rounds, at least ten a second.
    rounds: AtomicU64,
    pub lateness: Lateness,
}

impl ThreadState {
    /// Counts a round of the thread; false when it is to end.
    pub fn begin_round(&self) -> bool {
        self.rounds.fetch_add(1, Relaxed);
        !self.stop.load(Relaxed)
    }

    pub fn has_arrivals(&self) -> bool {
        self.has_arrivals.swap(false, Acquire)
    }

    pub fn take_arrivals(&self) -> Vec<(Box<dyn FramePath>, MediaSocket)> {
        std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn leg_closed(&self) {
        self.legs.fetch_sub(1, Relaxed);
    }

    pub fn push(&self, path: Box<dyn FramePath>, socket: MediaSocket) {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((path, socket));
        self.has_arrivals.store(true, Release);
    }
}

impl Threads {
    /// # Errors
    /// When the system starts no more threads.
    pub fn start(settings: &Settings) -> io::Result<Threads> {
        let threads = (0..settings.threads.max(1)).map(start_thread).collect::<io::Result<Vec<_>>>()?;
        let Settings { calls_per_thread: capacity, echo_detection, noise_suppression_calls, .. } = *settings;
        let suppression_places = SuppressionPlaces::new(noise_suppression_calls * threads.len());
        Ok(Threads { threads, capacity, echo_detection, suppression_places })
    }

    /// Starts the frame path of a call of a tenant. `socket` is connected already. Noise is not suppressed where no place is left
    /// for another such call of the tenant.
    pub fn open(
        &self,
        socket: MediaSocket,
        format: Format,
        delivery: AudioDelivery,
        (noise_suppression, tenant): (NoiseSuppression, Uuid),
    ) -> Result<Port, CapacityError> {
        let config = LegConfig {
            echo_detection: self.echo_detection,
            ssrc: rand::random(),
            sequence: rand::random(),
            timestamp: rand::random(),
            ..LegConfig::new(format)
        };
        let (mut port, back) = link(format);
        port.share_places(CallSuppression::new(&self.suppression_places, tenant));
        port.suppress_noise(noise_suppression);
        port.deliver(delivery);
        self.add(socket, Box::new(Leg::new(config, back)))?;
        Ok(port)
    }

    /// Adds a frame path to the live thread with the fewest legs.
    pub fn add(&self, socket: MediaSocket, path: Box<dyn FramePath>) -> Result<(), CapacityError> {
        let legs = |thread: &&MediaThread| thread.state.legs.load(Relaxed);
        let live = self.threads.iter().filter(|thread| thread.is_alive());
        let thread = live.min_by_key(legs).ok_or(CapacityError)?;
        if thread.state.legs.fetch_add(1, Relaxed) >= self.capacity {
            thread.state.leg_closed();
            return Err(CapacityError);
        }
        thread.state.push(path, socket);
        thread.thread.unpark();
        Ok(())
    }

    /// A count of rounds for each thread. A count that stands still for a second belongs to a thread that hangs.
    pub fn rounds(&self) -> Vec<u64> {
        self.threads.iter().map(|thread| thread.state.rounds.load(Relaxed)).collect()
    }

    /// How late frames have left so far: frames by upper bound in microseconds, the last without bound.
    pub fn lateness(&self) -> BTreeMap<u64, u64> {
        let mut sums = BTreeMap::new();
        for (bound, count) in self.threads.iter().flat_map(|thread| thread.state.lateness.buckets()) {
            *sums.entry(bound).or_default() += count;
        }
        sums
    }

    /// The sum of the delays with which frames have left so far.
    pub fn total_lateness(&self) -> Duration {
        Duration::from_micros(self.threads.iter().map(|thread| thread.state.lateness.total_us()).sum())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            thread.state.stop.store(true, Relaxed);
            thread.thread.unpark();
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                drop(handle.join());
            }
        }
    }
}

fn start_thread(number: usize) -> io::Result<MediaThread> {
    let state = Arc::new(ThreadState::default());
    let inside = state.clone();
    let handle = thread::Builder::new().name(format!("media-{number}")).spawn(move || {
        raise_priority();
        TimerWheel::new(&inside).run();
    })?;
    Ok(MediaThread { state, thread: handle.thread().clone(), handle: Some(handle) })
}

/// Makes this thread real-time, so that a compiler or a recogniser on the same core does not delay a frame. Where that is
/// not allowed, raises its ordinary priority.
fn raise_priority() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let lowest = ThreadPriority::from_posix(ScheduleParams { sched_priority: 1 });
    if set_thread_priority_and_policy(thread_native_id(), lowest, policy).is_ok() {
        return;
    }
    let raised = setpriority_process(Some(gettid()), -15).is_ok();
    tracing::info!(
        raised,
        "media threads are not real-time: LimitRTPRIO would allow it, and frames leave more evenly on a busy machine"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::test_path::{TickingPath, test_socket};

    fn lasting() -> Box<dyn FramePath> {
        Box::new(TickingPath(|_| ()))
    }

    fn panicking() -> Box<dyn FramePath> {
        let panic: fn(u32) = |_| panic!("a bug that ends the thread");
        Box::new(TickingPath(panic))
    }

    #[test]
    fn a_thread_that_has_ended_takes_no_calls() {
        let settings = Settings { threads: 2, ..Settings::default() };
        let threads = Threads::start(&settings).expect("threads");
        threads.add(test_socket(), panicking()).expect("capacity");
        while threads.threads.iter().all(MediaThread::is_alive) {
            thread::yield_now();
        }
        let alive = threads.threads.iter().position(MediaThread::is_alive).expect("the other one");
        for _ in 0..3 {
            threads.add(test_socket(), lasting()).expect("capacity");
        }
        assert_eq!(
            threads.threads[alive].state.legs.load(Relaxed),
            3,
            "though it has more legs than the ended one"
        );
        threads.add(test_socket(), panicking()).expect("capacity");
        while threads.threads[alive].is_alive() {
            thread::yield_now();
        }
        assert_eq!(threads.add(test_socket(), lasting()), Err(CapacityError));
    }
}
