"use strict";
// One case: how a metric went by commit, where it changed, and all its metrics.

async function caseView(index, key, state) {
  const item = index.cases.find((row) => row.key === key);
  if (!item) return missing("This case is not in the history", "It may have been renamed since the link was made.");
  const data = await caseData(item);
  const series = data.metrics.find((row) => index.metrics[row.metric].name === state.metric) ?? data.metrics.find((row) => index.metrics[row.metric] === usual(index)) ?? data.metrics[0];
  heading(item.name, `${extent(item)}, ${day(data.runs[0][2])} to ${day(data.runs.at(-1)[2])}. `
    + `Network ${item.network || "without a name"}, recipe ${item.recipe || "none"}, neuron ${item.neuron || "none"}, data ${item.data || "none"}.`);
  if (!series) return show(h("section", {}, h("p", { class: "missing" }, "These runs have no metrics.")));
  const metric = index.metrics[series.metric];
  const chart = h("div", { class: "chart", role: "img", "aria-label": told(series, metric, data) });
  const band = state.interval ? state.interval === "1" : !/J|\/W/.test(series.unit);
  const go = (changes) => { location.hash = address(`case/${key}`, { metric: metric.name, interval: state.interval, ...changes }); };
  const controls = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    choice("Metric", "metric", data.metrics.map((row) => [index.metrics[row.metric].name, index.metrics[row.metric].name]), metric.name,
      (event) => go({ metric: event.target.value, interval: "" })),
    series.values.some((row) => row[2] !== null) ? h("label", { class: "check" },
      h("input", { type: "checkbox", name: "interval", checked: band, onchange: (event) => go({ interval: event.target.checked ? "1" : "0" }) }),
      h("span", {}, "Interval")) : "");
  show(h("section", {}, h("h2", {}, h("code", {}, metric.name)), standing(series, metric), controls, chart,
      h("p", { class: "soft" }, how(series, metric, index))),
    changePoints(index, item, series, data), everyMetric(index, item, data, metric), everyValue(item, series, data));
  await script("plotly.min.js");
  if (chart.isConnected) draw(chart, series, data, band, item);
}

function missing(title, why) {
  heading(title);
  show(h("section", {}, h("p", {}, why), h("p", {}, link("#/", "All cases"))));
}

function standing(series, metric) {
  const [status, said, span, [way, moved]] = series.row;
  return h("p", { class: "standing" }, chip(status), " ", h("b", {}, said), span ? ` (${span})` : "", " ", wanted(metric.better), "; ",
    moved === "first commit" ? "the first commit." : [shifted(way, moved), " since the commit before."], series.note ? h("small", { class: "soft" }, series.note) : "");
}

function how(series, metric, index) {
  return metric.timing
    ? "From a clock: one run counts by the median of its observations, and a level changes only with evidence (rank test, one false alarm in a thousand histories, at least 5\u00a0%), on each machine for itself. Bars are the medians between two change points. It takes at least 14 runs."
    : `Repeats exactly: every difference is a change. The status compares with ${index.window} commits before.`;
}

function told(series, metric, data) {
  const points = series.changes.length;
  return `${metric.name} over ${data.runs.length} runs: last value ${series.row[1]}, ${points} change ${points === 1 ? "point" : "points"}. The values are in the tables below.`;
}

const pair = (item, data, before, after) => address("compare", { a: `${item.key}.${data.runs[before][0]}`, b: `${item.key}.${data.runs[after][0]}` });

function changePoints(index, item, series, data) {
  if (!series.changes.length) return section("Change points", h("p", { class: "missing" }, series.row[0] === 4 ? "Not enough data to tell." : "None: the level has never moved."));
  const rows = [...series.changes].reverse().map(([start, before, code, was, now, by, moved]) => {
    const [, commit, made] = data.runs[start];
    const same = commit && commit === data.runs[before][1];
    return h("tr", {}, h("th", { scope: "row" }, named(commit, made), h("small", {}, same ? "within one commit: it does not repeat, or the tree was not clean" : day(made))),
      h("td", { class: "number" }, shifted(code, by)), h("td", { class: "number" }, `${was} → ${now}`), h("td", {}, item.recipe),
      h("td", {}, moved.length ? [h("b", {}, moved[0]), h("small", {}, moved[1])] : h("span", { class: "missing" }, "no layer's work moved")),
      h("td", {}, link(pair(item, data, before, start), "Compare the two runs")));
  });
  return section("Change points", scrolling("change points", h("table", { id: "points" },
    heads("Commit", "Change", "From, to", "Recipe", "Layer that moved most", ""), h("tbody", {}, rows))));
}

function everyMetric(index, item, data, current) {
  const rows = data.metrics.map((series) => {
    const metric = index.metrics[series.metric];
    return h("tr", {}, h("th", { scope: "row" }, h("a", { href: address(`case/${item.key}`, { metric: metric.name }), "aria-current": metric === current ? "true" : null }, metric.name),
      metric.timing ? h("small", {}, "from a clock") : ""), cells(series.row, metric.name));
  });
  return section("All metrics", scrolling("all metrics", h("table", {},
    heads("Metric", "Status", "Last value", "Since the commit before", "Last change", "Recent commits"), h("tbody", {}, rows))));
}

function everyValue(item, series, data) {
  const body = h("tbody");
  const fill = () => {
    if (body.childElementCount) return;
    const rows = [...series.at.keys()].filter((i) => series.at[i] >= 0);
    body.append(...rows.map((i, n) => {
      const [, said, , , span, why] = series.values[series.at[i]];
      return h("tr", {}, h("th", { scope: "row" }, named(data.runs[i][1], data.runs[i][2])), h("td", {}, moment(data.runs[i][2])),
        h("td", { class: "number" }, said), h("td", { class: "number" }, span || why), h("td", {}, data.machines[data.runs[i][3]]),
        h("td", {}, n ? link(pair(item, data, rows[n - 1], i), "with the one before") : ""));
    }).reverse());
  };
  return h("details", { class: "card", ontoggle: fill }, h("summary", {}, "Every value"),
    scrolling("every value", h("table", {}, heads("Commit", "Time, UTC", "Value", "Interval", "Machine", "Compare"), body)));
}

// Plotly reads a few tags in its texts: none of them is ours.
const inert = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function draw(chart, series, data, band, item) {
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  const at = [...series.at.keys()].filter((i) => series.at[i] >= 0);
  const places = new Map();
  for (const i of at) { const key = data.runs[i][1] || data.runs[i][0]; if (!places.has(key)) places.set(key, places.size); }
  const x = (i) => places.get(data.runs[i][1] || data.runs[i][0]);
  const row = (i) => series.values[series.at[i]];
  const label = (i) => inert(short(data.runs[i][1]) || moment(data.runs[i][2]));
  const hover = (i) => `${label(i)}, ${moment(inert(data.runs[i][2]))}<br>${inert(row(i)[1])}${row(i)[4] ? `<br>${inert(row(i)[4])}` : ""}`;
  const timing = series.levels.length > 0;
  const shapes = ["circle", "square", "diamond", "cross"];
  const traces = [];
  if (band && at.some((i) => row(i)[2] !== null)) {
    const edge = (column) => ({ x: at.map(x), y: at.map((i) => row(i)[column]), mode: "lines", line: { width: 0, shape: timing ? "linear" : "hv" }, hoverinfo: "skip", showlegend: false });
    traces.push(edge(2), { ...edge(3), fill: "tonexty", fillcolor: ink("band") });
  }
  traces.push({ x: at.map(x), y: at.map((i) => row(i)[0]), mode: timing ? "markers" : at.length > 300 ? "lines" : "lines+markers", name: "runs",
    line: { color: ink("c0"), width: 2, shape: "hv" }, marker: { color: ink("c0"), size: timing ? 5 : 5, opacity: timing ? 0.6 : 1, symbol: at.map((i) => shapes[data.runs[i][3] % 4]) },
    text: at.map(hover), hovertemplate: "%{text}<extra></extra>", customdata: at });
  for (const [first, last, value, said] of series.levels) {
    traces.push({ x: [x(first), x(last)], y: [value, value], mode: "lines", line: { color: ink("ink"), width: 2.5 }, text: [inert(said), inert(said)], hovertemplate: "median %{text}<extra></extra>" });
  }
  const moved = series.changes.filter((change) => row(change[0])[0] !== null);
  traces.push({ x: moved.map((change) => x(change[0])), y: moved.map((change) => (timing ? series.levels.find((level) => level[0] === change[0])[2] : row(change[0])[0])),
    mode: "markers", name: "change points", customdata: moved.map((change) => change[0]), text: moved.map((change) => `${label(change[0])}<br>${inert(STATUS[change[2]].name)}: ${inert(change[5])}${change[6].length ? `<br>layer ${inert(change[6][0])}` : ""}`), hovertemplate: "%{text}<extra></extra>",
    marker: { size: 12, symbol: moved.map((change) => ["triangle-down", "triangle-up", "diamond"][change[2]]), color: moved.map((change) => ink(["worse", "better", "c3"][change[2]])), line: { color: ink("card"), width: 1.5 } } });
  const every = Math.max(1, Math.ceil(places.size / (chart.clientWidth / 90)));
  const ticks = [...places].map(([key, place]) => [place, key]).filter(([place]) => place % every === 0);
  const font = { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink("soft") };
  const axis = { gridcolor: ink("grid"), linecolor: ink("rule"), zeroline: false, automargin: true };
  const fraction = series.unit === "fraction";
  Plotly.react(chart, traces, {
    height: 360, margin: { l: 56, r: 16, t: 12, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font, showlegend: false, hovermode: "closest", dragmode: false,
    hoverlabel: { bgcolor: ink("card"), bordercolor: ink("soft"), font: { color: ink("ink"), family: font.family } },
    shapes: moved.map((change) => ({ type: "line", x0: x(change[0]), x1: x(change[0]), yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: ink(["worse", "better", "c3"][change[2]]), width: 1, dash: "dot" } })),
    xaxis: { ...axis, showgrid: false, tickvals: ticks.map((tick) => tick[0]), ticktext: ticks.map((tick) => inert(short(data.runs.find((run) => (run[1] || run[0]) === tick[1])[1]) || "")), tickangle: 0, range: [-0.5, places.size - 0.5] },
    yaxis: { ...axis, title: { text: inert(fraction ? "" : series.unit), standoff: 8 }, tickformat: fraction ? ".1~%" : "", exponentformat: "SI", separatethousands: true },
  }, { displaylogo: false, responsive: true, displayModeBar: false });
  chart.removeAllListeners?.("plotly_click");
  chart.on("plotly_click", ({ points }) => {
    const i = points[0].customdata, before = at[at.indexOf(i) - 1];
    if (before !== undefined) location.hash = pair(item, data, before, i);
  });
}
