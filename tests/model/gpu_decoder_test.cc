// Apache-2.0. Runs the GPU's decoder on the CPU: its kernels are compiled with
// cuda_on_cpu.h, and replaying a recording calls its function again. Compiled a second time, the
// tests run on a GPU.
#include "model/gpu_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "model/lora.h"
#include "model/rollout_engine.h"
#include "tests/kernels/cuda_on_cpu.h"
#include "tests/support/full_forward.h"
#include "tests/support/ragged_formula.h"
#include "tests/support/small_phi.h"
#include "tests/support/timed_stream.h"

namespace pivotal::model {
namespace {

using testing::NextLogProbs;

const Progress kQuiet;

struct Uses {
  int recordings = 0, replays = 0;
  int moments = 0;     // that were marked
  int idle_waits = 0;  // waits after which the device has nothing to do
  bool flash = false;  // prefills take flash attention; on a GPU they do in 16 bits
};

// Counts calls, and passes them to `stream`. Without a stream it runs work at once.
class CountedStream : public DeviceStream {
 public:
  CountedStream(Uses& uses, bool records, std::unique_ptr<DeviceStream> stream)
      : uses_(uses), records_(records), stream_(std::move(stream)) {}

  void* handle() const override { return stream_ ? stream_->handle() : nullptr; }
  void Run(const std::function<void()>& work) override { stream_ ? stream_->Run(work) : work(); }
  std::unique_ptr<Recording> Record(const std::function<void()>& work) override {
    if (!records_) return nullptr;
    ++uses_.recordings;
    return std::make_unique<Counted>(uses_, work, stream_ ? stream_->Record(work) : nullptr);
  }
  std::unique_ptr<Moment> Mark() override {
    return std::make_unique<CountedMoment>(uses_, stream_ ? stream_->Mark() : nullptr);
  }
  void Wait() override {
    ++uses_.idle_waits;
    if (stream_) stream_->Wait();
  }

 private:
  class CountedMoment : public Moment {
   public:
    CountedMoment(Uses& uses, std::unique_ptr<Moment> moment)
        : uses_(uses), number_(++uses.moments), moment_(std::move(moment)) {}
    void Wait() override {
      if (number_ == uses_.moments) ++uses_.idle_waits;
      if (moment_) moment_->Wait();
    }
    double SecondsUntil(Moment& later) const override {
      return moment_ ? moment_->SecondsUntil(*static_cast<CountedMoment&>(later).moment_) : 0;
    }

   private:
    Uses& uses_;
    int number_;
    std::unique_ptr<Moment> moment_;
  };
  class Counted : public Recording {
   public:
    Counted(Uses& uses, std::function<void()> work, std::unique_ptr<Recording> recording)
        : uses_(uses), work_(std::move(work)), recording_(std::move(recording)) {}
    void Replay() override {
      ++uses_.replays;
      recording_ ? recording_->Replay() : work_();
    }

   private:
    Uses& uses_;
    std::function<void()> work_;
    std::unique_ptr<Recording> recording_;
  };

  Uses& uses_;
  bool records_;
  std::unique_ptr<DeviceStream> stream_;
};

#ifdef PIVOTAL_CUDA_ON_GPU
const at::Device kDevice(at::kCUDA, 0);
std::unique_ptr<DeviceStream> Stream() { return MakeCudaStream(kDevice); }
#else
const at::Device kDevice(at::kCPU);
std::unique_ptr<DeviceStream> Stream() { return nullptr; }
#endif

// Copies a model to the device of the decoder.
std::unique_ptr<PhiModel> There(const PhiModel& model) {
  ParameterMap parameters;
  for (const auto& [name, tensor] : model.parameters())
    parameters[name] = tensor.to(kDevice, /*non_blocking=*/false, /*copy=*/true);
  return std::make_unique<PhiModel>(model.config(), std::move(parameters), "test");
}

// Returns what computes prefills: on a GPU what serves there, else the formula, if `uses` says so.
RaggedKernel Flash(const PhiModel& model, const Uses& uses) {
  if (!kDevice.is_cpu()) return model.flash();
  return uses.flash ? RaggedKernel(testing::ByFormula) : nullptr;
}

RolloutEngine Engine(const PhiModel& model, EngineOptions options, Uses& uses,
                     bool records = true) {
  return RolloutEngine(model, std::move(options),
                       [&uses, records](const PhiModel& of, const DecoderOptions& decoder) {
                         return std::make_unique<GpuDecoder>(
                             of, decoder, std::make_unique<CountedStream>(uses, records, Stream()),
                             Flash(of, uses));
                       });
}

// Returns requests at several positions of one sequence, on a branch, and elsewhere, with counts
// around the batch size.
std::vector<RolloutRequest> MixedRequests() {
  std::vector<RolloutRequest> requests;
  std::vector<TokenId> trunk;
  for (int32_t t = 0; t < 40; ++t) trunk.push_back((7 * t + 3) % 61);
  for (int32_t i = 0; i < 6; ++i) {
    RolloutRequest request;
    request.prefix.assign(trunk.begin(), trunk.begin() + 2 + 7 * i);
    if (i % 3 == 1) request.prefix.push_back(60 - i);
    if (i == 3) request.prefix.front() = i;
    request.count = 1 + 2 * (i % 3);
    request.max_new_tokens = 3 + 4 * (i % 3);
    request.stream = 100 + static_cast<uint64_t>(i);
    if (i == 4) request.excluded = {1, 5, 9};
    if (i == 5) request.sampling = SamplingParams{.temperature = 0.7, .top_k = 12, .top_p = 0.9};
    requests.push_back(request);
  }
  return requests;
}

// Runs each launch once. Tests of the kernels cover several orders of threads.
struct Once {
  kernels::cuda_on_cpu::ScopedSchedules schedules{{kernels::cuda_on_cpu::Schedule::kForward}};
};

class GpuDecoderTest : public ::testing::TestWithParam<testing::PhiVariant> {
  const Once once_;
};

std::vector<testing::PhiVariant> Supported() {
  std::vector<testing::PhiVariant> variants;
  for (const auto& variant : testing::PhiVariants())
    if (variant.config.block_sparse.block == 0) variants.push_back(variant);
  return variants;
}

TEST_P(GpuDecoderTest, RolloutsAreThoseOfTheFullForwardPass) {
  const auto model = testing::SmallPhi(GetParam().config), there = There(*model);
  const auto requests = MixedRequests();
  Uses uses;
  RolloutEngine engine = Engine(*there, {.batch = 5, .prefill_tokens = 7}, uses);
  const auto results = engine.Sample(requests, kQuiet);
  ASSERT_EQ(results.size(), requests.size());
  ASSERT_EQ(results.back().size(), static_cast<std::size_t>(requests.back().count));
  testing::ExpectLogProbsOfFullForward(
      *model, {requests.begin(), requests.end() - 1},  // the last has other sampling parameters
      {results.begin(), results.end() - 1});
  // The CPU's decoder gets the same random numbers.
  const auto others = RolloutEngine(*model, {.batch = 7}).Sample(requests, kQuiet);
  int same = 0, all = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::size_t j = 0; j < results[i].size(); ++j, ++all)
      same += results[i][j].tokens == others[i][j].tokens ? 1 : 0;
  EXPECT_GE(same, all - 1);  // rounding may change one sampled token
  const bool experts = GetParam().config.mlp == PhiConfig::Mlp::kExperts;
  EXPECT_EQ(uses.recordings > 0, !experts);
  EXPECT_GE(uses.replays, uses.recordings);
}

TEST_P(GpuDecoderTest, ScoresAreThoseOfTheFullForwardPass) {
  const auto model = testing::SmallPhi(GetParam().config), there = There(*model);
  for (const bool flash : {false, true}) {
    std::vector<TokenId> tokens = {3, 1, 8}, continuation;
    for (int i = 0; i < 20; ++i) continuation.push_back(11 + 2 * i);
    Uses uses{.flash = flash};
    const auto scores = Engine(*there, {.prefill_tokens = 6}, uses).Score(tokens, continuation);
    for (std::size_t i = 0; i < continuation.size(); ++i) {
      const at::Tensor want = NextLogProbs(*model, tokens);
      ASSERT_NEAR(scores[i].logprob, want[continuation[i]].item<float>(), 1e-4) << "token " << i;
      ASSERT_NEAR(scores[i].entropy, -(want.exp() * want.clamp_min(-1e30)).sum().item<float>(),
                  1e-3)
          << "token " << i;
      tokens.push_back(continuation[i]);
    }
  }
}

TEST_P(GpuDecoderTest, FlashPrefillsGiveTheSameRollouts) {
  const auto model = testing::SmallPhi(GetParam().config), there = There(*model);
  const auto requests = MixedRequests();
  Uses uses{.flash = true};
  RolloutEngine engine = Engine(*there, {.batch = 5, .prefill_tokens = 30}, uses);
  const auto results = engine.Sample(requests, kQuiet);
  testing::ExpectLogProbsOfFullForward(*model, {requests.begin(), requests.end() - 1},
                                       {results.begin(), results.end() - 1});
}

INSTANTIATE_TEST_SUITE_P(Phi, GpuDecoderTest, ::testing::ValuesIn(Supported()),
                         [](const auto& info) { return info.param.name; });

// A replayed step takes its sizes from the recording and all other inputs from its own call.
TEST(GpuDecoder, ReplayedStepsChangeNoBit) {
  const Once once;
  const auto model =
      There(*testing::SmallPhi(testing::PhiVariants()[2].config));  // two kinds of rows
  const auto requests = MixedRequests();
  Uses replayed, as_is;
  const auto results = Engine(*model, {.batch = 6}, replayed).Sample(requests, kQuiet);
  const auto others =
      Engine(*model, {.batch = 6}, as_is, /*records=*/false).Sample(requests, kQuiet);
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::size_t j = 0; j < results[i].size(); ++j) {
      EXPECT_EQ(results[i][j].tokens, others[i][j].tokens);
      EXPECT_EQ(results[i][j].logprobs, others[i][j].logprobs);
    }
  EXPECT_GT(replayed.replays, replayed.recordings);
  EXPECT_EQ(as_is.replays, 0);
}

// The next step is on its way when the host waits for the tokens of a step: all but the first,
// which gives the logits after the prefix, and the last ones.
TEST(GpuDecoder, TheDeviceIsBusyWhileTheHostWaits) {
  const Once once;
  const auto model = There(*testing::SmallPhi());
  Uses uses;
  RolloutEngine engine = Engine(*model, {.batch = 4}, uses);
  RolloutRequest request;
  request.prefix = {5, 6, 7};
  request.count = 4;
  request.max_new_tokens = 12;
  int64_t steps = 0;
  const auto results = engine.Sample(std::vector{request}, kQuiet);
  for (const Rollout& rollout : results[0])
    steps = std::max<int64_t>(steps, std::ssize(rollout.tokens));
  EXPECT_GT(steps, 6);
  EXPECT_LE(uses.idle_waits, 3);
}

// A rollout that ends is noticed a step late. What it drew after its end is in no result.
TEST(GpuDecoder, TokensAfterAnEndAreDiscarded) {
  const Once once;
  const auto model = testing::SmallPhi(), there = There(*model);
  RolloutRequest request;
  request.prefix = {5, 6, 7};
  request.count = 9;
  request.max_new_tokens = 20;
  request.stop = [](std::span<const TokenId> tokens) { return tokens.back() % 4 == 0; };
  Uses uses;
  RolloutEngine engine = Engine(*there, {.batch = 4}, uses);
  const auto results = engine.Sample(std::vector{request}, kQuiet);
  const auto others = RolloutEngine(*model, {.batch = 7}).Sample(std::vector{request}, kQuiet);
  int64_t tokens = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    EXPECT_EQ(results[0][i].tokens, others[0][i].tokens) << i;
    EXPECT_EQ(results[0][i].finish, others[0][i].finish) << i;
    tokens += std::ssize(results[0][i].tokens);
  }
  EXPECT_EQ(engine.counters().decoded_tokens, tokens);
  EXPECT_GT(engine.counters().discarded_tokens, 0);
  EXPECT_LE(engine.counters().discarded_tokens, request.count);
}

// Every step and prefill has its time, on whatever clock there is.
TEST(GpuDecoder, TakesTimesIfAsked) {
  const Once once;
  const auto model = There(*testing::SmallPhi());
  RolloutRequest request;
  request.prefix = {5, 6, 7};
  request.count = 4;
  request.max_new_tokens = 12;
  for (const bool timed : {false, true}) {
    RolloutEngine engine(*model, {.batch = 4, .timed = timed},
                         [](const PhiModel& of, const DecoderOptions& decoder) {
#ifdef PIVOTAL_CUDA_ON_GPU
                           return std::make_unique<GpuDecoder>(of, decoder, Stream(), nullptr);
#else
          static testing::StreamUses uses;
          return std::make_unique<GpuDecoder>(
              of, decoder, std::make_unique<testing::TimedStream>(uses), testing::ByFormula);
#endif
                         });
    const auto results = engine.Sample(std::vector{request}, kQuiet);
    const auto times = engine.decoder().device_times();
    ASSERT_EQ(times.has_value(), timed);
    if (!timed) continue;
    std::size_t drawn = 0, steps = 0;
    for (const Rollout& rollout : results[0]) {
      drawn += rollout.tokens.size() - 1;  // the first tokens are sampled on the host
      steps = std::max(steps, rollout.tokens.size() - 1);
    }
    const int64_t discarded = engine.counters().discarded_tokens;
    EXPECT_EQ(times->rows, static_cast<int64_t>(drawn) + discarded);
    EXPECT_GE(times->steps, static_cast<int64_t>(steps));
    EXPECT_LE(times->steps, static_cast<int64_t>(steps) + 1);
    EXPECT_GE(times->step_seconds, 0);
    EXPECT_GE(times->idle_seconds, 0);
  }
}

// With 16-bit weights, keys and values, log-probabilities equal those of LibTorch's operators in
// that type, up to rounding.
TEST(GpuDecoder, SixteenBits) {
  const Once once;
  PhiConfig flash = testing::SmallConfig();  // heads that a GPU's flash attention takes
  flash.head_dim = 8;
  PhiConfig window = flash;
  window.sliding_window = 5;
  for (const PhiConfig& config : {testing::SmallConfig(), flash, window}) {
    const auto wide = testing::SmallPhi(config);
    for (const auto type : {at::kBFloat16, at::kHalf}) {
      const auto model = testing::InType(*wide, type);
      Uses uses{.flash = config.head_dim == 8};
      std::vector<TokenId> tokens = {3, 1, 8}, continuation = {11, 13, 15, 17, 19, 21};
      const auto there = There(*model);
      const auto scores = Engine(*there, {}, uses).Score(tokens, continuation);
      for (std::size_t i = 0; i < continuation.size(); ++i) {
        EXPECT_NEAR(scores[i].logprob, NextLogProbs(*model, tokens)[continuation[i]].item<float>(),
                    type == at::kHalf ? 0.02 : 0.15)
            << "token " << i << ", heads of " << config.head_dim;
        tokens.push_back(continuation[i]);
      }
    }
  }
}

// Of a model in 4 or 8 bits a decoder for GPUs reads the codes: few rows, as many as a step of this
// batch has, and the many of a prefill.
TEST(GpuDecoder, ReadsWeightsInFourAndEightBits) {
  const Once once;
  PhiConfig config = testing::SmallConfig();
  config.hidden_size = 64;  // rows of whole blocks
  config.intermediate_size = 128;
  config.initializer_range = 0.15;
  const auto model = testing::SmallPhi(config);
  const auto requests = MixedRequests();
  for (const BaseWeights base : {BaseWeights::kNf4, BaseWeights::kInt8}) {
    const auto quantised = testing::Quantised(*model, base),
               there = testing::Quantised(*model, base, kDevice);
    for (PhiModel* phi : {quantised.get(), there.get()}) {
      if (base == BaseWeights::kInt8) continue;  // without adapter
      phi->set_adapter(NewAdapter(*phi, {.rank = 3, .alpha = 5}, 2));
      for (const auto& [layer, update] : phi->adapter()->updates) at::Tensor(update.b).fill_(0.03);
    }
    Uses uses;
    RolloutEngine engine = Engine(*there, {.batch = 5, .prefill_tokens = 30}, uses);
    const auto results = engine.Sample(requests, kQuiet);
    testing::ExpectLogProbsOfFullForward(*quantised, {requests.begin(), requests.end() - 1},
                                         {results.begin(), results.end() - 1});
    EXPECT_GT(uses.recordings, 0);
  }
}

TEST(GpuDecoder, RowsThatCannotBeDrawnFromThrow) {
  const Once once;
  const auto model = There(*testing::SmallPhi());
  model->parameters().at("model.norm.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  Uses uses;
  RolloutEngine engine = Engine(*model, {}, uses);
  RolloutRequest request;
  request.prefix = {5, 6, 7};
  request.count = 2;
  request.max_new_tokens = 3;
  EXPECT_THROW(engine.Sample(std::vector{request}, kQuiet), Error);
  model->parameters().at("model.norm.weight").fill_(1);
  EXPECT_EQ(engine.Sample(std::vector{request}, kQuiet)[0].size(), 2u);
}

TEST(GpuDecoder, SupportsWhatItsKernelsDo) {
  for (const auto& variant : testing::PhiVariants())
    EXPECT_EQ(GpuDecoder::Supports(*testing::SmallPhi(variant.config)),
              variant.config.block_sparse.block == 0)
        << variant.name;
  EXPECT_FALSE(GpuDecoder::Supports(*testing::InDouble(*testing::SmallPhi())));
  PhiConfig wide = testing::SmallConfig();
  wide.head_dim = 160;
  EXPECT_FALSE(GpuDecoder::Supports(*testing::SmallPhi(wide)));
}

TEST(StepBuffer, CopiesStayUntilItGrows) {
  Uses uses;
  CountedStream stream(uses, false, nullptr);
  StepBuffer buffer(at::kCPU, stream);
  const int bytes = buffer.Add<bool>(), wide = buffer.Add<int64_t>();
  EXPECT_TRUE(buffer.Grow(std::vector<int64_t>{3, 5}));
  const int64_t* const copy = buffer.device<int64_t>(wide);
  for (int64_t i = 0; i < 5; ++i) buffer.host<int64_t>(wide)[i] = 10 * i;
  buffer.host<bool>(bytes)[2] = true;
  buffer.Upload();
  EXPECT_EQ(copy[4], 40);
  EXPECT_TRUE(buffer.device<bool>(bytes)[2]);
  EXPECT_EQ(buffer.tensor(wide, at::kLong, 2).sizes(), at::IntArrayRef({2}));
  EXPECT_EQ(buffer.tensor(wide, at::kLong, 2).const_data_ptr<int64_t>(), copy);

  EXPECT_FALSE(buffer.Grow(std::vector<int64_t>{4, 8}));  // capacities are rounded up
  EXPECT_EQ(buffer.device<int64_t>(wide), copy);
  EXPECT_TRUE(buffer.Grow(std::vector<int64_t>{1, 9}));
  buffer.host<int64_t>(wide)[8] = 80;
  buffer.host<bool>(bytes)[3] = true;  // an array never shrinks
  buffer.Upload();
  EXPECT_EQ(buffer.device<int64_t>(wide)[8], 80);
}

// Every array begins at an address that suits any element type.
TEST(StepBuffer, ArraysAreAligned) {
  Uses uses;
  CountedStream stream(uses, false, nullptr);
  StepBuffer buffer(at::kCPU, stream);
  const int odd = buffer.Add<bool>(), wide = buffer.Add<double>();
  buffer.Grow(std::vector<int64_t>{13, 2});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.device<double>(wide)) % alignof(double), 0u);
  EXPECT_GE(reinterpret_cast<const char*>(buffer.device<double>(wide)) -
                reinterpret_cast<const char*>(buffer.device<bool>(odd)),
            13);
}

#ifdef PIVOTAL_CUDA_ON_GPU
// Records work that adds 1 to `x` at each replay.
std::unique_ptr<Recording> AddsOne(DeviceStream& stream, const at::Tensor& x) {
  return stream.Record([x] { x.add_(x.new_ones({1})); });
}

TEST(CudaStream, RecordsAgainOnceAllRecordingsHaveGone) {
  const at::Tensor x = at::zeros({4}, at::TensorOptions(kDevice));
  const auto stream = Stream();
  for (int round = 0; round < 3; ++round) {
    auto one = AddsOne(*stream, x), other = AddsOne(*stream, x);
    ASSERT_TRUE(one && other) << "round " << round;
    stream->Run([&] { one->Replay(), other->Replay(); });
    stream->Wait();
  }
  EXPECT_EQ(x.sum().item<float>(), 4 * 6);
}

TEST(CudaStream, RecordsAgainAfterARecordingThatFails) {
  const at::Tensor x = at::zeros({4}, at::TensorOptions(kDevice));
  const auto stream = Stream();
  for (int round = 0; round < 2; ++round) {
    const auto fails = [&] { return stream->Record([&] { Fail("on purpose"); }); };
    const auto waits = [&] { return stream->Record([&] { stream->Wait(); }); };
    EXPECT_EQ(fails(), nullptr);
    EXPECT_EQ(waits(), nullptr);
    const auto one = AddsOne(*stream, x);
    ASSERT_TRUE(one);
    EXPECT_EQ(fails(), nullptr);  // while the pool has a recording
    stream->Run([&] { one->Replay(); });
    stream->Wait();
    c10::getDeviceAllocator(at::kCUDA)->emptyCache();  // refuses while it thinks that one records
  }
  EXPECT_EQ(x.sum().item<float>(), 4 * 2);
}

// Flash attention on the GPU, and the formula on the CPU: two sequences, the second one with 20
// of its 60 tokens as queries.
TEST(RaggedAttention, FlashIsTheFormula) {
  RaggedPlan plan;
  plan.query_starts = {0, 50, 70};
  plan.key_starts = {0, 50, 110};
  for (int64_t i = 0; i < 110; ++i) plan.keys.push_back((37 * i) % 128);
  plan.max_queries = 50;
  plan.max_keys = 60;
  PhiConfig config = testing::SmallConfig();
  for (const int64_t dim : {64, 96, 128})
    for (const int64_t window : {0, 9})
      for (const auto type : {at::kBFloat16, at::kHalf}) {
        config.head_dim = dim;
        const RaggedKernel flash = FlashKernel(config, at::TensorOptions(type).device(kDevice));
        ASSERT_NE(flash, nullptr);
        const at::Tensor query = at::randn({70, 4, dim}).to(type),
                         keys = at::randn({128, 2, dim}).to(type),
                         values = at::randn({128, 2, dim}).to(type);
        const at::Tensor want =
            RaggedAttention(plan, 0.2, window, at::kCPU, testing::ByFormula)(query, keys, values);
        const at::Tensor got = RaggedAttention(plan, 0.2, window, kDevice, flash)(
            query.to(kDevice), keys.to(kDevice), values.to(kDevice));
        EXPECT_LT((got.cpu().to(at::kFloat) - want.to(at::kFloat)).abs().max().item<float>(),
                  type == at::kHalf ? 0.01 : 0.05)
            << "heads of " << dim << ", window " << window;
      }
}

TEST(CudaStream, RecordingsMayOutliveIt) {
  const at::Tensor x = at::zeros({4}, at::TensorOptions(kDevice));
  auto stream = Stream();
  const auto one = AddsOne(*stream, x);
  stream.reset();
  ASSERT_TRUE(one);
  stream = Stream();
  stream->Run([&] { one->Replay(); });
  stream->Wait();
  EXPECT_EQ(x.sum().item<float>(), 4);
}
#endif

}  // namespace
}  // namespace pivotal::model
