use super::sample::sample;
use super::*;

#[test]
fn a_report_comes_back_from_its_json_whole() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write(&sample(), &folder.path().join("new")).unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(&paths.json).unwrap()).unwrap();
    assert!(
        json == rounded(&sample()).unwrap(),
        "every field is there, to nine digits"
    );
    let back: Report = serde_json::from_value(json.clone()).unwrap();
    assert!(rounded(&back).unwrap() == json, "and comes back");
    // The command makes the same page of it.
    let page = std::fs::read_to_string(&paths.html).unwrap();
    std::fs::remove_file(&paths.html).unwrap();
    run(&Arguments { file: paths.json }).unwrap();
    assert!(std::fs::read_to_string(&paths.html).unwrap() == page);
}

#[test]
fn every_text_of_a_report_stands_on_the_page_and_every_number_of_a_plot_in_its_data() {
    let report = rounded(&sample()).unwrap();
    let page = page::page(&sample()).unwrap();
    let shown = page
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
        .replace("&#x2f;", "/")
        .replace(number::THIN, ",");
    let mut texts = Vec::new();
    collect(&report, &mut texts);
    assert!(texts.len() > 100, "{texts:?}");
    for text in texts {
        assert!(
            shown.contains(&text) || shown.contains(&serde_json::to_string(&text).unwrap()) || text == "bars",
            "{text} is not on the page"
        );
    }
    let begin = page.find("application/json\">").unwrap() + "application/json\">".len();
    let end = begin + page[begin..].find("</script>").unwrap();
    let data: Value = serde_json::from_str(&page[begin..end]).unwrap();
    let lines: Vec<Value> = report["charts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|chart| chart["kind"] != "bars")
        .cloned()
        .collect();
    assert!(data["charts"] == Value::Array(lines));
    assert!(data["marks"] == report["marks"]);
    assert!(data["latencies"] == report["latencies"]);
}

#[test]
fn what_a_report_says_is_text_and_never_markup() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>";
    let mut report = sample();
    report.title = evil.to_owned();
    report.scenario = evil.to_owned();
    report.marks[0].what = evil.to_owned();
    report.tables[0].rows[0][0] = evil.to_owned();
    report.charts[0].series[0].name = evil.to_owned();
    report.charts.last_mut().unwrap().labels[0] = evil.to_owned();
    let page = page::page(&report).unwrap();
    assert!(!page.contains("<script>alert"));
    assert!(!page.contains("<img"));
    assert!(page.contains("&lt;script&gt;alert"));
    assert_eq!(page.matches("<script").count(), 2, "the data and the script");
    assert_eq!(page.matches("</script").count(), 2);
    report.title = "a\u{1b}[2Jb".to_owned();
    assert!(!text(&report).contains('\u{1b}'), "nor does it steer a terminal");
}

#[test]
fn the_page_loads_nothing() {
    let page = page::page(&sample()).unwrap();
    for loads in [
        "src=",
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "sendBeacon",
        "import(",
    ] {
        assert!(!page.contains(loads), "{loads}");
    }
    let targets: Vec<&str> = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(
        targets
            .iter()
            .all(|target| target.starts_with("data:") || target.starts_with('#')),
        "{targets:?}"
    );
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_finding_is_worded_from_what_was_wrong_unless_it_is_given() {
    let mut report = sample();
    let finding = |report: &Report| report.finding().0;
    assert_eq!(finding(&report), "Nothing lost, nothing sent twice");
    report.intact = Some(false);
    report.figures[0].value = 3.0;
    report.figures[0].good = Some(false);
    assert_eq!(finding(&report), "Not intact: 3 orders lost");
    let page = page::page(&report).unwrap();
    assert!(page.contains("finding bad") && page.contains("tile bad"));
    report.verdict = "Three orders of a thousand were lost".to_owned();
    assert_eq!(finding(&report), report.verdict);
    report.verdict.clear();
    report.intact = None;
    assert_eq!(finding(&report), "");
    assert!(!page::page(&report).unwrap().contains("class=\"finding"));
}

#[test]
fn an_empty_report_is_a_page_too() {
    let report = Report::default();
    assert!(page::page(&report).unwrap().contains("</html>"));
    assert!(text(&report).lines().count() < 5);
    // What was not measured is null in JSON and a dash for people.
    let mut report = sample();
    report.figures[0].value = f64::NAN;
    let json = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&json).unwrap();
    assert!(back.figures[0].value.is_nan());
    assert!(text(&back).contains('–'));
}

#[test]
fn the_text_says_the_findings_in_aligned_columns() {
    let text = text(&sample());
    for said in [
        "Nothing lost, nothing sent twice",
        "38.3 ms",
        "4,346/s",
        "31,043/s alone",
        "14 % of it",
        "order: POST to the receiver's 250",
        "delivered once",
        "warning: Other work took 3 % of the machine.",
    ] {
        assert!(text.contains(said), "{said} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    // Numbers of a column end in the same place.
    let ends = |line: &str| line.find("62,398").map(|place| place + "62,398".len());
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("  orders  ") || line.contains("  messages  "))
        .collect();
    let orders = ends(rows.iter().find(|row| row.contains("orders")).unwrap());
    let messages = rows.iter().find(|row| row.contains("messages")).unwrap();
    let third = messages
        .match_indices("5,000")
        .nth(2)
        .map(|(place, found)| place + found.len());
    assert_eq!(orders, third, "{text}");
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(values) => values.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

#[test]
fn columns_of_numbers_are_told_from_replies_and_names() {
    let table = &sample().tables[1];
    assert_eq!(table.right_aligned(), [false, false, true, false]);
}
