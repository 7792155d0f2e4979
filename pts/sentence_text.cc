// Apache-2.0.
#include "pts/sentence_text.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "data/base/text.h"

namespace pivotal::pts {
namespace {

constexpr std::string_view kDropped = ".,;:!?\"'`()[]{}#";

bool IsWordByte(char c) { return data::IsLetter(c) || (static_cast<unsigned char>(c) & 0x80) != 0; }

std::string InLowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return data::IsUpper(c) ? data::Lower(c) : c; });
  data::ReplaceAll(lower, "\u2019", "'");
  return lower;
}

// Reads the number that begins at text[i]; sets `i` to what follows it.
std::string NumberAt(std::string_view text, std::size_t& i) {
  std::string number;
  for (; i < text.size(); ++i) {
    const bool between_digits =
        (text[i] == '.' || text[i] == ',') && i + 1 < text.size() && data::IsDigit(text[i + 1]);
    if (!data::IsDigit(text[i]) && !between_digits) break;
    if (text[i] != ',') number += text[i];
  }
  return number;
}

// Returns the size of the intersection of two sorted multisets.
std::size_t Common(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> common;
  std::ranges::set_intersection(a, b, std::back_inserter(common));
  return common.size();
}

// Returns true if a phrase stands in a text in lower case, between characters that belong to no
// word.
bool HasPhrase(std::string_view text, std::string_view phrase) {
  const auto in_word = [](char c) { return IsWordByte(c) || data::IsDigit(c) || c == '_'; };
  for (std::size_t at = text.find(phrase); at != std::string_view::npos;
       at = text.find(phrase, at + 1)) {
    const std::size_t end = at + phrase.size();
    const bool begins = at == 0 || !in_word(phrase.front()) || !in_word(text[at - 1]);
    const bool ends = end == text.size() || !in_word(phrase.back()) || !in_word(text[end]);
    if (begins && ends) return true;
  }
  return false;
}

// Returns true if a text has "=", or an operator between digits.
bool HasArithmetic(std::string_view text) {
  if (text.find('=') != std::string_view::npos) return true;
  constexpr std::array<std::string_view, 8> kOperators = {"+", "-", "*",      "/",
                                                          "^", "x", "\u00d7", "\u00f7"};
  for (const std::string_view sign : kOperators) {
    for (std::size_t at = text.find(sign); at != std::string_view::npos;
         at = text.find(sign, at + 1)) {
      const auto before = data::Trim(text.substr(0, at));
      const auto after = data::Trim(text.substr(at + sign.size()));
      if (!before.empty() && data::IsDigit(before.back()) && !after.empty() &&
          data::IsDigit(after.front()))
        return true;
    }
  }
  return false;
}

struct KindRule {
  SentenceKind kind;
  std::vector<std::string_view> phrases;  // none: HasArithmetic()
};

const std::vector<KindRule>& KindRules() {
  static const std::vector<KindRule> rules = {
      {SentenceKind::kFinalAnswerEmission,
       {"####", "\\boxed", "final answer", "the answer is", "answer:"}},
      {SentenceKind::kSelfChecking,
       {"let me check", "let's check", "check that", "check if", "to check", "checking", "verify",
        "verifying", "confirm", "double-check", "make sure", "sanity", "does this make sense",
        "is this correct"}},
      {SentenceKind::kUncertaintyManagement,
       {"wait,", "wait.", "wait!", "but wait", "wait no", "hmm", "actually", "not sure", "unsure",
        "maybe", "perhaps", "mistake", "reconsider", "alternatively", "on second thought",
        "hold on", "confusing"}},
      {SentenceKind::kActiveComputation, {}},
      {SentenceKind::kResultConsolidation,
       {"therefore", "thus", "hence", "so", "in total", "altogether", "in summary", "overall",
        "this means", "which means", "it follows", "in conclusion"}},
      {SentenceKind::kPlanGeneration,
       {"let me", "let's", "i'll", "i will", "we need to", "i need to", "we can", "first", "next",
        "then", "plan", "approach", "strategy", "step", "try"}},
      {SentenceKind::kFactRetrieval,
       {"recall", "remember", "we know", "known", "by definition", "formula", "theorem",
        "definition", "property", "identity"}},
      {SentenceKind::kProblemSetup,
       {"given", "the problem", "the question", "asked", "asks", "we have", "we are told", "find",
        "determine"}},
      {SentenceKind::kActiveComputation,
       {"calculate", "compute", "computing", "multiply", "divide", "subtract", "add", "sum",
        "solving", "substitute", "substituting", "equals", "simplify"}}};
  return rules;
}

}  // namespace

SentenceWords WordsOf(std::string_view sentence) {
  std::string text = InLowerCase(sentence);
  data::ReplaceAll(text, "**", " ");
  data::ReplaceAll(text, "__", " ");
  SentenceWords of;
  for (std::size_t i = 0; i < text.size();) {
    if (data::IsDigit(text[i])) {
      of.numbers.push_back(NumberAt(text, i));
    } else if (IsWordByte(text[i])) {
      std::string word;
      for (; i < text.size() && (IsWordByte(text[i]) || text[i] == '\''); ++i)
        if (text[i] != '\'') word += text[i];
      of.words.push_back(std::move(word));
    } else {
      const char c = text[i++];
      if (data::kWhiteSpace.find(c) == std::string_view::npos &&
          kDropped.find(c) == std::string_view::npos)
        of.words.emplace_back(1, c);
    }
  }
  std::ranges::sort(of.words);
  std::ranges::sort(of.numbers);
  return of;
}

bool SayTheSame(const SentenceWords& a, const SentenceWords& b) {
  if (a.numbers != b.numbers) return false;
  const double both = static_cast<double>(a.words.size() + b.words.size());
  if (both == 0) return true;
  return 2.0 * static_cast<double>(Common(a.words, b.words)) >= kSameSentence * both;
}

SentenceKind KindOf(std::string_view sentence) {
  const std::string text = InLowerCase(sentence);
  for (const KindRule& rule : KindRules()) {
    const bool applies = rule.phrases.empty()
                             ? HasArithmetic(text)
                             : std::ranges::any_of(rule.phrases, [&](std::string_view phrase) {
                                 return HasPhrase(text, phrase);
                               });
    if (applies) return rule.kind;
  }
  return SentenceKind::kUnknown;
}

}  // namespace pivotal::pts
