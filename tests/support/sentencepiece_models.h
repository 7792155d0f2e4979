// Apache-2.0. SentencePiece models for tests: a small trained one, and Phi-3's tokenizer.model
// rebuilt from its tokenizer.json.
#pragma once

#include <sentencepiece_trainer.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pivotal::testing {

// Hands lines of text to the trainer of SentencePiece.
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

// Trains a model of kPieces pieces on arithmetic and returns the bytes of its tokenizer.model: BPE,
// byte fallback, split digits and identity normalisation, as in Llama and Phi-3. The first ids are
// <unk> 0, <s> 1, </s> 2, <pad> 3, then the 256 bytes.
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

// Writes the fields of a protocol buffer.
namespace phi3 {

inline std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}
inline std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) * 8) + Varint(value);
}
inline std::string Bytes(int field, const std::string& content) {
  return Varint(static_cast<uint64_t>(field) * 8 + 2) + Varint(content.size()) + content;
}

// Returns one ModelProto.SentencePiece.
inline std::string Piece(const std::string& piece, float score, int type) {
  std::string bits(sizeof(score), '\0');
  std::memcpy(bits.data(), &score, sizeof(score));
  return Bytes(1, Bytes(1, piece) + Varint(2 * 8 + 5) + bits + Number(3, type));
}

}  // namespace phi3

// Returns the bytes of Phi-3's tokenizer.model, made of its tokenizer.json. SentencePiece merges
// the pair whose piece has the highest score, so scores follow the order of the merges in
// tokenizer.json. The ids 0 to 258 are <unk>, <s>, </s> and the bytes.
inline std::string Phi3Model(const std::string& tokenizer_json) {
  std::ifstream in(tokenizer_json);
  const auto model = nlohmann::json::parse(in)["model"];
  std::map<std::string, float> score;
  float rank = 0;
  for (const auto& merge : model["merges"]) {
    std::string piece = merge.get<std::string>();
    piece.erase(piece.find(' '), 1);
    score.emplace(piece, rank);
    rank -= 1;
  }
  std::map<int, std::string> pieces;
  for (const auto& [piece, id] : model["vocab"].items()) pieces[id.get<int>()] = piece;
  constexpr int kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  std::string proto;
  for (const auto& [id, piece] : pieces) {
    const int type = id == 0 ? kUnknown : id < 3 ? kControl : id < 259 ? kByte : kNormal;
    const auto known = score.find(piece);
    proto += phi3::Piece(piece, known != score.end() ? known->second : -1e6f, type);
  }
  const std::string trainer = phi3::Number(3, 2) + phi3::Number(35, 1);  // BPE, byte_fallback
  const std::string normalizer = phi3::Bytes(1, "identity") + phi3::Number(4, 0);
  return proto + phi3::Bytes(2, trainer) + phi3::Bytes(3, normalizer);
}

}  // namespace pivotal::testing
