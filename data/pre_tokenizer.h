// Apache-2.0. The pre-tokenizers of tokenizer.json: how a text is cut before the model sees it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/split_regex.h"
#include "data/tokenizer_config.h"
#include "data/word_scanner.h"

namespace pivotal::data {

// What becomes of the text between words, as Hugging Face tokenizers names it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// A piece of text; `first`: it begins where the whole text begins.
struct Word {
  std::string_view text;
  bool first = false;
};

// The words of one text, and the strings that hold those which are no part of it.
struct Words {
  std::vector<Word> list;
  std::deque<std::string> changed;
};

// Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts each word of `words` further. No empty words come in or go out.
  virtual void Apply(Words& words) const = 0;
};

using PreTokenizers = std::vector<std::unique_ptr<const PreTokenizer>>;

// One of the expressions that leave no gaps.
std::unique_ptr<const PreTokenizer> MakeWordSplit(WordPattern pattern);
std::unique_ptr<const PreTokenizer> MakeRegexSplit(SplitRegex regex, SplitBehavior behavior,
                                                   bool invert);
// `pattern` is not empty.
std::unique_ptr<const PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                                    bool invert);
// Cuts out runs of digits, or each digit.
std::unique_ptr<const PreTokenizer> MakeDigitSplit(bool individual);
// ByteLevel's add_prefix_space: a blank before each word that has none.
std::unique_ptr<const PreTokenizer> MakeLeadingBlank();
// Writes blanks as `replacement` and adds one in front; `split`: cuts before each.
std::unique_ptr<const PreTokenizer> MakeMetaspace(std::string replacement, PrefixScheme scheme,
                                                  bool split);

}  // namespace pivotal::data
