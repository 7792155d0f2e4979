// Apache-2.0. The files of a data set of the Hugging Face Hub, by configuration and split.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pivotal::experiments {

struct DataPart {
  std::string config, split;
  std::vector<std::filesystem::path> files;  // in order; the card may name files that are not there
};

struct DataParts {
  std::vector<DataPart> parts;
  std::string usual_config;  // the one that the card calls the default; "": none
};

// Reads the key `configs` of the card in the snapshot's README.md, by the rules of the library
// datasets (utils/metadata.py, data_files.py). Where it has none, goes by names, as in
// main/train-00000-of-00001.parquet, data/test.jsonl or test.csv: the folder is the configuration,
// and a word of the file's or a folder's name the split; without one it is "train". Throws Error
// for a card that cannot be read.
DataParts DataPartsOf(const std::filesystem::path& snapshot);

}  // namespace pivotal::experiments
