// Apache-2.0. Two tokenizer.json files that can be checked by eye. The ids that tests expect of
// them come from Hugging Face tokenizers 0.23.3.
#pragma once

namespace pivotal::testing {

// A byte-level tokenizer, as Phi-2 has.
constexpr const char* kByteLevelJson = R"({"version": "1.0",
 "added_tokens": [
  {"id": 24, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": true,
   "normalized": false, "special": true},
  {"id": 25, "content": "  ", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": true, "special": false}],
 "normalizer": null,
 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
 "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
 "decoder": {"type": "ByteLevel", "add_prefix_space": false},
 "model": {"type": "BPE", "unk_token": null, "fuse_unk": false, "byte_fallback": false,
  "vocab": {"h": 0, "e": 1, "l": 2, "o": 3, "Ġ": 4, "w": 5, "r": 6, "d": 7, "'": 8, "s": 9, "1": 10,
   "2": 11, "Ċ": 12, "Ã": 13, "©": 14, "he": 15, "ll": 16, "hell": 17, "hello": 18, "Ġw": 19,
   "Ġwo": 20, "or": 21, "'s": 22, "Ã©": 23},
  "merges": ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "o r", "' s", "Ã ©"]}})";

// A tokenizer with byte fallback, as Phi-3 has; only a few bytes have tokens.
constexpr const char* kByteFallbackJson = R"({"version": "1.0",
 "added_tokens": [
  {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": false, "special": true},
  {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": false, "special": true},
  {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": true,
   "normalized": false, "special": false},
  {"id": 17, "content": "tool", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": true, "special": false}],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
  {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
 "pre_tokenizer": null,
 "post_processor": {"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
  "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
 "decoder": {"type": "Sequence", "decoders": [
  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
  {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
 "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
  "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<0x0A>": 3, "<0xC3>": 4, "<0xA9>": 5, "<0xF0>": 6,
   "<0x9F>": 7, "<0x98>": 8, "<0x80>": 9, "▁": 10, "a": 11, "b": 12, "c": 13, "▁a": 14, "bc": 15,
   "▁abc": 16},
  "merges": [["▁", "a"], ["b", "c"], ["▁a", "bc"]]}})";

}  // namespace pivotal::testing
