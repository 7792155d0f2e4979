// Apache-2.0. Caches in the layout that huggingface_hub writes.
#include "data/base/hub_cache.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using testing::ErrorText;
using ::testing::HasSubstr;

const std::string kCommit = "0f7ff5a1b3c3d5e7f90112233445566778899aab";
const std::string kOlder = "1a2b3c4d5e6f70819203a4b5c6d7e8f901234567";

// Sets variables of the environment; puts back what was there.
class Environment {
 public:
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value)
        ::setenv(name.c_str(), value->c_str(), 1);
      else
        ::unsetenv(name.c_str());
    }
  }
  void Set(const std::string& name, const std::optional<std::string>& value) {
    const char* now = std::getenv(name.c_str());
    before_.try_emplace(name, now == nullptr ? std::nullopt : std::optional<std::string>(now));
    if (value)
      ::setenv(name.c_str(), value->c_str(), 1);
    else
      ::unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

class HubCache : public ::testing::Test {
 protected:
  HubCache() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"})
      environment_.Set(name, std::nullopt);
    environment_.Set("HOME", "/home/me");
    environment_.Set("HF_HUB_CACHE", temp_.path().string());
  }
  // Makes a snapshot of a model, as a download of one file leaves it.
  void Download(const std::string& folder, const std::string& commit, const std::string& ref) {
    const fs::path repository = temp_.path() / folder;
    for (const char* name : {"blobs", "refs", "refs/refs/pr"})
      fs::create_directories(repository / name);
    temp_.Write(folder + "/blobs/d1", "{}");
    fs::create_directories(repository / "snapshots" / commit);
    fs::create_symlink("../../blobs/d1", repository / "snapshots" / commit / "config.json");
    if (!ref.empty()) temp_.Write(folder + "/refs/" + ref, commit);
  }
  std::string Find(const std::string& name, HubKind kind = HubKind::kModel) {
    return HubSnapshot(kind, ParseHubName(name).value()).lexically_relative(temp_.path()).string();
  }
  std::string Fault(const std::string& name, HubKind kind = HubKind::kModel) {
    return ErrorText([&] { Find(name, kind); });
  }

  testing::TempDir temp_;
  Environment environment_;
};

TEST(HubNames, AreToldFromPaths) {
  const auto text = [](const char* name) {
    const auto parsed = ParseHubName(name);
    return parsed ? parsed->id + " " + parsed->revision : "";
  };
  EXPECT_EQ(text("microsoft/phi-4"), "microsoft/phi-4 ");
  EXPECT_EQ(text("microsoft/Phi-3.5-mini_x@v1.0"), "microsoft/Phi-3.5-mini_x v1.0");
  EXPECT_EQ(text("a/b@refs/pr/1"), "a/b refs/pr/1");
  for (const char* path :
       {"", "phi-4", "/phi-4", "a/", "a/b/c", "./phi-4", "../phi-4", "a/../b", "a/b@", "a/b@../x",
        "a/b@x/", "a/.b", "a--b/c", "a/b c", "~/phi-4", "a/b@-x", "a/b.jsonl/"})
    EXPECT_EQ(text(path), "") << path;
}

TEST_F(HubCache, TheFolderIsThatOfTheHubsTools) {
  EXPECT_EQ(HubCacheFolder(), temp_.path());
  environment_.Set("HUGGINGFACE_HUB_CACHE", "/older");
  EXPECT_EQ(HubCacheFolder(), temp_.path());
  environment_.Set("HF_HUB_CACHE", std::nullopt);
  EXPECT_EQ(HubCacheFolder(), "/older");
  environment_.Set("HUGGINGFACE_HUB_CACHE", std::nullopt);
  EXPECT_EQ(HubCacheFolder(), "/home/me/.cache/huggingface/hub");
  environment_.Set("XDG_CACHE_HOME", "/caches");
  EXPECT_EQ(HubCacheFolder(), "/caches/huggingface/hub");
  environment_.Set("HF_HOME", "~/hf");
  EXPECT_EQ(HubCacheFolder(), "/home/me/hf/hub");
  environment_.Set("PLACE", "/place");
  environment_.Set("HF_HOME", "$PLACE/${PLACE}x/$NOT_SET_AT_ALL");
  EXPECT_EQ(HubCacheFolder(), "/place//placex/$NOT_SET_AT_ALL/hub");
}

TEST_F(HubCache, BranchesTagsAndCommitsNameASnapshot) {
  const std::string folder = "models--microsoft--phi-4";
  Download(folder, kCommit, "main");
  Download(folder, kOlder, "refs/pr/1");
  EXPECT_EQ(Find("microsoft/phi-4"), folder + "/snapshots/" + kCommit);
  EXPECT_EQ(Find("microsoft/phi-4@main"), folder + "/snapshots/" + kCommit);
  EXPECT_EQ(Find("microsoft/phi-4@refs/pr/1"), folder + "/snapshots/" + kOlder);
  EXPECT_EQ(Find("microsoft/phi-4@" + kOlder), folder + "/snapshots/" + kOlder);
  EXPECT_THAT(Fault("microsoft/phi-4@v2"),
              AllOf(HasSubstr("has no revision v2 (what is there: microsoft/phi-4@" + kCommit +
                              ", microsoft/phi-4@" + kOlder + ")"),
                    EndsWith("download it: hf download microsoft/phi-4 --revision v2")));
}

TEST_F(HubCache, WhatIsNotThereHasACommand) {
  EXPECT_EQ(Fault("microsoft/phi-4"),
            "microsoft/phi-4: there is no such folder, and no model of that name in the Hub's "
            "cache " +
                temp_.path().string() + "; download it: hf download microsoft/phi-4");
  EXPECT_THAT(Fault("openai/gsm8k", HubKind::kDataset),
              AllOf(HasSubstr("no such file, and no data set of that name"),
                    EndsWith(": hf download openai/gsm8k --repo-type dataset")));
  // A data set is no model.
  Download("datasets--openai--gsm8k", kCommit, "main");
  EXPECT_EQ(Find("openai/gsm8k", HubKind::kDataset),
            "datasets--openai--gsm8k/snapshots/" + kCommit);
  EXPECT_THAT(Fault("openai/gsm8k"), HasSubstr("no model of that name"));
  // A download that was broken off, or removed by hand.
  fs::remove_all(temp_.path() / "datasets--openai--gsm8k" / "snapshots");
  EXPECT_THAT(Fault("openai/gsm8k", HubKind::kDataset), HasSubstr("there is no folder "));
  temp_.Write("datasets--openai--gsm8k/refs/main", "../../../secret");
  EXPECT_THAT(Fault("openai/gsm8k", HubKind::kDataset), HasSubstr("not a commit"));
}

TEST(HubNames, AreReadFromPaths) {
  const auto name = [](HubKind kind, const char* path) {
    const HubName found = HubNameOf(kind, path);
    return found.id + "@" + found.revision;
  };
  EXPECT_EQ(name(HubKind::kModel, "/x/models--a--b-c/snapshots/1/config.json"), "a/b-c@1");
  EXPECT_EQ(name(HubKind::kModel, "/x/models--a--b-c"), "a/b-c@");
  EXPECT_EQ(name(HubKind::kModel, "/x/datasets--a--b/snapshots/1"), "@");
  EXPECT_EQ(name(HubKind::kDataset, "/x/datasets--a--b/snapshots/1"), "a/b@1");
  EXPECT_EQ(name(HubKind::kModel, "/x/models--"), "@");
  EXPECT_EQ(name(HubKind::kModel, "/x/snapshots/1"), "@");
}

}  // namespace
}  // namespace pivotal::data
