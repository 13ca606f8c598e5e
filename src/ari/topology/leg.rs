//! One leg: its channel, the bridge that it is in, and the bridge that it should be in.

use std::net::SocketAddr;
use std::time::Instant;

use super::contract::{DialSpec, LegId};
use super::resource::Resource;
use crate::ari::answer::AriError;
use crate::ari::ids::ChannelId;
use crate::ari::request::{NewCall, NewMedia, Request};

/// The arguments with which the channels of optional legs enter the application.
const APP_ARGS: &str = "leg";

#[derive(Debug)]
pub(super) struct CallLeg {
    pub id: LegId,
    pub channel: Resource<ChannelId>,
    pub kind: LegKind,
    /// The number of the bridge that it should be in; `None` for a leg that should be in no bridge.
    pub home: Option<usize>,
    pub placement: LegPlacement,
    pub sound: SoundState,
    pub need: LegNeed,
}

/// The sound that an arrived leg hears while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoundState {
    Silent,
    Starting,
    Playing,
    Stopping,
}

/// Whether the call needs the leg. One that is spared may end without it; one that is released is hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegNeed {
    Needed,
    Spared,
    Released,
}

#[derive(Debug)]
pub(super) enum LegKind {
    Arrived(AnswerState),
    ExternalMedia {
        host: SocketAddr,
        format: String,
        entry: StasisEntry,
        /// The source of Asterisk's RTP, once it is known.
        peer: Option<SocketAddr>,
    },
    Dialled {
        spec: DialSpec,
        entry: StasisEntry,
    },
    Snoop {
        of: ChannelId,
        entry: StasisEntry,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerState {
    Ringing,
    Requested,
    Answered,
}

/// A channel that VCA creates can be moved only once it has entered the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StasisEntry {
    Awaited,
    Entered,
}

/// Where a leg is, by the number of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LegPlacement {
    Alone,
    Joining { to: usize, from: Option<usize> },
    In(usize),
    Leaving(usize),
}

impl CallLeg {
    pub fn is_needed(&self) -> bool {
        self.need != LegNeed::Released
    }

    pub fn is_dialled(&self) -> bool {
        matches!(self.kind, LegKind::Dialled { .. })
    }

    /// The call goes on when it ends.
    pub fn is_optional(&self) -> bool {
        self.need == LegNeed::Spared || matches!(self.kind, LegKind::Dialled { .. } | LegKind::Snoop { .. })
    }

    pub fn is_arrived(&self) -> bool {
        matches!(self.kind, LegKind::Arrived(_))
    }

    /// Can its channel be moved into a bridge?
    pub fn is_ready(&self) -> bool {
        self.channel.is_present()
            && match &self.kind {
                LegKind::Arrived(_) => self.sound == SoundState::Silent,
                LegKind::ExternalMedia { entry, peer, .. } => {
                    *entry == StasisEntry::Entered && peer.is_some()
                }
                LegKind::Dialled { entry, .. } | LegKind::Snoop { entry, .. } => {
                    *entry == StasisEntry::Entered
                }
            }
    }

    /// Its channel has entered the application. Returns whether it had not before.
    pub fn entered(&mut self) -> bool {
        match &mut self.kind {
            LegKind::ExternalMedia { entry, .. }
            | LegKind::Dialled { entry, .. }
            | LegKind::Snoop { entry, .. } => {
                std::mem::replace(entry, StasisEntry::Entered) == StasisEntry::Awaited
            }
            LegKind::Arrived(_) => false,
        }
    }

    /// Is it in the bridge that it should be in, or in none?
    pub fn is_home(&self) -> bool {
        match (self.home, self.placement) {
            (Some(home), LegPlacement::In(bridge)) => home == bridge,
            (home, LegPlacement::Alone) => home.is_none(),
            _ => false,
        }
    }

    /// Should it enter this bridge now? A move that is under way has to finish first.
    pub fn should_join(&self, bridge: usize) -> bool {
        let is_still = matches!(self.placement, LegPlacement::Alone | LegPlacement::In(_));
        self.home == Some(bridge) && is_still && !self.is_home()
    }

    pub fn should_leave(&self, bridge: usize) -> bool {
        self.is_needed() && self.home.is_none() && self.placement == LegPlacement::In(bridge)
    }

    /// Is it still in a bridge that it should leave, for no other one?
    pub fn is_leaving(&self, bridge: usize) -> bool {
        let is_there =
            matches!(self.placement, LegPlacement::In(at) | LegPlacement::Leaving(at) if at == bridge);
        self.home.is_none() && is_there && !self.channel.is_settled()
    }

    pub fn should_be_answered(&self) -> bool {
        let is_ringing = matches!(self.kind, LegKind::Arrived(AnswerState::Ringing));
        is_ringing && self.home.is_some() && self.is_home()
    }

    /// The call's set-up is complete, as far as this leg is concerned.
    pub fn is_settled(&self) -> bool {
        let is_answered = match &self.kind {
            LegKind::Arrived(state) => *state == AnswerState::Answered,
            LegKind::ExternalMedia { .. } | LegKind::Dialled { .. } | LegKind::Snoop { .. } => true,
        };
        self.is_ready() && self.is_home() && is_answered
    }

    pub fn joining(&mut self, bridge: usize) {
        let from = match self.placement {
            LegPlacement::In(bridge) => Some(bridge),
            _ => None,
        };
        self.placement = LegPlacement::Joining { to: bridge, from };
    }

    /// The move into a bridge failed, or its result does not apply any more.
    pub fn join_failed(&mut self) {
        if let LegPlacement::Joining { from, .. } = self.placement {
            self.placement = from.map_or(LegPlacement::Alone, LegPlacement::In);
        }
    }

    /// The removal from a bridge has no result.
    pub fn leave_forgotten(&mut self) {
        if let LegPlacement::Leaving(bridge) = self.placement {
            self.placement = LegPlacement::In(bridge);
        }
    }

    /// The request that creates its channel, for one that does not arrive by itself.
    pub fn creation(&self, app: &str) -> Option<Request> {
        match &self.kind {
            LegKind::Arrived(_) => None,
            LegKind::ExternalMedia { host, format, .. } => Some(Request::external_media(&NewMedia {
                channel_id: &self.channel.id,
                app,
                external_host: *host,
                format,
            })),
            LegKind::Dialled { spec, .. } => Some(Request::originate(&NewCall {
                channel_id: &self.channel.id,
                other_channel_id: None,
                endpoint: &spec.endpoint,
                caller_id: &spec.caller_id,
                app,
                app_args: APP_ARGS,
                timeout_s: u32::try_from(spec.timeout.as_secs()).unwrap_or(u32::MAX),
                variables: &spec.variables,
            })),
            LegKind::Snoop { of, .. } => Some(Request::snoop(of, &self.channel.id, app, APP_ARGS)),
        }
    }

    /// The result of the request that creates an optional leg. Returns whether a dialled one has ended with it: Asterisk refuses
    /// endpoints that do not exist or cannot be reached.
    pub fn created(&mut self, now: Instant, result: &Result<(), AriError>) -> bool {
        // Its end may have been reported before the result.
        let is_reported = self.channel.is_settled() || !self.is_needed();
        self.channel.creation_finished(now, result);
        let is_refused = matches!(result, Err(AriError::Status { .. })) || self.channel.is_absent();
        if is_refused && self.channel.is_absent() {
            self.ended();
        } else if is_refused {
            self.need = LegNeed::Released;
        }
        is_refused && !is_reported && self.is_unanswered()
    }

    /// It was dialled and has not been answered.
    fn is_unanswered(&self) -> bool {
        matches!(self.kind, LegKind::Dialled { entry: StasisEntry::Awaited, .. })
    }

    /// Is it out of all bridges, and not about to enter one?
    pub fn is_apart(&self) -> bool {
        self.home.is_none() && self.placement == LegPlacement::Alone
    }

    /// Hangs it up, because it cannot be moved. Returns false for one that has ended or is hung up already.
    pub fn give_up(&mut self) -> bool {
        let is_there = self.is_needed() && !self.channel.is_settled();
        if is_there {
            self.need = LegNeed::Released;
        }
        is_there
    }

    /// Its channel has ended.
    pub fn ended(&mut self) {
        self.channel.gone();
        self.placement = LegPlacement::Alone;
    }
}

/// Notes the move of legs. Returns their ids and channels.
pub(super) fn moved<'a>(
    legs: impl Iterator<Item = &'a mut CallLeg>,
    note: impl Fn(&mut CallLeg),
) -> (Vec<LegId>, Vec<&'a ChannelId>) {
    legs.map(|leg| {
        note(leg);
        (leg.id, &leg.channel.id)
    })
    .unzip()
}
