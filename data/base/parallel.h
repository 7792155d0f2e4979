// Apache-2.0. A loop whose iterations run on several threads.
#pragma once

#include <cstddef>
#include <functional>

namespace pivotal::data {

// Calls body(i) once for each i in [0, count), on at most `threads` threads of which the caller is
// one, and waits. Takes fewer threads where the system starts no more. Starts no further iteration
// after one has thrown, and rethrows the exception of the least i that has thrown: the one that a
// plain loop would throw.
void ParallelFor(std::size_t count, int threads, const std::function<void(std::size_t)>& body);

}  // namespace pivotal::data
