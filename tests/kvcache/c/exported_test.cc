// The library shows the functions of its header, and nothing else; the example is C and runs.
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "kvcache/c/plimsoll.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

std::set<std::string> Declared(const std::string& header) {
  const std::string text = ReadFile(std::string(PLIMSOLL_SOURCE_DIR) + "/" + header);
  const std::regex kFunction(R"(PLIMSOLL_API [a-z0-9_ ]+\*? ?(plimsoll_[a-z_]+)\()");
  std::set<std::string> names;
  for (std::sregex_iterator i(text.begin(), text.end(), kFunction), end; i != end; ++i) {
    names.insert((*i)[1]);
  }
  return names;
}

std::set<std::string> Exported(const std::string& library) {
  const ProgramResult nm = RunProgram({"nm", "-D", "--defined-only", library});
  EXPECT_EQ(nm.exit_code, 0) << nm.err;
  std::istringstream lines(nm.out);
  std::set<std::string> names;
  for (std::string address, kind, name; lines >> address >> kind >> name;) names.insert(name);
  return names;
}

TEST(CExports, AreWhatTheHeaderDeclares) {
  const std::set<std::string> declared = Declared("kvcache/c/plimsoll.h");
  EXPECT_GT(declared.size(), 25u);
  EXPECT_EQ(Exported(std::string(PLIMSOLL_BINARY_DIR) + "/bin/libplimsoll_c.so"), declared);
}

// Programs were compiled against these; a new member comes last and changes a size here.
TEST(CExports, KeepTheirLayout) {
  EXPECT_EQ(plimsoll_c_version(), 0x10002u);
  EXPECT_EQ(sizeof(plimsoll_request), 88u);
  EXPECT_EQ(sizeof(plimsoll_answer), 224u);
  EXPECT_EQ(sizeof(plimsoll_pool_options), 40u);
  EXPECT_EQ(sizeof(plimsoll_admission_options), 96u);
  EXPECT_EQ(sizeof(plimsoll_snapshot), 152u);
  EXPECT_EQ(sizeof(plimsoll_prompt), 48u);
  EXPECT_EQ(sizeof(plimsoll_sequence), 64u);
  EXPECT_EQ(sizeof(plimsoll_block_copy), 24u);
}

TEST(CExports, CodesHaveNames) {
  EXPECT_STREQ(plimsoll_code_name(PLIMSOLL_INVALID_ARGUMENT), "INVALID_ARGUMENT");
  EXPECT_STREQ(plimsoll_code_name(-1), "");
  EXPECT_STREQ(plimsoll_code_name(99), "");
  EXPECT_STREQ(plimsoll_reason_name(PLIMSOLL_NO_FREE_BLOCKS), "NO_FREE_BLOCKS");
  EXPECT_STREQ(plimsoll_reason_name(99), "");
}

TEST(CExample, Runs) {
  const ProgramResult run = RunProgram({std::string(PLIMSOLL_BINARY_DIR) + "/tests/c_example"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "100 blocks promised\n1000 tokens lie in 63 blocks\n");
}

}  // namespace
}  // namespace plimsoll
