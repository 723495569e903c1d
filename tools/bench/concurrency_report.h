// What `bench concurrency` measured, for people, for programs and as a page.
//
// Threads: pure. Cost: builds a string; the page has about 220 KB. Errors: none.
#pragma once

#include <string>

#include "tools/bench/concurrency_bench.h"

namespace plimsoll {

// "predicted 32 sequences, reached 32: the pool is full".
std::string OutcomeText(const ConcurrencyRun& run);
// "1.25 ms", of a step.
std::string MillisecondsText(Duration duration);

// "1,024 blocks", and how many were planned where that is another number.
std::string BlocksText(const ConcurrencyReport& report);

std::string ConcurrencyAsText(const ConcurrencyReport& report);
std::string ConcurrencyAsJson(const ConcurrencyReport& report);
std::string ConcurrencyAsHtml(const ConcurrencyReport& report);  // concurrency_page.cc

}  // namespace plimsoll
