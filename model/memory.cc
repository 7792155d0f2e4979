// Apache-2.0.
#include "model/memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <new>
#include <optional>
#include <string_view>

#include "model/weights.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// Returns the bytes of MemAvailable in /proc/meminfo.
int64_t SystemFree() {
  std::ifstream in("/proc/meminfo");
  std::string name, unit;
  int64_t kibibytes = 0;
  while (in >> name >> kibibytes && std::getline(in, unit))
    if (name == "MemAvailable:") return kibibytes * 1024;
  return kUnknown;
}

// Reads the number in a file that holds nothing else. Returns nullopt if there is none ("max").
std::optional<int64_t> NumberIn(const fs::path& path) {
  std::ifstream in(path);
  int64_t number = 0;
  if (in >> number) return number;
  return std::nullopt;
}

// Returns the value of a key in lines of "key value", or 0.
int64_t ValueIn(const fs::path& path, std::string_view key) {
  std::ifstream in(path);
  std::string name;
  for (int64_t value = 0; in >> name >> value;)
    if (name == key) return value;
  return 0;
}

// The files of a version of control groups.
struct GroupFiles {
  const char *limit, *used, *inactive;  // `inactive` is a key of memory.stat
};

// Returns the bytes that the group of `folder` can still take. Pages of files that nobody uses now
// count as used there, but the kernel drops them for whoever needs memory.
int64_t FreeInGroup(const fs::path& folder, const GroupFiles& files) {
  const auto limit = NumberIn(folder / files.limit), used = NumberIn(folder / files.used);
  if (!limit || !used) return kUnknown;
  const int64_t idle = ValueIn(folder / "memory.stat", files.inactive);
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - idle));
}

// Returns the bytes that a limit on the process's addresses (ulimit -v) leaves.
int64_t AddressesFree() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnknown;
  const int64_t pages = NumberIn("/proc/self/statm").value_or(0);
  return std::max<int64_t>(
      0, static_cast<int64_t>(limit.rlim_cur) - pages * static_cast<int64_t>(::getpagesize()));
}

c10::DeviceIndex IndexOf(c10::Device device) {
  return device.has_index() ? device.index() : c10::DeviceIndex{0};
}

}  // namespace

Footprint FootprintOf(const PhiConfig& config, int64_t element, int64_t lora_rank) {
  Footprint f;
  int64_t experts = 0;
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    f.parameters += size;
    if (name.find(".experts.") != std::string::npos) experts += size;
    return at::Tensor();
  });
  for (const LinearShape& layer : LinearLayers(config))
    f.lora_parameters += lora_rank * (layer.out + layer.in);
  f.active_parameters = f.parameters - experts;
  if (experts > 0) f.active_parameters += 2 * (experts / config.num_experts);
  f.weights = f.parameters * element;
  f.kv_per_token =
      2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element;
  const int64_t master = element < 4 ? 4 : 0;
  f.full_fine_tuning = f.parameters * (2 * element + 2 * 4 + master);
  f.lora_fine_tuning = f.weights + f.lora_parameters * 4 * 4;
  f.nf4_weights = WeightBytes(config, element, BaseWeights::kNf4);
  f.nf4_lora_fine_tuning = f.nf4_weights + f.lora_parameters * 4 * 4;
  return f;
}

int64_t WeightBytes(const PhiConfig& config, int64_t element, BaseWeights base) {
  int64_t bytes = NumParameters(config) * element;
  for (const LinearShape& layer : LinearLayers(config))
    if (layer.CanBeQuantised())
      bytes += MatrixBytes(base, layer.out, layer.in, element) - layer.out * layer.in * element;
  return bytes;
}

TrainingFootprint TrainingFootprintOf(const PhiConfig& config, const TrainingShape& shape) {
  int64_t parameters = 0, largest = 0, outside = 0;  // `outside`: the largest that is in no layer
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>& dims, Init) {
    int64_t size = 1;
    for (int64_t dim : dims) size *= dim;
    parameters += size;
    largest = std::max(largest, size);
    if (name.find(".layers.") == std::string::npos) outside = std::max(outside, size);
    return at::Tensor();
  });
  const int64_t in_layers =
      parameters - outside * (config.tie_word_embeddings ? 1 : 2);  // embedding and output matrix
  const int64_t layer_parameters = in_layers / config.num_hidden_layers;
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  const int64_t queries = config.num_attention_heads * config.head_dim;
  const int64_t keys = config.num_key_value_heads * config.head_dim;
  const bool gated = config.mlp != PhiConfig::Mlp::kGelu;
  const int64_t experts = config.num_experts > 0 ? 2 : 1;  // experts that a token uses
  // Numbers that one layer keeps for each token: inputs of norms and matrices, queries and keys
  // before and after they are rotated, keys and values repeated for each query head, attention's
  // output, both sides of the gate and their product.
  const int64_t repeated = shape.flash ? 2 * keys : 2 * queries;
  const int64_t layer =
      4 * hidden + 3 * queries + 2 * keys + repeated + experts * (gated ? 3 : 2) * inner;
  // A layer's backward pass holds gradients of what it kept beside it, one matrix at a time.
  const int64_t backward = 2 * hidden + (gated ? 3 : 2) * inner;
  // An adapter in float32 keeps copies of the inputs of 16-bit matrices, and adds outputs to
  // theirs.
  const bool widens_inputs = shape.trained_element > shape.element;
  const int64_t copies = widens_inputs ? 2 * hidden + queries + inner : 0;
  const int64_t added = widens_inputs ? 2 * (gated ? 2 : 1) * inner : 0;
  const int64_t kept = shape.activation_checkpointing
                           ? config.num_hidden_layers * hidden + layer + backward
                           : config.num_hidden_layers * layer + backward;
  // dpo/batch.cc has at most 2^23 logits at once, three times.
  const int64_t logits =
      3 * 4 * std::min(int64_t{1} << 23, shape.targets * int64_t{config.vocab_size});
  const int64_t libtorch = int64_t{shape.bfloat16_on_cpu ? 214 : 150} << 20;  // measured
  TrainingFootprint f;
  f.weights = WeightBytes(config, shape.element, shape.base);
  f.gradients = shape.trained * shape.trained_element;
  const int64_t layers_kept = shape.activation_checkpointing ? 1 : config.num_hidden_layers;
  f.activations = shape.tokens *
                  (kept * shape.element + (copies * layers_kept + added) * shape.trained_element);
  // The output matrix gets its gradient first, or the embedding last; those of layers come as
  // activations go.
  const int64_t first = std::min(shape.trained, outside) * shape.trained_element;
  const int64_t of_layer = std::min(shape.trained, layer_parameters) * shape.trained_element;
  // A rank owns whole tensors.
  const auto share_of = [&](int64_t numbers) {
    return std::max(numbers / shape.ranks, std::min(largest, numbers));
  };
  const int64_t own = share_of(shape.trained);
  const bool shards = shape.shard_weights && shape.ranks > 1;
  if (shards) {
    // Owners sum gradients in float32. Those of the embedding and of a layer are whole for a while.
    f.gradients = own * 4 + first + of_layer;
    f.backward = std::max(f.activations + first + of_layer,
                          f.gradients + f.activations / config.num_hidden_layers);
  } else if (shape.fused_backward) {
    f.gradients = std::min(f.gradients, first + of_layer);
    f.backward = f.activations + f.gradients;
  } else {
    f.backward = std::max(f.activations + std::min(f.gradients, first + of_layer),
                          f.gradients + f.activations / config.num_hidden_layers);
  }
  f.optimizer =
      (shape.quantised ? own * 2 * (256 + 4) / 256 : own * 8) + (shape.master ? own * 4 : 0);
  // What 16-bit weights need in float32 at once: their gradients and what these update, and as much
  // again to round at random. With moments in 8 bits, no more than a gradient whose norm is taken.
  const int64_t wide =
      std::min(shape.quantised ? largest : std::max(largest, kWideElements), shape.trained);
  const int64_t copies_in_float32 = shape.trained_element == 4 ? 0
                                    : shape.quantised          ? 1
                                    : shape.master             ? 2
                                                               : 4;
  f.working = logits + libtorch + 4 * wide * copies_in_float32;
  if (shards) {
    f.weights = share_of(parameters) * shape.element;
    // Beside the own weights: those of two layers, and the embedding or the output matrix.
    const int64_t gathered = outside + 2 * layer_parameters;
    f.working += std::min(gathered * shape.element, parameters * shape.element - f.weights);
  }
  // Gradients of 16-bit weights travel in float32.
  if (shape.ranks > 1 && shape.trained_element < 4)
    f.working += 4 * std::min(largest, shape.trained);
  if (shape.moves_reference) f.reference = shape.trained * shape.trained_element;
  int64_t numbers = 0;  // of the largest quantised matrix
  if (shape.base != BaseWeights::kPlain)
    for (const LinearShape& linear : LinearLayers(config))
      numbers = std::max(numbers, linear.out * linear.in);
  f.working += numbers * shape.element;
  return f;
}

void ResetPeakMemory(c10::Device device) {
  if (device.is_cpu()) {
    std::ofstream("/proc/self/clear_refs") << 5;
  } else {
    c10::getDeviceAllocator(device.type())->resetPeakStats(IndexOf(device));
  }
}

int64_t PeakMemory(c10::Device device) {
  if (!device.is_cpu())
    return c10::getDeviceAllocator(device.type())
        ->getDeviceStats(IndexOf(device))
        .allocated_bytes[0]
        .peak;
  std::ifstream in("/proc/self/status");
  std::string name, rest;
  int64_t kibibytes = 0;
  while (in >> name && std::getline(in, rest))
    if (name == "VmHWM:") kibibytes = std::stoll(rest);
  return kibibytes * 1024;
}

int64_t GroupFree(const fs::path& groups, const fs::path& memberships) {
  // A line is "0::/path" in version 2 and "4:memory:/path" in version 1.
  int64_t free = kUnknown;
  std::ifstream in(memberships);
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_new = controllers.empty();
    if (!is_new && ("," + controllers + ",").find(",memory,") == std::string::npos) continue;
    const GroupFiles files = is_new ? GroupFiles{"memory.max", "memory.current", "inactive_file"}
                                    : GroupFiles{"memory.limit_in_bytes", "memory.usage_in_bytes",
                                                 "total_inactive_file"};
    // Limits of the groups above apply too. In a container the path may be the host's, and its own
    // group is the root.
    const fs::path root = is_new ? groups : groups / "memory";
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();;
         group = group.parent_path()) {
      free = std::min(free, FreeInGroup(root / group, files));
      if (group.empty()) break;
    }
  }
  return free;
}

int64_t FreeMemory(c10::Device device) {
  if (device.is_cpu())
    return std::min(
        {SystemFree(), AddressesFree(), GroupFree("/sys/fs/cgroup", "/proc/self/cgroup")});
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  allocator->emptyCache();  // freed memory that LibTorch keeps for reuse counts as free
  return static_cast<int64_t>(allocator->getMemoryInfo(IndexOf(device)).first);
}

bool IsOutOfMemory(const std::exception& error) {
  // LibTorch's allocator for CPUs throws a plain c10::Error.
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         (dynamic_cast<const c10::Error*>(&error) != nullptr &&
          std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos);
}

void LetAllocationsThrow() { FLAGS_caffe2_use_fatal_for_enforce = false; }

std::string BytesText(int64_t bytes) {
  const auto number = static_cast<double>(bytes);
  if (bytes >= int64_t{100} << 20) return fmt::format("{:.2f} GiB", number / (1 << 30));
  if (bytes >= 100 << 10) return fmt::format("{:.2f} MiB", number / (1 << 20));
  return fmt::format("{:.1f} KiB", number / (1 << 10));
}

}  // namespace pivotal::model
