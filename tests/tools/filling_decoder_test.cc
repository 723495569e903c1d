// That copying a prompt is as good as computing it, and how the system says what is resident.
#include "tools/bench/filling_decoder.h"

#include <gmock/gmock.h>

#include "tests/engine/support/tiny_model.h"
#include "tools/bench/process_memory.h"

namespace plimsoll {
namespace {

std::vector<int32_t> Prompt(int32_t count) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back((7 * i + 3) % 101);
  return tokens;
}

class EveryKvType : public testing::TestWithParam<ElementType> {
 protected:
  const TinyModel model_{TinyShape{}};
  TinyEngine engine_{
      model_,
      CpuOps(),
      {.kv = GetParam(), .decoder = {.max_batched_tokens = Tokens(16), .max_logit_rows = 8}}};
  FillingDecoder filling_{*engine_.decoder, CpuBackend(), engine_.layout, engine_.arena->base()};

  BatchEntry Append(SequenceId id, std::span<const int32_t> tokens) {
    return engine_.Append(id, tokens, /*all_logits=*/false);
  }
  static std::vector<float> Logits(Decoder& decoder, std::span<const BatchEntry> batch) {
    const auto logits = decoder.Forward(batch);
    PLIMSOLL_CHECK(logits.ok(), logits.status());
    return {logits->begin(), logits->end()};
  }
};

// Prompts of three sequences in one pass of more rows than the decoder has: the logits, and those
// of the tokens that follow, are those of a sequence that computed it all by itself.
TEST_P(EveryKvType, ACopiedPromptIsTheComputedOneToTheLastBit) {
  const std::vector<int32_t> prompt = Prompt(37);
  const std::vector<int32_t> next = {9};
  const SequenceId alone = engine_.Begin();
  std::vector<float> want;
  for (size_t at = 0; at < prompt.size(); at += 16) {
    const size_t count = std::min<size_t>(16, prompt.size() - at);
    const BatchEntry entry = Append(alone, std::span(prompt).subspan(at, count));
    want = Logits(*engine_.decoder, {&entry, 1});
  }
  const BatchEntry after = Append(alone, next);
  const std::vector<float> want_next = Logits(*engine_.decoder, {&after, 1});

  const std::vector<SequenceId> ids = {engine_.Begin(), engine_.Begin(), engine_.Begin()};
  std::vector<BatchEntry> prompts;
  for (const SequenceId id : ids) prompts.push_back(Append(id, prompt));
  const std::vector<float> got = Logits(filling_, prompts);
  EXPECT_EQ(filling_.decoded(), 0);
  EXPECT_GT(filling_.prompt_time(), Duration::zero());
  std::vector<BatchEntry> singles;
  for (const SequenceId id : ids) singles.push_back(Append(id, next));
  const std::vector<float> got_next = Logits(filling_, singles);
  EXPECT_EQ(filling_.decoded(), 3);
  const size_t vocab = want.size();
  ASSERT_EQ(got.size(), 3 * vocab);
  ASSERT_EQ(got_next.size(), 3 * vocab);
  for (size_t i = 0; i < 3 * vocab; ++i) {
    ASSERT_EQ(got[i], want[i % vocab]) << i;
    ASSERT_EQ(got_next[i], want_next[i % vocab]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(FillingDecoder, EveryKvType,
                         testing::Values(ElementType::kBf16, ElementType::kInt8,
                                         ElementType::kInt4),
                         [](const auto& each) { return std::string(NameOf(each.param)); });

TEST(FillingDecoderDeathTest, AnotherPromptIsNotTheFirst) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TinyModel model(TinyShape{});
  TinyEngine engine(model, CpuOps(), {});
  FillingDecoder filling(*engine.decoder, CpuBackend(), engine.layout, engine.arena->base());
  const std::vector<int32_t> first = {1, 2, 3}, other = {1, 2, 4};
  const BatchEntry one = engine.Append(engine.Begin(), first, false);
  ASSERT_TRUE(filling.Forward({&one, 1}).ok());
  const BatchEntry two = engine.Append(engine.Begin(), other, false);
  EXPECT_DEATH((void)filling.Forward({&two, 1}), "check failed");
}

TEST(ProcessMemory, IsReadFromTheSystemsText) {
  const auto bytes = ResidentBytesIn("0-1 rollup\nRss: 9 kB\nPss_Anon:   12 kB\nPss_Shmem: 3 kB\n");
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes, Bytes(15 * 1024));
  for (const char* const text : {"", "\nPss_Anon: 3 kB\n", "\nPss_Anon: x kB\nPss_Shmem: 3 kB\n",
                                 "\nPss_Anon:", "\nPss_Anon: -1 kB\nPss_Shmem: 3 kB\n"}) {
    EXPECT_EQ(ResidentBytesIn(text).status().code(), absl::StatusCode::kInternal) << text;
  }
}

TEST(ProcessMemory, GrowsByWhatIsTouched) {
  const auto before = ResidentBytes();
  ASSERT_TRUE(before.ok()) << before.status();
  const std::vector<char> memory(16 << 20, 1);
  const auto after = ResidentBytes();
  ASSERT_TRUE(after.ok());
  EXPECT_GE(*after, *before + Bytes(16 << 20));
  EXPECT_EQ(memory[1000], 1);
}

}  // namespace
}  // namespace plimsoll
