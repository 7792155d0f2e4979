// Apache-2.0.
#include "model/step_buffer.h"

#include <gtest/gtest.h>

namespace pivotal::model {
namespace {

TEST(StepBuffer, CopiesStayUntilItGrows) {
  StepBuffer buffer(at::kCPU);
  const int bytes = buffer.Add<bool>(), wide = buffer.Add<int64_t>();
  EXPECT_TRUE(buffer.Grow(std::vector<int64_t>{3, 5}));
  const int64_t* const copy = buffer.device<int64_t>(wide);
  for (int64_t i = 0; i < 5; ++i) buffer.host<int64_t>(wide)[i] = 10 * i;
  buffer.host<bool>(bytes)[2] = true;
  buffer.Upload();
  EXPECT_EQ(copy[4], 40);
  EXPECT_TRUE(buffer.device<bool>(bytes)[2]);
  EXPECT_EQ(buffer.tensor(wide, at::kLong, 2).sizes(), at::IntArrayRef({2}));
  EXPECT_EQ(buffer.tensor(wide, at::kLong, 2).const_data_ptr<int64_t>(), copy);

  EXPECT_FALSE(buffer.Grow(std::vector<int64_t>{4, 8}));  // sizes are rounded up
  EXPECT_EQ(buffer.device<int64_t>(wide), copy);
  EXPECT_TRUE(buffer.Grow(std::vector<int64_t>{1, 9}));
  buffer.host<int64_t>(wide)[8] = 80;
  buffer.host<bool>(bytes)[3] = true;  // what was once enough still is
  buffer.Upload();
  EXPECT_EQ(buffer.device<int64_t>(wide)[8], 80);
}

// Arrays begin where any element may.
TEST(StepBuffer, ArraysAreAligned) {
  StepBuffer buffer(at::kCPU);
  const int odd = buffer.Add<bool>(), wide = buffer.Add<double>();
  buffer.Grow(std::vector<int64_t>{13, 2});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.device<double>(wide)) % alignof(double), 0u);
  EXPECT_GE(reinterpret_cast<const char*>(buffer.device<double>(wide)) - reinterpret_cast<const char*>(buffer.device<bool>(odd)), 13);
}

}  // namespace
}  // namespace pivotal::model
