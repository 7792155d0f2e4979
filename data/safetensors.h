// Apache-2.0. The safetensors format (https://github.com/huggingface/safetensors), memory-mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

enum class DType { kF32, kF16, kBF16 };
std::size_t ByteSize(DType type);          // of one element
std::string_view DTypeName(DType type);    // "F32", "F16", "BF16"

// One tensor: row-major, little-endian. `bytes` lies in the mapping of the SafetensorsReader that
// gave it, or in the caller's buffer when it is to be written. Files of other writers may hold it
// at any address: copy with memcpy, or check the alignment.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Reads model.safetensors, or the shards that model.safetensors.index.json names, of a folder.
// Header sizes, offsets, shapes and overlaps are checked before anything is touched; a fault gives
// an Error that names the file, the tensor and what was expected. Tensors of other dtypes than
// DType are an Error only when asked for.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& folder);
  // The tensors of one file, whatever its name.
  static SafetensorsReader OfFile(const std::filesystem::path& file);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  std::vector<std::string> Names() const;  // sorted
  bool Contains(std::string_view name) const;
  // Valid as long as the reader lives. Throws Error that names the folder if it has no such tensor.
  TensorView Get(std::string_view name) const;
  // Gives back the memory that reading the tensor's bytes took; they can be read again.
  void Release(std::string_view name) const;
  // The files that were mapped, sorted.
  const std::vector<std::filesystem::path>& Files() const;

 private:
  struct Impl;
  explicit SafetensorsReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Writes one safetensors file (tensors sorted by name, metadata {"format":"pt"} as transformers
// wants it), aside and renamed.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, TensorView>& tensors);

// Writes model.safetensors into `folder` or, where it would be larger than `max_shard_bytes`,
// model-00001-of-0000N.safetensors, ... and model.safetensors.index.json, in the order of the names;
// a tensor larger than that has a shard of its own. Weights of the other form are removed after.
void WriteSafetensorsFolder(const std::filesystem::path& folder,
                            const std::map<std::string, TensorView>& tensors,
                            int64_t max_shard_bytes);

}  // namespace pivotal::data
