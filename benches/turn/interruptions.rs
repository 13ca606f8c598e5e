//! Callers who speak while the agent speaks.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vca::audio::Clip;
use vca::sim::{Echo, LineConditions, Step};

use crate::figures::Figures;
use crate::setting::{ASK_LONG, Setting, listen, plan, replies_of};
use crate::support::clips;
use crate::support::phone::{Plan, Report};

/// Speech over the agent with which the caller takes the turn.
const BARGE_IN: &str = "Where is your workshop located?";
/// An agent that stops later than this has not stopped for the caller.
const LATEST: Duration = Duration::from_millis(1_500);
/// The time in which a reply that was paused has to go on.
const RESUMED: Duration = Duration::from_millis(500);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A caller who interrupts a long reply, each time after it has been heard for `spoken`.
fn barging(setting: &Setting, spoken: Duration, times: usize) -> Vec<Step> {
    let wait = || Step::LetSpeak { spoken, at_most: ms(10_000) };
    let round = || [setting.say(ASK_LONG), wait(), setting.say(BARGE_IN), listen()];
    let rounds = (0..times).flat_map(|_| round());
    [listen()].into_iter().chain(rounds).chain([Step::HangUp]).collect()
}

/// Times until the agent was silent, of those utterances that it stopped for.
fn stops(reports: &[Report]) -> Vec<Duration> {
    let all = reports.iter().flat_map(|report| report.conversation.interruptions());
    all.map(|it| it.latency()).filter(|time| *time <= LATEST).collect()
}

/// Barge-in at several moments of a reply.
pub fn barge_in(setting: &Setting, figures: &mut Figures) {
    let times = if setting.full { 9 } else { 6 };
    let moments = [100, 500, 1_000, 3_000];
    let plans = moments.iter().enumerate();
    let plans = plans.map(|(n, &at)| plan(n, barging(setting, ms(at), times))).collect();
    let reports = setting.run(plans);
    for (at, report) in moments.iter().zip(&reports) {
        let name = format!("barge_in_{at}_ms_into_a_reply");
        let stops = stops(std::slice::from_ref(report));
        figures.add_times(&name, &stops, [Some(238.0), Some(259.0)]);
        figures.add(&format!("{name}_missed"), (times - stops.len().min(times)) as f64, Some(0.0));
    }
}

/// Barge-in while the line returns the agent's voice, 20 dB fainter.
pub fn double_talk(setting: &Setting, figures: &mut Figures) {
    let (calls, times) = if setting.full { (5, 10) } else { (2, 6) };
    let echo = |n: usize| Some(Echo { delay: ms([120, 200, 60, 300, 400][n]), level_db: -20.0 });
    let plans = (0..calls).map(|n| {
        let conditions = LineConditions { echo: echo(n), ..LineConditions::default() };
        Plan { conditions, ..plan(n, barging(setting, ms(1_500), times)) }
    });
    let stops = stops(&setting.run(plans.collect()));
    figures.add_times("barge_in_double_talk", &stops, [None, Some(400.0)]);
    figures.add("barge_in_double_talk_missed", (calls * times).saturating_sub(stops.len()) as f64, Some(0.0));
}

/// Sounds of a caller who listens. The agent must go on.
pub fn false_stops(setting: &Setting, figures: &mut Figures) {
    let rounds: usize = if setting.full { 13 } else { 2 };
    let kinds: [(&str, Vec<Clip>); 4] = [
        ("backchannels", ["Uh huh.", "Okay.", "Yes.", "I see."].map(|text| setting.voice(text)).into()),
        ("hello", ["Hello?", "Are you there?"].map(|text| setting.voice(text)).into()),
        ("thanks", ["Thanks.", "Thank you."].map(|text| setting.voice(text)).into()),
        ("coughs", (0..4).map(cough).collect()),
    ];
    let plans = kinds.iter().enumerate().map(|(n, (_, sounds))| plan(n, listening(setting, sounds, rounds)));
    let reports = setting.run(plans.collect());
    for (n, ((kind, _), report)) in kinds.iter().zip(&reports).enumerate() {
        let sounds = rounds * SOUNDS_A_REPLY;
        let turns = setting.record(n).map(|(_, turns)| turns).unwrap_or_default();
        let stopped = turns.iter().filter(|turn| turn.interrupted).count();
        figures.add(&format!("false_stops_by_{kind}_of_{sounds}"), stopped as f64, Some(0.0));
        figures.add(&format!("not_resumed_after_{kind}"), not_resumed(report) as f64, Some(0.0));
        // Without a reply there is nothing to stop.
        let missed = rounds.saturating_sub(replies_of(&turns));
        figures.add(&format!("false_stops_by_{kind}_missed"), missed as f64, Some(0.0));
    }
}

const SOUNDS_A_REPLY: usize = 4;

/// A caller who makes four sounds during each long reply.
fn listening(setting: &Setting, sounds: &[Clip], rounds: usize) -> Vec<Step> {
    let mut sounds = sounds.iter().cycle();
    let mut script = vec![listen()];
    for _ in 0..rounds {
        script.extend([setting.say(ASK_LONG), Step::LetSpeak { spoken: ms(1_500), at_most: ms(10_000) }]);
        for sound in sounds.by_ref().take(SOUNDS_A_REPLY) {
            script.extend([Step::Say(sound.clone()), Step::Wait(ms(2_500))]);
        }
        script.push(listen());
    }
    script.push(Step::HangUp);
    script
}

/// How many sounds over the agent were not followed by its voice in time.
fn not_resumed(report: &Report) -> usize {
    let agent = report.conversation.agent();
    let over = report.conversation.interruptions().into_iter().map(|it| it.began);
    let said = report.conversation.caller();
    let ends = over.filter_map(|began| said.iter().find(|said| said.0 == began).map(|said| said.1));
    ends.filter(|&end| !agent.iter().any(|&(from, to)| from <= end + RESUMED && to > end)).count()
}

/// Two bursts of noise that fade.
fn cough(seed: u64) -> Clip {
    let mut random = StdRng::seed_from_u64(seed);
    let sample = |n: usize| {
        let fade = (-((n % 1_400) as f64) / 350.0).exp();
        (random.random_range(-12_000.0..12_000.0) * fade) as i16
    };
    let samples: Vec<i16> = (0..2_800).map(sample).collect();
    clips::at_level(&Clip::new(8_000, samples), 0.0)
}
