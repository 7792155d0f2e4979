// Apache-2.0. Oracles that read something off both sides and compare it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "pts/oracles/oracle.h"

namespace pivotal::pts {

// What a text says, in a form that compares by equality; nullopt where it says nothing. Called from
// several threads at once.
using Reader = std::function<std::optional<std::string>(std::string_view)>;

class ReadingOracle : public Oracle {
 public:
  ReadingOracle(Reader response, Reader answer);

  bool Judge(const Attempt& attempt) const override;
  bool CanRead(std::string_view answer) const override;

 private:
  Reader response_, answer_;
};

}  // namespace pivotal::pts
