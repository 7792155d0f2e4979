// Apache-2.0. A small SentencePiece model, trained on arithmetic where it is needed.
#pragma once

#include <sentencepiece_trainer.h>

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pivotal::testing {

class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(std::vector<std::string> lines) : lines_(std::move(lines)) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> lines_;
  std::size_t next_ = 0;
};

inline constexpr int kPieces = 350;

// The bytes of a tokenizer.model: BPE, byte fallback, split digits, identity normalisation, as in
// Llama and Phi-3. <unk> 0, <s> 1, </s> 2, <pad> 3, then the 256 bytes.
inline std::string TrainModel(const std::string& normalization = "identity") {
  std::vector<std::string> lines;
  for (int i = 0; i < 400; ++i) {
    const int a = i * 37 % 101, b = i * 53 % 97;
    lines.push_back("Question: what is " + std::to_string(a) + " + " + std::to_string(b) + "?");
    lines.push_back("Answer: " + std::to_string(a) + " plus " + std::to_string(b) + " is " +
                    std::to_string(a + b) + ".  So the answer is " + std::to_string(a + b));
  }
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(kPieces)},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"normalization_rule_name", normalization},
      {"remove_extra_whitespaces", "false"},
      {"pad_id", "3"},
      {"pad_piece", "<pad>"},
      {"user_defined_symbols", "<user>"},
      {"minloglevel", "4"}};
  Lines iterator(std::move(lines));
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return model;
}

}  // namespace pivotal::testing
