//! The sound that callers hear who wait outside of all bridges.

use super::arrangement::Arrangement;
use super::contract::{LegId, WaitingSound};
use super::leg::SoundState;
use super::requests::{RequestQueue, TopologyStep};
use crate::ari::ids::ChannelId;
use crate::ari::request::Request;

impl Arrangement {
    /// Starts and stops the sound for callers who wait. It stops before they enter a bridge: the bridge's audio would end it.
    pub fn play_sounds(&mut self, requests: &mut RequestQueue) {
        for leg in self.legs.iter_mut().filter(|leg| leg.is_arrived()) {
            let wanted = self.waiting.as_ref().filter(|_| leg.is_apart());
            let id = &leg.channel.id;
            match (leg.sound, wanted) {
                (SoundState::Silent, Some(sound)) => {
                    leg.sound = SoundState::Starting;
                    self.is_music = matches!(sound, WaitingSound::Music(_));
                    requests.send(TopologyStep::StartSound(leg.id), start_sound(id, sound));
                }
                (SoundState::Playing, None) => {
                    leg.sound = SoundState::Stopping;
                    requests.send(TopologyStep::StopSound(leg.id), stop_sound(id, self.is_music));
                }
                _ => {}
            }
        }
    }

    /// A sound that does not start is missed by the caller, and nothing else.
    pub fn sound_changed(&mut self, id: LegId) {
        let Some(leg) = self.leg(id) else { return };
        leg.sound = match leg.sound {
            SoundState::Starting => SoundState::Playing,
            _ => SoundState::Silent,
        };
    }
}

fn start_sound(channel: &ChannelId, sound: &WaitingSound) -> Request {
    match sound {
        WaitingSound::Ringing => Request::ring(channel),
        WaitingSound::Music(class) => Request::start_music(channel, class),
    }
}

fn stop_sound(channel: &ChannelId, is_music: bool) -> Request {
    if is_music { Request::stop_music(channel) } else { Request::stop_ringing(channel) }
}
