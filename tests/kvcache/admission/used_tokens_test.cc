// What a release reports as used is what the quantile policy learns from.
#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

// 200 blocks of 16 tokens, so that three requests of up to 1016 tokens fit if each uses all.
class UsedTokensTest : public AdmissionTest {
 protected:
  UsedTokensTest() : AdmissionTest(Blocks(200)) {}

  std::optional<std::string> Reserve() {
    const Answer answer = Must(admission_->Reserve(RequestOf(16, 1000)));
    if (!IsAdmitted(answer)) return std::nullopt;
    return std::get<Reservation>(answer).id;
  }
  // How many are admitted at once after many that used so much, as `report` says it.
  template <class Report>
  int64_t AdmittedAfter(const Report& report) {
    admission_ = nullptr;
    cache_ = Must(KvCache::Create({.capacity = Blocks(200)}));
    Restart({.epoch = "e1", .policy = {.policy = Policy::kQuantile}});
    for (int i = 0; i < 300; ++i) report(*Reserve());
    admission_->CheckInvariants();
    int64_t admitted = 0;
    while (Reserve()) ++admitted;
    return admitted;
  }
};

TEST_F(UsedTokensTest, ShortOutputsLetMoreInThanLongOnes) {
  const auto used = [&](int64_t tokens) {
    return AdmittedAfter(
        [&](const std::string& id) { ASSERT_TRUE(admission_->Release(id, Tokens(tokens)).ok()); });
  };
  const int64_t after_short = used(16 + 20);
  const int64_t after_long = used(16 + 900);
  EXPECT_LT(after_long, 10);
  EXPECT_GT(after_short, 3 * after_long);
  EXPECT_EQ(used(1 << 20), used(1016)) << "nobody uses more than he may";
}

TEST_F(UsedTokensTest, AReportAtTheEndSaysWhatExtensionsSay) {
  const int64_t told_at_the_end = AdmittedAfter(
      [&](const std::string& id) { ASSERT_TRUE(admission_->Release(id, Tokens(116)).ok()); });
  const int64_t told_before = AdmittedAfter([&](const std::string& id) {
    ASSERT_TRUE(admission_->Extend(id, Tokens(116)).ok());
    ASSERT_TRUE(admission_->Release(id, Tokens(50)).ok()) << "less than it said: it knows better";
  });
  EXPECT_EQ(told_at_the_end, told_before);
}

}  // namespace
}  // namespace plimsoll
