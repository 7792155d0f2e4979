// Apache-2.0.
#include "data/charsmap_check.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/data/trained_model.h"

namespace pivotal::data {
namespace {

std::string Varint(std::size_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

std::string Field(int number, const std::string& content) {
  return Varint(static_cast<std::size_t>(number) * 8 + 2) + Varint(content.size()) + content;
}

// A ModelProto that holds nothing but normalizer_spec.precompiled_charsmap.
std::string ModelWith(const std::string& map) { return Field(3, Field(2, map)); }

std::string Map(const std::vector<uint32_t>& trie, const std::string& replacements) {
  std::string bytes(4 * (trie.size() + 1), '\0');
  const auto size = static_cast<uint32_t>(4 * trie.size());
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, trie.data(), size);
  return bytes + replacements;
}

TEST(CharsmapCheck, AcceptsWhatSentencePieceWrites) {
  EXPECT_TRUE(CharsmapsAreSound(testing::TrainModel("identity")));
  EXPECT_TRUE(CharsmapsAreSound(testing::TrainModel("nmt_nfkc_cf")));
  EXPECT_TRUE(CharsmapsAreSound(""));
}

TEST(CharsmapCheck, RefusesStepsOutOfTheTrie) {
  const std::string replacement("x\0", 2);
  std::vector<uint32_t> trie(256, 0);
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = 255u << 10;
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = 256u << 10;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = (1u << 10) | (1u << 9);  // the offset counts 256-fold
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie.assign(255, 0);
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement)))) << "0xFF leads out";
}

TEST(CharsmapCheck, RefusesValuesPastTheReplacements) {
  std::vector<uint32_t> trie(256, 0);
  trie[0] = (1u << 10) | (1u << 8);  // a value at unit 1
  trie[1] = (1u << 31) | 1;
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, std::string("x\0", 2)))));
  trie[1] = (1u << 31) | 2;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, std::string("x\0", 2)))));
  trie[1] = 0;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, "xy")))) << "no end";
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, ""))));
}

TEST(CharsmapCheck, RefusesWhatIsNoProtobuf) {
  EXPECT_FALSE(CharsmapsAreSound("\x0A\x7F"));
  EXPECT_FALSE(CharsmapsAreSound("\x1B"));
  EXPECT_FALSE(CharsmapsAreSound(std::string(20, '\xFF')));
  EXPECT_FALSE(CharsmapsAreSound(ModelWith("abc")));
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(std::string("\xFF\xFF\xFF\x7F", 4))));
}

}  // namespace
}  // namespace pivotal::data
