// Shows a response: its curve, its tokens coloured by the change of p(success), and the panel of one
// token. Token k (from 1) changes p[k-1] to p[k]. Hovering shows a token in the panel. A tap, a click
// or the arrow keys select a token, which is shown while no token is hovered. Escape closes the panel
// until a token is selected again.

const kFullDelta = 0.5;  // change of p(success) at which colours are strongest
const kCurveTitle = "p(success) along the response";

function tokenSpan(response, k, pivotal) {
  const delta = deltaAt(response, k), text = response.tokens[k - 1];
  const strength = Math.min(1, Math.abs(delta) / kFullDelta).toFixed(3);
  const label = [visible(text), `token ${k}`,
    delta !== null && `p(success) ${fixed(response.p[k - 1], 2)} to ${fixed(response.p[k], 2)}`,
    pivotal && (pivotal.after < pivotal.before ? "pivotal drop" : "pivotal rise")].filter(Boolean).join(", ");
  return html("span", {
    class: `token ${delta === null ? "unknown" : side(delta)}${pivotal ? " pivotal" : ""}`, "data-k": k,
    role: "option", tabindex: -1, "aria-selected": "false", "aria-label": label, style: `--s: ${strength}`,
  }, inText(text));
}

function tokenLegend() {
  const example = (kind, text) => html("span", { class: `token ${kind} pivotal`, style: "--s: .5" }, text);
  const key = (...texts) => texts.flatMap((text) => [html("kbd", {}, text), " "]);
  return html("p", { class: "note legend" },
    html("span", {}, `\u2212${kFullDelta} `, html("span", { class: "scale", "aria-hidden": true }),
      ` +${kFullDelta} of p(success)`),
    html("span", {}, example("rises", "pivotal rise"), " ", example("falls", "pivotal drop")),
    html("span", { class: "keys" }, key("\u2190", "\u2192"), "token ", key("\u2191", "\u2193"), "pivotal token ",
      key("Esc"), "closes the panel"));
}

// Shows a response of a problem whose answers are `answers`. `selected` is the token (1..n) to begin
// with; null: the most pivotal one, or else the one with the largest change. `of` ends the names that a
// screen reader hears: " of RUN", or nothing on a page of one run. link(k) returns the address of a
// token, and `tools` stand above the curve. Calls onSelect(k) when the reader selects another token.
// Returns the node and reveal(), which brings the selected token into view and gives it the focus.
function responseView({ response, gap, answers, selected, of, link, onSelect, tools }) {
  const n = response.tokens.length;
  if (n === 0) return { root: note("An empty response."), reveal() {} };
  const pivotal = new Map(response.pivotal.map((token) => [token.k, token]));
  const ks = response.tokens.map((_, i) => i + 1);
  const size = (k) => Math.abs(deltaAt(response, k));
  const spans = ks.map((k) => tokenSpan(response, k, pivotal.get(k)));
  const text = html("div", {
    class: "tokens", role: "listbox", "aria-label": `Tokens${of}`, "aria-orientation": "horizontal" }, spans);
  const plot = html("div", { class: "canvas curve-canvas" });
  const most = pivotal.size ? [...pivotal.keys()] : ks;
  let current = selected ?? most.reduce((best, k) => (size(k) > size(best) ? k : best));
  let drawn = null, shown = current;

  const head = html("p", { class: "token-head" }), facts = html("div", { class: "token-facts" });
  const close = () => {
    if (panel.contains(document.activeElement)) focusOne(spans, current - 1);
    panel.hidden = true;
  };
  const [copy, said] = copyButton(() => link(shown));
  const panel = html("section", { class: "panel", "aria-label": `Token${of}` },
    html("div", { class: "panel-bar" }, head, html("span", { class: "panel-tools" }, copy,
      html("button", { type: "button", class: "small", "aria-label": "Close the panel", click: close }, "\u2715"))),
    said, facts);

  const show = (k) => {
    spans[shown - 1].classList.remove("shown");
    spans[k - 1].classList.add("shown");
    if (shown !== k) said.replaceChildren();
    shown = k;
    head.replaceChildren(...tokenHead(response, k, pivotal.get(k)));
    facts.replaceChildren(...tokenFacts(response, k, pivotal.get(k), gap, answers));
    drawn?.mark(k);
  };
  const choose = (k) => {
    spans[current - 1].setAttribute("aria-selected", "false");
    spans[k - 1].setAttribute("aria-selected", "true");
    current = k;
    show(k);
  };
  const select = (k) => {
    panel.hidden = false;
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
      Enter: current, " ": current,
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
  const root = html("div", { keydown: (event) => event.key === "Escape" && close() },
    html("div", { class: "response-bar" },
      html("h4", { "aria-label": kCurveTitle }, explained(kCurveTitle)), html("span", { class: "tools" }, tools)),
    plot, tokenLegend(), html("div", { class: "reading" }, text, panel));
  return {
    root,
    reveal() {
      focusOne(spans, current - 1, { preventScroll: true });
      spans[current - 1].scrollIntoView({ block: "nearest" });
    },
  };
}
