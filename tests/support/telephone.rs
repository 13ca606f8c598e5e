//! A SIP telephone that Asterisk calls: sipp signals, and where it answers a scripted person talks.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use vca::sim::{Codec, RecordedCall, RunningCaller, SimulatedCaller, Step};

use super::sandbox::{Program, RunFolder, Sandbox};
use super::sipp::media_address;
use super::{ports, wait};

const MESSAGES: &str = "messages.log";
const SEPARATOR: &str = "-----------------------------------------------";

/// How the telephone takes its only call.
#[derive(Debug, Clone)]
pub enum Habit {
    /// It answers, and the person follows the script. They hang up after this long, if the call lasts longer.
    Answers { script: Vec<Step>, hangs_up_after: Duration },
    /// It refuses with this status: 486 when it is busy, 603 when the person declines.
    Refuses(u16),
    /// It rings until the call is given up.
    Rings,
}

/// A telephone. Dropping it ends its program.
#[derive(Debug)]
pub struct Telephone {
    // Dropped in this order: the program before the folder that it runs in.
    _program: Program,
    folder: RunFolder,
    port: u16,
    person: Option<(SimulatedCaller, Vec<Step>)>,
    line: Option<RunningCaller>,
}

impl Telephone {
    /// Starts one and waits until it takes calls.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(sandbox: &Sandbox, habit: Habit) -> Telephone {
        let media = SimulatedCaller::bind(Ipv4Addr::LOCALHOST, Codec::Ulaw).expect("a free UDP port");
        let scenario = match &habit {
            Habit::Answers { hangs_up_after, .. } => answering(media.address(), *hangs_up_after),
            Habit::Refuses(status) => refusing(*status),
            Habit::Rings => ringing(),
        };
        let person = match habit {
            Habit::Answers { script, .. } => Some((media, script)),
            Habit::Refuses(_) | Habit::Rings => None,
        };
        for _ in 0..ports::TRIES {
            let folder = sandbox.run_folder("telephone");
            folder.write("call.xml", &scenario);
            let (port, control) = (ports::free(), ports::free());
            let (own, other) = (port.to_string(), control.to_string());
            let args = [
                &["-sf", "call.xml", "-i", "127.0.0.1", "-p", &own, "-cp", &other, "-m", "1", "-nostdin"][..],
                &["-trace_msg", "-message_file", MESSAGES, "-trace_err", "-error_file", "errors.log"],
            ]
            .concat();
            let mut program = sandbox.start(&folder, "sipp", &args);
            if wait::until_true(Duration::from_secs(10), || !program.is_running() || is_bound(port))
                && program.is_running()
            {
                return Telephone { _program: program, folder, port, person, line: None };
            }
            let errors = folder.read("errors.log");
            assert!(errors.contains("Address already in use"), "{errors}\n{}", folder.read("output"));
        }
        panic!("sipp found every port taken");
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Has the person begin once the telephone was called.
    pub fn step(&mut self) {
        if let Some(peer) = self.caller_media()
            && let Some((person, script)) = self.person.take()
        {
            let line = person.start(script);
            line.connect(peer);
            self.line = Some(line);
        }
    }

    /// Ends it, and returns what the person heard and said; `None` when the telephone did not answer.
    pub fn finish(mut self) -> Option<RecordedCall> {
        self.line.take().map(RunningCaller::finish)
    }

    /// sipp's log of SIP messages and its complaints.
    pub fn log(&self) -> String {
        format!("{}\n{}", self.folder.read(MESSAGES), self.folder.read("errors.log"))
    }

    /// The media address in the INVITE.
    fn caller_media(&self) -> Option<SocketAddr> {
        let log = self.folder.read(MESSAGES);
        let invite = log.split(SEPARATOR).find(|message| message.contains("INVITE sip:"))?;
        media_address(&invite.lines().map(str::trim_end).collect::<Vec<_>>())
    }
}

/// Whether a program has bound this UDP port.
fn is_bound(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.contains(&format!(":{port:04X} "))
}

fn scenario(steps: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"telephone\">\n{steps}</scenario>\n")
}

/// A response to the latest request. The headers of a response to an earlier one differ in `cseq`.
fn response(status: &str, cseq: &str, rest: &str) -> String {
    format!(
        "<send><![CDATA[\n\nSIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]t[call_number]\n\
         [last_Call-ID:]\n{cseq}\n{rest}\n\n]]></send>\n"
    )
}

const CONTACT: &str = "Contact: <sip:[local_ip]:[local_port]>\nContent-Length: 0";

fn refusing(status: u16) -> String {
    let refusal = response(&format!("{status} No"), "[last_CSeq:]", "Content-Length: 0");
    scenario(&format!("<recv request=\"INVITE\"/>\n{refusal}<recv request=\"ACK\"/>\n"))
}

fn ringing() -> String {
    let ringing = response("180 Ringing", "[last_CSeq:]", CONTACT);
    let cancelled = response("200 OK", "[last_CSeq:]", "Content-Length: 0");
    let over = response("487 Request Terminated", "CSeq: [last_cseq_number] INVITE", "Content-Length: 0");
    scenario(&format!(
        "<recv request=\"INVITE\"/>\n{ringing}<recv request=\"CANCEL\"/>\n{cancelled}{over}<recv request=\"ACK\"/>\n"
    ))
}

fn answering(media: SocketAddr, hangs_up_after: Duration) -> String {
    let ringing = response("180 Ringing", "[last_CSeq:]", CONTACT);
    let (ip, port) = (media.ip(), media.port());
    let sdp = format!(
        "Contact: <sip:[local_ip]:[local_port]>\nContent-Type: application/sdp\nContent-Length: [len]\n\n\
         v=0\no=person 1 1 IN IP4 {ip}\ns=-\nc=IN IP4 {ip}\nt=0 0\nm=audio {port} RTP/AVP 0 101\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20"
    );
    let answer = response("200 OK", "[last_CSeq:]", &sdp);
    let over = "<send next=\"2\"><![CDATA[\n\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n\
        [last_CSeq:]\nContent-Length: 0\n\n]]></send>\n";
    let hang_up = "<send retrans=\"500\"><![CDATA[\n\nBYE [next_url] SIP/2.0\n\
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nFrom:[$2];tag=[pid]t[call_number]\nTo:[$1]\n\
        Call-ID: [call_id]\nCSeq: 9 BYE\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>\n<recv response=\"200\"/>\n";
    let invite = "<recv request=\"INVITE\" rrs=\"true\"><action>\
        <ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"1\"/>\
        <ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"2\"/></action></recv>\n";
    let ms = hangs_up_after.as_millis();
    scenario(&format!(
        "{invite}{ringing}{answer}<recv request=\"ACK\"/>\n\
         <recv request=\"BYE\" timeout=\"{ms}\" ontimeout=\"1\"/>\n{over}<label id=\"1\"/>\n{hang_up}<label id=\"2\"/>\n"
    ))
}
