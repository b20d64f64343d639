"""What the boards are made of: PromQL in few words, panels in one call each, and their places on the grid.

The schema is that of Grafana's own Foundation SDK. Queries are written without the selector of job and instance, which `selected` adds
to each of our metrics, so that a board cannot forget it.
"""

import re

from grafana_foundation_sdk.builders import bargauge, common as commons, dashboard as boards, prometheus, stat as stats, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from pages import PAGES, named, title as title_of

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
OURS = re.compile(r"\b((?:api|mta|projection|scheduler|store|tracker|process|staffetta)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?")
WIDTH = 24


# PromQL.

def selected(expr):
    """Selects the board's job and instance wherever a metric of ours is named."""
    def selector(found):
        return f'{found[1]}{{{", ".join(filter(None, [TARGET, found[2]]))}}}'
    return OURS.sub(selector, expr)


TARGET = 'job=~"$job", instance=~"$instance"'


def grouped(function, by, inner):
    return f"{function} by ({by}) ({inner})" if by else f"{function}({inner})"


def rate(metric, by=""):
    return grouped("sum", by, f"rate({metric}[$__rate_interval])")


def increase(metric, by="", over="$__range"):
    return grouped("sum", by, f"increase({metric}[{over}])")


def part(metric, suffix):
    """Names a part of a histogram that may come with a selector: `h{a="b"}` and `_bucket` make `h_bucket{a="b"}`."""
    name, brace, rest = metric.partition("{")
    return name + suffix + brace + rest


def quantile(share, metric, by=""):
    return f"histogram_quantile({share}, {rate(part(metric, '_bucket'), ', '.join(filter(None, ['le', by])))})"


def percentiles(metric):
    return [(f"p{round(share * 100)}", quantile(share, metric)) for share in (0.5, 0.9, 0.99)]


def mean(metric):
    return f"{rate(part(metric, '_sum'))} / {rate(part(metric, '_count'))}"


def those(expr):
    """Leaves out what stands at zero: of many labels, those that something happened to."""
    return f"{expr} > 0"


def share(some, all_of_them, by=""):
    """Nothing, rather than 0/0, while there are none."""
    return f"{rate(some, by)} / ({rate(all_of_them, by)} > 0)"


# Panels. Each is a title, a unit, what healthy looks like and what to do otherwise, and queries as (legend, expression).

def graph(title, unit, healthy, *queries, width=8, bound=None, stack=False, log=False, top=None, to=None):
    panel = timeseries.Panel().legend(
        commons.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    ).tooltip(commons.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    panel.color_scheme(color(dashboard.FieldColorModeId.PALETTE_CLASSIC)).no_value("none")
    panel.line_width(1).fill_opacity(25 if stack else 8).show_points(common.VisibilityMode.NEVER)
    if stack:
        panel.stacking(commons.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if log:
        panel.scale_distribution(commons.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    else:
        panel.axis_soft_min(0)
    if top is not None:
        panel.max(top)
    if bound is not None:
        panel.thresholds(steps((None, "green"), (bound, "red")))
        panel.thresholds_style(commons.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    return finished(panel, title, unit, healthy, queries, width, 8, to=to)


def stat(title, unit, healthy, *queries, width=4, colors=((None, "green"),), names=False, to=None):
    panel = valued(stats.Panel(), colors).color_mode(common.BigValueColorMode.VALUE)
    panel.graph_mode(common.BigValueGraphMode.NONE if names else common.BigValueGraphMode.AREA)
    panel.text_mode(common.BigValueTextMode.NAME if names else common.BigValueTextMode.AUTO)
    return finished(panel, title, unit, healthy, queries, width, 4, to=to)


def bars(title, unit, healthy, *queries, width=8, colors=((None, "green"),), low=0, top=None, to=None):
    panel = valued(bargauge.Panel(), colors).orientation(common.VizOrientation.HORIZONTAL)
    panel.display_mode(common.BarGaugeDisplayMode.BASIC).min(low)
    if top is not None:
        panel.max(top)
    return finished(panel, title, unit, healthy, queries, width, 8, instant=True, to=to)


def finished(panel, title, unit, healthy, queries, width, height, instant=False, to=None):
    panel.title(title).unit(unit).description(healthy).datasource(SOURCE).span(width).height(height)
    flat = [query for given in queries for query in (given if isinstance(given, list) else [given])]
    for number, (legend, expr) in enumerate(flat):
        query = prometheus.Dataquery().expr(selected(expr)).legend_format(legend).ref_id(chr(ord("A") + number))
        query.format(PromQueryFormat.TIME_SERIES).datasource(SOURCE)
        panel.with_target(query.instant() if instant else query.range())
    panel.links(list(links(to, [expr for _, expr in flat])))
    return panel


def links(to, exprs):
    """Leads to the board that says more, and to the pages of the alerts that ask for the same metrics."""
    if to:
        yield boards.DashboardLink(f"Board: {to.capitalize().replace('-', ' ')}").type(dashboard.DashboardLinkType.LINK).url(
            f"/d/staffetta-{to}?${{__url_time_range}}&${{__all_variables}}")
    for page in dict.fromkeys(page for expr in exprs for metric in sorted(named(expr)) for page in PAGES.get(metric, [])):
        yield boards.DashboardLink(f"Runbook: {title_of(page)}").type(dashboard.DashboardLinkType.LINK).url(f"docs/runbooks/{page}.md")


def steps(*colors):
    listed = [dashboard.Threshold(value=value, color=color) for value, color in colors]
    return boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(listed)


def color(mode):
    return boards.FieldColor().mode(mode)


def valued(panel, colors):
    """Has a panel show the last value, in its threshold's colour."""
    panel.color_scheme(color(dashboard.FieldColorModeId.THRESHOLDS)).thresholds(steps(*colors))
    return panel.reduce_options(commons.ReduceDataOptions().calcs(["lastNotNull"]).values(False))


# Boards.

def board(name, title, healthy, rows, *, provider=False, since="now-6h"):
    """Makes a board of rows, each a title and its panels, which are set from left to right and wrapped."""
    made = boards.Dashboard(f"Staffetta / {title}").uid(f"staffetta-{name}").description(healthy).tags(["staffetta"]).readonly()
    made.time(since, "now").refresh("30s").timezone("browser").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    made.link(
        boards.DashboardLink("Boards").type(dashboard.DashboardLinkType.DASHBOARDS).tags(["staffetta"])
        .as_dropdown(True).include_vars(True).keep_time(True)
    )
    made.with_variable(boards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    made.with_variable(variable("job", "staffetta_build_info", current="staffetta"))
    made.with_variable(variable("instance", 'staffetta_build_info{job=~"$job"}'))
    if provider:
        made.with_variable(variable("provider", 'mta_attempts_total{job=~"$job"}'))
    made.annotation(
        boards.AnnotationQuery().name("Restarts").datasource(SOURCE).enable(True).icon_color("orange")
        .expr(selected("changes(process_start_time_seconds[2m]) > 0"))
    )
    y = 0
    for heading, panels in rows:
        made.with_row(boards.Row(heading).grid_pos(dashboard.GridPos(x=0, y=y, w=WIDTH, h=1)))
        y, x, height = y + 1, 0, 0
        for panel in panels:
            place = panel.build().grid_pos
            if x + place.w > WIDTH:
                x, y, height = 0, y + height, 0
            panel.grid_pos(dashboard.GridPos(x=x, y=y, w=place.w, h=place.h))
            made.with_panel(panel)
            x, height = x + place.w, max(height, place.h)
        y += height
    built = made.build()
    for number, panel in enumerate(built.panels):
        panel.id_val = number + 1
    return name, built


def variable(name, series, current=None):
    made = boards.QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(f"label_values({series}, {name})")
    made.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    made.current(dashboard.VariableOption(text=current or "All", value=current or "$__all", selected=True))
    return made if current else made.multi(True).include_all(True).all_value(".*")
