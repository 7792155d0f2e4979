// Apache-2.0. Ranks without MPI. CMake builds this in place of mpi_ranks.cc where it finds no MPI.
#include <memory>

#include "data/base/error.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {

std::unique_ptr<Ranks> JoinRanks() {
  if (const int ranks = ReadLaunchedRank().size; ranks > 1)
    Fail(
        "this is one of {} processes, but the program was built without MPI: install MPI (Debian: "
        "libopenmpi-dev) and build with -DPIVOTAL_MPI=ON, or start one process",
        ranks);
  return std::make_unique<Ranks>();
}

}  // namespace pivotal::dpo
