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

// Sets data set and oracle, which nobody has chosen, by what the problem file plainly holds
// (GuessProblems), and says so in a note. Leaves the settings as they are where nothing is plain,
// and for a file that cannot be read: whoever loads it says why.
void GuessDataset(ProblemSettings& problems);

}  // namespace pivotal::experiments
