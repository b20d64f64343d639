"""The boards, and the program that writes them: `.venv/bin/python3 dashboards/build.py` makes dashboards/*.json.

A panel says what healthy looks like and what to do otherwise: the one who looks was woken by it. Objectives come from slos.toml.
"""

import json
import pathlib
import sys
import tomllib

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from panels import bars, board, graph, increase, mean, part, percentiles, quantile, rate, share, stat, those

HERE = pathlib.Path(__file__).parent
SLOS = {slo["name"]: slo for slo in tomllib.loads((HERE / "slos.toml").read_text())["slo"]}
RED_ABOVE_0 = ((None, "green"), (1, "red"))
PEOPLE = 'class=~"human|gmail_proxy|other_proxy"'
SENT = 'outcome=~"delivered|deferred|failed|in_doubt"'


def with_label(metric, label):
    name, _, rest = metric.partition("{")
    return name + "{" + ", ".join(filter(None, [rest.rstrip("}"), label])) + "}"


def failing(slo, over):
    """The share of an objective's events that are bad; nothing while there are none.

    Where each label has a budget of its own, the worst with enough events; while none has enough, all of them together.
    """
    if "histogram" in slo:
        count = part(f'{slo["histogram"]}{{{slo.get("where", "")}}}', "_count")
        # The client writes le="1", and Prometheus from 3.0 on stores "1.0".
        le = "|".join(dict.fromkeys([f'{slo["bound"]:g}', str(slo["bound"])]))
        good = with_label(part(f'{slo["histogram"]}{{{slo.get("where", "")}}}', "_bucket"), f'le=~"{le}"')
        return f"(1 - {increase(good, over=over)} / ({increase(count, over=over)} > 0))"
    def ratio(by, least):
        return f'{increase(slo["errors"], by, over)} / ({increase(slo["total"], by, over)} > {least})'
    by = ", ".join(slo.get("by", []))
    return f'(max({ratio(by, slo.get("total_min", 0))}) or {ratio("", 0)})' if by else f'({ratio("", 0)})'


def allowed(slo):
    return f'{1 - slo["objective"] / 100:.6g}'


def bound(name):
    slo = SLOS[name]
    return slo["bound"] if "bound" in slo else float(allowed(slo))


BUDGETS = [(name, f"1 - {failing(slo, '30d')} / {allowed(slo)}") for name, slo in SLOS.items()]
BURNS = [(name, f"{failing(slo, '1h')} / {allowed(slo)}") for name, slo in SLOS.items()]

FIRST = 'mta_delivered_seconds{attempt="first"}'
FIRING = 'ALERTS{alertstate="firing", job=~"$job"}'
OVERVIEW = board("overview", "Overview",
                 "Is it well, and does it earn? Begin here: a panel's links lead to the board that says more, and to runbooks.", [
    ("Now", [
        stat("Alerts", "none", "None. Else the page of each says what to do: docs/runbooks. Always none where the rules are not loaded.",
             ("{{alertname}} {{severity}}", f'sum by (alertname, severity) ({FIRING}) '
              f'or (label_replace(vector(0), "alertname", "none", "", "") unless on () {FIRING})'),
             width=24, colors=RED_ABOVE_0, names=True),
        stat("Nodes that do not answer", "none", "0. Else `StaffettaDown` has a page in docs/runbooks; the node's log says what was last.",
             ("down", "sum(1 - up)"), colors=RED_ABOVE_0, to="node"),
        stat("Version", "none", "One version; two only during a roll-out.",
             ("{{version}}", "sum by (version) (staffetta_build_info)"), names=True),
        stat("Orders and messages accepted", "reqps", "The rate of work. Zero by day: shops cannot reach the API, or it refuses them.",
             ("accepted", f'{rate("api_orders_accepted_total")} + {rate("api_messages_accepted_total")}'), to="queues"),
        stat("POST to 250, p99", "s", "Below the objective. Above: the board Delivery says which provider.", ("p99", quantile(0.99, FIRST)),
             colors=((None, "green"), (bound("post_to_250"), "red")), to="delivery"),
        stat("Messages queued", "short", "Returns to near 0 after a burst. Rising for long: the board Queues.",
             ("queued", "sum(mta_queued_messages)"), to="queues"),
        stat("Leads confirmed in an hour", "short", "Follows clicks of half an hour before. Zero by day: the board Money.",
             ("confirmed", increase('scheduler_leads_total{verdict="confirmed"}', over="1h")), to="money"),
    ]),
    ("From the order to the lead", [
        graph("POST to 250, first attempt", "s",
              "Healthy: p99 below the objective (dashed), and most of it the receivers' own (Delivery, final "
              "reply). Above everywhere: disk or processor, board Node. Above at one provider: it throttles us.",
              percentiles(FIRST), width=12, bound=bound("post_to_250"), to="delivery"),
        graph("Opens by people, and leads", "cps",
              "Both follow the mails sent, by hours. Opens falling while mails do not: they land in spam, "
              "see Delivery. Leads falling while opens do not: landings are not told, see Money.",
              ("opens", rate(f'scheduler_hits_total{{kind="open", {PEOPLE}}}')),
              ("clicks", rate(f'scheduler_hits_total{{kind="click", {PEOPLE}}}')),
              ("leads claimed", rate('scheduler_leads_total{verdict="claimed"}')),
              ("leads confirmed", rate('scheduler_leads_total{verdict="confirmed"}')),
              width=12, to="money"),
        graph("Accepted", "reqps", "Follows the shops' day. A gap in one line alone is that client's; in both: listeners, disk.",
              ("orders", rate("api_orders_accepted_total")), ("messages", rate("api_messages_accepted_total")), to="queues"),
        graph("Decided to send, and delivered", "cps", "Delivered follows decided. Falling behind: Queues.",
              ("decided {{stream}}", rate("scheduler_sends_total", "stream")),
              ("delivered", rate('mta_attempts_total{outcome="delivered"}')), to="delivery"),
        graph("Opens and clicks by people per mail delivered", "percentunit",
              "Slow to change. A step down: spam folders, or a scanner's rule.",
              ("opens", share(f'scheduler_hits_total{{kind="open", {PEOPLE}}}', 'mta_attempts_total{outcome="delivered"}')),
              ("clicks", share(f'scheduler_hits_total{{kind="click", {PEOPLE}}}', 'mta_attempts_total{outcome="delivered"}')),
              to="tracking"),
    ]),
    ("Objectives", [
        bars("Error budget left of 30 days", "percentunit",
             "Above 0. Used up: what fails its objective comes before new work. What each means: "
             "docs/slos.md.", *BUDGETS, width=12, low=-1, top=1, colors=((None, "red"), (0, "orange"), (0.25, "green"))),
        graph("Pace at which budgets are spent, last hour", "none",
              "1 spends a budget in just 30 days; 14.4 (dashed) in two, and wakes someone: the alert's runbook says what to do.", *BURNS, width=12, bound=14.4),
        graph("Orders answered", "s", "One commit and little more: p99 below 25 ms. Above with quiet processors: the disk.",
              percentiles('api_request_seconds{route="/v1/orders", status="2xx"}'), to="queues"),
        graph("Journal commits", "s", "The disk's sync time, p99 below the objective. Above: the disk is shared or dying.",
              percentiles("store_commit_seconds"), bound=bound("journal_commit"), to="node"),
        graph("Clicks redirected", "s", "p99 far below the objective: nothing is waited for. Above: the machine is overloaded.",
              percentiles('tracker_request_seconds{endpoint="click"}'), bound=bound("redirect"), to="tracking"),
        graph("Timers' lateness", "s", "p99 below the objective. Above: a storm or a stop, which ends by itself; else the board Workflows and timers.",
              percentiles("scheduler_timer_lateness_seconds"), bound=bound("timer_lateness"), to="workflows-and-timers"),
    ]),
], since="now-24h")

AT = 'provider=~"$provider"'
DELIVERY = board("delivery", "Delivery", "What receivers do with our mail, by provider.", [
    ("By provider", [
        graph("Delivered", "cps", "Follows what is sent. One provider at 0 while others go on: it defers or refuses us, see the outcomes.",
              ("{{provider}}", rate(f'mta_attempts_total{{outcome="delivered", {AT}}}', "provider")), width=12, stack=True),
        graph("POST to 250, first attempt, p99", "s",
              "Below the objective at each. Above at one: it is slow or throttles us; lower its limits "
              "(`staffetta queue limit`).", ("{{provider}}", quantile(0.99, f'mta_delivered_seconds{{attempt="first", {AT}}}', "provider")),
              width=12, bound=bound("post_to_250")),
        graph("Deferred, share of attempts", "percentunit", "A few percent, greylisting apart. Above the dashed line: by class beside; "
              "`reputation` wants a person.",
              ("{{provider}}", share(f'mta_attempts_total{{outcome="deferred", class!~"greylisted|quota", {AT}}}',
              f"mta_attempts_total{{{SENT}, {AT}}}", "provider")), bound=bound("provider_deferral")),
        graph("Deferred and failed, by class", "cps",
              "`rate_limit`, `connection_limit`: lower the site's limits. `reputation`, `content`: a person. "
              "`dns`, `network`: ours if everywhere.",
              ("{{outcome}} {{class}}", those(rate(f'mta_attempts_total{{outcome=~"deferred|failed", {AT}}}', "outcome, class")))),
        graph("Ends of attempts, by outcome", "cps",
              "Nearly all delivered. `expired`: nobody took it in time. `in_doubt`: a connection broke at the "
              "final dot; offers are held.", ("{{outcome}}", rate(f"mta_attempts_total{{{AT}}}", "outcome"))),
    ]),
    ("Latency", [
        graph("POST to 250, first attempt", "s", "Seconds at most, and the receivers' own the larger part of it.",
              percentiles(f'mta_delivered_seconds{{attempt="first", {AT}}}'), bound=bound("post_to_250")),
        graph("POST to 250, later attempts", "s",
              "What receivers and DNS made wait: minutes and hours are theirs. Compare with the deferrals.",
              percentiles(f'mta_delivered_seconds{{attempt="later", {AT}}}'), log=True),
        graph("Final dot to reply", "s", "The receivers' own time. Rising: they are slow; nothing here helps but fewer connections.",
              percentiles("mta_final_reply_seconds")),
        graph("POST to 250 by stream, p99", "s",
              "Transactional below promotional, or equal. Above it: a person waits for mail that stands behind "
              "offers.", ("{{stream}}", quantile(0.99, f'mta_delivered_seconds{{attempt="first", {AT}}}', "stream"))),
        graph("Delivered at the first attempt", "percentunit", "Above 95 %. Falling: deferrals, by class above.",
              ("{{provider}}", share(f'mta_delivered_seconds_count{{attempt="first", {AT}}}', f"mta_delivered_seconds_count{{{AT}}}",
                                     "provider")), top=1),
        graph("Mails made, p99", "s",
              "Signing half a millisecond a signature, rendering tens of microseconds. Higher: the processor is busy, or a "
              "shop's own template is slow.", ("render", quantile(0.99, "mta_submit_render_seconds")),
              ("sign", quantile(0.99, "mta_submit_sign_seconds"))),
    ]),
    ("Connections", [
        graph("Sessions", "short", "Up to each site's limit under load. At it with ready messages waiting (Queues): raise the limit.",
              ("{{provider}}", f"sum by (provider) (mta_sessions{{{AT}}})"), stack=True),
        graph("Connections by result", "cps",
              "Nearly all `ok`. `timeout`, `refused` at one site: theirs; everywhere: our network. `forbidden`: a "
              "domain points at private addresses.", ("{{result}}", rate("mta_connects_total", "result"))),
        graph("STARTTLS by result", "cps",
              "Nearly all `ok`. `failed` is retried in the clear; rising: an old receiver, or our certificates' store.",
              ("{{result}}", rate("mta_starttls_total", "result"))),
        graph("Look-ups of routes by result", "cps",
              "Nearly all `ok`. `unanswered`: the name server; `missing`, `null_mx`: a shop's addresses are bad.",
              ("{{result}}", rate("mta_lookups_total", "result"))),
        graph("Messages read back from the spool", "cps", "Near 0 with a short queue. High: retries, or more is queued than memory keeps.",
              ("reads", rate("mta_spool_reads_total"))),
        graph("Mails that could not be made", "cps", "0. Otherwise the log says which shop and why: a template, a key, the catalogue.",
              ("{{cause}}", rate("mta_submit_failures_total", "cause"))),
    ]),
], provider=True)

QUEUES = board("queues", "Queues", "What waits where, and for what.", [
    ("Now", [
        stat("Queued", "short", "Near 0 at rest. Staying high: ready or deferred, below.", ("queued", "sum(mta_queued_messages)"), width=6),
        stat("Oldest ready", "s", "Below a second. Above: sessions are too few, or the receiver throttles.",
             ("oldest", "max(mta_oldest_ready_seconds)"),
             width=6, colors=((None, "green"), (1, "orange"), (60, "red"))),
        stat("With a session", "short", "Up to the sites' limits under load.", ("in flight", "sum(mta_in_flight_messages)"), width=6),
        stat("Waiting to be made", "short", "Near 0. High with busy processors: signing is the limit; with quiet ones: the journal's disk.",
             ("mails", "sum(mta_submit_queued_messages)"), width=6),
    ]),
    ("Delivery", [
        graph("Ready, by provider", "short", "Near 0. Rising while sessions idle: the site throttles us (`staffetta queue` says why).",
              ("{{provider}}", f"sum by (provider) (mta_ready_messages{{{AT}}})"), stack=True),
        graph("Deferred, by provider", "short", "A few percent of what is sent. Rising: Delivery says by which class.",
              ("{{provider}}", f"sum by (provider) (mta_deferred_messages{{{AT}}})"), stack=True),
        graph("Oldest ready message", "s", "Below a second. Rising: see the provider whose ready messages rise.",
              ("{{instance}}", "max by (instance) (mta_oldest_ready_seconds)")),
        graph("Messages", "short", "In flight follows sessions; queued is ready + deferred + in flight.",
              ("queued", "sum(mta_queued_messages)"), ("in flight", "sum(mta_in_flight_messages)")),
        graph("Mails between accept and spool", "short",
              "Near 0. At its bound, accepts are answered 503: rendering or signing is the bottleneck.",
              ("admitted", "sum(store_admissions)"), ("waiting for a signing thread", "sum(mta_submit_queued_messages)")),
        graph("Spool", "short", "Follows the queue. Messages at rest without a queue: a leak; tell us.",
              ("messages", "sum(store_spool_messages)"), ("segments", "sum(store_spool_segments)")),
        graph("Spool's live bytes", "bytes", "The queue's size on disk. Near the free disk (Node): stop what fills it.",
              ("bytes", "sum(store_spool_live_bytes)")),
    ]),
    ("Runners", [
        graph("Opens and clicks that wait", "short",
              "Near 0. Near 65,536, they are about to be dropped: people click faster than runners fold.",
              ("{{instance}} runner {{runner}}", "max by (instance, runner) (scheduler_tracked_backlog)")),
        graph("Values in memory that state does not have", "short", "Thousands under load. Rising without end: the state writer is stuck.",
              ("{{instance}} runner {{runner}}", "max by (instance, runner) (scheduler_unapplied_values)")),
        graph("Ticks of runners", "cps", "1 at each, or nearly. One at 0 hangs, and its other lines tell what was; all at 0: the disk, see Node.",
              ("{{instance}} runner {{runner}}", rate("scheduler_runner_ticks_total", "instance, runner"))),
        graph("Turns of runners", "s", "p99 below 5 ms. Longer: disk or state is behind, see Node.", percentiles("scheduler_turn_seconds")),
        graph("Events a turn takes, mean", "short", "1 or 2 when idle. At 128 always: the runners are the bottleneck.",
              ("events", mean("scheduler_turn_submissions"))),
        graph("Verdicts' lag", "s", "Below 2 s. Rising: a runner cannot keep up, or state lags; verdicts and leads come late.",
              ("{{instance}} runner {{runner}}", "max by (instance, runner) (scheduler_judged_lag_seconds)")),
        graph("Bytes that wait for the commit thread", "bytes", "Near 0. At its bound runners wait: the disk is the bottleneck.",
              ("{{instance}}", "max by (instance) (store_pending_bytes)")),
    ]),
    ("API", [
        graph("Requests by route, p99", "s", "Writes: one commit and little more. All rising: the disk; one rising: that route.",
              ("{{route}}", quantile(0.99, 'api_request_seconds{status="2xx"}', "route"))),
        graph("Answers by status", "reqps", "2xx. 4xx are the clients' affair; 5xx are ours: the reasons beside.",
              ("{{status}}", rate("api_request_seconds_count", "status"))),
        graph("Refused, by reason", "cps",
              "`busy`, `closed`, `disk-full` and `internal` stand at 0: else the board Node. The rest is the clients'.",
              ("{{reason}}", those(rate("api_refused_total", "reason")))),
        graph("Requests being worked on", "short", "Small. Rising without bound: the journal's disk does not keep up.",
              ("requests", "sum(api_in_flight_requests)"), ("streams of events", "sum(api_streams)"),
              ("work of shops that waits for its turn", "sum(api_turns_waiting)")),
        graph("Answers that repeated an earlier one", "cps", "Few. A steady share: a client times out before our commit.",
              ("replayed", rate("api_replayed_total"))),
    ]),
], provider=True)

TRACKING = board("tracking", "Tracking", "Pixels, links, landings and unsubscriptions.", [
    ("Requests", [
        graph("Requests by endpoint", "reqps", "Follows the mails sent. A flood at one endpoint: see the answers with 429 and bad tokens.",
              ("{{endpoint}}", rate("tracker_requests_total", "endpoint"))),
        graph("Clicks redirected", "s", "p99 far below the objective (dashed). Above: the machine is overloaded.",
              percentiles('tracker_request_seconds{endpoint="click"}'), bound=bound("redirect")),
        graph("Latency by endpoint, p99", "s", "Clicks and pixels wait for nothing; unsubscriptions and landings for one commit.",
              ("{{endpoint}}", quantile(0.99, "tracker_request_seconds", "endpoint"))),
        graph("Answers by status", "reqps",
              "200, 204, 302. 503 at `unsubscribe` or `landing`: the journal does not take them; look at Node at once.",
              ("{{endpoint}} {{status}}", those(rate("tracker_requests_total", "endpoint, status")))),
        graph("Refused", "cps", "Few, from port scanners. Many: someone tries, or floods.",
              ("status {{status}}", rate("tracker_refused_requests_total", "status")), ("limited, 429", rate("tracker_limited_total"))),
        graph("Bad tokens", "cps",
              "A steady few, from scanners. `mac` rising: someone guesses; `unknown_key`: a root secret was retired too early.",
              ("{{endpoint}} {{reason}}", those(rate("tracker_bad_tokens_total", "endpoint, reason")))),
    ]),
    ("What became of them", [
        graph("Fates", "cps", "Nearly all `recorded`. `withdrawn`, `aggregate`, `prefetched` are normal.",
              ("{{event}} {{fate}}", those(rate("tracker_events_total", "event, fate")))),
        graph("Dropped", "cps", "0: what is dropped is lost. Else people click faster than runners fold, see Queues.",
              ("{{event}}", rate('tracker_events_total{fate="dropped"}', "event"))),
        graph("Must not be recorded", "cps",
              "Few: the mail is unknown or erased, or its person withdrew. Rising after a restart is normal.",
              ("guarded", rate("scheduler_hits_guarded_total"))),
        graph("Opens, by verdict", "cps", "Each provider's own mix, slow to change. A step: a proxy or a gateway changed its habits.",
              ("{{class}}", rate('scheduler_hits_total{kind="open"}', "class")), stack=True),
        graph("Clicks, by verdict", "cps",
              "`human` leads. `scanner` jumping up: a gateway, or a flood; `human` without landings: a scanner unknown to "
              "the rules (`staffetta judge`).", ("{{class}}", rate('scheduler_hits_total{kind="click"}', "class")), stack=True),
        graph("Unsubscriptions per mail delivered", "percentunit", "Far below 1 %. Above: a campaign annoys; providers notice.",
              ("unsubscribed", share('tracker_events_total{event="unsubscribed", fate="recorded"}',
                                     'mta_attempts_total{outcome="delivered"}'))),
    ]),
    ("Connections and TLS", [
        graph("Connections", "short", "Follows requests. At the setting's maximum new ones wait in the kernel.",
              ("open", "sum(tracker_connections)")),
        graph("Connections accepted", "cps", "Follows requests. `silent` rising: someone holds connections open.",
              ("accepted", rate("tracker_connections_total")), ("silent", rate("tracker_silent_connections_total"))),
        graph("TLS handshakes", "cps",
              "`tls13` and some `tls12`. `unknown_host`: no certificate of that name; `failed`: old clients, port scanners.",
              ("{{result}}", rate("tracker_tls_handshakes_total", "result"))),
        bars("Certificates end in", "d", "Above 15 days. Below: renewal does not work. Empty without TLS of our own.",
             ("{{host}}", "min by (host) (tracker_certificate_days)"), width=12, colors=((None, "red"), (15, "orange"), (30, "green"))),
        graph("Certificate files that could not be used", "short", "Not rising. The log names the file; the certificate before it stays.",
              ("faults", "sum(tracker_certificate_faults_total)"), width=12),
    ]),
])

TIMERS = board("workflows-and-timers", "Workflows and timers", "Workflows, reminders of carts, and the timers under them.", [
    ("Timers", [
        graph("Lateness", "s", "p99 below the objective (dashed). Above: a storm, which ends by itself; else runners or state, see Queues.",
              percentiles("scheduler_timer_lateness_seconds"), bound=bound("timer_lateness")),
        graph("Lateness by class, p99", "s", "Alike. One class alone: its handler is slow, see the engine.",
              ("{{class}}", quantile(0.99, "scheduler_timer_lateness_seconds", "class"))),
        graph("Overdue", "s", "Near 0. After a stop or at a storm it rises, and should fall by thousands of timers a second.",
              ("{{instance}} runner {{runner}}", "max by (instance, runner) (scheduler_timers_overdue_seconds)")),
        graph("Armed, fired and stale", "cps",
              "Fired follows armed in the long run, less the stale. Stale far above fired: carts are touched all the time.",
              ("armed {{class}}", rate("scheduler_timers_armed_total", "class")),
              ("fired {{class}}", rate("scheduler_timers_fired_total", "class")),
              ("stale {{class}}", rate("scheduler_timers_stale_total", "class"))),
        graph("Timers in memory", "short", "Those due within ten minutes, below 262,144 at each runner. At it the rest is read when due.",
              ("{{instance}} runner {{runner}}", "max by (instance, runner) (scheduler_timers_window)")),
        graph("Turns of due timers", "s", "p99 below 5 ms: an order waits for one such turn at most.",
              percentiles("scheduler_fire_seconds")),
    ]),
    ("Workflows", [
        graph("Engine, for one instance", "s", "p99 below 0.2 ms. Longer: heavy filters, or persons with very many mails.",
              percentiles("scheduler_engine_seconds")),
        graph("Events reacted to", "cps", "Follows shops' events. Rising alone: workflows set each other off.",
              ("reactions", rate("scheduler_reactions_total"))),
        graph("Set aside, and entries that broke", "short", "0 in this range. Each stands in `/admin/v1/set-aside` with its fault.",
              ("set aside", increase("scheduler_set_aside_total", over="$__rate_interval")),
              ("entries broken", increase("scheduler_entries_broken_total", over="$__rate_interval"))),
        graph("Webhooks, by result", "cps", "Nearly all `2xx`. `unanswered`: the shop's page is down; `busy`: raise `webhooks.calls_max`.",
              ("{{result}}", rate("mta_webhook_calls_total", "result"))),
        graph("Webhooks under way", "short", "Below `webhooks.calls_max`. At it: shops answer slowly.",
              ("calls", "sum(mta_webhook_calls)")),
        graph("Clock set back", "short", "0. Else time is stepped, not slewed: look at NTP. Nothing fires early.",
              ("times", increase("scheduler_clock_set_back_total", over="$__rate_interval"))),
    ]),
    ("Carts", [
        graph("Reminders and carts", "cps", "`suppressed` is normal. `reminded` at 0 while the mode is live: `/v1/carts/stats` says why.",
              ("{{verdict}}", rate("scheduler_carts_total", "verdict")), width=12),
        bars("In this range", "short", "`ordered` follows `reminded`. Reminders without recoveries: see the shop's settings and its page.",
             ("{{verdict}}", increase("scheduler_carts_total", "verdict")), width=12),
    ]),
])

VOIDED = 'scheduler_leads_total{verdict=~"voided_.*"}'
SETTLED = 'scheduler_leads_total{verdict=~"confirmed|voided_.*"}'
MONEY = board("money", "Money", "Leads: what is claimed, what it is worth, and whether it is settled.", [
    ("Now", [
        stat("Claimed in this range", "short", "Follows clicks. Zero by day: landings are not told, see the reasons below.",
             ("claimed", increase('scheduler_leads_total{verdict="claimed"}')), width=6),
        stat("Confirmed in this range", "short", "Claimed, half an hour later, less the voided.",
             ("confirmed", increase('scheduler_leads_total{verdict="confirmed"}')), width=6),
        stat("Voided, share of the settled", "percentunit", "A few percent. More: scanners that rules see late, below by reason.",
             ("voided", f"{increase(VOIDED)} / ({increase(SETTLED)} > 0)"),
             width=6, colors=((None, "green"), (0.1, "orange"), (0.3, "red"))),
        stat("Settled late", "s", "p99 below 5 s. A minute is the objective's bound; hours once after a stop.",
             ("p99", f'histogram_quantile(0.99, {increase("scheduler_lead_lateness_seconds_bucket", "le")})'), width=6,
             colors=((None, "green"), (5, "orange"), (bound("lead_settlement"), "red"))),
    ]),
    ("Leads", [
        graph("Leads, by verdict", "cps", "Confirmed follows claimed by half an hour. `voided_machine` far below `confirmed`.",
              ("{{verdict}}", rate('scheduler_leads_total{verdict=~"claimed|confirmed|voided_.*"}', "verdict"))),
        graph("Landings that are no lead, by reason", "cps",
              "`visited_before`, `known_to_site` are normal. `unproven`, `no_click` rising: an "
              "advertiser's snippet is on the wrong host, or clicks are dropped (Tracking).",
              ("{{verdict}}", those(rate('scheduler_leads_total{verdict!~"claimed|confirmed|voided_.*"}', "verdict")))),
        graph("Lateness of settlement", "s", "p99 below 5 s, 60 s is the objective's bound. Above: verdicts lag, see Queues.",
              percentiles("scheduler_lead_lateness_seconds"), bound=bound("lead_settlement")),
    ]),
    ("Amounts, in minor units", [
        graph("Money, by what became of it", "short", "Per second. Confirmed + voided is claimed, half an hour later.",
              ("{{outcome}} {{currency}}", rate("scheduler_lead_amount_total", "outcome, currency"))),
        graph("Claimed less confirmed less voided, since the start", "short",
              "What is open now: half an hour's claims. Rising for longer: leads are not "
              "settled. Below 0 after a restart: what was claimed before it is settled after it.",
              ("{{currency}}", 'sum by (currency) (scheduler_lead_amount_total{outcome="claimed"}) - sum by (currency) '
               '(scheduler_lead_amount_total{outcome=~"confirmed|voided"})')),
        bars("In this range", "short",
             "About: a range is extrapolated to its ends. Claimed is near confirmed + voided + open. To the cent: `staffetta stats --by campaign`.",
             ("{{outcome}} {{currency}}", increase("scheduler_lead_amount_total", "outcome, currency"))),
    ]),
    ("Decisions", [
        graph("Decided to send", "cps", "Follows accepted orders. A growing gap: the reasons beside.",
              ("{{stream}}", rate("scheduler_sends_total", "stream"))),
        graph("Decided not to send, by reason", "cps",
              "`no_marketing_consent`, `frequency_cap` are normal. `no_offers` rising: campaigns ran out of "
              "budget; `late`: shops report too late.", ("{{reason}}", those(rate("scheduler_refusals_total", "reason")))),
        graph("Orders that came too late", "cps", "Few. Rising: a shop's sending of orders lags.",
              ("late", rate("scheduler_late_orders_total"))),
    ]),
])

NODE = board("node", "Node", "The process, its disk, its journal, and Redis.", [
    ("Now", [
        stat("Store failed", "none", "0. 1: a write or sync failed, nothing is accepted until the restart. Look at the disk.",
             ("failed", "max(store_failed)"),
             colors=RED_ABOVE_0),
        stat("Disk free", "bytes", "Far above the floor (512 MiB). Below it orders are answered 507; nothing is lost.",
             ("free", "min(store_disk_free_bytes)"),
             colors=((None, "red"), (1 << 29, "orange"), (1 << 32, "green"))),
        stat("Running for", "s", "Since the last restart. Short again and again: the log's last lines before each start.",
             ("up", "min(time() - process_start_time_seconds)")),
        stat("Damaged spool records", "none", "0. Else look at the disk; the messages are rendered again.",
             ("damaged", "sum(store_spool_damaged_total)"), colors=RED_ABOVE_0),
        stat("State errors", "none", "0. Else the state folder is damaged: see the log, rebuild from a checkpoint.",
             ("errors", "sum(scheduler_state_errors_total)"),
             colors=RED_ABOVE_0),
        stat("Redis", "none", "1. At 0 only readers of Redis notice; it catches up. Empty without Redis.", ("up", "min(projection_up)"),
             colors=((None, "red"), (1, "green"))),
    ]),
    ("Process", [
        graph("Processor", "none", "Cores in use, below those there are. At them: latency rises with load; more cores, or less work.",
              ("{{instance}}", "sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))")),
        graph("Memory", "bytes", "Flat at an even load; queued mail costs some 100 bytes a message. Rising without end: a leak; tell us.",
              ("{{instance}}", "sum by (instance) (process_resident_memory_bytes)")),
        graph("File descriptors, share of the limit", "percentunit", "Far below 1. Near it connections are refused: raise the limit.",
              ("{{instance}}", "max by (instance) (process_open_fds / process_max_fds)"), top=1),
        graph("Threads", "short", "Even. Rising: blocking work piles up, mostly on the disk.",
              ("{{instance}}", "sum by (instance) (process_threads)")),
        graph("API connections", "short", "Follows clients. At `api.connections_max` further ones wait in the kernel.",
              ("{{listener}}", "sum by (listener) (api_connections)")),
        graph("API connections ended, failed accepts", "cps",
              "`next_request` is normal. `first_byte`, `head`: a slow-loris. Failed accepts: out of descriptors "
              "or memory.", ("{{listener}} {{awaiting}}", rate("api_connections_timed_out_total", "listener, awaiting")),
              ("{{listener}} accept failed", rate("api_accept_errors_total", "listener"))),
    ]),
    ("Disk and journal", [
        graph("Commits", "s",
              "The disk's sync time, p99 below the objective (dashed). Rising at an even load: the disk is shared or dying.",
              percentiles("store_commit_seconds"), bound=bound("journal_commit")),
        graph("Commits, and records of each", "short",
              "Rounds a second, each two syncs. Hundreds of records each: the disk is what all wait for, and "
              "shares well.", ("rounds a second", rate("store_commit_seconds_count")),
              ("records of a round", mean("store_commit_records"))),
        graph("Written", "Bps", "Follows accepted work. Near the disk's rate: it is the limit.",
              ("journal", rate("store_journal_synced_bytes_total")), ("spool", rate("store_spool_synced_bytes_total"))),
        graph("Disk free", "bytes", "Even once retention is reached. Falling: see the segments, and what else writes there.",
              ("{{instance}}", "min by (instance) (store_disk_free_bytes)")),
        graph("Segments", "short", "Journal: even once the retention is reached. Held back for Redis: 0.",
              ("journal", "sum(store_journal_segments)"), ("held back for Redis", "sum(store_journal_held_segments)")),
        graph("Followers of the journal", "short", "The projector, streams, terminals. Rising without end: someone leaks them.",
              ("tails", "sum(store_tails)")),
    ]),
    ("State", [
        graph("State's lag", "short", "Records; back to 0 within a second of a burst. Else the state writer is the bottleneck.",
              ("{{instance}}", "max by (instance) (store_state_lag_records)")),
        graph("Batches to state", "s", "p99 below 20 ms. Longer: compaction, or the disk.", percentiles("store_state_batch_seconds")),
        graph("Keeper", "short", "Rounds: one each `checkpoint_interval`. Standing still: a sync hangs, or a first sweep is long.",
              ("rounds", increase("store_keeper_rounds_total", over="1h")),
              ("checkpoints", increase("store_checkpoints_total", over="1h"))),
        graph("History swept", "cps", "0 until the service is as old as `history_kept`; then as many as come in.",
              ("rows", rate("store_history_swept_total")), width=24),
    ]),
    ("Redis", [
        graph("Lag", "s", "Below a second. Rising: Redis is slow or away; nothing else waits for it. Empty without Redis.",
              ("{{instance}}", "max by (instance) (projection_lag_seconds)")),
        graph("Lag in records", "short", "Thousands at most under load, 0 at rest.",
              ("{{instance}}", "max by (instance) (projection_lag_records)")),
        graph("Confirmed", "cps", "Follows the journal's records.", ("records", rate("projection_records_total")),
              ("batches", rate("projection_batches_total"))),
        graph("On its way", "bytes", "Below the setting `window`. At it Redis is what is waited for.",
              ("bytes", "sum(projection_in_flight_bytes)")),
        graph("Sessions begun again, by cause", "short",
              "0, but when Redis was restarted or failed over. Else the cause says what to mend.",
              ("{{kind}}", increase("projection_retries_total", "kind", "$__rate_interval"))),
        graph("Lost by Redis, and sent again", "short",
              "0, but after a failover or FLUSHALL. More: see to `appendfsync` and the replica's lag.",
              ("records lost", increase("projection_lost_records_total", over="$__rate_interval")),
              ("slots rebuilt", increase("projection_rebuilds_total", over="$__rate_interval"))),
    ]),
])


def main(folder):
    for name, made in [OVERVIEW, DELIVERY, QUEUES, TRACKING, TIMERS, MONEY, NODE]:
        text = json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
