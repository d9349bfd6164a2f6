"use strict";
// All text goes into the page as text, never as markup.
const main = document.getElementById("main"), connection = document.getElementById("connection");
const said = document.getElementById("said");
let overview = null, found = null;
const make = (tag, attributes, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...inside.flat().filter((part) => part !== null && part !== undefined).map((part) => part instanceof Node ? part : String(part)));
  return element;
};
const ago = (ms) => {
  if (!ms) return "";
  const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (s < 120) return s + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  return s < 172800 ? Math.round(s / 3600) + " h" : Math.round(s / 86400) + " days";
};
const clock = (ms) => new Date(ms).toLocaleString();
const bytes = (n) => { let u = 0; while (n >= 1024 && u < 4) { n /= 1024; u++; } return (u ? n.toFixed(1) : n) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][u]; };
const seconds = (s) => s === undefined || s === null ? "" : s < 1 ? (s * 1000).toFixed(s < 0.01 ? 2 : 0) + " ms" : s < 120 ? s.toFixed(1) + " s" : (s / 60).toFixed(1) + " min";
const REASONS = { lane: "its turn: others are in work", step: "the step", response: "its response", cancellation: "its error response", delivery: "its delivery", destination: "the next try at", down: "a destination that did not take everything at its last try:", operator: "an operator: retry it" };
const STATES = { accepted: "in work", responded: "being delivered", undelivered: "NOT DELIVERED", answered: "answered", removed: "being removed" };
const reason = (one) => REASONS[one.reason] + (one.name ? " " + one.name : "") + (one.because ? " – " + one.because : "");
const table = (heads, rows) => make("table", {}, make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", class: head.startsWith("#") ? "n" : null }, head.replace("#", ""))))),
  make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((cell, i) => make("td", { class: heads[i].startsWith("#") ? "n" : null }, cell))))));
const link = (number, name) => make("a", { href: "#request/" + number }, name || "request " + number);
const section = (title, body, kind) => make("section", { class: kind || null, "aria-label": title }, make("h2", {}, title), body);
const standing = (is) => overview.snapshot.standing.filter(is).reduce((sum, one) => sum + one.requests, 0);

function troubles() {
  const list = [], snapshot = overview.snapshot;
  if (!overview.is_complete) list.push(["The journal is being read, or cannot be read: requests may be missing here"]);
  for (const one of snapshot.destinations.filter((one) => one.down && one.queued)) list.push(["Destination " + one.name + " did not take everything at its last try, and has not for " + ago(one.down_since_ms) + ": " + one.down + " (" + one.queued + " waiting)"]);
  const undelivered = standing((one) => one.state === "undelivered");
  if (undelivered) list.push([undelivered + " not delivered; ", make("a", { href: "#requests?state=undelivered" }, "show them")]);
  if (overview.free_bytes < overview.free_bytes_min) list.push(["The disk is low: nothing is accepted"]);
  return list;
}
const partName = (part) => part.dataflow ? "dataflow " + part.dataflow : part.step ? "step " + part.step.dataflow + "/" + part.step.step : "destination " + part.destination;
const partQuery = (part) => new URLSearchParams(part.step || part).toString();
// A button that pauses a part, or lets it go on.
function pauseButton(part) {
  const isPaused = overview.paused.some((one) => partQuery(one.paused) === partQuery(part)), label = isPaused ? "Resume" : "Pause";
  const question = isPaused ? "Let the " + partName(part) + " go on?" : "Let the " + partName(part) + " wait until it is resumed? Requests are still accepted, and none is lost.";
  const button = make("button", { class: "small", "aria-label": label + " " + partName(part) }, label);
  button.addEventListener("click", () => confirmed((isPaused ? "/api/resume?" : "/api/pause?") + partQuery(part), question, label));
  return button;
}
function showOverview() {
  const snapshot = overview.snapshot, list = troubles();
  const name = (number) => (overview.names || {})[number];
  const figure = (text, number, bad) => make("div", {}, make("b", { class: bad && number ? "bad-text" : null }, number), text);
  const open = standing((one) => one.state === "accepted"), way = standing((one) => one.state === "responded");
  const parts = [list.length ? section("What is wrong", make("ul", {}, list.map((line) => make("li", {}, line))), "bad") : section("Nothing is wrong", make("p", { class: "good-text" }, "✓ All destinations take responses, and everything is delivered."))];
  if (overview.paused.length) parts.push(section("Paused", table(["What", "By", "#Since", ""], overview.paused.map((one) => [partName(one.paused), one.who, ago(one.since_ms), pauseButton(one.paused)]))));
  parts.push(make("div", { class: "numbers" }, figure("in work or waiting", open), figure("being delivered", way), figure("not delivered", standing((one) => one.state === "undelivered"), true),
    figure("answered", standing((one) => one.state === "answered")), figure("of these with an error response", standing((one) => one.state === "answered" && one.answer === "failed"), true)));
  if (snapshot.waits.length) parts.push(section("What waits, and for what", table(["#Requests", "Wait for", "Dataflow"], snapshot.waits.slice(0, 20).map((one) => [one.requests, reason(one), one.dataflow]))));
  if (snapshot.waiting.length) parts.push(section("Waiting longest", table(["Request", "Waits for", "#Since"], snapshot.waiting.slice(0, 15).map((one) => [link(one.request, name(one.request)), reason(one) + (one.running ? " (running)" : "") + (one.next_ms ? ", next try " + clock(one.next_ms) : ""), ago(one.since_ms)]))));
  if (snapshot.destinations.length) parts.push(section("Destinations", table(["Name", "State", "#Waiting", "#Delivered", "#Failed tries", ""], snapshot.destinations.map((one) => [one.name, one.down ? make("span", { class: "bad-text" }, "✗ " + one.down + ", for " + ago(one.down_since_ms)) : make("span", { class: "good-text" }, "✓ takes responses"), one.queued, one.delivered, one.not_delivered, pauseButton({ destination: one.name })]))));
  if (snapshot.faults.length) parts.push(section("Why steps fail", table(["#Times", "Step", "Reason"], snapshot.faults.slice(0, 10).map((one) => [one.count, one.dataflow + " / " + one.step, one.reason]))));
  const hours = snapshot.hours.slice(0, 24).reverse(), most = Math.max(1, ...hours.map((one) => one.answered));
  if (hours.length) parts.push(section("Answered by hour", [make("div", { class: "bars", role: "img", "aria-label": hours.map((one) => clock(one.begin_ms) + ": " + one.answered).join("; ") }, hours.map((one) => { const bar = make("i", { title: clock(one.begin_ms) + ": " + one.answered + " answered, " + one.failed + " with errors" }); bar.style.height = 100 * one.answered / most + "%"; return bar; })), make("p", { class: "soft" }, (hours.length === 1 ? "the last hour" : "the last " + hours.length + " hours") + "; at most " + most + " in one")]));
  if (overview.receiving.length) parts.push(section("Being received", table(["Study", "#Instances so far"], overview.receiving.map((one) => [one.study_instance_uid, one.instances]))));
  for (const view of new Set(snapshot.declared.map((one) => one.view))) parts.push(section(view, table(["For", "#Count", "#Seconds", "#Median", "#99 %"], snapshot.declared.filter((one) => one.view === view).slice(0, 50).map((one) => [one.key.filter((key) => key).join(" / "), one.count, one.seconds ? one.seconds.toFixed(1) : "", one.times ? seconds(one.times.p50) : "", one.times ? seconds(one.times.p99) : ""]))));
  parts.push(section("Storage", table(["What", "#Size"], [["remembered requests", bytes(snapshot.standing.reduce((sum, one) => sum + one.bytes, 0))], ["free on the disk of " + overview.state, bytes(overview.free_bytes)]])));
  main.replaceChildren(...parts);
}
function showSteps() {
  const times = (one) => one.times ? [seconds(one.times.p50), seconds(one.times.p90), seconds(one.times.p99)] : ["", "", ""];
  main.replaceChildren(
    section("Steps", table(["Dataflow", "Step", "#Ready", "#Running", "#Runs", "#Failed", "#Median", "#90 %", "#99 %", ""], overview.snapshot.steps.map((one) => [one.dataflow, one.step, one.ready, one.running, one.runs, one.failed ? make("span", { class: "bad-text" }, one.failed) : 0, ...times(one), pauseButton({ step: { dataflow: one.dataflow, step: one.step } })]))),
    section("Dataflows: from acceptance to answer", table(["Dataflow", "#Complete", "#With reservations", "#Error responses", "#Median", "#90 %", "#99 %", ""], overview.snapshot.dataflows.map((one) => [one.dataflow, one.complete, one.reserved, one.failed, ...times(one), pauseButton({ dataflow: one.dataflow })]))));
}
async function ask(path, options) {
  const answer = await fetch(path, options), body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.status);
  return body;
}
const reserved = (one) => one.answer === "reserved" ? ", with reservations" : "";
async function showRequests(query) {
  const given = new URLSearchParams(query);
  if (!document.getElementById("found")) {
    const text = make("input", { type: "search", name: "text", "aria-label": "Search", placeholder: "Name, number, patient ID, accession number or study UID" });
    const state = make("select", { name: "state", "aria-label": "State" }, [["", "all states"], ["open", "unanswered"], ...Object.entries(STATES)].map(([value, label]) => make("option", { value }, label)));
    text.value = given.get("text") || ""; state.value = given.get("state") || "";
    const form = make("form", { class: "search", role: "search" }, text, state, make("button", {}, "Search"));
    form.addEventListener("submit", (event) => { event.preventDefault(); location.hash = "requests?" + new URLSearchParams({ text: text.value, state: state.value }); });
    state.addEventListener("change", () => form.requestSubmit());
    main.replaceChildren(section("Requests", [form, make("div", { id: "found", "aria-live": "polite" }, "…")]));
  }
  const { requests } = await ask("/api/requests?" + given), place = document.getElementById("found");
  if (!place) return;
  const verdict = (one) => one.failed ? make("span", { class: "bad-text" }, "✗ " + STATES[one.state] + ", error response") : make("span", {}, STATES[one.state] + reserved(one) + (one.kept ? ", kept" : ""));
  place.replaceChildren(requests.length ? table(["Request", "Dataflow", "State", "Accepted", "#Size"], requests.map((one) => [link(one.number, one.name), one.dataflow, verdict(one), clock(one.accepted_ms), bytes(one.bytes)])) : make("p", { class: "soft" }, "There is no such request."));
}
async function showRequest(number) {
  const { request, waits, graph, files, records } = await ask("/api/requests/" + number);
  if (location.hash !== "#request/" + number) return; // Another view was opened meanwhile.
  const text = (one) => {
    const what = one.what || {};
    if (one.kind === "run") return what.outcome === "failed" ? make("span", { class: "bad-text" }, "✗ " + what.step + " failed: " + what.reason + (what.remedy ? " – " + what.remedy : "")) : (what.outcome === "done" ? "✓ " : "– ") + what.step + (what.item === null ? "" : " (item " + (what.item + 1) + ")") + " " + what.outcome + (what.outputs.length ? ": " + what.outputs.join(", ") : "");
    if (one.kind === "asked") return what.asked + " asked for" + (what.who ? " by " + what.who : "");
    if (one.kind === "responded" || one.kind === "interim") return "response: " + what.verdict + (what.files.length ? "; " + what.files.join(", ") : "");
    if (one.kind === "delivered") return (what.complete ? "✓ delivered to " : "✗ not all taken by ") + what.destination + ((what.detail || {}).trouble ? ": " + what.detail.trouble : "");
    if (one.kind === "sent") return "sent to " + what.destination + ": " + ((what.detail || {}).name || "") + " " + ((what.detail || {}).answer || "");
    if (one.kind === "accepted") return "accepted for " + what.dataflow + ", " + what.items + " items";
    return one.kind.replace("_", " ");
  };
  const took = (one) => one.kind === "run" ? seconds(one.what.took_us / 1e6) : "";
  const button = (label, action, question) => { const element = make("button", {}, label); element.addEventListener("click", () => act(number, action, question, label)); return element; };
  const open = request.state !== "answered" && request.state !== "removed";
  const actions = [request.state === "accepted" ? button("Cancel", "cancel", "End " + request.name + "? Its sender gets an error response that says so.") : button("Retry", "retry", "Run again what failed of " + request.name + ", and deliver what is not delivered?"),
    request.kept ? button("Release", "release", "Let " + request.name + " be removed when its time has come?") : button("Keep", "keep", "Remember " + request.name + " with its files, however old it gets?")];
  main.replaceChildren(
    section(request.name, [make("p", {}, STATES[request.state], request.failed ? make("span", { class: "bad-text" }, ", error response") : make("span", { class: "warn-text" }, reserved(request)), request.kept ? ", kept" : "", make("span", { class: "soft" }, " · " + request.dataflow + " · number " + request.number + " · accepted " + clock(request.accepted_ms) + " · " + bytes(request.bytes))),
      open && waits.length ? make("ul", {}, waits.map((one) => make("li", {}, "waits for " + reason(one) + (one.running ? " (running)" : "") + ", since " + ago(one.since_ms) + (one.next_ms ? "; next try " + clock(one.next_ms) : "")))) : null, make("div", { class: "actions" }, actions)], request.failed || request.state === "undelivered" ? "bad" : null),
    graph && graph.length ? section("Steps", make("div", { class: "graph" }, drawGraph(graph))) : "",
    files.length ? section("Results", showFiles(number, files)) : "",
    section("What happened", table(["Time", "What", "#Took"], grouped(records).map((one) => [clock(one.time_ms), one.more ? "✓ " + one.what.step + " done for " + one.more + " items" : text(one), took(one)]))));
}
// Pictures are shown, other files are links.
function showFiles(number, files) {
  const address = (one) => "/api/requests/" + number + "/files/" + one.name.split("/").map(encodeURIComponent).join("/");
  const isPicture = (one) => one.media_type === "image/png" || one.media_type === "image/jpeg";
  const opens = { target: "_blank", rel: "noreferrer" };
  const pictures = files.filter(isPicture).map((one) => make("a", { href: address(one), ...opens }, make("img", { src: address(one), alt: one.name, title: one.name, loading: "lazy" })));
  const others = files.filter((one) => !isPicture(one)).map((one) => make("li", {}, make("a", { href: address(one), ...opens }, one.name), make("span", { class: "soft" }, " · " + bytes(one.size))));
  return [pictures.length ? make("div", { class: "pictures" }, pictures) : null, others.length ? make("ul", {}, others) : null];
}
// The graph of a request: each step right of all that it needs. The sign and the words say the state, too.
const SIGNS = { done: "✓", failed: "✗", skipped: "–", running: "▶", waiting: "·", "partly done": "◐" };
function drawGraph(steps) {
  const W = 190, H = 46, GAP = 40, of = new Map(steps.map((one) => [one.step, one])), depths = new Map();
  const depth = (name) => { if (!depths.has(name)) { depths.set(name, 0); depths.set(name, Math.max(0, ...of.get(name).needs.filter((need) => of.has(need)).map((need) => depth(need) + 1))); } return depths.get(name); };
  const rows = new Map(), place = new Map();
  for (const one of steps) { const column = depth(one.step), row = rows.get(column) || 0; rows.set(column, row + 1); place.set(one.step, [column * (W + GAP) + 2, row * (H + 14) + 2]); }
  const svg = (tag, attributes, ...inside) => { const element = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value); element.append(...inside); return element; };
  const width = rows.size * (W + GAP) - GAP + 4, height = Math.max(...rows.values()) * (H + 14) - 10;
  const picture = svg("svg", { width, height, viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": steps.map((one) => one.step + " " + one.state).join(", ") });
  for (const one of steps) for (const need of one.needs.filter((need) => place.has(need))) {
    const [x1, y1] = place.get(need), [x2, y2] = place.get(one.step), middle = (x1 + W + x2) / 2;
    picture.append(svg("path", { d: `M${x1 + W} ${y1 + H / 2}C${middle} ${y1 + H / 2} ${middle} ${y2 + H / 2} ${x2} ${y2 + H / 2}`, class: "edge" }));
  }
  for (const one of steps) {
    const [x, y] = place.get(one.step), name = one.step.length > 20 ? one.step.slice(0, 19) + "…" : one.step;
    const more = one.state + (one.of > 1 ? " " + one.runs + "/" + one.of : "") + (one.took_us ? ", " + seconds(one.took_us / 1e6) : "");
    picture.append(svg("g", { class: "node " + one.state.replace(" ", "-") }, svg("title", {}, one.step + ": " + more), svg("rect", { x, y, width: W, height: H, rx: 6 }), svg("text", { x: x + 10, y: y + 19, class: "name" }, (SIGNS[one.state] || "") + " " + name), svg("text", { x: x + 10, y: y + 36 }, more)));
  }
  return picture;
}
// Runs of a step for many items that are done are one line.
function grouped(records) {
  const lines = [], lineOf = {};
  for (const one of records) {
    if (one.kind !== "run" || one.what.item === null || one.what.outcome !== "done") { lines.push(one); continue; }
    const known = lineOf[one.what.step];
    if (known) { known.more += 1; known.what.took_us += one.what.took_us; } else { one.more = 1; lineOf[one.what.step] = one; lines.push(one); }
  }
  return lines;
}
const act = (number, action, question, label) => confirmed("/api/requests/" + number + "/" + action, question, label);
async function confirmed(path, question, label) {
  const dialog = document.getElementById("confirm");
  document.getElementById("question").textContent = question;
  document.getElementById("go").textContent = label;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "yes") return;
  try { await ask(path, { method: "POST" }); tell(label + " is noted"); overview = await ask("/api/overview"); show(); } catch (error) { tell("Not done: " + error.message); }
}
function tell(text) { said.textContent = text; setTimeout(() => { said.textContent = ""; }, 6000); }
async function show() {
  const [view, query] = (location.hash.slice(1) || "overview").split("?"), focus = document.activeElement;
  document.querySelectorAll("nav a").forEach((one) => one.getAttribute("href") === "#" + view ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current"));
  if (!overview) return;
  try {
    if (view.startsWith("request/")) await showRequest(Number(view.slice(8)));
    else if (view === "requests") { if (found !== location.hash) { main.replaceChildren(); found = location.hash; } await showRequests(query || ""); }
    else if (view === "steps") showSteps();
    else showOverview();
    if (view !== "requests") found = null;
  } catch (error) { tell(error.message); }
}
// The page is drawn again at most twice a second, and not while its reader types or has a link in focus.
let waits = null;
const later = () => { if (!waits) waits = setTimeout(() => { waits = null; if (!main.contains(document.activeElement) || document.activeElement === main) show(); }, 100); };
addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
const events = new EventSource("/api/events");
events.onmessage = (event) => { const first = !overview; overview = JSON.parse(event.data); connection.className = ""; connection.textContent = "live · commit " + overview.snapshot.commit; if (first) show(); else later(); };
events.onerror = () => { connection.className = "lost"; connection.textContent = "✗ not connected"; };
