// Documents: dropped, translated with their format kept, fetched.

import { $, fill, h, number, plural } from "./dom.js";
import { ask } from "./api.js";
import { languages } from "./translate.js";

const PACE = 600; // milliseconds between two questions
const UNITS = { // what became of the units of a document, by the server's names
  memory: "from the memory", plain: "translated", markers: "translated", repaired: "translated", retry: "translated",
  split: "translated", reattached: "translated", kept: "had a translation", locked: "not to be translated", verbatim: "nothing to translate",
  source: "left as they were", problem: "could not be written",
};
const AT_ONCE = 2;
const KEYED = /\.(json|arb|ya?ml)$/i; // files in which one chooses what is translated
let held = []; // until it is chosen
let waiting = [];
let busy = 0;

export function begin(status) {
  const reachable = languages(status, $("file-from"), $("file-to"));
  $("file-from").onchange = reachable;
  $("formats").textContent = `Formats: ${status.formats.map((one) => one.replace(".", "")).join(", ")}`;
  $("file").accept = status.formats.join(",");
  const drop = $("drop");
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer.files);
  };
  $("file").onchange = () => { add($("file").files); $("file").value = ""; };
  $("file-keys").onsubmit = (event) => {
    event.preventDefault();
    const keys = $("file-pattern").value.trim();
    waiting.push(...held.map((one) => ({ ...one, keys })));
    held = [];
    $("file-keys").hidden = true;
    next();
  };
}

function add(found) {
  for (const file of found) {
    const row = line(file);
    $("jobs").prepend(row.place);
    const keyed = KEYED.test(file.name);
    if (keyed) row.state.textContent = "say which keys above, then press Translate";
    row.bar.hidden = keyed;
    (keyed ? held : waiting).push({ file, row, source: $("file-from").value, target: $("file-to").value });
  }
  if (held.length && $("file-keys").hidden) {
    $("file-keys").hidden = false;
    $("file-pattern").focus();
  }
  next();
}

function next() {
  while (busy < AT_ONCE && waiting.length) {
    busy += 1;
    one(waiting.shift()).finally(() => { busy -= 1; next(); });
  }
}

function line(file) {
  const state = h("span", { class: "state muted", role: "status" }, "waiting");
  const bar = h("progress", { max: 1, "aria-label": `Progress of ${file.name}` });
  const actions = h("span", { class: "buttons" });
  const place = h("li", { class: "job" }, h("b", { dir: "auto" }, file.name), actions, state, bar);
  return { place, state, bar, actions };
}

async function one({ file, row, source, target, keys }) {
  const say = (text, kind = "muted") => { row.state.className = `state ${kind}`; row.state.textContent = text; };
  try {
    say("sending");
    row.bar.hidden = false;
    const form = new FormData();
    form.append("file", file, file.name);
    form.append("source", source);
    form.append("target", target);
    if (keys) form.append("keys", keys);
    let job = await ask("POST", "/api/documents", form);
    while (job.state === "queued" || job.state === "translating") {
      if (job.asked) { row.bar.max = job.asked; row.bar.value = job.done; }
      say(job.state === "queued" ? "waiting for its turn" : job.asked ? `${number(job.done)} of ${plural(job.asked, "sentence")}` : "translating");
      await new Promise((done) => setTimeout(done, PACE));
      job = await again(() => ask("GET", `/api/documents/${job.id}`));
    }
    row.bar.hidden = true;
    if (job.state === "error") return say(`${job.problem[0].toUpperCase()}${job.problem.slice(1)}.`, "problem");
    const data = await ask("GET", `/api/documents/${job.id}/result`, undefined, { blob: true });
    say(`${job.source} → ${job.target}: ${units(job.units)}`, "");
    fetchable(row, file.name, job.target, data);
  } catch (refusal) {
    row.bar.hidden = true;
    say(refusal.message, "problem");
  }
}

/** A question that the server was too busy for is asked again. */
async function again(question) {
  for (let left = 5; ; left -= 1) {
    try {
      return await question();
    } catch (refusal) {
      if (!refusal.wait || !left) throw refusal;
      await new Promise((done) => setTimeout(done, 1000 * refusal.wait));
    }
  }
}

function units(counts) {
  const sums = {};
  for (const [name, count] of Object.entries(counts)) sums[UNITS[name] ?? name] = (sums[UNITS[name] ?? name] ?? 0) + count;
  return Object.entries(sums).map(([name, count]) => `${number(count)} ${name}`).join(", ") || "nothing to translate";
}

function fetchable(row, name, target, data) {
  const dot = name.lastIndexOf(".");
  const told = dot > 0 ? `${name.slice(0, dot)}.${target}${name.slice(dot)}` : `${name}.${target}`;
  const link = h("a", { class: "button", href: URL.createObjectURL(data), download: told, "aria-label": `Download ${told}` }, "Download");
  fill(row.actions, link);
}
