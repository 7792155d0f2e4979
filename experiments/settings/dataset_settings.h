// Apache-2.0. Problem settings that a well-known data set brings along.
#pragma once

#include <string>
#include <string_view>

#include "experiments/settings/settings_file.h"
#include "pivotal/oracle.h"

namespace pivotal::experiments {

// Sets the name of a data set (DatasetNames()), its oracle, and keys that mean the data set's own.
// Throws Error for an unknown name.
void UseDataset(const std::string& name, ProblemSettings& problems);

// Does so where `file` names a data set in `section`. Call it before the other settings of the
// section are read, which win. Throws Error that names section and key.
void UseDataset(const SettingsFile& file, std::string_view section, ProblemSettings& problems);

}  // namespace pivotal::experiments
