// Apache-2.0.
#include "dpo/launched_ranks.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

namespace pivotal::dpo {
namespace {

// The first of these that is set, at least `least`.
int Read(std::initializer_list<const char*> names, int least) {
  for (const char* name : names)
    if (const char* value = std::getenv(name)) return std::max(least, std::atoi(value));
  return least;
}

}  // namespace

int LaunchedRanks() {
  // SLURM_NTASKS is no sign: a batch script that starts a program by itself has it too.
  return Read({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1);
}

LaunchedRank ThisLaunchedRank() {
  LaunchedRank rank;
  rank.ranks = LaunchedRanks();
  if (rank.ranks == 1) return rank;
  rank.rank = Read({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}, 0);
  rank.neighbour = Read({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0);
  // srun doesn't tell how many there are on this machine: as many as its number shows.
  rank.neighbours = Read({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, rank.neighbour + 1);
  return rank;
}

}  // namespace pivotal::dpo
