// Apache-2.0.
#include "dpo/launched_ranks.h"

#include <algorithm>
#include <cstdlib>

namespace pivotal::dpo {

int LaunchedRanks() {
  int ranks = 1;
  // SLURM_NTASKS is no sign: a batch script that starts a program by itself has it too.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const char* value = std::getenv(name)) ranks = std::max(ranks, std::atoi(value));
  return ranks;
}

}  // namespace pivotal::dpo
