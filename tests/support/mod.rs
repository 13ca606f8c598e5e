//! What the integration tests and the demo stand on: a real Asterisk, real SIP calls, real speech.
//!
//! Programs come from the sandbox, a Debian root directory that `./dev` makes (`VCA_TEST_SANDBOX` names it).
//! Only `vca` knows the daemon.

pub mod asterisk;
pub mod authority;
pub mod clips;
pub mod documentation;
pub mod fault_proxy;
pub mod http;
pub mod labelled;
pub mod mcp_bakery;
pub mod mcp_everything;
pub mod namespace;
pub mod phone;
pub mod ports;
pub mod postgres;
pub mod receiver;
pub mod redis;
pub mod sandbox;
pub mod seed;
pub mod sipp;
pub mod telephone;
pub mod test_env;
pub mod vca;
pub mod vendor;
pub mod wait;

use std::path::PathBuf;

/// The sandbox's path; `None`, after a word on stderr, where there is none and none is demanded.
///
/// # Panics
/// When `VCA_TEST_REQUIRE` is set and there is no sandbox: then a test that is not run is a failure.
pub fn sandbox() -> Option<sandbox::Sandbox> {
    let path = std::env::var_os("VCA_TEST_SANDBOX").map(PathBuf::from).filter(|path| path.is_dir());
    if let Some(path) = path {
        return Some(sandbox::Sandbox::new(path));
    }
    assert!(
        std::env::var_os("VCA_TEST_REQUIRE").is_none(),
        "VCA_TEST_SANDBOX names no sandbox: run `./dev test`, which makes one"
    );
    eprintln!("skipped: it needs the sandbox; `./dev test` makes one");
    None
}

/// The folder of programs for Python and Node that `./dev` installs by the lists in `tests/clients`; `None`, after a word on
/// stderr, where it is not named and not demanded.
///
/// # Panics
/// When `VCA_TEST_REQUIRE` is set and `VCA_TEST_API_TOOLS` is not.
pub fn api_tools() -> Option<PathBuf> {
    let named = std::env::var_os("VCA_TEST_API_TOOLS").map(PathBuf::from);
    if named.is_none() {
        assert!(std::env::var_os("VCA_TEST_REQUIRE").is_none(), "VCA_TEST_API_TOOLS is not set");
        eprintln!("skipped: VCA_TEST_API_TOOLS is not set");
    }
    named
}
