// Apache-2.0.
#include "kernels/paged_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"

namespace pivotal::kernels {
namespace {

// Sequences of random keys and values: a trunk in scattered blocks, and rows that begin with part
// of it.
class Attention : public ::testing::TestWithParam<Isa> {
 protected:
  static constexpr int64_t kBlocks = 40;

  void Make(const AttentionShape& shape) {
    shape_ = shape;
    RandomStream random(1, 2);
    const auto fill = [&](std::vector<float>& values, int64_t size) {
      values.resize(static_cast<std::size_t>(size));
      for (float& v : values) v = static_cast<float>(2 * random.Uniform() - 1);
    };
    fill(memory_, kBlocks * shape.block_size());
    fill(queries_, 64 * shape.heads * shape.head_dim);
    layer_ = {&shape_, memory_.data()};
  }

  double Key(int64_t head, int32_t block, int64_t token, int64_t d) const {
    return layer_.keys(block, head)[d * 16 + token];
  }
  double Value(int64_t head, int32_t block, int64_t token, int64_t d) const {
    return layer_.values(block, head)[token * shape_.padded_dim() + d];
  }

  // Returns attention of one head by its definition, in double precision.
  std::vector<double> Reference(const std::vector<KvPiece>& pieces, const float* query,
                                int64_t head) const {
    const int64_t kv = head / shape_.group();
    std::vector<std::pair<int32_t, int64_t>> slots;  // block and token
    for (const KvPiece& piece : pieces)
      for (int32_t i = 0; i < piece.count; ++i) slots.push_back({piece.blocks[i / 16], i % 16});
    const auto length = static_cast<int64_t>(slots.size());
    std::vector<double> weight(slots.size(), 0.0), out(shape_.head_dim, 0.0);
    double sum = 0;
    for (int64_t t = 0; t < length; ++t) {
      if (shape_.window > 0 && t < length - shape_.window) continue;
      if (shape_.sparse_block > 0) {
        const int64_t i = (length - 1) / shape_.sparse_block, j = t / shape_.sparse_block;
        if (!(i - j < shape_.sparse_local ||
              (j + head * shape_.sparse_head_step + 1) % shape_.sparse_stride == 0))
          continue;
      }
      double score = 0;
      for (int64_t d = 0; d < shape_.head_dim; ++d)
        score += query[head * shape_.head_dim + d] * Key(kv, slots[t].first, slots[t].second, d);
      sum += weight[t] = std::exp(score * shape_.scale);
    }
    for (int64_t t = 0; t < length; ++t)
      for (int64_t d = 0; d < shape_.head_dim; ++d)
        out[d] += weight[t] / sum * Value(kv, slots[t].first, slots[t].second, d);
    return out;
  }

  // Computes rows given by their pieces, `tile` of them in each task. Returns [rows, heads,
  // head_dim].
  std::vector<float> Run(const std::vector<std::vector<KvPiece>>& pieces, int64_t tile) const {
    const int64_t width = shape_.heads * shape_.head_dim;
    std::vector<float> out(pieces.size() * static_cast<std::size_t>(width));
    std::vector<AttentionRow> rows;
    for (std::size_t r = 0; r < pieces.size(); ++r) {
      int32_t length = 0;
      for (const KvPiece& piece : pieces[r]) length += piece.count;
      rows.push_back({queries_.data() + r * width, out.data() + r * width, pieces[r].data(),
                      static_cast<int32_t>(pieces[r].size()), length});
    }
    std::vector<float> workspace(static_cast<std::size_t>(AttentionWorkspace(shape_, 400)));
    for (std::size_t first = 0; first < rows.size(); first += tile)
      for (int64_t head = 0; head < shape_.kv_heads; ++head)
        KernelsFor(GetParam())
            .attend({&shape_, &layer_, rows.data() + first,
                     std::min<int64_t>(tile, std::ssize(rows) - static_cast<int64_t>(first)), head,
                     workspace.data()});
    return out;
  }

  // Returns rows that leave the trunk within blocks and at their edges, with 1 to 40 tokens after
  // it.
  std::vector<std::vector<KvPiece>> Leaving() const {
    std::vector<std::vector<KvPiece>> pieces;
    for (const auto& [leave, own] : std::vector<std::pair<int32_t, int32_t>>{
             {100, 1}, {100, 17}, {100, 40}, {97, 3}, {96, 16}, {81, 5}, {64, 33}, {5, 2}})
      pieces.push_back({{trunk_.data(), leave}, {own_.data() + 3 * (std::ssize(pieces) % 8), own}});
    pieces.push_back({{trunk_.data(), 100}});  // the whole trunk alone
    pieces.push_back({{own_.data(), 7}});      // no tokens of the trunk
    pieces.push_back({{trunk_.data(), 40},
                      {own_.data(), 20},
                      {own_.data() + 6, 9}});  // a branch that leaves another one
    return pieces;
  }

  AttentionShape shape_;
  KvLayer layer_ = {};
  std::vector<float> memory_, queries_;
  // Some blocks of these are adjacent, others are not.
  std::vector<int32_t> trunk_ = {3, 4, 5, 1, 9, 10, 0};
  std::vector<int32_t> own_ = {11, 12, 13, 15, 14, 16, 20, 19, 18, 21, 22, 23, 25, 26,
                               24, 30, 28, 29, 31, 32, 33, 36, 35, 34, 37, 38, 39};
};

std::vector<AttentionShape> Shapes() {
  return {{.heads = 6, .kv_heads = 2, .head_dim = 32, .scale = 0.2f},
          {.heads = 4, .kv_heads = 4, .head_dim = 80, .scale = 0.1f},
          {.heads = 6, .kv_heads = 1, .head_dim = 4, .scale = 1},
          {.heads = 300, .kv_heads = 1, .head_dim = 4, .scale = 1},  // more than a tile's queries
          {.heads = 2, .kv_heads = 2, .head_dim = 20, .scale = 0.3f, .window = 30},
          {.heads = 4,
           .kv_heads = 2,
           .head_dim = 16,
           .scale = 0.3f,
           .sparse_block = 8,
           .sparse_local = 2,
           .sparse_stride = 4,
           .sparse_head_step = 1}};
}

TEST_P(Attention, MatchesReference) {
  for (const AttentionShape& shape : Shapes()) {
    Make(shape);
    const auto pieces = Leaving();
    const auto out = Run(pieces, std::max<int64_t>(1, kTileQueries / shape.group()));
    for (std::size_t r = 0; r < pieces.size(); ++r)
      for (int64_t head = 0; head < shape.heads; ++head) {
        const auto want =
            Reference(pieces[r], queries_.data() + r * shape.heads * shape.head_dim, head);
        for (int64_t d = 0; d < shape.head_dim; ++d)
          ASSERT_NEAR(out[(r * shape.heads + head) * shape.head_dim + d], want[d], 3e-6)
              << "row " << r << ", head " << head << ", dim " << d << " of " << shape.head_dim;
      }
  }
}

TEST_P(Attention, CompanyAndPiecesChangeNoBit) {
  for (const AttentionShape& shape : Shapes()) {
    Make(shape);
    const auto pieces = Leaving();
    const auto alone = Run(pieces, 1);
    for (int64_t tile = 2; tile * shape.group() <= kTileQueries; ++tile)
      ASSERT_EQ(Run(pieces, tile), alone) << "tiles of " << tile;
    // The same tokens of the trunk in one piece or in two.
    const std::vector<std::vector<KvPiece>> whole = {{{trunk_.data(), 90}}};
    const std::vector<std::vector<KvPiece>> cut = {{{trunk_.data(), 48}, {trunk_.data() + 3, 42}}};
    EXPECT_EQ(Run(whole, 1), Run(cut, 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, Attention,
                         ::testing::ValuesIn(SupportedIsas().begin(), SupportedIsas().end()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace pivotal::kernels
