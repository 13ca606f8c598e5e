//! Real calls: sipp dials, Asterisk routes, the built `vca` answers, and the caller's RTP is measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use vca::sim::conversation::percentile;
use vca::sim::{Codec, Step};
use vca::tenancy::{CallStatus, EndedBy, TenantId, TenantStatus};

use crate::support::asterisk::{Asterisk, Options};
use crate::support::office::{Office, local_agent, local_agent_with};
use crate::support::phone::{self, Call, Plan, Report};
use crate::support::sipp::Side;
use crate::support::vca::{Daemon, Vca};
use crate::support::{self, clips, wait};

const MAIN: &str = "+49305550100";
const UNKNOWN: &str = "+49305550999";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Asterisk, a daemon and its database.
struct House {
    asterisk: Asterisk,
    daemon: Daemon,
    office: Office,
    folder: PathBuf,
    main: TenantId,
}

impl House {
    /// A daemon whose main tenant has `agent`; `prepare` may add others.
    fn open(agent: serde_json::Value, prepare: impl FnOnce(&Office)) -> Option<House> {
        let sandbox = support::sandbox()?;
        let folder = std::env::temp_dir().join(format!("vca-calls-{:016x}", rand::random::<u64>()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let asterisk = Asterisk::start(&sandbox, Options::default());
        let office = Office::open(&folder);
        let main = office.tenant("main", MAIN, None, agent);
        prepare(&office);
        let vca = Vca::new(Path::new(env!("CARGO_BIN_EXE_vca")), &folder, &asterisk);
        let daemon = vca.serve().unwrap_or_else(|fault| panic!("{fault}"));
        Some(House { asterisk, daemon, office, folder, main })
    }

    fn dial(&self, to: &str, codec: Codec, script: Vec<Step>) -> Report {
        phone::call(&self.asterisk, Plan::new(to, codec, script))
    }

    /// What the daemon logged so far, for a failing test.
    fn log(&self) -> String {
        self.daemon.log.try_iter().map(|line| format!("{line}\n")).collect()
    }

    /// Nothing is left in Asterisk, and the last record is written.
    fn comes_to_rest(&self) {
        self.asterisk.becomes_idle(ms(5_000)).unwrap_or_else(|left| panic!("{left}\n{}", self.log()));
        let over = |status| !matches!(status, CallStatus::Ringing | CallStatus::Answered);
        wait::until_true(ms(5_000), || {
            self.office.calls(self.main).iter().all(|(call, _)| over(call.status))
        });
    }

    fn last_call(&self, tenant: TenantId) -> (vca::tenancy::Call, Vec<vca::tenancy::CallTurn>) {
        self.comes_to_rest();
        self.office.calls(tenant).pop().unwrap_or_else(|| panic!("no call on record\n{}", self.log()))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn listen() -> Step {
    Step::Listen { silent: ms(700), at_most: ms(12_000) }
}

fn say(text: &str) -> Step {
    Step::Say(clips::flite(text, "slt"))
}

fn question() -> Step {
    say("what are your opening hours")
}

#[test]
fn a_call_is_greeted_understood_and_answered_over_each_codec() {
    let Some(house) = House::open(local_agent(), |_| {}) else { return };
    house.asterisk.cli("rtp set debug on"); house.asterisk.cli("core set verbose 5"); house.asterisk.cli("core set debug 6");
    for codec in [Codec::Opus, Codec::Slin16] {
        let report = house.dial(MAIN, codec, vec![listen(), question(), listen(), Step::HangUp]);
        assert_eq!(report.status, Some(200), "{codec:?}\n{}\n{}", report.log, house.log());
        report.conversation.write_wav(Path::new(&format!("/work/lab/{codec:?}.wav"))).unwrap();
        eprintln!("{codec:?} packets {} lost {} agent {:?}", report.conversation.packets, report.conversation.lost, report.conversation.agent());
        std::fs::write("/work/lab/ast.log", house.asterisk.log()).unwrap();
        assert!(
            report.conversation.missed.is_empty(),
            "{codec:?}: {:?}\n{}",
            report.conversation.missed,
            house.log()
        );
        let (call, turns) = house.last_call(house.main);
        assert_eq!((call.status, call.ended_by), (CallStatus::Completed, Some(EndedBy::Caller)), "{codec:?}");
        let words: Vec<_> = turns.iter().map(|turn| turn.caller_text.as_str()).collect();
        assert!(words.contains(&"what are your opening hours"), "{codec:?}: heard {words:?}");
        println!("{codec:?}: {:?} {:?}", report.answer_to_first_voice(), report.conversation.responses());
    }
}
