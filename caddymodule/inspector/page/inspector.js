"use strict";
// All data from senders goes into the page as text: no code here builds HTML from
// strings, and the Content-Security-Policy forbids it.

const mostRows = 500;
const refused = new Set(["missing_signature", "invalid_signature", "stale", "malformed", "too_large", "body_timeout"]);
const ours = new Set(["unhandled", "store_unavailable", "overloaded", "undecided"]);

const $ = (id) => document.getElementById(id);
const byNumber = new Map(); // the oldest first
const rows = new Map(); // number → row in the table
let instance = "", chosen = 0, open = 0, held = false, waiting = [], drawing = false, missed = 0;

// make creates an element; strings among its children become text.
function make(name, attributes, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {})) {
		if (key === "class") e.className = value;
		else if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
		else if (value !== undefined && value !== false) e.setAttribute(key, value === true ? "" : value);
	}
	e.append(...children.filter((c) => c !== undefined && c !== null && c !== ""));
	return e;
}

const tag = (outcome) => make("span", {class: "tag " + (outcome === "verified" ? "good" : refused.has(outcome) ? "bad" : ours.has(outcome) ? "ours" : "")}, outcome);
const clock = (text) => new Date(text).toLocaleTimeString([], {hour12: false});
const ms = (n) => n === undefined ? "" : n < 10 ? n.toFixed(1) + " ms" : n < 10000 ? Math.round(n) + " ms" : (n / 1000).toFixed(1) + " s";
const size = (n) => n < 0 ? "" : n < 1024 ? n + " B" : n < 1048576 ? (n / 1024).toFixed(1) + " KiB" : (n / 1048576).toFixed(1) + " MiB";
const app = (d) => d.app_status ? d.app_status + " in " + ms(d.app_ms || 0) : "";

function matches(d) {
	const endpoint = $("endpoint").value, outcome = $("outcome").value, text = $("text").value.trim().toLowerCase();
	return (!endpoint || d.endpoint === endpoint)
		&& (!outcome || d.outcome === outcome || outcome === "refused" && (refused.has(d.outcome) || ours.has(d.outcome)))
		&& (!text || (d.id || "").toLowerCase().includes(text) || (d.event || "").toLowerCase().includes(text));
}

function row(d) {
	const cell = (text, kind) => make("td", {class: kind || "", title: text}, text);
	const r = make("tr", {"data-number": d.number},
		make("td", {class: "n"}, make("a", {href: "#" + d.number, "aria-label": "delivery " + d.number + ", " + d.outcome}, String(d.number))),
		cell(clock(d.time), "quiet"), make("td", {}, tag(d.outcome)), cell(d.endpoint), cell(d.event || ""), cell(d.id || ""),
		cell(d.path, "quiet"), cell(size(d.size), "n quiet"), cell(app(d), "n"), cell(d.remote_addr, "quiet"));
	r.addEventListener("click", () => { location.hash = "#" + d.number; });
	return r;
}

// draw adds new deliveries, and removes those beyond the limit.
function draw() {
	drawing = false;
	const fresh = waiting.slice(-mostRows);
	waiting = [];
	for (const d of fresh) {
		byNumber.delete(d.number);
		byNumber.set(d.number, d);
		const former = rows.get(d.number);
		if (former) { former.remove(); rows.delete(d.number); }
		if (!matches(d)) continue;
		const r = row(d);
		rows.set(d.number, r);
		$("rows").prepend(r);
	}
	for (const number of byNumber.keys()) {
		if (byNumber.size <= mostRows) break;
		byNumber.delete(number);
		const r = rows.get(number);
		if (r) { r.remove(); rows.delete(number); }
	}
	finish();
}

function redraw() {
	rows.clear();
	const all = [];
	for (const d of byNumber.values()) {
		if (!matches(d)) continue;
		const r = row(d);
		rows.set(d.number, r);
		all.push(r);
	}
	$("rows").replaceChildren(...all.reverse());
	finish();
}

function finish() {
	$("empty").hidden = byNumber.size > 0;
	document.querySelector("table").hidden = byNumber.size === 0;
	const hidden = byNumber.size - rows.size;
	const notes = [];
	if (missed) notes.push(missed + " deliveries arrived too fast to be shown.");
	if (byNumber.size && hidden) notes.push(hidden + " of " + byNumber.size + " are hidden by the filters.");
	if (held && waiting.length) notes.push(waiting.length + " more have arrived since you paused.");
	$("missed").textContent = notes.join(" ");
	$("missed").hidden = notes.length === 0;
	mark();
}

function mark() {
	for (const [number, r] of rows) r.classList.toggle("chosen", number === chosen);
}

function come(list) {
	waiting.push(...list);
	if (waiting.length > 2 * mostRows) waiting.splice(0, waiting.length - mostRows);
	if (held) return finish();
	if (!drawing) { drawing = true; requestAnimationFrame(draw); }
	if (open && list.some((d) => d.key && d.key === (byNumber.get(open) || {}).key && d.number !== open)) show(open, true);
}

function fill(select, values, keep) {
	const value = select.value;
	while (select.options.length > keep) select.remove(keep);
	for (const v of new Set(values)) select.append(make("option", {value: v}, v));
	select.value = [...select.options].some((o) => o.value === value) ? value : "";
}

function settle(s) {
	if (instance && instance !== s.instance) { byNumber.clear(); rows.clear(); waiting = []; redraw(); }
	instance = s.instance;
	fill($("endpoint"), s.endpoints, 1);
	fill($("outcome"), s.outcomes, 2);
	$("capture").textContent = s.always ? "the last " + s.last + " are kept in memory" : "captures while this page is open, in memory";
	$("bodies").hidden = !s.bodies;
	$("bodies").textContent = "Bodies are captured: up to " + size(s.bodies) + " of each delivery are visible to everyone who can open this page.";
	const endpoint = s.endpoints[0];
	$("example").textContent = s.example || (endpoint ? "caddy verify-webhook send --help" : "The running config has no verify_webhook endpoint.");
}

function connect() {
	const source = new EventSource("api/stream");
	const state = (text, live) => { $("state").textContent = text; $("state").classList.toggle("live", live); };
	source.onopen = () => state("live", true);
	source.addEventListener("settings", (e) => settle(JSON.parse(e.data)));
	source.addEventListener("deliveries", (e) => come(JSON.parse(e.data)));
	source.addEventListener("missed", (e) => { missed += JSON.parse(e.data); finish(); });
	const again = () => { source.close(); state("reconnecting", false); setTimeout(connect, 1000); };
	source.addEventListener("bye", again);
	source.onerror = again;
}

async function ask(path, body) {
	const response = await fetch(path, body === undefined ? {} : {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
	const text = await response.text();
	let answer;
	try { answer = JSON.parse(text); } catch { answer = {error: "Caddy answered " + response.status}; }
	if (!response.ok) throw new Error(answer.error || "Caddy answered " + response.status);
	return answer;
}

// pairs creates a list of names and values, without empty ones.
const pairs = (list, kind) => make("dl", {class: kind || ""}, ...list.filter((p) => p[1] !== "" && p[1] !== undefined).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

function report(box, x) {
	box.classList.toggle("solved", x.accepted);
	const parts = [make("strong", {}, x.accepted ? "With the current config" : "Why it was refused"), make("p", {class: "answer"}, x.accepted ? "It would be accepted. Make the provider resend it." : x.answer)];
	(x.findings || []).forEach((f, i) => parts.push(make("div", {class: "finding"},
		i > 0 ? make("p", {}, (f.guess ? "Perhaps " : "") + f.cause) : "",
		make("strong", {}, i > 0 ? "Then" : "Change first"), make("p", {class: "change"}, f.change))));
	for (const note of x.notes || []) parts.push(make("p", {class: "quiet"}, "Note: " + note));
	if (x.cut) parts.push(make("p", {class: "quiet"}, "The search stopped at its time limit."));
	if (x.tried) parts.push(make("p", {class: "quiet"}, x.tried + " variations of secret, body, URL and headers were tried."));
	box.replaceChildren(...parts);
}

async function explain() {
	const box = document.querySelector(".why");
	if (!box || !open) return;
	const number = open;
	box.replaceChildren(make("p", {}, "Searching …"));
	try {
		const x = await ask("api/explain", {number});
		if (number === open) report(box, x);
	} catch (e) {
		if (number === open) box.replaceChildren(make("p", {}, "No explanation: " + e.message), explainButton("Try again"));
	}
}

const explainButton = (text) => make("button", {type: "button", class: "main explain", onclick: explain}, text);

function say(text) { const s = document.querySelector(".said"); if (s) s.textContent = text; }

async function copyCurl(number) {
	try {
		const text = await (await fetch("api/curl?number=" + number)).text();
		await navigator.clipboard.writeText(text);
		say("Copied, without credentials and with masked signatures.");
	} catch (e) { say("Could not copy: " + e.message); }
}

async function change(path, body, done) {
	try { await ask(path, body); await show(open, true); say(done); } catch (e) { say(e.message); }
}

async function show(number, again) {
	open = chosen = number;
	mark();
	const box = $("detail"), was = again ? box.querySelector(".why") : null;
	let d;
	try { d = await ask("api/delivery?number=" + number); } catch (e) {
		if (number !== open) return;
		box.replaceChildren(make("h2", {}, "Delivery " + number, closeButton()), make("p", {}, e.message));
		return reveal();
	}
	if (number !== open) return;
	const parts = [make("h2", {}, "Delivery " + number, tag(d.outcome), closeButton()), make("p", {class: "reason"}, d.reason)];
	if (d.explainable) {
		parts.push(was || make("div", {class: "why"}, make("p", {}, "What is wrong, and what to change first? The search tries the usual mistakes with secrets, bodies, URLs, headers and clocks."), explainButton("Explain")));
	}
	parts.push(make("div", {class: "actions"},
		make("button", {type: "button", onclick: () => copyCurl(number)}, "Copy as curl"),
		make("a", {href: "api/http?number=" + number, download: "delivery-" + number + ".http", class: "download"}, make("button", {type: "button", tabindex: "-1"}, "Download .http")),
		d.can_forget ? make("button", {type: "button", class: "forget", onclick: () => change("api/forget", {number}, "Forgotten: the provider can resend it.")}, "Forget") : ""),
		make("p", {class: "said quiet", role: "status"}));
	parts.push(pairs([
		["Time", new Date(d.time).toLocaleString()], ["Endpoint", d.endpoint], ["Provider", d.provider], ["Event", d.event], ["ID", d.id],
		["Request", d.method + " " + d.scheme + "://" + d.host + d.uri], ["Sender", d.remote_addr], ["Body", size(d.size)],
		["Response", d.response ? String(d.response) : ""], ["App", app(d)], ["Secret", d.secret], ["Unsigned", d.unsigned], ["Replay store", d.claim], ["Key", d.key]]));
	parts.push(...queueParts(d));
	if (d.steps && d.steps.length) {
		parts.push(make("h3", {}, "Path"), make("ol", {class: "way"}, ...d.steps.map((s) => make("li", {}, make("span", {class: "n"}, ms(s.after_ms)), s.name)),
			make("li", {}, make("span", {class: "n"}, ms(d.took_ms)), d.outcome)));
	}
	if (d.same) {
		parts.push(make("h3", {}, "Copies and retries"), make("ol", {class: "way same"}, ...d.same.map((s) =>
			make("li", {}, make("a", {href: "#" + s.number}, "#" + s.number), clock(s.time), tag(s.outcome), app(s)))));
	}
	parts.push(make("h3", {}, "Headers"), pairs((d.headers || []).map((h) => [h.name, h.value]), "code"));
	parts.push(make("h3", {}, "Body"), d.body ? make("pre", {class: "body"}, d.body) : "", d.body_note ? make("p", {class: "quiet"}, d.body_note) : "");
	if (d.withheld) parts.push(make("p", {class: "quiet"}, "Note: " + d.withheld));
	box.replaceChildren(...parts.filter((p) => p !== ""));
	reveal();
}

function queueParts(d) {
	const q = d.queue;
	if (!q) return [];
	const act = (action, done) => () => change("api/queue", {number: d.number, action}, done);
	const button = (text, action, done) => make("button", {type: "button", class: "queue-" + action, onclick: act(action, done)}, text);
	const stored = q.state === "waiting" || q.state === "dead";
	return [make("h3", {}, "Queue " + q.queue), pairs([
		["State", q.state + (q.paused ? ", the queue is paused" : "")], ["Attempts", q.attempts ? String(q.attempts) : ""],
		["Last attempt", q.last ? [q.last.status || "", q.last.error || ""].filter(Boolean).join(" ") + " at " + new Date(q.last.at).toLocaleString() : ""],
		["Next attempt", q.next ? new Date(q.next).toLocaleString() : ""]]),
	make("div", {class: "actions"}, stored ? button("Retry now", "retry", "Retrying.") : "", stored ? button("Discard", "discard", "Discarded.") : "",
		q.paused ? button("Resume the queue", "resume", "The queue delivers again.") : button("Pause the queue", "pause", "The queue is paused."))];
}

const closeButton = () => make("button", {type: "button", class: "close", onclick: () => { location.hash = ""; }}, "Close");

function reveal() { $("detail").hidden = false; document.body.classList.add("has-detail"); }

function close() {
	open = 0;
	$("detail").hidden = true;
	document.body.classList.remove("has-detail");
}

function follow() {
	const number = Number(location.hash.slice(1));
	if (number > 0) show(number); else close();
}

function move(by) {
	const numbers = [...$("rows").children].map((r) => Number(r.dataset.number));
	if (!numbers.length) return;
	const at = numbers.indexOf(chosen);
	chosen = numbers[at < 0 ? 0 : Math.min(numbers.length - 1, Math.max(0, at + by))];
	mark();
	rows.get(chosen).scrollIntoView({block: "nearest"});
	if (open) location.hash = "#" + chosen;
}

document.addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey) return;
	if (e.key === "Escape") { document.activeElement.blur(); if (open) location.hash = ""; return; }
	if (/^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
	const act = {ArrowDown: () => move(1), ArrowUp: () => move(-1), j: () => move(1), k: () => move(-1), e: explain, "/": () => $("text").focus()}[e.key];
	if (act) { e.preventDefault(); act(); }
	if (e.key === "Enter" && chosen && !/^(BUTTON|A)$/.test(e.target.tagName)) location.hash = "#" + chosen;
});
for (const id of ["endpoint", "outcome", "text"]) $(id).addEventListener("input", redraw);
$("filters").addEventListener("submit", (e) => e.preventDefault());
$("hold").addEventListener("click", () => {
	held = !held;
	$("hold").setAttribute("aria-pressed", held);
	$("hold").textContent = held ? "Resume" : "Pause";
	if (!held) draw();
});
$("clear").addEventListener("click", async () => {
	try { await ask("api/clear", {}); } catch { /* the list is cleared here at least */ }
	byNumber.clear(); waiting = []; missed = 0;
	location.hash = "";
	redraw();
});
addEventListener("hashchange", follow);
follow();
redraw();
connect();
