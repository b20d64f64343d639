//! The committed boards, as their files say, and the names in their queries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates' prefixes of metric names, and those of the process.
const PREFIXES: [&str; 8] = [
    "api_",
    "mta_",
    "process_",
    "projection_",
    "scheduler_",
    "staffetta_",
    "store_",
    "tracker_",
];
/// What a query may use besides the board's variables, with what it stands for in a test.
const BUILT_IN: [(&str, &str); 3] = [("$__rate_interval", "10m"), ("$__range", "1h"), ("$__interval", "15s")];

/// A board.
pub struct Board {
    /// The file's name without its ending.
    pub name: String,
    pub document: Value,
}

/// The folder of boards and rules.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// Reads every board.
pub fn all() -> Vec<Board> {
    read(&folder())
}

/// Has the generator write the boards anew, and reads them.
pub fn generated() -> Vec<Board> {
    let made = tempfile::tempdir().unwrap();
    let ran = Command::new(python())
        .arg(folder().join("build.py"))
        .arg(made.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    read(made.path())
}

fn read(folder: &Path) -> Vec<Board> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|file| file.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    let board = |file: &PathBuf| Board {
        name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
        document: serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap(),
    };
    files.iter().map(board).collect()
}

/// The interpreter is `STAFFETTA_PYTHON`, else the repository's `.venv`, else `python3`.
fn python() -> PathBuf {
    if let Some(told) = std::env::var_os("STAFFETTA_PYTHON") {
        return told.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    if own.exists() { own } else { "python3".into() }
}

impl Board {
    /// Its panels but for the rows.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.document["panels"].as_array().unwrap().iter();
        panels.filter(|panel| panel["type"] != "row")
    }

    /// The title of each panel with each of its queries.
    pub fn queries(&self) -> Vec<(String, String)> {
        let of = |panel: &Value| {
            let title = format!("{} / {}", self.name, panel["title"].as_str().unwrap());
            let targets = panel["targets"].as_array().unwrap().clone();
            targets
                .into_iter()
                .map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
        };
        self.panels().flat_map(of).collect()
    }

    /// The queries by which restarts and the like are marked.
    pub fn annotations(&self) -> Vec<String> {
        let listed = self.document["annotations"]["list"].as_array().unwrap().iter();
        listed.map(|mark| mark["expr"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of its variables.
    pub fn variables(&self) -> Vec<&str> {
        let listed = self.document["templating"]["list"].as_array().unwrap().iter();
        listed.map(|variable| variable["name"].as_str().unwrap()).collect()
    }

    /// A query as Grafana sends it when all of everything is chosen. Panics at a variable that there is not.
    pub fn resolved(&self, expr: &str) -> String {
        let built_in = BUILT_IN
            .iter()
            .fold(expr.to_owned(), |text, (name, value)| text.replace(name, value));
        let variables = self.variables().into_iter();
        let text = variables.fold(built_in, |text, name| text.replace(&format!("${name}"), ".*"));
        assert!(
            !text.contains('$'),
            "{}: a variable that is not the board's in {expr}",
            self.name
        );
        text
    }
}

/// Returns our metrics that a query names: those of histograms by the name of the part.
pub fn metrics(expr: &str) -> BTreeSet<String> {
    // What stands in quotes is a label's value.
    let outside = expr
        .split('"')
        .step_by(2)
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)));
    let ours = outside.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    ours.map(str::to_owned).collect()
}
