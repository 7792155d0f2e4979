// Draws the state of a run, again and again. data/FORMATS.md describes state.json.

const kEvery = 2000;  // milliseconds between two looks

const whole = (x) => (known(x) ? count(Math.round(x)) : "\u2013");
const brief = (x) => (known(x) ? Number(x).toPrecision(4).replace("-", "\u2212") : "\u2013");
const rate = (x) => (x >= 100 ? whole(x) : x.toFixed(x < 1 ? 2 : 1));
const twoDigits = (n) => String(n).padStart(2, "0");
function duration(seconds) {
  const s = Math.round(seconds), minutes = Math.floor(s / 60);
  if (s >= 48 * 3600) return `${Math.round(s / 86400)} days`;
  if (s < 3600) return `${minutes}:${twoDigits(s % 60)}`;
  return `${Math.floor(s / 3600)}:${twoDigits(minutes % 60)}:${twoDigits(s % 60)}`;
}
function size(bytes) {
  const power = bytes > 0 ? Math.min(3, Math.floor(Math.log10(bytes) / 3)) : 0;
  return `${(bytes / 1000 ** power).toFixed(power > 1 ? 1 : 0)} ${["B", "kB", "MB", "GB"][power]}`;
}

// Returns a plot of one line through points [x, y].
function lineFigure(title, remark, points, xLabel, yLabel) {
  const span = (i) => [Math.min(...points.map((p) => p[i])), Math.max(...points.map((p) => p[i]))];
  const [left, right] = span(0), [low, high] = span(1), compact = { notation: "compact" };
  const axis = (from, to, wanted, label) => ({
    low: from, high: to, label,
    ticks: ticks(from, to, wanted).map(([v]) => [v, (v || 0).toLocaleString("en-US", compact)]),
  });
  const draw = (width) => {
    const { root, toX, toY } = frame(width, 220, title, axis(left, right, Math.min(8, width / 80), xLabel),
      axis(Math.min(0, low), high || 1, 5, yLabel));
    root.append(svg("path", { class: "run run-0", d: path(points.map(([x, y]) => [toX(x), toY(y)])) }));
    return root;
  };
  return figure(title, remark, draw, [xLabel, yLabel], () => points.map(([x, y]) => [whole(x), whole(y)]));
}

// Keeps a figure for each name. One whose data are new is drawn anew, unless its reader is at it.
const figures = new Map();
function showFigures(wanted) {
  const place = byId("figures");
  for (const [name, { node }] of figures) {
    if (wanted.some((one) => one.name === name)) continue;
    node.remove();
    figures.delete(name);
  }
  for (const { name, data, make } of wanted) {
    const text = JSON.stringify(data), before = figures.get(name);
    if (before?.text === text || before?.node.matches(":hover") || before?.node.querySelector("details[open]")) continue;
    const node = make();
    if (before) before.node.replaceWith(node);
    else place.append(node);
    figures.set(name, { node, text });
  }
}

function showFacts(facts) {
  byId("facts").replaceChildren(...facts.filter(([, value]) => known(value) && value !== "").map(([name, value]) =>
    html("div", {}, term(name, String(value)))));
}

function showBar(done, all) {
  const bar = byId("bar");
  bar.hidden = !all;
  if (!all) return;
  const share = Math.min(1, done / all);
  bar.setAttribute("aria-valuenow", Math.round(100 * share));
  bar.firstElementChild.style.width = `${100 * share}%`;
}

function showSearch(s, working) {
  const inHand = s.in_hand, more = (n) => (n ? ` + ${whole(n)} in hand` : "");
  showBar(s.stored + inHand.done, s.problems);
  showFacts([
    ["problems", `${whole(s.stored)} of ${whole(s.problems)}`],
    ["in hand", inHand.problems ? `${whole(inHand.done)} of ${whole(inHand.problems)}` : null],
    ["time left, about", known(s.seconds_left) ? duration(s.seconds_left) : null],
    ["problems a second", s.problems_per_second ? rate(s.problems_per_second) : null],
    ["searched", whole(s.searched)],
    ["skipped", whole(s.skipped)],
    ["pairs", whole(s.pairs) + more(inHand.pairs)],
    ["pairs wanted", s.pairs_wanted ? whole(s.pairs_wanted) : null],
    ["tokens a pair", known(s.pair_cost) ? whole(s.pair_cost) : null],
    ["tokens of the next", working && known(s.next_pair_cost) ? whole(s.next_pair_cost) : null],
    ["pivotal tokens", whole(s.pivotal) + more(inHand.pivotal)],
    ["rollouts", whole(s.rollouts)],
    ["generated tokens", whole(s.tokens) + more(inHand.tokens)],
    ["tokens a second", s.tokens_per_second ? rate(s.tokens_per_second) : null],
    ["budget", s.budget_tokens ? `${whole(s.budget_tokens)} tokens` : null],
    ["failed verdicts", s.failed_verdicts ? whole(s.failed_verdicts) : null],
  ]);
  const pairs = s.curve.map(([tokens, n]) => [tokens, n]);
  const costs = s.curve.filter((point) => known(point[2])).map(([tokens, , cost]) => [tokens, cost]);
  showFigures([
    pairs.length > 1 && { name: "pairs", data: pairs, make: () => lineFigure("Pairs so far",
      "Confirmed pairs, by what was generated for all problems.", pairs, "generated tokens", "pairs") },
    costs.length > 1 && { name: "cost", data: costs, make: () => lineFigure("Cost of a pair",
      "Of the last 20 pairs each: what the next one may cost.", costs, "generated tokens", "tokens") },
  ].filter(Boolean));
}

const kCurves = ["loss", "rewards/margins", "rewards/accuracies", "kl", "clip_ratio/region_mean", "grad_norm",
  "learning_rate", "eval_loss", "eval_accuracy", "eval_rewards/margins", "eval_rewards/accuracies"];
function showTraining(t) {
  showBar(t.step, t.steps);
  showFacts([
    ["step", `${whole(t.step)} of ${whole(t.steps)}`],
    ["time left, about", known(t.seconds_left) ? duration(t.seconds_left) : null],
    ["loss", known(t.loss) ? brief(t.loss) : null],
    ["margin", known(t.margin) ? brief(t.margin) : null],
    ["accuracy", known(t.accuracy) ? brief(t.accuracy) : null],
    ["gradient norm", known(t.grad_norm) ? brief(t.grad_norm) : null],
    ["learning rate", known(t.learning_rate) ? brief(t.learning_rate) : null],
    ["steps a second", t.steps_per_second ? rate(t.steps_per_second) : null],
    ["examples a second", t.examples_per_second ? rate(t.examples_per_second) : null],
    ["tokens a second", t.tokens_per_second ? rate(t.tokens_per_second) : null],
    [t.metric, known(t.held_out) ? brief(t.held_out) : null],
    [`best, at step ${t.best_step}`, known(t.best) ? brief(t.best) : null],
    ["memory", t.memory ? `${size(t.memory)} of ${size(t.planned_memory)} planned` : null],
  ]);
  showFigures(t.series
    .filter(({ name, points }) => kCurves.includes(name) && points.length > 1)
    .sort((a, b) => kCurves.indexOf(a.name) - kCurves.indexOf(b.name))
    .map(({ name, points }) => ({ name, data: points, make: () => trainingFigure(name, [{ name: "this training", points }]) })));
}

function showWorkers(workers) {
  byId("workers").hidden = !workers.length;
  const rows = workers.map((w) => {
    const n = w.numbers, doing = w.part || w.phase || "begins";
    const progress = n.group_problems ? `${n.group_done} of ${n.group_problems} done`
      : w.total ? `${whole(w.done)} of ${whole(w.total)} ${w.unit}` : "";
    const speed = n.seconds && n.tokens ? `${rate(n.tokens / n.seconds)} tokens/s` : "";
    const life = w.life === "works" ? `${Math.round(w.age)} s ago`
      : html("span", { class: "gone" }, `${w.life}, ${duration(w.age)} ago`);
    return [`${w.host}:${w.pid}`, w.rank, visible(doing).replaceAll("\u00b7", " "), progress,
      n.rollouts ? whole(n.rollouts) : "", speed, life];
  });
  byId("workers").querySelector(".wide").replaceChildren(
    table(["process", "rank", "does", "progress", "rollouts", "speed", "sign of life"], rows));
}

function show(state) {
  const name = state.run.split("/").filter(Boolean).at(-1) ?? state.run;
  byId("title").textContent = name;
  byId("version").textContent = state.search ? `search with ${state.search.model}, strategy ${state.search.strategy}`
    : state.training ? `training, ${state.training.objective}` : "";
  const line = byId("state");
  line.className = state.condition;
  line.textContent = state.message || state.condition;
  const all = state.search?.problems ?? state.training?.steps;
  const done = state.search?.stored ?? state.training?.step;
  document.title = `${all && state.condition === "working" ? `${Math.floor(100 * done / all)}% ` : ""}${name} \u00b7 ${state.condition}`;
  if (state.search) showSearch(state.search, state.condition === "working");
  else if (state.training) showTraining(state.training);
  showWorkers(state.workers);
  byId("faults").replaceChildren(...state.faults.map((text) => html("li", {}, text)));
}

async function look() {
  try {
    const answer = await fetch("state.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
  } catch (error) {
    byId("state").className = "lost";
    byId("state").textContent = `No news: ${error.message}. What is below is what was known last.`;
  }
  setTimeout(look, document.hidden ? 5 * kEvery : kEvery);
}
explainOnDemand();
look();
