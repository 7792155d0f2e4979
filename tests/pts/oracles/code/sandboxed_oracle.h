// Apache-2.0. Tells tests whether the code oracle can run here.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "data/base/error.h"
#include "pivotal/oracle.h"
#include "tests/support/run_command.h"

namespace pivotal::testing {

// Returns true if bubblewrap can run Python here; else sets `why` to the reason.
inline bool CanSandbox(std::string* why) {
  try {
    MakeOracle("code");
    return true;
  } catch (const Error& error) {
    *why = error.what();
    return false;
  }
}

}  // namespace pivotal::testing

// Skips a test, with the reason, if the code oracle cannot run here. Fails it if PIVOTAL_REQUIRE
// names bubblewrap.
#define PIVOTAL_NEEDS_SANDBOX()                                          \
  do {                                                                   \
    std::string why;                                                     \
    if (::pivotal::testing::CanSandbox(&why)) break;                     \
    if (::pivotal::testing::IsRequired(::pivotal::testing::kBubblewrap)) \
      FAIL() << why << "; PIVOTAL_REQUIRE asks for bubblewrap";          \
    GTEST_SKIP() << why;                                                 \
  } while (false)
