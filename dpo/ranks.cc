// Apache-2.0.
#include "dpo/ranks.h"

#include <ATen/Context.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <initializer_list>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "model/checkpoint.h"

namespace pivotal::dpo {
namespace {

// Returns the number in the first of these environment variables that is set, but at least `least`.
int ReadVariable(std::initializer_list<const char*> names, int least) {
  for (const char* name : names)
    if (const char* value = std::getenv(name)) return std::max(least, std::atoi(value));
  return least;
}

// Returns the texts of these environment variables; "" if none is set.
std::string JoinVariables(std::initializer_list<const char*> names) {
  std::string text;
  for (const char* name : names)
    if (const char* value = std::getenv(name)) text += fmt::format("{}={} ", name, value);
  return text;
}

}  // namespace

void Ranks::Sum(const at::Tensor& values) {
  Reduce(values, 0);
  Broadcast(values, 0);
}

double Ranks::Sum(double here) {
  const at::Tensor sum = at::full({}, here, at::TensorOptions(at::kDouble));
  Sum(sum);
  return sum.item<double>();
}

bool Ranks::Any(bool here) { return Sum(here ? 1.0 : 0.0) > 0; }

bool Ranks::Same(const std::string& text) {
  std::string sum = data::Sha256OfText(text);
  const std::string here = sum;
  const auto bytes = static_cast<int64_t>(sum.size());
  Broadcast(at::from_blob(sum.data(), {bytes}, at::TensorOptions(at::kByte)), 0);
  return !Any(sum != here);
}

std::string Ranks::FirstText(const std::string& text) {
  for (int root = 0; root < size(); ++root) {
    const at::Tensor length =
        at::full({}, static_cast<int64_t>(text.size()), at::TensorOptions(at::kLong));
    Broadcast(length, root);
    const auto bytes = length.item<int64_t>();
    if (bytes == 0) continue;
    std::string first = text;
    first.resize(static_cast<std::size_t>(bytes));
    Broadcast(at::from_blob(first.data(), {bytes}, at::TensorOptions(at::kByte)), root);
    return first;
  }
  return "";
}

void Ranks::Together(const std::function<void()>& part) {
  std::string stopped, failed;
  std::exception_ptr failure;
  try {
    part();
  } catch (const Interrupted& stop) {
    stopped = stop.what();
  } catch (const std::exception& error) {
    failure = std::current_exception();
    failed = *error.what() != '\0' ? error.what() : "failed";
  }
  if (Any(failure != nullptr)) {
    const std::string first = FirstText(failed);
    if (failure) std::rethrow_exception(failure);
    throw Error(first);
  }
  if (Any(!stopped.empty())) throw Interrupted(stopped.empty() ? "stopped" : stopped);
}

Ranks& Alone() {
  static Ranks alone;
  return alone;
}

LaunchedRank ReadLaunchedRank() {
  LaunchedRank launched;
  // Batch scripts set SLURM_NTASKS for programs that they start by themselves, too.
  launched.size = ReadVariable({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1);
  if (launched.size == 1) return launched;
  launched.rank = ReadVariable({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"}, 0);
  launched.local_rank =
      ReadVariable({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0);
  // srun does not tell the number of processes on this machine; it has at least local_rank + 1.
  launched.local_size =
      ReadVariable({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, launched.local_rank + 1);
  // mpirun of Open MPI 4 makes a random number, that of Open MPI 5 a name for each launch. srun
  // numbers the steps of a job, from 0 again where the job went back into the queue.
  launched.launch = JoinVariables({"OMPI_MCA_orte_precondition_transports", "PMIX_NAMESPACE"});
  if (launched.launch.empty())
    launched.launch = JoinVariables({"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_STEP_ID"});
  return launched;
}

int OwnGpu(int local_rank, int local_size, int gpus) {
  if (local_size > gpus)
    Fail(
        "{} ranks on a machine with {} GPUs: start one rank per GPU (mpirun -n {}); if "
        "CUDA_VISIBLE_DEVICES gives each rank a GPU of its own, use --device cuda:0",
        local_size, gpus, gpus);
  return local_rank;
}

std::string RankDevice(const std::string& device, int local_rank, int local_size) {
  const bool any = device == "auto" || device == "cuda";
  if (!any || local_size == 1 || !model::ParseDevice(device).is_cuda()) return device;
  return fmt::format("cuda:{}", OwnGpu(local_rank, local_size, static_cast<int>(at::getNumGPUs())));
}

}  // namespace pivotal::dpo
