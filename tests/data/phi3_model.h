// Apache-2.0. Phi-3's tokenizer.model, rebuilt from its tokenizer.json.
#pragma once

#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace pivotal::testing {

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

// ModelProto.SentencePiece
inline std::string Piece(const std::string& piece, float score, int type) {
  std::string bits(sizeof(score), '\0');
  std::memcpy(bits.data(), &score, sizeof(score));
  return Bytes(1, Bytes(1, piece) + Varint(2 * 8 + 5) + bits + Number(3, type));
}

}  // namespace phi3

// SentencePiece merges the pair whose piece has the highest score; tokenizer.json lists the merges
// in that order. 0 to 258 are <unk>, <s>, </s> and the bytes.
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
