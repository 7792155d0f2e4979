// Apache-2.0. The tokenizer that tokenizer.json and *.tiktoken describe, assembled from its parts.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "pivotal/tokenizer.h"

namespace pivotal::data {

// A normalizer: Replace, or Prepend if `pattern` is empty. Prepend leaves an empty text empty.
struct NormalizeStep {
  std::string pattern, content;
};

// One of the decoders that turn tokens into text.
struct DecodeStep {
  enum class Kind { kReplace, kByteFallback, kFuse, kStrip, kMetaspace, kByteLevel };
  Kind kind = Kind::kFuse;
  std::string pattern = {};         // kReplace; kMetaspace: the character that stands for a blank
  std::string content = {};         // kReplace; kStrip: the character to remove
  std::size_t start = 0, stop = 0;  // kStrip: how many to remove at most from start and end
  bool prepends = false;            // kMetaspace: removes the blank in front
};

struct BpeTokenizerParts {
  BpeModel::Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
  BpeSettings settings;
  std::vector<NormalizeStep> normalizer;
  PreTokenizers pre_tokenizers;
  std::vector<DecodeStep> decoder;  // if empty, blanks join the tokens
  std::vector<AddedToken> added;    // contents and ids are unique
  // Ids before and after a text, from the post-processor TemplateProcessing.
  std::optional<std::pair<std::vector<TokenId>, std::vector<TokenId>>> frame;
  TokenId bos = -1, eos = -1;
  bool adds_bos = false;
};

std::unique_ptr<const Tokenizer> MakeBpeTokenizer(BpeTokenizerParts parts);

}  // namespace pivotal::data
