// Apache-2.0.
#include "pts/answers.h"

#include <algorithm>
#include <map>
#include <utility>

namespace pivotal::pts {
namespace {

// The most wrong answers with which rarer ones are compared.
constexpr std::size_t kMostCompared = 64;

// A response or rollout as it was judged.
struct Judged {
  std::string text;  // "" for none
  bool right = false;
  int32_t rollouts = 0;  // 0 for a searched response: it is one of the rollouts of the prompt
};

// The texts of one verdict, most frequent first; equally frequent ones in the order of the texts.
std::vector<std::pair<std::string, int32_t>> ByFrequency(const std::vector<Judged>& all,
                                                         bool right) {
  std::map<std::string, int32_t> counts;
  for (const Judged& judged : all)
    if (judged.right == right && !judged.text.empty()) counts[judged.text] += judged.rollouts;
  std::vector<std::pair<std::string, int32_t>> texts(counts.begin(), counts.end());
  std::ranges::stable_sort(texts, std::greater<>(), [](const auto& text) { return text.second; });
  return texts;
}

// The wrong answers that differ, and which of them each text is.
struct WrongClasses {
  std::map<std::string, std::size_t> of_text;
  std::vector<Answer> classes;
};

WrongClasses ClassesOf(const std::vector<Judged>& all, const AnswerReader& reader) {
  WrongClasses wrong;
  for (const auto& [text, count] : ByFrequency(all, false)) {
    const auto compared = std::min(wrong.classes.size(), kMostCompared);
    std::size_t at = 0;
    while (at < compared && !reader.same(wrong.classes[at].text, text)) ++at;
    if (at == compared) {
      at = wrong.classes.size();
      wrong.classes.push_back({AnswerKind::kStated, text, false, 0});
    }
    wrong.classes[at].rollouts += count;
    wrong.of_text[text] = at;
  }
  return wrong;
}

// Returns the wrong answers that a table keeps, most frequent first.
std::vector<std::size_t> KeptOf(const QueryTrace& trace, const std::vector<Judged>& all,
                                const WrongClasses& wrong, std::size_t most) {
  std::vector<char> of_response(wrong.classes.size(), 0);
  for (std::size_t i = 0; i < trace.responses.size(); ++i)
    if (!all[i].right && !all[i].text.empty()) of_response[wrong.of_text.at(all[i].text)] = 1;
  std::vector<std::size_t> kept(wrong.classes.size());
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = i;
  const auto rollouts = [&](std::size_t i) { return wrong.classes[i].rollouts; };
  std::ranges::stable_sort(kept, std::greater<>(), rollouts);
  std::ranges::stable_sort(kept, std::greater<>(), [&](std::size_t i) { return of_response[i]; });
  kept.resize(std::min(kept.size(), most));
  std::ranges::stable_sort(kept, std::greater<>(), rollouts);
  return kept;
}

// Maps what was judged to answers; `all` holds the responses, then the rollouts.
AnswerTable TableOf(const QueryTrace& trace, const std::vector<Judged>& all,
                    const AnswerReader& reader, int32_t most) {
  AnswerTable table;
  const auto right = ByFrequency(all, true);
  table.answers.push_back({AnswerKind::kStated, right.empty() ? "" : right[0].first, true, 0});
  const WrongClasses wrong = ClassesOf(all, reader);
  const std::vector<std::size_t> kept = KeptOf(trace, all, wrong, static_cast<std::size_t>(most));
  std::vector<int32_t> answer_of(wrong.classes.size(), -1);  // -1: one of the rare ones
  for (const std::size_t i : kept) {
    answer_of[i] = table.size();
    table.answers.push_back({AnswerKind::kStated, wrong.classes[i].text, false, 0});
  }
  const auto add = [&](AnswerKind kind, bool occurs) {
    if (occurs) table.answers.push_back({kind, "", false, 0});
    return occurs ? table.size() - 1 : -1;
  };
  const int32_t other = add(AnswerKind::kOther, kept.size() < answer_of.size());
  const int32_t none = add(AnswerKind::kNone, std::ranges::any_of(all, [](const Judged& judged) {
                             return !judged.right && judged.text.empty();
                           }));
  for (std::size_t i = 0; i < all.size(); ++i) {
    int32_t answer = 0;
    if (!all[i].right && all[i].text.empty()) answer = none;
    if (!all[i].right && !all[i].text.empty()) {
      answer = answer_of[wrong.of_text.at(all[i].text)];
      if (answer < 0) answer = other;
    }
    table.answers[static_cast<std::size_t>(answer)].rollouts += all[i].rollouts;
    (i < trace.responses.size() ? table.of_response : table.of_rollout).push_back(answer);
  }
  return table;
}

}  // namespace

std::vector<TokenId> ResponseOf(const QueryTrace& trace, const RolloutTrace& rollout) {
  std::vector<TokenId> tokens;
  if (rollout.response >= 0) {
    const auto& response = trace.responses[static_cast<std::size_t>(rollout.response)].tokens;
    tokens.assign(response.begin(), response.begin() + rollout.position);
  }
  if (rollout.forced >= 0) tokens.push_back(rollout.forced);
  tokens.insert(tokens.end(), rollout.tokens.begin(), rollout.tokens.end());
  return tokens;
}

AnswerTable ReadAnswers(const QueryTrace& trace, const AnswerReader& reader, int32_t most) {
  std::vector<Judged> all;
  for (const ResponseTrace& response : trace.responses)
    all.push_back({reader.read(response.tokens), response.success});
  for (const RolloutTrace& rollout : trace.rollouts)
    all.push_back({reader.read(ResponseOf(trace, rollout)), rollout.success, 1});
  return TableOf(trace, all, reader, most);
}

AnswerTable VerdictsAsAnswers(const QueryTrace& trace) {
  std::vector<Judged> all;
  for (const ResponseTrace& response : trace.responses)
    all.push_back({response.success ? "right" : "wrong", response.success});
  for (const RolloutTrace& rollout : trace.rollouts)
    all.push_back({rollout.success ? "right" : "wrong", rollout.success, 1});
  AnswerTable table = TableOf(trace, all, {{}, std::equal_to<>()}, 1);
  table.answers[0].text = "right";
  return table;
}

}  // namespace pivotal::pts
