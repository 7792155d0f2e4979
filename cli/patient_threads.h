// Apache-2.0. How the threads of LibTorch wait for each other.
#pragma once

namespace pivotal::cli {

// LibTorch's threads (OpenMP) wait by spinning. Where another program wants a core, a step of
// training then takes several times as long (bench/README.md, "Threads on a busy machine"). OpenMP
// reads how to wait when it is loaded, so this starts the program again, in the same process and
// with the same arguments, with OMP_WAIT_POLICY=passive: threads sleep while they wait. Does
// nothing if the environment says how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT) or asks for one
// thread (OMP_NUM_THREADS), or if the program cannot be started again. Call it before any work and
// before reading standard input.
void UsePatientThreads();

}  // namespace pivotal::cli
