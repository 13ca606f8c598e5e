//! The SIP headers of a call, which Asterisk reads from its INVITE.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::{Agent, CallServices, IncomingCall};
use crate::ari::answer::ChannelVariable;
use crate::ari::{ChannelId, Client, Request};

/// The longest value of a SIP header that is read, in characters.
const LONGEST_HEADER: usize = 1_000;

/// The values of the SIP headers of a call that the operator trusts, by their names in lower case.
pub async fn trusted_headers(
    services: &CallServices,
    incoming: &IncomingCall,
    agent: &Agent,
) -> HashMap<String, String> {
    let is_trusted = agent.trusts(incoming.trunk.as_deref());
    let names = if is_trusted { agent.trusted_headers.to_vec() } else { Vec::new() };
    headers(&services.asterisk, &incoming.channel, names).await
}

/// The values of headers of a SIP call, by their names in lower case. Those that it does not have are absent.
pub async fn headers(asterisk: &Client, channel: &ChannelId, names: Vec<String>) -> HashMap<String, String> {
    let values = names.into_iter().map(async |name| {
        let request = Request::variable(channel, &format!("PJSIP_HEADER(read,{name})"));
        let answer = asterisk.ask(request).await;
        let value = answer.ok().map(|ChannelVariable { value }| value)?;
        Some((name.to_lowercase(), value.chars().take(LONGEST_HEADER).collect()))
    });
    join_all(values).await.into_iter().flatten().collect()
}
