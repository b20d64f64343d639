//! The service under test: started on a data folder of its own, furnished over its API, asked over its listeners, killed and started
//! again.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::http::{self, Answer, Connection};
use crate::process::{Group, Process, Program};

/// The host of its tracking links; tokens are bound to it.
pub(crate) const TRACKING_HOST: &str = "track.localhost";
/// The shop whose orders are posted.
pub(crate) const PUBLISHER: &str = "publisher";
/// The shops whose offers are in its mails, with what they sell.
pub(crate) const ADVERTISERS: [(&str, &str); 3] = [
    ("advertiser-0", "food"),
    ("advertiser-1", "garden"),
    ("advertiser-2", "home"),
];
/// How long it may take to be ready, recovery included.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// How much of its log is told if it ends by itself.
const LOG_LINES: usize = 8;
/// A mail of 6 KB with three offers. The built-in one has 14 KB.
const OFFER_HTML: &str = include_str!("../furniture/offer.html");
const OFFER_TEXT: &str = include_str!("../furniture/offer.txt");

/// Which DKIM keys its shops sign with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dkim {
    /// RSA-2048, as nearly everybody does.
    #[default]
    Rsa,
    /// Ed25519 alone.
    Ed25519,
}

/// Where it sends all mail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// To one host, whatever the domain.
    Host(SocketAddr),
    /// To the exchangers that this name server tells, at this port.
    Exchangers { nameserver: SocketAddr, smtp_port: u16 },
}

/// How it is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Holds settings, log and data.
    pub(crate) folder: PathBuf,
    pub(crate) route: Route,
    pub(crate) dkim: Dkim,
    /// Settings (TOML) that win over ours.
    pub(crate) settings: toml::Table,
    /// Beside ours: a preloaded library, for one.
    pub(crate) environment: Vec<(String, String)>,
}

/// Returns the program that was named, or else the binary beside this one, which is what `cargo build --release` makes.
pub(crate) fn binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    match named {
        Some(named) => Ok(named.to_owned()),
        None => binary_beside_ours(),
    }
}

/// Returns the version of a binary, as `--version` tells it.
pub(crate) fn version(binary: &Path) -> anyhow::Result<String> {
    let told = Command::new(binary).arg("--version").output()?;
    let told = String::from_utf8_lossy(&told.stdout);
    Ok(told.split_whitespace().last().unwrap_or_default().to_owned())
}

/// The binary beside this one, which is what `cargo build --release` makes.
pub(crate) fn binary_beside_ours() -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let path = ours.with_file_name("staffetta");
    if !path.is_file() {
        bail!(
            "{} is not there: build it with `cargo build --release -p edge`",
            path.display()
        );
    }
    Ok(path)
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Staffetta {
    setup: Setup,
    group: Group,
    process: Process,
    addresses: Addresses,
    operator: String,
    shop: String,
    records: Vec<(String, String)>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) api: SocketAddr,
    pub(crate) tracker: SocketAddr,
    pub(crate) tracker_tls: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

impl Staffetta {
    /// Starts it on an empty folder and furnishes it: a shop with a template of 6 KB, three advertisers with a campaign each, a key.
    pub(crate) async fn start(setup: Setup) -> anyhow::Result<Self> {
        fs::create_dir_all(&setup.folder)?;
        fs::write(setup.folder.join("staffetta.toml"), settings(&setup)?)?;
        let mut group = Group::new("staffetta");
        let (process, addresses) = launch(&setup, &mut group)?;
        let said = process.said();
        let operator = said
            .lines()
            .find_map(|line| line.strip_prefix("operator key")?.rsplit(' ').next())
            .context("it did not print its operator key")?
            .to_owned();
        let mut service = Self {
            setup,
            group,
            process,
            addresses,
            operator,
            shop: String::new(),
            records: Vec::new(),
        };
        service.furnish().await.context("furnishing the service")?;
        Ok(service)
    }

    /// Returns where it listens now; a start may change it.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns the operator's key.
    pub(crate) fn operator_key(&self) -> &str {
        &self.operator
    }

    /// Returns the key of the shop `publisher`, with scopes `send`, `read` and `manage`.
    pub(crate) fn shop_key(&self) -> &str {
        &self.shop
    }

    /// Returns the DKIM records of its shops, name and text.
    pub(crate) fn dkim_records(&self) -> &[(String, String)] {
        &self.records
    }

    /// Returns its version, as `--version` tells it.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let told = std::process::Command::new(&self.setup.binary)
            .arg("--version")
            .output()?;
        let told = String::from_utf8_lossy(&told.stdout);
        Ok(told.split_whitespace().last().unwrap_or_default().to_owned())
    }

    /// Returns its processes, for accounting.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns how it ended, with the end of its log, if it ended by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let Some(status) = self.process.ended()? else {
            return Ok(None);
        };
        Ok(Some(format!("{status}; its log ends with\n{}", self.log_tail())))
    }

    /// Returns the last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let said = self.process.said();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LOG_LINES)..);
        last.unwrap_or_default().join("\n")
    }

    /// Kills it (`kill -9`), and returns once it is gone.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same data, at the same addresses, and returns once it is ready: recovery included.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        (self.process, self.addresses) = launch(&self.setup, &mut self.group)?;
        Ok(began.elapsed())
    }

    /// Lets it drain (SIGTERM).
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop()?;
        Ok(())
    }

    /// Sends one request on a connection of its own; `key` as bearer token.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        key: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = http::json_headers(key);
        let request = http::request(method, path, &address.to_string(), &headers, body.as_bytes());
        let mut connection = Connection::open(address).await?;
        tokio::time::timeout(Duration::from_secs(30), connection.exchange(&request))
            .await
            .with_context(|| format!("{method} {path} took more than 30 s"))?
    }

    /// Asks the API with the operator's key, and expects success.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let answer = self.ask(self.addresses.api, &self.operator, method, path, body).await?;
        answer.json().with_context(|| format!("{method} {path}"))
    }

    /// Returns the text of `/metrics`.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let answer = self
            .ask(self.addresses.admin, &self.operator, "GET", "/metrics", None)
            .await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    async fn furnish(&mut self) -> anyhow::Result<()> {
        let shops = [(PUBLISHER, "shoes")].into_iter().chain(ADVERTISERS);
        for (shop, category) in shops {
            let path = format!("/v1/shops/{shop}");
            let answer = self
                .api("PUT", &path, Some(&shop_document(shop, category, self.setup.dkim)))
                .await?;
            let records = answer.get("dns").and_then(Value::as_array).into_iter().flatten();
            let text = |record: &Value, field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
            self.records
                .extend(records.filter_map(|record| Some((text(record, "name")?, text(record, "value")?))));
        }
        let source = json!({ "subject": "{{ shop.name }}: offerte per te", "html": OFFER_HTML, "text": OFFER_TEXT });
        let template = json!({ "kind": "offer", "sources": { "it": source } });
        self.api("PUT", "/v1/templates/compact?shop=publisher", Some(&template))
            .await?;
        let mut publisher = shop_document(PUBLISHER, "shoes", self.setup.dkim);
        if let Some(document) = publisher.as_object_mut() {
            document.insert("offer_template".to_owned(), json!("compact"));
        }
        self.api("PUT", &format!("/v1/shops/{PUBLISHER}"), Some(&publisher))
            .await?;
        for (number, (shop, category)) in ADVERTISERS.into_iter().enumerate() {
            let campaign = json!({
                "advertiser": shop, "categories": [category], "price": { "amount": 90 + number, "currency": "EUR" },
                "landing_url": format!("https://{shop}.example/?c={{click_id}}"),
                "creatives": { "it": {
                    "title": format!("Un'offerta per la tua casa, numero {number}"),
                    "text": "Tre miscele tostate a legna, macinate il giorno della spedizione.",
                    "button": "Guarda",
                } },
            });
            self.api("PUT", &format!("/v1/campaigns/campaign-{number}"), Some(&campaign))
                .await?;
        }
        let scopes = json!({ "id": "loadtest", "scopes": ["send", "read", "manage"] });
        let path = format!("/admin/v1/shops/{PUBLISHER}/keys");
        let made = self
            .ask(self.addresses.admin, &self.operator, "POST", &path, Some(&scopes))
            .await?
            .json()?;
        made.get("key")
            .and_then(Value::as_str)
            .context("no key in the answer")?
            .clone_into(&mut self.shop);
        Ok(())
    }
}

/// Reads a metric from the text of `/metrics`: the sum over all its series whose labels hold `label`.
pub(crate) fn metric(text: &str, name: &str, label: &str) -> f64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn shop_document(shop: &str, category: &str, dkim: Dkim) -> Value {
    let dkim = match dkim {
        Dkim::Rsa => "rsa",
        Dkim::Ed25519 => "ed25519",
    };
    json!({
        "name": format!("Shop {shop}"), "url": format!("https://{shop}.example/"), "language": "it", "country": "IT",
        "promotional": { "address": format!("offers@news.{shop}.example"), "dkim": dkim },
        "transactional": { "address": format!("orders@{shop}.example"), "dkim": dkim },
        "categories": [category], "postal_address": "Via Roma 1, 10121 Torino, Italia", "color": "#1f5f8b",
    })
}

/// Writes its settings: ours, and over them those of the setup, table by table.
fn settings(setup: &Setup) -> anyhow::Result<String> {
    let mut delivery = String::from("allow_private_destinations = true\nconnections_max = 64\n");
    match setup.route {
        Route::Host(sink) => writeln!(
            delivery,
            "routes = [{{ domain = \"*\", host = \"{}\", port = {} }}]",
            sink.ip(),
            sink.port()
        )?,
        Route::Exchangers { nameserver, smtp_port } => {
            writeln!(delivery, "nameserver = \"{nameserver}\"\nsmtp_port = {smtp_port}")?;
        }
    }
    let [api, tracker, admin] = [
        crate::process::free_port()?,
        crate::process::free_port()?,
        crate::process::free_port()?,
    ];
    let ours = format!(
        "[listen]\napi = \"127.0.0.1:{api}\"\ntracker = \"127.0.0.1:{tracker}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         [store]\ndata_dir = \"{}\"\n[api]\nrequests_per_second = 1000000\n[submit]\ntracking_host = \"{TRACKING_HOST}\"\n\
         [delivery]\n{delivery}",
        data(&setup.folder).display(),
    );
    let mut table: toml::Table = toml::from_str(&ours)?;
    overlay(&mut table, &setup.settings);
    Ok(toml::to_string(&table)?)
}

/// Writes a table over another, key by key at every depth.
pub(crate) fn overlay(below: &mut toml::Table, above: &toml::Table) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            _ => {
                below.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Starts the program and waits until it says that it is ready.
fn launch(setup: &Setup, group: &mut Group) -> anyhow::Result<(Process, Addresses)> {
    let mut program = Program::new(&setup.binary, &setup.folder)
        .args(["serve", "--settings"])
        .args([setup.folder.join("staffetta.toml")])
        .envs(&setup.environment);
    // What an earlier start said must not be taken for this one's.
    let earlier = fs::read_to_string(&program.log).map_or(0, |text| text.len());
    program.environment.push(("RUST_LOG".to_owned(), "info".to_owned()));
    let mut process = group.spawn(&program)?;
    let end = Instant::now() + READY_WITHIN;
    while Instant::now() < end {
        let said = process.said();
        let ready = said
            .get(earlier..)
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line.get("message").and_then(Value::as_str) == Some("ready"));
        if let Some(ready) = ready {
            let address = |name: &str| -> Option<SocketAddr> { ready.get(name)?.as_str()?.parse().ok() };
            let addresses = Addresses {
                api: address("api").context("no address of the API")?,
                tracker: address("tracker").context("no address of the tracker")?,
                tracker_tls: address("tracker_tls"),
                admin: address("admin").context("no address of the admin listener")?,
            };
            return Ok((process, addresses));
        }
        if let Some(status) = process.ended()? {
            bail!("the service ended with {status}:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the service was not ready within {READY_WITHIN:?}:\n{}", process.said())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_scenario_win_key_by_key() {
        let setup = Setup {
            binary: PathBuf::new(),
            folder: PathBuf::from("/x"),
            route: Route::Host(([127, 0, 0, 1], 2525).into()),
            dkim: Dkim::Rsa,
            settings: toml::from_str("[delivery]\nconnections_max = 3\n[store]\nrunners = 1").unwrap(),
            environment: Vec::new(),
        };
        let table: toml::Table = toml::from_str(&settings(&setup).unwrap()).unwrap();
        assert_eq!(table["delivery"]["connections_max"].as_integer(), Some(3));
        assert_eq!(table["delivery"]["allow_private_destinations"].as_bool(), Some(true));
        assert_eq!(table["store"]["runners"].as_integer(), Some(1));
        assert_eq!(table["store"]["data_dir"].as_str(), Some("/x/data"));
    }

    #[test]
    fn metrics_are_summed_over_their_series() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3\nab 9\nb 4\n";
        assert!((metric(text, "a", "") - 5.0).abs() < 1e-9);
        assert!((metric(text, "a", "x=\"2\"") - 3.0).abs() < 1e-9);
        assert!((metric(text, "b", "") - 4.0).abs() < 1e-9);
    }
}
