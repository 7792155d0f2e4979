// Shows two runs of the same problems beside each other: over all problems, and for one of them.

const kMostWhiskers = 150, kMostRows = 300, kScatterHeight = 340, kBothHeight = 190;

const runMark = (i) => svg("svg", { class: "run-mark", width: 18, height: 10, "aria-hidden": true },
  line(0, 5, 18, 5, `run of-${i}`));
const arrow = (before, after) => `${before} \u2192 ${after}`;
const rateOf = ({ samples, successes }) => (samples ? successes / samples : null);
const bounded = ([mean, low, high]) => `${signed(mean, 2)} [${signed(low, 2)}, ${signed(high, 2)}]`;

// Fills the section that compares the runs.
function showBeside({ beside, problems }) {
  if (!beside) return false;
  const { names, both, only, mean, change: changed, better, worse, pivotal, measured, settings } = beside;
  const section = byId("beside");
  section.append(
    html("p", { class: "runs" }, names.map((name, i) =>
      html("span", {}, runMark(i), i ? "after: " : "before: ", html("b", {}, name)))),
    tiles([
      ["in both runs", both, `${count(only[0])} only in ${names[0]}, ${count(only[1])} only in ${names[1]}`],
      ["mean p(success)", measured ? arrow(fixed(mean[0], 2), fixed(mean[1], 2)) : "\u2013",
        changed ? bounded(changed) : "no interval"],
      ["measurably different", plural(better + worse, "problem"), `${count(better)} better, ${count(worse)} worse`],
      ["pivotal tokens, both runs", arrow(...pivotal.map(count)), "in problems of both"],
    ]));
  const compared = problems.filter((problem) => problem.beside?.change);
  const figures = html("div", { class: "figures" });
  if (compared.length) figures.append(scatterFigure(compared, names));
  if (settings.length) {
    const title = "Settings that differ", bare = (value) => value.replace(/^'(.+)'$/, "$1") || "\u2013";
    const rows = settings.map(([part, key, ...values]) => [`${part ? `${part}.` : ""}${key}`, ...values.map(bare)]);
    figures.append(html("div", {}, html("h3", {}, title),
      html("div", { class: "scroll settings", tabindex: 0, role: "region", "aria-label": title },
        table(["setting", ...names], rows))));
  }
  section.append(figures);
  return true;
}

// Plots p(success) of every problem in one run over that in the other. Problems with the same two
// numbers share a point, so that 10,000 problems make no more points than can be seen.
function scatterFigure(problems, names) {
  const groups = new Map();
  for (const problem of problems) {
    const key = [rateOf(problem), rateOf(problem.beside)].map((p) => p.toFixed(2)).join();
    if (groups.has(key)) groups.get(key).push(problem);
    else groups.set(key, [problem]);
  }
  const most = Math.max(...[...groups.values()].map((group) => group.length));
  const told = (group) => {
    const [{ limits: [here, there], change: changed }] = group.map(({ beside }) => beside);
    const ids = group.slice(0, 3).map((problem) => visible(problem.id)).join(", ");
    const more = group.length > 3 ? ` and ${group.length - 3} more` : "";
    const rate = (one, limits) => `${fixed(rateOf(one), 2)} ${interval(...limits, 2)}`;
    return `${ids}${more}: ${arrow(rate(group[0], here), rate(group[0].beside, there))}, change ${bounded(changed)}`;
  };
  const draw = (width) => {
    const axis = (label) => ({ low: 0, high: 1, ticks: ticks(0, 1, 5), label });
    const { root, toX, toY } = frame(width, kScatterHeight, "p(success) of each problem in both runs",
      axis(`p(success) in ${names[0]}`), axis(`p(success) in ${names[1]}`));
    root.append(line(toX(0), toY(0), toX(1), toY(1), "gap"));
    for (const group of groups.values()) {
      const [{ id, beside: { limits: [here, there], change: [delta, low, high] } }] = group;
      const x = toX(rateOf(group[0])), y = toY(rateOf(group[0].beside));
      const kind = `${low * high > 0 ? side(delta) : "even"}${groups.size > kMostWhiskers ? " quiet" : ""}`;
      const act = { "data-tip": told(group), click: () => { location.hash = address(id); } };
      root.append(svg("g", { class: `point problem-point ${kind}`, ...act },
        line(toX(here[0]), y, toX(here[1]), y, "whisker"), line(x, toY(there[0]), x, toY(there[1]), "whisker"),
        svg("circle", { cx: x, cy: y, r: 3.5 + 5 * Math.sqrt((group.length - 1) / most) })));
    }
    return root;
  };
  const size = ({ beside }) => Math.abs(beside.change[0]);
  const largest = problems.toSorted((a, b) => size(b) - size(a)).slice(0, kMostRows);
  const rows = () => largest.map((problem) => [html("a", { href: address(problem.id) }, visible(problem.id)),
    fixed(rateOf(problem), 2), fixed(rateOf(problem.beside), 2), bounded(problem.beside.change)]);
  const remark = problems.length > kMostRows
    && `Numbers has the ${kMostRows} largest changes; the list of problems can be sorted by all of them.`;
  return figure("p(success) in both runs", remark, draw, ["problem", ...names, "change"], rows,
    { height: kScatterHeight });
}

// Returns the numbers of a problem in both runs.
function besideTable(entry, names) {
  const both = [entry, entry.beside], limits = entry.beside.limits, changed = entry.beside.change;
  const around = (i) => (limits ? ` ${interval(...limits[i], 2)}` : "");
  const rate = (one, i) => (one.samples ? `${fixed(rateOf(one), 2)}${around(i)}` : "not measured");
  return html("div", { class: "compared" },
    table(["this problem", ...names], [
      ["p(success)", ...both.map(rate)],
      ["right samples", ...both.map((one) => `${count(one.successes)} of ${count(one.samples)}`)],
      ["searched responses", ...both.map((one) => count(one.responses))],
      ["pivotal tokens", ...both.map((one) => count(one.pivotal))]]),
    changed && html("p", { class: "note" }, "change of p(success) ",
      changed[1] * changed[2] > 0 ? change(changed[0], bounded(changed))
        : `${bounded(changed)}: the interval contains zero`));
}

// Plots p(success) along all responses of both runs. Choosing a curve calls open(run, number).
function curvesFigure(problems, names, open) {
  const curves = problems.flatMap(({ responses }, of) =>
    responses.map((response, i) => ({ response, of, number: i + 1, name: `${names[of]}, response ${i + 1}` })));
  if (!curves.length) return null;
  const longest = Math.max(1, ...curves.map(({ response }) => response.tokens.length));
  const draw = (width) => {
    const whole = ticks(0, longest, Math.min(10, width / 60)).filter(([k]) => Number.isInteger(k));
    const x = { low: 0, high: longest, ticks: whole.map(([k]) => [k, String(k)]), label: "token" };
    const y = { low: 0, high: 1, ticks: ticks(0, 1, 2), label: "p(success)" };
    const label = `p(success) along ${plural(curves.length, "response")} of both runs`;
    const { root, toX, toY } = frame(width, kBothHeight, label, x, y);
    for (const { response: { p, success, pivotal }, of, number, name } of curves) {
      const d = path(p.flatMap((value, k) => (known(value) ? [[toX(k), toY(value)]] : [])));
      const dot = ({ k }) => known(p[k]) && svg("circle", { class: `of-${of}`, cx: toX(k), cy: toY(p[k]), r: 3.5 });
      root.append(svg("g", { class: "both", click: () => open(of, number),
        "data-tip": `${name}: ${success ? "right" : "wrong"}, ${pivotal.length} pivotal` },
      svg("path", { class: "reach", d }), svg("path", { class: `run of-${of}${success ? "" : " turn-1"}`, d }),
      pivotal.map(dot)));
    }
    return root;
  };
  const legend = html("ul", { class: "legend" }, names.map((name, i) => html("li", {}, runMark(i), name)),
    html("li", {}, "solid: right, dashed: wrong, dots: pivotal tokens"));
  const rows = () => curves.map(({ response: { success, tokens, p, pivotal }, name }) => [name,
    success ? "right" : "wrong", count(tokens.length), known(p[0]) ? fixed(p[0], 2) : "", count(pivotal.length)]);
  const columns = ["response", "verdict", "tokens", "p(success) at its start", "pivotal tokens"];
  return figure("Curves of both runs", null, draw, columns, rows,
    { extra: legend, height: kBothHeight });
}
