//! One run: so many calls for a few seconds, and what became of their packets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::SockaddrIn;
use nix::unistd::Pid;
use uuid::Uuid;
use vca::audio::codec::Format;
use vca::media::{
    AudioBuffer, AudioDelivery, MediaSocket, NoiseSuppression, Port, Settings, SpeechTag, Threads,
};

use super::load::{Load, Received, espeak};
use super::path::Bare;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sockets, wheel and packets alone.
    Floor,
    /// All that a call needs.
    Product,
    /// The same with noise suppression.
    Suppressed,
}

#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub p99_ms: f64,
    /// Packets that did not arrive at the daemon, and at the callers.
    lost_in: u64,
    lost_out: u64,
    /// Time on the core that one call took for 20 ms, both ways.
    frame_us: f64,
    /// The share of the run's time in which the hypervisor gave the core to another machine.
    pub stolen: f64,
}

impl Outcome {
    pub fn keeps(&self, p99_ms: f64) -> bool {
        self.p99_ms < p99_ms && self.lost_in == 0 && self.lost_out == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p99 {:.3} ms, lost {} in, {} out, {:.2} us a frame, {:.1} % stolen",
            self.p99_ms,
            self.lost_in,
            self.lost_out,
            self.frame_us,
            100.0 * self.stolen
        )
    }
}

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(4);

/// Keeps this thread, and those that it starts, on one core.
pub fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).expect("a core's number");
    if sched_setaffinity(Pid::from_raw(0), &cores).is_err() {
        eprintln!("cannot pin to core {core}: the figures are of an unpinned run");
    }
}

pub fn run(kind: Kind, calls: usize, speech: &[Vec<u8>]) -> Outcome {
    let load = Load::bind();
    let peer = SocketAddr::V4(load.address);
    let settings =
        Settings { calls_per_thread: calls, noise_suppression_calls: calls, ..Settings::default() };
    let threads = Threads::start(&settings).expect("a media thread");
    // Each call is another tenant's, so that no tenant's share of the places limits them.
    let open = |socket, suppression| {
        let suppression = (suppression, Uuid::now_v7());
        threads.open(socket, Format::Ulaw, AudioDelivery::Buffered, suppression).expect("room")
    };
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let sockets = (0..calls).map(|_| MediaSocket::bind(localhost, (0, 0), 0).expect("a port"));
    let (mut ports, mut addresses) = (Vec::new(), Vec::new());
    let (received, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    for socket in sockets {
        socket.connect(peer).expect("loopback");
        addresses.push(SockaddrIn::new(127, 0, 0, 1, socket.local().port()));
        match kind {
            Kind::Floor => {
                threads.add(socket, Box::new(Bare::new(received.clone(), closed.clone()))).expect("room")
            }
            Kind::Product => ports.push(open(socket, NoiseSuppression::Off)),
            Kind::Suppressed => ports.push(open(socket, NoiseSuppression::Recognition)),
        }
    }
    let done = AtomicBool::new(false);
    let (before, began, stolen) = (media_thread_time(), Instant::now(), stolen_time());
    let outcome = thread::scope(|scope| {
        let loader = scope.spawn(|| {
            pin(1);
            let from = Instant::now() + WARM_UP;
            load.run(&addresses, speech, from, from + MEASURED)
        });
        let task = scope.spawn(|| {
            pin(1);
            attend(&mut ports, &done);
        });
        let outcome = loader.join().expect("the load ends");
        done.store(true, Relaxed);
        task.join().expect("the calls' side ends");
        (outcome, media_thread_time().saturating_sub(before))
    });
    let ((back, sent), cpu) = outcome;
    let stolen = stolen_time().saturating_sub(stolen).as_secs_f64() / began.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(1_100));
    let arrived = match kind {
        Kind::Floor => received.load(Relaxed),
        Kind::Product | Kind::Suppressed => closed_ports(ports),
    };
    closed.store(true, Relaxed);
    drop(threads);
    let frame_us = cpu.as_secs_f64() * 1e6 / (sent * calls as u64).max(1) as f64;
    Outcome {
        lost_in: (sent * calls as u64).saturating_sub(arrived),
        frame_us,
        stolen,
        ..judge(&back, calls)
    }
}

/// How long the media thread has been on a core so far (proc_pid_schedstat: its first field, in nanoseconds).
fn media_thread_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let media = tasks.filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "media-0")
    });
    let spent = media.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    Duration::from_nanos(spent.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum())
}

/// How long the hypervisor has kept the first core from us so far (proc_stat(5): the eighth field, in hundredths of
/// a second).
fn stolen_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let core = stat.lines().find_map(|line| line.strip_prefix("cpu0 "));
    let ticks = core.and_then(|line| line.split_whitespace().nth(7)?.parse().ok());
    Duration::from_millis(10 * ticks.unwrap_or(0))
}

/// The counts of all calls together.
fn closed_ports(ports: Vec<Port>) -> u64 {
    ports.iter().map(|port| port.report().received).sum()
}

/// The calls' tasks: they keep the agent speaking and fetch what the caller says.
fn attend(ports: &mut [Port], done: &AtomicBool) {
    let clip: Arc<[i16]> = espeak("We are open from nine to five, and on Saturday until noon.").samples;
    let mut buffer = AudioBuffer::new(8_000);
    while !done.load(Relaxed) {
        for port in ports.iter_mut() {
            while port.next_event().is_some() {}
            port.fetch(&mut buffer);
            buffer.forget(buffer.end());
            if port.has_room() {
                let _ = port.play(SpeechTag(1), clip.clone(), false);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The pacing error of a packet is its distance from its call's own 20 ms grid.
fn judge(back: &Received, calls: usize) -> Outcome {
    let mut errors = Vec::new();
    let mut lost = 0;
    for arrivals in back.arrivals.values() {
        let first = arrivals[0].as_secs_f64();
        let expected = ((arrivals[arrivals.len() - 1].as_secs_f64() - first) / 0.02).round() as u64 + 1;
        lost += expected.saturating_sub(arrivals.len() as u64);
        let offsets = arrivals.iter().enumerate().map(|(n, at)| at.as_secs_f64() - first - 0.02 * n as f64);
        let mut offsets: Vec<f64> = offsets.collect();
        offsets.sort_by(f64::total_cmp);
        let grid = offsets[offsets.len() / 2];
        errors.extend(offsets.iter().map(|offset| (offset - grid).abs() * 1_000.0));
    }
    errors.sort_by(f64::total_cmp);
    let silent = calls.saturating_sub(back.arrivals.len()) as u64;
    let p99_ms = errors.get(errors.len() * 99 / 100).copied().unwrap_or(f64::INFINITY);
    Outcome { p99_ms, lost_out: lost + silent, ..Outcome::default() }
}
