// Apache-2.0.
#include "model/freeze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

std::set<std::string> Frozen(std::vector<std::string> modules) {
  return FrozenWeights(*testing::SmallPhi(), modules);
}

TEST(FrozenWeights, AreChosenByModulesAndRangesOfLayers) {
  EXPECT_THAT(Frozen({}), ::testing::IsEmpty());
  EXPECT_THAT(Frozen({"embed_tokens"}), ::testing::ElementsAre("model.embed_tokens.weight"));
  EXPECT_THAT(Frozen({"layers.2.mlp", "lm_head"}),
              ::testing::ElementsAre("lm_head.weight", "model.layers.2.mlp.down_proj.weight",
                                     "model.layers.2.mlp.gate_up_proj.weight"));
  EXPECT_EQ(Frozen({"layers.0-1"}).size(), 2u * 6);
  EXPECT_EQ(Frozen({"layers.0-1"}).count("model.layers.2.mlp.down_proj.weight"), 0u);
}

TEST(FrozenWeights, RefusesWhatChoosesNothingOrAll) {
  for (const char* bad : {"layer.0", "layers.0-3", "layers.2-1", "layers.0-1x", "layers.-1", "layers.3"})
    EXPECT_THROW(Frozen({bad}), Error) << bad;
  EXPECT_THROW(Frozen({"embed_tokens", "layers", "norm", "lm_head"}), Error);
}

}  // namespace
}  // namespace pivotal::model
