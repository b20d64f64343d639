//! What happens when the program is told to end (Ctrl-C, SIGTERM): what it started must not outlive it, whatever it is doing just then.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use crate::process;

/// What a shell says of a program that was ended by Ctrl-C.
const EXIT: i32 = 130;

/// From now on, a signal ends all processes that were started, removes `scratch`, says `word` and ends the program.
pub(crate) fn heed(scratch: PathBuf, word: &'static str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupted, mut terminated) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        });
        eprintln!("\n{word}");
        process::end_all();
        let _ = std::fs::remove_dir_all(&scratch);
        std::process::exit(EXIT);
    })?;
    Ok(())
}
