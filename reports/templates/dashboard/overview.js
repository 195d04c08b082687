"use strict";
// All cases, filtered, with one metric of each; and the commits at which something changed.

const FILTERS = [["network", "Network"], ["recipe", "Recipe"], ["neuron", "Neuron"], ["data", "Data"]];
const FEW = 100;

const worst = (item) => item.counts.findIndex((count) => count > 0);

function usual(index) {
  const many = (number, one) => `${number.toLocaleString("en-US")} ${one}${number === 1 ? "" : "s"}`;
const extent = (item) => `${many(item.runs, "run")} at ${many(item.commits, "commit")}`;
const wanted = ["snn.accuracy", "agreement"].map((name) => index.metrics.find((metric) => metric.name === name));
  return wanted.find(Boolean) ?? index.metrics[0];
}

function chosen(index, state) {
  const inModel = index.metrics.filter((metric) => !state.model || metric.model === state.model);
  return inModel.find((metric) => metric.name === state.metric)
    ?? (state.model ? inModel.find((metric) => metric.name.endsWith(".snn_j")) ?? inModel[0] : null) ?? usual(index);
}

function passes(item, state, index) {
  const sought = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return FILTERS.every(([key]) => !state[key] || item[key] === state[key])
    && (!state.status || STATUS[worst(item)]?.name === state.status)
    && (!state.model || item.has.some((place) => index.metrics[place].model === state.model))
    && sought.every((word) => item.name.toLowerCase().includes(word));
}

async function overview(index, state) {
  const form = document.getElementById("filters") ?? begin(index);
  for (const field of form.elements) {
    if (field.name && field !== document.activeElement) field.value = field.name === "metric" ? chosen(index, state).name : state[field.name] ?? "";
  }
  for (const option of form.elements.metric.options) {
    option.hidden = option.disabled = Boolean(state.model) && option.dataset.model !== state.model;
  }
  const metric = chosen(index, state);
  const found = index.cases.filter((item) => passes(item, state, index));
  const rows = new Map((await metricData(metric)).map((row) => [row[0], row]));
  const order = (item) => rows.get(index.cases.indexOf(item))?.[1] ?? 5;
  const keyed = found.map((item) => [worst(item), order(item), item]).sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2].place - b[2].place);
  document.getElementById("count").replaceChildren(`${found.length} of ${index.cases.length} cases, worst first. `,
    h("code", {}, metric.name), ` ${wanted(metric.better)}${metric.timing ? ", from a clock" : ", repeats exactly"}`);
  fill(keyed.map((row) => row[2]), metric, rows, FEW);
}

function begin(index) {
  heading(index.title || "How the networks are doing",
    `${many(index.runs, "run")} of ${many(index.cases.length, "case")}. `
    + `A status compares the last commit with the one ${index.window} commits before.`);
  const form = filters(index);
  show(tiles(index), latest(index), h("section", {}, h("h2", {}, "Cases"), form, h("p", { id: "count", role: "status" }), h("div", { id: "rows" })));
  return form;
}

function tiles(index) {
  const counts = STATUS.map(() => 0);
  for (const item of index.cases) counts[worst(item)] += 1;
  return h("div", { class: "tiles" }, STATUS.map(({ name }, code) => counts[code] || code < 2
    ? h("a", { class: `tile ${kind(code)}`, href: address("", { status: name }) }, chip(code), h("b", {}, String(counts[code])),
        h("span", {}, counts[code] === 1 ? "case" : "cases"))
    : ""));
}

function filters(index) {
  const values = (key) => [...new Set(index.cases.map((item) => item[key]))].sort();
  const all = (key) => [["", "all"], ...values(key).filter(Boolean).map((value) => [value, value])];
  const models = [...new Set(index.metrics.map((metric) => metric.model).filter(Boolean))];
  const changed = (event) => {
    const state = Object.fromEntries(new FormData(event.target.form));
    if (event.target.name === "model") delete state.metric;
    if (event.target.type === "search") location.replace(address("", state));
    else location.hash = address("", state);
  };
  const form = h("form", { id: "filters", class: "filters", onsubmit: (event) => event.preventDefault() },
    choice("Metric", "metric", index.metrics.map((metric) => [metric.name, metric.name]), "", changed),
    FILTERS.map(([key, label]) => choice(label, key, all(key), "", changed)),
    choice("Hardware, energy model", "model", [["", "all"], ...models.map((model) => [model, model])], "", changed),
    choice("Status", "status", [["", "all"], ...STATUS.map(({ name }) => [name, name])], "", changed),
    h("label", {}, h("span", {}, "Search"), h("input", { type: "search", name: "q", autocomplete: "off", oninput: changed })),
    link("#/", "Reset"));
  index.metrics.forEach((metric, i) => { form.elements.metric.options[i].dataset.model = metric.model; });
  return form;
}

function fill(items, metric, rows, most) {
  const place = document.getElementById("rows");
  if (!items.length) return place.replaceChildren(h("p", { class: "missing" }, "No case passes these filters."));
  const table = h("table", { class: "cases" },
    heads("Case", "All metrics", "This one", "Last value", "Since the commit before", "Last change", "Recent commits"),
    h("tbody", {}, items.slice(0, most).map((item) => line(item, metric, rows.get(item.place)))));
  const rest = items.length - most;
  place.replaceChildren(scrolling("cases", table),
    rest > 0 ? h("button", { type: "button", onclick: () => fill(items, metric, rows, items.length) }, `Show ${rest.toLocaleString("en-US")} more`) : "");
  return place;
}

const many = (number, one) => `${number.toLocaleString("en-US")} ${one}${number === 1 ? "" : "s"}`;
const extent = (item) => `${many(item.runs, "run")} at ${many(item.commits, "commit")}`;
const wanted = (better) => ({ higher: "(higher is better)", lower: "(lower is better)" })[better] ?? "(no direction is better)";

function line(item, metric, row) {
  const title = h("th", { scope: "row" }, link(address(`case/${item.key}`, { metric: metric.name }), item.name),
    h("small", {}, extent(item)));
  const counts = item.counts.map((count, code) => (count && code < 3 ? chip(code, count) : ""));
  const all = h("td", {}, counts.some(Boolean) ? counts : chip(worst(item)));
  return h("tr", {}, title, all, row ? cells(row.slice(1), metric.name) : h("td", { colspan: 5, class: "missing" }, "does not have this metric"));
}

// Status, last value, change since the commit before, last change point, shape.
function cells([status, said, span, [way, moved], last, values], name) {
  return [
    h("td", {}, chip(status)),
    h("td", { class: "number" }, said, span ? h("small", {}, span) : ""),
    h("td", { class: "number" }, shifted(way, moved)),
    h("td", { class: "number" }, last ? [shifted(last[1], last[2]), h("small", {}, "at ", named(last[3], last[4]))] : h("span", { class: "still" }, "none")),
    h("td", {}, spark(values, `${name} at the last ${values.length} commits`)),
  ];
}

function latest(index) {
  if (!index.changes.length) return section("Latest changes", h("p", { class: "missing" }, "Nothing has changed yet."));
  return section("Latest changes", changeList(index, index.changes.slice(0, 3), 3),
    index.changes.length > 3 ? h("p", {}, link("#/changes", "All changes")) : "");
}

function changes(index) {
  heading("What changed, commit by commit", `The last ${index.changes.length} commits at which a metric moved. Times move only with evidence.`);
  show(index.changes.length ? h("section", {}, changeList(index, index.changes, 20)) : h("section", {}, h("p", { class: "missing" }, "Nothing has changed yet.")));
}

function changeList(index, commits, most) {
  return h("ol", { class: "changes" }, commits.map(([commit, made, cases]) => h("li", {},
    h("h3", {}, named(commit, made), " ", commit ? h("small", {}, day(made)) : ""),
    h("ul", {}, cases.slice(0, most).map((row) => changeLine(index, ...row)),
      cases.length > most ? h("li", { class: "missing" }, `and ${cases.length - most} more cases`) : ""))));
}

function changeLine(index, place, metrics, after, before, moved) {
  const item = index.cases[place];
  const groups = [0, 1, 2].map((code) => metrics.filter((row) => row[1] === code).map((row) => index.metrics[row[0]]));
  return h("li", {}, link(address("compare", { a: `${item.key}.${before}`, b: `${item.key}.${after}` }), item.name),
    groups.map((group, code) => (group.length ? h("div", { class: "moves" }, chip(code), " ",
      group.slice(0, 4).map((metric, i) => [i ? ", " : "", link(address(`case/${item.key}`, { metric: metric.name }), metric.name)]),
      group.length > 4 ? ` and ${group.length - 4} more` : "") : "")),
    moved.length ? h("div", { class: "soft" }, moved[1]) : "");
}
