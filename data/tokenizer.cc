// Apache-2.0. Text to token ids and back: which tokenizer a folder has.
#include "data/tokenizer.h"

#include "data/error.h"
#include "data/sentencepiece_tokenizer.h"
#include "data/tiktoken_file.h"
#include "data/tokenizer_json.h"

namespace pivotal::data {

namespace fs = std::filesystem;

std::vector<TokenId> Tokenizer::EncodeWithSpecial(std::string_view text) const {
  std::vector<TokenId> ids = Encode(text);
  if (adds_bos()) ids.insert(ids.begin(), bos());
  return ids;
}

std::unique_ptr<const Tokenizer> LoadTokenizer(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) Fail("{}: no such folder", folder.string());
  // In the order of transformers' AutoTokenizer.
  if (fs::exists(folder / "tokenizer.json", ignored)) return LoadTokenizerJson(folder);
  if (fs::exists(folder / "tokenizer.model", ignored)) return LoadSentencePiece(folder);
  if (!FindTiktokenFile(folder).empty()) return LoadTiktoken(folder);
  Fail("{}: no tokenizer.json, tokenizer.model or *.tiktoken in this folder", folder.string());
}

}  // namespace pivotal::data
