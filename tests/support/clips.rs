//! Speech to say: prompts recorded by a person, whose words are listed, and sentences that an engine speaks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use vca::audio::Clip;
use vca::audio::resample::convert;
use vca::sim::voice;

use super::sandbox::Sandbox;

const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const WORDS: &str = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";

/// The level of callers' voices: 22 dB below full scale.
const LEVEL: f64 = 2_600.0;

/// A prompt by name, such as `vm-goodbye`: 8 kHz, recorded by a person.
///
/// # Panics
/// When there is no such prompt.
pub fn prompt(sandbox: &Sandbox, name: &str) -> Clip {
    read_wav(&sandbox.outside(&format!("{PROMPTS}/{name}.wav")))
}

/// Every prompt that is speech, with its words: name and text.
pub fn prompts(sandbox: &Sandbox) -> Vec<(String, String)> {
    let list = Command::new("gzip").arg("-dc").arg(sandbox.outside(WORDS)).output().expect("gzip can be run");
    String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|line| !line.starts_with(';'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, words)| (name.trim().to_owned(), words.trim().to_owned()))
        // Sounds are described in brackets.
        .filter(|(_, words)| !words.starts_with('['))
        // The list has some that the package lacks.
        .filter(|(name, _)| sandbox.outside(&format!("{PROMPTS}/{name}.wav")).is_file())
        .collect()
}

/// A tone of this pitch in Hz, 8 kHz.
pub fn tone(pitch: u32, length: Duration) -> Clip {
    let step = f64::from(pitch) * std::f64::consts::TAU / 8_000.0;
    let samples = (0..length.as_millis() * 8).map(|n| ((n as f64 * step).sin() * 8_000.0) as i16);
    Clip::new(8_000, samples.collect::<Vec<i16>>())
}

/// A sentence spoken by espeak-ng, 22.05 kHz.
pub fn espeak(text: &str, voice: &str) -> Clip {
    let output = run(Command::new("espeak-ng").args(["--stdout", "-v", voice, "--", text]));
    // The header's lengths are false when it writes to a pipe: what follows its 44 bytes counts.
    Clip::new(22_050, samples(output.get(44..).unwrap_or_default()))
}

/// A sentence spoken by flite with its voice `slt` or whichever is named.
pub fn flite(text: &str, voice: &str) -> Clip {
    let path = std::env::temp_dir().join(format!("vca-flite-{:016x}.wav", rand::random::<u64>()));
    run(Command::new("flite").args(["-voice", voice, "-t", text, "-o"]).arg(&path));
    let clip = read_wav(&path);
    let _ = std::fs::remove_file(&path);
    clip
}

fn run(command: &mut Command) -> Vec<u8> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{name} cannot be run ({e}): `./dev setup` installs it"));
    assert!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read_wav(path: &Path) -> Clip {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rate = reader.spec().sample_rate;
    let samples: Result<Vec<i16>, _> = reader.samples().collect();
    Clip::new(rate, samples.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A clip at 8 kHz whose voiced parts are so many dB above the level of callers.
pub fn at_level(clip: &Clip, db: f64) -> Clip {
    let clip = convert(clip, 8_000);
    let loud: Vec<f64> = clip
        .samples
        .chunks(40)
        .filter(|window| voice::is_voiced(window))
        .flatten()
        .map(|&sample| f64::from(sample).powi(2))
        .collect();
    let level = (loud.iter().sum::<f64>() / loud.len().max(1) as f64).sqrt().max(1.0);
    let gain = LEVEL * 10_f64.powf(db / 20.0) / level;
    let scaled = |&sample: &i16| (f64::from(sample) * gain).round() as i16;
    Clip::new(8_000, clip.samples.iter().map(scaled).collect::<Vec<i16>>())
}
