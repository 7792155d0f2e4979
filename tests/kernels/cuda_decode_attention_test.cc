// Apache-2.0. Tests the kernel's source on the CPU (tests/kernels/cuda_on_cpu.h) and, where there
// is one, on a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/decode_attention.h"
#include "kernels/philox.h"
#include "pivotal/error.h"
#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Launch functions of copies of the source, each with one mistake planted (CMakeLists.txt).
void AttentionWithoutBarrier(const DecodeAttention& task, void* stream);
void AttentionOutOfBounds(const DecodeAttention& task, void* stream);
void AttentionWithoutFence(const DecodeAttention& task, void* stream);
void AttentionWithAWarpAstray(const DecodeAttention& task, void* stream);
void AttentionWithALaneAstray(const DecodeAttention& task, void* stream);
void AttentionWithoutWaiting(const DecodeAttention& task, void* stream);
void AttentionWithoutWarpBarrier(const DecodeAttention& task, void* stream);

namespace {

using ::testing::Each;
using ::testing::HasSubstr;

struct Shape {
  int64_t heads, kv_heads, head_dim, window = 0;
  float scale = 0.3f;
};

// A row as the pieces of its sequence: the number of a list of blocks, and how many tokens of it
// the row has.
using Path = std::vector<std::pair<int, int32_t>>;

constexpr int64_t kPoolBlocks = 60;

// The inputs of one launch, made of random numbers.
class Attention {
 public:
  Attention(const Shape& shape, ElementType type, const std::vector<Path>& rows,
            int64_t part_tokens, int64_t idle = 2)
      : Attention(shape, type, rows, part_tokens, idle,
                  RandomFloats(std::ssize(rows) * shape.heads * shape.head_dim, 1, 1)) {}
  Attention(const Shape& shape, ElementType type, const std::vector<Path>& rows,
            int64_t part_tokens, int64_t idle, const std::vector<float>& queries)
      : shape_(shape),
        rows_(rows),
        queries_("queries", type, queries),
        keys_("keys", type, RandomFloats(kPoolBlocks * 16 * shape.kv_heads * shape.head_dim, 1, 2)),
        values_("values", type,
                RandomFloats(kPoolBlocks * 16 * shape.kv_heads * shape.head_dim, 1, 3)),
        out_("out", type, std::vector<float>(Size() * shape.heads * shape.head_dim, NAN)),
        arrived_("arrived", std::vector<unsigned>(Size() * shape.heads)) {
    std::map<int, int32_t> longest;
    for (const Path& row : rows)
      for (const auto& [list, count] : row) longest[list] = std::max(longest[list], count);
    // Each list of blocks ends with one that no thread may read.
    for (const auto& [list, count] : longest) {
      for (int32_t i = 0; i * 16 < count; ++i)
        blocks_[list].push_back(static_cast<int32_t>((17 * list + 11 * i) % kPoolBlocks));
      blocks_[list].push_back(INT32_MAX);
    }
    std::vector<std::vector<KvPiece>> pieces;
    for (const Path& row : rows) {
      pieces.emplace_back();
      for (const auto& [list, count] : row) pieces.back().push_back({blocks_[list].data(), count});
    }
    plan_.Make(std::vector<std::span<const KvPiece>>(pieces.begin(), pieces.end()),
               {.group = shape.heads / shape.kv_heads,
                .window = shape.window,
                .tiles = type != ElementType::kFloat32,
                .tile_tokens = part_tokens,
                .span_tokens = part_tokens});
    spans_.emplace("spans", plan_.spans);
    tiles_.emplace("tiles", plan_.tiles);
    num_work_.emplace("num_work", std::vector<int32_t>{static_cast<int32_t>(plan_.spans.size()),
                                                       static_cast<int32_t>(plan_.tiles.size())});
    block_lists_.emplace("blocks", plan_.blocks);
    counts_.emplace("counts", plan_.counts);
    lengths_.emplace("lengths", plan_.lengths);
    part_ends_.emplace("part_ends", plan_.part_ends);
    workspace_.emplace("workspace",
                       static_cast<std::size_t>(
                           plan_.parts() * DecodeAttentionWorkspace(shape.heads, shape.head_dim)));
    task_ = {.type = type,
             .rows = Size(),
             .heads = shape.heads,
             .kv_heads = shape.kv_heads,
             .head_dim = shape.head_dim,
             .scale = shape.scale,
             .window = shape.window,
             .queries = queries_.data(),
             .keys = keys_.data(),
             .values = values_.data(),
             .out = out_.data(),
             .spans = spans_->data(),
             .tiles = tiles_->data(),
             .num_work = num_work_->data(),
             .max_spans = std::ssize(plan_.spans) + idle,
             .max_tiles = plan_.tiles.empty() ? 0 : std::ssize(plan_.tiles) + idle,
             .blocks = block_lists_->data(),
             .counts = counts_->data(),
             .lengths = lengths_->data(),
             .part_ends = part_ends_->data(),
             .workspace = workspace_->data(),
             .arrived = arrived_.data()};
  }

  const DecodeAttention& task() const { return task_; }
  // [rows, heads * head_dim]
  std::vector<float> out() const { return out_.values(); }

  // Compares the result with the reference and records the largest difference.
  void Check(double bound) const {
    const auto out = out_.values(), queries = queries_.values(), keys = keys_.values(),
               values = values_.values();
    double worst = 0;
    for (int64_t r = 0; r < Size(); ++r)
      for (int64_t h = 0; h < shape_.heads; ++h) {
        const auto want = Reference(r, h, queries, keys, values);
        for (int64_t d = 0; d < shape_.head_dim; ++d) {
          const double got = out[(r * shape_.heads + h) * shape_.head_dim + d];
          ASSERT_NEAR(got, want[d], bound) << Name(task_.type) << ", row " << r << ", head " << h
                                           << ", dim " << d << " of " << shape_.head_dim;
          worst = std::max(worst, std::abs(got - want[d]));
        }
      }
    EXPECT_THAT(arrived_.values(), Each(0)) << "the next launch counts from 0";
    ::testing::Test::RecordProperty("worst_" + Name(task_.type), std::to_string(worst));
  }

 private:
  int64_t Size() const { return std::ssize(rows_); }

  // Returns attention of row r and head h by its definition, in double precision.
  std::vector<double> Reference(int64_t r, int64_t h, const std::vector<float>& queries,
                                const std::vector<float>& keys,
                                const std::vector<float>& values) const {
    std::vector<int64_t> slots;
    for (const auto& [list, count] : rows_[r])
      for (int32_t i = 0; i < count; ++i)
        slots.push_back(int64_t{blocks_.at(list)[i / 16]} * 16 + i % 16);
    const int64_t dim = shape_.head_dim, kv = h / (shape_.heads / shape_.kv_heads),
                  length = std::ssize(slots);
    std::vector<double> out(dim);
    double sum = 0;
    for (int64_t t = shape_.window > 0 ? std::max<int64_t>(0, length - shape_.window) : 0;
         t < length; ++t) {
      const int64_t at = (slots[t] * shape_.kv_heads + kv) * dim;
      double score = 0;
      for (int64_t d = 0; d < dim; ++d)
        score += double{queries[(r * shape_.heads + h) * dim + d]} * keys[at + d];
      const double weight = std::exp(score * shape_.scale);
      sum += weight;
      for (int64_t d = 0; d < dim; ++d) out[d] += weight * values[at + d];
    }
    for (double& x : out) x = sum == 0 ? 0 : x / sum;
    return out;
  }

  Shape shape_;
  std::vector<Path> rows_;
  std::map<int, std::vector<int32_t>> blocks_;
  AttentionPlan plan_;
  Elements queries_, keys_, values_, out_;
  std::optional<DeviceArray<AttentionSpan>> spans_;
  std::optional<DeviceArray<AttentionTile>> tiles_;
  std::optional<DeviceArray<int32_t>> num_work_, block_lists_, counts_, lengths_, part_ends_;
  std::optional<DeviceArray<float>> workspace_;
  DeviceArray<unsigned> arrived_;
  DecodeAttention task_;
};

// Returns the error bound: sums of a few hundred float32 terms below 1, a rounding of the weights
// of tiles, and one of the result to the element type.
double Bound(ElementType type) {
  return 4e-6 + (type == ElementType::kFloat32 ? 0 : 2 * Rounding(type));
}

constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBfloat16,
                                  ElementType::kFloat16};

// Makes rows from pairs (tokens of the trunk that the row begins with, tokens of its own after
// that).
std::vector<Path> Leave(const std::vector<std::pair<int32_t, int32_t>>& rows) {
  std::vector<Path> paths;
  for (const auto& [at, own] : rows) {
    paths.emplace_back();
    if (at > 0) paths.back().push_back({0, at});
    if (own > 0) paths.back().push_back({static_cast<int>(paths.size()), own});
  }
  return paths;
}

// Rows that leave the trunk within blocks, at their edges and at the beginning, with and without
// tokens of their own.
const std::vector<std::pair<int32_t, int32_t>> kLeaving = {
    {100, 1}, {100, 17}, {100, 40}, {97, 3}, {96, 16}, {81, 5}, {64, 33},
    {5, 2},   {1, 1},    {100, 0},  {0, 7},  {0, 0},   {33, 48}};

const std::vector<cuda_on_cpu::Schedule> kTwoSchedules = {cuda_on_cpu::Schedule::kForward,
                                                          cuda_on_cpu::Schedule::kRandom};

class CudaDecodeAttention : public ::testing::TestWithParam<Shape> {};

TEST_P(CudaDecodeAttention, MatchesReference) {
  for (const ElementType type : kTypes) {
    const cuda_on_cpu::ScopedSchedules schedules(kTwoSchedules);
    Attention attention(GetParam(), type, Leave(kLeaving), 64);
    LaunchDecodeAttention(attention.task(), nullptr);
    attention.Check(Bound(type));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaDecodeAttention,
                         ::testing::Values(Shape{6, 2, 32}, Shape{4, 4, 80}, Shape{6, 1, 4},
                                           Shape{2, 2, 20, 30}, Shape{2, 1, 128, 37},
                                           Shape{20, 1, 16}, Shape{3, 1, 7}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return "Heads" + std::to_string(s.heads) + "Of" +
                                  std::to_string(s.kv_heads) + "Dim" + std::to_string(s.head_dim) +
                                  "Window" + std::to_string(s.window);
                         });

TEST(CudaDecodeAttention, RowsMayLeaveTheTrunkAnywhere) {
  std::vector<std::pair<int32_t, int32_t>> rows;
  for (int32_t leave = 1; leave <= 50; ++leave) rows.push_back({leave, leave % 4});
  for (const ElementType type : {ElementType::kFloat32, ElementType::kBfloat16}) {
    Attention attention({2, 1, 8}, type, Leave(rows), 32);
    LaunchDecodeAttention(attention.task(), nullptr);
    attention.Check(Bound(type));
  }
}

TEST(CudaDecodeAttention, OneRowAndNoTrunk) {
  for (const auto& rows : {Leave({{19, 3}}), Leave({{1, 0}}), Leave({{0, 20}, {0, 1}})}) {
    Attention attention({4, 2, 16}, ElementType::kFloat32, rows, 256);
    LaunchDecodeAttention(attention.task(), nullptr);
    attention.Check(4e-6);
  }
}

// Trunks that begin with other trunks, two separate ones, and a row that shares a trunk with rows
// that are not its neighbours.
TEST(CudaDecodeAttention, TreesOfTrunks) {
  const std::vector<Path> rows = {{{0, 50}, {1, 20}, {10, 3}},
                                  {{0, 50}, {1, 20}, {11, 18}},
                                  {{0, 50}, {1, 7}, {12, 1}},
                                  {{0, 50}, {2, 33}},
                                  {{0, 49}, {13, 2}},
                                  {{3, 70}, {14, 1}},
                                  {{3, 70}, {4, 1}, {5, 40}},
                                  {{0, 50}, {1, 20}, {15, 5}},
                                  {},
                                  {{3, 16}}};
  const cuda_on_cpu::ScopedSchedules schedules(kTwoSchedules);
  for (const ElementType type : {ElementType::kFloat32, ElementType::kFloat16})
    for (const int64_t window : {0, 30, 64})
      for (const int64_t part : {32, 64, 256}) {
        Attention attention({6, 2, 16, window}, type, rows, part);
        LaunchDecodeAttention(attention.task(), nullptr);
        attention.Check(Bound(type));
      }
}

TEST(CudaDecodeAttention, RandomForests) {
  const cuda_on_cpu::ScopedSchedules schedules({cuda_on_cpu::Schedule::kForward});
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    RandomStream random(seed, 3);
    std::vector<Path> rows;
    int next = 10;
    for (int trunk = 0; trunk < 2; ++trunk) {
      const Path stem = {{trunk, static_cast<int32_t>(1 + random.Below(90))},
                         {2 + trunk, static_cast<int32_t>(1 + random.Below(40))}};
      for (int64_t i = random.Below(9); i-- > 0;) {
        Path row(stem.begin(), stem.begin() + 1 + random.Below(2));
        row.back().second = static_cast<int32_t>(1 + random.Below(row.back().second));
        if (random.Below(3) > 0)
          row.push_back({next++, static_cast<int32_t>(1 + random.Below(35))});
        rows.push_back(row);
      }
    }
    rows.push_back({{next, 1}});
    const int64_t window = random.Below(2) * (1 + random.Below(80));
    const int64_t part = 32 * (1 + random.Below(4)), idle = random.Below(5);
    for (const ElementType type : {ElementType::kFloat32, ElementType::kBfloat16}) {
      Attention attention({4, 2, 8, window}, type, rows, part, idle);
      LaunchDecodeAttention(attention.task(), nullptr);
      attention.Check(Bound(type));
    }
  }
}

// Exponentials of these scores overflow unless the largest score is subtracted first.
TEST(CudaDecodeAttention, LargeScores) {
  for (const ElementType type : {ElementType::kFloat32, ElementType::kBfloat16}) {
    Attention attention({.heads = 2, .kv_heads = 1, .head_dim = 32, .scale = 100}, type,
                        Leave(kLeaving), 32);
    LaunchDecodeAttention(attention.task(), nullptr);
    attention.Check(4e-4 + Bound(type));  // scores of 1000 are exact to 6e-5
  }
}

// The row computed alone and the first of several have the same queries, keys and values. (In 16
// bits the row may be computed by a tile or by spans, which round differently.)
TEST(CudaDecodeAttention, CompanyChangesNoBit) {
  const cuda_on_cpu::ScopedSchedules schedules({cuda_on_cpu::Schedule::kForward});
  for (const int64_t window : {0, 37})
    for (const auto& first : kLeaving) {
      Attention alone({4, 2, 16, window}, ElementType::kFloat32, Leave({first}), 64);
      Attention among({4, 2, 16, window}, ElementType::kFloat32,
                      Leave({first, {100, 40}, {5, 2}, {64, 33}, {97, 3}}), 64);
      LaunchDecodeAttention(alone.task(), nullptr);
      LaunchDecodeAttention(among.task(), nullptr);
      const auto all = among.out();
      EXPECT_EQ(alone.out(), std::vector<float>(all.begin(), all.begin() + 4 * 16))
          << first.first << ", " << first.second;
    }
}

TEST(CudaDecodeAttention, NanStaysNan) {
  std::vector<float> queries = RandomFloats(2 * 2 * 16, 1, 1);
  queries[3] = NAN;
  Attention attention({2, 1, 16}, ElementType::kFloat32, Leave({{40, 3}, {40, 3}}), 32,
                      /*idle_tiles=*/2, queries);
  LaunchDecodeAttention(attention.task(), nullptr);
  const auto out = attention.out();
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i < 16) << i;
}

// Lanes without a token read the last one, and lanes without an element the first ones. What they
// read counts nothing, even where it is infinite.
TEST(CudaDecodeAttention, InfinityStaysWhereItIs) {
  constexpr int64_t kDim = 24, kTokens = 3;
  constexpr std::size_t kLast = (17 % kPoolBlocks * 16 + kTokens - 1) * kDim;  // of list 1
  for (const ElementType type : kTypes) {
    Attention attention({1, 1, kDim}, type, Leave({{0, kTokens}}), 32);
    std::vector<float> numbers = RandomFloats(kPoolBlocks * 16 * kDim, 1, 3);
    numbers[kLast] = INFINITY;
    Elements values("values", type, numbers);
    DecodeAttention task = attention.task();
    task.values = values.data();
    LaunchDecodeAttention(task, nullptr);
    const auto out = attention.out();
    for (std::size_t i = 0; i < out.size(); ++i)
      EXPECT_EQ(std::isinf(out[i]), i == 0) << Name(type) << ", " << i << ": " << out[i];
    numbers = RandomFloats(kPoolBlocks * 16 * kDim, 1, 3);
    numbers[kLast] = -INFINITY;
    Elements keys("keys", type, numbers);
    task = attention.task();
    task.keys = keys.data();
    std::vector<float> ones(kDim, 1);
    Elements queries("queries", type, ones);
    task.queries = queries.data();
    LaunchDecodeAttention(task, nullptr);  // the last token has no weight
    for (const float x : attention.out()) EXPECT_TRUE(std::isfinite(x)) << Name(type);
  }
}

TEST(CudaDecodeAttention, RefusesShapes) {
  const Attention attention({4, 2, 16}, ElementType::kFloat32, Leave({{16, 1}}), 256);
  const auto refused = [&](auto change) {
    DecodeAttention task = attention.task();
    change(task);
    EXPECT_THROW(LaunchDecodeAttention(task, nullptr), Error);
  };
  refused([](auto& t) { t.head_dim = 129; });
  refused([](auto& t) { t.kv_heads = 3; });
  refused([](auto& t) { t.max_tiles = 1; });  // float32
  const std::vector<std::span<const KvPiece>> none;
  EXPECT_THROW(AttentionPlan().Make(none, {.tile_tokens = 40}), Error);
  EXPECT_THROW(AttentionPlan().Make(none, {.group = 0}), Error);
}

#ifndef PIVOTAL_CUDA_ON_GPU
// Returns what the launch of a copy with a planted mistake fails with.
std::string Failure(void (*launch)(const DecodeAttention&, void*)) {
  const Attention attention({6, 2, 32}, ElementType::kBfloat16, Leave(kLeaving), 64);
  try {
    launch(attention.task(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "nothing found";
}

TEST(CudaDecodeAttention, AMissingBarrierIsFound) {
  EXPECT_THAT(Failure(AttentionWithoutBarrier), HasSubstr("kernel Attend"));
  EXPECT_THAT(Failure(AttentionWithoutBarrier),
              HasSubstr(cuda_on_cpu::WatchesAccesses() ? "with no barrier between"
                                                       : "depends on the order"));
}
TEST(CudaDecodeAttention, AMissingBarrierOfAWarpIsFound) {
  if (!cuda_on_cpu::WatchesAccesses()) GTEST_SKIP() << "accesses aren't watched in this build";
  EXPECT_THAT(Failure(AttentionWithoutWarpBarrier), HasSubstr("with no barrier between"));
}
TEST(CudaDecodeAttention, AnAccessOutOfBoundsIsFound) {
  EXPECT_THAT(Failure(AttentionOutOfBounds), HasSubstr("of spans ("));
}
TEST(CudaDecodeAttention, AMissingFenceIsFound) {
  if (!cuda_on_cpu::WatchesAccesses()) GTEST_SKIP() << "accesses aren't watched in this build";
  EXPECT_THAT(Failure(AttentionWithoutFence),
              HasSubstr("reads what another block wrote, with no barrier between"));
}
TEST(CudaDecodeAttention, ABarrierThatAWarpMissesIsFound) {
  EXPECT_THAT(Failure(AttentionWithAWarpAstray), HasSubstr("not all threads reach a barrier"));
}
TEST(CudaDecodeAttention, CopiesThatNobodyWaitsForAreFound) {
  EXPECT_THAT(Failure(AttentionWithoutWaiting), HasSubstr("before copies that it started"));
}
TEST(CudaDecodeAttention, ADivergentShuffleIsFound) {
  EXPECT_THAT(Failure(AttentionWithALaneAstray), HasSubstr("divergent warp"));
}
#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
