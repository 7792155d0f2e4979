// Apache-2.0. The decoders of tokenizer.json.
#include "data/piece_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "data/byte_alphabet.h"
#include "data/utf8.h"

namespace pivotal::data {
namespace {

using Tokens = std::vector<std::string>;

// "<0x0A>" to 10, others to -1.
int ByteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int value = -1;
  const char* end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, value, 16);
  return result.ec == std::errc() && result.ptr == end && value >= 0 ? value : -1;
}

// A run of bytes that is no text as a whole prints U+FFFD for each byte.
void JoinBytes(Tokens& tokens) {
  Tokens joined;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (FindInvalidUtf8(bytes) == std::string_view::npos) {
      joined.push_back(bytes);
    } else {
      joined.insert(joined.end(), bytes.size(), "\uFFFD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = ByteOf(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    joined.push_back(std::move(token));
  }
  flush();
  tokens = std::move(joined);
}

std::string Joined(const Tokens& tokens, std::string_view between = "") {
  std::string text;
  for (const std::string& token : tokens) {
    if (&token != tokens.data()) text += between;
    text += token;
  }
  return text;
}

void Strip(std::string& token, const DecodeStep& step, bool front) {
  std::string_view rest = token;
  for (std::size_t i = 0; front && i < step.start && rest.starts_with(step.content); ++i) {
    rest.remove_prefix(step.content.size());
  }
  for (std::size_t i = 0; i < step.stop && rest.ends_with(step.content); ++i) {
    rest.remove_suffix(step.content.size());
  }
  token = std::string(rest);
}

void Unspace(Tokens& tokens, const DecodeStep& step, bool at_start) {
  for (std::string& token : tokens) {
    const bool drop = at_start && step.prepends && &token == tokens.data();
    ReplaceAll(token, step.pattern, drop ? "" : " ");
  }
}

}  // namespace

std::string PieceDecoder::Decode(Tokens tokens, bool at_start) const {
  if (steps_.empty()) return Joined(tokens, " ");
  bool fused = false;
  for (const DecodeStep& step : steps_) {
    switch (step.kind) {
      case DecodeStep::Kind::kReplace:
        for (std::string& token : tokens) ReplaceAll(token, step.pattern, step.content);
        break;
      case DecodeStep::Kind::kByteFallback: JoinBytes(tokens); break;
      case DecodeStep::Kind::kFuse:
        tokens = {Joined(tokens)};
        fused = true;
        break;
      case DecodeStep::Kind::kStrip:
        for (std::string& token : tokens) Strip(token, step, at_start || !fused);
        break;
      case DecodeStep::Kind::kMetaspace: Unspace(tokens, step, at_start); break;
      case DecodeStep::Kind::kByteLevel: {
        std::string bytes;
        for (const std::string& token : tokens) {
          if (!AppendBytesOf(token, bytes)) bytes += token;
        }
        tokens = {ReplaceInvalidUtf8(bytes, Replacement::kPerSubpart)};
        fused = true;
        break;
      }
    }
  }
  return Joined(tokens);
}

std::string PieceDecoder::Show(std::string token) const {
  if (ByteOf(token) >= 0) return token;
  std::string bytes;
  for (const DecodeStep& step : steps_) {
    if (step.kind == DecodeStep::Kind::kReplace) ReplaceAll(token, step.pattern, step.content);
    if (step.kind == DecodeStep::Kind::kMetaspace) ReplaceAll(token, step.pattern, " ");
    if (step.kind == DecodeStep::Kind::kByteLevel && AppendBytesOf(token, bytes)) token = bytes;
  }
  std::string shown;
  for (std::size_t i = 0; i < token.size();) {
    const std::size_t length = Utf8LengthAt(token, i);
    const auto byte = static_cast<unsigned char>(token[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      shown += fmt::format("<0x{:02X}>", byte);
    } else {
      shown.append(token, i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return shown;
}

}  // namespace pivotal::data
