// Apache-2.0. Memory-mapped files in the safetensors format
// (https://github.com/huggingface/safetensors).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

// Floating-point numbers, and bytes that only the code that wrote them understands.
enum class DType { kF32, kF16, kBF16, kU8 };
std::size_t ByteSize(DType type);        // bytes per element
std::string_view DTypeName(DType type);  // "F32", "F16", "BF16" or "U8"

// A row-major, little-endian tensor that others own. `bytes` points into the mapping of a
// SafetensorsReader, or into the buffer of the caller who writes the tensor. A mapped tensor may
// lie at any address: copy it with memcpy, or check its alignment.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Maps the file model.safetensors of a folder, or the shards that model.safetensors.index.json
// names. Checks header sizes, offsets, shapes and overlaps before it reads any tensor, and throws
// Error that names the file, the tensor and what was expected. A tensor of a type that DType lacks
// is an Error only in Get() and GetAny(). Functions that take a name throw Error that names the
// folder if it has no such tensor.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& folder);
  // Maps one file of any name.
  static SafetensorsReader OfFile(const std::filesystem::path& file);
  ~SafetensorsReader();
  SafetensorsReader(SafetensorsReader&&) noexcept;

  std::vector<std::string> Names() const;  // sorted
  bool Contains(std::string_view name) const;
  // Returns whether Get() can read the tensor: it holds floating-point numbers of a DType.
  bool IsReadable(std::string_view name) const;
  // Return the file that holds the tensor, the type as the file spells it ("F32", "I64"), and the
  // bytes that it takes there.
  const std::filesystem::path& FileOf(std::string_view name) const;
  std::string_view TypeOf(std::string_view name) const;
  std::size_t SizeOf(std::string_view name) const;
  // Returns a view that is valid as long as the reader. Throws Error if the tensor does not hold
  // floating-point numbers.
  TensorView Get(std::string_view name) const;
  // Returns the same for a tensor of any DType.
  TensorView GetAny(std::string_view name) const;
  // Reads the tensor and throws Error that names its file if it holds NaN or infinity: such weights
  // make every result NaN.
  void RequireFinite(std::string_view name) const;
  // Frees the memory that holds the tensor's bytes; the next read takes them from the file again.
  void Release(std::string_view name) const;
  // Returns the mapped files, sorted.
  const std::vector<std::filesystem::path>& Files() const;

 private:
  struct Impl;
  explicit SafetensorsReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Returns the bytes of a tensor when it is its turn to be written. They stay until the next call.
using ReadBytes = std::function<std::span<const std::byte>(const std::string& name)>;

// Writes one safetensors file through a FileSink, with the metadata {"format":"pt"} that
// transformers requires. Wider types come first, and names are sorted within a type. With `read`,
// `tensors` need only type and shape, so that not all have to be in memory at once.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, TensorView>& tensors, const ReadBytes& read = {});

// Writes model.safetensors into `folder`. If it would exceed `max_shard_bytes`, writes the shards
// model-00001-of-0000N.safetensors, ... in the order of the names, and
// model.safetensors.index.json; a larger tensor gets a shard of its own. Then removes other weight
// files of these names, which a reader would take instead.
void WriteSafetensorsFolder(const std::filesystem::path& folder,
                            const std::map<std::string, TensorView>& tensors,
                            int64_t max_shard_bytes, const ReadBytes& read = {});

}  // namespace pivotal::data
