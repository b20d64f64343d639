// Draws the lines: over time, and latency against percentile. Everything else on the page stands without it.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const THIN = "\u202f";
  const DASHES = [[], [8, 4], [2, 3]];
  const COLOURS = 6;
  root.classList.add("js");

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const font = (size) => `${size}px ${getComputedStyle(document.body).fontFamily}`;

  // As the page writes numbers where no script is needed.
  function digits(value) {
    const size = Math.abs(value);
    const whole = size >= 100 || Math.abs(value - Math.round(value)) < 1e-9;
    const decimals = whole ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.01 ? 3 : 4;
    const [before, after] = size.toFixed(decimals).split(".");
    const apart = before.replace(/\B(?=(\d{3})+$)/g, THIN);
    return (value < 0 ? "−" : "") + apart + (after ? `.${after}` : "");
  }
  const LADDERS = [
    [["µs", 1e-6, 1e-4], ["ms", 1e-3, 1], ["s", 1, 600], ["min", 60, 10800], ["h", 3600, Infinity]],
    [["B", 1, 1024], ["KiB", 1024, 1024 ** 2], ["MiB", 1024 ** 2, 1024 ** 3], ["GiB", 1024 ** 3, Infinity]],
  ];
  // What values are multiplied by, and the unit that they then have, for values up to `most`.
  function scaleFor(most, unit) {
    const per = unit.endsWith("/s") ? "/s" : "";
    const base = per ? unit.slice(0, -2) : unit;
    for (const ladder of LADDERS) {
      const given = ladder.find(([name]) => name === base);
      if (given && most > 0) {
        const [name, size] = ladder.find(([, , under]) => most * given[1] < under);
        return [given[1] / size, name + per];
      }
    }
    return [1, unit];
  }
  function written(value, unit) {
    const [factor, fitting] = scaleFor(Math.abs(value), unit);
    return digits(value * factor) + (!fitting ? "" : fitting.startsWith("/") ? fitting : `\u00a0${fitting}`);
  }
  // Axis labels: as few decimals as tell them apart.
  const tick = (value) => digits(Number(value.toPrecision(6))).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  function clock(seconds) {
    const whole = Math.floor(seconds + 1e-9);
    const two = (number) => String(number).padStart(2, "0");
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const rest = seconds - whole > 0.05 ? (seconds - whole).toFixed(1).slice(1) : "";
    return (h ? `${h}:${two(m)}` : m) + `:${two(s)}${rest}`;
  }

  const height = (width) => (width < 500 ? 210 : width < 800 ? 230 : 280);
  const axisWidth = (plot, labels) => {
    if (!labels) return 56;
    plot.ctx.save();
    plot.ctx.font = font(12 * devicePixelRatio);
    const widest = Math.max(...labels.map((label) => plot.ctx.measureText(label ?? "").width));
    plot.ctx.restore();
    // No narrower than most labels are, so that plots one above the other begin at the same place.
    return Math.max(56, Math.ceil(widest / devicePixelRatio) + 14);
  };
  function axis(more) {
    return { stroke: () => colour("soft"), font: font(12), grid: { stroke: () => colour("grid"), width: 1 },
      ticks: { show: false }, ...more };
  }
  // A logarithmic axis from one round number to another, lined at each power of ten; at 2 and 5 too where it spans few.
  const ROUND = [1, 2, 5, 10];
  function decades(_, least, most) {
    if (!(least > 0)) return [0.1, 10];
    const low = 10 ** Math.floor(Math.log10(least * 0.93));
    const high = 10 ** Math.floor(Math.log10(most * 1.07));
    return [low * ROUND.findLast((round) => low * round <= least * 0.93), high * ROUND.find((round) => high * round >= most * 1.07)];
  }
  function logAxis(unit) {
    const splits = (_, __, low, high) => {
      const first = Math.floor(Math.log10(low) + 1e-9);
      const all = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, more) => 10 ** (first + more));
      const few = high / low < 150 ? all.flatMap((decade) => [decade, 2 * decade, 5 * decade]) : all;
      return few.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    };
    return { size: axisWidth, gap: 6, splits, filter: (_, values) => values,
      values: (_, values) => values.map((value) => tick(scaleFor(value, unit)[0] * value) + `\u00a0${scaleFor(value, unit)[1]}`) };
  }
  function line(name, place, unit) {
    return { label: name, stroke: () => colour(`series-${place % COLOURS}`), width: 1.75,
      dash: DASHES[Math.floor(place / COLOURS) % DASHES.length], points: { show: false }, spanGaps: false,
      value: (_, value, __, at) => (at == null ? "" : value == null ? "–" : written(value, unit)) };
  }

  // What happened when: a dashed line with its name above the plot, in as many rows as they need.
  const ROW = 15;
  function marks() {
    const rows = Math.min(data.marks.length, 2);
    const draw = (plot) => {
      const { ctx, bbox } = plot;
      const ratio = devicePixelRatio;
      const begins = new Array(rows).fill(Infinity);
      ctx.save();
      ctx.font = font(11.5 * ratio);
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      ctx.strokeStyle = ctx.fillStyle = colour("ink");
      ctx.lineWidth = ratio;
      // From the last to the first, so that the line of what stands in the upper row is left of the name below.
      const right = bbox.left + bbox.width;
      for (const mark of [...data.marks].sort((a, b) => b.at - a.at)) {
        const { min, max } = plot.scales.x;
        if (mark.at < min || mark.at > max) continue;
        const x = Math.round(plot.valToPos(mark.at, "x", true)) + 0.5;
        const width = ctx.measureText(mark.what).width;
        const left = Math.max(bbox.left, Math.min(x + 3 * ratio, right - width));
        const row = begins.findIndex((begin) => left + width + 8 * ratio < begin);
        ctx.globalAlpha = 0.75;
        ctx.setLineDash([3 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top - Math.max(row, 0) * ROW * ratio - (row < 0 ? 0 : 6 * ratio));
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        // What has no room has its line, and stands in the list of the page.
        if (row < 0) continue;
        begins[row] = Math.min(left, x);
        ctx.globalAlpha = 1;
        ctx.fillText(mark.what, left, bbox.top - (row * ROW + 2) * ratio);
      }
      ctx.restore();
    };
    return { room: rows ? rows * ROW + 4 : 8, plugin: { hooks: { draw } } };
  }

  // All plots over time show the same seconds, so that a cursor stands in all of them at once.
  const overTime = data.charts.flatMap((chart) => chart.x);
  const span = [0, overTime.reduce((most, at) => Math.max(most, at), 1)];
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

  function timePlot(chart, width) {
    const log = chart.kind === "time_log";
    const most = chart.series.flatMap((series) => series.values).reduce((most, value) => Math.max(most, value ?? 0), 0);
    const [factor, unit] = scaleFor(most, chart.unit);
    const values = chart.series.map((series) => series.values.map((value) => (value == null || (log && value <= 0) ? null : value)));
    const { room, plugin } = marks();
    // What is scaled says its unit at each tick; any other stands beside the plot's title alone.
    const suffix = LADDERS.flat().some(([name]) => name === unit.replace("/s", "")) ? `\u00a0${unit}` : "";
    const linear = { size: axisWidth, space: 36, gap: 6,
      values: (_, splits) => splits.map((value) => tick(value * factor) + (value ? suffix : "")) };
    return {
      options: {
        width, height: height(width), padding: [room, 8, 0, 0], plugins: [plugin],
        cursor: { sync: { key: "time", scales: ["x", null] }, drag: { x: true, y: false }, y: false, points: { size: 7 } },
        scales: {
          x: { time: false, range: (_, least, most) => (least == null || (least === chart.x[0] && most === chart.x.at(-1)) ? span : [least, most]) },
          y: log ? { distr: 3, range: decades } : { range: (_, least, most) => [Math.min(0, least ?? 0), most > 0 ? most * 1.08 : 1] },
        },
        axes: [
          axis({ incrs: STEPS, space: 60, size: 30, values: (_, splits) => splits.map(clock) }),
          axis(log ? logAxis(chart.unit) : linear),
        ],
        series: [{ label: "at", value: (_, value) => (value == null ? "" : clock(value)) },
          ...chart.series.map((series, place) => line(series.name, place, chart.unit))],
      },
      values: [chart.x, ...values],
    };
  }

  // Percentiles as HdrHistogram draws them: each nine as wide as the one before.
  const NINES = [0, 50, 90, 99, 99.9, 99.99, 99.999];
  const place = (percentile) => -Math.log10(1 - percentile / 100);
  const percentile = (at) => 100 * (1 - 10 ** -at);
  function percentilePlot(width) {
    const POINTS = 240;
    const ends = data.latencies.map((latency) => Math.max(0.31, Math.min(5, Math.log10(Math.max(2, latency.count)))));
    const most = Math.max(...ends);
    const x = Array.from({ length: POINTS + 1 }, (_, point) => (most * point) / POINTS);
    const lines = data.latencies.map((latency, number) => {
      const known = latency.distribution.map(([percent, value]) => [percent >= 100 ? ends[number] : place(percent), value])
        .filter(([at, value]) => at <= ends[number] + 1e-9 && value > 0).sort((a, b) => a[0] - b[0]);
      let next = 0;
      return x.map((at) => {
        if (!known.length || at > ends[number] + 1e-9) return null;
        while (next < known.length - 1 && known[next][0] < at) next += 1;
        const [[from, low], [to, high]] = [known[Math.max(0, next - 1)], known[next]];
        return at >= to || to === from ? high : at <= from ? low : low + ((high - low) * (at - from)) / (to - from);
      });
    });
    const shown = (at) => { const p = percentile(at); return p >= 99 ? `${p.toFixed(p >= 99.9 ? 3 : 2)}\u00a0%` : `${p.toFixed(1)}\u00a0%`; };
    return {
      options: {
        width, height: height(width), padding: [8, 8, 0, 0],
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 7 } },
        scales: { x: { time: false, range: () => [0, most] }, y: { distr: 3, range: decades } },
        axes: [
          axis({ size: 30, splits: () => NINES.filter((nines) => width > 600 || nines !== 50).map(place).filter((at) => at <= most + 1e-9),
            values: (_, splits) => splits.map((at) => `${Number(percentile(at).toFixed(4))}\u00a0%`) }),
          axis(logAxis("ms")),
        ],
        series: [{ label: "percentile", value: (_, at) => (at == null ? "" : shown(at)) },
          ...data.latencies.map((latency, number) => line(latency.name, number, "ms"))],
      },
      values: [x, ...lines],
    };
  }

  let drawn = [];
  function draw() {
    for (const { plot } of drawn) plot.destroy();
    drawn = [...document.querySelectorAll(".plot")].map((box) => {
      const width = Math.floor(box.clientWidth);
      const chart = data.charts[Number(box.dataset.plot)];
      const { options, values } = "percentiles" in box.dataset ? percentilePlot(width) : timePlot(chart, width);
      const plot = new uPlot(options, values, box);
      const canvas = box.querySelector("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Plot: ${box.closest("figure").querySelector(".title").textContent}`);
      return { box, plot };
    });
  }
  // In the next frame: what is resized while sizes are told would be told again at once.
  const watch = new ResizeObserver(() => requestAnimationFrame(() => {
    for (const { box, plot } of drawn) {
      const width = Math.floor(box.clientWidth);
      if (width > 0 && width !== plot.width) plot.setSize({ width, height: height(width) });
    }
  }));

  draw();
  for (const box of document.querySelectorAll(".plot")) watch.observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Paper is white and narrow, whatever the screen is.
  addEventListener("beforeprint", () => { root.dataset.paper = ""; draw(); });
  addEventListener("afterprint", () => { delete root.dataset.paper; draw(); });
})();
