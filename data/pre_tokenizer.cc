// Apache-2.0. The pre-tokenizers of tokenizer.json.
#include "data/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "data/unicode_class.h"
#include "data/utf8.h"

namespace pivotal::data {
namespace {

struct Cut {
  ByteRange range;
  bool match = false;
};

// Adds `cut`, or joins it to the last one.
void Join(std::vector<Cut>& cuts, const Cut& cut, bool join) {
  if (join && !cuts.empty()) {
    cuts.back().range.begin = std::min(cuts.back().range.begin, cut.range.begin);
    cuts.back().range.end = std::max(cuts.back().range.end, cut.range.end);
  } else {
    cuts.push_back(cut);
  }
}

// NormalizedString::split of Hugging Face tokenizers.
std::vector<Cut> Arrange(std::vector<Cut> cuts, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kIsolated) return cuts;
  if (behavior == SplitBehavior::kRemoved) {
    std::erase_if(cuts, [](const Cut& cut) { return cut.match; });
    return cuts;
  }
  const bool next = behavior == SplitBehavior::kMergedWithNext;
  if (next) std::reverse(cuts.begin(), cuts.end());
  std::vector<Cut> arranged;
  bool previous = false;
  for (const Cut& cut : cuts) {
    const bool contiguous = behavior == SplitBehavior::kContiguous;
    Join(arranged, cut, contiguous ? cut.match == previous : cut.match && !previous);
    previous = cut.match;
  }
  if (next) std::reverse(arranged.begin(), arranged.end());
  return arranged;
}

// Cuts at the matches that Find gives.
class Split : public PreTokenizer {
 public:
  Split(SplitBehavior behavior, bool invert) : behavior_(behavior), invert_(invert) {}
  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) Cuts(word, list);
    words.list = std::move(list);
  }

 private:
  virtual std::vector<ByteRange> Find(std::string_view text) const = 0;

  void Cuts(const Word& word, std::vector<Word>& list) const {
    std::vector<Cut> cuts;
    std::size_t at = 0;
    const auto gap = [&](std::size_t end) {
      if (at != end) cuts.push_back({{at, end}, invert_});
    };
    for (const ByteRange& range : Find(word.text)) {
      gap(range.begin);
      cuts.push_back({range, !invert_});
      at = range.end;
    }
    gap(word.text.size());
    for (const Cut& cut : Arrange(std::move(cuts), behavior_)) {
      const auto [begin, end] = cut.range;
      if (begin < end) list.push_back({word.text.substr(begin, end - begin), word.first && begin == 0});
    }
  }

  SplitBehavior behavior_;
  bool invert_;
};

class RegexSplit : public Split {
 public:
  RegexSplit(SplitRegex regex, SplitBehavior behavior, bool invert)
      : Split(behavior, invert), regex_(std::move(regex)) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override { return regex_.FindAll(text); }
  SplitRegex regex_;
};

class StringSplit : public Split {
 public:
  StringSplit(std::string pattern, SplitBehavior behavior, bool invert)
      : Split(behavior, invert), pattern_(std::move(pattern)) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override {
    std::vector<ByteRange> ranges;
    for (auto at = text.find(pattern_); at != text.npos;
         at = text.find(pattern_, at + pattern_.size())) {
      ranges.push_back({at, at + pattern_.size()});
    }
    return ranges;
  }
  std::string pattern_;
};

class DigitSplit : public Split {
 public:
  explicit DigitSplit(bool individual)
      : Split(individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override {
    std::vector<ByteRange> ranges;
    for (std::size_t at = 0; at < text.size();) {
      const auto [code, length] = ReadUtf8(text, at);
      if (IsNumber(ClassOf(code))) ranges.push_back({at, at + length});
      at += length;
    }
    return ranges;
  }
};

class WordSplit : public PreTokenizer {
 public:
  explicit WordSplit(WordPattern pattern) : pattern_(pattern) {}
  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) {
      list.reserve(list.size() + word.text.size() / 4);
      for (std::size_t at = 0; at < word.text.size();) {
        const std::size_t end = WordEnd(pattern_, word.text, at);
        list.push_back({word.text.substr(at, end - at), word.first && at == 0});
        at = end;
      }
    }
    words.list = std::move(list);
  }

 private:
  WordPattern pattern_;
};

class LeadingBlank : public PreTokenizer {
 public:
  void Apply(Words& words) const override {
    for (Word& word : words.list) {
      if (word.text.starts_with(' ')) continue;
      word.text = words.changed.emplace_back(" ").append(word.text);
    }
  }
};

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrefixScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) {
      const std::string& text = words.changed.emplace_back(Replaced(word));
      std::size_t begin = 0;
      // As MergedWithNext: of several replacements in a row, each but the last is a word.
      while (split_ && begin < text.size()) {
        const std::size_t next = text.find(replacement_, begin + 1);
        if (next == std::string::npos) break;
        list.push_back({std::string_view(text).substr(begin, next - begin), false});
        begin = next;
      }
      list.push_back({std::string_view(text).substr(begin), false});
    }
    words.list = std::move(list);
  }

 private:
  std::string Replaced(const Word& word) const {
    const bool asked =
        scheme_ == PrefixScheme::kAlways || (scheme_ == PrefixScheme::kFirst && word.first);
    const bool has = word.text.starts_with(' ') || word.text.starts_with(replacement_);
    std::string text = asked && !has ? replacement_ : "";
    for (const char c : word.text) {
      if (c == ' ') {
        text += replacement_;
      } else {
        text += c;
      }
    }
    return text;
  }

  std::string replacement_;
  PrefixScheme scheme_;
  bool split_;
};

}  // namespace

std::unique_ptr<const PreTokenizer> MakeWordSplit(WordPattern pattern) {
  return std::make_unique<WordSplit>(pattern);
}
std::unique_ptr<const PreTokenizer> MakeRegexSplit(SplitRegex regex, SplitBehavior behavior,
                                                   bool invert) {
  return std::make_unique<RegexSplit>(std::move(regex), behavior, invert);
}
std::unique_ptr<const PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                                    bool invert) {
  return std::make_unique<StringSplit>(std::move(pattern), behavior, invert);
}
std::unique_ptr<const PreTokenizer> MakeDigitSplit(bool individual) {
  return std::make_unique<DigitSplit>(individual);
}
std::unique_ptr<const PreTokenizer> MakeLeadingBlank() { return std::make_unique<LeadingBlank>(); }
std::unique_ptr<const PreTokenizer> MakeMetaspace(std::string replacement, PrefixScheme scheme,
                                                  bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}

}  // namespace pivotal::data
