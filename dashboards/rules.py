"""Makes dashboards/rules/slos.yml of dashboards/slos.toml: prints it, or writes it with --write.

For each objective: the share of bad events in every window that an alert asks for, how many there were, and four alerts after
"Alerting on SLOs" of Google's SRE workbook (multi-window, multi-burn-rate). Both windows must burn: the long one says that it matters,
the short one that it still goes on, so that an alert ends minutes after its cause.
"""

import pathlib
import sys
import tomllib

HERE = pathlib.Path(__file__).parent

# How many times faster than even the budget burns, over which windows, who is told, and how long 30 days' budget lasts at that pace.
BURNS = [
    (14.4, "1h", "5m", "page", "2 days"),
    (6, "6h", "30m", "page", "5 days"),
    (3, "1d", "2h", "ticket", "10 days"),
    (1, "3d", "6h", "ticket", "30 days"),
]
SHORT, LONG = ["5m", "30m", "1h", "2h", "6h"], ["1d", "3d"]
COUNTED = ["1h", "6h", "1d", "3d"]
# What tells nodes apart. Only these, and the objective's own labels, are kept.
NODE = ["job", "instance"]

HEAD = """\
# Made by dashboards/rules.py of dashboards/slos.toml: change those, then `python3 dashboards/rules.py --write`.
# What the numbers mean: docs/slos.md. What to do when one of them fires: docs/runbooks.
groups:
"""


def main():
    slos = tomllib.loads((HERE / "slos.toml").read_text())["slo"]
    text = HEAD + "\n".join("\n".join([*records(slo), *alerts(slo)]) for slo in slos) + "\n"
    if sys.argv[1:] == ["--write"]:
        (HERE / "rules" / "slos.yml").write_text(text)
    elif sys.argv[1:]:
        sys.exit("usage: rules.py [--write]")
    else:
        sys.stdout.write(text)


def records(slo):
    """The recording rules of one objective: the long windows change slowly, and cost more to ask for."""
    name = slo["name"]
    for group, every, windows in [("", "30s", SHORT), ("_long", "2m", LONG)]:
        yield f"  - name: slo_{name}{group}"
        yield f"    interval: {every}"
        yield "    rules:"
        for window in windows:
            yield f"      - record: slo:{name}_errors:ratio_rate{window}"
            yield f"        expr: {ratio(slo, window)}"
        for window in windows:
            if window in COUNTED:
                yield f"      - record: slo:{name}_errors:increase{window}"
                yield f"        expr: {bad(slo, 'increase', window)}"
                if "total_min" in slo:
                    yield f"      - record: slo:{name}_events:increase{window}"
                    yield f"        expr: {total(slo, 'increase', window)}"


def alerts(slo):
    name, budget = slo["name"], round(100 - slo["objective"], 6)
    yield f"  - name: slo_{name}_alerts"
    yield "    interval: 30s"
    yield "    rules:"
    for pace, long, short, severity, lasts in BURNS:
        limit = f"{pace} * {budget:g} / 100"
        yield f"      - alert: {slo['alert']}"
        yield "        expr: |"
        yield f"          slo:{name}_errors:ratio_rate{long} > {limit}"
        yield f"          and slo:{name}_errors:ratio_rate{short} > {limit}"
        yield f"          and slo:{name}_errors:increase{long} >= {slo['errors_min']}"
        if "total_min" in slo:
            yield f"          and slo:{name}_events:increase{long} >= {slo['total_min']}"
        yield "        labels:"
        yield f"          severity: {severity}"
        yield f"          slo: {name}"
        yield f"          window: {long}"
        yield "        annotations:"
        yield f"          summary: \"{slo['says']}\""
        yield "          description: >-"
        yield f"            {{{{ $value | humanizePercentage }}}} of {slo['bad']}"
        yield f"            over the last {long}, where {budget:g}% is the budget: at {pace} times its pace or more, 30 days' budget lasts {lasts}."
        yield f"          runbook_url: docs/runbooks/{slo['alert']}.md"
        yield f"          dashboard: {slo['dashboard']}"


def ratio(slo, window):
    """The share of bad events. Without events there is no value: nothing divided by nothing is no reason to wake anyone."""
    if "histogram" in slo:
        return f"1 - {good(slo, 'rate', window)} / ({total(slo, 'rate', window)} > 0)"
    # A counter of errors that was never touched may not be there yet.
    whole = total(slo, "rate", window)
    return f"({bad(slo, 'rate', window)} or 0 * {whole}) / ({whole} > 0)"


def bad(slo, function, window):
    if "histogram" in slo:
        return f"{total(slo, function, window)} - {good(slo, function, window)}"
    return summed(slo, function, slo["errors"], window)


def good(slo, function, window):
    bound = f'{slo["bound"]:g}'
    # Prometheus 3 writes the bound 1 as 1.0.
    bound = f'le=~"{bound}|{bound}[.]0"' if slo["bound"].is_integer() else f'le="{bound}"'
    labels = ",".join(filter(None, [slo.get("where"), bound]))
    return summed(slo, function, f'{slo["histogram"]}_bucket{{{labels}}}', window)


def total(slo, function, window):
    if "total" in slo:
        return summed(slo, function, slo["total"], window)
    where = f'{{{slo["where"]}}}' if "where" in slo else ""
    return summed(slo, function, f'{slo["histogram"]}_count{where}', window)


def summed(slo, function, series, window):
    return f"sum by ({', '.join(NODE + slo.get('by', []))}) ({function}({series}[{window}]))"


main()
