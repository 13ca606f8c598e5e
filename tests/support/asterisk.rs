//! An Asterisk of one's own: a small PBX (`tests/support/asterisk`), beside which `asterisk/install.sh` installs the files of
//! `asterisk/`, with free ports and folders of its own. Any number may run side by side.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::authority::Issued;
use super::sandbox::{Program, RunFolder, Sandbox};
use super::{documentation, http, ports, wait};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const RTP_PORTS: u16 = 600;
/// What the package installs beside its programs, as seen from inside.
const DATA: &str = "/usr/share/asterisk";
const DOCUMENTATION: &str = "documentation";
const DOCUMENTED: &str = "core-en_US.xml";

/// Files that Asterisk misses loudly and that may be empty.
const EMPTY_FILES: [&str; 9] =
    ["acl", "ccss", "cdr", "cel", "features", "indications", "pjproject", "udptl", "websocket_client"];

#[derive(Debug, Clone)]
pub struct Options {
    /// The address that SIP and RTP bind to. Anything but loopback is for a person's softphone.
    pub bind: Ipv4Addr,
    /// SIP port; a free one when absent.
    pub sip_port: Option<u16>,
    /// Calls from here come over `vca-trunk`: ulaw and alaw.
    pub trunk: Ipv4Addr,
    /// Calls from here come over a trunk that carries opus, slin16 and g722 as well.
    pub wideband_trunk: Ipv4Addr,
    /// Calls from here come over `twilio-trunk`.
    pub twilio: Ipv4Addr,
    /// Calls from here come over `telnyx-trunk`.
    pub telnyx: Ipv4Addr,
    /// Calls from here report keys by SIP INFO.
    pub info_trunk: Ipv4Addr,
    /// Calls from here report keys by tones in their audio.
    pub inband_trunk: Ipv4Addr,
    /// The name of a softphone's account. Its password is made at the start.
    pub phone: String,
    /// The certificate of an HTTPS server beside the HTTP one; none when absent.
    pub certificate: Option<Issued>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            bind: Ipv4Addr::LOCALHOST,
            sip_port: None,
            trunk: Ipv4Addr::LOCALHOST,
            wideband_trunk: Ipv4Addr::new(127, 0, 0, 2),
            twilio: Ipv4Addr::new(127, 0, 0, 3),
            telnyx: Ipv4Addr::new(127, 0, 0, 4),
            info_trunk: Ipv4Addr::new(127, 0, 0, 5),
            inband_trunk: Ipv4Addr::new(127, 0, 0, 6),
            phone: "phone".to_owned(),
            certificate: None,
        }
    }
}

/// Why it did not start.
#[derive(Debug)]
enum Failed {
    PortTaken,
    /// With the end of its log.
    NotReady(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::PortTaken => f.write_str("a port is taken"),
            Failed::NotReady(log) => f.write_str(log),
        }
    }
}

/// A running Asterisk; stopped, and its folder deleted, when dropped.
#[derive(Debug)]
pub struct Asterisk {
    // Dropped in this order: the program before the folder that it runs in.
    program: Option<Program>,
    folder: RunFolder,
    sandbox: Sandbox,
    options: Options,
    sip_port: u16,
    http_port: u16,
    https_port: u16,
    rtp_start: u16,
    ari_password: String,
    phone_password: String,
}

impl Asterisk {
    /// Starts one and waits until its modules are loaded and ARI answers.
    ///
    /// # Panics
    /// When it is not ready within 30 seconds; with the end of its log.
    pub fn start(sandbox: &Sandbox, options: Options) -> Asterisk {
        Asterisk::start_from(sandbox, options, ports::free)
    }

    /// Takes its ports from `port`, and further ones while one of them is taken.
    ///
    /// # Panics
    /// When it is not ready within 30 seconds; with the end of its log.
    pub fn start_from(sandbox: &Sandbox, options: Options, mut port: impl FnMut() -> u16) -> Asterisk {
        let attempts = if options.sip_port.is_some() { 1 } else { ports::TRIES };
        let mut started = Err(Failed::PortTaken);
        for _ in 0..attempts {
            let mut asterisk = Asterisk {
                program: None,
                folder: sandbox.run_folder("asterisk"),
                sandbox: sandbox.clone(),
                sip_port: options.sip_port.unwrap_or_else(&mut port),
                http_port: port(),
                https_port: port(),
                rtp_start: ports::block(RTP_PORTS),
                ari_password: secret(),
                phone_password: secret(),
                options: options.clone(),
            };
            asterisk.configure();
            started = asterisk.launch().map(|()| asterisk);
            if !matches!(started, Err(Failed::PortTaken)) {
                break;
            }
        }
        started.unwrap_or_else(|failed| panic!("Asterisk did not start: {failed}"))
    }

    /// The base that ARI clients are given, such as `http://127.0.0.1:8088`.
    pub fn ari_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Where the HTTPS server is, if there is one.
    pub fn https_port(&self) -> u16 {
        self.https_port
    }

    pub fn ari_user(&self) -> &'static str {
        "vca"
    }

    pub fn ari_password(&self) -> &str {
        &self.ari_password
    }

    pub fn sip_port(&self) -> u16 {
        self.sip_port
    }

    /// Where calls are sent to: the bound address, or loopback when it is bound everywhere.
    pub fn sip_address(&self) -> Ipv4Addr {
        if self.options.bind.is_unspecified() { Ipv4Addr::LOCALHOST } else { self.options.bind }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The password of the account `Options::phone`.
    pub fn phone_password(&self) -> &str {
        &self.phone_password
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What Asterisk's command line prints for `command`; empty when Asterisk does not run.
    pub fn cli(&self, command: &str) -> String {
        let config = format!("{}/etc/asterisk.conf", self.folder.inside);
        let output = self.sandbox.command("asterisk").args(["-C", &config, "-rx", command]).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    /// The program of Asterisk's command line and its first arguments, for a shell.
    pub fn command_line(&self) -> String {
        let command = self.sandbox.command("asterisk");
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        format!("{} -C {}/etc/asterisk.conf", words.join(" "), self.folder.inside)
    }

    /// What ARI says to a GET, such as `channels`; `None` when it gives no good answer.
    pub fn ari(&self, path: &str) -> Option<Value> {
        let (user, password) = (self.ari_user(), self.ari_password());
        let (status, body) = http::get(self.http_port, &format!("/ari/{path}?api_key={user}:{password}"))?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    /// The names of all channels.
    ///
    /// # Panics
    /// When ARI does not answer.
    pub fn channels(&self) -> Vec<String> {
        self.list("channels", "name")
    }

    /// The ids of all bridges.
    ///
    /// # Panics
    /// When ARI does not answer.
    pub fn bridges(&self) -> Vec<String> {
        self.list("bridges", "id")
    }

    /// Waits until no channel and no bridge is left; whatever is left after `timeout` otherwise.
    pub fn becomes_idle(&self, timeout: Duration) -> Result<(), String> {
        let idle = || self.channels().is_empty() && self.bridges().is_empty();
        if wait::until_true(timeout, idle) {
            return Ok(());
        }
        Err(format!("Asterisk still has channels {:?} and bridges {:?}", self.channels(), self.bridges()))
    }

    /// Whether an application is connected.
    pub fn has_application(&self, name: &str) -> bool {
        self.ari(&format!("applications/{name}")).is_some()
    }

    /// The full log so far.
    pub fn log(&self) -> String {
        self.folder.read("log/full")
    }

    /// Changes one of its files; it takes effect at the next reload of the module concerned.
    ///
    /// # Panics
    /// When the file has no such text.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let path = format!("etc/{name}.conf");
        let text = self.folder.read(&path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.folder.write(&path, &text.replace(from, to));
    }

    /// Adds a file of configuration, for a module that is loaded afterwards.
    pub fn add_config(&self, name: &str, text: &str) {
        self.folder.write(&format!("etc/{name}.conf"), text);
    }

    /// What Asterisk has recorded in its spool.
    pub fn spooled(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path(&format!("spool/{path}"))).ok()
    }

    /// Changes the password of the ARI user, and has Asterisk read it.
    pub fn set_ari_password(&mut self, password: &str) {
        self.edit("vca-ari", &self.ari_password, password);
        self.cli("module reload res_ari.so");
        password.clone_into(&mut self.ari_password);
    }

    /// The log of security events so far.
    pub fn security_log(&self) -> String {
        self.folder.read("log/security")
    }

    /// Sends a signal to its process, such as STOP and CONT.
    pub fn signal(&self, signal: Signal) {
        if let Some(program) = &self.program {
            program.signal(signal);
        }
    }

    /// Ends it as a crash would: its calls are gone and nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill();
        }
    }

    /// Starts it again with the same ports and passwords, after [`kill`](Self::kill) or without.
    pub fn restart(&mut self) {
        self.kill();
        self.launch().unwrap_or_else(|failed| panic!("Asterisk did not start again: {failed}"));
    }

    fn list(&self, resource: &str, key: &str) -> Vec<String> {
        let answer = self.ari(resource).unwrap_or_else(|| panic!("ARI does not list {resource}"));
        let items = answer.as_array().into_iter().flatten();
        items.filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
    }

    fn is_running(&mut self) -> bool {
        self.program.as_mut().is_some_and(Program::is_running)
    }

    fn launch(&mut self) -> Result<(), Failed> {
        let config = format!("{}/etc/asterisk.conf", self.folder.inside);
        self.program = Some(self.sandbox.start(&self.folder, "asterisk", &["-f", "-n", "-C", &config]));
        // ARI answers before the channel drivers are there: the trunk's endpoint is what says "ready".
        let ready = wait::until_true(START_TIMEOUT, || {
            !self.is_running() || self.lacks_a_port() || self.ari("endpoints/PJSIP/vca-trunk").is_some()
        });
        if self.lacks_a_port() {
            self.kill();
            return Err(Failed::PortTaken);
        }
        let booted = ready && self.cli("core waitfullybooted").contains("fully booted");
        let log = || format!("{}\n{}", self.folder.read("output"), tail(&self.log(), 30));
        if booted { Ok(()) } else { Err(Failed::NotReady(log())) }
    }

    /// Asterisk goes on without a port that is taken, and only says so.
    fn lacks_a_port(&self) -> bool {
        self.log().contains("Address already in use")
    }

    fn configure(&self) {
        for name in ["etc", "lib/keys", "spool", "run", "log", "moh"] {
            fs::create_dir_all(self.folder.path(name)).expect("the run folder can be written");
        }
        fs::write(self.folder.path("moh/tone.sln"), music()).expect("the run folder can be written");
        self.link_data();
        if let Some(Issued { certificate, key }) = &self.options.certificate {
            self.folder.write("etc/certificate.pem", certificate);
            self.folder.write("etc/key.pem", key);
        }
        let own = root().join("tests/support/asterisk");
        for name in
            ["asterisk", "modules", "logger", "pjsip", "extensions", "ari", "http", "rtp", "musiconhold"]
        {
            self.write_config(name, &read(&own.join(format!("{name}.conf"))));
        }
        for name in EMPTY_FILES {
            self.write_config(name, "");
        }
        self.install();
    }

    /// The package's data, with a short documentation in place of its own.
    fn link_data(&self) {
        let documentation = format!("{DATA}/{DOCUMENTATION}");
        self.link_entries(DATA, "data", DOCUMENTATION);
        self.link_entries(&documentation, &format!("data/{DOCUMENTATION}"), DOCUMENTED);
        let full = read(&self.sandbox.outside(&format!("{documentation}/{DOCUMENTED}")));
        let short = documentation::shortened(&full);
        self.folder.write(&format!("data/{DOCUMENTATION}/{DOCUMENTED}"), &short);
    }

    /// Links the entries of one of the sandbox's folders, all but one, into a new folder.
    fn link_entries(&self, from: &str, to: &str, except: &str) {
        fs::create_dir_all(self.folder.path(to)).expect("the run folder can be written");
        let entries = fs::read_dir(self.sandbox.outside(from)).expect("the sandbox has Asterisk's data");
        for name in entries.map(|entry| entry.expect("an entry").file_name()).filter(|name| name != except) {
            let target = Path::new(from).join(&name);
            symlink(target, self.folder.path(to).join(&name)).expect("the run folder can be written");
        }
    }

    /// Installs the files of `asterisk/` as an operator does.
    fn install(&self) {
        let filled = self.values().into_iter().map(|(key, value)| format!("s|@@{key}@@|{value}|g\n"));
        let moved = self.moved().into_iter().map(|(file, from, to)| {
            let text = read(&root().join(format!("asterisk/{file}.conf")));
            assert!(text.contains(from), "asterisk/{file}.conf has no {from:?} to put {to:?} in its place");
            format!("s|^{from}|{to}|\n")
        });
        let script: String = filled.chain(moved).collect();
        self.folder.write("values.sed", &script);
        let output = Command::new(root().join("asterisk/install.sh"))
            .arg(self.folder.path("values.sed"))
            .args(["--http", "--transports", "--trunk", "--twilio", "--telnyx"])
            .env("ASTERISK_DIR", self.folder.path("etc"))
            .output()
            .expect("install.sh can be run");
        assert!(output.status.success(), "install.sh: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What is changed so that several can run side by side, addresses and ports, by the file that has it.
    fn moved(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut moved = vec![
            ("vca-transports", "bind=0.0.0.0:5060", format!("bind={}:{}", self.options.bind, self.sip_port)),
            // Networks of the providers' own, in which no caller of a test can be.
            ("vca-twilio", "match=54.172.60.0/30", format!("match={}", self.options.twilio)),
            ("vca-telnyx", "match=192.76.120.10", format!("match={}", self.options.telnyx)),
            ("vca-http", "bindport=8088", format!("bindport={}", self.http_port)),
        ];
        if self.options.certificate.is_some() {
            let file = |name: &str| format!("{}/etc/{name}", self.folder.inside);
            moved.extend([
                ("vca-http", ";tlsenable=yes", "tlsenable=yes".to_owned()),
                (
                    "vca-http",
                    ";tlsbindaddr=0.0.0.0:8089",
                    format!("tlsbindaddr=127.0.0.1:{}", self.https_port),
                ),
                ("vca-http", ";tlscertfile=", format!("tlscertfile={} ;", file("certificate.pem"))),
                ("vca-http", ";tlsprivatekey=", format!("tlsprivatekey={} ;", file("key.pem"))),
            ]);
        }
        moved
    }

    /// The placeholders and their values.
    fn values(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TRUNK_HOST", "127.0.0.1:9".to_owned()),
            ("TRUNK_NETWORK", self.options.trunk.to_string()),
            ("TRUNK_USERNAME", "account".to_owned()),
            ("TRUNK_PASSWORD", "unused".to_owned()),
            ("WIDEBAND_NETWORK", self.options.wideband_trunk.to_string()),
            ("INFO_NETWORK", self.options.info_trunk.to_string()),
            ("INBAND_NETWORK", self.options.inband_trunk.to_string()),
            ("ARI_USERNAME", self.ari_user().to_owned()),
            ("ARI_PASSWORD", self.ari_password.clone()),
            ("PHONE_USERNAME", self.options.phone.clone()),
            ("PHONE_PASSWORD", self.phone_password.clone()),
            ("RUN", self.folder.inside.clone()),
            ("MODULES", self.modules()),
            ("PANEL_PASSWORD", self.phone_password.clone()),
            ("RTP_START", self.rtp_start.to_string()),
            ("RTP_END", (self.rtp_start + RTP_PORTS).to_string()),
        ]
    }

    fn write_config(&self, name: &str, text: &str) {
        let values = self.values();
        let filled = values
            .iter()
            .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("@@{key}@@"), value));
        let left = filled.lines().find(|line| line.contains("@@") && !line.starts_with(';'));
        assert!(left.is_none(), "{name}.conf has a placeholder that nobody fills: {left:?}");
        self.folder.write(&format!("etc/{name}.conf"), &filled);
    }

    /// Where the modules lie, as seen from inside; the folder is named for the machine's architecture.
    fn modules(&self) -> String {
        let libraries = self.sandbox.outside("/usr/lib");
        let entries = fs::read_dir(&libraries).expect("the sandbox has a /usr/lib").flatten();
        let found = entries
            .map(|entry| entry.path().join("asterisk/modules"))
            .chain([libraries.join("asterisk/modules")])
            .find(|path| path.is_dir())
            .expect("the sandbox has Asterisk's modules");
        let below = found.strip_prefix(&libraries).expect("it was found there");
        format!("/usr/lib/{}", below.display())
    }
}

/// The tone of music on hold, in Hz.
pub const MUSIC_PITCH: u32 = 600;

/// Two seconds of a tone, as raw samples at 8 kHz.
fn music() -> Vec<u8> {
    let step = f64::from(MUSIC_PITCH) * std::f64::consts::TAU / 8_000.0;
    let samples = (0..16_000).map(|n| ((step * f64::from(n)).sin() * 4_000.0) as i16);
    samples.flat_map(i16::to_le_bytes).collect()
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
