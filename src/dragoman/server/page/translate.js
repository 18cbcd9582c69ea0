// Two panes: a text, and its translation sentence by sentence with what each rests on.

import { $, copied, direction, fill, h, number, options, plural } from "./dom.js";
import { ask, key } from "./api.js";
import * as inside from "./private.js";

const PAUSE = 350; // milliseconds without a key before a text is sent
const SURE = 0.5; // how sure a detected language is, below which it is a guess
const LAST = "dragoman.languages";
export const FLAGS = {
  empty: "there is no translation",
  failed: "the engine could not translate it",
  unfinished: "it stops before its end",
  looped: "it stopped because it went round in circles",
  repetition: "it says the same again and again",
  language: "it is in another language or script",
  copied: "it is the source again",
  tag: "a tag, placeholder or address was lost or invented",
  length: "it is far too short or too long",
  number: "a number was lost, changed or invented",
  term: "a term of the glossary was not used",
  "markup-split": "it was translated in parts, to keep its markup",
  "markup-reattached": "its markup was put back by position",
  untranslated: "nothing held its markup: the source stands",
};

const WAITS = {
  approval: "every correction is looked at first",
  cap: "you have sent as many as one person may in a month",
  disagrees: "another person translated it otherwise",
  outlier: "it is far from what the machine said",
  marker: "it has a control mark that the source has not",
  user: "too many of your corrections failed a check",
};

let server = null;
let answer = null;
let chosen = -1;
let running = null;
let timer = 0;
let glossed = false; // the server has glossaries

const names = () => Object.fromEntries(server.languages.map((one) => [one.code, one.name]));

/** Fill a pair of selects with the languages of the server. */
export function languages(status, from, to, kept = {}) {
  const known = Object.fromEntries(status.languages.map((one) => [one.code, one.name]));
  const sources = [...new Set(status.directions.map((one) => one.source))];
  options(from, [["auto", "Detect language"], ...sources.map((code) => [code, known[code]])], kept.from ?? from.value);
  const reachable = () => {
    const of = status.directions.filter((one) => from.value === "auto" || one.source === from.value);
    options(to, [...new Set(of.map((one) => one.target))].map((code) => [code, known[code]]), to.value || kept.to);
  };
  reachable();
  if (kept.to && [...to.options].some((one) => one.value === kept.to)) to.value = kept.to;
  return reachable;
}

export function begin(status) {
  server = status;
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem(LAST)) ?? {}; } catch { /* another page's */ }
  const reachable = languages(status, $("from"), $("to"), kept);
  options($("model"), [["", status.default], ...status.models.filter((one) => one.title !== status.default).map((one) => [one.title, one.title])], "");
  $("model-field").hidden = status.models.length < 2;
  glossaries();
  offer();
  $("from").onchange = () => { reachable(); changed(); };
  $("to").onchange = changed;
  $("model").onchange = () => { offer(); later(0); };
  $("private").onchange = () => { offer(); later(0); };
  $("glossary").onchange = () => later(0);
  $("text").oninput = () => { turn(); count(); later(PAUSE); };
  $("text").onkeydown = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) later(0); };
  $("swap").onclick = swap;
  $("empty").onclick = () => { $("text").value = ""; count(); later(0); $("text").focus(); };
  $("copy").onclick = (event) => copied(whole(), event.currentTarget);
  $("code-open").onclick = code;
  $("code-close").onclick = () => $("code-dialog").close();
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.onclick = () => copied($(button.dataset.copies).textContent, button);
  }
  changed();
  count();
}

async function glossaries() {
  glossed = false;
  if (!server.who.scopes.includes("glossary")) return;
  try {
    const found = (await ask("GET", "/v2/glossaries")).glossaries ?? [];
    options($("glossary"), [["", "None"], ...found.map((one) => [one.glossary_id, one.name])], "");
    glossed = found.length > 0;
    offer();
  } catch { /* without glossaries one can translate, too */ }
}

function changed() {
  const [from, to] = [$("from").value, $("to").value];
  try { localStorage.setItem(LAST, JSON.stringify({ from, to })); } catch { /* private browsing */ }
  turn();
  later(0);
}

/** An empty field runs as its language does, a text as its first letter does. */
function turn() {
  $("text").dir = $("text").value || $("from").value === "auto" ? "auto" : direction($("from").value);
}

function count() {
  const length = [...$("text").value].length;
  const most = server.limits.characters;
  $("count").textContent = length ? (length > most * 0.8 ? `${number(length)} of ${number(most)} characters` : plural(length, "character")) : "";
  $("empty").hidden = !length;
}

function swap() {
  const from = $("from").value === "auto" ? answer?.source : $("from").value;
  const to = $("to").value;
  if (!from || !server.directions.some((one) => one.source === to && one.target === from)) {
    $("told").textContent = "No model translates the other way round.";
    return;
  }
  if (answer) $("text").value = whole();
  $("from").value = to;
  $("from").onchange();
  $("to").value = from;
  changed();
  count();
}

function later(pause) {
  clearTimeout(timer);
  timer = setTimeout(run, pause);
}

const model = () => server.models.find((one) => one.title === ($("model").value || server.default));

/** The switch is there where the model has a file for it, and this key may fetch it. */
function offer() {
  const file = model()?.private;
  const can = Boolean(file?.bytes) && server.who.scopes.includes("weights");
  if (!can) $("private").checked = false;
  const own = $("private").checked;
  $("private-field").hidden = !can;
  $("private-note").hidden = !own;
  $("glossary-field").hidden = own || !glossed;
  if (can) {
    $("private-note").textContent = `From now on texts stay in this browser: it fetches the model (${file.format}, ${number(file.bytes / 1e6, 1)} MB) and runs it here, slower `
      + "than the server. Memory, glossary and checks are not applied, and sentences are cut otherwise. What was typed before has been sent.";
  }
}

/** Translate with the model in this browser. Nothing of the text is sent. */
async function privately(text) {
  const mine = running = new AbortController();
  const [source, target, one] = [$("from").value, $("to").value, model()];
  const tell = (said) => { if (mine === running) $("told").textContent = said; };
  if (source === "auto") {
    clear();
    return tell("Choose the language of the text: it is not detected in this browser.");
  }
  if (!one.directions.includes(`${source}-${target}`)) {
    clear();
    return tell("This model does not translate in this direction.");
  }
  $("out").setAttribute("aria-busy", "true");
  try {
    tell("Fetching the model …");
    await inside.prepare(one, (part) => tell(`Fetching the model: ${number(100 * part)} %`));
    const segments = inside.sentences(text, source).map((part) => ({ ...part, text: "", flags: [], origin: "model" }));
    for (const [at, part] of segments.entries()) {
      if (mine !== running) return;
      tell(`In this browser: sentence ${at + 1} of ${segments.length}`);
      if (part.source) {
        const made = await inside.translate(part.source, source, target);
        if (mine !== running || made === null) return;
        Object.assign(part, made);
      }
      privatelyShown({ segments: segments.slice(0, at + 1), source, target });
    }
    const real = segments.filter((part) => part.source);
    const stopped = real.filter((part) => !part.finished).length;
    $("out").removeAttribute("aria-busy");
    tell(`In this browser: ${plural(real.length, "sentence")}${stopped ? `, ${stopped} too long for the model` : ""}`);
  } catch (problem) {
    if (mine !== running) return;
    clear();
    tell(`${problem.message}.`.replace(/\.\.$/, "."));
  }
}

function privatelyShown(found) {
  answer = found;
  $("out").lang = found.target;
  $("out").dir = direction(found.target);
  $("out").textContent = whole();
  $("copy").hidden = false;
  $("code-open").hidden = $("detail").hidden = $("hint").hidden = true;
}

const whole = () => (answer?.segments ?? []).map((one) => one.lead + one.text + one.tail).join("");

function clear() {
  answer = null;
  fill($("out"));
  $("out").removeAttribute("aria-busy");
  $("told").textContent = "";
  $("copy").hidden = $("code-open").hidden = true;
  options($("from"), [...$("from").options].map((one) => [one.value, one.value === "auto" ? "Detect language" : one.textContent]), $("from").value);
  select(-1);
}

async function run() {
  running?.abort();
  const text = $("text").value;
  if (!text.trim()) return clear();
  if ($("private").checked) return privately(text);
  const mine = running = new AbortController();
  $("out").setAttribute("aria-busy", "true");
  try {
    const asked = { text, source: $("from").value, target: $("to").value };
    if ($("model").value) asked.model = $("model").value;
    if ($("glossary").value) asked.glossary_id = $("glossary").value;
    const found = await ask("POST", "/api/segments", asked, { signal: mine.signal });
    if (mine === running) shown(found);
  } catch (refusal) {
    if (refusal.name === "AbortError" || mine !== running) return;
    clear();
    $("told").textContent = refusal.wait && refusal.status !== 401 ? `${refusal.message} It is tried again.` : refusal.message;
    if (refusal.wait && refusal.status !== 401) later(1000 * refusal.wait);
  }
}

function about(one) {
  if (one.failure) return { class: "failed", told: "the engine could not translate it" };
  if (one.flags.length || one.unsure) {
    return { class: "look", told: [...one.flags.map((flag) => FLAGS[flag] ?? flag), ...(one.unsure ? ["its confidence is low"] : [])].join("; ") };
  }
  return one.origin === "memory" ? { class: "memory", told: "from the memory" } : { class: "", told: "" };
}

function shown(found) {
  const before = chosen >= 0 ? answer?.segments[chosen]?.source : null;
  answer = found;
  const out = $("out");
  out.lang = found.target;
  out.dir = direction(found.target);
  out.removeAttribute("aria-busy");
  fill(out, found.segments.map((one, at) => {
    if (!one.source) return one.lead;
    const state = about(one);
    const sentence = h("span", {
      class: `sentence ${state.class}`, role: "button", tabindex: "0", "aria-expanded": "false", "aria-controls": "detail",
      "aria-description": state.told || null, title: state.told || null,
      onclick: () => select(chosen === at ? -1 : at, true),
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); select(chosen === at ? -1 : at, true); }
      },
    }, one.failure ? one.source : one.text);
    return [one.lead, sentence, one.tail];
  }));
  if ($("from").value === "auto") {
    const alone = new Set((model()?.directions ?? []).filter((one) => one.endsWith(`-${found.target}`))).size === 1;
    const how = alone ? "the only choice" : found.sure < SURE ? "a guess" : "detected";
    $("from").options[0].textContent = `${names()[found.source] ?? found.source} (${how})`;
  }
  summary(found);
  $("copy").hidden = $("code-open").hidden = false;
  const at = before === null ? -1 : found.segments.findIndex((one) => one.source === before);
  if (at >= 0) mark(at); else select(-1);
}

function summary({ segments }) {
  const real = segments.filter((one) => one.source);
  const memory = real.filter((one) => one.origin === "memory" && !one.failure).length;
  const look = real.filter((one) => one.flags.length || one.unsure || one.failure).length;
  const told = [];
  if (real.length > 1) told.push(plural(real.length, "sentence"));
  if (memory) told.push(real.length > 1 ? `${memory} from the memory` : "from the memory");
  if (look) told.push(real.length > 1 ? `${look} worth a look` : "worth a look");
  $("told").textContent = told.join(" · ");
}

// ---------------------------------------------------------------- one sentence

function mark(at) {
  chosen = at;
  const all = $("out").querySelectorAll(".sentence");
  const real = answer ? answer.segments.map((one, place) => (one.source ? place : -1)).filter((one) => one >= 0) : [];
  all.forEach((one, place) => one.setAttribute("aria-expanded", String(real[place] === at)));
}

function select(at, focus = false) {
  const before = chosen;
  mark(at);
  $("detail").hidden = at < 0;
  $("hint").hidden = at >= 0;
  if (at >= 0) detail(answer.segments[at], focus);
  else if (focus) $("out").querySelectorAll(".sentence")[Math.max(0, before)]?.focus();
}

function detail(one, focus) {
  const edit = h("textarea", { id: "edit", rows: "2", dir: direction(answer.target), lang: answer.target, spellcheck: "false" });
  edit.value = one.text;
  const told = h("p", { role: "status", class: "small muted" });
  const may = server.who.scopes.includes("feedback");
  const save = h("button", { type: "button", onclick: () => confirm(one, edit, told) }, "Save");
  const close = () => select(-1, true);
  fill($("detail"),
    h("header", {}, h("h2", {}, "About this sentence"), h("button", { type: "button", class: "quiet", onclick: close }, "Close")),
    h("div", { class: "columns" },
      h("div", {},
        h("p", { class: "source muted", dir: "auto", lang: answer.source }, one.source),
        h("label", { for: "edit", class: "over" }, "Translation"), edit,
        h("div", { class: "buttons" }, may ? save : h("span", { class: "small muted" }, "This key may not save translations."),
          h("button", { type: "button", class: "quiet", onclick: () => { edit.value = one.text; edit.focus(); } }, "Undo")),
        told),
      h("div", {}, evidence(one), others(one, edit), (one.matches ?? []).map((match) => similar(match, edit)), terms(one))));
  $("detail").onkeydown = (event) => { if (event.key === "Escape") close(); };
  if (focus) edit.focus();
}

function evidence(one) {
  const parts = [];
  if (one.failure) parts.push(h("p", { class: "bad" }, `The engine could not translate it: ${one.failure}.`));
  if (one.origin === "memory" && !one.failure) parts.push(h("p", { class: "good" }, "From the memory: a person wrote it."));
  if (one.confidence !== null && one.origin !== "memory") {
    const bar = h("span");
    bar.style.width = `${one.confidence}%`;
    parts.push(h("p", { class: "small" }, `Confidence ${number(one.confidence)} of 100${one.unsure ? ", which is low for this model" : ""}`),
      h("div", { class: "meter", "aria-hidden": "true" }, bar));
  }
  if (one.flags.length) parts.push(h("ul", { class: "plainlist" }, one.flags.map((flag) => h("li", {}, h("strong", {}, flag), `: ${FLAGS[flag] ?? "see the documentation"}`))));
  if (!parts.length && !one.matches.length && !one.terms.length) parts.push(h("p", { class: "muted" }, "Nothing in the memory is like it, and no term of the glossary is in it. The model alone wrote it."));
  return parts;
}

/** What else the model would say, once somebody asks. */
function others(one, edit) {
  if (one.failure) return null;
  const place = h("div", { "aria-live": "polite" });
  const go = h("button", { type: "button", class: "quiet", onclick: async () => {
    go.disabled = true;
    try {
      const asked = { text: one.source, source: answer.source, target: answer.target, model: answer.model, alternatives: 3 };
      if ($("glossary").value) asked.glossary_id = $("glossary").value;
      const { translations } = await ask("POST", "/api/translate", asked);
      fill(place, translations.alternatives.length ? translations.alternatives.map((other) => h("div", { class: "match" },
        h("p", { dir: direction(answer.target), lang: answer.target }, other.text),
        h("button", { type: "button", class: "quiet", onclick: () => { edit.value = other.text; edit.focus(); } }, "Use this one")))
        : h("p", { class: "small muted" }, "The model has no other translation."));
    } catch (refusal) {
      fill(place, h("p", { class: "problem" }, refusal.message));
    }
    go.disabled = false;
  } }, "Other translations");
  return h("div", {}, go, place);
}

const pieces = (found) => found.map(([text, kind]) => (kind ? h("mark", { title: `another ${kind}` }, text) : text));

function similar(match, edit) {
  return h("div", { class: "match" },
    h("p", { class: "small muted" }, h("strong", {}, `${match.percent} %`), ` match${match.origin ? ` · ${match.origin}` : ""}`),
    h("p", { dir: direction(answer.source), lang: answer.source }, pieces(match.stored)),
    h("p", { dir: direction(answer.target), lang: answer.target }, match.target),
    h("button", { type: "button", class: "quiet", onclick: () => { edit.value = match.target; edit.focus(); } }, "Use this translation"));
}

function terms(one) {
  if (!one.terms.length) return null;
  const text = one.text.toLocaleLowerCase(answer.target);
  return [h("h3", {}, "Terms"), h("ul", { class: "chips" }, one.terms.map((term) => {
    const used = text.includes(term.target.toLocaleLowerCase(answer.target));
    return h("li", { class: "chip" }, h("bdi", {}, term.source), " → ", h("bdi", {}, term.target), h("span", { class: used ? "good" : "bad" }, used ? " used" : " not used"));
  }))];
}

async function confirm(one, edit, told) {
  const translation = edit.value.trim();
  try {
    const said = { text: one.source, translation, source: answer.source, target: answer.target, model: answer.model };
    if (one.origin === "model" && !one.failure) said.machine = one.text;
    const { added, state, reason } = await ask("POST", "/api/confirm", said);
    told.className = state === "waiting" ? "small" : "small good";
    told.textContent = state === "waiting" ? `Kept, but it waits for whoever runs this server: ${WAITS[reason] ?? reason}.`
      : state === "known" ? "You have said so before." : added ? "Saved. The next text like it will find it." : "Saved, and kept for testing.";
    later(0);
  } catch (refusal) {
    told.className = "small problem";
    told.textContent = refusal.message;
  }
}

// ---------------------------------------------------------------- as code

function code() {
  const text = $("text").value.trim();
  const asked = { text: text.length > 300 ? `${text.slice(0, 300)}…` : text, source: answer.source, target: answer.target };
  if ($("model").value) asked.model = $("model").value;
  if ($("glossary").value) asked.glossary_id = $("glossary").value;
  const keyed = Boolean(key.get());
  const shell = JSON.stringify(asked).replaceAll("'", "'\\''");
  $("curl").textContent = [
    `curl ${location.origin}/api/translate`, ...(keyed ? ['-H "Authorization: Bearer $DRAGOMAN_KEY"'] : []),
    "-H 'Content-Type: application/json'", `-d '${shell}'`,
  ].join(" \\\n  ");
  const python = Object.entries(asked).map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)},`).join("\n");
  $("python").textContent = `import json, os, urllib.request

asked = {
${python}
}
request = urllib.request.Request(
    ${JSON.stringify(`${location.origin}/api/translate`)},
    json.dumps(asked).encode(),
    {"Content-Type": "application/json"${keyed ? ', "Authorization": "Bearer " + os.environ["DRAGOMAN_KEY"]' : ""}},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["translations"]["text"])
`;
  $("code-dialog").showModal();
}
