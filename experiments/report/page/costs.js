// Draws accuracy against what it cost, with a line for each curve of a recipe.

// `curves` are [{name, points: [{name, cost, mean, low, high}]}], with the points of a curve by cost.
function costFigure({ title, label, unit, curves }) {
  const all = curves.flatMap(({ points }) => points);
  const low = Math.min(...all.map((point) => point.low)), high = Math.max(...all.map((point) => point.high));
  const most = Math.max(...all.map((point) => point.cost));
  const kinds = curves.map((_, i) => `run run-${i % 8} turn-${Math.floor(i / 8) % 3}`);
  const told = (p) => [p.name, count(Math.round(p.cost)), fixed(p.mean, 1), interval(p.low, p.high, 1)];
  const legend = html("ul", { class: "legend" }, curves.map(({ name }, i) => html("li", {},
    svg("svg", { width: 22, height: 10, "aria-hidden": true }, line(0, 5, 22, 5, kinds[i])), name)));
  const draw = (width) => {
    const x = { low: 0, high: most, ticks: ticks(0, most, Math.min(6, width / 90)), label };
    const y = { low, high, ticks: ticks(low, high, 5), label: unit };
    const { root, toX, toY } = frame(width, kFigureHeight, `${title}: ${unit} by ${label}`, x, y);
    curves.forEach(({ points }, i) => {
      root.append(svg("path", { class: kinds[i], d: path(points.map(({ cost, mean }) => [toX(cost), toY(mean)])) }));
      for (const point of points) {
        const at = toX(point.cost), [name, cost, mean, around] = told(point);
        root.append(svg("g", { class: `point ${kinds[i]}`, "data-tip": `${name}: ${mean} ${around}, ${label} ${cost}` },
          line(at, toY(point.low), at, toY(point.high)), svg("circle", { cx: at, cy: toY(point.mean), r: 4 })));
      }
    });
    return root;
  };
  return figure(`${title}, by ${label}`, null, draw, ["arm", label, unit, "interval"], () => all.map(told),
    { extra: legend, about: kCosts });
}
