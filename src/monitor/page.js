"use strict";
// All text goes into the page as text, never as markup; all words stand in the table of texts.
const byId = (id) => document.getElementById(id), main = byId("main"), connection = byId("connection"), said = byId("said");
let overview = null, texts = {}, built = null, polls = null;

// The parts of a text, with values in the places of names in braces. A value may be a node.
const parts = (key, values = {}) => (texts[key] ?? key).split(/\{(\w+)\}/).map((part, i) => i % 2 ? values[part] ?? "" : part).flat().filter((part) => part !== "");
const t = (key, values) => parts(key, values).join("");
const countedParts = (key, count, values) => parts(count === 1 && texts[key + ".one"] ? key + ".one" : key, { count, ...values });
const counted = (key, count, values) => countedParts(key, count, values).join("");
// The word for a name of the API; a name that the table lacks stands for itself.
const word = (group, name) => texts[group + "." + name] ?? String(name);

const make = (tag, attributes, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) element.setAttribute(name, value);
  element.append(...inside.flat(3).filter((part) => part !== null && part !== undefined).map((part) => part instanceof Node ? part : String(part)));
  return element;
};
const span = (kind, ...inside) => make("span", { class: kind }, ...inside);
// Words of flow, of a program or of a peer that the table lacks: they stay English, and say so to a reader that speaks.
const raw = (text) => make("span", { lang: "en" }, text);
// Why a destination takes nothing: by its code where the page speaks another language than the reason.
const trouble = (code, text) => code && document.documentElement.lang !== "en" ? make("span", { title: text }, t("trouble." + code)) : raw(text);
const why = (error) => texts["refusal." + error.code] ?? error.message;
const pill = (kind, sign, text) => span("pill " + kind, (sign ? sign + " " : "") + text);
const ago = (ms) => {
  if (!ms) return "";
  const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (s < 120) return t("time.seconds", { n: s });
  if (s < 7200) return t("time.minutes", { n: Math.round(s / 60) });
  return s < 172800 ? t("time.hours", { n: Math.round(s / 3600) }) : t("time.days", { n: Math.round(s / 86400) });
};
const clock = (ms) => new Date(ms).toLocaleString(document.documentElement.lang === "en" ? undefined : document.documentElement.lang);
const decimal = (n, digits) => n.toLocaleString(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = (n) => n.toLocaleString(document.documentElement.lang);
const bytes = (n) => { let u = 0; while (n >= 1024 && u < 4) { n /= 1024; u++; } return t(["bytes.0", "bytes.1", "bytes.2", "bytes.3", "bytes.4"][u], { n: decimal(n, u ? 1 : 0) }); };
const seconds = (s) => s === undefined || s === null ? "" : s < 1 ? t("time.milliseconds", { n: decimal(s * 1000, s < 0.01 ? 2 : 0) }) : s < 120 ? t("time.seconds", { n: decimal(s, 1) }) : t("time.minutes", { n: decimal(s / 60, 1) });

const n = (key) => ({ key, isNumber: true });
// A table: heads are keys of texts, or nothing for a column of buttons. On a phone each row is a card with its labels.
const table = (heads, rows, current) => {
  const head = heads.map((one) => one.key ?? one).map((key) => key && t(key)), kind = (i) => heads[i].isNumber ? "n" : null;
  return make("table", {}, make("thead", {}, make("tr", {}, head.map((label, i) => make("th", { scope: "col", class: kind(i) }, label)))),
    make("tbody", {}, rows.map((cells, row) => make("tr", { "aria-current": row === current ? "true" : null }, cells.map((cell, i) => make("td", { class: kind(i), "data-label": head[i] || null }, typeof cell === "number" ? whole(cell) : cell))))));
};
const link = (number, name) => make("a", { href: "#request/" + number }, name || t("request.number", { number }));
const titled = (title, body, kind) => make("section", { class: kind || null, "aria-label": title }, make("h2", {}, title), body);
const section = (key, body, kind) => titled(t(key), body, kind);
const standing = (is) => overview.snapshot.standing.filter(is).reduce((sum, one) => sum + one.requests, 0);
const isPaused = (part) => overview.paused.some((one) => partQuery(one.paused) === partQuery(part));
const reason = (one, dataflow) => {
  if (one.reason === "lane" && isPaused({ dataflow })) return t("reason.dataflow_paused");
  if (one.reason === "step" && isPaused({ step: { dataflow, step: one.name } })) return t("reason.step_paused", { name: one.name });
  return [t("reason." + one.reason, { name: one.name }), one.because ? [" – ", trouble(one.because_code, one.because)] : ""];
};
const waiting = (one, dataflow) => [reason(one, dataflow), one.running ? " " + t("waits.running") : "", one.next_ms ? " · " + t("waits.next", { time: clock(one.next_ms) }) : ""];
const state = (one) => {
  if (one.state === "accepted") return pill("run", "▶", t("state.accepted"));
  if (one.state === "undelivered") return pill("bad", "✗", t("state.undelivered"));
  if (one.cancelled) return pill("", "■", t(one.state === "responded" ? "state.cancelled_under_way" : "state.cancelled"));
  if (one.failed) return pill("bad", "✗", t(one.state === "responded" ? "state.error_under_way" : "state.error"));
  if (one.state === "responded") return pill("run", "▸", t("state.responded"));
  if (one.state === "removed") return pill("", "–", t("state.removed"));
  return one.answer === "reserved" ? pill("warn", "✓", t("state.reserved")) : pill("good", "✓", t("state.answered"));
};

// A button that asks first, and then orders what it says.
const button = (key, path, question, kind, label) => {
  const element = make("button", { class: kind || null, "aria-label": label || null }, t(key));
  element.addEventListener("click", () => confirmed(path, question, t(key), (kind || "").includes("danger")));
  return element;
};
const partName = (part) => part.dataflow ? t("part.dataflow", { name: part.dataflow }) : part.step ? t("part.step", { name: part.step.dataflow + "/" + part.step.step }) : t("part.destination", { name: part.destination });
const partQuery = (part) => new URLSearchParams(part.step || part).toString();
const pauseButton = (part) => {
  const name = partName(part), [key, path] = isPaused(part) ? ["action.resume", "/api/resume?"] : ["action.pause", "/api/pause?"];
  return button(key, path + partQuery(part), t(isPaused(part) ? "ask.resume" : "ask.pause", { name }), "small", t(key) + ": " + name);
};

// Those on this machine, as the folder of responses, come first: they are tried first.
const destinations = () => [...overview.local.map((one) => ({ ...one, isLocal: true })), ...overview.snapshot.destinations];
function showDestinations() {
  const count = (one, number) => one.isLocal ? make("span", { title: t("destination.since_start") }, whole(number) + "*") : number;
  const row = (one) => [one.name, one.down ? [pill("bad", "✗", t("destination.down", { since: ago(one.down_since_ms) })), " ", trouble(one.down_code, one.down)] : pill("good", "✓", t("destination.up")), one.queued, count(one, one.delivered), count(one, one.not_delivered), pauseButton({ destination: one.name })];
  return section("destinations", [table(["head.name", "head.state", n("head.waiting"), n("head.delivered"), n("head.failed_tries"), ""], destinations().map(row)), overview.local.length ? make("p", { class: "soft" }, "* " + t("destination.since_start")) : null]);
}
function troubles() {
  const list = [], snapshot = overview.snapshot;
  if (!overview.is_complete) list.push(t("wrong.journal"));
  for (const one of destinations()) if (one.down && one.queued) list.push(countedParts("wrong.destination", one.queued, { name: one.name, since: ago(one.down_since_ms), why: trouble(one.down_code, one.down) }));
  const undelivered = standing((one) => one.state === "undelivered");
  if (undelivered) list.push([counted("wrong.undelivered", undelivered), " ", make("a", { href: "#requests?state=undelivered" }, t("show"))]);
  for (const one of overview.processes) if (!one.is_connected) list.push(t("wrong.process", { name: one.process, address: one.address, since: ago(one.since_ms) }));
  for (const one of overview.missing) list.push(counted(one.memory ? "wrong.memory" : "wrong.label", one.steps, { label: one.label, since: ago(one.since_ms), memory: bytes(one.memory || 0) }));
  if (overview.free_bytes < overview.free_bytes_min) list.push(t("wrong.disk"));
  return list;
}
// Each process with its share of the work, and the report of it that is in the journal.
function showProcesses() {
  const is = (one) => one.is_connected ? pill("good", "✓", t("process.there", { since: ago(one.since_ms) })) : pill("bad", "✗", t("process.lost", { since: ago(one.since_ms) }));
  const more = (one) => [...one.unable, one.left_out].filter((text) => text).map((text) => make("div", { class: "warn-text" }, raw(text)));
  const stands = (one) => one.process ? t("process.stands", { generation: whole(one.generation), report: whole(one.noted) }) : t("process.commit", { commit: whole(overview.snapshot.commit) });
  return section("processes", table(["head.process", "head.labels", "head.state", n("head.requests"), n("head.steps"), n("head.memory"), n("head.stands")], overview.processes.map((one) => [[make("b", {}, one.process), " ", span("soft", one.address)], one.labels.join(", "), [is(one), more(one)], one.waiting ? t("process.waiting", { running: whole(one.requests), waiting: whole(one.waiting) }) : one.requests, one.steps, t("process.memory", { taken: bytes(one.memory_taken), memory: bytes(one.memory) }), stands(one)])));
}
function showOverview() {
  const snapshot = overview.snapshot, list = troubles(), name = (number) => (overview.names || {})[number];
  const figure = (key, number, bad) => make("div", {}, make("b", { class: bad && number ? "bad-text" : null }, whole(number)), t(key));
  const view = [list.length ? section("wrong", make("ul", {}, list.map((line) => make("li", {}, line))), "bad") : section("right", make("p", {}, span("good-text", "✓ "), t("right.more")), "good")];
  if (overview.paused.length) view.push(section("paused", table(["head.what", "head.by", n("head.since"), ""], overview.paused.map((one) => [partName(one.paused), one.who, ago(one.since_ms), pauseButton(one.paused)])), "warn"));
  view.push(make("div", { class: "numbers" }, figure("figure.work", standing((one) => one.state === "accepted")), figure("figure.delivery", standing((one) => one.state === "responded")), figure("figure.undelivered", standing((one) => one.state === "undelivered"), true),
    figure("figure.answered", standing((one) => one.state === "answered")), figure("figure.errors", standing((one) => one.state === "answered" && one.answer === "failed"), true)));
  if (overview.processes.length) view.push(showProcesses());
  if (overview.receiving.length) view.push(section("receiving", table(["head.study", n("head.instances"), ""], overview.receiving.map((one) => [one.study_instance_uid, one.instances,
    button("action.complete", "/api/complete?" + new URLSearchParams({ study: one.study_instance_uid }), counted("ask.complete", one.instances, { study: one.study_instance_uid }), "small", t("action.complete") + ": " + one.study_instance_uid)]))));
  if (snapshot.waits.length) view.push(section("waits", table(["head.waits", "head.dataflow", n("head.requests")], snapshot.waits.slice(0, 20).map((one) => [reason(one, one.dataflow), one.dataflow, one.requests]))));
  if (snapshot.waiting.length) view.push(section("waiting", table(["head.request", "head.waits", n("head.since")], snapshot.waiting.slice(0, 15).map((one) => [link(one.request, name(one.request)), waiting(one, (snapshot.oldest.find((old) => old.request === one.request) || {}).dataflow), ago(one.since_ms)]))));
  if (destinations().length) view.push(showDestinations());
  if (snapshot.sources.length) view.push(section("sources", table(["head.source", "head.dataflow", n("head.accepted_so_far"), n("head.unanswered")], snapshot.sources.map((one) => [one.source, one.dataflow, one.accepted, snapshot.open.filter((open) => open.source === one.source && open.dataflow === one.dataflow).reduce((sum, open) => sum + open.requests, 0)]))));
  if (snapshot.faults.length) view.push(section("faults", table(["head.reason", "head.step", n("head.times")], snapshot.faults.slice(0, 10).map((one) => [[word("fault", one.kind), ": ", raw(one.reason)], one.dataflow + " / " + one.step, one.count]))));
  const hours = snapshot.hours.slice(0, 24).reverse(), most = Math.max(1, ...hours.map((one) => one.answered)), told = (one) => t("hours.one_hour", { time: clock(one.begin_ms), answered: whole(one.answered), failed: whole(one.failed) });
  if (hours.length) view.push(section("hours", [make("div", { class: "bars", role: "img", "aria-label": hours.map(told).join("; ") }, hours.map((one) => { const bar = make("i", { title: told(one) }); bar.style.height = 100 * one.answered / most + "%"; return bar; })), make("p", { class: "soft" }, counted("hours.last", hours.length, { most: whole(most) }))]));
  for (const declared of new Set(snapshot.declared.map((one) => one.view))) view.push(titled(declared, table(["head.for", n("head.count"), n("head.seconds"), n("head.median"), n("head.slowest")], snapshot.declared.filter((one) => one.view === declared).slice(0, 50).map((one) => [one.key.filter((key) => key).join(" / "), one.count, one.seconds ? decimal(one.seconds, 1) : "", one.times ? seconds(one.times.p50) : "", one.times ? seconds(one.times.p99) : ""]))));
  view.push(section("storage", table(["head.what", n("head.size")], [[t("storage.remembered"), bytes(snapshot.standing.reduce((sum, one) => sum + one.bytes, 0))], [t("storage.free", { folder: overview.state }), bytes(overview.free_bytes)]])));
  draw(view);
}
function showSteps() {
  const times = (one) => one.times ? [seconds(one.times.p50), seconds(one.times.p90), seconds(one.times.p99)] : ["", "", ""];
  const failed = (count) => count ? span("bad-text", whole(count)) : 0, quantiles = [n("head.median"), n("head.slow"), n("head.slowest"), ""];
  draw([section("steps", table(["head.step", "head.dataflow", n("head.ready"), n("head.running"), n("head.runs"), n("head.failed"), ...quantiles], overview.snapshot.steps.map((one) => [one.step, one.dataflow, one.ready, one.running, one.runs, failed(one.failed), ...times(one), pauseButton({ step: { dataflow: one.dataflow, step: one.step } })]))),
    section("dataflows", table(["head.dataflow", n("head.complete"), n("head.reserved"), n("head.errors"), ...quantiles], overview.snapshot.dataflows.map((one) => [one.dataflow, one.complete, one.reserved, failed(one.failed), ...times(one), pauseButton({ dataflow: one.dataflow })])))]);
}
async function ask(path, options) {
  const answer = await fetch(path, options), body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error || answer.status), { code: body.code });
  return body;
}
async function showRequests(query) {
  const given = new URLSearchParams(query);
  if (built !== location.hash) {
    const text = make("input", { type: "search", name: "text", "aria-label": t("search"), placeholder: t("search.more"), value: given.get("text") });
    const states = [["", "search.all"], ["open", "search.open"], ["accepted", "state.accepted"], ["responded", "state.responded"], ["undelivered", "state.undelivered"], ["answered", "state.answered"]];
    const choice = make("select", { name: "state", "aria-label": t("head.state") }, states.map(([value, key]) => make("option", { value, selected: value === (given.get("state") || "") ? "" : null }, t(key))));
    const form = make("form", { class: "search", role: "search" }, text, choice, make("button", { class: "main" }, t("search")));
    form.addEventListener("submit", (event) => { event.preventDefault(); location.hash = "requests?" + new URLSearchParams({ text: text.value, state: choice.value }); });
    choice.addEventListener("change", () => form.requestSubmit());
    draw([section("requests", [form, make("div", { id: "found", "aria-live": "polite" }, "…")])]);
    built = location.hash;
  }
  const { requests } = await ask("/api/requests?" + given), place = byId("found");
  if (!place) return;
  draw([requests.length ? table(["head.request", "head.dataflow", "head.state", "head.accepted", n("head.size")], requests.map((one) => [link(one.number, one.name), one.dataflow, [state(one), one.kept ? " " + t("kept") : ""], clock(one.accepted_ms), bytes(one.bytes)])) : make("p", { class: "soft" }, t("search.nothing")),
    requests.length < 100 ? null : make("p", {}, make("a", { href: "#requests?" + new URLSearchParams({ text: given.get("text") || "", state: given.get("state") || "", below: requests.at(-1).number }) }, t("search.older")))], place);
}
const RECORDS = {
  run: (what) => what.outcome === "failed" ? span("bad-text", "✗ ", parts("record.failed", { step: what.step, why: [word("fault", what.fault), ": ", raw(what.reason)] }), what.remedy ? [" – ", raw(what.remedy)] : "") : [what.outcome === "done" ? "✓ " : "– ", what.more ? t("record.many", { step: what.step, count: whole(what.more) }) : what.step + (what.item === null ? "" : " " + t("record.item", { number: what.item + 1 })) + " " + word("run", what.outcome), what.outputs.length && !what.more ? ": " + what.outputs.join(", ") : ""],
  asked: (what) => what.who ? t("record.asked", { what: word("asked", what.asked), who: what.who }) : word("asked", what.asked),
  responded: (what) => t("record.responded", { verdict: word("verdict", what.verdict) }) + (what.files.length ? ": " + what.files.join(", ") : ""),
  interim: (what) => t("record.interim", { verdict: word("verdict", what.verdict) }) + (what.files.length ? ": " + what.files.join(", ") : ""),
  delivered: (what) => what.complete ? "✓ " + t("record.delivered", { name: what.destination }) : span("bad-text", "✗ " + t("record.refused", { name: what.destination }), (what.detail || {}).trouble ? [": ", trouble(what.code, what.detail.trouble)] : ""),
  sent: (what) => [t("record.sent", { name: what.destination }) + ": " + ((what.detail || {}).name || "") + " ", raw((what.detail || {}).answer || "")],
  accepted: (what) => counted("record.accepted", what.items, { dataflow: what.dataflow }) + (what.completed_by ? " · " + t("record.completed_by", { who: what.completed_by }) : ""),
  late: (what) => counted("record.late", what.items),
};
async function showRequest(number) {
  const [{ request, waits, graph, files, records }, replay] = await Promise.all([ask("/api/requests/" + number), ask("/api/requests/" + number + "/replay")]);
  if (location.hash !== "#request/" + number) return; // Another view was opened meanwhile.
  const text = (one) => RECORDS[one.kind] ? RECORDS[one.kind](one.what || {}) : word("record", one.kind);
  const name = request.name, isOpen = request.state !== "answered" && request.state !== "removed", path = "/api/requests/" + number + "/";
  const actions = request.state === "accepted"
    ? [button("action.hurry", path + "hurry", t("ask.hurry", { name })), button("action.cancel", path + "cancel", t("ask.cancel", { name }), "danger")]
    : [button("action.retry", path + "retry", t("ask.retry", { name })), button("action.replay", path + "replay", t("ask.replay", { name }))];
  actions.push(request.kept ? button("action.release", path + "release", t("ask.release", { name })) : button("action.keep", path + "keep", t("ask.keep", { name })));
  const fact = (key, value) => make("div", {}, make("dt", {}, t(key)), make("dd", {}, value));
  const isBad = request.failed || request.state === "undelivered";
  draw([
    titled(name, [make("p", {}, state(request), request.kept ? [" ", pill("", "★", t("kept"))] : ""), make("dl", { class: "facts" }, fact("head.dataflow", request.dataflow), fact("head.number", number), fact("head.accepted", clock(request.accepted_ms)), fact("head.size", bytes(request.bytes))),
      isOpen && waits.length ? make("ul", {}, waits.map((one) => make("li", {}, t("waits.for"), " ", waiting(one, request.dataflow), " · ", t("waits.since", { since: ago(one.since_ms) })))) : null,
      make("p", {}, make("a", { href: "#rules?request=" + number }, t("rules.now"))), make("div", { class: "actions" }, actions)], isBad ? "bad" : null),
    replay.state === "none" ? null : showReplay(replay),
    graph && graph.length ? section("steps", make("div", { class: "graph" }, drawGraph(graph))) : null,
    files.length ? section("results", showFiles(number, files)) : null,
    section("records", table(["head.what", "head.time", n("head.took")], grouped(records).map((one) => [text(one), clock(one.time_ms), one.kind === "run" ? seconds(one.what.took_us / 1e6) : ""])))].filter((part) => part));
  if (replay.state === "running" && !polls) polls = setTimeout(() => { polls = null; if (location.hash === "#request/" + number) show(); }, 700);
}
// What a replay has found, step by step.
function showReplay({ state, who, began_ms, steps, conclusion, error }) {
  const differs = (one) => one.identical < one.runs, same = conclusion && conclusion.identical === conclusion.steps && !conclusion.others.length;
  const verdict = state === "running" ? pill("run", "▶", counted("replay.running", steps.length)) : state === "failed" ? [pill("bad", "✗", t("replay.failed")), " ", raw(error || "")] : same ? pill("good", "✓", counted("replay.same", conclusion.steps)) : pill("warn", "≠", t("replay.differs", { identical: conclusion.identical, steps: conclusion.steps }));
  const difference = (one) => make("li", {}, one.item ? one.item + ": " : "", one.what ? raw(one.what) : t("replay.hidden"), one.parts && one.parts.length ? make("pre", { lang: "en" }, one.parts.join("\n")) : null);
  return section("replay", [make("p", {}, verdict, " ", span("soft", t("replay.by", { who, time: clock(began_ms) }))),
    conclusion ? make("ul", {}, conclusion.others.map((other) => make("li", {}, raw(other)))) : null,
    steps.length ? table(["head.step", "head.compared", n("head.runs"), n("head.took")], steps.map((one) => [one.step, differs(one) ? [pill("warn", "≠", t("replay.step_differs", { identical: one.identical, runs: one.runs })), make("ul", {}, one.differences.slice(0, 5).map(difference))] : pill("good", "✓", t("replay.step_same")), one.runs, seconds(one.took_us / 1e6)])) : null,
    make("p", { class: "soft" }, t("replay.more"))], same || state === "running" ? null : "warn");
}
// Pictures are shown, other files are links.
function showFiles(number, files) {
  const address = (one) => "/api/requests/" + number + "/files/" + one.name.split("/").map(encodeURIComponent).join("/");
  const isPicture = (one) => one.media_type === "image/png" || one.media_type === "image/jpeg", opens = { target: "_blank", rel: "noreferrer" };
  const pictures = files.filter(isPicture).map((one) => make("a", { href: address(one), ...opens }, make("img", { src: address(one), alt: one.name, title: one.name, loading: "lazy" })));
  const others = files.filter((one) => !isPicture(one)).map((one) => make("li", {}, make("a", { href: address(one), ...opens }, one.name), span("soft", " · " + bytes(one.size))));
  return [pictures.length ? make("div", { class: "pictures" }, pictures) : null, others.length ? make("ul", {}, others) : null];
}
// The graph of a request: each step right of all that it needs. The sign and the words say the state, too.
const SIGNS = { done: "✓", failed: "✗", skipped: "–", running: "▶", waiting: "·", "partly done": "◐" };
function drawGraph(steps) {
  const W = 190, H = 46, GAP = 40, of = new Map(steps.map((one) => [one.step, one])), depths = new Map(), rows = new Map(), place = new Map();
  const depth = (name) => { if (!depths.has(name)) { depths.set(name, 0); depths.set(name, Math.max(0, ...of.get(name).needs.filter((need) => of.has(need)).map((need) => depth(need) + 1))); } return depths.get(name); };
  for (const one of steps) { const column = depth(one.step), row = rows.get(column) || 0; rows.set(column, row + 1); place.set(one.step, [column * (W + GAP) + 2, row * (H + 14) + 2]); }
  const svg = (tag, attributes, ...inside) => { const element = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value); element.append(...inside); return element; };
  const width = rows.size * (W + GAP) - GAP + 4, height = Math.max(...rows.values()) * (H + 14) - 10;
  const picture = svg("svg", { width, height, viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": steps.map((one) => one.step + " " + word("step", one.state)).join(", ") });
  for (const one of steps) for (const need of one.needs.filter((need) => place.has(need))) {
    const [x1, y1] = place.get(need), [x2, y2] = place.get(one.step), middle = (x1 + W + x2) / 2;
    picture.append(svg("path", { d: `M${x1 + W} ${y1 + H / 2}C${middle} ${y1 + H / 2} ${middle} ${y2 + H / 2} ${x2} ${y2 + H / 2}`, class: "edge" }));
  }
  for (const one of steps) {
    const [x, y] = place.get(one.step), name = one.step.length > 20 ? one.step.slice(0, 19) + "…" : one.step;
    const more = word("step", one.state) + (one.of > 1 ? " " + one.runs + "/" + one.of : "") + (one.took_us ? ", " + seconds(one.took_us / 1e6) : "");
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
    if (known) { known.what.more = (known.what.more || 1) + 1; known.what.took_us += one.what.took_us; } else { lineOf[one.what.step] = one; lines.push(one); }
  }
  return lines;
}
// Which dataflow would this be? The form is built once, so that nothing is lost while somebody types.
async function showRules(query) {
  if (built === location.hash) return;
  const given = [...new URLSearchParams(query)], { rules, dataflows, attributes } = await ask("/api/rules");
  if (location.hash.slice(1) !== "rules" + (query ? "?" + query : "")) return;
  const request = (given.find(([name]) => name === "request") || [])[1], pairs = given.filter(([name]) => name !== "request");
  let choice = null, refused = "";
  if (given.length) try { choice = await ask("/api/choice?" + query); } catch (error) { refused = why(error); }
  const rows = make("div", {}), pair = ([name, value]) => {
    const kind = make("select", { "aria-label": t("rules.attribute") }, attributes.map((one) => make("option", { value: one.name, title: one.about, selected: one.name === (name || "modality") ? "" : null }, one.name)));
    const gone = make("button", { type: "button", "aria-label": t("rules.less") }, "✕"), row = make("div", { class: "pair" }, kind, make("input", { "aria-label": t("rules.value"), placeholder: t("rules.value"), value }), gone);
    gone.addEventListener("click", () => row.remove());
    return row;
  };
  rows.append(...(pairs.length ? pairs : [["modality", ""]]).map(pair));
  const more = make("button", { type: "button" }, t("rules.more")), byAttributes = make("form", { "aria-label": t("rules.by_attributes") }, rows, make("div", { class: "actions" }, more, make("button", { class: "main" }, t("rules.ask"))));
  more.addEventListener("click", () => { rows.append(pair([])); rows.lastChild.querySelector("input").focus(); });
  byAttributes.addEventListener("submit", (event) => { event.preventDefault(); location.hash = "rules?" + new URLSearchParams([...rows.children].map((row) => [row.querySelector("select").value, row.querySelector("input").value]).filter(([, value]) => value)); });
  const number = make("input", { inputmode: "numeric", "aria-label": t("head.number"), placeholder: t("head.number"), value: request }), byNumber = make("form", { class: "pair", "aria-label": t("rules.by_request") }, number, make("button", {}, t("rules.ask")));
  byNumber.addEventListener("submit", (event) => { event.preventDefault(); location.hash = "rules?request=" + encodeURIComponent(number.value.trim()); });
  draw([
    section("rules.which", [make("h3", {}, t("rules.by_attributes")), byAttributes, make("h3", {}, t("rules.by_request")), byNumber]),
    refused ? section("rules.answer", make("p", {}, refused), "bad") : choice ? section("rules.answer", showChoice(choice, rules), "good") : null,
    section("rules", rules.length ? table(["head.rule", "head.when", "head.dataflow", "head.customer", "head.priority", n("head.line")], rules.map((one, i) => [i + 1, one.when ? raw(one.when) : t("rules.all_others"), one.dataflow, one.customer || "", one.priority ? word("priority", one.priority) : "", one.line]), choice ? choice.rule : null) : make("p", {}, t("rules.none", { dataflow: dataflows.join(", ") })))].filter((part) => part));
  built = location.hash;
}
function showChoice({ dataflow, priority, rule, attributes, was }, rules) {
  const fact = (key, value) => make("div", {}, make("dt", {}, t(key)), make("dd", {}, value)), matched = rules[rule], told = Object.entries(attributes).map(([name, value]) => name + "=" + value).join(" · ");
  return [make("p", {}, parts("rules.goes", { dataflow: make("b", {}, dataflow) }), was && was !== dataflow ? [" ", pill("warn", "≠", t("rules.was", { dataflow: was }))] : ""),
    make("dl", { class: "facts" }, matched ? fact("head.rule", [matched.when ? [rule + 1 + ": ", raw(matched.when)] : t("rules.all_others"), " · " + t("rules.line", { line: matched.line })]) : null, matched && matched.customer ? fact("head.customer", matched.customer) : null, fact("head.priority", word("priority", priority))),
    told ? make("p", { class: "soft" }, told) : null];
}
async function confirmed(path, question, label, isDanger) {
  const dialog = byId("confirm");
  byId("question").textContent = question;
  byId("go").textContent = label;
  byId("go").className = isDanger ? "main danger" : "main";
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "yes") return;
  try { await ask(path, { method: "POST" }); tell(t("noted", { action: label })); overview = await ask("/api/overview"); show(); } catch (error) { tell(t("refused", { action: label, why: why(error) })); }
}
let silence = null;
function tell(text) { said.textContent = text; clearTimeout(silence); silence = setTimeout(() => { said.textContent = ""; }, 8000); }

// Puts the parts of a view into a place, unless they are there; what had the focus has it again.
function draw(view, place = main) {
  const made = make("div", {}, view), html = made.innerHTML, active = document.activeElement, focus = place.contains(active) && active !== place ? active : null;
  if (html === place.drawn) return;
  const same = (one) => ["href", "aria-label", "name"].every((key) => focus.getAttribute(key) === one.getAttribute(key)) && focus.textContent === one.textContent;
  place.replaceChildren(...made.childNodes);
  place.drawn = html;
  if (focus) [...place.querySelectorAll(focus.tagName)].find(same)?.focus({ preventScroll: true });
}
async function show() {
  const [view, query] = (location.hash.slice(1) || "overview").split("?");
  document.querySelectorAll("nav a").forEach((one) => one.getAttribute("href") === "#" + view.replace(/^request\/.*/, "requests") ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current"));
  if (!overview || byId("confirm").open) return;
  if (view !== "requests" && view !== "rules") built = null;
  try {
    if (view.startsWith("request/")) await showRequest(Number(view.slice(8)));
    else if (view === "requests") await showRequests(query || "");
    else if (view === "rules") await showRules(query || "");
    else if (view === "steps") showSteps();
    else showOverview();
  } catch (error) { tell(why(error)); }
}
// The page is drawn again a moment after something has changed; more seldom while its reader has something of it in focus.
let waits = null;
const later = () => { waits ??= setTimeout(() => { waits = null; show(); }, main.contains(document.activeElement) && document.activeElement !== main ? 2000 : 100); };
function listen() {
  const events = new EventSource("/api/events");
  events.onmessage = (event) => { const first = !overview; overview = JSON.parse(event.data); const wrong = troubles().length;
    document.title = (wrong ? "(" + wrong + ") " : "") + "flow"; connection.className = ""; connection.textContent = t("connection.live", { commit: whole(overview.snapshot.commit) }); if (first) show(); else later(); };
  events.onerror = () => { connection.className = "lost"; connection.textContent = "✗ " + t("connection.lost"); };
}
async function start() {
  const table = await ask("/page.texts.json");
  texts = table.texts;
  document.documentElement.lang = table.language;
  document.querySelectorAll("[data-text]").forEach((one) => { one.textContent = t(one.getAttribute("data-text")); });
  byId("views").setAttribute("aria-label", t("views"));
  byId("views").append(...["overview", "requests", "steps", "rules"].map((view) => make("a", { href: "#" + view }, t(["views.overview", "views.requests", "views.steps", "views.rules"][["overview", "requests", "steps", "rules"].indexOf(view)]))));
  addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  listen();
}
start();
