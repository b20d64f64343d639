//! The rules of `dashboards/rules`: promtool takes them and runs their cases, each alert has one in which it fires and one in which it
//! keeps quiet, and each leads to a page that says what to do, in words that the service really uses.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edge::settings::Settings;
use support::stage::Stage;

/// What every page has, in this order.
const HEADINGS: [&str; 6] = [
    "What it means",
    "First look",
    "Causes, and how to tell them apart",
    "What to do",
    "What not to do",
    "When it ends",
];

/// One alerting rule. Those of a burn rate share a name and differ by window.
#[derive(Debug, Default)]
struct Alert {
    dashboard: String,
    name: String,
    severity: String,
    window: Option<String>,
    page: String,
}

#[test]
fn promtool_takes_every_rule() {
    let mut check = promtool();
    check.args(["check", "rules", "--lint-fatal"]).args(rule_files());
    succeeds(check);
}

#[test]
fn every_case_of_the_rules_holds() {
    let files = files_in("dashboards/rules/tests", "yml");
    assert!(files.len() >= 7, "{files:?}");
    // All at once: most of their time is spent in two of them.
    let runs: Vec<_> = files
        .iter()
        .map(|file| {
            let mut run = promtool();
            run.args(["test", "rules"]).arg(file);
            run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (run, file) in runs.into_iter().zip(&files) {
        let ended = run.wait_with_output().unwrap();
        assert!(
            ended.status.success(),
            "{}\n{}{}",
            file.display(),
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
    }
}

#[test]
fn the_committed_rules_are_what_the_table_of_objectives_makes() {
    let mut generator = Command::new(python());
    generator.arg(root().join("dashboards/rules.py"));
    let made = String::from_utf8(succeeds(generator)).unwrap();
    let committed = text(&root().join("dashboards/rules/slos.yml"));
    assert!(
        made == committed,
        "run `python3 dashboards/rules.py --write` and commit what it writes"
    );
}

#[test]
fn each_alert_fires_in_one_case_and_keeps_quiet_in_another() {
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for file in files_in("dashboards/rules/tests", "yml") {
        let text = text(&file);
        let mut name = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(asked) = line.strip_prefix("alertname: ") {
                asked.clone_into(&mut name);
            } else if line == "exp_alerts: []" {
                quiet.insert(name.clone());
            } else if let Some(labels) = line.strip_prefix("- exp_labels: ") {
                let labels = labels.trim_matches(['{', '}']);
                let label = |key: &str| {
                    let mut labels = labels.split(", ").filter_map(|label| label.split_once(": "));
                    labels.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
                };
                fires.insert((name.clone(), label("severity").unwrap(), label("window")));
            }
        }
    }
    let alerts = alerts();
    for alert in &alerts {
        let case = (alert.name.clone(), alert.severity.clone(), alert.window.clone());
        assert!(fires.contains(&case), "no case in which {case:?} fires");
        assert!(
            quiet.contains(&alert.name),
            "no case in which {} keeps quiet",
            alert.name
        );
    }
    assert!(alerts.len() >= 50, "{}", alerts.len());
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let alerts = alerts();
    let named: BTreeSet<PathBuf> = alerts.iter().map(|alert| root().join(&alert.page)).collect();
    let mut there: BTreeSet<PathBuf> = files_in("docs/runbooks", "md").into_iter().collect();
    let index = root().join("docs/runbooks/README.md");
    assert!(there.remove(&index));
    assert_eq!(
        named, there,
        "left: the pages that alerts name; right: those that are there"
    );

    let index = text(&index);
    for alert in &alerts {
        let page = text(&root().join(&alert.page));
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "{}", alert.page);
        assert!(
            page.contains(&format!("`{}`", alert.name)),
            "{} does not name {}",
            alert.page,
            alert.name
        );
        let board = format!("(`/d/{}`)", alert.dashboard);
        assert!(page.contains(&board), "{} does not send to {board}", alert.page);
        let row = format!("| `{}` | {} | [", alert.name, alert.severity);
        let file = Path::new(&alert.page).file_name().unwrap().to_str().unwrap();
        // A burn's page and ticket are one row.
        let shared = format!("| `{}` | page, ticket | [", alert.name);
        let listed = index
            .lines()
            .find(|line| line.starts_with(&row) || line.starts_with(&shared));
        let listed = listed.unwrap_or_else(|| panic!("docs/runbooks/README.md has no row {row}"));
        assert!(listed.contains(&format!("]({file})")), "{listed}");
    }
}

#[test]
fn sections_of_pages_say_something() {
    for file in files_in("docs/runbooks", "md")
        .iter()
        .filter(|file| !file.ends_with("README.md"))
    {
        for section in text(file).split("\n## ").skip(1) {
            let (heading, body) = section.split_once('\n').unwrap();
            let words = body.split_whitespace().count();
            assert!(words >= 5, "{}: {heading}: {body}", file.display());
        }
    }
}

#[test]
fn links_of_pages_lead_somewhere() {
    let pages = files_in("docs/runbooks", "md")
        .into_iter()
        .chain(["docs/slos.md", "docs/operations.md", "dashboards/README.md"].map(|page| root().join(page)));
    for page in pages {
        for link in text(&page)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.starts_with("https://"))
        {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let headings = text(&target);
                let mut anchors = headings.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor);
                assert!(anchors.any(|found| found == heading), "{}: {link}", page.display());
            }
        }
    }
}

/// The anchor that a heading gets: lower case, spaces as hyphens, nothing but letters, digits and hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || [' ', '-'].contains(letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Pages quote log messages as ``log `…` ``; whoever looks for one must find it.
#[test]
fn log_messages_of_pages_are_those_of_the_code() {
    let code = code();
    let mut quoted = 0;
    for file in files_in("docs/runbooks", "md") {
        let text = text(&file);
        for part in text.split("log `").skip(1) {
            let message = part.split('`').next().unwrap();
            assert!(code.contains(message), "{}: nothing logs `{message}`", file.display());
            quoted += 1;
        }
    }
    assert!(quoted >= 20, "{quoted}");
}

#[test]
fn commands_of_pages_are_those_of_the_binary() {
    let mut asked = 0;
    for file in files_in("docs/runbooks", "md")
        .into_iter()
        .chain([root().join("docs/operations.md")])
    {
        let text = text(&file);
        let (mut inline, mut lines) = (String::new(), Vec::new());
        for (at, part) in text.split("```").enumerate() {
            match at % 2 {
                0 => inline.push_str(part),
                _ => lines.extend(part.lines()),
            }
        }
        lines.extend(inline.split('`').skip(1).step_by(2));
        let lines = lines
            .into_iter()
            .map(|line| line.strip_prefix("sudo -u staffetta ").unwrap_or(line));
        for line in lines.filter(|line| line.starts_with("staffetta ")) {
            asked += 1;
            // Without settings it makes keys in the folder that one happens to stand in.
            assert!(
                !line.starts_with("staffetta keygen ") || line.contains("--settings"),
                "{}: {line}",
                file.display()
            );
            let mut words = line.split('#').next().unwrap().split_whitespace().skip(1);
            let mut help = Command::new(env!("CARGO_BIN_EXE_staffetta"));
            let command = words.next().unwrap();
            help.args([command, "--help"]);
            // What stands below a command is one of those it has; what is in capitals is to be filled in.
            let mut below = line.split('#').next().unwrap().split_whitespace().skip(2);
            let below = below
                .next()
                .filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
            let help = String::from_utf8(succeeds(help)).unwrap();
            let listed = |word: &str| help.lines().any(|line| line.starts_with(&format!("  {word} ")));
            assert!(below.is_none_or(listed), "{}: {line}: no such command", file.display());
            for option in words.filter_map(|word| word.strip_prefix("--")) {
                // The options of what comes below a command stand in its own help.
                let mut below = Command::new(env!("CARGO_BIN_EXE_staffetta"));
                below.args([command, line.split_whitespace().nth(2).unwrap(), "--help"]);
                let known = help.contains(&format!("--{option}"))
                    || String::from_utf8_lossy(&below.output().unwrap().stdout).contains(&format!("--{option}"));
                assert!(known, "{}: {line}: no option --{option}", file.display());
            }
        }
    }
    assert!(asked >= 50, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_metrics_and_thresholds_are_those_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path(), |_| {}).await;
    // A first delivery, so that nothing is missing for want of traffic.
    stage
        .deliver("1", &format!("a@{}", edge::demo::world::BUYER_DOMAIN))
        .await;
    let scraped = stage.admin.get("/metrics").await.unwrap().body;
    let scraped = String::from_utf8(scraped.to_vec()).unwrap();

    let table: toml::Table = text(&root().join("dashboards/slos.toml")).parse().unwrap();
    let slos = table["slo"].as_array().unwrap();
    assert_eq!(slos.len(), 7);
    for slo in slos {
        let Some(histogram) = slo.get("histogram") else {
            continue;
        };
        let (histogram, bound) = (histogram.as_str().unwrap(), slo["bound"].as_float().unwrap());
        let bucket = |line: &&str| line.starts_with(&format!("{histogram}_bucket{{"));
        assert!(scraped.lines().any(|line| bucket(&line)), "{histogram} is not there");
        let all = scraped
            .lines()
            .filter(bucket)
            .filter(|line| line.contains("le=\"+Inf\""))
            .count();
        let bounded = scraped
            .lines()
            .filter(bucket)
            .filter(|line| line.contains(&format!("le=\"{bound}\"")))
            .count();
        assert_eq!(bounded, all, "{histogram} has no bound at {bound}");
    }

    // Names that rules and pages use. Those of Redis are there only with Redis, so the code counts as well.
    let code = code();
    let mut unknown = BTreeSet::new();
    for file in rule_files()
        .into_iter()
        .chain(files_in("docs/runbooks", "md"))
        .chain([root().join("docs/slos.md")])
    {
        for name in metrics_in(&text(&file)) {
            let base = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| {
                    name.strip_suffix(end)
                        .filter(|base| code.contains(&format!("\"{base}\"")))
                })
                .unwrap_or(&name);
            // `projection_` stands for all that begin so.
            let end = if base.ends_with('_') { "" } else { "\"" };
            if !code.contains(&format!("\"{base}{end}")) && !scraped.contains(&format!("# TYPE {base} ")) {
                unknown.insert(format!("{name} in {}", file.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");

    // Thresholds that follow a setting's default.
    let defaults = Settings::read(None).unwrap();
    let alerts = text(&root().join("dashboards/rules/alerts.yml"));
    assert_eq!(defaults.store.disk_floor_bytes, 512 * 1024 * 1024);
    assert!(alerts.contains("store_disk_free_bytes < 512 * 1024 * 1024"));
    assert_eq!(defaults.store.tracked_len / 2, 32_768);
    assert!(alerts.contains("scheduler_tracked_backlog[5m])) > 32768"));
    stage.service.drain().await;
}

/// Reads every alerting rule. The files are ours, and promtool reads them, too: lines are enough.
fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for file in rule_files() {
        for line in text(&file).lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("- alert: ") {
                alerts.push(Alert {
                    name: name.to_owned(),
                    ..Alert::default()
                });
            }
            let Some(alert) = alerts.last_mut() else { continue };
            if let Some(severity) = line.strip_prefix("severity: ") {
                severity.clone_into(&mut alert.severity);
            } else if let Some(window) = line.strip_prefix("window: ") {
                alert.window = Some(window.to_owned());
            } else if let Some(page) = line.strip_prefix("runbook_url: ") {
                page.clone_into(&mut alert.page);
            } else if let Some(board) = line.strip_prefix("dashboard: ") {
                board.clone_into(&mut alert.dashboard);
            }
        }
    }
    for alert in &alerts {
        assert!(["page", "ticket"].contains(&alert.severity.as_str()), "{alert:?}");
        assert!(alert.page.starts_with("docs/runbooks/"), "{alert:?}");
    }
    alerts
}

/// Names of the service's metrics in a text: its parts' prefixes, and at least two words behind them.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let prefixes = [
        "api_",
        "mta_",
        "projection_",
        "scheduler_",
        "store_",
        "tracker_",
        "process_",
    ];
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':' || letter == '*'))
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)) && !word.contains(['*', ':']))
        .map(str::to_owned)
        .collect()
}

/// All code of the service in one text.
fn code() -> String {
    let mut code = String::new();
    for part in [
        "api",
        "edge",
        "mta",
        "scheduler",
        "projection",
        "store",
        "tracker",
        "policy",
        "types",
    ] {
        let mut folders = vec![root().join(part).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    code.push_str(&text(&entry));
                }
            }
        }
    }
    code
}

fn rule_files() -> Vec<PathBuf> {
    files_in("dashboards/rules", "yml")
}

fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Debian's `prometheus` brings it; `make setup` installs that.
fn promtool() -> Command {
    Command::new("promtool")
}

/// Runs a command that must succeed, and returns what it printed.
fn succeeds(mut command: Command) -> Vec<u8> {
    let ended = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `make setup` installs what is needed"));
    assert!(
        ended.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    ended.stdout
}

/// The interpreter that `make setup` prepared; nothing but its own library is needed.
fn python() -> PathBuf {
    if let Some(told) = std::env::var_os("STAFFETTA_PYTHON") {
        return told.into();
    }
    let prepared = root().join(".venv/bin/python3");
    if prepared.exists() { prepared } else { "python3".into() }
}
