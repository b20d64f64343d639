//! Real redis-servers on ports of their own, ended by their process ids.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::Connection;
use tempfile::TempDir;

/// One redis-server, or a Sentinel.
pub struct Server {
    pub port: u16,
    dir: TempDir,
    args: Vec<String>,
    child: Child,
}

/// Returns a port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // A Cluster's bus is 10,000 above.
    if port < 55_000 { port } else { free_port() }
}

impl Server {
    /// Starts a server that keeps nothing on disk unless `args` say so, and waits for it.
    pub fn start(args: &[&str]) -> Self {
        let server = Self::spawn(free_port(), crate::common::scratch(), args);
        server.ready();
        server
    }

    /// Starts one on a given port, without waiting: it may have TLS alone.
    pub fn spawn(port: u16, dir: TempDir, args: &[&str]) -> Self {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = run(port, dir.path(), &args);
        Self { port, dir, args, child }
    }

    /// Returns a port for a server that is to be started later.
    pub fn reserve() -> u16 {
        free_port()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection_with_timeout(Duration::from_secs(10)).unwrap()
    }

    /// Carries out one command.
    pub fn command<T: redis::FromRedisValue>(&self, line: &str) -> T {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(if word == "''" { "" } else { word });
        });
        command.query(&mut self.connect()).unwrap()
    }

    /// Waits until it answers.
    pub fn ready(&self) {
        let limit = Instant::now() + Duration::from_secs(20);
        let client = redis::Client::open(self.url()).unwrap();
        loop {
            let ping = client
                .get_connection_with_timeout(Duration::from_secs(1))
                .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
            match ping {
                Ok(_) => return,
                Err(error) if error.code() == Some("NOAUTH") => return,
                Err(error) => assert!(Instant::now() < limit, "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it without any chance to save.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on what it left.
    pub fn restart(&mut self) {
        self.child = run(self.port, self.dir.path(), &self.args);
        self.ready();
    }

    /// Freezes it, or lets it go on.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(port: u16, dir: &Path, args: &[String]) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
        ])
        .arg(dir)
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts a Sentinel that watches a master.
pub fn sentinel(master: &Server) -> Server {
    let dir = crate::common::scratch();
    let path = dir.path().join("sentinel.conf");
    let settings = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
        master.port
    );
    fs::write(&path, settings).unwrap();
    let port = free_port();
    let child = Command::new("redis-server")
        .arg(path)
        .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server {
        port,
        dir,
        args: Vec::new(),
        child,
    };
    server.ready();
    server
}
