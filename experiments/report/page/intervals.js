// Shows means with their intervals: as whiskers in a table's cell, and as tables that compare them.

// Draws a mean and its interval as wide as the cell, whose left edge is `from` and right edge `to`.
function whiskers({ mean, low, high }, from, to, zero = false) {
  const at = (v) => `${(3 + (94 * (v - from)) / (to - from || 1)).toFixed(2)}%`;
  const stroke = (x1, y1, x2, y2) => line(at(x1), y1, at(x2), y2, "whisker");
  return svg("svg", { class: "whiskers", width: "100%", height: 20, "aria-hidden": true },
    zero && line(at(0), 0, at(0), 20, "gap"),
    stroke(low, 10, high, 10), stroke(low, 6, low, 14), stroke(high, 6, high, 14),
    svg("circle", { cx: at(mean), cy: 10, r: 4 }));
}

// Returns the number of decimals at which the narrowest interval shows two digits.
function decimals(rows) {
  const narrowest = Math.min(...rows.map((row) => row.high - row.low).filter((width) => width > 0));
  return Number.isFinite(narrowest) ? Math.min(5, Math.max(0, 1 - Math.floor(Math.log10(narrowest)))) : 3;
}

// Returns a table of rows {name, mean, low, high, n?}. Differences have a sign, a line at zero, and a
// colour if the interval does not contain zero.
function intervalTable(caption, rows, difference) {
  const digits = decimals(rows), show = difference ? signed : fixed, zero = difference ? [0] : [];
  const from = Math.min(...rows.map((row) => row.low), ...zero);
  const to = Math.max(...rows.map((row) => row.high), ...zero);
  const verdict = ({ mean, low, high }) => (difference && low * high > 0 ? side(mean) : null);
  const counted = rows.some((row) => known(row.n));
  const scale = svg("svg", { class: "whiskers", width: "100%", height: 16, "aria-hidden": true },
    words(show(from, digits), "3%", 12, "start"), words(show(to, digits), "97%", 12, "end"));
  const body = rows.map((row) => html("tr", { class: verdict(row) },
    rowHead(row.name),
    html("td", { class: "mean" }, show(row.mean, digits)),
    cell(`[${show(row.low, digits)}, ${show(row.high, digits)}]`),
    counted && html("td", { class: known(row.n) && "n" }, known(row.n) ? count(row.n) : ""),
    html("td", { class: "plot" }, whiskers(row, from, to, difference))));
  return html("table", { class: "intervals" },
    headRow([caption, "mean", "interval", ...(counted ? ["n"] : [])], html("td", { class: "plot" }, scale)),
    html("tbody", {}, body));
}
