// Apache-2.0.
#include "pts/oracles/math/math_oracle.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/base/text.h"
#include "pts/oracles/math/compare.h"
#include "pts/oracles/math/notation.h"
#include "pts/oracles/math/parser.h"

namespace pivotal::pts {
namespace {

// Limit of boxes that are tried or joined: a response may hold any number.
constexpr int kMaxBoxes = 64;

using data::Trim;

struct Span {
  std::size_t begin, end;  // positions of the command and of the end of its content
  std::string_view inside;
};

// Returns the position after the "}" that closes the "{" at `open`; npos if none does.
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

// Returns the last box that begins before `before`.
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

// Returns true for the name of what a box holds: "x=", "f(2) =".
bool IsLabel(std::string_view text) {
  text = Trim(text);
  if (!text.ends_with('=')) return false;
  const auto name = ParseMath(text.substr(0, text.size() - 1));
  return name && text.size() <= 12 && HasVariable(*name) && !Is(*name, MathKind::kRelation) &&
         !Is(*name, MathKind::kList);
}

// Returns the label that stands before a box: "x=" in "so $x=\boxed{2}$"; "" for none.
std::string_view LabelBefore(std::string_view text) {
  text = text.substr(0, text.find_last_not_of(" \n\t") + 1);
  const auto begin = text.find_last_of(" $,;\n([{&");
  const auto label = begin == std::string_view::npos ? text : text.substr(begin + 1);
  if (label != "=") return IsLabel(label) ? label : std::string_view();
  const auto name = text.find_last_of(" $,;\n([{&", text.find_last_not_of(" =\n\t"));  // "x = "
  const auto spaced = name == std::string_view::npos ? text : text.substr(name + 1);
  return IsLabel(spaced) ? spaced : std::string_view();
}

// Returns true for text that joins two boxes to a list: "and", "or", commas, and spaces and
// delimiters of LaTeX. A line that ends without such a word or comma joins nothing.
bool IsJoint(std::string_view between) {
  const bool lines = between.find('\n') != std::string_view::npos;
  const bool comma = between.find_first_of(",;&") != std::string_view::npos;
  constexpr std::array<std::string_view, 12> kIgnored = {
      "\\qquad", "\\quad", "\\text", "\\(", "\\)", "\\[", "\\]", "\\,", "\\;", "\\ ", "\\!", "\\:"};
  std::string words;
  while (!between.empty()) {
    const auto skip =
        std::ranges::find_if(kIgnored, [&](auto mark) { return between.starts_with(mark); });
    const bool space = std::string_view(" \t\n$,;{}&").find(between[0]) != std::string_view::npos;
    if (skip == kIgnored.end() && !space) words += between[0];
    between.remove_prefix(skip == kIgnored.end() ? 1 : skip->size());
    if (words.size() > 3) return false;
  }
  if (words.empty()) return comma || !lines;
  return words == "and" || words == "or";
}

constexpr std::array<std::string_view, 5> kAnswerMarks = {"answer is", "answer:", "answers are",
                                                          "answer**:", "answer ="};
constexpr std::array<std::string_view, 2> kFinalMarks = {"final answer is", "final answer:"};

// Words that begin the reason for an answer, and words that begin another aside after it.
constexpr std::array<std::string_view, 10> kReasons = {
    "because", "since", "as", "so", "hence", "thus", "due", "given", "while", "therefore"};
constexpr std::array<std::string_view, 20> kAsides = {
    "in", "on",     "with", "by",     "after", "that",   "this", "it",   "we", "which",
    "is", "making", "are",  "giving", "being", "namely", "was",  "from", "at", "where"};

// Returns the text after the last of the marks; nullopt without one.
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

// Returns the text up to the end of its first line or sentence.
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

constexpr std::array<std::string_view, 2> kRelative = {"which", "where"};

// Returns `text` up to the first of the words that stands outside of formulas; with `asides` also
// up to a bracket of words, as in "7 (seven)", and up to "for all". Returns all of it without one.
std::string_view Before(std::span<const std::string_view> words, std::string_view text,
                        bool asides = false) {
  bool dollars = false;
  int depth = 0;  // of braces and \( \)
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    const char c = text[at];
    if (c == '\\') {
      const char next = text[++at];
      depth += next == '(' || next == '[' ? 1 : next == ')' || next == ']' ? -1 : 0;
      continue;
    }
    if (c == '$') dollars = !dollars;
    if (c == '{' || c == '}') depth += c == '{' ? 1 : -1;
    if (c != ' ' || dollars || depth > 0) continue;
    const bool bracket = asides && text[at + 1] == '(';
    const auto word = text.substr(at + (bracket ? 2 : 1));
    const auto end = std::ranges::find_if_not(
                         word, [](unsigned char letter) { return std::isalpha(letter) != 0; }) -
                     word.begin();
    if (word.starts_with("as well")) continue;  // "as well as" gives no reason
    const bool all = asides && (word.starts_with("for all") || word.starts_with("for every") ||
                                word.starts_with("for any") || word.starts_with("for each"));
    if (all) return text.substr(0, at);
    const std::string lower = Lower(word.substr(0, static_cast<std::size_t>(end)));
    if (bracket ? lower.size() > 1 : std::ranges::find(words, lower) != words.end())
      return text.substr(0, at);
  }
  return text;
}

struct Delimiters {
  std::string_view open, close;
};

// Returns the last formula without its delimiters. Dollar signs of currency ("\$5") delimit
// nothing.
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
  answer = Trim(answer, " \t\r\n:*#`\"");
  if (!answer.empty() && std::ranges::find(answers, answer) == answers.end())
    answers.emplace_back(answer);
}

// Adds what a sentence claims, without the reason that it gives, "7" of "7 because 3 + 4 = 7"; what
// follows its verb, "34" of "The largest n is 34"; and each without asides, "7" of "7 in the end".
void AddSentence(std::vector<std::string>& answers, std::string_view sentence) {
  const auto claim = Before(kReasons, sentence);
  Add(answers, claim);
  Add(answers, Before(kAsides, claim, true));
  const auto main = Before(kRelative, claim);
  for (std::string_view verb : {" is ", " are ", " equals "}) {
    const auto clause = main.find(verb) == std::string_view::npos ? claim : main;
    const auto at = clause.rfind(verb);
    if (at == std::string_view::npos) continue;
    Add(answers, clause.substr(at + verb.size()));
    Add(answers, Before(kAsides, clause.substr(at + verb.size()), true));
  }
}

}  // namespace

std::optional<std::string> BoxedAnswer(std::string_view text) {
  auto box = LastBox(text, text.size());
  if (!box) return std::nullopt;
  std::vector<std::string> items = {std::string(Trim(box->inside))};
  const auto label_of = [&](const Span& span) { return LabelBefore(text.substr(0, span.begin)); };
  bool labelled = !label_of(*box).empty();
  for (int joined = 1; joined < kMaxBoxes; ++joined) {
    const auto before = LastBox(text, box->begin);
    if (!before || before->end > box->begin) break;
    std::string_view between = text.substr(before->end, box->begin - before->end);
    const auto label = label_of(*box);
    // "x=\boxed{1}, y=\boxed{2}" has a label before every box
    if (labelled != !label_of(*before).empty()) break;
    if (labelled)
      between = between.substr(0, static_cast<std::size_t>(label.data() - between.data()));
    if (!IsJoint(between)) break;
    if (labelled) items.back().insert(0, label);
    items.emplace_back(Trim(before->inside));
    box = before;
  }
  if (items.size() > 1 && labelled) items.back().insert(0, label_of(*box));
  std::string answer;
  for (std::size_t i = items.size(); i-- > 0;) {
    // The same box twice states its answer once.
    if (std::find(items.begin() + static_cast<std::ptrdiff_t>(i) + 1, items.end(), items[i]) !=
        items.end())
      continue;
    if (!answer.empty()) answer += ", ";
    answer += items[i];
  }
  if (answer.empty()) return std::nullopt;
  return answer;
}

namespace {

// Returns readings of the answer that `text` states, the most literal first. They are taken from
// the first of these that there is: the sentence after a "final answer is" that follows the last
// box; the last box; the sentence after the last "answer is" ("answer:"); the last formula between
// dollar signs, \( \) or \[ \]; the last line. Returns none if the text or its last box is empty.
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

bool IsWords(const std::vector<Token>& tokens) {
  return std::ranges::all_of(tokens, [](const Token& token) {
    return token.kind == TokenKind::kWord || token.kind == TokenKind::kText ||
           token.kind == TokenKind::kEnd || token.IsSign("{") || token.IsSign("}") ||
           token.IsSign(".");
  });
}

// Returns the tokens in one spelling, words without braces; nullopt for an empty text.
std::optional<std::string> PlainText(std::string_view text) {
  const auto tokens = LexLatex(text);
  if (!tokens) return std::string(text);
  const bool words = IsWords(*tokens);
  std::string plain;
  for (const Token& token : *tokens) {
    if (words && token.kind == TokenKind::kSign) continue;
    if (token.kind == TokenKind::kCommand) plain += '\\';
    if (token.kind == TokenKind::kNumber && token.spaced && !plain.empty()) plain += ' ';
    for (std::size_t i = 0; i < token.text.size(); ++i) {
      const bool before_digit =
          i + 1 < token.text.size() && std::isdigit(static_cast<unsigned char>(token.text[i + 1]));
      if (token.text[i] != ' ' || before_digit) plain += token.text[i];
    }
  }
  if (plain.empty()) return std::nullopt;
  return plain;
}

// Compares plain texts: variables keep their case, words do not.
bool SamePlain(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const bool word =
      std::ranges::count_if(a, [](unsigned char c) { return std::isalpha(c) != 0; }) > 2;
  return word && a.find_first_of("\\+-*/^_=<>()") == std::string::npos && Lower(a) == Lower(b);
}

// Removes braces around the whole text.
std::string_view Unbraced(std::string_view text) {
  while (text.size() > 2 && text.front() == '{' && text.find('}') == text.size() - 1)
    text = text.substr(1, text.size() - 2);
  return text;
}

// Returns true if a choice, "(E)", begins at `at`.
bool IsChoiceAt(std::string_view plain, std::size_t at) {
  return plain.size() >= at + 3 && plain[at] == '(' && plain[at + 2] == ')' &&
         plain[at + 1] >= 'A' && plain[at + 1] <= 'J';
}

// Returns the letter of a text that begins with a choice and holds no other, as "(E) 25"; 0 for
// others.
char ChoiceLetter(std::string_view plain) {
  plain = Unbraced(plain);
  if (!IsChoiceAt(plain, 0)) return '\0';
  for (std::size_t at = 3; at < plain.size(); ++at)
    if (IsChoiceAt(plain, at) && plain[at + 1] != plain[1]) return '\0';
  return plain[1];
}

bool SameMath(std::string_view a, std::string_view b, bool grouped) {
  const auto x = ParseMath(a, {grouped});
  const auto y = x ? ParseMath(b, {grouped}) : std::nullopt;
  return x && y && SameAnswer(*x, *y);
}

// Returns the first reading that is mathematics, or else the first.
std::optional<std::string> Read(std::string_view text) {
  const auto answers = FinalAnswers(text);
  for (const std::string& answer : answers)
    if (ParseMath(answer)) return answer;
  return answers.empty() ? std::nullopt : std::optional(answers[0]);
}

// Reads the reference: an answer, or a solution that ends in one.
std::optional<std::string> ReadReference(std::string_view answer) {
  if (auto boxed = BoxedAnswer(answer)) return boxed;
  std::string text(answer);
  if (!PlainText(text)) return std::nullopt;
  const bool solution =
      text.find('\n') != std::string::npos || text.find(". ") != std::string::npos;
  if (!solution || ParseMath(text)) return text;
  return Read(text);
}

// Returns one text for all ways to write a plain rational number; other answers as they stand. A
// number with a unit, in percent or with commas says more than its value.
std::string OneSpelling(const std::string& answer) {
  const auto tree = HasGroupComma(answer) ? std::nullopt : ParseMath(answer);
  if (!tree || AnyNode(*tree, [](const MathNode& node) {
        return node.kind == MathKind::kUnit || node.kind == MathKind::kPercent ||
               node.kind == MathKind::kDegrees || node.kind == MathKind::kBased;
      }))
    return answer;
  const auto value = ExactValue(*tree);
  return value ? value->str() : answer;
}

}  // namespace

bool SameMathText(std::string_view a, std::string_view b) {
  const auto x = PlainText(Unbraced(a)), y = PlainText(Unbraced(b));
  if (!x || !y) return false;
  if (SamePlain(*x, *y)) return true;
  // "(E)" is "(E) 25"
  if (const char letter = ChoiceLetter(*x); letter != 0 && (x->size() == 3) != (y->size() == 3))
    if (ChoiceLetter(*y) != 0) return ChoiceLetter(*y) == letter;
  if (SameMath(a, b, true)) return true;
  return (HasGroupComma(a) || HasGroupComma(b)) && SameMath(a, b, false);
}

bool MathOracle::Judge(const Attempt& attempt) const {
  const auto said = data::FinalResponse(attempt.response);
  const auto want = said ? ReadReference(attempt.answer) : std::nullopt;
  const auto answer = want ? Read(*said) : std::nullopt;
  return answer && SameMathText(*want, *answer);
}

bool MathOracle::CanRead(std::string_view answer) const {
  return ReadReference(answer).has_value();
}

std::optional<std::string> MathOracle::Answer(std::string_view response) const {
  const auto said = data::FinalResponse(response);
  const auto answer = said ? Read(*said) : std::nullopt;
  return answer ? OneSpelling(*answer) : "";
}

bool MathOracle::SameAnswer(std::string_view a, std::string_view b) const {
  return SameMathText(a, b);
}

}  // namespace pivotal::pts
