//! The transfer that the caller's side is asked for: SIP REFER.

use super::arrangement::Arrangement;
use super::contract::Output;
use super::leg::CallLeg;
use super::requests::{RequestQueue, TopologyStep};
use crate::ari::answer::AriError;
use crate::ari::ids::ChannelId;
use crate::ari::request::Request;

/// A transfer that the caller's side was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReferralState {
    /// There is none, or its end is known.
    Settled,
    UnderWay,
}

impl Arrangement {
    /// Has the caller's side asked to connect a URI, once the caller is in no group.
    pub fn refer(&mut self, uri: String) {
        self.refer = Some(uri);
    }

    /// The caller's side was asked. Asterisk plays the silence that is requested now once it knows the outcome.
    pub fn referred(&mut self, result: Result<(), AriError>, requests: &mut RequestQueue) {
        let Some(caller) = self.legs.first() else { return };
        match result {
            Ok(()) => {
                self.referral = ReferralState::UnderWay;
                requests.send(TopologyStep::AwaitReferral, Request::play_silence(&caller.channel.id));
            }
            Err(_) => requests.emit(Output::ReferFailed),
        }
    }

    /// A sound begins for this channel: the transfer that its side was asked for is over.
    pub fn playback_started(&mut self, channel: &ChannelId, requests: &mut RequestQueue) {
        let is_caller = self.legs.first().is_some_and(|caller| caller.channel.id == *channel);
        if is_caller && self.referral == ReferralState::UnderWay {
            self.referral = ReferralState::Settled;
            requests.emit(Output::ReferEnded);
        }
    }

    pub fn send_refer(&mut self, requests: &mut RequestQueue) {
        let is_apart = |leg: &CallLeg| leg.is_apart() && leg.is_ready();
        let Some(caller) = self.legs.first().filter(|leg| is_apart(leg)) else { return };
        if let Some(uri) = self.refer.take() {
            requests.send(TopologyStep::Refer, Request::redirect(&caller.channel.id, &uri));
        }
    }
}
