//! The subcommands of `audit`: what an inspector asks of a database.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Subcommand;
use fieldsync_server::audit::{Broken, Chain, line};
use fieldsync_server::store::sqlite::SqliteStore;

use super::{Failure, open_present, say};

/// What is asked.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Follows the chain from its first row to the head that the tenant's counters name. Exit code 1 if a row is bad.
    Verify {
        /// The SQLite file.
        #[arg(long)]
        database: PathBuf,
        /// The tenant; without it, all of them.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Writes the rows of a tenant to stdout, each as a line of JSON.
    Export {
        /// The SQLite file.
        #[arg(long)]
        database: PathBuf,
        /// The tenant.
        #[arg(long)]
        tenant: String,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Verify { database, tenant } => {
            let store = open_present(&database).await?;
            let tenants = match tenant {
                Some(tenant) => vec![known(&store, tenant).await?],
                None => store.audited().await?,
            };
            let mut bad = 0;
            for tenant in tenants {
                match verify(&store, &tenant).await? {
                    Ok(chain) => say(&format!("{tenant}: {} rows in order, head {}", chain.number, chain.head)),
                    Err(broken) => {
                        say(&format!("{tenant}: {broken}"));
                        bad += 1;
                    }
                }
            }
            store.close().await;
            if bad == 0 { Ok(()) } else { Err(format!("{bad} audit chains are not in order").into()) }
        }
        Command::Export { database, tenant } => {
            let store = open_present(&database).await?;
            let tenant = known(&store, tenant).await?;
            let mut written = Ok(());
            let mut out = std::io::stdout().lock();
            store
                .each_audit_row(&tenant, |row| {
                    written = writeln!(out, "{}", line(&row));
                    if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .await?;
            store.close().await;
            Ok(written?)
        }
    }
}

async fn known(store: &SqliteStore, tenant: String) -> Result<String, Failure> {
    if store.audited().await?.contains(&tenant) { Ok(tenant) } else { Err(format!("there is no tenant {tenant}").into()) }
}

async fn verify(store: &SqliteStore, tenant: &str) -> Result<Result<Chain, Broken>, Failure> {
    let (mut chain, mut outcome) = (Chain::default(), Ok(()));
    let state = store
        .each_audit_row(tenant, |row| {
            outcome = chain.follow(&row);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
    let named = Chain { number: state.audit_number, head: state.audit_head };
    Ok(outcome.and_then(|()| chain.ends_at(&named)).map(|()| chain))
}
