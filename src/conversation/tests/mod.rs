//! Conversations as scripts, see [`script`], and as random noise, see [`invariants`].

#![allow(clippy::disallowed_methods, reason = "a test needs some moment to count from")]

mod actions;
mod agents;
mod background;
mod background_tools;
mod barge_in;
mod collection;
mod courtesies;
mod emergency;
mod endings;
mod endpointing;
mod failures;
mod fillers;
mod greeting;
mod hold;
mod invariants;
mod judged_end;
mod keys;
mod late_words;
mod leaving;
mod limits;
mod menus;
mod noise;
mod operator;
mod operator_notes;
mod partials;
mod script;
mod segments;
mod sound;
mod spoken;
mod stages;
mod story;
mod survey;
mod synthesis;
mod tools;
mod waiting;

/// The level of a caller's voice, in dBov.
const LEVEL: i8 = -20;
