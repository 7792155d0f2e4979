// Apache-2.0. Fuzzes folders with a tokenizer.json and a tokenizer_config.json, which a line "---"
// separates in the input.
#include "data/base/utf8.h"
#include "pivotal/tokenizer.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const std::string_view text = testing::Text(data, size);
  const auto cut = text.find("\n---\n");
  const auto& folder = testing::Folder();
  folder.Write("tokenizer.json", text.substr(0, cut));
  folder.Write("tokenizer_config.json",
               cut == std::string_view::npos ? "{}" : text.substr(cut + 5));
  testing::AllowError([&] {
    const auto tokenizer = LoadTokenizer(folder.path());
    const auto ids = tokenizer->Encode(" Hi, caf\u00e9 <|user|>\n\n  x 12345 \U0001F600");
    if (data::FindInvalidUtf8(tokenizer->Decode(ids)) != std::string_view::npos) __builtin_trap();
    for (TokenId id = -1; id <= std::min(tokenizer->VocabSize(), 300); ++id) {
      if (data::FindInvalidUtf8(tokenizer->Decode({&id, 1}, true)) != std::string_view::npos)
        __builtin_trap();
      tokenizer->Piece(id);
    }
  });
  return 0;
}
