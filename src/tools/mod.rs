//! The tools that an agent may call: their specifications, their arguments, and the runner.
//!
//! A [`Toolbox`] has the tools of one agent. It offers them to the model and reads the model's calls; the conversation decides
//! when a call is carried out (`conversation::acting`). A [`Runner`] belongs to one call and runs tools in tasks of their own.
//!
//! A model's text is data: the names and arguments that it chooses are checked here before anything uses them, and a refusal is
//! text that the model reads.

mod arguments;
mod builtin;
mod http;
mod mcp;
mod reply;
mod resolver;
mod runner;
mod services;
mod static_values;
mod switching;
#[cfg(test)]
mod tests;
mod toolbox;
mod transfer;
mod trial;

pub use builtin::Remembered;
pub use mcp::McpToolListing;
pub use resolver::resolve;
pub use runner::{CallOf, Finished, Runner};
pub use services::{Secrets, Settings, ToolServices};
pub use toolbox::{McpProblem, Reading, Toolbox};
pub use transfer::{TargetChoice, TargetTools};
pub use trial::{McpServerListing, ToolTrial, list_mcp_server, try_mcp_tool, try_out};
