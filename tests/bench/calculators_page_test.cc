// The committed comparison is what the program prints, so neither can drift from the formulas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

TEST(CalculatorsPage, IsWhatTheProgramPrints) {
  const ProgramResult result =
      RunProgram({std::string(PLIMSOLL_BINARY_DIR) + "/bin/compare_calculators"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, ReadFile(std::string(PLIMSOLL_SOURCE_DIR) + "/bench/calculators.md"))
      << "write it anew: bin/compare_calculators > bench/calculators.md";
}

}  // namespace
}  // namespace plimsoll
