//! The legs and bridges of a call, and the requests that lead from their state to the wanted one.
//!
//! Each group of several legs has a bridge. A bridge stays until the call ends, so that legs that part and meet again
//! find it. A leg's requests follow each other: create, join, answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::TEARDOWN_LIMIT;
use super::bridge::MixingBridge;
use super::contract::{End, Failure, LegId, LegSpec, Output, SetUpStage, WaitingSound, Wanted};
use super::leg::{AnswerState, CallLeg, LegKind, LegNeed, LegPlacement, SoundState, StasisEntry, moved};
use super::object_ids::{bridge_id, leg_id, media_id};
use super::referral::ReferralState;
use super::requests::{RequestQueue, TopologyStep};
use super::resource::Resource;
use crate::ari::answer::{AriError, ExternalMedia};
use crate::ari::ids::ChannelId;
use crate::ari::request::{Reason, Request};

/// More legs are not added.
pub(super) const MAX_LEGS: u8 = 16;

#[derive(Debug)]
pub(super) struct Arrangement {
    app: String,
    call_id: String,
    pub legs: Vec<CallLeg>,
    pub bridges: Vec<MixingBridge>,
    /// For callers who wait.
    pub waiting: Option<WaitingSound>,
    /// The latest sound that was started is music.
    pub is_music: bool,
    /// The URI that the caller's side is to be asked to connect.
    pub refer: Option<String>,
    pub referral: ReferralState,
}

impl Arrangement {
    pub fn new(app: &str, call_id: &str) -> Arrangement {
        Arrangement {
            app: app.to_owned(),
            call_id: call_id.to_owned(),
            legs: vec![],
            bridges: vec![],
            waiting: None,
            is_music: false,
            refer: None,
            referral: ReferralState::Settled,
        }
    }

    pub fn leg(&mut self, id: LegId) -> Option<&mut CallLeg> {
        self.legs.get_mut(usize::from(id.0))
    }

    pub fn leg_of(&mut self, channel: &ChannelId) -> Option<&mut CallLeg> {
        self.legs.iter_mut().find(|leg| leg.channel.id == *channel)
    }

    /// Adds a leg, which is in no group yet.
    pub fn add(&mut self, now: Instant, spec: LegSpec) {
        let is_spared = matches!(spec, LegSpec::FurtherMedia { .. });
        let Some(id) = u8::try_from(self.legs.len()).ok().filter(|id| *id < MAX_LEGS) else {
            return tracing::error!("a call has too many legs");
        };
        let id = LegId(id);
        let (channel, kind) = match spec {
            LegSpec::Arrived(channel) => {
                (Resource::present(channel, now), LegKind::Arrived(AnswerState::Ringing))
            }
            LegSpec::ExternalMedia { host, format } | LegSpec::FurtherMedia { host, format } => {
                let channel = if is_spared { leg_id(&self.call_id, id) } else { self.new_media_id(id) };
                let kind = LegKind::ExternalMedia { host, format, entry: StasisEntry::Awaited, peer: None };
                (Resource::absent(channel), kind)
            }
            LegSpec::Dial(spec) => {
                let kind = LegKind::Dialled { spec, entry: StasisEntry::Awaited };
                (Resource::absent(leg_id(&self.call_id, id)), kind)
            }
            LegSpec::Snoop { of } => {
                let Some(heard) = self.leg(of) else {
                    return tracing::error!("the leg to snoop on is missing");
                };
                let kind = LegKind::Snoop { of: heard.channel.id.clone(), entry: StasisEntry::Awaited };
                (Resource::absent(leg_id(&self.call_id, id)), kind)
            }
        };
        self.legs.push(CallLeg {
            id,
            channel,
            kind,
            home: None,
            placement: LegPlacement::Alone,
            sound: SoundState::Silent,
            need: if is_spared { LegNeed::Spared } else { LegNeed::Needed },
        });
    }

    fn new_media_id(&self, leg: LegId) -> ChannelId {
        let first = media_id(&self.call_id);
        match self.legs.iter().any(|leg| leg.channel.id == first) {
            true => ChannelId::new(&format!("{first}.{}", leg.0)),
            false => first,
        }
    }

    /// Assigns a bridge to each group of several legs: the free one that has the most of its legs already.
    pub fn want(&mut self, wanted: &Wanted) {
        self.waiting = wanted.waiting.clone();
        self.refer = None;
        self.referral = ReferralState::Settled;
        self.legs.iter_mut().for_each(|leg| leg.home = None);
        let mut taken = BTreeSet::new();
        for group in wanted.groups.iter().filter(|group| group.len() > 1) {
            let members = |bridge: usize| {
                let is_member = |leg: &&CallLeg| leg.placement == LegPlacement::In(bridge);
                self.legs.iter().filter(|leg| group.contains(&leg.id)).filter(is_member).count()
            };
            let free = (0..=self.bridges.len()).filter(|bridge| !taken.contains(bridge));
            // Of several the first, which an iteration from the end finds last.
            let Some(home) = free.rev().max_by_key(|bridge| members(*bridge)) else { continue };
            taken.insert(home);
            if home == self.bridges.len() {
                self.bridges.push(MixingBridge::absent(bridge_id(&self.call_id, home)));
            }
            let legs = self.legs.iter_mut().filter(|leg| group.contains(&leg.id));
            legs.for_each(|leg| leg.home = Some(home));
        }
    }

    /// Hangs up a leg that VCA created. It is in no group any more.
    pub fn release(&mut self, id: LegId) {
        if let Some(leg) = self.leg(id).filter(|leg| !leg.is_arrived()) {
            leg.need = LegNeed::Released;
            leg.home = None;
        }
    }

    /// The call goes on when this leg ends, which VCA created.
    pub fn spare(&mut self, id: LegId) {
        if let Some(leg) = self.leg(id).filter(|leg| !leg.is_arrived() && leg.is_needed()) {
            leg.need = LegNeed::Spared;
        }
    }

    /// The next leg's id; `None` when there are too many.
    pub fn next_leg(&self) -> Option<LegId> {
        u8::try_from(self.legs.len()).ok().filter(|id| *id < MAX_LEGS).map(LegId)
    }

    /// Sends the requests that are possible now.
    pub fn advance(&mut self, now: Instant, requests: &mut RequestQueue) {
        self.create(requests);
        self.hang_up_released(now, requests);
        self.leave(requests);
        self.play_sounds(requests);
        self.send_refer(requests);
        self.join(now, requests);
        self.answer(requests);
    }

    fn create(&mut self, requests: &mut RequestQueue) {
        for leg in self.legs.iter_mut().filter(|leg| leg.channel.is_absent()) {
            let Some(request) = leg.creation(&self.app) else { continue };
            leg.channel.creation_requested();
            requests.send(TopologyStep::CreateLeg(leg.id), request);
        }
        for (number, bridge) in self.bridges.iter_mut().enumerate() {
            if bridge.resource.is_absent() {
                bridge.resource.creation_requested();
                requests
                    .send(TopologyStep::CreateBridge(number), Request::create_bridge(&bridge.resource.id));
            }
        }
    }

    fn hang_up_released(&mut self, now: Instant, requests: &mut RequestQueue) {
        for leg in self.legs.iter_mut().filter(|leg| !leg.is_needed()) {
            if leg.channel.take_deletion(now, now + TEARDOWN_LIMIT) {
                let request = Request::hang_up(&leg.channel.id, Reason::NormalClearing);
                requests.send(TopologyStep::DeleteLeg(leg.id), request);
            }
        }
    }

    fn leave(&mut self, requests: &mut RequestQueue) {
        for (number, bridge) in self.bridges.iter().enumerate() {
            let leaving = self.legs.iter_mut().filter(|leg| leg.should_leave(number));
            let (legs, channels) = moved(leaving, |leg| leg.placement = LegPlacement::Leaving(number));
            if !legs.is_empty() {
                let request = Request::remove_from_bridge(&bridge.resource.id, &channels);
                requests.send(TopologyStep::Leave { bridge: number, legs }, request);
            }
        }
    }

    /// A group joins once all of its legs are ready and those that part from them have left the bridge, so that nothing is heard
    /// by one of them alone or by a leg of another group.
    fn join(&mut self, now: Instant, requests: &mut RequestQueue) {
        for (number, bridge) in self.bridges.iter_mut().enumerate() {
            let is_ready = self.legs.iter().filter(|leg| leg.home == Some(number)).all(CallLeg::is_ready);
            let is_vacated = !self.legs.iter().any(|leg| leg.is_leaving(number));
            if !bridge.may_join(now) || !is_ready || !is_vacated {
                continue;
            }
            let joining = self.legs.iter_mut().filter(|leg| leg.should_join(number));
            let (legs, channels) = moved(joining, |leg| leg.joining(number));
            if !legs.is_empty() {
                bridge.join_requested();
                let request = Request::add_to_bridge(&bridge.resource.id, &channels);
                requests.send(TopologyStep::Join { bridge: number, legs }, request);
            }
        }
    }

    fn answer(&mut self, requests: &mut RequestQueue) {
        for leg in self.legs.iter_mut().filter(|leg| leg.should_be_answered()) {
            leg.kind = LegKind::Arrived(AnswerState::Requested);
            requests.send(TopologyStep::Answer(leg.id), Request::answer(&leg.channel.id));
        }
    }

    /// Asterisk's media address, once the wanted state is reached and arrived channels are answered.
    pub fn settled(&self) -> Option<SocketAddr> {
        let peer = self.legs.iter().find_map(|leg| match leg.kind {
            LegKind::ExternalMedia { peer, .. } => peer,
            LegKind::Arrived(_) | LegKind::Dialled { .. } | LegKind::Snoop { .. } => None,
        });
        peer.filter(|_| self.legs.iter().all(CallLeg::is_settled))
    }

    pub fn stage(&self) -> SetUpStage {
        let bridges_exist = self.bridges.iter().all(|bridge| bridge.resource.is_present());
        if !bridges_exist || !self.legs.iter().all(CallLeg::is_ready) {
            SetUpStage::Creation
        } else if self.legs.iter().all(CallLeg::is_home) {
            SetUpStage::Answering
        } else {
            SetUpStage::Joining
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let released = self.legs.iter().filter(|leg| !leg.is_needed());
        let deletions = released.filter_map(|leg| leg.channel.deadline());
        self.bridges.iter().filter_map(MixingBridge::deadline).chain(deletions).min()
    }

    pub fn leg_created(
        &mut self,
        now: Instant,
        id: LegId,
        result: Result<Value, AriError>,
        requests: &mut RequestQueue,
    ) -> Result<(), End> {
        let Some(leg) = self.leg(id) else { return Ok(()) };
        if leg.is_optional() {
            let created = result.as_ref().map(drop).map_err(Clone::clone);
            if leg.created(now, &created) {
                requests.emit(Output::LegEnded { leg: id, cause: None });
            }
            if let (LegKind::ExternalMedia { peer, .. }, Ok(answer)) = (&mut leg.kind, result) {
                *peer = ExternalMedia::deserialize(answer).ok().map(|media| media.local);
                if let Some(peer) = *peer {
                    requests.emit(Output::MediaReady { leg: id, peer });
                }
            }
            return Ok(());
        }
        leg.channel.creation_finished(now, &result.as_ref().map(drop).map_err(Clone::clone));
        let media = result.and_then(|answer| {
            ExternalMedia::deserialize(answer).map_err(|_| AriError::Decode("no address of its RTP"))
        });
        let media = media.map_err(|error| failed(SetUpStage::Creation, error))?;
        if let LegKind::ExternalMedia { peer, .. } = &mut leg.kind {
            *peer = Some(media.local);
        }
        Ok(())
    }

    pub fn bridge_created(
        &mut self,
        now: Instant,
        number: usize,
        result: Result<(), AriError>,
    ) -> Result<(), End> {
        if let Some(bridge) = self.bridges.get_mut(number) {
            bridge.resource.creation_finished(now, &result);
        }
        result.map_err(|error| failed(SetUpStage::Creation, error))
    }

    /// A refusal may be due to a channel that is not yet, or no longer, in the application. That event arrives on
    /// another connection, so it has a moment before an optional leg counts as ended, or the call fails without one.
    pub fn joined(
        &mut self,
        now: Instant,
        number: usize,
        legs: &[LegId],
        result: Result<(), AriError>,
        requests: &mut RequestQueue,
    ) -> Result<(), End> {
        let Some(bridge) = self.bridges.get_mut(number) else { return Ok(()) };
        let joined = self.legs.iter_mut().filter(|leg| legs.contains(&leg.id));
        let Err(error) = result else {
            bridge.join_finished();
            joined.for_each(|leg| leg.placement = LegPlacement::In(number));
            return Ok(());
        };
        joined.for_each(CallLeg::join_failed);
        if is_refusal(&error) && bridge.retry_join(now) {
            return Ok(());
        }
        let optional = self.legs.iter_mut().find(|leg| leg.is_optional() && legs.contains(&leg.id));
        let Some(leg) = optional.filter(|_| is_refusal(&error)) else {
            return Err(failed(SetUpStage::Joining, error));
        };
        bridge.join_finished();
        if leg.give_up() && leg.is_dialled() {
            requests.emit(Output::LegEnded { leg: leg.id, cause: None });
        }
        Ok(())
    }

    /// A refusal shows that the legs are in the bridge no more.
    pub fn left(&mut self, legs: &[LegId], result: Result<(), AriError>) -> Result<(), End> {
        if let Err(error) = result.as_ref()
            && !is_refusal(error)
        {
            return Err(failed(SetUpStage::Joining, error.clone()));
        }
        let left = self.legs.iter_mut().filter(|leg| legs.contains(&leg.id));
        left.for_each(|leg| leg.placement = LegPlacement::Alone);
        Ok(())
    }

    pub fn answered(&mut self, id: LegId, result: Result<(), AriError>) -> Result<(), End> {
        let Some(leg) = self.leg(id) else { return Ok(()) };
        match result {
            Ok(()) => {
                leg.kind = LegKind::Arrived(AnswerState::Answered);
                Ok(())
            }
            // 404: it is no more. 409: it is not in the application any more.
            Err(AriError::Status { code: 404 | 409, .. }) => {
                leg.channel.gone();
                Err(End::CallerLeft { cause: None, sip_status: None })
            }
            Err(error) => Err(failed(SetUpStage::Answering, error)),
        }
    }

    /// A leg continues on another channel, which Asterisk puts into the bridge by itself. Returns the former one.
    pub fn replace_channel(
        &mut self,
        now: Instant,
        id: LegId,
        channel: ChannelId,
        requests: &mut RequestQueue,
    ) -> Option<ChannelId> {
        for step in requests.forget(id) {
            self.forget(&step);
        }
        let leg = self.leg(id)?;
        // The new channel hears no sound yet.
        leg.sound = SoundState::Silent;
        if matches!(leg.kind, LegKind::Arrived(AnswerState::Requested)) {
            leg.kind = LegKind::Arrived(AnswerState::Ringing);
        }
        Some(std::mem::replace(&mut leg.channel, Resource::present(channel, now)).id)
    }

    /// Returns legs to the state before a move that has no result, so that it is requested again.
    fn forget(&mut self, step: &TopologyStep) {
        let (TopologyStep::Join { legs, .. } | TopologyStep::Leave { legs, .. }) = step else { return };
        for leg in self.legs.iter_mut().filter(|leg| legs.contains(&leg.id)) {
            leg.join_failed();
            leg.leave_forgotten();
        }
        if let TopologyStep::Join { bridge, .. } = step
            && let Some(bridge) = self.bridges.get_mut(*bridge)
        {
            bridge.join_forgotten();
        }
    }
}

/// Of a request that moves legs: a channel or the bridge is missing, or not in the application.
fn is_refusal(error: &AriError) -> bool {
    matches!(error, AriError::Status { code: 400 | 404 | 409 | 422, .. })
}

fn failed(stage: SetUpStage, error: AriError) -> End {
    End::Failed(Failure::Step { stage, error })
}
