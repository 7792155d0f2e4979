// Apache-2.0. Linked in place of mpi_ranks.cc where CMake finds no MPI.
#include "data/error.h"
#include "dpo/launched_ranks.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {

std::unique_ptr<Ranks> JoinRanks() {
  if (const int ranks = LaunchedRanks(); ranks > 1)
    Fail("started as one of {} processes, but built without MPI: install it (Debian: libopenmpi-dev) "
         "and build with -DPIVOTAL_MPI=ON, or start one process", ranks);
  return std::make_unique<Ranks>();
}

}  // namespace pivotal::dpo
