// Apache-2.0. What the environment says about the processes that were started together.
#pragma once

namespace pivotal::dpo {

// As mpirun (Open MPI, MPICH) or srun has it; 1: this process was started by itself.
int LaunchedRanks();

}  // namespace pivotal::dpo
