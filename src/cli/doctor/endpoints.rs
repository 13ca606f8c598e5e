//! The SIP endpoints of Asterisk: does each one prove who calls, by an address or a password?

use super::Finding;
use crate::ari::answer::{Endpoint, Setting};
use crate::ari::{AriError, Client, Request};

const CHECK: &str = "sip endpoints";
/// An Asterisk with many phones is not asked about all of them.
const MOST: usize = 200;

pub async fn examine(client: &Client) -> Vec<Finding> {
    match open(client).await {
        Ok((looked_at, open)) if open.is_empty() => {
            vec![Finding::ok(CHECK, format!("each of {looked_at} is known by its address or a password"))]
        }
        Ok((_, open)) => open.iter().map(|name| finding(name)).collect(),
        // Without chan_pjsip there are none; the modules have a finding of their own.
        Err(error) if error.is_gone() => Vec::new(),
        Err(error) => vec![Finding::warn(CHECK, error, "see Asterisk's log")],
    }
}

/// How many endpoints were looked at, and those that take a caller's word for who it is.
async fn open(client: &Client) -> Result<(usize, Vec<String>), AriError> {
    let endpoints: Vec<Endpoint> = client.ask(Request::endpoints("PJSIP")).await?;
    let names: Vec<String> = endpoints.into_iter().map(|it| it.resource).take(MOST).collect();
    let (mut looked_at, mut open) = (0, Vec::new());
    for name in names {
        match client.ask::<Vec<Setting>>(Request::pjsip_endpoint(&name)).await {
            Ok(settings) => {
                looked_at += 1;
                open.extend(is_open(&settings).then_some(name));
            }
            // Removed meanwhile, or not of pjsip.conf.
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((looked_at, open))
}

/// Whether an endpoint has no `auth` and is chosen by the name in the From header (`identify_by=username`, which is part
/// of Asterisk's default).
pub(super) fn is_open(settings: &[Setting]) -> bool {
    let value = |name: &str| settings.iter().find(|it| it.attribute == name).map_or("", |it| it.value.trim());
    let by_name = value("identify_by").split(',').any(|method| method.trim() == "username");
    by_name && value("auth").is_empty()
}

fn finding(name: &str) -> Finding {
    Finding::fail(
        format!("{CHECK}: {name}"),
        format!(
            "callers whose From header says sip:{name}@… are let in, from any address and without a password"
        ),
        format!(
            "set identify_by=ip in [{name}] of pjsip.conf, then `asterisk -rx 'module reload res_pjsip.so'`"
        ),
    )
}
