// Apache-2.0. Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3", SC 2011). A number is a pure function of its key and counter, so it does not
// depend on batch, order or threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace pivotal::kernels {

// Returns 128 random bits for a 128-bit counter under a 64-bit key (ten rounds).
constexpr std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                             std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Returns a number uniform in [0, 1) with 53 bits: number `position` of rollout `rollout` on stream
// `stream`.
constexpr double Uniform(uint64_t seed, uint64_t stream, uint32_t rollout, uint32_t position) {
  const auto bits = Philox4x32(
      {position, rollout, static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t joined = (uint64_t{bits[0]} << 32) | bits[1];
  return static_cast<double>(joined >> 11) * 0x1.0p-53;
}

// Mixes a value into a stream key (the finaliser of SplitMix64). Chain calls to mix in several.
constexpr uint64_t MixStream(uint64_t stream, uint64_t value) {
  uint64_t z = stream + 0x9E3779B97F4A7C15ull + value * 0xD1B54A32D192ED03ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

constexpr uint64_t MixStream(uint64_t stream, std::string_view text) {
  for (char c : text) stream = MixStream(stream, static_cast<unsigned char>(c));
  return MixStream(stream, text.size());
}

// Generates the successive random numbers of one stream, for shuffles, generators and bootstraps.
class RandomStream {
 public:
  RandomStream(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  double Uniform() {
    const uint64_t n = next_++;
    return kernels::Uniform(seed_, stream_, static_cast<uint32_t>(n >> 32),
                            static_cast<uint32_t>(n));
  }
  // Returns an integer uniform in 0..bound-1.
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(Uniform() * static_cast<double>(bound));
  }

 private:
  uint64_t seed_, stream_, next_ = 0;
};

// Swaps a random one of items[i..] into items[i]: step i of a Fisher-Yates shuffle. After steps
// 0..k-1 the first k items are a random choice of k without replacement.
template <typename T>
void ShuffleStep(std::vector<T>& items, std::size_t i, RandomStream& random) {
  std::swap(items[i], items[i + random.Below(static_cast<int64_t>(items.size() - i))]);
}

// Puts items into a random order; every order is equally likely.
template <typename T>
void Shuffle(std::vector<T>& items, RandomStream& random) {
  for (std::size_t i = 0; i < items.size(); ++i) ShuffleStep(items, i, random);
}

// Leaves `most` random items, all sets of which are equally likely, in the order that they had.
template <typename T>
void LeaveRandom(std::vector<T>& items, std::size_t most, RandomStream& random) {
  if (items.size() <= most) return;
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = 0; i < most; ++i) ShuffleStep(order, i, random);
  order.resize(most);
  std::sort(order.begin(), order.end());
  std::vector<T> left;
  for (const std::size_t i : order) left.push_back(std::move(items[i]));
  items = std::move(left);
}

}  // namespace pivotal::kernels
