// Shows a token: its probability, p(success) before and after it, the tokens that rollouts took in
// its place, and its pair.

const deltaAt = ({ p }, k) => (known(p[k]) && known(p[k - 1]) ? p[k] - p[k - 1] : null);
const differ = (a, b) => known(b) && Math.abs(a - b) > 5e-4;
const quoted = (text) => html("code", {}, visible(text));
const field = (name, text) => html("b", { "data-field": name }, text);

function pairNote(token) {
  const { no_pair: reason, chosen, rejected } = token;
  const rollouts = (successes, samples) => (samples ? ` ${successes}/${samples}` : " not measured");
  const sides = known(chosen) && known(rejected) ? [
    quoted(chosen), rollouts(token.chosen_successes, token.chosen_samples), " over ",
    quoted(rejected), rollouts(token.rejected_successes, token.rejected_samples), " on fresh rollouts"] : [];
  if (!known(reason)) return html("p", { class: "pair" }, "Pair: ", sides);
  return html("p", {}, "No pair: ", html("span", { "data-field": "no_pair" }, reason), sides.length > 0 && ". ", sides);
}

function alternativesTable({ tokens, logprobs, p, low, high, alternatives }, k) {
  const likelihood = (other) => other.logprob ?? -Infinity;
  const others = alternatives.filter((other) => other.k === k).sort((a, b) => likelihood(b) - likelihood(a) || 0);
  if (!others.length) return note("No alternatives were measured here.");
  const row = (kind, token, logprob, right, estimate) => html("tr", { class: kind },
    rowHead(quoted(token)), cell(known(logprob) ? probability(Math.exp(logprob)) : ""), cell(right),
    cell(estimate && fixed(estimate.mean, 2)),
    html("td", { class: "plot", title: estimate && interval(estimate.low, estimate.high, 2) },
      estimate && whiskers(estimate, 0, 1)));
  const own = { mean: p[k], low: low[k] ?? p[k], high: high[k] ?? p[k] };
  return html("table", { class: "alternatives" }, headRow(["token", "probability", "right", "p", "0 to 1"]),
    html("tbody", {}, row("own", tokens[k - 1], logprobs[k - 1], "this one", known(p[k]) && own),
      others.map((other) => row("alternative", other.token, other.logprob, `${other.successes}/${other.samples}`,
        other.samples > 0 && { mean: other.successes / other.samples, low: other.low, high: other.high }))));
}

function tokenPanel(response, k, token, gap) {
  const { tokens, logprobs, p, low, high, samples } = response;
  const delta = deltaAt(response, k);
  const estimate = (name, at) => term(`p(success) ${name}`, ...(!known(p[at]) ? ["not measured"] : [
    field(name, fixed(p[at])), known(low[at]) && ` ${interval(low[at], high[at])}`,
    samples[at] > 0 && ` \u00b7 ${plural(samples[at], "rollout")}`]));
  // The curve knows more than the strategy went by, unless that was anchored.
  const found = token && (differ(token.before, p[k - 1]) || differ(token.after, p[k]));
  const facts = [
    ...term("probability", field("probability", probability(Math.exp(logprobs[k - 1])))),
    ...estimate("before", k - 1), ...estimate("after", k),
    ...(delta === null ? [] : term("change", field("delta", signed(delta)),
      token && ` [${signed(token.low)}, ${signed(token.high)}]`)),
    ...(found ? term("found at", field("found", `${fixed(token.before)} \u2192 ${fixed(token.after)}`),
      " by the strategy's own rollouts") : []),
    ...(token ? term(`|change| \u2265 ${gap}`, `with probability ${fixed(token.probability, 2)}`) : [])];
  return [
    html("p", { class: "token-head" }, html("code", { "data-field": "text" }, visible(tokens[k - 1])),
      html("span", {}, "token ", html("span", { "data-field": "position" }, String(k)), ` of ${tokens.length}`),
      token && change(token.after - token.before, token.after < token.before ? "pivotal drop" : "pivotal rise")),
    html("div", { class: "token-facts" }, html("dl", {}, facts),
      html("div", {}, alternativesTable(response, k), token && pairNote(token)))];
}
