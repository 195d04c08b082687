"use strict";
// From the address to a view. Back, forward and a shared link are all the same thing: a change of the hash.

let shown = null;

async function route() {
  const [, path = "", query = ""] = /^#\/?([^?]*)\??(.*)$/.exec(location.hash) ?? [];
  const state = Object.fromEntries(new URLSearchParams(query));
  const [view, key] = path.split("/");
  const here = `${view}/${key ?? ""}`;
  try {
    const index = await load("index");
    prepare(index);
    if (view === "case") await caseView(index, key, state);
    else if (view === "changes") changes(index);
    else if (view === "compare") await compare(index, state);
    else await overview(index, state);
  } catch (error) {
    heading("Something is missing");
    show(h("section", {}, h("p", { role: "alert" }, error.message)));
  }
  for (const anchor of document.querySelectorAll("nav a")) {
    const own = anchor.getAttribute("href").slice(2) === (view === "case" ? "" : view);
    if (own) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
  }
  if (shown !== null && shown !== here) { scrollTo(0, 0); document.getElementById("title").focus({ preventScroll: true }); }
  shown = here;
  document.body.dataset.ready = location.hash || "#/";
}

// Rows become objects once, so that the views read names and not places.
function prepare(index) {
  if (index.ready) return;
  index.metrics = index.metrics.map(([name, key, model, timing, better]) => ({ name, key, model, timing, better }));
  index.cases.forEach((item, place) => { item.place = place; });
  document.getElementById("made").textContent = `Made from the history up to ${moment(index.until)} UTC; the same history gives the same pages. The joules are modelled, not measured.`;
  index.ready = true;
}

document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main").focus(); });
addEventListener("hashchange", route);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", route);
route();
