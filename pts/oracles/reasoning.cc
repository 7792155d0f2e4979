// Apache-2.0.
#include "pts/oracles/reasoning.h"

namespace pivotal::pts {

std::optional<std::string_view> BehindReasoning(std::string_view response) {
  if (const auto end = response.rfind(kThinkEnd); end != std::string_view::npos)
    response.remove_prefix(end + kThinkEnd.size());
  if (response.find(kThinkBegin) != std::string_view::npos) return std::nullopt;
  return response;
}

}  // namespace pivotal::pts
