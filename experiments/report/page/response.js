// Shows a response: its curve, its tokens coloured by the change of p(success), and the panel of one
// token. Token k (from 1) changes p[k-1] to p[k]. Hovering shows a token in the panel. A tap, a click
// or the arrow keys select a token, which is shown while no token is hovered.

const kFullDelta = 0.5;  // change of p(success) at which colours are strongest

function tokenSpan(response, k, pivotal) {
  const delta = deltaAt(response, k);
  const strength = Math.min(1, Math.abs(delta) / kFullDelta).toFixed(3);
  return html("span", {
    class: `token ${delta === null ? "unknown" : side(delta)}${pivotal ? " pivotal" : ""}`, "data-k": k,
    role: "option", tabindex: -1, "aria-selected": "false", style: `--s: ${strength}`,
  }, inText(response.tokens[k - 1]));
}

function tokenLegend() {
  const example = (kind, text) => html("span", { class: `token ${kind} pivotal`, style: "--s: .5" }, text);
  const key = (text) => html("kbd", {}, text);
  return html("p", { class: "note legend" },
    html("span", {}, `\u2212${kFullDelta} `, html("span", { class: "scale", "aria-hidden": true }),
      ` +${kFullDelta} of p(success)`),
    html("span", {}, example("rises", "pivotal rise"), " ", example("falls", "pivotal drop")),
    html("span", { class: "keys" }, key("\u2190"), " ", key("\u2192"), " token ",
      key("\u2191"), " ", key("\u2193"), " pivotal token"));
}

// `answers` are those of the problem. `selected` is the token (1..n) to begin with; null: the one with
// the largest change. Calls onSelect when the reader selects another token.
function responseView(response, gap, answers, selected, onSelect) {
  const n = response.tokens.length;
  if (n === 0) return [note("An empty response.")];
  const pivotal = new Map(response.pivotal.map((token) => [token.k, token]));
  const ks = response.tokens.map((_, i) => i + 1);
  const size = (k) => Math.abs(deltaAt(response, k));
  const spans = ks.map((k) => tokenSpan(response, k, pivotal.has(k)));
  const text = html("div", {
    class: "tokens", role: "listbox", "aria-label": "Tokens", "aria-orientation": "horizontal" }, spans);
  const panel = html("section", { class: "panel", "aria-label": "Token", "aria-live": "polite" });
  const plot = html("div", { class: "canvas curve-canvas" });
  let current = selected ?? ks.reduce((best, k) => (size(k) > size(best) ? k : best));
  let drawn = null, shown = current;

  const show = (k) => {
    spans[shown - 1].classList.remove("shown");
    spans[k - 1].classList.add("shown");
    shown = k;
    panel.replaceChildren(...tokenPanel(response, k, pivotal.get(k), gap, answers));
    drawn?.mark(k);
  };
  const choose = (k) => {
    spans[current - 1].setAttribute("aria-selected", "false");
    spans[k - 1].setAttribute("aria-selected", "true");
    current = k;
    show(k);
  };
  const select = (k) => {
    choose(k);
    focusOne(spans, k - 1);
    onSelect(k);
  };
  const onToken = (act) => (event) => {
    const token = event.target.closest("[data-k]");
    if (token) act(Number(token.dataset.k));
  };
  text.addEventListener("pointerover", onToken(show));
  text.addEventListener("click", onToken(select));
  text.addEventListener("pointerleave", () => show(current));
  text.addEventListener("keydown", (event) => {
    const to = {
      ArrowRight: Math.min(n, current + 1), ArrowLeft: Math.max(1, current - 1), Home: 1, End: n,
      ArrowDown: ks.find((k) => k > current && pivotal.has(k)) ?? current,
      ArrowUp: ks.findLast((k) => k < current && pivotal.has(k)) ?? current,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(to);
  });
  plot.addEventListener("pointermove", (event) => show(drawn.tokenAt(event)));
  plot.addEventListener("pointerleave", () => show(current));
  plot.addEventListener("click", (event) => select(drawn.tokenAt(event)));
  onWidth(plot, (width) => {
    drawn = curve(response, pivotal, width);
    plot.replaceChildren(drawn.root);
    drawn.mark(shown);
  });
  choose(current);
  spans[current - 1].tabIndex = 0;
  return [plot, tokenLegend(), text, panel];
}
