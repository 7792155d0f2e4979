// Apache-2.0. Tests what control groups leave, on files as the kernel writes them, and what is said
// when memory runs out.
#include "model/memory.h"

#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <new>

#include "tests/support/error_text.h"
#include "tests/support/small_phi.h"
#include "tests/support/temp_dir.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

class ControlGroups : public ::testing::Test {
 protected:
  // Makes a group of version 2 or 1.
  void Group(const std::string& folder, const std::string& limit, int64_t used, int64_t inactive,
             bool is_new = true) {
    fs::create_directories(temp_.path() / folder);
    const auto write = [&](const char* file, const std::string& text) {
      temp_.Write((fs::path(folder) / file).string(), text);
    };
    write(is_new ? "memory.max" : "memory.limit_in_bytes", limit + "\n");
    write(is_new ? "memory.current" : "memory.usage_in_bytes", std::to_string(used) + "\n");
    write("memory.stat", fmt::format("anon 5\nfile 123\n{} {}\nactive_file 7\n",
                                     is_new ? "inactive_file" : "total_inactive_file", inactive));
  }
  int64_t Free(const std::string& memberships) {
    return GroupFree(temp_.path(), temp_.Write("cgroup", memberships));
  }
  testing::TempDir temp_;
};

// After 6 of 8 GiB have been read from files, 7 are free: the kernel drops what it keeps of files.
TEST_F(ControlGroups, FilesThatWereReadAreFree) {
  Group("", std::to_string(8 * kGib), 7 * kGib, 6 * kGib);
  EXPECT_EQ(Free("0::/\n"), 7 * kGib);
}

TEST_F(ControlGroups, OfVersion1) {
  Group("memory", "9223372036854771712", 7 * kGib, kGib, false);
  Group("memory/job", std::to_string(8 * kGib), 7 * kGib, 6 * kGib, false);
  EXPECT_EQ(Free("9:cpu,cpuacct:/job\n4:memory:/job\n0::/\n"), 7 * kGib);
  EXPECT_EQ(Free("4:hugetlb,memory:/job\n"), 7 * kGib);
  // In a container the path may be that of the host, where only the root is seen.
  Group("memory", std::to_string(4 * kGib), 3 * kGib, kGib, false);
  EXPECT_EQ(Free("4:memory:/docker/0123\n"), 2 * kGib);
}

TEST_F(ControlGroups, LimitsOfGroupsAboveApply) {
  Group("user.slice", std::to_string(4 * kGib), 3 * kGib, 0);
  Group("user.slice/job", "max", 2 * kGib, 0);
  EXPECT_EQ(Free("0::/user.slice/job\n"), kGib);
  Group("user.slice/job", std::to_string(2 * kGib), 3 * kGib, 0);
  EXPECT_EQ(Free("0::/user.slice/job\n"), 0);
}

TEST_F(ControlGroups, WithoutLimit) {
  EXPECT_EQ(Free(""), kNoLimit);
  EXPECT_EQ(Free("0::/nowhere\n"), kNoLimit);
  Group("", "max", kGib, 0);
  EXPECT_EQ(Free("0::/\n4:pids:/x\nno line of these\n"), kNoLimit);
  EXPECT_EQ(GroupFree(temp_.path(), temp_.path() / "nowhere"), kNoLimit);
}

TEST(FreeMemory, IsSomeButNotEndless) {
  EXPECT_GT(FreeMemory(c10::kCPU), 1 << 20);
  EXPECT_LT(FreeMemory(c10::kCPU), int64_t{1} << 50);
}

TEST(WithMemoryFor, SaysWhatNeededTheMemory) {
  const auto text_of = [](auto f) {
    return testing::ErrorText([&] { WithMemoryFor("adding", "add less", f); });
  };
  const std::string text = "memory ran out while adding; add less";
  EXPECT_EQ(text_of([]() -> int { throw std::bad_alloc(); }), text);
  EXPECT_EQ(text_of([] { at::empty({int64_t{1} << 58}, at::kByte); }), text);  // LibTorch's own
  EXPECT_EQ(text_of([] { throw Error("another"); }), "another");
  EXPECT_THROW(WithMemoryFor("", "", [] { throw std::runtime_error("x"); }), std::runtime_error);
  EXPECT_EQ(WithMemoryFor("", "", [] { return 3; }), 3);
}

TEST(TrainingFootprint, CountsTheGradientsThatAreWidenedTogether) {
  // No tensor of this model has as many elements as the optimizer widens at once.
  const PhiConfig config = testing::SmallConfig();
  const auto working = [&](int64_t trained, int64_t element) {
    return TrainingFootprintOf(
               config, {.trained = trained, .trained_element = element, .master = element < 4})
        .working;
  };
  // Gradients in float32 are not copied.
  EXPECT_EQ(working(kWideElements * 2, 2) - working(kWideElements * 2, 4), 2 * 4 * kWideElements);
  EXPECT_EQ(working(100, 2) - working(100, 4), 2 * 4 * 100);  // no more than all
  // Random rounding takes as much again.
  const TrainingShape random{.trained = 100, .trained_element = 2};
  EXPECT_EQ(TrainingFootprintOf(config, random).working, working(100, 4) + 4 * 4 * 100);
  // Moments in 8 bits are updated without copies; the norm of a gradient needs one.
  const TrainingShape quantised{.trained = 100, .trained_element = 2, .quantised = true};
  EXPECT_EQ(TrainingFootprintOf(config, quantised).working, working(100, 4) + 4 * 100);
}

}  // namespace
}  // namespace pivotal::model
