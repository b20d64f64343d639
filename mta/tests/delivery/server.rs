//! A receiver on a real socket that does what a script says at each step.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use smtp::server::{Answer, Envelope, Event, Server, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the receiver does at a step.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// As a receiver without objections would.
    Go,
    /// Says this.
    Say(u16, &'static str),
    /// Says this, and closes.
    SayAndClose(u16, &'static str),
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing more, and keeps the connection.
    Silence,
    /// Goes on, and closes as soon as any byte of the message came.
    CloseInBody,
    /// Sends these bytes as they are behind the answer, and goes on.
    Raw(&'static [u8]),
    /// Sends these bytes in place of the answer, and goes on.
    Instead(&'static [u8]),
}

/// What a script knows of the moment.
pub(crate) struct At<'a> {
    /// Number of this connection, from 0.
    pub(crate) connection: usize,
    /// Messages taken on this connection so far.
    pub(crate) taken: usize,
    pub(crate) event: &'a Event,
}

type Script = dyn Fn(&At<'_>) -> Do + Send + Sync;

/// A receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Box<Script>,
    settings: Settings,
    connections: Mutex<usize>,
    got: Mutex<Vec<(Envelope, Vec<u8>)>>,
}

impl Receiver {
    pub(crate) async fn start(script: impl Fn(&At<'_>) -> Do + Send + Sync + 'static) -> Self {
        Self::with(Settings::default(), script).await
    }

    pub(crate) async fn with(settings: Settings, script: impl Fn(&At<'_>) -> Do + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), settings, script).await
    }

    pub(crate) async fn at(
        address: SocketAddr,
        settings: Settings,
        script: impl Fn(&At<'_>) -> Do + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            script: Box::new(script),
            settings,
            connections: Mutex::new(0),
            got: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut connections = accepting.connections.lock().unwrap();
                    *connections += 1;
                    *connections - 1
                };
                tokio::spawn(serve(Arc::clone(&accepting), stream, number));
            }
        });
        Self { address, state }
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.got.lock().unwrap().len()
    }

    pub(crate) fn got(&self) -> Vec<(Envelope, Vec<u8>)> {
        self.state.got.lock().unwrap().clone()
    }
}

async fn serve(state: Arc<State>, mut stream: TcpStream, connection: usize) {
    stream.set_nodelay(true).ok();
    let mut server = Server::new(state.settings.clone());
    let mut buffer = vec![0; 64 << 10];
    let (mut taken, mut close_in_body) = (0, false);
    loop {
        while let Some(event) = server.poll_event() {
            let action = (state.script)(&At {
                connection,
                taken,
                event: &event,
            });
            let answer = match action {
                Do::Go | Do::CloseInBody | Do::Raw(_) | Do::Instead(_) => Answer::Default,
                Do::Say(code, text) | Do::SayAndClose(code, text) => Answer::Line(code, text.into()),
                Do::Close | Do::Reset | Do::Silence => {
                    let output = server.output().to_vec();
                    stream.write_all(&output).await.ok();
                    match action {
                        Do::Reset => {
                            // What was said before has to be read before the reset throws it away.
                            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                            stream.set_zero_linger().ok();
                        }
                        Do::Silence => while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {},
                        _ => {}
                    }
                    return;
                }
            };
            let accepted = matches!(&answer, Answer::Default | Answer::Line(200..=299, _));
            if let Event::Message(envelope, bytes) = event
                && accepted
            {
                state.got.lock().unwrap().push((envelope, bytes));
                taken += 1;
            }
            let said = server.output().len();
            server.answer(answer);
            if let Do::Raw(bytes) | Do::Instead(bytes) = action {
                let answered = server.output();
                let kept = if matches!(action, Do::Raw(_)) {
                    answered.len()
                } else {
                    said
                };
                let output = [&answered[..kept], bytes].concat();
                server.wrote(usize::MAX);
                if stream.write_all(&output).await.is_err() {
                    return;
                }
            }
            if matches!(action, Do::SayAndClose(..)) {
                let output = server.output().to_vec();
                stream.write_all(&output).await.ok();
                stream.shutdown().await.ok();
                return;
            }
            close_in_body |= matches!(action, Do::CloseInBody);
        }
        let output = server.output().to_vec();
        server.wrote(output.len());
        if stream.write_all(&output).await.is_err() || server.is_closing() {
            return;
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 && !close_in_body => server.receive(&buffer[..count]),
            _ => return,
        }
    }
}
