//! Turn-taking on the wire: the daemon, a real Asterisk, SIP calls, and engines on loopback at a vendor's pace.
//!
//! `./dev bench turn` runs all measures but those of 100 calls; names choose some, `--full` repeats more often. All times are
//! read from the caller's RTP. The recogniser reports the words of the audio that it is sent (`tests/support/labelled`). The
//! last line is JSON: each figure with its goal. `docs/benchmarks.md` has the figures.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a benchmark measures time")]

mod conversations;
mod figures;
mod interruptions;
mod lines;
mod memory;
mod setting;
mod stalls;
#[allow(dead_code, reason = "each program uses its part")]
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use figures::Figures;
use setting::{EngineAge, Setting};

#[derive(Parser)]
#[command(about = "Turn-taking through a real Asterisk, measured from the caller's RTP")]
struct Args {
    /// What is measured; when absent, everything but `calls100`.
    measures: Vec<Measure>,
    /// More repetitions: half an hour in place of ten minutes.
    #[arg(long)]
    full: bool,
    /// The daemon's program; by default the one that was built with this benchmark.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_vca"))]
    program: PathBuf,
    /// The end-of-turn model's file; without it the model is off (`docs/turn-taking.md`).
    #[arg(long)]
    end_of_turn_model: Option<PathBuf>,
    /// Print the requests of the engines, and at the end the daemon's log, to standard error.
    #[arg(long)]
    log: bool,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// End of speech to reply, one call.
    Calls1,
    /// The same with 10 calls.
    Calls10,
    /// The same with 100 calls, and the memory of a call.
    Calls100,
    /// End of speech to reply, one call, with streaming STT.
    Streaming1,
    Streaming10,
    /// The same, one call, with a recogniser that judges the ends of turns.
    Flux1,
    /// As with streaming STT, one call, with text to speech that gets the first clause word by word.
    Words1,
    OneWord,
    BargeIn,
    /// STT seconds in a minute's story.
    Story,
    /// Backchannels, "hello?", "thanks" and coughs over the agent.
    FalseStops,
    Television,
    Echo,
    /// Barge-in while the line returns the agent's voice.
    DoubleTalk,
    /// Packets of 60 ms with jitter.
    Packets,
    Stalls,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_chosen = |measure: &&Measure| match args.measures.as_slice() {
        [] => **measure != Measure::Calls100,
        measures => measures.contains(measure),
    };
    let chosen: Vec<Measure> = Measure::value_variants().iter().filter(is_chosen).copied().collect();
    let needs = chosen.iter().map(Measure::needs).max().unwrap_or(EngineAge::Old);
    let model = args.end_of_turn_model.as_deref();
    let Some(setting) = Setting::open(&args.program, args.full, needs, model) else {
        return ExitCode::FAILURE;
    };
    let mut figures = Figures::default();
    for measure in chosen {
        setting.engines.clear();
        measure.run(&setting, &mut figures);
        if args.log {
            setting.engines.log().iter().for_each(|line| eprintln!("{measure:?}: {line}"));
        }
    }
    if args.log {
        eprintln!("{}", setting.env.log());
    }
    println!("{}", figures.json(&args.program));
    ExitCode::SUCCESS
}

impl Measure {
    /// The engines that it needs: a daemon may be too old for them.
    fn needs(&self) -> EngineAge {
        match self {
            Measure::Streaming1 | Measure::Streaming10 | Measure::Flux1 => EngineAge::LiveRecognition,
            Measure::Words1 => EngineAge::PartialText,
            _ => EngineAge::Old,
        }
    }

    fn run(self, setting: &Setting, figures: &mut Figures) {
        match self {
            Measure::Calls1 => conversations::latency(setting, figures, 1),
            Measure::Calls10 => conversations::latency(setting, figures, 10),
            Measure::Calls100 => conversations::latency(setting, figures, 100),
            Measure::Streaming1 => conversations::live_latency(setting, figures, 1),
            Measure::Streaming10 => conversations::live_latency(setting, figures, 10),
            Measure::Flux1 => conversations::flux_latency(setting, figures),
            Measure::Words1 => conversations::words_latency(setting, figures),
            Measure::OneWord => conversations::one_word(setting, figures),
            Measure::BargeIn => interruptions::barge_in(setting, figures),
            Measure::Story => conversations::story(setting, figures),
            Measure::FalseStops => interruptions::false_stops(setting, figures),
            Measure::Television => lines::television(setting, figures),
            Measure::Echo => lines::echo(setting, figures),
            Measure::DoubleTalk => interruptions::double_talk(setting, figures),
            Measure::Packets => lines::packets(setting, figures),
            Measure::Stalls => stalls::stalls(setting, figures),
        }
    }
}
