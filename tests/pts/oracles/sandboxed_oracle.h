// Apache-2.0. The code oracle for tests, or the reason why there is none here.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "data/error.h"
#include "pts/oracles/oracle.h"

namespace pivotal::testing {

// True if bubblewrap can run Python here; else `why` says why not.
inline bool CanSandbox(std::string* why) {
  try {
    pts::MakeOracle("code");
    return true;
  } catch (const Error& error) {
    *why = error.what();
    return false;
  }
}

}  // namespace pivotal::testing

// For the start of a test.
#define PIVOTAL_NEEDS_SANDBOX()                                      \
  do {                                                               \
    std::string why;                                                 \
    if (!::pivotal::testing::CanSandbox(&why)) GTEST_SKIP() << why;  \
  } while (false)
