//! A call's side of Asterisk: drives the topology machine and sends its requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::tasks::{CallTasks, TaskResult};
use crate::ari::topology::{End, Input, LegId, Output, Topology};
use crate::ari::{ChannelId, Client};

/// An event of the machine for the call.
#[derive(Debug)]
pub enum TopologyEvent {
    Ready { peer: SocketAddr },
    MediaReady { leg: LegId, peer: SocketAddr },
    LegAnswered { leg: LegId },
    LegEnded { leg: LegId, cause: Option<u16> },
    ReferFailed,
    ReferEnded,
    Ended(End),
    Done,
}

pub struct TopologyDriver {
    topology: Topology,
    client: Arc<Client>,
}

impl TopologyDriver {
    pub fn new(topology: Topology, client: Arc<Client>) -> TopologyDriver {
        TopologyDriver { topology, client }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        self.topology.handle(now, input);
    }

    pub fn next_leg(&self) -> Option<LegId> {
        self.topology.next_leg()
    }

    /// The leg of a channel of this call.
    pub fn leg_of(&self, channel: &ChannelId) -> Option<LegId> {
        self.topology.leg_of(channel)
    }

    /// The channel of a leg of this call.
    pub fn channel_of(&self, leg: LegId) -> Option<&ChannelId> {
        self.topology.channel_of(leg)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.topology.deadline()
    }

    /// The next event for the call. Sends the requests before it to Asterisk.
    pub fn next_event(&mut self, tasks: &mut CallTasks) -> Option<TopologyEvent> {
        loop {
            match self.topology.poll()? {
                Output::Send { id, request } => {
                    let client = self.client.clone();
                    tasks.start(|reports| async move {
                        let result = client.send(request).await;
                        drop(reports.send(TaskResult::Asterisk { id, result }).await);
                    });
                }
                Output::Ready { peer } => return Some(TopologyEvent::Ready { peer }),
                Output::MediaReady { leg, peer } => return Some(TopologyEvent::MediaReady { leg, peer }),
                Output::LegAnswered { leg } => return Some(TopologyEvent::LegAnswered { leg }),
                Output::LegEnded { leg, cause } => return Some(TopologyEvent::LegEnded { leg, cause }),
                Output::ReferFailed => return Some(TopologyEvent::ReferFailed),
                Output::ReferEnded => return Some(TopologyEvent::ReferEnded),
                Output::Ended(end) => return Some(TopologyEvent::Ended(end)),
                Output::Leaked { channels, bridges } => {
                    let count = channels.len() + bridges.len();
                    metrics::counter!("vca_asterisk_leaks_total").increment(count as u64);
                    tracing::error!(
                        ?channels,
                        ?bridges,
                        "Asterisk did not delete these: look with 'core show channels' and 'bridge show all'"
                    );
                }
                Output::Done => return Some(TopologyEvent::Done),
            }
        }
    }
}
