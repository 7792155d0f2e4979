// Apache-2.0.
#include "pts/sentence_effects.h"

#include <algorithm>
#include <map>
#include <utility>

namespace pivotal::pts {
namespace {

// Estimates the effects of the sentences of one response.
class EffectsOfResponse {
 public:
  EffectsOfResponse(const CompletionShares& shares, int32_t response,
                    std::span<const CompletionSentences> sentences, const SaysTheSame& same,
                    double z)
      : shares_(shares),
        sentences_(sentences),
        own_(sentences[static_cast<std::size_t>(response)]),
        path_(shares.trie().Path(response)),
        same_(same),
        z_(z) {
    for (std::size_t b = 0; b < own_.says.size(); ++b) {
      auto& last = last_.emplace_back();
      for (const CompletionSentences& of : sentences) {
        int32_t at = static_cast<int32_t>(of.says.size()) - 1;
        while (at >= 0 && !Same(of.says[static_cast<std::size_t>(at)], own_.says[b])) --at;
        last.push_back(at);
      }
    }
  }

  SentenceEffect Of(std::size_t a) {
    SentenceEffect effect;
    effect.begin = a == 0 ? 0 : own_.ends[a - 1];
    effect.end = own_.ends[a];
    const int32_t from = path_[static_cast<std::size_t>(effect.begin)];
    const int32_t to = path_[static_cast<std::size_t>(effect.end)];
    Resample(from, to, effect);

    const auto with = shares_.strata().CompletionsOf(to);
    const auto beside = shares_.strata().CompletionsBeside(from, to);
    const auto any = [](int32_t) { return true; };
    const auto without = [&](int32_t completion) {
      const int32_t says = SaysAt(completion, effect.begin);
      return says < 0 || !Same(says, own_.says[a]);
    };
    const auto success = [&](int32_t completion) { return Succeeds(completion); };
    const auto comes = [&](std::size_t b) {
      return [&, b](int32_t completion) {
        return last_[b][static_cast<std::size_t>(completion)] > PlaceOf(completion, effect.begin);
      };
    };
    if (const auto absent = shares_.Share(beside, without, success, z_))
      effect.success = Contrast(SuccessAfter(to), *absent);
    effect.resilience = shares_.Share(beside, without, comes(a), z_);
    effect.on.resize(own_.says.size());
    for (std::size_t b = a + 1; b < own_.says.size(); ++b) {
      const auto absent = shares_.Share(beside, without, comes(b), z_);
      const auto present = shares_.Share(with, any, comes(b), z_);
      if (absent && present) effect.on[b] = Contrast(*present, *absent);
    }
    effect.others = OthersThan(beside, without, effect.begin);
    return effect;
  }

 private:
  bool Same(int32_t a, int32_t b) {
    if (a == b) return true;
    const auto [at, is_new] = compared_.try_emplace({a, b}, false);
    if (is_new) at->second = same_(a, b);
    return at->second;
  }

  const CompletionSentences& Sentences(int32_t completion) const {
    return sentences_[static_cast<std::size_t>(completion)];
  }

  // Returns the index of the first sentence that ends after t_begin.
  int32_t PlaceOf(int32_t completion, int32_t begin) const {
    const auto& ends = Sentences(completion).ends;
    return static_cast<int32_t>(std::ranges::upper_bound(ends, begin) - ends.begin());
  }

  // Returns what that sentence says; -1 if there is none.
  int32_t SaysAt(int32_t completion, int32_t begin) const {
    const auto place = static_cast<std::size_t>(PlaceOf(completion, begin));
    const auto& says = Sentences(completion).says;
    return place < says.size() ? says[place] : -1;
  }

  bool Succeeds(int32_t completion) const {
    const QueryTrace& trace = shares_.trace();
    const auto i = static_cast<std::size_t>(completion), responses = trace.responses.size();
    return i < responses ? trace.responses[i].success : trace.rollouts[i - responses].success;
  }

  void Resample(int32_t from, int32_t to, SentenceEffect& effect) const {
    const LinearEstimate change = shares_.strata().Change(from, to);
    const Interval bounds = change.Bounds(z_);
    effect.before = shares_.strata().Value(from).Mean();
    effect.after = shares_.strata().Value(to).Mean();
    effect.change = change.Mean();
    effect.low = std::max(-1.0, bounds.low);
    effect.high = std::min(1.0, bounds.high);
  }

  // Returns p(success) after a node, as everything else tells it.
  ShareEstimate SuccessAfter(int32_t node) const {
    const LinearEstimate value = shares_.strata().Value(node);
    const Interval bounds = value.Bounds(z_);
    ShareEstimate after{value.Mean(), std::max(0.0, bounds.low), std::min(1.0, bounds.high), 0};
    for (const LinearEstimate::Term& term : value.terms) after.rollouts += term.estimate.samples;
    return after;
  }

  std::vector<OtherSentence> OthersThan(const Strata::Completions& beside,
                                        const CompletionShares::Holds& without,
                                        int32_t begin) const {
    std::map<int32_t, OtherSentence> seen;
    shares_.ForRollouts(beside, [&](int32_t completion) {
      const int32_t says = SaysAt(completion, begin);
      if (says < 0 || !without(completion)) return;
      OtherSentence& other = seen[says];
      other.says = says;
      ++other.rollouts;
      other.successes += Succeeds(completion) ? 1 : 0;
    });
    std::vector<OtherSentence> others;
    for (const auto& [says, other] : seen) others.push_back(other);
    std::ranges::stable_sort(others, std::greater<>(), &OtherSentence::rollouts);
    return others;
  }

  const CompletionShares& shares_;
  std::span<const CompletionSentences> sentences_;
  const CompletionSentences& own_;
  std::span<const int32_t> path_;
  const SaysTheSame& same_;
  double z_;
  std::map<std::pair<int32_t, int32_t>, bool> compared_;
  std::vector<std::vector<int32_t>> last_;  // [b][completion]: its last sentence that says b; -1
};

}  // namespace

std::vector<SentenceEffect> SentenceEffects(const CompletionShares& shares, int32_t response,
                                            std::span<const CompletionSentences> sentences,
                                            const SaysTheSame& same, double z) {
  EffectsOfResponse of(shares, response, sentences, same, z);
  std::vector<SentenceEffect> effects;
  for (std::size_t a = 0; a < sentences[static_cast<std::size_t>(response)].says.size(); ++a)
    effects.push_back(of.Of(a));
  return effects;
}

}  // namespace pivotal::pts
