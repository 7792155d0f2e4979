// Apache-2.0. The cache in which the tools of the Hugging Face Hub keep what they have downloaded:
// models and data sets are found there by their names. Nothing is downloaded here.
//
// Layout (huggingface_hub, "Understand caching"): CACHE/models--ORG--NAME has blobs/, refs/BRANCH
// (a file that holds the commit), and snapshots/COMMIT/, a folder of links to blobs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pivotal::data {

enum class HubKind : uint8_t { kModel, kDataset };

// A name such as microsoft/phi-4, or microsoft/phi-4@REVISION: a branch, a tag or a commit.
struct HubName {
  std::string id;
  std::string revision = {};  // "": the branch main
};

// Returns the name that `text` is; nullopt if it has not the form of one.
std::optional<HubName> ParseHubName(std::string_view text);

// Returns the folder of the cache, as the Hub's tools find it: by the environment variables
// HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME and XDG_CACHE_HOME, else in the user's home.
std::filesystem::path HubCacheFolder();

// Returns the command that downloads all of it: "hf download microsoft/phi-4".
std::string HubDownloadCommand(HubKind kind, const HubName& name);

// Returns the folder of the snapshot, .../snapshots/COMMIT. Throws Error that says where it was
// looked for and by which command it comes there.
std::filesystem::path HubSnapshot(HubKind kind, const HubName& name);

// Returns the name of what lies at `path` in a cache, wherever that is, with the commit of its
// snapshot; an id of "" if it lies in none.
HubName HubNameOf(HubKind kind, const std::filesystem::path& path);

}  // namespace pivotal::data
