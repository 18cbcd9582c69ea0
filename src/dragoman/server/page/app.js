// Which part of the page is shown, what the server is, and the key.

import { $ } from "./dom.js";
import { ask, key } from "./api.js";
import * as files from "./files.js";
import * as models from "./models.js";
import * as runs from "./runs.js";
import * as translate from "./translate.js";
import * as use from "./use.js";

const PARTS = { translate, files, models, runs, use };
const begun = new Set();
let status = null;

function tell(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

function show() {
  const name = location.hash.replace(/^#\/?/, "").split("/")[0];
  const part = name in PARTS ? name : "translate";
  for (const one of Object.keys(PARTS)) $(one).hidden = one !== part;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${part}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${document.querySelector(`nav a[href="#/${part}"]`).textContent} – dragoman`;
  if (status === null) return;
  if (!begun.has(part)) {
    begun.add(part);
    PARTS[part].begin(status, refresh);
  }
  PARTS[part].show?.(status);
}

async function load() {
  try {
    status = await ask("GET", "/api/status");
  } catch (refusal) {
    status = null;
    if (refusal.status !== 401) tell(refusal.message);
    if (refusal.wait) setTimeout(load, 1000 * refusal.wait);
    return;
  }
  tell(null);
  begun.clear();
  $("main").removeAttribute("aria-busy");
  $("key-open").textContent = key.get() ? status.who.name : "Key";
  $("key-open").setAttribute("aria-label", key.get() ? `Key: ${status.who.name}` : "Key");
  show();
}

/** Ask the server again what it is: a model or an alias has changed. */
async function refresh() {
  Object.assign(status, await ask("GET", "/api/status"));
  return status;
}

function wantKey(problem) {
  $("key-input").value = "";
  $("key-problem").textContent = problem ?? "";
  $("key-forget").hidden = !key.get();
  if (!$("key-dialog").open) $("key-dialog").showModal();
  $("key-input").focus();
}

$("key-open").addEventListener("click", () => wantKey());
$("key-cancel").addEventListener("click", () => $("key-dialog").close());
$("key-forget").addEventListener("click", () => {
  key.forget();
  $("key-dialog").close();
  load();
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = $("key-input").value.trim();
  if (!given) return;
  key.set(given);
  $("key-input").value = "";
  $("key-dialog").close();
  load();
});
document.addEventListener("key-wanted", (event) => {
  tell(event.detail);
  wantKey(event.detail);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address after the # names the part
  $("main").focus();
});
window.addEventListener("hashchange", () => {
  show();
  $("main").focus({ preventScroll: true });
});
show();
load();
