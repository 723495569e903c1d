// What ptxas said of each kernel of the CUDA module: nothing spills, and registers stay within the
// limits of register_limits.txt, since they decide how many threads hide the latency of memory.
#include <cxxabi.h>
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace plimsoll {
namespace {

struct Kernel {
  std::string name;
  int architecture;
  int registers = -1;
  int stack_bytes = -1;
  int spilled_bytes = -1;
};

struct Limit {
  int registers;
  std::string pattern;
};

// "Attention<(PlimsollCudaType)2, 64, 1, 4>", without its namespace, result and arguments.
std::string ShortName(const std::string& mangled) {
  char* const text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr);
  std::string name = text == nullptr ? mangled : text;
  std::free(text);
  name = std::regex_replace(name, std::regex("plimsoll::(cuda::)?"), "");
  if (name.starts_with("void ")) name = name.substr(5);
  const size_t end = name.rfind('(');  // of arguments, which have no brackets of their own
  return end == std::string::npos ? name : name.substr(0, end);
}

std::vector<Kernel> KernelsIn(std::istream& log) {
  static const std::regex kBegin("Compiling entry function '(\\S+)' for 'sm_(\\d+)'");
  static const std::regex kStack("(\\d+) bytes stack frame, (\\d+) bytes spill stores");
  static const std::regex kRegisters("Used (\\d+) registers");
  std::vector<Kernel> kernels;
  for (std::string line; std::getline(log, line);) {
    std::smatch match;
    if (std::regex_search(line, match, kBegin)) {
      kernels.push_back({.name = ShortName(match[1]), .architecture = std::stoi(match[2])});
    } else if (kernels.empty()) {
      continue;
    } else if (std::regex_search(line, match, kStack)) {
      kernels.back().stack_bytes = std::stoi(match[1]);
      kernels.back().spilled_bytes = std::stoi(match[2]);
    } else if (std::regex_search(line, match, kRegisters)) {
      kernels.back().registers = std::stoi(match[1]);
    }
  }
  return kernels;
}

// Of every object of the module that nvcc made.
std::vector<Kernel> KernelsOfTheModule() {
  std::vector<Kernel> kernels;
  std::ifstream objects(PLIMSOLL_MODULE_OBJECTS);
  for (std::string object; std::getline(objects, object);) {
    if (!object.ends_with(".cu.o")) continue;
    std::ifstream log(object + ".ptxas");
    EXPECT_TRUE(log.is_open()) << object << " has no log";
    for (Kernel& kernel : KernelsIn(log)) kernels.push_back(std::move(kernel));
  }
  return kernels;
}

std::vector<Limit> Limits() {
  std::ifstream in(std::string(PLIMSOLL_SOURCE_DIR) + "/tests/engine/ops/register_limits.txt");
  std::vector<Limit> limits;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    limits.push_back({std::stoi(line.substr(0, space)), line.substr(space + 1)});
  }
  return limits;
}

TEST(RegisterLimits, ALogIsReadAsItIsWritten) {
  std::istringstream log(
      "ptxas info    : Compiling entry function '_ZN8plimsoll4cuda5CrossILi3EEEvPf' for 'sm_90'\n"
      "ptxas info    : Function properties for _ZN8plimsoll4cuda5CrossILi3EEEvPf\n"
      "    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
      "ptxas info    : Used 31 registers, used 1 barriers\n");
  const std::vector<Kernel> kernels = KernelsIn(log);
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0].name, "Cross<3>");
  EXPECT_EQ(kernels[0].architecture, 90);
  EXPECT_EQ(kernels[0].stack_bytes, 16);
  EXPECT_EQ(kernels[0].spilled_bytes, 8);
  EXPECT_EQ(kernels[0].registers, 31);
}

TEST(RegisterLimits, NoKernelSpillsOrTakesMoreThanItMay) {
  const std::vector<Kernel> kernels = KernelsOfTheModule();
  const std::vector<Limit> limits = Limits();
  std::set<std::string> used;
  std::set<int> architectures;
  for (const Kernel& kernel : kernels) {
    architectures.insert(kernel.architecture);
    if (kernel.architecture < 80) continue;  // kept working, not fast
    SCOPED_TRACE(kernel.name + " for sm_" + std::to_string(kernel.architecture));
    EXPECT_EQ(kernel.stack_bytes, 0);
    EXPECT_EQ(kernel.spilled_bytes, 0);
    const auto limit = std::find_if(limits.begin(), limits.end(), [&](const Limit& each) {
      return fnmatch(each.pattern.c_str(), kernel.name.c_str(), 0) == 0;
    });
    ASSERT_NE(limit, limits.end()) << "has no limit";
    EXPECT_GE(kernel.registers, 0);
    EXPECT_LE(kernel.registers, limit->registers);
    used.insert(limit->pattern);
  }
  EXPECT_EQ(used.size(), limits.size()) << "a limit fits no kernel";
  EXPECT_EQ(architectures, (std::set<int>{75, 80, 90}));
}

}  // namespace
}  // namespace plimsoll
