//! `demo`: the server on a SQLite file with generated data, and the clinic app in front of it.
//!
//! Both are children of this process in groups of their own, so that ctrl-c reaches only us; then
//! each is asked to stop (SIGTERM) and waited for. When one of them ends by itself, so does the demo.

use crate::place::Place;
use crate::run::which;
use crate::tally::Tally;
use crate::{inputs, server, www};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Where the app is found, unless `--port` says otherwise. The server takes a free port: only the app
/// talks to it, and the app is told.
const APP_PORT: u16 = 3000;

/// How much each practice of the app finds in the database.
const RECORDS_PER_PRACTICE: &str = "200";

/// How long a child may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What the demo waits for.
enum Event {
    /// Ctrl-c, or a request to end.
    Stop,
    /// A service printed the line that says it is ready.
    Ready(String),
    Ended(&'static str),
}

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let port = match arguments {
        [] => Some(APP_PORT),
        [option, port] if option == "--port" => port.parse().ok().filter(|port| *port != 0),
        _ => None,
    };
    let Some(port) = port else { bail!("usage: cargo xtask demo [--port N]") };
    // Before minutes of building. Whoever takes it meanwhile is told of by the app.
    drop(TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} is taken: `cargo xtask demo --port N`"))?);
    let program = server::binary(place)?;
    www::built(place)?;
    let home = place.root.join(".fieldsync/demo");
    let key = demo_key(&home)?;
    let database = home.join("clinic.sqlite");
    let schema = place.root.join("www/clinic.schema.json");
    if !database.exists() {
        seed(&program, &database, &schema, &practices(place)?)?;
    }

    let (sender, happened) = channel();
    let interrupted = sender.clone();
    let events = Events { sender, happened };
    ctrlc::set_handler(move || {
        let _ = interrupted.send(Event::Stop);
    })
    .context("listening for ctrl-c")?;

    let mut api = Command::new(&program);
    api.args(["serve", "--listen", "127.0.0.1:0", "--database"]).arg(&database);
    api.arg("--schema").arg(&schema).arg("--key-file").arg(&key);
    let api = Service::start("server", api, "listening on", &events)?;
    let address = api.said.split_whitespace().last().context("the server did not say where it listens")?;

    // Not by npm: a shell between us and the app would end before it does.
    let mut app = Command::new(which(&["node"]).context("node is missing")?);
    app.current_dir(place.root.join("www")).args(["node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1"]);
    app.args(["--port", &port.to_string()]);
    app.env("FIELDSYNC_KEY_FILE", &key).env("FIELDSYNC_SERVER", address);
    app.env("NEXT_TELEMETRY_DISABLED", "1");
    let _app = Service::start("app", app, "Ready in", &events)?;

    println!("\n  the clinic: http://127.0.0.1:{port}\n  ctrl-c stops it; data stays in {}\n", home.display());
    loop {
        match events.happened.recv()? {
            Event::Stop => break,
            Event::Ended(name) => bail!("the {name} ended by itself"),
            // It said so again.
            Event::Ready(_) => {}
        }
    }
    println!("stopping");
    Ok(Tally::default())
}

/// The key that the server checks tokens with and the app's demo route signs them with.
fn demo_key(home: &Path) -> Result<PathBuf> {
    let file = home.join("key");
    if !file.exists() {
        let mut random = [0_u8; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        inputs::write(&file, &random.iter().map(|byte| format!("{byte:02x}")).collect::<String>())?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// The tenants of the app, as it lists them.
fn practices(place: &Place) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Practice {
        tenant: String,
    }
    let file = place.root.join("www/practices.json");
    let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let practices: Vec<Practice> = serde_json::from_slice(&text).context("www/practices.json is no list of practices")?;
    Ok(practices.into_iter().map(|practice| practice.tenant).collect())
}

/// Fills a new database; half of one is removed, so that the next demo starts over.
fn seed(program: &Path, database: &Path, schema: &Path, practices: &[String]) -> Result<()> {
    for practice in practices {
        println!("generating {RECORDS_PER_PRACTICE} records for the practice {practice}");
        let status = Command::new(program)
            .args(["seed", "--tenant", practice, "--records", RECORDS_PER_PRACTICE, "--database"])
            .arg(database)
            .arg("--schema")
            .arg(schema)
            .status()?;
        if !status.success() {
            if database.exists() {
                std::fs::remove_file(database)?;
            }
            bail!("generating data ended with {status}");
        }
    }
    Ok(())
}

/// Both ends of what the demo hears.
struct Events {
    sender: Sender<Event>,
    happened: Receiver<Event>,
}

/// A running child; dropping it stops it.
struct Service {
    name: &'static str,
    /// The line that said it is ready.
    said: String,
    group: Pid,
    ended: Receiver<()>,
}

impl Service {
    /// Starts it and waits for the line that says it is ready; its output is ours.
    fn start(name: &'static str, mut command: Command, ready: &'static str, events: &Events) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn().with_context(|| format!("starting the {name}"))?;
        let output = child.stdout.take().context("a piped child has an output")?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let tell = events.sender.clone();
        let (ended_now, ended) = channel();
        // Nobody may be listening any more to what this thread says; that is fine.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("{name}: {line}");
                if line.contains(ready) {
                    let _ = tell.send(Event::Ready(line));
                }
            }
            let _ = child.wait();
            let _ = ended_now.send(());
            let _ = tell.send(Event::Ended(name));
        });
        let mut service = Self { name, said: String::new(), group, ended };
        match events.happened.recv()? {
            Event::Ready(line) => service.said = line,
            Event::Stop => bail!("stopped while the {name} was starting"),
            Event::Ended(which) if which == name => bail!("the {name} ended before it was ready: its last lines say why"),
            Event::Ended(which) => bail!("the {which} ended while the {name} was starting"),
        }
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // An error means that the group is gone already.
        let _ = killpg(self.group, Signal::SIGTERM);
        if self.ended.recv_timeout(STOP_LIMIT) == Err(RecvTimeoutError::Timeout) {
            println!("the {} does not stop: killed", self.name);
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}
