//! Conversations as scripts, see [`script`], and as random noise, see [`invariants`].

#![allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]

mod agents;
mod background;
mod barge_in;
mod courtesies;
mod emergency;
mod endings;
mod endpointing;
mod failures;
mod greeting;
mod hold;
mod invariants;
mod keys;
mod late_words;
mod leaving;
mod limits;
mod noise;
mod operator;
mod partials;
mod script;
mod segments;
mod sound;
mod stages;
mod story;
mod survey;
mod tools;
mod waiting;

/// The level of a caller's voice, in dBov.
const LEVEL: i8 = -20;
