//! The binary `staffetta`: read the arguments, do what they say.

use std::process::ExitCode;

use clap::Parser;
use edge::cli::{Cli, Command, Explained};
use edge::{command, demo, logging, service};

/// Message buffers are made on one thread and freed on another; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(match cli.command {
        Command::Serve(_) => logging::SERVICE,
        _ => logging::COMMAND,
    });
    let done = match cli.command {
        Command::Serve(settings) => service::serve(settings.settings.as_deref()),
        Command::Demo { once } => demo::run(once),
        Command::Check(settings) => command::check(settings.settings.as_deref()),
        Command::Keygen(keygen) => command::keygen(keygen),
        Command::Queue { admin, action } => command::queue(&admin, action),
        Command::Message { id, admin } => command::message(&admin, &id),
        Command::Events {
            follow,
            shop,
            since,
            kind,
            admin,
        } => command::events(&admin, follow, &[("shop", shop), ("since", since), ("type", kind)]),
        Command::Stats {
            by,
            from,
            to,
            shop,
            campaign,
            admin,
        } => command::stats(
            &admin,
            &[
                ("by", Some(by)),
                ("from", from),
                ("to", to),
                ("shop", shop),
                ("campaign", campaign),
            ],
        ),
        Command::Judge { rules, from, to, admin } => command::judge(&admin, &rules, from.as_deref(), to.as_deref()),
        Command::Explain {
            what: Some(Explained::Contact { shop, email }),
            admin,
            ..
        } => command::explain_contact(&admin, &shop, &email),
        Command::Explain {
            what: None,
            shop,
            order_id,
            admin,
        } => command::explain(&admin, &shop.unwrap_or_default(), &order_id.unwrap_or_default()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
