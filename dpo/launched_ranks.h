// Apache-2.0. What the environment says about the processes that were started together.
#pragma once

namespace pivotal::dpo {

// As mpirun (Open MPI, MPICH) or srun has it; 1: this process was started by itself.
int LaunchedRanks();

// This process among them, from 0, and its place among those on its machine, as far as the launcher tells.
struct LaunchedRank {
  int rank = 0, ranks = 1;
  int neighbour = 0, neighbours = 1;
};
LaunchedRank ThisLaunchedRank();

}  // namespace pivotal::dpo
