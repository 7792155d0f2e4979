// Apache-2.0.
#include "model/freeze.h"

#include <charconv>
#include <vector>

#include "data/error.h"

namespace pivotal::model {
namespace {

// "layers.2-4" as "layers.2", "layers.3", "layers.4"; others as they are.
std::vector<std::string> Expand(const std::string& module, int64_t layers) {
  constexpr std::string_view kLayers = "layers.";
  const auto dash = module.find('-');
  if (!module.starts_with(kLayers) || dash == std::string::npos) return {module};
  int64_t first = -1, last = -1;
  const char* text = module.data();
  const char* end = text + module.size();
  const auto low = std::from_chars(text + kLayers.size(), end, first);
  const auto high = std::from_chars(text + dash + 1, end, last);
  if (low.ptr != text + dash || high.ptr != end || first < 0 || last < first || last >= layers)
    Fail("--freeze {}: expected layers.A-B with 0 <= A <= B < {}", module, layers);
  std::vector<std::string> expanded;
  for (int64_t i = first; i <= last; ++i) expanded.push_back(fmt::format("layers.{}", i));
  return expanded;
}

}  // namespace

std::set<std::string> FrozenWeights(const PhiModel& model, std::span<const std::string> modules) {
  std::set<std::string> frozen;
  for (const std::string& module : modules) {
    bool found = false;
    for (const std::string& part : Expand(module, model.config().num_hidden_layers)) {
      for (const auto& [name, weight] : model.parameters()) {
        if (!name.starts_with(part + ".") && !name.starts_with("model." + part + ".")) continue;
        frozen.insert(name);
        found = true;
      }
    }
    if (!found)
      Fail("--freeze {}: no weight begins so; e.g. embed_tokens, layers.0-{}, layers.0.mlp, lm_head",
           module, model.config().num_hidden_layers - 1);
  }
  if (frozen.size() == model.parameters().size()) Fail("--freeze leaves nothing to train");
  return frozen;
}

}  // namespace pivotal::model
