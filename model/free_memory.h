// Apache-2.0. How much memory there is for more.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace pivotal::model {

// Bytes that can be allocated now on `device`. On the CPU: what the kernel calls available, within the
// limit of the process's control group.
int64_t FreeMemory(c10::Device device);

}  // namespace pivotal::model
