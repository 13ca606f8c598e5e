//! The call's task: waits for events, passes them to the state machines, and carries out their actions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use metrics::counter;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::bridging_driver::{BridgingDriver, BridgingEvent};
use super::caller_audio::CallerAudio;
use super::clock::Clock;
use super::ending::{Refusal, Verdict, verdict};
use super::media_watch::{MediaAddresses, MediaWatch};
use super::progress::{save_progress, write_turn};
use super::record::{RecordWriter, state_of};
use super::speech_queue::SpeechQueue;
use super::talk::Talk;
use super::tasks::{CallTasks, TaskResult};
use super::{Admitted, Agent, CallMessage, CallServices, IncomingCall, greeting};
use crate::ari::topology::{End, Input as BridgingInput};
use crate::ari::{Event, Reason};
use crate::conversation::{
    CallerSpeech, Command, Conversation, Ending, HoldChange, Input, Key, Output, Phrase, PlaybackEvent,
    Recognition, Record, SpeechId,
};
use crate::engines::core::EngineError;
use crate::engines::core::usage::Meter;
use crate::media::{MediaEvent, MediaSocket};
use crate::tenancy::{Call, CallId, CallStatus, Did, Direction, EngineKind, Route};

/// Between the last sample that we send and the hang-up: the time it takes to reach the caller's ear.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Refuses a call, or gives it back to the dialplan, with a record where there is a tenant.
pub async fn refuse(
    mut incoming: IncomingCall,
    services: Arc<CallServices>,
    refusal: Refusal,
    called: Option<(Arc<Route>, Did)>,
) {
    let feed = std::mem::take(&mut incoming.feed);
    let log = called.map(|(route, did)| {
        RecordWriter::begin(
            new_call(&incoming, &route, did, None),
            incoming.since,
            services.ledger.clone(),
            feed,
        )
    });
    let mut task = Task::new(incoming, services, log);
    task.refusal = Some(refusal);
    let reason = refusal.reason();
    task.tell_asterisk(match refusal.given_back() {
        Some(status) => BridgingInput::ContinueInDialplan { status, reason },
        None => BridgingInput::HangUp { reason },
    });
    task.run().await;
}

/// Answers a call and talks until it is over.
pub async fn answer(mut incoming: IncomingCall, services: Arc<CallServices>, admitted: Admitted) {
    let Admitted { called, route, agent, format } = admitted;
    let call =
        Call { codec: Some(format.name().to_owned()), ..new_call(&incoming, &route, called, Some(&agent)) };
    let (started_at, since) = (call.started_at, incoming.since);
    let log = RecordWriter::begin(
        call,
        incoming.since,
        services.ledger.clone(),
        std::mem::take(&mut incoming.feed),
    );
    let mut task = Task::new(incoming, services, Some(log));
    task.services.state.begin(task.id, started_at).await;
    let (states, id, progress) = (task.services.state.clone(), task.id, task.progress.subscribe());
    task.tasks.start(|_| save_progress(states, id, progress));
    let settings = &task.services.media_settings;
    match MediaSocket::bind(settings.bind_address, settings.ports, rand::random()) {
        Ok(line) => {
            let address = settings.public_address.unwrap_or(settings.bind_address);
            let external_host = SocketAddr::new(address, line.local().port());
            let (opening, text) = agent.opening(Utc::now());
            task.prospect = Some(Prospect { line, external_host, agent, format, opening });
            task.prepare_greeting(text, since);
        }
        Err(error) => {
            error!(%error, "no UDP port for the call's media: see [media] ports");
            task.fail("no UDP port for the call's media");
            task.tell_asterisk(BridgingInput::HangUp { reason: Reason::NoCircuit });
        }
    }
    task.run().await;
    // The call is over: delete its conversation state.
    task.services.state.end(task.id).await;
}

fn new_call(incoming: &IncomingCall, route: &Route, called: Did, agent: Option<&Agent>) -> Call {
    Call {
        id: incoming.id,
        tenant_id: route.tenant.id,
        phone_number_id: route.number.id,
        ai_profile_id: agent.map(|agent| agent.profile),
        ai_profile_version: agent.map(|agent| agent.version),
        asterisk_channel_id: incoming.channel.to_string(),
        direction: Direction::Inbound,
        caller_number: incoming.caller.clone(),
        called_number: called,
        status: CallStatus::Ringing,
        ended_by: None,
        disposition: None,
        hangup_cause: None,
        sip_status: None,
        provider_call_id: incoming.provider_call_id.clone(),
        started_at: since_epoch(incoming.since),
        answered_at: None,
        ended_at: None,
        codec: None,
        media: None,
        failure_reason: None,
        engine_failures: Vec::new(),
    }
}

/// The wall clock's time of a moment that is not long ago.
fn since_epoch(at: Instant) -> DateTime<Utc> {
    Utc::now() - at.elapsed()
}

struct Task {
    id: CallId,
    services: Arc<CallServices>,
    messages: mpsc::Receiver<CallMessage>,
    results: mpsc::Receiver<TaskResult>,
    tasks: CallTasks,
    bridging: BridgingDriver,
    records: Option<RecordWriter>,
    refusal: Option<Refusal>,
    is_sip: bool,
    /// Resources for the conversation, until Asterisk has answered.
    prospect: Option<Prospect>,
    talk: Option<Talk>,
    /// Counts the call's engine usage.
    meter: Meter,
    /// How far the conversation is, for its state to be saved.
    progress: watch::Sender<(u32, serde_json::Value)>,
    /// When the caller is hung up, after the last words.
    hang_up: Option<(Instant, Reason)>,
    done: bool,
}

struct Prospect {
    line: MediaSocket,
    /// The address of `line` as Asterisk reaches it.
    external_host: SocketAddr,
    agent: Arc<Agent>,
    format: crate::audio::codec::Format,
    /// The prompt with which the conversation begins.
    opening: Phrase,
}

/// The event that wakes the task.
enum Waking {
    Message(Option<CallMessage>),
    Result(TaskResult),
    Media,
    Time,
}

impl Task {
    fn new(incoming: IncomingCall, services: Arc<CallServices>, log: Option<RecordWriter>) -> Task {
        let (tasks, results) = CallTasks::new();
        let bridging = BridgingDriver::new(incoming.bridging, services.asterisk.clone());
        Task {
            id: incoming.id,
            services,
            messages: incoming.messages,
            results,
            tasks,
            bridging,
            records: log,
            refusal: None,
            is_sip: incoming.is_sip,
            prospect: None,
            talk: None,
            meter: Meter::default(),
            progress: watch::Sender::default(),
            hang_up: None,
            done: false,
        }
    }

    /// Sets the call up once its first prompt can be played, which is at once if it is cached.
    fn prepare_greeting(&mut self, text: Arc<str>, since: Instant) {
        let Some(Prospect { agent, format, .. }) = &self.prospect else { return };
        let (agent, prompts) = (agent.clone(), self.services.prompts.clone());
        let is_cached = prompts.find(&*agent.engines.tts, &agent.voice, &text, format.rate()).is_some();
        if text.trim().is_empty() || is_cached {
            return self.admit();
        }
        let limit = (self.services.set_up * 2 / 3).saturating_sub(since.elapsed());
        self.tasks.start(|reports| async move {
            let outcome = greeting::synthesise(agent, prompts, text, limit).await;
            drop(reports.send(TaskResult::Greeting(outcome)).await);
        });
    }

    /// Has Asterisk create the call's media and bridge, and answer.
    fn admit(&mut self) {
        let Some(Prospect { external_host, format, .. }) = &self.prospect else { return };
        let (external_host, format) = (*external_host, format.name().to_owned());
        self.tell_asterisk(BridgingInput::admit(external_host, format));
    }

    /// The greeting cannot be played: the dialplan serves the caller, who is not answered.
    fn refuse_without_greeting(&mut self, error: &EngineError) {
        let Some(Prospect { agent, .. }) = self.prospect.take() else { return };
        let (engine, refusal) = (agent.engines.tts.name(), Refusal::NoGreeting);
        warn!(%error, %engine, "no greeting: the call returns to the dialplan unanswered");
        counter!("vca_refusals_total", "reason" => refusal.as_str()).increment(1);
        note_failure(&mut self.records, EngineKind::Tts, engine, error);
        self.fail("the greeting could not be synthesised");
        self.refusal = Some(refusal);
        let (status, reason) = (refusal.given_back().unwrap_or_default(), refusal.reason());
        self.tell_asterisk(BridgingInput::ContinueInDialplan { status, reason });
    }

    /// Keeps on the record why the call fails.
    fn fail(&mut self, reason: &str) {
        if let Some(log) = &mut self.records {
            log.failed(reason);
        }
    }

    async fn run(&mut self) {
        self.step().await;
        while !self.done {
            match self.wait().await {
                Waking::Message(Some(message)) => self.read(message),
                // The switchboard has stopped, so no further events of Asterisk will arrive.
                Waking::Message(None) => {
                    self.tell_asterisk(BridgingInput::HangUp { reason: Reason::NormalClearing })
                }
                Waking::Result(result) => self.take(result),
                Waking::Media => self.listen(),
                Waking::Time => self.tick(),
            }
            self.step().await;
        }
    }

    async fn wait(&mut self) -> Waking {
        let deadlines = [
            self.bridging.deadline(),
            self.talk.as_ref().and_then(Talk::deadline),
            self.hang_up.map(|(at, _)| at),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let time = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let notify = self.talk.as_ref().map(|talk| talk.port.notify());
        let media = async {
            match notify {
                Some(notify) => notify.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.messages.recv() => Waking::Message(message),
            Some(result) = self.results.recv() => Waking::Result(result),
            () = media => Waking::Media,
            () = time => Waking::Time,
        }
    }

    fn read(&mut self, message: CallMessage) {
        match message {
            CallMessage::Event(event) => {
                note(&event);
                self.hold(&event);
                self.press_key(&event);
                self.tell_asterisk(BridgingInput::Event(event));
            }
            CallMessage::Reconciled(inventory) => self.tell_asterisk(BridgingInput::Reconciled(inventory)),
            CallMessage::End => match &mut self.talk {
                Some(talk) => talk.handle(Instant::now(), Input::EndRequested),
                None => self.tell_asterisk(BridgingInput::HangUp { reason: Reason::Congestion }),
            },
            CallMessage::Cut => self.tell_asterisk(BridgingInput::HangUp { reason: Reason::NormalClearing }),
        }
    }

    fn take(&mut self, result: TaskResult) {
        let now = Instant::now();
        let result = match result {
            TaskResult::Asterisk { id, result } => {
                return self.tell_asterisk(BridgingInput::Response { id, result });
            }
            TaskResult::Greeting(Ok(())) => return self.admit(),
            TaskResult::Greeting(Err(error)) => return self.refuse_without_greeting(&error),
            other => other,
        };
        let (Some(talk), log) = (&mut self.talk, &mut self.records) else { return };
        let input = match result {
            TaskResult::Asterisk { .. } | TaskResult::Greeting(_) => return,
            TaskResult::Words { utterance, result: Ok(text) } => {
                Input::Recognition { utterance, event: Recognition::Final { text } }
            }
            TaskResult::Words { utterance, result: Err(error) } => {
                warn!(%error, engine = %talk.agent.engines.stt.name(), "no transcript");
                note_failure(log, EngineKind::Stt, talk.agent.engines.stt.name(), &error);
                Input::Recognition { utterance, event: Recognition::Failed }
            }
            TaskResult::Reply { turn, delta } => {
                if let Some(Err(error)) = &delta {
                    warn!(%error, engine = %talk.agent.engines.llm.name(), "no reply");
                    note_failure(log, EngineKind::Llm, talk.agent.engines.llm.name(), error);
                }
                Input::Response { turn, event: talk.response_event(delta) }
            }
            TaskResult::Sound { speech, sound } => {
                let Some(error) = talk.speech.take(speech, sound, &mut self.tasks) else { return };
                note_failure(log, EngineKind::Tts, talk.agent.engines.tts.name(), &error);
                Input::Playback { speech, event: PlaybackEvent::SynthesisFailed }
            }
        };
        talk.handle(now, input);
    }

    /// The caller puts the call on hold or resumes it. A caller who arrives by a transfer resumes it as well: the
    /// other channel was on hold, and sends no further events.
    fn hold(&mut self, event: &Event) {
        let change = match event {
            Event::ChannelHold { .. } => HoldChange::Held,
            Event::ChannelUnhold { .. } | Event::StasisStart { replaces: Some(_), .. } => HoldChange::Resumed,
            _ => return,
        };
        // Audio received until now is handled first.
        self.listen();
        let now = Instant::now();
        let Some(talk) = &mut self.talk else { return };
        let speaks = talk.voiced && change == HoldChange::Resumed;
        talk.handle(now, Input::Hold(change));
        if speaks {
            let started = CallerSpeech::Started { at: talk.clock.at(now) };
            talk.handle(now, Input::CallerSpeech(started));
        }
    }

    /// The caller pressed a key.
    fn press_key(&mut self, event: &Event) {
        let Event::ChannelDtmfReceived { digit, .. } = event else { return };
        // Audio received until now is handled first.
        self.listen();
        if let (Some(talk), Some(key)) = (&mut self.talk, Key::new(digit.as_char())) {
            talk.handle(Instant::now(), Input::Dtmf { key });
        }
    }

    /// Handles the media thread's events.
    fn listen(&mut self) {
        let now = Instant::now();
        let Some(talk) = &mut self.talk else { return };
        talk.caller_audio.fetch(&mut talk.port);
        while let Some(event) = talk.port.next_event() {
            let id = |speech: crate::media::SpeechTag| SpeechId(speech.0);
            let begins = match &event {
                MediaEvent::PlaybackStarted { speech } => talk.speech.turn_of(id(*speech)),
                _ => None,
            };
            let input = match event {
                MediaEvent::SpeechStarted { at, position } => {
                    talk.voiced = true;
                    talk.caller_audio.mark(at, position);
                    Input::CallerSpeech(CallerSpeech::Started { at: talk.clock.at(at) })
                }
                MediaEvent::SpeechPaused { at, position } => {
                    talk.voiced = false;
                    talk.caller_audio.mark(at, position);
                    Input::CallerSpeech(CallerSpeech::Paused { at: talk.clock.at(at) })
                }
                MediaEvent::PlaybackStarted { speech } => {
                    Input::Playback { speech: id(speech), event: PlaybackEvent::Started }
                }
                MediaEvent::Played { speech, position } => {
                    let (speech, total) = (id(speech), talk.speech.total(id(speech)));
                    Input::Playback { speech, event: PlaybackEvent::Progress { position, total } }
                }
                MediaEvent::PlaybackEnded { speech, position } => {
                    let (speech, total) = (id(speech), Some(position));
                    let event = PlaybackEvent::Progress { position, total };
                    talk.handle(now, Input::Playback { speech, event });
                    talk.speech.heard(speech);
                    Input::Playback { speech, event: PlaybackEvent::Ended }
                }
                MediaEvent::UnexpectedPackets { from } => {
                    talk.media_watch.dropped(from);
                    continue;
                }
            };
            talk.handle(now, input);
            if let (Some(turn), Some(log)) = (begins, &mut self.records) {
                log.answering(turn.0, talk.conversation.context(), Instant::now());
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.bridging.tell(now, BridgingInput::Tick);
        if let Some(talk) = &mut self.talk {
            talk.watch_media(now);
            talk.handle(now, Input::Tick);
        }
        if let Some((_, reason)) = self.hang_up.take_if(|(at, _)| *at <= now) {
            self.tell_asterisk(BridgingInput::HangUp { reason });
        }
    }

    fn tell_asterisk(&mut self, input: BridgingInput) {
        self.bridging.tell(Instant::now(), input);
    }

    /// Does all that the machines ask for, until they ask for nothing more.
    async fn step(&mut self) {
        loop {
            if let Some(event) = self.bridging.next_event(&mut self.tasks) {
                self.learn(event);
            } else if let Some(output) = self.talk.as_mut().and_then(|talk| talk.conversation.poll()) {
                self.obey(output).await;
            } else {
                break;
            }
        }
        if let Some(talk) = &mut self.talk {
            talk.feed(Instant::now());
        }
    }

    fn learn(&mut self, event: BridgingEvent) {
        match event {
            BridgingEvent::Ready { peer } => self.begin(peer),
            BridgingEvent::Ended(end) => self.end(&end),
            BridgingEvent::Done => self.done = true,
        }
    }

    /// Asterisk has answered: the media flows and the conversation begins.
    fn begin(&mut self, peer: SocketAddr) {
        let Some(Prospect { line, external_host, agent, format, opening }) = self.prospect.take() else {
            return;
        };
        if let Err(error) = line.connect(peer) {
            error!(%error, "Asterisk's media address cannot be reached");
            self.fail("Asterisk's media address cannot be reached");
            return self.tell_asterisk(BridgingInput::HangUp { reason: Reason::Congestion });
        }
        let port = match self.services.media.open(line, format) {
            Ok(port) => port,
            Err(error) => {
                error!(%error, "no media for the call: see [media] threads");
                self.fail("the media threads are full");
                return self.tell_asterisk(BridgingInput::HangUp { reason: Reason::NoCircuit });
            }
        };
        info!(codec = format.name(), "call answered");
        if let Some(log) = &mut self.records {
            log.answered(Instant::now());
        }
        let texts = agent.phrases.iter().map(|(phrase, text)| (*phrase, text.to_string()));
        let conversation = Conversation::new(agent.turn_settings.clone())
            .with_texts(texts.collect::<Vec<_>>())
            .with_language(agent.language)
            .closed(opening == Phrase::Closed);
        let speech =
            SpeechQueue::new(agent.clone(), self.services.prompts.clone(), self.meter.clone(), format.rate());
        let caller_audio = CallerAudio::new(format.rate());
        let now = Instant::now();
        let clock = Clock::starting(now);
        let settings = &self.services.media_settings;
        let addresses = MediaAddresses { ours: external_host, asterisk: peer };
        let mut talk = Talk {
            conversation,
            clock,
            agent,
            port,
            caller_audio,
            speech,
            voiced: false,
            recognising: None,
            ending: None,
            media_watch: MediaWatch::new(now, Duration::from_millis(settings.no_media_ms), addresses),
            first_sound: Some(now + Duration::from_millis(settings.first_sound_delay_ms)),
        };
        talk.handle(now, Input::Connected);
        self.talk = Some(talk);
    }

    /// The call is over in Asterisk: the conversation ends, and the record is closed.
    fn end(&mut self, end: &End) {
        let now = Instant::now();
        let mut media = None;
        let mut ending = None;
        let mut no_media = None;
        if let Some(talk) = &mut self.talk {
            talk.handle(Instant::now(), Input::CallerLeft);
            while let Some(output) = talk.conversation.poll() {
                match output {
                    Output::TurnFinished(record) => write_turn(self.records.as_ref(), &record, &self.meter),
                    Output::HangUp { ending } => talk.ending = talk.ending.or(Some(ending)),
                    _ => {}
                }
            }
            ending = talk.ending;
            let report = talk.port.report();
            no_media = talk.media_watch.missing(&report);
            media = Some(report);
        }
        self.talk = None;
        self.hang_up = None;
        let verdict = verdict(end, ending, self.refusal);
        let verdict = if let Some(cause) = no_media {
            self.fail(&format!("no media: {}", cause.as_str()));
            verdict.without_media()
        } else {
            verdict
        };
        let verdict = Verdict { sip_status: verdict.sip_status.filter(|_| self.is_sip), ..verdict };
        counter!("vca_calls_total", "disposition" => verdict.disposition).increment(1);
        info!(
            disposition = verdict.disposition,
            ended_by = %verdict.ended_by,
            cause = verdict.cause,
            seconds = self.records.as_ref().map(|log| log.lasted(now).num_milliseconds() as f64 / 1_000.0),
            mos = media.as_ref().and_then(|report| report.mos),
            lost = media.as_ref().map(|report| report.lost),
            unexpected = media.as_ref().map(|report| report.unexpected),
            "call ended"
        );
        if let End::Failed(failure) = end {
            error!(%failure, "the call broke off");
            self.fail(&failure.to_string());
        }
        if let Some(log) = &mut self.records {
            log.ended(verdict, media, &self.meter, now);
            let call = log.call();
            self.services.tenant_metrics.ended(call.tenant_id, call.status, log.talked());
        }
    }

    /// Does what the conversation asks for.
    async fn obey(&mut self, output: Output) {
        let Some(talk) = &mut self.talk else { return };
        match output {
            Output::Pipeline(command) => self.command(command),
            Output::Pause => talk.port.pause(),
            Output::Resume => talk.port.resume(),
            Output::Flush => {
                talk.speech.drop_all();
                talk.port.flush();
            }
            Output::TurnFinished(record) => self.finish_turn(&record),
            Output::HangUp { ending } => {
                talk.ending = Some(ending);
                let reason = match ending {
                    Ending::EngineFailure => Reason::Congestion,
                    _ => Reason::NormalClearing,
                };
                self.hang_up = Some((Instant::now() + LAST_WORDS, reason));
            }
        }
    }

    /// Passes a command to the engines and the agent's voice.
    fn command(&mut self, command: Command) {
        let Some(talk) = &mut self.talk else { return };
        match command {
            Command::Recognise { utterance, turn, from } => talk.recognising = Some((utterance, turn, from)),
            Command::EndUtterance { utterance, at } => {
                talk.transcribe(utterance, at, &self.meter, &mut self.tasks);
            }
            Command::Respond { turn, context } => {
                talk.respond(turn, &context, &self.meter, &mut self.tasks);
            }
            Command::Cancel { turn } => {
                self.tasks.cancel(turn);
                if talk.speech.cancel(turn) {
                    talk.port.flush();
                }
            }
            Command::Speak { speech, turn, what, held } => {
                if !talk.speech.say(speech, turn, &what, held, &mut self.tasks) {
                    let event = PlaybackEvent::Ended;
                    talk.handle(Instant::now(), Input::Playback { speech, event });
                }
            }
            Command::Release { turn } => talk.speech.release(turn),
        }
    }

    fn finish_turn(&mut self, record: &Record) {
        self.tasks.forget(record.turn);
        write_turn(self.records.as_ref(), record, &self.meter);
        let Some(talk) = &mut self.talk else { return };
        talk.caller_audio.forget_old();
        let state = state_of(talk.conversation.context());
        self.progress.send_replace((record.turn.0, state));
    }
}

/// Keeps the failure of an engine on the record.
fn note_failure(log: &mut Option<RecordWriter>, kind: EngineKind, engine: &str, error: &EngineError) {
    if let Some(log) = log {
        log.engine_failed(kind, engine, error, Instant::now());
    }
}

/// Logs events that explain a call's behaviour: another caller, or a caller on hold.
fn note(event: &Event) {
    match event {
        Event::StasisStart { channel, replaces: Some(old), .. } => {
            info!(channel = %channel.id, %old, "the caller was transferred: the call goes on with another channel");
        }
        Event::ChannelHold { .. } => info!("the caller has put the call on hold"),
        Event::ChannelUnhold { .. } => info!("the caller has taken the call back from hold"),
        _ => {}
    }
}
