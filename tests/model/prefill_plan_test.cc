// Apache-2.0.
#include "model/prefill_plan.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <utility>
#include <vector>

#include "tests/support/ragged_formula.h"

namespace pivotal::model {
namespace {

using ::testing::ElementsAre;

// Rows of sequences whose tokens lie in lists of blocks.
class Rows {
 public:
  // Adds rows for tokens [first, end) of a sequence: `shared` tokens of `trunk`, then `blocks`.
  void Add(const std::vector<int32_t>& trunk, int32_t shared, const std::vector<int32_t>& blocks,
           int64_t first, int64_t end) {
    for (int64_t at = first; at < end; ++at) {
      auto& pieces = pieces_.emplace_back();
      if (shared > 0)
        pieces.push_back({trunk.data(), static_cast<int32_t>(std::min<int64_t>(shared, at + 1))});
      if (at >= shared) pieces.push_back({blocks.data(), static_cast<int32_t>(at + 1 - shared)});
      rows.push_back({0, at, false, pieces});
    }
  }
  std::vector<DecodeRow> rows;

 private:
  std::deque<std::vector<kernels::KvPiece>> pieces_;
};

const std::vector<int32_t> kTrunk = {5, 2, 9}, kOne = {1, 7}, kOther = {3, 4}, kThird = {6, 8};

TEST(PlanPrefill, RowsOfOneSequenceAreOne) {
  Rows rows;
  rows.Add({}, 0, kTrunk, 0, 20);
  rows.Add({}, 0, kOne, 10, 18);  // its first ten tokens are computed already
  const auto plan = PlanPrefill(rows.rows);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->query_starts, ElementsAre(0, 20, 28));
  EXPECT_THAT(plan->key_starts, ElementsAre(0, 20, 38));
  EXPECT_EQ(plan->max_queries, 20);
  EXPECT_EQ(plan->max_keys, 20);
  EXPECT_EQ(plan->keys[0], 5 * 16);
  EXPECT_EQ(plan->keys[19], 2 * 16 + 3);
  EXPECT_EQ(plan->keys[37], 7 * 16 + 1);
}

// A trunk and two that continue it after 18 and 20 of its tokens, in one pass. The second one goes
// on where the first has ended by position, but in another sequence.
TEST(PlanPrefill, TrunksThatContinueOneAnother) {
  Rows rows;
  rows.Add({}, 0, kTrunk, 0, 20);
  rows.Add(kTrunk, 18, kOne, 18, 20);
  rows.Add(kTrunk, 20, kOther, 20, 25);
  const auto plan = PlanPrefill(rows.rows);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->query_starts, ElementsAre(0, 20, 22, 27));
  EXPECT_THAT(plan->key_starts, ElementsAre(0, 20, 40, 65));
  EXPECT_EQ(plan->keys[20 + 17], 2 * 16 + 1);
  EXPECT_EQ(plan->keys[20 + 18], 1 * 16);
}

// A trunk and its continuation are one sequence if the one goes on at the other's end.
TEST(PlanPrefill, AContinuationAtTheEnd) {
  Rows rows;
  rows.Add({}, 0, kTrunk, 0, 20);
  rows.Add(kTrunk, 20, kOne, 20, 30);
  const auto plan = PlanPrefill(rows.rows);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->query_starts, ElementsAre(0, 30));
  EXPECT_EQ(std::ssize(plan->keys), 30);
}

TEST(PlanPrefill, ManyShortRowsOnALongPastDoNotSuit) {
  Rows rows;
  for (const auto* own : {&kOne, &kOther, &kThird}) rows.Add(kTrunk, 40, *own, 40, 42);
  EXPECT_FALSE(PlanPrefill(rows.rows));
}

// Compares with the definition in double precision, query by query.
TEST(PlanPrefill, GivesAttentionOfEachRowToItsPast) {
  Rows rows;
  rows.Add({}, 0, kTrunk, 0, 40);
  rows.Add(kTrunk, 33, kOne, 33, 50);
  rows.Add({}, 0, kOther, 5, 21);
  const auto plan = PlanPrefill(rows.rows);
  ASSERT_TRUE(plan);
  const int64_t heads = 4, kv_heads = 2, dim = 8;
  const at::Tensor query = at::randn({std::ssize(rows.rows), heads, dim}),
                   keys = at::randn({10 * 16 + 1, kv_heads, dim}), values = at::randn_like(keys);
  for (const int64_t window : {0, 7}) {
    const at::Tensor out =
        RaggedAttention(*plan, 0.4, window, at::kCPU, testing::ByFormula)(query, keys, values)
            .view_as(query);
    ASSERT_EQ(out.sizes(), query.sizes());
    for (int64_t r = 0; r < std::ssize(rows.rows); ++r) {
      std::vector<int64_t> slots;
      for (const auto& piece : rows.rows[r].pieces)
        for (int32_t i = 0; i < piece.count; ++i)
          slots.push_back(piece.blocks[i / 16] * 16 + i % 16);
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = h / 2;
        std::vector<double> want(dim);
        double sum = 0;
        const int64_t first = window > 0 ? std::max<int64_t>(0, std::ssize(slots) - window) : 0;
        for (std::size_t t = first; t < slots.size(); ++t) {
          const double score = (query[r][h].to(at::kDouble) * keys[slots[t]][kv].to(at::kDouble))
                                   .sum()
                                   .item<double>();
          const double weight = std::exp(0.4 * score);
          sum += weight;
          const at::Tensor value = values[slots[t]][kv];
          for (int64_t d = 0; d < dim; ++d)
            want[d] += weight * double{value.const_data_ptr<float>()[d]};
        }
        for (int64_t d = 0; d < dim; ++d)
          ASSERT_NEAR(out[r][h][d].item<float>(), want[d] / sum, 1e-5)
              << "window " << window << ", row " << r << ", head " << h;
      }
    }
  }
}

}  // namespace
}  // namespace pivotal::model
