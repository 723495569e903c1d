// Reservations that an operator takes away.
#include <string>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;

class RevokeTest : public AdmissionTest {
 protected:
  void ExpectRevoked(const absl::Status& status) const {
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_NE(status.message().find("it was revoked"), std::string::npos) << status;
  }
};

TEST_F(RevokeTest, GivesTheBlocksToWhoWaitsAndTellsTheHolderWhy) {
  const std::string id = Hold(8).id;
  Queue("next", 5);
  const Revocation revoked = Must(admission_->Revoke(id));
  EXPECT_EQ(revoked.blocks, Blocks(8));
  EXPECT_FALSE(revoked.stopping);
  EXPECT_EQ(Answered(), std::vector<std::string>{"next"});
  EXPECT_EQ(free(), Blocks(5));
  EXPECT_TRUE(admission_->WasRevoked(id));
  ExpectRevoked(admission_->Renew(id).status());
  ExpectRevoked(admission_->Extend(id, Tokens(16)).status());
  ExpectRevoked(admission_->Get(id).status());
  ExpectRevoked(admission_->BeginSequence(id).status());
  EXPECT_TRUE(admission_->Release(id).ok()) << "a release stays harmless";
  EXPECT_EQ(free(), Blocks(5));
  EXPECT_EQ(admission_->Snapshot().expired, 1);
  EXPECT_EQ(admission_->Snapshot().released, 0);
  admission_->CheckInvariants();
}

TEST_F(RevokeTest, StopsTheSequenceThatRunsOnIt) {
  const std::string id = Hold(3).id;
  Must(admission_->BeginSequence(id));
  EXPECT_FALSE(admission_->StopRequested(id));
  const Revocation revoked = Must(admission_->Revoke(id));
  EXPECT_TRUE(revoked.stopping);
  EXPECT_TRUE(admission_->StopRequested(id));
  EXPECT_EQ(free(), Blocks(7)) << "its blocks are still read";
  ExpectRevoked(admission_->Renew(id).status());
  EXPECT_TRUE(admission_->Revoke(id).ok()) << "as long as it stops";
  admission_->EndSequence(id);
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(admission_->Snapshot().expired, 1);
  EXPECT_EQ(admission_->Snapshot().released, 0);
  ExpectRevoked(admission_->Revoke(id).status());
  admission_->CheckInvariants();
}

TEST_F(RevokeTest, RefusesWhatIsNotHeld) {
  const std::string id = Hold(1).id;
  ASSERT_TRUE(admission_->Release(id).ok());
  const absl::Status ended = admission_->Revoke(id).status();
  EXPECT_TRUE(absl::IsNotFound(ended));
  EXPECT_NE(ended.message().find("it has ended"), std::string::npos) << ended;
  EXPECT_FALSE(admission_->WasRevoked(id));
  EXPECT_TRUE(absl::IsNotFound(admission_->Revoke("e1-99").status()));
  EXPECT_TRUE(absl::IsNotFound(admission_->Revoke("nonsense").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(admission_->Revoke("e0-1").status()));
  EXPECT_FALSE(admission_->WasRevoked("e1-99"));
  EXPECT_FALSE(admission_->WasRevoked("e0-1"));
  EXPECT_EQ(admission_->Snapshot().expired, 0);
}

TEST_F(RevokeTest, IsRememberedForAMinute) {
  const std::string id = Hold(1).id;
  Must(admission_->Revoke(id));
  After(seconds(59));
  EXPECT_TRUE(admission_->WasRevoked(id));
  After(seconds(2));
  EXPECT_FALSE(admission_->WasRevoked(id));
  EXPECT_TRUE(absl::IsNotFound(admission_->Renew(id).status()));
}

}  // namespace
}  // namespace plimsoll
