// What is served under which names, and two of them compared without their names.

import { $, field, fill, h, number, options, plural, table, facts } from "./dom.js";
import { ask } from "./api.js";
import { languages } from "./translate.js";

let server = null;
let refresh = null;

export function begin(status, again) {
  server = status;
  refresh = again;
  list();
  compare();
  tally();
}

/** Engines come and go: the list is that of now. */
export async function show() {
  try {
    await refresh();
    list();
  } catch { /* what was known stands */ }
}

// ---------------------------------------------------------------- what is served

function list() {
  fill($("model-list"),
    h("div", { class: "cards" }, server.models.map((one) => h("article", { class: "card" },
      h("h3", {}, one.name), one.title === server.default ? h("p", { class: "small muted" }, "answers where no model is named") : null,
      facts([
        ["version", one.version], ["aliases", one.aliases.join(", ")], ["directions", one.directions.join(", ")],
        ["state", one.state + (one.restarts ? `, ${plural(one.restarts, "restart")}` : "")],
        ["waiting", one.queue ? plural(one.queue, "text") : ""],
        ["parameters", one.facts.parameters ? number(one.facts.parameters) : ""], ["precision", one.facts.dtype], ["base", one.facts.base],
        ["licence", one.facts.licence], ["prompt", one.facts.prompt],
        ["in the browser", one.private.bytes ? `${one.private.format}, ${number(one.private.bytes / 1e6, 1)} MB` : `no: ${one.private.why}`],
      ])))),
    server.who.scopes.includes("deploy") ? aliases() : null);
}

function aliases() {
  const name = h("input", { required: true, value: "champion", autocomplete: "off", spellcheck: "false" });
  const model = options(h("select"), server.models.map((one) => [one.name, one.title]), "");
  const told = h("p", { role: "status", class: "small" });
  const act = async (action) => {
    told.className = "small";
    try {
      await action();
      await refresh();
      list();
    } catch (refusal) {
      told.className = "small problem";
      told.textContent = refusal.message;
    }
  };
  const path = () => `/api/aliases/${encodeURIComponent(name.value.trim())}`;
  return [h("h2", {}, "Aliases"),
    h("p", { class: "muted" }, "An alias is a name that clients keep while the model behind it changes. champion answers where no model is named."),
    h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); act(() => ask("PUT", path(), { model: model.value })); } },
      field("Alias", name), field("Model", model),
      h("button", { type: "submit" }, "Point it there"),
      h("button", { type: "button", class: "plain", onclick: () => act(() => ask("POST", `${path()}/rollback`, {})) }, "Back to the one before")),
    told];
}

// ---------------------------------------------------------------- side by side

function compare() {
  const place = $("compare");
  if (server.models.length < 2) {
    fill(place, h("p", { class: "muted" }, "One model is served. Start the server with two, ", h("code", {}, "dragoman serve new=RUN old=RUN"), ", to compare them."));
    return;
  }
  const known = server.models.map((one) => [one.title, one.title]);
  const [first, second] = [options(h("select"), known, known[0][0]), options(h("select"), known, known[1][0])];
  const [from, to] = [h("select"), h("select")];
  const common = () => {
    const [of, also] = [first, second].map((one) => server.models.find((model) => model.title === one.value).directions);
    const directions = of.filter((one) => also.includes(one)).map((one) => server.directions.find((all) => `${all.source}-${all.target}` === one));
    problem.textContent = directions.length ? "" : "These two have no languages in common.";
    go.disabled = !directions.length;
    from.onchange = languages({ ...server, directions }, from, to);
  };
  first.onchange = second.onchange = common;
  const text = h("textarea", { rows: "3", dir: "auto", spellcheck: "false" });
  const out = h("div", { "aria-live": "polite" });
  const problem = h("p", { class: "problem", role: "alert" });
  const go = h("button", { type: "submit" }, "Translate with both");
  fill(place,
    h("p", { class: "muted" }, "Both translate the text; which is which is shown once you have chosen. Your verdict is kept with the text and both translations, on the server."),
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      if (!text.value.trim()) return text.focus();
      problem.textContent = "";
      fill(out, h("p", { class: "muted" }, "Translating …"));
      go.disabled = true;
      try {
        if (first.value === second.value) throw new Error("Choose two different models.");
        const models = [first.value, second.value];
        if (crypto.getRandomValues(new Uint8Array(1))[0] & 1) models.reverse();
        const asked = { text: text.value.trim(), source: from.value, target: to.value, models };
        const { answers } = await ask("POST", "/api/translate", asked);
        blind(out, asked, answers);
      } catch (refusal) {
        fill(out);
        problem.textContent = refusal.message;
      }
      go.disabled = false;
    } },
    h("div", { class: "bar" }, field("First model", first, { wide: true }), field("Second model", second, { wide: true }), field("From", from), field("To", to)),
    field("Text", text), go), problem, out);
  common();
}

function blind(out, asked, answers) {
  const [one, two] = answers.map((answer) => answer.translations);
  if (one.failure || two.failure) throw new Error("One of the two could not translate it.");
  const titles = answers.map(() => h("h3", {}));
  titles.forEach((title, at) => { title.textContent = `Translation ${"AB"[at]}`; });
  const told = h("p", { role: "status", class: "small" });
  const buttons = h("div", { class: "buttons" });
  const card = (at) => h("article", { class: "card" }, titles[at],
    h("p", { class: "text", lang: asked.target, dir: "auto" }, answers[at].translations.text));
  if (one.text === two.text) {
    titles.forEach((title, at) => { title.textContent = answers[at].model; });
    fill(out, h("div", { class: "cards" }, card(0), card(1)), h("p", { class: "muted" }, "Both say the same."));
    return;
  }
  const verdict = async (event, said) => {
    const all = [...buttons.children];
    all.forEach((button) => { button.disabled = true; });
    try {
      await ask("POST", "/api/preferences", {
        text: asked.text, source: one.source_language, target: one.target_language, verdict: said,
        first_model: answers[0].model, first: one.text, second_model: answers[1].model, second: two.text,
      });
      titles.forEach((title, at) => { title.textContent = `${"AB"[at]}: ${answers[at].model}`; });
      told.className = "small good";
      told.textContent = "Kept.";
      tally();
    } catch (refusal) {
      all.forEach((button) => { button.disabled = false; });
      told.className = "small problem";
      told.textContent = refusal.message;
    }
  };
  const button = (said, label) => h("button", { type: "button", class: "plain", onclick: (event) => verdict(event, said) }, label);
  fill(buttons, button("first", "A is better"), button("second", "B is better"), button("same", "No difference"));
  fill(out, h("div", { class: "cards" }, card(0), card(1)), buttons, told);
}

async function tally() {
  let place = $("tally");
  if (!place) $("compare").after(place = h("div", { id: "tally" }));
  if (!server.who.scopes.includes("feedback")) return;
  try {
    const { pairs, damaged_lines: damaged } = await ask("GET", "/api/preferences");
    fill(place, pairs.length ? [h("h2", {}, "Verdicts so far"),
      table(["Model", "Model", "First preferred", "Second preferred", "No difference", "p (sign test)"],
        pairs.map((one) => [...one.models, ...one.preferred, one.same, { n: one.p < 0.0001 ? "< 0.0001" : number(one.p, 4) }]), { label: "Verdicts" }),
      damaged ? h("p", { class: "small muted" }, `${plural(damaged, "damaged line")} of the file could not be counted.`) : null] : null);
  } catch (refusal) {
    fill(place, h("p", { class: "problem" }, refusal.message));
  }
}
