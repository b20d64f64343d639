"""What Python's own zone arithmetic says of local times around every change of the clocks, 2024 to 2034.

Prints `version`, then for each set of zones with the same data a `zone` line with all their names, the number of
changes, and cases with their expected instants (seconds since 1970). Waits and send-at use `datetime` and `zoneinfo`
directly; quiet hours and excepted days are searched minute by minute, so nothing here knows how to find an end.

Run as `zoneinfo_oracle.py all`, or `zoneinfo_oracle.py sample` for one set in eight, the zones that are known to be
odd, and fewer combinations. The zone data is that of the package `tzdata`, not the system's.
"""

import random
import sys
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone
from importlib import resources

import tzdata

FIRST = int(datetime(2024, 1, 1, tzinfo=timezone.utc).timestamp())
LAST = int(datetime(2035, 1, 1, tzinfo=timezone.utc).timestamp())
DAY = 86_400
ODD = {
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/New_York", "America/Nuuk", "America/Sao_Paulo",
    "America/Scoresbysund", "America/St_Johns", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Europe/Dublin", "Europe/Rome", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
}
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def offset(zone, at):
    return datetime.fromtimestamp(at, zone).utcoffset()


def changes(zone):
    """Finds the instants from which the clocks go differently, to the second."""
    found = []
    for low in range(FIRST, LAST, DAY):
        high = low + DAY
        before = offset(zone, low)
        if offset(zone, high) == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
        found.append(high)
    return found


def instant(zone, local):
    """The first occurrence; with `fold=0` a skipped time is read by the clocks before the gap, so it moves on."""
    return int(local.replace(tzinfo=zone, fold=0).timestamp())


def in_window(local, window):
    now, (start, end) = local.time(), window
    return start <= now < end if start <= end else now >= start or now < end


def after_quiet(zone, at, quiet):
    """The first instant that is not quiet: this one, or a whole minute after it."""
    while quiet and in_window(datetime.fromtimestamp(at, zone), quiet):
        at = (at // 60 + 1) * 60
    return at


def excepted(local, weekdays, dates):
    return local.weekday() in weekdays or local.date() in dates


def resolve(zone, ready, send_at, quiet, weekdays, dates):
    if send_at is None:
        at = ready
        while True:
            local = datetime.fromtimestamp(at, zone)
            if not excepted(local, weekdays, dates) and not (quiet and in_window(local, quiet)):
                return at
            at = (at // 60 + 1) * 60
    day = datetime.fromtimestamp(ready, zone).date() - timedelta(days=3)
    while True:
        at = after_quiet(zone, instant(zone, datetime.combine(day, send_at)), quiet)
        if at >= ready and not excepted(datetime.fromtimestamp(at, zone), weekdays, dates):
            return at
        day += timedelta(days=1)


def minute_of_day(dice, near):
    """A clock time: mostly near the change, where things go wrong."""
    if dice.random() < 0.7:
        near += timedelta(minutes=dice.choice(range(-120, 135, 15)))
        return near.time()
    return time(dice.randrange(24), dice.choice([0, 15, 30, 45]))


def cases_around(zone, change, combinations, dice, write):
    before, after = offset(zone, change - 1), offset(zone, change)
    utc = datetime.fromtimestamp(change, timezone.utc).replace(tzinfo=None)
    low, high = sorted([utc + before, utc + after])

    # Every quarter of an hour of the gap or fold, and half an hour to each side.
    local = low - timedelta(minutes=30)
    while local <= high + timedelta(minutes=30):
        write("local", local.isoformat(timespec="minutes"), instant(zone, local))
        # Send-at, from before and after the change and from between the copies.
        for ready in (change - 6 * 3600, change - 600, change, change + 1200, change + 6 * 3600):
            write("rules", ready, local.strftime("%H:%M"), "-", "-", "-", resolve(zone, ready, local.time(), None, [], []))
        # Civil days that begin here or end here.
        for days in (1, 7, 30):
            base = instant(zone, local - timedelta(days=days)) + dice.randrange(60)
            for base in (base, change + dice.randrange(-5400, 5400)):
                to = datetime.fromtimestamp(base, zone) + timedelta(days=days)
                write("add", base, days, instant(zone, to))
        local += timedelta(minutes=15)

    # The days' first instants, minute by minute.
    at = change - DAY
    shown = datetime.fromtimestamp(at, zone).date()
    seen = shown
    while at < change + DAY:
        at += 60
        today = datetime.fromtimestamp(at, zone).date()
        if today > seen:
            seen = today
            write("start", today.isoformat(), at)

    for _ in range(combinations):
        ready = change + dice.randrange(-30 * 3600, 8 * 3600)
        send_at = minute_of_day(dice, low) if dice.random() < 0.3 else None
        quiet = (minute_of_day(dice, low), minute_of_day(dice, high)) if dice.random() < 0.8 else None
        weekdays, dates = [], []
        if dice.random() < 0.3:
            weekdays = dice.choice([[5, 6], [low.weekday()], [high.weekday(), (high.weekday() + 1) % 7]])
        if dice.random() < 0.3:
            dates = [dice.choice([low.date(), high.date(), low.date() + timedelta(days=1)])]
        write(
            "rules",
            ready,
            send_at.strftime("%H:%M") if send_at else "-",
            f"{quiet[0]:%H:%M}/{quiet[1]:%H:%M}" if quiet else "-",
            ",".join(WEEKDAYS[day] for day in weekdays) or "-",
            ",".join(day.isoformat() for day in dates) or "-",
            resolve(zone, ready, send_at, quiet, weekdays, dates),
        )


def main():
    every = sys.argv[1] == "all"
    zoneinfo.reset_tzpath(to=[])
    same = {}
    for name in sorted(zoneinfo.available_timezones()):
        data = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        same.setdefault(data, []).append(name)
    print("version", tzdata.IANA_VERSION)

    def write(*words):
        print(*words)

    for number, names in enumerate(same.values()):
        if not (every or number % 8 == 0 or ODD.intersection(names)):
            continue
        zone = zoneinfo.ZoneInfo(names[0])
        found = changes(zone)
        print("zone", *names)
        print("changes", len(found))
        dice = random.Random(names[0])
        # Where the clocks never change, any time does.
        for change in found or [dice.randrange(FIRST, LAST) // 900 * 900 for _ in range(3)]:
            cases_around(zone, change, 40 if every else 8, dice, write)
    print("end")


main()
