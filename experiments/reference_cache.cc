// Apache-2.0.
#include "experiments/reference_cache.h"

#include <ATen/ops/empty.h>
#include <spdlog/spdlog.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "data/error.h"
#include "data/file_sink.h"
#include "dpo/objective.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Sides = std::vector<std::array<double, 2>>;  // log-probability of chosen and rejected, a pair

// Changes with everything about the pairs that a log-probability depends on.
std::string PairsSum(std::span<const data::PreferencePair> pairs) {
  std::string text;
  for (const auto& pair : pairs) {
    text += Json{pair.prompt_ids, pair.chosen_ids, pair.rejected_ids, pair.chosen_weights,
                 pair.rejected_weights}.dump();
  }
  return data::Sha256OfText(text);
}

// What a cache must have been made with.
Json KeyOf(std::span<const data::PreferencePair> pairs, const model::PhiModel& model,
           const std::string& weights_sha256) {
  return {{"weights_sha256", weights_sha256},
          {"dtype", c10::toString(c10::typeMetaToScalarType(model.options().dtype()))},
          {"pairs_sha256", PairsSum(pairs)}};
}

// Undefined if there is no cache that fits `key`.
at::Tensor Read(const fs::path& path, const Json& key, int64_t count) {
  if (!fs::exists(path)) return {};
  try {
    const Json cache = Json::parse(data::ReadFile(path));
    for (const auto& [name, value] : key.items()) {
      if (cache.at(name) == value) continue;
      spdlog::info("{}: of other {}; scored again", path.string(),
                   name == "pairs_sha256" ? "pairs" : "weights");
      return {};
    }
    const auto sides = cache.at("logps").get<Sides>();
    if (std::ssize(sides) != count) Fail("{} pairs in place of {}", sides.size(), count);
    at::Tensor logps = at::empty({count, 2}, at::TensorOptions(at::kDouble));
    std::memcpy(logps.mutable_data_ptr(), sides.data(), sides.size() * sizeof(sides[0]));
    return logps;
  } catch (const std::exception& error) {
    spdlog::warn("{}: damaged, scored again: {}", path.string(), error.what());
    return {};
  }
}

void Write(const fs::path& path, Json cache, const at::Tensor& logps) {
  Sides sides(logps.size(0));
  std::memcpy(sides.data(), logps.const_data_ptr(), sides.size() * sizeof(sides[0]));
  cache["logps"] = sides;
  try {
    data::FileSink file(path);
    file.Write(cache.dump() + "\n");
    file.Commit();
  } catch (const Error& error) {
    spdlog::warn("the reference is not kept: {}", error.what());
  }
}

}  // namespace

fs::path ReferenceCachePath(const fs::path& file) { return file.string() + ".reference.json"; }

at::Tensor CachedReference(const fs::path& file, std::span<const data::PreferencePair> pairs,
                           const model::PhiModel& model, const std::string& weights_sha256,
                           int64_t batch, Progress& progress, dpo::Ranks& ranks) {
  const fs::path path = ReferenceCachePath(file);
  const auto count = std::ssize(pairs);
  const bool files = ranks.rank() == 0;
  Json key = KeyOf(pairs, model, weights_sha256);
  at::Tensor logps = files ? Read(path, key, count) : at::Tensor();
  if (ranks.Any(logps.defined())) {
    if (!files) logps = at::empty({count, 2}, at::TensorOptions(at::kDouble));
    ranks.Broadcast(logps, 0);
    return logps;
  }
  logps = dpo::ReferenceLogProbs(model, pairs, batch, progress, ranks).contiguous();
  if (files) Write(path, std::move(key), logps);
  return logps;
}

}  // namespace pivotal::experiments
