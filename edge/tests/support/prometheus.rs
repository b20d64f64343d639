//! A real Prometheus of a test's own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use edge::client::Client;
use serde_json::Value;

use super::PATIENCE;

/// A running Prometheus that scrapes one service each second, as `job="staffetta"`.
pub struct Prometheus {
    child: Child,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one with the rules of a folder, if there are any, and waits until it is ready.
    pub async fn start(target: SocketAddr, rules: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for file in rule_files(rules) {
            // What is reckoned every half minute, and first within as long, is wanted in a second.
            let text = std::fs::read_to_string(&file).unwrap();
            let hurried: Vec<_> = text.lines().map(hurried).collect();
            std::fs::write(at(file.file_name().unwrap().to_str().unwrap()), hurried.join("\n")).unwrap();
        }
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}/*.yml']\n\
             scrape_configs: [{{ job_name: staffetta, static_configs: [{{ targets: ['{target}'] }}] }}]\n",
            folder.path().display()
        );
        // Not among the rules: its name ends otherwise.
        std::fs::write(at("prometheus.yaml"), config).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is installed: `make setup`");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let listens = log.by_ref().map_while(Result::ok).find_map(|line| {
            said.push_str(&line);
            said.push('\n');
            let address = line.split_once("\"Listening on\" address=")?.1;
            address.split(' ').next()?.parse::<SocketAddr>().ok()
        });
        let Some(address) = listens else {
            panic!("Prometheus did not start:\n{said}");
        };
        // Whoever does not read its log stops it.
        let (kept, more) = mpsc::channel();
        std::thread::spawn(move || log.map_while(Result::ok).for_each(|line| drop(kept.send(line))));
        let mut prometheus = Self {
            child,
            client: Client::new(address.to_string(), None),
            _folder: folder,
        };
        let end = Instant::now() + PATIENCE;
        while !matches!(prometheus.client.get("/-/ready").await, Ok(answer) if answer.status == 200) {
            if prometheus.child.try_wait().unwrap().is_some() || Instant::now() > end {
                let _ = prometheus.child.kill();
                said.extend(more.iter().map(|line| line + "\n"));
                panic!("Prometheus is never ready:\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    /// Asks a query now. Err: why it is none, as Prometheus says.
    pub async fn query(&self, expr: &str) -> Result<Vec<f64>, String> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(expr))).await;
        if answer["status"] != "success" {
            return Err(answer["error"].as_str().unwrap_or("no error is told").to_owned());
        }
        let result = &answer["data"]["result"];
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        match answer["data"]["resultType"].as_str() {
            Some("scalar") => Ok(result[1]
                .as_str()
                .and_then(|value| value.parse().ok())
                .into_iter()
                .collect()),
            _ => Ok(result.as_array().unwrap().iter().filter_map(value).collect()),
        }
    }

    /// Asks until there is a number among the answers. Err: what came instead, in the end.
    pub async fn number(&self, expr: &str) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let values = self.query(expr).await?;
            if values.iter().any(|value| value.is_finite()) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(match &values[..] {
                    [] => "no series".to_owned(),
                    values => format!("no number among {values:?}"),
                });
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Waits until a query's first value is at least this.
    pub async fn reaches(&self, expr: &str, least: f64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let values = self.query(expr).await;
            if values
                .as_ref()
                .is_ok_and(|values| values.first().is_some_and(|value| *value >= least))
            {
                return;
            }
            assert!(Instant::now() < end, "{expr} never came to {least}: {values:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the rules as Prometheus read them, once each was evaluated.
    pub async fn rules(&self) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.get("/api/v1/rules").await;
            let groups = told["data"]["groups"].as_array().unwrap().iter();
            let rules: Vec<Value> = groups
                .flat_map(|group| group["rules"].as_array().unwrap().clone())
                .collect();
            if rules.iter().all(|rule| rule["health"] != "unknown") {
                return rules;
            }
            assert!(Instant::now() < end, "rules were never evaluated: {told:#}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(path).await.unwrap().json().unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the files of rules in a folder; none if it is not there.
pub fn rule_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "yml"))
        .collect()
}

fn hurried(line: &str) -> String {
    match line.split_once("interval:") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}interval: 1s"),
        _ => line.to_owned(),
    }
}

fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}
