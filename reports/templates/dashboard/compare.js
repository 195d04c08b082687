"use strict";
// Two runs side by side: every metric, every layer.

async function compare(index, state) {
  heading("Two runs side by side", "Any two runs, of one case or of two; at first those around the latest change.");
  const newest = index.changes[0]?.[2][0];
  if (!state.a && !state.b && newest) {
    const { key } = index.cases[newest[0]];
    state = { a: `${key}.${newest[3]}`, b: `${key}.${newest[2]}` };
  }
  const sides = [await side(index, state.a, 1), await side(index, state.b, 0)];
  const go = (name, value) => { location.hash = address("compare", { a: runAddress(sides[0]), b: runAddress(sides[1]), [name]: value }); };
  const pickers = h("div", { class: "pair" }, sides.map((one, i) => picker(index, one, i ? "b" : "a", go)));
  const [a, b] = sides;
  const swap = link(address("compare", { a: runAddress(b), b: runAddress(a) }), "Swap A and B");
  const faults = sides.flatMap((one) => (one.lost ? [h("p", { class: "missing" }, `Run ${one.lost} is not in the history; another is shown.`)] : []));
  show(h("section", {}, pickers, faults, h("p", {}, swap)), metricTable(index, a, b), layerTable(a, b));
}

const runAddress = (one) => `${one.item.key}.${one.data.runs[one.at][0]}`;

const LISTED = 500;

// The run that `word` names as case.run; else one of the case, the `back`-th before its last.
async function side(index, word, back) {
  const [key, run] = (word ?? "").split(".");
  const known = index.cases.find((item) => item.key === key);
  const item = known ?? index.cases.reduce((best, row) => (row.runs > best.runs ? row : best));
  const data = await caseData(item);
  const found = data.runs.findIndex((row) => row[0] === run);
  return { item, data, at: found >= 0 ? found : Math.max(0, data.runs.length - 1 - back), lost: run && found < 0 ? run : "" };
}

function picker(index, one, name, go) {
  const label = (run) => `${short(run[1]) || "no commit"}, ${moment(run[2])}, ${run[0].slice(0, 6)}`;
  const newest = one.data.runs.map((run, i) => [`${one.item.key}.${run[0]}`, label(run), i]).reverse();
  const runs = newest.filter((row, n) => n < LISTED || row[2] === one.at);
  return h("fieldset", {}, h("legend", {}, name.toUpperCase()),
    choice(`Case of ${name.toUpperCase()}`, `case-${name}`, index.cases.map((item) => [item.key, item.name]), one.item.key, (event) => go(name, event.target.value)),
    choice(`Run of ${name.toUpperCase()}, newest first`, `run-${name}`, runs, runAddress(one), (event) => go(name, event.target.value)),
    h("p", { class: "soft" }, one.data.machines[one.data.runs[one.at][3]]));
}

function metricTable(index, a, b) {
  const value = (one, place) => {
    const series = one.data.metrics.find((row) => row.metric === place);
    const at = series?.at[one.at] ?? -1;
    return at >= 0 ? { row: series.values[at], unit: series.unit, better: series.better } : null;
  };
  const rows = index.metrics.map((metric, place) => [metric, value(a, place), value(b, place)]).filter(([, x, y]) => x || y);
  const other = a.data.machines[a.data.runs[a.at][3]] !== b.data.machines[b.data.runs[b.at][3]];
  return section("Metrics", scrolling("metrics", h("table", { id: "metrics" }, heads("Metric", "A", "B", "Change from A to B"),
    h("tbody", {}, rows.map(([metric, x, y]) => h("tr", {}, h("th", { scope: "row" }, metric.name), reading(x), reading(y), h("td", { class: "number" }, judged(metric, x, y, other))))))));
}

function reading(one) {
  if (!one) return h("td", { class: "missing" }, "not measured");
  const [, said, , , span, why] = one.row;
  return h("td", { class: "number" }, said, span || why ? h("small", {}, span || why) : "");
}

function judged(metric, x, y, otherMachine) {
  if (!x || !y) return h("span", { class: "missing" }, `only in ${x ? "A" : "B"}`);
  if (x.unit !== y.unit) return h("span", { class: "missing" }, "another unit");
  const text = shift(x.row[0], y.row[0], x.unit, y.row[1]);
  if (!metric.timing) return shifted(direction(x.row[0], y.row[0], y.better), text);
  return [shifted(4, text), h("small", {}, otherMachine ? "another machine: no comparison" : "from a clock: two runs are no evidence")];
}

function layerTable(a, b) {
  const columns = a.data.columns, layers = [a, b].map((one) => one.data.layers[one.data.runs[one.at][4]]);
  const [left, right] = layers.map((rows) => new Map(rows.map((row) => [row[0], row.slice(1)])));
  const names = [...new Set([...left.keys(), ...right.keys()])];
  const get = (rows, name, i) => rows.get(name)?.[i] ?? null;
  const used = columns.map((_, i) => i).filter((i) => names.some((name) => get(left, name, i) !== null || get(right, name, i) !== null));
  if (!names.length || !used.length) return section("Layers", h("p", { class: "missing" }, "These runs have no layer table."));
  const apart = (name, i) => Math.abs((get(right, name, i) ?? 0) - (get(left, name, i) ?? 0));
  const most = new Map(used.map((i) => [i, names.reduce((best, name) => (apart(name, i) > apart(best, i) ? name : best))]));
  const cell = (name, i) => {
    const [was, now] = [get(left, name, i), get(right, name, i)];
    if (was === null && now === null) return h("td");
    const say = (value) => (value === null ? "none" : count(value));
    const text = shift(was, now, "", say(now)), top = text && most.get(i) === name;
    return h("td", { class: `number${top ? " most" : ""}` }, was === now ? say(was) : `${say(was)} → ${say(now)}`, text ? h("small", {}, text, top ? ", moved most" : "") : "");
  };
  const title = { rate: "Spikes per neuron and step", synops: "SynOps", spikes: "Spikes", encoder_macs: "MACs on analog input", ann_macs: "MACs of the ANN" };
  return section("Layers", scrolling("layers", h("table", { id: "layers" }, heads("Layer", ...used.map((i) => title[columns[i]])),
    h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, name), used.map((i) => cell(name, i))))))));
}
