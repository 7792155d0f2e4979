// Shows a token: its probability, p(success) and the answers before and after it, the tokens that
// rollouts took in its place, what they mean for the answer, and its pair.

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
  const shown = ({ low: from, high: to }) => interval(from, to, 2);
  const row = (kind, token, logprob, right, estimate) => html("tr", { class: kind },
    rowHead(quoted(token)), cell(known(logprob) ? probability(Math.exp(logprob)) : ""), cell(right),
    cell(estimate && fixed(estimate.mean, 2)),
    html("td", { class: "plot", "data-tip": estimate && shown(estimate) },
      estimate && [html("span", { class: "aside" }, shown(estimate)), whiskers(estimate, 0, 1)]));
  const own = { mean: p[k], low: low[k] ?? p[k], high: high[k] ?? p[k] };
  return html("table", { class: "alternatives" }, headRow(["token", "probability", "right", "p", "0 to 1"]),
    html("tbody", {}, row("own", tokens[k - 1], logprobs[k - 1], "this one", known(p[k]) && own),
      others.map((other) => row("alternative", other.token, other.logprob, `${other.successes}/${other.samples}`,
        other.samples > 0 && { mean: other.successes / other.samples, low: other.low, high: other.high }))));
}

// Returns the nodes of a distribution: `shares` is [answer, percent, answer, percent, ...].
function answerShares(answers, shares) {
  const name = ({ text }) =>
    (known(text) ? (text === "" ? "no answer" : html("code", {}, visible(text))) : "other answers");
  const nodes = [];
  for (let i = 0; i < shares.length; i += 2) {
    const answer = answers[shares[i]];
    nodes.push(html("span", { class: `share ${answer.right ? "right" : ""}` }, name(answer), ` ${shares[i + 1]}%`));
  }
  return nodes;
}

// Returns the distribution of the answers after token k; a null stands for the one before it.
function answersAt({ answers }, k) {
  while (k > 0 && !known(answers[k])) --k;
  return answers[k] ?? [];
}

// Shows what stands in place of a pivotal token by what it means for the answer: the group of the
// token itself first.
function groupsTable({ groups, q, q_other: other }, answers) {
  if (!groups?.length) return [];
  const names = ({ tokens, more }) => [
    ...tokens.flatMap((text, i) => [i > 0 && " ", known(text) ? quoted(text) : "rarer tokens"]),
    more > 0 && ` and ${more} more`];
  const row = (group, i) => html("tr", { class: i ? "group" : "group own" },
    rowHead(...names(group).filter(Boolean)), cell(probability(group.probability)), cell(count(group.rollouts)),
    known(group.p) ? html("td", { "data-tip": interval(group.low, group.high, 2) }, fixed(group.p, 2)) : cell(),
    group.answers && html("td", { class: "answers" }, answerShares(answers, group.answers)));
  const mean = (name, estimate, text) => known(estimate) && [
    `p(success) with ${text}: `, field(name, fixed(estimate.p)), ` ${interval(estimate.low, estimate.high)}`];
  const means = [mean("q", q, "another token"), mean("q_other", other, "one of another meaning")].filter(Boolean);
  return [
    html("table", { class: "groups" },
      headRow(["same meaning", "probability", "rollouts", "p"],
        groups[0].answers && html("th", { scope: "col", class: "answers" }, "answers")),
      html("tbody", {}, groups.map(row))),
    ...means.map((parts) => html("p", { class: "note" }, parts))];
}

// Returns the first line of the panel.
function tokenHead({ tokens }, k, token) {
  return [html("code", { "data-field": "text" }, visible(tokens[k - 1])),
    html("span", {}, "token ", html("span", { "data-field": "position" }, String(k)), ` of ${tokens.length}`),
    token && change(token.after - token.before, token.after < token.before ? "pivotal drop" : "pivotal rise"),
  ].filter(Boolean);
}

// Returns the rest of it. `answers` are those of the problem; null if none are told.
function tokenFacts(response, k, token, gap, answers) {
  const { logprobs, p, low, high, samples } = response;
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
    ...(known(answers) && known(response.answers) ? ["before", "after"].flatMap((name, i) => term(`answers ${name}`,
      html("span", { "data-field": `answers_${name}` }, answerShares(answers, answersAt(response, k - 1 + i))))) : []),
    ...(token ? term(`|change| \u2265 ${gap}`, `with probability ${fixed(token.probability, 2)}`) : [])];
  return [html("dl", {}, facts),
    html("div", {}, alternativesTable(response, k), token && pairNote(token)),
    ...(token?.groups?.length ? [html("div", { class: "meanings" }, groupsTable(token, answers))] : [])];
}
