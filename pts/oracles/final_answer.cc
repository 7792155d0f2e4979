// Apache-2.0.
#include "pts/oracles/final_answer.h"

#include <algorithm>
#include <array>
#include <span>

#include "pts/oracles/math_words.h"

namespace pivotal::pts {
namespace {

constexpr int kMaxBoxes = 64;  // that are tried or joined: a response may hold any number
constexpr std::string_view kSpace = " \t\r\n\f\v";

std::string_view Trim(std::string_view text, std::string_view drop = kSpace) {
  const auto first = text.find_first_not_of(drop);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(drop) - first + 1);
}

struct Span {
  std::size_t begin, end;  // the command and all it holds
  std::string_view inside;
};

// Past the "}" that closes the "{" at `open`; npos where none does.
std::size_t Closing(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '\\')
      ++at;
    else if (text[at] == '{')
      ++depth;
    else if (text[at] == '}' && --depth == 0)
      return at + 1;
  }
  return std::string_view::npos;
}

std::optional<Span> BoxAt(std::string_view text, std::size_t at, std::size_t name_end) {
  std::size_t open = name_end;
  while (open < text.size() && text[open] == ' ') ++open;
  if (open < text.size() && text[open] == '{') {
    const auto end = Closing(text, open);
    if (end == std::string_view::npos) return std::nullopt;
    return Span{at, end, text.substr(open + 1, end - open - 2)};
  }
  const auto end = std::min(text.find_first_of(" \n$", open), text.size());  // "\boxed 5"
  return end == open ? std::nullopt : std::optional(Span{at, end, text.substr(open, end - open)});
}

// The last box that begins before `before`.
std::optional<Span> LastBox(std::string_view text, std::size_t before) {
  for (int unclosed = 0; before > 0 && unclosed < kMaxBoxes; ++unclosed) {
    std::size_t at = 0, size = 0;
    for (std::string_view name : {"\\boxed", "\\fbox"}) {
      const auto found = text.rfind(name, before - 1);
      if (found != std::string_view::npos && (size == 0 || found > at))
        at = found, size = name.size();
    }
    if (size == 0) return std::nullopt;
    if (auto box = BoxAt(text, at, at + size)) return box;
    before = at;
  }
  return std::nullopt;
}

// True for what joins two boxes to one list: "and", "or", commas, and LaTeX's spaces and
// delimiters.
bool IsJoint(std::string_view between) {
  constexpr std::array<std::string_view, 12> kIgnored = {
      "\\qquad", "\\quad", "\\text", "\\(", "\\)", "\\[", "\\]", "\\,", "\\;", "\\ ", "\\!", "\\:"};
  std::string words;
  while (!between.empty()) {
    const auto skip =
        std::ranges::find_if(kIgnored, [&](auto mark) { return between.starts_with(mark); });
    const bool space = std::string_view(" \t\n$,;{}").find(between[0]) != std::string_view::npos;
    if (skip == kIgnored.end() && !space) words += between[0];
    between.remove_prefix(skip == kIgnored.end() ? 1 : skip->size());
    if (words.size() > 3) return false;
  }
  return words.empty() || words == "and" || words == "or";
}

constexpr std::array<std::string_view, 4> kAnswerMarks = {"answer is", "answer:", "answers are",
                                                          "answer**:"};
constexpr std::array<std::string_view, 1> kFinalMarks = {"final answer is"};

// Behind the last of the marks; nullopt without one.
std::optional<std::string_view> Behind(std::span<const std::string_view> marks,
                                       std::string_view text) {
  const std::string lower = Lower(text);
  std::size_t behind = 0;
  for (std::string_view mark : marks) {
    const auto at = lower.rfind(mark);
    if (at != std::string::npos) behind = std::max(behind, at + mark.size());
  }
  if (behind == 0) return std::nullopt;
  return text.substr(behind);
}

// Up to the end of the line, or of the sentence.
std::string_view Sentence(std::string_view text) {
  text = Trim(text, " \t\r\n:*");
  text = text.substr(0, text.find('\n'));
  const bool formula = text.starts_with("\\[") || text.starts_with("$$");
  for (std::size_t at = text.find(". "); !formula && at != std::string_view::npos;
       at = text.find(". ", at + 1)) {
    const bool inside = std::ranges::count(text.substr(0, at), '$') % 2 != 0;
    if (!inside || text.find('$', at) == std::string_view::npos)
      return text.substr(0, at);  // "$5. "
  }
  return text;
}

struct Delimiters {
  std::string_view open, close;
};

// The last formula, without its delimiters. Dollars of currency ("\$5") are none.
std::optional<std::string_view> LastFormula(std::string_view text) {
  std::string_view best;
  for (const auto& [open, close] : {Delimiters{"\\[", "\\]"}, Delimiters{"\\(", "\\)"}}) {
    const auto end = text.rfind(close);
    const auto begin = end == std::string_view::npos ? end : text.rfind(open, end);
    if (begin == std::string_view::npos) continue;
    const auto inside = text.substr(begin + 2, end - begin - 2);
    if (best.empty() || inside.data() > best.data()) best = inside;
  }
  std::size_t end = text.size();
  const auto dollar = [&](std::size_t before) {
    auto at = before == 0 ? std::string_view::npos : text.rfind('$', before - 1);
    while (at != std::string_view::npos && at > 0 && text[at - 1] == '\\')
      at = text.rfind('$', at - 1);
    return at;
  };
  for (end = dollar(end); end != std::string_view::npos; end = dollar(end)) {
    const auto begin = dollar(end);
    if (begin == std::string_view::npos) break;
    const auto inside = Trim(text.substr(begin + 1, end - begin - 1));
    if (inside.empty()) continue;
    if (best.empty() || inside.data() > best.data()) best = inside;
    break;
  }
  if (Trim(best).empty()) return std::nullopt;
  return Trim(best);
}

std::string_view LastLine(std::string_view text) {
  text = Trim(text);
  const auto end = text.rfind('\n');
  return Trim(end == std::string_view::npos ? text : text.substr(end + 1));
}

void Add(std::vector<std::string>& answers, std::string_view answer) {
  while (!answer.empty() &&
         std::string_view(" \t\r\n.,;:*`\"").find(answer.back()) != std::string_view::npos)
    answer.remove_suffix(1);
  answer = Trim(answer, " \t\r\n:*`\"");
  if (!answer.empty()) answers.emplace_back(answer);
}

// "The largest n is 34": what stands behind its "is", too.
void AddSentence(std::vector<std::string>& answers, std::string_view sentence) {
  Add(answers, sentence);
  for (std::string_view verb : {" is ", " are ", " equals "}) {
    const auto at = sentence.rfind(verb);
    if (at != std::string_view::npos) Add(answers, sentence.substr(at + verb.size()));
  }
}

}  // namespace

std::optional<std::string> BoxedAnswer(std::string_view text) {
  auto box = LastBox(text, text.size());
  if (!box) return std::nullopt;
  std::string answer(Trim(box->inside));
  for (int joined = 1; joined < kMaxBoxes; ++joined) {
    const auto before = LastBox(text, box->begin);
    if (!before) break;
    if (before->end > box->begin || !IsJoint(text.substr(before->end, box->begin - before->end)))
      break;
    if (text.substr(before->end, box->begin - before->end).find('\n') != std::string_view::npos)
      break;
    answer.insert(0, std::string(Trim(before->inside)) + ", ");
    box = before;
  }
  if (answer.empty()) return std::nullopt;
  return answer;
}

std::vector<std::string> FinalAnswers(std::string_view text) {
  std::vector<std::string> answers;
  const auto box = LastBox(text, text.size());
  const auto behind = box ? Behind(kFinalMarks, text.substr(box->end)) : Behind(kAnswerMarks, text);
  if (behind) {
    AddSentence(answers, Sentence(*behind));
    if (const auto formula = LastFormula(*behind)) Add(answers, *formula);
    if (!answers.empty()) return answers;
  }
  if (box) {
    if (auto boxed = BoxedAnswer(text)) answers.push_back(std::move(*boxed));
  } else if (const auto formula = LastFormula(text)) {
    Add(answers, *formula);
  } else {
    AddSentence(answers, LastLine(text));
  }
  return answers;
}

}  // namespace pivotal::pts
