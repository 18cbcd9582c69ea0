// Keys and what they used; and what the models met in use, held against the texts that they were made for.

import { $, field, fill, h, number, options, plural, table, facts } from "./dom.js";
import { ask, key } from "./api.js";
import { bars } from "./charts.js";

let server = null;

export function begin(status) {
  server = status;
  usage();
  if (server.who.scopes.includes("admin")) keys();
  else fill($("keys"), h("h2", {}, "Keys"), h("p", { class: "muted" }, "A key with the scope admin can make and revoke keys here; ", h("code", {}, "dragoman keys create NAME"), " makes one on the server's machine."));
  if (server.who.scopes.includes("runs")) monitor();
  else fill($("monitor"), h("h2", {}, "Monitoring"), h("p", { class: "muted" }, "This key lacks the scope runs."));
}

const problem = (place, refusal) => fill(place, h("p", { class: "problem", role: "alert" }, refusal.message));

// ---------------------------------------------------------------- usage and keys

async function usage() {
  if (!key.get()) {
    fill($("usage"), h("p", { class: "muted" }, "Without a key the server answers its own machine, and counts nothing against anybody."));
    return;
  }
  try {
    const { name, characters, limit } = await ask("GET", "/api/usage");
    const said = limit ? `of ${number(limit)} characters this month` : "characters this month";
    fill($("usage"), h("div", { class: "tiles" },
      h("div", { class: "card tile" }, h("b", {}, number(characters)), h("span", { class: "muted" }, said),
        limit ? h("progress", { max: limit, value: characters, "aria-label": "Quota used" }) : null),
      h("div", { class: "card tile" }, h("b", {}, name), h("span", { class: "muted" }, `tenant ${server.who.tenant}`))));
  } catch (refusal) {
    problem($("usage"), refusal);
  }
}

async function keys(made = null) {
  const place = $("keys");
  try {
    const { keys: known, scopes } = await ask("GET", "/api/keys");
    fill(place, h("h2", {}, "Keys"),
      made ? h("div", { class: "card", role: "status" }, h("p", {}, "The new key. It is shown here and never again:"), h("pre", { tabindex: "0" }, made)) : null,
      table(["Name", "Tenant", "Scopes", "Used this month", "Quota", "A minute", "State", ""], known.map((one) => [
        one.name, one.tenant, one.scopes.join(", "), one.used, { n: number(one.characters) }, { n: number(one.rate) },
        one.revoked ? `revoked ${day(one.revoked)}` : one.expires ? `until ${day(one.expires)}` : "valid",
        one.revoked ? "" : h("button", { type: "button", class: "quiet", "aria-label": `Revoke ${one.name}`, onclick: (event) => revoke(event.currentTarget, one) }, "Revoke"),
      ]), { label: "Keys" }), form(scopes));
  } catch (refusal) {
    problem(place, refusal);
  }
}

const day = (stamp) => stamp.slice(0, 10);

/** The first press asks, the second does it. */
async function revoke(button, one) {
  if (button.textContent === "Revoke") {
    button.textContent = "Revoke for good?";
    button.setAttribute("aria-label", `Revoke ${one.name} for good?`);
    button.onblur = () => { button.textContent = "Revoke"; };
    return;
  }
  try {
    await ask("DELETE", `/api/keys/${encodeURIComponent(one.id)}`);
    await keys();
  } catch (refusal) {
    button.after(h("span", { class: "problem", role: "alert" }, ` ${refusal.message}`));
  }
}

function form(scopes) {
  const name = h("input", { required: true, maxlength: "100", autocomplete: "off" });
  const tenant = h("input", { value: "default", required: true, autocomplete: "off", spellcheck: "false" });
  const quota = h("input", { type: "number", min: "1", placeholder: "none" });
  const rate = h("input", { type: "number", min: "1", placeholder: "none" });
  const days = h("input", { type: "number", min: "1", placeholder: "never" });
  const boxes = Object.keys(scopes).map((scope) => h("input", { type: "checkbox", value: scope, checked: scope === "translate" }));
  const told = h("p", { class: "problem", role: "alert" });
  return h("details", {}, h("summary", {}, "Make a key"),
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      const asked = { name: name.value, tenant: tenant.value, scopes: boxes.filter((one) => one.checked).map((one) => one.value) };
      for (const [field_, control] of [["characters", quota], ["rate", rate], ["days", days]]) if (control.value) asked[field_] = Number(control.value);
      try {
        await keys((await ask("POST", "/api/keys", asked)).key);
      } catch (refusal) {
        told.textContent = refusal.message;
      }
    } },
    h("div", { class: "bar" }, field("Name", name), field("Tenant", tenant), field("Characters a month", quota), field("Requests a minute", rate), field("Expires after days", days)),
    h("fieldset", {}, h("legend", {}, "It may"), h("div", { class: "checks" }, boxes.map((box) => h("label", {}, box, h("span", {}, scopes[box.value]))))),
    h("button", { type: "submit" }, "Make it"), told));
}

// ---------------------------------------------------------------- monitoring

async function monitor() {
  const place = $("monitor");
  const title = h("h2", {}, "Monitoring");
  try {
    const { runs } = await ask("GET", "/api/monitor");
    if (!runs.length) {
      fill(place, title, h("p", { class: "muted" }, "No model that is served here has a baseline. Add ", h("code", {}, "monitor: {}"), " to a recipe and run it."));
      return;
    }
    const choice = options(h("select"), runs.map((one) => [one, one]), "");
    const shown = h("div", {});
    choice.onchange = () => watched(shown, choice.value);
    fill(place, title, field("Run", choice), shown);
    await watched(shown, choice.value);
  } catch (refusal) {
    fill(place, title, h("p", { class: "problem" }, refusal.message));
  }
}

async function watched(place, name) {
  fill(place, h("p", { class: "muted", role: "status" }, "Reading what it has met …"));
  try {
    const found = await ask("GET", `/api/monitor/${encodeURIComponent(name)}`);
    const { totals } = found;
    const lost = Object.entries(found.lost);
    fill(place,
      h("div", { class: "tiles" }, tile(totals.segments, "segments since the release"), tile(totals.memory, "of them from the memory"), tile(totals.characters, "characters"),
        totals.cost === null ? null : tile(totals.cost, "cost so far", 2)),
      lost.length ? h("p", { class: "problem" }, `Not recorded: ${lost.map(([reason, count]) => `${number(count)} (${reason})`).join(", ")}`) : null,
      found.directions.map(direction), days(found.days));
  } catch (refusal) {
    problem(place, refusal);
  }
}

const tile = (value, said, digits = 0) => h("div", { class: "card tile" }, h("b", {}, number(value, digits)), h("span", { class: "muted" }, said));
const moment = (at) => (at ? new Date(1000 * at).toISOString().slice(0, 16).replace("T", " ") : "");

function direction(one) {
  const state = !one.enough ? "too few segments to tell" : one.drifted.length ? `${plural(one.drifted.length, "feature")} drifted` : "as it was made for";
  const words = Object.entries(one.new_words);
  return [h("h3", {}, one.direction),
    h("p", { class: one.drifted.length ? "bad" : "muted" }, `${plural(one.segments, "segment")} in the window${one.since ? `, ${moment(one.since)} to ${moment(one.until)} UTC` : ""}: ${state}.`),
    one.estimate ? facts([
      ["expected chrF", one.estimate.trusted
        ? `${number(one.estimate.value, 1)} (${number(one.estimate.low, 1)} to ${number(one.estimate.high, 1)})`
        : "not known: the texts are not like the held-out set"],
      ["on the held-out set", number(one.estimate.normal, 1)],
    ]) : null,
    one.replay ? replayed(one.replay) : null,
    one.tests.length ? features(one) : null,
    words.length ? [h("p", { class: "muted" }, "New words:"), h("ul", { class: "chips" }, words.map(([word, sources]) => h("li", { class: "chip", title: sources.join("\n") }, h("bdi", {}, word))))] : null];
}

/** The held-out set translated again, night by night. */
function replayed({ last, finished, failed, missed }) {
  return facts([
    ["replays of the held-out set", `${plural(finished, "night")}, ${number(failed)} failed, ${number(missed)} missed`],
    ...(last ? [["chrF2++ of the last one", `${number(last.score, 1)}, ${number(last.before, 1)} when evaluated (${moment(last.due)} UTC)`]] : []),
  ]);
}

/** What drifted stands open; the rest is there for whoever asks. */
function features(one) {
  const shown = (tests, label) => table(["Feature", "Normal", "Now", "Effect", "q"], tests.map((test) => [
    h("span", {}, test.title, test.drifted ? h("strong", { class: "bad" }, `drifted, ${test.change}`) : null),
    { n: number(test.normal, 3) }, { n: number(test.now, 3) }, { n: number(test.effect, 2) }, { n: test.q < 0.0001 ? "< 0.0001" : number(test.q, 4) },
  ]), { label });
  const [drifted, others] = [one.tests.filter((test) => test.drifted), one.tests.filter((test) => !test.drifted)];
  return [drifted.length ? shown(drifted, `What drifted in ${one.direction}`) : null,
    others.length ? h("details", {}, h("summary", {}, `${plural(others.length, "feature")} without drift`), shown(others, `Features of ${one.direction} without drift`)) : null,
    h("p", { class: "muted small" }, "Effect: how large a difference is. q: how often chance alone would show one, corrected for the number of tests.")];
}

function days(rows) {
  const sums = new Map();
  for (const row of rows) sums.set(row.day, (sums.get(row.day) ?? 0) + row.segments);
  const known = [...sums].sort();
  return known.length ? h("div", { class: "figures" }, bars({ title: "Segments by day", rows: known.map(([at, count]) => [at.slice(5), count]), x: "day" })) : null;
}
