//! The command line. `staffetta --help` tells all of it.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use types::event::Event;

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
    /// Tell what happened, one line of JSON for each event.
    Events {
        /// Go on as things happen; broken connections are made again.
        #[arg(short, long)]
        follow: bool,
        /// The events of this shop alone.
        #[arg(long)]
        shop: Option<String>,
        /// From this moment on (RFC 3339). Default: from now on with --follow, else all that the journal holds.
        #[arg(long)]
        since: Option<String>,
        /// Events of this type alone.
        #[arg(long = "type", hide_possible_values = true, value_parser = PossibleValuesParser::new(Event::public_names()))]
        kind: Option<String>,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
    /// Show what was sent, opened, clicked and won.
    Stats {
        /// What rows are made for, parted by commas: hour or day; shop, stream, template, provider; or campaign, publisher.
        #[arg(long, default_value = "stream")]
        by: String,
        /// From when on (RFC 3339). Default: the last 24 hours.
        #[arg(long)]
        from: Option<String>,
        /// Until when. Default: now.
        #[arg(long)]
        to: Option<String>,
        /// The mails, or with --by campaign the campaigns, of this shop alone.
        #[arg(long)]
        shop: Option<String>,
        /// The offers of this campaign alone.
        #[arg(long)]
        campaign: Option<String>,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
    /// Show what other rules would say of opens and clicks that were judged. Changes nothing.
    Judge {
        /// The rules (TOML), as policy/rules/verdicts.toml.
        #[arg(long)]
        rules: PathBuf,
        /// Hits from this moment on (RFC 3339). Default: all that the journal holds.
        #[arg(long)]
        from: Option<String>,
        /// Hits before this moment. Default: now.
        #[arg(long)]
        to: Option<String>,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
    /// Tell the story of an order, or where a contact stands.
    #[command(subcommand_negates_reqs = true)]
    Explain {
        /// Tell of something other than an order.
        #[command(subcommand)]
        what: Option<Explained>,
        /// Whose order.
        #[arg(required = true)]
        shop: Option<String>,
        /// The shop's own order id.
        #[arg(required = true)]
        order_id: Option<String>,
        /// How to reach the service.
        #[command(flatten)]
        admin: Admin,
    },
}

/// What can be explained beside orders.
#[derive(Debug, Subcommand)]
pub enum Explained {
    /// Tell where a contact stands in workflows and with its carts, what comes next and why not yet, and what happened.
    Contact {
        /// Whose contact.
        shop: String,
        /// The contact's address.
        email: String,
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
    /// Make a new key for tracking links; it signs from the next start on, and links made with older keys go on working.
    Token {
        /// A key that others came to know: its links lead on and count for nothing from the next start on. A new key is made as
        /// well if it was the one that signs.
        #[arg(long, value_name = "ID")]
        distrust: Option<u8>,
        /// Which service.
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
