// Apache-2.0.
#include "data/weights/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/utf8.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "mapped tensors are little-endian");

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kMetadata = "__metadata__";
constexpr uint64_t kMaxHeader = 100'000'000;  // as in the reference implementation

struct DTypeInfo {
  std::string_view name;
  std::size_t size;
  std::optional<DType> type;  // nullopt if only the format knows it
};

constexpr std::array<DTypeInfo, 15> kDTypes = {{
    {"F32", 4, DType::kF32},
    {"F16", 2, DType::kF16},
    {"BF16", 2, DType::kBF16},
    {"F64", 8, {}},
    {"I64", 8, {}},
    {"I32", 4, {}},
    {"I16", 2, {}},
    {"I8", 1, {}},
    {"U64", 8, {}},
    {"U32", 4, {}},
    {"U16", 2, {}},
    {"U8", 1, DType::kU8},
    {"BOOL", 1, {}},
    {"F8_E4M3", 1, {}},
    {"F8_E5M2", 1, {}},
}};

struct Entry {
  std::string dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::size_t file = 0;  // index into Impl::files
};
using Entries = std::map<std::string, Entry, std::less<>>;

// Maps a file read-only.
class Mapping {
 public:
  explicit Mapping(const fs::path& path) {
    const Descriptor file = OpenFile(path, O_RDONLY);
    struct stat info {};
    const bool regular = ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode);
    if (regular && info.st_size > 0) {
      size_ = static_cast<std::size_t>(info.st_size);
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    }
    if (!regular) Fail("{}: not a regular file", path.string());
    if (data_ == MAP_FAILED) Fail("{}: can't map: {}", path.string(), ErrnoText(errno));
  }
  ~Mapping() {
    if (data_ != nullptr && data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// Returns the bytes of a tensor, or nullopt if the number overflows.
std::optional<uint64_t> TensorSize(const std::vector<int64_t>& shape, std::size_t element) {
  uint64_t size = element;
  for (const int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(size, static_cast<uint64_t>(dim), &size)) return {};
  }
  return size;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape) text += (text.empty() ? "" : ", ") + std::to_string(dim);
  return "[" + text + "]";
}

// Returns the array `key` of a tensor's description.
std::vector<int64_t> IntegerArray(const json& object, const std::string& key,
                                  const std::string& where) {
  const json& values = RequireKey(object, key, where);
  if (!values.is_array()) {
    Fail("{}: {} must be an array, not {}", where, key, values.type_name());
  }
  std::vector<int64_t> numbers;
  for (const json& value : values) {
    numbers.push_back(CheckedInteger(value, 0, std::numeric_limits<int64_t>::max(), key, where));
  }
  return numbers;
}

// Reads one tensor of a header whose data section is `data`.
Entry ParseEntry(const json& object, std::span<const std::byte> data, const std::string& where) {
  if (!object.is_object()) Fail("{}: an object is needed, not {}", where, object.type_name());
  Entry entry;
  entry.dtype = RequireString(object, "dtype", where);
  entry.shape = IntegerArray(object, "shape", where);
  const std::vector<int64_t> offsets = IntegerArray(object, "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    Fail("{}: data_offsets must be [begin, end], not {}", where, ShapeText(offsets));
  }
  const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
  if (end > data.size()) {
    Fail("{}: ends at byte {} of the data, but the file holds {}: truncated? download it again",
         where, end, data.size());
  }
  const auto info = std::find_if(kDTypes.begin(), kDTypes.end(),
                                 [&](const DTypeInfo& d) { return d.name == entry.dtype; });
  if (info != kDTypes.end() && TensorSize(entry.shape, info->size) != end - begin) {
    Fail("{}: {} of shape {} does not take {} bytes", where, entry.dtype, ShapeText(entry.shape),
         end - begin);
  }
  entry.bytes = data.subspan(begin, end - begin);
  return entry;
}

void CheckOverlaps(const Entries& entries, const std::string& file) {
  using Item = std::pair<std::span<const std::byte>, const std::string*>;
  std::vector<Item> items;
  for (const auto& [name, entry] : entries) {
    if (!entry.bytes.empty()) items.emplace_back(entry.bytes, &name);
  }
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.first.data() < b.first.data(); });
  for (std::size_t i = 1; i < items.size(); ++i) {
    const auto& before = items[i - 1].first;
    if (items[i].first.data() < before.data() + before.size()) {
      Fail("{}: tensors {} and {} overlap", file, Quoted(*items[i - 1].second),
           Quoted(*items[i].second));
    }
  }
}

// Reads all tensors of one mapped file: 8 bytes of header length, the JSON header, the data.
Entries ParseFile(std::span<const std::byte> bytes, const std::string& file) {
  RequireNoLfsPointer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
  uint64_t header = 0;
  if (bytes.size() < sizeof(header)) {
    Fail("{}: {} bytes are too few for safetensors; download it again", file, bytes.size());
  }
  std::memcpy(&header, bytes.data(), sizeof(header));
  bytes = bytes.subspan(sizeof(header));
  if (header > kMaxHeader || header > bytes.size()) {
    Fail("{}: header of {} bytes in a file of {}: not safetensors, or truncated", file, header,
         bytes.size() + sizeof(header));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), header);
  const json object = ParseJsonObject(text, file + ": header");
  Entries entries;
  for (const auto& [name, value] : object.items()) {
    if (name == kMetadata) continue;
    entries[name] =
        ParseEntry(value, bytes.subspan(header), fmt::format("{}: tensor {}", file, Quoted(name)));
  }
  CheckOverlaps(entries, file);
  return entries;
}

// Reads model.safetensors.index.json, which maps names of tensors to files.
std::map<std::string, std::string> ReadIndex(const fs::path& path) {
  const std::string where = path.string();
  const json index = ParseJsonObject(ReadFile(path), where);
  const json& map = RequireKey(index, "weight_map", where);
  if (!map.is_object() || map.empty()) Fail("{}: weight_map must name tensors and files", where);
  std::map<std::string, std::string> shards;
  for (const auto& [name, value] : map.items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : std::string();
    if (file.empty() || file == "." || file == ".." ||
        file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      Fail("{}: tensor {} must be in a file of this folder, not {}", where, Quoted(name),
           value.is_string() ? Quoted(file) : value.type_name());
    }
    shards[name] = file;
  }
  return shards;
}

std::optional<DType> ReadableType(std::string_view name) {
  for (const DTypeInfo& info : kDTypes)
    if (info.type && info.name == name) return info.type;
  return std::nullopt;
}

std::optional<DType> FloatingType(std::string_view name) {
  const auto type = ReadableType(name);
  return type == DType::kU8 ? std::nullopt : type;
}

// Returns the index of the first of these floating-point numbers, given by their bits, whose
// exponent has all its bits set: NaN or infinity.
template <typename Bits>
std::optional<std::size_t> FirstNotFinite(std::span<const std::byte> bytes, Bits exponent) {
  constexpr std::size_t kChunk = 4096;
  Bits chunk[kChunk];
  const std::size_t count = bytes.size() / sizeof(Bits);
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t size = std::min(kChunk, count - first);
    std::memcpy(chunk, bytes.data() + first * sizeof(Bits), size * sizeof(Bits));
    unsigned bad = 0;
    for (std::size_t i = 0; i < size; ++i) bad += (chunk[i] & exponent) == exponent ? 1 : 0;
    if (bad == 0) continue;
    const auto* found =
        std::find_if(chunk, chunk + size, [&](Bits b) { return (b & exponent) == exponent; });
    return first + static_cast<std::size_t>(found - chunk);
  }
  return std::nullopt;
}

std::optional<std::size_t> FirstNotFinite(const TensorView& view) {
  switch (view.dtype) {
    case DType::kF16: return FirstNotFinite<uint16_t>(view.bytes, 0x7C00);
    case DType::kBF16: return FirstNotFinite<uint16_t>(view.bytes, 0x7F80);
    case DType::kF32: break;
    case DType::kU8: return std::nullopt;
  }
  return FirstNotFinite<uint32_t>(view.bytes, 0x7F800000);
}

[[noreturn]] void FailMissing(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) Fail("{}: no such folder", folder.string());
  for (const char* old : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!fs::exists(folder / old, ignored)) continue;
    Fail(
        "{}: no {} or {}, only {}: convert it with transformers' "
        "save_pretrained(..., safe_serialization=True)",
        folder.string(), kSingleFile, kIndexFile, old);
  }
  Fail("{}: no {} or {} in this folder", folder.string(), kSingleFile, kIndexFile);
}

}  // namespace

std::size_t ByteSize(DType type) {
  switch (type) {
    case DType::kF32: return 4;
    case DType::kU8: return 1;
    default: return 2;
  }
}

std::string_view DTypeName(DType type) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.type == type) return info.name;
  }
  Fail("unknown DType {}", static_cast<int>(type));
}

struct SafetensorsReader::Impl {
  fs::path folder;
  std::vector<fs::path> files;
  std::vector<Mapping> mappings;
  Entries entries;

  const Entry& Find(std::string_view name) const {
    const auto found = entries.find(name);
    if (found == entries.end())
      Fail("{}: no tensor {} in its safetensors", folder.string(), Quoted(name));
    return found->second;
  }

  // Maps one file and returns its tensors.
  Entries Add(const std::string& name) {
    files.push_back(folder / name);
    mappings.emplace_back(files.back());
    Entries found = ParseFile(mappings.back().bytes(), files.back().string());
    for (auto& [tensor, entry] : found) entry.file = files.size() - 1;
    return found;
  }

  // Adds from each shard the tensors that the index places there.
  void AddShards(const std::map<std::string, std::string>& shard_of) {
    std::map<std::string, std::vector<std::string>> tensors_of;
    for (const auto& [tensor, shard] : shard_of) tensors_of[shard].push_back(tensor);
    for (const auto& [shard, tensors] : tensors_of) {
      Entries found = Add(shard);
      for (const std::string& tensor : tensors) {
        auto node = found.extract(tensor);
        if (!node) {
          Fail("{}: no tensor {}, although {} says so", files.back().string(), Quoted(tensor),
               kIndexFile);
        }
        entries.insert(std::move(node));
      }
    }
  }
};

SafetensorsReader::SafetensorsReader(const fs::path& folder) : impl_(std::make_unique<Impl>()) {
  impl_->folder = folder;
  std::error_code ignored;
  if (fs::exists(folder / kSingleFile, ignored)) {
    impl_->entries = impl_->Add(std::string(kSingleFile));
  } else if (fs::exists(folder / kIndexFile, ignored)) {
    impl_->AddShards(ReadIndex(folder / kIndexFile));
  } else {
    FailMissing(folder);
  }
}

SafetensorsReader::SafetensorsReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

SafetensorsReader SafetensorsReader::OfFile(const fs::path& file) {
  auto impl = std::make_unique<Impl>();
  impl->folder = file.parent_path();
  impl->entries = impl->Add(file.filename().string());
  return SafetensorsReader(std::move(impl));
}

SafetensorsReader::~SafetensorsReader() = default;
SafetensorsReader::SafetensorsReader(SafetensorsReader&&) noexcept = default;

std::vector<std::string> SafetensorsReader::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : impl_->entries) names.push_back(name);
  return names;
}

bool SafetensorsReader::Contains(std::string_view name) const {
  return impl_->entries.find(name) != impl_->entries.end();
}

bool SafetensorsReader::IsReadable(std::string_view name) const {
  return FloatingType(impl_->Find(name).dtype).has_value();
}

const fs::path& SafetensorsReader::FileOf(std::string_view name) const {
  return impl_->files[impl_->Find(name).file];
}

std::string_view SafetensorsReader::TypeOf(std::string_view name) const {
  return impl_->Find(name).dtype;
}

std::size_t SafetensorsReader::SizeOf(std::string_view name) const {
  return impl_->Find(name).bytes.size();
}

TensorView SafetensorsReader::Get(std::string_view name) const {
  const Entry& entry = impl_->Find(name);
  if (const auto type = FloatingType(entry.dtype)) return {*type, entry.shape, entry.bytes};
  Fail("{}: tensor {} is {}; F32, F16 or BF16 is needed", FileOf(name).string(), Quoted(name),
       Quoted(entry.dtype));
}

TensorView SafetensorsReader::GetAny(std::string_view name) const {
  const Entry& entry = impl_->Find(name);
  return entry.dtype == DTypeName(DType::kU8) ? TensorView{DType::kU8, entry.shape, entry.bytes}
                                              : Get(name);
}

void SafetensorsReader::RequireFinite(std::string_view name) const {
  const TensorView view = Get(name);
  const auto bad = FirstNotFinite(view);
  if (!bad) return;
  Fail(
      "{}: tensor {} holds NaN or infinity, first at element {} of {}: the weights are damaged, or "
      "their training diverged; download the file again, or take an earlier checkpoint",
      FileOf(name).string(), Quoted(name), *bad, view.bytes.size() / ByteSize(view.dtype));
}

void SafetensorsReader::Release(std::string_view name) const {
  const auto found = impl_->entries.find(name);
  if (found == impl_->entries.end()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(found->second.bytes.data());
  // Releases whole pages only, since the edges may belong to other tensors. The mapping is
  // read-only, so the pages come back from the file.
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + found->second.bytes.size()) / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

const std::vector<fs::path>& SafetensorsReader::Files() const { return impl_->files; }

void WriteSafetensors(const fs::path& path, const std::map<std::string, TensorView>& tensors,
                      const ReadBytes& read) {
  const auto check_size = [&](const std::string& name, const TensorView& tensor,
                              std::span<const std::byte> bytes) {
    if (TensorSize(tensor.shape, ByteSize(tensor.dtype)) != bytes.size())
      Fail("{}: tensor {}: {} of shape {} does not take {} bytes", path.string(), Quoted(name),
           DTypeName(tensor.dtype), ShapeText(tensor.shape), bytes.size());
  };
  // Wider types come first, so that every tensor is aligned to its elements.
  std::vector<std::pair<const std::string*, const TensorView*>> order;
  for (const auto& [name, tensor] : tensors) order.emplace_back(&name, &tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return ByteSize(a.second->dtype) > ByteSize(b.second->dtype);
  });
  json header = {{kMetadata, {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const auto& [name, tensor] : order) {
    if (*name == kMetadata || FindInvalidUtf8(*name) != std::string::npos) {
      Fail("{}: {} can't be the name of a tensor", path.string(), Quoted(*name));
    }
    if (!read) check_size(*name, *tensor, tensor->bytes);
    const uint64_t end = offset + TensorSize(tensor->shape, ByteSize(tensor->dtype)).value_or(0);
    header[*name] = {{"dtype", DTypeName(tensor->dtype)},
                     {"shape", tensor->shape},
                     {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  FileSink sink(path);
  const uint64_t size = text.size();
  sink.Write(&size, sizeof(size));
  sink.Write(text);
  for (const auto& [name, tensor] : order) {
    const std::span<const std::byte> bytes = read ? read(*name) : tensor->bytes;
    if (read) check_size(*name, *tensor, bytes);
    sink.Write(bytes.data(), bytes.size());
  }
  sink.Commit();
}

namespace {

using Shard = std::map<std::string, TensorView>;

std::vector<Shard> SplitIntoShards(const std::map<std::string, TensorView>& tensors,
                                   uint64_t max_bytes) {
  std::vector<Shard> shards(1);
  uint64_t size = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t bytes = TensorSize(tensor.shape, ByteSize(tensor.dtype)).value_or(0);
    if (!shards.back().empty() && size + bytes > max_bytes) {
      shards.emplace_back();
      size = 0;
    }
    shards.back()[name] = tensor;
    size += bytes;
  }
  return shards;
}

// Removes weight files that `written` does not name: a reader would take them instead.
void RemoveOtherWeights(const fs::path& folder, const std::vector<std::string>& written) {
  for (const fs::path& path : PathsIn(folder)) {
    const std::string name = path.filename().string();
    const bool weights = name == kSingleFile || name == kIndexFile ||
                         (name.starts_with("model-") && name.ends_with(".safetensors"));
    if (weights && std::find(written.begin(), written.end(), name) == written.end())
      RemoveAll(path);
  }
}

}  // namespace

void WriteSafetensorsFolder(const fs::path& folder,
                            const std::map<std::string, TensorView>& tensors,
                            int64_t max_shard_bytes, const ReadBytes& read) {
  if (max_shard_bytes < 1) Fail("{}: shards of {} bytes", folder.string(), max_shard_bytes);
  const auto shards = SplitIntoShards(tensors, static_cast<uint64_t>(max_shard_bytes));
  std::vector<std::string> written;
  if (shards.size() == 1) {
    written.emplace_back(kSingleFile);
    WriteSafetensors(folder / kSingleFile, tensors, read);
  } else {
    json map = json::object();
    uint64_t total = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      written.push_back(fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
      WriteSafetensors(folder / written.back(), shards[i], read);
      for (const auto& [name, tensor] : shards[i]) {
        map[name] = written.back();
        total += TensorSize(tensor.shape, ByteSize(tensor.dtype)).value_or(0);
      }
    }
    WriteFile(folder / kIndexFile,
              json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n");
    written.emplace_back(kIndexFile);
  }
  RemoveOtherWeights(folder, written);
}

}  // namespace pivotal::data
