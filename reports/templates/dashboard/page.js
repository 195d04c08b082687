"use strict";
// What every view needs: data, elements, numbers. No text is ever read as HTML: all of it goes in as text nodes.

const waiting = new Map();
const held = new Map();

// Each data file is one call of this.
function take(name, value) {
  held.set(name, value);
}

function load(name) {
  return script(`data/${name}.js`).then(() => held.get(name));
}

function script(path) {
  if (!waiting.has(path)) {
    waiting.set(path, new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = path;
      tag.onload = done;
      tag.onerror = () => { waiting.delete(path); failed(new Error(`${path} is missing beside this page; write the dashboard again.`)); };
      document.head.append(tag);
    }));
  }
  return waiting.get(path);
}

const caseData = async (item) => (await load(`cases-${item.key.slice(0, 2)}`))[item.key];
const metricData = async (metric) => (await load(`metrics-${metric.key.slice(0, 2)}`))[metric.key];

// An element with attributes and children; children that are not elements become text.
function h(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG.has(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}
const SVG = new Set(["svg", "polyline", "circle"]);

const scrolling = (label, table) => h("div", { class: "wide", role: "region", "aria-label": label, tabindex: 0 }, table);
const heads = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));
const section = (title, ...children) => h("section", {}, h("h2", {}, title), ...children);
const link = (href, ...children) => h("a", { href }, ...children);

const STATUS = [
  { name: "regressed", mark: "▼", word: "worse" },
  { name: "improved", mark: "▲", word: "better" },
  { name: "changed", mark: "◆", word: "" },
  { name: "unchanged", mark: "=", word: "" },
  { name: "not enough data", mark: "?", word: "" },
];
const kind = (code) => `k${code}`;

function chip(code, count) {
  const { name, mark } = STATUS[code];
  return h("span", { class: `chip ${kind(code)}` }, h("span", { "aria-hidden": "true" }, mark), ` ${count === undefined ? "" : `${count} `}${name}`);
}

// A change in the colour and the word of its direction.
function shifted(code, text) {
  if (!text) return h("span", { class: "still" }, "no change");
  const word = STATUS[code].word;
  return h("span", { class: `shift ${kind(code)}` }, text, word ? h("small", {}, word) : "");
}

// The shape of a history: 0 to 100, gaps where there was no value.
function spark(values, label) {
  const wide = 120, high = 26, step = wide / Math.max(1, values.length - 1);
  const runs = [[]];
  values.forEach((value, i) => {
    if (value === null) runs.push([]);
    else runs.at(-1).push(`${(3 + i * step * 0.95).toFixed(1)},${(high - 3 - value * 0.01 * (high - 6)).toFixed(1)}`);
  });
  const last = runs.at(-1).at(-1)?.split(",");
  return h("svg", { class: "spark", viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": label },
    runs.filter((run) => run.length > 1).map((run) => h("polyline", { points: run.join(" ") })),
    last ? h("circle", { cx: last[0], cy: last[1], r: 2.6 }) : "");
}

const short = (commit) => (/^[0-9a-f]{20,}$/.test(commit) ? commit.slice(0, 8) : commit.length > 16 ? `${commit.slice(0, 15)}…` : commit);
const day = (made) => made.slice(0, 10);
const moment = (made) => made.slice(0, 16).replace("T", " ");
const named = (commit, made) => (commit ? h("code", { title: commit }, short(commit)) : h("span", {}, moment(made) || "no commit"));

// The numbers of reports/quantities.py, for pairs of runs that no build can foresee.
function significant(value, digits = 2) {
  const rounded = Number(value.toExponential(digits - 1));
  const decimals = rounded === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  return rounded.toLocaleString("en-US", { minimumFractionDigits: Math.min(decimals, 20), maximumFractionDigits: Math.min(decimals, 20) });
}

function count(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  const text = value.toPrecision(3);
  return text.includes("e") ? text : String(Number(text));
}

function shift(was, now, unit, said = "") {
  if (was === now) return "";
  if (was === null) return "new";
  if (now === null) return "lost";
  const sign = now > was ? "+" : "-", apart = Math.abs(now - was);
  if (unit === "fraction") return `${sign}${significant(100 * apart)} points`;
  if (unit === "R2" || unit === "F1") return `${sign}${apart.toFixed(3)}`;
  return was ? `${sign}${significant(100 * Math.abs((now - was) / was))} %` : `${sign}${said}`;
}

function direction(was, now, better) {
  if (was === now) return 3;
  if (better !== "higher" && better !== "lower") return 2;
  if (was === null || now === null) return was === null ? 1 : 0;
  return (now > was) === (better === "higher") ? 1 : 0;
}

// The address: what is seen is what is shared.
function address(view, state = {}) {
  const given = Object.entries(state).filter(([, value]) => value);
  return `#/${view}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

function choice(label, name, options, value, change) {
  const select = h("select", { name, onchange: change },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return h("label", {}, h("span", {}, label), select);
}

function heading(title, ...lede) {
  const element = document.getElementById("title");
  element.textContent = title;
  document.title = `${title} · ann2spike`;
  document.getElementById("lede").replaceChildren(...lede);
}

function show(...children) {
  document.getElementById("main").replaceChildren(...children);
}
