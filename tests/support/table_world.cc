// Apache-2.0.
#include "tests/support/table_world.h"

#include <utility>

namespace pivotal::testing {

TableWorld::TableWorld(std::vector<std::vector<Move>> moves, TokenId right)
    : moves_(std::move(moves)), success_(moves_.size(), 0.0) {
  success_[right] = 1;
  for (auto token = static_cast<TokenId>(moves_.size()); token-- > 0;)
    for (const Move& move : moves_[token])
      success_[token] += move.probability * success_[move.token];
}

}  // namespace pivotal::testing
