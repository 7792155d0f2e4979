// The curve of p(success) over a response's tokens, with the interval of the estimates.

const kCurveHeight = 150;

// Returns the positions at which p is known, grouped into runs of neighbours.
function knownRuns(p) {
  const runs = [];
  p.forEach((value, k) => {
    if (!known(value)) return;
    if (k && known(p[k - 1])) runs.at(-1).push(k);
    else runs.push([k]);
  });
  return runs;
}

// Draws the curve. Returns its node; mark(k), which sets the cursor on token k; and tokenAt(event),
// which returns the token under the pointer.
function curve({ p, low, high, tokens }, pivotal, width) {
  const n = tokens.length;
  const whole = ticks(0, n, Math.min(10, width / 60)).filter(([k]) => Number.isInteger(k));
  const x = { low: 0, high: n, ticks: whole.map(([k]) => [k, String(k)]), label: "token" };
  const y = { low: 0, high: 1, ticks: ticks(0, 1, 2), label: "p(success)" };
  const label = `p(success) over ${plural(n, "token")}`;
  const { root, toX, toY, bottom, right } = frame(width, kCurveHeight, label, x, y);
  const point = (k) => [toX(k), toY(p[k])];
  const limit = (limits) => (k) => [toX(k), toY(limits[k] ?? p[k])];
  const draw = (kind, points) => root.append(svg("path", { class: kind, d: path(points) }));

  const cursor = svg("rect", {
    class: "cursor", y: kMargin.top, height: bottom - kMargin.top, width: Math.max(3, toX(1) - toX(0)) });
  root.append(cursor);
  const runs = knownRuns(p);
  for (const run of runs) draw("band", [...run.map(limit(high)), ...run.toReversed().map(limit(low))]);
  runs.forEach((run, i) => {
    if (i) draw("unmeasured", [point(runs[i - 1].at(-1)), point(run[0])]);
    draw("curve", run.map(point));
  });
  for (const { k, before, after } of pivotal.values()) {
    root.append(svg("g", { class: `jump ${side(after - before)}` },
      line(toX(k - 1), toY(before), toX(k), toY(after)), svg("circle", { cx: toX(k), cy: toY(after), r: 3.5 })));
  }
  const dot = svg("circle", { class: "dot", r: 4.5 });
  root.append(dot);
  const mark = (k) => {
    cursor.setAttribute("x", toX(k - 1));
    dot.setAttribute("visibility", known(p[k]) ? "visible" : "hidden");
    dot.setAttribute("cx", toX(k));
    dot.setAttribute("cy", toY(p[k] ?? 0));
  };
  const tokenAt = (event) => {
    const share = (event.clientX - root.getBoundingClientRect().left - kMargin.left) / (right - kMargin.left);
    return Math.min(n, Math.max(1, Math.ceil(share * n)));
  };
  return { root, mark, tokenAt };
}
