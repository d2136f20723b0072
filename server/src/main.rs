//! `fieldsync-server`: serves, issues tokens, makes keys, seeds practice data, backs up, prunes, restores, audits.

mod inspect;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use fieldsync::schema::Schema;
use fieldsync_server::http::{Settings, listen, router};
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::{Clock, SystemClock, SystemEntropy};
use fieldsync_server::seed;
use fieldsync_server::service::{Service, Watermark, new_epoch};
use fieldsync_server::store::sqlite::SqliteStore;
use fieldsync_server::store::{ServerStore, prune};
use fieldsync_server::token::{Identity, Tokens};

/// What ends the program is a sentence for the person who runs it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The reference server of FieldSync.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT. Says `listening on http://ADDRESS` on stdout when it is ready.
    Serve {
        /// The SQLite file, made if it is not there, or `:memory:`.
        #[arg(long)]
        database: String,
        /// The schema, as the app declares it.
        #[arg(long)]
        schema: PathBuf,
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The file with the server's key; without it, FIELDSYNC_KEY holds the key.
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// An origin whose pages may call from a browser, such as `https://app.example`.
        #[arg(long = "allow-origin", value_parser = origin)]
        allow_origin: Vec<String>,
        /// Requests of one user in a minute.
        #[arg(long, default_value_t = Settings::DEFAULT_RATE_PER_MINUTE)]
        rate_per_minute: u32,
        /// What is promised as durable: every `commit` at once, or only what the last `backup` holds. With `backup`
        /// devices keep what they sent until it is in a backup, and so can heal a server that is restored from one.
        #[arg(long, default_value = "commit")]
        watermark: Durable,
    },
    /// Writes a backup of a database that may be in use, and moves its watermark to what the backup holds.
    Backup {
        /// The SQLite file.
        #[arg(long)]
        database: PathBuf,
        /// The backup; it must not be there yet.
        #[arg(long)]
        to: PathBuf,
    },
    /// Forgets the tombstones of what was deleted long ago. A device that has been away for longer starts over.
    Prune {
        /// The SQLite file; it may be in use.
        #[arg(long)]
        database: PathBuf,
        /// How long ago.
        #[arg(long)]
        older_than_days: u64,
    },
    /// Makes a database from a backup. It begins a new epoch: devices notice, and send again what the backup lacks.
    Restore {
        /// The backup.
        #[arg(long)]
        from: PathBuf,
        /// The SQLite file; it must not be there yet.
        #[arg(long)]
        to: PathBuf,
    },
    /// Prints a token for a user of a tenant.
    Token {
        /// The file with the server's key; without it, FIELDSYNC_KEY holds the key.
        #[arg(long)]
        key_file: Option<PathBuf>,
        /// The tenant.
        #[arg(long)]
        tenant: String,
        /// The user.
        #[arg(long)]
        user: String,
        /// What the user may do beside keeping data of his own: `coordinator` sees and resolves the conflicts of everybody
        /// in the tenant.
        #[arg(long)]
        role: Vec<String>,
        /// How long it is valid.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// Fills a tenant that is still empty with the generated records of a veterinary practice.
    Seed {
        /// The SQLite file.
        #[arg(long)]
        database: String,
        /// The schema, as the app declares it.
        #[arg(long)]
        schema: PathBuf,
        /// The tenant.
        #[arg(long)]
        tenant: String,
        /// About how many records.
        #[arg(long)]
        records: usize,
    },
    /// Proves the audit chains of a database that may be in use, or writes one out.
    Audit {
        #[command(subcommand)]
        command: inspect::Command,
    },
    /// Makes a random key, in a file that only its owner can read.
    NewKey {
        /// The file; it must not be there yet.
        #[arg(long)]
        key_file: PathBuf,
    },
}

/// [`Watermark`], as it is named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Durable {
    /// Every commit, at once.
    Commit,
    /// What the last backup holds.
    Backup,
}

impl From<Durable> for Watermark {
    fn from(durable: Durable) -> Self {
        match durable {
            Durable::Commit => Self::Commit,
            Durable::Backup => Self::Backup,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// An origin as a browser names it: another one would never be met.
fn origin(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*']) || host.chars().any(char::is_uppercase) {
        return Err("scheme://host[:port], as a browser names it, and nothing after it: https://app.example".to_owned());
    }
    Ok(text.to_owned())
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { database, schema, listen, key_file, allow_origin, rate_per_minute, watermark } => {
            let key = load_key(key_file.as_deref())?;
            let settings = Settings { allowed_origins: BTreeSet::from_iter(allow_origin), rate_per_minute, ..Settings::default() };
            serve(&database, read_schema(&schema)?, listen, &key, watermark.into(), &settings).await
        }
        Command::Prune { database, older_than_days } => {
            const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
            let store = open_present(&database).await?;
            let pruned = prune(&store, SystemClock.now_ms().saturating_sub(older_than_days.saturating_mul(DAY_MS))).await?;
            store.close().await;
            say(&format!("{pruned} tombstones forgotten"));
            Ok(())
        }
        Command::Backup { database, to } => {
            let store = open_present(&database).await?;
            let tenants = store.backup(&to).await?;
            store.close().await;
            say(&format!("{tenants} tenants in {}", to.display()));
            Ok(())
        }
        Command::Restore { from, to } => {
            let epoch = new_epoch(&SystemClock, &SystemEntropy)?;
            SqliteStore::restore(&from, &to, epoch.clone(), SystemClock.now_ms()).await?;
            say(&format!("{} begins the epoch {epoch}", to.display()));
            Ok(())
        }
        Command::Token { key_file, tenant, user, role, minutes } => {
            let tokens = Tokens::new(&load_key(key_file.as_deref())?);
            let now_ms = SystemClock.now_ms();
            let token = tokens.issue(&Identity { tenant, user, roles: role }, now_ms, minutes);
            tokens
                .verify(&token, now_ms)
                .map_err(|_| "tenant and user have 1 to 256 bytes; there are at most 16 roles of 1 to 64 bytes")?;
            say(&token);
            Ok(())
        }
        Command::Seed { database, schema, tenant, records } => {
            let store = open_store(&database).await?;
            let written = seed::fill(&store, read_schema(&schema)?, &tenant, records).await?;
            store.close().await;
            say(&format!("{written} records for {tenant}"));
            Ok(())
        }
        Command::Audit { command } => inspect::run(command).await,
        Command::NewKey { key_file } => Ok(ServerKey::create(&key_file, &SystemEntropy)?),
    }
}

async fn serve(
    database: &str,
    schema: Schema,
    address: SocketAddr,
    key: &ServerKey,
    watermark: Watermark,
    settings: &Settings,
) -> Result<(), Failure> {
    let store = open_store(database).await?;
    store.hold(&schema).await?;
    tracing::info!(epoch = %store.epoch(), schema = schema.name, "open");
    let service = Service::new(store, schema, key, Arc::new(SystemClock), Arc::new(SystemEntropy)).with_watermark(watermark);
    let service = Arc::new(service);
    let listening = listen(address).await?;
    let address = listening.address()?;
    // Signals are caught before anybody can know that the server is there.
    let end = end_signal()?;
    say(&format!("listening on http://{address}"));
    listening.serve(router(Arc::clone(&service), Tokens::new(key), settings), end).await;
    service.store().close().await;
    tracing::info!("closed");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "stdout carries what the caller of a command waits for, the log goes to stderr")]
fn say(line: &str) {
    println!("{line}");
}

fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

async fn open_store(database: &str) -> Result<SqliteStore, Failure> {
    Ok(SqliteStore::open(database, new_epoch(&SystemClock, &SystemEntropy)?).await?)
}

/// A database that must be there: a command that looks after one makes none.
async fn open_present(database: &Path) -> Result<SqliteStore, Failure> {
    if !database.exists() {
        return Err(format!("there is no database {}", database.display()).into());
    }
    open_store(&database.to_string_lossy()).await
}

fn load_key(file: Option<&Path>) -> Result<ServerKey, Failure> {
    Ok(ServerKey::load(file, std::env::var("FIELDSYNC_KEY").ok().as_deref())?)
}

fn read_schema(file: &Path) -> Result<Schema, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("the schema {}: {error}", file.display()))?;
    let schema = Schema::parse(&text)?;
    if schema.is_transformed() {
        let why = "it declares transforms, so it is the app's: the server is given the form of the wire";
        return Err(format!("the schema {}: {why}", file.display()).into());
    }
    Ok(schema)
}
