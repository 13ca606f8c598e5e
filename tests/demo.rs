//! The program behind `./dev demo` and `./dev up`: a real call to a real Asterisk, answered by `vca`.
//!
//! The caller is greeted, asks something aloud, is answered, interrupts a long answer, is listened to, and hangs
//! up. What was said is printed as it happens; what both sides heard is left as `.dev/demo.wav`, the caller
//! left, the agent right. It needs no key and no server beside Asterisk.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the demo touches the world")]

#[allow(dead_code, reason = "each program uses its part")]
mod support;
#[path = "demo/transcript.rs"]
mod transcript;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use support::asterisk::{Asterisk, Options};
use support::clips;
use support::phone::{Call, Plan, Report};
use support::sipp::Side;
use support::vca::{Daemon, Vca};
use transcript::Transcript;
use vca::sim::{Codec, Step};

const DID: &str = "+493055500100";
/// What the caller says; the third interrupts the answer to the second.
const SAID: [&str; 3] =
    ["What are your opening hours?", "Tell me about your services.", "Where are you located?"];
const PROMPT: &str = "You answer the telephone of a bicycle workshop at the old market, open from Monday to Friday, \
    nine to five. Answer in one sentence; only when asked about the services, in five, for it repairs, sells, rents, \
    stores and cleans bicycles.";

#[derive(Parser)]
#[command(about = "A real call to a real Asterisk, answered by vca")]
struct Args {
    /// After the call, keep everything running for a softphone, until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// The address that Asterisk binds to; 0.0.0.0 lets other devices in.
    #[arg(long, default_value = "127.0.0.1")]
    bind: Ipv4Addr,
    /// Asterisk's SIP port; a free one when absent.
    #[arg(long)]
    sip_port: Option<u16>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            eprintln!("\nThe demo did not go as it should:\n{faults}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let sandbox = support::sandbox().ok_or("there is no sandbox: run `./dev demo`, which makes one")?;
    let folder = fresh_folder()?;
    println!("starting Asterisk");
    let asterisk = Asterisk::start(&sandbox, options(args));
    println!("preparing a tenant, a number and a profile; starting vca");
    let vca = configure(&program()?, &folder, &asterisk);
    vca.create_tenant("Demo", DID, PROMPT, &profile())?;
    let daemon = vca.serve()?;
    println!("calling {DID}: what the caller says, what vca heard and answered\n");
    let report = converse(&asterisk, &daemon);
    let wav = folder.with_file_name("demo.wav");
    report.conversation.write_wav(&wav).map_err(|e| format!("{}: {e}", wav.display()))?;
    summarise(&report, &wav);
    let outcome = judge(&report, &asterisk);
    if !args.stay {
        return outcome;
    }
    // Whoever wants to telephone wants to know, and to try for themselves.
    if let Err(faults) = outcome {
        println!("\nThe call did not go as it should:\n{faults}");
    }
    stay(&asterisk, &daemon, args)
}

/// Addresses of the simulated trunks that no softphone has, so that one on this machine is asked for its
/// password instead of being taken for a trunk.
fn options(args: &Args) -> Options {
    let trunk = if args.stay { Ipv4Addr::new(127, 0, 0, 3) } else { Ipv4Addr::LOCALHOST };
    Options { bind: args.bind, sip_port: args.sip_port, trunk, ..Options::default() }
}

/// With a key, the cloud's engines; without one, those that this machine has.
fn configure(program: &Path, folder: &Path, asterisk: &Asterisk) -> Vca {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/replies.example.toml");
    Vca::new(program, folder, asterisk)
        .with("VCA__LLM__SCRIPTED__SCRIPT", &script.display().to_string())
        .with("VCA__LOG__FILTER", "info,vca::transcript=debug")
}

fn profile() -> Value {
    let engines = if std::env::var_os("OPENAI_API_KEY").is_some() {
        ["openai", "openai", "openai"]
    } else {
        ["pocketsphinx", "scripted", "flite"]
    };
    let [stt, llm, tts] = engines;
    // The caller speaks with flite's voice slt.
    let voice = if tts == "flite" { "rms" } else { "" };
    json!({
        "greeting": "Hello, this is the demonstration. How can I help you?",
        "language": "en",
        "stt": stt,
        "llm": llm,
        "tts": tts,
        "voice": Some(voice).filter(|voice| !voice.is_empty()),
    })
}

/// The call, and beside it the daemon's log, printed as it comes.
fn converse(asterisk: &Asterisk, daemon: &Daemon) -> Report {
    let mut transcript = Transcript::begin();
    let mut call = Call::place(asterisk, Plan::new(DID, Codec::Ulaw, script()));
    let mut said = SAID.iter();
    while !call.step() {
        follow(daemon, &mut transcript);
        while SAID.len() - said.len() < call.utterances() {
            said.next().inspect(|text| transcript.says(text));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let report = call.finish();
    // The last turn is logged when the call is torn down.
    support::wait::until_true(Duration::from_secs(3), || asterisk.channels().is_empty());
    std::thread::sleep(Duration::from_millis(100));
    follow(daemon, &mut transcript);
    report
}

fn script() -> Vec<Step> {
    let say = |n: usize| Step::Say(clips::flite(SAID[n], "slt"));
    let listen = || Step::Listen { silent: Duration::from_millis(900), at_most: Duration::from_secs(15) };
    let interrupt = Step::LetSpeak { spoken: Duration::from_millis(2_500), at_most: Duration::from_secs(15) };
    vec![listen(), say(0), listen(), say(1), interrupt, say(2), listen(), Step::HangUp]
}

fn follow(daemon: &Daemon, transcript: &mut Transcript) {
    daemon.log.try_iter().for_each(|line| transcript.read(&line));
}

fn summarise(report: &Report, wav: &Path) {
    let ms = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
    println!("\nmeasured from the caller's RTP:");
    println!("  200 OK to the first packet          {}", ms(report.answer_to_first_packet()));
    println!("  200 OK to the first voiced sample   {}", ms(report.answer_to_first_voice()));
    for response in report.conversation.responses() {
        println!("  end of speech to the answer         {}", ms(response.latency()));
    }
    for interruption in report.conversation.interruptions() {
        println!("  interruption to the agent's silence {}", ms(Some(interruption.latency())));
    }
    println!("  pacing error, p99                   {:?}", report.conversation.pacing_error(0.99));
    println!("both sides: {}", wav.display());
}

/// Everything that was not as expected, a line each.
fn judge(report: &Report, asterisk: &Asterisk) -> Result<(), String> {
    let conversation = &report.conversation;
    let answers = conversation.responses();
    let checks = [
        (report.status == Some(200), format!("the call was not answered: SIP status {:?}", report.status)),
        (conversation.first_voiced().is_some(), "the caller heard nothing".to_owned()),
        (answers.len() == 3, format!("the caller spoke {} times instead of 3", answers.len())),
        (answers.iter().all(|r| r.answered.is_some()), format!("an answer is missing: {answers:?}")),
        (!conversation.interruptions().is_empty(), "the agent was not interrupted".to_owned()),
        (conversation.missed.is_empty(), format!("the caller waited in vain: {:?}", conversation.missed)),
        (report.ended_by == Some(Side::Caller), format!("the call was ended by {:?}", report.ended_by)),
    ];
    let mut faults: Vec<String> =
        checks.into_iter().filter(|(good, _)| !good).map(|(_, fault)| fault).collect();
    faults.extend(asterisk.becomes_idle(Duration::from_secs(5)).err());
    if faults.is_empty() { Ok(()) } else { Err(faults.iter().map(|fault| format!("- {fault}\n")).collect()) }
}

fn stay(asterisk: &Asterisk, daemon: &Daemon, args: &Args) -> Result<(), String> {
    let options = asterisk.options();
    println!("\nA softphone can register now (UDP):");
    println!("  server    {}:{}", asterisk.sip_address(), asterisk.sip_port());
    println!("  user      {}", options.phone);
    println!("  password  {}", asterisk.phone_password());
    println!("and call {DID}. Ctrl-C ends it.");
    if args.bind.is_loopback() {
        println!(
            "Only this machine can: `./dev up --bind 0.0.0.0` lets others in, under this machine's address."
        );
    }
    println!();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let mut transcript = Transcript::begin();
        let watching = async {
            loop {
                follow(daemon, &mut transcript);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|e| e.to_string()),
            () = watching => Ok(()),
        }
    })
}

fn fresh_folder() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".dev/demo");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// `vca` lies beside the folder of the examples.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let path = own.parent().and_then(Path::parent).map(|folder| folder.join("vca"));
    path.filter(|path| path.is_file()).ok_or_else(|| "vca is not built: run `./dev demo`".to_owned())
}
