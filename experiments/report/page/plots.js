// Draws plots as inline SVG, again whenever the width changes, so that their text keeps its size.

const kFigureHeight = 240;
const kMargin = { left: 52, right: 14, top: 10, bottom: 40 };

const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
const words = (text, x, y, anchor, more) => svg("text", { x, y, "text-anchor": anchor, ...more }, text);
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

// Writes a number of any size in few characters: 2e−4.
const short = (x) => Number(x.toPrecision(3)).toExponential().replaceAll("-", "\u2212").replace("e+", "e");

// Returns about `wanted` round numbers between low and high, with their texts.
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
    found.push([i * step, digits > 3 || step >= 1e5 ? i && short(i * step) : fixed(i * step, digits)]);
  }
  return found;
}

// Draws an empty plot. An axis is {low, high, ticks: [[value, text], ...], label}. Returns the node
// and the scales of both axes.
function frame(width, height, label, x, y) {
  const right = width - kMargin.right, bottom = height - kMargin.bottom;
  const toX = (v) => kMargin.left + ((v - x.low) / (x.high - x.low || 1)) * (right - kMargin.left);
  const toY = (v) => bottom - ((v - y.low) / (y.high - y.low || 1)) * (bottom - kMargin.top);
  const upright = `translate(11 ${(kMargin.top + bottom) / 2}) rotate(-90)`;
  const root = svg("svg", { width, height, role: "img", "aria-label": label },
    y.ticks.map(([v]) => line(kMargin.left, toY(v), right, toY(v), "grid")),
    y.ticks.map(([v, text]) => words(text, kMargin.left - 6, toY(v), "end", { dy: "0.32em" })),
    x.ticks.map(([v, text]) => words(text, toX(v), bottom + 15, "middle")),
    line(kMargin.left, bottom, right, bottom, "axis"),
    words(x.label, (kMargin.left + right) / 2, height - 6, "middle", { class: "label" }),
    words(y.label, 0, 0, "middle", { class: "label", transform: upright }));
  return { root, toX, toY, bottom, right };
}

// Returns a plot with a title, a note, and a table of its numbers that is filled when it is opened.
// `about` explains the title, and `extra` stands below the plot.
function figure(title, remark, draw, columns, rows, { about = kExplained[title], extra, height = kFigureHeight } = {}) {
  const name = explained(title, about);
  const canvas = html("div", { class: "canvas", "data-tip": about, style: `height: ${height}px` });
  onWidth(canvas, (width) => canvas.replaceChildren(draw(width)));
  const fill = ({ target }) => {
    if (target.open && target.childElementCount === 1) {
      target.append(html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}: numbers` },
        table(columns, rows())));
    }
  };
  return html("figure", {},
    html("figcaption", {}, html("h3", { "aria-label": title }, name), remark && note(remark)),
    canvas, extra, html("details", { toggle: fill }, html("summary", {}, "Numbers")));
}

function histogramFigure({ edges, counts }, gap, remark) {
  // The scale is logarithmic and begins below 1, so that a bar of one token can be seen.
  const tall = (n) => (n ? Math.log10(n) + 0.3 : 0);
  const top = Math.max(1, ...counts), low = edges[0], high = edges.at(-1);
  const powers = Array.from({ length: Math.floor(Math.log10(top * 2)) + 1 }, (_, i) => 10 ** i);
  const compact = (n) => n.toLocaleString("en-US", { notation: "compact" });
  const span = (i) => `${signed(edges[i], 2)} to ${signed(edges[i + 1], 2)}`;
  const draw = (width) => {
    const across = ticks(low, high, Math.min(8, width / 60)), up = powers.map((n) => [tall(n), compact(n)]);
    const x = { low, high, ticks: across, label: "change of p(success) over a token" };
    const y = { low: 0, high: tall(top) + 0.3, ticks: up, label: "tokens (log scale)" };
    const { root, toX, toY, bottom } = frame(width, kFigureHeight, "Histogram of the changes of p(success)", x, y);
    counts.forEach((n, i) => {
      if (!n) return;
      const left = toX(edges[i]), over = toY(tall(n)), middle = (edges[i] + edges[i + 1]) / 2;
      const box = { x: left, y: over, width: Math.max(1, toX(edges[i + 1]) - left - 1), height: bottom - over };
      root.append(svg("rect", { class: Math.abs(middle) < gap ? "even" : side(middle), ...box,
        "data-tip": `${span(i)}: ${plural(n, "token")}` }));
    });
    for (const at of [-gap, gap]) {
      root.append(line(toX(at), kMargin.top, toX(at), bottom, "gap"),
        words(`gap ${signed(at, 2)}`, toX(at) + (at < 0 ? -4 : 4), kMargin.top + 9, at < 0 ? "end" : "start"));
    }
    return root;
  };
  return figure("Changes of p(success)", remark, draw, ["from", "to", "tokens"],
    () => counts.map((n, i) => [signed(edges[i], 2), signed(edges[i + 1], 2), count(n)]));
}

function calibrationFigure(points) {
  const remark = "Estimates of the search against fresh rollouts, with 95% intervals. On the diagonal they agree.";
  const most = Math.max(...points.map((point) => point.count));
  const row = (p) => [fixed(p.expected), fixed(p.observed), interval(p.low, p.high), count(p.count)];
  const draw = (width) => {
    const axis = (label) => ({ low: 0, high: 1, ticks: ticks(0, 1, 5), label });
    const { root, toX, toY } = frame(width, kFigureHeight, "Calibration of the estimates",
      axis("estimate of the search"), axis("fresh rollouts"));
    root.append(line(toX(0), toY(0), toX(1), toY(1), "gap"));
    for (const point of points) {
      const x = toX(point.expected), [expected, observed, around, n] = row(point);
      const told = `estimated ${expected}, observed ${observed} ${around}, ${n} rollouts`;
      root.append(svg("g", { class: "point", "data-tip": told },
        line(x, toY(point.low), x, toY(point.high), "whisker"),
        svg("circle", { cx: x, cy: toY(point.observed), r: 2.5 + 3.5 * Math.sqrt(point.count / most) })));
    }
    return root;
  };
  return figure("Calibration", remark, draw, ["estimated", "observed", "interval", "rollouts"], () => points.map(row));
}

// Returns a plot of one series with a line for each run {name, points}. The legend shows the values
// at the step under the pointer, or the last values.
function trainingFigure(name, runs) {
  const limits = (list) => [list.reduce((a, b) => Math.min(a, b)), list.reduce((a, b) => Math.max(a, b))];
  const all = runs.flatMap((run) => run.points);
  const [first, last] = limits(all.map(([step]) => step)), [low, high] = limits(all.map(([, value]) => value));
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  const kinds = runs.map((_, i) => `run run-${i % 8} turn-${Math.floor(i / 8) % 3}`);
  const at = html("b"), readings = runs.map(() => html("span", { class: "value" }));
  const read = (step) => {
    at.textContent = `step ${step}`;
    runs.forEach(({ points }, i) => {
      const point = points.findLast((candidate) => candidate[0] <= step);
      readings[i].textContent = point ? fixed(point[1]) : "";
    });
  };
  const stroke = (kind) => svg("svg", { width: 22, height: 10, "aria-hidden": true }, line(0, 5, 22, 5, kind));
  const legend = html("ul", { class: "legend" }, html("li", {}, at),
    runs.map((run, i) => html("li", {}, stroke(kinds[i]), run.name, " ", readings[i])));
  const draw = (width) => {
    const x = { low: first, high: last, ticks: ticks(first, last, Math.min(8, width / 70)), label: "step" };
    const y = { low: low - pad, high: high + pad, ticks: ticks(low - pad, high + pad, 5), label: name };
    const { root, toX, toY, bottom, right } = frame(width, kFigureHeight, `${name} by step`, x, y);
    const cursor = line(0, kMargin.top, 0, bottom, "cursor");
    const point = (step) => {
      cursor.setAttribute("visibility", step === null ? "hidden" : "visible");
      cursor.setAttribute("transform", `translate(${toX(step ?? first)} 0)`);
      read(step ?? last);
    };
    root.append(...runs.map(({ points }, i) =>
      svg("path", { class: kinds[i], d: path(points.map(([step, value]) => [toX(step), toY(value)])) })), cursor);
    root.addEventListener("pointermove", (event) => {
      const share = (event.clientX - root.getBoundingClientRect().left - kMargin.left) / (right - kMargin.left);
      point(Math.round(first + Math.min(1, Math.max(0, share)) * (last - first)));
    });
    root.addEventListener("pointerleave", () => point(null));
    point(null);
    return root;
  };
  const rows = () => runs.flatMap((run) => run.points.map(([step, value]) => [run.name, step, value.toPrecision(5)]));
  return figure(name, null, draw, ["run", "step", name], rows,
    { extra: legend, about: kExplained[name] ?? kOtherCurve });
}
