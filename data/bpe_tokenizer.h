// Apache-2.0. A tokenizer put together from parts: what tokenizer.json and *.tiktoken describe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/added_tokens.h"
#include "data/bpe_model.h"
#include "data/piece_decoder.h"
#include "data/pre_tokenizer.h"
#include "data/tokenizer.h"

namespace pivotal::data {

// Normalizers Prepend (pattern empty: before a text that is not empty) and Replace.
struct NormalizeStep {
  std::string pattern, content;
};
// `text` after the steps.
std::string Normalize(const std::vector<NormalizeStep>& steps, std::string text);

struct BpeTokenizerParts {
  BpeModel::Vocabulary vocabulary;
  std::vector<BpeMerge> merges;
  BpeSettings settings;
  std::vector<NormalizeStep> normalizer;
  PreTokenizers pre_tokenizers;
  std::vector<DecodeStep> decoder;
  std::vector<AddedToken> added;  // each content and each id once
  // Post-processor TemplateProcessing: ids before and after the text.
  std::optional<std::pair<std::vector<TokenId>, std::vector<TokenId>>> frame;
  TokenId bos = -1, eos = -1;
  bool adds_bos = false;
};

std::unique_ptr<const Tokenizer> MakeBpeTokenizer(BpeTokenizerParts parts);

}  // namespace pivotal::data
