// Training runs of the server's folder: curves, shares of a mixture, sample translations over time.

import { $, field, fill, h, number, options, plural } from "./dom.js";
import { ask } from "./api.js";
import { lines, shares } from "./charts.js";

const EVERY = 15_000; // milliseconds between two looks at a run that is at work
const NAMES = { loss: "dev loss", chrf: "chrF", bleu: "BLEU", one_shot_chrf: "one-shot chrF", off_target: "off target", forgetting: "forgetting" };
const AROUND = 8; // points on either side that the mean of the loss takes in
let timer = 0;
let drawn = "";

export async function begin() {
  try {
    const { given, runs } = await ask("GET", "/api/runs");
    if (!runs.length) {
      fill($("run-list"), h("p", { class: "muted" }, given ? "There is no run with a training log in the server's folder of runs." :
        ["Start the server with ", h("code", {}, "--runs DIR"), ", the folder that holds your runs, to watch them here."]));
      return;
    }
    const choice = options(h("select"), runs.map((one) => [one.name, `${one.name}${one.finished ? "" : " (not finished)"}`]), "");
    choice.onchange = () => run(choice.value, runs);
    fill($("run-list"), field("Run", choice));
    await run(choice.value, runs);
  } catch (refusal) {
    fill($("run-list"), h("p", { class: "problem" }, refusal.message));
  }
}


async function run(name, runs) {
  clearTimeout(timer);
  try {
    const found = await ask("GET", `/api/runs/${encodeURIComponent(name)}`);
    const said = JSON.stringify(found);
    if (said !== drawn) fill($("run"), found.phases.map((phase) => part(phase, found.phases.length > 1)));
    drawn = said;
  } catch (refusal) {
    drawn = "";
    fill($("run"), h("p", { class: "problem" }, refusal.message));
  }
  if (!runs.find((one) => one.name === name)?.finished) timer = setTimeout(() => again(name, runs), EVERY);
}

/** Look again, but not behind the reader's back: only while the part is shown and nothing in it has the focus. */
function again(name, runs) {
  if (!$("runs").hidden && !document.hidden && !$("run").contains(document.activeElement)) run(name, runs);
  else timer = setTimeout(() => again(name, runs), EVERY);
}

/** The mean of each point and its neighbours; at the ends there are fewer. */
function mean(points) {
  if (points.length <= 2 * AROUND) return points;
  return points.map(([at], place) => {
    const around = points.slice(Math.max(0, place - AROUND), place + AROUND + 1);
    return [at, around.reduce((sum, [, value]) => sum + value, 0) / around.length];
  });
}

function part(phase) {
  const scores = Object.keys(phase.evaluations[0] ?? {}).filter((one) => one !== "step");
  const curve = (name) => phase.evaluations.filter((one) => name in one).map((one) => [one.step, one[name]]);
  const drawings = [];
  const losses = [
    ...(phase.loss.length ? [{ name: "training loss", points: mean(phase.loss) }] : []),
    ...(curve("loss").length ? [{ name: "dev loss", points: curve("loss") }] : []),
    ...(phase.loss.length > 2 * AROUND ? [{ name: "each batch", points: phase.loss, faint: true, colour: 1 }] : []),
  ];
  if (losses.length) drawings.push(lines({ title: "Loss", series: losses }));
  const quality = ["chrf", "bleu", "one_shot_chrf"].filter((one) => curve(one).length);
  if (quality.length) drawings.push(lines({ title: "Scores on the development set", series: quality.map((one) => ({ name: NAMES[one], points: curve(one) })) }));
  if (phase.shares.length) {
    const names = [...new Set(phase.shares.flatMap((one) => Object.keys(one.shares)))];
    drawings.push(shares({ title: "Shares of the mixture", series: names.map((name) => ({ name, points: phase.shares.map((one) => [one.step, one.shares[name] ?? 0]) })) }));
  }
  for (const name of scores.filter((one) => !["loss", "chrf", "bleu", "one_shot_chrf"].includes(one))) {
    drawings.push(lines({ title: NAMES[name] ?? name.replaceAll("_", " "), series: [{ name: NAMES[name] ?? name, points: curve(name) }] }));
  }
  if (phase.learning_rate.length > 1) drawings.push(lines({ title: "Learning rate", series: [{ name: "learning rate", points: phase.learning_rate }], from: 0 }));
  return [h("h2", {}, phase.name),
    h("p", { class: "muted" }, `${plural(phase.steps, "step")}${phase.tokens ? `, ${number(phase.tokens)} tokens` : ""}`),
    h("div", { class: "figures" }, drawings), samples(phase.samples)];
}

function samples(found) {
  if (!found.length) return null;
  const first = found[0].samples;
  return [h("h3", {}, "Sample translations over time"), first.map((one, at) => {
    const [source, target] = one.direction.split("-").length === 2 ? one.direction.split("-") : ["", ""];
    let before = null;
    const rows = found.map(({ step, samples: many }) => ({ step, text: many[at]?.translation ?? "" })).filter((row) => row.text !== before && ((before = row.text), true));
    return h("article", { class: "card samples" },
      h("p", { dir: "auto", lang: source || null }, h("strong", {}, one.source)),
      h("p", { dir: "auto", lang: target || null, class: "muted" }, one.reference),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Translations of: ${one.source}` }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Step"), h("th", { scope: "col" }, "Translation"))),
        h("tbody", {}, rows.map((row) => h("tr", {}, h("td", {}, number(row.step)), h("td", { dir: "auto", lang: target || null }, row.text)))))));
  })];
}
