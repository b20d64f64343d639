//! The command line. `staffetta --help` tells all of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Staffetta: from "order confirmed" to an offer mail in the buyer's inbox.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or Ctrl-C, then drain.
    Serve(SettingsFile),
    /// Run the whole service in a temporary folder, send one order through it and show every step.
    Demo {
        /// Exit after the order: 0 only if the mail arrived intact, both signatures verify and the order explains itself.
        #[arg(long)]
        once: bool,
    },
    /// Check a settings file and list every fault.
    Check(SettingsFile),
    /// Make keys.
    #[command(subcommand)]
    Keygen(Keygen),
    /// Show the queues per destination site, or steer one.
    Queue {
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
        /// Steer this site instead of listing all.
        #[command(subcommand)]
        action: Option<QueueAction>,
    },
    /// Tell the story of a message: what was decided, why, and all that happened since.
    Message {
        /// The id that the accept answered, or the message's own.
        id: String,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
    /// Tell the story of an order.
    Explain {
        /// Whose order.
        shop: String,
        /// The shop's own order id.
        order_id: String,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
}

/// Where the settings are.
#[derive(Debug, Args)]
pub struct SettingsFile {
    /// The settings file (TOML). Without one, defaults rule and data goes to ./staffetta-data.
    #[arg(short, long, env = "STAFFETTA_SETTINGS")]
    pub settings: Option<PathBuf>,
}

/// How to reach a running service.
#[derive(Debug, Args)]
pub struct Admin {
    /// The admin listener.
    #[arg(long, default_value = "127.0.0.1:8027", env = "STAFFETTA_ADMIN")]
    pub admin: String,
    /// The operator key, printed at the first start.
    #[arg(long, env = "STAFFETTA_OPERATOR_KEY", hide_env_values = true)]
    pub operator_key: Option<String>,
}

/// What keys there are.
#[derive(Debug, Subcommand)]
pub enum Keygen {
    /// Make an API key for a shop of a running service. It is printed once and kept as a hash.
    Api {
        /// The shop's id.
        #[arg(long)]
        shop: String,
        /// What the key is called.
        #[arg(long, default_value = "default")]
        name: String,
        /// What it may do.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [KeyScope::Send, KeyScope::Read, KeyScope::Manage])]
        scopes: Vec<KeyScope>,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
    /// Make DKIM keys for a sender domain, unless it has them, and print the DNS records to publish.
    Dkim {
        /// The domain of the `From:` address.
        #[arg(long)]
        domain: String,
        /// Where the keys go: the `secrets` of this service's data.
        #[command(flatten)]
        settings: SettingsFile,
    },
    /// Replace the operator key of a stopped service and print the new one.
    Operator {
        /// Which service.
        #[command(flatten)]
        settings: SettingsFile,
    },
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeyScope {
    /// Post orders and messages.
    Send,
    /// Read what the shop may see.
    Read,
    /// Change campaigns, templates and suppressions.
    Manage,
}

/// What can be done to a site's queue.
#[derive(Debug, Subcommand)]
pub enum QueueAction {
    /// Start no attempt at the site until resumed.
    Suspend {
        /// The site, as listed.
        site: String,
    },
    /// Start attempts again at once.
    Resume {
        /// The site, as listed.
        site: String,
    },
    /// Change the site's limits until the next restart.
    Limit {
        /// The site, as listed.
        site: String,
        /// Connections at once.
        #[arg(long)]
        connections: Option<u32>,
        /// Messages on one connection.
        #[arg(long)]
        messages_per_connection: Option<u32>,
        /// Messages a second, over all connections.
        #[arg(long)]
        messages_per_second: Option<f64>,
    },
}
