// Apache-2.0. The decoders of tokenizer.json: tokens to text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

struct DecodeStep {
  enum class Kind { kReplace, kByteFallback, kFuse, kStrip, kMetaspace, kByteLevel };
  Kind kind = Kind::kFuse;
  std::string pattern = {};         // kReplace; kMetaspace: what stands for a blank
  std::string content = {};         // kReplace; kStrip: the character
  std::size_t start = 0, stop = 0;  // kStrip: at most so many of it
  bool prepends = false;            // kMetaspace: its blank in front is dropped
};

// Immutable and thread-safe. Follows Hugging Face tokenizers step by step.
class PieceDecoder {
 public:
  // No steps: tokens are joined by blanks.
  explicit PieceDecoder(std::vector<DecodeStep> steps) : steps_(std::move(steps)) {}

  // Text of `tokens`, UTF-8 as they are. Where not `at_start`, what removes the blank in front (a
  // Strip behind a Fuse, Metaspace) removes nothing.
  std::string Decode(std::vector<std::string> tokens, bool at_start) const;

  // How a token is shown: blanks as ' ', bytes that are no text as "<0x0A>".
  std::string Show(std::string token) const;

 private:
  std::vector<DecodeStep> steps_;
};

}  // namespace pivotal::data
