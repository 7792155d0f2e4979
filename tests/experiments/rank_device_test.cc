// Apache-2.0.
#include "experiments/rank_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/error.h"

namespace pivotal::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Second : public dpo::Ranks {  // of two on a machine, of four
 public:
  int rank() const override { return 3; }
  int size() const override { return 4; }
  int neighbour() const override { return 1; }
  int neighbours() const override { return 2; }
};

TEST(RankDevice, EachRankOfAMachineHasItsGpu) {
  EXPECT_EQ(OwnGpu(Second(), 2), 1);
  EXPECT_EQ(OwnGpu(Second(), 8), 1);
  EXPECT_EQ(OwnGpu(dpo::Alone(), 1), 0);
}

TEST(RankDevice, MoreRanksThanGpusAreRefused) {
  EXPECT_THAT([] { OwnGpu(Second(), 1); },
              ThrowsMessage<Error>(HasSubstr("2 ranks on a machine with 1 GPUs: start one a GPU (mpirun -n 1)")));
}

TEST(RankDevice, WhatIsNamedStays) {
  for (const char* name : {"cpu", "cuda:1"}) EXPECT_EQ(RankDevice(name, Second()), name);
  for (const char* name : {"auto", "cuda"}) EXPECT_EQ(RankDevice(name, dpo::Alone()), name);
}

}  // namespace
}  // namespace pivotal::experiments
