// Apache-2.0. The kernel's source runs on the CPU (tests/kernels/cuda_on_cpu.h); it has not run on a GPU.
#include "kernels/cuda/decode_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Copies of the source with a mistake each (CMakeLists.txt).
void AttentionWithoutBarrier(const DecodeAttention& task, void* stream);
void AttentionOutOfBounds(const DecodeAttention& task, void* stream);
void AttentionWithAWarpAstray(const DecodeAttention& task, void* stream);
void AttentionWithALaneAstray(const DecodeAttention& task, void* stream);

namespace {

using cuda_on_cpu::DeviceArray;
using ::testing::HasSubstr;

struct Shape {
  int64_t heads, kv_heads, head_dim, window = 0;
  float scale = 0.3f;
};

// Where a row leaves the trunk, and the tokens that it has for itself.
using Leaving = std::vector<std::pair<int32_t, int32_t>>;

class Attention {
 public:
  Attention(const Shape& shape, ElementType type, int32_t trunk, const Leaving& rows, int64_t part_tokens)
      : shape_(shape), rows_(rows), stride_(3), places_(40 * 16),
        queries_("queries", type, RandomFloats(Size() * shape.heads * shape.head_dim, 1, 1)),
        keys_("keys", type, RandomFloats(places_ * shape.kv_heads * shape.head_dim, 1, 2)),
        values_("values", type, RandomFloats(places_ * shape.kv_heads * shape.head_dim, 1, 3)),
        out_("out", type, std::vector<float>(Size() * shape.heads * shape.head_dim, NAN)) {
    // Blocks of the trunk from the end of the pool, of rows from its beginning; nobody may read what has no tokens.
    for (int32_t i = 0; i < (trunk + 15) / 16; ++i) trunk_blocks_.push_back(39 - i * 3 % 8);
    for (std::size_t r = 0; r < rows.size(); ++r)
      for (int32_t i = 0; i < stride_; ++i)
        suffix_blocks_.push_back(i * 16 < rows[r].second ? static_cast<int32_t>((7 * r + 5 * i) % 31) : INT32_MAX);
    std::vector<int32_t> leave, own;
    for (const auto& [at, tokens] : rows) leave.push_back(at), own.push_back(tokens);
    task_ = {.type = type, .rows = Size(), .heads = shape.heads, .kv_heads = shape.kv_heads, .head_dim = shape.head_dim,
             .scale = shape.scale, .window = shape.window, .queries = queries_.data(), .keys = keys_.data(),
             .values = values_.data(), .out = out_.data(), .trunk_length = trunk, .suffix_stride = stride_,
             .part_tokens = part_tokens};
    leave_.emplace("leave", leave);
    own_.emplace("suffix lengths", own);
    trunk_.emplace("trunk blocks", trunk_blocks_);
    suffixes_.emplace("suffix blocks", suffix_blocks_);
    workspace_.emplace("workspace", static_cast<std::size_t>(DecodeAttentionWorkspace(task_)));
    task_.leave = leave_->data();
    task_.suffix_lengths = own_->data();
    task_.trunk_blocks = trunk_->data();
    task_.suffix_blocks = suffixes_->data();
    task_.workspace = workspace_->data();
  }

  const DecodeAttention& task() const { return task_; }
  // [rows, heads * head_dim]
  std::vector<float> out() const { return out_.values(); }
  void SetQuery(std::size_t i, float x) { static_cast<float*>(queries_.data())[i] = x; }

  // The largest distance from the plain twin in double, beside what `type` may be off.
  void Check(double bound) const {
    const auto out = out_.values(), queries = queries_.values(), keys = keys_.values(), values = values_.values();
    double worst = 0;
    for (int64_t r = 0; r < Size(); ++r)
      for (int64_t h = 0; h < shape_.heads; ++h) {
        const auto want = Twin(r, h, queries, keys, values);
        for (int64_t d = 0; d < shape_.head_dim; ++d) {
          const double got = out[(r * shape_.heads + h) * shape_.head_dim + d];
          ASSERT_NEAR(got, want[d], bound) << Name(task_.type) << ", row " << r << ", head " << h << ", dim " << d << " of "
                                           << shape_.head_dim;
          worst = std::max(worst, std::abs(got - want[d]));
        }
      }
    ::testing::Test::RecordProperty("worst_" + Name(task_.type), std::to_string(worst));
  }

 private:
  int64_t Size() const { return std::ssize(rows_); }

  std::vector<double> Twin(int64_t r, int64_t h, const std::vector<float>& queries, const std::vector<float>& keys,
                           const std::vector<float>& values) const {
    std::vector<int64_t> places;
    for (int32_t i = 0; i < rows_[r].first; ++i) places.push_back(trunk_blocks_[i / 16] * 16 + i % 16);
    for (int32_t i = 0; i < rows_[r].second; ++i) places.push_back(suffix_blocks_[r * stride_ + i / 16] * 16 + i % 16);
    const int64_t dim = shape_.head_dim, kv = h / (shape_.heads / shape_.kv_heads), length = std::ssize(places);
    std::vector<double> out(dim);
    double sum = 0;
    for (int64_t t = shape_.window > 0 ? std::max<int64_t>(0, length - shape_.window) : 0; t < length; ++t) {
      const int64_t at = (places[t] * shape_.kv_heads + kv) * dim;
      double score = 0;
      for (int64_t d = 0; d < dim; ++d) score += double{queries[(r * shape_.heads + h) * dim + d]} * keys[at + d];
      const double weight = std::exp(score * shape_.scale);
      sum += weight;
      for (int64_t d = 0; d < dim; ++d) out[d] += weight * values[at + d];
    }
    for (double& x : out) x = sum == 0 ? 0 : x / sum;
    return out;
  }

  Shape shape_;
  Leaving rows_;
  int64_t stride_, places_;
  std::vector<int32_t> trunk_blocks_, suffix_blocks_;
  Elements queries_, keys_, values_, out_;
  std::optional<DeviceArray<int32_t>> leave_, own_, trunk_, suffixes_;
  std::optional<DeviceArray<float>> workspace_;
  DecodeAttention task_;
};

// Sums of a few hundred float32 terms below 1, and one rounding to the element type.
double Bound(ElementType type) { return 4e-6 + (type == ElementType::kFloat32 ? 0 : Rounding(type)); }

constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBfloat16, ElementType::kFloat16};

// Within blocks and at their edges, at the beginning, with and without tokens of their own.
const Leaving kLeaving = {{100, 1}, {100, 17}, {100, 40}, {97, 3}, {96, 16}, {81, 5}, {64, 33},
                          {5, 2},   {1, 1},    {100, 0},  {0, 7},  {0, 0},   {33, 48}};

class CudaDecodeAttention : public ::testing::TestWithParam<Shape> {};

TEST_P(CudaDecodeAttention, IsTheTwins) {
  for (const ElementType type : kTypes) {
    if (type != ElementType::kFloat32 && GetParam().head_dim % 32 != 0) continue;  // loads and stores are the same
    Attention attention(GetParam(), type, 100, kLeaving, 64);
    LaunchDecodeAttention(attention.task(), nullptr);
    attention.Check(Bound(type));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CudaDecodeAttention,
                         ::testing::Values(Shape{6, 2, 32}, Shape{4, 4, 80}, Shape{6, 1, 4}, Shape{2, 2, 20, 30},
                                           Shape{2, 1, 128, 37}, Shape{20, 1, 16}, Shape{3, 1, 7}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return "Heads" + std::to_string(s.heads) + "Of" + std::to_string(s.kv_heads) + "Dim" +
                                  std::to_string(s.head_dim) + "Window" + std::to_string(s.window);
                         });

TEST(CudaDecodeAttention, EveryPlaceToLeave) {
  Leaving rows;
  for (int32_t leave = 1; leave <= 50; ++leave) rows.push_back({leave, leave % 4});
  Attention attention({2, 1, 8}, ElementType::kFloat32, 50, rows, 32);
  LaunchDecodeAttention(attention.task(), nullptr);
  attention.Check(4e-6);
}

TEST(CudaDecodeAttention, OneRowAndNoTrunk) {
  for (const Leaving& rows : {Leaving{{19, 3}}, Leaving{{1, 0}}}) {
    Attention one({4, 2, 16}, ElementType::kFloat32, rows[0].first, rows, 256);
    LaunchDecodeAttention(one.task(), nullptr);
    one.Check(4e-6);
  }
  Attention none({4, 2, 16}, ElementType::kFloat32, 0, {{0, 20}, {0, 1}}, 256);
  LaunchDecodeAttention(none.task(), nullptr);
  none.Check(4e-6);
}

// Scores far apart: without the largest taken off they would overflow.
TEST(CudaDecodeAttention, LargeScores) {
  Attention attention({.heads = 2, .kv_heads = 1, .head_dim = 32, .scale = 100}, ElementType::kFloat32, 100, kLeaving, 32);
  LaunchDecodeAttention(attention.task(), nullptr);
  attention.Check(4e-4);  // scores of 1000 are exact to 6e-5
}

// A row alone reads the keys that it reads among others: it has the first one's queries and blocks.
TEST(CudaDecodeAttention, CompanyChangesNoBit) {
  const cuda_on_cpu::ScopedSchedules schedules({cuda_on_cpu::Schedule::kForward});
  for (const int64_t window : {0, 37})
    for (const auto& first : kLeaving) {
      const Leaving rows = {first, {100, 40}, {5, 2}, {64, 33}, {97, 3}};
      Attention alone({4, 2, 16, window}, ElementType::kFloat32, 100, {first}, 64);
      Attention among({4, 2, 16, window}, ElementType::kFloat32, 100, rows, 64);
      LaunchDecodeAttention(alone.task(), nullptr);
      LaunchDecodeAttention(among.task(), nullptr);
      const auto all = among.out();
      EXPECT_EQ(alone.out(), std::vector<float>(all.begin(), all.begin() + 4 * 16)) << first.first << ", " << first.second;
    }
}

TEST(CudaDecodeAttention, NanStaysNan) {
  Attention attention({2, 1, 16}, ElementType::kFloat32, 40, {{40, 3}, {40, 3}}, 32);
  attention.SetQuery(3, NAN);
  LaunchDecodeAttention(attention.task(), nullptr);
  const auto out = attention.out();
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i < 16) << i;
}

TEST(CudaDecodeAttention, RefusesShapes) {
  const Attention attention({4, 2, 16}, ElementType::kFloat32, 16, {{16, 1}}, 256);
  const auto refused = [&](auto change) {
    DecodeAttention task = attention.task();
    change(task);
    EXPECT_THROW(LaunchDecodeAttention(task, nullptr), std::invalid_argument);
  };
  refused([](auto& t) { t.head_dim = 129; });
  refused([](auto& t) { t.kv_heads = 3; });
  refused([](auto& t) { t.part_tokens = 40; });
}

// A mistake planted into a copy of the source is found.
std::string Failure(void (*launch)(const DecodeAttention&, void*)) {
  const Attention attention({6, 2, 32}, ElementType::kFloat32, 100, kLeaving, 64);
  try {
    launch(attention.task(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "nothing found";
}

TEST(CudaDecodeAttention, AMissingBarrierIsFound) {
  EXPECT_THAT(Failure(AttentionWithoutBarrier), HasSubstr("kernel AttendPart"));
  EXPECT_THAT(Failure(AttentionWithoutBarrier),
              HasSubstr(cuda_on_cpu::WatchesAccesses() ? "with no barrier between" : "depends on the order"));
}
TEST(CudaDecodeAttention, AnAccessOutOfBoundsIsFound) {
  EXPECT_THAT(Failure(AttentionOutOfBounds), HasSubstr("out of bounds: index 7956 of workspace"));
}
TEST(CudaDecodeAttention, ABarrierThatAWarpMissesIsFound) {
  EXPECT_THAT(Failure(AttentionWithAWarpAstray), HasSubstr("not all threads reach a barrier"));
}
TEST(CudaDecodeAttention, ADivergentShuffleIsFound) {
  EXPECT_THAT(Failure(AttentionWithALaneAstray), HasSubstr("divergent warp"));
}

}  // namespace
}  // namespace pivotal::kernels::cuda
