// Apache-2.0.
#include "experiments/rank_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/error.h"

namespace pivotal::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr Neighbour kSecond = {1, 2}, kAlone;

TEST(RankDevice, EachRankOfAMachineHasItsGpu) {
  EXPECT_EQ(OwnGpu(kSecond, 2), 1);
  EXPECT_EQ(OwnGpu(kSecond, 8), 1);
  EXPECT_EQ(OwnGpu(kAlone, 1), 0);
}

TEST(RankDevice, MoreRanksThanGpusAreRefused) {
  EXPECT_THAT([] { OwnGpu(kSecond, 1); },
              ThrowsMessage<Error>(HasSubstr("2 ranks on a machine with 1 GPUs: start one a GPU (mpirun -n 1)")));
}

TEST(RankDevice, WhatIsNamedStays) {
  for (const char* name : {"cpu", "cuda:1"}) EXPECT_EQ(RankDevice(name, kSecond), name);
  for (const char* name : {"auto", "cuda"}) EXPECT_EQ(RankDevice(name, kAlone), name);
}

}  // namespace
}  // namespace pivotal::experiments
