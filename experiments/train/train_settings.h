// Apache-2.0. Every setting of a training run, and train.toml, which keeps them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "dpo/loss.h"
#include "dpo/trainer.h"
#include "experiments/settings/input_files.h"
#include "experiments/settings/settings_file.h"
#include "model/checkpoint.h"
#include "model/lora.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

// What training starts from; checked again before it goes on.
struct TrainInputs {
  std::string weights_sha256, data_sha256;
  std::string adapter_sha256;  // "": none
  InputFiles files;            // all others
};
TrainInputs InputsOf(const TrainSettings& settings);

// RUN/train.toml. A setting that the file lacks has its default, and a warning names it. Throws
// Error that names the file and the line or setting, also for a setting that this version does not
// know. `ranks`, the number that the run is started with, is for its reader: it may go on with
// another.
void SaveTrainSettings(const TrainSettings& settings, const TrainInputs& inputs, int ranks,
                       const std::filesystem::path& run);
TrainSettings LoadTrainSettings(const std::filesystem::path& run, TrainInputs& inputs);

// As those of run_config.h, by the names of train.toml; the text is without the paths of model and
// data, and without what is logged where.
void ApplySettings(const SettingsFile& file, TrainSettings& settings);
std::string SettingsText(const TrainSettings& settings);

// Reads the settings that `file`, of the form of train.toml, has into `settings`. What train.toml
// holds beside settings, such as fingerprints, is left aside. Returns true if the file names an
// oracle or a data set, which has one.
bool ApplyTrainSettings(const std::filesystem::path& file, TrainSettings& settings);

// Returns the settings for readers elsewhere: of folders and files, and of the program of an
// oracle, it has the names alone.
std::string CardSettings(const TrainSettings& settings);
// Returns "command:check.py" for "command:/home/me/check.py --key x", any other oracle as it is.
std::string OracleName(const std::string& oracle);

}  // namespace pivotal::experiments
