// Apache-2.0. Fuzzes config.json, and generation_config.json behind a line "---": the sizes that a
// config may have are safe for what is computed from them, attention on a CPU included.
#include <algorithm>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "model/config_file.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace pivotal;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

void CheckSizes(const model::PhiConfig& c) {
  Require(c.num_attention_heads % c.num_key_value_heads == 0);
  Require(c.rotary_dim() >= 2 && c.rotary_dim() <= c.head_dim && c.rotary_dim() % 2 == 0);
  Require(c.rope.short_factor.size() == c.rope.long_factor.size());
  for (int64_t size : {c.vocab_size, c.hidden_size, c.intermediate_size, c.num_hidden_layers,
                       c.num_attention_heads, c.head_dim, c.max_position_embeddings})
    Require(size > 0 && size <= int64_t{1} << 24);
}

// Attends from the queries of one key head to a few tokens.
void Attend(const model::PhiConfig& c) {
  kernels::AttentionShape shape;
  shape.heads = c.num_attention_heads / c.num_key_value_heads;
  shape.head_dim = c.head_dim;
  shape.window = c.sliding_window;
  shape.sparse_block = c.block_sparse.block;
  shape.sparse_local = c.block_sparse.local_blocks;
  shape.sparse_stride = c.block_sparse.vertical_stride;
  const auto length =
      static_cast<int32_t>(std::min<int64_t>(c.max_position_embeddings, 1 + c.vocab_size % 40));
  const int64_t workspace = kernels::AttentionWorkspace(shape, length);
  const int64_t width = shape.heads * shape.head_dim;
  constexpr int64_t kMost = 1 << 22;  // floats
  if (workspace > kMost || width > kMost || 3 * shape.block_size() > kMost) return;
  const auto floats = [](int64_t size) {
    return std::vector<float>(static_cast<std::size_t>(size));
  };
  auto memory = floats(3 * shape.block_size()), query = floats(width), out = floats(width),
       work = floats(workspace);
  const kernels::KvLayer layer = {&shape, memory.data()};
  const int32_t blocks[] = {2, 0, 1};
  const kernels::KvPiece piece = {blocks, length};
  const kernels::AttentionRow row = {query.data(), out.data(), &piece, 1, length};
  kernels::kPortableKernels.attend({&shape, &layer, &row, 1, 0, work.data()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text = testing::Text(data, size);
  const auto cut = text.find("\n---\n");
  const auto& folder = testing::Folder();
  folder.Write("config.json", text.substr(0, cut));
  folder.Write("generation_config.json",
               cut == std::string_view::npos ? "{}" : text.substr(cut + 5));
  testing::AllowError([&] {
    const model::PhiConfig config = model::LoadPhiConfig(folder.path());
    CheckSizes(config);
    Attend(config);
    model::CopyPhiConfig(config, folder.path(), "float32", folder.path());
    CheckSizes(model::LoadPhiConfig(folder.path()));
  });
  return 0;
}
