//! The integration tests, in one program so that they are linked once.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests touch the world")]

mod agents;
mod allocations;
mod api;
mod backup;
mod bakery;
mod calls;
mod doctor;
mod echo;
mod end_of_turn;
mod environment;
mod failover;
mod hostile;
mod keypad;
mod life;
mod live_control;
mod mcp;
mod metrics;
mod noise;
mod pre_call;
mod routing;
#[allow(dead_code, reason = "each program uses its part")]
mod support;
mod tidy;
mod tool_calls;
mod tools;
mod transfer_ends;
mod transfer_limits;
mod transfers;
mod transport;
mod trunks;
mod unit;
mod vendors;
mod warm_transfers;
