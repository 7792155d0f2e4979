// Explains what is on the page. A name that is explained has a button "?" behind it. The text shows
// while the pointer is on the name or the button has the focus, and a tap shows or hides it. Escape
// hides it. A screen reader hears it as the button's description. Marks of plots tell their numbers
// in the same way, by the attribute data-tip.

const kExplained = {
  // Tiles
  "problems":
    "Problems of this run. A problem is searched if p(success) of its prompt, the share of sampled "
    + "responses that are right, lies in the band of the search: neither always right nor always wrong.",
  "responses": "Sampled responses along which p(success) was measured, token by token.",
  "pivotal tokens":
    "Tokens of the searched responses across which p(success) rises or falls by the gap or more.",
  "expected false":
    "How many of the pivotal tokens are expected to change p(success) by less than the gap in truth: the "
    + "mean of one minus the probability that is told for each token.",
  "pairs":
    "Pivotal tokens that give a pair to train on: on fresh rollouts, one of two tokens in the same place "
    + "was better than the other by the gap.",
  "rollouts":
    "Completions that were sampled from prompts and prefixes and then judged. p(success) is counted from "
    + "them.",
  "generated tokens":
    "Tokens that the model sampled in all rollouts: the cost of the search. Prefix tokens were only read.",
  "time": "Seconds that the search took, without loading the model.",
  "arms": "Ways of training that are compared.",
  "seeds": "Times that each arm was trained and evaluated, each time with other random numbers.",
  "comparisons":
    "Changes of the sampled accuracy that were tested. Of changes that are none, about one in twenty has a "
    + "95% interval without zero; a star marks those that stand after Holm's correction for their number.",
  // Tiles of two runs
  "in both runs":
    "Problems with the same prompt, token for token, and the same reference answer in both runs. What "
    + "compares the runs counts these alone.",
  "mean p(success)":
    "The mean over these problems of the share of right responses to the prompt, in one run and in the "
    + "other. The interval is that of the mean change over such problems.",
  "measurably different":
    "Problems whose interval of the change of p(success) does not contain zero. Of problems that did not "
    + "change, a few look as if they did, as many as the level of the intervals lets through.",
  "pivotal tokens, both runs":
    "Pivotal tokens of the problems in both runs, in one run and in the other. It depends on how many "
    + "problems lay in the band and were searched, too.",
  // Plots
  "Changes of p(success)":
    "How many tokens change p(success) by how much. Beyond the dashed lines, at the gap, lie pivotal "
    + "tokens: blue bars raise p(success), orange bars lower it. The scale of counts is logarithmic.",
  "Calibration":
    "Whether the estimates of the search are right. Each point joins pivotal tokens after which the "
    + "search estimated a similar p(success), and shows which share of fresh rollouts succeeded there. "
    + "Points on the dashed line agree. Large points rest on more rollouts.",
  "p(success) in both runs":
    "Each point is a problem, or several with the same numbers: p(success) of its prompt in one run "
    + "across, in the other upwards. Above the dashed line it has risen. Whiskers are intervals. Choose a "
    + "point to open its problem.",
  "Curves of both runs":
    "p(success) along every searched response to this problem. Choose a curve to open its response.",
  "p(success) along the response":
    "The probability that a completion sampled after so many tokens ends up right. The shade around the "
    + "curve is its interval. A steep coloured step is a pivotal token: blue raises p(success), orange "
    + "lowers it. Dotted parts were not measured.",
  // Curves of a training run, by their names in log.jsonl
  "clip_ratio/region_mean":
    "Share of tokens that have moved so far along their advantage that a step does not move them further.",
  "epoch": "Passes over the training pairs so far.",
  "grad_norm":
    "Length of the gradient before it is clipped. Spikes are steps that would move the weights far.",
  "kl": "Estimated divergence of the model in training from the reference.",
  "learning_rate": "Size of a step of the optimizer, by the schedule.",
  "logps/chosen": "Mean log-probability of the chosen sides under the model in training.",
  "logps/rejected": "Mean log-probability of the rejected sides under the model in training.",
  "loss": "What training lowers, as a mean over the pairs of a step.",
  "rewards/accuracies": "Share of pairs whose chosen side has the higher reward.",
  "rewards/chosen":
    "Mean reward of the chosen sides: how much more probable the model makes them than the reference "
    + "does, times beta.",
  "rewards/rejected":
    "Mean reward of the rejected sides: how much more probable the model makes them than the reference "
    + "does, times beta.",
  "rewards/margins": "Mean reward of the chosen sides minus that of the rejected ones. DPO raises it.",
  "ratio":
    "Mean ratio of a token's probability under the model in training to that under the policy that sampled it.",
  "seconds": "Seconds spent in steps so far, without evaluations.",
  "tokens": "Tokens trained on so far.",
};
const kOtherCurve = "What the training wrote to log.jsonl under this name, step by step. Names with eval_ are measured "
  + "on held-out data.";
const kCosts = "Accuracy with its 95% interval against what it cost to make the model. Each line joins arms that differ "
  + "by their cost alone; a curve above another one reaches more for as much.";

let described = 0;  // explanations on the page so far; each has an id of its own
// Returns a name, the button that explains it by `text`, and the text for a screen reader. Without a
// text it returns the name alone.
function explained(name, text = kExplained[name]) {
  if (!text) return html("span", {}, name);
  const id = `about-${++described}`, last = name.lastIndexOf(" ") + 1;  // the button stays at the last word
  return html("span", { class: "explained", "data-tip": text }, name.slice(0, last),
    html("span", {}, name.slice(last), "\u00a0",
      html("button", { type: "button", class: "why", "aria-label": `What is \u201c${name}\u201d?`,
        "aria-describedby": id }, "?")),
    html("span", { id, hidden: true }, text));
}

// The one box that shows texts.
const tip = html("div", { id: "tip", role: "tooltip", hidden: true });
let tipOf = null, tipTimer = 0;

function placeTip() {
  if (!tipOf?.isConnected) return hideTip();
  const box = tipOf.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = tip;
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8));
  const below = box.bottom + 6 + height <= innerHeight || box.top < height + 6;
  const top = below ? box.bottom + 6 : box.top - 6 - height;
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}
function showTip(node) {
  clearTimeout(tipTimer);
  tipOf = node;
  tip.textContent = node.dataset.tip;
  tip.hidden = false;
  placeTip();
}
function hideTip() {
  clearTimeout(tipTimer);
  tipOf = null;
  tip.hidden = true;
}

function explainOnDemand() {
  const tipped = ({ target }) => (target instanceof Element ? target.closest("[data-tip]") : null);
  document.querySelector("main").append(tip);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const node = tipped(event);
    if (node) showTip(node);
    else if (tip.contains(event.target)) clearTimeout(tipTimer);  // the pointer may go to the text
    else if (tipOf && !tipOf.contains(document.activeElement)) {
      clearTimeout(tipTimer);
      tipTimer = setTimeout(hideTip, 150);
    }
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(".why")) showTip(tipped(event));
    else if (tipOf) hideTip();
  });
  document.addEventListener("pointerup", (event) => {
    if (event.pointerType !== "touch" || tip.contains(event.target)) return;
    const node = tipped(event);
    if (node && node !== tipOf) setTimeout(() => showTip(node));  // after the focus that the tap moves
    else hideTip();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || tip.hidden) return;
    hideTip();
    event.stopImmediatePropagation();
  }, true);
  addEventListener("scroll", () => tipOf && placeTip(), { capture: true, passive: true });
  addEventListener("resize", hideTip);
}
