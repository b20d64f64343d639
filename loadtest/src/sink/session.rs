//! One connection to the sink.

use std::time::Instant;

use smtp::server::{Answer, Event, Server, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::intake::Intake;

/// What one read takes at most.
const READ_BYTES: usize = 64 << 10;

/// Answers everything in the affirmative until the client goes.
pub(super) async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, intake: &Intake) -> std::io::Result<()> {
    intake.note_session();
    let mut server = Server::new(Settings::default());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(event) = server.poll_event() {
            // Whether or not the client learns of it: from here on the receiver has the mail (RFC 1047).
            if let Event::Message(envelope, mail) = event {
                intake.take(&envelope, &mail, Instant::now());
            }
            server.answer(Answer::Default);
        }
        let length = server.output().len();
        stream.write_all(server.output()).await?;
        server.wrote(length);
        if server.is_closing() {
            return Ok(());
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        server.receive(buffer.get(..count).unwrap_or_default());
    }
}
