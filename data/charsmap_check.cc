// Apache-2.0. The part of a tokenizer.model that SentencePiece follows without checking it.
//
// Layout: uint32 size of the trie, the trie, replacements that end in '\0' each. The trie is a
// double array of uint32 units as in darts-clone (https://github.com/s-yata/darts-clone).
#include "data/charsmap_check.h"

#include <cstdint>
#include <cstring>
#include <optional>

namespace pivotal::data {
namespace {

uint32_t UnitAt(std::string_view bytes, std::size_t index) {
  uint32_t unit = 0;
  std::memcpy(&unit, bytes.data() + index * sizeof(unit), sizeof(unit));
  return unit;
}

// From any unit that a lookup can be at, all 256 next bytes lead to units of the trie, and values
// are offsets of replacements.
bool TrieIsSound(std::string_view trie, std::size_t replacements) {
  constexpr uint32_t kIsValue = uint32_t{1} << 31;
  const std::size_t count = trie.size() / sizeof(uint32_t);
  for (std::size_t i = 0; i < count; ++i) {
    const uint32_t unit = UnitAt(trie, i);
    if (unit & kIsValue) continue;
    const uint32_t offset = (unit >> 10) << ((unit & (1u << 9)) >> 6);
    const std::size_t next = i ^ offset;
    if ((next | 0xFF) >= count) return false;
    const bool has_value = (unit >> 8) & 1;
    if (has_value && (UnitAt(trie, next) & ~kIsValue) >= replacements) return false;
  }
  return count > 0;
}

bool CharsmapIsSound(std::string_view map) {
  if (map.empty()) return true;
  if (map.size() < sizeof(uint32_t)) return false;
  const std::size_t size = UnitAt(map, 0);
  map.remove_prefix(sizeof(uint32_t));
  if (size > map.size() || size % sizeof(uint32_t) != 0) return false;
  const std::string_view replacements = map.substr(size);
  return !replacements.empty() && replacements.back() == '\0' &&
         TrieIsSound(map.substr(0, size), replacements.size());
}

// Reads protobuf's wire format field by field.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  // False if the bytes are no protobuf. `bytes` is the content of length-delimited fields.
  bool Next(uint32_t& field, std::string_view& bytes) {
    const std::optional<uint64_t> tag = Varint();
    if (!tag || *tag > UINT32_MAX) return false;
    field = static_cast<uint32_t>(*tag >> 3);
    bytes = {};
    switch (*tag & 7) {
      case 0:
        return Varint().has_value();
      case 1:
        return Take(8, bytes);
      case 2: {
        const std::optional<uint64_t> size = Varint();
        return size && Take(*size, bytes);
      }
      case 5:
        return Take(4, bytes);
      default:  // groups: no tokenizer.model has them
        return false;
    }
  }

 private:
  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }
  bool Take(uint64_t size, std::string_view& bytes) {
    if (size > bytes_.size()) return false;
    bytes = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }

  std::string_view bytes_;
};

// NormalizerSpec.precompiled_charsmap is field 2.
bool SpecIsSound(std::string_view spec) {
  constexpr uint32_t kCharsmap = 2;
  uint32_t field = 0;
  std::string_view bytes;
  for (FieldReader fields(spec); !fields.done();) {
    if (!fields.Next(field, bytes)) return false;
    if (field == kCharsmap && !CharsmapIsSound(bytes)) return false;
  }
  return true;
}

}  // namespace

bool CharsmapsAreSound(std::string_view model) {
  constexpr uint32_t kNormalizer = 3, kDenormalizer = 5;
  uint32_t field = 0;
  std::string_view bytes;
  for (FieldReader fields(model); !fields.done();) {
    if (!fields.Next(field, bytes)) return false;
    if ((field == kNormalizer || field == kDenormalizer) && !SpecIsSound(bytes)) return false;
  }
  return true;
}

}  // namespace pivotal::data
