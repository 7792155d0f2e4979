// Apache-2.0.
#include "experiments/search/run_curves.h"

#include <gtest/gtest.h>

#include "data/base/error.h"

namespace pivotal::experiments {
namespace {

TEST(WriteCurves, NamesTheGranularities) {
  EXPECT_THROW(WriteCurves({"run", "out", "word"}), Error);
}

}  // namespace
}  // namespace pivotal::experiments
