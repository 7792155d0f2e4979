// Apache-2.0. Returns the text of the Error that a call throws.
#pragma once

#include <string>

#include "data/base/error.h"

namespace pivotal::testing {

template <typename Call>
std::string ErrorText(Call&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no Error)";
}

}  // namespace pivotal::testing
