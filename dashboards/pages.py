"""Which runbook tells of a metric: that of each alert whose rule asks for it. So a panel leads to the page that its alert leads to."""

import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).parent
METRIC = re.compile(r"\b(?:api|mta|process|projection|scheduler|store|tracker)_[a-z0-9_]+")
RULE = re.compile(r"\n      - (alert|record): (\S+)\n(.*?)(?=\n      - (?:alert|record): |\n  - name: |\Z)", re.S)


def named(text):
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in METRIC.findall(text)}


def pages():
    """Returns the pages of each metric, by the name of their file."""
    found, recorded = {}, {}
    for slo in tomllib.loads((HERE / "slos.toml").read_text())["slo"]:
        for metric in named(slo.get("histogram", "") + slo.get("errors", "")):
            found.setdefault(metric, []).append(slo["alert"])
    for kind, name, body in RULE.findall((HERE / "rules" / "alerts.yml").read_text()):
        expr = re.split(r"\n        (?:for|labels):", re.sub(r"#.*", "", body))[0]
        metrics = named(expr).union(*(metrics for rule, metrics in recorded.items() if rule in expr))
        if kind == "record":
            # The start of the process only tells its lives apart there.
            recorded[name] = {metric for metric in metrics if not metric.startswith("process_")}
            continue
        page = re.search(r"runbook_url: docs/runbooks/(\w+)\.md", body)[1]
        for metric in metrics:
            found.setdefault(metric, []).append(page)
    return {metric: list(dict.fromkeys(pages)) for metric, pages in found.items()}


def title(page):
    return (HERE.parent / "docs" / "runbooks" / f"{page}.md").read_text().split("\n")[0].removeprefix("# ")


PAGES = pages()
